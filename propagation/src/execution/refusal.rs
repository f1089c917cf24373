//! What an answer of an API server means: whether trying again helps, and what somebody can do.

use super::Code;

/// An answer that is not what was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status code.
    pub code: u16,
    /// The `message` of the status.
    pub message: &'a str,
    /// Whether a cause is that the namespace is being deleted.
    pub namespace_terminating: bool,
}

/// What it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    /// The same request is refused until something changes, so it is not repeated soon.
    pub is_lasting: bool,
    /// What somebody can do, with the cluster; `None` when waiting helps.
    pub remedy: Option<String>,
    /// The object is over a size limit.
    pub is_too_large: bool,
}

/// Judges an answer of an API server; `place` is whose it is, for example `cluster member1`.
pub fn judge(answer: Answer<'_>, place: &str) -> Refusal {
    let says = |text: &str| answer.message.contains(text);
    let lasting = |code, remedy: String| Refusal {
        code,
        is_lasting: true,
        remedy: Some(remedy),
        is_too_large: false,
    };
    let too_large = || Refusal {
        is_too_large: true,
        ..lasting(
            Code::MemberRejected,
            format!("make the object smaller, it is over the size limit of {place}"),
        )
    };
    match answer.code {
        _ if says("etcdserver: request is too large") => too_large(),
        403 if answer.namespace_terminating => lasting(
            Code::NamespaceMissing,
            format!(
                "the namespace is being deleted in {place}; the object follows when it is there again"
            ),
        ),
        403 if says("exceeded quota") => lasting(
            Code::MemberRejected,
            format!("raise the ResourceQuota in {place}, or ask for less there"),
        ),
        403 if says(" cannot ") && says(" resource \"") => lasting(
            Code::MemberRejected,
            format!("grant this to our credentials for {place}"),
        ),
        422 if says("field is immutable") || says("may not change once set") => lasting(
            Code::MemberRejected,
            format!(
                "take the change back, or delete the object in {place} to have it created anew"
            ),
        ),
        413 => too_large(),
        422 if says("Too long") || says("too large") => too_large(),
        400 | 403 | 405 | 415 | 422 => lasting(
            Code::MemberRejected,
            format!(
                "correct the template, or override it for {place}, so that the cluster takes it"
            ),
        ),
        404 => Refusal {
            code: Code::NamespaceMissing,
            is_lasting: false,
            remedy: None,
            is_too_large: false,
        },
        _ => Refusal {
            code: Code::ApplyError,
            is_lasting: false,
            remedy: None,
            is_too_large: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, message: &str, namespace_terminating: bool, lasting: bool, remedy: &str) {
        let answer = Answer {
            code,
            message,
            namespace_terminating,
        };
        let refusal = judge(answer, "cluster m1");
        assert_eq!(refusal.is_lasting, lasting, "{message}");
        assert_eq!(refusal.is_too_large, remedy == "smaller", "{message}");
        let found = refusal.remedy.unwrap_or_default();
        if remedy.is_empty() {
            assert_eq!(found, "");
        } else {
            assert!(
                found.contains(remedy) && found.contains("cluster m1"),
                "{found}"
            );
        }
    }

    #[test]
    fn answers_are_told_apart() {
        check(
            422,
            "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: {}: field is immutable",
            false,
            true,
            "take the change back",
        );
        check(
            422,
            "ConfigMap \"a\" is invalid: []: Too long: may not be more than 1048576 bytes",
            false,
            true,
            "smaller",
        );
        check(
            413,
            "Request entity too large: limit is 3145728",
            false,
            true,
            "smaller",
        );
        check(
            500,
            "etcdserver: request is too large",
            false,
            true,
            "smaller",
        );
        check(
            422,
            "Job.batch \"a\" is invalid: spec.completions: Invalid value: -1",
            false,
            true,
            "correct the template",
        );
        check(
            403,
            "configmaps \"a\" is forbidden: unable to create new content in namespace x because it is being terminated",
            true,
            true,
            "being deleted",
        );
        check(
            403,
            "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
            false,
            true,
            "ResourceQuota",
        );
        check(
            403,
            "widgets.example.com is forbidden: User \"u\" cannot create resource \"widgets\"",
            false,
            true,
            "grant",
        );
        check(
            403,
            "admission policy denied the request",
            false,
            true,
            "override it",
        );
        check(404, "namespaces \"x\" not found", false, false, "");
        check(503, "the server is currently unable", false, false, "");
        check(409, "the object has been modified", false, false, "");
    }
}

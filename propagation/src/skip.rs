//! What is never a template: skipped APIs, skipped namespaces, objects that somebody else propagates.

use std::collections::BTreeSet;

use crds::keys;
pub use crds::keys::namespaces::is_reserved;
use regex::Regex;
use serde::Serialize;
use serde_json::Value;
use trace::Sink;

use crate::matching::Subject;
use crate::trace::Item;

/// Why an object is not propagated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Code {
    Terminating,
    ReservedNamespace,
    SkippedNamespace,
    SkippedApi,
    ClaimedByController,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminating => "Terminating",
            Self::ReservedNamespace => "ReservedNamespace",
            Self::SkippedNamespace => "SkippedNamespace",
            Self::SkippedApi => "SkippedApi",
            Self::ClaimedByController => "ClaimedByController",
        }
    }
}

/// Whether an object may be propagated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Verdict {
    Allowed,
    Skipped { code: Code, message: String },
}

impl Verdict {
    pub fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }

    fn skipped(code: Code, message: impl Into<String>) -> Self {
        Self::Skipped {
            code,
            message: message.into(),
        }
    }
}

/// Groups that are ours or serve views of members, and events, which are no templates in any cluster.
const SKIPPED_GROUPS: &[&str] = &[
    "cluster.karmada.io",
    "policy.karmada.io",
    "work.karmada.io",
    "config.karmada.io",
    "networking.karmada.io",
    "autoscaling.karmada.io",
    "remedy.karmada.io",
    "apps.karmada.io",
    "search.karmada.io",
    "metrics.k8s.io",
    "custom.metrics.k8s.io",
    "external.metrics.k8s.io",
    "events.k8s.io",
];
/// Groups whose name ends like this are extensions of our own.
const SKIPPED_GROUP_SUFFIX: &str = ".navarch.dev";
const SKIPPED_GROUP_VERSIONS: &[(&str, &str)] = &[("coordination.k8s.io", "v1")];
const SKIPPED_KINDS: &[(&str, &str, &str)] = &[("", "v1", "event")];

/// The APIs whose objects are never propagated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedApis {
    groups: BTreeSet<String>,
    group_versions: BTreeSet<(String, String)>,
    /// Kinds in lower case.
    kinds: BTreeSet<(String, String, String)>,
}

/// A flag value that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("--skipped-propagating-apis: Invalid API string: {token:?}")]
    Api { token: String },
    #[error("--skipped-propagating-namespaces: invalid expression {expression:?}: {cause}")]
    Namespace { expression: String, cause: String },
}

impl Default for SkippedApis {
    fn default() -> Self {
        let owned = |text: &&str| (*text).to_owned();
        Self {
            groups: SKIPPED_GROUPS.iter().map(owned).collect(),
            group_versions: SKIPPED_GROUP_VERSIONS
                .iter()
                .map(|(g, v)| (owned(g), owned(v)))
                .collect(),
            kinds: SKIPPED_KINDS
                .iter()
                .map(|(g, v, k)| (owned(g), owned(v), owned(k)))
                .collect(),
        }
    }
}

impl SkippedApis {
    /// Reads the value of `--skipped-propagating-apis` on top of the APIs that are always skipped.
    ///
    /// Tokens are separated by `;`: a group, `group/version`, `group/version/Kind,Kind`, or `v1/Kind,Kind` for core kinds.
    pub fn parse(flag: &str) -> Result<Self, FlagError> {
        let mut skipped = Self::default();
        for token in flag
            .split(';')
            .map(str::trim)
            .filter(|token| !token.is_empty())
        {
            let invalid = || FlagError::Api {
                token: token.to_owned(),
            };
            let parts: Vec<&str> = token.split('/').map(str::trim).collect();
            if parts.iter().any(|part| part.is_empty()) {
                return Err(invalid());
            }
            match parts[..] {
                [group] => {
                    skipped.groups.insert(group.to_owned());
                }
                ["v1", kinds] => skipped.add_kinds("", "v1", kinds),
                [group, version] => {
                    skipped
                        .group_versions
                        .insert((group.to_owned(), version.to_owned()));
                }
                [group, version, kinds] => skipped.add_kinds(group, version, kinds),
                _ => return Err(invalid()),
            }
        }
        Ok(skipped)
    }

    fn add_kinds(&mut self, group: &str, version: &str, kinds: &str) {
        for kind in kinds
            .split(',')
            .map(str::trim)
            .filter(|kind| !kind.is_empty())
        {
            self.kinds
                .insert((group.to_owned(), version.to_owned(), kind.to_lowercase()));
        }
    }

    /// Whether objects of this kind are never propagated; kinds are compared without regard to case.
    pub fn contains(&self, group: &str, version: &str, kind: &str) -> bool {
        self.groups.contains(group)
            || group.ends_with(SKIPPED_GROUP_SUFFIX)
            || self
                .group_versions
                .contains(&(group.to_owned(), version.to_owned()))
            || self
                .kinds
                .contains(&(group.to_owned(), version.to_owned(), kind.to_lowercase()))
    }
}

/// The namespaces whose objects are never propagated.
#[derive(Debug, Clone)]
pub struct SkippedNamespaces {
    expressions: Vec<Regex>,
}

/// The default of `--skipped-propagating-namespaces`.
pub const DEFAULT_SKIPPED_NAMESPACES: &str = "kube-.*";

impl SkippedNamespaces {
    /// Reads the value of `--skipped-propagating-namespaces`: regular expressions, separated by commas, each of which has to match a
    /// whole name.
    pub fn parse(flag: &str) -> Result<Self, FlagError> {
        let expressions = flag
            .split(',')
            .map(str::trim)
            .filter(|expression| !expression.is_empty())
            .map(|expression| {
                Regex::new(&format!("^(?:{expression})$")).map_err(|cause| FlagError::Namespace {
                    expression: expression.to_owned(),
                    cause: cause.to_string(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { expressions })
    }

    /// Whether a namespace is skipped; cluster-scoped objects have the namespace `""`.
    pub fn matches(&self, namespace: &str) -> bool {
        self.expressions
            .iter()
            .any(|expression| expression.is_match(namespace))
    }
}

impl Default for SkippedNamespaces {
    fn default() -> Self {
        Self::parse(DEFAULT_SKIPPED_NAMESPACES).expect("the default is a valid expression")
    }
}

/// Decides whether an object with this `metadata` may be propagated at all.
pub fn may_propagate(
    subject: &Subject,
    metadata: &Value,
    apis: &SkippedApis,
    namespaces: &SkippedNamespaces,
    sink: &mut impl Sink<Item>,
) -> Verdict {
    let verdict = match decide(subject, apis, namespaces) {
        Verdict::Allowed => collected(metadata),
        skipped @ Verdict::Skipped { .. } => skipped,
    };
    sink.record(|| Item::Template {
        object: subject.to_string(),
        verdict: verdict.clone(),
    });
    verdict
}

/// A template that garbage collection deletes waits for its binding to go; a new binding would be collected in turn, for ever.
fn collected(metadata: &Value) -> Verdict {
    let finalizers = metadata.get("finalizers").and_then(Value::as_array);
    let waits = finalizers.into_iter().flatten().find_map(|finalizer| {
        let finalizer = finalizer.as_str()?;
        matches!(finalizer, "foregroundDeletion" | "orphan").then_some(finalizer)
    });
    match waits.filter(|_| metadata.get("deletionTimestamp").is_some()) {
        Some(finalizer) => Verdict::skipped(
            Code::Terminating,
            format!("the object is being deleted and waits for finalizer {finalizer}"),
        ),
        None => Verdict::Allowed,
    }
}

fn decide(subject: &Subject, apis: &SkippedApis, namespaces: &SkippedNamespaces) -> Verdict {
    let (group, version) = subject.group_version();
    let namespace = &*subject.namespace;
    if version.is_empty() || subject.kind.is_empty() {
        return Verdict::skipped(Code::SkippedApi, "the object has no apiVersion or kind");
    }
    if apis.contains(group, version, &subject.kind) {
        return Verdict::skipped(
            Code::SkippedApi,
            format!(
                "{} of {} is not propagated",
                subject.kind, subject.api_version
            ),
        );
    }
    if is_reserved(namespace) {
        return Verdict::skipped(
            Code::ReservedNamespace,
            format!("namespace {namespace} is reserved"),
        );
    }
    if namespaces.matches(namespace) {
        let message = if namespace.is_empty() {
            "--skipped-propagating-namespaces matches the empty namespace of cluster-scoped objects"
                .to_owned()
        } else {
            format!("--skipped-propagating-namespaces matches {namespace}")
        };
        return Verdict::skipped(Code::SkippedNamespace, message);
    }
    if (group, &*subject.kind, namespace, &*subject.name)
        == (
            "",
            "ConfigMap",
            "kube-system",
            "extension-apiserver-authentication",
        )
    {
        return Verdict::skipped(
            Code::SkippedNamespace,
            "the ConfigMap belongs to the API server",
        );
    }
    match subject
        .labels
        .get(keys::CLAIMED_BY)
        .filter(|owner| !owner.is_empty())
    {
        Some(owner) => Verdict::skipped(
            Code::ClaimedByController,
            format!("{owner} propagates the object"),
        ),
        None => Verdict::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::trace::NoTrace;
    use serde_json::json;

    #[test]
    fn apis_are_parsed() {
        let apis =
            SkippedApis::parse("example.com; v1/Pod,secret;apps/v1 ;batch/v1/Job,CronJob").unwrap();
        for (group, version, kind, skipped) in [
            ("example.com", "v1beta1", "Any", true),
            ("", "v1", "Pod", true),
            ("", "v1", "pod", true),
            ("", "v1", "Secret", true),
            ("", "v1", "ConfigMap", false),
            ("", "v1", "Event", true),
            ("events.k8s.io", "v1", "Event", true),
            ("apps", "v1", "Deployment", true),
            ("apps", "v1beta1", "Deployment", false),
            ("batch", "v1", "Job", true),
            ("batch", "v1beta1", "Job", false),
            ("coordination.k8s.io", "v1", "Lease", true),
            ("work.karmada.io", "v1alpha2", "ResourceBinding", true),
            ("search.karmada.io", "v1alpha1", "ResourceRegistry", true),
            ("publish.navarch.dev", "v1alpha1", "Release", true),
            ("multicluster.x-k8s.io", "v1alpha1", "ServiceExport", false),
        ] {
            assert_eq!(
                apis.contains(group, version, kind),
                skipped,
                "{group}/{version} {kind}"
            );
        }
        // A group whose name begins with v1 is a group.
        assert!(SkippedApis::parse("v1.example.com/v1").unwrap().contains(
            "v1.example.com",
            "v1",
            "Any"
        ));
        for flag in ["a/b/c/d", "/v1", "a//b"] {
            let error = SkippedApis::parse(flag).unwrap_err();
            assert!(error.to_string().contains("Invalid API string"), "{error}");
        }
    }

    #[test]
    fn namespace_expressions_are_anchored() {
        let namespaces = SkippedNamespaces::parse("kube-.*, a|b").unwrap();
        for (name, skipped) in [
            ("kube-system", true),
            ("my-kube-x", false),
            ("a", true),
            ("ab", false),
            ("", false),
        ] {
            assert_eq!(namespaces.matches(name), skipped, "{name}");
        }
        assert!(SkippedNamespaces::parse("(").is_err());
        assert!(SkippedNamespaces::parse(".*").unwrap().matches(""));
    }

    #[test]
    fn objects_are_filtered() {
        let check = |api_version: &str,
                     kind: &str,
                     namespace: &str,
                     label: Option<&str>,
                     expected: Option<Code>| {
            let subject = Subject {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: namespace.to_owned(),
                name: "x".to_owned(),
                labels: label
                    .map(|owner| (keys::CLAIMED_BY.to_owned(), owner.to_owned()))
                    .into_iter()
                    .collect(),
            };
            let verdict = may_propagate(
                &subject,
                &Value::Null,
                &SkippedApis::default(),
                &SkippedNamespaces::default(),
                &mut NoTrace,
            );
            let code = match verdict {
                Verdict::Allowed => None,
                Verdict::Skipped { code, .. } => Some(code),
            };
            assert_eq!(code, expected, "{subject}");
        };
        check("v1", "ConfigMap", "demo", None, None);
        check(
            "v1",
            "ConfigMap",
            "kube-system",
            None,
            Some(Code::SkippedNamespace),
        );
        check(
            "v1",
            "ConfigMap",
            "karmada-system",
            None,
            Some(Code::ReservedNamespace),
        );
        check(
            "v1",
            "ConfigMap",
            "karmada-cluster",
            None,
            Some(Code::ReservedNamespace),
        );
        check(
            "v1",
            "ConfigMap",
            "karmada-es-member1",
            None,
            Some(Code::ReservedNamespace),
        );
        check("v1", "Event", "demo", None, Some(Code::SkippedApi));
        check("", "ConfigMap", "demo", None, Some(Code::SkippedApi));
        check("v1", "Namespace", "", None, None);
        check(
            "v1",
            "Service",
            "demo",
            Some("MultiClusterService"),
            Some(Code::ClaimedByController),
        );
        check("v1", "Service", "demo", Some(""), None);
    }

    #[test]
    fn templates_that_garbage_collection_deletes_are_left_alone() {
        let subject = Subject {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: "demo".into(),
            name: "x".into(),
            ..Subject::default()
        };
        let deleted = "2026-01-01T00:00:00Z";
        for (metadata, expected) in [
            (json!({"finalizers": ["foregroundDeletion"]}), true),
            (
                json!({"deletionTimestamp": deleted, "finalizers": ["example.com/x"]}),
                true,
            ),
            (
                json!({"deletionTimestamp": deleted, "finalizers": ["example.com/x", "foregroundDeletion"]}),
                false,
            ),
            (
                json!({"deletionTimestamp": deleted, "finalizers": ["orphan"]}),
                false,
            ),
        ] {
            let (apis, namespaces) = (SkippedApis::default(), SkippedNamespaces::default());
            let verdict = may_propagate(&subject, &metadata, &apis, &namespaces, &mut NoTrace);
            assert_eq!(verdict.is_allowed(), expected, "{metadata}");
        }
    }
}

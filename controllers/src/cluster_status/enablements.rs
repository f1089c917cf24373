//! The APIs of a member, from its discovery.

use std::collections::BTreeMap;

use crds::{
    cluster::{ApiEnablements, ApiResource},
    conditions::{self, cluster as words, status},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use runtime::discovery::Discovered;

/// The APIs to publish, and how complete they are. `discovered` is `None` when the member did not answer.
///
/// What could not be read this time keeps what is published: an API that did not answer is not gone.
pub(super) fn enablements(
    discovered: Option<&Discovered>,
    stored: &[ApiEnablements],
) -> (Vec<ApiEnablements>, Condition) {
    let Some(discovered) = discovered else {
        return (stored.to_vec(), condition(stored.len(), false));
    };
    let mut found: BTreeMap<&str, ApiEnablements> = discovered
        .group_versions()
        .iter()
        .map(|(group_version, kinds)| {
            let resources = kinds
                .iter()
                .map(|(name, kind)| ApiResource {
                    name: name.clone(),
                    kind: kind.clone(),
                })
                .collect();
            let entry = ApiEnablements {
                group_version: group_version.clone(),
                resources,
            };
            (group_version.as_str(), entry)
        })
        .collect();
    for group_version in discovered.stale() {
        let known = stored.iter().find(|it| it.group_version == *group_version);
        let is_unknown = found
            .get(group_version.as_str())
            .is_none_or(|entry| entry.resources.is_empty());
        if let Some(known) = known.filter(|_| is_unknown) {
            found.insert(group_version, known.clone());
        }
    }
    let list: Vec<ApiEnablements> = found.into_values().collect();
    let condition = condition(list.len(), discovered.is_complete());
    (list, condition)
}

fn condition(collected: usize, is_complete: bool) -> Condition {
    let (status, reason, message) = match (collected, is_complete) {
        (0, _) => (status::FALSE, words::EMPTY, words::EMPTY_MESSAGE.to_owned()),
        (_, true) => (
            status::TRUE,
            words::COMPLETE,
            words::COMPLETE_MESSAGE.to_owned(),
        ),
        (_, false) => (
            status::FALSE,
            words::PARTIAL,
            words::partial_message(collected),
        ),
    };
    conditions::condition(words::COMPLETE_API_ENABLEMENTS, status, reason, message)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::serde_json::json;

    use super::*;

    fn discovered(freshness: &str, resources: &serde_json::Value) -> Discovered {
        let list = json!({"items": [
            {"metadata": {}, "versions": [{"version": "v1", "resources": [
                {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced", "verbs": ["list"]},
            ]}]},
            {"metadata": {"name": "example.com"}, "versions": [
                {"version": "v1", "freshness": freshness, "resources": resources},
            ]},
        ]});
        Discovered::from_lists([serde_json::from_value(list).unwrap()])
    }

    fn entry(group_version: &str, resources: &[(&str, &str)]) -> ApiEnablements {
        let resources = resources
            .iter()
            .map(|(name, kind)| ApiResource {
                name: (*name).to_owned(),
                kind: (*kind).to_owned(),
            })
            .collect();
        ApiEnablements {
            group_version: group_version.to_owned(),
            resources,
        }
    }

    #[track_caller]
    fn check(
        discovered: Option<&Discovered>,
        stored: &[ApiEnablements],
        expected: &[ApiEnablements],
        condition: (&str, &str, &str),
    ) {
        let (found, told) = enablements(discovered, stored);
        assert_eq!(found, expected);
        assert_eq!(
            (
                told.status.as_str(),
                told.reason.as_str(),
                told.message.as_str()
            ),
            condition
        );
    }

    #[test]
    fn apis_are_sorted_and_what_did_not_answer_is_kept() {
        let widgets = json!([
            {"resource": "widgets", "responseKind": {"kind": "Widget"}, "scope": "Namespaced", "verbs": ["list"]},
            {"resource": "gadgets", "responseKind": {"kind": "Gadget"}, "scope": "Namespaced", "verbs": ["list"]},
        ]);
        let both = entry(
            "example.com/v1",
            &[("gadgets", "Gadget"), ("widgets", "Widget")],
        );
        let core = entry("v1", &[("pods", "Pod")]);
        let all = [both.clone(), core.clone()];
        let complete = (
            "True",
            "Complete",
            "collected complete APIEnablements from the cluster",
        );
        let partial = (
            "False",
            "Partial",
            "might collect partial APIEnablements(2) from the cluster",
        );
        check(Some(&discovered("Current", &widgets)), &[], &all, complete);
        check(Some(&discovered("Stale", &json!([]))), &all, &all, partial);
        check(
            Some(&discovered("Stale", &json!([]))),
            &[],
            &[entry("example.com/v1", &[]), core.clone()],
            partial,
        );
        check(None, &all, &all, partial);
        check(
            None,
            &[],
            &[],
            (
                "False",
                "Empty",
                "collected empty APIEnablements from the cluster",
            ),
        );
    }
}

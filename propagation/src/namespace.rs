//! Automatic namespace propagation: which namespaces go to every cluster.

use std::collections::BTreeSet;

use crds::policy::OverrideSpec;
use crds::{keys, object};
use serde::Serialize;
use serde_json::Value;

use crate::matching::{ClaimState, read_claim};
use crate::skip::{SkippedNamespaces, is_reserved};

/// Why a namespace is not propagated by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Skip {
    /// It belongs to the control plane.
    Reserved,
    /// It is `default`, which every cluster has.
    Default,
    /// A flag excludes it.
    Excluded,
    /// It is being deleted; its Works follow it.
    Terminating,
    /// It carries the label that says so.
    Labelled,
    /// A policy propagates it.
    Claimed,
}

impl Skip {
    /// Whether Works that were made before are to be removed. Elsewhere they stay, or follow the Namespace.
    pub const fn removes_works(self) -> bool {
        matches!(self, Self::Labelled)
    }
}

/// Whether a Namespace is propagated by itself; `None` when it is.
pub fn skip(namespace: &Value, skipped: &SkippedNamespaces) -> Option<Skip> {
    let name = object::name(namespace);
    let opted_out = object::label(namespace, keys::SKIP_AUTO_PROPAGATION)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_claimed = namespace
        .get("metadata")
        .is_some_and(|metadata| read_claim(metadata) != ClaimState::None);
    [
        (is_reserved(name), Skip::Reserved),
        (name == "default", Skip::Default),
        (skipped.matches(name), Skip::Excluded),
        (object::is_deleting(namespace), Skip::Terminating),
        (opted_out, Skip::Labelled),
        (is_claimed, Skip::Claimed),
    ]
    .into_iter()
    .find_map(|(applies, skip)| applies.then_some(skip))
}

/// The namespaces that a change of a `ClusterOverridePolicy` concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affected {
    None,
    Named(BTreeSet<String>),
    All,
}

/// Which namespaces a policy can change. One without selectors can change all of them.
pub fn affected(spec: &OverrideSpec) -> Affected {
    let Some(selectors) = spec
        .resource_selectors
        .as_ref()
        .filter(|selectors| !selectors.is_empty())
    else {
        return Affected::All;
    };
    let mut names = BTreeSet::new();
    for selector in selectors
        .iter()
        .filter(|it| it.api_version == "v1" && it.kind == "Namespace")
    {
        match selector.name.as_ref().filter(|name| !name.is_empty()) {
            Some(name) => names.insert(name.clone()),
            None => return Affected::All,
        };
    }
    if names.is_empty() {
        Affected::None
    } else {
        Affected::Named(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::policy::ResourceSelector;
    use serde_json::json;

    #[test]
    fn namespaces_are_skipped() {
        let check = |metadata: Value, expected| {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            assert_eq!(
                skip(&namespace, &SkippedNamespaces::default()),
                expected,
                "{namespace}"
            );
        };
        check(json!({"name": "demo"}), None);
        check(json!({"name": "default"}), Some(Skip::Default));
        check(json!({"name": "kube-system"}), Some(Skip::Excluded));
        check(json!({"name": "karmada-es-m1"}), Some(Skip::Reserved));
        check(json!({"name": "karmada-system"}), Some(Skip::Reserved));
        check(
            json!({"name": "demo", "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            Some(Skip::Terminating),
        );
        check(
            json!({"name": "demo", "labels": {(keys::SKIP_AUTO_PROPAGATION): "True"}}),
            Some(Skip::Labelled),
        );
        check(
            json!({"name": "demo", "labels": {(keys::SKIP_AUTO_PROPAGATION): "no"}}),
            None,
        );
        check(
            json!({
                "name": "demo",
                "labels": {(keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID): "id"},
                "annotations": {(keys::CLUSTER_PROPAGATION_POLICY_NAME): "p"},
            }),
            Some(Skip::Claimed),
        );
    }

    #[test]
    fn policies_concern_namespaces() {
        let selector = |kind: &str, name: Option<&str>| ResourceSelector {
            api_version: "v1".into(),
            kind: kind.into(),
            name: name.map(Into::into),
            ..ResourceSelector::default()
        };
        let spec = |selectors: Option<Vec<ResourceSelector>>| OverrideSpec {
            resource_selectors: selectors,
            ..OverrideSpec::default()
        };
        assert_eq!(affected(&spec(None)), Affected::All);
        assert_eq!(
            affected(&spec(Some(vec![selector("ConfigMap", None)]))),
            Affected::None
        );
        assert_eq!(
            affected(&spec(Some(vec![
                selector("Namespace", Some("demo")),
                selector("ConfigMap", None)
            ]))),
            Affected::Named(BTreeSet::from(["demo".to_owned()]))
        );
        assert_eq!(
            affected(&spec(Some(vec![selector("Namespace", None)]))),
            Affected::All
        );
    }
}

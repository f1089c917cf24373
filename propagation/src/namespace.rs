//! Automatic namespace propagation: which namespaces go to every cluster.

use std::collections::BTreeSet;

use crds::policy::OverrideSpec;
use crds::{keys, object};
use serde::Serialize;
use serde_json::Value;

use crate::matching::{ClaimState, Level, Policy, Subject, read_claim};
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
    /// What to tell whoever made the choice, when Works of before are left in this many clusters; `None` when there is nothing to choose.
    ///
    /// The Works stay in either case: to remove a namespace from a member removes everything in it.
    pub fn remark(self, clusters: usize) -> Option<String> {
        let cause = match self {
            Self::Labelled => "label namespace.karmada.io/skip-auto-propagation is set",
            Self::Claimed => "a ClusterPropagationPolicy selects the namespace",
            Self::Reserved | Self::Default | Self::Excluded | Self::Terminating => return None,
        };
        (clusters > 0).then(|| {
            format!(
                "{cause}: the namespace stays in {clusters} cluster(s) that it went to before, and is not updated there any more; \
                 delete its Work in the execution space of a cluster to remove the namespace and everything in it there"
            )
        })
    }
}

/// Whether a Namespace is propagated by itself; `None` when it is.
///
/// A policy that is going to claim the Namespace counts like one that has, so that nothing goes out in between. `policies` are all
/// `ClusterPropagationPolicy` objects.
pub fn skip(
    namespace: &Value,
    skipped: &SkippedNamespaces,
    policies: &[Policy<'_>],
) -> Option<Skip> {
    let name = object::name(namespace);
    let opted_out = object::label(namespace, keys::SKIP_AUTO_PROPAGATION)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_claimed = || {
        let has_claim = namespace
            .get("metadata")
            .is_some_and(|metadata| read_claim(metadata) != ClaimState::None);
        has_claim || {
            let subject = Subject::of(namespace);
            let mut standing = policies.iter().filter(|policy| !policy.terminating);
            standing.any(|policy| policy.level(&subject) > Level::None)
        }
    };
    [
        (is_reserved(name), Skip::Reserved),
        (name == "default", Skip::Default),
        (skipped.matches(name), Skip::Excluded),
        (object::is_deleting(namespace), Skip::Terminating),
        (opted_out, Skip::Labelled),
        (is_claimed(), Skip::Claimed),
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
    use crds::policy::{ClusterPropagationPolicy, ResourceSelector};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    #[test]
    fn namespaces_are_skipped() {
        let check = |metadata: Value, expected| {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            assert_eq!(
                skip(&namespace, &SkippedNamespaces::default(), &[]),
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
    fn policies_that_will_claim_count() {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}});
        for (name, terminating, expected) in [
            ("demo", false, Some(Skip::Claimed)),
            ("demo", true, None),
            ("other", false, None),
        ] {
            let mut policy: ClusterPropagationPolicy = serde_json::from_value(json!({
                "metadata": {"name": "p"},
                "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "Namespace", "name": name}]},
            }))
            .unwrap();
            if terminating {
                let at = "2026-01-01T00:00:00Z".parse().unwrap();
                policy.metadata.deletion_timestamp = Some(Time(at));
            }
            let policies = [Policy::from(&policy)];
            let skipped = SkippedNamespaces::default();
            assert_eq!(
                skip(&namespace, &skipped, &policies),
                expected,
                "{name} {terminating}"
            );
        }
        assert_eq!(Skip::Labelled.remark(0), None);
        assert_eq!(Skip::Reserved.remark(2), None);
        assert!(Skip::Claimed.remark(2).unwrap().contains("2 cluster(s)"));
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

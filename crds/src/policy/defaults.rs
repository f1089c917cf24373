//! Defaults that depend on other fields, so that the schema cannot fill them in.
//!
//! Admission applies them on every write; reconcilers apply them again before they use a policy, because policies may have been
//! written while no admission ran. Applying them twice changes nothing.
//!
//! An id is passed in when the policy is being created and absent otherwise: a policy keeps its id for life.

use kube::core::{Resource, ResourceExt as _};

use super::{
    ClusterPropagationPolicy, OverridePolicy, PropagationPolicy, PropagationSpec, PurgeMode,
    ReplicaDivisionPreference, ReplicaSchedulingType, ResourceSelector, SpreadField,
};
use crate::keys;

/// The grace period of a graceful move for application failover, in seconds, where the policy names none.
pub const GRACE_PERIOD_SECONDS: i32 = 600;

/// How long a workload may be unhealthy before it is moved, in seconds, where the policy does not say.
pub const TOLERATION_SECONDS: i32 = 300;

/// The scheduler of policies that name none.
pub const SCHEDULER_NAME: &str = "default-scheduler";

/// Completes a policy. Returns whether anything changed.
pub fn propagation_policy(policy: &mut PropagationPolicy, fresh_id: Option<&str>) -> bool {
    let before = policy.clone();
    let namespace = policy.namespace().unwrap_or_default();
    selector_namespaces(&mut policy.spec.resource_selectors, &namespace);
    propagation_spec(&mut policy.spec);
    if let Some(id) = fresh_id {
        identify(
            policy,
            keys::PROPAGATION_POLICY_PERMANENT_ID,
            id,
            keys::finalizers::PROPAGATION_POLICY_CONTROLLER,
        );
    }
    *policy != before
}

/// Completes a policy. Returns whether anything changed.
pub fn cluster_propagation_policy(
    policy: &mut ClusterPropagationPolicy,
    fresh_id: Option<&str>,
) -> bool {
    let before = policy.clone();
    propagation_spec(&mut policy.spec);
    if let Some(id) = fresh_id {
        identify(
            policy,
            keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
            id,
            keys::finalizers::CLUSTER_PROPAGATION_POLICY_CONTROLLER,
        );
    }
    *policy != before
}

/// Completes a policy. Returns whether anything changed. Policies of this kind have no id.
pub fn override_policy(policy: &mut OverridePolicy) -> bool {
    let before = policy.clone();
    let namespace = policy.namespace().unwrap_or_default();
    if let Some(selectors) = &mut policy.spec.resource_selectors {
        selector_namespaces(selectors, &namespace);
    }
    *policy != before
}

/// Completes what both kinds of propagation policies have in common.
pub fn propagation_spec(spec: &mut PropagationSpec) {
    if let Some(placement) = &mut spec.placement {
        for constraint in &mut placement.spread_constraints {
            let by_label = constraint.spread_by_label.as_deref().unwrap_or_default();
            if constraint.spread_by_field.is_none() && by_label.is_empty() {
                constraint.spread_by_field = Some(SpreadField::Cluster);
            }
            if constraint.min_groups.unwrap_or_default() == 0 {
                constraint.min_groups = Some(1);
            }
        }
        if let Some(strategy) = &mut placement.replica_scheduling
            && strategy.replica_scheduling_type.unwrap_or_default()
                == ReplicaSchedulingType::Divided
            && strategy.replica_division_preference.is_none()
        {
            strategy.replica_division_preference = Some(ReplicaDivisionPreference::Weighted);
        }
    }
    if spec.resource_selectors.iter().any(is_service_import) {
        spec.propagate_deps = Some(true);
    }
    if let Some(application) = spec
        .failover
        .as_mut()
        .and_then(|failover| failover.application.as_mut())
        && application
            .purge_mode
            .unwrap_or(PurgeMode::Gracefully)
            .is_gracefully()
        && application.grace_period_seconds.is_none()
    {
        application.grace_period_seconds = Some(GRACE_PERIOD_SECONDS);
    }
}

fn is_service_import(selector: &ResourceSelector) -> bool {
    selector.kind == "ServiceImport" && selector.api_version == "multicluster.x-k8s.io/v1alpha1"
}

fn selector_namespaces(selectors: &mut [ResourceSelector], namespace: &str) {
    for selector in selectors {
        if selector.namespace.as_deref().unwrap_or_default().is_empty() {
            selector.namespace = Some(namespace.to_owned());
        }
    }
}

fn identify(policy: &mut impl Resource, label: &str, id: &str, finalizer: &str) {
    policy.labels_mut().insert(label.to_owned(), id.to_owned());
    let finalizers = policy.finalizers_mut();
    if !finalizers.iter().any(|it| it == finalizer) {
        finalizers.push(finalizer.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(spec: &Value, expected: &Value) {
        let wrap = |spec: &Value| -> PropagationPolicy {
            serde_json::from_value(json!({
                "metadata": { "name": "pol", "namespace": "demo" },
                "spec": spec,
            }))
            .unwrap()
        };
        let mut policy = wrap(spec);
        assert_eq!(propagation_policy(&mut policy, None), spec != expected);
        assert_eq!(policy, wrap(expected));
        assert!(!propagation_policy(&mut policy, None), "once is enough");
    }

    #[test]
    fn selectors_get_the_namespace_of_the_policy() {
        check(
            &json!({ "resourceSelectors": [
                { "apiVersion": "v1", "kind": "ConfigMap" },
                { "apiVersion": "v1", "kind": "ConfigMap", "namespace": "" },
                { "apiVersion": "v1", "kind": "ConfigMap", "namespace": "other" },
            ] }),
            &json!({ "resourceSelectors": [
                { "apiVersion": "v1", "kind": "ConfigMap", "namespace": "demo" },
                { "apiVersion": "v1", "kind": "ConfigMap", "namespace": "demo" },
                { "apiVersion": "v1", "kind": "ConfigMap", "namespace": "other" },
            ] }),
        );
    }

    #[test]
    fn spread_constraints_are_by_cluster_and_over_one_group() {
        check(
            &json!({ "resourceSelectors": [], "placement": { "spreadConstraints": [
                {},
                { "spreadByLabel": "rack", "minGroups": 0 },
                { "spreadByField": "region", "minGroups": 2, "maxGroups": 3 },
            ] } }),
            &json!({ "resourceSelectors": [], "placement": { "spreadConstraints": [
                { "spreadByField": "cluster", "minGroups": 1 },
                { "spreadByLabel": "rack", "minGroups": 1 },
                { "spreadByField": "region", "minGroups": 2, "maxGroups": 3 },
            ] } }),
        );
    }

    #[test]
    fn divided_replicas_are_weighted() {
        let with = |strategy: Value| json!({ "resourceSelectors": [], "placement": { "replicaScheduling": strategy } });
        check(
            &with(json!({ "replicaSchedulingType": "Divided" })),
            &with(json!({
                "replicaSchedulingType": "Divided",
                "replicaDivisionPreference": "Weighted",
            })),
        );
        for unchanged in [
            json!({ "replicaSchedulingType": "Duplicated" }),
            json!({ "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Aggregated" }),
        ] {
            check(&with(unchanged.clone()), &with(unchanged));
        }
    }

    #[test]
    fn service_imports_bring_their_dependencies() {
        let with = |version: &str, deps: Option<bool>| {
            json!({
                "resourceSelectors": [{
                    "apiVersion": format!("multicluster.x-k8s.io/{version}"),
                    "kind": "ServiceImport",
                    "namespace": "demo",
                }],
                "propagateDeps": deps,
            })
        };
        check(
            &with("v1alpha1", Some(false)),
            &with("v1alpha1", Some(true)),
        );
        check(&with("v1", None), &with("v1", None));
    }

    #[test]
    fn graceful_moves_have_a_grace_period() {
        let with = |mode: Option<&str>, seconds: Option<i32>| {
            json!({
                "resourceSelectors": [],
                "failover": { "application": {
                    "decisionConditions": {},
                    "purgeMode": mode,
                    "gracePeriodSeconds": seconds,
                } },
            })
        };
        for mode in [None, Some("Gracefully"), Some("Graciously")] {
            check(&with(mode, None), &with(mode, Some(600)));
            check(&with(mode, Some(5)), &with(mode, Some(5)));
        }
        for mode in ["Directly", "Immediately", "Never"] {
            check(&with(Some(mode), None), &with(Some(mode), None));
        }
    }

    #[test]
    fn created_policies_get_an_id_and_a_finalizer() {
        let mut policy = ClusterPropagationPolicy::new("pol", PropagationSpec::default());
        assert!(cluster_propagation_policy(&mut policy, Some("id-1")));
        assert!(!cluster_propagation_policy(&mut policy, Some("id-1")));
        assert_eq!(
            serde_json::to_value(&policy.metadata).unwrap(),
            json!({
                "name": "pol",
                "labels": { "clusterpropagationpolicy.karmada.io/permanent-id": "id-1" },
                "finalizers": ["karmada.io/cluster-propagation-policy-controller"],
            })
        );
    }

    #[test]
    fn override_policies_select_in_their_namespace() {
        let mut policy: OverridePolicy = serde_json::from_value(json!({
            "metadata": { "name": "pol", "namespace": "demo" },
            "spec": { "resourceSelectors": [{ "apiVersion": "v1", "kind": "ConfigMap" }] },
        }))
        .unwrap();
        assert!(override_policy(&mut policy));
        let selectors = policy.spec.resource_selectors.as_deref().unwrap();
        assert_eq!(selectors[0].namespace.as_deref(), Some("demo"));
        assert!(!override_policy(&mut policy));
    }
}

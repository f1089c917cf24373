//! What events say. The reasons are in [`crds::reasons`]; the texts are as users and alerts know them.

use crds::config::DependentObjectReference;
use crds::keys;
use crds::object::Key;
use crds::work::{Binding, ResourceHealth, TargetCluster};
use serde_json::Value;

use crate::matching::{PolicyKind, PolicyRef};
use crate::overrides;

/// The template as events name it: `namespace/name`, and `/name` when it is cluster-scoped.
pub fn template(key: &Key) -> String {
    format!(
        "{}/{}",
        key.namespace.as_deref().unwrap_or_default(),
        key.name
    )
}

/// `ApplyPolicySucceed` on a template.
pub fn apply_policy_succeed(policy: &PolicyRef) -> String {
    format!("{}({policy}) succeed", apply_policy(policy))
}

/// `ApplyPolicyFailed` on a template.
pub fn apply_policy_failed(policy: &PolicyRef, error: &str) -> String {
    format!("{}({policy}) failed: {error}", apply_policy(policy))
}

fn apply_policy(policy: &PolicyRef) -> &'static str {
    match policy.kind {
        PolicyKind::PropagationPolicy => "Apply policy",
        PolicyKind::ClusterPropagationPolicy => "Apply cluster policy",
    }
}

/// `PreemptPolicySucceed` on a template.
pub fn preempt_policy_succeed(new: &PolicyRef, old: &PolicyRef) -> String {
    format!("{} successfully", preempted(new, old))
}

/// `PreemptPolicyFailed` on a template.
pub fn preempt_policy_failed(new: &PolicyRef, old: &PolicyRef, error: &str) -> String {
    format!("{} failed: {error}", preempted(new, old))
}

fn preempted(new: &PolicyRef, old: &PolicyRef) -> String {
    let named = |policy: &PolicyRef| match policy.kind {
        PolicyKind::PropagationPolicy => format!("propagation policy({policy})"),
        PolicyKind::ClusterPropagationPolicy => format!("cluster propagation policy({policy})"),
    };
    let mut text = format!("{} preempted {}", named(new), named(old));
    text.replace_range(..1, &text[..1].to_uppercase());
    text
}

/// `GetReplicasSucceed` on a template.
pub const GET_REPLICAS_SUCCEED: &str = "Get replicas of resource template successfully.";

/// `GetComponentsSucceed` on a template.
pub const GET_COMPONENTS_SUCCEED: &str = "Get components of resource template successfully.";

/// `ScheduleBindingSucceed` on a binding and its template.
pub fn schedule_binding_succeed<B: Binding>(clusters: &[TargetCluster]) -> String {
    let places: Vec<_> = clusters
        .iter()
        .map(|target| format!("{}:{}", target.name, target.replicas.unwrap_or_default()))
        .collect();
    let colon = if B::IS_NAMESPACED { ":" } else { "" };
    format!(
        "Binding has been scheduled successfully. Result{colon} {{{}}}",
        places.join(", ")
    )
}

/// `SyncWorkSucceed` on a binding and its template.
pub fn sync_work_succeed<B: Binding>(binding: &B) -> String {
    format!(
        "Sync work of {}({}) successful.",
        <B as Binding>::KIND,
        binding.key()
    )
}

/// `InvalidConflictResolution` on a template.
pub fn conflict_resolution_ignored(value: &str) -> String {
    format!(
        "annotation {} is {value:?} and ignored; use {} or {}",
        keys::CONFLICT_RESOLUTION,
        keys::CONFLICT_OVERWRITE,
        keys::CONFLICT_ABORT
    )
}

/// `ApplyOverridePolicySucceed` on a template.
pub fn apply_override_policy_succeed(policy: &overrides::PolicyRef, cluster: &str) -> String {
    format!(
        "{} for cluster({cluster}) succeed.",
        apply_override_policy(policy)
    )
}

/// `ApplyOverridePolicyFailed` on a template. The cause follows the text that tools know.
pub fn apply_override_policy_failed(
    policy: &overrides::PolicyRef,
    cluster: &str,
    error: &str,
) -> String {
    format!(
        "{} for cluster({cluster}) failed. {error}",
        apply_override_policy(policy)
    )
}

fn apply_override_policy(policy: &overrides::PolicyRef) -> String {
    let class = if policy.is_cluster() {
        "cluster override policy"
    } else {
        "override policy"
    };
    format!("Apply {class}({policy})")
}

/// `SyncSucceed` on a Work.
pub fn sync_work_to_cluster_succeed(work: &Key, cluster: &str) -> String {
    format!("Sync work({work}) to cluster({cluster}) successful.")
}

/// `SyncFailed` on a Work.
pub fn sync_work_to_cluster_failed(work: &Key, cluster: &str, error: &str) -> String {
    format!("Failed to sync work({work}) to cluster({cluster}), err: {error}")
}

/// `SyncSucceed` on a template.
pub fn sync_template_succeed(of: &Key, cluster: &str) -> String {
    format!(
        "Successfully applied resource({}) to cluster {cluster}",
        template(of)
    )
}

/// `SyncFailed` on a template.
pub fn sync_template_failed(of: &Key, cluster: &str, error: &str) -> String {
    format!("Failed to create or update resource({of}) in member cluster({cluster}): {error}")
}

/// `ReflectStatusSucceed` on a Work.
pub fn reflect_status_succeed(kind: &str, of: &Key) -> String {
    format!(
        "Reflect status for object({kind}/{}) succeed.",
        template(of)
    )
}

/// `ReflectStatusFailed` on a Work.
pub fn reflect_status_failed(kind: &str, of: &Key, error: &str) -> String {
    format!(
        "Reflect status for object({kind}/{}) failed, err: {error}",
        template(of)
    )
}

/// `InterpretHealthSucceed` on a Work; nothing is said about kinds without a health rule.
pub fn interpret_health_succeed(kind: &str, of: &Key, health: ResourceHealth) -> String {
    let health = if health == ResourceHealth::Healthy {
        "healthy"
    } else {
        "unhealthy"
    };
    format!(
        "Interpret health of object({kind}/{}) as {health}.",
        template(of)
    )
}

/// `InterpretHealthFailed` on a Work.
pub fn interpret_health_failed(kind: &str, of: &Key, error: &str) -> String {
    format!(
        "Interpret health of object({kind}/{}) failed, err: {error}",
        template(of)
    )
}

/// `AggregateStatusSucceed` on a binding.
pub fn aggregate_status_succeed<B: Binding>(binding: &B) -> String {
    format!(
        "Update {}({}) with AggregatedStatus successfully.",
        <B as Binding>::KIND,
        binding.key()
    )
}

/// `AggregateStatusSucceed` on a template.
pub const AGGREGATE_TEMPLATE_STATUS_SUCCEED: &str =
    "Update Resource with AggregatedStatus successfully.";

/// `GetDependenciesSucceed` on a template.
pub fn get_dependencies_succeed(dependencies: &[DependentObjectReference]) -> String {
    let shown: Vec<_> = dependencies
        .iter()
        .map(|it| {
            let part = |text: &Option<String>| text.clone().unwrap_or_default();
            let selector = it
                .label_selector
                .as_ref()
                .map_or("nil".to_owned(), |selector| {
                    serde_json::to_value(selector)
                        .as_ref()
                        .map_or(String::new(), Value::to_string)
                });
            format!(
                "{{APIVersion:{} Kind:{} Namespace:{} Name:{} LabelSelector:{selector}}}",
                it.api_version,
                it.kind,
                part(&it.namespace),
                part(&it.name)
            )
        })
        .collect();
    format!("Get dependencies([{}]) succeed.", shown.join(" "))
}

/// `SyncScheduleResultToDependenciesSucceed` on a `ResourceBinding`.
pub const SYNC_SCHEDULE_RESULT_TO_DEPENDENCIES_SUCCEED: &str =
    "Sync schedule results to dependencies succeed.";

/// `EvictWorkloadFromClusterSucceed` on a binding and its template, when the old cluster is let go.
pub fn evict_workload_succeed(cluster: &str) -> String {
    format!("Evict from cluster {cluster} succeed.")
}

/// `EvictWorkloadFromClusterFailed` on a binding and its template.
pub fn evict_workload_failed(cluster: &str, error: &str) -> String {
    format!("Evict from cluster {cluster} failed: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::work::{ClusterResourceBinding, ResourceBinding};

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table, read by line")]
    fn texts_are_the_known_ones() {
        let policy = PolicyRef::namespaced("demo", "pol");
        let cluster_policy = PolicyRef::cluster("everywhere");
        let key = Key::new("demo", "web");
        let namespace = Key::cluster_scoped("demo");
        let targets = [
            TargetCluster {
                name: "member2".into(),
                replicas: Some(2),
            },
            TargetCluster {
                name: "member3".into(),
                replicas: None,
            },
        ];
        let op = overrides::PolicyRef {
            namespace: Some("demo".into()),
            name: "op".into(),
        };
        let cop = overrides::PolicyRef {
            namespace: None,
            name: "cop".into(),
        };
        let reference = DependentObjectReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some("demo".into()),
            name: Some("common".into()),
            ..DependentObjectReference::default()
        };
        for (text, expected) in [
            (
                apply_policy_succeed(&policy),
                "Apply policy(demo/pol) succeed",
            ),
            (
                apply_policy_succeed(&cluster_policy),
                "Apply cluster policy(everywhere) succeed",
            ),
            (
                apply_policy_failed(&policy, "x"),
                "Apply policy(demo/pol) failed: x",
            ),
            (
                preempt_policy_succeed(&policy, &cluster_policy),
                "Propagation policy(demo/pol) preempted cluster propagation policy(everywhere) successfully",
            ),
            (
                preempt_policy_succeed(&cluster_policy, &cluster_policy),
                "Cluster propagation policy(everywhere) preempted cluster propagation policy(everywhere) successfully",
            ),
            (
                schedule_binding_succeed::<ResourceBinding>(&targets),
                "Binding has been scheduled successfully. Result: {member2:2, member3:0}",
            ),
            (
                schedule_binding_succeed::<ClusterResourceBinding>(&targets),
                "Binding has been scheduled successfully. Result {member2:2, member3:0}",
            ),
            (
                apply_override_policy_succeed(&op, "m1"),
                "Apply override policy(demo/op) for cluster(m1) succeed.",
            ),
            (
                apply_override_policy_succeed(&cop, "m1"),
                "Apply cluster override policy(cop) for cluster(m1) succeed.",
            ),
            (
                sync_template_succeed(&key, "m1"),
                "Successfully applied resource(demo/web) to cluster m1",
            ),
            (
                sync_template_succeed(&namespace, "m1"),
                "Successfully applied resource(/demo) to cluster m1",
            ),
            (
                sync_template_failed(&namespace, "m1", "x"),
                "Failed to create or update resource(demo) in member cluster(m1): x",
            ),
            (
                sync_work_to_cluster_failed(&Key::new("karmada-es-m1", "web-1"), "m1", "x"),
                "Failed to sync work(karmada-es-m1/web-1) to cluster(m1), err: x",
            ),
            (
                reflect_status_succeed("Pod", &key),
                "Reflect status for object(Pod/demo/web) succeed.",
            ),
            (
                interpret_health_succeed("Pod", &key, ResourceHealth::Unhealthy),
                "Interpret health of object(Pod/demo/web) as unhealthy.",
            ),
            (
                get_dependencies_succeed(&[reference]),
                "Get dependencies([{APIVersion:v1 Kind:ConfigMap Namespace:demo Name:common LabelSelector:nil}]) succeed.",
            ),
            (
                evict_workload_succeed("m1"),
                "Evict from cluster m1 succeed.",
            ),
        ] {
            assert_eq!(text, expected);
        }
        let mut binding = ResourceBinding::default();
        binding.metadata.namespace = Some("demo".into());
        binding.metadata.name = Some("web-deployment".into());
        assert_eq!(
            sync_work_succeed(&binding),
            "Sync work of ResourceBinding(demo/web-deployment) successful."
        );
        assert_eq!(
            aggregate_status_succeed(&binding),
            "Update ResourceBinding(demo/web-deployment) with AggregatedStatus successfully."
        );
    }
}

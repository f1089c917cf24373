//! Helpers for autoscaled workloads: who owns `spec.replicas`, and how the members' sum comes back into the template.

use crds::policy::ReplicaSchedulingType;
use crds::work::ResourceBinding;
use crds::{keys, object};
use serde_json::{Value, json};

use crate::matching::{ClaimState, TemplateKey, read_claim};

/// Annotation on an object whose label [`keys::RETAIN_REPLICAS`] an HPA brought: it goes when no claimed HPA has the object as its
/// target any more, also if that happened while nobody looked.
pub const MARKED: &str = "navarch.dev/scale-target";

/// Whether the label of the object came from an HPA.
pub fn is_marked(template: &Value) -> bool {
    object::annotation(template, MARKED).is_some()
}

/// The scale target of an HPA that a policy has claimed; `None` for an unclaimed or terminating one, which marks nothing.
pub fn marked_target(hpa: &Value) -> Option<TemplateKey> {
    let is_claimed = hpa
        .get("metadata")
        .is_some_and(|metadata| read_claim(metadata) != ClaimState::None);
    if !is_claimed || object::is_deleting(hpa) {
        return None;
    }
    let target = hpa.pointer("/spec/scaleTargetRef")?;
    let text = |field: &str| {
        target
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    Some(TemplateKey {
        api_version: text("apiVersion")?.to_owned(),
        kind: text("kind")?.to_owned(),
        namespace: object::namespace(hpa).unwrap_or_default().to_owned(),
        name: text("name")?.to_owned(),
    })
}

/// The merge patch for an object that is, or is not, the scale target of a claimed HPA; `None` when its label is right.
///
/// `is_target` is whether any claimed HPA has it as its target: the last one to leave takes the label along.
pub fn mark(template: &Value, is_target: bool) -> Option<Value> {
    let label = object::label(template, keys::RETAIN_REPLICAS);
    let wanted = if is_target {
        json!(keys::TRUE)
    } else {
        Value::Null
    };
    let is_right = if is_target {
        label == Some(keys::TRUE)
    } else {
        label.is_none()
    };
    let is_right = is_right && (is_target || !is_marked(template));
    (!is_right).then(|| {
        json!({"metadata": {
            "labels": {(keys::RETAIN_REPLICAS): wanted},
            "annotations": {MARKED: wanted},
        }})
    })
}

/// Whether an update of a Deployment is a reason to look at its replicas.
pub fn is_scaled(old: &Value, new: &Value) -> bool {
    let retains =
        |deployment: &Value| object::label(deployment, keys::RETAIN_REPLICAS) == Some(keys::TRUE);
    let replicas = |deployment: &Value| {
        (
            replicas(deployment, "/spec/replicas"),
            replicas(deployment, "/status/replicas"),
        )
    };
    retains(new) && (!retains(old) || replicas(old) != replicas(new))
}

/// What to do with the replicas of a Deployment whose members scale it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Nothing.
    Stop,
    /// The numbers do not fit together yet; they do once the Deployment, the binding or its status changes.
    Wait,
    /// Set `spec.replicas` to this.
    Set(i64),
}

/// Decides whether the sum of the members' replicas goes into the template.
pub fn sync(deployment: &Value, binding: Option<&ResourceBinding>) -> Sync {
    let Some(binding) = binding else {
        return Sync::Stop;
    };
    let spec = &binding.spec;
    let is_divided = spec.placement.as_ref().is_some_and(|placement| {
        placement.replica_scheduling_type() == ReplicaSchedulingType::Divided
    });
    let (wanted, found) = (
        replicas(deployment, "/spec/replicas"),
        replicas(deployment, "/status/replicas"),
    );
    if !is_divided || wanted == found {
        return Sync::Stop;
    }
    let status = binding.status.clone().unwrap_or_default();
    let reported: Option<Vec<i64>> = status
        .aggregated_status
        .iter()
        .map(|item| {
            item.status
                .as_ref()?
                .get("replicas")?
                .as_i64()
                .filter(|replicas| *replicas > 0)
        })
        .collect();
    let is_settled = wanted == i64::from(spec.replicas.unwrap_or_default())
        && binding.metadata.generation == status.scheduler_observed_generation
        && status.aggregated_status.len() == spec.clusters.len()
        && reported.is_some_and(|reported| {
            reported
                .iter()
                .fold(0, |sum: i64, it| sum.saturating_add(*it))
                == found
        });
    if is_settled {
        Sync::Set(found)
    } else {
        Sync::Wait
    }
}

fn replicas(deployment: &Value, pointer: &str) -> i64 {
    deployment
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::policy::{Placement, ReplicaSchedulingStrategy};
    use crds::work::{AggregatedStatusItem, ResourceBindingStatus, TargetCluster};

    #[test]
    fn claimed_autoscalers_mark_their_target() {
        let mut hpa = json!({
            "metadata": {"namespace": "demo", "name": "h"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        });
        assert_eq!(marked_target(&hpa), None);
        hpa["metadata"]["labels"] = json!({(keys::PROPAGATION_POLICY_PERMANENT_ID): "id"});
        assert_eq!(
            marked_target(&hpa).map(|target| target.name),
            Some("web".to_owned())
        );

        let label =
            |value: Value| json!({"metadata": {"labels": {(keys::RETAIN_REPLICAS): value}}});
        let marked = |value: Value| {
            json!({"metadata": {
                "labels": {(keys::RETAIN_REPLICAS): value}, "annotations": {MARKED: value},
            }})
        };
        let plain = json!({"metadata": {"labels": {"app": "web"}}});
        assert_eq!(mark(&plain, true), Some(marked(json!("true"))));
        assert_eq!(mark(&plain, false), None);
        assert_eq!(mark(&label(json!("true")), true), None);
        assert_eq!(
            mark(&label(json!("true")), false),
            Some(marked(Value::Null))
        );
        // Somebody took the label off already.
        let remains = json!({"metadata": {"annotations": {MARKED: "true"}}});
        assert_eq!(mark(&remains, false), Some(marked(Value::Null)));
        assert!(is_marked(&remains) && !is_marked(&plain));
    }

    #[test]
    fn replicas_come_back_when_all_numbers_fit() {
        let deployment = |wanted: i64, found: i64| {
            json!({
                "metadata": {"labels": {(keys::RETAIN_REPLICAS): "true"}},
                "spec": {"replicas": wanted}, "status": {"replicas": found},
            })
        };
        let mut binding = ResourceBinding::default();
        binding.metadata.generation = Some(3);
        binding.spec.replicas = Some(4);
        binding.spec.clusters = vec![
            TargetCluster {
                name: "m1".into(),
                replicas: Some(2),
            },
            TargetCluster {
                name: "m2".into(),
                replicas: Some(2),
            },
        ];
        let item = |cluster: &str, replicas: i64| AggregatedStatusItem {
            cluster_name: cluster.into(),
            status: Some(json!({"replicas": replicas})),
            ..AggregatedStatusItem::default()
        };
        binding.status = Some(ResourceBindingStatus {
            scheduler_observed_generation: Some(3),
            aggregated_status: vec![item("m1", 5), item("m2", 1)],
            ..ResourceBindingStatus::default()
        });
        assert_eq!(sync(&deployment(4, 6), None), Sync::Stop);
        // An attached binding has no placement.
        assert_eq!(sync(&deployment(4, 6), Some(&binding)), Sync::Stop);
        binding.spec.placement = Some(Placement {
            replica_scheduling: Some(ReplicaSchedulingStrategy::default()),
            ..Placement::default()
        });
        assert_eq!(sync(&deployment(4, 6), Some(&binding)), Sync::Set(6));
        assert_eq!(sync(&deployment(4, 4), Some(&binding)), Sync::Stop);
        assert_eq!(sync(&deployment(4, 7), Some(&binding)), Sync::Wait);
        assert_eq!(sync(&deployment(5, 6), Some(&binding)), Sync::Wait);
        binding.metadata.generation = Some(4);
        assert_eq!(sync(&deployment(4, 6), Some(&binding)), Sync::Wait);

        assert!(is_scaled(&json!({}), &deployment(1, 1)));
        assert!(is_scaled(&deployment(1, 1), &deployment(1, 2)));
        assert!(!is_scaled(&deployment(1, 1), &deployment(1, 1)));
        assert!(!is_scaled(&deployment(1, 1), &json!({})));
    }
}

//! Which replicas are taken out of a binding because their Pods find no node.
//!
//! The shell asks the accurate estimators of the clusters in [`suspects`], and [`deschedule`] lowers the target list; the scheduler
//! then places the missing replicas elsewhere.

use crds::keys::APPLIED_PLACEMENT;
use crds::policy::{Placement, ReplicaDivisionPreference, ReplicaSchedulingType};
use crds::work::{ResourceBinding, TargetCluster};

/// A target cluster that has fewer ready replicas than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect<'a> {
    pub cluster: &'a str,
    /// The replicas that the cluster should have.
    pub replicas: i32,
    /// The replicas that are ready; `None` if that is not known.
    pub ready: Option<i32>,
}

/// A lowered target list.
#[derive(Clone, Debug, PartialEq)]
pub struct Descheduled {
    /// All targets; those that were lowered to 0 replicas stay in the list.
    pub clusters: Vec<TargetCluster>,
    /// The replicas that were taken out.
    pub total: i64,
    /// The text of the event.
    pub message: String,
}

/// Kinds whose Pods estimators find.
const KINDS: &[(&str, &str)] = &[
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
];

/// Whether descheduling is for this binding at all: a workload that was divided by room, and whose scheduling is not suspended.
pub fn is_candidate(binding: &ResourceBinding) -> bool {
    let resource = &binding.spec.resource;
    let kind = (resource.api_version.as_str(), resource.kind.as_str());
    if !KINDS.contains(&kind)
        || binding.metadata.deletion_timestamp.is_some()
        || binding.spec.is_scheduling_suspended()
    {
        return false;
    }
    let annotations = binding.metadata.annotations.as_ref();
    let applied = annotations.and_then(|annotations| annotations.get(APPLIED_PLACEMENT));
    let placement = applied.and_then(|text| serde_json::from_str::<Placement>(text).ok());
    placement.is_some_and(|placement| is_divided_by_room(&placement))
}

fn is_divided_by_room(placement: &Placement) -> bool {
    let Some(strategy) = &placement.replica_scheduling else {
        return false;
    };
    let has_dynamic_weight = || {
        let preference = strategy.weight_preference.as_ref();
        preference.is_some_and(|preference| preference.dynamic_weight.is_some())
    };
    placement.replica_scheduling_type() == ReplicaSchedulingType::Divided
        && match strategy.replica_division_preference {
            Some(ReplicaDivisionPreference::Aggregated) => true,
            // Absent means the same to the scheduler.
            Some(ReplicaDivisionPreference::Weighted) | None => has_dynamic_weight(),
        }
}

/// The targets that have fewer ready replicas than they should.
pub fn suspects(binding: &ResourceBinding) -> Vec<Suspect<'_>> {
    let items = binding
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.aggregated_status);
    let ready = |cluster: &str| {
        let item = items.iter().find(|item| item.cluster_name == cluster)?;
        let ready = item.status.as_ref()?.get("readyReplicas")?.as_i64()?;
        i32::try_from(ready).ok()
    };
    binding
        .spec
        .clusters
        .iter()
        .map(|target| Suspect {
            cluster: &target.name,
            replicas: target.replicas.unwrap_or_default(),
            ready: ready(&target.name),
        })
        .filter(|suspect| suspect.ready.unwrap_or(-1) < suspect.replicas)
        .collect()
}

/// Takes out the replicas that an estimator calls unschedulable; `None` if there are none.
///
/// A cluster keeps at least its ready replicas. An answer of `None`, a negative one, or one above the cluster's replicas counts for
/// nothing, whatever other clusters answer.
pub fn deschedule(
    binding: &ResourceBinding,
    unschedulable: impl Fn(&str) -> Option<i32>,
) -> Option<Descheduled> {
    let mut clusters = binding.spec.clusters.clone();
    let mut total = 0_i64;
    let mut parts = Vec::new();
    for suspect in suspects(binding) {
        let Suspect {
            cluster, replicas, ..
        } = suspect;
        let stuck = unschedulable(cluster).unwrap_or_default();
        if stuck <= 0 || stuck > replicas {
            continue;
        }
        let ready = suspect.ready.unwrap_or(-1);
        let kept = (replicas - stuck).max(ready);
        let removed = i64::from(replicas - kept);
        if removed == 0 {
            continue;
        }
        for target in clusters.iter_mut().filter(|target| target.name == cluster) {
            target.replicas = Some(kept);
        }
        total += removed;
        parts.push(format!("{removed} replica(s) in cluster({cluster})"));
    }
    (total > 0).then(|| Descheduled {
        clusters,
        total,
        message: format!(
            "Binding has been descheduled, {}, {total} total descheduled replica(s)",
            parts.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::work::{AggregatedStatusItem, ResourceBindingStatus};
    use serde_json::json;

    fn binding(replicas: i32, ready: Option<i32>) -> ResourceBinding {
        let mut binding = ResourceBinding::default();
        binding.spec.clusters = vec![TargetCluster {
            name: "m1".to_owned(),
            replicas: Some(replicas),
        }];
        binding.status = Some(ResourceBindingStatus {
            aggregated_status: vec![AggregatedStatusItem {
                cluster_name: "m1".to_owned(),
                status: ready.map(|ready| json!({ "readyReplicas": ready })),
                ..AggregatedStatusItem::default()
            }],
            ..ResourceBindingStatus::default()
        });
        binding
    }

    #[track_caller]
    fn check(replicas: i32, ready: Option<i32>, stuck: i32, expected: Option<i32>) {
        let result = deschedule(&binding(replicas, ready), |_| Some(stuck));
        assert_eq!(result.and_then(|it| it.clusters[0].replicas), expected);
    }

    #[test]
    fn worked_examples() {
        check(10, Some(6), 5, Some(6));
        check(5, None, 3, Some(2));
        check(4, Some(0), 4, Some(0));
        check(3, Some(1), 5, None);
        assert!(suspects(&binding(5, Some(5))).is_empty());
    }

    #[test]
    fn unknown_answers_take_nothing_out() {
        check(5, None, -1, None);
        assert_eq!(deschedule(&binding(5, None), |_| None), None);
    }

    #[test]
    fn the_event_adds_up() {
        let result = deschedule(&binding(10, Some(6)), |_| Some(5)).unwrap();
        assert_eq!(
            result.message,
            "Binding has been descheduled, 4 replica(s) in cluster(m1), 4 total descheduled replica(s)"
        );
    }

    #[test]
    fn only_workloads_that_were_divided_by_room_are_candidates() {
        let of_kind = |api_version: &str, kind: &str, placement: &str| {
            let mut binding = binding(1, None);
            api_version.clone_into(&mut binding.spec.resource.api_version);
            kind.clone_into(&mut binding.spec.resource.kind);
            let annotation = (APPLIED_PLACEMENT.to_owned(), placement.to_owned());
            binding.metadata.annotations = Some([annotation].into());
            is_candidate(&binding)
        };
        let candidate = |placement: &str| of_kind("apps/v1", "Deployment", placement);
        let strategy = |text: &str| {
            format!(r#"{{"replicaScheduling":{{"replicaSchedulingType":"Divided",{text}}}}}"#)
        };
        assert!(candidate(&strategy(
            r#""replicaDivisionPreference":"Aggregated""#
        )));
        let dynamic = r#""replicaDivisionPreference":"Weighted","weightPreference":{"dynamicWeight":"AvailableReplicas"}"#;
        assert!(candidate(&strategy(dynamic)));
        assert!(!candidate(&strategy(
            r#""replicaDivisionPreference":"Weighted""#
        )));
        assert!(!candidate("{}") && !candidate("{"));
        // The scheduler takes an absent preference for weights.
        let absent = strategy(r#""weightPreference":{"dynamicWeight":"AvailableReplicas"}"#);
        assert!(candidate(&absent));
        assert!(of_kind("apps/v1", "StatefulSet", &absent) && of_kind("batch/v1", "Job", &absent));
        assert!(!of_kind("v1", "ConfigMap", &absent) && !of_kind("apps/v1", "Job", &absent));
    }
}

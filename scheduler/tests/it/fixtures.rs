//! Clusters, bindings and decisions in few words.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::cluster::{ApiEnablements, ApiResource, Cluster, ClusterSpec, ResourceSummary};
use crds::conditions::{self, binding as reasons};
use crds::keys::APPLIED_PLACEMENT;
use crds::policy::{
    ClusterAffinity, ClusterPreferences, DynamicWeight, FieldSelector, Placement,
    ReplicaDivisionPreference, ReplicaSchedulingStrategy, ReplicaSchedulingType, SpreadConstraint,
    SpreadField, StaticClusterWeight,
};
use crds::work::{
    ReplicaRequirements, ResourceBinding, ResourceBindingSpec, ResourceBindingStatus, TargetCluster,
};
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, Time,
};
use scheduler::trace::{Item, NoTrace, Recorder};
use scheduler::{Compat, Decision, Inputs, Options, Outcome, Snapshot, decide};

pub(crate) const UID_0: &str = "00000000-0000-0000-0000-000000000001";
pub(crate) const UID_1: &str = "00000000-0000-0000-0000-000000000002";

pub(crate) fn time(text: &str) -> Time {
    Time(text.parse().unwrap())
}

pub(crate) fn now() -> k8s_openapi::jiff::Timestamp {
    time("2026-01-01T12:00:00Z").0
}

/// A cluster that serves the kinds of the bindings below and has room for a number of pods.
pub(crate) fn cluster(name: &str, pods: i64) -> Cluster {
    let mut cluster = Cluster::new(name, ClusterSpec::default());
    let api = |group_version: &str, kind: &str| ApiEnablements {
        group_version: group_version.to_owned(),
        resources: vec![ApiResource {
            name: format!("{}s", kind.to_lowercase()),
            kind: kind.to_owned(),
        }],
    };
    let status = cluster.status.get_or_insert_default();
    status.api_enablements = vec![api("apps/v1", "Deployment"), api("v1", "ConfigMap")];
    let summary = status
        .resource_summary
        .get_or_insert_with(ResourceSummary::default);
    summary.allocatable = [("pods".to_owned(), Quantity(pods.to_string()))].into();
    cluster
}

/// Key, operator and values of each requirement.
pub(crate) type Requirements = Vec<(String, String, Vec<String>)>;

/// An affinity with everything that it can have.
pub(crate) fn selector(
    labels: Option<(BTreeMap<String, String>, Requirements)>,
    fields: Option<Requirements>,
    cluster_names: Vec<String>,
    exclude: Vec<String>,
) -> ClusterAffinity {
    ClusterAffinity {
        label_selector: labels.map(|(equal, expressions)| LabelSelector {
            match_labels: Some(equal),
            match_expressions: Some(
                expressions
                    .into_iter()
                    .map(|(key, operator, values)| LabelSelectorRequirement {
                        key,
                        operator,
                        values: Some(values),
                    })
                    .collect(),
            ),
        }),
        field_selector: fields.map(|expressions| FieldSelector {
            match_expressions: expressions
                .into_iter()
                .map(|(key, operator, values)| NodeSelectorRequirement {
                    key,
                    operator,
                    values: Some(values),
                })
                .collect(),
        }),
        cluster_names,
        exclude,
    }
}

pub(crate) fn with_region(mut cluster: Cluster, region: &str) -> Cluster {
    cluster.spec.region = Some(region.to_owned());
    cluster
}

pub(crate) fn with_label(mut cluster: Cluster, key: &str, value: &str) -> Cluster {
    let labels = cluster.metadata.labels.get_or_insert_default();
    labels.insert(key.to_owned(), value.to_owned());
    cluster
}

pub(crate) fn with_taint(mut cluster: Cluster, key: &str, value: &str, effect: &str) -> Cluster {
    cluster.spec.taints.push(Taint {
        key: key.to_owned(),
        value: Some(value.to_owned()),
        effect: effect.to_owned(),
        time_added: None,
    });
    cluster
}

pub(crate) fn terminating(mut cluster: Cluster) -> Cluster {
    cluster.metadata.deletion_timestamp = Some(time("2026-01-01T00:00:00Z"));
    cluster
}

pub(crate) fn clusters(rooms: &[(&str, i64)]) -> Vec<Cluster> {
    rooms
        .iter()
        .map(|&(name, pods)| cluster(name, pods))
        .collect()
}

pub(crate) fn snapshot(clusters: &[Cluster]) -> Snapshot {
    let shared: Vec<Arc<Cluster>> = clusters.iter().cloned().map(Arc::new).collect();
    Snapshot::new(&shared)
}

pub(crate) fn named(names: &[&str]) -> ClusterAffinity {
    ClusterAffinity {
        cluster_names: names.iter().map(|&name| name.to_owned()).collect(),
        ..ClusterAffinity::default()
    }
}

fn divided(
    preference: ReplicaDivisionPreference,
    weights: Option<ClusterPreferences>,
) -> Placement {
    Placement {
        replica_scheduling: Some(ReplicaSchedulingStrategy {
            replica_scheduling_type: Some(ReplicaSchedulingType::Divided),
            replica_division_preference: Some(preference),
            weight_preference: weights,
        }),
        ..Placement::default()
    }
}

pub(crate) fn duplicated() -> Placement {
    Placement {
        replica_scheduling: Some(ReplicaSchedulingStrategy {
            replica_scheduling_type: Some(ReplicaSchedulingType::Duplicated),
            ..ReplicaSchedulingStrategy::default()
        }),
        ..Placement::default()
    }
}

pub(crate) fn aggregated() -> Placement {
    divided(ReplicaDivisionPreference::Aggregated, None)
}

pub(crate) fn dynamic_weight() -> Placement {
    let weights = ClusterPreferences {
        dynamic_weight: Some(DynamicWeight::AvailableReplicas),
        ..ClusterPreferences::default()
    };
    divided(ReplicaDivisionPreference::Weighted, Some(weights))
}

pub(crate) fn static_weights(weights: &[(&str, i64)]) -> Placement {
    let rules = weights.iter().map(|&(name, weight)| StaticClusterWeight {
        target_cluster: named(&[name]),
        weight,
    });
    let weights = ClusterPreferences {
        static_weight_list: rules.collect(),
        ..ClusterPreferences::default()
    };
    divided(ReplicaDivisionPreference::Weighted, Some(weights))
}

pub(crate) fn spread(field: SpreadField, min: i64, max: i64) -> SpreadConstraint {
    SpreadConstraint {
        spread_by_field: Some(field),
        min_groups: Some(min),
        max_groups: Some(max),
        ..SpreadConstraint::default()
    }
}

pub(crate) fn with_spread(mut placement: Placement, constraints: &[SpreadConstraint]) -> Placement {
    placement.spread_constraints = constraints.to_vec();
    placement
}

pub(crate) fn targets(of: &[(&str, i32)]) -> Vec<TargetCluster> {
    of.iter()
        .map(|&(name, replicas)| TargetCluster {
            name: name.to_owned(),
            replicas: (replicas != 0).then_some(replicas),
        })
        .collect()
}

/// A Deployment's binding that was never scheduled with this placement.
pub(crate) fn binding(replicas: i32, placement: Placement) -> ResourceBinding {
    let mut spec = ResourceBindingSpec {
        replicas: Some(replicas),
        replica_requirements: Some(ReplicaRequirements::default()),
        placement: Some(placement),
        ..ResourceBindingSpec::default()
    };
    "apps/v1".clone_into(&mut spec.resource.api_version);
    "Deployment".clone_into(&mut spec.resource.kind);
    "web".clone_into(&mut spec.resource.name);
    spec.resource.namespace = Some("shop".to_owned());
    let mut binding = ResourceBinding::new("web-deployment", spec);
    binding.metadata.namespace = Some("shop".to_owned());
    binding.metadata.generation = Some(2);
    binding
}

/// A ConfigMap's binding.
pub(crate) fn config(placement: Placement) -> ResourceBinding {
    let mut binding = binding(0, placement);
    binding.spec.replicas = None;
    binding.spec.replica_requirements = None;
    "v1".clone_into(&mut binding.spec.resource.api_version);
    "ConfigMap".clone_into(&mut binding.spec.resource.kind);
    binding
}

pub(crate) fn with_targets(mut binding: ResourceBinding, of: &[(&str, i32)]) -> ResourceBinding {
    binding.spec.clusters = targets(of);
    binding
}

pub(crate) fn with_uid(mut binding: ResourceBinding, uid: &str) -> ResourceBinding {
    binding.spec.resource.uid = Some(uid.to_owned());
    binding
}

/// Asks for rescheduling after the last success.
pub(crate) fn fresh(mut binding: ResourceBinding) -> ResourceBinding {
    binding.spec.reschedule_triggered_at = Some(time("2026-01-01T10:00:01Z"));
    status(&mut binding).last_scheduled_time = Some(time("2026-01-01T10:00:00Z"));
    binding
}

/// Notes the placement as applied and the generation as observed, and says that the binding is scheduled.
pub(crate) fn settled(mut binding: ResourceBinding) -> ResourceBinding {
    let text = serde_json::to_string(&binding.spec.placement).unwrap();
    annotate(&mut binding, APPLIED_PLACEMENT, &text);
    let generation = binding.metadata.generation;
    let status = status(&mut binding);
    status.scheduler_observed_generation = generation;
    status.last_scheduled_time = Some(time("2026-01-01T10:00:00Z"));
    let scheduled = conditions::condition("Scheduled", "True", "Success", reasons::SUCCESS_MESSAGE);
    conditions::set_condition(
        &mut status.conditions,
        scheduled,
        &time("2026-01-01T10:00:00Z"),
    );
    binding
}

pub(crate) fn status(binding: &mut ResourceBinding) -> &mut ResourceBindingStatus {
    binding.status.get_or_insert_default()
}

pub(crate) fn annotate(binding: &mut ResourceBinding, key: &str, value: &str) {
    let annotations = binding.metadata.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
}

pub(crate) fn options(compat: Compat) -> Options {
    Options {
        compat,
        ..Options::default()
    }
}

pub(crate) fn decide_with(
    binding: &ResourceBinding,
    clusters: &[Cluster],
    options: &Options,
) -> Decision {
    let snapshot = snapshot(clusters);
    decide(
        binding,
        &Inputs::new(&snapshot, options, now()),
        &mut NoTrace,
    )
}

#[track_caller]
pub(crate) fn outcome(
    binding: &ResourceBinding,
    clusters: &[Cluster],
    options: &Options,
) -> Outcome {
    match decide_with(binding, clusters, options) {
        Decision::Scheduled(outcome) => outcome,
        other => panic!("expected an outcome, got {other:?}"),
    }
}

pub(crate) fn recorded(
    binding: &ResourceBinding,
    clusters: &[Cluster],
    options: &Options,
) -> (Decision, Vec<Item>) {
    let snapshot = snapshot(clusters);
    let mut recorder = Recorder::default();
    let decision = decide(
        binding,
        &Inputs::new(&snapshot, options, now()),
        &mut recorder,
    );
    (decision, recorder.items)
}

/// A result as `m1 3, m2 6`, an error as `Reason: message`.
pub(crate) fn told(outcome: &Outcome) -> String {
    match &outcome.result {
        Ok(placed) => {
            let entries: Vec<String> = placed
                .clusters
                .iter()
                .map(|target| match target.replicas {
                    Some(replicas) => format!("{} {replicas}", target.name),
                    None => target.name.clone(),
                })
                .collect();
            if entries.is_empty() {
                "-".to_owned()
            } else {
                entries.join(", ")
            }
        }
        Err(failure) => format!("{}: {}", failure.reason, failure.message),
    }
}

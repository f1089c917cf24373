//! Whether the scheduler has to act on a binding.

use std::cmp::Ordering;

use crds::keys::APPLIED_PLACEMENT;
use crds::policy::{Placement, ReplicaSchedulingType};
use crds::work::{Binding, Component, ResourceBindingSpec, TargetCluster};
use k8s_openapi::jiff::Timestamp;

use super::{APPLIED_COMPONENTS, Inputs, repair};
use crate::options::{Compat, Options, Switch};
use crate::snapshot::{Cluster, Snapshot};

/// Why the scheduler acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The placement is not the one that the last result was based on.
    PlacementChanged,
    /// The targets do not have the replicas that the template asks for.
    ReplicasChanged,
    /// The components are not those that the last result was based on.
    ComponentsChanged,
    /// Somebody asked for rescheduling.
    Requested,
    /// The binding has no replicas to divide: it is placed anew on every occasion.
    NotDivided,
    /// A target cluster is being removed.
    TargetTerminating,
    /// The placement was tried, and what came of it was never said: the write of the status was lost.
    Unreported,
    /// The binding has no placement, which is an error.
    NoPlacement,
}

impl Trigger {
    /// A name for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PlacementChanged => "PlacementChanged",
            Self::ReplicasChanged => "ReplicasChanged",
            Self::ComponentsChanged => "ComponentsChanged",
            Self::Requested => "Requested",
            Self::NotDivided => "NotDivided",
            Self::TargetTerminating => "TargetTerminating",
            Self::Unreported => "Unreported",
            Self::NoPlacement => "NoPlacement",
        }
    }

    /// The value of the metric label `schedule_type`.
    pub const fn schedule_type(self) -> &'static str {
        match self {
            Self::ReplicasChanged | Self::ComponentsChanged => "ScaleSchedule",
            _ => "ReconcileSchedule",
        }
    }
}

pub(super) fn of<B: Binding>(
    binding: &B,
    placement: &Placement,
    inputs: &Inputs<'_>,
) -> Option<Trigger> {
    let spec = binding.spec();
    let compat = inputs.options.compat;
    if placement_changed(binding, placement, compat) {
        Some(Trigger::PlacementChanged)
    } else if replicas_changed(spec, placement, inputs.options) {
        Some(Trigger::ReplicasChanged)
    } else if components_changed(binding, inputs) {
        Some(Trigger::ComponentsChanged)
    } else if is_explicit(binding, compat) {
        Some(Trigger::Requested)
    } else if !spec.is_workload()
        || placement.replica_scheduling_type() == ReplicaSchedulingType::Duplicated
    {
        Some(Trigger::NotDivided)
    } else if has_terminating_target(spec, inputs.snapshot) {
        Some(Trigger::TargetTerminating)
    } else if !compat.keeps(Switch::LostStatus) && repair::is_unreported(binding) {
        Some(Trigger::Unreported)
    } else {
        None
    }
}

/// Whether the placement differs from the applied one in a way that matters.
fn placement_changed<B: Binding>(binding: &B, current: &Placement, compat: Compat) -> bool {
    let Some(text) = annotation(binding, APPLIED_PLACEMENT) else {
        return true;
    };
    let applied: Placement = match serde_json::from_str(text) {
        Ok(applied) => applied,
        // Nothing else would ever replace an annotation that cannot be read.
        Err(_) => return !compat.keeps(Switch::UnreadableAnnotation),
    };
    if applied == *current {
        return false;
    }
    if applied.cluster_affinity != current.cluster_affinity
        || applied.cluster_tolerations != current.cluster_tolerations
        || applied.spread_constraints != current.spread_constraints
        || applied.replica_scheduling != current.replica_scheduling
    {
        return true;
    }
    // Of ordered affinities only the term in use matters.
    let observed = observed_affinity(binding);
    if observed.is_empty() {
        return true;
    }
    match (
        applied.affinity_term(observed),
        current.affinity_term(observed),
    ) {
        (Some(applied), Some(current)) => applied != current,
        _ => true,
    }
}

fn replicas_changed(spec: &ResourceBindingSpec, placement: &Placement, options: &Options) -> bool {
    let wanted = i64::from(spec.replicas.unwrap_or_default());
    let of = |replicas: Option<i32>| i64::from(replicas.unwrap_or_default().max(0));
    let mut targets = spec.clusters.iter().map(|target| of(target.replicas));
    if placement.replica_scheduling.is_none() {
        return false;
    }
    let unplaced = !spec.components.is_empty() && spec.clusters.is_empty();
    if options.gates.multiple_pod_templates_scheduling && unplaced {
        return true;
    }
    let is_negative = |target: &TargetCluster| target.replicas.is_some_and(|it| it < 0);
    if !options.compat.keeps(Switch::UncheckedNumbers) && spec.clusters.iter().any(is_negative) {
        return true;
    }
    match placement.replica_scheduling_type() {
        ReplicaSchedulingType::Duplicated => targets.any(|replicas| replicas != wanted),
        ReplicaSchedulingType::Divided => targets.sum::<i64>() != wanted,
    }
}

/// Whether the components differ from those that the last result noted, if it did.
fn components_changed<B: Binding>(binding: &B, inputs: &Inputs<'_>) -> bool {
    let options = inputs.options;
    if options.compat.keeps(Switch::ComponentChanges)
        || !options.gates.multiple_pod_templates_scheduling
    {
        return false;
    }
    let components = &binding.spec().components;
    // What cannot be read counts as changed: nothing else would ever replace it.
    !components.is_empty()
        && annotation(binding, APPLIED_COMPONENTS)
            .is_some_and(|_| applied_components(binding).as_ref() != Some(components))
}

/// The components that the last result noted; `None` without a note, or if it cannot be read.
pub(super) fn applied_components<B: Binding>(binding: &B) -> Option<Vec<Component>> {
    serde_json::from_str(annotation(binding, APPLIED_COMPONENTS)?).ok()
}

/// Whether somebody asked for rescheduling after the last success.
pub(super) fn is_explicit<B: Binding>(binding: &B, compat: Compat) -> bool {
    let Some(status) = binding.status() else {
        return false;
    };
    let times = binding
        .spec()
        .reschedule_triggered_at
        .as_ref()
        .zip(status.last_scheduled_time.as_ref());
    let Some((triggered, scheduled)) = times else {
        return false;
    };
    match seconds(triggered.0).cmp(&seconds(scheduled.0)) {
        Ordering::Greater => true,
        Ordering::Less => false,
        // On the wire both have whole seconds; which came first shows in the generation alone.
        Ordering::Equal => {
            let observed = status.scheduler_observed_generation.unwrap_or_default();
            !compat.keeps(Switch::TriggerInSameSecond)
                && observed < binding.meta().generation.unwrap_or_default()
        }
    }
}

fn seconds(time: Timestamp) -> i64 {
    time.as_second()
}

fn has_terminating_target(spec: &ResourceBindingSpec, snapshot: &Snapshot) -> bool {
    spec.clusters.iter().any(|target| {
        snapshot
            .cluster(&target.name)
            .is_some_and(Cluster::is_deleting)
    })
}

/// The affinity term in use; empty if there is none.
pub(crate) fn observed_affinity<B: Binding>(binding: &B) -> &str {
    let status = binding.status();
    status
        .and_then(|status| status.scheduler_observing_affinity_name.as_deref())
        .unwrap_or_default()
}

/// A non-empty annotation.
pub(super) fn annotation<'a, B: Binding>(binding: &'a B, key: &str) -> Option<&'a str> {
    let annotations = binding.meta().annotations.as_ref()?;
    annotations
        .get(key)
        .map(String::as_str)
        .filter(|text| !text.is_empty())
}

//! Bindings that give no occasion to schedule, and what is still to be written about them.
//!
//! A result takes two writes: the spec with the applied placement, and the status. A process that ends between the two leaves a
//! binding that looks scheduled to the next one, and whose status says otherwise.

use crds::affinity::matches;
use crds::conditions::{self, binding as reasons, status};
use crds::keys::APPLIED_PLACEMENT;
use crds::policy::{ClusterAffinityTerm, Placement};
use crds::work::{Binding, TargetCluster};

use super::trigger::{annotation, observed_affinity};
use super::{Decision, Inputs};
use crate::options::Switch;
use crate::snapshot::Snapshot;

/// What the status has to say of the result that is in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// The affinity term in use, if the status names none.
    pub affinity_name: Option<String>,
}

/// What to do about a binding that has its result.
pub(super) fn idle<B: Binding>(
    binding: &B,
    placement: &Placement,
    inputs: &Inputs<'_>,
) -> Decision {
    if !inputs.options.compat.keeps(Switch::LostStatus)
        && let Some(repair) = lost(binding, placement, inputs.snapshot)
    {
        return Decision::Repair(repair);
    }
    let observed = binding
        .status()
        .and_then(|status| status.scheduler_observed_generation);
    if observed.unwrap_or_default() == binding.meta().generation.unwrap_or_default() {
        Decision::Nothing
    } else {
        Decision::Observe
    }
}

/// What the status lacks; `None` if it is complete, or the result is not one that holds.
fn lost<B: Binding>(binding: &B, placement: &Placement, snapshot: &Snapshot) -> Option<Repair> {
    let targets = &binding.spec().clusters;
    let exist = targets
        .iter()
        .all(|target| snapshot.cluster(&target.name).is_some());
    if targets.is_empty() || !exist {
        return None;
    }
    let terms = &placement.cluster_affinities;
    let observed = observed_affinity(binding);
    let is_named = terms.iter().any(|term| term.affinity_name == observed);
    let affinity_name = terms
        .iter()
        .find(|term| !is_named && holds_all(term, targets, snapshot))
        .map(|term| term.affinity_name.clone());
    (!is_reported(binding) || affinity_name.is_some()).then_some(Repair { affinity_name })
}

/// Whether all targets are in the groups of a term.
fn holds_all(term: &ClusterAffinityTerm, targets: &[TargetCluster], snapshot: &Snapshot) -> bool {
    targets.iter().all(|target| {
        snapshot.cluster(&target.name).is_some_and(|cluster| {
            let cluster = &**cluster.object();
            let mut overflow = term.overflow_affinities.iter();
            matches(&term.affinity, cluster) || overflow.any(|it| matches(&it.affinity, cluster))
        })
    })
}

fn is_reported(binding: &impl Binding) -> bool {
    binding.status().is_some_and(|it| {
        it.last_scheduled_time.is_some()
            && conditions::find(&it.conditions, reasons::SCHEDULED)
                .is_some_and(|it| it.status == status::TRUE)
    })
}

/// Whether a result without targets was written and never told of; why there are no targets is found out only by deciding again.
pub(super) fn is_unreported(binding: &impl Binding) -> bool {
    binding.spec().clusters.is_empty()
        && annotation(binding, APPLIED_PLACEMENT).is_some()
        && binding
            .status()
            .is_none_or(|it| conditions::find(&it.conditions, reasons::SCHEDULED).is_none())
}

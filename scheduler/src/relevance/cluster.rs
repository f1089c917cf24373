use std::collections::{BTreeMap, BTreeSet};

use crds::affinity::matches;
use crds::cluster::{ApiEnablement, Cluster, ClusterStatus, ResourceSummary};
use crds::policy::{ClusterAffinity, ClusterAffinityTerm, Placement, ReplicaSchedulingType};
use crds::work::Binding;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::is_unsatisfied;
use crate::decision::{observed_affinity, scheduler_name};
use crate::options::{Options, Switch};
use crate::quantity::Amount;

/// What happened to a cluster, as far as the scheduler is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterChange {
    /// Nothing that matters.
    Nothing,
    /// It is new.
    Added,
    /// It began to be removed.
    Terminating,
    /// Labels or spec changed.
    Spec,
    /// It became ready, serves more APIs or has more room.
    Gained,
}

impl ClusterChange {
    /// Compares a cluster with its state before; `None` stands for absent.
    pub fn between(before: Option<&Cluster>, after: &Cluster) -> Self {
        let Some(before) = before else {
            return Self::Added;
        };
        let (old, new) = (&before.metadata, &after.metadata);
        if old.deletion_timestamp.is_none() && new.deletion_timestamp.is_some() {
            Self::Terminating
        } else if old.labels.as_ref().filter(|it| !it.is_empty())
            != new.labels.as_ref().filter(|it| !it.is_empty())
            || old.generation != new.generation
        {
            Self::Spec
        } else if gained(before.status.as_ref(), after.status.as_ref()) {
            Self::Gained
        } else {
            Self::Nothing
        }
    }
}

/// Whether a cluster offers anything that it did not offer before.
fn gained(before: Option<&ClusterStatus>, after: Option<&ClusterStatus>) -> bool {
    let Some(after) = after else {
        return false;
    };
    let Some(before) = before else {
        return true;
    };
    let apis = |status: &ClusterStatus| -> BTreeSet<(String, String)> {
        let enablements = status.api_enablements.iter();
        enablements
            .flat_map(|it| {
                it.resources
                    .iter()
                    .map(|api| (it.group_version.clone(), api.kind.clone()))
            })
            .collect()
    };
    (after.is_ready() && !before.is_ready())
        || has_more_room(
            before.resource_summary.as_ref(),
            after.resource_summary.as_ref(),
        )
        || (before.api_enablements != after.api_enablements
            && !apis(after).is_subset(&apis(before)))
}

fn has_more_room(before: Option<&ResourceSummary>, after: Option<&ResourceSummary>) -> bool {
    let Some(after) = after else {
        return false;
    };
    let Some(before) = before else {
        return true;
    };
    let amount = |list: &BTreeMap<String, Quantity>, name: &str| {
        list.get(name)
            .and_then(Amount::of)
            .unwrap_or_default()
            .nanos
    };
    let free = |summary: &ResourceSummary, name: &str| {
        amount(&summary.allocatable, name)
            - amount(&summary.allocated, name)
            - amount(&summary.allocating, name)
    };
    let more = after
        .allocatable
        .keys()
        .any(|name| free(after, name) > free(before, name));
    // Nodes by size say where there is room even when the sums do not change.
    more || after.allocatable_modelings.iter().any(|new| {
        let old = before
            .allocatable_modelings
            .iter()
            .find(|old| old.grade == new.grade);
        new.count > old.map_or(0, |old| old.count)
    })
}

/// Whether a change of a cluster concerns a binding.
pub fn concerns<B: Binding>(
    binding: &B,
    change: ClusterChange,
    before: Option<&Cluster>,
    after: &Cluster,
    options: &Options,
) -> bool {
    let Some(interest) = Interest::of(binding, options) else {
        return false;
    };
    interest.is_in(change, before, after)
        || change == ClusterChange::Gained
            && interest.matches(after)
            && is_missed(binding, before, after)
}

/// Whether the binding goes wherever it can, and could not go to this cluster before for want of its kind.
///
/// Kinds of one's own are often installed together with their first objects, which then are placed before every cluster has told that
/// it serves the kind. Nothing that is placed moves for it.
fn is_missed<B: Binding>(binding: &B, before: Option<&Cluster>, after: &Cluster) -> bool {
    let spec = binding.spec();
    let (api_version, kind) = (&spec.resource.api_version, &spec.resource.kind);
    let serves =
        |cluster: &Cluster| cluster.api_enablement(api_version, kind) == ApiEnablement::Enabled;
    let is_divided = spec.is_workload()
        && spec.placement.as_ref().is_some_and(|placement| {
            placement.replica_scheduling_type() == ReplicaSchedulingType::Divided
        });
    let name = after.metadata.name.as_deref().unwrap_or_default();
    !is_divided && spec.target(name).is_none() && serves(after) && !before.is_some_and(serves)
}

/// The clusters whose changes concern a binding.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Interest {
    /// Every cluster, because the last decision is out of date anyway.
    everything: bool,
    /// Any of these affinities.
    affinities: Vec<ClusterAffinity>,
    /// Whether mere gains matter too.
    pub(super) unsatisfied: bool,
}

impl Interest {
    /// `None` for bindings that clusters do not concern.
    pub(super) fn of<B: Binding>(binding: &B, options: &Options) -> Option<Self> {
        let spec = binding.spec();
        let placement = spec.placement.as_ref()?;
        if scheduler_name(binding) != options.scheduler_name || spec.is_scheduling_suspended() {
            return None;
        }
        let unsatisfied = is_unsatisfied(binding);
        if placement.cluster_affinities.is_empty() {
            return Some(Self {
                everything: placement.cluster_affinity.is_none(),
                affinities: placement.cluster_affinity.iter().cloned().collect(),
                unsatisfied,
            });
        }
        let status = binding.status();
        let observed = status.and_then(|status| status.scheduler_observed_generation);
        let up_to_date =
            observed.unwrap_or_default() == binding.meta().generation.unwrap_or_default();
        Some(Self {
            everything: !up_to_date,
            affinities: affinities(binding, placement, unsatisfied, options),
            unsatisfied,
        })
    }

    fn matches(&self, cluster: &Cluster) -> bool {
        let mut affinities = self.affinities.iter();
        self.everything || affinities.any(|affinity| matches(affinity, cluster))
    }

    pub(super) fn is_in(
        &self,
        change: ClusterChange,
        before: Option<&Cluster>,
        after: &Cluster,
    ) -> bool {
        let any = |cluster: &Cluster| self.matches(cluster);
        match change {
            ClusterChange::Nothing => false,
            ClusterChange::Gained => self.unsatisfied && any(after),
            ClusterChange::Added | ClusterChange::Terminating => any(after),
            ClusterChange::Spec => any(after) || before.is_some_and(any),
        }
    }
}

/// The term in use with its overflow groups and the terms before it; all terms for a binding without a place.
fn affinities<B: Binding>(
    binding: &B,
    placement: &Placement,
    unsatisfied: bool,
    options: &Options,
) -> Vec<ClusterAffinity> {
    let terms = &placement.cluster_affinities;
    let observed = observed_affinity(binding);
    let start = terms
        .iter()
        .position(|term| term.affinity_name == observed)
        .unwrap_or(0);
    if options.compat.keeps(Switch::NoFailBack) {
        return vec![terms[start].affinity.clone()];
    }
    let terms = if unsatisfied {
        &terms[..]
    } else {
        &terms[..=start]
    };
    let with_overflow = |term: &ClusterAffinityTerm| {
        let overflow = term
            .overflow_affinities
            .iter()
            .map(|it| it.affinity.clone());
        std::iter::once(term.affinity.clone())
            .chain(overflow)
            .collect::<Vec<_>>()
    };
    terms.iter().flat_map(with_overflow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::cluster::{ApiEnablements, ApiResource, ClusterSpec};
    use crds::policy::ReplicaSchedulingStrategy;
    use crds::work::{ResourceBinding, TargetCluster};

    fn cluster(kinds: &[&str]) -> Cluster {
        let mut cluster = Cluster::new("m1", ClusterSpec::default());
        let resources = kinds.iter().map(|kind| ApiResource {
            kind: (*kind).to_owned(),
            ..ApiResource::default()
        });
        cluster.status.get_or_insert_default().api_enablements = vec![ApiEnablements {
            group_version: "example.com/v1".into(),
            resources: resources.collect(),
        }];
        cluster
    }

    #[test]
    fn a_cluster_that_learns_a_kind_concerns_what_goes_everywhere() {
        let mut widget = ResourceBinding::default();
        widget.spec.resource.api_version = "example.com/v1".into();
        widget.spec.resource.kind = "Widget".into();
        widget.spec.placement = Some(Placement::default());
        let concerned = |binding: &ResourceBinding, before: &[&str], after: &[&str]| {
            let (before, after) = (cluster(before), cluster(after));
            let change = ClusterChange::between(Some(&before), &after);
            concerns(binding, change, Some(&before), &after, &Options::default())
        };
        assert!(concerned(&widget, &[], &["Widget"]));
        assert!(!concerned(&widget, &["Widget"], &["Widget", "Gadget"]));
        assert!(!concerned(&widget, &[], &["Gadget"]));

        let mut there = widget.clone();
        there.spec.clusters = vec![TargetCluster {
            name: "m1".into(),
            replicas: None,
        }];
        assert!(!concerned(&there, &[], &["Widget"]));

        let mut elsewhere = widget.clone();
        elsewhere.spec.placement.as_mut().unwrap().cluster_affinity = Some(ClusterAffinity {
            cluster_names: vec!["m2".into()],
            ..ClusterAffinity::default()
        });
        assert!(!concerned(&elsewhere, &[], &["Widget"]));

        // What is divided would have to move for it.
        let mut divided = widget.clone();
        divided.spec.replicas = Some(3);
        let placement = divided.spec.placement.as_mut().unwrap();
        placement.replica_scheduling = Some(ReplicaSchedulingStrategy {
            replica_scheduling_type: Some(ReplicaSchedulingType::Divided),
            ..ReplicaSchedulingStrategy::default()
        });
        assert!(!concerned(&divided, &[], &["Widget"]));
    }
}

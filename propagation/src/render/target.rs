//! Which clusters a binding has Works in, and which Works have to go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crds::conditions::{condition, status};
use crds::work::{Binding, GracefulEvictionTask, ResourceBindingSpec, Work};
use crds::{keys, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;
use trace::Sink;

use crate::trace::Item;

/// Why a cluster is a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The scheduler chose it.
    Scheduled,
    /// A dependent resource is there.
    RequiredBy,
}

/// A cluster that gets a Work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub cluster: String,
    /// The scheduled replicas. None where only dependents are: their replica numbers say nothing about this resource.
    pub replicas: Option<i32>,
    pub source: Source,
}

/// The scheduled clusters in order, then those of dependents that are not yet among them.
pub fn targets(spec: &ResourceBindingSpec) -> Vec<Target> {
    let scheduled = spec.clusters.iter().map(|target| Target {
        cluster: target.name.clone(),
        replicas: Some(target.replicas.unwrap_or_default()),
        source: Source::Scheduled,
    });
    let required = spec
        .required_by
        .iter()
        .flat_map(|snapshot| &snapshot.clusters)
        .map(|target| Target {
            cluster: target.name.clone(),
            replicas: None,
            source: Source::RequiredBy,
        });
    let mut seen = BTreeSet::new();
    scheduled
        .chain(required)
        .filter(|target| seen.insert(target.cluster.clone()))
        .collect()
}

/// The clusters in which a Work of this binding may exist: targets, and clusters that are being left gracefully.
pub fn expected_clusters(spec: &ResourceBindingSpec) -> BTreeSet<String> {
    let left = spec
        .graceful_eviction_tasks
        .iter()
        .filter(|task| !is_direct(task))
        .map(|task| task.from_cluster.clone());
    targets(spec)
        .into_iter()
        .map(|target| target.cluster)
        .chain(left)
        .collect()
}

/// The clusters that were left at once.
pub fn directly_purged(spec: &ResourceBindingSpec) -> BTreeSet<String> {
    spec.graceful_eviction_tasks
        .iter()
        .filter(|task| is_direct(task))
        .map(|task| task.from_cluster.clone())
        .collect()
}

fn is_direct(task: &GracefulEvictionTask) -> bool {
    task.purge_mode
        .is_some_and(crds::policy::PurgeMode::is_directly)
}

/// The Works of this binding in clusters where none is expected. Those being deleted already are left out.
///
/// `works` are all Works with the binding's permanent id.
pub fn orphans<'w>(
    spec: &ResourceBindingSpec,
    works: impl IntoIterator<Item = &'w Work>,
    sink: &mut impl Sink<Item>,
) -> Vec<&'w Work> {
    let expected = expected_clusters(spec);
    let mut orphans = Vec::new();
    for work in works {
        let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
        // A Work outside of execution namespaces is nobody's orphan: what it stands for is unknown.
        let Ok(cluster) = names::cluster_of_execution_namespace(namespace) else {
            continue;
        };
        if expected.contains(cluster) || work.metadata.deletion_timestamp.is_some() {
            continue;
        }
        sink.record(|| Item::Orphan {
            cluster: cluster.to_owned(),
            work: work.metadata.name.clone().unwrap_or_default(),
        });
        orphans.push(work);
    }
    orphans
}

/// Whether it is known what the scheduler makes of the binding as it is now: before that a Work in a cluster where none is expected
/// may be the only copy, and stays.
///
/// A scheduler that never says which generation it has seen is taken by the clusters it wrote; bindings that no scheduler places have
/// nothing to wait for.
pub fn is_answered<B: Binding>(binding: &B) -> bool {
    let spec = binding.spec();
    let labels = binding.meta().labels.as_ref();
    let is_claimed = [
        keys::PROPAGATION_POLICY_PERMANENT_ID,
        keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
        keys::BINDING_MANAGED_BY,
    ]
    .iter()
    .any(|key| {
        labels
            .and_then(|labels| labels.get(*key))
            .is_some_and(|value| !value.is_empty())
    });
    if spec.placement.is_none() || !is_claimed || spec.is_scheduling_suspended() {
        return true;
    }
    binding
        .status()
        .and_then(|status| status.scheduler_observed_generation)
        .is_none_or(|observed| Some(observed) == binding.meta().generation)
}

/// Type of the condition on bindings that shows a [`Barrier`].
pub const PURGE_BARRIER: &str = "PurgeBarrier";

/// Works are held back until purged clusters have none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barrier {
    /// Clusters that are waited for, sorted.
    pub waiting_for: Vec<String>,
    /// Clusters that still have a Work but were given up: unreachable for longer than the limit.
    pub given_up: Vec<String>,
}

impl Barrier {
    /// Whether Works must not be written yet.
    pub fn is_closed(&self) -> bool {
        !self.waiting_for.is_empty()
    }

    /// The condition [`PURGE_BARRIER`]: true while Works are held back, false once unreachable clusters were given up.
    pub fn condition(&self, limit: Duration) -> Condition {
        if self.is_closed() {
            let message = format!(
                "waiting for the workload to be gone from {} before it starts elsewhere; clusters that do not answer are waited for {} s",
                self.waiting_for.join(", "),
                limit.as_secs()
            );
            return condition(PURGE_BARRIER, status::TRUE, "WaitingForPurge", message);
        }
        let message = format!(
            "{} did not answer for {} s, so the workload starts elsewhere although its old instance may still run there; make sure that it does not",
            self.given_up.join(", "),
            limit.as_secs()
        );
        condition(PURGE_BARRIER, status::FALSE, "ClusterGivenUp", message)
    }
}

/// The clusters that these Works are in.
pub fn occupied<'w>(works: impl IntoIterator<Item = &'w Work>) -> BTreeSet<String> {
    works
        .into_iter()
        .filter_map(|work| {
            names::cluster_of_execution_namespace(work.metadata.namespace.as_deref()?).ok()
        })
        .map(ToOwned::to_owned)
        .collect()
}

/// Whether Works have to wait for clusters that were left at once; `None` when there is nothing to wait for.
///
/// An unreachable cluster cannot finish a deletion. It is waited for until `limit` after the task was made, which is when a lease
/// or a fence has to have stopped the workload there.
pub fn purge_barrier<'w>(
    spec: &ResourceBindingSpec,
    works: impl IntoIterator<Item = &'w Work>,
    is_reachable: impl Fn(&str) -> bool,
    limit: Duration,
    now: &Time,
) -> Option<Barrier> {
    let occupied = occupied(works);
    let since: BTreeMap<&str, Option<&Time>> = spec
        .graceful_eviction_tasks
        .iter()
        .map(|task| (&*task.from_cluster, task.creation_timestamp.as_ref()))
        .collect();
    let mut barrier = Barrier {
        waiting_for: Vec::new(),
        given_up: Vec::new(),
    };
    for cluster in directly_purged(spec)
        .into_iter()
        .filter(|cluster| occupied.contains(cluster))
    {
        let overdue = since
            .get(&*cluster)
            .copied()
            .flatten()
            .is_some_and(|since| {
                Duration::try_from(now.0.duration_since(since.0)).is_ok_and(|waited| waited > limit)
            });
        if overdue && !is_reachable(&cluster) {
            barrier.given_up.push(cluster);
        } else {
            barrier.waiting_for.push(cluster);
        }
    }
    (barrier.is_closed() || !barrier.given_up.is_empty()).then_some(barrier)
}

//! Graceful eviction: when a cluster that a workload is leaving is let go.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::conditions::{self, binding::SCHEDULED};
use crds::policy::PurgeMode;
use crds::work::{
    GracefulEvictionTask, ResourceBindingSpec, ResourceBindingStatus, ResourceHealth, TargetCluster,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use trace::Sink;

use crate::brake::RELEASE_LASTS;
use crate::clock::{after, until};
use crate::trace::Item;

/// The default of `--graceful-eviction-timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// Why a cluster is not left after all.
pub const WITHDRAWN: &str =
    "the grace period is over, but no other cluster took the workload; it stays";

/// What becomes of the tasks of a binding.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// The tasks that stay, with their creation time filled in, and purging directly what somebody agreed to lose.
    pub tasks: Vec<GracefulEvictionTask>,
    /// The clusters whose task is dropped, in order.
    pub dropped: Vec<String>,
    /// The clusters that are not left after all, in order: nothing else took the workload in time.
    pub withdrawn: Vec<TargetCluster>,
    /// When to look again, if nothing happens before.
    pub requeue_after: Option<Duration>,
}

impl Assessment {
    /// Whether the binding has to be written.
    pub fn changes(&self, spec: &ResourceBindingSpec) -> bool {
        self.tasks != spec.graceful_eviction_tasks
    }

    /// Puts the outcome into the spec that was assessed.
    pub fn apply(&self, spec: &mut ResourceBindingSpec) {
        spec.graceful_eviction_tasks.clone_from(&self.tasks);
        spec.clusters.extend(self.withdrawn.iter().cloned());
    }

    fn keep(&mut self, task: &GracefulEvictionTask, wait: Option<Duration>, now: &Time) {
        let mut task = task.clone();
        task.creation_timestamp.get_or_insert_with(|| now.clone());
        self.tasks.push(task);
        self.requeue_after = self.requeue_after.into_iter().chain(wait).min();
    }
}

/// What assessing looks at.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub spec: &'a ResourceBindingSpec,
    pub status: Option<&'a ResourceBindingStatus>,
    /// `metadata.generation` of the binding.
    pub generation: i64,
    /// The grace period of tasks that have none of their own.
    pub timeout: Duration,
    /// Clusters of tasks that are not in the fleet any more, or on their way out of it.
    pub gone: &'a BTreeSet<String>,
    /// Clusters of tasks that somebody agreed to leave although the workload is on no cluster then.
    pub released: &'a BTreeSet<String>,
    /// Clusters of tasks that still have a Work of the binding.
    pub occupied: &'a BTreeSet<String>,
    pub now: &'a Time,
}

/// Decides about each task.
pub fn assess(inputs: &Inputs<'_>, sink: &mut impl Sink<Item>) -> Assessment {
    let mut assessment = Assessment {
        tasks: Vec::new(),
        dropped: Vec::new(),
        withdrawn: Vec::new(),
        requeue_after: None,
    };
    for task in &inputs.spec.graceful_eviction_tasks {
        let verdict = judge(task, inputs);
        sink.record(|| Item::Eviction {
            cluster: task.from_cluster.clone(),
            keep: !matches!(verdict, Verdict::Drop(_)),
            reason: verdict.reason().to_owned(),
        });
        match verdict {
            Verdict::Drop(_) => assessment.dropped.push(task.from_cluster.clone()),
            Verdict::Keep(_, wait) => assessment.keep(task, wait, inputs.now),
            Verdict::Purge(wait) => {
                let mut task = task.clone();
                if !is_direct(&task) {
                    task.purge_mode = Some(PurgeMode::Directly);
                }
                assessment.keep(&task, Some(wait), inputs.now);
            }
            Verdict::Withdraw => assessment.withdrawn.push(TargetCluster {
                name: task.from_cluster.clone(),
                replicas: task.replicas,
            }),
        }
    }
    assessment
}

enum Verdict {
    Drop(&'static str),
    /// With the time until the grace period ends, if it ends.
    Keep(&'static str, Option<Duration>),
    /// The last copy goes while the task still keeps the scheduler from the cluster. A task that went first would leave both to a
    /// race: a cluster that is a target again keeps its copy. With the time after which to look again.
    Purge(Duration),
    /// The time is up and the workload would be nowhere: it goes on where it is, instead of being kept there without updates.
    Withdraw,
}

impl Verdict {
    fn reason(&self) -> &'static str {
        match self {
            Self::Drop(reason) | Self::Keep(reason, _) => reason,
            Self::Purge(_) => "somebody agreed that the workload is on no cluster; it is going",
            Self::Withdraw => WITHDRAWN,
        }
    }
}

fn judge(task: &GracefulEvictionTask, inputs: &Inputs<'_>) -> Verdict {
    let grace = task.grace_period_seconds.map_or(inputs.timeout, |seconds| {
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    });
    let Some(created) = &task.creation_timestamp else {
        let wait = task.suppress_deletion.is_none().then_some(grace);
        return Verdict::Keep("the task was seen for the first time", wait);
    };
    match task.suppress_deletion {
        Some(true) => return Verdict::Keep("somebody has to confirm that the workload goes", None),
        Some(false) => return Verdict::Drop("somebody confirmed that the workload goes"),
        None => {}
    }
    // A scheduler that found nothing is no reason to purge the only copy.
    let is_elsewhere = !inputs.spec.clusters.is_empty();
    let remaining = until(&after(created, grace), inputs.now);
    let is_released = inputs.released.contains(&task.from_cluster);
    let is_gone = inputs.gone.contains(&task.from_cluster);
    if is_released && !is_elsewhere && (remaining.is_none() || has_found_nothing(inputs)) {
        return if inputs.occupied.contains(&task.from_cluster) && !is_gone {
            Verdict::Purge(remaining.unwrap_or(RELEASE_LASTS))
        } else {
            Verdict::Drop("somebody agreed that the workload is on no cluster")
        };
    }
    if remaining.is_none() {
        return if is_elsewhere || is_gone {
            Verdict::Drop("the grace period is over")
        } else {
            Verdict::Withdraw
        };
    }
    if is_elsewhere && is_scheduled(inputs) && is_healthy_everywhere(inputs) {
        return Verdict::Drop("the workload is healthy in all its clusters");
    }
    Verdict::Keep("the workload is not healthy elsewhere yet", remaining)
}

fn is_direct(task: &GracefulEvictionTask) -> bool {
    task.purge_mode.is_some_and(PurgeMode::is_directly)
}

fn is_scheduled(inputs: &Inputs<'_>) -> bool {
    inputs
        .status
        .and_then(|status| status.scheduler_observed_generation)
        == Some(inputs.generation)
}

/// Whether the scheduler has looked for a place and there is none. Before that a release must not take the workload from the place
/// that it is about to get.
fn has_found_nothing(inputs: &Inputs<'_>) -> bool {
    is_scheduled(inputs)
        || inputs.status.is_some_and(|status| {
            conditions::find(&status.conditions, SCHEDULED)
                .is_some_and(|scheduled| scheduled.status == conditions::status::FALSE)
        })
}

fn is_healthy_everywhere(inputs: &Inputs<'_>) -> bool {
    let healthy: BTreeSet<&str> = inputs
        .status
        .into_iter()
        .flat_map(|status| &status.aggregated_status)
        .filter(|item| item.health == Some(ResourceHealth::Healthy))
        .map(|item| &*item.cluster_name)
        .collect();
    inputs
        .spec
        .clusters
        .iter()
        .all(|target| healthy.contains(&*target.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::at;
    use ::trace::NoTrace;
    use crds::work::AggregatedStatusItem;

    fn task(
        created: Option<i64>,
        grace: Option<i32>,
        suppress: Option<bool>,
    ) -> GracefulEvictionTask {
        GracefulEvictionTask {
            from_cluster: "m1".into(),
            creation_timestamp: created.map(at),
            grace_period_seconds: grace,
            suppress_deletion: suppress,
            ..GracefulEvictionTask::default()
        }
    }

    #[track_caller]
    fn check(
        task: GracefulEvictionTask,
        clusters: &[(&str, ResourceHealth)],
        observed: i64,
        expected: (usize, usize, Option<u64>),
    ) {
        let spec = ResourceBindingSpec {
            clusters: clusters
                .iter()
                .map(|(name, _)| TargetCluster {
                    name: (*name).into(),
                    replicas: None,
                })
                .collect(),
            graceful_eviction_tasks: vec![task],
            ..ResourceBindingSpec::default()
        };
        let status = ResourceBindingStatus {
            scheduler_observed_generation: Some(observed),
            aggregated_status: clusters
                .iter()
                .map(|(name, health)| AggregatedStatusItem {
                    cluster_name: (*name).into(),
                    health: Some(*health),
                    ..AggregatedStatusItem::default()
                })
                .collect(),
            ..ResourceBindingStatus::default()
        };
        let inputs = Inputs {
            spec: &spec,
            status: Some(&status),
            generation: 5,
            timeout: DEFAULT_TIMEOUT,
            gone: &BTreeSet::new(),
            released: &BTreeSet::new(),
            occupied: &BTreeSet::new(),
            now: &at(1000),
        };
        let assessment = assess(&inputs, &mut NoTrace);
        let found = (
            assessment.dropped.len(),
            assessment.withdrawn.len(),
            assessment.requeue_after.map(|wait| wait.as_secs()),
        );
        assert_eq!(found, expected);
        assert!(
            assessment
                .tasks
                .iter()
                .all(|task| task.creation_timestamp.is_some())
        );
    }

    #[test]
    fn tasks_are_kept_or_dropped() {
        use ResourceHealth::{Healthy, Unhealthy, Unknown};
        let healthy: &[_] = &[("m2", Healthy)];
        check(task(None, None, None), healthy, 5, (0, 0, Some(600)));
        check(task(None, Some(30), None), healthy, 5, (0, 0, Some(30)));
        check(task(None, None, Some(true)), healthy, 5, (0, 0, None));
        check(task(Some(0), None, Some(true)), healthy, 5, (0, 0, None));
        check(
            task(Some(990), None, Some(false)),
            &[("m2", Unhealthy)],
            5,
            (1, 0, None),
        );
        check(task(Some(990), None, None), healthy, 5, (1, 0, None));
        check(task(Some(990), None, None), healthy, 4, (0, 0, Some(590)));
        check(
            task(Some(990), None, None),
            &[("m2", Healthy), ("m3", Unknown)],
            5,
            (0, 0, Some(590)),
        );
        check(
            task(Some(990), Some(30), None),
            &[("m2", Unhealthy)],
            5,
            (0, 0, Some(20)),
        );
        check(
            task(Some(399), None, None),
            &[("m2", Unhealthy)],
            5,
            (1, 0, None),
        );
        // Nowhere else: neither a vacuous truth nor the time makes the only copy go.
        check(task(Some(990), None, None), &[], 5, (0, 0, Some(590)));
        check(task(Some(0), None, None), &[], 5, (0, 1, None));
    }

    #[test]
    fn an_eviction_to_nowhere_is_withdrawn_unless_somebody_agreed_to_it() {
        let spec = ResourceBindingSpec {
            graceful_eviction_tasks: vec![GracefulEvictionTask {
                replicas: Some(3),
                ..task(Some(0), None, None)
            }],
            ..ResourceBindingSpec::default()
        };
        let assessed = |released: &[&str], gone: &[&str]| {
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let (released, gone) = (set(released), set(gone));
            let inputs = Inputs {
                spec: &spec,
                status: None,
                generation: 5,
                timeout: DEFAULT_TIMEOUT,
                gone: &gone,
                released: &released,
                occupied: &BTreeSet::new(),
                now: &at(1000),
            };
            let assessment = assess(&inputs, &mut NoTrace);
            assert!(assessment.changes(&spec));
            let mut after = spec.clone();
            assessment.apply(&mut after);
            assert!(after.graceful_eviction_tasks.is_empty());
            (after.clusters, assessment.dropped.len())
        };
        let back = TargetCluster {
            name: "m1".into(),
            replicas: Some(3),
        };
        assert_eq!(assessed(&["m2"], &[]), (vec![back], 0));
        assert_eq!(assessed(&["m1"], &[]), (vec![], 1));
        // There is no way back into a cluster that left the fleet.
        assert_eq!(assessed(&[], &["m1"]), (vec![], 1));
    }

    #[test]
    fn a_release_lets_an_eviction_to_nowhere_end_when_its_copy_is_gone() {
        let m1 = BTreeSet::from(["m1".to_owned()]);
        let none = BTreeSet::new();
        // How many tasks are dropped, and whether the one that is not purges directly.
        let assessed = |created: i64, scheduled: &str, observed: i64, occupied, gone| {
            let spec = ResourceBindingSpec {
                graceful_eviction_tasks: vec![task(Some(created), None, None)],
                ..ResourceBindingSpec::default()
            };
            let scheduled = conditions::condition(SCHEDULED, scheduled, "NoClusterFit", "");
            let status = ResourceBindingStatus {
                scheduler_observed_generation: Some(observed),
                conditions: vec![scheduled],
                ..ResourceBindingStatus::default()
            };
            let inputs = Inputs {
                spec: &spec,
                status: Some(&status),
                generation: 5,
                timeout: DEFAULT_TIMEOUT,
                gone,
                released: &m1,
                occupied,
                now: &at(1000),
            };
            let assessment = assess(&inputs, &mut NoTrace);
            assert!(assessment.withdrawn.is_empty());
            let purges = assessment.tasks.iter().any(is_direct);
            (assessment.dropped.len(), purges)
        };
        for (name, created, scheduled, observed, occupied, gone, expected) in [
            ("nothing found", 990, "False", 4, &none, &none, (1, false)),
            (
                "nowhere on purpose",
                990,
                "True",
                5,
                &none,
                &none,
                (1, false),
            ),
            ("not looked yet", 990, "True", 4, &none, &none, (0, false)),
            (
                "not looked yet, there",
                990,
                "True",
                4,
                &m1,
                &none,
                (0, false),
            ),
            // The task stays until the copy is gone: the scheduler would put the workload back, and with that the copy stays.
            ("still there", 990, "False", 4, &m1, &none, (0, true)),
            ("still there, time up", 0, "True", 4, &m1, &none, (0, true)),
            ("time up", 0, "True", 4, &none, &none, (1, false)),
            ("cluster leaves", 990, "False", 4, &m1, &m1, (1, false)),
        ] {
            let found = assessed(created, scheduled, observed, occupied, gone);
            assert_eq!(found, expected, "{name}");
        }
    }
}

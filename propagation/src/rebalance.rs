//! `WorkloadRebalancer`: asks for workloads to be scheduled afresh.

use std::time::Duration;

use crds::apps::{
    ObservedWorkload, RebalanceFailure, RebalanceResult, RebalancedWorkload, WorkloadRebalancer,
    WorkloadRebalancerSpec, WorkloadRebalancerStatus,
};
use crds::work::{Binding, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::binding::same_object;
use crate::clock::{after, until};

/// The workloads to report on: those of the spec, and those that were triggered before and left it since.
pub fn observe(
    spec: &WorkloadRebalancerSpec,
    status: Option<&WorkloadRebalancerStatus>,
) -> Vec<ObservedWorkload> {
    let before = status
        .map(|status| status.observed_workloads.as_slice())
        .unwrap_or_default();
    let mut observed: Vec<ObservedWorkload> = before
        .iter()
        .filter(|it| {
            it.result == Some(RebalanceResult::Successful) || spec.workloads.contains(&it.workload)
        })
        .cloned()
        .collect();
    for workload in &spec.workloads {
        if observed.iter().all(|it| it.workload != *workload) {
            observed.push(ObservedWorkload {
                workload: workload.clone(),
                ..ObservedWorkload::default()
            });
        }
    }
    observed.sort_by_key(|it| sort_key(&it.workload));
    observed.dedup_by(|a, b| a.workload == b.workload);
    observed
}

fn sort_key(workload: &RebalancedWorkload) -> String {
    let namespace = workload.namespace.as_deref().unwrap_or_default();
    format!(
        "{} {} {namespace} {}",
        workload.api_version, workload.kind, workload.name
    )
}

/// What triggering a workload comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger<B> {
    /// PUT this binding; the workload is done once that succeeded.
    Write(Box<B>),
    /// The binding is triggered already.
    Done,
    /// There is no binding of this workload.
    NotFound,
}

/// Triggers one workload, whose binding was looked up by name.
///
/// The trigger is the rebalancer's creation, or `now` if the binding was scheduled since: a workload that was added later would
/// otherwise be reported as done without any effect.
pub fn trigger<B: Binding>(
    workload: &RebalancedWorkload,
    binding: Option<&B>,
    created: &Time,
    now: &Time,
) -> Trigger<B> {
    let wanted = ObjectReference {
        api_version: workload.api_version.clone(),
        kind: workload.kind.clone(),
        namespace: workload
            .namespace
            .clone()
            .filter(|namespace| !namespace.is_empty()),
        name: workload.name.clone(),
        ..ObjectReference::default()
    };
    let Some(binding) = binding.filter(|binding| same_object(&binding.spec().resource, &wanted))
    else {
        return Trigger::NotFound;
    };
    let scheduled = binding
        .status()
        .and_then(|status| status.last_scheduled_time.as_ref());
    let at = if scheduled.is_some_and(|scheduled| scheduled >= created) {
        now
    } else {
        created
    };
    let is_pending = binding
        .spec()
        .reschedule_triggered_at
        .as_ref()
        .is_some_and(|triggered| {
            triggered >= created && scheduled.is_none_or(|scheduled| triggered > scheduled)
        });
    if is_pending {
        return Trigger::Done;
    }
    let mut binding = binding.clone();
    binding.spec_mut().reschedule_triggered_at = Some(at.clone());
    Trigger::Write(Box::new(binding))
}

/// The result of a workload.
pub fn report(workload: &mut ObservedWorkload, found: bool) {
    if found {
        workload.result = Some(RebalanceResult::Successful);
        workload.reason = None;
    } else {
        workload.result = Some(RebalanceResult::Failed);
        workload.reason = Some(RebalanceFailure::ReferencedBindingNotFound);
    }
}

/// The new status; `None` when nothing but the finish time would differ.
pub fn status(
    rebalancer: &WorkloadRebalancer,
    observed: Vec<ObservedWorkload>,
    now: &Time,
) -> Option<WorkloadRebalancerStatus> {
    let before = rebalancer.status.clone().unwrap_or_default();
    let is_finished = observed.iter().all(|it| it.result.is_some());
    let mut new = WorkloadRebalancerStatus {
        finish_time: before.finish_time.clone(),
        observed_generation: rebalancer.metadata.generation,
        observed_workloads: observed,
    };
    if new == before {
        return None;
    }
    if is_finished {
        new.finish_time = Some(now.clone());
    }
    Some(new)
}

/// Whether a finished rebalancer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    Keep,
    After(Duration),
    Now,
}

/// What the time to live says. A rebalancer that is not finished stays.
pub fn cleanup(rebalancer: &WorkloadRebalancer, now: &Time) -> Cleanup {
    let finished = rebalancer
        .status
        .as_ref()
        .and_then(|status| status.finish_time.as_ref());
    let (Some(ttl), Some(finished)) = (rebalancer.spec.ttl_seconds_after_finished, finished) else {
        return Cleanup::Keep;
    };
    let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
    match until(&after(finished, ttl), now) {
        Some(wait) if !wait.is_zero() => Cleanup::After(wait),
        _ => Cleanup::Now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::at;
    use crds::work::{ResourceBinding, ResourceBindingStatus};

    fn workload(name: &str) -> RebalancedWorkload {
        RebalancedWorkload {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: name.into(),
            namespace: Some("demo".into()),
        }
    }

    fn observed(name: &str, result: Option<RebalanceResult>) -> ObservedWorkload {
        ObservedWorkload {
            workload: workload(name),
            result,
            reason: None,
        }
    }

    fn binding(scheduled: Option<i64>, triggered: Option<i64>) -> ResourceBinding {
        let mut binding = ResourceBinding::default();
        binding.spec.resource = ObjectReference {
            api_version: "apps/v1beta1".into(),
            kind: "Deployment".into(),
            namespace: Some("demo".into()),
            name: "a".into(),
            ..ObjectReference::default()
        };
        binding.spec.reschedule_triggered_at = triggered.map(at);
        binding.status = Some(ResourceBindingStatus {
            last_scheduled_time: scheduled.map(at),
            ..ResourceBindingStatus::default()
        });
        binding
    }

    #[test]
    fn observed_workloads_follow_the_spec() {
        use RebalanceResult::{Failed, Successful};
        let spec = WorkloadRebalancerSpec {
            workloads: vec![workload("b"), workload("a"), workload("a"), workload("f")],
            ttl_seconds_after_finished: None,
        };
        let status = WorkloadRebalancerStatus {
            observed_workloads: vec![
                observed("f", Some(Failed)),
                observed("gone", Some(Failed)),
                observed("left", Some(Successful)),
            ],
            ..WorkloadRebalancerStatus::default()
        };
        assert_eq!(
            observe(&spec, Some(&status)),
            [
                observed("a", None),
                observed("b", None),
                observed("f", Some(Failed)),
                observed("left", Some(Successful)),
            ]
        );
    }

    #[test]
    fn bindings_are_triggered() {
        let created = at(100);
        let check = |binding: Option<ResourceBinding>, expected: Option<Option<i64>>| {
            let found = match trigger(&workload("a"), binding.as_ref(), &created, &at(200)) {
                Trigger::Write(binding) => Some(binding.spec.reschedule_triggered_at),
                Trigger::Done => Some(None),
                Trigger::NotFound => None,
            };
            assert_eq!(found, expected.map(|time| time.map(at)));
        };
        check(None, None);
        check(Some(binding(Some(50), None)), Some(Some(100)));
        check(Some(binding(Some(50), Some(60))), Some(Some(100)));
        check(Some(binding(Some(50), Some(100))), Some(None));
        // Scheduled since: only a trigger of now has an effect.
        check(Some(binding(Some(150), Some(100))), Some(Some(200)));
        check(Some(binding(Some(150), Some(160))), Some(None));
        let mut other = binding(None, None);
        other.spec.resource.api_version = "apps.example.com/v1".into();
        check(Some(other), None);
    }

    #[test]
    fn status_and_time_to_live() {
        let mut rebalancer = WorkloadRebalancer::new("r", WorkloadRebalancerSpec::default());
        rebalancer.metadata.generation = Some(1);
        let mut done = observed("a", None);
        let pending = status(&rebalancer, vec![done.clone()], &at(10)).unwrap();
        assert_eq!(pending.finish_time, None);
        report(&mut done, false);
        assert_eq!(
            done.reason,
            Some(RebalanceFailure::ReferencedBindingNotFound)
        );
        let finished = status(&rebalancer, vec![done.clone()], &at(10)).unwrap();
        assert_eq!(finished.finish_time, Some(at(10)));
        rebalancer.status = Some(finished);
        assert_eq!(status(&rebalancer, vec![done], &at(20)), None);
        assert_eq!(cleanup(&rebalancer, &at(20)), Cleanup::Keep);
        rebalancer.spec.ttl_seconds_after_finished = Some(15);
        assert_eq!(
            cleanup(&rebalancer, &at(20)),
            Cleanup::After(Duration::from_secs(5))
        );
        assert_eq!(cleanup(&rebalancer, &at(25)), Cleanup::Now);
    }
}

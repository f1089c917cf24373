//! Condition types with their reasons and messages, and the one way to change conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The statuses of a condition.
pub mod status {
    /// The condition holds.
    pub const TRUE: &str = "True";
    /// The condition does not hold.
    pub const FALSE: &str = "False";
    /// Nobody knows.
    pub const UNKNOWN: &str = "Unknown";
}

/// A condition before it has a time: what [`set_condition`] compares and stores.
///
/// Its `last_transition_time` is filled in by [`set_condition`] and may hold anything before.
pub fn condition(type_: &str, status: &str, reason: &str, message: impl Into<String>) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: None,
        last_transition_time: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
    }
}

/// Puts a condition into a list, in the place of the one with its type or at the end.
///
/// The transition time is `now` when the status differs from the one before or there was none, else the one before is kept.
/// Returns whether the list changed; an equal condition changes nothing, not even by its time.
pub fn set_condition(list: &mut Vec<Condition>, mut new: Condition, now: &Time) -> bool {
    let Some(old) = list.iter_mut().find(|it| it.type_ == new.type_) else {
        new.last_transition_time = now.clone();
        list.push(new);
        return true;
    };
    new.last_transition_time = if old.status == new.status {
        old.last_transition_time.clone()
    } else {
        now.clone()
    };
    if *old == new {
        return false;
    }
    *old = new;
    true
}

/// Removes the condition of this type and returns whether there was one.
pub fn remove_condition(list: &mut Vec<Condition>, type_: &str) -> bool {
    let before = list.len();
    list.retain(|it| it.type_ != type_);
    list.len() != before
}

/// The condition of this type.
pub fn find<'a>(list: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    list.iter().find(|it| it.type_ == type_)
}

/// Whether the condition of this type is there and holds.
pub fn is_true(list: &[Condition], type_: &str) -> bool {
    find(list, type_).is_some_and(|it| it.status == status::TRUE)
}

/// Whether the condition of this type is there and does not hold.
pub fn is_false(list: &[Condition], type_: &str) -> bool {
    find(list, type_).is_some_and(|it| it.status == status::FALSE)
}

/// Conditions of Clusters.
pub mod cluster {
    /// The cluster is reachable and healthy.
    pub const READY: &str = "Ready";
    /// The list of the cluster's APIs is complete.
    pub const COMPLETE_API_ENABLEMENTS: &str = "CompleteAPIEnablements";
    /// Names of Services resolve in the cluster. Nodes of members have a condition of this type too.
    pub const SERVICE_DOMAIN_NAME_RESOLUTION_READY: &str = "ServiceDomainNameResolutionReady";

    /// Reason of [`READY`] True.
    pub const CLUSTER_READY: &str = "ClusterReady";
    /// Message of [`CLUSTER_READY`].
    pub const CLUSTER_READY_MESSAGE: &str = "cluster is healthy and ready to accept workloads";
    /// Reason of [`READY`] False: the health endpoint does not say ok.
    pub const CLUSTER_NOT_READY: &str = "ClusterNotReady";
    /// Message of [`CLUSTER_NOT_READY`].
    pub const CLUSTER_NOT_READY_MESSAGE: &str =
        "cluster is reachable but health endpoint responded without ok";
    /// Reason of [`READY`] False: the API server does not answer.
    pub const CLUSTER_NOT_REACHABLE: &str = "ClusterNotReachable";
    /// Message of [`CLUSTER_NOT_REACHABLE`].
    pub const CLUSTER_NOT_REACHABLE_MESSAGE: &str = "cluster is not reachable";
    /// Reason of [`READY`] False: no client could be built.
    pub const STATUS_COLLECTION_FAILED: &str = "StatusCollectionFailed";
    /// The beginning of the message of [`STATUS_COLLECTION_FAILED`]; the error follows.
    pub const STATUS_COLLECTION_FAILED_MESSAGE_PREFIX: &str = "failed to create a ClusterClient: ";
    /// Reason of [`READY`] Unknown: nothing was ever reported.
    pub const CLUSTER_STATUS_NEVER_UPDATED: &str = "ClusterStatusNeverUpdated";
    /// Message of [`CLUSTER_STATUS_NEVER_UPDATED`].
    pub const CLUSTER_STATUS_NEVER_UPDATED_MESSAGE: &str =
        "Cluster status controller never posted cluster status.";
    /// Reason of [`READY`] Unknown: nothing has been reported for some time.
    pub const CLUSTER_STATUS_UNKNOWN: &str = "ClusterStatusUnknown";
    /// Message of [`CLUSTER_STATUS_UNKNOWN`].
    pub const CLUSTER_STATUS_UNKNOWN_MESSAGE: &str =
        "Cluster status controller stopped posting cluster status.";

    /// Reason of [`COMPLETE_API_ENABLEMENTS`] True.
    pub const COMPLETE: &str = "Complete";
    /// Message of [`COMPLETE`].
    pub const COMPLETE_MESSAGE: &str = "collected complete APIEnablements from the cluster";
    /// Reason of [`COMPLETE_API_ENABLEMENTS`] False: some groups are missing.
    pub const PARTIAL: &str = "Partial";
    /// Reason of [`COMPLETE_API_ENABLEMENTS`] False: there are none.
    pub const EMPTY: &str = "Empty";
    /// Message of [`EMPTY`].
    pub const EMPTY_MESSAGE: &str = "collected empty APIEnablements from the cluster";

    /// Message of [`PARTIAL`] with the number of groups that were collected.
    pub fn partial_message(collected: usize) -> String {
        format!("might collect partial APIEnablements({collected}) from the cluster")
    }

    /// Reason of [`SERVICE_DOMAIN_NAME_RESOLUTION_READY`] True.
    pub const RESOLUTION_READY: &str = "ServiceDomainNameResolutionReady";
    /// Message of [`RESOLUTION_READY`].
    pub const RESOLUTION_READY_MESSAGE: &str = "service domain name resolution is ready";
    /// Reason of [`SERVICE_DOMAIN_NAME_RESOLUTION_READY`] False.
    pub const RESOLUTION_FAILED: &str = "ServiceDomainNameResolutionFailed";
    /// Message of [`RESOLUTION_FAILED`].
    pub const RESOLUTION_FAILED_MESSAGE: &str = "service domain name resolution is unready";
}

/// Conditions of ResourceBindings and ClusterResourceBindings.
pub mod binding {
    /// The scheduler found a place.
    pub const SCHEDULED: &str = "Scheduled";
    /// The resource has reached all its clusters.
    pub const FULLY_APPLIED: &str = "FullyApplied";

    /// Reason of [`SCHEDULED`] True.
    pub const SUCCESS: &str = "Success";
    /// Message of [`SUCCESS`].
    pub const SUCCESS_MESSAGE: &str = "Binding has been scheduled successfully.";
    /// Reason of [`SCHEDULED`] False: no cluster passed the filters.
    pub const NO_CLUSTER_FIT: &str = "NoClusterFit";
    /// Reason of [`SCHEDULED`] False: the clusters lack room.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// Reason of [`SCHEDULED`] False: a FederatedResourceQuota would be exceeded.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// Reason of [`SCHEDULED`] False: anything else.
    pub const SCHEDULER_ERROR: &str = "SchedulerError";

    /// Reason of [`FULLY_APPLIED`] True.
    pub const FULLY_APPLIED_SUCCESS: &str = "FullyAppliedSuccess";
    /// Message of [`FULLY_APPLIED_SUCCESS`].
    pub const FULLY_APPLIED_SUCCESS_MESSAGE: &str = "All works have been successfully applied";
    /// Reason of [`FULLY_APPLIED`] False.
    pub const FULLY_APPLIED_FAILED: &str = "FullyAppliedFailed";
    /// Message of [`FULLY_APPLIED_FAILED`].
    pub const FULLY_APPLIED_FAILED_MESSAGE: &str =
        "Failed to apply all works, see status.aggregatedStatus for details";
}

/// Conditions of Works.
pub mod work {
    /// The objects have been applied in the member.
    pub const APPLIED: &str = "Applied";
    /// The objects are on their way to the member.
    pub const DISPATCHING: &str = "Dispatching";
    /// Defined by the API, set by nobody.
    pub const PROGRESSING: &str = "Progressing";
    /// Defined by the API, set by nobody.
    pub const AVAILABLE: &str = "Available";
    /// Defined by the API, set by nobody.
    pub const DEGRADED: &str = "Degraded";

    /// Reason of [`APPLIED`] True.
    pub const APPLIED_SUCCESSFUL: &str = "AppliedSuccessful";
    /// Message of [`APPLIED_SUCCESSFUL`].
    pub const APPLIED_SUCCESSFUL_MESSAGE: &str = "Manifest has been successfully applied";
    /// Reason of [`APPLIED`] False.
    pub const APPLIED_FAILED: &str = "AppliedFailed";
    /// Reason of [`APPLIED`] True after an object that had vanished was created again.
    pub const RECREATE_SUCCESSFUL: &str = "ReCreateSuccessful";
    /// Reason of [`APPLIED`] False after creating a vanished object again failed.
    pub const RECREATE_FAILED: &str = "ReCreateFailed";

    /// Message of [`APPLIED_FAILED`].
    pub fn applied_failed_message(applied: usize, total: usize, errors: &str) -> String {
        format!("Failed to apply all manifests ({applied}/{total}): {errors}")
    }

    /// Reason of [`DISPATCHING`] True.
    pub const DISPATCHING_REASON: &str = "Dispatching";
    /// Message of [`DISPATCHING_REASON`].
    pub const DISPATCHING_MESSAGE: &str = "Work is being dispatched to member clusters.";
    /// Reason of [`DISPATCHING`] False.
    pub const SUSPEND_DISPATCHING: &str = "SuspendDispatching";
    /// Message of [`SUSPEND_DISPATCHING`].
    pub const SUSPEND_DISPATCHING_MESSAGE: &str = "Work dispatching is in a suspended state.";
}

/// Conditions of bindings and Works about interpretation, of our own: one type for each operation, present while the operation
/// fails.
pub mod interpretation {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::{condition, remove_condition, set_condition, status};
    use crate::config::InterpreterOperation;
    use crate::reasons;

    /// The condition's type: the operation under our prefix.
    pub const fn type_of(operation: InterpreterOperation) -> &'static str {
        match operation {
            InterpreterOperation::Retain => "navarch.dev/Retain",
            InterpreterOperation::InterpretReplica => "navarch.dev/InterpretReplica",
            InterpreterOperation::InterpretComponent => "navarch.dev/InterpretComponent",
            InterpreterOperation::ReviseReplica => "navarch.dev/ReviseReplica",
            InterpreterOperation::InterpretStatus => "navarch.dev/InterpretStatus",
            InterpreterOperation::AggregateStatus => "navarch.dev/AggregateStatus",
            InterpreterOperation::InterpretHealth => "navarch.dev/InterpretHealth",
            InterpreterOperation::InterpretDependency => "navarch.dev/InterpretDependency",
            InterpreterOperation::Prune => "navarch.dev/Prune",
        }
    }

    /// The reason of the condition, which is the reason of the operation's event where it has one.
    pub const fn reason_of(operation: InterpreterOperation) -> &'static str {
        match operation {
            InterpreterOperation::Retain => "RetainFailed",
            InterpreterOperation::InterpretReplica => reasons::GET_REPLICAS_FAILED,
            InterpreterOperation::InterpretComponent => reasons::GET_COMPONENTS_FAILED,
            InterpreterOperation::ReviseReplica => "ReviseReplicaFailed",
            InterpreterOperation::InterpretStatus => reasons::REFLECT_STATUS_FAILED,
            InterpreterOperation::AggregateStatus => reasons::AGGREGATE_STATUS_FAILED,
            InterpreterOperation::InterpretHealth => reasons::INTERPRET_HEALTH_FAILED,
            InterpreterOperation::InterpretDependency => reasons::GET_DEPENDENCIES_FAILED,
            InterpreterOperation::Prune => "PruneFailed",
        }
    }

    /// Sets the condition of an operation that failed, or removes that of one that did not. Returns whether the list changed.
    pub fn put(
        list: &mut Vec<Condition>,
        operation: InterpreterOperation,
        error: Option<&str>,
        generation: Option<i64>,
        now: &Time,
    ) -> bool {
        let type_ = type_of(operation);
        let Some(error) = error else {
            return remove_condition(list, type_);
        };
        let end = error.floor_char_boundary(MAX_MESSAGE);
        let failed = condition(type_, status::FALSE, reason_of(operation), &error[..end]);
        set_condition(
            list,
            Condition {
                observed_generation: generation,
                ..failed
            },
            now,
        )
    }

    /// Bytes of an error that a condition repeats.
    const MAX_MESSAGE: usize = 4096;
}

/// Conditions of MultiClusterServices.
pub mod multi_cluster_service {
    /// The Service has reached all its clusters.
    pub const SERVICE_APPLIED: &str = "ServiceApplied";
    /// Reason of [`SERVICE_APPLIED`] True.
    pub const SERVICE_APPLIED_SUCCEED: &str = "ServiceAppliedSucceed";
    /// Message of [`SERVICE_APPLIED_SUCCEED`].
    pub const SERVICE_APPLIED_SUCCEED_MESSAGE: &str = "Service is propagated to target clusters.";
    /// Reason of [`SERVICE_APPLIED`] False.
    pub const SERVICE_APPLIED_FAILED: &str = "ServiceAppliedFailed";

    /// The EndpointSlices have reached the consumers.
    pub const ENDPOINT_SLICE_DISPATCHED: &str = "EndpointSliceDispatched";
    /// Reason of [`ENDPOINT_SLICE_DISPATCHED`] True.
    pub const ENDPOINT_SLICE_DISPATCHED_SUCCEED: &str = "EndpointSliceDispatchedSucceed";
    /// Message of [`ENDPOINT_SLICE_DISPATCHED_SUCCEED`].
    pub const ENDPOINT_SLICE_DISPATCHED_SUCCEED_MESSAGE: &str =
        "EndpointSlice are dispatched successfully";
    /// Reason of [`ENDPOINT_SLICE_DISPATCHED`] False.
    pub const ENDPOINT_SLICE_DISPATCHED_FAILED: &str = "EndpointSliceDispatchedFailed";
}

/// Conditions of FederatedHPAs, which are those of Kubernetes' HorizontalPodAutoscaler with a few reasons of their own.
pub mod federated_hpa {
    /// The scale can be read and written.
    pub const ABLE_TO_SCALE: &str = "AbleToScale";
    /// Metrics are there.
    pub const SCALING_ACTIVE: &str = "ScalingActive";
    /// The wanted scale was cut.
    pub const SCALING_LIMITED: &str = "ScalingLimited";

    /// Reasons of [`ABLE_TO_SCALE`] False.
    pub const NOT_ABLE: [&str; 5] = [
        "FailedGetScale",
        "FailedGetScaleTargetRef",
        "FailedGetBinding",
        "FailedGetTargetClusters",
        "FailedUpdateScale",
    ];
    /// Reasons of [`ABLE_TO_SCALE`] True.
    pub const ABLE: [&str; 5] = [
        "SucceededGetScale",
        "SucceededRescale",
        "ReadyForNewScale",
        "ScaleUpStabilized",
        "ScaleDownStabilized",
    ];
    /// Reason of [`SCALING_ACTIVE`] True.
    pub const VALID_METRIC_FOUND: &str = "ValidMetricFound";
    /// Reasons of [`SCALING_ACTIVE`] False.
    pub const NOT_ACTIVE: [&str; 8] = [
        "ScalingDisabled",
        "InvalidSelector",
        "AmbiguousSelector",
        "FailedGetObjectMetric",
        "FailedGetPodsMetric",
        "FailedGetResourceMetric",
        "FailedGetContainerResourceMetric",
        "InvalidMetricSourceType",
    ];
    /// Reason of [`SCALING_LIMITED`] False.
    pub const DESIRED_WITHIN_RANGE: &str = "DesiredWithinRange";
    /// Reasons of [`SCALING_LIMITED`] True.
    pub const LIMITED: [&str; 4] = [
        "TooManyReplicas",
        "TooFewReplicas",
        "ScaleUpLimit",
        "ScaleDownLimit",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap())
    }

    #[test]
    fn conditions_keep_their_time_while_the_status_stays() {
        let ready = |status: &str, message: &str| condition("Ready", status, "Reason", message);
        let mut list = Vec::new();
        // Status, message, now; whether the list changes, and the time that is stored then.
        for (status, message, now, changed, transition) in [
            ("True", "a", 1, true, 1),
            ("True", "a", 2, false, 1),
            ("True", "b", 3, true, 1),
            ("False", "b", 4, true, 4),
            ("Unknown", "b", 5, true, 5),
        ] {
            assert_eq!(
                set_condition(&mut list, ready(status, message), &time(now)),
                changed
            );
            assert_eq!(list.len(), 1);
            assert_eq!(list[0].status, status);
            assert_eq!(list[0].message, message);
            assert_eq!(list[0].last_transition_time, time(transition));
        }
    }

    #[test]
    fn other_conditions_keep_their_place() {
        let mut list = Vec::new();
        for type_ in ["A", "B", "C"] {
            set_condition(&mut list, condition(type_, "True", "R", ""), &time(1));
        }
        assert!(set_condition(
            &mut list,
            condition("B", "False", "R", ""),
            &time(2)
        ));
        let types: Vec<_> = list.iter().map(|it| it.type_.as_str()).collect();
        assert_eq!(types, ["A", "B", "C"]);
        assert!(is_true(&list, "A") && is_false(&list, "B") && !is_true(&list, "D"));
        assert!(remove_condition(&mut list, "A"));
        assert!(!remove_condition(&mut list, "A"));
        assert_eq!(find(&list, "A"), None);
    }
}

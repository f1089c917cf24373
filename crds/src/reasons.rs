//! Reasons of events, as users and alerts know them.

// Events of Clusters.

/// Normal: the execution namespace was created.
pub const CREATE_EXECUTION_SPACE_SUCCEED: &str = "CreateExecutionSpaceSucceed";
/// Warning: the execution namespace could not be created.
pub const CREATE_EXECUTION_SPACE_FAILED: &str = "CreateExecutionSpaceFailed";
/// Normal: the execution namespace was removed.
pub const REMOVE_EXECUTION_SPACE_SUCCEED: &str = "RemoveExecutionSpaceSucceed";
/// Warning: the execution namespace could not be removed.
pub const REMOVE_EXECUTION_SPACE_FAILED: &str = "RemoveExecutionSpaceFailed";
/// Normal: taints were changed.
pub const TAINT_CLUSTER_SUCCEED: &str = "TaintClusterSucceed";
/// Warning: taints could not be changed.
pub const TAINT_CLUSTER_FAILED: &str = "TaintClusterFailed";
/// Normal: the rules for impersonation reached the member.
pub const SYNC_IMPERSONATION_CONFIG_SUCCEED: &str = "SyncImpersonationConfigSucceed";
/// Warning: the rules for impersonation did not reach the member.
pub const SYNC_IMPERSONATION_CONFIG_FAILED: &str = "SyncImpersonationConfigFailed";

// Events of Works; the first two also of templates.

/// Normal: the objects of the Work were applied.
pub const SYNC_SUCCEED: &str = "SyncSucceed";
/// Warning: the objects of the Work could not be applied.
pub const SYNC_FAILED: &str = "SyncFailed";
/// Normal: dispatching was resumed or suspended.
pub const WORK_DISPATCHING: &str = "WorkDispatching";
/// Normal: the status of the member's object was taken over.
pub const REFLECT_STATUS_SUCCEED: &str = "ReflectStatusSucceed";
/// Warning: the status of the member's object could not be taken over.
pub const REFLECT_STATUS_FAILED: &str = "ReflectStatusFailed";
/// Normal: the health of the object was determined; it may be bad.
pub const INTERPRET_HEALTH_SUCCEED: &str = "InterpretHealthSucceed";
/// Warning: the health of the object could not be determined.
pub const INTERPRET_HEALTH_FAILED: &str = "InterpretHealthFailed";

// Events of templates.

/// Normal: a policy claimed the template and its binding is up to date.
pub const APPLY_POLICY_SUCCEED: &str = "ApplyPolicySucceed";
/// Warning: a policy could not be applied to the template.
pub const APPLY_POLICY_FAILED: &str = "ApplyPolicyFailed";
/// Normal: the replicas of the template were determined.
pub const GET_REPLICAS_SUCCEED: &str = "GetReplicasSucceed";
/// Warning: the replicas of the template could not be determined.
pub const GET_REPLICAS_FAILED: &str = "GetReplicasFailed";
/// Normal: the components of the template were determined.
pub const GET_COMPONENTS_SUCCEED: &str = "GetComponentsSucceed";
/// Warning: the components of the template could not be determined.
pub const GET_COMPONENTS_FAILED: &str = "GetComponentsFailed";
/// Normal: a policy took the template from another.
pub const PREEMPT_POLICY_SUCCEED: &str = "PreemptPolicySucceed";
/// Warning: a policy could not take the template from another.
pub const PREEMPT_POLICY_FAILED: &str = "PreemptPolicyFailed";
/// Normal: an override policy was applied.
pub const APPLY_OVERRIDE_POLICY_SUCCEED: &str = "ApplyOverridePolicySucceed";
/// Warning: an override policy could not be applied.
pub const APPLY_OVERRIDE_POLICY_FAILED: &str = "ApplyOverridePolicyFailed";
/// Normal: what the template refers to was determined.
pub const GET_DEPENDENCIES_SUCCEED: &str = "GetDependenciesSucceed";
/// Warning: what the template refers to could not be determined.
pub const GET_DEPENDENCIES_FAILED: &str = "GetDependenciesFailed";

// Events of bindings, most of them also of the template.

/// Normal: the Works are up to date.
pub const SYNC_WORK_SUCCEED: &str = "SyncWorkSucceed";
/// Warning: the Works could not be brought up to date.
pub const SYNC_WORK_FAILED: &str = "SyncWorkFailed";
/// Warning: Works that are not needed any more could not be deleted.
pub const CLEANUP_WORK_FAILED: &str = "CleanupWorkFailed";
/// The conflict resolution annotation of a template has a value that does not exist.
pub const INVALID_CONFLICT_RESOLUTION: &str = "InvalidConflictResolution";
/// Normal: the status of all clusters was put together.
pub const AGGREGATE_STATUS_SUCCEED: &str = "AggregateStatusSucceed";
/// Warning: the status of all clusters could not be put together.
pub const AGGREGATE_STATUS_FAILED: &str = "AggregateStatusFailed";
/// Normal: clusters were chosen.
pub const SCHEDULE_BINDING_SUCCEED: &str = "ScheduleBindingSucceed";
/// Warning: clusters could not be chosen.
pub const SCHEDULE_BINDING_FAILED: &str = "ScheduleBindingFailed";
/// Normal: replicas were taken from a cluster that cannot run them.
pub const DESCHEDULE_BINDING_SUCCEED: &str = "DescheduleBindingSucceed";
/// Warning: replicas could not be taken from a cluster that cannot run them.
pub const DESCHEDULE_BINDING_FAILED: &str = "DescheduleBindingFailed";
/// Normal: the resource has left a cluster.
pub const EVICT_WORKLOAD_FROM_CLUSTER_SUCCEED: &str = "EvictWorkloadFromClusterSucceed";
/// Warning: the resource could not be moved away from a cluster.
pub const EVICT_WORKLOAD_FROM_CLUSTER_FAILED: &str = "EvictWorkloadFromClusterFailed";
/// Normal: the bindings of dependencies know the clusters.
pub const SYNC_SCHEDULE_RESULT_TO_DEPENDENCIES_SUCCEED: &str =
    "SyncScheduleResultToDependenciesSucceed";
/// Warning: the bindings of dependencies could not be told the clusters.
pub const SYNC_SCHEDULE_RESULT_TO_DEPENDENCIES_FAILED: &str =
    "SyncScheduleResultToDependenciesFailed";
/// Warning: the bindings that need this one want different things.
pub const DEPENDENCY_POLICY_CONFLICT: &str = "DependencyPolicyConflict";

// Events of configurations of the interpreter, of our own.

/// Warning: a script or the target of the customization cannot work.
pub const INVALID_CUSTOMIZATION: &str = "InvalidCustomization";
/// Warning: another customization for the kind comes first, so that a script is never run.
pub const SHADOWED_CUSTOMIZATION: &str = "ShadowedCustomization";
/// Warning: a webhook of the configuration cannot be called.
pub const INVALID_WEBHOOK_CONFIGURATION: &str = "InvalidWebhookConfiguration";

// Events of FederatedResourceQuotas, besides those of bindings for Works and status.

/// Normal: the use of the quota was summed up.
pub const COLLECT_OVERALL_STATUS_SUCCEED: &str = "CollectOverallStatusSucceed";
/// Warning: the use of the quota could not be summed up.
pub const COLLECT_OVERALL_STATUS_FAILED: &str = "CollectOverallStatusFailed";

// Events of ServiceImports and MultiClusterServices.

/// Normal: the derived Service is up to date.
pub const SYNC_DERIVED_SERVICE_SUCCEED: &str = "SyncDerivedServiceSucceed";
/// Warning: the derived Service could not be brought up to date.
pub const SYNC_DERIVED_SERVICE_FAILED: &str = "SyncDerivedServiceFailed";
/// Normal: the Service reached the clusters.
pub const SYNC_SERVICE_SUCCEED: &str = "SyncServiceSucceed";
/// Warning: the Service did not reach the clusters.
pub const SYNC_SERVICE_FAILED: &str = "SyncServiceFailed";
/// Normal: the EndpointSlices reached the consumers.
pub const DISPATCH_ENDPOINT_SLICE_SUCCEED: &str = "DispatchEndpointSliceSucceed";
/// Warning: the EndpointSlices did not reach the consumers.
pub const DISPATCH_ENDPOINT_SLICE_FAILED: &str = "DispatchEndpointSliceFailed";
/// Warning: a cluster that is named does not exist.
pub const CLUSTER_NOT_FOUND: &str = "ClusterNotFound";
/// Warning: a cluster does not serve EndpointSlices.
pub const API_INCOMPATIBLE: &str = "APIIncompatible";

// Events of FederatedHPAs and CronFederatedHPAs.

/// Normal: the number of replicas was changed.
pub const SUCCESSFUL_RESCALE: &str = "SuccessfulRescale";
/// Warning: the number of replicas could not be changed.
pub const FAILED_RESCALE: &str = "FailedRescale";
/// Warning: the scale of the target could not be read.
pub const FAILED_GET_SCALE: &str = "FailedGetScale";
/// Warning: the target could not be read.
pub const FAILED_GET_SCALE_TARGET_REF: &str = "FailedGetScaleTargetRef";
/// Warning: the binding of the target could not be read.
pub const FAILED_GET_BINDINGS: &str = "FailedGetBindings";
/// Warning: the clusters of the target could not be read.
pub const FAILED_GET_TARGET_CLUSTERS: &str = "FailedGetTargetClusters";
/// Warning: no number of replicas could be computed.
pub const FAILED_COMPUTE_METRICS_REPLICAS: &str = "FailedComputeMetricsReplicas";
/// Warning: the scale has no selector.
pub const SELECTOR_REQUIRED: &str = "SelectorRequired";
/// Warning: the selector of the scale means nothing.
pub const INVALID_SELECTOR: &str = "InvalidSelector";
/// Warning: the Pods belong to several autoscalers.
pub const AMBIGUOUS_SELECTOR: &str = "AmbiguousSelector";
/// Warning: the type of a metric is unknown.
pub const INVALID_METRIC_SOURCE_TYPE: &str = "InvalidMetricSourceType";
/// Warning: the status could not be written.
pub const FAILED_UPDATE_STATUS: &str = "FailedUpdateStatus";
/// Warning: a rule could not be scheduled.
pub const START_RULE_FAILED: &str = "StartRuleFailed";
/// Warning: the rules could not be changed.
pub const UPDATE_CRON_FEDERATED_HPA_FAILED: &str = "UpdateCronFederatedHPAFailed";
/// Warning: the target could not be scaled.
pub const SCALE_FAILED: &str = "ScaleFailed";
/// Warning: the history could not be written.
pub const UPDATE_STATUS_FAILED: &str = "UpdateStatusFailed";

// Events of the Pod that watches name resolution.

/// Warning: the condition of the node could not be read.
pub const LOAD_COREDNS_CONDITION_FAILED: &str = "LoadCorednsConditionFailed";
/// Warning: the condition of the node could not be written.
pub const STORE_COREDNS_CONDITION_FAILED: &str = "StoreCorednsConditionFailed";

/// Warning: a metric of some kind could not be read; the kind is `Object`, `Pods`, `Resource`, `ContainerResource` or `External`.
pub fn failed_get_metric(kind: &str) -> String {
    format!("FailedGet{kind}Metric")
}

//! Group `policy.karmada.io`: what users say about where resources go and how they differ there.

pub mod defaults;
mod failover;
mod overrides;
mod placement;
mod propagation;
mod quota;
mod rules;
mod taint;
#[cfg(test)]
mod tests;

pub use failover::{
    ApplicationFailoverBehavior, ClusterFailoverBehavior, DecisionConditions, FailoverBehavior,
    PurgeMode, StatePreservation, StatePreservationRule,
};
pub use overrides::{
    ClusterOverridePolicy, CommandArgsOverrider, DocumentOverrider, FieldOverrider, ImageComponent,
    ImageOverrider, ImagePredicate, LabelAnnotationOverrider, OverridePolicy, OverrideSpec,
    OverriderOperator, Overriders, PlaintextOverrider, RuleWithCluster,
};
pub use placement::{
    ClusterAffinity, ClusterAffinityTerm, ClusterPreferences, DynamicWeight, FieldSelector,
    OverflowAffinityTerm, Placement, ReplicaDivisionPreference, ReplicaSchedulingStrategy,
    ReplicaSchedulingType, SpreadConstraint, SpreadField, StaticClusterWeight, WorkloadAffinity,
    WorkloadAffinityTerm,
};
pub use propagation::{
    ActivationPreference, ClusterPropagationPolicy, ConflictResolution, PreemptionBehavior,
    PriorityClassSource, PropagationPolicy, PropagationSpec, ResourceSelector, SchedulePriority,
    SuspendClusters, Suspension,
};
pub use quota::{
    ClusterQuotaStatus, FederatedResourceQuota, FederatedResourceQuotaSpec,
    FederatedResourceQuotaStatus, StaticClusterAssignment,
};
pub use taint::{ClusterTaintPolicy, ClusterTaintPolicySpec, MatchCondition, PolicyTaint};

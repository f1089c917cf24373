//! `ResourceBinding` and `ClusterResourceBinding`: one propagated resource, its placement and where it ended up.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ResourceHealth;
use crate::kind::Column;
use crate::policy::{ConflictResolution, FailoverBehavior, Placement, PurgeMode, SuspendClusters};

kind! {
    /// The propagation of one namespaced resource: what the policy wants for it, where the scheduler put it, and how it fares
    /// there. Written by the control plane.
    pub struct ResourceBinding { spec: ResourceBindingSpec, status: ResourceBindingStatus }
    group: "work.karmada.io",
    version: "v1alpha2",
    plural: "resourcebindings",
    singular: "resourcebinding",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["rb"],
    categories: ["karmada-io"],
    columns: COLUMNS,
    subresources: Status,
    rules: &[],
}

kind! {
    /// The propagation of one cluster-scoped resource: what the policy wants for it, where the scheduler put it, and how it fares
    /// there. Written by the control plane.
    pub struct ClusterResourceBinding { spec: ResourceBindingSpec, status: ResourceBindingStatus }
    group: "work.karmada.io",
    version: "v1alpha2",
    plural: "clusterresourcebindings",
    singular: "clusterresourcebinding",
    scope: Cluster as ClusterResourceScope,
    short_names: ["crb"],
    categories: ["karmada-io"],
    columns: COLUMNS,
    subresources: Status,
    rules: &[],
}

const COLUMNS: &[Column] = &[
    Column::string(
        "SCHEDULED",
        r#".status.conditions[?(@.type=="Scheduled")].status"#,
    ),
    Column::string(
        "FULLYAPPLIED",
        r#".status.conditions[?(@.type=="FullyApplied")].status"#,
    ),
    Column::age("AGE"),
];

/// What is propagated, what the policy says about it, and which clusters were chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceBindingSpec {
    /// The resource that is propagated.
    pub resource: ObjectReference,

    /// Whether what the resource refers to is propagated along with it; from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagate_deps: Option<bool>,

    /// What one replica needs. Absent for resources without replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_requirements: Option<ReplicaRequirements>,

    /// The number of replicas that the resource asks for. Absent for resources without replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// The parts of a workload with several pod templates; used instead of `replicas` and `replicaRequirements`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,

    /// The chosen clusters with their shares of the replicas; written by the scheduler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<TargetCluster>,

    /// Clusters that the resource is moving away from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub graceful_eviction_tasks: Vec<GracefulEvictionTask>,

    /// Other bindings whose resources need this one, with their clusters: this resource goes there too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_by: Vec<BindingSnapshot>,

    /// The scheduler that is responsible; from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<String>,

    /// When and how the workload moves away from where it fails; from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::unchecked::<FailoverBehavior>")]
    pub failover: Option<FailoverBehavior>,

    /// What happens when the object exists in a cluster already; from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Abort"))]
    pub conflict_resolution: Option<ConflictResolution>,

    /// Where the resource goes and how replicas are divided; from the policy. Absent for resources that only follow others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::unchecked::<Placement>")]
    pub placement: Option<Placement>,

    /// A full rescheduling is due while this is later than `status.lastScheduledTime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reschedule_triggered_at: Option<Time>,

    /// Holds back changes, or scheduling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<BindingSuspension>,

    /// Keeps the objects in the member clusters when their Work is deleted; from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_resources_on_deletion: Option<bool>,

    /// The priority in the scheduler's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_priority: Option<BindingSchedulePriority>,

    /// The groups that the workload belongs to for attraction and repulsion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_affinity_groups: Option<WorkloadAffinityGroups>,
}

/// The resource that a binding propagates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Group and version, for example `apps/v1`.
    pub api_version: String,

    /// The kind, for example `Deployment`.
    pub kind: String,

    /// The namespace; absent for cluster-scoped resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The name.
    pub name: String,

    /// The unique id, which tells the resource from another one that had the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,

    /// The version of the resource that the binding was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// What one replica needs from the cluster it runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaRequirements {
    /// The nodes that a replica can run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_claim: Option<NodeClaim>,

    /// The resources that a replica requests, for example `{cpu: 100m, memory: 128Mi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub resource_request: BTreeMap<String, Quantity>,

    /// The namespace that the replicas run in, whose quota counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The priority class of the replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

/// The nodes that a replica can run on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaim {
    /// The required part of the node affinity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::node_selector")]
    pub hard_node_affinity: Option<NodeSelector>,

    /// Labels that the node has to have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the replica tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// One part of a workload with several pod templates, such as the job manager of a Flink cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// The name of the part, unique in the workload.
    #[schemars(length(max = 32))]
    pub name: String,

    /// The number of replicas of the part.
    pub replicas: i32,

    /// What one replica of the part needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_requirements: Option<ComponentReplicaRequirements>,
}

/// What one replica of a component needs from the cluster it runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentReplicaRequirements {
    /// The nodes that a replica can run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_claim: Option<NodeClaim>,

    /// The resources that a replica requests, for example `{cpu: 100m, memory: 128Mi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub resource_request: BTreeMap<String, Quantity>,

    /// The priority class of the replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

/// A chosen cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetCluster {
    /// The name of the cluster.
    pub name: String,

    /// The cluster's share of the replicas; absent or 0 for resources without replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}

/// A cluster that the resource is moving away from, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GracefulEvictionTask {
    /// The name of the cluster.
    pub from_cluster: String,

    /// What happens to the instance in the cluster; without it, `Gracefully` is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_mode: Option<PurgeMode>,

    /// How many replicas the cluster had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Why the resource moves, in one word, for example `TaintUntolerated`.
    #[schemars(schema_with = "crate::schema::short_reason")]
    pub reason: String,

    /// Why the resource moves, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,

    /// Who decided that the resource moves, for example `TaintManager`.
    pub producer: String,

    /// How long, in seconds, the instance is kept at most. Cannot be combined with `suppressDeletion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i32>,

    /// True keeps the instance until somebody confirms its deletion by setting this to false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress_deletion: Option<bool>,

    /// Labels with state of the instance, for its successors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub preserved_label_state: BTreeMap<String, String>,

    /// When the task was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,

    /// The clusters that the resource ran in before the move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters_before_failover: Vec<String>,
}

/// A binding that needs this one, and its clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingSnapshot {
    /// The namespace of the binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The name of the binding.
    pub name: String,

    /// The clusters of the binding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<TargetCluster>,
}

/// Holds back changes, or scheduling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingSuspension {
    /// True holds back changes from all clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatching: Option<bool>,

    /// Holds back changes from some clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatching_on_clusters: Option<SuspendClusters>,

    /// True keeps the scheduler from placing the resource. Meant for queueing systems, which set it when the binding is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<bool>,
}

/// The priority in the scheduler's queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingSchedulePriority {
    /// The priority; higher goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 0))]
    pub priority: Option<i32>,
}

/// The groups of a workload for attraction and repulsion, each as `<label key>=<label value>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadAffinityGroups {
    /// The group whose members run on the same clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity_group: Option<String>,

    /// The group whose members run on different clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affinity_group: Option<String>,
}

/// What the scheduler did last, and how the resource fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceBindingStatus {
    /// The `metadata.generation` that was last scheduled successfully.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_observed_generation: Option<i64>,

    /// The name of the group in `placement.clusterAffinities` that is in use.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "schedulerObservingAffinityName"
    )]
    pub scheduler_observing_affinity_name: Option<String>,

    /// When the last successful scheduling ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scheduled_time: Option<Time>,

    /// Whether the resource is scheduled (`Scheduled`) and has reached all its clusters (`FullyApplied`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,

    /// The state of the resource in each cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregated_status: Vec<AggregatedStatusItem>,
}

/// The state of the resource in one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AggregatedStatusItem {
    /// The name of the cluster.
    pub cluster_name: String,

    /// The part of the object's status there that matters for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object")]
    pub status: Option<Value>,

    /// Whether the resource was applied there; absent means it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<bool>,

    /// Why it was not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_message: Option<String>,

    /// Whether the object is healthy there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ResourceHealth>,
}

impl ResourceBindingSpec {
    /// Whether the resource is a workload, with replicas to place.
    pub fn is_workload(&self) -> bool {
        self.replicas.unwrap_or_default() > 0
            || self.replica_requirements.is_some()
            || !self.components.is_empty()
    }

    /// The chosen cluster of this name.
    pub fn target(&self, cluster: &str) -> Option<&TargetCluster> {
        self.clusters.iter().find(|target| target.name == cluster)
    }

    /// The replicas that this cluster has; 0 when it is not chosen.
    pub fn replicas_in(&self, cluster: &str) -> i32 {
        self.target(cluster)
            .and_then(|target| target.replicas)
            .unwrap_or_default()
    }

    /// The task that moves the resource away from this cluster.
    pub fn eviction_task(&self, cluster: &str) -> Option<&GracefulEvictionTask> {
        self.graceful_eviction_tasks
            .iter()
            .find(|task| task.from_cluster == cluster)
    }

    /// Takes this cluster out of the chosen ones and returns its entry.
    pub fn remove_target(&mut self, cluster: &str) -> Option<TargetCluster> {
        let at = self.clusters.iter().position(|it| it.name == cluster)?;
        Some(self.clusters.remove(at))
    }

    /// Takes the task's cluster out of the chosen ones and keeps the task, unless there is one for the cluster already.
    ///
    /// Returns false, and changes nothing, when the cluster is not chosen. The task's `replicas` are set to what the cluster had.
    pub fn evict_gracefully(&mut self, mut task: GracefulEvictionTask) -> bool {
        let Some(removed) = self.remove_target(&task.from_cluster) else {
            return false;
        };
        if self.eviction_task(&task.from_cluster).is_none() {
            task.replicas = removed.replicas.filter(|replicas| *replicas > 0);
            self.graceful_eviction_tasks.push(task);
        }
        true
    }

    /// The priority in the scheduler's queue; 0 when nothing is said.
    pub fn priority(&self) -> i32 {
        self.schedule_priority
            .as_ref()
            .and_then(|it| it.priority)
            .unwrap_or_default()
    }

    /// Whether the scheduler is to leave the binding alone.
    pub fn is_scheduling_suspended(&self) -> bool {
        self.suspension
            .as_ref()
            .is_some_and(|it| it.scheduling == Some(true))
    }
}

impl BindingSuspension {
    /// Whether changes for this cluster are held back.
    pub fn suspends(&self, cluster: &str) -> bool {
        self.dispatching == Some(true)
            || self
                .dispatching_on_clusters
                .as_ref()
                .is_some_and(|on| on.cluster_names.iter().any(|name| name == cluster))
    }
}

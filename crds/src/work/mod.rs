//! Group `work.karmada.io`: what the control plane writes on a resource's way to the member clusters and back.

mod binding;
#[cfg(test)]
mod tests;
mod twins;
pub mod v1alpha1;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use binding::{
    AggregatedStatusItem, BindingSchedulePriority, BindingSnapshot, BindingSuspension,
    ClusterResourceBinding, Component, ComponentReplicaRequirements, GracefulEvictionTask,
    NodeClaim, ObjectReference, ReplicaRequirements, ResourceBinding, ResourceBindingSpec,
    ResourceBindingStatus, TargetCluster, WorkloadAffinityGroups,
};
pub use twins::Binding;

use crate::kind::Column;

kind! {
    /// Objects on their way to one member cluster; the namespace of the Work says which. Written by the control plane, carried out
    /// by it or by the agent in the member cluster.
    pub struct Work { spec: WorkSpec, status: WorkStatus }
    group: "work.karmada.io",
    version: "v1alpha1",
    plural: "works",
    singular: "work",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["wk"],
    categories: ["karmada-io"],
    columns: &[
        Column::string("WORKLOAD-KIND", ".spec.workload.manifests[*].kind"),
        Column::string("APPLIED", r#".status.conditions[?(@.type=="Applied")].status"#),
        Column::age("AGE"),
    ],
    subresources: Status,
    rules: &[],
}

/// What is to exist in the member cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkSpec {
    /// The objects.
    #[serde(default, skip_serializing_if = "WorkloadTemplate::is_empty")]
    pub workload: WorkloadTemplate,

    /// True holds back changes from the member cluster; the status is still collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_dispatching: Option<bool>,

    /// True leaves the objects in the member cluster when the Work is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_resources_on_deletion: Option<bool>,
}

/// Objects for a member cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadTemplate {
    /// The objects, whole, as they are applied in the member cluster. The control plane puts exactly one into each Work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::raw_objects")]
    pub manifests: Vec<Value>,
}

impl WorkloadTemplate {
    /// Whether there are no objects.
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty()
    }
}

/// What became of the objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkStatus {
    /// Whether the objects are on their way (`Dispatching`) and have been applied (`Applied`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,

    /// The state of each object in the member cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifest_statuses: Vec<ManifestStatus>,
}

/// The state of one object in the member cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestStatus {
    /// Which object.
    pub identifier: ResourceIdentifier,

    /// The part of the object's status that matters for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object")]
    pub status: Option<Value>,

    /// Whether the object is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ResourceHealth>,
}

/// Names an object of a Work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceIdentifier {
    /// The object's place in the list of manifests, from 0.
    #[schemars(schema_with = "crate::schema::integer")]
    pub ordinal: i64,

    /// The API group; absent for the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,

    /// The API version, for example `v1`.
    pub version: String,

    /// The kind, for example `Deployment`.
    pub kind: String,

    /// The resource name of the kind, for example `deployments`; may be empty.
    pub resource: String,

    /// The namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The name.
    pub name: String,
}

/// Whether an object does what it is for.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum ResourceHealth {
    /// It does.
    Healthy,
    /// It does not.
    Unhealthy,
    /// Nothing is known about it.
    #[default]
    Unknown,
}

impl ResourceHealth {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Unhealthy => "Unhealthy",
            Self::Unknown => "Unknown",
        }
    }
}

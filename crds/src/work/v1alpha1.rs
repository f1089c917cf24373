//! Version v1alpha1 of the bindings: an older, smaller shape. Declared so that the definition keeps its history, neither served
//! nor stored.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TargetCluster;

kind! {
    /// The propagation of one namespaced resource, in the shape of an older version.
    pub struct ResourceBinding { spec: ResourceBindingSpec, status: ResourceBindingStatus }
    group: "work.karmada.io",
    version: "v1alpha1",
    plural: "resourcebindings",
    singular: "resourcebinding",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["rb"],
    categories: ["karmada-io"],
    columns: &[],
    subresources: Status,
    rules: &[],
}

kind! {
    /// The propagation of one cluster-scoped resource, in the shape of an older version.
    pub struct ClusterResourceBinding { spec: ResourceBindingSpec, status: ResourceBindingStatus }
    group: "work.karmada.io",
    version: "v1alpha1",
    plural: "clusterresourcebindings",
    singular: "clusterresourcebinding",
    scope: Cluster as ClusterResourceScope,
    short_names: ["crb"],
    categories: ["karmada-io"],
    columns: &[],
    subresources: Status,
    rules: &[],
}

/// What is propagated, and which clusters were chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceBindingSpec {
    /// The resource that is propagated.
    pub resource: ObjectReference,

    /// The chosen clusters with their shares of the replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<TargetCluster>,
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

    /// The version of the resource that the binding was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,

    /// The resources that one replica requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub resource_per_replicas: BTreeMap<String, Quantity>,

    /// The number of replicas that the resource asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}

/// How the resource fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceBindingStatus {
    /// Whether the resource is scheduled and has reached all its clusters.
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
}

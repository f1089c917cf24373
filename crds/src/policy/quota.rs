//! `FederatedResourceQuota`: a quota for a namespace over all clusters.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::kind::Column;

kind! {
    /// Limits what a namespace may use in all clusters together.
    pub struct FederatedResourceQuota { spec: FederatedResourceQuotaSpec, status: FederatedResourceQuotaStatus }
    group: "policy.karmada.io",
    version: "v1alpha1",
    plural: "federatedresourcequotas",
    singular: "federatedresourcequota",
    scope: Namespaced as NamespaceResourceScope,
    short_names: [],
    categories: ["karmada-io"],
    columns: &[
        Column::string("OVERALL", ".status.overall"),
        Column::string("OVERALL_USED", ".status.overallUsed"),
    ],
    subresources: Status,
    rules: rules::FEDERATED_RESOURCE_QUOTA,
}

/// The limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederatedResourceQuotaSpec {
    /// The limit for each resource over all clusters, for example `{cpu: "100", memory: 200Gi}`.
    #[schemars(schema_with = "rules::limits")]
    pub overall: BTreeMap<String, Quantity>,

    /// Limits for single clusters. A ResourceQuota with them is kept in each of these clusters; the scheduler does not look at
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub static_assignments: Vec<StaticClusterAssignment>,
}

/// The limits for one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StaticClusterAssignment {
    /// The name of the cluster.
    #[schemars(extend("allOf" = rules::cluster_name()))]
    pub cluster_name: String,

    /// The limit for each resource in that cluster. Each resource has to be limited in `overall` too.
    #[schemars(schema_with = "rules::limits")]
    pub hard: BTreeMap<String, Quantity>,
}

/// The limits in force and what is used of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederatedResourceQuotaStatus {
    /// The limits in force.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub overall: BTreeMap<String, Quantity>,

    /// What is used in all clusters together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub overall_used: BTreeMap<String, Quantity>,

    /// Limits and use in each cluster that has a static assignment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregated_status: Vec<ClusterQuotaStatus>,
}

/// Limits and use in one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterQuotaStatus {
    /// The name of the cluster.
    pub cluster_name: String,

    /// The limits in that cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub hard: BTreeMap<String, Quantity>,

    /// What is used in that cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub used: BTreeMap<String, Quantity>,
}

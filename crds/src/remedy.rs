//! `remedy.karmada.io`: what to do to a cluster while one of its conditions asks for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The action that keeps multi-cluster traffic away from a cluster.
pub const TRAFFIC_CONTROL: &str = "TrafficControl";

kind! {
    /// Demands actions for clusters whose conditions match. The actions that all remedies demand of a cluster are listed in the
    /// `status.remedyActions` of that Cluster; whoever carries an action out reads them there.
    pub struct Remedy { spec: RemedySpec }
    group: "remedy.karmada.io",
    version: "v1alpha1",
    plural: "remedies",
    singular: "remedy",
    scope: Cluster as ClusterResourceScope,
    short_names: [],
    categories: ["karmada-io"],
    columns: &[],
    subresources: None,
    rules: &[],
}

/// Which clusters to watch, for what, and what to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemedySpec {
    /// What to do to a matching cluster. `TrafficControl` keeps the traffic of multi-cluster
    /// services and ingresses away from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,

    /// The clusters that this remedy is about. Unset means every cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_affinity: Option<RemedyClusterAffinity>,

    /// When to act: as soon as one entry matches. An empty list always matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decision_matches: Vec<DecisionMatch>,
}

/// The clusters of a remedy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemedyClusterAffinity {
    /// Names of the clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_names: Vec<String>,
}

/// One reason to act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionMatch {
    /// Matches a condition in the status of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_condition_match: Option<ClusterConditionMatch>,
}

/// Compares one condition of a cluster with a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterConditionMatch {
    /// The status to compare with: `True`, `False` or `Unknown`.
    pub condition_status: String,

    /// Type of the condition, such as `ServiceDomainNameResolutionReady`.
    pub condition_type: String,

    /// Whether the condition must have that status or must not.
    pub operator: ClusterConditionOperator,
}

/// How a condition's status is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterConditionOperator {
    /// The condition has the given status.
    Equal,
    /// The condition has another status.
    NotEqual,
}

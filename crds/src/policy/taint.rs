//! `ClusterTaintPolicy`: taints clusters by their conditions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::placement::ClusterAffinity;
use super::rules;

kind! {
    /// Adds taints to clusters, and takes them away again, depending on the conditions of the clusters. Deleting the policy leaves
    /// the taints as they are.
    pub struct ClusterTaintPolicy { spec: ClusterTaintPolicySpec }
    group: "policy.karmada.io",
    version: "v1alpha1",
    plural: "clustertaintpolicies",
    singular: "clustertaintpolicy",
    scope: Cluster as ClusterResourceScope,
    short_names: [],
    categories: [],
    columns: &[],
    subresources: None,
    rules: &[],
}

/// Which clusters are tainted, when, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTaintPolicySpec {
    /// The clusters to watch. Leave it out for all clusters. A cluster that stops matching keeps its taints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_clusters: Option<ClusterAffinity>,

    /// The taints are added when all of these hold. Without any they are never added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_on_conditions: Vec<MatchCondition>,

    /// The taints are removed when all of these hold. Without any they are never removed. Checked after `addOnConditions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_on_conditions: Vec<MatchCondition>,

    /// The taints.
    #[schemars(length(min = 1), extend("x-kubernetes-validations" = rules::taints()))]
    pub taints: Vec<PolicyTaint>,
}

/// A demand on one condition of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchCondition {
    /// The type of the condition, for example `Ready`.
    pub condition_type: String,

    /// `In` or `NotIn`.
    #[schemars(extend("allOf" = rules::one_of(&["In", "NotIn"])))]
    pub operator: String,

    /// The statuses that the condition has to have, or must not have, for example `["False", "Unknown"]`.
    pub status_values: Vec<String>,
}

/// A taint that a policy manages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTaint {
    /// The key of the taint, for example `example.com/degraded`.
    #[schemars(extend("allOf" = rules::label_key()))]
    pub key: String,

    /// The effect of the taint: `NoSchedule` keeps new workloads off, `NoExecute` moves running ones away too, which
    /// administrators have to allow first.
    #[schemars(extend("allOf" = rules::one_of(&["NoSchedule", "NoExecute"])))]
    pub effect: String,

    /// The value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("allOf" = rules::label_value()))]
    pub value: Option<String>,
}

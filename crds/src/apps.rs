//! `apps.karmada.io`: asking for workloads to be scheduled afresh.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kind! {
    /// Asks the scheduler once to place the listed workloads as if they were new, for example after a cluster came back or was
    /// added. The present placement is not taken into account, so replicas may move.
    pub struct WorkloadRebalancer { spec: WorkloadRebalancerSpec, status: WorkloadRebalancerStatus }
    group: "apps.karmada.io",
    version: "v1alpha1",
    plural: "workloadrebalancers",
    singular: "workloadrebalancer",
    scope: Cluster as ClusterResourceScope,
    short_names: [],
    categories: [],
    columns: &[],
    subresources: Status,
    rules: &[],
}

/// Which workloads to schedule afresh, and how long to keep the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRebalancerSpec {
    /// Seconds that the object is kept after all workloads were handled. Unset keeps it until
    /// somebody deletes it; 0 deletes it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<i32>,

    /// The workloads to schedule afresh. Each is handled once; adding an entry later triggers
    /// that entry alone.
    #[schemars(length(min = 1))]
    pub workloads: Vec<RebalancedWorkload>,
}

/// A workload in the control plane.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct RebalancedWorkload {
    /// API version of the workload, such as `apps/v1`.
    pub api_version: String,

    /// Kind of the workload, such as `Deployment`.
    pub kind: String,

    /// Name of the workload.
    pub name: String,

    /// Namespace of the workload. Empty for a cluster-scoped one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What became of the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRebalancerStatus {
    /// When the last of the workloads was handled. Unset while some are still to be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<Time>,

    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The workloads handled so far and how it went, in a stable order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed_workloads: Vec<ObservedWorkload>,
}

/// The outcome for one workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedWorkload {
    /// Why it failed: `ReferencedBindingNotFound` when no binding exists for the workload, which
    /// means that no policy propagates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub reason: Option<RebalanceFailure>,

    /// `Successful` once a fresh scheduling was triggered, else `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub result: Option<RebalanceResult>,

    /// The workload that this entry is about.
    pub workload: RebalancedWorkload,
}

/// Whether a fresh scheduling was triggered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebalanceResult {
    /// The binding of the workload was marked for a fresh scheduling.
    Successful,
    /// It was not; the reason says why.
    Failed,
    /// A value that this version does not know. The schema accepts any string.
    #[serde(untagged)]
    Other(String),
}

/// Why no fresh scheduling was triggered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebalanceFailure {
    /// The workload has no binding.
    ReferencedBindingNotFound,
    /// A value that this version does not know. The schema accepts any string.
    #[serde(untagged)]
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_results_survive_a_round_trip() {
        let written = serde_json::json!({
            "result": "Postponed",
            "reason": "ReferencedBindingNotFound",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        });
        let read: ObservedWorkload = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(
            read.result,
            Some(RebalanceResult::Other("Postponed".into()))
        );
        assert_eq!(
            read.reason,
            Some(RebalanceFailure::ReferencedBindingNotFound)
        );
        assert_eq!(serde_json::to_value(read).unwrap(), written);
    }
}

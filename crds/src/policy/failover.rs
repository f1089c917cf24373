//! What happens to workloads whose cluster or whose application fails.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// When and how workloads move to other clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailoverBehavior {
    /// Moves a workload that is unhealthy in one cluster. Needs `propagateDeps`. Without it, unhealthy workloads stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::application_failover()))]
    pub application: Option<ApplicationFailoverBehavior>,

    /// Moves workloads off a cluster that fails. Without it the defaults of the control plane hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterFailoverBehavior>,
}

/// How a workload moves away from a cluster in which it is unhealthy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationFailoverBehavior {
    /// When the workload counts as failed.
    pub decision_conditions: DecisionConditions,

    /// What happens to the failed instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Gracefully"))]
    pub purge_mode: Option<PurgeMode>,

    /// How long, in seconds, the failed instance is kept at most while the new ones get healthy. Only with `Gracefully`, where
    /// absent means 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i32>,

    /// Which state of the failed instance its successor is told through labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_preservation: Option<StatePreservation>,
}

/// When a workload counts as failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionConditions {
    /// For how many seconds the workload may be unhealthy without a pause before it is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 300))]
    pub toleration_seconds: Option<i32>,
}

/// How workloads move off a failed cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFailoverBehavior {
    /// What happens to the instances in the failed cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Gracefully", "enum" = ["Directly", "Gracefully"]))]
    pub purge_mode: Option<PurgeMode>,

    /// Which state of the failed instances their successors are told through labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_preservation: Option<StatePreservation>,
}

/// What happens to an instance that moves away.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum PurgeMode {
    /// It is deleted at once.
    Directly,
    /// It is deleted when its successors are healthy, or when the grace period ends.
    Gracefully,
    /// It is never deleted by the control plane; somebody has to confirm.
    Never,
    /// The old name of `Directly`.
    Immediately,
    /// The old name of `Gracefully`.
    Graciously,
}

impl PurgeMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Directly => "Directly",
            Self::Gracefully => "Gracefully",
            Self::Never => "Never",
            Self::Immediately => "Immediately",
            Self::Graciously => "Graciously",
        }
    }

    /// The current name of a mode that goes by an old one.
    #[must_use]
    pub const fn normalised(self) -> Self {
        match self {
            Self::Immediately => Self::Directly,
            Self::Graciously => Self::Gracefully,
            other => other,
        }
    }

    /// Whether instances are deleted at once, under either name.
    pub fn is_directly(self) -> bool {
        self.normalised() == Self::Directly
    }

    /// Whether instances wait for their successors, under either name.
    pub fn is_gracefully(self) -> bool {
        self.normalised() == Self::Gracefully
    }
}

/// Which state a workload hands to its successor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatePreservation {
    /// What is read, and the label it is handed over in.
    pub rules: Vec<StatePreservationRule>,
}

/// One piece of state that is handed over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatePreservationRule {
    /// The key of the label on the successor that gets the value, for example `failover.example.com/availableReplicas`.
    #[schemars(extend("allOf" = rules::label_key()))]
    pub alias_label_name: String,

    /// Where the value stands, as a JSONPath template that starts at the object's `status`, for example `{.availableReplicas}`.
    pub json_path: String,
}

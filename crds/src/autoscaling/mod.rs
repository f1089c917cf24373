//! `autoscaling.karmada.io`: scaling a workload over all clusters, by metrics or by the clock.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments become descriptions, in which kinds and products stand as plain words"
)]

mod rules;

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerCondition,
    MetricSpec, MetricStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::Column;
use crate::manifests::native;

kind! {
    /// A HorizontalPodAutoscaler for a workload that runs in several clusters: it reads the metrics of the pods of all of them and
    /// sets the replicas of the template, which scheduling then divides.
    pub struct FederatedHPA { spec: FederatedHPASpec, status: FederatedHPAStatus }
    group: "autoscaling.karmada.io",
    version: "v1alpha1",
    plural: "federatedhpas",
    singular: "federatedhpa",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["fhpa"],
    categories: ["karmada-io"],
    columns: &[
        Column::string("REFERENCE-KIND", ".spec.scaleTargetRef.kind"),
        Column::string("REFERENCE-NAME", ".spec.scaleTargetRef.name"),
        Column::integer("MINPODS", ".spec.minReplicas"),
        Column::integer("MAXPODS", ".spec.maxReplicas"),
        Column::integer("REPLICAS", ".status.currentReplicas"),
        Column::age("AGE"),
    ],
    subresources: Status,
    rules: &[],
}

/// What to scale, between which bounds and by which metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::federated_hpa()))]
pub struct FederatedHPASpec {
    /// How fast to scale in each direction. Unset values are those of the Kubernetes HorizontalPodAutoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::behavior")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,

    /// The most replicas over all clusters.
    #[schemars(extend("x-kubernetes-validations" = rules::max_replicas()))]
    pub max_replicas: i32,

    /// The metrics to scale by; the one that asks for the most replicas wins. Object, Pods, Resource and ContainerResource metrics
    /// are supported. When empty, the target is an average CPU utilization of 80 percent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        schema_with = "native::list_of::<MetricSpec>",
        extend("x-kubernetes-validations" = rules::metrics())
    )]
    pub metrics: Vec<MetricSpec>,

    /// The fewest replicas over all clusters, 1 when unset. Scaling to zero is not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::min_replicas()))]
    pub min_replicas: Option<i32>,

    /// The template to scale: any kind in the same namespace that has a scale subresource.
    pub scale_target_ref: CrossVersionObjectReference,
}

/// What the autoscaler measured and did; the status of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederatedHPAStatus {
    /// Whether it can scale and what limits it, one entry per type of condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::conditions")]
    pub conditions: Vec<HorizontalPodAutoscalerCondition>,

    /// The metrics as they were last read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "native::atomic_list_of::<MetricStatus>")]
    pub current_metrics: Vec<MetricStatus>,

    /// The replicas that ran over all clusters when it last looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,

    /// The replicas that it asked for last.
    pub desired_replicas: i32,

    /// When it last changed the number of replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,

    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

kind! {
    /// Scales a workload, or moves the bounds of a FederatedHPA, at times given as cron schedules.
    pub struct CronFederatedHPA { spec: CronFederatedHPASpec, status: CronFederatedHPAStatus }
    group: "autoscaling.karmada.io",
    version: "v1alpha1",
    plural: "cronfederatedhpas",
    singular: "cronfederatedhpa",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["cronfhpa"],
    categories: ["karmada-io"],
    columns: &[
        Column::string("REFERENCE-KIND", ".spec.scaleTargetRef.kind"),
        Column::string("REFERENCE-NAME", ".spec.scaleTargetRef.name"),
        Column::age("AGE"),
    ],
    subresources: Status,
    rules: &[],
}

/// What to scale, and when to which size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::cron_federated_hpa()))]
pub struct CronFederatedHPASpec {
    /// When to scale to which size.
    pub rules: Vec<CronFederatedHPARule>,

    /// What to scale: a FederatedHPA, or any kind in the same namespace that has a scale subresource.
    pub scale_target_ref: CrossVersionObjectReference,
}

/// One schedule and the size that it sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CronFederatedHPARule {
    /// How many failed executions to remember, 0 to 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 32), extend("default" = 3))]
    pub failed_history_limit: Option<i32>,

    /// Name of the rule, unique in the list. Its history in the status goes by this name.
    #[schemars(length(min = 1, max = 32))]
    pub name: String,

    /// When to run, as a cron expression of five fields (`0 18 * * 5`) or a macro such as
    /// `@daily`.
    pub schedule: String,

    /// How many successful executions to remember, 1 to 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32), extend("default" = 3))]
    pub successful_history_limit: Option<i32>,

    /// True pauses the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub suspend: Option<bool>,

    /// Sets `maxReplicas`, when the target is a FederatedHPA. Unset leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_max_replicas: Option<i32>,

    /// Sets `minReplicas`, when the target is a FederatedHPA. Unset leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_min_replicas: Option<i32>,

    /// The replicas to scale to, when the target is not a FederatedHPA. Needed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_replicas: Option<i32>,

    /// The time zone of the schedule by its IANA name, such as `Europe/Berlin`. Unset takes
    /// that of the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// What ran and what comes next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CronFederatedHPAStatus {
    /// The history of each rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub execution_histories: Vec<ExecutionHistory>,
}

/// The history of one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionHistory {
    /// The latest failures, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_executions: Vec<FailedExecution>,

    /// When the rule runs next. Unset while it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_execution_time: Option<Time>,

    /// Name of the rule.
    pub rule_name: String,

    /// The latest successes, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successful_executions: Vec<SuccessfulExecution>,
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedExecution {
    /// When it ran.
    pub execution_time: Time,

    /// Why it failed.
    pub message: String,

    /// When it was due.
    pub schedule_time: Time,
}

/// A run that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuccessfulExecution {
    /// The `maxReplicas` that it set on a FederatedHPA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_max_replicas: Option<i32>,

    /// The `minReplicas` that it set on a FederatedHPA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_min_replicas: Option<i32>,

    /// The replicas that it set on a workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_replicas: Option<i32>,

    /// When it ran.
    pub execution_time: Time,

    /// When it was due.
    pub schedule_time: Time,
}

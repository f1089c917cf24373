//! `PropagationPolicy` and `ClusterPropagationPolicy`: which resources go to which clusters.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failover::FailoverBehavior;
use super::placement::Placement;
use super::rules;
use crate::kind::Column;

kind! {
    /// Propagates resources of its own namespace to member clusters.
    pub struct PropagationPolicy { spec: PropagationSpec }
    group: "policy.karmada.io",
    version: "v1alpha1",
    plural: "propagationpolicies",
    singular: "propagationpolicy",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["pp"],
    categories: ["karmada-io"],
    columns: &[
        Column::string("CONFLICT-RESOLUTION", ".spec.conflictResolution"),
        Column::string("PRIORITY", ".spec.priority"),
        Column::age("AGE"),
    ],
    subresources: Empty,
    rules: &[],
}

kind! {
    /// Propagates cluster-scoped resources, and resources of any namespace that no `PropagationPolicy` claims, to member
    /// clusters.
    pub struct ClusterPropagationPolicy { spec: PropagationSpec }
    group: "policy.karmada.io",
    version: "v1alpha1",
    plural: "clusterpropagationpolicies",
    singular: "clusterpropagationpolicy",
    scope: Cluster as ClusterResourceScope,
    short_names: ["cpp"],
    categories: ["karmada-io"],
    columns: &[
        Column::string("CONFLICT-RESOLUTION", ".spec.conflictResolution"),
        Column::string("PRIORITY", ".spec.priority"),
        Column::age("AGE"),
    ],
    subresources: Empty,
    rules: &[],
}

/// Which resources are propagated, where to, and what happens to them there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::propagation_spec()))]
pub struct PropagationSpec {
    /// The resources that this policy claims. An entry that names a resource wins over one that selects it by label, and that
    /// over one that takes all resources of a kind.
    #[schemars(length(min = 1))]
    pub resource_selectors: Vec<ResourceSelector>,

    /// Deprecated and without effect; use `propagateDeps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<bool>,

    /// Also propagates what the resources refer to, such as the ConfigMaps and Secrets that a Deployment mounts. Always on for
    /// policies that select a ServiceImport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagate_deps: Option<bool>,

    /// Where the resources go and how replicas are divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,

    /// Decides between policies of the same scope that match one resource: the highest value wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 0))]
    pub priority: Option<i32>,

    /// Whether the policy takes over resources that another policy has claimed already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Never"))]
    pub preemption: Option<PreemptionBehavior>,

    /// Override policies that have to exist before this policy acts, so that nothing reaches a cluster without them. Names of
    /// OverridePolicies in the same namespace, or of ClusterOverridePolicies for a ClusterPropagationPolicy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependent_overrides: Vec<String>,

    /// The scheduler that places the resources. Cannot be changed after creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "default-scheduler", "x-kubernetes-validations" = rules::scheduler_name()))]
    pub scheduler_name: Option<String>,

    /// When and how workloads move away from where they fail. Without it they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverBehavior>,

    /// What happens when an object of the same name, not written by this control plane, exists in a cluster already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Abort"))]
    pub conflict_resolution: Option<ConflictResolution>,

    /// When a change of this policy takes effect. `Lazy` waits for the next change of each resource; without it the change takes
    /// effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_preference: Option<ActivationPreference>,

    /// Holds back changes from all or some clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::suspension()))]
    pub suspension: Option<Suspension>,

    /// Keeps the objects in the member clusters when the resource is deleted here, and when a cluster is no longer chosen. Meant
    /// for moving workloads out of the control plane's hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_resources_on_deletion: Option<bool>,

    /// The priority of the resources in the scheduler's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_priority: Option<SchedulePriority>,
}

/// Selects resources of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSelector {
    /// Group and version of the resources, for example `apps/v1`.
    pub api_version: String,

    /// The kind of the resources, for example `Deployment`.
    pub kind: String,

    /// The namespace of the resources. For a namespaced policy it is the policy's own and may be left out; for a cluster-scoped
    /// policy an absent namespace means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The name of one resource. Absent means all resources of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Selects resources by their labels; without effect when `name` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::label_selector")]
    pub label_selector: Option<LabelSelector>,
}

/// Whether a policy takes resources from another.
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
pub enum PreemptionBehavior {
    /// Takes resources from policies of lower priority, and from cluster-scoped policies if this one is namespaced. Every
    /// resource selector then has to name its resource.
    Always,
    /// Leaves resources with the policy that has them.
    #[default]
    Never,
}

/// What happens when an object exists already.
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
pub enum ConflictResolution {
    /// Reports the conflict and leaves the object alone.
    #[default]
    Abort,
    /// Takes the object over and overwrites it.
    Overwrite,
}

/// When policy changes take effect.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ActivationPreference {
    /// With the next change of each resource.
    Lazy,
}

/// Holds back changes on their way to clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// True holds back changes from all clusters. Cannot be combined with `dispatchingOnClusters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatching: Option<bool>,

    /// Holds back changes from some clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatching_on_clusters: Option<SuspendClusters>,
}

/// Some clusters by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspendClusters {
    /// The names of the clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_names: Vec<String>,
}

impl Suspension {
    /// Whether changes for this cluster are held back.
    pub fn suspends(&self, cluster: &str) -> bool {
        self.dispatching == Some(true)
            || self
                .dispatching_on_clusters
                .as_ref()
                .is_some_and(|on| on.cluster_names.iter().any(|name| name == cluster))
    }
}

/// Where the priority for scheduling comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulePriority {
    /// The kind of object that defines the priority.
    pub priority_class_source: PriorityClassSource,

    /// The name of that object, for example `system-cluster-critical`.
    pub priority_class_name: String,
}

/// The kind of object that defines a priority.
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
pub enum PriorityClassSource {
    /// A PriorityClass of Kubernetes in the control plane.
    #[default]
    KubePriorityClass,
}

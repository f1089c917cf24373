//! Placement: which clusters a resource goes to, and how its replicas are shared among them.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Where a resource goes and how its replicas are divided. An empty placement means every cluster, with all replicas on each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::placement()))]
pub struct Placement {
    /// The clusters to choose from. Leave it out to consider all of them. Cannot be combined with `clusterAffinities`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_affinity: Option<ClusterAffinity>,

    /// Ordered alternatives, for example first the on-premises clusters and then a cloud: the scheduler takes the first group in
    /// which the resource fits. Cannot be combined with `clusterAffinity`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_affinities: Vec<ClusterAffinityTerm>,

    /// Taints of clusters that this resource tolerates, with the same meaning as the tolerations of a Pod for the taints of
    /// nodes. The operators `Lt` and `Gt` are not supported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::cluster_tolerations")]
    pub cluster_tolerations: Vec<Toleration>,

    /// How far the resource has to be spread, for example over at least two regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-validations" = rules::spread_constraints()))]
    pub spread_constraints: Vec<SpreadConstraint>,

    /// How replicas are shared among the chosen clusters. Leave it out to run all replicas on each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_scheduling: Option<ReplicaSchedulingStrategy>,

    /// Keeps workloads of one group together, or apart. A group is the set of workloads in a namespace that have the same value
    /// for a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::workload_affinity()))]
    pub workload_affinity: Option<WorkloadAffinity>,
}

/// A filter over clusters. All parts that are given have to match; with none given every cluster matches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAffinity {
    /// Selects clusters by the labels of their Cluster object, for example `matchLabels: {tier: production}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::label_selector")]
    pub label_selector: Option<LabelSelector>,

    /// Selects clusters by the fields `provider`, `region` and `zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_selector: Option<FieldSelector>,

    /// Only clusters with these names, for example `[member1, member2]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_names: Vec<String>,

    /// Clusters with these names are never selected, whatever the other parts say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// A filter over the fields of clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldSelector {
    /// The requirements, all of which have to hold. `key` is one of `provider`, `region` and `zone`; `operator` is `In` or
    /// `NotIn`. For example `{key: region, operator: In, values: [eu-west-1]}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::field_requirements")]
    pub match_expressions: Vec<NodeSelectorRequirement>,
}

/// One group of clusters in an ordered list of alternatives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::affinity_term()))]
pub struct ClusterAffinityTerm {
    /// The name of the group, unique within the policy. The scheduler reports the group in use by this name.
    #[schemars(length(min = 1, max = 32), extend("allOf" = rules::label_key()))]
    pub affinity_name: String,

    /// The clusters of the group.
    #[serde(flatten)]
    pub affinity: ClusterAffinity,

    /// Further groups, in order, that are added when the clusters of this one lack room for all replicas, and that are left
    /// again, last one first, when fewer replicas are needed. Needs `replicaScheduling` with `Aggregated` division or with a
    /// dynamic weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overflow_affinities: Vec<OverflowAffinityTerm>,
}

/// A group of clusters that takes replicas for which the groups before it have no room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverflowAffinityTerm {
    /// The name of the group, unique within the policy.
    #[schemars(length(min = 1, max = 32), extend("allOf" = rules::label_key()))]
    pub affinity_name: String,

    /// The clusters of the group. A cluster that an earlier group contains too counts for the earlier one.
    #[serde(flatten)]
    pub affinity: ClusterAffinity,
}

/// A demand on how many groups of clusters a resource is spread over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::spread_constraint()))]
pub struct SpreadConstraint {
    /// Clusters with the same value of this field form a group. `cluster` makes every cluster a group of its own and has to be
    /// among the constraints as soon as any of them uses a field. Cannot be combined with `spreadByLabel`; without either,
    /// `cluster` is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_by_field: Option<SpreadField>,

    /// Clusters with the same value of this label form a group. Cannot be combined with `spreadByField`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_by_label: Option<String>,

    /// The largest number of groups to use; 0 or absent means any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::integer")]
    pub max_groups: Option<i64>,

    /// The smallest number of groups to use; absent means 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::integer")]
    pub min_groups: Option<i64>,
}

/// A field of clusters by which groups are formed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum SpreadField {
    /// Every cluster for itself.
    Cluster,
    /// Clusters with the same `spec.region`.
    Region,
    /// Clusters with the same entry in `spec.zones`. A cluster with several entries is in the group of each.
    Zone,
    /// Clusters with the same `spec.provider`.
    Provider,
}

impl SpreadField {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Region => "region",
            Self::Zone => "zone",
            Self::Provider => "provider",
        }
    }
}

/// How replicas are shared among clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSchedulingStrategy {
    /// Whether each cluster runs all replicas or a share of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Divided"))]
    pub replica_scheduling_type: Option<ReplicaSchedulingType>,

    /// How shares are computed when replicas are divided; without it, `Weighted` is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_division_preference: Option<ReplicaDivisionPreference>,

    /// The weights for weighted division. Without weights all clusters get equal shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_preference: Option<ClusterPreferences>,
}

/// Whether replicas are copied or shared.
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
pub enum ReplicaSchedulingType {
    /// Every cluster runs the number of replicas that the template asks for.
    Duplicated,
    /// The replicas of the template are shared among the clusters.
    #[default]
    Divided,
}

/// How shares are computed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ReplicaDivisionPreference {
    /// As few clusters as possible, depending on the room they have.
    Aggregated,
    /// In proportion to the weights in `weightPreference`.
    Weighted,
}

/// The weights of clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPreferences {
    /// Fixed weights, for example 1 for `member1` and 2 for `member2` to run a third and two thirds of the replicas there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub static_weight_list: Vec<StaticClusterWeight>,

    /// Weights taken from the state of the clusters. Wins over `staticWeightList`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_weight: Option<DynamicWeight>,
}

/// A source of weights that change by themselves.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum DynamicWeight {
    /// The number of replicas that each cluster has room for.
    AvailableReplicas,
}

/// A fixed weight for some clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StaticClusterWeight {
    /// The clusters that have this weight. A cluster that several entries match gets the highest weight.
    pub target_cluster: ClusterAffinity,

    /// The weight, relative to the weights of the other clusters.
    #[schemars(range(min = 1))]
    pub weight: i64,
}

/// Attraction and repulsion between workloads of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadAffinity {
    /// Workloads of one group run on the same clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<WorkloadAffinityTerm>,

    /// Workloads of one group run on different clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<WorkloadAffinityTerm>,
}

/// What makes workloads one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadAffinityTerm {
    /// The key of a label of the workloads, for example `app.kubernetes.io/part-of`. Workloads with the same value form a group;
    /// workloads without the label are in none.
    #[schemars(extend("allOf" = rules::label_key()))]
    pub group_by_label_key: String,
}

impl Placement {
    /// How replicas are shared: an absent strategy means `Duplicated`, an empty one `Divided`.
    pub fn replica_scheduling_type(&self) -> ReplicaSchedulingType {
        self.replica_scheduling
            .as_ref()
            .map_or(ReplicaSchedulingType::Duplicated, |strategy| {
                strategy.replica_scheduling_type.unwrap_or_default()
            })
    }

    /// Finds a group of `clusterAffinities` by its name.
    pub fn affinity_term(&self, name: &str) -> Option<&ClusterAffinityTerm> {
        self.cluster_affinities
            .iter()
            .find(|term| term.affinity_name == name)
    }
}

impl ClusterAffinity {
    /// Whether no part is given, so that every cluster matches.
    pub fn is_empty(&self) -> bool {
        self.label_selector.is_none()
            && self.field_selector.is_none()
            && self.cluster_names.is_empty()
            && self.exclude.is_empty()
    }
}

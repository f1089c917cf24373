//! `OverridePolicy` and `ClusterOverridePolicy`: how resources differ from cluster to cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::placement::ClusterAffinity;
use super::propagation::ResourceSelector;
use super::rules;

kind! {
    /// Changes resources of its own namespace on their way to member clusters.
    pub struct OverridePolicy { spec: OverrideSpec }
    group: "policy.karmada.io",
    version: "v1alpha1",
    plural: "overridepolicies",
    singular: "overridepolicy",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["op"],
    categories: ["karmada-io"],
    columns: &[],
    subresources: None,
    rules: &[],
}

kind! {
    /// Changes resources of any namespace, and cluster-scoped ones, on their way to member clusters. Applied before the
    /// OverridePolicies of the resource's namespace.
    pub struct ClusterOverridePolicy { spec: OverrideSpec }
    group: "policy.karmada.io",
    version: "v1alpha1",
    plural: "clusteroverridepolicies",
    singular: "clusteroverridepolicy",
    scope: Cluster as ClusterResourceScope,
    short_names: ["cop"],
    categories: ["karmada-io"],
    columns: &[],
    subresources: None,
    rules: &[],
}

/// Which resources are changed, for which clusters, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::override_spec()))]
pub struct OverrideSpec {
    /// The resources to change. Leave it out to change all resources, of the policy's namespace if the policy has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_selectors: Option<Vec<ResourceSelector>>,

    /// The changes, each for some clusters, applied in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub override_rules: Vec<RuleWithCluster>,

    /// Deprecated: the clusters for `overriders`. Use `overrideRules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_cluster: Option<ClusterAffinity>,

    /// Deprecated: the changes for `targetCluster`. Use `overrideRules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overriders: Option<Overriders>,
}

/// Changes for some clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleWithCluster {
    /// The clusters that get the changes. Leave it out for all clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_cluster: Option<ClusterAffinity>,

    /// The changes.
    pub overriders: Overriders,
}

/// Changes to a resource. Applied in the order image, command, args, labels, annotations, field, plaintext.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overriders {
    /// Changes to any field, as in a JSON patch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plaintext: Vec<PlaintextOverrider>,

    /// Changes to parts of image names, for example to use a registry close to the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_overrider: Vec<ImageOverrider>,

    /// Changes to the command of containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command_overrider: Vec<CommandArgsOverrider>,

    /// Changes to the arguments of containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args_overrider: Vec<CommandArgsOverrider>,

    /// Changes to labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_overrider: Vec<LabelAnnotationOverrider>,

    /// Changes to annotations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations_overrider: Vec<LabelAnnotationOverrider>,

    /// Changes within a field whose text is a JSON or YAML document, such as a file in a ConfigMap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub field_overrider: Vec<FieldOverrider>,
}

impl Overriders {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A change to any field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaintextOverrider {
    /// The field as a JSON pointer, for example `/spec/template/spec/containers/0/resources/limits/cpu`.
    #[schemars(extend("allOf" = rules::json_pointer()))]
    pub path: String,

    /// What happens to the field.
    pub operator: OverriderOperator,

    /// The new value, of any type; nothing for `remove`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::any")]
    pub value: Option<Value>,
}

/// What happens to a field.
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
#[serde(rename_all = "lowercase")]
pub enum OverriderOperator {
    /// Sets the value, or inserts it into a list.
    #[default]
    Add,
    /// Takes the value away.
    Remove,
    /// Replaces the value, which has to exist.
    Replace,
}

impl OverriderOperator {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
        }
    }
}

/// A change to image names. An image name such as `registry.example.com:5000/team/web:v1` consists of registry, repository and
/// tag or digest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageOverrider {
    /// Which image is changed. Leave it out to change all containers of a Pod, ReplicaSet, Deployment, StatefulSet, DaemonSet or
    /// Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<ImagePredicate>,

    /// The part of the image name that is changed.
    pub component: ImageComponent,

    /// What happens to the part.
    pub operator: OverriderOperator,

    /// The new text; nothing for `remove`. With `add` it is appended to the part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Which image is changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagePredicate {
    /// The field that holds the image name, as a JSON pointer, for example `/spec/template/spec/containers/0/image`.
    #[schemars(extend("allOf" = rules::json_pointer()))]
    pub path: String,
}

/// A part of an image name.
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
pub enum ImageComponent {
    /// The host with its port, such as `registry.example.com:5000`.
    #[default]
    Registry,
    /// The path, such as `team/web`.
    Repository,
    /// The tag or the digest, such as `v1` or `sha256:…`.
    Tag,
}

/// A change to the command or the arguments of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandArgsOverrider {
    /// The name of the container.
    pub container_name: String,

    /// Whether words are appended or taken away.
    #[schemars(extend("enum" = ["add", "remove"]))]
    pub operator: OverriderOperator,

    /// The words, for example `[--verbose]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub value: Vec<String>,
}

/// A change to labels or annotations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelAnnotationOverrider {
    /// What happens to the entries. `replace` changes only entries that exist.
    pub operator: OverriderOperator,

    /// The entries, for example `{region: eu}`. For `remove` only the keys count.
    pub value: BTreeMap<String, String>,
}

/// Changes within a field whose text is a document. Has either `json` or `yaml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("oneOf" = rules::one_document()))]
pub struct FieldOverrider {
    /// The field as a JSON pointer, for example `/data/config.yaml`.
    #[schemars(extend("allOf" = rules::json_pointer()))]
    pub field_path: String,

    /// Changes to a JSON document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<DocumentOverrider>,

    /// Changes to a YAML document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub yaml: Vec<DocumentOverrider>,
}

/// A change within a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("allOf" = rules::value_as_operator_needs()))]
pub struct DocumentOverrider {
    /// The place in the document as a JSON pointer, for example `/server/port`.
    #[schemars(extend("allOf" = rules::json_pointer()))]
    pub sub_path: String,

    /// What happens to the place.
    pub operator: OverriderOperator,

    /// The new value, of any type; nothing for `remove`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::any")]
    pub value: Option<Value>,
}

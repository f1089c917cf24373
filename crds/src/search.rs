//! `search.karmada.io`: which resources of which clusters can be searched.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments become descriptions, in which kinds and products stand as plain words"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::ClusterAffinity;

kind! {
    /// Names resources of member clusters that the control plane caches, so that one query answers for all clusters.
    pub struct ResourceRegistry {
        spec: ResourceRegistrySpec = default,
        status: ResourceRegistryStatus
    }
    group: "search.karmada.io",
    version: "v1alpha1",
    plural: "resourceregistries",
    singular: "resourceregistry",
    scope: Cluster as ClusterResourceScope,
    short_names: [],
    categories: [],
    columns: &[],
    subresources: Status,
    rules: &[],
}

/// Which resources of which clusters, and where they are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRegistrySpec {
    /// Where the resources are stored besides the cache. Unset means in memory only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_store: Option<BackendStore>,

    /// The resources.
    pub resource_selectors: Vec<RegistryResourceSelector>,

    /// The clusters whose resources are cached. An empty object means all.
    pub target_cluster: ClusterAffinity,
}

/// Selects the resources of one kind.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct RegistryResourceSelector {
    /// Group and version, for example `apps/v1`.
    pub api_version: String,

    /// The kind, for example `Deployment`.
    pub kind: String,

    /// The namespace. Empty means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A store outside of the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendStore {
    /// An OpenSearch cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_search: Option<OpenSearchConfig>,
}

/// How an OpenSearch cluster is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenSearchConfig {
    /// The URLs of its nodes, for example `https://opensearch.example.com:9200`.
    pub addresses: Vec<String>,

    /// The Secret with the credentials, under the keys `userName` and `password`.
    pub secret_ref: SecretReference,
}

/// A Secret by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// The name of the Secret.
    pub name: String,

    /// The namespace of the Secret.
    pub namespace: String,
}

/// How caching goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRegistryStatus {
    /// The state of the cache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::plain_conditions")]
    pub conditions: Vec<Condition>,
}

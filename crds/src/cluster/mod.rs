//! Group `cluster.karmada.io`: the member clusters.
//!
//! The API server serves two versions of one schema: users and existing tools speak `v1alpha1`, our own components speak
//! `internal`, so that an aggregated API may take over the former without standing in their way.

mod models;
mod rules;
pub mod v1alpha1;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use models::{default_resource_models, standardise_resource_models};

use crate::conditions;
use crate::kind::Column;

kind! {
    /// A member cluster: how it is reached, and what is known about it.
    pub struct Cluster { spec: ClusterSpec, status: ClusterStatus }
    group: "cluster.karmada.io",
    version: "internal",
    plural: "clusters",
    singular: "cluster",
    scope: Cluster as ClusterResourceScope,
    short_names: [],
    categories: [],
    columns: COLUMNS,
    subresources: Status,
    rules: rules::CLUSTER,
}

const COLUMNS: &[Column] = &[
    Column::string("Version", ".status.kubernetesVersion"),
    Column::string("Mode", ".spec.syncMode"),
    Column::string("Ready", r#".status.conditions[?(@.type=="Ready")].status"#),
    Column::age("Age"),
    Column::wide("Zones", ".spec.zones"),
    Column::wide("Region", ".spec.region"),
    Column::wide("Provider", ".spec.provider"),
    Column::wide("API-Endpoint", ".spec.apiEndpoint"),
    Column::wide("Proxy-URL", ".spec.proxyURL"),
];

/// How a member cluster is reached, where it stands, and what it may take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::spec()))]
pub struct ClusterSpec {
    /// The identity of the cluster, which stays when it is registered anew under another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,

    /// Who carries changes to the cluster.
    pub sync_mode: ClusterSyncMode,

    /// The URL of the cluster's API server, for example `https://10.0.0.10:6443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::api_endpoint()))]
    pub api_endpoint: Option<String>,

    /// The Secret with the credentials for the cluster: `token`, and `caBundle` with the certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalSecretReference>,

    /// The Secret with the `token` under which requests of users are passed on to the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator_secret_ref: Option<LocalSecretReference>,

    /// True accepts any certificate of the cluster's API server. Insecure; meant for tests.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "insecureSkipTLSVerification"
    )]
    pub insecure_skip_tls_verification: Option<bool>,

    /// The proxy through which the cluster is reached, for example `socks5://10.0.0.1:1080`. The schemes are `http`, `https` and
    /// `socks5`.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "proxyURL")]
    #[schemars(extend("x-kubernetes-validations" = rules::proxy_url()))]
    pub proxy_url: Option<String>,

    /// Headers that are sent to the proxy. A comma separates several values of one header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub proxy_header: BTreeMap<String, String>,

    /// The provider of the cluster, for example `aws`. A label value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::label_value")]
    pub provider: Option<String>,

    /// The region of the cluster, for example `eu-west-1`. A label value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::label_value")]
    pub region: Option<String>,

    /// Deprecated: the only zone of the cluster; use `zones`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::label_value")]
    pub zone: Option<String>,

    /// The zones of the cluster, for example `[eu-west-1a, eu-west-1b]`. Label values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::label_values")]
    pub zones: Vec<String>,

    /// Keeps resources off the cluster, or drives them away, unless their placement tolerates it. Taints are told apart by key and
    /// effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::taints")]
    pub taints: Vec<Taint>,

    /// Sizes of nodes, smallest first, each a range for every resource: a summary from which the scheduler estimates how many
    /// replicas the cluster has room for. Left out, nine sizes from 1 to 128 CPUs are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_models: Vec<ResourceModel>,
}

/// Who carries changes to a cluster.
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
pub enum ClusterSyncMode {
    /// The control plane, which reaches the cluster's API server.
    #[default]
    Push,
    /// An agent in the cluster, which reaches the control plane.
    Pull,
}

impl ClusterSyncMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "Push",
            Self::Pull => "Pull",
        }
    }
}

/// Names a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalSecretReference {
    /// The namespace of the Secret.
    #[schemars(length(min = 1))]
    pub namespace: String,

    /// The name of the Secret.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// A size of nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceModel {
    /// The number of the size; larger nodes have larger numbers.
    pub grade: u64,

    /// The range for every resource. All sizes name the same resources in the same order, and each range begins where the one of
    /// the size before ends.
    pub ranges: Vec<ResourceModelRange>,
}

/// A range of one resource, with `min` and without `max`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceModelRange {
    /// The name of the resource, for example `cpu`.
    pub name: String,

    /// Where the range begins; 0 in the first size.
    #[schemars(schema_with = "crate::schema::quantity")]
    pub min: Quantity,

    /// Where the range ends; 9223372036854775807 in the last size.
    #[schemars(schema_with = "crate::schema::quantity")]
    pub max: Quantity,
}

/// What is known about a member cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The version of Kubernetes in the cluster, for example `v1.34.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,

    /// The APIs that the cluster serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_enablements: Vec<ApiEnablements>,

    /// Whether the cluster is reachable and healthy (`Ready`), and whether `apiEnablements` is complete
    /// (`CompleteAPIEnablements`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::plain_conditions")]
    pub conditions: Vec<Condition>,

    /// The nodes of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_summary: Option<NodeSummary>,

    /// The resources of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_summary: Option<ResourceSummary>,

    /// What is being done about failures, for example `TrafficControl`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedy_actions: Vec<String>,
}

/// The APIs of one group and version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiEnablements {
    /// Group and version, for example `apps/v1`.
    pub group_version: String,

    /// The resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ApiResource>,
}

/// A resource that a cluster serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiResource {
    /// The name of the resource, for example `deployments`.
    pub name: String,

    /// The kind of the resource, for example `Deployment`.
    pub kind: String,
}

/// The nodes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSummary {
    /// How many nodes there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_num: Option<i32>,

    /// How many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_num: Option<i32>,
}

/// The resources of a cluster, summed over its nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSummary {
    /// What the nodes offer to Pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub allocatable: BTreeMap<String, Quantity>,

    /// What Pods request that wait for a node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub allocating: BTreeMap<String, Quantity>,

    /// What Pods request that have a node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub allocated: BTreeMap<String, Quantity>,

    /// How many nodes of each size have that much free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allocatable_modelings: Vec<AllocatableModeling>,
}

/// How many nodes of one size there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllocatableModeling {
    /// The number of the size.
    pub grade: u64,

    /// The number of nodes.
    pub count: i32,
}

/// Whether a cluster serves a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiEnablement {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// The list of the cluster's APIs is incomplete, and the kind is not in it.
    Unknown,
}

impl ClusterSpec {
    /// Moves the deprecated single zone into `zones` and dates the `NoExecute` taints that have no date.
    ///
    /// Returns whether anything changed.
    pub fn canonicalise(&mut self, now: &Time) -> bool {
        let mut changed = false;
        for taint in &mut self.taints {
            if taint.effect == "NoExecute" && taint.time_added.is_none() {
                taint.time_added = Some(now.clone());
                changed = true;
            }
        }
        if self.zones.is_empty()
            && let Some(zone) = self.zone.take_if(|zone| !zone.is_empty())
        {
            self.zones.push(zone);
            changed = true;
        }
        changed
    }
}

impl ClusterStatus {
    /// The condition of this type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        conditions::find(&self.conditions, type_)
    }

    /// Whether the cluster is reachable and healthy.
    pub fn is_ready(&self) -> bool {
        conditions::is_true(&self.conditions, conditions::cluster::READY)
    }

    /// Whether the cluster serves a kind.
    pub fn api_enablement(&self, api_version: &str, kind: &str) -> ApiEnablement {
        let listed = self.api_enablements.iter().any(|it| {
            it.group_version == api_version && it.resources.iter().any(|it| it.kind == kind)
        });
        if listed {
            ApiEnablement::Enabled
        } else if conditions::is_true(
            &self.conditions,
            conditions::cluster::COMPLETE_API_ENABLEMENTS,
        ) {
            ApiEnablement::Disabled
        } else {
            ApiEnablement::Unknown
        }
    }
}

impl Cluster {
    /// Whether the cluster is reachable and healthy; false as long as nothing is known.
    pub fn is_ready(&self) -> bool {
        self.status.as_ref().is_some_and(ClusterStatus::is_ready)
    }

    /// Whether the cluster serves a kind; unknown as long as nothing is known about the cluster.
    pub fn api_enablement(&self, api_version: &str, kind: &str) -> ApiEnablement {
        self.status
            .as_ref()
            .map_or(ApiEnablement::Unknown, |status| {
                status.api_enablement(api_version, kind)
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(value: Value) -> ClusterStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn apis_are_enabled_disabled_or_unknown() {
        let with = |complete: Option<&str>| {
            let conditions: Vec<_> = complete
                .into_iter()
                .map(|status| conditions::condition("CompleteAPIEnablements", status, "R", ""))
                .collect();
            status(json!({
                "apiEnablements": [{
                    "groupVersion": "apps/v1",
                    "resources": [{ "name": "deployments", "kind": "Deployment" }],
                }],
                "conditions": conditions,
            }))
        };
        for (complete, api_version, kind, expected) in [
            (
                Some("True"),
                "apps/v1",
                "Deployment",
                ApiEnablement::Enabled,
            ),
            (
                Some("False"),
                "apps/v1",
                "Deployment",
                ApiEnablement::Enabled,
            ),
            (
                Some("True"),
                "apps/v1",
                "StatefulSet",
                ApiEnablement::Disabled,
            ),
            (
                Some("True"),
                "apps/v2",
                "Deployment",
                ApiEnablement::Disabled,
            ),
            (
                Some("False"),
                "apps/v1",
                "StatefulSet",
                ApiEnablement::Unknown,
            ),
            (Some("Unknown"), "v1", "Pod", ApiEnablement::Unknown),
            (None, "v1", "Pod", ApiEnablement::Unknown),
        ] {
            assert_eq!(with(complete).api_enablement(api_version, kind), expected);
        }
        assert_eq!(
            Cluster::default().api_enablement("v1", "Pod"),
            ApiEnablement::Unknown
        );
    }

    #[test]
    fn ready_is_a_condition() {
        assert!(!Cluster::default().is_ready());
        for (value, expected) in [("True", true), ("False", false), ("Unknown", false)] {
            let cluster = Cluster {
                status: Some(ClusterStatus {
                    conditions: vec![conditions::condition("Ready", value, "R", "")],
                    ..ClusterStatus::default()
                }),
                ..Cluster::default()
            };
            assert_eq!(cluster.is_ready(), expected);
        }
    }

    #[test]
    fn canonical_specs_have_zones_and_dated_taints() {
        let now: Time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let mut spec: ClusterSpec = serde_json::from_value(json!({
            "syncMode": "Push",
            "zone": "a",
            "taints": [
                { "key": "k", "effect": "NoExecute" },
                { "key": "k", "effect": "NoSchedule" },
                { "key": "old", "effect": "NoExecute", "timeAdded": "2025-01-01T00:00:00Z" },
            ],
        }))
        .unwrap();
        assert!(spec.canonicalise(&now));
        assert!(!spec.canonicalise(&now));
        assert_eq!(
            serde_json::to_value(&spec).unwrap(),
            json!({
                "syncMode": "Push",
                "zones": ["a"],
                "taints": [
                    { "key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z" },
                    { "key": "k", "effect": "NoSchedule" },
                    { "key": "old", "effect": "NoExecute", "timeAdded": "2025-01-01T00:00:00Z" },
                ],
            })
        );
    }

    #[test]
    fn both_zone_and_zones_are_left_for_validation() {
        let now: Time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let mut spec: ClusterSpec =
            serde_json::from_value(json!({ "syncMode": "Pull", "zone": "a", "zones": ["b"] }))
                .unwrap();
        assert!(!spec.canonicalise(&now));
        assert_eq!(spec.zone.as_deref(), Some("a"));
    }

    #[test]
    fn fields_with_odd_names_survive() {
        let wire = json!({
            "apiVersion": "cluster.karmada.io/internal",
            "kind": "Cluster",
            "metadata": { "name": "m1" },
            "spec": {
                "syncMode": "Push",
                "apiEndpoint": "https://10.0.0.1:6443",
                "insecureSkipTLSVerification": true,
                "proxyURL": "http://proxy",
                "proxyHeader": { "X-A": "1,2" },
                "impersonatorSecretRef": { "namespace": "karmada-cluster", "name": "m1-impersonator" },
            },
            "status": { "nodeSummary": { "totalNum": 1, "readyNum": 1 } },
        });
        let cluster: Cluster = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(&cluster).unwrap(), wire);
    }
}

//! `networking.karmada.io`: Services and Ingresses whose backends run in several clusters.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments become descriptions, in which kinds and products stand as plain words"
)]

use k8s_openapi::api::core::v1::LoadBalancerStatus;
use k8s_openapi::api::networking::v1::{
    IngressBackend, IngressLoadBalancerStatus, IngressRule, IngressTLS,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{Rule, rules};

kind! {
    /// An Ingress whose backend Services may run in several clusters. A multi-cluster load balancer reads it and reports its
    /// addresses in the status.
    pub struct MultiClusterIngress {
        spec: MultiClusterIngressSpec = default,
        status: MultiClusterIngressStatus
    }
    group: "networking.karmada.io",
    version: "v1alpha1",
    plural: "multiclusteringresses",
    singular: "multiclusteringress",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["mci"],
    categories: ["karmada-io"],
    columns: &[],
    subresources: Status,
    rules: &[Rule::new(
        "has(self.spec) && (has(self.spec.defaultBackend) || (has(self.spec.rules) && size(self.spec.rules) > 0))",
        "either `defaultBackend` or `rules` must be specified",
    )
    .at(".spec")],
}

/// The rules of a `networking.k8s.io/v1` Ingress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiClusterIngressSpec {
    /// The backend of requests that match no rule. Needed when there are no rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::manifests::native::of::<IngressBackend>")]
    pub default_backend: Option<IngressBackend>,

    /// The name of the IngressClass that says which controller serves this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_class_name: Option<String>,

    /// Which host and path lead to which backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::manifests::native::atomic_list_of::<IngressRule>")]
    pub rules: Vec<IngressRule>,

    /// Certificates per host. Hosts are told apart by the name that the client sends (SNI).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::manifests::native::atomic_list_of::<IngressTLS>")]
    pub tls: Vec<IngressTLS>,
}

/// What the multi-cluster load balancer reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiClusterIngressStatus {
    /// The addresses at which the load balancer serves this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::manifests::native::of::<IngressLoadBalancerStatus>")]
    pub load_balancer: Option<IngressLoadBalancerStatus>,

    /// In which clusters each backend Service runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_locations: Vec<ServiceLocation>,

    /// Clusters that get no traffic at present, because a Remedy demands `TrafficControl`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic_block_clusters: Vec<String>,
}

/// Where one backend Service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLocation {
    /// The names of the clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,

    /// The name of the Service.
    pub name: String,
}

kind! {
    /// Lets clusters use the Service of the same name and namespace that runs in other clusters, or exposes it through a load
    /// balancer outside of them.
    pub struct MultiClusterService { spec: MultiClusterServiceSpec, status: MultiClusterServiceStatus }
    group: "networking.karmada.io",
    version: "v1alpha1",
    plural: "multiclusterservices",
    singular: "multiclusterservice",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["mcs"],
    categories: ["karmada-io"],
    columns: &[],
    subresources: Status,
    rules: &[Rule::new(
        "size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, \
         and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
         '[a-z]([-a-z0-9]*[a-z0-9])?')",
    )
    .at(".metadata.name")],
}

/// Which clusters provide the Service, which consume it, and how it is exposed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiClusterServiceSpec {
    /// The clusters in which the Service can be called. Empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumer_clusters: Vec<ClusterSelector>,

    /// The ports to share. Empty means all ports of the Service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ExposurePort>,

    /// The clusters whose endpoints back the Service. Empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provider_clusters: Vec<ClusterSelector>,

    /// Deprecated: use `providerClusters` and `consumerClusters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ExposureRange>,

    /// Deprecated: use `consumerClusters`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_consumption_clusters: Vec<String>,

    /// Deprecated: use `providerClusters`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_provision_clusters: Vec<String>,

    /// How the Service is exposed: `CrossCluster` to the other clusters, `LoadBalancer` to the outside. Give exactly one; it
    /// cannot be changed afterwards.
    #[schemars(with = "Vec<String>", extend("x-kubernetes-validations" = exposure_type_rules()))]
    pub types: Vec<ExposureType>,
}

fn exposure_type_rules() -> Value {
    rules(&[
        Rule::new("self == oldSelf", "MultiClusterService types are immutable"),
        Rule::new(
            "self.all(it, it == 'CrossCluster' || it == 'LoadBalancer')",
            "ExposureType Error",
        ),
        Rule::new(
            "!('CrossCluster' in self && 'LoadBalancer' in self)",
            "MultiClusterService types should not contain more than one type",
        ),
        Rule::new(
            "size(self) > 0",
            "MultiClusterService types should contain CrossCluster or LoadBalancer",
        ),
    ])
}

/// How a Service is exposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExposureType {
    /// To the other clusters.
    CrossCluster,
    /// To the outside, through a load balancer.
    LoadBalancer,
    /// A value that this version does not know; the API server refuses it.
    #[serde(untagged)]
    Other(String),
}

/// A cluster by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSelector {
    /// The name of the cluster.
    #[schemars(extend("x-kubernetes-validations" = cluster_name_rules()))]
    pub name: String,
}

fn cluster_name_rules() -> Value {
    rules(&[
        Rule::new("size(self) > 0", "must be not empty"),
        Rule::new("size(self) <= 48", "must be no more than 48 characters"),
    ])
}

/// A port to share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExposurePort {
    /// The name of the port, unique in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// The number of the port, 1 to 65535.
    #[schemars(extend("x-kubernetes-validations" = port_rules()))]
    pub port: i32,
}

fn port_rules() -> Value {
    rules(&[Rule::new(
        "self >= 1 && self <= 65535",
        "must be between 1 and 65535, inclusive",
    )])
}

/// Deprecated predecessor of `providerClusters` and `consumerClusters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExposureRange {
    /// The names of the clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_names: Vec<String>,
}

/// The status of a `v1` Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiClusterServiceStatus {
    /// The state of the exposure, one entry per type of condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::manifests::native::conditions_by_type")]
    pub conditions: Vec<Condition>,

    /// The addresses of the load balancer, when the Service is exposed through one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::manifests::native::of::<LoadBalancerStatus>")]
    pub load_balancer: Option<LoadBalancerStatus>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ingress_without_a_spec_reads_as_the_empty_one() {
        let ingress: MultiClusterIngress =
            serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
        assert_eq!(ingress.spec, MultiClusterIngressSpec::default());
    }

    #[test]
    fn unknown_exposure_types_can_be_read() {
        let spec: MultiClusterServiceSpec =
            serde_json::from_value(json!({"types": ["CrossCluster", "Moon"]})).unwrap();
        assert_eq!(
            spec.types,
            [
                ExposureType::CrossCluster,
                ExposureType::Other("Moon".into())
            ]
        );
    }
}

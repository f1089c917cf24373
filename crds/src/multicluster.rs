//! `multicluster.x-k8s.io`: Services shared among clusters, as SIG Multicluster defines them.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments become descriptions, in which kinds and products stand as plain words"
)]

use k8s_openapi::api::core::v1::SessionAffinityConfig;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::core::object::HasStatus;
use schemars::JsonSchema;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::kind::Column;

/// Shares the Service of the same name and namespace with the other clusters. They see it by creating a ServiceImport of that
/// name. It says everything by its name, so it has no spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ServiceExport {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,

    /// What was observed; written by the control plane.
    #[serde(default)]
    pub status: Option<ServiceExportStatus>,
}

resource! {
    /// Shares the Service of the same name and namespace with the other clusters. They see it by creating a ServiceImport of
    /// that name.
    ServiceExport { status: ServiceExportStatus = false, }
    group: "multicluster.x-k8s.io",
    version: "v1alpha1",
    plural: "serviceexports",
    singular: "serviceexport",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["svcex"],
    categories: [],
    columns: &[Column::age("Age")],
    subresources: Status,
    rules: &[],
}

impl ServiceExport {
    /// An export of the Service of this name.
    pub fn new(name: &str) -> Self {
        Self {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            status: None,
        }
    }
}

impl HasStatus for ServiceExport {
    type Status = ServiceExportStatus;

    fn status(&self) -> Option<&ServiceExportStatus> {
        self.status.as_ref()
    }

    fn status_mut(&mut self) -> &mut Option<ServiceExportStatus> {
        &mut self.status
    }
}

impl Serialize for ServiceExport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("apiVersion", Self::API_VERSION)?;
        object.serialize_entry("kind", Self::KIND)?;
        object.serialize_entry("metadata", &self.metadata)?;
        if let Some(status) = &self.status {
            object.serialize_entry("status", status)?;
        }
        object.end()
    }
}

/// Whether the Service is shared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExportStatus {
    /// The state of the export, one entry per type of condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::manifests::native::conditions_by_type")]
    pub conditions: Vec<Condition>,
}

kind! {
    /// Makes a Service that other clusters export usable in the clusters that this object is propagated to, under the name
    /// `derived-<name>`.
    pub struct ServiceImport { spec: ServiceImportSpec = default, status: ServiceImportStatus }
    group: "multicluster.x-k8s.io",
    version: "v1alpha1",
    plural: "serviceimports",
    singular: "serviceimport",
    scope: Namespaced as NamespaceResourceScope,
    short_names: ["svcim"],
    categories: [],
    columns: &[
        Column::string("Type", ".spec.type"),
        Column::string("IP", ".spec.ips"),
        Column::age("Age"),
    ],
    subresources: Status,
    rules: &[],
}

/// How the shared Service appears in the clusters that import it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImportSpec {
    /// Virtual IP of the Service in the importing cluster. Empty for a headless one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1))]
    pub ips: Vec<String>,

    /// Ports of the Service.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Vec<ServiceImportPort>,

    /// `ClientIP` sends the connections of a client to one endpoint, `None` spreads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<String>,

    /// How long a client stays with its endpoint, when session affinity is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity_config: Option<SessionAffinityConfig>,

    /// Whether clients reach the Service by a virtual IP or resolve its endpoints themselves.
    #[serde(rename = "type")]
    pub type_: ServiceImportType,
}

/// How clients reach an imported Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceImportType {
    /// By a virtual IP.
    #[default]
    ClusterSetIP,
    /// By the addresses of its endpoints.
    Headless,
}

/// A port of an imported Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImportPort {
    /// Application protocol spoken on this port, such as `kubernetes.io/h2c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,

    /// Name of the port. Optional for a Service with a single port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Number of the port.
    pub port: i32,

    /// `TCP`, `UDP` or `SCTP`. TCP when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// Where an imported Service comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImportStatus {
    /// The clusters whose endpoints back the Service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cluster"])
    )]
    pub clusters: Vec<ExportingCluster>,
}

/// A cluster that backs an imported Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportingCluster {
    /// Name of the cluster.
    pub cluster: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn import_without_a_spec_reads_as_the_empty_one() {
        let import: ServiceImport =
            serde_json::from_value(json!({"metadata": {"name": "web"}})).unwrap();
        assert_eq!(import.spec, ServiceImportSpec::default());
    }

    #[test]
    fn import_round_trips() {
        let object = json!({
            "apiVersion": "multicluster.x-k8s.io/v1alpha1",
            "kind": "ServiceImport",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"type": "Headless", "ports": [{"port": 80, "protocol": "TCP"}]},
        });
        let import: ServiceImport = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(import).unwrap(), object);
    }

    #[test]
    fn export_has_no_spec_on_the_wire() {
        let object = serde_json::to_value(ServiceExport::new("web")).unwrap();
        assert_eq!(
            object,
            json!({
                "apiVersion": "multicluster.x-k8s.io/v1alpha1",
                "kind": "ServiceExport",
                "metadata": {"name": "web"},
            })
        );
        let export: ServiceExport = serde_json::from_value(object).unwrap();
        assert_eq!(export.status, None);
    }
}

//! What is said to an interpreter webhook, and what it answers.

use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::work::{AggregatedStatusItem, Component, ReplicaRequirements};

/// The only patch type that a webhook may answer with.
pub const JSON_PATCH: &str = "JSONPatch";

/// The body of a call to an interpreter webhook, in both directions: the request carries `request`, the answer `response`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInterpreterContext {
    /// [`Self::API_VERSION`] in requests. Webhooks may leave it out of their answers.
    #[serde(default)]
    pub api_version: String,

    /// [`Self::KIND`] in requests. Webhooks may leave it out of their answers.
    #[serde(default)]
    pub kind: String,

    /// What is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<ResourceInterpreterRequest>,

    /// What is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResourceInterpreterResponse>,
}

impl ResourceInterpreterContext {
    /// The kind's name.
    pub const KIND: &'static str = "ResourceInterpreterContext";
    /// Group and version.
    pub const API_VERSION: &'static str = "config.karmada.io/v1alpha1";
    /// The version as `interpreterContextVersions` lists it.
    pub const VERSION: &'static str = "v1alpha1";

    /// The body of a call.
    pub fn of_request(request: ResourceInterpreterRequest) -> Self {
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            request: Some(request),
            response: None,
        }
    }

    /// The body of an answer.
    pub fn of_response(response: ResourceInterpreterResponse) -> Self {
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            request: None,
            response: Some(response),
        }
    }
}

/// One question about one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInterpreterRequest {
    /// Identifies the call; the answer repeats it.
    pub uid: String,

    /// The kind of the object.
    pub kind: GroupVersionKind,

    /// The name of the object.
    pub name: String,

    /// The namespace of the object; absent for cluster-scoped ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// What is asked.
    pub operation: InterpreterOperation,

    /// The object: the template, or for `InterpretStatus` and `InterpretHealth` the object in the member cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object")]
    pub object: Option<Value>,

    /// The object in the member cluster, for `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object")]
    pub observed_object: Option<Value>,

    /// The wanted number of replicas, for `ReviseReplica`. Always on the wire, 0 for other operations.
    #[serde(default)]
    #[schemars(with = "Option<i32>", !default)]
    pub replicas: i32,

    /// The states in the member clusters, for `AggregateStatus`.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "list_or_null"
    )]
    pub aggregated_status: Vec<AggregatedStatusItem>,
}

/// A kind in one version of its group.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct GroupVersionKind {
    /// The group, empty for the core group.
    pub group: String,

    /// The version.
    pub version: String,

    /// The kind.
    pub kind: String,
}

/// A question that an interpreter answers.
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
pub enum InterpreterOperation {
    /// What the object keeps of its state in the member cluster.
    Retain,
    /// How many replicas it asks for.
    #[default]
    InterpretReplica,
    /// Which components with replicas it has.
    InterpretComponent,
    /// How it looks with another number of replicas.
    ReviseReplica,
    /// Which part of its status is collected.
    InterpretStatus,
    /// Its status in the control plane.
    AggregateStatus,
    /// Whether it is healthy.
    InterpretHealth,
    /// Which other objects it needs.
    InterpretDependency,
    /// Part of the vocabulary only; nothing asks it and webhook rules may not name it.
    Prune,
}

impl InterpreterOperation {
    /// The operations that are asked, in the order in which messages list them.
    pub const ALL: [Self; 8] = [
        Self::Retain,
        Self::InterpretReplica,
        Self::InterpretComponent,
        Self::ReviseReplica,
        Self::InterpretStatus,
        Self::AggregateStatus,
        Self::InterpretHealth,
        Self::InterpretDependency,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::InterpretReplica => "InterpretReplica",
            Self::InterpretComponent => "InterpretComponent",
            Self::ReviseReplica => "ReviseReplica",
            Self::InterpretStatus => "InterpretStatus",
            Self::AggregateStatus => "AggregateStatus",
            Self::InterpretHealth => "InterpretHealth",
            Self::InterpretDependency => "InterpretDependency",
            Self::Prune => "Prune",
        }
    }
}

impl fmt::Display for InterpreterOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer of a webhook, as it came: which fields an operation needs is for the caller to check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInterpreterResponse {
    /// The `uid` of the request.
    pub uid: String,

    /// Whether the webhook could answer; if not, `status` says why.
    pub successful: bool,

    /// Why the webhook could not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RequestStatus>,

    /// A JSON patch of the object, for `Retain`, `ReviseReplica` and `AggregateStatus`. Absent together with `patchType` when
    /// nothing changes. Base64 on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "byte"))]
    pub patch: Option<ByteString>,

    /// The type of the patch, which has to be `JSONPatch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [JSON_PATCH]))]
    pub patch_type: Option<String>,

    /// What each replica needs, for `InterpretReplica`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_requirements: Option<ReplicaRequirements>,

    /// The number of replicas, for `InterpretReplica`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// The components, for `InterpretComponent`.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "list_or_null"
    )]
    pub components: Vec<Component>,

    /// The objects that are needed, for `InterpretDependency`.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "list_or_null"
    )]
    pub dependencies: Vec<DependentObjectReference>,

    /// The part of the status to collect, for `InterpretStatus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object")]
    pub raw_status: Option<Value>,

    /// Whether the object is healthy, for `InterpretHealth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
}

/// Why a webhook could not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestStatus {
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// The reason as an HTTP status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
}

/// An object, or the objects with certain labels, that another object needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependentObjectReference {
    /// Group and version, for example `v1`.
    pub api_version: String,

    /// The kind, for example `ConfigMap`.
    pub kind: String,

    /// The namespace; empty for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The name. Needed unless `labelSelector` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Selects objects by their labels; without effect when `name` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::label_selector")]
    pub label_selector: Option<LabelSelector>,
}

/// Webhooks written in Go send an unset list as null.
fn list_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn request_always_carries_replicas() {
        let context = ResourceInterpreterContext::of_request(ResourceInterpreterRequest {
            uid: "1".into(),
            kind: GroupVersionKind {
                group: "apps".into(),
                version: "v1".into(),
                kind: "Deployment".into(),
            },
            name: "web".into(),
            operation: InterpreterOperation::InterpretHealth,
            ..ResourceInterpreterRequest::default()
        });
        assert_eq!(
            serde_json::to_value(context).unwrap(),
            json!({
                "apiVersion": "config.karmada.io/v1alpha1",
                "kind": "ResourceInterpreterContext",
                "request": {
                    "uid": "1",
                    "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                    "name": "web",
                    "operation": "InterpretHealth",
                    "replicas": 0,
                },
            })
        );
    }

    #[test]
    fn answers_may_lack_their_kind_and_hold_nulls() {
        let context: ResourceInterpreterContext = serde_json::from_value(json!({
            "response": {
                "uid": "1",
                "successful": true,
                "patch": "W10=",
                "patchType": "JSONPatch",
                "components": null,
                "dependencies": null,
                "rawStatus": null,
                "replicas": null,
            },
        }))
        .unwrap();
        let response = context.response.unwrap();
        assert_eq!(response.patch, Some(ByteString(b"[]".to_vec())));
        assert_eq!(response.patch_type.as_deref(), Some(JSON_PATCH));
        assert_eq!(response.components, []);
        assert_eq!(response.dependencies, []);
        assert_eq!(response.raw_status, None);
        assert_eq!(response.replicas, None);
    }

    #[test]
    fn operation_names_are_those_on_the_wire() {
        for operation in InterpreterOperation::ALL {
            assert_eq!(json!(operation), json!(operation.as_str()));
        }
    }
}

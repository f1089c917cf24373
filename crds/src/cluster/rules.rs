//! Rules over clusters that the API server checks on every write.

use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::schema::{self, Rule, rules};

pub(super) const CLUSTER: &[Rule] = &[];
pub(super) fn spec() -> Value {
    rules(&[])
}
pub(super) fn secret_reference() -> Value {
    rules(&[])
}
pub(super) fn taints(generator: &mut SchemaGenerator) -> Schema {
    let mut taint = k8s_openapi::api::core::v1::Taint::json_schema(generator);
    let properties = &mut taint.ensure_object()["properties"];
    properties["effect"]["enum"] = serde_json::json!(["NoSchedule", "NoExecute"]);
    for (field, constraints) in [
        ("key", schema::label_key(generator)),
        ("value", schema::label_value(generator)),
    ] {
        for (keyword, value) in constraints.as_object().into_iter().flatten() {
            properties[field][keyword] = value.clone();
        }
    }
    json_schema!({
        "type": "array",
        "items": taint,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["key", "effect"],
    })
}

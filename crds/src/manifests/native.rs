//! Schemas of Kubernetes' own types, for `#[schemars(schema_with = "…")]`.
//!
//! `k8s_openapi` describes the fields of these types but not how lists merge, which values a quantity takes or which patterns
//! hold. Those are put back here, by the shape of the object: a type is recognised by the names of its properties.

use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::schema::{LABEL_KEY_PATTERN, conditions, quantity};

/// The schema of a Kubernetes type.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    Completed {
        quantity: quantity(generator),
    }
    .transform(&mut schema);
    schema
}

/// The schema of a list of a Kubernetes type.
pub(crate) fn list_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": of::<T>(generator) })
}

/// The schema of a list that server-side apply replaces as a whole.
pub(crate) fn atomic_list_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = list_of::<T>(generator);
    schema.insert("x-kubernetes-list-type".into(), "atomic".into());
    schema
}

/// Conditions that server-side apply merges by their type.
pub(crate) fn conditions_by_type(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = conditions(generator);
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), json!(["type"]));
    schema
}

/// Puts back what `k8s_openapi` leaves out.
struct Completed {
    quantity: Schema,
}

impl Transform for Completed {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        if object.contains_key("x-kubernetes-int-or-string") {
            complete_quantity(object, &self.quantity);
            return;
        }
        let Some(Value::Object(properties)) = object.get("properties") else {
            return;
        };
        let shape: Vec<&str> = properties.keys().map(String::as_str).collect();
        let Some(known) = KNOWN.iter().find(|known| known.properties == shape) else {
            return;
        };
        if known.is_atomic {
            object.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        for list in known.atomic_lists {
            object["properties"][*list]["x-kubernetes-list-type"] = "atomic".into();
        }
        if shape_is_port_status(known) {
            require_port_error(object);
        }
    }
}

/// The description of the type is an essay on notation; the field's own says what it is for.
fn complete_quantity(object: &mut Map<String, Value>, quantity: &Schema) {
    let is_essay = object
        .get("description")
        .and_then(Value::as_str)
        .is_some_and(|text| text.starts_with("Quantity is a fixed-point"));
    if is_essay {
        object.remove("description");
    }
    for (keyword, value) in quantity.as_object().into_iter().flatten() {
        object.insert(keyword.clone(), value.clone());
    }
}

/// What is known about a type with these properties, in the order of their names.
struct Known {
    properties: &'static [&'static str],
    is_atomic: bool,
    atomic_lists: &'static [&'static str],
}

const fn known(
    properties: &'static [&'static str],
    is_atomic: bool,
    atomic_lists: &'static [&'static str],
) -> Known {
    Known {
        properties,
        is_atomic,
        atomic_lists,
    }
}

const PORT_STATUS: &[&str] = &["error", "port", "protocol"];

const KNOWN: &[Known] = &[
    // LabelSelector and its requirements
    known(
        &["matchExpressions", "matchLabels"],
        true,
        &["matchExpressions"],
    ),
    known(&["key", "operator", "values"], false, &["values"]),
    // TypedLocalObjectReference, ServiceBackendPort
    known(&["apiGroup", "kind", "name"], true, &[]),
    known(&["name", "number"], true, &[]),
    // HTTPIngressRuleValue, IngressTLS
    known(&["paths"], false, &["paths"]),
    known(&["hosts", "secretName"], false, &["hosts"]),
    // LoadBalancerStatus and the addresses in it, of Ingresses and of Services
    known(&["ingress"], false, &["ingress"]),
    known(&["hostname", "ip", "ports"], false, &["ports"]),
    known(&["hostname", "ip", "ipMode", "ports"], false, &["ports"]),
    known(PORT_STATUS, false, &[]),
    // HPAScalingRules
    known(
        &[
            "policies",
            "selectPolicy",
            "stabilizationWindowSeconds",
            "tolerance",
        ],
        false,
        &["policies"],
    ),
];

fn shape_is_port_status(known: &Known) -> bool {
    known.properties == PORT_STATUS
}

/// The error of a port is optional in Kubernetes but required by the published schemas of these kinds.
fn require_port_error(object: &mut Map<String, Value>) {
    object["required"] = json!(PORT_STATUS);
    let error = &mut object["properties"]["error"];
    error["pattern"] = LABEL_KEY_PATTERN.into();
    error["maxLength"] = 316.into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, MetricIdentifier};
    use k8s_openapi::api::core::v1::{LoadBalancerIngress, PortStatus, TypedLocalObjectReference};
    use k8s_openapi::api::networking::v1::{
        HTTPIngressRuleValue, IngressLoadBalancerIngress, IngressTLS, ServiceBackendPort,
    };

    fn schema<T: JsonSchema>() -> Value {
        let mut generator = schemars::generate::SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        of::<T>(&mut generator).to_value()
    }

    /// A new field in a type of Kubernetes changes its shape; this test then says which entry to extend.
    #[test]
    fn known_shapes_are_those_of_the_types() {
        for (name, schema, keyword) in [
            (
                "HPAScalingRules",
                schema::<HPAScalingRules>(),
                "/properties/policies/x-kubernetes-list-type",
            ),
            (
                "MetricIdentifier",
                schema::<MetricIdentifier>(),
                "/properties/selector/x-kubernetes-map-type",
            ),
            (
                "LoadBalancerIngress",
                schema::<LoadBalancerIngress>(),
                "/properties/ports/x-kubernetes-list-type",
            ),
            (
                "IngressLoadBalancerIngress",
                schema::<IngressLoadBalancerIngress>(),
                "/properties/ports/x-kubernetes-list-type",
            ),
            (
                "PortStatus",
                schema::<PortStatus>(),
                "/properties/error/pattern",
            ),
            (
                "TypedLocalObjectReference",
                schema::<TypedLocalObjectReference>(),
                "/x-kubernetes-map-type",
            ),
            (
                "HTTPIngressRuleValue",
                schema::<HTTPIngressRuleValue>(),
                "/properties/paths/x-kubernetes-list-type",
            ),
            (
                "IngressTLS",
                schema::<IngressTLS>(),
                "/properties/hosts/x-kubernetes-list-type",
            ),
            (
                "ServiceBackendPort",
                schema::<ServiceBackendPort>(),
                "/x-kubernetes-map-type",
            ),
        ] {
            assert!(
                schema.pointer(keyword).is_some(),
                "{name} lacks {keyword}: {schema:#}"
            );
        }
    }

    #[test]
    fn quantities_lose_the_essay_and_gain_the_pattern() {
        let schema = schema::<HPAScalingRules>();
        let tolerance = &schema["properties"]["tolerance"];
        assert_eq!(tolerance["pattern"], json!(crate::schema::QUANTITY_PATTERN));
        let description = tolerance["description"].as_str().unwrap_or_default();
        assert!(!description.starts_with("Quantity is"), "{description}");
    }
}

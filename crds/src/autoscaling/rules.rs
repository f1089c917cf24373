//! Rules over autoscalers in CEL, so that they hold without a webhook.

use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerCondition,
};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::manifests::native;
use crate::schema::{Rule, rules};

/// A rule for targets that are a `FederatedHPA`, whose bounds are moved instead of its replicas.
macro_rules! if_federated {
    ($then:literal) => {
        concat!(
            "!has(self.scaleTargetRef.apiVersion) || self.scaleTargetRef.apiVersion != 'autoscaling.karmada.io/v1alpha1' || ",
            $then
        )
    };
}

/// A rule for all other targets.
macro_rules! unless_federated {
    ($then:literal) => {
        concat!(
            "(has(self.scaleTargetRef.apiVersion) && self.scaleTargetRef.apiVersion == 'autoscaling.karmada.io/v1alpha1') || ",
            $then
        )
    };
}

pub(super) fn cron_federated_hpa() -> Value {
    let mut of = rules(&[
        Rule::new(
            if_federated!("self.scaleTargetRef.kind == 'FederatedHPA'"),
            "invalid scaleTargetRef kind, only support FederatedHPA",
        )
        .at(".scaleTargetRef.kind"),
        Rule::new(
            if_federated!(
                "self.rules.all(it, has(it.targetMinReplicas) || has(it.targetMaxReplicas))"
            ),
            "targetMinReplicas and targetMaxReplicas cannot be nil at the same time if you want to scale FederatedHPA",
        )
        .at(".rules"),
        Rule::new(
            if_federated!(
                "self.rules.all(it, !has(it.targetMinReplicas) || it.targetMinReplicas > 0)"
            ),
            "targetMinReplicas should be larger than 0",
        )
        .at(".rules"),
        Rule::new(
            if_federated!(
                "self.rules.all(it, !has(it.targetMaxReplicas) || it.targetMaxReplicas > 0)"
            ),
            "targetMaxReplicas should be larger than 0",
        )
        .at(".rules"),
        Rule::new(
            if_federated!(
                "self.rules.all(it, !has(it.targetMinReplicas) || !has(it.targetMaxReplicas) || it.targetMinReplicas <= it.targetMaxReplicas)"
            ),
            "targetMaxReplicas should be larger than or equal to targetMinReplicas",
        )
        .at(".rules"),
        Rule::new(
            unless_federated!("self.rules.all(it, has(it.targetReplicas))"),
            "targetReplicas cannot be nil if you want to scale the target",
        )
        .at(".rules"),
        Rule::new(
            unless_federated!(
                "self.rules.all(it, !has(it.targetReplicas) || it.targetReplicas >= 0)"
            ),
            "targetReplicas should be larger than or equal to 0",
        )
        .at(".rules"),
    ]);
    // Two messages name the kind of the target; the fixed text stays for clients that do not evaluate expressions.
    of[0]["messageExpression"] = "'invalid scaleTargetRef kind: ' + self.scaleTargetRef.kind + ', only support FederatedHPA'".into();
    of[5]["messageExpression"] =
        "'targetReplicas cannot be nil if you want to scale ' + self.scaleTargetRef.kind".into();
    of
}

pub(super) fn federated_hpa() -> Value {
    rules(&[Rule::new(
        "!has(self.minReplicas) || self.maxReplicas >= self.minReplicas",
        "must be greater than or equal to `minReplicas`",
    )
    .at(".maxReplicas")])
}

pub(super) fn max_replicas() -> Value {
    rules(&[Rule::new("self >= 1", "must be greater than 0")])
}

pub(super) fn min_replicas() -> Value {
    rules(&[Rule::new("self >= 1", "must be greater than or equal to 1")])
}

pub(super) fn metrics() -> Value {
    rules(&[
        Rule::new(
            "self.all(it, it.type in ['ContainerResource', 'Object', 'Pods', 'Resource'])",
            "type must be one of ContainerResource, Object, Pods, Resource",
        ),
        Rule::new(
            "self.all(it, (it.type != 'ContainerResource' || has(it.containerResource)) && (it.type != 'Object' || has(it.object)) && (it.type != 'Pods' || has(it.pods)) && (it.type != 'Resource' || has(it.resource)))",
            "must populate information for the given metric source",
        ),
        Rule::new(
            "self.all(it, !has(it.external) && (it.type == 'ContainerResource' || !has(it.containerResource)) && (it.type == 'Object' || !has(it.object)) && (it.type == 'Pods' || !has(it.pods)) && (it.type == 'Resource' || !has(it.resource)))",
            "must populate the given metric source only",
        ),
    ])
}

/// The schema of a behavior, with the limits that Kubernetes sets for its own autoscaler.
pub(super) fn behavior(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = native::of::<HorizontalPodAutoscalerBehavior>(generator);
    for direction in ["scaleDown", "scaleUp"] {
        let fields = &mut schema.ensure_object()["properties"][direction]["properties"];
        fields["stabilizationWindowSeconds"]["x-kubernetes-validations"] = rules(&[
            Rule::new("self >= 0", "must be greater than or equal to zero"),
            Rule::new("self <= 3600", "must be less than or equal to 3600"),
        ]);
        fields["selectPolicy"]["x-kubernetes-validations"] = rules(&[Rule::new(
            "self in ['Disabled', 'Max', 'Min']",
            "must be one of Disabled, Max, Min",
        )]);
        let policy = &mut fields["policies"]["items"]["properties"];
        policy["type"]["x-kubernetes-validations"] = rules(&[Rule::new(
            "self == 'Percent' || self == 'Pods'",
            "must be one of Percent, Pods",
        )]);
        policy["value"]["x-kubernetes-validations"] =
            rules(&[Rule::new("self > 0", "must be greater than zero")]);
        policy["periodSeconds"]["x-kubernetes-validations"] = rules(&[
            Rule::new("self > 0", "must be greater than zero"),
            Rule::new("self <= 1800", "must be less than or equal to 1800"),
        ]);
    }
    schema
}

/// The schema of the status' conditions, merged by their type.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = native::list_of::<HorizontalPodAutoscalerCondition>(generator);
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), json!(["type"]));
    // Younger than the published schema of this kind, which does not have the field.
    if let Some(Value::Object(properties)) = schema.pointer_mut("/items/properties") {
        properties.remove("observedGeneration");
    }
    schema
}

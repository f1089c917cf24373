//! Interpretation by webhooks.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments become descriptions, in which kinds and products stand as plain words"
)]

use k8s_openapi::api::admissionregistration::v1::WebhookClientConfig;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::InterpreterOperation;
use crate::schema::{Rule, rules};

/// Teaches the control plane kinds through webhooks, for answers that a script cannot give. The list stands at the top level,
/// without a spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ResourceInterpreterWebhookConfiguration {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,

    /// The webhooks.
    pub webhooks: Vec<ResourceInterpreterWebhook>,
}

resource! {
    /// Teaches the control plane kinds through webhooks, for answers that a script cannot give. Of all webhooks that match an
    /// object and an operation, the first in the order of `<name of this object>/<name of the webhook>` is called.
    ResourceInterpreterWebhookConfiguration { webhooks: Webhooks = true, }
    group: "config.karmada.io",
    version: "v1alpha1",
    plural: "resourceinterpreterwebhookconfigurations",
    singular: "resourceinterpreterwebhookconfiguration",
    scope: Cluster as ClusterResourceScope,
    short_names: [],
    categories: ["karmada-io"],
    columns: &[],
    subresources: None,
    rules: &[],
}

impl ResourceInterpreterWebhookConfiguration {
    /// A configuration with this name and these webhooks.
    pub fn new(name: &str, webhooks: Vec<ResourceInterpreterWebhook>) -> Self {
        Self {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            webhooks,
        }
    }
}

impl Serialize for ResourceInterpreterWebhookConfiguration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("apiVersion", Self::API_VERSION)?;
        object.serialize_entry("kind", Self::KIND)?;
        object.serialize_entry("metadata", &self.metadata)?;
        object.serialize_entry("webhooks", &self.webhooks)?;
        object.end()
    }
}

/// The list, as a type of its own so that it has a description.
#[derive(JsonSchema)]
#[schemars(transparent, description = "The webhooks.")]
struct Webhooks(
    // Read by the derived schema only.
    #[expect(dead_code, reason = "stands for the field `webhooks` in the schema")]
    Vec<ResourceInterpreterWebhook>,
);

/// One webhook and what it is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = webhook_rules()))]
pub struct ResourceInterpreterWebhook {
    /// How the webhook is reached: by `url`, or by a `service` of the control plane. Give exactly one.
    #[schemars(schema_with = "crate::manifests::native::of::<WebhookClientConfig>")]
    pub client_config: WebhookClientConfig,

    /// The versions of ResourceInterpreterContext that the webhook understands, most preferred first. `v1alpha1` is the only
    /// one, so it has to be among them.
    pub interpreter_context_versions: Vec<String>,

    /// The name of the webhook: a domain name with at least two parts, such as `workloads.example.com`.
    pub name: String,

    /// What the webhook is asked about. Without rules it is never called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleWithOperations>,

    /// Seconds to wait for an answer, 1 to 30; 10 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
}

/// What can be said without looking into the lists of a webhook: rules over lists within lists exceed what the API server lets
/// rules cost.
fn webhook_rules() -> Value {
    rules(&[
        Rule::new(
            "has(self.clientConfig.url) != has(self.clientConfig.service)",
            "exactly one of url or service is required",
        )
        .at(".clientConfig"),
        Rule::new(
            "size(self.interpreterContextVersions) > 0",
            "must specify one of v1alpha1",
        )
        .at(".interpreterContextVersions"),
        Rule::new(
            "!has(self.timeoutSeconds) || (self.timeoutSeconds >= 1 && self.timeoutSeconds <= 30)",
            "the timeout value must be between 1 and 30 seconds",
        )
        .at(".timeoutSeconds"),
    ])
}

/// Which operations on which kinds. All four lists have to match; `*` alone in a list matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleWithOperations {
    /// API groups, the empty string for the core group.
    pub api_groups: Vec<String>,

    /// API versions, without the group.
    pub api_versions: Vec<String>,

    /// Kinds.
    pub kinds: Vec<String>,

    /// What is asked: `InterpretReplica`, `InterpretComponent`, `ReviseReplica`, `Retain`, `AggregateStatus`,
    /// `InterpretStatus`, `InterpretHealth`, `InterpretDependency`.
    pub operations: Vec<String>,
}

impl RuleWithOperations {
    /// Whether the rule covers this operation on this kind.
    pub fn matches(
        &self,
        operation: InterpreterOperation,
        group: &str,
        version: &str,
        kind: &str,
    ) -> bool {
        let covers = |list: &[String], value: &str| list.iter().any(|it| it == "*" || it == value);
        covers(&self.operations, operation.as_str())
            && covers(&self.api_groups, group)
            && covers(&self.api_versions, version)
            && covers(&self.kinds, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(operations: &str, group: &str, version: &str, kind: &str) -> RuleWithOperations {
        RuleWithOperations {
            api_groups: vec![group.into()],
            api_versions: vec![version.into()],
            kinds: vec![kind.into()],
            operations: vec![operations.into()],
        }
    }

    #[track_caller]
    fn check(rule: &RuleWithOperations, expected: bool) {
        let matches = rule.matches(InterpreterOperation::Retain, "", "v1", "Service");
        assert_eq!(matches, expected, "{rule:?}");
    }

    #[test]
    fn rules_match_exactly_or_by_star() {
        check(&rule("Retain", "", "v1", "Service"), true);
        check(&rule("*", "*", "*", "*"), true);
        check(&rule("InterpretHealth", "", "v1", "Service"), false);
        check(&rule("Retain", "apps", "v1", "Service"), false);
        check(&rule("Retain", "", "v2", "Service"), false);
        check(&rule("Retain", "", "v1", "service"), false);
        check(&RuleWithOperations::default(), false);
    }

    #[test]
    fn webhooks_stand_at_the_top_level() {
        let object = json!({
            "apiVersion": "config.karmada.io/v1alpha1",
            "kind": "ResourceInterpreterWebhookConfiguration",
            "metadata": {"name": "examples"},
            "webhooks": [{
                "name": "workloads.example.com",
                "clientConfig": {"url": "https://example.com/interpreter"},
                "interpreterContextVersions": ["v1alpha1"],
            }],
        });
        let read: ResourceInterpreterWebhookConfiguration =
            serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), object);
    }
}

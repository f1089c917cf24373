//! What is wrong with a webhook configuration.

use std::collections::BTreeSet;

use crds::config::{
    InterpreterOperation, ResourceInterpreterContext, ResourceInterpreterWebhook,
    ResourceInterpreterWebhookConfiguration, RuleWithOperations,
};
use k8s_openapi::api::admissionregistration::v1::{ServiceReference, WebhookClientConfig};

use crate::reference::{is_dns_label, is_dns_subdomain};
use crate::webhook::address_of_url;

/// A field with an unusable value, in the words of the API server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FieldError {
    /// Such as `webhooks[0].name`.
    pub path: String,
    pub problem: String,
}

/// All problems of a configuration.
pub fn webhook_configuration(
    configuration: &ResourceInterpreterWebhookConfiguration,
) -> Vec<FieldError> {
    let mut findings = Findings::default();
    let mut names = BTreeSet::new();
    for (position, webhook) in configuration.webhooks.iter().enumerate() {
        let path = format!("webhooks[{position}]");
        findings.name(&format!("{path}.name"), &webhook.name);
        if !webhook.name.is_empty() && !names.insert(&webhook.name) {
            findings.add(
                format!("{path}.name"),
                format!("Duplicate value: {:?}", webhook.name),
            );
        }
        findings.webhook(&path, webhook);
    }
    findings.found
}

#[derive(Default)]
struct Findings {
    found: Vec<FieldError>,
}

impl Findings {
    fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.found.push(FieldError {
            path: path.into(),
            problem: problem.into(),
        });
    }

    fn required(&mut self, path: impl Into<String>, detail: &str) {
        self.add(
            path,
            if detail.is_empty() {
                "Required value".to_owned()
            } else {
                format!("Required value: {detail}")
            },
        );
    }

    fn invalid(&mut self, path: impl Into<String>, value: &str, detail: &str) {
        self.add(path, format!("Invalid value: {value:?}: {detail}"));
    }

    fn name(&mut self, path: &str, name: &str) {
        if name.is_empty() {
            return self.required(path, "");
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        if !is_dns_subdomain(name) {
            self.invalid(
                path,
                name,
                "must be a domain name of lower case letters, digits, '-' and '.'",
            );
        } else if !name.contains('.') {
            self.invalid(
                path,
                name,
                "should be a domain with at least two segments separated by dots",
            );
        } else if name.split('.').any(|label| label.len() > 63) {
            self.invalid(
                path,
                name,
                "each segment must be no more than 63 characters",
            );
        }
    }

    fn webhook(&mut self, path: &str, webhook: &ResourceInterpreterWebhook) {
        for (position, rule) in webhook.rules.iter().enumerate() {
            self.rule(&format!("{path}.rules[{position}]"), rule);
        }
        if let Some(seconds) = webhook
            .timeout_seconds
            .filter(|seconds| !(1..=30).contains(seconds))
        {
            let detail = "the timeout value must be between 1 and 30 seconds";
            self.invalid(
                format!("{path}.timeoutSeconds"),
                &seconds.to_string(),
                detail,
            );
        }
        self.client(&format!("{path}.clientConfig"), &webhook.client_config);
        self.versions(
            &format!("{path}.interpreterContextVersions"),
            &webhook.interpreter_context_versions,
        );
    }

    fn rule(&mut self, path: &str, rule: &RuleWithOperations) {
        self.list(
            &format!("{path}.operations"),
            &rule.operations,
            "operations",
            false,
        );
        let known = |operation: &str| {
            operation == "*"
                || InterpreterOperation::ALL
                    .iter()
                    .any(|it| it.as_str() == operation)
        };
        for (position, operation) in rule
            .operations
            .iter()
            .enumerate()
            .filter(|(_, operation)| !known(operation))
        {
            self.add(
                format!("{path}.operations[{position}]"),
                format!("Unsupported value: {operation:?}"),
            );
        }
        self.list(
            &format!("{path}.apiGroups"),
            &rule.api_groups,
            "API groups",
            true,
        );
        self.list(
            &format!("{path}.apiVersions"),
            &rule.api_versions,
            "API versions",
            false,
        );
        self.list(&format!("{path}.kinds"), &rule.kinds, "kinds", false);
    }

    /// A list with something in it, in which a star stands alone.
    fn list(&mut self, path: &str, values: &[String], what: &str, may_be_empty_text: bool) {
        if values.is_empty() {
            return self.required(path, "");
        }
        if values.len() > 1 && values.iter().any(|value| value == "*") {
            let detail = format!("if '*' is present, must not specify other {what}");
            self.add(path, format!("Invalid value: {values:?}: {detail}"));
        }
        for (position, value) in values.iter().enumerate() {
            if value.is_empty() && !may_be_empty_text {
                self.required(format!("{path}[{position}]"), "");
            }
        }
    }

    fn client(&mut self, path: &str, client: &WebhookClientConfig) {
        match (&client.url, &client.service) {
            (Some(url), None) => {
                if address_of_url(url).is_err() {
                    let detail =
                        "must be an https URL with a host, without user, query and fragment";
                    self.invalid(format!("{path}.url"), url, detail);
                }
            }
            (None, Some(service)) => self.service(&format!("{path}.service"), service),
            _ => self.required(path, "exactly one of url or service is required"),
        }
        if let Some(bundle) = &client.ca_bundle
            && !bundle.0.is_empty()
            && !is_pem(&bundle.0)
        {
            self.add(
                format!("{path}.caBundle"),
                "Invalid value: the bundle has no PEM encoded certificate",
            );
        }
    }

    fn service(&mut self, path: &str, service: &ServiceReference) {
        if service.name.is_empty() {
            self.required(format!("{path}.name"), "service name is required");
        }
        if service.namespace.is_empty() {
            self.required(format!("{path}.namespace"), "service namespace is required");
        }
        if let Some(port) = service.port.filter(|port| !(1..=65_535).contains(port)) {
            self.invalid(
                format!("{path}.port"),
                &port.to_string(),
                "must be between 1 and 65535, inclusive",
            );
        }
        let Some(whole) = service
            .path
            .as_deref()
            .filter(|path| !path.is_empty() && *path != "/")
        else {
            return;
        };
        let path = format!("{path}.path");
        let Some(segments) = whole.strip_prefix('/') else {
            return self.invalid(path, whole, "must start with a '/'");
        };
        for segment in segments.strip_suffix('/').unwrap_or(segments).split('/') {
            if segment.is_empty() {
                self.invalid(path.clone(), whole, "a segment may not be empty");
            } else if !is_dns_subdomain(segment) {
                self.invalid(path.clone(), whole, "each segment must be a DNS subdomain");
            }
        }
    }

    fn versions(&mut self, path: &str, versions: &[String]) {
        let known = ResourceInterpreterContext::VERSION;
        if versions.is_empty() {
            return self.required(path, &format!("must specify one of {known}"));
        }
        let mut seen = BTreeSet::new();
        for (position, version) in versions.iter().enumerate() {
            let path = format!("{path}[{position}]");
            if !seen.insert(version) {
                self.invalid(path, version, "duplicate version");
            } else if !(is_dns_label(version)
                && version.len() <= 63
                && version.starts_with(|it: char| it.is_ascii_lowercase()))
            {
                self.invalid(path, version, "must be a DNS-1035 label");
            }
        }
        if !versions.iter().any(|version| version == known) {
            self.add(
                path,
                format!("Invalid value: {versions:?}: must include at least one of {known}"),
            );
        }
    }
}

fn is_pem(bundle: &[u8]) -> bool {
    pem::parse_many(bundle).is_ok_and(|blocks| blocks.iter().any(|it| it.tag() == "CERTIFICATE"))
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::needless_pass_by_value,
        reason = "cases read better with their values in place"
    )]

    use serde_json::{Value, json};

    use super::*;

    fn webhook(changes: Value) -> Value {
        let mut webhook = json!({
            "name": "hook.example.com",
            "clientConfig": {"url": "https://example.com/hook"},
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "kinds": ["*"]}],
            "interpreterContextVersions": ["v1alpha1"],
        });
        for (key, value) in changes.as_object().into_iter().flatten() {
            webhook[key] = value.clone();
        }
        webhook
    }

    #[track_caller]
    fn check(changes: Value, expected: &[&str]) {
        check_all(vec![webhook(changes)], expected);
    }

    #[track_caller]
    fn check_all(webhooks: Vec<Value>, expected: &[&str]) {
        let configuration =
            serde_json::from_value(json!({"metadata": {"name": "c"}, "webhooks": webhooks}))
                .expect("the shape");
        let found: Vec<_> = webhook_configuration(&configuration)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn names() {
        check(json!({}), &[]);
        check(json!({"name": "hook.example.com."}), &[]);
        check(json!({"name": ""}), &["webhooks[0].name: Required value"]);
        check(
            json!({"name": "hook"}),
            &[
                "webhooks[0].name: Invalid value: \"hook\": should be a domain with at least two segments separated by dots",
            ],
        );
        check(
            json!({"name": "Hook.example"}),
            &[
                "webhooks[0].name: Invalid value: \"Hook.example\": must be a domain name of lower case letters, digits, '-' and '.'",
            ],
        );
        check_all(
            vec![webhook(json!({})), webhook(json!({}))],
            &["webhooks[1].name: Duplicate value: \"hook.example.com\""],
        );
    }

    #[test]
    fn rules() {
        let rule = |operations: Value, groups: Value, versions: Value, kinds: Value| json!({"rules": [{"operations": operations, "apiGroups": groups, "apiVersions": versions, "kinds": kinds}]});
        let any = || json!(["*"]);
        check(
            rule(json!(["Retain", "InterpretHealth"]), any(), any(), any()),
            &[],
        );
        check(
            rule(json!([]), json!([]), json!([]), json!([])),
            &[
                "webhooks[0].rules[0].operations: Required value",
                "webhooks[0].rules[0].apiGroups: Required value",
                "webhooks[0].rules[0].apiVersions: Required value",
                "webhooks[0].rules[0].kinds: Required value",
            ],
        );
        check(
            rule(json!(["Prune"]), any(), json!([""]), any()),
            &[
                "webhooks[0].rules[0].operations[0]: Unsupported value: \"Prune\"",
                "webhooks[0].rules[0].apiVersions[0]: Required value",
            ],
        );
        check(
            rule(any(), json!(["*", "apps"]), any(), any()),
            &[
                "webhooks[0].rules[0].apiGroups: Invalid value: [\"*\", \"apps\"]: if '*' is present, must not specify other API groups",
            ],
        );
    }

    #[test]
    fn clients() {
        let both =
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required";
        check(json!({"clientConfig": {}}), &[both]);
        check(
            json!({"clientConfig": {"url": "https://a.b", "service": {"name": "a", "namespace": "b"}}}),
            &[both],
        );
        check(
            json!({"clientConfig": {"url": "http://a.b"}}),
            &[
                "webhooks[0].clientConfig.url: Invalid value: \"http://a.b\": must be an https URL with a host, without user, query and fragment",
            ],
        );
        check(
            json!({"clientConfig": {"url": "https://a.b", "caBundle": "eA=="}}),
            &[
                "webhooks[0].clientConfig.caBundle: Invalid value: the bundle has no PEM encoded certificate",
            ],
        );
        for (text, is_bundle) in [
            (
                "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                true,
            ),
            (
                "# a note\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                true,
            ),
            (
                "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
                false,
            ),
            (
                "-----END CERTIFICATE----------BEGIN CERTIFICATE-----",
                false,
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
                false,
            ),
        ] {
            assert_eq!(is_pem(text.as_bytes()), is_bundle, "{text}");
        }
        let service = |service: Value| json!({"clientConfig": {"service": service}});
        check(
            service(json!({"name": "a", "namespace": "b", "path": "/x/y.z", "port": 8443})),
            &[],
        );
        check(
            service(json!({"name": "", "namespace": "", "port": 0, "path": "x"})),
            &[
                "webhooks[0].clientConfig.service.name: Required value: service name is required",
                "webhooks[0].clientConfig.service.namespace: Required value: service namespace is required",
                "webhooks[0].clientConfig.service.port: Invalid value: \"0\": must be between 1 and 65535, inclusive",
                "webhooks[0].clientConfig.service.path: Invalid value: \"x\": must start with a '/'",
            ],
        );
        check(
            service(json!({"name": "a", "namespace": "b", "path": "/x//Y"})),
            &[
                "webhooks[0].clientConfig.service.path: Invalid value: \"/x//Y\": a segment may not be empty",
                "webhooks[0].clientConfig.service.path: Invalid value: \"/x//Y\": each segment must be a DNS subdomain",
            ],
        );
    }

    #[test]
    fn versions_and_timeouts() {
        check(
            json!({"interpreterContextVersions": []}),
            &[
                "webhooks[0].interpreterContextVersions: Required value: must specify one of v1alpha1",
            ],
        );
        check(
            json!({"interpreterContextVersions": ["v1alpha1", "v1alpha1"]}),
            &[
                "webhooks[0].interpreterContextVersions[1]: Invalid value: \"v1alpha1\": duplicate version",
            ],
        );
        check(
            json!({"interpreterContextVersions": ["1x"]}),
            &[
                "webhooks[0].interpreterContextVersions[0]: Invalid value: \"1x\": must be a DNS-1035 label",
                "webhooks[0].interpreterContextVersions: Invalid value: [\"1x\"]: must include at least one of v1alpha1",
            ],
        );
        check(
            json!({"timeoutSeconds": 31}),
            &[
                "webhooks[0].timeoutSeconds: Invalid value: \"31\": the timeout value must be between 1 and 30 seconds",
            ],
        );
    }
}

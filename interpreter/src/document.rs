//! Documents that users write, checked before they are decoded, in the words of their fields.

use crds::config::ResourceInterpreterCustomization;
use crds::work::AggregatedStatusItem;
use serde_json::Value;

use crate::check::Severity;
use crate::reference::is_dns_subdomain;
use crate::schema::{self, Mismatch, TypeName};
use crate::value::{set, text};

/// Something about a field of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// The field, such as `spec.target.kind`, what is wrong with it, and what it should be.
    pub mismatch: Mismatch,
}

/// Decodes a customization. The API server would refuse the first error that it names.
pub fn customization(document: Value) -> Result<ResourceInterpreterCustomization, Mismatch> {
    schema::decode(TypeName::ResourceInterpreterCustomization, document)
}

/// Decodes what is known of an object in a cluster.
pub fn status_item(document: Value) -> Result<AggregatedStatusItem, Mismatch> {
    schema::decode(TypeName::AggregatedStatusItem, document)
}

/// What keeps the rules for an object from being found: they go by its apiVersion and kind.
pub fn problem_of_kind(object: &Value) -> Option<Mismatch> {
    let problem = |field| match set(object, &[field]) {
        Some(Value::String(text)) if !text.is_empty() => None,
        None | Some(Value::String(_)) => {
            Some("missing; rules are found by apiVersion and kind".to_owned())
        }
        Some(other) => Some(format!("must be a string, not {}", schema::kind_of(other))),
    };
    ["apiVersion", "kind"].into_iter().find_map(|field| {
        Some(Mismatch {
            path: field.to_owned(),
            problem: problem(field)?,
        })
    })
}

/// What keeps a document from being the customization that it is meant to be, beside its scripts.
pub fn problems_of_customization(document: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |path: &str, problem: String| {
        problems.push(Problem {
            severity: Severity::Error,
            mismatch: Mismatch {
                path: path.to_owned(),
                problem,
            },
        });
    };
    // What is there and no string is told below.
    let is_there = |path: &[&str]| set(document, path).is_some();
    let expected = ResourceInterpreterCustomization::API_VERSION;
    match document.get("apiVersion").and_then(Value::as_str) {
        Some(found) if found == expected => {}
        Some(found) => add(
            "apiVersion",
            format!("{found:?} has no such kind; write {expected}"),
        ),
        None if is_there(&["apiVersion"]) => {}
        None => add("apiVersion", format!("missing; write {expected}")),
    }
    let generated = text(document, &["metadata", "generateName"]).is_some();
    match text(document, &["metadata", "name"]) {
        Some(name) if is_dns_subdomain(name) => {}
        Some(name) => add(
            "metadata.name",
            format!(
                "{name:?} is no name; names have lower-case letters, digits, '-' and '.', and begin and end with a letter or digit"
            ),
        ),
        None if generated || is_there(&["metadata", "name"]) => {}
        None => add(
            "metadata.name",
            "missing; customizations are told apart, and ordered, by their names".to_owned(),
        ),
    }
    let mismatches = schema::mismatches(TypeName::ResourceInterpreterCustomization, document);
    problems.extend(mismatches.into_iter().map(|mismatch| Problem {
        severity: Severity::Error,
        mismatch,
    }));
    let unknown = schema::unknown(TypeName::ResourceInterpreterCustomization, document);
    problems.extend(unknown.into_iter().map(|mismatch| Problem {
        // The API server takes such a document, and drops the field.
        severity: Severity::Warning,
        mismatch,
    }));
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(document: &Value, expected: &[&str]) {
        let problems = problems_of_customization(document);
        let found: Vec<_> = problems.iter().map(|it| it.mismatch.to_string()).collect();
        assert_eq!(found, expected, "{document}");
    }

    fn sound() -> Value {
        json!({
            "apiVersion": "config.karmada.io/v1alpha1",
            "kind": "ResourceInterpreterCustomization",
            "metadata": {"name": "things", "labels": {"a": "b"}, "managedFields": [{"fieldsV1": {}}]},
            "spec": {
                "target": {"apiVersion": "example.com/v1", "kind": "Thing"},
                "customizations": {"retention": {"luaScript": "function Retain(a, b) return a end"}},
            },
        })
    }

    #[test]
    fn fields_that_cannot_be_are_named() {
        let with = |pointer: &str, value: Value| {
            let mut document = sound();
            *document.pointer_mut(pointer).expect("there") = value;
            document
        };
        check(&sound(), &[]);
        assert!(customization(sound()).is_ok());
        check(
            &with("/apiVersion", json!("config.karmada.io/v1")),
            &[
                "apiVersion: \"config.karmada.io/v1\" has no such kind; write config.karmada.io/v1alpha1",
            ],
        );
        check(
            &with("/metadata", json!({"labels": {}})),
            &["metadata.name: missing; customizations are told apart, and ordered, by their names"],
        );
        check(&with("/metadata", json!({"generateName": "things-"})), &[]);
        check(
            &with("/metadata/name", json!(true)),
            &["metadata.name: expected a string, found a boolean"],
        );
        check(
            &with("/apiVersion", json!(5)),
            &["apiVersion: expected a string, found a number"],
        );
        check(
            &with("/metadata/name", json!("Things")),
            &[
                "metadata.name: \"Things\" is no name; names have lower-case letters, digits, '-' and '.', and begin and end with a letter or digit",
            ],
        );
        check(
            &with("/spec/target", json!({"apiVersion": "example.com/v1"})),
            &["spec.target.kind: required, but missing"],
        );
        check(
            &with("/spec/target", json!(3)),
            &["spec.target: expected an object, found a number"],
        );
        check(
            &with(
                "/spec/customizations",
                json!({"retention": {"script": "x", "luaScript": ["x"]}, "health": {}}),
            ),
            &[
                "spec.customizations.retention.luaScript: expected a string, found a list",
                "spec.customizations.health: unknown field; known here: componentResource, dependencyInterpretation, healthInterpretation, replicaResource, replicaRevision, retention, statusAggregation, statusReflection",
                "spec.customizations.retention.script: unknown field; known here: luaScript",
            ],
        );
        check(
            &with(
                "/spec",
                json!({"target": {"apiVersion": 1}, "customizations": {"retention": {}, "healthInterpretation": {"luaScript": 2}}}),
            ),
            &[
                "spec.customizations.healthInterpretation.luaScript: expected a string, found a number",
                "spec.customizations.retention.luaScript: required, but missing",
                "spec.target.apiVersion: expected a string, found a number",
                "spec.target.kind: required, but missing",
            ],
        );
        let null = with(
            "/metadata",
            json!({"name": "things", "labels": {"a": null}}),
        );
        check(&null, &[]);
    }

    #[test]
    fn what_is_known_of_an_object_in_a_cluster_is_decoded() {
        let item = status_item(json!({"clusterName": "m1", "status": {"a": 1}}));
        assert_eq!(item.map(|it| it.cluster_name), Ok("m1".to_owned()));
        for (document, problem) in [
            (json!({}), "clusterName: required, but missing"),
            (json!([1]), "object: expected an object, found a list"),
            (
                json!({"clusterName": "m1", "health": "Fine"}),
                "health: \"Fine\" is none of Healthy, Unhealthy, Unknown",
            ),
            (
                json!({"clusterName": null}),
                "clusterName: required, but missing",
            ),
            (
                json!({"clusterName": "m1", "applied": "yes"}),
                "applied: expected a boolean, found a string",
            ),
        ] {
            let found = status_item(document).map_err(|mismatch| mismatch.to_string());
            assert_eq!(found, Err(problem.to_owned()));
        }
    }
}

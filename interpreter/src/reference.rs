//! The rules that every dependency reference has to meet, whichever layer it comes from.

use crds::config::DependentObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::error::Cause;

/// Checks all references of an answer; the first one that cannot be looked up fails it.
pub fn check(references: &[DependentObjectReference]) -> Result<(), Cause> {
    for (position, reference) in references.iter().enumerate() {
        problem_of(reference).map_or(Ok(()), |problem| {
            Err(Cause::Reference { position, problem })
        })?;
    }
    Ok(())
}

/// Sorts by kind and name, with the selector as last key so that the order is total, and removes repetitions.
pub fn sort_and_unite(references: &mut Vec<DependentObjectReference>) {
    references.sort_by_cached_key(sort_key);
    references.dedup();
}

/// Sorts like [`sort_and_unite`] and keeps repetitions.
pub(crate) fn sort(references: &mut [DependentObjectReference]) {
    references.sort_by_cached_key(sort_key);
}

fn sort_key(
    reference: &DependentObjectReference,
) -> (String, String, Option<String>, Option<String>, String) {
    let selector = reference
        .label_selector
        .as_ref()
        .map(|it| serde_json::to_string(it).unwrap_or_default());
    (
        reference.api_version.clone(),
        reference.kind.clone(),
        reference.namespace.clone(),
        reference.name.clone(),
        selector.unwrap_or_default(),
    )
}

fn problem_of(reference: &DependentObjectReference) -> Option<String> {
    if reference.api_version.is_empty() {
        return Some("apiVersion: empty; it is the group and version, such as v1".to_owned());
    }
    if reference.kind.is_empty() {
        return Some("kind: empty".to_owned());
    }
    let name_is_empty = reference.name.as_deref().unwrap_or_default().is_empty();
    match &reference.label_selector {
        None if name_is_empty => Some(format!(
            "name: {} has neither name nor labelSelector",
            reference.kind
        )),
        None => None,
        Some(selector) => {
            selector_problem(selector).map(|problem| format!("labelSelector: {problem}"))
        }
    }
}

fn selector_problem(selector: &LabelSelector) -> Option<String> {
    let labels = selector.match_labels.iter().flatten();
    let mut label_problems =
        labels.filter_map(|(key, value)| key_problem(key).or_else(|| value_problem(value)));
    let mut expression_problems = selector
        .match_expressions
        .iter()
        .flatten()
        .filter_map(expression_problem);
    label_problems.next().or_else(|| expression_problems.next())
}

fn expression_problem(expression: &LabelSelectorRequirement) -> Option<String> {
    let values = expression.values.as_deref().unwrap_or_default();
    key_problem(&expression.key)
        .or_else(|| match expression.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                Some(format!("operator {} needs values", expression.operator))
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                Some(format!("operator {} takes no values", expression.operator))
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => None,
            other => Some(format!("unknown operator {other:?}")),
        })
        .or_else(|| values.iter().find_map(|value| value_problem(value)))
}

fn key_problem(key: &str) -> Option<String> {
    (!is_qualified_name(key)).then(|| format!("{key:?} is no label key"))
}

fn value_problem(value: &str) -> Option<String> {
    (!value.is_empty() && !is_name_part(value)).then(|| format!("{value:?} is no label value"))
}

/// `[prefix/]name`, the prefix being a DNS subdomain.
pub(crate) fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_name_part(name),
        None => is_name_part(text),
    }
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

pub(crate) fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check_one(reference: Value, problem: Option<&str>) {
        let reference: DependentObjectReference =
            serde_json::from_value(reference).expect("the type's shape");
        let answer = check(&[reference]).err().map(|cause| cause.to_string());
        assert_eq!(
            answer,
            problem.map(|problem| format!("dependencies[0].{problem}"))
        );
    }

    #[test]
    fn references_name_something() {
        check_one(
            json!({"apiVersion": "v1", "kind": "Secret", "name": "s"}),
            None,
        );
        check_one(
            json!({"apiVersion": "", "kind": "Secret", "name": "s"}),
            Some("apiVersion: empty; it is the group and version, such as v1"),
        );
        check_one(
            json!({"apiVersion": "v1", "kind": "", "name": "s"}),
            Some("kind: empty"),
        );
        check_one(
            json!({"apiVersion": "v1", "kind": "Secret", "name": ""}),
            Some("name: Secret has neither name nor labelSelector"),
        );
    }

    #[test]
    fn selectors_are_well_formed() {
        let with = |selector: Value| json!({"apiVersion": "v1", "kind": "Secret", "labelSelector": selector});
        check_one(with(json!({"matchLabels": {"a.b/c": "d", "e": ""}})), None);
        check_one(with(json!({})), None);
        check_one(
            with(json!({"matchLabels": {"a": "x".repeat(64)}})),
            Some(&format!(
                "labelSelector: {:?} is no label value",
                "x".repeat(64)
            )),
        );
        check_one(
            with(json!({"matchLabels": {"-a": "x"}})),
            Some("labelSelector: \"-a\" is no label key"),
        );
        let expression = |operator: &str, values: &[&str]| {
            with(
                json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}),
            )
        };
        check_one(expression("In", &["x"]), None);
        check_one(
            expression("In", &[]),
            Some("labelSelector: operator In needs values"),
        );
        check_one(
            expression("Exists", &["x"]),
            Some("labelSelector: operator Exists takes no values"),
        );
        check_one(
            expression("Gt", &["1"]),
            Some("labelSelector: unknown operator \"Gt\""),
        );
        check_one(
            expression("NotIn", &["x y"]),
            Some("labelSelector: \"x y\" is no label value"),
        );
    }
}

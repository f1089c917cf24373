//! Validates objects in tests as the API server does: defaults, then the schema, then the rules in CEL.
//!
//! Of the schema it knows the keywords that our rules are made of.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::Validator;
use serde_json::{Value, json};

/// What is wrong with an object of this kind that has this spec, as `path: complaint`.
pub(crate) fn complaints(
    crd: &CustomResourceDefinition,
    name: &str,
    spec: &Value,
    old_spec: Option<&Value>,
) -> Vec<String> {
    let schema = crd.spec.versions[0].schema.as_ref().unwrap();
    let schema = serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap();
    let object = |spec: &Value| json!({ "metadata": { "name": name }, "spec": spec });
    let (new, old) = (object(spec), old_spec.map(object));
    let mut complaints = Vec::new();
    check("spec", &schema["properties"]["spec"], spec, &mut complaints);
    if let Err(errors) = Validator::new().validate_with_defaults(&schema, &new, old.as_ref()) {
        complaints.extend(errors.as_slice().iter().map(|error| {
            let path = error.field_path.trim_start_matches('.');
            format!("{path}: {}", error.message)
        }));
    }
    complaints
}

fn check(path: &str, schema: &Value, value: &Value, complaints: &mut Vec<String>) {
    let mut complain = |what: &str| complaints.push(format!("{path}: {what}"));
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        complain("unsupported value");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !regex::Regex::new(pattern).unwrap().is_match(text)
    {
        complain("does not match the pattern");
    }
    if let (Some(limit), Some(text)) = (schema["maxLength"].as_u64(), value.as_str())
        && text.len() > usize::try_from(limit).unwrap()
    {
        complain("too long");
    }
    if let (Some(limit), Some(text)) = (schema["minLength"].as_u64(), value.as_str())
        && text.len() < usize::try_from(limit).unwrap()
    {
        complain("too short");
    }
    if let (Some(limit), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < limit
    {
        complain("too small");
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            complain(&format!("{} is required", name.as_str().unwrap()));
        }
    }
    let fits = |branch: &Value| {
        let mut complaints = Vec::new();
        check(path, branch, value, &mut complaints);
        complaints.is_empty()
    };
    if schema.get("not").is_some_and(fits) {
        complain("forbidden");
    }
    if let Some(branches) = schema["oneOf"].as_array()
        && branches.iter().filter(|it| fits(it)).count() != 1
    {
        complain("does not fit exactly one schema");
    }
    // Quantities say their two types like this; types are not checked here.
    if let Some(branches) = schema["anyOf"].as_array()
        && !branches.iter().any(fits)
    {
        complain("does not fit any schema");
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(path, part, value, complaints);
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            check(&format!("{path}.{name}"), schema, value, complaints);
        }
    }
    if let Some(schema) = schema.get("items") {
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            check(&format!("{path}[{index}]"), schema, value, complaints);
        }
    }
    if let Some(schema) = schema.get("additionalProperties") {
        for (key, value) in value.as_object().into_iter().flatten() {
            check(&format!("{path}[{key}]"), schema, value, complaints);
        }
    }
}

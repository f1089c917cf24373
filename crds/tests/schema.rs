//! Holds the generated schemas against the tables in `tests/schema/`, one row per field, in both directions.
//!
//! A table is `<group>_<version>_<Kind>.tsv` with the columns path, type, required, default, enum, validation. `x[]` is an
//! element of the list `x`, `x{}` a value of the map `x`; such rows exist only where the element itself is constrained. For the
//! kinds stored as CRDs the tables are exact, and so is this test. Some tables are not those of a CRD, and part of them is prose:
//!
//! | Table | Compared | Prose, not compared |
//! |---|---|---|
//! | `Cluster` | path, type, required, enum | default (what the server fills in), validation (what its code checks) |
//! | `ResourceRegistry` | path, type, required | default, enum (documented, not enforced), validation |
//! | `ResourceInterpreterContext` | path, type, required, default, enum, validation without list and map types | merge semantics have no meaning in a message |
//! | `ClusterProxyOptions` | path, type, required | validation (a remark) |
//!
//! `integer(unsigned)` in a table is an integer of no declared width that is not negative; a schema says `minimum: 0`.
//!
//! Left out of the comparison everywhere: descriptions, and the rules in CEL (`x-kubernetes-validations`), which are additions to
//! the published schemas. So are rules about single values, which stand under `allOf` and `oneOf`; each is named in
//! [`ADDED_RULES`]. Any other keyword that the tables have no column for is reported.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test reports by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crds::config::{ClusterProxyOptions, ResourceInterpreterContext};
use crds::schema::Root;
use schemars::JsonSchema;
use serde_json::{Map, Value};

/// One row of a table, or what a schema says in the same terms.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    type_: String,
    required: String,
    default: String,
    enumeration: BTreeSet<String>,
    validation: BTreeMap<String, String>,
}

type Rows = BTreeMap<String, Row>;

/// Where schemas are stricter than the tables, because admission refuses more than the published schemas do: the end of the path,
/// the keyword, and what is refused.
const ADDED_RULES: &[(&str, &str, &str)] = &[
    (".affinityName", "allOf", "no label key"),
    (".groupByLabelKey", "allOf", "no label key"),
    (".aliasLabelName", "allOf", "no label key"),
    (
        ".clusterTolerations[].operator",
        "allOf",
        "an operator without meaning for clusters",
    ),
    (
        ".labelSelector.matchExpressions[]",
        "allOf",
        "an operator that label selectors do not have",
    ),
    (
        ".fieldSelector.matchExpressions[]",
        "allOf",
        "a key or operator without meaning for clusters",
    ),
    (".predicate.path", "allOf", "no JSON pointer"),
    (".fieldOverrider[]", "oneOf", "both documents or none"),
    (".fieldPath", "allOf", "no JSON pointer"),
    (".subPath", "allOf", "no JSON pointer"),
    (
        ".json[]",
        "allOf",
        "a value that the operator has no use for, or none where it needs one",
    ),
    (
        ".yaml[]",
        "allOf",
        "a value that the operator has no use for, or none where it needs one",
    ),
    (".plaintext[].path", "allOf", "no JSON pointer"),
    ("OnConditions[].operator", "allOf", "neither In nor NotIn"),
    ("spec.taints[].key", "allOf", "no label key"),
    ("spec.taints[].value", "allOf", "no label value"),
    (
        "spec.taints[].effect",
        "allOf",
        "an effect without meaning for clusters",
    ),
    ("spec.overall{}", "allOf", "a negative limit"),
    (".hard{}", "allOf", "a negative limit"),
    (
        ".staticAssignments[].clusterName",
        "allOf",
        "no name of a cluster",
    ),
];

/// A column, or part of one, that does not mean for a kind what it means for a CRD.
#[derive(Clone, Copy, PartialEq)]
enum Prose {
    Default,
    Enumeration,
    Validation,
    MergeSemantics,
}

fn prose(kind: &str) -> &'static [Prose] {
    match kind {
        "Cluster" | "ClusterProxyOptions" => &[Prose::Default, Prose::Validation],
        "ResourceRegistry" => &[Prose::Default, Prose::Enumeration, Prose::Validation],
        "ResourceInterpreterContext" => &[Prose::MergeSemantics],
        _ => &[],
    }
}

fn without(prose: &[Prose], mut row: Row) -> Row {
    if prose.contains(&Prose::Default) {
        row.default.clear();
    }
    if prose.contains(&Prose::Enumeration) {
        row.enumeration.clear();
    }
    if prose.contains(&Prose::Validation) {
        row.validation.clear();
    }
    if prose.contains(&Prose::MergeSemantics) {
        row.validation
            .retain(|keyword, _| !matches!(keyword.as_str(), "list-type" | "map-type"));
    }
    row
}

/// Rows of elements exist for the sake of their constraints; without any they say nothing.
fn says_something(path: &str, row: &Row) -> bool {
    let is_element = path.ends_with("[]") || path.ends_with("{}");
    !is_element
        || !row.default.is_empty()
        || !row.enumeration.is_empty()
        || !row.validation.is_empty()
}

#[test]
fn schemas_say_what_the_tables_say() {
    let mut schemas = BTreeMap::new();
    for crd in crds::manifests::all() {
        let (group, kind) = (&crd.spec.group, &crd.spec.names.kind);
        for version in &crd.spec.versions {
            let schema = version
                .schema
                .as_ref()
                .and_then(|it| it.open_api_v3_schema.as_ref())
                .unwrap();
            let name = format!("{group}_{}_{kind}", version.name);
            schemas.insert(name, serde_json::to_value(schema).unwrap());
        }
    }
    schemas.insert(
        "config.karmada.io_v1alpha1_ResourceInterpreterContext".into(),
        message::<ResourceInterpreterContext>(),
    );
    schemas.insert(
        "cluster.karmada.io_v1alpha1_ClusterProxyOptions".into(),
        message::<ClusterProxyOptions>(),
    );
    let internal = schemas.remove("cluster.karmada.io_internal_Cluster");
    assert_eq!(
        internal.as_ref(),
        schemas.get("cluster.karmada.io_v1alpha1_Cluster"),
        "both versions of Cluster have one schema"
    );

    let tables = tables();
    let without_table: Vec<_> = schemas
        .keys()
        .filter(|it| !tables.contains_key(*it))
        .collect();
    let without_schema: Vec<_> = tables
        .keys()
        .filter(|it| !schemas.contains_key(*it))
        .collect();
    assert!(without_table.is_empty(), "no table for {without_table:?}");
    assert!(
        without_schema.is_empty(),
        "no schema for {without_schema:?}"
    );

    let mut report = String::new();
    let mut fields = 0;
    for (name, table) in &tables {
        fields += table.len();
        compare(name, table, &schemas[name], &mut report);
    }
    assert!(fields > 1200, "the tables hold {fields} fields only");
    assert!(report.is_empty(), "\n{report}");
}

/// The schema of a type that is sent but not stored.
fn message<T: JsonSchema>() -> Value {
    let mut root = Root::new("", &[]);
    root.property::<T>("message", true);
    root.finish()["properties"]["message"].take()
}

fn compare(name: &str, table: &Rows, schema: &Value, report: &mut String) {
    let kind = name.rsplit('_').next().unwrap_or_default();
    let keep = |rows: &Rows| -> Rows {
        rows.iter()
            .map(|(path, row)| (path.clone(), without(prose(kind), row.clone())))
            .filter(|(path, row)| says_something(path, row))
            .collect()
    };
    let mut found = Rows::new();
    let mut unexpected = Vec::new();
    flatten(schema, &mut found, &mut unexpected);
    let (table, found) = (keep(table), keep(&found));
    for what in unexpected {
        let _ = writeln!(report, "{name} {what}");
    }
    let paths: BTreeSet<_> = table.keys().chain(found.keys()).collect();
    for path in paths {
        match (table.get(path), found.get(path)) {
            (Some(_), None) => {
                let _ = writeln!(report, "{name} {path}: in the table, not in the CRD");
            }
            (None, Some(_)) => {
                let _ = writeln!(report, "{name} {path}: in the CRD, not in the table");
            }
            (Some(says), Some(is)) => {
                let mut differ = |column: &str, says: String, is: String| {
                    if says != is {
                        let _ = writeln!(
                            report,
                            "{name} {path}: {column}: table says {says:?}, CRD says {is:?}"
                        );
                    }
                };
                differ("type", says.type_.clone(), is.type_.clone());
                differ("required", says.required.clone(), is.required.clone());
                differ("default", says.default.clone(), is.default.clone());
                differ(
                    "enum",
                    format!("{:?}", says.enumeration),
                    format!("{:?}", is.enumeration),
                );
                differ(
                    "validation",
                    format!("{:?}", says.validation),
                    format!("{:?}", is.validation),
                );
            }
            (None, None) => unreachable!("the path came from one of both"),
        }
    }
}

fn tables() -> BTreeMap<String, Rows> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, table(&std::fs::read_to_string(path).unwrap()))
        })
        .collect()
}

fn table(text: &str) -> Rows {
    text.lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [path, type_, required, default, enumeration, validation] = cells[..] else {
                panic!("a row has six columns: {line:?}");
            };
            let list = |cell: &str, separator: &str| -> Vec<String> {
                cell.split(separator)
                    .filter(|it| !it.is_empty())
                    .map(str::to_owned)
                    .collect()
            };
            let row = Row {
                type_: type_.replace("(unsigned)", ""),
                required: required.to_owned(),
                default: default.to_owned(),
                enumeration: list(enumeration, ",").into_iter().collect(),
                validation: list(validation, "; ")
                    .into_iter()
                    .map(|it| match it.split_once('=') {
                        Some((keyword, value)) => (keyword.to_owned(), value.to_owned()),
                        None => (it, "true".to_owned()),
                    })
                    .collect(),
            };
            (path.to_owned(), row)
        })
        .collect()
}

/// Lists the fields of a schema in the terms of the tables, and keywords that these have no column for.
fn flatten(schema: &Value, rows: &mut Rows, unexpected: &mut Vec<String>) {
    let mut root = schema.as_object().unwrap().clone();
    let properties = root["properties"].as_object_mut().unwrap();
    // The tables leave out what is always on the wire.
    properties.remove("apiVersion");
    properties.remove("kind");
    if let Some(metadata) = properties.get_mut("metadata") {
        let name = &metadata["properties"]["name"]["type"];
        assert_eq!(
            (&metadata["type"], name),
            (&"object".into(), &"string".into())
        );
        *metadata = serde_json::json!({"type": "ObjectMeta"});
    }
    properties_of("", &root, rows, unexpected);
}

fn properties_of(
    path: &str,
    object: &Map<String, Value>,
    rows: &mut Rows,
    unexpected: &mut Vec<String>,
) {
    let required: Vec<&Value> = object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    let properties = object.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let is_required = required.iter().any(|it| *it == name);
        let required = if is_required { "yes" } else { "no" };
        field(&path, required, schema, rows, unexpected);
    }
}

fn field(
    path: &str,
    required: &str,
    schema: &Value,
    rows: &mut Rows,
    unexpected: &mut Vec<String>,
) {
    let Value::Object(object) = schema else {
        unexpected.push(format!("{path}: CRD has the schema {schema}"));
        return;
    };
    let mut row = Row {
        type_: type_of(schema),
        required: required.to_owned(),
        ..Row::default()
    };
    for (keyword, value) in object {
        match keyword.as_str() {
            "type"
            | "format"
            | "properties"
            | "required"
            | "items"
            | "additionalProperties"
            | "x-kubernetes-int-or-string"
            | "description"
            | "x-kubernetes-validations" => {}
            "anyOf" if row.type_ == "int-or-string" => {}
            "default" => row.default = value.to_string(),
            "enum" => {
                let values = value.as_array().unwrap();
                row.enumeration = values
                    .iter()
                    .map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned))
                    .collect();
            }
            "pattern" | "minLength" | "maxLength" | "minItems" | "maxItems" => {
                row.validation.insert(keyword.clone(), value.to_string());
            }
            // Numbers in an OpenAPI schema are floating-point ones; the tables have integers.
            "minimum" | "maximum" => {
                let number = value.as_f64().unwrap();
                row.validation.insert(keyword.clone(), number.to_string());
            }
            "x-kubernetes-list-type"
            | "x-kubernetes-list-map-keys"
            | "x-kubernetes-map-type"
            | "x-kubernetes-preserve-unknown-fields" => {
                let name = keyword.trim_start_matches("x-kubernetes-").to_owned();
                row.validation.insert(name, value.to_string());
            }
            other => {
                let is_added = |(end, keyword, _): &(&str, &str, &str)| {
                    path.ends_with(end) && other == *keyword
                };
                if !ADDED_RULES.iter().any(is_added) {
                    unexpected.push(format!("{path}: CRD has {other}: {value}"));
                }
            }
        }
    }
    if let Some(items) = object.get("items") {
        element(&format!("{path}[]"), items, rows, unexpected);
    }
    if let Some(values) = object.get("additionalProperties") {
        element(&format!("{path}{{}}"), values, rows, unexpected);
    }
    properties_of(path, object, rows, unexpected);
    rows.insert(path.to_owned(), row);
}

fn element(path: &str, schema: &Value, rows: &mut Rows, unexpected: &mut Vec<String>) {
    field(path, "-", schema, rows, unexpected);
    if !says_something(path, &rows[path]) {
        rows.remove(path);
    }
}

fn type_of(schema: &Value) -> String {
    if schema["x-kubernetes-int-or-string"] == true {
        return "int-or-string".into();
    }
    let Some(type_) = schema["type"].as_str() else {
        return "any".into();
    };
    match (type_, schema["format"].as_str()) {
        ("array", _) => format!("array<{}>", type_of(&schema["items"])),
        ("object", _) if schema["additionalProperties"].is_object() => {
            format!("map<{}>", type_of(&schema["additionalProperties"]))
        }
        (_, Some(format)) => format!("{type_}({format})"),
        (_, None) => type_.to_owned(),
    }
}

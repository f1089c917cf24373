//! From Rust types to the structural schemas that CRDs need.
//!
//! [`Root`] generates the schema of a whole kind. The functions are for `#[schemars(schema_with = "…")]` on fields whose type
//! comes from Kubernetes: they add the constraints that the types themselves do not carry (patterns, list types), so that the
//! API server checks and merges such fields like those of native kinds.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// The pattern that every quantity has to match, such as `500m` or `1.5Gi`.
pub const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// The pattern of a label value; at most 63 characters, which a pattern cannot say.
pub const LABEL_VALUE_PATTERN: &str = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// The pattern of a label key with its optional prefix.
pub const LABEL_KEY_PATTERN: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";

const REASON_PATTERN: &str = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";

/// One rule in CEL, evaluated by the API server on every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The expression; `self` is the object or value the rule stands at.
    pub rule: &'static str,
    /// What the user is told when the expression is false.
    pub message: &'static str,
    /// The offending field below the rule's place, such as `.spec.priority`; empty for the place itself.
    pub field_path: &'static str,
}

impl Rule {
    /// A rule that blames the place it stands at.
    pub const fn new(rule: &'static str, message: &'static str) -> Self {
        Self {
            rule,
            message,
            field_path: "",
        }
    }

    /// The same rule, blaming one field below its place.
    #[must_use]
    pub const fn at(mut self, field_path: &'static str) -> Self {
        self.field_path = field_path;
        self
    }
}

/// The value of `x-kubernetes-validations` for a list of rules.
pub fn rules(of: &[Rule]) -> Value {
    of.iter()
        .map(|rule| {
            let mut entry = json!({ "rule": rule.rule, "message": rule.message });
            if !rule.field_path.is_empty() {
                entry["fieldPath"] = rule.field_path.into();
            }
            entry
        })
        .collect()
}

/// The schema of a kind while it is being put together.
pub struct Root {
    generator: SchemaGenerator,
    schema: Map<String, Value>,
    required: Vec<Value>,
}

impl Root {
    /// A kind with this description and these rules over the whole object.
    pub fn new(description: &str, of: &[Rule]) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        schema.insert("description".into(), unwrap_lines(description).into());
        schema.insert(
            "properties".into(),
            json!({
                "apiVersion": { "type": "string", "description": "Group and version of this representation of the object." },
                "kind": { "type": "string", "description": "The kind of the object." },
                // The one property that a schema may declare of it besides generateName; without it no rule can blame it.
                "metadata": {
                    "type": "object",
                    "properties": { "name": { "type": "string", "description": "The name of the object." } },
                },
            }),
        );
        if !of.is_empty() {
            schema.insert("x-kubernetes-validations".into(), rules(of));
        }
        Self {
            generator: settings.into_generator(),
            schema,
            required: Vec::new(),
        }
    }

    /// Adds a property of the kind with the schema of its type.
    pub fn property<T: JsonSchema>(&mut self, name: &str, required: bool) {
        let mut schema = self.generator.root_schema_for::<T>();
        Structural.transform(&mut schema);
        self.schema["properties"][name] = schema.to_value();
        if required {
            self.required.push(name.into());
        }
    }

    /// The finished schema.
    pub fn finish(mut self) -> Value {
        if !self.required.is_empty() {
            self.schema
                .insert("required".into(), Value::Array(self.required));
        }
        Value::Object(self.schema)
    }
}

/// Rewrites a schema as schemars makes it into the structural form that the API server accepts.
///
/// Optional fields lose their `null`: like in Kubernetes' own kinds, an explicit null then counts as absent, and the field gets
/// its default. Enums whose variants are documented become one list of values, the documentation moves to the description.
#[derive(Clone, Copy, Debug)]
pub struct Structural;

impl Transform for Structural {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        object.remove("$schema");
        object.remove("title");
        drop_null_type(object);
        collapse_optional(object);
        collapse_variants(object);
        forget_variants(object);
        if object.get("default") == Some(&Value::Null) {
            object.remove("default");
        }
        if let Some(format) = object.get("format").and_then(Value::as_str)
            && format.starts_with("uint")
        {
            object.remove("format");
        }
        if let Some(Value::String(description)) = object.get_mut("description") {
            *description = unwrap_lines(description);
        }
    }
}

/// `type: [string, null]` is how schemars says "optional"; here `required` says it.
fn drop_null_type(object: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = object.get_mut("type") else {
        return;
    };
    types.retain(|it| it != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        object.insert("type".into(), only);
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|it| !it.is_null());
    }
}

/// `anyOf: [T, null]` becomes `T`; what the field itself says wins over what its type says, but for the list of variants.
fn collapse_optional(object: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = object.get("anyOf") else {
        return;
    };
    let [Value::Object(inner), Value::Object(null)] = branches.as_slice() else {
        return;
    };
    if null.get("type") != Some(&"null".into()) {
        return;
    }
    let mut inner = inner.clone();
    object.remove("anyOf");
    if let (Some(Value::String(own)), Some(Value::String(of_type))) =
        (object.get_mut("description"), inner.remove("description"))
    {
        for line in of_type.lines().filter(|line| line.starts_with("- ")) {
            own.push('\n');
            own.push_str(line);
        }
    }
    for (key, value) in inner {
        object.entry(key).or_insert(value);
    }
}

/// `oneOf: [{const: A, description: …}, …]` becomes an enum with the variants explained in the description.
fn collapse_variants(object: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = object.get("oneOf") else {
        return;
    };
    let mut values = Vec::new();
    let mut explained = String::new();
    for branch in branches {
        if let Some(Value::Array(plain)) = branch.get("enum") {
            values.extend(plain.iter().cloned());
            continue;
        }
        let Some(Value::String(name)) = branch.get("const") else {
            return;
        };
        values.push(name.as_str().into());
        if let Some(Value::String(text)) = branch.get("description") {
            explained.push_str("\n- `");
            explained.push_str(name);
            explained.push_str("`: ");
            explained.push_str(&unwrap_lines(text));
        }
    }
    object.remove("oneOf");
    object.insert("type".into(), "string".into());
    object.entry("enum").or_insert(Value::Array(values));
    let own = object
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let description = format!("{}{explained}", unwrap_lines(own));
    object.insert("description".into(), description.trim().into());
}

/// A field that takes only some values of its type explains only those.
fn forget_variants(object: &mut Map<String, Value>) {
    let (Some(Value::Array(values)), Some(Value::String(description))) =
        (object.get("enum"), object.get("description"))
    else {
        return;
    };
    let is_possible = |line: &&str| match line.strip_prefix("- `").and_then(|it| it.split_once('`'))
    {
        Some((name, _)) => values.iter().any(|value| value == name),
        None => true,
    };
    let kept: Vec<_> = description.lines().filter(is_possible).collect();
    let kept = kept.join("\n");
    object.insert("description".into(), kept.into());
}

/// Doc comments wrap at some column; readers of `kubectl explain` have their own. Lists and paragraphs stay.
fn unwrap_lines(text: &str) -> String {
    let mut unwrapped = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        let breaks = line.is_empty() || line.starts_with("- ");
        if unwrapped.is_empty() {
        } else if breaks || unwrapped.ends_with('\n') {
            unwrapped.push('\n');
        } else {
            unwrapped.push(' ');
        }
        unwrapped.push_str(line);
    }
    unwrapped.trim().to_owned()
}

/// The schema of a type without the rules that compare values: for copies of what was checked at its source.
///
/// Who copies could do nothing about a value that the source let pass, so that the copy must not be refused.
pub fn unchecked<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    Structural.transform(&mut schema);
    WithoutRules.transform(&mut schema);
    schema
}

struct WithoutRules;

impl Transform for WithoutRules {
    fn transform(&mut self, schema: &mut Schema) {
        for keyword in ["x-kubernetes-validations", "allOf", "oneOf", "not"] {
            schema.remove(keyword);
        }
        transform_subschemas(self, schema);
    }
}

/// An integer without a declared width.
pub fn integer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer" })
}

/// A quantity: a number, or a string such as `500m` or `2Gi`.
pub fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "pattern": QUANTITY_PATTERN,
        "x-kubernetes-int-or-string": true,
    })
}

/// A map from resource names to quantities.
pub fn quantities(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": quantity(generator) })
}

/// An object of any shape, kept whole.
pub fn raw_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of objects of any shape, kept whole.
pub fn raw_objects(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": raw_object(generator) })
}

/// Any JSON value at all.
pub fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// A label value.
pub fn label_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 63, "pattern": LABEL_VALUE_PATTERN })
}

/// A list of label values.
pub fn label_values(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": label_value(generator) })
}

/// A label key with its optional prefix.
pub fn label_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 317, "pattern": LABEL_KEY_PATTERN })
}

/// A label selector, replaced as a whole by server-side apply.
pub fn label_selector(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = LabelSelector::json_schema(generator);
    schema.insert("x-kubernetes-map-type".into(), "atomic".into());
    let expressions = &mut schema.ensure_object()["properties"]["matchExpressions"];
    expressions["x-kubernetes-list-type"] = "atomic".into();
    expressions["items"]["properties"]["values"]["x-kubernetes-list-type"] = "atomic".into();
    schema
}

/// A list of requirements as node selectors have them: key, operator, values.
pub fn requirements(generator: &mut SchemaGenerator) -> Schema {
    let mut item = NodeSelectorRequirement::json_schema(generator);
    item.ensure_object()["properties"]["values"]["x-kubernetes-list-type"] = "atomic".into();
    json_schema!({ "type": "array", "items": item })
}

/// A node selector, replaced as a whole by server-side apply.
pub fn node_selector(generator: &mut SchemaGenerator) -> Schema {
    let mut expressions = requirements(generator);
    expressions.insert("x-kubernetes-list-type".into(), "atomic".into());
    let mut schema = NodeSelector::json_schema(generator);
    schema.insert("x-kubernetes-map-type".into(), "atomic".into());
    let terms = &mut schema.ensure_object()["properties"]["nodeSelectorTerms"];
    terms["x-kubernetes-list-type"] = "atomic".into();
    let term = &mut terms["items"];
    term["x-kubernetes-map-type"] = "atomic".into();
    for field in ["matchExpressions", "matchFields"] {
        let described = term["properties"][field]["description"].take();
        term["properties"][field] = expressions.clone().to_value();
        term["properties"][field]["description"] = described;
    }
    schema
}

/// Conditions with the constraints that Kubernetes sets for them.
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = plain_conditions(generator);
    let properties = &mut schema.ensure_object()["items"]["properties"];
    properties["message"]["maxLength"] = 32768.into();
    properties["observedGeneration"]["minimum"] = 0.into();
    properties["reason"]["pattern"] = REASON_PATTERN.into();
    properties["reason"]["minLength"] = 1.into();
    properties["reason"]["maxLength"] = 1024.into();
    properties["type"]["pattern"] = LABEL_KEY_PATTERN.into();
    properties["type"]["maxLength"] = 316.into();
    schema
}

/// Conditions of which only the shape is checked.
pub fn plain_conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "description": "One aspect of the object's state.",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": { "type": "string", "description": "The aspect, such as `Ready`." },
                "status": {
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                    "description": "Whether the aspect holds.",
                },
                "reason": { "type": "string", "description": "Why, in one word for programs." },
                "message": { "type": "string", "description": "Why, in words for people." },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When `status` last changed.",
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The `metadata.generation` that this condition was computed from.",
                },
            },
        },
    })
}

/// A reason in one word of at most 32 characters.
pub fn short_reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 32, "pattern": REASON_PATTERN })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    /// A sample
    /// over two lines.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        /// The colour.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("default" = "Red"))]
        colour: Option<Colour>,
        /// Only some colours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("enum" = ["Green"]))]
        some: Option<Colour>,
        /// A number.
        count: Option<u32>,
        /// A text.
        text: String,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Colour {
        /// Like blood.
        Red,
        /// Like grass.
        Green,
    }

    fn sample() -> Value {
        let mut root = Root::new("A kind.", &[Rule::new("true", "never").at(".spec")]);
        root.property::<Sample>("spec", true);
        root.finish()
    }

    #[test]
    fn roots_have_rules_and_required_properties() {
        let schema = sample();
        assert_eq!(schema["description"], "A kind.");
        assert_eq!(schema["required"], json!(["spec"]));
        assert_eq!(
            schema["x-kubernetes-validations"],
            json!([{ "rule": "true", "message": "never", "fieldPath": ".spec" }])
        );
        assert_eq!(schema["properties"]["metadata"]["type"], "object");
    }

    #[test]
    fn schemas_are_structural() {
        assert_eq!(
            sample()["properties"]["spec"],
            json!({
                "type": "object",
                "description": "A sample over two lines.",
                "required": ["text"],
                "properties": {
                    "colour": {
                        "type": "string",
                        "description": "The colour.\n- `Red`: Like blood.\n- `Green`: Like grass.",
                        "enum": ["Red", "Green"],
                        "default": "Red",
                    },
                    "some": {
                        "type": "string",
                        "description": "Only some colours.\n- `Green`: Like grass.",
                        "enum": ["Green"],
                    },
                    "count": { "type": "integer", "minimum": 0, "description": "A number." },
                    "text": { "type": "string", "description": "A text." },
                },
            })
        );
    }

    #[test]
    fn unchecked_schemas_keep_shape_and_enums() {
        let settings = SchemaSettings::default().with(|it| it.inline_subschemas = true);
        let mut generator = settings.into_generator();
        let checked = json_schema!({
            "type": "object",
            "properties": {
                "key": { "type": "string", "enum": ["a"], "allOf": [{ "pattern": "x" }] },
            },
            "x-kubernetes-validations": [],
        });
        let mut schema = checked.clone();
        WithoutRules.transform(&mut schema);
        assert_eq!(
            schema.to_value(),
            json!({
                "type": "object",
                "properties": { "key": { "type": "string", "enum": ["a"] } },
            })
        );
        let placement = unchecked::<crate::policy::Placement>(&mut generator).to_value();
        let text = placement.to_string();
        assert!(!text.contains("x-kubernetes-validations") && !text.contains("allOf"));
        assert!(text.contains("Aggregated"));
    }
}

#![expect(
    clippy::needless_pass_by_value,
    reason = "cases read better with their values in place"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use k8s_openapi::api::{apps, autoscaling, batch, core, networking, policy};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::json;

use super::*;

const REF_PREFIX: &str = "#/$defs/io.k8s.";

#[derive(Default)]
struct Collector {
    generator: SchemaGenerator,
    types: BTreeMap<String, BTreeMap<String, String>>,
}

impl Collector {
    fn add<T: JsonSchema>(&mut self) {
        self.generator.subschema_for::<T>();
    }

    fn table(mut self) -> String {
        let definitions = self.generator.take_definitions(false);
        let special = BTreeSet::from([
            "Quantity",
            "Time",
            "MicroTime",
            "IntOrString",
            "FieldsV1",
            "RawExtension",
            "JSON",
        ]);
        for (name, schema) in &definitions {
            let short = name
                .strip_prefix("io.k8s.")
                .expect("all are Kubernetes types");
            let last = short.rsplit('.').next().expect("a name");
            let Some(properties) = schema["properties"].as_object() else {
                continue;
            };
            if special.contains(last) {
                continue;
            }
            let fields = properties
                .iter()
                .map(|(field, schema)| (field.clone(), shape(&definitions, schema)))
                .collect();
            self.types.insert(short.to_owned(), fields);
        }
        let mut text = String::new();
        for (name, fields) in &self.types {
            writeln!(text, "{name}").expect("a string takes all");
            for (field, shape) in fields.iter().filter(|(_, shape)| *shape != "any") {
                writeln!(text, " {field} {shape}").expect("a string takes all");
            }
        }
        text
    }
}

fn shape(definitions: &Map<String, Value>, schema: &Value) -> String {
    let by_ref = |reference: &str| {
        let short = reference
            .strip_prefix(REF_PREFIX)
            .expect("all are Kubernetes types");
        match short.rsplit('.').next().expect("a name") {
            "Quantity" => "quantity".to_owned(),
            "Time" | "MicroTime" => "time".to_owned(),
            "IntOrString" => "int-or-string".to_owned(),
            "FieldsV1" | "RawExtension" | "JSON" => "any".to_owned(),
            _ => {
                let definition = &definitions[&reference["#/$defs/".len()..]];
                if definition["properties"].is_object() {
                    short.to_owned()
                } else {
                    shape(definitions, definition)
                }
            }
        }
    };
    if let Some(reference) = schema["$ref"].as_str() {
        return by_ref(reference);
    }
    if let Some(all) = schema["allOf"].as_array() {
        return shape(definitions, &all[0]);
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("boolean"), _) => "bool".to_owned(),
        (Some("integer"), Some("int32")) => "int32".to_owned(),
        (Some("integer"), _) => "int64".to_owned(),
        (Some("number"), _) => "number".to_owned(),
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (Some("string"), _) => "text".to_owned(),
        (Some("array"), _) => format!("[]{}", shape(definitions, &schema["items"])),
        (Some("object"), _) if schema["additionalProperties"].is_object() => {
            format!(
                "{{}}{}",
                shape(definitions, &schema["additionalProperties"])
            )
        }
        _ => "any".to_owned(),
    }
}

#[test]
fn table_is_that_of_k8s_openapi() {
    let mut collector = Collector::default();
    collector.add::<apps::v1::DaemonSet>();
    collector.add::<apps::v1::Deployment>();
    collector.add::<apps::v1::ReplicaSet>();
    collector.add::<apps::v1::StatefulSet>();
    collector.add::<autoscaling::v2::HorizontalPodAutoscaler>();
    collector.add::<batch::v1::CronJob>();
    collector.add::<batch::v1::Job>();
    collector.add::<core::v1::PersistentVolume>();
    collector.add::<core::v1::PersistentVolumeClaim>();
    collector.add::<core::v1::Pod>();
    collector.add::<core::v1::PodTemplateSpec>();
    collector.add::<core::v1::Service>();
    collector.add::<networking::v1::Ingress>();
    collector.add::<policy::v1::PodDisruptionBudget>();
    let table = collector.table();
    if std::env::var_os("UPDATE_TYPES").is_some() {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema/types.txt"),
            &table,
        )
        .expect("writable");
    }
    assert!(
        table == TABLE,
        "types.txt is out of date: run this test with UPDATE_TYPES=1"
    );
}

#[test]
fn every_named_type_is_in_the_table() {
    let table = Table::loaded();
    for (position, name) in TypeName::ALL.iter().enumerate() {
        assert_eq!(*name as usize, position);
        let index = table.index[name.as_str()];
        assert_eq!(table.shape_of(*name), Shape::Object(index), "{name:?}");
    }
}

#[test]
fn every_field_is_found_and_nothing_else() {
    for fields in &Table::loaded().types {
        for member in &fields.members {
            let found = fields.find(member.name).map(|it| (it.name, it.shape));
            assert_eq!(found, Some((member.name, member.shape)));
            // Names that differ in one place: cut, longer, or with another byte at an end or in the middle.
            let name = member.name;
            let middle = name.len() / 2;
            for other in [
                name[1..].to_owned(),
                name[..name.len() - 1].to_owned(),
                format!("{name}s"),
                format!("_{}", &name[1..]),
                format!("{}_{}", &name[..middle], &name[middle + 1..]),
            ] {
                let is_known = fields.members.iter().any(|it| it.name == other);
                assert_eq!(fields.find(&other).is_some(), is_known, "{other}");
            }
        }
        assert!(fields.find("").is_none());
        assert!(fields.find("no such field of any type").is_none());
    }
}

#[test]
fn our_own_types_are_those_of_the_schemas() {
    fn check_type<T: JsonSchema>(name: &str) {
        let schema = serde_json::to_value(schemars::schema_for!(T)).expect("a schema");
        let properties = schema["properties"].as_object().expect("an object");
        let table = Table::loaded();
        let fields = &table.types[table.index[name]];
        let mut known: Vec<&str> = fields.members.iter().map(|it| it.name).collect();
        known.sort_unstable();
        assert_eq!(known, properties.keys().collect::<Vec<_>>(), "{name}");
        let mut required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        required.sort_unstable();
        assert_eq!(fields.required, required, "{name}");
    }
    check_type::<crds::config::CustomizationRules>("config.v1alpha1.CustomizationRules");
    check_type::<crds::config::CustomizationTarget>("config.v1alpha1.CustomizationTarget");
    check_type::<crds::config::DependentObjectReference>(
        "config.v1alpha1.DependentObjectReference",
    );
    check_type::<crds::config::LuaScript>("config.v1alpha1.LuaScript");
    check_type::<crds::config::ResourceInterpreterCustomizationSpec>(
        "config.v1alpha1.ResourceInterpreterCustomizationSpec",
    );
    check_type::<crds::work::AggregatedStatusItem>("work.v1alpha2.AggregatedStatusItem");
    check_type::<crds::work::Component>("work.v1alpha2.Component");
    check_type::<crds::work::ComponentReplicaRequirements>(
        "work.v1alpha2.ComponentReplicaRequirements",
    );
    check_type::<crds::work::NodeClaim>("work.v1alpha2.NodeClaim");
    check_type::<crds::work::ReplicaRequirements>("work.v1alpha2.ReplicaRequirements");
}

#[track_caller]
fn check_fits(object: Value, problem: Option<&str>) {
    let answer = check(TypeName::Deployment, &object).map_err(|mismatch| mismatch.to_string());
    assert_eq!(answer.err().as_deref(), problem, "{object}");
}

#[test]
fn objects_fit_or_say_where_they_do_not() {
    check_fits(json!({}), None);
    check_fits(json!({"spec": null, "unknown": {"a": [1]}}), None);
    check_fits(json!({"spec": {"replicas": 3.0}}), None);
    check_fits(
        json!({"spec": {"template": {"spec": {"containers": [null, {"ports": [{"containerPort": 80}]}]}}}}),
        None,
    );
    check_fits(json!([]), Some("object: expected an object, found a list"));
    check_fits(
        json!({"spec": {"replicas": "3"}}),
        Some("spec.replicas: expected an integer, found a string"),
    );
    check_fits(
        json!({"spec": {"replicas": 2.5}}),
        Some("spec.replicas: 2.5 is no integer"),
    );
    check_fits(
        json!({"spec": {"replicas": 2_147_483_648_i64}}),
        Some("spec.replicas: 2147483648 is outside the range of a 32-bit integer"),
    );
    check_fits(
        json!({"metadata": {"creationTimestamp": "now"}}),
        Some("metadata.creationTimestamp: \"now\" is no RFC 3339 time"),
    );
    let container = |resources: Value| json!({"spec": {"template": {"spec": {"containers": [{"resources": resources}]}}}});
    check_fits(
        container(json!({"requests": {"cpu": 1, "memory": "1Gi", "a.b/c": 0.5}})),
        None,
    );
    check_fits(
        container(json!({"limits": {"cpu": "1x"}})),
        Some("spec.template.spec.containers[0].resources.limits[cpu]: `1x` is no quantity"),
    );
    check_fits(
        json!({"metadata": {"labels": {"a": 1}}}),
        Some("metadata.labels[a]: expected a string, found a number"),
    );
}

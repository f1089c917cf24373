use ::trace::{NoTrace, Recorder};
use crds::policy::OverrideSpec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{cluster, typed, yaml};

fn named<'a>(namespace: Option<&str>, name: &str, spec: &'a OverrideSpec) -> Policy<'a> {
    let metadata = ObjectMeta {
        name: Some(name.into()),
        ..ObjectMeta::default()
    };
    Policy::new(namespace, &metadata, spec)
}

fn deployment() -> Value {
    yaml(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: demo, labels: {app: web}}
spec:
  replicas: 2
  template:
    spec:
      initContainers: [{name: init, image: 'busybox:1'}]
      containers:
      - {name: web, image: 'registry.example.com/web:1.4', command: [run, --fast, run], args: [a]}
      - {name: side, image: side}
",
    )
}

fn config_map(data: &str) -> Value {
    let mut object =
        yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: demo}}");
    object["data"] = yaml(data);
    object
}

/// Applies one rule of overriders.
fn apply_to(mut manifest: Value, overriders: &str) -> Result<Value, String> {
    let spec = OverrideSpec {
        overriders: Some(typed(overriders)),
        ..OverrideSpec::default()
    };
    let policies = [named(Some("demo"), "op", &spec)];
    match apply(&mut manifest, &cluster("m1"), &[], &policies, &mut NoTrace) {
        Ok(_) => Ok(manifest),
        Err(error) => Err(error.to_string()),
    }
}

#[track_caller]
fn check(manifest: Value, overriders: &str, pointer: &str, expected: &Value) {
    let changed = apply_to(manifest, overriders).unwrap();
    assert_eq!(
        changed.pointer(pointer).unwrap_or(&Value::Null),
        expected,
        "{overriders}"
    );
}

#[track_caller]
fn check_fails(manifest: Value, overriders: &str, expected: &str) {
    assert_eq!(
        apply_to(manifest, overriders).unwrap_err(),
        expected,
        "{overriders}"
    );
}

#[test]
fn plaintext() {
    let replicas = "{plaintext: [{path: /spec/replicas, operator: replace, value: 5}]}";
    check(deployment(), replicas, "/spec/replicas", &json!(5));
    let twice = "{plaintext: [{path: /metadata/labels/a~1b, operator: add, value: x}, {path: /metadata/labels/a~1b, operator: remove}]}";
    check(
        deployment(),
        twice,
        "/metadata/labels",
        &json!({"app": "web"}),
    );
    let last = "{plaintext: [{path: /spec/template/spec/containers/-1/name, operator: replace, value: x}]}";
    check(
        deployment(),
        last,
        "/spec/template/spec/containers/1/name",
        &json!("x"),
    );
}

#[test]
fn images() {
    let pointer = "/spec/template/spec/containers";
    let images = |one: &str, other: &str| {
        let mut containers = deployment()["spec"]["template"]["spec"]["containers"].clone();
        containers[0]["image"] = json!(one);
        containers[1]["image"] = json!(other);
        containers
    };
    let registry = "{imageOverrider: [{component: Registry, operator: replace, value: r.eu}]}";
    check(
        deployment(),
        registry,
        pointer,
        &images("r.eu/web:1.4", "r.eu/side"),
    );
    let path = "{imageOverrider: [{component: Tag, operator: replace, value: '2', predicate: {path: /spec/template/spec/containers/1/image/}}]}";
    check(
        deployment(),
        path,
        pointer,
        &images("registry.example.com/web:1.4", "side:2"),
    );
    let init = "{imageOverrider: [{component: Tag, operator: replace, value: '2', predicate: {path: /spec/template/spec/initContainers/0/image}}]}";
    check(
        deployment(),
        init,
        "/spec/template/spec/initContainers/0/image",
        &json!("busybox:2"),
    );
    let mut unknown = deployment();
    unknown["kind"] = json!("Rollout");
    check(unknown.clone(), registry, "", &unknown);
}

#[test]
fn all_containers_are_reached_on_request() {
    let spec = OverrideSpec {
        overriders: Some(typed(
            "{imageOverrider: [{component: Registry, operator: replace, value: r.eu}]}",
        )),
        ..OverrideSpec::default()
    };
    let mut policy = named(Some("demo"), "op", &spec);
    let mut manifest = deployment();
    apply(
        &mut manifest,
        &cluster("m1"),
        &[],
        &[policy.clone()],
        &mut NoTrace,
    )
    .unwrap();
    let init = "/spec/template/spec/initContainers/0/image";
    assert_eq!(manifest.pointer(init), Some(&json!("busybox:1")));
    policy.scope = Scope::AllContainers;
    apply(&mut manifest, &cluster("m1"), &[], &[policy], &mut NoTrace).unwrap();
    assert_eq!(manifest.pointer(init), Some(&json!("r.eu/busybox:1")));
}

#[test]
fn command_and_args() {
    let command = "/spec/template/spec/containers/0/command";
    let side = "/spec/template/spec/containers/1/args";
    let add = "{commandOverrider: [{containerName: web, operator: add, value: [--x]}]}";
    check(
        deployment(),
        add,
        command,
        &json!(["run", "--fast", "run", "--x"]),
    );
    let remove = "{commandOverrider: [{containerName: web, operator: remove, value: [run]}]}";
    check(deployment(), remove, command, &json!(["--fast"]));
    let absent = "{argsOverrider: [{containerName: side, operator: add, value: [x]}]}";
    check(deployment(), absent, side, &json!(["x"]));
    let nothing = "{argsOverrider: [{containerName: side, operator: remove, value: [x]}]}";
    check(deployment(), nothing, side, &Value::Null);
    let unknown = "{argsOverrider: [{containerName: nobody, operator: add, value: [x]}]}";
    check(deployment(), unknown, "", &deployment());
}

#[test]
fn labels_and_annotations() {
    let labels = "/metadata/labels";
    for (overriders, expected) in [
        (
            "{labelsOverrider: [{operator: add, value: {a/b: x, app: api}}]}",
            json!({"a/b": "x", "app": "api"}),
        ),
        (
            "{labelsOverrider: [{operator: replace, value: {a: x, app: api}}]}",
            json!({"app": "api"}),
        ),
        (
            "{labelsOverrider: [{operator: remove, value: {a: x, app: any}}]}",
            json!({}),
        ),
    ] {
        check(deployment(), overriders, labels, &expected);
    }
    let annotations = "{annotationsOverrider: [{operator: add, value: {a: x}}]}";
    check(
        deployment(),
        annotations,
        "/metadata/annotations",
        &json!({"a": "x"}),
    );
    let none = "{annotationsOverrider: [{operator: replace, value: {a: x}}, {operator: remove, value: {a: x}}]}";
    check(deployment(), none, "/metadata/annotations", &Value::Null);
}

#[test]
fn documents_in_fields() {
    let json_text = r#"{
  "keep": {"z": 1, "a": 1.50},
  "server": {"port": 80, "host": "a b"},
  "list": [ {"y": 1, "x": 2}, 3 ]
}"#;
    let mut object = config_map("{}");
    object["data"]["c.json"] = json!(json_text);
    check(
        object.clone(),
        "{fieldOverrider: [{fieldPath: /data/c.json, json: [{subPath: /server/port, operator: replace, value: 81}, {subPath: /list/0, operator: add, value: {b: 1, a: 2}}]}]}",
        "/data/c.json",
        &json!(
            r#"{"keep":{"z": 1, "a": 1.50},"list":[{"a":2,"b":1},{"y":1,"x":2},3],"server":{"host":"a b","port":81}}"#
                .replace(": ", ":")
                .replace(", ", ",")
        ),
    );
    let yaml_text = "# comment\nserver:\n  port: 80\n  hosts: [a, b]\non: x\n";
    object["data"]["c.yaml"] = json!(yaml_text);
    check(
        object,
        "{fieldOverrider: [{fieldPath: /data/c.yaml, yaml: [{subPath: /server/port, operator: replace, value: 81}]}]}",
        "/data/c.yaml",
        &json!("server:\n  hosts:\n  - a\n  - b\n  port: 81\n\"true\": x\n"),
    );
}

#[test]
fn documents_in_secrets_are_decoded() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let mut secret = yaml("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: demo}}");
    secret["data"] = json!({"c.json": encode(r#"{"a":1}"#), "raw": "!"});
    let change = |key: &str| {
        format!(
            "{{fieldOverrider: [{{fieldPath: /data/{key}, json: [{{subPath: /a, operator: replace, value: 2}}]}}]}}"
        )
    };
    check(
        secret.clone(),
        &change("c.json"),
        "/data/c.json",
        &json!(encode(r#"{"a":2}"#)),
    );
    check_fails(
        secret,
        &change("raw"),
        "OverridePolicy demo/op, rule 1, fieldOverrider[0] at /data/raw: value at path(/data/raw) is not valid base64",
    );
}

#[test]
fn failures_have_the_known_texts() {
    check_fails(
        config_map("{a: x}"),
        "{plaintext: [{path: /data/a, operator: replace, value: y}, {path: /data/zz, operator: replace, value: y}]}",
        "OverridePolicy demo/op, rule 1, plaintext[1] at /data/zz: replace operation does not apply: doc is missing key: /data/zz: missing value",
    );
    let field = |path: &str| {
        format!(
            "{{fieldOverrider: [{{fieldPath: {path}, json: [{{subPath: /a, operator: add, value: y}}]}}]}}"
        )
    };
    check_fails(
        config_map("{a: x}"),
        &field("/data/nope.yaml"),
        "OverridePolicy demo/op, rule 1, fieldOverrider[0] at /data/nope.yaml: object has no key \"nope.yaml\": JSON pointer error",
    );
    check_fails(
        config_map("{a: '\"text\"'}"),
        &field("/data/a"),
        "OverridePolicy demo/op, rule 1, fieldOverrider[0] at /data/a: json: cannot unmarshal string into Go value of type map[string]*jsonpatch.lazyNode",
    );
    check_fails(
        deployment(),
        &field("/spec/replicas"),
        "OverridePolicy demo/op, rule 1, fieldOverrider[0] at /spec/replicas: value at path(/spec/replicas) is not a string",
    );
    let image = |path: &str| {
        format!(
            "{{imageOverrider: [{{component: Tag, operator: replace, value: x, predicate: {{path: {path}}}}}]}}"
        )
    };
    check_fails(
        deployment(),
        &image("/spec/nope/image"),
        "OverridePolicy demo/op, rule 1, imageOverrider[0] at /spec/nope/image: failed to obtain imageValue with predicate path(/spec/nope/image), error: path(nope) of rawObj's type is not map[string]interface{} and []interface{}",
    );
    check_fails(
        deployment(),
        &image("/spec/template/spec/containers/7/image"),
        "OverridePolicy demo/op, rule 1, imageOverrider[0] at /spec/template/spec/containers/7/image: failed to obtain imageValue with predicate path(/spec/template/spec/containers/7/image), error: path(7) is not an index of a list of 2",
    );
    let mut upper = deployment();
    upper["spec"]["template"]["spec"]["containers"][0]["image"] = json!("Web");
    check_fails(
        upper,
        "{imageOverrider: [{component: Tag, operator: replace, value: x}]}",
        "OverridePolicy demo/op, rule 1, imageOverrider[0]: failed to parse image value(Web), error: repository name must be lowercase",
    );
}

#[test]
fn policies_apply_from_general_to_specific() {
    let label = |value: &str, selectors: &str| -> OverrideSpec {
        typed(&format!(
            "{{resourceSelectors: {selectors}, overrideRules: [{{overriders: {{labelsOverrider: [{{operator: add, value: {{by: {value}, {value}: x}}}}]}}}}]}}"
        ))
    };
    let by_name = label(
        "name",
        "[{apiVersion: apps/v1, kind: Deployment, name: web}]",
    );
    let by_label = label(
        "label",
        "[{apiVersion: apps/v1, kind: Deployment, labelSelector: {matchLabels: {app: web}}}]",
    );
    let by_kind = label("kind", "[{apiVersion: apps/v1, kind: Deployment}]");
    let all = label("all", "null");
    let other = label("other", "[{apiVersion: v1, kind: ConfigMap}]");
    let of_cluster = label(
        "cluster",
        "[{apiVersion: apps/v1, kind: Deployment, name: web}]",
    );
    let policies = [
        named(Some("demo"), "a", &by_name),
        named(Some("demo"), "b", &by_label),
        named(Some("demo"), "z", &all),
        named(Some("demo"), "c", &by_kind),
        named(Some("demo"), "d", &other),
    ];
    let cluster_policies = [named(None, "cop", &of_cluster)];
    let mut manifest = deployment();
    let mut recorder = Recorder::default();
    let applied = apply(
        &mut manifest,
        &cluster("m1"),
        &cluster_policies,
        &policies,
        &mut recorder,
    )
    .unwrap();
    let order: Vec<_> = applied
        .rules()
        .iter()
        .map(|rule| &*rule.policy.name)
        .collect();
    assert_eq!(order, ["cop", "c", "z", "b", "a"]);
    assert_eq!(manifest["metadata"]["labels"]["by"], "name");
    let verdicts: Vec<_> = recorder
        .items
        .iter()
        .map(|item| match item {
            Item::OverrideRule {
                policy,
                code,
                operations,
                ..
            } => (&*policy.name, *code, operations.len()),
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(
        verdicts,
        [
            ("d", Code::PolicyNotMatching, 0),
            ("cop", Code::RuleApplied, 2),
            ("c", Code::RuleApplied, 2),
            ("z", Code::RuleApplied, 2),
            ("b", Code::RuleApplied, 2),
            ("a", Code::RuleApplied, 2),
        ]
    );
    // A cluster-scoped object has no namespaced policies.
    let mut role =
        yaml("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r}}");
    let everywhere = [named(None, "cop", &all)];
    let applied = apply(
        &mut role,
        &cluster("m1"),
        &everywhere,
        &policies,
        &mut NoTrace,
    )
    .unwrap();
    assert_eq!(applied.rules().len(), 1);
}

#[test]
fn rules_are_for_clusters() {
    let spec: OverrideSpec = typed(
        "
overrideRules:
- {targetCluster: {clusterNames: [m2]}, overriders: {labelsOverrider: [{operator: add, value: {a: m2}}]}}
- {targetCluster: {clusterNames: [m1]}, overriders: {labelsOverrider: [{operator: add, value: {a: m1}}]}}
overriders: {labelsOverrider: [{operator: add, value: {a: deprecated}}]}
",
    );
    let mut manifest = deployment();
    let mut recorder = Recorder::default();
    apply(
        &mut manifest,
        &cluster("m1"),
        &[],
        &[named(Some("demo"), "op", &spec)],
        &mut recorder,
    )
    .unwrap();
    assert_eq!(manifest["metadata"]["labels"]["a"], "m1");
    let text = serde_json::to_value(&recorder.items).unwrap();
    assert_eq!(
        text,
        json!([
            {"type": "overrideRule", "policy": {"namespace": "demo", "name": "op"}, "cluster": "m1", "rule": 1,
             "code": "TargetMismatch", "reason": "", "operations": []},
            {"type": "overrideRule", "policy": {"namespace": "demo", "name": "op"}, "cluster": "m1", "rule": 2,
             "code": "RuleApplied", "reason": "",
             "operations": [{"op": "add", "path": "/metadata/labels/a", "value": "m1"}]},
        ])
    );
}

#[test]
fn overriders_have_a_fixed_order() {
    // Plaintext comes last although it is written first.
    let overriders = "
plaintext: [{path: /metadata/labels/a, operator: replace, value: plaintext}]
labelsOverrider: [{operator: add, value: {a: label}}]
";
    check(
        deployment(),
        overriders,
        "/metadata/labels/a",
        &json!("plaintext"),
    );
}

#[test]
fn applied_overrides_are_recorded() {
    let spec: OverrideSpec = typed(
        "
overrideRules:
- overriders:
    fieldOverrider: [{fieldPath: /data/a, json: [{subPath: /x, operator: remove}]}]
    labelsOverrider: [{operator: add, value: {both: cop, by: cop}}]
    argsOverrider: [{containerName: nobody, operator: add, value: [x]}]
    imageOverrider: [{component: Tag, operator: replace, value: '2'}]
    plaintext: [{path: /data/b, operator: add, value: {z: 1, a: [true]}}]
- overriders: {labelsOverrider: [{operator: remove, value: {absent: ''}}]}
",
    );
    let extra: OverrideSpec =
        typed("{overriders: {annotationsOverrider: [{operator: add, value: {a: b}}]}}");
    let mut manifest = config_map("{a: '{\"x\":1}'}");
    let cluster_policies = [named(None, "extra", &spec), named(None, "a", &extra)];
    let applied = apply(
        &mut manifest,
        &cluster("m1"),
        &cluster_policies,
        &[],
        &mut NoTrace,
    )
    .unwrap();
    let (largest, bytes) = applied.largest().unwrap();
    assert_eq!((&*largest.policy.name, largest.rule), ("extra", 1));
    assert!(bytes > 100);
    let [(_, of_cluster), (_, of_namespace)] = applied.annotations();
    assert_eq!(of_namespace, None);
    assert_eq!(
        of_cluster.as_deref(),
        Some(concat!(
            r#"[{"policyName":"a","overriders":{"annotationsOverrider":[{"operator":"add","value":{"a":"b"}}]}},"#,
            r#"{"policyName":"extra","overriders":{"plaintext":[{"path":"/data/b","operator":"add","value":{"a":[true],"z":1}}],"#,
            r#""imageOverrider":[{"component":"Tag","operator":"replace","value":"2"}],"#,
            r#""argsOverrider":[{"containerName":"nobody","operator":"add","value":["x"]}],"#,
            r#""labelsOverrider":[{"operator":"add","value":{"both":"cop","by":"cop"}}],"#,
            r#""fieldOverrider":[{"fieldPath":"/data/a","json":[{"subPath":"/x","operator":"remove"}]}]}},"#,
            r#"{"policyName":"extra","overriders":{"labelsOverrider":[{"operator":"remove","value":{"absent":""}}]}}]"#,
        ))
    );
    assert_eq!(applied.policies().len(), 2);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z/~{}\\[\\]:\"]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                "containers|spec|template|metadata|labels|data|[a-c]",
                inner,
                0..5
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(
        mut object in values(),
        kind in "Deployment|Pod|ConfigMap|Secret|CronJob",
        path in "(/(-?[0-9]|-|spec|data|metadata|labels|[a-c]|~0|~1)){0,4}/?",
        value in values(),
        operator in "add|remove|replace",
    ) {
        if let Some(map) = object.as_object_mut() {
            map.insert("kind".into(), json!(kind));
            map.insert("apiVersion".into(), json!("v1"));
        }
        let overriders = json!({
            "plaintext": [{"path": path, "operator": operator, "value": value}],
            "imageOverrider": [
                {"component": "Tag", "operator": operator, "value": "x", "predicate": {"path": path}},
                {"component": "Tag", "operator": operator, "value": "x"},
            ],
            "labelsOverrider": [{"operator": operator, "value": {"a": "b"}}],
            "argsOverrider": [{"containerName": "a", "operator": "add", "value": ["x"]}],
            "fieldOverrider": [
                {"fieldPath": path, "json": [{"subPath": path, "operator": operator, "value": value}]},
                {"fieldPath": path, "yaml": [{"subPath": path, "operator": operator, "value": value}]},
            ],
        });
        for (class, rules) in overriders.as_object().unwrap() {
            for rule in rules.as_array().unwrap() {
                let spec = OverrideSpec {
                    overriders: Some(serde_json::from_value(json!({(class.clone()): [rule]})).unwrap()),
                    ..OverrideSpec::default()
                };
                let mut manifest = object.clone();
                let _ = apply(&mut manifest, &cluster("m1"), &[named(None, "p", &spec)], &[], &mut NoTrace);
            }
        }
    }

    #[test]
    fn a_document_patch_touches_nothing_else(document in values()) {
        prop_assume!(document.is_object() || document.is_array());
        let text = document.to_string();
        let mut manifest = config_map("{}");
        manifest["data"]["doc"] = json!(text);
        let overriders = if document.is_object() {
            "{fieldOverrider: [{fieldPath: /data/doc, json: [{subPath: /added, operator: add, value: 1}, {subPath: /added, operator: remove}]}]}"
        } else {
            "{fieldOverrider: [{fieldPath: /data/doc, json: [{subPath: /-, operator: add, value: 1}, {subPath: /-1, operator: remove}]}]}"
        };
        let changed = apply_to(manifest, overriders).unwrap();
        prop_assert_eq!(changed["data"]["doc"].as_str().unwrap(), text);
    }
}

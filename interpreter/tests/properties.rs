//! Laws that hold for any input: nothing panics, answers depend on the input alone, and what parses compiles.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use crds::config::ResourceInterpreterCustomization;
use crds::work::AggregatedStatusItem;
use interpreter::{
    Customizations, Interpreter, Limits, Options, Question, Runtime, Script, StoppedClock,
    THIRD_PARTY_KINDS, prune, third_party,
};
use navarch_interpreter as interpreter;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use trace::NoTrace;

const NATIVE_KINDS: &[(&str, &str)] = &[
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "Ingress"),
    ("v1", "ServiceAccount"),
    ("v1", "Secret"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("multicluster.x-k8s.io/v1alpha1", "ServiceImport"),
];

/// Words that rules look for, so that random objects reach them.
const KEYS: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "template",
    "containers",
    "initContainers",
    "volumes",
    "name",
    "namespace",
    "labels",
    "annotations",
    "generation",
    "replicas",
    "parallelism",
    "completions",
    "resources",
    "requests",
    "limits",
    "cpu",
    "memory",
    "nodeSelector",
    "tolerations",
    "affinity",
    "conditions",
    "type",
    "reason",
    "message",
    "phase",
    "loadBalancer",
    "ingress",
    "hostname",
    "ip",
    "ports",
    "port",
    "active",
    "succeeded",
    "failed",
    "startTime",
    "completionTime",
    "observedGeneration",
    "resourceTemplateGeneration",
    "tasks",
    "minAvailable",
    "rayClusterConfig",
    "workerGroupSpecs",
    "headGroupSpec",
    "pytorchReplicaSpecs",
    "Master",
    "driver",
    "executor",
    "jobManager",
    "resource",
    "valuesFrom",
    "secretRef",
    "suspend",
    "applicationState",
    "state",
    "rulecount",
    "replicaStatuses",
    "containerState",
    "selector",
    "matchLabels",
    "secrets",
    "clusterIP",
    "claimRef",
    "tls",
    "secretName",
    "configMap",
    "resourcetemplate.karmada.io/generation",
];

const TEXTS: &[&str] = &[
    "",
    "True",
    "False",
    "Complete",
    "Failed",
    "Running",
    "LoadBalancer",
    "100m",
    "1Gi",
    "2026-01-01T00:00:00Z",
    "5",
    "abc",
    "1m30s",
    "kubernetes.io/service-account-token",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..9).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(TEXTS).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let map = prop::collection::btree_map(prop::sample::select(KEYS), inner.clone(), 0..6);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
            3 => map.prop_map(|map| Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())),
        ]
    })
}

/// An object of the kind: its usual parts are there, and whatever is in them.
fn any_object(kinds: &'static [(&'static str, &'static str)]) -> impl Strategy<Value = Value> {
    let parts = (
        prop::sample::select(kinds),
        any_json(),
        any_json(),
        any_json(),
    );
    parts.prop_map(|((api_version, kind), metadata, spec, status)| {
        let mut object = Map::new();
        object.insert("apiVersion".to_owned(), api_version.into());
        object.insert("kind".to_owned(), kind.into());
        for (key, value) in [("metadata", metadata), ("spec", spec), ("status", status)] {
            if !value.is_null() {
                object.insert(key.to_owned(), value);
            }
        }
        Value::Object(object)
    })
}

fn interpreter(compat: bool) -> Interpreter {
    static RULES: OnceLock<Interpreter> = OnceLock::new();
    let rules = RULES.get_or_init(|| {
        let rules = third_party(&Runtime::new(Limits::default()), false);
        Interpreter::native(Arc::new(StoppedClock(0))).with_layer(Arc::new(rules))
    });
    rules.clone().with_options(Options {
        compat,
        job_health: true,
        resource_quota_estimate: true,
    })
}

/// The answers to all questions about an object, in words.
fn all_answers(
    interpreter: &Interpreter,
    object: &Value,
    other: &Value,
    replicas: i64,
) -> Vec<String> {
    let status = |value: &Value| value.get("status").cloned();
    let item = |cluster: &str, value: &Value| AggregatedStatusItem {
        cluster_name: cluster.to_owned(),
        status: status(value),
        ..AggregatedStatusItem::default()
    };
    let items = [
        item("a", other),
        item("b", object),
        AggregatedStatusItem::default(),
    ];
    let questions = [
        Question::Replicas { object },
        Question::Components { object },
        Question::ReviseReplica {
            object: object.clone(),
            replicas,
        },
        Question::Retain {
            desired: object.clone(),
            observed: other,
        },
        Question::AggregateStatus {
            object: object.clone(),
            items: Some(&items),
        },
        Question::AggregateStatus {
            object: object.clone(),
            items: Some(&items[..1]),
        },
        Question::AggregateStatus {
            object: object.clone(),
            items: None,
        },
        Question::Dependencies { object },
        Question::Status { observed: object },
        Question::Health { observed: object },
    ];
    questions
        .map(|question| format!("{:?}", interpreter.answer(question, &mut NoTrace)))
        .into()
}

proptest! {
    #[test]
    fn no_object_panics_the_native_rules(
        object in any_object(NATIVE_KINDS),
        other in any_object(NATIVE_KINDS),
        replicas in any::<i64>(),
        compat: bool,
    ) {
        let answers = all_answers(&interpreter(compat), &object, &other, replicas);
        prop_assert_eq!(answers, all_answers(&interpreter(compat), &object, &other, replicas));
        let mut manifest = object;
        let rules = prune::Rules { compat, ..prune::Rules::default() };
        if prune::prune_with(&mut manifest, rules).is_ok() {
            let _ = prune::stamp(&mut manifest, Some("id"));
        }
    }

    #[test]
    fn no_object_panics_the_built_in_rules(
        object in any_object(&THIRD_PARTY_KINDS),
        other in any_object(&THIRD_PARTY_KINDS),
        replicas in 0_i64..1_000,
        compat: bool,
    ) {
        // Two states of the engine answer alike, whatever they were asked before.
        let answers = all_answers(&interpreter(compat), &object, &other, replicas);
        prop_assert_eq!(answers, all_answers(&interpreter(compat), &object, &other, replicas));
    }

    #[test]
    fn aggregating_what_was_aggregated_changes_nothing(
        template in any_object(NATIVE_KINDS),
        other in any_object(NATIVE_KINDS),
    ) {
        let interpreter = interpreter(false);
        let items = [AggregatedStatusItem {
            cluster_name: "a".to_owned(),
            status: other.get("status").cloned(),
            ..AggregatedStatusItem::default()
        }];
        if let Ok(Some(once)) = interpreter.aggregate_status(template, &items) {
            let twice = interpreter.aggregate_status(once.clone(), &items);
            prop_assert_eq!(twice, Ok(Some(once)));
        }
    }

    #[test]
    fn aggregating_third_party_kinds_again_changes_nothing(
        template in any_object(&THIRD_PARTY_KINDS),
        others in prop::collection::vec(any_object(&THIRD_PARTY_KINDS), 0..3),
    ) {
        let interpreter = interpreter(false);
        let item = |(name, other): (&&str, &Value)| AggregatedStatusItem {
            cluster_name: (*name).to_owned(),
            status: other.get("status").cloned(),
            ..AggregatedStatusItem::default()
        };
        let items: Vec<_> = ["a", "b", "c"].iter().zip(&others).map(item).collect();
        if let Ok(Some(once)) = interpreter.aggregate_status(template, &items) {
            let twice = interpreter.aggregate_status(once.clone(), &items);
            prop_assert_eq!(twice, Ok(Some(once)));
        }
    }

    #[test]
    fn what_parses_compiles(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..24)) {
        let source = tokens.join(" ");
        if Script::parse(&source).is_ok() {
            let compiled = Runtime::new(Limits::default()).compile(&source);
            prop_assert!(compiled.is_ok(), "{}: {:?}", source, compiled);
        }
    }

    #[test]
    fn objects_pass_through_scripts_as_they_are(
        object in any_object(&[("example.com/v1", "Thing")]),
        compat: bool,
    ) {
        // What holds nothing but nulls is no more in a script, and whether it was an object or a list is nowhere written.
        prop_assume!(compat || !is_hollow(&object));
        let expected = if compat { guessed(&object) } else { without_nulls(&object) };
        let passed = passing_on(compat).revise_replica(object, 1);
        prop_assert_eq!(passed.map(|it| without_nulls(&it)), Ok(expected));
    }

    #[test]
    fn any_text_is_parsed_or_refused(source in "\\PC*") {
        let _ = Script::parse(&source);
    }
}

/// A script that returns the object that it is given.
fn passing_on(compat: bool) -> Interpreter {
    static RULES: OnceLock<Arc<Customizations>> = OnceLock::new();
    let rules = RULES.get_or_init(|| {
        let script = "function ReviseReplica(obj, replica) return obj end";
        let customization: ResourceInterpreterCustomization = serde_json::from_value(json!({
            "metadata": {"name": "pass-on"},
            "spec": {
                "target": {"apiVersion": "example.com/v1", "kind": "Thing"},
                "customizations": {"replicaRevision": {"luaScript": script}},
            },
        }))
        .expect("the kind's shape");
        let runtime = Runtime::new(Limits::default());
        Arc::new(Customizations::new([&customization], &runtime, None))
    });
    let layer = Arc::clone(rules);
    Interpreter::native(Arc::new(StoppedClock(0)))
        .with_layer(layer)
        .with_options(Options {
            compat,
            ..Options::default()
        })
}

/// The value as scripts see it: nulls vanish, and every number is a float.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items
            .iter()
            .filter(|value| !value.is_null())
            .map(without_nulls)
            .collect(),
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}

/// Whether somewhere in it is an object or a list of nulls alone.
fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            !map.is_empty() && map.values().all(Value::is_null) || map.values().any(is_hollow)
        }
        Value::Array(items) => {
            !items.is_empty() && items.iter().all(Value::is_null) || items.iter().any(is_hollow)
        }
        _ => false,
    }
}

/// The value as the reference guesses it back: it cannot tell an empty list from an empty object, and looks both up by their path
/// in the object as it was; what was neither there is dropped.
fn guessed(object: &Value) -> Value {
    let (mut objects, mut lists) = (BTreeSet::new(), BTreeSet::new());
    empties(object, &mut Vec::new(), &mut objects, &mut lists);
    guess(&without_nulls(object), &mut Vec::new(), &objects, &lists).unwrap_or_default()
}

type Paths = BTreeSet<Vec<String>>;

fn empties(value: &Value, path: &mut Vec<String>, objects: &mut Paths, lists: &mut Paths) {
    match value {
        Value::Object(map) if map.is_empty() => {
            objects.insert(path.clone());
        }
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                empties(value, path, objects, lists);
                path.pop();
            }
        }
        Value::Array(items) if items.is_empty() => {
            lists.insert(path.clone());
        }
        Value::Array(items) => {
            for value in items {
                empties(value, path, objects, lists);
            }
        }
        _ => {}
    }
}

fn guess(value: &Value, path: &mut Vec<String>, objects: &Paths, lists: &Paths) -> Option<Value> {
    let is_empty = match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => return Some(value.clone()),
    };
    if is_empty {
        if objects.contains(path) {
            return Some(json!({}));
        }
        return lists.contains(path).then(|| json!([]));
    }
    if let Value::Array(items) = value {
        let kept = items
            .iter()
            .filter_map(|it| guess(it, path, objects, lists));
        return Some(kept.collect());
    }
    let mut kept = Map::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        path.push(key.clone());
        if let Some(value) = guess(value, path, objects, lists) {
            kept.insert(key.clone(), value);
        }
        path.pop();
    }
    Some(Value::Object(kept))
}

const TOKENS: &[&str] = &[
    "a",
    "b",
    "a.b",
    "x[1]",
    "f()",
    "o:m",
    "=",
    ",",
    "..",
    "+",
    "-",
    "==",
    "#",
    "not",
    "and",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ";",
    "1",
    "0x1F",
    "'t'",
    "\"\\q\"",
    "[[l]]",
    "nil",
    "local",
    "function",
    "f",
    "end",
    "if",
    "then",
    "else",
    "return",
    "do",
    "while",
    "repeat",
    "until",
    "for",
    "i",
    "in",
    "{a=1,b=2}",
    "'k'",
    "\n",
    "--c\n",
];

#[test]
fn objects_of_built_in_kinds_are_reached() {
    // The laws above would hold for an interpreter that knows nothing as well.
    let object = json!({"apiVersion": "ray.io/v1", "kind": "RayCluster", "spec": {"headGroupSpec": {"template": {}}}});
    let answers = all_answers(&interpreter(true), &object, &object, 1);
    assert!(answers[1].contains("ray-head"), "{answers:?}");
}

//! Laws that hold for any input: nothing panics, answers depend on the input alone, and what parses compiles.

use std::sync::{Arc, OnceLock};

use crds::work::AggregatedStatusItem;
use interpreter::{
    Interpreter, Limits, Options, Question, Runtime, Script, StoppedClock, THIRD_PARTY_KINDS,
    prune, third_party,
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
    fn what_parses_compiles(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..24)) {
        let source = tokens.join(" ");
        if Script::parse(&source).is_ok() {
            let compiled = Runtime::new(Limits::default()).compile(&source);
            prop_assert!(compiled.is_ok(), "{}: {:?}", source, compiled);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(source in "\\PC*") {
        let _ = Script::parse(&source);
    }
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

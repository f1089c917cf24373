#![expect(
    clippy::needless_pass_by_value,
    reason = "cases read better with their values in place"
)]

use serde_json::{Value, json};

use super::*;
use crate::layer::{Options, StoppedClock};
use crate::lua::Limits;
use crate::{Error, Interpreter};

fn customization(
    name: &str,
    target: (&str, &str),
    rules: Value,
) -> ResourceInterpreterCustomization {
    let rules: serde_json::Map<_, _> = rules
        .as_object()
        .into_iter()
        .flatten()
        .map(|(rule, script)| (rule.clone(), json!({"luaScript": script})))
        .collect();
    let spec =
        json!({"target": {"apiVersion": target.0, "kind": target.1}, "customizations": rules});
    serde_json::from_value(json!({"apiVersion": "config.karmada.io/v1alpha1", "kind": "ResourceInterpreterCustomization",
        "metadata": {"name": name}, "spec": spec}))
    .expect("the kind's shape")
}

fn layer(customizations: &[ResourceInterpreterCustomization]) -> Customizations {
    Customizations::new(customizations, &Runtime::new(Limits::default()), None)
}

fn interpreter(customizations: &[ResourceInterpreterCustomization], compat: bool) -> Interpreter {
    Interpreter::native(Arc::new(StoppedClock(0)))
        .with_layer(Arc::new(layer(customizations)))
        .with_options(Options {
            compat,
            ..Options::default()
        })
}

const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");
const THING: (&str, &str) = ("example.com/v1", "Thing");

fn object(kind: (&str, &str)) -> Value {
    json!({"apiVersion": kind.0, "kind": kind.1, "metadata": {"name": "x"}, "spec": {"replicas": 2}})
}

#[test]
fn a_script_replaces_its_operation_alone() {
    let health = customization(
        "h",
        DEPLOYMENT,
        json!({"healthInterpretation": "function InterpretHealth(o) return false end"}),
    );
    let interpreter = interpreter(&[health], false);
    let target = Target::new(DEPLOYMENT.0, DEPLOYMENT.1);
    assert_eq!(
        interpreter.deciding_layer(target, InterpreterOperation::InterpretHealth),
        Some(LayerName::Customization)
    );
    assert_eq!(
        interpreter.deciding_layer(target, InterpreterOperation::InterpretReplica),
        Some(LayerName::Native)
    );
    assert_eq!(
        interpreter.health(&object(DEPLOYMENT)),
        Ok(Some(crds::work::ResourceHealth::Unhealthy))
    );
    assert_eq!(
        interpreter
            .replicas(&object(DEPLOYMENT))
            .map(|it| it.map(|it| it.0)),
        Ok(Some(2))
    );
    assert!(!interpreter.hook_enabled(
        Target::new("apps/v1beta1", "Deployment"),
        InterpreterOperation::InterpretHealth
    ));
}

#[test]
fn the_first_name_wins_and_others_fill_gaps() {
    let returning = |replicas: i64| format!("function GetReplicas(o) return {replicas} end");
    let all = [
        customization(
            "b",
            THING,
            json!({"replicaResource": returning(2), "healthInterpretation": "function InterpretHealth() return true end"}),
        ),
        customization("a", THING, json!({"replicaResource": returning(1)})),
        customization(
            "c",
            THING,
            json!({"replicaResource": "", "replicaRevision": "function ReviseReplica(o) return o end"}),
        ),
    ];
    let interpreter = interpreter(&all, false);
    assert_eq!(
        interpreter
            .replicas(&object(THING))
            .map(|it| it.map(|it| it.0)),
        Ok(Some(1))
    );
    for operation in [
        InterpreterOperation::InterpretHealth,
        InterpreterOperation::ReviseReplica,
    ] {
        assert!(interpreter.hook_enabled(Target::new(THING.0, THING.1), operation));
    }
    assert_eq!(
        layer(&all).notes(),
        [Note::Shadowed {
            customization: "b".into(),
            operation: InterpreterOperation::InterpretReplica,
            by: "a".into()
        }]
    );
}

#[test]
fn dependencies_of_all_customizations_are_united() {
    let secrets = |names: &[&str]| {
        let entries: Vec<_> = names
            .iter()
            .map(|name| {
                format!("{{apiVersion = 'v1', kind = 'Secret', namespace = 'n', name = '{name}'}}")
            })
            .collect();
        format!(
            "function GetDependencies(o) return {{{}, {{apiVersion = 'v1', kind = 'Pod', labelSelector = {{matchLabels = {{a = 'b'}}}}}}}} end",
            entries.join(",")
        )
    };
    let all = [
        customization(
            "b",
            THING,
            json!({"dependencyInterpretation": secrets(&["x", "y"])}),
        ),
        customization(
            "a",
            THING,
            json!({"dependencyInterpretation": secrets(&["z", "x"])}),
        ),
    ];
    for (compat, pods) in [(false, 1), (true, 2)] {
        let found = interpreter(&all, compat)
            .dependencies(&object(THING))
            .expect("sound references");
        let names: Vec<_> = found
            .iter()
            .map(|it| format!("{} {}", it.kind, it.name.as_deref().unwrap_or("*")))
            .collect();
        let mut expected = vec!["Pod *"; pods];
        expected.extend(["Secret x", "Secret y", "Secret z"]);
        assert_eq!(names, expected);
    }
}

#[track_caller]
fn check_error(error: Error, expected: &str) {
    assert_eq!(error.to_string(), expected);
}

#[test]
fn one_failing_script_fails_the_union() {
    let good = "function GetDependencies(o) return {} end";
    let bad = "function GetDependencies(o)\n error('no') end";
    let unsound = "function GetDependencies(o) return {{apiVersion = 'v1', kind = 'Secret'}} end";
    let with = |script: &str| {
        let all = [
            customization("a", THING, json!({"dependencyInterpretation": good})),
            customization("b", THING, json!({"dependencyInterpretation": script})),
        ];
        interpreter(&all, false)
            .dependencies(&object(THING))
            .expect_err("a failing script")
    };
    check_error(
        with(bad),
        "InterpretDependency of example.com/v1 Thing: customization: b: line 2: no",
    );
    check_error(
        with(unsound),
        "InterpretDependency of example.com/v1 Thing: customization: b: line 1: GetDependencies: dependencies[0].name: Secret has neither name nor labelSelector",
    );
}

#[test]
fn a_broken_script_is_noted_and_fails_its_operation_alone() {
    let all = [
        customization(
            "broken",
            DEPLOYMENT,
            json!({"healthInterpretation": "\nfunction InterpretHealth(o) retrun true end"}),
        ),
        customization(
            "other",
            DEPLOYMENT,
            json!({"replicaResource": "function Other() end"}),
        ),
    ];
    let interpreter = interpreter(&all, false);
    let error = interpreter
        .health(&object(DEPLOYMENT))
        .expect_err("no lower layer is asked");
    check_error(
        error,
        "InterpretHealth of apps/v1 Deployment: customization: broken: line 2: expected `=`, found `true`",
    );
    assert!(interpreter.dependencies(&object(DEPLOYMENT)).is_ok());
    let notes: Vec<_> = layer(&all).notes().iter().map(Note::to_string).collect();
    assert_eq!(
        notes,
        [
            "customization broken: InterpretHealth: line 2: expected `=`, found `true`",
            "customization other: InterpretReplica: the script does not define the function GetReplicas",
        ]
    );
}

#[test]
fn changes_name_the_kinds_that_they_touch() {
    let script = |healthy: bool| json!({"healthInterpretation": format!("function InterpretHealth(o) return {healthy} end")});
    let other = customization("other", DEPLOYMENT, script(true));
    let before = layer(&[customization("a", THING, script(true)), other.clone()]);
    let kinds = |customizations: &[ResourceInterpreterCustomization]| {
        let runtime = Runtime::new(Limits::default());
        let after = Customizations::new(customizations, &runtime, Some(&before));
        after
            .changed_kinds(&before)
            .iter()
            .map(|kind| kind.kind.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&[customization("renamed", THING, script(true)), other.clone()]),
        [""; 0]
    );
    assert_eq!(
        kinds(&[customization("a", THING, script(false)), other.clone()]),
        ["Thing"]
    );
    assert_eq!(kinds(std::slice::from_ref(&other)), ["Thing"]);
    assert_eq!(kinds(&[]), ["Deployment", "Thing"]);
}

#[test]
fn equal_scripts_are_parsed_once() {
    let rules = json!({"healthInterpretation": "function InterpretHealth(o) return true end"});
    let layer = layer(&[
        customization("a", THING, rules.clone()),
        customization("b", DEPLOYMENT, rules),
    ]);
    assert_eq!(layer.scripts.len(), 1);
}

//! Runs the cases beside the built-in rules: every kind, every operation, as ourselves and as the reference.

#![expect(clippy::panic, reason = "a test that cannot read its cases fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crds::config::InterpreterOperation;
use crds::work::AggregatedStatusItem;
use interpreter::{
    Answer, Interpreter, LayerName, Limits, NEWER_THIRD_PARTY_KINDS, Options, Question, Runtime,
    StoppedClock, THIRD_PARTY_KINDS, Target, third_party,
};
use navarch_interpreter as interpreter;
use serde::Deserialize;
use serde_json::{Value, json};
use trace::NoTrace;

/// 2026-01-01T10:43:59Z.
const NOW: i64 = 1_767_264_239;

/// One question and the answer to it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    name: String,
    operation: InterpreterOperation,
    /// Only as the reference (true), or only as ourselves (false).
    compat: Option<bool>,
    /// Only for these API versions.
    versions: Option<Vec<String>>,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    observed: Value,
    #[serde(default)]
    replicas: i64,
    items: Option<Vec<AggregatedStatusItem>>,
    /// The answer; of `AggregateStatus` the status alone.
    result: Option<Value>,
    /// A part of the error.
    error: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("thirdparty")
}

fn cases_of(api_version: &str, kind: &str) -> Vec<Case> {
    let path = root().join(api_version).join(kind).join("cases.yaml");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn interpreter(compat: bool) -> Interpreter {
    let rules = third_party(&Runtime::new(Limits::default()), compat);
    assert_eq!(rules.notes(), []);
    Interpreter::native(Arc::new(StoppedClock(NOW)))
        .with_layer(Arc::new(rules))
        .with_options(Options {
            compat,
            ..Options::default()
        })
}

/// Gives the object its kind, a name and a namespace.
fn complete(object: &Value, api_version: &str, kind: &str) -> Value {
    let mut whole = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "demo"}});
    for (key, value) in object.as_object().into_iter().flatten() {
        if key == "metadata" {
            for (key, value) in value.as_object().into_iter().flatten() {
                whole["metadata"][key] = value.clone();
            }
        } else {
            whole[key] = value.clone();
        }
    }
    whole
}

fn ask(
    interpreter: &Interpreter,
    case: &Case,
    api_version: &str,
    kind: &str,
) -> Result<Value, String> {
    let object = complete(&case.object, api_version, kind);
    let observed = complete(&case.observed, api_version, kind);
    let question = match case.operation {
        InterpreterOperation::InterpretReplica => Question::Replicas { object: &object },
        InterpreterOperation::InterpretComponent => Question::Components { object: &object },
        InterpreterOperation::ReviseReplica => Question::ReviseReplica {
            object,
            replicas: case.replicas,
        },
        InterpreterOperation::Retain => Question::Retain {
            desired: object,
            observed: &observed,
        },
        InterpreterOperation::AggregateStatus => Question::AggregateStatus {
            object,
            items: case.items.as_deref(),
        },
        InterpreterOperation::InterpretDependency => Question::Dependencies { object: &object },
        InterpreterOperation::InterpretStatus => Question::Status {
            observed: &observed,
        },
        InterpreterOperation::InterpretHealth => Question::Health {
            observed: &observed,
        },
        InterpreterOperation::Prune => panic!("{}: nobody interprets pruning", case.name),
    };
    let answered = interpreter
        .answer(question, &mut NoTrace)
        .map_err(|error| error.to_string())?;
    let Some((LayerName::ThirdParty, answer)) = answered else {
        return Err(format!("not answered here: {answered:?}"));
    };
    Ok(match answer {
        Answer::Replicas(replicas, requirements) => {
            json!({"replicas": replicas, "requirements": requirements})
        }
        Answer::Components(components) => json!(components),
        Answer::Object(mut object) if case.operation == InterpreterOperation::AggregateStatus => {
            object["status"].take()
        }
        Answer::Object(object) => {
            let mut changed = object;
            changed
                .as_object_mut()
                .expect("an object")
                .retain(|key, _| key == "spec" || key == "status");
            changed
        }
        Answer::Dependencies(references) => references
            .iter()
            .map(|it| {
                let namespace = it.namespace.as_deref().unwrap_or("-");
                Value::from(format!(
                    "{} {namespace}/{}",
                    it.kind,
                    it.name.as_deref().unwrap_or_default()
                ))
            })
            .collect(),
        Answer::Status(status) => status.unwrap_or_default(),
        Answer::Health(healthy) => json!(healthy),
    })
}

#[test]
fn cases_hold() {
    let mut failures = Vec::new();
    let mut count = 0;
    for compat in [true, false] {
        let interpreter = interpreter(compat);
        let own = THIRD_PARTY_KINDS.map(|(version, kind)| (version, version, kind));
        // Newer versions have the rules of an older one, and its cases.
        let newer = NEWER_THIRD_PARTY_KINDS.iter().filter(|_| !compat);
        for (api_version, cases, kind) in own.iter().chain(newer).copied() {
            for case in cases_of(cases, kind) {
                let is_of_others =
                    |only: &Vec<String>| !only.iter().any(|version| version == api_version);
                if case.compat.is_some_and(|only| only != compat)
                    || case.versions.as_ref().is_some_and(is_of_others)
                {
                    continue;
                }
                count += 1;
                let found = ask(&interpreter, &case, api_version, kind);
                let holds = match (&found, &case.error) {
                    (Ok(found), None) => *found == case.result.clone().unwrap_or_default(),
                    (Err(found), Some(expected)) => found.contains(expected.as_str()),
                    _ => false,
                };
                if !holds {
                    let mode = if compat {
                        "as the reference"
                    } else {
                        "as ourselves"
                    };
                    let expected = case.error.map_or_else(
                        || case.result.unwrap_or_default().to_string(),
                        |it| format!("error {it}"),
                    );
                    let found = found
                        .map_or_else(|error| format!("error {error}"), |found| found.to_string());
                    failures.push(format!(
                        "{api_version} {kind}: {} ({mode})\n  expected {expected}\n  found    {found}",
                        case.name
                    ));
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn errors_name_the_file_and_the_line_in_it() {
    let broken = json!({"apiVersion": "ray.io/v1", "kind": "RayCluster", "spec": {"headGroupSpec": {"template": {"spec": 3}}}});
    let error = interpreter(false)
        .components(&broken)
        .unwrap_err()
        .to_string();
    let place = error
        .split_once("built-in rules: thirdparty/ray")
        .and_then(|(_, rest)| rest.split_once(" line "));
    let (file, rest) = place.unwrap_or_else(|| panic!("{error}"));
    let text = std::fs::read_to_string(root().join(format!("ray{file}"))).unwrap();
    let line: usize = rest.split(':').next().unwrap().parse().unwrap();
    let line = text.lines().nth(line - 1).unwrap();
    assert!(line.contains("accuratePodRequirements"), "{error}: {line}");
}

#[test]
fn every_operation_has_a_case() {
    let interpreter = interpreter(true);
    for (api_version, kind) in THIRD_PARTY_KINDS {
        let covered: BTreeSet<_> = cases_of(api_version, kind)
            .iter()
            // Of ours alone are rules that the reference does not have.
            .filter(|case| case.compat != Some(false))
            .map(|case| case.operation)
            .collect();
        let target = Target::new(api_version, kind);
        let is_here = |operation: &InterpreterOperation| {
            interpreter.deciding_layer(target, *operation) == Some(LayerName::ThirdParty)
        };
        let present: BTreeSet<_> = InterpreterOperation::ALL
            .into_iter()
            .filter(is_here)
            .collect();
        assert_eq!(covered, present, "{kind}");
    }
}

#[test]
fn hooks_are_those_of_the_matrix() {
    const MATRIX: &[(&str, &str)] = &[
        ("AdvancedCronJob", "AD"),
        ("BroadcastJob", "RVKSAHD"),
        ("CloneSet", "RVSAHD"),
        ("DaemonSet", "SAHD"),
        ("SidecarSet", "RKSAHD"),
        ("UnitedDeployment", "RVSAHD"),
        ("StatefulSet", "RVSAHD"),
        ("Workflow", "RVKHD"),
        ("Job", "CSAH"),
        ("FlinkDeployment", "RCSAH"),
        ("HelmRelease", "KSAHD"),
        ("Kustomization", "KSAHD"),
        ("GitRepository", "KSAHD"),
        ("Bucket", "KSAHD"),
        ("HelmChart", "KSAHD"),
        ("HelmRepository", "KSAHD"),
        ("OCIRepository", "KSAHD"),
        ("Policy", "SAH"),
        ("ClusterPolicy", "SAH"),
        ("Notebook", "RSAH"),
        ("PyTorchJob", "CAHD"),
        ("TFJob", "CAHD"),
        ("MPIJob", "CSAH"),
        ("RayCluster", "CAH"),
        ("RayJob", "CAHD"),
        ("RayService", "RVAHD"),
        ("SparkApplication", "CSAH"),
    ];
    let letters = [
        (InterpreterOperation::InterpretReplica, 'R'),
        (InterpreterOperation::InterpretComponent, 'C'),
        (InterpreterOperation::ReviseReplica, 'V'),
        (InterpreterOperation::Retain, 'K'),
        (InterpreterOperation::InterpretStatus, 'S'),
        (InterpreterOperation::AggregateStatus, 'A'),
        (InterpreterOperation::InterpretHealth, 'H'),
        (InterpreterOperation::InterpretDependency, 'D'),
    ];
    let interpreter = interpreter(true);
    assert_eq!(THIRD_PARTY_KINDS.len(), MATRIX.len());
    for (api_version, kind) in THIRD_PARTY_KINDS {
        let target = Target::new(api_version, kind);
        let is_here = |operation| {
            interpreter.deciding_layer(target, operation) == Some(LayerName::ThirdParty)
        };
        let found: String = letters
            .iter()
            .filter(|it| is_here(it.0))
            .map(|it| it.1)
            .collect();
        let expected = MATRIX.iter().find(|row| row.0 == kind).map(|row| row.1);
        assert_eq!(Some(found.as_str()), expected, "{kind}");
    }
}

#[test]
fn newer_versions_have_rules_unless_compatible() {
    for (version, older, kind) in NEWER_THIRD_PARTY_KINDS {
        let target = Target::new(version, kind);
        for (compat, layer) in [(false, Some(LayerName::ThirdParty)), (true, None)] {
            assert_eq!(
                interpreter(compat).deciding_layer(target, InterpreterOperation::AggregateStatus),
                layer,
                "{version} {kind}"
            );
        }
        assert!(THIRD_PARTY_KINDS.contains(&(older, kind)), "{older} {kind}");
    }
}

//! Recorded questions, answered line by line: for suites of a user's own rules, and to compare implementations.
//!
//! ```
//! # use navarch_interpreter as interpreter;
//! # use std::sync::Arc;
//! # use interpreter::{Interpreter, StoppedClock, cases};
//! let interpreter = Interpreter::native(Arc::new(StoppedClock(0)));
//! let line = br#"{"op": "InterpretReplica", "object": {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}}}"#;
//! let answer = cases::answer(&interpreter, line).expect("a case");
//! assert_eq!(
//!     serde_json::to_string(&answer).unwrap(),
//!     r#"{"layer":"native","result":{"replicas":2,"requirements":null}}"#
//! );
//! ```

use ::trace::NoTrace;
use crds::config::InterpreterOperation;
use crds::work::AggregatedStatusItem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::interpreter::Interpreter;
use crate::layer::{Answer, LayerName, Question};
use crate::prune::{self, Rules};

/// One question.
#[derive(Debug, Clone, Deserialize)]
struct Case {
    /// The operation's name, or `Prune`.
    op: InterpreterOperation,
    /// The template, the desired object of `Retain`, or the object in the member.
    #[serde(default)]
    object: Value,
    /// The object in the member, for `Retain`; for `InterpretStatus` and `InterpretHealth` it may stand here or in `object`.
    #[serde(default)]
    observed: Value,
    /// For `ReviseReplica`.
    #[serde(default)]
    replicas: i64,
    /// For `AggregateStatus`; without it the rules get no list at all.
    #[serde(default)]
    items: Option<Vec<AggregatedStatusItem>>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// The layer that has the rule answered.
    Answered { layer: &'static str, result: Value },
    /// The rule failed.
    Failed { error: String },
    /// No rule handles it.
    Nothing {},
}

/// Answers one case; fails if the line is none, and says where.
pub fn answer(interpreter: &Interpreter, line: &[u8]) -> Result<Outcome, serde_json::Error> {
    let Case {
        op,
        object,
        observed,
        replicas,
        items,
    } = serde_json::from_slice(line)?;
    let in_member = if observed.is_null() {
        &object
    } else {
        &observed
    };
    let question = match op {
        InterpreterOperation::Prune => return Ok(pruned(interpreter, object)),
        InterpreterOperation::InterpretReplica => Question::Replicas { object: &object },
        InterpreterOperation::InterpretComponent => Question::Components { object: &object },
        InterpreterOperation::InterpretDependency => Question::Dependencies { object: &object },
        InterpreterOperation::InterpretStatus => Question::Status {
            observed: in_member,
        },
        InterpreterOperation::InterpretHealth => Question::Health {
            observed: in_member,
        },
        InterpreterOperation::ReviseReplica => Question::ReviseReplica { object, replicas },
        InterpreterOperation::Retain => Question::Retain {
            desired: object,
            observed: &observed,
        },
        InterpreterOperation::AggregateStatus => Question::AggregateStatus {
            object,
            items: items.as_deref(),
        },
    };
    Ok(match interpreter.answer(question, &mut NoTrace) {
        Ok(Some((layer, answer))) => Outcome::Answered {
            layer: layer.as_str(),
            result: result(answer),
        },
        Ok(None) => Outcome::Nothing {},
        Err(error) => Outcome::Failed {
            error: error.to_string(),
        },
    })
}

fn pruned(interpreter: &Interpreter, mut object: Value) -> Outcome {
    let rules = Rules {
        compat: interpreter.options().compat,
        ..Rules::default()
    };
    match prune::prune_with(&mut object, rules) {
        Ok(()) => Outcome::Answered {
            layer: LayerName::Native.as_str(),
            result: object,
        },
        Err(cause) => Outcome::Failed {
            error: format!("Prune: {cause}"),
        },
    }
}

/// An answer as JSON. Replicas come with what each needs, null when nothing is known.
pub fn result(answer: Answer) -> Value {
    match answer {
        Answer::Replicas(replicas, requirements) => {
            json!({"replicas": replicas, "requirements": requirements})
        }
        Answer::Components(components) => json!(components),
        Answer::Object(object) => object,
        Answer::Dependencies(references) => json!(references),
        Answer::Status(status) => status.unwrap_or_default(),
        Answer::Health(healthy) => healthy.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Limits, Options, Runtime, StoppedClock, third_party};

    fn interpreter(compat: bool) -> Interpreter {
        let rules = third_party(&Runtime::new(Limits::default()), compat);
        Interpreter::native(Arc::new(StoppedClock(0)))
            .with_layer(Arc::new(rules))
            .with_options(Options {
                compat,
                ..Options::default()
            })
    }

    #[track_caller]
    fn check(case: &Value, expected: &Value) {
        let outcome = answer(&interpreter(false), case.to_string().as_bytes()).expect("a case");
        assert_eq!(json!(outcome), *expected, "{case}");
    }

    #[test]
    fn every_operation_is_answered() {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "uid": "u", "labels": {"resourcetemplate.karmada.io/retain-replicas": "true"}}, "spec": {"replicas": 3}});
        let with = |pointer: &str, value: Value| {
            let mut object = deployment.clone();
            *object.pointer_mut(pointer).expect("there") = value;
            object
        };
        let native = |result: Value| json!({"layer": "native", "result": result});
        check(
            &json!({"op": "InterpretReplica", "object": deployment}),
            &native(json!({"replicas": 3, "requirements": null})),
        );
        check(
            &json!({"op": "InterpretComponent", "object": deployment}),
            &json!({}),
        );
        check(
            &json!({"op": "ReviseReplica", "object": deployment, "replicas": 5}),
            &native(with("/spec/replicas", json!(5))),
        );
        check(
            &json!({"op": "Retain", "object": deployment, "observed": with("/spec/replicas", json!(9))}),
            &native(with("/spec/replicas", json!(9))),
        );
        check(
            &json!({"op": "InterpretDependency", "object": deployment}),
            &native(json!([])),
        );
        let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "status": {"a": 1}});
        for key in ["object", "observed"] {
            check(
                &json!({"op": "InterpretStatus", key: thing}),
                &native(json!({"a": 1})),
            );
        }
        check(
            &json!({"op": "InterpretHealth", "object": thing}),
            &json!({}),
        );
        check(
            &json!({"op": "AggregateStatus", "object": {"apiVersion": "v1", "kind": "PersistentVolume"},
                "items": [{"clusterName": "m1", "status": {"phase": "Bound"}}]}),
            &native(
                json!({"apiVersion": "v1", "kind": "PersistentVolume", "status": {"phase": "Bound"}}),
            ),
        );
        check(
            &json!({"op": "Prune", "object": {"metadata": {"name": "a", "uid": "u"}, "status": {}}}),
            &native(json!({"metadata": {"name": "a"}})),
        );
        check(
            &json!({"op": "InterpretReplica", "object": with("/spec/replicas", json!("x"))}),
            &json!({"error": "InterpretReplica of apps/v1 Deployment: native: decode spec.replicas: expected an integer, found a string"}),
        );
        check(
            &json!({"op": "InterpretComponent", "object": {"apiVersion": "ray.io/v1", "kind": "RayCluster"}}),
            &json!({"layer": "third-party", "result": []}),
        );
    }

    #[test]
    fn lines_that_are_no_cases_say_where() {
        for (line, problem) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("{\"object\": {}}", "missing field `op` at line 1 column 14"),
            ("{\"op\": \"Fly\"}", "unknown variant `Fly`"),
        ] {
            let error = answer(&interpreter(true), line.as_bytes()).expect_err(line);
            assert!(error.to_string().contains(problem), "{error}");
        }
    }
}

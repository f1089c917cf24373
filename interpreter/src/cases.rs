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
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::{Map, Value, json};

use crate::document;
use crate::interpreter::Interpreter;
use crate::layer::{Answer, LayerName, Question};
use crate::prune::{self, Rules};
use crate::schema::{self, Mismatch, TypeName};

/// A line is no case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct NoCase {
    /// The column at which the line stops being JSON, from 1.
    pub column: Option<usize>,
    /// The field, and what is wrong with it.
    pub problem: String,
}

impl NoCase {
    fn new(problem: impl Into<String>) -> Self {
        Self {
            column: None,
            problem: problem.into(),
        }
    }
}

/// One question.
struct Case {
    op: InterpreterOperation,
    /// The template, the desired object of `Retain`, or the object in the member.
    object: Value,
    /// The object in the member, for `Retain`; for `InterpretStatus` and `InterpretHealth` it may stand here or in `object`.
    observed: Value,
    /// For `ReviseReplica`.
    replicas: Option<i64>,
    /// For `AggregateStatus`; without it the rules get no list at all.
    items: Option<Vec<AggregatedStatusItem>>,
}

impl Case {
    fn read(line: &[u8]) -> Result<Self, NoCase> {
        let mut line = parse(line)?;
        if line.is_null() {
            return Err(NoCase::new("the line: expected an object, found null"));
        }
        let unfit = |mismatch: Mismatch| match &*mismatch.path {
            "object" => NoCase::new(format!("the line: {}", mismatch.problem)),
            _ => NoCase::new(mismatch.to_string()),
        };
        schema::check(TypeName::Case, &line).map_err(unfit)?;
        let items = line.get("items").and_then(Value::as_array);
        let of_items = items
            .into_iter()
            .flatten()
            .enumerate()
            .flat_map(|(position, item)| {
                let unknown = schema::unknown(TypeName::AggregatedStatusItem, item).into_iter();
                unknown.map(move |mut mismatch| {
                    mismatch.path = format!("items[{position}].{}", mismatch.path);
                    mismatch
                })
            });
        let unknown = schema::unknown(TypeName::Case, &line);
        if let Some(mismatch) = unknown.into_iter().chain(of_items).next() {
            return Err(unfit(mismatch));
        }
        let replicas = line.get("replicas").and_then(Value::as_number);
        let replicas = replicas.and_then(schema::integer);
        let mut take = |key: &str| line.get_mut(key).map(Value::take).unwrap_or_default();
        let items = match take("items") {
            Value::Null => None,
            items => {
                let decoded = schema::decode_list(TypeName::AggregatedStatusItem, items);
                let mut items: Vec<AggregatedStatusItem> = decoded.map_err(|mut mismatch| {
                    mismatch.path = format!("items{}", mismatch.path);
                    unfit(mismatch)
                })?;
                sort_items(&mut items);
                Some(items)
            }
        };
        Ok(Self {
            // The table knows the names.
            op: serde_json::from_value(take("op"))
                .map_err(|error| NoCase::new(format!("op: {error}")))?,
            object: take("object"),
            observed: take("observed"),
            replicas,
            items,
        })
    }

    /// The fields that the operation needs are there.
    fn check(&self, compat: bool) -> Result<(), NoCase> {
        let is_about_members = matches!(
            self.op,
            InterpreterOperation::InterpretStatus | InterpreterOperation::InterpretHealth
        );
        let prune = self.op == InterpreterOperation::Prune;
        match (is_about_members, &self.object, &self.observed) {
            (true, Value::Null, observed) => check_object(observed, "object", false)?,
            (true, _, observed) if !observed.is_null() => {
                check_object(observed, "observed", false)?;
            }
            (_, object, _) => check_object(object, "object", prune)?,
        }
        match (self.op, self.replicas) {
            (InterpreterOperation::Retain, _) => check_object(&self.observed, "observed", false),
            (InterpreterOperation::ReviseReplica, None) => Err(NoCase::new(
                "replicas: missing; ReviseReplica needs the number",
            )),
            (InterpreterOperation::ReviseReplica, Some(number)) if number < 0 && !compat => {
                Err(NoCase::new(format!(
                    "replicas: {number} is less than 0; a number of replicas is 0 or more"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Levels of nesting in a line; the parser takes no more.
const MAX_DEPTH: usize = 127;

fn parse(line: &[u8]) -> Result<Value, NoCase> {
    let parsed = if line.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(line).map(|Fields(fields)| Value::Object(fields))
    } else {
        serde_json::from_slice(line)
    };
    parsed.map_err(|error| NoCase {
        // The position that the parser tells is within the one line that it saw.
        column: Some(error.column()),
        problem: match error.classify() {
            Category::Eof => "the line is no JSON: it ends within a value".to_owned(),
            Category::Data => without_position(&error),
            _ if error.to_string().starts_with("recursion limit exceeded") => {
                format!("nested deeper than {MAX_DEPTH} levels")
            }
            _ => "the line is no JSON from here on".to_owned(),
        },
    })
}

/// What [`Fields`] found wrong.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

/// The fields of a line, each of which stands there once.
struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format!("{key}: given twice")));
            }
            fields.insert(key, members.next_value()?);
        }
        Ok(Fields(fields))
    }
}

/// Puts what is known of clusters into the order in which rules get it: that of the clusters' names.
pub fn sort_items(items: &mut [AggregatedStatusItem]) {
    items.sort_by(|left, right| left.cluster_name.cmp(&right.cluster_name));
}

fn check_object(object: &Value, field: &str, any_kind: bool) -> Result<(), NoCase> {
    if object.is_null() {
        return Err(NoCase::new(format!(
            "{field}: missing; it is the object that the question is about"
        )));
    }
    if !object.is_object() {
        return Err(NoCase::new(format!(
            "{field}: expected an object, found {}",
            schema::kind_of(object)
        )));
    }
    match document::problem_of_kind(object) {
        Some(mismatch) if !any_kind => Err(NoCase::new(format!("{field}.{mismatch}"))),
        _ => Ok(()),
    }
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
pub fn answer(interpreter: &Interpreter, line: &[u8]) -> Result<Outcome, NoCase> {
    let case = Case::read(line)?;
    case.check(interpreter.options().compat)?;
    let Case {
        op,
        object,
        observed,
        replicas,
        items,
    } = case;
    let replicas = replicas.unwrap_or_default();
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
        // The last phase in the order of the clusters' names.
        check(
            &json!({"op": "AggregateStatus", "object": {"apiVersion": "v1", "kind": "PersistentVolumeClaim"},
                "items": [{"clusterName": "m2", "status": {"phase": "Pending"}}, {"clusterName": "m1", "status": {"phase": "Lent"}}]}),
            &native(
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}}),
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

    /// A case with that many levels below its own.
    fn deep(levels: usize) -> String {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"op": "Prune", "object": {open}{close}}}"#)
    }

    #[test]
    fn lines_may_be_as_deep_as_is_told() {
        let error = answer(&interpreter(false), deep(MAX_DEPTH - 1).as_bytes());
        let error = error.expect_err("a list is no object");
        assert_eq!(error.problem, "object: expected an object, found a list");
    }

    #[test]
    fn lines_that_are_no_cases_say_where() {
        let thing = r#"{"apiVersion": "example.com/v1", "kind": "Thing"}"#;
        for (line, problem) in [
            ("{", "column 1: the line is no JSON: it ends within a value"),
            (
                r#"{"op": Retain}"#,
                "column 8: the line is no JSON from here on",
            ),
            (
                r#"{"op": "InterpretHealth", "objekt": {}}"#,
                "objekt: unknown field; known here: items, object, observed, op, replicas",
            ),
            (
                &format!(
                    r#"{{"op": "AggregateStatus", "object": {thing}, "items": [{{"clusterName": "m1", "state": 1}}]}}"#
                ),
                "items[0].state: unknown field; known here: applied, appliedMessage, clusterName, health, status",
            ),
            ("[]", "the line: expected an object, found a list"),
            ("null", "the line: expected an object, found null"),
            (&deep(127), "column 153: nested deeper than 127 levels"),
            (
                &format!(r#"{{"op": "InterpretHealth", "object": {thing}, "object": {thing}}}"#),
                "column 95: object: given twice",
            ),
            (
                r#"{"op": "InterpretHealth", "object": {"apiVersion": 5, "kind": "Thing"}}"#,
                "object.apiVersion: must be a string, not a number",
            ),
            (r#"{"object": {}}"#, "op: required, but missing"),
            (r#"{"op": 7}"#, "op: expected a string, found a number"),
            (
                r#"{"op": "Fly"}"#,
                "op: \"Fly\" is none of Retain, InterpretReplica, InterpretComponent, ReviseReplica, InterpretStatus, AggregateStatus, InterpretHealth, InterpretDependency, Prune",
            ),
            (
                r#"{"op": "InterpretHealth"}"#,
                "object: missing; it is the object that the question is about",
            ),
            (
                r#"{"op": "Prune", "object": [1]}"#,
                "object: expected an object, found a list",
            ),
            (
                r#"{"op": "InterpretHealth", "object": {"kind": "Thing"}}"#,
                "object.apiVersion: missing; rules are found by apiVersion and kind",
            ),
            (
                &format!(r#"{{"op": "Retain", "object": {thing}}}"#),
                "observed: missing; it is the object that the question is about",
            ),
            (
                &format!(r#"{{"op": "ReviseReplica", "object": {thing}}}"#),
                "replicas: missing; ReviseReplica needs the number",
            ),
            (
                &format!(r#"{{"op": "ReviseReplica", "object": {thing}, "replicas": -1}}"#),
                "replicas: -1 is less than 0; a number of replicas is 0 or more",
            ),
            (
                &format!(r#"{{"op": "ReviseReplica", "object": {thing}, "replicas": 3000000000}}"#),
                "replicas: 3000000000 is outside the range of a 32-bit integer",
            ),
            (
                &format!(
                    r#"{{"op": "AggregateStatus", "object": {thing}, "items": [{{"cluster": "m1"}}]}}"#
                ),
                "items[0].clusterName: required, but missing",
            ),
        ] {
            let error = answer(&interpreter(false), line.as_bytes()).expect_err(line);
            let column = error.column.map(|column| format!("column {column}: "));
            assert_eq!(
                format!("{}{error}", column.unwrap_or_default()),
                problem,
                "{line}"
            );
        }
    }
}

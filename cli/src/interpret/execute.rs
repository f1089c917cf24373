//! One operation on objects from files.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crds::{config::InterpreterOperation, work::AggregatedStatusItem};
use interpreter::{Answer, LayerName, Question as Asked, Target, cases, trace::Item};
use propagation::yaml;
use serde::Serialize;
use serde_json::{Value, json};
use trace::Recorder;

use super::{rules::Rules, sources};
use crate::failure::Failure;

/// What to do, and to what.
pub(crate) struct Question<'a> {
    pub(crate) operation: InterpreterOperation,
    pub(crate) desired: Option<&'a Path>,
    pub(crate) observed: Option<&'a Path>,
    pub(crate) statuses: &'a [PathBuf],
    /// For `ReviseReplica`.
    pub(crate) replicas: Option<i32>,
}

/// What came of it.
pub(crate) struct Executed {
    operation: InterpreterOperation,
    layer: LayerName,
    answer: Answer,
    took: Duration,
}

/// Asks the rules. What scripts print goes to `printed`, also when they fail.
pub(crate) fn execute(
    rules: &Rules,
    question: &Question<'_>,
    printed: &mut Vec<String>,
) -> Result<Executed, Failure> {
    let operation = question.operation;
    let replicas = match (operation, question.replicas) {
        (InterpreterOperation::ReviseReplica, None) => {
            return Err(Failure::new("ReviseReplica needs --replica")
                .with_hint("give the number that the object is to have, such as --replica 3"));
        }
        (InterpreterOperation::ReviseReplica, Some(replicas)) => replicas,
        (_, Some(_)) => {
            return Err(Failure::new(format!("{operation} takes no --replica"))
                .with_hint("--replica goes with ReviseReplica; leave it out"));
        }
        (_, None) => 0,
    };
    let (object, observed) = objects(question)?;
    let mut items: Vec<AggregatedStatusItem> = Vec::new();
    for path in question.statuses {
        items.extend(sources::status_items(path)?);
    }
    cases::sort_items(&mut items);
    let kind = Target::of(&object).to_string();
    let asked = match operation {
        InterpreterOperation::InterpretReplica => Asked::Replicas { object: &object },
        InterpreterOperation::InterpretComponent => Asked::Components { object: &object },
        InterpreterOperation::InterpretDependency => Asked::Dependencies { object: &object },
        InterpreterOperation::InterpretStatus => Asked::Status { observed: &object },
        // The command line knows no `Prune`.
        InterpreterOperation::InterpretHealth | InterpreterOperation::Prune => {
            Asked::Health { observed: &object }
        }
        InterpreterOperation::ReviseReplica => Asked::ReviseReplica {
            object,
            replicas: replicas.into(),
        },
        InterpreterOperation::Retain => Asked::Retain {
            desired: object,
            observed: &observed,
        },
        InterpreterOperation::AggregateStatus => Asked::AggregateStatus {
            object,
            items: Some(&items),
        },
    };
    let mut sink = Recorder::default();
    let begun = Instant::now();
    let answered = rules.interpreter.answer(asked, &mut sink);
    let took = begun.elapsed();
    printed.extend(sink.items.into_iter().filter_map(|item| match item {
        Item::Printed { line } => Some(line),
        _ => None,
    }));
    match answered {
        Ok(Some((layer, answer))) => Ok(Executed {
            operation,
            layer,
            answer,
            took,
        }),
        Ok(None) => Err(
            Failure::new(format!("Execute {operation} error: no rule for {kind}"))
                .with_hint("give a customization with a rule for it with -f"),
        ),
        Err(error) => Err(Failure::new(format!("Execute {operation} error: {error}"))),
    }
}

/// The object in question, and the observed one of `Retain`.
fn objects(question: &Question<'_>) -> Result<(Value, Value), Failure> {
    let operation = question.operation;
    // What the operation is about, for hints; either flag is taken.
    let usual = match operation {
        InterpreterOperation::InterpretStatus | InterpreterOperation::InterpretHealth => {
            "--observed-file with the object as a member has it"
        }
        _ => "--desired-file with the template",
    };
    match (operation, question.desired, question.observed) {
        (InterpreterOperation::Retain, Some(desired), Some(observed)) => {
            Ok((sources::object(desired)?, sources::object(observed)?))
        }
        (InterpreterOperation::Retain, desired, _) => Err(Failure::new(
            "Retain needs --desired-file and --observed-file",
        )
        .with_hint(match desired {
            Some(_) => "add --observed-file with the object as a member has it",
            None => "add --desired-file with the object as the control plane wants it",
        })),
        (_, Some(one), None) | (_, None, Some(one)) => Ok((sources::object(one)?, Value::Null)),
        (_, Some(_), Some(_)) => Err(Failure::new(format!(
            "{operation} takes --desired-file or --observed-file, not both"
        ))
        .with_hint(format!("give {usual}"))),
        (_, None, None) => Err(Failure::new(format!(
            "{operation} needs --desired-file or --observed-file"
        ))
        .with_hint(format!("give {usual}"))),
    }
}

impl Executed {
    /// Value by value, each under its name.
    pub(crate) fn yaml(&self) -> String {
        let values: Vec<(&str, Value)> = match &self.answer {
            Answer::Replicas(replicas, requirements) => vec![
                ("replica", json!(replicas)),
                ("requires", json!(requirements)),
            ],
            Answer::Components(components) => vec![("components", json!(components))],
            Answer::Object(object) => {
                let name = match self.operation {
                    InterpreterOperation::Retain => "retained",
                    InterpreterOperation::ReviseReplica => "revised",
                    _ => "aggregatedStatus",
                };
                vec![(name, object.clone())]
            }
            Answer::Dependencies(references) => vec![("dependencies", json!(references))],
            Answer::Status(status) => vec![("status", json!(status))],
            Answer::Health(healthy) => vec![("healthy", json!(healthy))],
        };
        let mut text = String::new();
        for (position, (name, value)) in values.iter().enumerate() {
            let place = format!("[{}/{}]", position + 1, values.len());
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "---\n# {place} {name}:\n{}",
                yaml::print(value).trim_end()
            );
        }
        text
    }

    /// The result with the layer that answered and the time that it took.
    pub(crate) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Printed {
            operation: &'static str,
            layer: &'static str,
            result: Value,
            microseconds: u128,
        }
        let printed = Printed {
            operation: self.operation.as_str(),
            layer: self.layer.as_str(),
            result: cases::result(self.answer.clone()),
            microseconds: self.took.as_micros(),
        };
        let text = serde_json::to_string_pretty(&printed);
        // Strings and values always serialise.
        let mut text = text.unwrap_or_default();
        text.push('\n');
        text
    }
}

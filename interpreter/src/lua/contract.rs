//! What each operation passes to its function and expects back.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::config::{DependentObjectReference, InterpreterOperation};
use crds::work::{AggregatedStatusItem, Component, ReplicaRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use mlua::{MultiValue, Value as LuaValue};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::convert::{Marks, Reader, Root, kind_of, to_lua};
use super::state::RunState;
use super::vm::Vm;
use super::{Limits, Runtime, Script, ScriptError};
use crate::layer::{Answer, Clock, Context, Question, StoppedClock};
use crate::quantity::Quantity;
use crate::schema::{self, TypeName};
use crate::value::text;
use crate::{component, reference};

/// Steps of the engine that the part of a script outside of its functions may take when it is only looked at.
pub(crate) const MAX_STEPS_OF_LOOK: u64 = 5_000_000;

/// The global function that a script for this operation defines; none for operations that no script answers.
pub(crate) const fn function_name(operation: InterpreterOperation) -> &'static str {
    match operation {
        InterpreterOperation::InterpretReplica => "GetReplicas",
        InterpreterOperation::InterpretComponent => "GetComponents",
        InterpreterOperation::ReviseReplica => "ReviseReplica",
        InterpreterOperation::Retain => "Retain",
        InterpreterOperation::AggregateStatus => "AggregateStatus",
        InterpreterOperation::InterpretDependency => "GetDependencies",
        InterpreterOperation::InterpretStatus => "ReflectStatus",
        InterpreterOperation::InterpretHealth => "InterpretHealth",
        InterpreterOperation::Prune => "",
    }
}

/// How a script begins the function for this operation.
pub(crate) const fn signature(operation: InterpreterOperation) -> &'static str {
    match operation {
        InterpreterOperation::InterpretReplica => "function GetReplicas(desiredObj)",
        InterpreterOperation::InterpretComponent => "function GetComponents(desiredObj)",
        InterpreterOperation::ReviseReplica => "function ReviseReplica(desiredObj, desiredReplica)",
        InterpreterOperation::Retain => "function Retain(desiredObj, observedObj)",
        InterpreterOperation::AggregateStatus => {
            "function AggregateStatus(desiredObj, statusItems)"
        }
        InterpreterOperation::InterpretDependency => "function GetDependencies(desiredObj)",
        InterpreterOperation::InterpretStatus => "function ReflectStatus(observedObj)",
        InterpreterOperation::InterpretHealth => "function InterpretHealth(observedObj)",
        InterpreterOperation::Prune => "",
    }
}

impl Runtime {
    /// Asks a script a question.
    pub fn ask(
        &self,
        script: &Arc<Script>,
        question: &Question<'_>,
        context: &Context<'_>,
    ) -> Result<Answer, ScriptError> {
        self.with_vm(|vm| {
            let marks = (!context.options.compat).then(|| vm.marks.clone());
            let arguments = arguments(vm, question, marks.as_ref())
                .map_err(|error| ScriptError::from_engine(&error))?;
            let function = function_name(question.operation());
            // The result is read as part of the run, under its limits: a small table can describe a huge tree.
            let read = |results: &MultiValue, run: &RunState| {
                let decoder = Decoder {
                    marks: marks.as_ref(),
                    compat: context.options.compat,
                    run,
                };
                decoder.answer(question, results)
            };
            let (answer, printed) = vm.call(
                script,
                function,
                arguments,
                &self.limits,
                context.clock,
                context.options,
                read,
            );
            for line in printed {
                context.printed(&line);
            }
            answer.map_err(|error| script.locate(error, function))
        })
    }

    /// Runs what a script does outside of its functions, and looks for the function of an operation; with the clock standing
    /// still, and few steps.
    pub(crate) fn look_for(
        &self,
        script: &Arc<Script>,
        operation: InterpreterOperation,
    ) -> Result<(), ScriptError> {
        let limits = Limits {
            instructions: self.limits.instructions.min(MAX_STEPS_OF_LOOK),
            ..self.limits
        };
        let clock: Arc<dyn Clock> = Arc::new(StoppedClock::default());
        let function = function_name(operation);
        self.with_vm(|vm| vm.look_for(script, function, &limits, &clock))
            .map_err(|error| script.locate(error, function))
    }
}

fn arguments(vm: &Vm, question: &Question<'_>, marks: Option<&Marks>) -> mlua::Result<MultiValue> {
    let value = |value: &Value| to_lua(&vm.lua, value, marks);
    let arguments = match question {
        Question::Replicas { object }
        | Question::Components { object }
        | Question::Dependencies { object }
        | Question::Status { observed: object }
        | Question::Health { observed: object } => vec![value(object)?],
        #[expect(
            clippy::cast_precision_loss,
            reason = "all numbers of the dialect are floats"
        )]
        Question::ReviseReplica { object, replicas } => {
            vec![value(object)?, LuaValue::Number(*replicas as f64)]
        }
        Question::Retain { desired, observed } => vec![value(desired)?, value(observed)?],
        Question::AggregateStatus { object, items } => {
            let items = match items {
                Some(items) => value(&items.iter().map(item).collect())?,
                None => LuaValue::Nil,
            };
            vec![value(object)?, items]
        }
    };
    Ok(MultiValue::from_vec(arguments))
}

fn item(item: &AggregatedStatusItem) -> Value {
    json!({
        "clusterName": item.cluster_name,
        "status": item.status,
        "applied": item.applied.filter(|applied| *applied),
        "appliedMessage": item.applied_message.as_deref().filter(|message| !message.is_empty()),
        "health": item.health.map(crds::work::ResourceHealth::as_str),
    })
}

struct Decoder<'a> {
    marks: Option<&'a Marks>,
    compat: bool,
    run: &'a RunState,
}

impl Decoder<'_> {
    fn answer(&self, question: &Question<'_>, results: &MultiValue) -> Result<Answer, String> {
        let nil = LuaValue::Nil;
        let result = |at: usize| results.get(at).unwrap_or(&nil);
        let first = result(0);
        Ok(match question {
            Question::Replicas { .. } => {
                let replicas = truncated(first)?;
                if replicas < 0 && !self.compat {
                    return Err(format!(
                        "{replicas} is no number of replicas: it has to be 0 or more"
                    ));
                }
                let requirements = match result(1) {
                    LuaValue::Nil => None,
                    table @ LuaValue::Table(_) => Some(self.requirements(table)?),
                    other => return Err(expected("a table or nil as requirements", other)),
                };
                Answer::Replicas(replicas, requirements)
            }
            Question::Components { .. } => match first {
                LuaValue::Nil => Answer::Components(Vec::new()),
                table @ LuaValue::Table(_) => Answer::Components(self.components(table)?),
                other => return Err(expected("a list of components", other)),
            },
            Question::ReviseReplica { object, .. } => self.object(first, &[object])?,
            Question::Retain { desired, observed } => self.object(first, &[desired, observed])?,
            Question::AggregateStatus { .. } => self.object(first, &[])?,
            Question::Dependencies { .. } => match first {
                // `kube.getPodDependencies` returns nil when there are none, and scripts pass that on.
                LuaValue::Nil if !self.compat => Answer::Dependencies(Vec::new()),
                table @ LuaValue::Table(_) => Answer::Dependencies(self.dependencies(table)?),
                other => return Err(expected("a list of references", other)),
            },
            Question::Status { .. } => match first {
                table @ LuaValue::Table(_) => {
                    Answer::Status(Some(self.read(table, &[], Root::Object)?))
                }
                other => return Err(expected("a table", other)),
            },
            Question::Health { .. } => match first {
                LuaValue::Boolean(healthy) => Answer::Health(*healthy),
                // A function that ends without a return.
                LuaValue::Nil if !self.compat => Answer::Health(false),
                other => return Err(expected("a boolean", other)),
            },
        })
    }

    fn read(&self, value: &LuaValue, references: &[&Value], root: Root) -> Result<Value, String> {
        Reader::new(self.marks, references)
            .charged(self.run)
            .root(value, root)
    }

    fn object(&self, value: &LuaValue, references: &[&Value]) -> Result<Answer, String> {
        if !value.is_table() {
            return Err(expected("an object", value));
        }
        let object = self.read(value, references, Root::Object)?;
        if object.is_array() {
            return Err("expected an object, found a list".to_owned());
        }
        if text(&object, &["kind"]).is_none_or(str::is_empty) {
            return Err("the object has no kind".to_owned());
        }
        match references.first() {
            Some(original) if !self.compat => check_same(original, &object)?,
            _ => {}
        }
        Ok(Answer::Object(object))
    }

    fn typed<T: DeserializeOwned>(
        &self,
        value: &LuaValue,
        type_name: TypeName,
        what: &str,
    ) -> Result<T, String> {
        let value = self.read(value, &[], Root::Object)?;
        if value.is_array() {
            return Err(format!(
                "{what}: expected a table with names as keys, found a list"
            ));
        }
        schema::decode(type_name, value).map_err(|mismatch| match &*mismatch.path {
            "object" => format!("{what}: {}", mismatch.problem),
            path => format!("{what}.{path}: {}", mismatch.problem),
        })
    }

    fn list<T: DeserializeOwned>(
        &self,
        value: &LuaValue,
        type_name: TypeName,
        what: &str,
    ) -> Result<Vec<T>, String> {
        let value = self.read(value, &[], Root::List)?;
        if !value.is_array() {
            return Err(format!(
                "expected a list of {what}, found a table with names as keys"
            ));
        }
        schema::decode_list(type_name, value).map_err(|mismatch| format!("{what}{mismatch}"))
    }

    fn requirements(&self, table: &LuaValue) -> Result<ReplicaRequirements, String> {
        let mut requirements: ReplicaRequirements =
            self.typed(table, TypeName::ReplicaRequirements, "requirements")?;
        canonicalise(&mut requirements.resource_request)?;
        requirements
            .namespace
            .take_if(|namespace| namespace.is_empty());
        requirements
            .priority_class_name
            .take_if(|name| name.is_empty());
        Ok(requirements)
    }

    fn components(&self, table: &LuaValue) -> Result<Vec<Component>, String> {
        let mut components: Vec<Component> = self.list(table, TypeName::Component, "components")?;
        for requirements in components
            .iter_mut()
            .filter_map(|component| component.replica_requirements.as_mut())
        {
            canonicalise(&mut requirements.resource_request)?;
            requirements
                .priority_class_name
                .take_if(|name| name.is_empty());
        }
        if !self.compat {
            component::check(&components).map_err(|cause| cause.to_string())?;
        }
        Ok(components)
    }

    fn dependencies(&self, table: &LuaValue) -> Result<Vec<DependentObjectReference>, String> {
        let mut references: Vec<DependentObjectReference> =
            self.list(table, TypeName::DependentObjectReference, "dependencies")?;
        for reference in &mut references {
            reference
                .namespace
                .take_if(|namespace| namespace.is_empty());
            reference.name.take_if(|name| name.is_empty());
        }
        reference::check(&references).map_err(|cause| cause.to_string())?;
        Ok(references)
    }
}

/// The result takes the place of the object that the script got, so it has to be that object.
fn check_same(original: &Value, object: &Value) -> Result<(), String> {
    for path in [&["kind"][..], &["metadata", "name"]] {
        let (before, after) = (text(original, path), text(object, path));
        if before != after {
            let told =
                |name: Option<&str>| name.map_or("nothing".to_owned(), |it| format!("{it:?}"));
            return Err(format!(
                "{} is changed from {} to {}; it has to stay",
                path.join("."),
                told(before),
                told(after)
            ));
        }
    }
    Ok(())
}

/// Writes quantities in their canonical spelling.
fn canonicalise(quantities: &mut BTreeMap<String, WireQuantity>) -> Result<(), String> {
    for (name, quantity) in quantities {
        let parsed = Quantity::try_from(&*quantity)
            .map_err(|error| format!("resourceRequest[{name}]: {error}"))?;
        *quantity = parsed.into();
    }
    Ok(())
}

/// The number without its fraction. One that is no 32-bit integer is an error: what the reference makes of it depends on the
/// machine that it runs on.
fn truncated(value: &LuaValue) -> Result<i64, String> {
    let number = match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "whether the number fits shows all the same"
        )]
        LuaValue::Integer(number) => *number as f64,
        LuaValue::Number(number) => *number,
        other => return Err(expected("a number of replicas", other)),
    };
    let whole = number.trunc();
    if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range has been checked"
        )]
        return Ok(whole as i64);
    }
    Err(format!(
        "{} is no number of replicas: it has to be a 32-bit integer, of at most {}",
        super::number::print(number),
        i32::MAX
    ))
}

fn expected(what: &str, found: &LuaValue) -> String {
    format!("expected {what}, found {}", kind_of(found))
}

//! What is wrong with a customization or a webhook configuration: for admission, and for users who try their rules offline.

mod webhooks;

use crds::config::{InterpreterOperation, ResourceInterpreterCustomization};

use crate::layer::Target;
use crate::lua::{MAX_STEPS_OF_LOOK, Runtime, ScriptError, function_name, signature};

pub use webhooks::{FieldError, webhook_configuration};

/// Something about a customization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that it is about; none when it is about the target.
    pub operation: Option<InterpreterOperation>,
    pub severity: Severity,
    /// The line in the script.
    pub line: Option<u32>,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It may well be meant like that.
    Warning,
    /// It cannot work.
    Error,
}

/// Compiles the scripts, and looks for the target and the functions.
///
/// No function of the script is called. What stands outside of them is run, as it is before every call.
pub fn customization(
    customization: &ResourceInterpreterCustomization,
    runtime: &Runtime,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let target = &customization.spec.target;
    let mut about_target = |message: &str| {
        findings.push(Finding {
            operation: None,
            severity: Severity::Error,
            line: None,
            message: message.to_owned(),
        });
    };
    if target.kind.is_empty() {
        about_target("target.kind is empty: name the kind that the rules are for");
    }
    let parsed = Target::new(&target.api_version, &target.kind);
    if parsed.version.is_empty() {
        about_target(&format!(
            "target.apiVersion {:?} is no group and version: write it as in the objects, such as apps/v1",
            target.api_version
        ));
    }
    for operation in InterpreterOperation::ALL {
        if let Some(script) = customization.spec.customizations.script(operation) {
            findings.extend(script_finding(operation, script, runtime));
        }
    }
    findings
}

fn script_finding(
    operation: InterpreterOperation,
    script: &str,
    runtime: &Runtime,
) -> Option<Finding> {
    let error = match runtime.compile(script) {
        Ok(script) => runtime.look_for(&script, operation).err()?,
        Err(error) => error,
    };
    let ScriptError { line, message, .. } = error;
    let function = function_name(operation);
    let remedy = || format!("define it as `{} … end`", signature(operation));
    let message = if message == format!("not found function {function}") {
        format!(
            "the script does not define the function {function}: {}",
            remedy()
        )
    } else if message.starts_with(&format!("{function} is a ")) {
        format!("{message}: {}", remedy())
    } else if message == format!("ran more than {MAX_STEPS_OF_LOOK} instructions") {
        format!(
            "{message} outside of its functions, which is the limit of this check; calls allow more, but run them each time: move them into a function"
        )
    } else {
        message
    };
    Some(Finding {
        operation: Some(operation),
        severity: Severity::Error,
        line,
        message,
    })
}

/// The rules of a customization that another one for the same kind has as well, with that one's name.
///
/// Dependencies are no conflict: all customizations' are united.
pub fn conflicts<'a>(
    customization: &ResourceInterpreterCustomization,
    others: impl IntoIterator<Item = &'a ResourceInterpreterCustomization>,
) -> Vec<(InterpreterOperation, &'a str)> {
    let has = |it: &ResourceInterpreterCustomization, operation| {
        it.spec.customizations.script(operation).is_some()
    };
    let mut found = Vec::new();
    for other in others {
        let is_other = other.metadata.name != customization.metadata.name;
        if !is_other || other.spec.target != customization.spec.target {
            continue;
        }
        let contested = InterpreterOperation::ALL.into_iter().filter(|operation| {
            *operation != InterpreterOperation::InterpretDependency
                && has(customization, *operation)
                && has(other, *operation)
        });
        found.extend(contested.map(|operation| {
            (
                operation,
                other.metadata.name.as_deref().unwrap_or_default(),
            )
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::lua::Limits;

    fn object(
        name: &str,
        target: &Value,
        rules: &[(&str, &str)],
    ) -> ResourceInterpreterCustomization {
        let rules: serde_json::Map<_, _> = rules
            .iter()
            .map(|(rule, script)| ((*rule).to_owned(), json!({"luaScript": script})))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "config.karmada.io/v1alpha1",
            "kind": "ResourceInterpreterCustomization",
            "metadata": {"name": name},
            "spec": {"target": target, "customizations": rules},
        }))
        .expect("the kind's shape")
    }

    fn thing() -> Value {
        json!({"apiVersion": "example.com/v1", "kind": "Thing"})
    }

    #[track_caller]
    fn check(target: &Value, rules: &[(&str, &str)], expected: &[&str]) {
        let findings = customization(
            &object("a", target, rules),
            &Runtime::new(Limits::default()),
        );
        let print = |it: &Finding| {
            let operation = it.operation.map_or("target", InterpreterOperation::as_str);
            format!(
                "{:?} {operation} {:?}: {}",
                it.severity,
                it.line.unwrap_or_default(),
                it.message
            )
        };
        assert_eq!(findings.iter().map(print).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn findings() {
        check(
            &thing(),
            &[(
                "healthInterpretation",
                "function InterpretHealth(o) return true end",
            )],
            &[],
        );
        check(&thing(), &[("healthInterpretation", "")], &[]);
        check(
            &thing(),
            &[
                ("healthInterpretation", "\nfunction InterpretHealth(o)"),
                ("replicaResource", "function Replicas() end"),
            ],
            &[
                "Error InterpretReplica 1: the script does not define the function GetReplicas: define it as `function GetReplicas(desiredObj) … end`",
                "Error InterpretHealth 2: expected `end`, found the end of the script",
            ],
        );
        check(
            &thing(),
            &[("healthInterpretation", "goto nowhere")],
            &["Error InterpretHealth 1: no visible label 'nowhere' for <goto> at line 1"],
        );
        check(
            &thing(),
            &[
                ("retention", "Retain = 5"),
                ("healthInterpretation", "local x = 1\nlocal y = nil .. x"),
                ("statusReflection", "while true do end"),
                (
                    "replicaResource",
                    "local function define() GetReplicas = function() end end define()",
                ),
            ],
            &[
                "Error Retain 1: Retain is a number, not a function: define it as `function Retain(desiredObj, observedObj) … end`",
                "Error InterpretStatus 1: ran more than 5000000 instructions outside of its functions, which is the limit of this check; calls allow more, but run them each time: move them into a function",
                "Error InterpretHealth 2: attempt to concatenate a nil value",
            ],
        );
        check(
            &json!({"apiVersion": "a/b/c", "kind": ""}),
            &[],
            &[
                "Error target 0: target.kind is empty: name the kind that the rules are for",
                "Error target 0: target.apiVersion \"a/b/c\" is no group and version: write it as in the objects, such as apps/v1",
            ],
        );
    }

    #[test]
    fn one_rule_one_customization() {
        let (health, replicas, dependencies) = (
            "healthInterpretation",
            "replicaResource",
            "dependencyInterpretation",
        );
        let new = object(
            "new",
            &thing(),
            &[(health, "x"), (replicas, "x"), (dependencies, "x")],
        );
        let others = [
            object("new", &thing(), &[(health, "x")]),
            object(
                "other",
                &thing(),
                &[(health, "x"), (dependencies, "x"), ("retention", "x")],
            ),
            object("empty", &thing(), &[(replicas, "")]),
            object(
                "elsewhere",
                &json!({"apiVersion": "example.com/v2", "kind": "Thing"}),
                &[(health, "x")],
            ),
        ];
        assert_eq!(
            conflicts(&new, &others),
            [(InterpreterOperation::InterpretHealth, "other")]
        );
    }
}

//! The scripts of a customization as one Lua file, for an editor.
//!
//! ```lua
//! ---@name: things
//! ---@apiVersion: example.com/v1
//! ---@kind: Thing
//!
//! ---@rule: InterpretHealth
//! function InterpretHealth(observedObj) … end
//! ```

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use crds::config::{CustomizationTarget, InterpreterOperation, ResourceInterpreterCustomization};
use serde_json::json;

use super::sources;
use crate::{Global, failure::Failure};

/// Lets the user edit the customization in a file.
pub(crate) fn run(names: &[String], show_doc: bool, global: &Global) -> Result<(), Failure> {
    let [name] = names else {
        return Err(Failure::new("--edit takes one file").with_hint("name it with -f"));
    };
    let file = Path::new(name);
    let mut found = sources::customizations(names, false)?;
    let (Some(found), true, true) = (found.pop(), found.is_empty(), file.is_file()) else {
        return Err(Failure::new(format!(
            "{name}: not a file with exactly one customization"
        )));
    };
    let before = to_lua(&found.object, show_doc);
    let scratch = std::env::temp_dir().join(format!("navarch-edit-{}.lua", std::process::id()));
    fs::write(&scratch, &before)?;
    let editor = std::env::var("KUBE_EDITOR")
        .or_else(|_| std::env::var("EDITOR"))
        .unwrap_or_else(|_| "vi".to_owned());
    // The variable may hold arguments, so a shell takes it apart, as kubectl has it.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(&scratch)
        .status()?;
    let after = fs::read_to_string(&scratch)?;
    if !status.success() || after == before {
        fs::remove_file(&scratch)?;
        if !global.quiet {
            eprintln!("Edit cancelled, no changes made.");
        }
        return Ok(());
    }
    let edited = from_lua(&after, found.object).map_err(|problem| {
        Failure::new(format!("{}: {problem}", scratch.display()))
            .with_hint("your text is still in that file")
    })?;
    let yaml = serde_saphyr::to_string(&edited)
        .map_err(|error| Failure::new(format!("print the customization: {error}")))?;
    fs::write(file, yaml)?;
    fs::remove_file(&scratch)?;
    Ok(())
}

/// The file to edit.
fn to_lua(object: &ResourceInterpreterCustomization, show_doc: bool) -> String {
    let target = &object.spec.target;
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let mut text = String::from(
        "-- Edit the scripts below. Lines that begin with two dashes are dropped, and so are rules without a script.\n",
    );
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "---@name: {name}\n---@apiVersion: {}\n---@kind: {}",
        target.api_version, target.kind
    );
    for operation in InterpreterOperation::ALL {
        let _ = writeln!(text, "\n---@rule: {operation}");
        if show_doc {
            for line in documentation(operation).lines() {
                let _ = writeln!(text, "-- {line}");
            }
        }
        if let Some(script) = object.spec.customizations.script(operation) {
            let _ = writeln!(text, "{}", script.trim_end());
        }
    }
    text
}

/// Reads the file back into the customization that it was made from.
fn from_lua(
    text: &str,
    object: ResourceInterpreterCustomization,
) -> Result<ResourceInterpreterCustomization, String> {
    let mut name = None;
    let mut target = CustomizationTarget::default();
    let mut rules: BTreeMap<InterpreterOperation, String> = BTreeMap::new();
    let mut current = None;
    for (number, line) in (1..).zip(text.lines()) {
        let annotation = line.strip_prefix("---@").and_then(|it| it.split_once(':'));
        match annotation.map(|(key, value)| (key.trim(), value.trim())) {
            Some(("name", value)) => name = Some(value.to_owned()),
            Some(("apiVersion", value)) => value.clone_into(&mut target.api_version),
            Some(("kind", value)) => value.clone_into(&mut target.kind),
            Some(("rule", value)) => {
                let known = InterpreterOperation::ALL.into_iter();
                let operation = known.into_iter().find(|it| it.as_str() == value);
                let operation =
                    operation.ok_or_else(|| format!("line {number}: unknown rule {value:?}"))?;
                if rules.insert(operation, String::new()).is_some() {
                    return Err(format!("line {number}: rule {value} stands there twice"));
                }
                current = Some(operation);
            }
            _ if line.starts_with("--") => {}
            _ => match current.and_then(|operation| rules.get_mut(&operation)) {
                Some(script) => {
                    script.push_str(line);
                    script.push('\n');
                }
                None if line.trim().is_empty() => {}
                None => return Err(format!("line {number}: text before the first rule")),
            },
        }
    }
    let fields: serde_json::Map<_, _> = rules
        .into_iter()
        .filter(|(_, script)| !script.trim().is_empty())
        .map(|(operation, script)| {
            let script = format!("{}\n", script.trim());
            (field(operation).to_owned(), json!({ "luaScript": script }))
        })
        .collect();
    let mut edited = object;
    edited.metadata.name = name.or(edited.metadata.name);
    edited.spec.target = target;
    edited.spec.customizations =
        serde_json::from_value(fields.into()).map_err(|error| error.to_string())?;
    Ok(edited)
}

/// The field of a rule.
const fn field(operation: InterpreterOperation) -> &'static str {
    match operation {
        InterpreterOperation::Retain => "retention",
        InterpreterOperation::InterpretReplica => "replicaResource",
        InterpreterOperation::InterpretComponent => "componentResource",
        InterpreterOperation::ReviseReplica => "replicaRevision",
        InterpreterOperation::InterpretStatus => "statusReflection",
        InterpreterOperation::AggregateStatus => "statusAggregation",
        InterpreterOperation::InterpretHealth => "healthInterpretation",
        // There is no rule for `Prune`.
        InterpreterOperation::InterpretDependency | InterpreterOperation::Prune => {
            "dependencyInterpretation"
        }
    }
}

const fn documentation(operation: InterpreterOperation) -> &'static str {
    match operation {
        InterpreterOperation::Retain => {
            "function Retain(desiredObj, observedObj): the desired object with what stays of the observed one"
        }
        InterpreterOperation::InterpretReplica => {
            "function GetReplicas(desiredObj): the number of replicas, and what each needs or nil"
        }
        InterpreterOperation::InterpretComponent => {
            "function GetComponents(desiredObj): a list of {name, replicas, replicaRequirements}"
        }
        InterpreterOperation::ReviseReplica => {
            "function ReviseReplica(desiredObj, desiredReplica): the object with that many replicas"
        }
        InterpreterOperation::InterpretStatus => {
            "function ReflectStatus(observedObj): the part of the status to collect"
        }
        InterpreterOperation::AggregateStatus => {
            "function AggregateStatus(desiredObj, statusItems): the object with the status of all clusters;\nitems are {clusterName, status, applied, appliedMessage, health}"
        }
        InterpreterOperation::InterpretHealth => {
            "function InterpretHealth(observedObj): whether the object is healthy"
        }
        InterpreterOperation::InterpretDependency | InterpreterOperation::Prune => {
            "function GetDependencies(desiredObj): a list of {apiVersion, kind, namespace, name, labelSelector}"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things() -> ResourceInterpreterCustomization {
        serde_json::from_value(json!({
            "apiVersion": "config.karmada.io/v1alpha1",
            "kind": "ResourceInterpreterCustomization",
            "metadata": {"name": "things"},
            "spec": {
                "target": {"apiVersion": "example.com/v1", "kind": "Thing"},
                "customizations": {
                    "healthInterpretation": {"luaScript": "function InterpretHealth(o)\n  return true\nend\n"},
                    "replicaResource": {"luaScript": "function GetReplicas(o)\n  return 1\nend\n"},
                },
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_file_reads_back_as_it_was() {
        for show_doc in [false, true] {
            let text = to_lua(&things(), show_doc);
            assert_eq!(from_lua(&text, things()).unwrap(), things(), "{text}");
        }
    }

    #[test]
    fn rules_change_come_and_go() {
        let text = "---@name: others\n---@apiVersion: example.com/v2\n---@kind: Other\n-- a note\n---@rule: Retain\n-- another\nfunction Retain(a, b)\n  return a\nend\n---@rule: InterpretHealth\n\n";
        let edited = from_lua(text, things()).unwrap();
        assert_eq!(edited.metadata.name.as_deref(), Some("others"));
        assert_eq!(edited.spec.target.api_version, "example.com/v2");
        assert_eq!(edited.spec.target.kind, "Other");
        let script = |operation| edited.spec.customizations.script(operation);
        assert_eq!(
            script(InterpreterOperation::Retain),
            Some("function Retain(a, b)\n  return a\nend\n")
        );
        assert_eq!(script(InterpreterOperation::InterpretHealth), None);
    }

    #[test]
    fn mistakes_have_a_line() {
        for (text, problem) in [
            ("---@kind: A\nx = 1\n", "line 2: text before the first rule"),
            ("---@rule: Fly\n", "line 1: unknown rule \"Fly\""),
            (
                "---@rule: Retain\n---@rule: Retain\n",
                "line 2: rule Retain stands there twice",
            ),
        ] {
            assert_eq!(from_lua(text, things()).unwrap_err(), problem);
        }
    }
}

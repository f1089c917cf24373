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

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use crds::config::{CustomizationTarget, InterpreterOperation, ResourceInterpreterCustomization};
use interpreter::{
    Limits, Runtime,
    check::{self, Severity},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use propagation::yaml;
use serde_json::{Value, json};

use super::sources;
use crate::{
    Global,
    connection::{access, chain},
    failure::Failure,
};

/// Lets the user edit the customization in a file, or the one of this name on the server.
pub(crate) fn run(
    files: &[String],
    name: Option<&str>,
    show_doc: bool,
    global: &Global,
) -> Result<(), Failure> {
    match (files, name) {
        ([file], None) => in_file(file, show_doc, global),
        ([], Some(name)) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(on_server(name, show_doc, global)),
        _ => Err(Failure::new("--edit takes one customization")
            .with_hint("give a file with -f, or the name of one on the server")),
    }
}

fn in_file(name: &str, show_doc: bool, global: &Global) -> Result<(), Failure> {
    let file = Path::new(name);
    let (mut found, _) = sources::find(&[name.to_owned()], false)?.sound()?;
    let (Some(found), true, true) = (found.pop(), found.is_empty(), file.is_file()) else {
        return Err(Failure::new(format!(
            "{name}: not a file with exactly one customization"
        ))
        .with_hint("--edit writes the file anew; give one that holds the customization and nothing else"));
    };
    let Some((scratch, edited)) = edited(found, show_doc, global)? else {
        return Ok(());
    };
    let text = if is_json(&fs::read_to_string(file)?) {
        serde_json::to_string_pretty(&edited).map(|json| json + "\n")
    } else {
        serde_json::to_value(&edited).map(|edited| yaml::print(&edited))
    };
    let text = text.map_err(|error| Failure::new(format!("print the customization: {error}")))?;
    fs::write(file, text)?;
    fs::remove_file(&scratch)?;
    Ok(())
}

/// What was JSON stays JSON.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

async fn on_server(name: &str, show_doc: bool, global: &Global) -> Result<(), Failure> {
    let access = access(global.kubeconfig.as_deref(), global.context.as_deref()).await?;
    let client = Client::try_from(access.config).map_err(|error| Failure::new(chain(&error)))?;
    let api: Api<ResourceInterpreterCustomization> = Api::all(client);
    let failed = |error: kube::Error| refused(name, &error);
    let found = api.get(name).await.map_err(failed)?;
    let Some((scratch, edited)) = edited(found.clone(), show_doc, global)? else {
        return Ok(());
    };
    if edited.metadata.name != found.metadata.name {
        return Err(
            Failure::new("the name of an object on the server cannot change")
                .with_hint(format!("your text is still in {}", scratch.display())),
        );
    }
    let patch = Patch::Merge(difference(&found, &edited));
    let patched = api.patch(name, &PatchParams::default(), &patch).await;
    patched.map_err(failed).map_err(|failure| {
        failure.with_hint(format!("your text is still in {}", scratch.display()))
    })?;
    fs::remove_file(&scratch)?;
    Ok(())
}

/// Why the server does not give or take a customization.
fn refused(name: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if status.code == 404 && status.message.contains(name) => {
            Failure::new(format!(
                "there is no ResourceInterpreterCustomization {name:?} on the server"
            ))
            .with_hint("`kubectl get resourceinterpretercustomizations` lists them; for one in a file use -f FILE --edit")
        }
        kube::Error::Api(status) if status.code == 404 => {
            Failure::new("the server knows no ResourceInterpreterCustomization").with_hint(
                "this may be a member, not the control plane: choose with --kubeconfig and --context",
            )
        }
        kube::Error::Api(status) if !status.message.is_empty() => Failure::new(format!(
            "ResourceInterpreterCustomization {name:?}: {}",
            status.message
        )),
        other => Failure::new(format!(
            "ResourceInterpreterCustomization {name:?}: {}",
            chain(other)
        )),
    }
}

/// The merge patch that changes target and scripts, of the version that was edited and no later one.
fn difference(
    found: &ResourceInterpreterCustomization,
    edited: &ResourceInterpreterCustomization,
) -> Value {
    let mut rules = serde_json::Map::new();
    for operation in InterpreterOperation::ALL {
        let (before, after) = (
            found.spec.customizations.script(operation),
            edited.spec.customizations.script(operation),
        );
        if before != after {
            let script = after.map(|script| json!({ "luaScript": script }));
            rules.insert(field(operation).to_owned(), json!(script));
        }
    }
    json!({
        "metadata": {"resourceVersion": found.metadata.resource_version},
        "spec": {"target": edited.spec.target, "customizations": rules},
    })
}

/// The customization as the user's editor leaves it, and the file that it was edited in; `None` when nothing changes.
fn edited(
    object: ResourceInterpreterCustomization,
    show_doc: bool,
    global: &Global,
) -> Result<Option<(PathBuf, ResourceInterpreterCustomization)>, Failure> {
    let before = to_lua(&object, show_doc);
    let (mut file, scratch) = tempfile::Builder::new()
        .prefix("navarch-edit-")
        .suffix(".lua")
        .tempfile()?
        .keep()
        .map_err(|error| error.error)?;
    file.write_all(before.as_bytes())?;
    drop(file);
    let editor = ["KUBE_EDITOR", "EDITOR"]
        .iter()
        .filter_map(|variable| std::env::var(variable).ok())
        .find(|editor| !editor.trim().is_empty())
        .unwrap_or_else(|| "vi".to_owned());
    let kept = || format!("your text is still in {}", scratch.display());
    // The variable may hold arguments, so a shell takes it apart, as kubectl has it.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(&scratch)
        .status()?;
    if !status.success() {
        return Err(Failure::new(format!("editor {editor:?} failed: {status}")).with_hint(kept()));
    }
    let after = fs::read_to_string(&scratch).map_err(|error| {
        Failure::new(format!("read {}: {error}", scratch.display())).with_hint(kept())
    })?;
    let is_empty = after.trim().is_empty();
    if is_empty || after == before {
        fs::remove_file(&scratch)?;
        if !global.quiet {
            let why = if is_empty {
                "saved file was empty"
            } else {
                "no changes made"
            };
            eprintln!("Edit cancelled, {why}.");
        }
        return Ok(None);
    }
    let edited = from_lua(&after, object)
        .and_then(|edited| match first_error(&edited) {
            Some(problem) => Err(problem),
            None => Ok(edited),
        })
        .map_err(|problem| {
            Failure::new(format!("{}: {problem}", scratch.display())).with_hint(kept())
        })?;
    Ok(Some((scratch, edited)))
}

/// What keeps the customization from working; nothing of it is written then.
fn first_error(object: &ResourceInterpreterCustomization) -> Option<String> {
    let findings = check::customization(object, &Runtime::new(Limits::default()));
    let error = findings
        .iter()
        .find(|finding| finding.severity == Severity::Error)?;
    let rule = error.operation.map_or_else(String::new, |operation| {
        let line = error
            .line
            .map_or_else(String::new, |line| format!(" line {line}:"));
        format!("rule {operation}:{line} ")
    });
    Some(format!("{rule}{}", error.message))
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
    for (field, value) in [("apiVersion", &target.api_version), ("kind", &target.kind)] {
        if value.is_empty() {
            return Err(format!(
                "the line `---@{field}: …` is missing; it names what the customization is for"
            ));
        }
    }
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
    fn what_changes_on_the_server_is_what_was_edited() {
        let mut found = things();
        found.metadata.resource_version = Some("7".to_owned());
        let text = to_lua(&found, false)
            .replace("return true", "return false")
            .replace("function GetReplicas(o)\n  return 1\nend\n", "");
        let edited = from_lua(&text, found.clone()).unwrap();
        assert_eq!(
            difference(&found, &edited),
            json!({
                "metadata": {"resourceVersion": "7"},
                "spec": {
                    "target": {"apiVersion": "example.com/v1", "kind": "Thing"},
                    "customizations": {
                        "replicaResource": null,
                        "healthInterpretation": {"luaScript": "function InterpretHealth(o)\n  return false\nend\n"},
                    },
                },
            })
        );
    }

    #[test]
    fn scripts_that_cannot_work_are_not_written() {
        let broken = to_lua(&things(), false).replace("return true", "retrun true x");
        let edited = from_lua(&broken, things()).unwrap();
        let problem = first_error(&edited).unwrap();
        assert!(
            problem.starts_with("rule InterpretHealth: line 2:"),
            "{problem}"
        );
        assert_eq!(first_error(&things()), None);
    }

    #[test]
    fn refusals_of_the_server_are_sentences() {
        let refusal = |code: u16, message: &str| {
            let status = kube::core::Status::failure(message, "").with_code(code);
            refused("nope", &kube::Error::Api(status.boxed())).message
        };
        assert_eq!(
            refusal(
                404,
                "resourceinterpretercustomizations.config.karmada.io \"nope\" not found"
            ),
            "there is no ResourceInterpreterCustomization \"nope\" on the server"
        );
        assert_eq!(
            refusal(404, "the server could not find the requested resource"),
            "the server knows no ResourceInterpreterCustomization"
        );
        assert_eq!(
            refusal(403, "user u may not"),
            "ResourceInterpreterCustomization \"nope\": user u may not"
        );
    }

    #[test]
    fn what_was_json_stays_json() {
        assert!(is_json(" \n{\"kind\": \"Thing\"}"));
        assert!(!is_json("kind: Thing\n"));
    }

    #[test]
    fn mistakes_have_a_line() {
        for (text, problem) in [
            ("---@kind: A\nx = 1\n", "line 2: text before the first rule"),
            (
                "---@apiVersion: v1\n",
                "the line `---@kind: …` is missing; it names what the customization is for",
            ),
            (
                "",
                "the line `---@apiVersion: …` is missing; it names what the customization is for",
            ),
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

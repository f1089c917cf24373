//! What is wrong with customizations, without calling any function of them.

use std::fmt::Write as _;

use crds::config::{InterpreterOperation, ResourceInterpreterCustomization};
use interpreter::{Limits, Runtime, check};
use serde::Serialize;

use super::sources::Document;
use crate::failure::Failure;

/// What there is to say of each customization.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Report {
    checked: Vec<Checked>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    api_version: String,
    kind: String,
    /// What is wrong beside the scripts.
    problems: Vec<Told>,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
struct Told {
    /// In the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    operation: &'static str,
    result: Verdict,
    /// In the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verdict {
    Unset,
    Pass,
    Error,
}

/// Says of each customization, rule by rule, whether it can work.
pub(crate) fn check(documents: &[Document]) -> Report {
    let runtime = Runtime::new(Limits::default());
    let others = || documents.iter().filter_map(|other| other.object.as_ref());
    let checked = documents.iter().map(|document| {
        let mut checked = Checked {
            source: document.source.clone(),
            document: document.place.clone(),
            name: document.name.clone(),
            api_version: String::new(),
            kind: String::new(),
            problems: Vec::new(),
            rules: Vec::new(),
        };
        let problems = document.faults.iter().map(|fault| Told {
            line: fault.line,
            message: fault.message.clone(),
        });
        checked.problems.extend(problems);
        if let Some(object) = &document.object {
            check_object(&mut checked, object, others(), &runtime);
        }
        checked
    });
    Report {
        checked: checked.collect(),
    }
}

fn check_object<'a>(
    checked: &mut Checked,
    object: &ResourceInterpreterCustomization,
    others: impl Iterator<Item = &'a ResourceInterpreterCustomization>,
    runtime: &Runtime,
) {
    let findings = check::customization(object, runtime);
    let conflicts = check::conflicts(object, others);
    let target = &object.spec.target;
    checked.api_version.clone_from(&target.api_version);
    checked.kind.clone_from(&target.kind);
    for finding in findings.iter().filter(|it| it.operation.is_none()) {
        checked.problems.push(Told {
            line: None,
            message: format!("spec.{}", finding.message),
        });
    }
    checked.rules = InterpreterOperation::ALL
        .into_iter()
        .map(|operation| {
            let rule = |result, line, message| Rule {
                operation: operation.as_str(),
                result,
                line,
                message,
            };
            let finding = findings.iter().find(|it| it.operation == Some(operation));
            if let Some(finding) = finding {
                return rule(Verdict::Error, finding.line, Some(finding.message.clone()));
            }
            if let Some((_, other)) = conflicts.iter().find(|(of, _)| *of == operation) {
                let message = format!(
                    "customization {other} has a script for it as well; keep one of the two"
                );
                return rule(Verdict::Error, None, Some(message));
            }
            let script = object.spec.customizations.script(operation);
            let result = if script.is_some() {
                Verdict::Pass
            } else {
                Verdict::Unset
            };
            rule(result, None, None)
        })
        .collect();
}

impl Checked {
    fn has_failed(&self) -> bool {
        let is_error = |rule: &Rule| rule.result == Verdict::Error;
        !self.problems.is_empty() || self.rules.iter().any(is_error)
    }
}

impl Report {
    /// Files that cannot be read, and customizations that cannot work as they are written.
    pub(crate) fn failed(&self) -> usize {
        self.checked.iter().filter(|it| it.has_failed()).count()
    }

    /// What is to be said in the end.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        // Only what was read has a name.
        let failed = self.checked.iter().filter(|it| it.has_failed());
        let (broken, unread): (Vec<_>, Vec<_>) = failed.partition(|it| it.name.is_some());
        let broken = match broken.len() {
            0 => None,
            1 => Some("a customization cannot work as it is written".to_owned()),
            many => Some(format!(
                "{many} customizations cannot work as they are written"
            )),
        };
        let unread = match unread.len() {
            0 => None,
            1 => Some("a file cannot be read".to_owned()),
            many => Some(format!("{many} files cannot be read")),
        };
        let problems: Vec<_> = [broken, unread].into_iter().flatten().collect();
        match self.failed() {
            0 => Ok(()),
            _ => Err(Failure::new(problems.join(", and "))),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        for checked in &self.checked {
            let place = checked.document.as_ref();
            let place = place.map_or_else(String::new, |place| format!(", {place}"));
            let _ = writeln!(text, "-----------------------------------");
            let _ = writeln!(text, "SOURCE: {}{place}", checked.source);
            if let Some(name) = &checked.name {
                let target = format!("{} {}", checked.api_version, checked.kind);
                let _ = writeln!(text, "NAME:   {name}\nTARGET: {}", target.trim());
            }
            for Told { line, message } in &checked.problems {
                let line = line.map_or_else(String::new, |line| format!("line {line}: "));
                let _ = writeln!(text, "        ERROR: {line}{message}");
            }
            if checked.rules.is_empty() {
                continue;
            }
            let _ = writeln!(text, "RULES:");
            for rule in &checked.rules {
                let label = format!("{}:", rule.operation);
                let verdict = match (rule.result, rule.line, &rule.message) {
                    (Verdict::Unset, ..) => "UNSET".to_owned(),
                    (Verdict::Pass, ..) => "PASS".to_owned(),
                    (Verdict::Error, Some(line), Some(message)) => {
                        format!("ERROR: line {line}: {message}")
                    }
                    (Verdict::Error, _, message) => {
                        format!("ERROR: {}", message.as_deref().unwrap_or_default())
                    }
                };
                let _ = writeln!(text, "    {label:<21}{verdict}");
            }
        }
        text
    }
}

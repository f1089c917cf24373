//! What is wrong with customizations, without running them.

use std::fmt::Write as _;

use crds::config::{InterpreterOperation, ResourceInterpreterCustomization};
use interpreter::{
    Limits, Runtime,
    check::{self, Finding, Severity},
};

use super::sources::Sourced;

pub(crate) struct Report {
    pub(crate) text: String,
    /// Customizations that cannot work.
    pub(crate) failed: usize,
}

/// Says of each customization, rule by rule, whether it can work.
pub(crate) fn check(customizations: &[Sourced<ResourceInterpreterCustomization>]) -> Report {
    let runtime = Runtime::new(Limits::default());
    let mut report = Report {
        text: String::new(),
        failed: 0,
    };
    for Sourced { source, object } in customizations {
        let findings = check::customization(object, &runtime);
        let others = customizations.iter().map(|other| &other.object);
        let conflicts = check::conflicts(object, others);
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        report.failed += usize::from(findings.iter().any(is_error) || !conflicts.is_empty());
        let target = &object.spec.target;
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let verdict = |operation: InterpreterOperation| {
            let is_own = |it: &&Finding| it.operation == Some(operation);
            if let Some(finding) = findings.iter().find(is_own) {
                return tell(finding);
            }
            if let Some((_, other)) = conflicts.iter().find(|(of, _)| *of == operation) {
                return format!("ERROR: customization {other} has a script for it as well");
            }
            let script = object.spec.customizations.script(operation);
            if script.is_some() { "PASS" } else { "UNSET" }.to_owned()
        };
        // Writing into a String cannot fail.
        let _ = writeln!(report.text, "-----------------------------------");
        let _ = writeln!(report.text, "SOURCE: {source}");
        let _ = writeln!(report.text, "NAME:   {name}");
        let _ = writeln!(
            report.text,
            "TARGET: {} {}",
            target.api_version, target.kind
        );
        for finding in findings.iter().filter(|it| it.operation.is_none()) {
            let _ = writeln!(report.text, "        {}", tell(finding));
        }
        let _ = writeln!(report.text, "RULES:");
        for operation in InterpreterOperation::ALL {
            let label = format!("{operation}:");
            let _ = writeln!(report.text, "    {label:<21}{}", verdict(operation));
        }
    }
    report
}

fn tell(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    match finding.line {
        Some(line) => format!("{severity}: line {line}: {}", finding.message),
        None => format!("{severity}: {}", finding.message),
    }
}

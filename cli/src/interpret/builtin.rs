//! What the rules that are built in know.

use std::fmt::Write as _;

use crds::config::InterpreterOperation;
use interpreter::{NATIVE_KINDS, NEWER_THIRD_PARTY_KINDS, THIRD_PARTY_KINDS, Target};
use serde::Serialize;

use super::rules::Rules;

/// A kind with the operations that are answered for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    api_version: &'static str,
    kind: &'static str,
    operations: Vec<&'static str>,
}

/// Kinds that the built-in rules know.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct List(Vec<Known>);

/// The kinds with the operations that are answered for them: all, or those that have the one operation.
pub(crate) fn list(only: Option<InterpreterOperation>, compat: bool) -> List {
    let interpreter = Rules::new(&[], compat).interpreter;
    let newer = NEWER_THIRD_PARTY_KINDS
        .iter()
        .map(|(version, _, kind)| (*version, *kind));
    let mut kinds: Vec<(&str, &str)> = NATIVE_KINDS
        .iter()
        .copied()
        .chain(THIRD_PARTY_KINDS)
        .chain(newer)
        .collect();
    kinds.sort_unstable();
    let known = kinds.into_iter().filter_map(|(api_version, kind)| {
        let target = Target::new(api_version, kind);
        let is_answered =
            |operation: &InterpreterOperation| interpreter.hook_enabled(target, *operation);
        let answered: Vec<_> = InterpreterOperation::ALL
            .into_iter()
            .filter(is_answered)
            .collect();
        // The status of any kind can be collected, so that alone makes no rule.
        let has_rules = answered != [InterpreterOperation::InterpretStatus];
        (has_rules && only.is_none_or(|only| answered.contains(&only))).then(|| Known {
            api_version,
            kind,
            operations: answered.iter().map(|it| it.as_str()).collect(),
        })
    });
    List(known.collect())
}

impl List {
    /// For people: a row for each kind.
    pub(crate) fn text(&self) -> String {
        let name = |it: &Known| format!("{} {}", it.api_version, it.kind);
        let widest = self.0.iter().map(|it| name(it).len()).max();
        let widest = widest.unwrap_or_default();
        let mut text = String::new();
        for known in &self.0 {
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{:<widest$}  {}",
                name(known),
                known.operations.join(",")
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_with_what_is_answered_for_them() {
        let row = |text: &str, kind: &str| {
            let mut rows = text.lines().filter(|row| row.starts_with(kind));
            rows.next()
                .map(|row| row.rsplit(' ').next().unwrap_or_default().to_owned())
        };
        let all = list(None, false).text();
        assert_eq!(
            row(&all, "batch/v1 CronJob").as_deref(),
            Some("InterpretStatus,AggregateStatus,InterpretDependency")
        );
        assert!(row(&all, "helm.toolkit.fluxcd.io/v2 HelmRelease").is_some());
        let as_karmada = list(None, true).text();
        assert_eq!(
            row(&as_karmada, "helm.toolkit.fluxcd.io/v2 HelmRelease"),
            None
        );
        assert!(row(&as_karmada, "helm.toolkit.fluxcd.io/v2beta1 HelmRelease").is_some());
        let with_components = list(Some(InterpreterOperation::InterpretComponent), false);
        let json = serde_json::to_value(&with_components).unwrap();
        let cluster = json
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["kind"] == "RayCluster");
        assert_eq!(cluster.unwrap()["apiVersion"], "ray.io/v1");
        let with_components = with_components.text();
        assert!(row(&with_components, "ray.io/v1 RayCluster").is_some());
        assert_eq!(row(&with_components, "apps/v1 Deployment"), None);
    }
}

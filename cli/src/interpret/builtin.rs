//! What the rules that are built in know.

use std::fmt::Write as _;

use crds::config::InterpreterOperation;
use interpreter::{NATIVE_KINDS, NEWER_THIRD_PARTY_KINDS, THIRD_PARTY_KINDS, Target};

use super::rules::Rules;

/// The kinds with the operations that are answered for them: all, or those that have the one operation.
pub(crate) fn list(only: Option<InterpreterOperation>, compat: bool) -> String {
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
    let width = |(version, kind): &(&str, &str)| version.len() + 1 + kind.len();
    let widest = kinds.iter().map(width).max().unwrap_or_default();
    let mut text = String::new();
    for (version, kind) in kinds {
        let target = Target::new(version, kind);
        let is_answered =
            |operation: &InterpreterOperation| interpreter.hook_enabled(target, *operation);
        let answered: Vec<_> = InterpreterOperation::ALL
            .into_iter()
            .filter(is_answered)
            .collect();
        // The status of any kind can be collected, so that alone makes no rule.
        let has_rules = answered != [InterpreterOperation::InterpretStatus];
        if has_rules && only.is_none_or(|only| answered.contains(&only)) {
            let names: Vec<_> = answered.iter().map(|it| it.as_str()).collect();
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{:<widest$}  {}",
                format!("{version} {kind}"),
                names.join(",")
            );
        }
    }
    text
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
        let all = list(None, false);
        assert_eq!(
            row(&all, "batch/v1 CronJob").as_deref(),
            Some("InterpretStatus,AggregateStatus,InterpretDependency")
        );
        assert!(row(&all, "helm.toolkit.fluxcd.io/v2 HelmRelease").is_some());
        let as_karmada = list(None, true);
        assert_eq!(
            row(&as_karmada, "helm.toolkit.fluxcd.io/v2 HelmRelease"),
            None
        );
        assert!(row(&as_karmada, "helm.toolkit.fluxcd.io/v2beta1 HelmRelease").is_some());
        let with_components = list(Some(InterpreterOperation::InterpretComponent), false);
        assert!(row(&with_components, "ray.io/v1 RayCluster").is_some());
        assert_eq!(row(&with_components, "apps/v1 Deployment"), None);
    }
}

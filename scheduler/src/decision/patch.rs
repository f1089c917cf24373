//! The write that puts a result into effect.

use crds::keys::APPLIED_PLACEMENT;
use crds::policy::Placement;
use crds::work::{Binding, TargetCluster};
use serde_json::{Map, Value, json};

use super::trigger::{annotation, applied_components};
use super::{Decision, Outcome};
use crate::options::{Compat, Switch};

/// Annotation on bindings: the components that the result was based on. A change shows by it, and how much the placed set occupies.
pub const APPLIED_COMPONENTS: &str = "navarch.dev/applied-components";

/// The merge patch of the binding that a decision asks for; `None` if nothing differs.
///
/// It goes to the main resource and holds the whole target list. The resource version of the binding that was decided on is for the
/// caller to add: with it the decision cannot overrule what somebody else wrote meanwhile.
///
/// A result that differs in order alone is not written. The order says which cluster had more room at the time, which is not worth
/// the write and everything that a write wakes.
pub fn spec_patch<B: Binding>(binding: &B, decision: &Decision, compat: Compat) -> Option<Value> {
    let outcome = match decision {
        Decision::Scheduled(outcome) => outcome,
        Decision::Observe => return adoption(binding, compat),
        _ => return None,
    };
    if outcome
        .result
        .as_ref()
        .is_err_and(|failure| !failure.empties_targets)
    {
        return None;
    }
    let mut patch = Map::new();
    let annotations = annotations(binding, outcome, compat);
    if !annotations.is_empty() {
        patch.insert("metadata".to_owned(), json!({ "annotations": annotations }));
    }
    let clusters = outcome.clusters(binding);
    if !same(clusters, &binding.spec().clusters) {
        let value = if clusters.is_empty() {
            Value::Null
        } else {
            list(clusters)
        };
        patch.insert("spec".to_owned(), json!({ "clusters": value }));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Notes the components of a binding that another scheduler placed, so that their next change is seen. Waits for a write that is
/// due anyway: a start alone writes nothing.
fn adoption<B: Binding>(binding: &B, compat: Compat) -> Option<Value> {
    if compat.keeps(Switch::ComponentChanges) || annotation(binding, APPLIED_COMPONENTS).is_some() {
        return None;
    }
    let components = &binding.spec().components;
    (!components.is_empty()).then(|| {
        let text = json!(components).to_string();
        json!({ "metadata": { "annotations": { APPLIED_COMPONENTS: text } } })
    })
}

fn annotations<B: Binding>(binding: &B, outcome: &Outcome, compat: Compat) -> Map<String, Value> {
    let mut annotations = Map::new();
    let placement = binding.spec().placement.as_ref();
    let applied = annotation(binding, APPLIED_PLACEMENT);
    // Other versions order fields differently; what means the same stays as it is.
    let decoded = applied.and_then(|text| serde_json::from_str::<Placement>(text).ok());
    if let Some(placement) = placement
        && decoded.as_ref() != Some(placement)
    {
        let text = serde_json::to_string(placement).unwrap_or_default();
        annotations.insert(APPLIED_PLACEMENT.to_owned(), text.into());
    }
    if compat.keeps(Switch::ComponentChanges) {
        return annotations;
    }
    let components = &binding.spec().components;
    if outcome.result.is_err() || components.is_empty() {
        if annotation(binding, APPLIED_COMPONENTS).is_some() {
            annotations.insert(APPLIED_COMPONENTS.to_owned(), Value::Null);
        }
    } else if applied_components(binding).as_ref() != Some(components) {
        let text = json!(components).to_string();
        annotations.insert(APPLIED_COMPONENTS.to_owned(), text.into());
    }
    annotations
}

/// Whether two target lists name the same clusters with the same replicas. Their order says which cluster had more room at the
/// time; that alone is not worth a write, and everything that a write wakes.
pub(super) fn same(left: &[TargetCluster], right: &[TargetCluster]) -> bool {
    fn by_name(list: &[TargetCluster]) -> Vec<(&str, i32)> {
        let mut named: Vec<_> = list
            .iter()
            .map(|target| (target.name.as_str(), target.replicas.unwrap_or_default()))
            .collect();
        named.sort_unstable();
        named
    }
    left.len() == right.len() && by_name(left) == by_name(right)
}

fn list(clusters: &[TargetCluster]) -> Value {
    clusters
        .iter()
        .map(|target| match target.replicas.unwrap_or_default() {
            0 => json!({ "name": target.name }),
            replicas => json!({ "name": target.name, "replicas": replicas }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_alone_is_no_change() {
        let target = |name: &str, replicas| TargetCluster {
            name: name.to_owned(),
            replicas,
        };
        let placed = [target("m1", Some(2)), target("m2", None)];
        assert!(same(
            &placed,
            &[target("m2", Some(0)), target("m1", Some(2))]
        ));
        assert!(!same(&placed, &[target("m2", Some(2)), target("m1", None)]));
        assert!(!same(&placed, &[target("m1", Some(2))]));
    }
}

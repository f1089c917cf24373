//! Lazy policies: a change of theirs waits for the next change that a user makes to the template.

use std::collections::BTreeMap;

use crds::object;
use propagation::matching::{Policy, lazy};
use serde_json::{Value, json};

/// Whether a lazy policy leaves the binding alone for now. A template that has no binding to remember the state that was passed
/// over keeps that in an annotation of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deferral {
    pub(super) defers: bool,
    marker: Option<String>,
}

impl Deferral {
    /// `bound` are the annotations of the binding, `woken_lazily` says that no user's change is what the template is looked at for.
    pub(super) fn of(
        policy: &Policy<'_>,
        template: &Value,
        bound: Option<&BTreeMap<String, String>>,
        woken_lazily: bool,
    ) -> Self {
        if !policy.is_lazy() {
            return Self {
                defers: false,
                marker: None,
            };
        }
        let fingerprint = lazy::fingerprint(template);
        let is_marked =
            object::annotation(template, lazy::TEMPLATE_FINGERPRINT) == Some(&*fingerprint);
        let defers = lazy::defers(policy, template, bound, woken_lazily || is_marked);
        let is_remembered =
            bound.is_some_and(|annotations| annotations.contains_key(lazy::TEMPLATE_FINGERPRINT));
        Self {
            defers,
            marker: (defers && !is_remembered).then_some(fingerprint),
        }
    }

    /// Puts the marker in place, or removes one that is not needed any more.
    pub(super) fn patch(&self, template: &Value) -> Option<Value> {
        let present = object::annotation(template, lazy::TEMPLATE_FINGERPRINT);
        (present != self.marker.as_deref()).then(
            || json!({"metadata": {"annotations": {lazy::TEMPLATE_FINGERPRINT: self.marker}}}),
        )
    }
}

/// Two merge patches of different keys as one.
pub(super) fn merged(first: Option<Value>, second: Option<Value>) -> Option<Value> {
    let (first, second) = match (first, second) {
        (Some(first), Some(second)) => (first, second),
        (first, second) => return first.or(second),
    };
    let (Value::Object(mut map), Value::Object(other)) = (first, second) else {
        return None;
    };
    for (key, value) in other {
        let both = match map.remove(&key) {
            Some(present) if present.is_object() && value.is_object() => {
                merged(Some(present), Some(value))
            }
            _ => Some(value),
        };
        if let Some(both) = both {
            map.insert(key, both);
        }
    }
    Some(Value::Object(map))
}

#[cfg(test)]
mod tests {
    use crds::policy::PropagationPolicy;

    use super::*;

    fn policy(activation: Option<&str>) -> PropagationPolicy {
        let value = json!({
            "metadata": {"namespace": "demo", "name": "pol"},
            "spec": {"resourceSelectors": [], "activationPreference": activation},
        });
        serde_json::from_value(value).unwrap()
    }

    fn template(marker: Option<&str>) -> Value {
        let mut template = json!({"metadata": {"name": "web"}, "spec": {"replicas": 1}});
        if let Some(marker) = marker {
            object::set_annotation(&mut template, lazy::TEMPLATE_FINGERPRINT, marker);
        }
        template
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn lazy_policies_wait_for_users() {
        let current = lazy::fingerprint(&template(None));
        let current = current.as_str();
        let bound = |fingerprint: Option<&str>| {
            let entry =
                fingerprint.map(|it| (lazy::TEMPLATE_FINGERPRINT.to_owned(), it.to_owned()));
            Some(entry.into_iter().collect::<BTreeMap<_, _>>())
        };
        let lazy_policy = policy(Some("Lazy"));
        let eager_policy = policy(None);
        let keep = None;
        let remove = Some(Value::Null);
        let put = Some(json!(current));
        for (name, policy, marker, bound, woken, defers, annotation) in [
            (
                "eager",
                &eager_policy,
                None,
                None,
                true,
                false,
                keep.clone(),
            ),
            (
                "not lazy any more",
                &eager_policy,
                Some(current),
                None,
                true,
                false,
                remove.clone(),
            ),
            (
                "new template",
                &lazy_policy,
                None,
                None,
                false,
                false,
                keep.clone(),
            ),
            (
                "policy came later",
                &lazy_policy,
                None,
                None,
                true,
                true,
                put.clone(),
            ),
            (
                "looked at again",
                &lazy_policy,
                Some(current),
                None,
                false,
                true,
                keep.clone(),
            ),
            (
                "user's change",
                &lazy_policy,
                Some("older"),
                None,
                false,
                false,
                remove,
            ),
            (
                "bound, untouched",
                &lazy_policy,
                None,
                bound(Some(current)),
                true,
                true,
                keep.clone(),
            ),
            (
                "bound, touched",
                &lazy_policy,
                None,
                bound(Some("older")),
                true,
                false,
                keep.clone(),
            ),
            (
                "bound by an eager policy",
                &lazy_policy,
                None,
                bound(None),
                true,
                true,
                put,
            ),
            (
                "the same, touched",
                &lazy_policy,
                None,
                bound(None),
                false,
                false,
                keep,
            ),
        ] {
            let template = template(marker);
            let view = Policy::from(policy);
            let deferral = Deferral::of(&view, &template, bound.as_ref(), woken);
            assert_eq!(deferral.defers, defers, "{name}");
            let expected = annotation
                .map(|it| json!({"metadata": {"annotations": {lazy::TEMPLATE_FINGERPRINT: it}}}));
            assert_eq!(deferral.patch(&template), expected, "{name}");
        }
    }

    #[test]
    fn patches_are_united() {
        let labels = json!({"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}}});
        let annotation = json!({"metadata": {"annotations": {"c": null}}});
        let both =
            json!({"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2", "c": null}}});
        for (first, second, expected) in [
            (None, None, None),
            (Some(&labels), None, Some(&labels)),
            (None, Some(&annotation), Some(&annotation)),
            (Some(&labels), Some(&annotation), Some(&both)),
        ] {
            assert_eq!(merged(first.cloned(), second.cloned()).as_ref(), expected);
        }
    }
}

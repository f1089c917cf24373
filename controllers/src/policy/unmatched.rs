//! What a user hears of a policy that selects nothing: most often a typo, sometimes only the wrong order.

use std::time::Duration;

use crds::{object::Gvk, policy::ResourceSelector};
use propagation::matching::Policy;

/// Event reason: nothing that exists matches.
pub(super) const NO_MATCH: &str = "NoMatchingResource";
/// Event reason: a selector names a kind that is not served.
pub(super) const UNKNOWN_KIND: &str = "UnknownKind";

/// Policies and their templates are often applied together; only what is missing after this time is worth a word.
const PATIENCE: Duration = Duration::from_secs(10);
/// Older policies were told about when they were young, perhaps by an earlier process: a restart repeats nothing.
const CHILDHOOD: Duration = Duration::from_secs(15);

/// When to speak of a policy without templates, by its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    After(Duration),
    Now,
    Never,
}

pub(super) fn when(age: Duration) -> When {
    if age < PATIENCE {
        When::After(PATIENCE.checked_sub(age).unwrap_or_default())
    } else if age < CHILDHOOD {
        When::Now
    } else {
        When::Never
    }
}

/// Event reason and message.
pub(super) fn remark(
    policy: &Policy<'_>,
    is_served: impl Fn(&Gvk) -> bool,
) -> (&'static str, String) {
    let selectors = &policy.spec.resource_selectors;
    let unknown = selectors
        .iter()
        .position(|it| !is_served(&Gvk::parse(&it.api_version, &it.kind)));
    if let Some(index) = unknown {
        let ResourceSelector {
            api_version, kind, ..
        } = &selectors[index];
        let message = format!(
            "spec.resourceSelectors[{index}] names kind {kind} of {api_version}, which the control plane does not serve; \
             check apiVersion and kind, or install the CustomResourceDefinition"
        );
        return (UNKNOWN_KIND, message);
    }
    let shown: Vec<String> = selectors.iter().map(described).collect();
    let message = format!(
        "no object matches this policy, which selects {}; objects are propagated as soon as they match",
        shown.join("; ")
    );
    (NO_MATCH, message)
}

fn described(selector: &ResourceSelector) -> String {
    let mut text = format!("{} {}", selector.api_version, selector.kind);
    let part = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    if let Some(name) = part(&selector.name) {
        text.push(' ');
        text.push_str(&name);
    } else if selector.label_selector.is_some() {
        text.push_str(" with certain labels");
    }
    if let Some(namespace) = part(&selector.namespace) {
        text.push_str(" in namespace ");
        text.push_str(&namespace);
    }
    text
}

#[cfg(test)]
mod tests {
    use crds::policy::PropagationPolicy;

    use super::*;

    fn policy(selectors: &serde_json::Value) -> PropagationPolicy {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "demo"},
            "spec": {"resourceSelectors": selectors},
        }))
        .unwrap()
    }

    #[test]
    fn texts_name_what_was_looked_for() {
        let is_served = |gvk: &Gvk| gvk.kind != "Deploymnet";
        for (selectors, reason, part) in [
            (
                serde_json::json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}]),
                NO_MATCH,
                "apps/v1 Deployment web",
            ),
            (
                serde_json::json!([{"apiVersion": "v1", "kind": "Secret", "labelSelector": {}, "namespace": "demo"}]),
                NO_MATCH,
                "v1 Secret with certain labels in namespace demo",
            ),
            (
                serde_json::json!([{"apiVersion": "v1", "kind": "Secret"}, {"apiVersion": "apps/v1", "kind": "Deploymnet"}]),
                UNKNOWN_KIND,
                "spec.resourceSelectors[1] names kind Deploymnet of apps/v1",
            ),
        ] {
            let policy = policy(&selectors);
            let (found, message) = remark(&Policy::from(&policy), is_served);
            assert_eq!(found, reason);
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn only_young_policies_are_spoken_of() {
        for (age, expected) in [
            (0, When::After(PATIENCE)),
            (9, When::After(Duration::from_secs(1))),
            (10, When::Now),
            (14, When::Now),
            (15, When::Never),
        ] {
            assert_eq!(when(Duration::from_secs(age)), expected, "{age} s");
        }
    }
}

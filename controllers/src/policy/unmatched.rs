//! What a user hears of a policy that selects nothing: most often a typo, sometimes only the wrong order.

use std::time::{Duration, Instant};

use crds::policy::ResourceSelector;
use propagation::matching::Policy;

/// Event reason: nothing that exists matches.
pub(super) const NO_MATCH: &str = "NoMatchingResource";

/// Policies and their templates are often applied together, and kinds with them; only what is missing after this time is worth a word.
const PATIENCE: Duration = Duration::from_secs(10);
/// Older policies were told about when they were young, perhaps by an earlier process: a restart repeats nothing.
const CHILDHOOD: Duration = Duration::from_secs(15);

/// One generation of a policy, and what was said about it.
#[derive(Debug)]
pub(super) struct Seen {
    generation: i64,
    /// When this process saw it first.
    since: Instant,
    /// How old the policy was then, if it was the first of its generations that this process saw.
    age: Duration,
    told_of_faults: bool,
    told_of_absence: bool,
}

impl Seen {
    /// The first generation that this process sees of a policy, of this age.
    pub(super) fn first(generation: i64, age: Duration, now: Instant) -> Self {
        let is_told = age >= CHILDHOOD;
        Self {
            generation,
            since: now,
            age,
            told_of_faults: is_told,
            told_of_absence: is_told,
        }
    }

    /// Takes note of the policy's generation; a new one is spoken of anew.
    pub(super) fn update(&mut self, generation: i64, now: Instant) {
        if self.generation != generation {
            *self = Self::first(generation, Duration::ZERO, now);
        }
    }

    /// Whether to speak of faults now, which is once.
    pub(super) fn tells_faults(&mut self) -> bool {
        !std::mem::replace(&mut self.told_of_faults, true)
    }

    /// When to speak of what the selectors do not find.
    pub(super) fn absence(&mut self, now: Instant) -> When {
        if self.told_of_absence {
            return When::Never;
        }
        let waited = self
            .age
            .saturating_add(now.saturating_duration_since(self.since));
        if let Some(rest) = PATIENCE.checked_sub(waited).filter(|rest| !rest.is_zero()) {
            When::After(rest)
        } else {
            self.told_of_absence = true;
            When::Now
        }
    }
}

/// When to speak of what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    After(Duration),
    Now,
    Never,
}

/// Event reason and message.
pub(super) fn remark(policy: &Policy<'_>) -> (&'static str, String) {
    let selectors = &policy.spec.resource_selectors;
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
        for (selectors, part) in [
            (
                serde_json::json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}]),
                "apps/v1 Deployment web",
            ),
            (
                serde_json::json!([{"apiVersion": "v1", "kind": "Secret", "labelSelector": {}, "namespace": "demo"}]),
                "v1 Secret with certain labels in namespace demo",
            ),
        ] {
            let policy = policy(&selectors);
            let (found, message) = remark(&Policy::from(&policy));
            assert_eq!(found, NO_MATCH);
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn every_generation_is_spoken_of_once_after_a_while() {
        let seconds = Duration::from_secs;
        let start = Instant::now();
        let mut seen = Seen::first(1, seconds(2), start);
        assert!(seen.tells_faults() && !seen.tells_faults());
        assert_eq!(seen.absence(start), When::After(seconds(8)));
        assert_eq!(seen.absence(start + seconds(8)), When::Now);
        assert_eq!(seen.absence(start + seconds(9)), When::Never);
        // The same generation again, and an edit much later.
        let later = start + seconds(3600);
        seen.update(1, later);
        assert!(!seen.tells_faults());
        seen.update(2, later);
        assert!(seen.tells_faults());
        assert_eq!(seen.absence(later), When::After(PATIENCE));
        assert_eq!(seen.absence(later + PATIENCE), When::Now);
        // What an earlier process has spoken of.
        let mut old = Seen::first(7, CHILDHOOD, start);
        assert!(!old.tells_faults());
        assert_eq!(old.absence(later), When::Never);
    }
}

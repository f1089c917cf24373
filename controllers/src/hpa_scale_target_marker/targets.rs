//! Which objects claimed autoscalers scale.

use std::collections::{BTreeMap, BTreeSet};

use crds::object::{Gvk, Key};

use crate::detector::TemplateKey;

/// A scale target, whatever version it is named in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    group: String,
    kind: String,
    key: Key,
    /// Not part of what it is, but needed to read it.
    version: Version,
}

/// Equal to every other version.
#[derive(Debug, Clone)]
struct Version(String);

impl PartialEq for Version {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl From<TemplateKey> for Target {
    fn from(key: TemplateKey) -> Self {
        Self {
            group: key.gvk.group,
            kind: key.gvk.kind,
            key: key.key,
            version: Version(key.gvk.version),
        }
    }
}

impl Target {
    pub(super) fn into_key(self) -> TemplateKey {
        TemplateKey {
            gvk: Gvk {
                group: self.group,
                version: self.version.0,
                kind: self.kind,
            },
            key: self.key,
        }
    }
}

/// Claimed autoscalers and what they scale.
#[derive(Debug, Default)]
pub(super) struct Targets {
    of: BTreeMap<Key, Target>,
    autoscalers: BTreeMap<Target, BTreeSet<Key>>,
}

impl Targets {
    /// Notes what an autoscaler scales, `None` for one that marks nothing. Returns the targets that it came to or left.
    pub(super) fn set(&mut self, autoscaler: &Key, target: Option<Target>) -> Vec<Target> {
        let before = self.of.remove(autoscaler);
        if before == target {
            self.of
                .extend(target.map(|target| (autoscaler.clone(), target)));
            return Vec::new();
        }
        let mut touched = Vec::new();
        if let Some(before) = before {
            if let Some(others) = self.autoscalers.get_mut(&before) {
                others.remove(autoscaler);
                if others.is_empty() {
                    self.autoscalers.remove(&before);
                }
            }
            touched.push(before);
        }
        if let Some(target) = target {
            self.autoscalers
                .entry(target.clone())
                .or_default()
                .insert(autoscaler.clone());
            self.of.insert(autoscaler.clone(), target.clone());
            touched.push(target);
        }
        touched
    }

    pub(super) fn contains(&self, target: &Target) -> bool {
        self.autoscalers.contains_key(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(api_version: &str, name: &str) -> Target {
        Target::from(TemplateKey {
            gvk: Gvk::parse(api_version, "Deployment"),
            key: Key::new("demo", name),
        })
    }

    #[test]
    fn a_target_stays_one_while_any_autoscaler_has_it() {
        let (a, b) = (Key::new("demo", "a"), Key::new("demo", "b"));
        let (web, web_in_beta) = (target("apps/v1", "web"), target("apps/v1beta1", "web"));
        let api = target("apps/v1", "api");
        let mut targets = Targets::default();
        for (autoscaler, target, touched) in [
            (&a, Some(&web), vec!["web"]),
            (&a, Some(&web_in_beta), vec![]),
            (&b, Some(&web_in_beta), vec!["web"]),
            (&a, Some(&api), vec!["web", "api"]),
        ] {
            let found = targets.set(autoscaler, target.cloned());
            let names: Vec<String> = found.into_iter().map(|it| it.into_key().key.name).collect();
            assert_eq!(names, touched);
        }
        assert!(targets.contains(&web) && targets.contains(&api));
        targets.set(&b, None);
        assert!(!targets.contains(&web) && targets.contains(&api));
        assert!(targets.set(&b, None).is_empty());
    }
}

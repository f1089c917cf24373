//! What the creation, change or deletion of a policy concerns.

use std::collections::{BTreeMap, BTreeSet};

use crds::policy::PropagationSpec;
use serde::Serialize;

use super::select::Subject;
use super::{Policy, PolicyKind};

/// Identifies a template in queues and in the waiting list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateKey {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl From<&Subject> for TemplateKey {
    fn from(subject: &Subject) -> Self {
        Self {
            api_version: subject.api_version.clone(),
            kind: subject.kind.clone(),
            namespace: subject.namespace.clone(),
            name: subject.name.clone(),
        }
    }
}

/// Where a deleted policy looks for templates that it has claimed: `(apiVersion, kind, namespace)`, each once.
///
/// An empty namespace means all of them.
pub fn claimed_places(policy: &Policy<'_>) -> BTreeSet<(String, String, String)> {
    let own = &policy.reference.namespace;
    policy
        .spec
        .resource_selectors
        .iter()
        .map(|selector| {
            let namespace = selector
                .namespace
                .as_ref()
                .filter(|namespace| !namespace.is_empty())
                .unwrap_or(own);
            (
                selector.api_version.clone(),
                selector.kind.clone(),
                namespace.clone(),
            )
        })
        .collect()
}

/// The override policies that have to exist before the policy acts, and do not.
pub fn missing_overrides(spec: &PropagationSpec, exists: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut missing: Vec<_> = spec
        .dependent_overrides
        .iter()
        .map(String::as_str)
        .filter(|name| !exists(name))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// The text of the event about override policies that are missing.
pub fn missing_overrides_message(kind: PolicyKind, missing: &[&str]) -> String {
    let what = match kind {
        PolicyKind::PropagationPolicy => "OverridePolicy",
        PolicyKind::ClusterPropagationPolicy => "ClusterOverridePolicy",
    };
    format!(
        "waiting for dependent {what} {} to be created",
        missing.join(", ")
    )
}

/// Templates that no policy matched, by kind and namespace, so that a new policy looks only at those that it can select.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    kinds: BTreeMap<(String, String), BTreeMap<String, BTreeSet<String>>>,
}

impl Waiting {
    /// Adds a template; true if it was not waiting before.
    pub fn insert(&mut self, key: TemplateKey) -> bool {
        let namespaces = self.kinds.entry((key.api_version, key.kind)).or_default();
        namespaces
            .entry(key.namespace)
            .or_default()
            .insert(key.name)
    }

    /// Removes a template; true if it was waiting.
    pub fn remove(&mut self, key: &TemplateKey) -> bool {
        let kind = (key.api_version.clone(), key.kind.clone());
        let Some(namespaces) = self.kinds.get_mut(&kind) else {
            return false;
        };
        let Some(names) = namespaces.get_mut(&key.namespace) else {
            return false;
        };
        let removed = names.remove(&key.name);
        if names.is_empty() {
            namespaces.remove(&key.namespace);
        }
        if namespaces.is_empty() {
            self.kinds.remove(&kind);
        }
        removed
    }

    pub fn contains(&self, key: &TemplateKey) -> bool {
        self.kinds
            .get(&(key.api_version.clone(), key.kind.clone()))
            .and_then(|namespaces| namespaces.get(&key.namespace))
            .is_some_and(|names| names.contains(&key.name))
    }

    pub fn len(&self) -> usize {
        self.kinds
            .values()
            .flat_map(BTreeMap::values)
            .map(BTreeSet::len)
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The templates that the policy's selectors can match; labels are still to be looked at.
    pub fn candidates(&self, policy: &Policy<'_>) -> BTreeSet<TemplateKey> {
        let within =
            Some(policy.reference.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let mut found = BTreeSet::new();
        for selector in &policy.spec.resource_selectors {
            let kind = (selector.api_version.clone(), selector.kind.clone());
            let Some(namespaces) = self.kinds.get(&kind) else {
                continue;
            };
            let given = |part: &'_ Option<String>| part.clone().filter(|text| !text.is_empty());
            let namespace = given(&selector.namespace);
            for (candidate, names) in namespaces {
                if within.is_some_and(|within| within != candidate)
                    || namespace
                        .as_ref()
                        .is_some_and(|namespace| namespace != candidate)
                {
                    continue;
                }
                let wanted = given(&selector.name);
                found.extend(
                    names
                        .iter()
                        .filter(|name| wanted.as_ref().is_none_or(|it| it == *name))
                        .map(|name| TemplateKey {
                            api_version: kind.0.clone(),
                            kind: kind.1.clone(),
                            namespace: candidate.clone(),
                            name: name.clone(),
                        }),
                );
            }
        }
        found
    }
}

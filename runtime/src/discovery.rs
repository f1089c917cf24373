//! Which kinds an API server serves, and under which resource names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crds::object::Gvk;
use kube::{Client, api::ApiResource, core::discovery::v2::APIGroupDiscoveryList};
use parking_lot::RwLock;

use crate::error::{ApiError, call};

/// One kind that an API server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub api: ApiResource,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl Resource {
    pub fn gvk(&self) -> Gvk {
        Gvk {
            group: self.api.group.clone(),
            version: self.api.version.clone(),
            kind: self.api.kind.clone(),
        }
    }

    pub fn supports(&self, verb: &str) -> bool {
        self.verbs.iter().any(|supported| supported == verb)
    }
}

/// What one round of discovery found.
#[derive(Debug, Clone, Default)]
pub struct Discovered {
    /// Every served kind.
    by_kind: HashMap<Gvk, Resource>,
    /// Of each resource the version that the server prefers, in a fixed order.
    preferred: Vec<Gvk>,
    /// Every group-version with its resources, as `(groupVersion, [(plural, kind)])`, both sorted.
    group_versions: BTreeMap<String, BTreeMap<String, String>>,
    /// Group-versions whose server did not answer. Absence of a kind proves nothing for them.
    stale: Vec<String>,
}

impl Discovered {
    /// What the answers of an API server to both requests say.
    pub fn from_lists(lists: impl IntoIterator<Item = APIGroupDiscoveryList>) -> Self {
        let mut discovered = Self::default();
        for list in lists {
            discovered.add(list);
        }
        discovered.stale.sort();
        discovered
    }

    pub fn resolve(&self, gvk: &Gvk) -> Option<&Resource> {
        self.by_kind.get(gvk)
    }

    /// One version of each resource, the one that the server prefers.
    pub fn preferred(&self) -> impl Iterator<Item = &Resource> {
        self.preferred
            .iter()
            .filter_map(|gvk| self.by_kind.get(gvk))
    }

    /// Group-versions with their resources as plural → kind.
    pub fn group_versions(&self) -> &BTreeMap<String, BTreeMap<String, String>> {
        &self.group_versions
    }

    /// Group-versions that could not be read this time.
    pub fn stale(&self) -> &[String] {
        &self.stale
    }

    /// Whether every group answered.
    pub fn is_complete(&self) -> bool {
        self.stale.is_empty()
    }

    fn add(&mut self, list: APIGroupDiscoveryList) {
        for group in list.items {
            let group_name = group
                .metadata
                .and_then(|metadata| metadata.name)
                .unwrap_or_default();
            let mut seen = std::collections::HashSet::new();
            // The server lists versions in its order of preference.
            for version in group.versions {
                let version_name = version.version.unwrap_or_default();
                let api_version = if group_name.is_empty() {
                    version_name.clone()
                } else {
                    format!("{group_name}/{version_name}")
                };
                if version.freshness.as_deref() == Some("Stale") {
                    self.stale.push(api_version.clone());
                }
                let kinds = self.group_versions.entry(api_version.clone()).or_default();
                for resource in version.resources {
                    let (Some(plural), Some(kind)) = (
                        resource.resource,
                        resource.response_kind.and_then(|gvk| gvk.kind),
                    ) else {
                        continue;
                    };
                    if kind.is_empty() {
                        continue;
                    }
                    kinds.insert(plural.clone(), kind.clone());
                    let found = Resource {
                        api: ApiResource {
                            group: group_name.clone(),
                            version: version_name.clone(),
                            api_version: api_version.clone(),
                            kind,
                            plural: plural.clone(),
                        },
                        namespaced: resource.scope.as_deref() == Some("Namespaced"),
                        verbs: resource.verbs,
                    };
                    let gvk = found.gvk();
                    if seen.insert(plural) {
                        self.preferred.push(gvk.clone());
                    }
                    // Two resources of one kind (such as `bindings` and `pods/binding`): the first one stands for it.
                    self.by_kind.entry(gvk).or_insert(found);
                }
            }
        }
    }
}

/// Asks an API server for everything it serves, in two requests.
pub async fn discover(client: &Client) -> Result<Discovered, ApiError> {
    let (core, groups) = futures::try_join!(
        call(client.list_core_api_versions_aggregated()),
        call(client.list_api_groups_aggregated()),
    )?;
    Ok(Discovered::from_lists([core, groups]))
}

/// The latest discovery of one API server, shared.
#[derive(Debug, Default)]
pub struct Mapper {
    current: RwLock<Arc<Discovered>>,
    loaded: AtomicBool,
    /// Held while the first discovery runs, so that everybody who needs it waits for the one.
    loading: tokio::sync::Mutex<()>,
}

impl Mapper {
    pub fn current(&self) -> Arc<Discovered> {
        Arc::clone(&self.current.read())
    }

    pub fn resolve(&self, gvk: &Gvk) -> Option<Resource> {
        self.current.read().resolve(gvk).cloned()
    }

    /// Replaces what is known and returns what was known before.
    ///
    /// Group-versions that did not answer this time keep their former kinds: unknown is not gone.
    pub fn replace(&self, mut discovered: Discovered) -> Arc<Discovered> {
        let mut current = self.current.write();
        for stale in &discovered.stale {
            for (gvk, resource) in &current.by_kind {
                if resource.api.api_version == *stale && !discovered.by_kind.contains_key(gvk) {
                    discovered.by_kind.insert(gvk.clone(), resource.clone());
                    discovered
                        .group_versions
                        .entry(stale.clone())
                        .or_default()
                        .insert(resource.api.plural.clone(), resource.api.kind.clone());
                    if current.preferred.contains(gvk) {
                        discovered.preferred.push(gvk.clone());
                    }
                }
            }
        }
        self.loaded.store(true, Ordering::Release);
        std::mem::replace(&mut *current, Arc::new(discovered))
    }

    /// Makes sure that there was a discovery: a kind that is missing before says nothing.
    pub async fn ensure_loaded(&self, client: &Client) -> Result<(), ApiError> {
        if self.loaded.load(Ordering::Acquire) {
            return Ok(());
        }
        let _turn = self.loading.lock().await;
        if !self.loaded.load(Ordering::Acquire) {
            self.refresh(client).await?;
        }
        Ok(())
    }

    /// Discovers anew and keeps the result.
    pub async fn refresh(&self, client: &Client) -> Result<Arc<Discovered>, ApiError> {
        let discovered = discover(client).await?;
        self.replace(discovered);
        Ok(self.current())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn discovered(groups: &serde_json::Value) -> Discovered {
        Discovered::from_lists([serde_json::from_value(json!({ "items": groups })).unwrap()])
    }

    fn widgets(freshness: &str, resources: &serde_json::Value) -> serde_json::Value {
        json!({"metadata": {"name": "example.com"}, "versions": [{"version": "v1", "freshness": freshness, "resources": resources}]})
    }

    fn gvk(version: &str) -> Gvk {
        Gvk {
            group: "example.com".into(),
            version: version.into(),
            kind: "Widget".into(),
        }
    }

    #[test]
    fn prefers_the_first_version_that_serves_a_resource() {
        let widget = json!({"resource": "widgets", "responseKind": {"kind": "Widget"}, "scope": "Namespaced", "verbs": ["list"]});
        let old = json!({"resource": "gadgets", "responseKind": {"kind": "Gadget"}, "scope": "Cluster", "verbs": ["list"]});
        let found = discovered(&json!([{"metadata": {"name": "example.com"}, "versions": [
            {"version": "v1", "resources": [widget.clone()]},
            {"version": "v1beta1", "resources": [widget, old]},
        ]}]));
        let preferred: Vec<String> = found
            .preferred()
            .map(|resource| format!("{} {}", resource.api.api_version, resource.api.plural))
            .collect();
        assert_eq!(
            preferred,
            ["example.com/v1 widgets", "example.com/v1beta1 gadgets"]
        );
        assert!(found.resolve(&gvk("v1beta1")).is_some());
    }

    #[test]
    fn a_group_that_does_not_answer_keeps_its_kinds() {
        let widget = json!([{"resource": "widgets", "responseKind": {"kind": "Widget"}, "scope": "Namespaced", "verbs": ["list"]}]);
        let mapper = Mapper::default();
        mapper.replace(discovered(&json!([widgets("Current", &widget)])));
        mapper.replace(discovered(&json!([widgets("Stale", &json!([]))])));
        assert!(mapper.resolve(&gvk("v1")).is_some(), "stale keeps");
        assert_eq!(mapper.current().preferred().count(), 1);
        mapper.replace(discovered(&json!([])));
        assert!(
            mapper.resolve(&gvk("v1")).is_none(),
            "a complete answer removes"
        );
    }
}

//! Which bindings depend on an object, without a look at every binding.

use std::collections::{BTreeMap, BTreeSet};

use crds::config::DependentObjectReference;
use crds::object::Key;

use super::refers_to;
use crate::matching::Subject;

/// Kind and namespace of a dependency.
type Place = (String, String, String);

/// The dependencies of independent bindings, found by the object that they refer to.
#[derive(Debug, Clone, Default)]
pub struct Index {
    references: BTreeMap<Key, Vec<DependentObjectReference>>,
    named: BTreeMap<(Place, String), BTreeSet<Key>>,
    selecting: BTreeMap<Place, BTreeSet<Key>>,
}

impl Index {
    /// Sets the dependencies of a binding, in the place of those it had.
    pub fn set(&mut self, binding: &Key, dependencies: Vec<DependentObjectReference>) {
        self.remove(binding);
        for reference in &dependencies {
            let place = place(reference);
            match name(reference) {
                Some(name) => self
                    .named
                    .entry((place, name.to_owned()))
                    .or_default()
                    .insert(binding.clone()),
                None => self
                    .selecting
                    .entry(place)
                    .or_default()
                    .insert(binding.clone()),
            };
        }
        if !dependencies.is_empty() {
            self.references.insert(binding.clone(), dependencies);
        }
    }

    /// Forgets a binding.
    pub fn remove(&mut self, binding: &Key) {
        for reference in self.references.remove(binding).unwrap_or_default() {
            let place = place(&reference);
            match name(&reference) {
                Some(name) => drop_entry(&mut self.named, &(place, name.to_owned()), binding),
                None => drop_entry(&mut self.selecting, &place, binding),
            }
        }
    }

    /// The bindings that depend on the object.
    pub fn dependents(&self, object: &Subject) -> BTreeSet<Key> {
        let place = (
            object.api_version.clone(),
            object.kind.clone(),
            object.namespace.clone(),
        );
        let named = self
            .named
            .get(&(place.clone(), object.name.clone()))
            .into_iter()
            .flatten();
        let selecting = self
            .selecting
            .get(&place)
            .into_iter()
            .flatten()
            .filter(|binding| {
                self.references
                    .get(*binding)
                    .is_some_and(|all| all.iter().any(|reference| refers_to(reference, object)))
            });
        named.chain(selecting).cloned().collect()
    }
}

fn place(reference: &DependentObjectReference) -> Place {
    (
        reference.api_version.clone(),
        reference.kind.clone(),
        reference.namespace.clone().unwrap_or_default(),
    )
}

fn name(reference: &DependentObjectReference) -> Option<&str> {
    reference.name.as_deref().filter(|name| !name.is_empty())
}

fn drop_entry<K: Ord>(map: &mut BTreeMap<K, BTreeSet<Key>>, at: &K, binding: &Key) {
    if let Some(bindings) = map.get_mut(at) {
        bindings.remove(binding);
        if bindings.is_empty() {
            map.remove(at);
        }
    }
}

//! Remembers which member objects were found to be as their manifests say.
//!
//! While its pods start, an object changes a dozen times, and all that changes is its status. Comparing it with its manifest takes
//! longer than everything else that such a change asks for, and has the same outcome each time.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use crds::work::Work;
use parking_lot::Mutex;
use serde_json::Value;

/// With so many entries all are forgotten, which costs one comparison each.
const MOST: usize = 1 << 17;

/// What the answer depends on, as a number: the Work's generation and everything of the object but its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Print(u64);

impl Print {
    /// The print of the Work's manifest of this ordinal, and of the object as the member has it.
    pub(super) fn of(work: &Work, ordinal: usize, object: &Value) -> Self {
        let mut hasher = DefaultHasher::new();
        (&work.metadata.uid, work.metadata.generation, ordinal).hash(&mut hasher);
        for (key, value) in object.as_object().into_iter().flatten() {
            match key.as_str() {
                "status" => {}
                "metadata" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        // These follow from the rest.
                        if !matches!(key.as_str(), "resourceVersion" | "generation") {
                            (key, value).hash(&mut hasher);
                        }
                    }
                }
                _ => (key, value).hash(&mut hasher),
            }
        }
        Self(hasher.finish())
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Compared(Mutex<HashSet<Print>>);

impl Compared {
    /// Whether the object was found to be as its manifest says.
    pub(super) fn is_equal(&self, print: Print) -> bool {
        self.0.lock().contains(&print)
    }

    pub(super) fn found_equal(&self, print: Print) {
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(print);
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_a_comparison_ignores_leaves_the_print_as_it_is() {
        let work = |generation: i64| Work {
            metadata: kube::core::ObjectMeta {
                uid: Some("u".into()),
                generation: Some(generation),
                ..Default::default()
            },
            ..Work::default()
        };
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "generation": 1, "resourceVersion": "5", "labels": {"a": "b"}},
            "spec": {"replicas": 3},
            "status": {"readyReplicas": 1},
        });
        let print = Print::of(&work(1), 0, &object);
        let changed = |pointer: &str, value: Value| {
            let mut changed = object.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            Print::of(&work(1), 0, &changed)
        };
        assert_eq!(changed("/status/readyReplicas", json!(2)), print);
        assert_eq!(changed("/metadata/resourceVersion", json!("6")), print);
        assert_ne!(changed("/spec/replicas", json!(2)), print);
        assert_ne!(changed("/metadata/labels/a", json!("c")), print);
        assert_ne!(Print::of(&work(2), 0, &object), print);
        assert_ne!(Print::of(&work(1), 1, &object), print);
    }

    #[test]
    fn other_rules_ask_for_another_comparison() {
        let (compared, print) = (Compared::default(), Print(1));
        compared.found_equal(print);
        assert!(compared.is_equal(print));
        compared.clear();
        assert!(!compared.is_equal(print));
    }
}

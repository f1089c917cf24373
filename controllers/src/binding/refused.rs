//! Bindings that wait for a Work that somebody else holds: two templates of different groups have one name in a cluster.

use std::collections::{BTreeSet, HashMap};

use crds::object::Key;
use parking_lot::Mutex;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Bindings by the Work that they could not have.
    waiting: Mutex<HashMap<Key, BTreeSet<Key>>>,
}

impl Refused {
    /// Remembers that the binding waits for the Work to go.
    pub(super) fn wait(&self, work: &Key, binding: &Key) {
        let mut waiting = self.waiting.lock();
        let bindings = waiting.entry(work.clone()).or_default();
        bindings.insert(binding.clone());
    }

    /// The bindings that waited for a Work which has gone.
    pub(super) fn freed(&self, work: &Key) -> BTreeSet<Key> {
        self.waiting.lock().remove(work).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_work_hears_once_that_it_went() {
        let refused = Refused::default();
        let work = Key::new("karmada-es-m1", "web-1");
        let [a, b] = ["a", "b"].map(|name| Key::new("demo", name));
        for binding in [&a, &b, &a] {
            refused.wait(&work, binding);
        }
        let other = Key::new("karmada-es-m2", "web-1");
        assert_eq!(refused.freed(&other), BTreeSet::new());
        assert_eq!(refused.freed(&work), BTreeSet::from([a, b]));
        assert_eq!(refused.freed(&work), BTreeSet::new());
    }
}

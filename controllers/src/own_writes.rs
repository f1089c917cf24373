//! Which changes of Works are our own: whoever keeps a Work in order wants to hear of the others' edits, and not of its own writes.

use std::collections::HashMap;

use crds::{object::Key, work::Work};
use kube::ResourceExt;
use parking_lot::Mutex;

/// The Works that are being written, each with the generation from which.
#[derive(Debug, Default)]
pub struct OwnWrites(Mutex<HashMap<Key, i64>>);

/// Ends a write when it goes out of scope.
pub(crate) struct Writing<'a> {
    writes: &'a OwnWrites,
    key: Key,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.writes.0.lock().remove(&self.key);
    }
}

impl OwnWrites {
    /// Notes that the Work is about to be written. The write has to fail if the Work is not any more as given.
    pub(crate) fn begin(&self, work: &Work) -> Writing<'_> {
        let key = Key::of_meta(&work.metadata);
        self.0.lock().insert(key.clone(), generation(work));
        Writing { writes: self, key }
    }

    /// Whether somebody else changed what the owner of the Work decides: its spec, labels or annotations.
    pub(crate) fn is_foreign(&self, old: &Work, new: &Work) -> bool {
        let changed = generation(old) != generation(new)
            || old.labels() != new.labels()
            || old.annotations() != new.annotations();
        if !changed || new.metadata.deletion_timestamp.is_some() {
            return false;
        }
        let writes = self.0.lock();
        // Our write leads to the next generation, or to none if it concerns metadata alone; anything later is not ours.
        let is_own = writes
            .get(&Key::of_meta(&new.metadata))
            .is_some_and(|from| (*from..=from + 1).contains(&generation(new)));
        !is_own
    }
}

fn generation(work: &Work) -> i64 {
    work.metadata.generation.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(generation: i64, label: &str) -> Work {
        let mut work = Work::default();
        work.metadata.namespace = Some("karmada-es-m1".into());
        work.metadata.name = Some("web".into());
        work.metadata.generation = Some(generation);
        work.labels_mut().insert("label".into(), label.into());
        work
    }

    #[test]
    fn own_writes_are_told_from_others() {
        let writes = OwnWrites::default();
        let before = work(3, "a");
        for (after, foreign) in [
            (work(3, "a"), false),
            (work(3, "b"), true),
            (work(4, "a"), true),
        ] {
            assert_eq!(writes.is_foreign(&before, &after), foreign);
        }
        let writing = writes.begin(&before);
        for (after, foreign) in [
            (work(3, "b"), false),
            (work(4, "a"), false),
            (work(5, "a"), true),
        ] {
            assert_eq!(writes.is_foreign(&before, &after), foreign);
        }
        drop(writing);
        assert!(writes.is_foreign(&before, &work(4, "a")));
    }
}

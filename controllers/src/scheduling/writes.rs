//! Results that this process writes: the event of such a write says nothing that its writer does not know.

use std::collections::HashMap;

use crds::{object::Key, work::Binding};
use parking_lot::Mutex;

/// Kind and key of a binding.
type Of = (&'static str, Key);
/// The uid of a binding, and the generation that a write leads to.
type Next = (Option<String>, i64);

/// The bindings that are being written.
#[derive(Debug, Default)]
pub(super) struct Writes(Mutex<HashMap<Of, Next>>);

/// Ends a write when it goes out of scope.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    writes: &'a Writes,
    of: Of,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.writes.0.lock().remove(&self.of);
    }
}

impl Writes {
    /// Notes that the spec of the binding is about to be written. The write has to fail if the binding is not any more as given, and a
    /// write that failed has to be followed by another pass.
    pub(super) fn begin<B: Binding>(&self, binding: &B) -> Writing<'_> {
        let of = (B::KIND, binding.key());
        let meta = binding.meta();
        let next = meta.generation.unwrap_or_default() + 1;
        self.0.lock().insert(of.clone(), (meta.uid.clone(), next));
        Writing { writes: self, of }
    }

    /// Whether this state of a binding is the one that a write led to.
    pub(super) fn is_own<B: Binding>(&self, binding: &B) -> bool {
        let meta = binding.meta();
        let writes = self.0.lock();
        writes
            .get(&(B::KIND, binding.key()))
            .is_some_and(|(uid, next)| *uid == meta.uid && Some(*next) == meta.generation)
    }
}

#[cfg(test)]
mod tests {
    use crds::work::{ClusterResourceBinding, ResourceBinding};

    use super::*;

    fn binding<B: Binding>(uid: &str, generation: i64) -> B {
        let mut binding = B::default();
        binding.meta_mut().name = Some("web".into());
        binding.meta_mut().uid = Some(uid.into());
        binding.meta_mut().generation = Some(generation);
        binding
    }

    #[test]
    fn only_the_next_generation_of_what_is_written_is_our_own() {
        let writes = Writes::default();
        let of = |uid, generation| binding::<ResourceBinding>(uid, generation);
        assert!(!writes.is_own(&of("a", 4)));
        let writing = writes.begin(&of("a", 3));
        assert!(writes.is_own(&of("a", 4)));
        for other in [of("a", 3), of("a", 5), of("b", 4)] {
            assert!(!writes.is_own(&other));
        }
        assert!(!writes.is_own(&binding::<ClusterResourceBinding>("a", 4)));
        drop(writing);
        assert!(!writes.is_own(&of("a", 4)));
    }
}

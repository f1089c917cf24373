//! The status of a binding that others write conditions of at the same time.

use crds::work::Binding;

/// How often a write that lost a race is tried before the whole pass starts over.
const ATTEMPTS: usize = 5;

/// A binding as its status is to be written: the spec that was decided on, and the status as it is by now.
///
/// Who changed the spec since has woken the binding. Starting over with every lost race instead would lose the status: the result is in
/// place, so the next pass has no occasion to tell of it.
pub(super) struct Telling<B> {
    seen: B,
    left: usize,
}

impl<B: Binding> Telling<B> {
    pub(super) fn new(decided: &B) -> Self {
        Self {
            seen: decided.clone(),
            left: ATTEMPTS - 1,
        }
    }

    pub(super) fn seen(&self) -> &B {
        &self.seen
    }

    /// Whether a write that lost a race is tried once more.
    pub(super) fn goes_on(&mut self) -> bool {
        let goes_on = self.left > 0;
        self.left = self.left.saturating_sub(1);
        goes_on
    }

    /// Takes the binding as it is now; false if that is another one, or none.
    pub(super) fn take(&mut self, current: Option<B>) -> bool {
        let meta = self.seen.meta_mut();
        let Some(current) = current.filter(|it| it.meta().uid == meta.uid) else {
            return false;
        };
        meta.resource_version
            .clone_from(&current.meta().resource_version);
        *self.seen.status_mut() = current.status().cloned().unwrap_or_default();
        true
    }
}

#[cfg(test)]
mod tests {
    use crds::{
        conditions,
        work::{ClusterResourceBinding, ResourceBinding},
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use scheduler::{
        Decision,
        decision::{Repair, status_patch},
    };

    use super::*;

    fn binding<B: Binding>(uid: &str, version: &str, generation: i64) -> B {
        let mut binding = B::default();
        binding.meta_mut().uid = Some(uid.into());
        binding.meta_mut().resource_version = Some(version.into());
        binding.meta_mut().generation = Some(generation);
        binding
    }

    #[test]
    fn a_lost_race_is_run_again_with_the_conditions_that_won_it() {
        let mut telling = Telling::new(&binding::<ResourceBinding>("a", "1", 2));
        let mut current = binding::<ResourceBinding>("a", "7", 3);
        let time = Time(jiff::Timestamp::UNIX_EPOCH);
        let applied = conditions::condition("FullyApplied", "True", "Applied", "");
        let list = &mut current.status_mut().conditions;
        conditions::set_condition(list, applied, &time);
        assert!(telling.goes_on() && telling.take(Some(current)));
        let decision = Decision::Repair(Repair::default());
        let patch = status_patch(telling.seen(), &decision, None, time.0).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["status"]["conditions"][0]["type"], "FullyApplied");
        assert_eq!(patch["status"]["conditions"][1]["type"], "Scheduled");
        let observed = &patch["status"]["schedulerObservedGeneration"];
        assert_eq!(observed, 2, "the generation that was decided on");
    }

    #[test]
    fn it_ends_with_the_binding_and_after_some_attempts() {
        let mut telling = Telling::new(&binding::<ClusterResourceBinding>("a", "1", 2));
        assert!(!telling.take(None) && !telling.take(Some(binding("b", "7", 1))));
        let more = (0..9).filter(|_| telling.goes_on()).count();
        assert_eq!(more, ATTEMPTS - 1);
    }
}

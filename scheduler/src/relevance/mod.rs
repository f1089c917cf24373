//! Which bindings an event concerns.
//!
//! Events of bindings concern themselves. Events of clusters concern the bindings whose affinity the cluster matches, before or after;
//! what only the status says matters to bindings that found no place.

mod cluster;
mod debounce;
mod quota;

use crds::conditions::{self, binding as reasons, status};
use crds::keys::{
    BINDING_MANAGED_BY, CLUSTER_PROPAGATION_POLICY_PERMANENT_ID, PROPAGATION_POLICY_PERMANENT_ID,
};
use crds::work::Binding;

pub use cluster::{ClusterChange, concerns, interest};
pub use debounce::Debounce;
pub use quota::{has_more_room, is_refused_by_quota};

use crate::decision::scheduler_name;

/// Why a binding is put into the queue, as `queue_incoming_bindings_total` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    BindingAdd,
    BindingUpdate,
    ClusterChanged,
    /// A quota changed that had refused the result.
    QuotaChanged,
    ScheduleAttemptFailure,
}

impl Cause {
    /// The value of the label `event`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BindingAdd => "BindingAdd",
            Self::BindingUpdate => "BindingUpdate",
            Self::ClusterChanged => "ClusterChanged",
            Self::QuotaChanged => "QuotaChanged",
            Self::ScheduleAttemptFailure => "ScheduleAttemptFailure",
        }
    }
}

/// What a change of a binding means to the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingChange {
    Enqueue(Cause),
    /// It is gone, or no longer the scheduler's: drop what is kept about it.
    Forget,
    Ignore,
}

/// Whether a binding is this scheduler's: its name fits, scheduling is not suspended, and a policy or controller owns it.
pub fn is_managed<B: Binding>(binding: &B, scheduler: &str) -> bool {
    const OWNERS: [&str; 3] = [
        PROPAGATION_POLICY_PERMANENT_ID,
        CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
        BINDING_MANAGED_BY,
    ];
    let labels = binding.meta().labels.as_ref();
    let is_owned = || {
        let value = |key: &str| labels.and_then(|labels| labels.get(key));
        OWNERS
            .iter()
            .any(|key| value(key).is_some_and(|value| !value.is_empty()))
    };
    scheduler_name(binding) == scheduler && !binding.spec().is_scheduling_suspended() && is_owned()
}

/// Judges a change of a binding by its state before and after; `None` stands for absent.
///
/// A binding that becomes the scheduler's counts as added, one that ceases to be it as deleted. Besides that only changes of the
/// generation matter, so that labels, annotations and status never cause scheduling.
pub fn on_binding<B: Binding>(
    before: Option<&B>,
    after: Option<&B>,
    scheduler: &str,
) -> BindingChange {
    let before = before.filter(|binding| is_managed(*binding, scheduler));
    let after = after.filter(|binding| is_managed(*binding, scheduler));
    match (before, after) {
        (None, None) => BindingChange::Ignore,
        (None, Some(_)) => BindingChange::Enqueue(Cause::BindingAdd),
        (Some(_), None) => BindingChange::Forget,
        (Some(before), Some(after)) if before.meta().generation == after.meta().generation => {
            BindingChange::Ignore
        }
        (Some(_), Some(_)) => BindingChange::Enqueue(Cause::BindingUpdate),
    }
}

/// Whether the scheduler found no place for a binding, so that new room or APIs may help.
pub fn is_unsatisfied<B: Binding>(binding: &B) -> bool {
    scheduled_is_false(binding, &[reasons::NO_CLUSTER_FIT, reasons::UNSCHEDULABLE])
}

fn scheduled_is_false<B: Binding>(binding: &B, because: &[&str]) -> bool {
    let conditions = binding
        .status()
        .map_or(&[][..], |status| &status.conditions);
    conditions::find(conditions, reasons::SCHEDULED)
        .is_some_and(|it| it.status == status::FALSE && because.contains(&it.reason.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::work::{BindingSuspension, ResourceBinding};

    fn binding(generation: i64) -> ResourceBinding {
        let mut binding = ResourceBinding::default();
        binding.metadata.generation = Some(generation);
        let label = (PROPAGATION_POLICY_PERMANENT_ID.to_owned(), "id".to_owned());
        binding.metadata.labels = Some([label].into());
        binding
    }

    #[test]
    fn bindings_are_enqueued_when_added_and_when_their_generation_changes() {
        let on = |before: Option<&ResourceBinding>, after: Option<&ResourceBinding>| {
            on_binding(before, after, "default-scheduler")
        };
        let (one, two) = (binding(1), binding(2));
        let mut suspended = binding(1);
        suspended.spec.suspension = Some(BindingSuspension {
            scheduling: Some(true),
            ..BindingSuspension::default()
        });
        let mut other = binding(1);
        other.spec.scheduler_name = Some("other".to_owned());
        let mut unowned = binding(1);
        unowned.metadata.labels = None;

        assert_eq!(
            on(None, Some(&one)),
            BindingChange::Enqueue(Cause::BindingAdd)
        );
        assert_eq!(on(Some(&one), Some(&one)), BindingChange::Ignore);
        assert_eq!(
            on(Some(&one), Some(&two)),
            BindingChange::Enqueue(Cause::BindingUpdate)
        );
        assert_eq!(
            on(Some(&suspended), Some(&one)),
            BindingChange::Enqueue(Cause::BindingAdd)
        );
        assert_eq!(on(Some(&one), Some(&suspended)), BindingChange::Forget);
        assert_eq!(on(Some(&one), None), BindingChange::Forget);
        for foreign in [&suspended, &other, &unowned] {
            assert_eq!(on(None, Some(foreign)), BindingChange::Ignore);
        }
    }
}

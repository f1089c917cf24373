//! Bindings whose result a quota refused, and what brings them back.

use std::sync::Arc;

use crds::{
    conditions::{
        self,
        binding::{QUOTA_EXCEEDED, SCHEDULED},
    },
    object::Key,
    work::Binding,
};
use kube::ResourceExt;
use runtime::{Change, Queue};
use scheduler::relevance::{self, Cause};

use super::Shared;
use crate::world::Bindings;

/// Wakes the bindings of a namespace that wait for room in its quotas, when one of these changes.
pub(super) fn subscribe<B: Bindings>(shared: &Arc<Shared>, queue: &Arc<Queue<Key>>) {
    if !B::IS_NAMESPACED {
        return;
    }
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(shared));
    shared.world.quotas.subscribe(move |change| {
        let Some(shared) = weak.upgrade() else { return };
        if let Change::Updated { old, new } = change
            && old.spec == new.spec
            && old.status == new.status
        {
            return;
        }
        let namespace = change.object().namespace();
        B::store(&shared.world).each(|binding| {
            if binding.meta().namespace == namespace
                && waits(&**binding)
                && relevance::is_managed(&**binding, &shared.options.scheduler_name)
            {
                shared.metrics.incoming(Cause::QuotaChanged);
                let priority = shared.settings.priority(&**binding, true);
                to.add_with(Binding::key(&**binding), priority);
            }
        });
    });
}

fn waits(binding: &impl Binding) -> bool {
    binding
        .status()
        .and_then(|status| conditions::find(&status.conditions, SCHEDULED))
        .is_some_and(|it| it.status == "False" && it.reason == QUOTA_EXCEEDED)
}

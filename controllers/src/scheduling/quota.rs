//! Bindings whose result a quota refused, and what brings them back.

use std::sync::Arc;

use crds::{object::Key, policy::FederatedResourceQuota, work::Binding};
use kube::ResourceExt;
use runtime::{Change, Queue};
use scheduler::relevance::{Cause, has_more_room, is_managed};

use super::Shared;
use crate::world::Bindings;

/// Wakes the bindings of a namespace that wait for room in its quotas, when one of these has more of it or goes.
pub(super) fn subscribe<B: Bindings>(shared: &Arc<Shared>, queue: &Arc<Queue<Key>>) {
    let Some(index) = B::by_refusal(&shared.world) else {
        return;
    };
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(shared));
    shared.world.quotas.subscribe(move |change| {
        let Some(shared) = weak.upgrade() else { return };
        if helps(change) {
            let namespace = change.object().namespace().unwrap_or_default();
            let mut waiting = B::store(&shared.world).by_index(index, &namespace);
            waiting.retain(|it| is_managed(&**it, &shared.options.scheduler_name));
            let waiting = waiting.iter().map(|it| Binding::key(&**it));
            shared.wake::<B>(&to, waiting, Cause::QuotaChanged);
        }
    });
}

/// Whether a result that was refused could pass now. What is used of a quota changes with every placement in its namespace.
fn helps(change: &Change<'_, FederatedResourceQuota>) -> bool {
    match change {
        Change::Added { .. } => false,
        Change::Updated { old, new } => has_more_room(old, new),
        Change::Deleted { .. } => true,
    }
}

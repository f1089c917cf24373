//! Which changes concern which bindings, and the snapshot of the clusters.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{object::Key, work::Binding};
use kube::ResourceExt;
use runtime::{Change, Queue, queue::Priority};
use scheduler::relevance::{self, BindingChange, Cause, ClusterChange};

use super::Shared;
use crate::world::{Bindings, World};

/// Keeps the snapshot as the store of Clusters is.
pub(super) fn keep_snapshot(world: &Arc<World>, shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    world.clusters.subscribe(move |change| {
        let Some(shared) = weak.upgrade() else { return };
        let mut snapshot = shared.snapshot.write();
        match change {
            Change::Added { new, .. } | Change::Updated { new, .. } => {
                snapshot.apply(Arc::clone(new));
            }
            Change::Deleted { old } => {
                snapshot.remove(&old.name_any());
                shared.gains.lock().remove(&old.name_any());
            }
        }
    });
}

pub(super) fn subscribe<B: Bindings>(shared: &Arc<Shared>, queue: &Arc<Queue<Key>>) {
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(shared));
    B::store(&shared.world).subscribe(move |change| {
        let Some(shared) = weak.upgrade() else { return };
        let before = change.old().map(|old| &**old);
        let after = (!change.is_deletion()).then(|| &**change.object());
        if after.is_none() {
            shared.latest.forget(&Binding::key(&**change.object()));
        }
        if let BindingChange::Enqueue(cause) =
            relevance::on_binding(before, after, &shared.options.scheduler_name)
        {
            shared.metrics.incoming(cause);
            let initial = matches!(change, Change::Added { initial: true, .. });
            to.add_with(
                Binding::key(&**change.object()),
                if initial {
                    Priority::Low
                } else {
                    Priority::Normal
                },
            );
        }
    });

    let (to, weak) = (Arc::clone(queue), Arc::downgrade(shared));
    let started = Instant::now();
    shared.world.clusters.subscribe(move |change| {
        if change.is_deletion() || matches!(change, Change::Added { initial: true, .. }) {
            return;
        }
        let Some(shared) = weak.upgrade() else { return };
        let (before, after) = (change.old().map(|old| &**old), &**change.object());
        let what = ClusterChange::between(before, after);
        // Room comes and goes with every status report of a cluster; bindings that wait for it are looked at once in a while.
        let delay = if what == ClusterChange::Gained {
            match shared
                .gains
                .lock()
                .offer(&after.name_any(), started.elapsed())
            {
                Some(delay) => delay,
                None => return,
            }
        } else {
            Duration::ZERO
        };
        for binding in B::store(&shared.world).list() {
            if relevance::concerns(&*binding, what, before, after, &shared.options) {
                let key = Binding::key(&*binding);
                shared.metrics.incoming(Cause::ClusterChanged);
                if delay.is_zero() {
                    to.add_with(key, Priority::Low);
                } else {
                    to.add_after(key, delay);
                }
            }
        }
    });
}

//! Which changes concern which Namespaces.

use std::sync::{Arc, Weak};

use crds::{cluster::Cluster, policy::ClusterOverridePolicy};
use kube::ResourceExt;
use propagation::namespace::{Affected, affected};
use runtime::{Change, Queue, queue::Priority};

use super::namespaces;
use crate::world::World;

pub(super) fn subscribe(world: &Arc<World>, queue: &Arc<Queue<String>>) {
    let to = Arc::clone(queue);
    world.templates.subscribe(move |gvk, change| {
        if *gvk != namespaces() || change.is_deletion() {
            return;
        }
        let initial = matches!(change, Change::Added { initial: true, .. });
        to.add_with(
            change.object().name_any(),
            if initial {
                Priority::Low
            } else {
                Priority::Normal
            },
        );
    });
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.clusters.subscribe(move |change| {
        if concerns(change) {
            every(&weak, &to);
        }
    });
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.cluster_overrides.subscribe(move |change| {
        if !matches!(change, Change::Added { initial: true, .. }) {
            override_changed(&weak, &to, change);
        }
    });
    // A policy takes a Namespace over when it comes, and leaves it when it goes.
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.cluster_policies.subscribe(move |change| {
        let selectors = |policy: &crds::policy::ClusterPropagationPolicy| {
            let mut selectors = policy.spec.resource_selectors.clone();
            selectors.retain(|it| it.api_version == "v1" && it.kind == "Namespace");
            selectors
        };
        let (old, new) = (change.old(), change.object());
        let has_changed = match change {
            Change::Added { initial, .. } => !initial,
            Change::Updated { old, new } => {
                selectors(old) != selectors(new)
                    || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
            }
            Change::Deleted { .. } => true,
        };
        let concerns_any =
            !selectors(new).is_empty() || old.is_some_and(|old| !selectors(old).is_empty());
        if has_changed && concerns_any {
            every(&weak, &to);
        }
    });
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.works.subscribe(move |change| {
        let old = match change {
            Change::Deleted { old } => old,
            Change::Updated { old, new }
                if weak
                    .upgrade()
                    .is_some_and(|world| world.work_writes.is_foreign(old, new)) =>
            {
                old
            }
            _ => return,
        };
        if let Some(owner) = old
            .owner_references()
            .iter()
            .find(|owner| owner.kind == "Namespace" && owner.api_version == "v1")
        {
            to.add(owner.name.clone());
        }
    });
}

fn every(world: &Weak<World>, queue: &Queue<String>) {
    let Some(store) = world
        .upgrade()
        .and_then(|world| world.templates.store(&namespaces()))
    else {
        return;
    };
    for key in store.keys() {
        queue.add_with(key.name, Priority::Low);
    }
}

/// Whether a change of a cluster can change what goes there.
fn concerns(change: &Change<'_, Cluster>) -> bool {
    match change {
        Change::Added { initial, .. } => !initial,
        Change::Updated { old, new } => {
            old.metadata.labels != new.metadata.labels
                || old.spec != new.spec
                // The cluster controller sets its finalizer when the execution space exists.
                || old.metadata.finalizers != new.metadata.finalizers
        }
        Change::Deleted { .. } => false,
    }
}

fn override_changed(
    world: &Weak<World>,
    queue: &Queue<String>,
    change: &Change<'_, ClusterOverridePolicy>,
) {
    if let Change::Updated { old, new } = change
        && old.spec == new.spec
    {
        return;
    }
    for policy in [Some(change.object()), change.old()].into_iter().flatten() {
        match affected(&policy.spec) {
            Affected::None => {}
            Affected::All => return every(world, queue),
            Affected::Named(names) => {
                for name in names {
                    queue.add_with(name, Priority::Low);
                }
            }
        }
    }
}

//! Which changes concern which Works.

use std::{sync::Arc, time::Duration};

use crds::{
    cluster::{ApiEnablements, Cluster},
    names,
    object::{Gvk, Key},
    work::Work,
};
use kube::{ResourceExt, api::DynamicObject};
use runtime::{Change, queue::Priority};

use super::{is_applied, is_ready, lanes::Lanes};
use crate::{brake::Holder, world::World};

/// Changes of a member object come in bursts, while its pods start; this long a burst is gathered into one pass.
const GATHER: Duration = Duration::from_millis(25);

pub(super) fn subscribe(world: &Arc<World>, lanes: &Arc<Lanes>) {
    let to = Arc::clone(lanes);
    world.works.subscribe(move |change| match change {
        Change::Added { new, initial } => {
            let key = Key::of_meta(&new.metadata);
            to.of(&key).add_with(
                key,
                if *initial {
                    Priority::Low
                } else {
                    Priority::Normal
                },
            );
        }
        Change::Updated { old, new } if is_relevant(old, new) => {
            let key = Key::of_meta(&new.metadata);
            to.of(&key).add(key);
        }
        _ => {}
    });

    let to = Arc::clone(lanes);
    world.brake.on_release(move |holder| {
        if let Holder::Work(key) = holder {
            to.of(key).add(key.clone());
        }
    });

    let to = Arc::clone(lanes);
    let weak = Arc::downgrade(world);
    world.members.on_object(move |cluster, gvk, change| {
        // What waits for its namespace does not wait longer than that.
        if let Change::Added {
            new,
            initial: false,
        } = change
            && gvk.group.is_empty()
            && gvk.kind == "Namespace"
            && let Some(world) = weak.upgrade()
        {
            let namespace = new.name_any();
            wake_unapplied(&world, &to, cluster, |work| is_in(work, &namespace));
        }
        // Whoever takes the back reference off an object does not hide it from us: it still had it before.
        let key = work_of(cluster, change.object())
            .or_else(|| change.old().and_then(|old| work_of(cluster, old)));
        if let Some(key) = key {
            let queue = to.of(&key);
            match change {
                // The first list is covered by the hook below, which follows it.
                Change::Added { initial: true, .. } => {}
                Change::Deleted { .. } => queue.add(key),
                _ => queue.add_after(key, to.gathering(GATHER)),
            }
        }
    });

    let (to, weak) = (Arc::clone(lanes), Arc::downgrade(world));
    world.members.on_kind_synced(move |cluster, gvk| {
        if let Some(world) = weak.upgrade() {
            wake_all(&world, &to, cluster, |work| carries(work, gvk));
        }
    });

    let (to, weak) = (Arc::clone(lanes), Arc::downgrade(world));
    world.interpreter.on_change(move |kinds| {
        let Some(world) = weak.upgrade() else { return };
        to.rules_changed();
        for work in world.works.list() {
            if kinds.iter().any(|gvk| carries(&work, gvk)) {
                let key = Key::of_meta(&work.metadata);
                to.of(&key).add_with(key, Priority::Low);
            }
        }
    });

    let (to, weak) = (Arc::clone(lanes), Arc::downgrade(world));
    world.members.on_connected(move |cluster| {
        if let Some(world) = weak.upgrade() {
            wake_all(&world, &to, cluster, |_| true);
        }
    });

    let (to, weak) = (Arc::clone(lanes), Arc::downgrade(world));
    world.clusters.subscribe(move |change| {
        let Some(world) = weak.upgrade() else { return };
        let before = change.old();
        let now = (!change.is_deletion()).then(|| change.object());
        let is_leaving = |cluster: Option<&Arc<Cluster>>| {
            cluster.is_some_and(|cluster| cluster.metadata.deletion_timestamp.is_some())
        };
        let fell_silent = is_ready(before.map(AsRef::as_ref)) && !is_ready(now.map(AsRef::as_ref));
        let turned_ready = is_ready(now.map(AsRef::as_ref)) && !is_ready(before.map(AsRef::as_ref));
        // A cluster that begins to leave, or is gone, releases the Works that waited for it; so does one that leaves and stops to
        // answer, because nothing is cleaned in it then.
        let left = change.is_deletion() || is_leaving(now) && (!is_leaving(before) || fell_silent);
        let name = change.object().name_any();
        if turned_ready || left {
            wake_all(&world, &to, &name, |_| true);
        } else if let (Some(before), Some(now)) = (before, now)
            && served(before) != served(now)
        {
            // A kind that was missing may be there now.
            wake_unapplied(&world, &to, &name, |_| true);
        }
    });
}

fn is_relevant(old: &Work, new: &Work) -> bool {
    old.metadata.generation != new.metadata.generation
        || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        || old.metadata.uid != new.metadata.uid
}

fn wake_all(world: &World, lanes: &Lanes, cluster: &str, which: impl Fn(&Work) -> bool) {
    let queue = lanes.lane(cluster);
    // What has failed meanwhile starts over without its back-off.
    queue.recover(|_| true);
    for work in world.works.by_index(
        world.works_by_namespace,
        &names::execution_namespace(cluster),
    ) {
        if which(&work) {
            queue.add_with(Key::of_meta(&work.metadata), Priority::Low);
        }
    }
}

/// Wakes Works whose objects are not in the member.
fn wake_unapplied(world: &World, lanes: &Lanes, cluster: &str, which: impl Fn(&Work) -> bool) {
    let space = names::execution_namespace(cluster);
    for work in world.works.by_index(world.works_by_namespace, &space) {
        if !is_applied(&work) && which(&work) {
            lanes
                .lane(cluster)
                .add_with(Key::of_meta(&work.metadata), Priority::Low);
        }
    }
}

fn is_in(work: &Work, namespace: &str) -> bool {
    work.spec
        .workload
        .manifests
        .iter()
        .any(|manifest| crds::object::namespace(manifest) == Some(namespace))
}

fn served(cluster: &Cluster) -> &[ApiEnablements] {
    cluster
        .status
        .as_ref()
        .map_or(&[], |status| &status.api_enablements)
}

fn carries(work: &Work, gvk: &Gvk) -> bool {
    work.spec
        .workload
        .manifests
        .iter()
        .any(|manifest| Gvk::of(manifest) == *gvk)
}

/// The Work that a member object says it comes from, provided that it is one for this member.
fn work_of(cluster: &str, object: &DynamicObject) -> Option<Key> {
    let annotations = object.annotations();
    let namespace = annotations.get(crds::keys::WORK_NAMESPACE)?;
    let name = annotations.get(crds::keys::WORK_NAME)?;
    (*namespace == names::execution_namespace(cluster)).then(|| Key::new(namespace, name))
}

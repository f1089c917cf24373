//! What lets held removals go: a release or another threshold, which are annotations, and the end of whoever has something held back.

use std::{collections::BTreeMap, sync::Arc};

use kube::{Resource, ResourceExt};
use propagation::{
    brake::{RELEASE_HOLD, Scope, THRESHOLD},
    matching::PolicyRef,
};
use runtime::{Change, Store, store::key_of};

use super::Holder;
use crate::World;

pub(super) fn subscribe(world: &Arc<World>) {
    on_scope_change(world, &world.clusters, |cluster| {
        Scope::Cluster(cluster.name_any())
    });
    on_scope_change(world, &world.policies, |policy| {
        let namespace = policy.namespace().unwrap_or_default();
        Scope::Policy(PolicyRef::namespaced(namespace, policy.name_any()))
    });
    on_scope_change(world, &world.cluster_policies, |policy| {
        Scope::Policy(PolicyRef::cluster(policy.name_any()))
    });
    on_holder_change(world, &world.bindings, Holder::of);
    on_holder_change(world, &world.cluster_bindings, |binding| {
        Holder::of(binding)
    });
    on_holder_change(world, &world.works, |work| Holder::Work(key_of(work)));
    on_holder_change(world, &world.clusters, |cluster| {
        Holder::Cluster(cluster.name_any())
    });
}

/// Has the holders looked at that a Cluster or policy concerns when one of the brake's annotations on it changes.
fn on_scope_change<K>(
    world: &Arc<World>,
    store: &Store<K>,
    scope: impl Fn(&K) -> Scope + Send + Sync + 'static,
) where
    K: Resource<DynamicType = ()> + ResourceExt + Send + Sync + 'static,
{
    let weak = Arc::downgrade(world);
    store.subscribe(move |change| {
        let Change::Updated { old, new } = change else {
            return;
        };
        let (before, now) = (says(old.annotations()), says(new.annotations()));
        if before == now {
            return;
        }
        let Some(world) = weak.upgrade() else { return };
        let (scope, brake) = (scope(new), &world.brake);
        brake.changed(&scope, before.threshold, now.threshold);
        brake.notify(&brake.holders_of(&scope));
        if before.release != now.release {
            brake.notify_scope(&scope);
        }
    });
}

/// Has a holder looked at when it is released, and forgets it when it is gone.
fn on_holder_change<K>(
    world: &Arc<World>,
    store: &Store<K>,
    holder: impl Fn(&K) -> Holder + Send + Sync + 'static,
) where
    K: Resource<DynamicType = ()> + ResourceExt + Send + Sync + 'static,
{
    let weak = Arc::downgrade(world);
    store.subscribe(move |change| {
        let is_concerned = match change {
            Change::Added { .. } => false,
            Change::Updated { old, new } => says(old.annotations()) != says(new.annotations()),
            Change::Deleted { .. } => true,
        };
        if !is_concerned {
            return;
        }
        let Some(world) = weak.upgrade() else { return };
        let holder = holder(change.object());
        if change.is_deletion() {
            world.brake.vanished(&world, &holder);
        } else {
            world.brake.notify(&[holder]);
        }
    });
}

/// What the brake's annotations on an object say.
#[derive(PartialEq, Eq)]
struct Says<'a> {
    release: Option<&'a String>,
    threshold: Option<&'a String>,
}

fn says(annotations: &BTreeMap<String, String>) -> Says<'_> {
    Says {
        release: annotations.get(RELEASE_HOLD),
        threshold: annotations.get(THRESHOLD),
    }
}

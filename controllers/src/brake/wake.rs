//! What lets held removals go, or another threshold does: annotations.

use std::{collections::BTreeMap, sync::Arc};

use kube::{Resource, ResourceExt};
use propagation::{
    brake::{RELEASE_HOLD, Scope, THRESHOLD},
    matching::PolicyRef,
};
use runtime::{Change, Store};

use super::Holder;
use crate::World;

pub(super) fn subscribe(world: &Arc<World>) {
    on_change(world, &world.clusters, |world, cluster| {
        world.brake.holders_of(&Scope::Cluster(cluster.name_any()))
    });
    on_change(world, &world.policies, |world, policy| {
        let namespace = policy.namespace().unwrap_or_default();
        let reference = PolicyRef::namespaced(namespace, policy.name_any());
        world.brake.holders_of(&Scope::Policy(reference))
    });
    on_change(world, &world.cluster_policies, |world, policy| {
        let reference = PolicyRef::cluster(policy.name_any());
        world.brake.holders_of(&Scope::Policy(reference))
    });
    on_change(world, &world.bindings, |_, binding| {
        vec![Holder::of(binding)]
    });
    on_change(world, &world.cluster_bindings, |_, binding| {
        vec![Holder::of(binding)]
    });
    on_change(world, &world.works, |_, work| {
        vec![Holder::Work(runtime::store::key_of(work))]
    });
}

/// Has the holders looked at when one of the brake's annotations changes.
fn on_change<K>(
    world: &Arc<World>,
    store: &Store<K>,
    holders: impl Fn(&World, &K) -> Vec<Holder> + Send + Sync + 'static,
) where
    K: Resource<DynamicType = ()> + ResourceExt + Send + Sync + 'static,
{
    let weak = Arc::downgrade(world);
    store.subscribe(move |change| {
        let Change::Updated { old, new } = change else {
            return;
        };
        if says(old.annotations()) == says(new.annotations()) {
            return;
        }
        if let Some(world) = weak.upgrade() {
            let holders = holders(&world, new);
            world.brake.notify(&holders);
        }
    });
}

fn says(annotations: &BTreeMap<String, String>) -> [Option<&String>; 2] {
    [annotations.get(RELEASE_HOLD), annotations.get(THRESHOLD)]
}

//! What was decided but does not show in the clusters yet, and what other workloads of the same groups do. Both only behind gates.

use std::{any::Any, sync::Arc, time::Duration};

use crds::{object::Key, work::ResourceBinding};
use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::RwLock;
use runtime::Change;
use scheduler::{
    Options,
    inflight::{AssigningBindings, AssumedWorkloads, Peers},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use crate::world::{Bindings, World};

/// How often what has expired is thrown away.
const SWEEP: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Inflight {
    /// Counts with the gate `SchedulingOvercommitProtection`.
    pub(super) assumed: RwLock<AssumedWorkloads>,
    swept: parking_lot::Mutex<Instant>,
    turn: Mutex<()>,
}

impl Default for Inflight {
    fn default() -> Self {
        Self {
            assumed: RwLock::default(),
            swept: parking_lot::Mutex::new(Instant::now()),
            turn: Mutex::new(()),
        }
    }
}

impl Inflight {
    /// Releases assumptions as bindings turn healthy or go.
    pub(super) fn subscribe(self: &Arc<Self>, world: &World) {
        let this = Arc::clone(self);
        world.bindings.subscribe(move |change| {
            let key = crds::work::Binding::key(&**change.object());
            match change {
                Change::Added { .. } => {}
                Change::Updated { old, new } => {
                    let items = |binding: &ResourceBinding| {
                        let status = binding.status.as_ref();
                        status.map(|status| status.aggregated_status.clone())
                    };
                    let (before, after) = (items(old), items(new));
                    if before != after {
                        let (before, after) =
                            (before.unwrap_or_default(), after.unwrap_or_default());
                        this.assumed.write().updated(&key, &before, &after);
                    }
                }
                Change::Deleted { .. } => this.assumed.write().deleted(&key),
            }
        });
    }

    /// Waits until no decision that this one could depend on is under way, if there may be such.
    ///
    /// Workers decide side by side. Workloads that must stay apart, and those that share what is left of a cluster, have to see where
    /// the one before them went, so they are decided and written one by one.
    pub(super) async fn turn<B: Bindings>(
        &self,
        binding: &B,
        options: &Options,
    ) -> Option<MutexGuard<'_, ()>> {
        let spec = binding.spec();
        let grouped = options.gates.workload_affinity && spec.workload_affinity_groups.is_some();
        let counted = options.gates.scheduling_overcommit_protection && spec.is_workload();
        if B::IS_NAMESPACED && (grouped || counted) {
            Some(self.turn.lock().await)
        } else {
            None
        }
    }

    /// Takes note of a result that was written.
    pub(super) fn placed<B: Bindings>(&self, before: &B, after: &B, options: &Options) {
        let after: &dyn Any = after;
        let Some(after) = after
            .downcast_ref::<ResourceBinding>()
            .filter(|_| options.gates.scheduling_overcommit_protection)
        else {
            return;
        };
        let now = Timestamp::now();
        let mut assumed = self.assumed.write();
        assumed.placed(before.spec(), after, now, options.compat);
        let mut swept = self.swept.lock();
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            assumed.sweep(now);
        }
    }
}

/// Where the other workloads of the groups of a binding are; `None` if the gate is off or it is in no group.
///
/// Replies to our writes are in the store before the next decision, so the store is never behind what was assigned.
pub(super) fn peers<B: Bindings>(world: &World, binding: &B, options: &Options) -> Option<Peers> {
    let binding: &dyn Any = binding;
    let binding = binding
        .downcast_ref::<ResourceBinding>()
        .filter(|_| options.gates.workload_affinity)?;
    let mut others: Vec<Arc<ResourceBinding>> = group_values(binding)
        .iter()
        .flat_map(|group| world.bindings.by_index(world.bindings_by_group, group))
        .collect();
    let key = |binding: &Arc<ResourceBinding>| Key::of_meta(&binding.metadata);
    others.sort_by_cached_key(key);
    others.dedup_by(|one, other| key(one) == key(other));
    let others = others.iter().map(|other| &**other);
    Some(AssigningBindings::default().peers(binding, others))
}

/// The groups of a binding that its namespace's other workloads can share, as the store files them.
pub(crate) fn group_values(binding: &ResourceBinding) -> Vec<String> {
    let Some(groups) = &binding.spec.workload_affinity_groups else {
        return Vec::new();
    };
    let namespace = binding.namespace().unwrap_or_default();
    let mut values: Vec<String> = [&groups.affinity_group, &groups.anti_affinity_group]
        .into_iter()
        .flatten()
        .filter(|group| !group.is_empty())
        .map(|group| format!("{namespace}/{group}"))
        .collect();
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::json;

    use super::*;

    fn binding(groups: &serde_json::Value, replicas: i32) -> ResourceBinding {
        serde_json::from_value(json!({
            "metadata": { "name": "db-statefulset", "namespace": "shop" },
            "spec": {
                "resource": { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db" },
                "replicas": replicas,
                "workloadAffinityGroups": groups,
            },
        }))
        .unwrap()
    }

    #[test]
    fn groups_are_those_of_the_namespace() {
        let of = |groups| group_values(&binding(&groups, 1));
        assert_eq!(of(json!(null)), [""; 0]);
        assert_eq!(of(json!({ "affinityGroup": "" })), [""; 0]);
        let both = json!({ "affinityGroup": "app=a", "antiAffinityGroup": "example.com/tier=b" });
        assert_eq!(of(both), ["shop/app=a", "shop/example.com/tier=b"]);
        let same = json!({ "affinityGroup": "app=a", "antiAffinityGroup": "app=a" });
        assert_eq!(of(same), ["shop/app=a"]);
    }

    #[test]
    fn decisions_that_depend_on_each_other_take_turns() {
        let inflight = Inflight::default();
        let waits = |binding: &ResourceBinding, options: &Options| {
            let held = inflight.turn.try_lock().unwrap();
            let waits = inflight.turn(binding, options).now_or_never().is_none();
            drop(held);
            waits
        };
        let grouped = binding(&json!({ "antiAffinityGroup": "app=a" }), 0);
        let counted = binding(&json!(null), 3);
        let mut options = Options::default();
        assert!(!waits(&grouped, &options) && !waits(&counted, &options));
        options.gates.workload_affinity = true;
        assert!(waits(&grouped, &options) && !waits(&counted, &options));
        options.gates.scheduling_overcommit_protection = true;
        assert!(waits(&counted, &options));
        assert!(inflight.turn(&grouped, &options).now_or_never().is_some());
    }
}

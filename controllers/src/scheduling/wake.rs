//! Which changes concern which bindings, and the snapshot of the clusters.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use crds::{
    cluster::Cluster,
    object::Key,
    work::{Binding, ClusterResourceBinding, ResourceBinding},
};
use kube::ResourceExt;
use runtime::{Change, Queue};
use scheduler::relevance::{self, BindingChange, Cause, ClusterChange};

use super::{Shared, second_look};
use crate::world::{Bindings, World};

/// Keeps the snapshot as the store of Clusters is.
pub(super) fn keep_snapshot(world: &Arc<World>, shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    world.clusters.subscribe(move |change| {
        let Some(shared) = weak.upgrade() else { return };
        let mut snapshot = shared.snapshot.write();
        // Copies the list of clusters, not the clusters, if a decision is under way or remembered.
        let snapshot = Arc::make_mut(&mut snapshot);
        if could_help(change) {
            shared.changes.fetch_add(1, Ordering::Release);
        }
        match change {
            Change::Added { new, .. } | Change::Updated { new, .. } => {
                snapshot.apply(Arc::clone(new));
            }
            Change::Deleted { old } => {
                snapshot.remove(&old.name_any());
                let mut gains = shared.gains.lock();
                for kind in [ResourceBinding::KIND, ClusterResourceBinding::KIND] {
                    gains.remove(&waiter(kind, &old.name_any()));
                }
            }
        }
    });
}

/// Whether a binding could find a place by a change that it found none without.
///
/// Clusters report their status every few seconds, so that in a large fleet there is always one that just did.
fn could_help(change: &Change<'_, Cluster>) -> bool {
    !change.is_deletion()
        && ClusterChange::between(change.old().map(|old| &**old), change.object())
            != ClusterChange::Nothing
}

impl Shared {
    /// Puts bindings into the queue that something else than themselves concerns.
    pub(super) fn wake<B: Bindings>(
        &self,
        queue: &Queue<Key>,
        keys: impl IntoIterator<Item = Key>,
        cause: Cause,
    ) {
        for key in keys {
            let Some(binding) = B::store(&self.world).get(&key) else {
                continue;
            };
            self.metrics.incoming(cause);
            queue.add_with(key, self.settings.priority(&*binding, true));
        }
    }
}

pub(super) fn subscribe<B: Bindings>(shared: &Arc<Shared>, queue: &Arc<Queue<Key>>) {
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(shared));
    B::store(&shared.world).subscribe(move |change| {
        let Some(shared) = weak.upgrade() else { return };
        let before = change.old().map(|old| &**old);
        let after = (!change.is_deletion()).then(|| &**change.object());
        let key = Binding::key(&**change.object());
        if after.is_none() {
            shared.latest.forget(&key);
            shared.second_looks.lock().remove(&second_look::<B>(&key));
        }
        if let BindingChange::Enqueue(cause) =
            relevance::on_binding(before, after, &shared.options.scheduler_name)
            && !shared.writes.is_own(&**change.object())
        {
            shared.metrics.incoming(cause);
            let initial = matches!(change, Change::Added { initial: true, .. });
            let priority = shared.settings.priority(&**change.object(), initial);
            to.add_with(key, priority);
        }
    });

    let (to, weak) = (Arc::clone(queue), Arc::downgrade(shared));
    shared.world.clusters.subscribe(move |change| {
        if change.is_deletion() || matches!(change, Change::Added { initial: true, .. }) {
            return;
        }
        let Some(shared) = weak.upgrade() else { return };
        let (before, after) = (change.old().map(|old| &**old), &**change.object());
        let what = ClusterChange::between(before, after);
        if what != ClusterChange::Gained || is_lasting_gain(before, after) {
            wake_concerned::<B>(&shared, &to, what, before, after);
            return;
        }
        // Room comes and goes with every status report of a cluster; bindings that wait for it are looked at once in a while.
        let waiter = waiter(<B as Binding>::KIND, &after.name_any());
        match shared.gains.lock().offer(&waiter, shared.started.elapsed()) {
            None => {}
            Some(Duration::ZERO) => wake_concerned::<B>(&shared, &to, what, before, after),
            Some(delay) => {
                tokio::spawn(wake_later::<B>(
                    weak.clone(),
                    Arc::clone(&to),
                    after.name_any(),
                    delay,
                ));
            }
        }
    });
}

/// Bindings of each kind wait for each cluster on their own.
fn waiter(kind: &str, cluster: &str) -> String {
    format!("{kind} {cluster}")
}

/// Whether the cluster turned ready or serves more kinds: rare, and nothing that goes again in a moment, unlike room.
fn is_lasting_gain(before: Option<&Cluster>, after: &Cluster) -> bool {
    let Some(before) = before else { return true };
    let served = |cluster: &Cluster| {
        let enablements = cluster.status.iter().flat_map(|it| &it.api_enablements);
        enablements.map(|it| it.resources.len()).sum::<usize>()
    };
    after.is_ready() && !before.is_ready() || served(after) > served(before)
}

/// Wakes the bindings that wait when the time has come, as they and the cluster are then.
async fn wake_later<B: Bindings>(
    shared: Weak<Shared>,
    queue: Arc<Queue<Key>>,
    cluster: String,
    delay: Duration,
) {
    tokio::time::sleep(delay).await;
    let Some(shared) = shared.upgrade() else {
        return;
    };
    if let Some(cluster) = shared.world.clusters.get(&Key::cluster_scoped(&cluster)) {
        let now = Some(&*cluster);
        wake_concerned::<B>(&shared, &queue, ClusterChange::Gained, now, &cluster);
    }
}

fn wake_concerned<B: Bindings>(
    shared: &Shared,
    queue: &Queue<Key>,
    what: ClusterChange,
    before: Option<&Cluster>,
    after: &Cluster,
) {
    let index = B::by_interest(&shared.world);
    let keys = B::store(&shared.world).keys_matching(index, |interest| {
        relevance::concerns(interest, what, before, after, &shared.options)
    });
    shared.wake::<B>(queue, keys, Cause::ClusterChanged);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use crds::cluster::{ClusterSpec, ResourceSummary};
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    use super::*;

    fn cluster(pods: i64, version: &str) -> Arc<Cluster> {
        let mut cluster = Cluster::new("m1", ClusterSpec::default());
        let status = cluster.status.get_or_insert_default();
        status.kubernetes_version = Some(version.into());
        status.resource_summary = Some(ResourceSummary {
            allocatable: Map::from([("pods".into(), Quantity(pods.to_string()))]),
            ..ResourceSummary::default()
        });
        Arc::new(cluster)
    }

    #[test]
    fn reports_that_help_nobody_do_not_count_as_changes() {
        let old = cluster(9, "v1.34.1");
        for (new, helps) in [
            (cluster(9, "v1.34.1"), false),
            (cluster(9, "v1.34.2"), false),
            (cluster(8, "v1.34.1"), false),
            (cluster(10, "v1.34.1"), true),
        ] {
            let (old, new) = (&old, &new);
            assert_eq!(could_help(&Change::Updated { old, new }), helps);
        }
        assert!(!could_help(&Change::Deleted { old: &old }));
    }
}

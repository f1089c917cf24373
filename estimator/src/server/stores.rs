//! What a member holds, reduced and kept up to date.

use std::sync::Arc;

use crds::object::Key;
use kube::{Client, Resource};
use parking_lot::RwLock;
use runtime::{
    Change, Store,
    store::IndexId,
    watch::{self, Selection},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::Fleet,
    objects::{Deployment, Node, Pod, Quota, ReplicaSet},
    stuck,
};

/// Pods that hold nothing any more are not even read.
const LIVING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// The stores of one member.
#[derive(Debug)]
pub(super) struct Stores {
    /// Nodes with what is taken of them; follows the stores of nodes and pods.
    pub(super) fleet: Arc<RwLock<Fleet>>,
    nodes: Arc<Store<Node>>,
    pods: Arc<Store<Pod>>,
    /// Pods without a node by the uid of their owner.
    pods_by_owner: IndexId,
    /// The same by namespace, kind and name of the owner.
    pods_by_workload: IndexId,
    deployments: Arc<Store<Deployment>>,
    replica_sets: Arc<Store<ReplicaSet>>,
    /// `ReplicaSet` objects by the uid of their owner.
    sets_by_owner: IndexId,
    /// Watched only if quotas count.
    quotas: Option<Arc<Store<Quota>>>,
    quotas_by_namespace: IndexId,
}

impl Stores {
    /// Empty stores that know each other.
    pub(super) fn new(with_quotas: bool) -> Self {
        let fleet = Arc::new(RwLock::new(Fleet::default()));
        let nodes = Store::<Node>::builder().build();
        let to = Arc::clone(&fleet);
        nodes.subscribe(move |change| match change {
            Change::Added { new, .. } | Change::Updated { new, .. } => {
                to.write().put_node(new);
            }
            Change::Deleted { old } => to.write().remove_node(old.name()),
        });
        let mut pods = Store::<Pod>::builder();
        let pods_by_owner = pods.index(|pod| {
            let owner = pod.stuck.as_ref().map(|stuck| stuck.owner.clone());
            owner.into_iter().collect()
        });
        let pods_by_workload = pods.index(|pod| {
            let namespace = pod.meta().namespace.as_deref().unwrap_or_default();
            let stuck = pod.stuck.as_ref();
            stuck
                .map(|stuck| format!("{namespace}/{}", stuck.workload))
                .into_iter()
                .collect()
        });
        let pods = pods.build();
        let to = Arc::clone(&fleet);
        pods.subscribe(move |change| {
            let mut fleet = to.write();
            if let Some(old) = change.old() {
                fleet.remove_pod(old);
            }
            if !change.is_deletion() {
                fleet.add_pod(change.object());
            }
        });
        let mut replica_sets = Store::<ReplicaSet>::builder();
        let sets_by_owner = replica_sets.index(|set| set.owner.iter().cloned().collect());
        let mut quotas = Store::<Quota>::builder();
        let quotas_by_namespace =
            quotas.index(|quota| quota.meta().namespace.iter().cloned().collect());
        Self {
            fleet,
            nodes,
            pods,
            pods_by_owner,
            pods_by_workload,
            deployments: Store::builder().build(),
            replica_sets: replica_sets.build(),
            sets_by_owner,
            quotas: with_quotas.then(|| quotas.build()),
            quotas_by_namespace,
        }
    }

    /// Starts the watches; they end with `stop`.
    pub(super) fn watch(&self, member: &Client, stop: &CancellationToken) {
        let living = Selection {
            fields: Some(LIVING.to_owned()),
            ..Selection::default()
        };
        start(member, &self.nodes, Selection::default(), stop);
        start(member, &self.pods, living, stop);
        start(member, &self.deployments, Selection::default(), stop);
        start(member, &self.replica_sets, Selection::default(), stop);
        if let Some(quotas) = &self.quotas {
            start(member, quotas, Selection::default(), stop);
        }
    }

    /// Takes objects as if they had been watched.
    #[cfg(test)]
    pub(super) fn take(&self, objects: Vec<serde_json::Value>) {
        for (version, mut object) in (1..).zip(objects) {
            let kind = object["kind"].as_str().unwrap().to_owned();
            object["metadata"]["resourceVersion"] = format!("{version}").into();
            match kind.as_str() {
                "Node" => self
                    .nodes
                    .observe_reply(serde_json::from_value(object).unwrap()),
                "Pod" => self
                    .pods
                    .observe_reply(serde_json::from_value(object).unwrap()),
                "ResourceQuota" => {
                    let quotas = self.quotas.as_ref().unwrap();
                    quotas.observe_reply(serde_json::from_value(object).unwrap());
                }
                kind => panic!("no store holds {kind}"),
            }
        }
    }

    /// Waits until nothing is missing from estimates.
    pub(super) async fn synced(&self) {
        tokio::join!(self.nodes.synced(), self.pods.synced());
        if let Some(quotas) = &self.quotas {
            quotas.synced().await;
        }
    }

    /// The quotas of a namespace; `None` if quotas do not count.
    pub(super) fn quotas(&self, namespace: &str) -> Option<Vec<Arc<Quota>>> {
        let quotas = self.quotas.as_ref()?;
        Some(quotas.by_index(self.quotas_by_namespace, namespace))
    }

    /// The `ReplicaSet` of a Deployment's present template; an error while that is not known yet.
    pub(super) fn newest_set(&self, key: &Key) -> Result<Option<Arc<ReplicaSet>>, &'static str> {
        if !self.deployments.is_synced() || !self.replica_sets.is_synced() {
            return Err("deployments and replicasets are still being read");
        }
        let Some(deployment) = self.deployments.get(key) else {
            return Ok(None);
        };
        let owner = deployment.meta().uid.as_deref().unwrap_or_default();
        let sets = self.replica_sets.by_index(self.sets_by_owner, owner);
        Ok(stuck::newest(&deployment, sets))
    }

    /// The pods without a node that a workload such as `StatefulSet/db` owns itself.
    pub(super) fn waiting_pods_of(&self, namespace: &str, workload: &str) -> Vec<Arc<Pod>> {
        let name = format!("{namespace}/{workload}");
        self.pods.by_index(self.pods_by_workload, &name)
    }

    /// The pods of a `ReplicaSet` that have no node.
    pub(super) fn waiting_pods(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let uid = set.meta().uid.as_deref().unwrap_or_default();
        self.pods.by_index(self.pods_by_owner, uid)
    }
}

fn start<K>(member: &Client, store: &Arc<Store<K>>, selection: Selection, stop: &CancellationToken)
where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    tokio::spawn(watch::typed(
        member.clone(),
        Arc::clone(store),
        |_| {},
        selection,
        stop.clone(),
    ));
}

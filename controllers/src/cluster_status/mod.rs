//! Tells in a push Cluster's status how the member is: ready or not, its version, its APIs, what it offers and what is used.
//!
//! reads   Cluster, Secret, the member's health, discovery, Nodes and Pods
//! writes  Cluster status, events; connects the member     woken by  Cluster spec, its Secret, time
//!
//! Every member has its own pass, which may take as long as a member that does not answer makes it take; the others go on.

mod capacity;
mod enablements;
mod metrics;
mod probe;
mod summary;
mod threshold;
mod write_back;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    cluster::{ApiEnablements, Cluster, ClusterSyncMode},
    conditions, keys,
    object::Key,
};
use futures::future::BoxFuture;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use runtime::{
    Action, ApiError, Change, Queue,
    controller::ReconcileError,
    error::call,
    events::Source,
    member::{ConnectError, Credentials, Member},
};

use self::{
    capacity::Caches,
    metrics::Metrics,
    probe::Health,
    summary::Summary,
    threshold::{Threshold, Verdict},
};
use crate::{World, world::CREDENTIALS_NAMESPACE};

pub use threshold::Limits;

/// The source of this reconciler's events.
const COMPONENT: &str = "cluster-status-controller";
/// How long a member that turns ready may take to answer the further questions before its readiness is published without them.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// `--cluster-status-update-frequency`.
    pub frequency: Duration,
    /// `--cluster-success-threshold` and `--cluster-failure-threshold`.
    pub thresholds: Limits,
    /// `--enable-cluster-resource-modeling`: whether Nodes and Pods of members are watched and summed up.
    pub resource_modeling: bool,
    /// Feature gate `CustomizedClusterResourceModeling`: whether nodes are counted by the Cluster's models.
    pub customized_models: bool,
    /// Members that are looked at at the same time. One that does not answer takes a worker for half a minute.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frequency: Duration::from_secs(10),
            thresholds: Limits::default(),
            resource_modeling: true,
            customized_models: true,
            workers: 128,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read secret of cluster {cluster}")]
    ReadSecret { cluster: String, source: ApiError },
    #[error("patch status of cluster {cluster}")]
    PatchStatus { cluster: String, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::ReadSecret { source, .. } | Self::PatchStatus { source, .. } => source.reason(),
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::ReadSecret { source, .. } | Self::PatchStatus { source, .. } => {
                source.is_conflict()
            }
        }
    }
}

/// Subscribes now; the future runs the workers until the world stops.
pub fn prepare(world: &Arc<World>, options: Options) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<String>> = Queue::new();
    wake(world, &queue);
    let metrics = Metrics::default();
    world
        .metrics
        .register(|registry| metrics.register(registry));
    let reconciler = Arc::new(Reconciler {
        world: Arc::clone(world),
        events: Source::new(&world.recorder, COMPONENT),
        queue: Arc::clone(&queue),
        known: Mutex::default(),
        metrics,
        options,
    });
    let controller = world.controller("cluster-status-controller", queue, options.workers);
    let stop = world.stop.clone();
    Box::pin(controller.run(
        move |name: String| {
            let reconciler = Arc::clone(&reconciler);
            async move { reconciler.reconcile(&name).await }
        },
        stop,
    ))
}

fn wake(world: &Arc<World>, queue: &Arc<Queue<String>>) {
    let clusters = Arc::clone(queue);
    world.clusters.subscribe(move |change| {
        // What this reconciler writes itself must not wake it.
        let concerns = match change {
            Change::Added { .. } | Change::Deleted { .. } => true,
            Change::Updated { old, new } => {
                old.spec != new.spec
                    || old.metadata.finalizers != new.metadata.finalizers
                    || old.metadata.uid != new.metadata.uid
            }
        };
        if concerns {
            clusters.add(change.object().name_any());
        }
    });
    let secrets = Arc::clone(queue);
    let known = Arc::downgrade(&world.clusters);
    world.credentials.subscribe(move |change| {
        let Some(clusters) = known.upgrade() else {
            return;
        };
        let secret = change.object().name_any();
        for cluster in clusters.list() {
            let reference = cluster.spec.secret_ref.as_ref();
            if reference
                .is_some_and(|it| it.name == secret && it.namespace == CREDENTIALS_NAMESPACE)
            {
                secrets.add(cluster.name_any());
            }
        }
    });
}

/// What is remembered of a Cluster between passes.
#[derive(Debug)]
struct Known {
    uid: Option<String>,
    threshold: Threshold,
    caches: Option<Caches>,
}

/// What a member that is ready says of itself. What could not be found out is absent, and what is published stays.
#[derive(Debug, Default)]
struct Collected {
    version: Option<String>,
    enablements: Option<(Vec<ApiEnablements>, Condition)>,
    summary: Option<Summary>,
}

#[derive(Debug)]
struct Reconciler {
    world: Arc<World>,
    events: Arc<Source>,
    queue: Arc<Queue<String>>,
    known: Mutex<HashMap<String, Known>>,
    metrics: Metrics,
    options: Options,
}

impl Reconciler {
    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let Some(cluster) = self.world.clusters.get(&Key::cluster_scoped(name)) else {
            self.forget(name);
            return Ok(Action::AwaitChange);
        };
        if cluster.spec.sync_mode != ClusterSyncMode::Push || cluster.spec.secret_ref.is_none() {
            self.forget(name);
            return Ok(Action::AwaitChange);
        }
        let finalizer = keys::finalizers::CLUSTER_CONTROLLER;
        if !cluster.finalizers().iter().any(|it| it == finalizer) {
            // The cluster controller has not seen it yet; its finalizer wakes us.
            return Ok(Action::AwaitChange);
        }
        let started = Instant::now();
        self.sync(&cluster).await?;
        self.metrics.synced(name, started.elapsed());
        if let Some(cluster) = self.world.clusters.get(&Key::cluster_scoped(name)) {
            self.metrics.publish(name, cluster.status.as_ref());
        }
        Ok(Action::Requeue(self.options.frequency))
    }

    /// Ends everything that concerns a Cluster that is gone or that somebody else looks after.
    fn forget(&self, name: &str) {
        if self.known.lock().remove(name).is_some() {
            self.world.members.disconnect(name);
            self.metrics.forget(name);
        }
    }

    async fn sync(&self, cluster: &Cluster) -> Result<(), Error> {
        let (member, health) = match self.connect(cluster).await? {
            Ok(member) => {
                let health = probe::probe(&member.client).await;
                (Some(member), health)
            }
            Err(error) => (None, Health::NoClient(error)),
        };
        if self.judge(cluster, &health) == Verdict::Wait {
            tracing::debug!(
                ready = health.is_ready(),
                "Readiness differs, waiting whether it lasts"
            );
            return Ok(());
        }
        let Some(member) = member.filter(|_| health.is_ready()) else {
            return self
                .write_back(cluster, &health, &Collected::default())
                .await;
        };
        let mut collecting = std::pin::pin!(self.collect(cluster, &member));
        if !cluster.is_ready() {
            if let Ok(collected) = tokio::time::timeout(PATIENCE, &mut collecting).await {
                return self.write_back(cluster, &health, &collected).await;
            }
            // Readiness waits for nothing else.
            self.write_back(cluster, &health, &Collected::default())
                .await?;
        }
        let collected = collecting.await;
        self.write_back(cluster, &health, &collected).await
    }

    /// A failure to read the Secret is ours; everything else concerns the member and is told in its condition.
    async fn connect(&self, cluster: &Cluster) -> Result<Result<Arc<Member>, ConnectError>, Error> {
        let name = cluster.name_any();
        let secret = match &cluster.spec.secret_ref {
            None => None,
            Some(reference) if reference.namespace == CREDENTIALS_NAMESPACE => self
                .world
                .credentials
                .get(&Key::new(&reference.namespace, &reference.name)),
            Some(reference) => {
                let api: Api<Secret> = Api::namespaced(self.world.client(), &reference.namespace);
                let read = call(api.get_opt(&reference.name)).await;
                read.map_err(|source| Error::ReadSecret {
                    cluster: name.clone(),
                    source,
                })?
                .map(Arc::new)
            }
        };
        Ok(
            Credentials::resolve(&name, &cluster.spec, secret.as_deref())
                .and_then(|credentials| self.world.members.connect(&name, credentials)),
        )
    }

    fn judge(&self, cluster: &Cluster, health: &Health) -> Verdict {
        let stored = cluster
            .status
            .as_ref()
            .and_then(|status| status.condition(conditions::cluster::READY))
            .map(|condition| condition.status == conditions::status::TRUE);
        let mut known = self.known.lock();
        let fresh = || Known {
            uid: cluster.uid(),
            threshold: Threshold::default(),
            caches: None,
        };
        let known = known.entry(cluster.name_any()).or_insert_with(fresh);
        if known.uid != cluster.uid() {
            *known = fresh();
        }
        known.threshold.observe(
            health.is_ready(),
            stored,
            Instant::now(),
            &self.options.thresholds,
        )
    }

    async fn collect(&self, cluster: &Cluster, member: &Arc<Member>) -> Collected {
        let summary = async {
            if !self.options.resource_modeling {
                return None;
            }
            let caches = self.caches(member)?;
            if !caches.are_synced() {
                // Later passes do not wait: a member that lets nobody list its pods is ready all the same.
                tokio::time::timeout(PATIENCE / 2, caches.synced())
                    .await
                    .ok()?;
            }
            let models = if self.options.customized_models {
                cluster.spec.resource_models.as_slice()
            } else {
                &[]
            };
            Some(summary::summarise(
                &caches.nodes.list(),
                &caches.pods.list(),
                models,
            ))
        };
        let (version, discovered, summary) = tokio::join!(
            call(member.client.apiserver_version()),
            member.mapper.refresh(&member.client),
            summary,
        );
        let stored = cluster
            .status
            .as_ref()
            .map_or(&[][..], |status| &status.api_enablements);
        for error in [version.as_ref().err(), discovered.as_ref().err()]
            .into_iter()
            .flatten()
        {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "Member answered in part, keeping what is known"
            );
        }
        Collected {
            version: version.ok().map(|info| info.git_version),
            enablements: Some(enablements::enablements(discovered.ok().as_deref(), stored)),
            summary,
        }
    }

    /// The caches of this connection, started if need be. `None` when the Cluster was forgotten meanwhile.
    fn caches(&self, member: &Arc<Member>) -> Option<Caches> {
        let mut known = self.known.lock();
        let known = known.get_mut(&member.name)?;
        if let Some(caches) = known.caches.as_ref().filter(|it| it.are_of(member)) {
            return Some(caches.clone());
        }
        let caches = Caches::start(member);
        known.caches = Some(caches.clone());
        let (filling, queue) = (caches.clone(), Arc::clone(&self.queue));
        let (name, stop) = (member.name.clone(), member.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = filling.synced() => queue.add(name),
            }
        });
        Some(caches)
    }
}

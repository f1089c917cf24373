//! Keeps what belongs to a Cluster in the control plane: its execution namespace, its `NoSchedule` taints, and the order of
//! its removal.
//!
//! reads   Cluster, Work, bindings, Namespace     woken by  Cluster, its Works and namespace going while it is removed
//! writes  Namespace, Cluster taints, events,     owns      finalizer `karmada.io/cluster-controller`
//!         condition `navarch.dev/Removal`

mod removal;
mod taints;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crds::{cluster::Cluster, keys, names, object::Key, reasons};
use futures::future::BoxFuture;
use k8s_openapi::{
    api::core::v1::Namespace,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Api, ResourceExt, api::PostParams};
use runtime::{
    Action, ApiError, Change, Queue, controller::ReconcileError, error::call, events::Source,
};

use crate::{World, write};

pub use removal::REMOVAL;

/// The source of this reconciler's events.
const COMPONENT: &str = "cluster-controller";
/// How often a removal looks whether what it waits for has gone, besides being woken.
const POLL: Duration = Duration::from_secs(1);

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// `--concurrent-cluster-syncs`.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: 5 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("ensure execution namespace of cluster {cluster}")]
    ExecutionNamespace { cluster: String, source: ApiError },
    #[error("write taints and finalizer of cluster {cluster}")]
    Update { cluster: String, source: ApiError },
    #[error("remove execution namespace of cluster {cluster}")]
    RemoveExecutionNamespace { cluster: String, source: ApiError },
    #[error("release works of cluster {cluster}")]
    ReleaseWorks { cluster: String, source: ApiError },
    #[error("report the removal of cluster {cluster}")]
    ReportRemoval { cluster: String, source: ApiError },
    #[error("release cluster {cluster}")]
    Release { cluster: String, source: ApiError },
}

impl Error {
    fn source_error(&self) -> &ApiError {
        match self {
            Self::ExecutionNamespace { source, .. }
            | Self::Update { source, .. }
            | Self::RemoveExecutionNamespace { source, .. }
            | Self::ReleaseWorks { source, .. }
            | Self::ReportRemoval { source, .. }
            | Self::Release { source, .. } => source,
        }
    }
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        self.source_error().reason()
    }

    fn is_conflict(&self) -> bool {
        self.source_error().is_conflict()
    }
}

/// Subscribes now; the future runs the workers until the world stops.
pub fn prepare(world: &Arc<World>, options: Options) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<String>> = Queue::new();
    wake(world, &queue);
    let controller = world.controller("cluster-controller", queue, options.workers);
    let reconciler = Arc::new(Reconciler {
        events: Source::new(&world.recorder, COMPONENT),
        world: Arc::clone(world),
    });
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
    world
        .clusters
        .subscribe(move |change| clusters.add(change.object().name_any()));
    let works = Arc::clone(queue);
    // Of a live cluster nothing depends on its Works.
    let known = Arc::downgrade(world);
    world.works.subscribe(move |change| {
        let Change::Deleted { old } = change else {
            return;
        };
        let namespace = old.namespace().unwrap_or_default();
        if let Ok(cluster) = names::cluster_of_execution_namespace(&namespace)
            && let Some(world) = known.upgrade()
            && world
                .clusters
                .get(&Key::cluster_scoped(cluster))
                .is_some_and(|cluster| cluster.metadata.deletion_timestamp.is_some())
        {
            works.add(cluster.to_owned());
        }
    });
    let namespaces = Arc::clone(queue);
    world.templates.subscribe(move |gvk, change| {
        if change.is_deletion()
            && gvk.is("", "Namespace")
            && let Ok(cluster) = names::cluster_of_execution_namespace(&change.object().name_any())
        {
            namespaces.add(cluster.to_owned());
        }
    });
}

#[derive(Debug)]
struct Reconciler {
    world: Arc<World>,
    events: Arc<Source>,
}

impl Reconciler {
    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let Some(cluster) = self.world.clusters.get(&Key::cluster_scoped(name)) else {
            return Ok(Action::AwaitChange);
        };
        if cluster.metadata.deletion_timestamp.is_some() {
            self.remove(&cluster).await
        } else {
            self.keep(&cluster).await
        }
    }

    async fn keep(&self, cluster: &Cluster) -> Result<Action, Error> {
        let name = cluster.name_any();
        let space = self.ensure_execution_namespace(cluster).await;
        self.update(cluster).await?;
        match space {
            Ok(Space::Ready) => Ok(Action::AwaitChange),
            // A former cluster of this name is still on its way out.
            Ok(Space::Terminating) => Ok(Action::Requeue(POLL)),
            Err(source) => Err(Error::ExecutionNamespace {
                cluster: name,
                source,
            }),
        }
    }

    async fn ensure_execution_namespace(&self, cluster: &Cluster) -> Result<Space, ApiError> {
        let name = cluster.name_any();
        let namespace = names::execution_namespace(&name);
        let api: Api<Namespace> = Api::all(self.world.client());
        if let Some(found) = call(api.get_opt(&namespace)).await? {
            return Ok(match found.metadata.deletion_timestamp {
                Some(_) => Space::Terminating,
                None => Space::Ready,
            });
        }
        let wanted = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                labels: Some(BTreeMap::from([(
                    keys::SYSTEM.to_owned(),
                    keys::TRUE.to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        match call(api.create(&PostParams::default(), &wanted)).await {
            Ok(_) => {
                self.events.normal(
                    write::reference(cluster),
                    reasons::CREATE_EXECUTION_SPACE_SUCCEED,
                    format!("Created execution space({namespace}) for cluster({name})."),
                );
                tracing::info!(cluster = name, namespace, "Execution namespace created");
                Ok(Space::Ready)
            }
            Err(error) if error.is_already_exists() => Ok(Space::Ready),
            Err(error) => {
                self.events.warning(
                    write::reference(cluster),
                    reasons::CREATE_EXECUTION_SPACE_FAILED,
                    error.to_string(),
                );
                Err(error)
            }
        }
    }

    /// Taints and finalizer, in one patch.
    async fn update(&self, cluster: &Cluster) -> Result<(), Error> {
        let mut wanted = cluster.clone();
        let tainted = taints::by_readiness(
            &mut wanted.spec.taints,
            taints::readiness(cluster),
            &Time(jiff::Timestamp::now()),
        );
        let finalizer = keys::finalizers::CLUSTER_CONTROLLER;
        if !wanted.finalizers().iter().any(|it| it == finalizer) {
            wanted.finalizers_mut().push(finalizer.to_owned());
        }
        let api = Api::all(self.world.client());
        let outcome = write::update(&api, &self.world.clusters, cluster, &wanted).await;
        if tainted {
            match &outcome {
                Ok(_) => {
                    let message = taints::describe(&wanted.spec.taints);
                    tracing::info!(cluster = cluster.name_any(), message, "Taints changed");
                    self.events.normal(
                        write::reference(cluster),
                        reasons::TAINT_CLUSTER_SUCCEED,
                        format!("Taint cluster succeed: {message}."),
                    );
                }
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                Err(error) => self.events.warning(
                    write::reference(cluster),
                    reasons::TAINT_CLUSTER_FAILED,
                    format!("Taint cluster failed: {error}"),
                ),
            }
        }
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(source) => Err(Error::Update {
                cluster: cluster.name_any(),
                source,
            }),
        }
    }
}

/// What is known of an execution namespace after it was ensured.
enum Space {
    Ready,
    Terminating,
}

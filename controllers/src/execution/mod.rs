//! Work -> member object: the object in the member is as the Work says, and the Work says what the member has.
//!
//! reads   Works, Clusters, live member objects
//! writes  member objects, Work status          owns  finalizer `karmada.io/execution-controller`
//! woken by  Work spec, member object, cluster turning ready or being connected, first list of a kind in a member
//!
//! Applying, correcting drift, re-creating and collecting the status are one pass over one picture, with one status write at its end.
//! Each member has a queue and workers of its own, so that a slow member costs the others nothing.

mod apply;
mod compared;
mod lanes;
mod metrics;
mod observe;
mod remove;
mod status;
mod wake;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    cluster::{Cluster, ClusterSyncMode},
    conditions,
    keys::finalizers::EXECUTION_CONTROLLER,
    names,
    object::Key,
    work::Work,
};
use futures::future::BoxFuture;
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use runtime::{Action, ApiError, controller::ReconcileError, events::Source, member::Member};

use self::{compared::Compared, lanes::Lanes, metrics::Metrics};
use crate::{pace::Pacer, world::World, write};

const NAME: &str = "execution-controller";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("work {work} is in a namespace of no cluster")]
    NoExecutionSpace { work: Key },
    #[error("apply work {work} to cluster {cluster}: {message}")]
    Apply {
        work: Key,
        cluster: String,
        message: String,
        /// When to try again if only a change of an input can help.
        retry_after: Option<Duration>,
    },
    #[error("clean up after work {work} in cluster {cluster}: {message}")]
    Remove {
        work: Key,
        cluster: String,
        message: String,
    },
    #[error("decide about the objects of terminating work {work}")]
    Fate { work: Key, source: ApiError },
    #[error("note on its binding that work {work} is to be made again")]
    Note { work: Key, source: ApiError },
    #[error("release work {work}")]
    Release { work: Key, source: ApiError },
    #[error("interpret objects of work {work}: {message}")]
    Interpret { work: Key, message: String },
    #[error("patch status of work {work}")]
    PatchStatus { work: Key, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoExecutionSpace { .. } => "NoExecutionSpace",
            Self::Apply { .. } => "ApplyFailed",
            Self::Remove { .. } => "RemoveFailed",
            Self::Fate { source, .. } => source.reason(),
            Self::Note { .. } => "NoteFailed",
            Self::Release { .. } => "ReleaseFailed",
            Self::Interpret { .. } => "InterpretFailed",
            Self::PatchStatus { .. } => "PatchStatusFailed",
        }
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Self::NoExecutionSpace { .. })
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Apply { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Fate { source, .. } | Self::Note { source, .. } => source.is_conflict(),
            Self::Release { source, .. } | Self::PatchStatus { source, .. } => {
                source.is_conflict() || source.is_not_found()
            }
            _ => false,
        }
    }
}

pub(super) struct Context {
    world: Arc<World>,
    events: Arc<Source>,
    metrics: Metrics,
    /// When the discovery of a member was refreshed on our behalf, so that an unknown kind does not do it at every pass.
    refreshed: Mutex<HashMap<String, Instant>>,
    /// When which Work reports.
    pacer: Pacer,
    compared: Compared,
}

/// Subscribes to the stores; the future runs the workers, `workers` of them for each member.
pub fn prepare(world: &Arc<World>, workers: usize) -> BoxFuture<'static, ()> {
    let metrics = Metrics::default();
    world
        .metrics
        .register(|registry| metrics.register(registry));
    let context = Arc::new(Context {
        world: Arc::clone(world),
        events: Source::new(&world.recorder, NAME),
        metrics,
        pacer: Pacer::default(),
        compared: Compared::default(),
        refreshed: Mutex::default(),
    });
    let lanes = Lanes::new(context, workers);
    wake::subscribe(world, &lanes);
    let stop = world.stop.clone();
    Box::pin(async move {
        lanes.start();
        stop.cancelled().await;
        lanes.finished().await;
    })
}

/// Carries out a Work, after this many failures in a row.
async fn reconcile(context: &Context, key: &Key, failures: u32) -> Result<Action, Error> {
    let world = &context.world;
    let Some(work) = world.works.get(key) else {
        return Ok(Action::AwaitChange);
    };
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let name = names::cluster_of_execution_namespace(namespace)
        .map_err(|_| Error::NoExecutionSpace { work: key.clone() })?;
    let cluster = world.clusters.get(&Key::cluster_scoped(name));
    if cluster
        .as_ref()
        .is_some_and(|cluster| cluster.spec.sync_mode == ClusterSyncMode::Pull)
    {
        // The agent in the member carries these out.
        return Ok(Action::AwaitChange);
    }
    if work.metadata.deletion_timestamp.is_some() {
        return remove::remove(context, &work, name, cluster.as_deref()).await;
    }
    let (Some(cluster), Some(member)) = (cluster, world.members.member(name)) else {
        // The Cluster appearing, or the member being connected, wakes its Works.
        return Ok(Action::AwaitChange);
    };
    hold(context, &work).await?;
    if work.spec.suspend_dispatching == Some(true) {
        return status::suspended(context, &work, &member).await;
    }
    if !cluster.is_ready() {
        return Ok(Action::AwaitChange);
    }
    apply::apply(context, &work, &cluster, &member, failures).await
}

/// Puts our finalizer on a Work that somebody wrote without it, so that its objects do not outlive it.
async fn hold(context: &Context, work: &Work) -> Result<(), Error> {
    if work
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == EXECUTION_CONTROLLER)
    {
        return Ok(());
    }
    let mut held = work.clone();
    held.finalizers_mut().push(EXECUTION_CONTROLLER.into());
    write::update(
        &works_api(&context.world, work),
        &context.world.works,
        work,
        &held,
    )
    .await
    .map(drop)
    .map_err(|source| Error::Release {
        work: Key::of_meta(&work.metadata),
        source,
    })
}

fn works_api(world: &World, work: &Work) -> Api<Work> {
    Api::namespaced(world.client(), &work.namespace().unwrap_or_default())
}

/// Whether the Work says that its objects are in the member.
fn is_applied(work: &Work) -> bool {
    work.status
        .as_ref()
        .is_some_and(|status| conditions::is_true(&status.conditions, conditions::work::APPLIED))
}

/// Whether the Work, as it is now, is known to be in the member: what is looked at again then counts as nothing.
fn is_carried_out(work: &Work) -> bool {
    let conditions = work.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|it| it.type_ == conditions::work::APPLIED)
        .any(|it| {
            it.status == conditions::status::TRUE
                && it.observed_generation == work.metadata.generation
        })
}

/// Whether the Work says that an object which vanished in the member could not be created again.
fn is_recreating(work: &Work) -> bool {
    let conditions = work.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|it| it.type_ == conditions::work::APPLIED)
        .any(|it| it.reason == conditions::work::RECREATE_FAILED)
}

/// Whether the member answers, as far as we know.
fn is_ready(cluster: Option<&Cluster>) -> bool {
    cluster.is_some_and(Cluster::is_ready)
}

type MemberRef<'a> = &'a Arc<Member>;

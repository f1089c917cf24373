//! Binding -> Works: one Work in the execution space of each cluster that the binding names.
//!
//! reads   bindings, Works, Clusters, override policies, templates
//! writes  Works, conditions `PurgeBarrier`, `RemovalHeld`  owns  finalizers `karmada.io/binding-controller` and `karmada.io/cluster-resource-binding-controller`
//! woken by  bindings, override policies, Works that go or are edited by others, Clusters whose labels or fields change
//!
//! Both kinds of binding run through the same code.

mod metrics;
mod refused;
mod rewrites;
mod wake;
mod works;

pub(crate) use rewrites::note;
pub(crate) use works::{DraftError, Overrides, upsert_draft};

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    names,
    object::Key,
    reasons,
    work::{ClusterResourceBinding, ResourceBinding, Work},
};
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use propagation::{
    events,
    render::{self, Barrier, Gates, PURGE_BARRIER},
};
use runtime::{Action, ApiError, Queue, controller::ReconcileError, events::Source};
use trace::NoTrace;

use self::{metrics::Metrics, refused::Refused};
use crate::{
    brake::{self, BindingPass, Orphans, Terminating},
    world::{Bindings, World, template_of, to_value},
    write,
};

/// How long Works wait for an unreachable cluster that has to be left at once, before the workload starts elsewhere.
const PURGE_LIMIT: Duration = Duration::from_mins(5);
/// How often a closed purge barrier is looked at again.
const PURGE_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read template of binding {binding}")]
    ReadTemplate { binding: Key, source: ApiError },
    #[error("delete work {work}")]
    DeleteWork { work: Key, source: ApiError },
    #[error("make work {work} again, so that its objects can go")]
    StandIn { work: Key, source: ApiError },
    #[error("forget works of binding {binding} that are made again")]
    Forget { binding: Key, source: ApiError },
    #[error("release binding {binding}")]
    Release { binding: Key, source: ApiError },
    #[error("patch status of binding {binding}")]
    PatchStatus { binding: Key, source: ApiError },
    #[error("report what is held back of binding {binding}")]
    ReportHeld { binding: Key, source: ApiError },
    #[error("divide completions of binding {binding}: {source}")]
    Completions {
        binding: Key,
        source: render::CompletionsError,
    },
    #[error("sync works of binding {binding}: {message}")]
    Works {
        binding: Key,
        message: String,
        terminal: bool,
        conflict: bool,
    },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::ReadTemplate { source, .. } => source.reason(),
            Self::DeleteWork { .. } => "DeleteWorkFailed",
            Self::StandIn { .. } => "StandInFailed",
            Self::Forget { .. } => "ForgetFailed",
            Self::Release { .. } => "ReleaseFailed",
            Self::PatchStatus { .. } => "PatchStatusFailed",
            Self::ReportHeld { .. } => "ReportHeldFailed",
            Self::Completions { .. } => "CompletionsFailed",
            Self::Works { .. } => "SyncWorkFailed",
        }
    }

    fn is_terminal(&self) -> bool {
        match self {
            Self::Completions { .. } => true,
            Self::Works { terminal, .. } => *terminal,
            _ => false,
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Release { source, .. } | Self::Forget { source, .. } => source.is_conflict(),
            Self::StandIn { source, .. } => source.is_conflict() || source.is_already_exists(),
            Self::PatchStatus { source, .. } | Self::ReportHeld { source, .. } => {
                source.is_conflict() || source.is_not_found()
            }
            Self::Works { conflict, .. } => *conflict,
            _ => false,
        }
    }
}

struct Context {
    world: Arc<World>,
    events: Arc<Source>,
    metrics: Arc<Metrics>,
    gates: Gates,
    /// Bindings about which it was said that they failed.
    failed: Mutex<HashSet<Key>>,
    refused: Arc<Refused>,
}

/// Subscribes to the stores, for both kinds of binding; the futures run the workers.
pub fn prepare(
    world: &Arc<World>,
    gates: Gates,
    workers: usize,
    cluster_workers: usize,
) -> [BoxFuture<'static, ()>; 2] {
    let metrics = Arc::new(Metrics::default());
    world
        .metrics
        .register(|registry| metrics.register(registry));
    [
        prepare_kind::<ResourceBinding>(world, &metrics, gates, workers),
        prepare_kind::<ClusterResourceBinding>(world, &metrics, gates, cluster_workers),
    ]
}

fn prepare_kind<B: Bindings>(
    world: &Arc<World>,
    metrics: &Arc<Metrics>,
    gates: Gates,
    workers: usize,
) -> BoxFuture<'static, ()> {
    let name = if B::IS_NAMESPACED {
        "binding-controller"
    } else {
        "cluster-resource-binding-controller"
    };
    let queue = Queue::new();
    let refused = Arc::new(Refused::default());
    wake::subscribe::<B>(world, &queue, &refused);
    let controller = world.controller(name, queue, workers);
    let context = Arc::new(Context {
        world: Arc::clone(world),
        events: Source::new(&world.recorder, name),
        metrics: Arc::clone(metrics),
        gates,
        failed: Mutex::default(),
        refused,
    });
    let stop = world.stop.clone();
    Box::pin(controller.run(
        move |key: Key| {
            let context = Arc::clone(&context);
            async move { reconcile::<B>(&context, &key).await }
        },
        stop,
    ))
}

async fn reconcile<B: Bindings>(context: &Context, key: &Key) -> Result<Action, Error> {
    let world = &context.world;
    let Some(binding) = B::store(world).get(key) else {
        context.failed.lock().remove(key);
        return Ok(Action::AwaitChange);
    };
    rewrites::stand_in(context, &*binding).await?;
    let works = binding.permanent_id().map_or_else(Vec::new, |id| {
        world.works.by_index(world.works_by_binding, id)
    });
    if binding.meta().deletion_timestamp.is_some() {
        return release(context, &*binding, &works).await;
    }
    rewrites::forget(context, &*binding).await?;
    let which = brake::orphans(&*binding);
    if which != Orphans::Wait {
        remove_orphans(context, &*binding, &works, which).await?;
    }
    let barrier = barrier(world, &*binding, &works);
    show_barrier(context, &*binding, barrier.as_ref()).await?;
    if barrier.is_some_and(|barrier| barrier.is_closed()) {
        return Ok(Action::Requeue(PURGE_INTERVAL));
    }

    let (gvk, template_key) = template_of(&binding.spec().resource);
    let template = world
        .template(&gvk, &template_key)
        .await
        .map_err(|source| Error::ReadTemplate {
            binding: key.clone(),
            source,
        })?;
    // A template of another uid is a later one of that name; the binding goes with its owner.
    let Some(template) =
        template.filter(|template| template.metadata.uid == binding.spec().resource.uid)
    else {
        return Ok(Action::AwaitChange);
    };
    let template = to_value(&template);
    let started = Instant::now();
    let synced = works::sync(context, &*binding, &template).await;
    context.metrics.synced(synced.is_ok(), started.elapsed());
    report(context, &*binding, &synced);
    synced?;
    rewrites::forget(context, &*binding).await?;
    Ok(Action::AwaitChange)
}

/// Deletes the Works of a terminating binding and lets it go. The Works' own finalizers clean the members.
///
/// A binding that somebody deleted while template and policy are as they were leaves its Works to the next one.
async fn release<B: Bindings>(
    context: &Context,
    binding: &B,
    works: &[Arc<Work>],
) -> Result<Action, Error> {
    let world = &context.world;
    let key = binding.key();
    let why = brake::terminating(world, binding, works)
        .await
        .map_err(|source| Error::ReadTemplate {
            binding: key.clone(),
            source,
        })?;
    let mut pass = BindingPass::everything(world, binding, why == Terminating::KindGone);
    if why == Terminating::ByHand {
        tracing::info!(
            "The template still wants the deleted binding, leaving its Works to the next one"
        );
    } else {
        for work in works {
            let is_going = work.metadata.deletion_timestamp.is_some();
            if !is_going && pass.may_remove(work).await {
                delete_work(world, work).await?;
            }
        }
    }
    let holds = pass.holds();
    pass.finish(&context.events)
        .await
        .map_err(|source| Error::ReportHeld {
            binding: key.clone(),
            source,
        })?;
    if holds {
        // A release wakes it.
        return Ok(Action::AwaitChange);
    }
    let api = B::api(&context.world, key.namespace.as_deref());
    write::remove_finalizer(&api, B::store(&context.world), binding, B::FINALIZER)
        .await
        .map_err(|source| Error::Release {
            binding: key,
            source,
        })?;
    Ok(Action::AwaitChange)
}

async fn remove_orphans<B: Bindings>(
    context: &Context,
    binding: &B,
    works: &[Arc<Work>],
    which: Orphans,
) -> Result<(), Error> {
    let mut failed = None;
    let mut pass = BindingPass::orphans(&context.world, binding, which);
    for orphan in render::orphans(
        binding.spec(),
        works.iter().map(AsRef::as_ref),
        &mut NoTrace,
    ) {
        if leaves_with_its_cluster(&context.world, orphan) || !pass.may_remove(orphan).await {
            continue;
        }
        if let Err(error) = delete_work(&context.world, orphan).await {
            failed = Some(error);
        }
    }
    pass.finish(&context.events)
        .await
        .map_err(|source| Error::ReportHeld {
            binding: binding.key(),
            source,
        })?;
    let Some(error) = failed else { return Ok(()) };
    context.events.warning(
        write::reference(binding),
        reasons::CLEANUP_WORK_FAILED,
        describe(&error),
    );
    Err(error)
}

/// Whether the cluster of a Work is being taken out of the fleet: that removes all of its Works at once, and may be held back as a
/// whole. The scheduler has placed the binding elsewhere by then, which must not empty the cluster before.
fn leaves_with_its_cluster(world: &World, work: &Work) -> bool {
    let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
    names::cluster_of_execution_namespace(namespace)
        .ok()
        .and_then(|name| world.clusters.get(&Key::cluster_scoped(name)))
        .is_some_and(|cluster| cluster.metadata.deletion_timestamp.is_some())
}

async fn delete_work(world: &World, work: &Work) -> Result<(), Error> {
    if work.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let api: Api<Work> = Api::namespaced(world.client(), &work.namespace().unwrap_or_default());
    write::delete(&api, work)
        .await
        .map_err(|source| Error::DeleteWork {
            work: Key::of_meta(&work.metadata),
            source,
        })
}

/// What holds back Works because of clusters that have to be left before the workload starts elsewhere.
fn barrier<B: Bindings>(world: &World, binding: &B, works: &[Arc<Work>]) -> Option<Barrier> {
    let is_reachable = |cluster: &str| {
        world
            .clusters
            .get(&Key::cluster_scoped(cluster))
            .is_some_and(|cluster| cluster.is_ready())
    };
    if render::targets(binding.spec()).is_empty() {
        return None;
    }
    render::purge_barrier(
        binding.spec(),
        works.iter().map(AsRef::as_ref),
        is_reachable,
        PURGE_LIMIT,
        &Time(jiff::Timestamp::now()),
    )
}

async fn show_barrier<B: Bindings>(
    context: &Context,
    binding: &B,
    barrier: Option<&Barrier>,
) -> Result<(), Error> {
    let condition = barrier.map(|barrier| barrier.condition(PURGE_LIMIT));
    write::show_condition(&context.world, binding, PURGE_BARRIER, condition)
        .await
        .map_err(|source| Error::PatchStatus {
            binding: binding.key(),
            source,
        })
}

/// Tells binding and template what came of the pass; success only where a failure was told of before.
fn report<B: Bindings>(context: &Context, binding: &B, synced: &Result<bool, Error>) {
    let about = [
        write::reference(binding),
        write::template_reference(&binding.spec().resource),
    ];
    match synced {
        Ok(written) => {
            let has_failed = context.failed.lock().remove(&binding.key());
            if !written && !has_failed {
                return;
            }
            for object in about {
                context.events.recovery(
                    object,
                    reasons::SYNC_WORK_SUCCEED,
                    events::sync_work_succeed(binding),
                );
            }
        }
        Err(error) if error.is_conflict() => {}
        Err(error) => {
            context.failed.lock().insert(binding.key());
            for object in about {
                context
                    .events
                    .warning(object, reasons::SYNC_WORK_FAILED, describe(error));
            }
        }
    }
}

/// The text for users: what failed, without our own framing.
fn describe(error: &Error) -> String {
    match error {
        Error::Works { message, .. } => message.clone(),
        Error::Completions { source, .. } => source.to_string(),
        Error::ReadTemplate { source, .. }
        | Error::DeleteWork { source, .. }
        | Error::StandIn { source, .. }
        | Error::Forget { source, .. }
        | Error::PatchStatus { source, .. }
        | Error::Release { source, .. }
        | Error::ReportHeld { source, .. } => {
            format!("{error}: {source}")
        }
    }
}

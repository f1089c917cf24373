//! Binding -> Binding: a cluster that a workload leaves gracefully is let go once the workload is healthy elsewhere, or its time is up.
//!
//! reads   bindings, Works, Clusters
//! writes  `spec.gracefulEvictionTasks`
//! woken by  bindings with eviction tasks, their Works that are gone, releases of clusters and policies
//!
//! Whoever makes a task takes the cluster out of `spec.clusters`; the Work stays while the task does, see the reconciler `binding`. An
//! eviction that would leave the workload nowhere is withdrawn when its time is up, unless somebody releases binding, policy or cluster:
//! then it purges directly, and its task goes with the last copy.

use std::{sync::Arc, time::Duration};

use crds::{object::Key, reasons, work::Binding};
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use propagation::{
    brake::Scope,
    events,
    eviction::{self, Assessment},
    render,
};
use runtime::{
    Action, ApiError, Change, Queue, controller::ReconcileError, events::Source, queue::Priority,
};
use trace::NoTrace;

use crate::{
    brake,
    world::{Bindings, World, binding_of},
    write,
};

#[derive(Debug, thiserror::Error)]
#[error("update eviction tasks of binding {binding}")]
pub struct Error {
    binding: Key,
    source: ApiError,
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        "UpdateTasksFailed"
    }

    fn is_conflict(&self) -> bool {
        self.source.is_conflict() || self.source.is_not_found()
    }
}

/// What the reconciler can be told.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The grace period of tasks that have none of their own.
    pub timeout: Duration,
    pub workers: usize,
}

struct Context {
    world: Arc<World>,
    events: Arc<Source>,
    timeout: Duration,
}

/// Subscribes to the stores; the future runs the workers.
pub fn prepare<B: Bindings>(world: &Arc<World>, options: Options) -> BoxFuture<'static, ()> {
    let name = if B::IS_NAMESPACED {
        "resource-binding-graceful-eviction-controller"
    } else {
        "cluster-resource-binding-graceful-eviction-controller"
    };
    let queue = Queue::new();
    let to = Arc::clone(&queue);
    B::store(world).subscribe(move |change| {
        let binding = &**change.object();
        if change.is_deletion() || binding.spec().graceful_eviction_tasks.is_empty() {
            return;
        }
        let initial = matches!(change, Change::Added { initial: true, .. });
        to.add_with(
            Binding::key(binding),
            if initial {
                Priority::Low
            } else {
                Priority::Normal
            },
        );
    });
    let (to, weak) = (Arc::clone(&queue), Arc::downgrade(world));
    world.works.subscribe(move |change| {
        let Change::Deleted { old } = change else {
            return;
        };
        let found = binding_of::<B>(old).zip(weak.upgrade());
        let Some((key, world)) = found else { return };
        let binding = B::store(&world).get(&key);
        if binding.is_some_and(|it| !it.spec().graceful_eviction_tasks.is_empty()) {
            to.add(key);
        }
    });
    let (to, weak) = (Arc::clone(&queue), Arc::downgrade(world));
    world.brake.on_scope_release(move |scope| {
        let Some(world) = weak.upgrade() else { return };
        // Releases are rare.
        B::store(&world).each(|binding| {
            if concerns(&**binding, scope) {
                to.add(Binding::key(&**binding));
            }
        });
    });
    let controller = world.controller(name, queue, options.workers);
    let context = Arc::new(Context {
        world: Arc::clone(world),
        events: Source::new(&world.recorder, name),
        timeout: options.timeout,
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

/// Whether a release may end an eviction of the binding.
fn concerns<B: Binding>(binding: &B, scope: &Scope) -> bool {
    let mut tasks = binding.spec().graceful_eviction_tasks.iter();
    match scope {
        Scope::Cluster(name) => tasks.any(|task| task.from_cluster == *name),
        Scope::Policy(_) => tasks.next().is_some(),
    }
}

async fn reconcile<B: Bindings>(context: &Context, key: &Key) -> Result<Action, Error> {
    let Some(binding) = B::store(&context.world).get(key) else {
        return Ok(Action::AwaitChange);
    };
    if binding.meta().deletion_timestamp.is_some() {
        return Ok(Action::AwaitChange);
    }
    let assessment = assess(context, &*binding);
    if assessment.changes(binding.spec()) {
        let mut updated = B::clone(&binding);
        assessment.apply(updated.spec_mut());
        let api = B::api(&context.world, key.namespace.as_deref());
        write::update(&api, B::store(&context.world), &*binding, &updated)
            .await
            .map_err(|source| Error {
                binding: key.clone(),
                source,
            })?;
        report(context, &*binding, &assessment);
    }
    Ok(assessment
        .requeue_after
        .map_or(Action::AwaitChange, Action::Requeue))
}

fn assess<B: Bindings>(context: &Context, binding: &B) -> Assessment {
    let now = Time(jiff::Timestamp::now());
    let world = &context.world;
    let from = || {
        let tasks = binding.spec().graceful_eviction_tasks.iter();
        tasks.map(|task| task.from_cluster.clone())
    };
    let gone = from().filter(|cluster| is_gone(world, cluster)).collect();
    let released = from()
        .filter(|cluster| brake::is_let_go(world, binding, cluster, &now))
        .collect();
    let works = binding.permanent_id().map_or_else(Vec::new, |id| {
        world.works.by_index(world.works_by_binding, id)
    });
    let occupied = render::occupied(works.iter().map(AsRef::as_ref));
    let inputs = eviction::Inputs {
        spec: binding.spec(),
        status: binding.status(),
        generation: binding.meta().generation.unwrap_or_default(),
        timeout: context.timeout,
        gone: &gone,
        released: &released,
        occupied: &occupied,
        now: &now,
    };
    eviction::assess(&inputs, &mut NoTrace)
}

fn is_gone(world: &World, cluster: &str) -> bool {
    world
        .clusters
        .get(&Key::cluster_scoped(cluster))
        .is_none_or(|cluster| cluster.metadata.deletion_timestamp.is_some())
}

fn report<B: Bindings>(context: &Context, binding: &B, assessment: &Assessment) {
    for about in [
        write::reference(binding),
        write::template_reference(&binding.spec().resource),
    ] {
        for cluster in &assessment.dropped {
            context.events.normal(
                about.clone(),
                reasons::EVICT_WORKLOAD_FROM_CLUSTER_SUCCEED,
                events::evict_workload_succeed(cluster),
            );
        }
        for target in &assessment.withdrawn {
            context.events.warning(
                about.clone(),
                reasons::EVICT_WORKLOAD_FROM_CLUSTER_FAILED,
                events::evict_workload_failed(&target.name, eviction::WITHDRAWN),
            );
        }
    }
}

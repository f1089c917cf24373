//! Binding -> `spec.clusters`: each binding runs where the scheduler's pure core says, and says so in condition `Scheduled`.
//!
//! reads   bindings, Clusters
//! writes  `spec.clusters`, the applied placement, condition `Scheduled` and what belongs to it
//! woken by  bindings, Clusters that join, leave, change or gain room
//!
//! Several workers decide at a time, each binding by one of them; a decision reads the shared snapshot and copies nothing of it.

mod wake;

use std::sync::Arc;

use crds::object::Key;
use futures::future::BoxFuture;
use kube::api::{Patch, PatchParams};
use parking_lot::{Mutex, RwLock};
use runtime::{Action, ApiError, Queue, controller::ReconcileError, error::call, events::Source};
use scheduler::{
    Decision, Inputs, Options, Snapshot, decide,
    decision::{Report, Requeue, WriteError, spec_patch, status_patch},
    relevance,
};
use serde_json::Value;
use trace::NoTrace;

use crate::{
    world::{Bindings, World},
    write,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("schedule binding {binding}: {message}")]
    Schedule {
        binding: Key,
        reason: &'static str,
        message: String,
        waits: bool,
    },
    #[error("patch binding {binding}")]
    PatchBinding { binding: Key, source: ApiError },
    #[error("patch status of binding {binding}")]
    PatchStatus { binding: Key, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Schedule { reason, .. } => reason,
            Self::PatchBinding { .. } => "PatchBindingFailed",
            Self::PatchStatus { .. } => "PatchStatusFailed",
        }
    }

    fn is_terminal(&self) -> bool {
        // Clusters that gain room wake what is unschedulable.
        matches!(self, Self::Schedule { waits: true, .. })
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::PatchBinding { source, .. } | Self::PatchStatus { source, .. } => {
                source.is_conflict() || source.is_not_found()
            }
            Self::Schedule { .. } => false,
        }
    }
}

/// What both kinds of binding share: the clusters as the scheduler sees them, and its options.
pub struct Shared {
    world: Arc<World>,
    /// Flags, gates, plugins.
    pub options: Options,
    snapshot: RwLock<Snapshot>,
    gains: Mutex<relevance::Debounce>,
    events: Arc<Source>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// Subscribes to the Clusters. Both kinds of binding are prepared with the result.
pub fn shared(world: &Arc<World>, options: Options) -> Arc<Shared> {
    let shared = Arc::new(Shared {
        world: Arc::clone(world),
        options,
        snapshot: RwLock::new(Snapshot::new(&[])),
        gains: Mutex::default(),
        events: Source::new(&world.recorder, "default-scheduler"),
    });
    wake::keep_snapshot(world, &shared);
    shared
}

/// Subscribes to the stores; the future runs the workers.
pub fn prepare<B: Bindings>(shared: &Arc<Shared>, workers: usize) -> BoxFuture<'static, ()> {
    let world = &shared.world;
    let queue = Queue::new();
    wake::subscribe::<B>(shared, &queue);
    let name = if B::IS_NAMESPACED {
        "scheduler"
    } else {
        "cluster-scheduler"
    };
    let controller = world.controller(name, queue, workers);
    let stop = world.stop.clone();
    let shared = Arc::clone(shared);
    Box::pin(controller.run(
        move |key: Key| {
            let shared = Arc::clone(&shared);
            async move { reconcile::<B>(&shared, &key).await }
        },
        stop,
    ))
}

async fn reconcile<B: Bindings>(shared: &Shared, key: &Key) -> Result<Action, Error> {
    let Some(binding) = B::store(&shared.world).get(key) else {
        return Ok(Action::AwaitChange);
    };
    if !relevance::is_managed(&*binding, &shared.options.scheduler_name) {
        return Ok(Action::AwaitChange);
    }
    let decision = {
        let snapshot = shared.snapshot.read();
        decide(
            &*binding,
            &Inputs::new(&snapshot, &shared.options, jiff::Timestamp::now()),
            &mut NoTrace,
        )
    };
    let latest = apply::<B>(shared, key, &binding, &decision).await;
    let written = match &latest {
        Ok(_) => Ok(()),
        Err(error) if error.is_conflict() || error.is_not_found() => {
            // Somebody wrote first: the binding comes back with that, and is decided afresh.
            return latest
                .map(|_| Action::AwaitChange)
                .map_err(|source| Error::PatchBinding {
                    binding: key.clone(),
                    source,
                });
        }
        Err(error) => Err(write_error(error)),
    };
    let report = match &decision {
        Decision::Scheduled(outcome) => {
            Some(outcome.report(&*binding, written.as_ref().copied(), shared.options.compat))
        }
        _ => None,
    };
    let latest = latest.ok().flatten();
    tell::<B>(
        shared,
        key,
        latest.as_deref().unwrap_or(&binding),
        &decision,
        report.as_ref(),
    )
    .await?;
    conclude(key, report)
}

/// Writes the result; returns the binding as it is now, if anything was written.
async fn apply<B: Bindings>(
    shared: &Shared,
    key: &Key,
    binding: &B,
    decision: &Decision,
) -> Result<Option<Arc<B>>, ApiError> {
    let Some(mut patch) = spec_patch(binding, decision, shared.options.compat) else {
        return Ok(None);
    };
    // A decision on an older state of the binding must not overrule a newer one.
    if let Some(version) = &binding.meta().resource_version {
        patch["metadata"]["resourceVersion"] = Value::from(version.clone());
    }
    let api = B::api(&shared.world, key.namespace.as_deref());
    let reply = call(api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
    B::store(&shared.world).observe_reply(reply.clone());
    Ok(Some(Arc::new(reply)))
}

/// Condition and events.
async fn tell<B: Bindings>(
    shared: &Shared,
    key: &Key,
    latest: &B,
    decision: &Decision,
    report: Option<&Report>,
) -> Result<(), Error> {
    let patch = status_patch(latest, decision, report, jiff::Timestamp::now());
    if let Some(patch) = patch {
        let api = B::api(&shared.world, key.namespace.as_deref());
        write::patch_status(&api, B::store(&shared.world), &key.name, &patch)
            .await
            .map_err(|source| Error::PatchStatus {
                binding: key.clone(),
                source,
            })?;
    }
    for event in decision.events(latest, report) {
        let about = [
            write::reference(latest),
            write::template_reference(&latest.spec().resource),
        ];
        for object in about {
            match event.type_ {
                scheduler::decision::EventType::Normal => {
                    shared
                        .events
                        .normal(object, event.reason, event.message.clone());
                }
                scheduler::decision::EventType::Warning => {
                    shared
                        .events
                        .warning(object, event.reason, event.message.clone());
                }
            }
        }
    }
    Ok(())
}

fn conclude(key: &Key, report: Option<Report>) -> Result<Action, Error> {
    match report {
        Some(report) if report.requeue != Requeue::No => Err(Error::Schedule {
            binding: key.clone(),
            reason: report.reason,
            message: report.message,
            waits: report.requeue == Requeue::Unschedulable,
        }),
        _ => Ok(Action::AwaitChange),
    }
}

fn write_error(error: &ApiError) -> WriteError {
    let status = error.status();
    WriteError {
        message: error.to_string(),
        code: status.map_or(0, |status| status.code),
        reason: status
            .map(|status| status.reason.clone())
            .unwrap_or_default(),
        namespace_terminating: status
            .and_then(|status| status.details.as_ref())
            .is_some_and(|details| {
                details
                    .causes
                    .iter()
                    .any(|cause| cause.reason == "NamespaceTerminating")
            }),
    }
}

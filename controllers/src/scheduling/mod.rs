//! Binding -> `spec.clusters`: each binding runs where the scheduler's pure core says, and says so in condition `Scheduled`.
//!
//! reads   bindings, Clusters, `FederatedResourceQuotas`, accurate estimators
//! writes  `spec.clusters`, the applied placement, condition `Scheduled` and what belongs to it
//! woken by  bindings, Clusters that join, leave, change or gain room, quotas that change
//!
//! Several workers decide at a time, each binding by one of them; a decision reads the shared snapshot and copies nothing of it.

mod account;
mod estimates;
mod inflight;
mod metrics;
mod quota;
mod retell;
mod wake;
mod writes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crds::object::Key;
use estimator::client::Estimators;
use futures::future::BoxFuture;
use kube::api::{Patch, PatchParams};
use parking_lot::{Mutex, RwLock};
use runtime::{
    Action, ApiError, Queue,
    backoff::Backoff,
    controller::ReconcileError,
    error::call,
    events::Source,
    queue::{Bucket, Priority, Retries},
};
use scheduler::{
    Decision, Options, Snapshot,
    decision::{Report, Requeue, WriteError, spec_patch, status_patch},
    relevance::{self, Cause},
};
use serde_json::Value;

pub use self::account::{Account, Condition, Decided, Recomputed, Recorded};
pub(crate) use self::inflight::group_values;
use self::{
    account::Latest,
    inflight::Inflight,
    metrics::Metrics,
    retell::Telling,
    writes::{Writes, Writing},
};
use crate::{
    world::{Bindings, World},
    write,
};

/// When a binding is looked at again whose clusters changed while it was decided that none fits.
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// The name of both kinds' queues on dashboards.
const QUEUE: &str = "scheduler-queue";
/// After what time a binding is tried again for which there was no room, if bindings go by priority; else it backs off as others do.
const UNSCHEDULABLE: Duration = Duration::from_mins(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("schedule binding {binding}: {message}")]
    Schedule {
        binding: Key,
        reason: &'static str,
        message: String,
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

    fn is_conflict(&self) -> bool {
        match self {
            Self::PatchBinding { source, .. } | Self::PatchStatus { source, .. } => {
                source.is_conflict() || source.is_not_found()
            }
            Self::Schedule { .. } => false,
        }
    }
}

/// How the service runs, beside what decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether bindings go in order of their priority; gate `PriorityBasedScheduling`.
    pub by_priority: bool,
    /// How long failed bindings wait when they do not go by priority.
    pub limits: RateLimits,
}

/// How long failed bindings wait: for themselves, and all together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimits {
    pub base_delay: Duration,
    pub max_delay: Duration,
    /// Retries a second, and how many may come at once.
    pub qps: f64,
    pub bucket_size: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            base_delay: Duration::from_millis(5),
            max_delay: Duration::from_secs(1000),
            qps: 10.0,
            bucket_size: 100,
        }
    }
}

impl RateLimits {
    /// The same with the default in place of what is not positive.
    fn or_default(self) -> Self {
        let default = Self::default();
        let pick = |it: Duration, default| if it.is_zero() { default } else { it };
        Self {
            base_delay: pick(self.base_delay, default.base_delay),
            max_delay: pick(self.max_delay, default.max_delay),
            qps: if self.qps > 0.0 {
                self.qps
            } else {
                default.qps
            },
            bucket_size: if self.bucket_size == 0 {
                default.bucket_size
            } else {
                self.bucket_size
            },
        }
    }
}

impl Settings {
    fn retries(&self) -> Retries {
        if self.by_priority {
            return Retries {
                backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(10)).exact(),
                bucket: None,
            };
        }
        let limits = self.limits.or_default();
        Retries {
            backoff: Backoff::new(limits.base_delay, limits.max_delay),
            bucket: Some(Bucket::new(limits.qps, limits.bucket_size)),
        }
    }

    /// Where a binding stands in the queue; `is_bulk` if nothing about it changed.
    fn priority<B: Bindings>(&self, binding: &B, is_bulk: bool) -> Priority {
        if self.by_priority {
            Priority::Of(binding.spec().priority())
        } else if is_bulk {
            Priority::Low
        } else {
            Priority::Normal
        }
    }
}

/// What both kinds of binding share: the clusters as the scheduler sees them, and its options.
pub struct Shared {
    world: Arc<World>,
    /// Flags, gates, plugins.
    pub options: Options,
    /// The same with plugins that are measured.
    measured: Options,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Counts the changes of the snapshot that a binding without a place could gain by.
    changes: AtomicU64,
    started: Instant,
    /// Results that are being written.
    writes: Writes,
    inflight: Arc<Inflight>,
    latest: Latest,
    metrics: Arc<Metrics>,
    gains: Mutex<relevance::Debounce>,
    second_looks: Mutex<relevance::Debounce>,
    events: Arc<Source>,
    /// Without these, only the general estimator is asked.
    estimators: Option<Arc<Estimators>>,
    settings: Settings,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// Subscribes to the Clusters. Both kinds of binding are prepared with the result.
pub fn shared(
    world: &Arc<World>,
    options: Options,
    settings: Settings,
    estimators: Option<Arc<Estimators>>,
) -> Arc<Shared> {
    // Kept for as long as the process runs, of which there is one scheduler.
    let name: &'static str = options.scheduler_name.clone().leak();
    let metrics = Arc::new(Metrics::default());
    world
        .metrics
        .register(|registry| metrics.register(registry));
    let inflight = Arc::new(Inflight::default());
    if options.gates.scheduling_overcommit_protection {
        inflight.subscribe(world);
    }
    let shared = Arc::new(Shared {
        world: Arc::clone(world),
        measured: metrics.measured(&options),
        options,
        inflight,
        latest: Latest::default(),
        metrics,
        snapshot: RwLock::default(),
        changes: AtomicU64::new(0),
        started: Instant::now(),
        writes: Writes::default(),
        gains: Mutex::default(),
        second_looks: Mutex::default(),
        events: Source::new(&world.recorder, name),
        estimators,
        settings,
    });
    wake::keep_snapshot(world, &shared);
    shared
}

/// Subscribes to the stores; the future runs the workers.
pub fn prepare<B: Bindings>(shared: &Arc<Shared>, workers: usize) -> BoxFuture<'static, ()> {
    let world = &shared.world;
    let queue = Arc::new(Queue::retrying(shared.settings.retries()));
    wake::subscribe::<B>(shared, &queue);
    quota::subscribe::<B>(shared, &queue);
    shared.metrics.watch(&queue);
    let name = if B::IS_NAMESPACED {
        "scheduler"
    } else {
        "cluster-scheduler"
    };
    let controller = world.controller_with_queue(name, QUEUE, queue, workers);
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
    let started = Instant::now();
    let read = || {
        B::store(&shared.world)
            .get(key)
            .filter(|binding| relevance::is_managed(&**binding, &shared.options.scheduler_name))
    };
    let Some(mut binding) = read() else {
        return Ok(Action::AwaitChange);
    };
    let turn = shared.inflight.turn(&*binding, &shared.options).await;
    if turn.is_some() {
        match read() {
            Some(latest) => binding = latest,
            None => return Ok(Action::AwaitChange),
        }
    }
    let seen = shared.changes.load(Ordering::Acquire);
    let (decision, basis) = shared.decide(&*binding).await;
    if let Decision::Scheduled(outcome) = &decision {
        shared.latest.remember(key, &binding, outcome, basis);
    }
    let latest = apply::<B>(shared, key, &binding, &decision).await;
    drop(turn);
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
    // Its event is kept back until the status is written as well: what it would bring about is this very pass.
    let (latest, _writing) = latest.ok().flatten().unzip();
    tell::<B>(
        shared,
        key,
        latest.as_ref().unwrap_or(&binding),
        &decision,
        report.as_ref(),
    )
    .await?;
    if let (Decision::Scheduled(outcome), Some(report)) = (&decision, &report) {
        shared
            .metrics
            .attempted(outcome.trigger, report, started.elapsed());
        if report.requeue != Requeue::No {
            shared.metrics.incoming(Cause::ScheduleAttemptFailure);
        }
    }
    let is_outdated = seen != shared.changes.load(Ordering::Acquire);
    shared.conclude::<B>(key, report, is_outdated)
}

/// Writes the result; returns the binding as it is now, if anything was written, and with what its event is kept back.
async fn apply<'s, B: Bindings>(
    shared: &'s Shared,
    key: &Key,
    binding: &B,
    decision: &Decision,
) -> Result<Option<(Arc<B>, Writing<'s>)>, ApiError> {
    let Some(mut patch) = spec_patch(binding, decision, shared.options.compat) else {
        return Ok(None);
    };
    // A decision on an older state of the binding must not overrule a newer one.
    if let Some(version) = &binding.meta().resource_version {
        patch["metadata"]["resourceVersion"] = Value::from(version.clone());
    }
    let api = B::api(&shared.world, key.namespace.as_deref());
    let writing = shared.writes.begin(binding);
    let reply = call(api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
    B::store(&shared.world).observe_reply(reply.clone());
    shared.inflight.placed(binding, &reply, &shared.options);
    Ok(Some((Arc::new(reply), writing)))
}

/// Condition and events.
async fn tell<B: Bindings>(
    shared: &Shared,
    key: &Key,
    latest: &B,
    decision: &Decision,
    report: Option<&Report>,
) -> Result<(), Error> {
    let now = jiff::Timestamp::now();
    let api = B::api(&shared.world, key.namespace.as_deref());
    let failed = |source| Error::PatchStatus {
        binding: key.clone(),
        source,
    };
    let mut telling = Telling::new(latest);
    while let Some(patch) = status_patch(telling.seen(), decision, report, now) {
        match write::patch_status(&api, B::store(&shared.world), &key.name, &patch).await {
            Ok(()) => break,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if error.is_conflict() && telling.goes_on() => {
                let current = call(api.get_opt(&key.name)).await.map_err(failed)?;
                if !telling.take(current) {
                    return Ok(());
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
    for event in decision.events(latest, report) {
        let binding = write::reference(latest);
        let template = write::template_reference(&latest.spec().resource);
        let (reason, message) = (event.reason, event.message.clone());
        match event.type_ {
            scheduler::decision::EventType::Normal => {
                // The binding says the same in its spec and its condition.
                shared.events.recovery(binding, reason, message.clone());
                shared.events.normal(template, reason, message);
            }
            scheduler::decision::EventType::Warning => {
                shared.events.warning(binding, reason, message.clone());
                shared.events.warning(template, reason, message);
            }
        }
    }
    Ok(())
}

impl Shared {
    /// Whether and when the binding comes back.
    fn conclude<B: Bindings>(
        &self,
        key: &Key,
        report: Option<Report>,
        is_outdated: bool,
    ) -> Result<Action, Error> {
        let Some(report) = report.filter(|report| !report.scheduled) else {
            self.second_looks.lock().remove(&second_look::<B>(key));
            return Ok(Action::AwaitChange);
        };
        let failed = |report: Report| {
            Err(Error::Schedule {
                binding: key.clone(),
                reason: report.reason,
                message: report.message,
            })
        };
        match report.requeue {
            Requeue::Backoff => failed(report),
            // Clusters that gain something wake bindings that say they wait. This one says so only now, and may have missed it.
            _ if is_outdated => {
                let now = self.started.elapsed();
                let name = second_look::<B>(key);
                let pause = self.second_looks.lock().postpone(&name, now);
                Ok(Action::Requeue(pause.max(SECOND_LOOK)))
            }
            // Clusters that gain room wake it earlier.
            Requeue::Unschedulable if self.settings.by_priority => {
                tracing::debug!(message = report.message, "Unschedulable, waiting for room");
                Ok(Action::Requeue(UNSCHEDULABLE))
            }
            Requeue::Unschedulable => failed(report),
            Requeue::No => Ok(Action::AwaitChange),
        }
    }
}

/// What the second looks at a binding are counted under.
fn second_look<B: Bindings>(key: &Key) -> String {
    format!("{} {key}", B::KIND)
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

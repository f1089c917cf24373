//! Binding -> eviction tasks: a workload leaves the clusters in which it stays unhealthy for longer than its policy tolerates.
//!
//! reads   bindings, Clusters
//! writes  eviction tasks and `spec.clusters`, annotation `navarch.dev/unhealthy-since`, condition `FailoverHeld`
//! woken by  bindings with `spec.failover.application`; those that are held also by Clusters that gain anything, and once a minute
//!
//! Since when a workload is unhealthy is written on its binding, so that a restart does not begin the toleration anew. The last cluster
//! is left only when the scheduler would find another.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use crds::{
    conditions,
    config::InterpreterOperation,
    object::Key,
    reasons,
    work::{Binding, ClusterResourceBinding, ResourceBinding, ResourceBindingSpec},
};
use futures::future::BoxFuture;
use interpreter::Target;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
};
use propagation::{
    events,
    failover::{self, Decision, FAILOVER_HELD, FailoverError, UNHEALTHY_SINCE, UnhealthySince},
};
use runtime::{
    Action, ApiError, Change, Queue, controller::ReconcileError, events::Source, queue::Priority,
};
use scheduler::{
    Inputs, Snapshot,
    relevance::{self, ClusterChange},
};
use trace::NoTrace;

use crate::{
    world::{Bindings, World},
    write,
};

/// How often a binding is looked at that has nowhere to go: not everything that makes room for it is a change of a Cluster.
const HELD_INTERVAL: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("evict binding {binding} from unhealthy clusters")]
    Evict { binding: Key, source: ApiError },
    #[error("patch status of binding {binding}")]
    PatchStatus { binding: Key, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Evict { .. } => "EvictFailed",
            Self::PatchStatus { .. } => "PatchStatusFailed",
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Evict { source, .. } | Self::PatchStatus { source, .. } => {
                source.is_conflict() || source.is_not_found()
            }
        }
    }
}

/// What the reconciler can be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Feature gates, and whether an unknown health resets the clock.
    pub failover: failover::Options,
    /// How the scheduler decides, which is asked before the last cluster is left.
    pub scheduler: scheduler::Options,
    pub workers: usize,
}

struct Context {
    world: Arc<World>,
    events: Arc<Source>,
    options: Options,
    held: Arc<Held>,
}

/// Subscribes to the stores, for both kinds of binding; the futures run the workers.
pub fn prepare(world: &Arc<World>, options: &Options) -> [BoxFuture<'static, ()>; 2] {
    let gauge = HeldGauge::default();
    world.metrics.register(|registry| {
        registry.register(
            "navarch_failovers_held",
            "Workloads that stay in a cluster although they were unhealthy there for too long",
            gauge.clone(),
        );
    });
    [
        prepare_kind::<ResourceBinding>(world, &gauge, options.clone()),
        prepare_kind::<ClusterResourceBinding>(world, &gauge, options.clone()),
    ]
}

fn prepare_kind<B: Bindings>(
    world: &Arc<World>,
    gauge: &HeldGauge,
    options: Options,
) -> BoxFuture<'static, ()> {
    let queue = Queue::new();
    let held = Arc::new(Held {
        reasons: Mutex::default(),
        gauge: gauge.clone(),
    });
    subscribe::<B>(world, &queue, &held);
    let name = failover::producer::<B>();
    let controller = world.controller(name, queue, options.workers);
    let context = Arc::new(Context {
        world: Arc::clone(world),
        events: Source::new(&world.recorder, name),
        options,
        held,
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

fn subscribe<B: Bindings>(world: &Arc<World>, queue: &Arc<Queue<Key>>, held: &Arc<Held>) {
    let (to, of) = (Arc::clone(queue), Arc::clone(held));
    B::store(world).subscribe(move |change| match change {
        Change::Added { new, initial } if has_behavior(&***new) => to.add_with(
            Binding::key(&***new),
            if *initial {
                Priority::Low
            } else {
                Priority::Normal
            },
        ),
        Change::Updated { old, new } if is_relevant(&***old, &***new) => {
            to.add(Binding::key(&***new));
        }
        Change::Deleted { old } => of.set(&Binding::key(&***old), None),
        _ => {}
    });

    // A place may have turned up for what has none.
    let (to, of) = (Arc::clone(queue), Arc::clone(held));
    world.clusters.subscribe(move |change| {
        let after = change.object();
        let before = change.old().map(|old| &**old);
        if !change.is_deletion() && ClusterChange::between(before, after) != ClusterChange::Nothing
        {
            of.wake(&to);
        }
    });
}

/// What stays where it is unhealthy, and why.
#[derive(Debug, Default)]
struct Held {
    reasons: Mutex<BTreeMap<Key, &'static str>>,
    gauge: HeldGauge,
}

/// Of both kinds of binding.
type HeldGauge = Family<ReasonLabel, Gauge<i64, AtomicI64>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Held {
    /// Notes why a binding's failover is held, or that it is not.
    fn set(&self, binding: &Key, reason: Option<&'static str>) {
        let mut reasons = self.reasons.lock();
        let before = match reason {
            Some(reason) => reasons.insert(binding.clone(), reason),
            None => reasons.remove(binding),
        };
        drop(reasons);
        for (reason, step) in [(before, -1), (reason, 1)] {
            if let Some(reason) = reason {
                self.gauge
                    .get_or_create(&ReasonLabel { reason })
                    .inc_by(step);
            }
        }
    }

    /// Has everything looked at that has nowhere to go.
    fn wake(&self, queue: &Queue<Key>) {
        for (binding, reason) in &*self.reasons.lock() {
            if *reason == failover::NO_OTHER_CLUSTER {
                queue.add_with(binding.clone(), Priority::Low);
            }
        }
    }
}

fn has_behavior<B: Binding>(binding: &B) -> bool {
    binding
        .spec()
        .failover
        .as_ref()
        .is_some_and(|failover| failover.application.is_some())
}

/// Whether the change says anything about health, tasks or the policy.
fn is_relevant<B: Binding>(old: &B, new: &B) -> bool {
    let aggregated = |binding: &B| {
        binding
            .status()
            .map(|status| status.aggregated_status.clone())
    };
    (has_behavior(old) || has_behavior(new))
        && (old.meta().generation != new.meta().generation || aggregated(old) != aggregated(new))
}

async fn reconcile<B: Bindings>(context: &Context, key: &Key) -> Result<Action, Error> {
    let Some(binding) = B::store(&context.world).get(key) else {
        return Ok(Action::AwaitChange);
    };
    if binding.meta().deletion_timestamp.is_some() {
        return Ok(Action::AwaitChange);
    }
    let decision = decide(context, &*binding).await;
    // Noted before anything is written, so that a cluster which changes meanwhile has it looked at again.
    let reason = failover::held_reason(&decision.failures);
    context.held.set(key, reason);
    if !is_told(&*binding, &decision.failures) {
        report_failures(context, &*binding, &decision.failures);
    }
    let latest = apply(context, &binding, &decision).await?;
    show(context, &*latest, &decision).await?;

    Ok(next_look(decision.requeue_after, reason).map_or(Action::AwaitChange, Action::Requeue))
}

/// When to look again although nothing happened.
fn next_look(due: Option<Duration>, held: Option<&str>) -> Option<Duration> {
    let again = (held == Some(failover::NO_OTHER_CLUSTER)).then_some(HELD_INTERVAL);
    due.into_iter().chain(again).min()
}

/// Whether the binding says already that this is held, so that another look is no news.
fn is_told<B: Binding>(binding: &B, failures: &[FailoverError]) -> bool {
    let list = binding.status().map(|status| &status.conditions[..]);
    let shown = list.and_then(|list| conditions::find(list, FAILOVER_HELD));
    match (shown, failover::held(failures)) {
        (Some(shown), Some(held)) => shown.message == held.message && shown.reason == held.reason,
        _ => false,
    }
}

async fn decide<B: Bindings>(context: &Context, binding: &B) -> Decision {
    let resource = &binding.spec().resource;
    let target = Target::new(&resource.api_version, &resource.kind);
    let operation = InterpreterOperation::InterpretHealth;
    let has_health_rule = context.world.interpreter.hook_enabled(target, operation);
    let has_health_rule = has_health_rule.await;
    if !failover::concerns(binding, has_health_rule) {
        return Decision::default();
    }
    let now = Time(jiff::Timestamp::now());
    failover::decide(
        binding,
        &remembered(binding),
        context.options.failover,
        |spec| elsewhere(context, binding, spec),
        &now,
        &mut NoTrace,
    )
}

fn remembered<B: Binding>(binding: &B) -> UnhealthySince {
    binding
        .annotations()
        .get(UNHEALTHY_SINCE)
        .map(|text| failover::parse_unhealthy_since(text))
        .unwrap_or_default()
}

/// Whether the scheduler finds a place for the binding with this spec; else why not.
///
/// Another scheduler than ours cannot be asked, and is trusted: what is left gracefully stays until it has answered.
fn elsewhere<B: Bindings>(
    context: &Context,
    binding: &B,
    spec: &ResourceBindingSpec,
) -> Result<(), String> {
    let options = &context.options.scheduler;
    if spec.is_scheduling_suspended() {
        return Err("scheduling is suspended".into());
    }
    let name = spec.scheduler_name.as_deref().unwrap_or_default();
    if !name.is_empty() && name != options.scheduler_name {
        return Ok(());
    }
    if !relevance::is_managed(binding, &options.scheduler_name) {
        return Err("no policy places it any more".into());
    }
    let mut after = binding.clone();
    *after.spec_mut() = spec.clone();
    let snapshot = Snapshot::new(&context.world.clusters.list());
    let inputs = Inputs::new(&snapshot, options, jiff::Timestamp::now());
    let decision = scheduler::decide(&after, &inputs, &mut NoTrace);
    if !decision.clusters(&after).is_empty() {
        return Ok(());
    }
    Err(match decision {
        scheduler::Decision::Scheduled(outcome) => match outcome.result {
            Err(failure) => failure.message,
            Ok(_) => "it has no replicas to place".into(),
        },
        _ => "the scheduler does not place it".into(),
    })
}

/// Writes tasks and what is remembered, in one patch; returns the binding as it is now.
async fn apply<B: Bindings>(
    context: &Context,
    binding: &Arc<B>,
    decision: &Decision,
) -> Result<Arc<B>, Error> {
    let mut updated = B::clone(binding);
    if let Some(spec) = &decision.spec {
        updated.spec_mut().clone_from(spec);
    }
    match failover::unhealthy_since_annotation(&decision.state) {
        Some(text) => {
            updated
                .annotations_mut()
                .insert(UNHEALTHY_SINCE.into(), text);
        }
        None if binding.annotations().contains_key(UNHEALTHY_SINCE) => {
            updated.annotations_mut().remove(UNHEALTHY_SINCE);
        }
        None => {}
    }
    let key = Binding::key(&**binding);
    let store = B::store(&context.world);
    let api = B::api(&context.world, key.namespace.as_deref());
    match write::update(&api, store, &**binding, &updated).await {
        Ok(false) => Ok(Arc::clone(binding)),
        Ok(true) => {
            for cluster in &decision.evicted {
                tracing::info!(binding = %key, cluster, "Workload leaves a cluster in which it is unhealthy");
            }
            Ok(store.get(&key).unwrap_or_else(|| Arc::clone(binding)))
        }
        Err(source) => {
            if !source.is_conflict() && !source.is_not_found() {
                for cluster in &decision.evicted {
                    warn(context, &**binding, cluster, &source.to_string());
                }
            }
            Err(Error::Evict {
                binding: key,
                source,
            })
        }
    }
}

/// Shows as a condition what is held, and takes the condition away when nothing is.
async fn show<B: Bindings>(
    context: &Context,
    binding: &B,
    decision: &Decision,
) -> Result<(), Error> {
    let condition = failover::held(&decision.failures);
    write::show_condition(&context.world, binding, FAILOVER_HELD, condition)
        .await
        .map_err(|source| Error::PatchStatus {
            binding: Binding::key(binding),
            source,
        })
}

fn report_failures<B: Bindings>(context: &Context, binding: &B, failures: &[FailoverError]) {
    for failure in failures {
        warn(context, binding, failure.cluster(), &failure.to_string());
    }
}

fn warn<B: Bindings>(context: &Context, binding: &B, cluster: &str, error: &str) {
    for about in [
        write::reference(binding),
        write::template_reference(&binding.spec().resource),
    ] {
        context.events.warning(
            about,
            reasons::EVICT_WORKLOAD_FROM_CLUSTER_FAILED,
            events::evict_workload_failed(cluster, error),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_held_is_counted_and_woken() {
        let held = Held::default();
        let (a, b) = (Key::new("shop", "a"), Key::new("shop", "b"));
        held.set(&a, Some(failover::NO_OTHER_CLUSTER));
        held.set(&a, Some(failover::NO_OTHER_CLUSTER));
        held.set(&b, Some("StateNotPreserved"));
        let count = |reason| held.gauge.get_or_create(&ReasonLabel { reason }).get();
        assert_eq!(
            (
                count(failover::NO_OTHER_CLUSTER),
                count("StateNotPreserved")
            ),
            (1, 1)
        );
        let queue = Queue::new();
        held.wake(&queue);
        assert_eq!(queue.depth().ready, 1);
        held.set(&a, None);
        assert_eq!(count(failover::NO_OTHER_CLUSTER), 0);
    }

    #[test]
    fn what_has_nowhere_to_go_is_looked_at_again() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let nowhere = Some(failover::NO_OTHER_CLUSTER);
        for (due, held, expected) in [
            (None, None, None),
            (Some(hour), None, Some(hour)),
            (None, nowhere, Some(HELD_INTERVAL)),
            (Some(hour), nowhere, Some(HELD_INTERVAL)),
            (Some(second), nowhere, Some(second)),
            (None, Some("StateNotPreserved"), None),
        ] {
            assert_eq!(next_look(due, held), expected);
        }
    }

    #[test]
    fn what_the_binding_says_is_no_news() {
        let failure = |cause: &str| FailoverError::Nowhere {
            cluster: "m1".into(),
            cause: cause.into(),
        };
        let mut binding = ResourceBinding::default();
        assert!(!is_told(&binding, &[failure("full")]));
        let condition = failover::held(&[failure("full")]).unwrap();
        binding.status.get_or_insert_default().conditions = vec![condition];
        assert!(is_told(&binding, &[failure("full")]));
        assert!(!is_told(&binding, &[failure("tainted")]));
        assert!(!is_told(&binding, &[]));
    }

    #[test]
    fn only_health_tasks_and_the_policy_matter() {
        let binding = |generation: i64, health: &str, application: bool| -> ResourceBinding {
            let failover = if application {
                json!({"application": {"decisionConditions": {}}})
            } else {
                json!({})
            };
            serde_json::from_value(json!({
                "apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding",
                "metadata": {"name": "b", "generation": generation},
                "spec": {"resource": {"apiVersion": "v1", "kind": "Pod", "name": "p"}, "failover": failover},
                "status": {"aggregatedStatus": [{"clusterName": "m1", "health": health}]},
            }))
            .unwrap()
        };
        let before = binding(1, "Healthy", true);
        for (after, expected) in [
            (binding(1, "Healthy", true), false),
            (binding(1, "Unhealthy", true), true),
            (binding(2, "Healthy", true), true),
            (binding(2, "Healthy", false), true),
        ] {
            assert_eq!(is_relevant(&before, &after), expected);
        }
        let without = binding(1, "Healthy", false);
        assert!(!is_relevant(&without, &binding(2, "Unhealthy", false)));
    }
}

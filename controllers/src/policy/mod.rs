//! Policy -> the templates that it concerns are looked at; a deleted policy lets go of what it has claimed.
//!
//! reads   policies, templates, bindings     woken by  policies, override policies that policies wait for
//! writes  permanent id and finalizer of policies; takes claims away from templates and bindings
//!         owns  finalizers `karmada.io/propagation-policy-controller` and `karmada.io/cluster-propagation-policy-controller`
//!
//! Both kinds of policy run through the same code. Which policy gets a template is the [detector](crate::detector)'s decision.

mod concerned;
mod faults;
mod kinds;
mod letting_go;
mod unmatched;
mod wake;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    object::{Gvk, Key},
    policy::{ClusterPropagationPolicy, PropagationPolicy},
};
use futures::future::BoxFuture;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use parking_lot::Mutex;
use propagation::matching::{PolicyKind, PolicyRef};
use runtime::{
    Action, ApiError, Queue, controller::ReconcileError, error::call, events::Source,
    queue::Priority,
};
use serde_json::{Value, json};
use uuid::Uuid;

use self::{
    kinds::{Policies, key_of},
    unmatched::{Seen, When},
};
use crate::{
    World,
    detector::{self, Handle},
    write,
};

/// What the reconciler of policies can be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Gate `PropagationPolicyPreemption`: policies that preempt have templates of other policies looked at.
    pub preemption: bool,
    /// `PropagationPolicy` objects that are worked on at a time.
    pub workers: usize,
    /// `ClusterPropagationPolicy` objects that are worked on at a time.
    pub cluster_workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            preemption: false,
            workers: 8,
            cluster_workers: 8,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("give policy {policy} its id and finalizer")]
    Identify { policy: String, source: ApiError },
    #[error("policy {policy} waits for the first list of {kind}")]
    NotSynced { policy: String, kind: String },
    #[error("policy {policy} lets go of {template}, and {others} more failed")]
    LetGo {
        policy: String,
        template: String,
        others: usize,
        source: Box<detector::Error>,
    },
    #[error("remove finalizer of policy {policy}")]
    Finalize { policy: String, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Identify { .. } => "Identify",
            Self::NotSynced { .. } => "NotSynced",
            Self::LetGo { .. } => "LetGo",
            Self::Finalize { .. } => "Finalize",
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Identify { source, .. } | Self::Finalize { source, .. } => source.is_conflict(),
            Self::LetGo { source, .. } => source.is_conflict(),
            // The list wakes nobody, so this is tried again; there is nothing to tell.
            Self::NotSynced { .. } => true,
        }
    }
}

struct Context {
    world: Arc<World>,
    detector: Handle,
    options: Options,
    events: Arc<Source>,
    /// The generation of each policy, and what was said about it.
    seen: Mutex<HashMap<PolicyRef, Seen>>,
}

/// A policy in the queue, printed with its kind because names of the two kinds may be equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PolicyKey(PolicyRef);

impl std::fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0.kind.as_str(), self.0)
    }
}

/// Subscribes at once; the future works until the world stops.
pub fn prepare(world: &Arc<World>, options: Options, detector: &Handle) -> BoxFuture<'static, ()> {
    let (namespaced, cluster) = (Queue::new(), Queue::new());
    wake::subscribe(world, detector, &namespaced, &cluster);
    let controllers = [
        world.controller("propagationPolicy reconciler", namespaced, options.workers),
        world.controller(
            "clusterPropagationPolicy reconciler",
            cluster,
            options.cluster_workers,
        ),
    ];
    let stop = world.stop.clone();
    let context = Arc::new(Context {
        world: Arc::clone(world),
        detector: detector.clone(),
        options,
        events: Source::new(&world.recorder, detector::COMPONENT),
        seen: Mutex::default(),
    });
    let running = controllers.map(|controller| {
        let context = Arc::clone(&context);
        let reconcile = move |key: PolicyKey| {
            let context = Arc::clone(&context);
            async move {
                match key.0.kind {
                    PolicyKind::PropagationPolicy => {
                        reconcile::<PropagationPolicy>(&key.0, &context).await
                    }
                    PolicyKind::ClusterPropagationPolicy => {
                        reconcile::<ClusterPropagationPolicy>(&key.0, &context).await
                    }
                }
            }
        };
        controller.run(reconcile, stop.clone())
    });
    Box::pin(async move {
        let [namespaced, cluster] = running;
        tokio::join!(namespaced, cluster);
    })
}

async fn reconcile<P: Policies>(key: &PolicyRef, context: &Context) -> Result<Action, Error> {
    let world = &context.world;
    let Some(policy) = P::store(world).get(&key_of(key)) else {
        context.seen.lock().remove(key);
        return Ok(Action::AwaitChange);
    };
    if policy.meta().deletion_timestamp.is_some() {
        letting_go::let_go(policy.as_ref(), key, world).await?;
        return Ok(Action::AwaitChange);
    }
    if let Some(patch) = identity(policy.as_ref(), || {
        // Templates and bindings that carry the claim already need no writes then.
        let former = concerned::former_id::<P>(&policy.view(), world);
        former.unwrap_or_else(|| Uuid::new_v4().to_string())
    }) {
        patch_metadata(policy.as_ref(), key, world, &patch)
            .await
            .map_err(|source| Error::Identify {
                policy: key.to_string(),
                source,
            })?;
        // The answer of the server wakes the policy.
        return Ok(Action::AwaitChange);
    }
    let view = policy.view();
    tell_faults(policy.as_ref(), key, context);
    let concerned = concerned::concerned(&view, world, context);
    let action = tell_absence(policy.as_ref(), key, context, concerned.is_empty());
    for (template, priority) in concerned {
        context.detector.enqueue_for(&view, template, priority);
    }
    Ok(action)
}

/// Looks at what was said about this generation; an earlier process has told of what it found at its start.
fn seen<P: Policies, T>(
    policy: &P,
    key: &PolicyRef,
    context: &Context,
    ask: impl FnOnce(&mut Seen) -> T,
) -> T {
    let generation = policy.meta().generation.unwrap_or_default();
    let now = Instant::now();
    let mut all = context.seen.lock();
    let seen = all
        .entry(key.clone())
        .or_insert_with(|| Seen::first(generation, age(policy), now));
    seen.update(generation, now);
    ask(seen)
}

/// Tells once of each generation what is wrong with it.
fn tell_faults<P: Policies>(policy: &P, key: &PolicyRef, context: &Context) {
    if !seen(policy, key, context, Seen::tells_faults) {
        return;
    }
    let clusters = &context.world.clusters;
    let is_cluster = |name: &str| clusters.get(&Key::cluster_scoped(name)).is_some();
    for (reason, message) in faults::faults(&policy.view(), is_cluster) {
        let about = write::reference(policy);
        context.events.warning(about, reason, message);
    }
}

/// Tells of a generation whose selectors still name unknown kinds, or find nothing at all, some time after it was made.
fn tell_absence<P: Policies>(
    policy: &P,
    key: &PolicyRef,
    context: &Context,
    finds_nothing: bool,
) -> Action {
    let mapper = &context.world.mapper;
    let is_served = |gvk: &Gvk| mapper.resolve(gvk).is_some();
    let mut remarks = faults::unknown_kinds(&policy.view(), is_served);
    if remarks.is_empty() && finds_nothing {
        remarks.push(unmatched::remark(&policy.view()));
    }
    if remarks.is_empty() {
        return Action::AwaitChange;
    }
    match seen(policy, key, context, |seen| seen.absence(Instant::now())) {
        When::After(rest) => Action::Requeue(rest),
        When::Never => Action::AwaitChange,
        When::Now => {
            for (reason, message) in remarks {
                let about = write::reference(policy);
                context.events.warning(about, reason, message);
            }
            Action::AwaitChange
        }
    }
}

fn age<P: Policies>(policy: &P) -> Duration {
    let created = policy.meta().creation_timestamp.as_ref();
    created
        .and_then(|created| {
            let age = jiff::Timestamp::now().duration_since(created.0);
            Duration::try_from(age).ok()
        })
        .unwrap_or_default()
}

/// The patch that gives a policy what it lacks of permanent id and finalizer.
fn identity<P: Policies>(policy: &P, id: impl FnOnce() -> String) -> Option<Value> {
    let has_id = policy.labels().get(P::ID).is_some_and(|id| !id.is_empty());
    let present = policy.finalizers();
    let has_finalizer = present.iter().any(|it| it == P::FINALIZER);
    if has_id && has_finalizer {
        return None;
    }
    let mut metadata = json!({});
    if !has_id {
        metadata["labels"] = json!({ P::ID: id() });
    }
    if !has_finalizer {
        let finalizers = present.iter().map(String::as_str).chain([P::FINALIZER]);
        metadata["finalizers"] = finalizers.collect();
    }
    Some(json!({ "metadata": metadata }))
}

/// Patches a policy that still is as it was read. One that is gone is fine.
async fn patch_metadata<P: Policies>(
    policy: &P,
    key: &PolicyRef,
    world: &World,
    patch: &Value,
) -> Result<(), ApiError> {
    let mut patch = patch.clone();
    if let Some(version) = policy.resource_version() {
        patch["metadata"]["resourceVersion"] = version.into();
    }
    let api = P::api(world, key);
    let params = PatchParams::default();
    match call(api.patch(&key.name, &params, &Patch::Merge(&patch))).await {
        Ok(mut written) => {
            // The answer to the removal of the last finalizer is an object that is gone already.
            if written.meta().deletion_timestamp.is_none() {
                written.complete();
                P::store(world).observe_reply(written);
            }
            Ok(())
        }
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// How urgently a template is looked at because of a policy: one that a user has just named goes with what users do.
const fn priority(is_named: bool) -> Priority {
    if is_named {
        Priority::Normal
    } else {
        Priority::Low
    }
}

#[cfg(test)]
mod tests;

//! `WorkloadRebalancer` -> bindings: the listed workloads are scheduled afresh, once each.
//!
//! reads   `WorkloadRebalancer`s, bindings
//! writes  `spec.rescheduleTriggeredAt` of bindings, status of the rebalancer; deletes it when its time to live has passed
//! woken by  `WorkloadRebalancer`s
//!
//! A result says that scheduling was asked for, not that it moved anything.

use std::sync::Arc;

use crds::{
    apps::{ObservedWorkload, WorkloadRebalancer},
    names,
    object::Key,
    work::{ClusterResourceBinding, ResourceBinding},
};
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use propagation::rebalance::{self, Cleanup, Trigger};
use runtime::{
    Action, ApiError, Change, Queue, controller::ReconcileError, error::call, queue::Priority,
};

use crate::{
    world::{Bindings, World},
    write,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("trigger workloads of rebalancer {rebalancer}: {message}")]
    Trigger { rebalancer: Key, message: String },
    #[error("patch status of rebalancer {rebalancer}")]
    PatchStatus { rebalancer: Key, source: ApiError },
    #[error("delete rebalancer {rebalancer} after its time to live")]
    Delete { rebalancer: Key, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Trigger { .. } => "TriggerFailed",
            Self::PatchStatus { .. } => "PatchStatusFailed",
            Self::Delete { .. } => "DeleteFailed",
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Trigger { .. } => false,
            Self::PatchStatus { source, .. } | Self::Delete { source, .. } => {
                source.is_conflict() || source.is_not_found()
            }
        }
    }
}

/// Subscribes to the stores; the future runs the workers.
pub fn prepare(world: &Arc<World>, workers: usize) -> BoxFuture<'static, ()> {
    let queue = Queue::new();
    let to = Arc::clone(&queue);
    world.rebalancers.subscribe(move |change| {
        let initial = match change {
            Change::Added { initial, .. } => *initial,
            Change::Updated { old, new } if old.metadata.generation != new.metadata.generation => {
                false
            }
            _ => return,
        };
        to.add_with(
            Key::of_meta(&change.object().metadata),
            if initial {
                Priority::Low
            } else {
                Priority::Normal
            },
        );
    });
    let controller = world.controller("workload-rebalancer", queue, workers);
    let stop = world.stop.clone();
    let world = Arc::clone(world);
    Box::pin(controller.run(
        move |key: Key| {
            let world = Arc::clone(&world);
            async move { reconcile(&world, &key).await }
        },
        stop,
    ))
}

async fn reconcile(world: &World, key: &Key) -> Result<Action, Error> {
    let Some(rebalancer) = world.rebalancers.get(key) else {
        return Ok(Action::AwaitChange);
    };
    if rebalancer.metadata.deletion_timestamp.is_some() {
        return Ok(Action::AwaitChange);
    }
    let mut observed = rebalance::observe(&rebalancer.spec, rebalancer.status.as_ref());
    let failures = trigger_all(world, &rebalancer, &mut observed).await;
    let api: Api<WorkloadRebalancer> = Api::all(world.client());
    let now = Time(jiff::Timestamp::now());
    if let Some(status) = rebalance::status(&rebalancer, observed, &now) {
        let mut reported = WorkloadRebalancer::clone(&rebalancer);
        reported.status = Some(status);
        write::update_status(&api, &world.rebalancers, &rebalancer, &reported)
            .await
            .map_err(|source| Error::PatchStatus {
                rebalancer: key.clone(),
                source,
            })?;
    }
    if !failures.is_empty() {
        return Err(Error::Trigger {
            rebalancer: key.clone(),
            message: propagation::execution::conditions::joined(&failures),
        });
    }
    let latest = world.rebalancers.get(key).unwrap_or(rebalancer);
    match rebalance::cleanup(&latest, &now) {
        Cleanup::Keep => Ok(Action::AwaitChange),
        Cleanup::After(wait) => Ok(Action::Requeue(wait)),
        Cleanup::Now => delete(&api, &latest)
            .await
            .map(|()| Action::AwaitChange)
            .map_err(|source| Error::Delete {
                rebalancer: key.clone(),
                source,
            }),
    }
}

/// Triggers the workloads without a result; returns what went wrong with those that are to be tried again.
async fn trigger_all(
    world: &World,
    rebalancer: &WorkloadRebalancer,
    observed: &mut [ObservedWorkload],
) -> Vec<String> {
    let created = rebalancer
        .metadata
        .creation_timestamp
        .clone()
        .unwrap_or_else(|| Time(jiff::Timestamp::now()));
    let mut failures = Vec::new();
    for entry in observed.iter_mut().filter(|entry| entry.result.is_none()) {
        let workload = &entry.workload;
        let name = names::binding_name(&workload.name, &workload.kind);
        let namespace = workload
            .namespace
            .as_deref()
            .filter(|namespace| !namespace.is_empty());
        let triggered = if let Some(namespace) = namespace {
            let key = Key::new(namespace, &name);
            trigger::<ResourceBinding>(world, entry, &key, &created).await
        } else {
            let key = Key::cluster_scoped(&name);
            trigger::<ClusterResourceBinding>(world, entry, &key, &created).await
        };
        match triggered {
            Ok(found) => rebalance::report(entry, found),
            Err(error) => failures.push(format!("binding {name}: {error}")),
        }
    }
    failures
}

/// Asks for one workload to be scheduled afresh; returns whether it has a binding.
async fn trigger<B: Bindings>(
    world: &World,
    entry: &ObservedWorkload,
    key: &Key,
    created: &Time,
) -> Result<bool, ApiError> {
    let store = B::store(world);
    let binding = store.get(key);
    let now = Time(jiff::Timestamp::now());
    match rebalance::trigger(&entry.workload, binding.as_deref(), created, &now) {
        Trigger::NotFound => Ok(false),
        Trigger::Done => Ok(true),
        Trigger::Write(triggered) => {
            let Some(binding) = binding else {
                return Ok(false);
            };
            let api = B::api(world, key.namespace.as_deref());
            match write::update(&api, store, &*binding, &*triggered).await {
                Err(error) if error.is_not_found() => Ok(false),
                written => written.map(|_| true),
            }
        }
    }
}

/// Deletes the rebalancer as it was read: one that was edited meanwhile has something to do first.
async fn delete(
    api: &Api<WorkloadRebalancer>,
    rebalancer: &WorkloadRebalancer,
) -> Result<(), ApiError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: rebalancer.uid(),
            resource_version: rebalancer.resource_version(),
        }),
        ..DeleteParams::background()
    };
    match call(api.delete(&rebalancer.name_any(), &params)).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

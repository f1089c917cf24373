//! The members' replicas of autoscaled Deployments -> `spec.replicas` of the template, so that scheduling divides what really runs. Off
//! unless `--controllers` names it.
//!
//! reads   Deployments labelled `resourcetemplate.karmada.io/retain-replicas=true`, their bindings     woken by  both
//! writes  `spec.replicas` of Deployments

use std::sync::Arc;

use crds::{
    keys, names,
    object::{Gvk, Key},
    work::ResourceBinding,
};
use futures::future::BoxFuture;
use kube::api::{DynamicObject, Patch, PatchParams};
use propagation::hpa::{self, Sync};
use runtime::{
    Action, ApiError, Change, Queue, controller::ReconcileError, error::call, queue::Priority,
    store::key_of,
};
use serde_json::json;

use crate::world::{World, dynamic_api, template_of, to_value};

#[derive(Debug, thiserror::Error)]
#[error("set spec.replicas of Deployment {deployment}")]
pub struct Error {
    deployment: Key,
    source: ApiError,
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        "SetReplicas"
    }

    fn is_conflict(&self) -> bool {
        self.source.is_conflict() || self.source.is_not_found()
    }
}

/// Subscribes to the stores; the future runs the worker.
pub fn prepare(world: &Arc<World>) -> BoxFuture<'static, ()> {
    let queue = Queue::new();
    subscribe(world, &queue);
    let controller = world.controller("deployment-replicas-syncer", queue, 1);
    let (world, stop) = (Arc::clone(world), world.stop.clone());
    Box::pin(controller.run(
        move |key: Key| {
            let world = Arc::clone(&world);
            async move { reconcile(&world, &key).await }
        },
        stop,
    ))
}

fn deployments() -> Gvk {
    Gvk::parse("apps/v1", "Deployment")
}

fn retains(deployment: &DynamicObject) -> bool {
    let labels = deployment.metadata.labels.as_ref();
    labels.is_some_and(|labels| {
        labels.get(keys::RETAIN_REPLICAS).map(String::as_str) == Some(keys::TRUE)
    })
}

fn subscribe(world: &Arc<World>, queue: &Arc<Queue<Key>>) {
    let to = Arc::clone(queue);
    world.templates.subscribe(move |gvk, change| {
        if *gvk != deployments() || !retains(change.object()) {
            return;
        }
        let key = key_of(change.object().as_ref());
        match change {
            Change::Added { initial, .. } => {
                let priority = if *initial {
                    Priority::Low
                } else {
                    Priority::Normal
                };
                to.add_with(key, priority);
            }
            Change::Updated { old, new } if hpa::is_scaled(&to_value(old), &to_value(new)) => {
                to.add(key);
            }
            _ => {}
        }
    });
    // What has to fit together is in the binding and its status, so nothing is asked for again and again.
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.bindings.subscribe(move |change| {
        let Change::Updated { old, new } = change else {
            return;
        };
        if old.spec == new.spec && old.status == new.status {
            return;
        }
        let (gvk, key) = template_of(&new.spec.resource);
        if gvk != deployments() {
            return;
        }
        let deployment = weak
            .upgrade()
            .and_then(|world| world.templates.object(&gvk, &key));
        if deployment.is_some_and(|deployment| retains(&deployment)) {
            to.add(key);
        }
    });
}

fn binding_of(world: &World, deployment: &Key) -> Option<Arc<ResourceBinding>> {
    let name = names::binding_name(&deployment.name, "Deployment");
    world.bindings.get(&Key {
        namespace: deployment.namespace.clone(),
        name,
    })
}

async fn reconcile(world: &World, key: &Key) -> Result<Action, Error> {
    let gvk = deployments();
    let deployment = world.templates.object(&gvk, key);
    let Some(deployment) = deployment.filter(|deployment| retains(deployment)) else {
        return Ok(Action::AwaitChange);
    };
    let binding = binding_of(world, key);
    let replicas = match hpa::sync(&to_value(&deployment), binding.as_deref()) {
        Sync::Stop | Sync::Wait => return Ok(Action::AwaitChange),
        Sync::Set(replicas) => replicas,
    };
    let Some(resource) = world.mapper.resolve(&gvk) else {
        return Ok(Action::AwaitChange);
    };
    let mut patch = json!({"spec": {"replicas": replicas}});
    if let Some(version) = &deployment.metadata.resource_version {
        patch["metadata"]["resourceVersion"] = version.clone().into();
    }
    let api = dynamic_api(world.client(), &resource, key.namespace.as_deref());
    let patched = call(api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)))
        .await
        .map_err(|source| Error {
            deployment: key.clone(),
            source,
        })?;
    tracing::info!(deployment = %key, replicas, "Took over the replicas of the members");
    if let Some(store) = world.templates.store(&gvk) {
        store.observe_reply(patched);
    }
    Ok(Action::AwaitChange)
}

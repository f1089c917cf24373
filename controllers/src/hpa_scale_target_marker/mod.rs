//! Autoscalers that policies have claimed -> label `resourcetemplate.karmada.io/retain-replicas` on what they scale, so that members keep
//! their replicas. Off unless `--controllers` names it.
//!
//! reads   `HorizontalPodAutoscalers`, their scale targets     woken by  both
//! writes  the label on scale targets
//!
//! The label goes with the last claimed autoscaler of an object, also if that went while nobody looked: an annotation tells whose label
//! it is. One that a user has put on an object that no autoscaler ever had is not
//! touched.

mod targets;

use std::{sync::Arc, time::Duration};

use crds::object::{Gvk, Key};
use futures::future::BoxFuture;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use parking_lot::Mutex;
use propagation::hpa;
use runtime::{
    Action, ApiError, Change, Controller, Queue, controller::ReconcileError, error::call,
    queue::Priority, store::key_of,
};

use self::targets::{Target, Targets};
use crate::{
    detector::TemplateKey,
    world::{World, dynamic_api, to_value},
};

/// When an object is looked at again whose autoscalers are not known yet.
const UNKNOWN: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read scale target {target}")]
    Read { target: String, source: ApiError },
    #[error("patch label of scale target {target}")]
    Patch { target: String, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ReadScaleTarget",
            Self::Patch { .. } => "PatchScaleTarget",
        }
    }

    fn is_conflict(&self) -> bool {
        matches!(self, Self::Patch { source, .. } if source.is_conflict())
    }
}

/// Subscribes to the stores; the future runs the worker.
pub fn prepare(world: &Arc<World>) -> BoxFuture<'static, ()> {
    let queue = Queue::new();
    let targets = Arc::new(Mutex::new(Targets::default()));
    subscribe(world, &queue, &targets);
    // Dashboards know the queue under a name of its own.
    let (name, reconciles) = ("hpa-scale-target-marker", Arc::clone(&world.reconciles));
    reconciles.measure("scale target worker", name, &queue, 1);
    let controller = Controller {
        name,
        queue,
        workers: 1,
        metrics: reconciles,
    };
    let (world, stop) = (Arc::clone(world), world.stop.clone());
    Box::pin(controller.run(
        move |key: TemplateKey| {
            let (world, targets) = (Arc::clone(&world), Arc::clone(&targets));
            async move { reconcile(&world, &targets, &key).await }
        },
        stop,
    ))
}

fn is_autoscaler(gvk: &Gvk) -> bool {
    gvk.is("autoscaling", "HorizontalPodAutoscaler")
}

fn subscribe(world: &Arc<World>, queue: &Arc<Queue<TemplateKey>>, targets: &Arc<Mutex<Targets>>) {
    let (to, targets) = (Arc::clone(queue), Arc::clone(targets));
    world.templates.subscribe(move |gvk, change| {
        let priority = match change {
            Change::Added { initial: true, .. } => Priority::Low,
            _ => Priority::Normal,
        };
        if is_autoscaler(gvk) {
            let key = key_of(change.object().as_ref());
            let marked = (!change.is_deletion())
                .then(|| hpa::marked_target(&to_value(change.object())))
                .flatten();
            let touched = targets
                .lock()
                .set(&key, marked.map(TemplateKey::from).map(Target::from));
            for target in touched {
                to.add_with(target.into_key(), priority);
            }
            return;
        }
        // An object that comes after its autoscaler, or that loses the label.
        let concerns = match change {
            Change::Added { .. } => true,
            Change::Updated { old, new } => old.metadata.labels != new.metadata.labels,
            Change::Deleted { .. } => false,
        };
        if concerns {
            let key = TemplateKey {
                gvk: gvk.clone(),
                key: key_of(change.object().as_ref()),
            };
            // What an earlier process marked may have lost its autoscaler since.
            let is_found = matches!(change, Change::Added { .. })
                && change.object().annotations().contains_key(hpa::MARKED);
            if is_found || targets.lock().contains(&Target::from(key.clone())) {
                to.add_with(key, priority);
            }
        }
    });
}

/// Whether every autoscaler has been seen: before that nothing is without one.
fn knows_autoscalers(world: &World) -> bool {
    let mut stores = world
        .templates
        .kinds()
        .into_iter()
        .filter(is_autoscaler)
        .filter_map(|gvk| world.templates.store(&gvk))
        .peekable();
    stores.peek().is_some() && stores.all(|store| store.is_synced())
}

async fn reconcile(
    world: &World,
    targets: &Mutex<Targets>,
    key: &TemplateKey,
) -> Result<Action, Error> {
    let failed = |source| Error::Read {
        target: key.to_string(),
        source,
    };
    let Some(object) = world.template(&key.gvk, &key.key).await.map_err(failed)? else {
        return Ok(Action::AwaitChange);
    };
    let is_target = targets.lock().contains(&Target::from(key.clone()));
    if !is_target && !knows_autoscalers(world) {
        return Ok(Action::Requeue(UNKNOWN));
    }
    let Some(patch) = hpa::mark(&to_value(&object), is_target) else {
        return Ok(Action::AwaitChange);
    };
    let Some(resource) = world.mapper.resolve(&key.gvk) else {
        return Ok(Action::AwaitChange);
    };
    let Key { namespace, name } = &key.key;
    let api = dynamic_api(world.client(), &resource, namespace.as_deref());
    match call(api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await {
        Ok(patched) => {
            tracing::info!(target = %key, retains = is_target, "Marked the scale target");
            if let Some(store) = world.templates.store(&key.gvk) {
                store.observe_reply(patched);
            }
            Ok(Action::AwaitChange)
        }
        Err(error) if error.is_not_found() => Ok(Action::AwaitChange),
        Err(source) => Err(Error::Patch {
            target: key.to_string(),
            source,
        }),
    }
}

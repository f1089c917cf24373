//! Binding -> fewer replicas where Pods find no node, so that the scheduler places them elsewhere.
//!
//! reads   bindings, accurate estimators      woken by  the clock
//! writes  `spec.clusters`

mod echo;

use std::{collections::HashMap, sync::Arc, time::Duration};

use crds::{
    object::Key,
    reasons::{DESCHEDULE_BINDING_FAILED, DESCHEDULE_BINDING_SUCCEED},
    work::{Binding, ResourceBinding},
};
use estimator::client::Estimators;
use futures::future::BoxFuture;
use kube::Api;
use parking_lot::Mutex;
use runtime::{Action, ApiError, Queue, controller::ReconcileError, events::Source};
use scheduler::deschedule::{deschedule, is_candidate, suspects};
use tokio::time::MissedTickBehavior;

use self::echo::Echo;
use crate::{world::World, write};

/// When and what is taken out.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time between two looks at all bindings.
    pub interval: Duration,
    /// How long a Pod has to be without a node.
    pub threshold: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("update binding {binding}")]
    UpdateBinding { binding: Key, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::UpdateBinding { .. } => "UpdateBindingFailed",
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::UpdateBinding { source, .. } => source.is_conflict() || source.is_not_found(),
        }
    }
}

struct Context {
    world: Arc<World>,
    estimators: Arc<Estimators>,
    options: Options,
    events: Arc<Source>,
    /// What was taken out lately, by binding.
    echoes: Mutex<HashMap<Key, Echo>>,
}

/// Subscribes to the stores; the future looks at all bindings again and again.
pub fn prepare(
    world: &Arc<World>,
    estimators: Arc<Estimators>,
    options: Options,
) -> BoxFuture<'static, ()> {
    let queue = Queue::new();
    let context = Arc::new(Context {
        world: Arc::clone(world),
        estimators,
        options,
        events: Source::new(&world.recorder, "karmada-descheduler"),
        echoes: Mutex::default(),
    });
    let weak = Arc::downgrade(&context);
    world.bindings.subscribe(move |change| {
        if change.is_deletion()
            && let Some(context) = weak.upgrade()
        {
            context.echoes.lock().remove(&change.object().key());
        }
    });
    let controller = world.controller("descheduler", Arc::clone(&queue), 1);
    let stop = world.stop.clone();
    let looking = look(Arc::clone(&context), queue);
    let working = controller.run(
        move |key: Key| {
            let context = Arc::clone(&context);
            async move { reconcile(&context, &key).await }
        },
        stop.clone(),
    );
    Box::pin(async move {
        tokio::join!(working, stop.run_until_cancelled(looking));
    })
}

/// Puts all bindings into the queue that could have replicas to take out.
async fn look(context: Arc<Context>, queue: Arc<Queue<Key>>) {
    let mut clock = tokio::time::interval(context.options.interval.max(Duration::from_millis(1)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        context.world.bindings.each(|binding| {
            if is_candidate(binding) && !suspects(binding).is_empty() {
                queue.add(binding.key());
            }
        });
    }
}

async fn reconcile(context: &Context, key: &Key) -> Result<Action, Error> {
    let Some(binding) = context
        .world
        .bindings
        .get(key)
        .filter(|binding| is_candidate(binding))
    else {
        return Ok(Action::AwaitChange);
    };
    let clusters: Vec<String> = suspects(&binding)
        .iter()
        .map(|suspect| suspect.cluster.to_owned())
        .collect();
    if clusters.is_empty() {
        return Ok(Action::AwaitChange);
    }
    let answers = context
        .estimators
        .unschedulable(&binding.spec.resource, context.options.threshold, &clusters)
        .await;
    let mut stuck = HashMap::new();
    for (cluster, answer) in answers {
        match answer {
            Ok(replicas) => {
                stuck.insert(cluster, replicas);
            }
            Err(error) => tracing::debug!(
                cluster,
                error = &error as &dyn std::error::Error,
                "Estimator did not say which replicas are unschedulable"
            ),
        }
    }
    let Some(result) = deschedule(&binding, |cluster| stuck.get(cluster).copied()) else {
        return Ok(Action::AwaitChange);
    };
    if context
        .echoes
        .lock()
        .get_mut(key)
        .is_some_and(|echo| echo.holds_back(&binding.spec.clusters))
    {
        tracing::debug!(
            "The replicas came back to the clusters that they were taken from, waiting longer"
        );
        return Ok(Action::AwaitChange);
    }
    let mut descheduled = ResourceBinding::clone(&binding);
    descheduled.spec.clusters = result.clusters;
    let api: Api<ResourceBinding> = Api::namespaced(
        context.world.client(),
        key.namespace.as_deref().unwrap_or_default(),
    );
    let about = [
        write::reference(&*binding),
        write::template_reference(&binding.spec.resource),
    ];
    match write::update(&api, &context.world.bindings, &binding, &descheduled).await {
        Ok(_) => {
            tracing::info!(message = result.message, "Descheduled");
            context
                .echoes
                .lock()
                .entry(key.clone())
                .or_default()
                .taken_out(&binding.spec.clusters);
            for object in about {
                context
                    .events
                    .normal(object, DESCHEDULE_BINDING_SUCCEED, result.message.clone());
            }
            Ok(Action::AwaitChange)
        }
        Err(source) => {
            if !source.is_conflict() && !source.is_not_found() {
                for object in about {
                    context
                        .events
                        .warning(object, DESCHEDULE_BINDING_FAILED, source.to_string());
                }
            }
            Err(Error::UpdateBinding {
                binding: key.clone(),
                source,
            })
        }
    }
}

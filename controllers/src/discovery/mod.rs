//! What the API server serves -> the mapper, and a template store for every kind that may be propagated.
//!
//! reads   discovery of the control plane     woken by  definitions of resources, API services, time
//! writes  nothing
//!
//! A kind that is not served any more loses its store without a word about its objects: that it is unknown does not mean that
//! they are gone.

mod announce;
mod plan;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crds::object::Gvk;
use futures::future::BoxFuture;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use propagation::skip::SkippedApis;
use runtime::{ApiError, backoff::Backoff};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::World;

/// How long to wait after an announcement, because they come in swarms.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Looks after the one that follows an announcement: what is served trails what is announced.
const FOLLOW_UPS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What discovery can be told.
#[derive(Debug, Clone)]
pub struct Options {
    pub skipped_apis: SkippedApis,
    /// The longest time between two looks.
    pub interval: Duration,
    /// How long the API server may take to get ready.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            skipped_apis: SkippedApis::default(),
            interval: Duration::from_secs(30),
            patience: Duration::from_mins(2),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("ask the control plane's API server what it serves")]
    Discover { source: ApiError },
    #[error("stopped before the control plane's API server was ready")]
    Stopped,
}

/// Looks for the first time, and again until the API server answers or the patience ends. Reconcilers that look at templates
/// run after this.
pub async fn initial(world: &Arc<World>, options: &Options) -> Result<(), Error> {
    let deadline = Instant::now() + options.patience;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
    let mut watched = BTreeMap::new();
    loop {
        let look = look(world, &options.skipped_apis, &mut watched);
        let source = match tokio::select! {
            () = world.stop.cancelled() => return Err(Error::Stopped),
            outcome = look => outcome,
        } {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let pause = backoff.failed();
        // Wrong credentials do not get right by waiting.
        if source.reason() == "Unauthorized" || Instant::now() + pause >= deadline {
            return Err(Error::Discover { source });
        }
        tracing::info!(
            error = &source as &dyn std::error::Error,
            "Waiting for the control plane's API server"
        );
        let stopped = timeout_at(Instant::now() + pause, world.stop.cancelled());
        if stopped.await.is_ok() {
            return Err(Error::Stopped);
        }
    }
}

/// Keeps looking until the world stops.
pub fn prepare(world: &Arc<World>, options: Options) -> BoxFuture<'static, ()> {
    let world = Arc::clone(world);
    Box::pin(async move {
        let announced = Arc::new(Notify::new());
        tokio::join!(
            announce::watch::<CustomResourceDefinition>(&world, &announced),
            announce::watch::<APIService>(&world, &announced),
            keep_looking(&world, &options, &announced),
        );
    })
}

async fn keep_looking(world: &Arc<World>, options: &Options, announced: &Notify) {
    let mut watched = BTreeMap::new();
    let mut follow_ups = VecDeque::new();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = world.stop.cancelled() => return,
            () = sleep_until(next) => {}
            () = announced.notified() => {
                sleep(DEBOUNCE).await;
                follow_ups = VecDeque::from(FOLLOW_UPS);
            }
        }
        let outcome = tokio::select! {
            () = world.stop.cancelled() => return,
            outcome = look(world, &options.skipped_apis, &mut watched) => outcome,
        };
        if let Err(error) = outcome {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "Discovery failed, keeping what is known"
            );
        }
        let pause = follow_ups
            .pop_front()
            .unwrap_or(options.interval)
            .min(options.interval);
        next = Instant::now() + pause;
    }
}

/// One look. `watched` are the kinds seen so far with the number of looks in a row that missed them.
async fn look(
    world: &Arc<World>,
    skipped: &SkippedApis,
    watched: &mut BTreeMap<Gvk, u32>,
) -> Result<(), ApiError> {
    let found = world.mapper.refresh(&world.client()).await?;
    if !found.is_complete() {
        tracing::debug!(stale = ?found.stale(), "Some groups did not answer");
    }
    let wanted = plan::propagatable(found.preferred(), skipped);
    for (gvk, resource) in &wanted {
        world.templates.ensure(resource);
        if watched.insert(gvk.clone(), 0).is_none() {
            tracing::debug!(kind = %gvk, "Watching templates");
        }
    }
    for gvk in plan::vanished(watched, &wanted, found.is_complete()) {
        tracing::info!(kind = %gvk, "Not watching any more, the kind is not served");
        world.templates.remove(&gvk);
        watched.remove(&gvk);
    }
    Ok(())
}

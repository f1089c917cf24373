//! Runs a reconcile function over the keys of a queue, so many at a time.
//!
//! A pass that waits for somebody else than an API server steps [`aside`]: its place goes to another key meanwhile.

use std::{
    future::Future,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{metrics::Reconciles, queue::Queue};

/// What to do with a key after a successful pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing before an input changes.
    AwaitChange,
    /// Another pass after this time, unless an input changes earlier.
    Requeue(Duration),
}

/// What the engine has to know of a failed pass.
pub trait ReconcileError: std::error::Error + Send + 'static {
    /// A word from a bounded set, for metrics.
    fn reason(&self) -> &'static str;

    /// Whether no retry helps before an input changes.
    fn is_terminal(&self) -> bool {
        false
    }

    /// When to look again, for failures that most likely only a change of an input ends; others are retried with growing pauses.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Whether this is a lost race, which is retried at once and without a word.
    fn is_conflict(&self) -> bool {
        false
    }
}

/// One reconciler: a name for logs and metrics, a queue and how many keys are worked on at a time.
#[derive(Debug)]
pub struct Controller<K> {
    pub name: &'static str,
    pub queue: Arc<Queue<K>>,
    pub workers: usize,
    pub metrics: Arc<Reconciles>,
}

impl<K> Controller<K>
where
    K: Clone + Eq + Hash + std::fmt::Display + Send + Sync + 'static,
{
    /// Works until `stop` is cancelled, then lets the passes under way finish.
    ///
    /// A pass that panics counts as a failure of its key; the other keys go on.
    pub async fn run<F, Fut, E>(self, reconcile: F, stop: CancellationToken)
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Action, E>> + Send,
        E: ReconcileError,
    {
        let this = Arc::new(self);
        let reconcile = Arc::new(reconcile);
        let places = Arc::new(Semaphore::new(this.workers.max(1)));
        let asides = Arc::new(Semaphore::new(MAX_ASIDE));
        let passes = TaskTracker::new();
        while let Some(place) = acquire(&places, &stop).await
            && let Some(key) = this.queue.take(&stop).await
        {
            let (this, reconcile) = (Arc::clone(&this), Arc::clone(&reconcile));
            let slot = Arc::new(Slot {
                places: Arc::clone(&places),
                asides: Arc::clone(&asides),
                held: Mutex::new(Held {
                    place: Some(place),
                    aside: None,
                    away: 0,
                }),
            });
            passes.spawn(SLOT.scope(slot, async move { this.pass(&key, &*reconcile).await }));
        }
        passes.close();
        passes.wait().await;
    }

    async fn pass<F, Fut, E>(&self, key: &K, reconcile: &F)
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Action, E>> + Send,
        E: ReconcileError,
    {
        let started = Instant::now();
        self.metrics.begin(self.name);
        let span = tracing::info_span!("reconcile", controller = self.name, key = %key);
        let outcome = AssertUnwindSafe(reconcile(key.clone()))
            .catch_unwind()
            .instrument(span.clone())
            .await;
        let _entered = span.enter();
        let result = match outcome {
            Ok(Ok(Action::AwaitChange)) => {
                self.queue.done(key);
                "success"
            }
            Ok(Ok(Action::Requeue(after))) => {
                self.queue.add_after(key.clone(), after);
                self.queue.done(key);
                "requeue_after"
            }
            Ok(Err(error)) if error.is_terminal() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Reconcile failed, waiting for a change"
                );
                self.queue.done(key);
                "terminal_error"
            }
            Ok(Err(error)) if let Some(after) = error.retry_after() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    pause_ms = after.as_millis(),
                    "Reconcile failed, waiting for a change"
                );
                self.queue.add_after(key.clone(), after);
                self.queue.done(key);
                "error"
            }
            Ok(Err(error)) => {
                let pause = if error.is_conflict() {
                    self.queue.lost_race(key)
                } else {
                    self.queue.failed(key)
                };
                let failures = self.queue.failures(key);
                if error.is_conflict() && failures < 5 {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "Lost a race, trying again"
                    );
                } else {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        failures,
                        pause_ms = pause.as_millis(),
                        "Reconcile failed, retrying"
                    );
                }
                "error"
            }
            Err(_) => {
                self.queue.failed(key);
                tracing::error!("Reconcile panicked; this is a bug, the key is retried");
                "panic"
            }
        };
        self.metrics
            .observe(self.name, key, result, started.elapsed());
    }
}

/// Passes of one reconciler that may be aside at a time; further ones keep their places. Bounds what they hold in memory.
const MAX_ASIDE: usize = 512;

tokio::task_local! {
    static SLOT: Arc<Slot>;
}

/// The place of one pass among those that are worked on.
struct Slot {
    places: Arc<Semaphore>,
    asides: Arc<Semaphore>,
    held: Mutex<Held>,
}

struct Held {
    place: Option<OwnedSemaphorePermit>,
    aside: Option<OwnedSemaphorePermit>,
    /// Futures of the pass that are aside; side by side they may be several.
    away: usize,
}

async fn acquire(
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        () = stop.cancelled() => None,
        // Nobody closes the semaphore.
        place = Arc::clone(places).acquire_owned() => place.ok(),
    }
}

/// Waits for something slow that says nothing about other keys, such as a webhook, without holding a worker.
///
/// Outside of a pass it just waits.
pub async fn aside<T>(work: impl Future<Output = T>) -> T {
    let Ok(slot) = SLOT.try_with(Arc::clone) else {
        return work.await;
    };
    let away = Away::leave(slot);
    let outcome = work.await;
    away.come_back().await;
    outcome
}

/// A future that is aside; dropping it counts as coming back without a place.
struct Away(Arc<Slot>);

impl Away {
    fn leave(slot: Arc<Slot>) -> Self {
        {
            let mut held = slot.held.lock();
            held.away += 1;
            if held.place.is_some()
                && let Ok(aside) = Arc::clone(&slot.asides).try_acquire_owned()
            {
                held.aside = Some(aside);
                held.place = None;
            }
        }
        Self(slot)
    }

    async fn come_back(self) {
        let needs_place = {
            let held = self.0.held.lock();
            held.away == 1 && held.place.is_none()
        };
        if needs_place {
            // Nobody closes the semaphore.
            let place = Arc::clone(&self.0.places).acquire_owned().await.ok();
            let mut held = self.0.held.lock();
            held.place = place;
            held.aside = None;
        }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.0.held.lock().away -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use parking_lot::Mutex;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed on purpose")]
    struct Failed {
        terminal: bool,
    }

    impl ReconcileError for Failed {
        fn reason(&self) -> &'static str {
            "OnPurpose"
        }

        fn is_terminal(&self) -> bool {
            self.terminal
        }
    }

    fn controller(queue: &Arc<Queue<&'static str>>) -> Controller<&'static str> {
        Controller {
            name: "test",
            queue: Arc::clone(queue),
            workers: 2,
            metrics: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failing_and_panicking_keys_are_retried_and_do_not_stop_others() {
        let queue = Queue::new();
        let stop = CancellationToken::new();
        let passes = Arc::new(Mutex::new(BTreeMap::<&str, usize>::new()));
        let counted = Arc::clone(&passes);
        let reconcile = move |key: &'static str| {
            let pass = {
                let mut passes = counted.lock();
                let pass = passes.entry(key).or_default();
                *pass += 1;
                *pass
            };
            async move {
                match key {
                    "fails" if pass < 3 => Err(Failed { terminal: false }),
                    "panics" if pass < 2 => panic!("on purpose"),
                    "terminal" => Err(Failed { terminal: true }),
                    _ => Ok(Action::AwaitChange),
                }
            }
        };
        for key in ["fails", "panics", "terminal", "works"] {
            queue.add(key);
        }
        let running = tokio::spawn(controller(&queue).run(reconcile, stop.clone()));
        tokio::time::sleep(Duration::from_secs(10)).await;
        stop.cancel();
        running.await.unwrap();
        assert_eq!(
            *passes.lock(),
            BTreeMap::from([("fails", 3), ("panics", 2), ("terminal", 1), ("works", 1)])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn requeue_runs_again_after_its_time() {
        let queue = Queue::new();
        let stop = CancellationToken::new();
        let passes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&passes);
        let reconcile = move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Failed>(Action::Requeue(Duration::from_secs(10))) }
        };
        queue.add("a");
        let running = tokio::spawn(controller(&queue).run(reconcile, stop.clone()));
        tokio::time::sleep(Duration::from_secs(25)).await;
        stop.cancel();
        running.await.unwrap();
        assert_eq!(passes.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_is_aside_holds_up_nobody() {
        let queue = Queue::new();
        let stop = CancellationToken::new();
        let begun = tokio::time::Instant::now();
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        let reconcile = move |key: &'static str| {
            let sink = Arc::clone(&sink);
            async move {
                let slow = || aside(tokio::time::sleep(Duration::from_secs(10)));
                if key.starts_with("slow") {
                    futures::future::join(slow(), slow()).await;
                } else {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                sink.lock().push((key, begun.elapsed().as_secs()));
                Ok::<_, Failed>(Action::AwaitChange)
            }
        };
        for key in ["slow1", "slow2", "slow3", "a", "b", "c"] {
            queue.add(key);
        }
        let running = tokio::spawn(controller(&queue).run(reconcile, stop.clone()));
        tokio::time::sleep(Duration::from_secs(15)).await;
        stop.cancel();
        running.await.unwrap();
        let mut log = log.lock().clone();
        log.sort_unstable_by_key(|(key, at)| (*at, *key));
        assert_eq!(
            log,
            [
                ("a", 1),
                ("b", 1),
                ("c", 2),
                ("slow1", 10),
                ("slow2", 10),
                ("slow3", 10)
            ]
        );
    }
}

//! Runs a reconcile function over the keys of a queue, on many workers.

use std::{
    future::Future,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
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

    /// Whether this is a lost race, which is retried without a word.
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
        let workers = TaskTracker::new();
        for _ in 0..this.workers.max(1) {
            let (this, reconcile, stop) = (Arc::clone(&this), Arc::clone(&reconcile), stop.clone());
            workers.spawn(async move {
                while let Some(key) = this.queue.take(&stop).await {
                    this.pass(&key, &*reconcile).await;
                }
            });
        }
        workers.close();
        workers.wait().await;
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
                let pause = self.queue.failed(key);
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
        self.metrics.observe(self.name, result, started.elapsed());
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
}

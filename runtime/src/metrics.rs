//! Metrics in the Prometheus text format; every component owns its struct and registers it.

pub mod queues;
mod slow;

use std::{
    fmt::{Debug, Display},
    hash::Hash,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{
        MetricType, TypedMetric,
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

pub(crate) use self::queues::{Load, Measured, Meter};
pub use self::slow::Slow;
use self::{
    queues::{QueueDepth, Queues},
    slow::Slowest,
};
use crate::queue::Queue;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

/// Passes of all reconcilers, under the names that dashboards for controller-runtime know.
#[derive(Debug)]
pub struct Reconciles {
    total: Family<ReconcileLabels, Counter>,
    errors: Family<ControllerLabels, Counter>,
    terminal_errors: Family<ControllerLabels, Counter>,
    panics: Family<ControllerLabels, Counter>,
    time: Family<ControllerLabels, Histogram, fn() -> Histogram>,
    workers: Family<ControllerLabels, Gauge>,
    active: Family<ControllerLabels, Gauge>,
    queues: Queues,
    slowest: Slowest,
}

impl Default for Reconciles {
    fn default() -> Self {
        Self {
            total: Family::default(),
            errors: Family::default(),
            terminal_errors: Family::default(),
            panics: Family::default(),
            workers: Family::default(),
            active: Family::default(),
            queues: Queues::default(),
            slowest: Slowest::default(),
            time: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 12))
            }),
        }
    }
}

impl Reconciles {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "controller_runtime_reconcile",
            "Reconciliations per controller and result",
            self.total.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Length of time per reconciliation per controller",
            self.time.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciliation errors per controller",
            self.errors.clone(),
        );
        registry.register(
            "controller_runtime_terminal_reconcile_errors",
            "Reconciliation errors per controller that no retry helps against",
            self.terminal_errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_panics",
            "Reconciliation panics per controller",
            self.panics.clone(),
        );
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "Workers per controller",
            self.workers.clone(),
        );
        registry.register(
            "controller_runtime_active_workers",
            "Workers per controller that are at work",
            self.active.clone(),
        );
        self.queues.register(registry);
    }

    /// Has a queue counted under the name of its controller from now on. `name` is the one that dashboards know the queue by.
    pub fn measure<K>(
        &self,
        name: &'static str,
        controller: &'static str,
        queue: &Arc<Queue<K>>,
        workers: usize,
    ) where
        K: Clone + Eq + Hash + Debug + Send + Sync + 'static,
    {
        let measured: Weak<dyn Measured> =
            Arc::downgrade(&(Arc::clone(queue) as Arc<dyn Measured>));
        queue.measure(self.queues.meter(name, controller, measured));
        self.workers
            .get_or_create(&ControllerLabels { controller })
            .set(i64::try_from(workers).unwrap_or(i64::MAX));
    }

    /// A worker takes a key.
    pub(crate) fn begin(&self, controller: &'static str) {
        self.active
            .get_or_create(&ControllerLabels { controller })
            .inc();
    }

    /// How long the queues are.
    pub fn depths(&self) -> Vec<QueueDepth> {
        self.queues.depths()
    }

    /// The passes that took longest of late, the longest first.
    pub fn slowest(&self) -> Vec<Slow> {
        self.slowest.list(Instant::now())
    }

    /// A worker is done with a key. `result` is `success`, `requeue_after`, `error`, `terminal_error` or `panic`.
    pub(crate) fn observe(
        &self,
        controller: &'static str,
        key: &impl Display,
        result: &'static str,
        took: Duration,
    ) {
        self.slowest.observe(controller, key, took, Instant::now());
        let labels = ControllerLabels { controller };
        let failed = matches!(result, "error" | "terminal_error" | "panic");
        if failed {
            self.errors.get_or_create(&labels).inc();
        }
        match result {
            "terminal_error" => {
                self.terminal_errors.get_or_create(&labels).inc();
            }
            "panic" => {
                self.panics.get_or_create(&labels).inc();
            }
            _ => {}
        }
        let result = if failed { "error" } else { result };
        self.total
            .get_or_create(&ReconcileLabels { controller, result })
            .inc();
        self.time.get_or_create(&labels).observe(took.as_secs_f64());
        self.active.get_or_create(&labels).dec();
    }
}

/// A counter that is shown under exactly its name: the text format ends the names of counters with `_total`, and some names that
/// dashboards know do not end so.
#[derive(Debug, Default)]
pub struct NamedCounter(AtomicU64);

impl NamedCounter {
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl TypedMetric for NamedCounter {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for NamedCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.encode_gauge(&self.0.load(Ordering::Relaxed))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The registry of a process, shared with the endpoint that serves it.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Registry>>);

impl Shared {
    /// Lets a component register its metrics.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.0.lock());
    }

    /// Everything in the text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.0.lock());
        text
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn queues_and_passes_have_the_names_that_dashboards_know() {
        let (reconciles, shared) = (Reconciles::default(), Shared::default());
        shared.register(|registry| reconciles.register(registry));
        let queue = Queue::new();
        reconciles.measure("line", "ctl", &queue, 3);
        queue.add("a");
        queue.add("b");
        queue.add("b");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(queue.take(&CancellationToken::new()).await, Some("a"));
        reconciles.begin("ctl");
        tokio::time::advance(Duration::from_secs(3)).await;
        let text = shared.encode();
        for line in [
            r#"workqueue_adds_total{name="line",controller="ctl"} 2"#,
            r#"workqueue_depth{name="line",controller="ctl"} 1.0"#,
            r#"workqueue_unfinished_work_seconds{name="line",controller="ctl"} 3.0"#,
            r#"workqueue_longest_running_processor_seconds{name="line",controller="ctl"} 3.0"#,
            r#"workqueue_queue_duration_seconds_sum{name="line",controller="ctl"} 2.0"#,
            r#"controller_runtime_max_concurrent_reconciles{controller="ctl"} 3"#,
            r#"controller_runtime_active_workers{controller="ctl"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        queue.failed(&"a");
        reconciles.observe("ctl", &"ns/name", "terminal_error", Duration::from_secs(3));
        let text = shared.encode();
        for line in [
            r#"workqueue_retries_total{name="line",controller="ctl"} 1"#,
            r#"workqueue_work_duration_seconds_sum{name="line",controller="ctl"} 3.0"#,
            r#"controller_runtime_reconcile_total{controller="ctl",result="error"} 1"#,
            r#"controller_runtime_reconcile_errors_total{controller="ctl"} 1"#,
            r#"controller_runtime_terminal_reconcile_errors_total{controller="ctl"} 1"#,
            r#"controller_runtime_active_workers{controller="ctl"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        // A queue that is gone is not looked at any more.
        drop(queue);
        assert!(!shared.encode().contains("workqueue_depth{"));
    }
}

//! Metrics in the Prometheus text format; every component owns its struct and registers it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{
        MetricType, TypedMetric,
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

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
    time: Family<ControllerLabels, Histogram, fn() -> Histogram>,
}

impl Default for Reconciles {
    fn default() -> Self {
        Self {
            total: Family::default(),
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
    }

    pub fn observe(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.total
            .get_or_create(&ReconcileLabels { controller, result })
            .inc();
        self.time
            .get_or_create(&ControllerLabels { controller })
            .observe(took.as_secs_f64());
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

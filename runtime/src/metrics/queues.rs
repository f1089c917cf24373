//! Figures of work queues, under the names that dashboards for client-go know.

use std::{
    fmt::Debug,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use serde::Serialize;

use crate::queue::Depth;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Labels {
    name: &'static str,
    controller: &'static str,
}

/// What a queue counts as it goes.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    pub(crate) adds: Counter,
    pub(crate) retries: Counter,
    /// Seconds that keys wait for a worker.
    pub(crate) waited: Histogram,
    /// Seconds that workers hold keys.
    pub(crate) worked: Histogram,
}

/// What a queue holds when it is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) ready: usize,
    /// How long all passes under way have taken together.
    pub(crate) unfinished: Duration,
    /// The longest of them.
    pub(crate) longest: Duration,
}

/// A queue of any key.
pub(crate) trait Measured: Debug + Send + Sync {
    fn load(&self) -> Load;
    fn depth(&self) -> Depth;
}

/// How many keys the queues of one name hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueDepth {
    pub name: &'static str,
    pub controller: &'static str,
    #[serde(flatten)]
    pub depth: Depth,
}

type Known = (Labels, Weak<dyn Measured>);

/// The queues of a process. Several of one name, such as one per member, count together.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    adds: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    waited: Family<Labels, Histogram, fn() -> Histogram>,
    worked: Family<Labels, Histogram, fn() -> Histogram>,
    measured: Arc<Mutex<Vec<Known>>>,
}

impl Default for Queues {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(1e-8, 10.0, 12));
        Self {
            adds: Family::default(),
            retries: Family::default(),
            waited: Family::new_with_constructor(histogram),
            worked: Family::new_with_constructor(histogram),
            measured: Arc::default(),
        }
    }
}

impl Queues {
    pub(super) fn register(&self, registry: &mut Registry) {
        // The encoder appends `_total` to the names of counters.
        registry.register("workqueue_adds", "Keys that became due", self.adds.clone());
        registry.register(
            "workqueue_retries",
            "Keys that failed and were put back",
            self.retries.clone(),
        );
        registry.register(
            "workqueue_queue_duration_seconds",
            "How long a key waits before a worker takes it",
            self.waited.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "How long a worker holds a key",
            self.worked.clone(),
        );
        registry.register_collector(Box::new(self.clone()));
    }

    /// The meter of a name; its queue is looked at as long as it lives.
    pub(super) fn meter(
        &self,
        name: &'static str,
        controller: &'static str,
        queue: Weak<dyn Measured>,
    ) -> Meter {
        let labels = Labels { name, controller };
        let mut measured = self.measured.lock();
        measured.retain(|(_, queue)| queue.strong_count() > 0);
        measured.push((labels.clone(), queue));
        Meter {
            adds: self.adds.get_or_create(&labels).clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            waited: self.waited.get_or_create(&labels).clone(),
            worked: self.worked.get_or_create(&labels).clone(),
        }
    }

    fn loads(&self) -> Vec<(Labels, Load)> {
        let mut loads: Vec<(Labels, Load)> = Vec::new();
        for (labels, queue) in self.measured.lock().iter() {
            let Some(load) = queue.upgrade().map(|queue| queue.load()) else {
                continue;
            };
            match loads.iter_mut().find(|(known, _)| known == labels) {
                Some((_, sum)) => {
                    sum.ready += load.ready;
                    sum.unfinished += load.unfinished;
                    sum.longest = sum.longest.max(load.longest);
                }
                None => loads.push((labels.clone(), load)),
            }
        }
        loads.sort_by(|(a, _), (b, _)| a.cmp(b));
        loads
    }
}

impl Queues {
    /// In the order of their names.
    pub(super) fn depths(&self) -> Vec<QueueDepth> {
        let mut depths: Vec<QueueDepth> = Vec::new();
        for (labels, queue) in self.measured.lock().iter() {
            let Some(depth) = queue.upgrade().map(|queue| queue.depth()) else {
                continue;
            };
            let Labels { name, controller } = labels;
            let known = depths
                .iter_mut()
                .find(|known| known.name == *name && known.controller == *controller);
            match known {
                Some(known) => known.depth += depth,
                None => depths.push(QueueDepth {
                    name,
                    controller,
                    depth,
                }),
            }
        }
        depths.sort_by_key(|depth| (depth.name, depth.controller));
        depths
    }
}

impl Collector for Queues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let loads = self.loads();
        let mut gauge = |name: &str, help: &str, value: fn(&Load) -> f64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, load) in &loads {
                ConstGauge::new(value(load)).encode(family.encode_family(labels)?)?;
            }
            Ok(())
        };
        #[expect(clippy::cast_precision_loss, reason = "nobody queues that many keys")]
        gauge("workqueue_depth", "Keys that wait for a worker", |load| {
            load.ready as f64
        })?;
        gauge(
            "workqueue_unfinished_work_seconds",
            "How long the passes under way have taken together",
            |load| load.unfinished.as_secs_f64(),
        )?;
        gauge(
            "workqueue_longest_running_processor_seconds",
            "How long the longest pass under way has taken",
            |load| load.longest.as_secs_f64(),
        )
    }
}

//! Figures of scheduling, under the names that dashboards know.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crds::object::Key;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use runtime::Queue;
use scheduler::{
    Cluster, Observer, Options, Request, Stage,
    decision::{Report, Trigger},
    plugins::{Filter, Score, Verdict},
    relevance::Cause,
};

/// Of this many decisions one has its plugins measured: two looks at the clock for every cluster and plugin would cost as much as the
/// plugins themselves.
const SAMPLE: u64 = 16;

const SUCCESS: &str = "Success";
const UNSCHEDULABLE: &str = "Unschedulable";
const ERROR: &str = "Error";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    result: &'static str,
    schedule_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    schedule_step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExtensionLabels {
    extension_point: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
    extension_point: &'static str,
    result: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug)]
pub(super) struct Metrics {
    attempts: Family<AttemptLabels, Counter>,
    end_to_end: Histograms<AttemptLabels>,
    algorithm: Histograms<StepLabels>,
    incoming: Family<EventLabels, Counter>,
    extension_points: Histograms<ExtensionLabels>,
    plugins: Histograms<PluginLabels>,
    decisions: AtomicU64,
    pending: Pending,
}

/// The queues of both kinds of binding, counted when metrics are read.
#[derive(Clone, Debug, Default)]
struct Pending(Arc<Mutex<Vec<Weak<Queue<Key>>>>>);

impl Collector for Pending {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (mut active, mut failed, mut unschedulable) = (0, 0, 0);
        for queue in self.0.lock().iter().filter_map(Weak::upgrade) {
            let depth = queue.depth();
            active += depth.ready;
            failed += depth.backing_off;
            unschedulable += depth.waiting - depth.backing_off;
        }
        let parts = [
            ("active", active),
            ("backoff", failed),
            ("unschedulable", unschedulable),
        ];
        let family = Family::<QueueLabels, Gauge>::default();
        for (queue, bindings) in parts {
            let bindings = i64::try_from(bindings).unwrap_or(i64::MAX);
            family.get_or_create(&QueueLabels { queue }).set(bindings);
        }
        let encoder = encoder.encode_descriptor(
            "scheduler_pending_bindings",
            "Bindings that wait, by part of the queue",
            None,
            family.metric_type(),
        )?;
        family.encode(encoder)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        Self {
            attempts: Family::default(),
            end_to_end: Family::new_with_constructor(seconds),
            algorithm: Family::new_with_constructor(seconds),
            incoming: Family::default(),
            extension_points: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0001, 2.0, 12))
            }),
            plugins: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_01, 1.5, 20))
            }),
            decisions: AtomicU64::new(0),
            pending: Pending::default(),
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        // The encoder appends `_total` to the names of counters.
        registry.register(
            "karmada_scheduler_schedule_attempts",
            "Attempts to schedule a binding",
            self.attempts.clone(),
        );
        registry.register(
            "karmada_scheduler_e2e_scheduling_duration_seconds",
            "Time to schedule a binding, its writes included",
            self.end_to_end.clone(),
        );
        registry.register(
            "karmada_scheduler_scheduling_algorithm_duration_seconds",
            "Time of the algorithm by step",
            self.algorithm.clone(),
        );
        registry.register(
            "karmada_scheduler_queue_incoming_bindings",
            "Bindings put into the queue by cause",
            self.incoming.clone(),
        );
        registry.register(
            "karmada_scheduler_framework_extension_point_duration_seconds",
            "Time of all plugins of an extension point over all clusters",
            self.extension_points.clone(),
        );
        registry.register(
            "karmada_scheduler_plugin_execution_duration_seconds",
            "Time of one call of a plugin, measured in one of sixteen decisions",
            self.plugins.clone(),
        );
        registry.register_collector(Box::new(self.pending.clone()));
    }

    /// Counts the bindings of this queue as pending.
    pub(super) fn watch(&self, queue: &Arc<Queue<Key>>) {
        self.pending.0.lock().push(Arc::downgrade(queue));
    }

    pub(super) fn incoming(&self, cause: Cause) {
        let event = cause.as_str();
        self.incoming.get_or_create(&EventLabels { event }).inc();
    }

    pub(super) fn attempted(&self, trigger: Trigger, report: &Report, took: Duration) {
        let labels = AttemptLabels {
            result: report.result_label(),
            schedule_type: trigger.schedule_type(),
        };
        self.attempts.get_or_create(&labels).inc();
        self.end_to_end
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Whether the plugins of the next decision are measured.
    pub(super) fn samples(&self) -> bool {
        self.decisions
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(SAMPLE)
    }

    /// The same options with plugins that are measured.
    pub(super) fn measured(self: &Arc<Self>, options: &Options) -> Options {
        let timer = |plugin: &str, point| Timer {
            metrics: Arc::clone(self),
            plugin: plugin.to_owned(),
            point,
            histograms: Default::default(),
        };
        let plugins = options
            .plugins
            .clone()
            .map_filters(|inner| {
                let timer = timer(inner.name(), "Filter");
                Arc::new(TimedFilter { inner, timer })
            })
            .map_scores(|inner| {
                let timers = [
                    timer(inner.name(), "Score"),
                    timer(inner.name(), "ScoreExtensionNormalize"),
                ];
                Arc::new(TimedScore { inner, timers })
            });
        Options {
            plugins,
            ..options.clone()
        }
    }
}

/// Measures the stages of one decision. What it measured is told when it is dropped.
pub(super) struct Stopwatch<'a> {
    metrics: &'a Metrics,
    lap: Mutex<Lap>,
}

struct Lap {
    started: Instant,
    /// The last stage that plugins run in, with its time: whether it succeeded shows in what comes next.
    pending: Option<(Stage, Duration)>,
    stages: Vec<(Stage, Duration)>,
    /// The stages that plugins run in, and whether they succeeded.
    points: Vec<(Stage, Duration, bool)>,
}

impl Lap {
    fn conclude(&mut self, succeeded: bool) {
        if let Some((stage, took)) = self.pending.take() {
            self.points.push((stage, took, succeeded));
        }
    }
}

impl<'a> Stopwatch<'a> {
    pub(super) fn new(metrics: &'a Metrics) -> Self {
        Self {
            metrics,
            lap: Mutex::new(Lap {
                started: Instant::now(),
                pending: None,
                stages: Vec::new(),
                points: Vec::new(),
            }),
        }
    }

    /// Forgets what was measured: the decision is not made yet, and goes through the same stages once more.
    pub(super) fn discard(&self) {
        let mut lap = self.lap.lock();
        lap.pending = None;
        lap.stages.clear();
        lap.points.clear();
    }
}

impl Observer for Stopwatch<'_> {
    fn enter(&self, stage: Stage) {
        let mut lap = self.lap.lock();
        lap.started = Instant::now();
        // Another filter stage is the next attempt: the one before it found no cluster.
        lap.conclude(stage != Stage::Filter);
    }

    fn leave(&self, stage: Stage) {
        let mut lap = self.lap.lock();
        let took = lap.started.elapsed();
        if matches!(stage, Stage::Filter | Stage::Score) {
            lap.pending = Some((stage, took));
        }
        lap.stages.push((stage, took));
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        let lap = self.lap.get_mut();
        lap.conclude(false);
        for (stage, took) in &lap.stages {
            let schedule_step = stage.as_str();
            self.metrics
                .algorithm
                .get_or_create(&StepLabels { schedule_step })
                .observe(took.as_secs_f64());
        }
        for (stage, took, succeeded) in &lap.points {
            let result = match stage {
                _ if *succeeded => SUCCESS,
                Stage::Filter => UNSCHEDULABLE,
                _ => ERROR,
            };
            let extension_point = stage.as_str();
            self.metrics
                .extension_points
                .get_or_create(&ExtensionLabels {
                    extension_point,
                    result,
                })
                .observe(took.as_secs_f64());
        }
    }
}

/// Measures the calls of a plugin.
struct Timer {
    metrics: Arc<Metrics>,
    plugin: String,
    point: &'static str,
    /// By result, so that a call looks up no labels.
    histograms: [OnceLock<Histogram>; 3],
}

impl Timer {
    fn time<T>(&self, call: impl FnOnce() -> T, result: impl FnOnce(&T) -> &'static str) -> T {
        let started = Instant::now();
        let value = call();
        let took = started.elapsed();
        let result = result(&value);
        let slot = match result {
            SUCCESS => &self.histograms[0],
            UNSCHEDULABLE => &self.histograms[1],
            _ => &self.histograms[2],
        };
        let histogram = slot.get_or_init(|| {
            let labels = PluginLabels {
                plugin: self.plugin.clone(),
                extension_point: self.point,
                result,
            };
            self.metrics.plugins.get_or_create(&labels).clone()
        });
        histogram.observe(took.as_secs_f64());
        value
    }
}

struct TimedFilter {
    inner: Arc<dyn Filter>,
    timer: Timer,
}

impl Filter for TimedFilter {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        self.timer.time(
            || self.inner.filter(request, cluster),
            |verdict| match verdict {
                Verdict::Fits => SUCCESS,
                Verdict::Unfit(_) => UNSCHEDULABLE,
                Verdict::Error(_) => ERROR,
            },
        )
    }

    fn code(&self) -> &'static str {
        self.inner.code()
    }

    fn explain(&self, request: &Request<'_>, cluster: &Cluster) -> Option<String> {
        self.inner.explain(request, cluster)
    }
}

struct TimedScore {
    inner: Arc<dyn Score>,
    timers: [Timer; 2],
}

fn result<T>(of: &Result<T, String>) -> &'static str {
    if of.is_ok() { SUCCESS } else { ERROR }
}

impl Score for TimedScore {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn score(&self, request: &Request<'_>, cluster: &Cluster) -> Result<i64, String> {
        self.timers[0].time(|| self.inner.score(request, cluster), result)
    }

    fn normalise(
        &self,
        request: &Request<'_>,
        clusters: &[&Cluster],
        scores: &mut [i64],
    ) -> Result<(), String> {
        self.timers[1].time(|| self.inner.normalise(request, clusters, scores), result)
    }
}

#[cfg(test)]
mod tests {
    use scheduler::{Inputs, Snapshot, decide, trace::NoTrace};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_shows_in_every_figure() {
        let metrics = Arc::new(Metrics::default());
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let cluster = |name: &str, region: &str| {
            let cluster: crds::cluster::Cluster = serde_json::from_value(json!({
                "metadata": { "name": name },
                "spec": { "syncMode": "Push", "region": region },
                "status": { "apiEnablements": [
                    { "groupVersion": "v1", "resources": [{ "name": "configmaps", "kind": "ConfigMap" }] },
                ] },
            }))
            .unwrap();
            Arc::new(cluster)
        };
        let snapshot = Snapshot::new(&[cluster("a", "north"), cluster("b", "")]);
        let options = metrics.measured(&Options::default());
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        for names in [json!(["a"]), json!(["nowhere"])] {
            let binding: crds::work::ResourceBinding = serde_json::from_value(json!({
                "metadata": { "name": "settings-configmap" },
                "spec": {
                    "resource": { "apiVersion": "v1", "kind": "ConfigMap", "name": "settings" },
                    "placement": { "clusterAffinity": { "clusterNames": names } },
                },
            }))
            .unwrap();
            let stopwatch = Stopwatch::new(&metrics);
            let inputs = Inputs {
                observer: Some(&stopwatch),
                ..Inputs::new(&snapshot, &options, now)
            };
            // Until the estimators have answered, the same stages run in vain.
            decide(&binding, &inputs, &mut NoTrace);
            stopwatch.discard();
            let decision = decide(&binding, &inputs, &mut NoTrace);
            drop(stopwatch);
            let scheduler::Decision::Scheduled(outcome) = decision else {
                panic!("a new binding is scheduled");
            };
            let report = outcome.report(&binding, Ok(()), options.compat);
            metrics.attempted(outcome.trigger, &report, Duration::from_millis(3));
            metrics.incoming(Cause::BindingAdd);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"schedule_attempts_total{result="scheduled",schedule_type="ReconcileSchedule"} 2"#,
            r#"e2e_scheduling_duration_seconds_count{result="scheduled",schedule_type="ReconcileSchedule"} 2"#,
            r#"scheduling_algorithm_duration_seconds_count{schedule_step="Filter"} 2"#,
            r#"scheduling_algorithm_duration_seconds_count{schedule_step="AssignReplicas"} 1"#,
            r#"queue_incoming_bindings_total{event="BindingAdd"} 2"#,
            r#"framework_extension_point_duration_seconds_count{extension_point="Filter",result="Success"} 1"#,
            r#"framework_extension_point_duration_seconds_count{extension_point="Filter",result="Unschedulable"} 1"#,
            r#"framework_extension_point_duration_seconds_count{extension_point="Score",result="Success"} 1"#,
            r#"plugin_execution_duration_seconds_count{plugin="ClusterAffinity",extension_point="Filter",result="Success"} 2"#,
            r#"plugin_execution_duration_seconds_count{plugin="ClusterLocality",extension_point="ScoreExtensionNormalize",result="Success"} 2"#,
        ] {
            let line = format!("karmada_scheduler_{line}");
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}

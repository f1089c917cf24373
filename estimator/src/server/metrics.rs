//! Figures of estimation, under the names that dashboards know.

use std::time::{Duration, Instant};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// A kind of request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    Replicas,
    ComponentSets,
    Unschedulable,
}

impl Type {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Replicas => "MaxAvailableReplicas",
            Self::ComponentSets => "MaxAvailableComponentSets",
            Self::Unschedulable => "GetUnschedulableReplicas",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    result: &'static str,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    result: &'static str,
    r#type: &'static str,
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PointLabels {
    estimating_plugin_extension_point: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    estimating_plugin: &'static str,
    estimating_plugin_extension_point: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug)]
pub(super) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    algorithm: Histograms<StepLabels>,
    points: Histograms<PointLabels>,
    plugins: Histograms<PluginLabels>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            algorithm: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 10))
            }),
            points: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0001, 2.0, 12))
            }),
            plugins: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_01, 1.5, 20))
            }),
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        // The encoder appends `_total` to the names of counters.
        registry.register(
            "karmada_scheduler_estimator_estimating_request",
            "Requests by result and type",
            self.requests.clone(),
        );
        registry.register(
            "karmada_scheduler_estimator_estimating_algorithm_duration_seconds",
            "Time of each step of a request",
            self.algorithm.clone(),
        );
        registry.register(
            "karmada_scheduler_estimator_estimating_plugin_extension_point_duration_seconds",
            "Time of all estimating plugins together",
            self.points.clone(),
        );
        registry.register(
            "karmada_scheduler_estimator_estimating_plugin_execution_duration_seconds",
            "Time of each estimating plugin",
            self.plugins.clone(),
        );
    }

    pub(super) fn answered(&self, kind: Type, is_success: bool, took: Duration) {
        let (result, kind_) = (result(is_success), kind.as_str());
        self.requests
            .get_or_create(&RequestLabels {
                result,
                r#type: kind_,
            })
            .inc();
        self.step(kind, "Total", is_success, took);
    }

    pub(super) fn step(&self, kind: Type, step: &'static str, is_success: bool, took: Duration) {
        self.algorithm
            .get_or_create(&StepLabels {
                result: result(is_success),
                r#type: kind.as_str(),
                step,
            })
            .observe(took.as_secs_f64());
    }

    /// Measures one plugin.
    pub(super) fn plugin<T>(
        &self,
        plugin: &'static str,
        point: &'static str,
        run: impl FnOnce() -> T,
    ) -> T {
        let started = Instant::now();
        let answer = run();
        self.plugins
            .get_or_create(&PluginLabels {
                estimating_plugin: plugin,
                estimating_plugin_extension_point: point,
            })
            .observe(started.elapsed().as_secs_f64());
        answer
    }

    /// Measures all plugins.
    pub(super) fn point<T>(&self, point: &'static str, run: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let answer = run();
        self.points
            .get_or_create(&PointLabels {
                estimating_plugin_extension_point: point,
            })
            .observe(started.elapsed().as_secs_f64());
        answer
    }
}

const fn result(is_success: bool) -> &'static str {
    if is_success { "success" } else { "error" }
}

//! Figures of rendering, under the names that dashboards know.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// Shared by both kinds of binding.
#[derive(Debug)]
pub(super) struct Metrics {
    synced: Family<ResultLabel, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            synced: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 12))
            }),
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "binding_sync_work_duration_seconds",
            "Time to bring the Works of a binding up to date",
            self.synced.clone(),
        );
    }

    pub(super) fn synced(&self, succeeded: bool, took: Duration) {
        let result = if succeeded { "success" } else { "error" };
        self.synced
            .get_or_create(&ResultLabel { result })
            .observe(took.as_secs_f64());
    }
}

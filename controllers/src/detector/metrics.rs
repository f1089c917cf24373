//! Figures of matching, under the names that dashboards know.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl ResultLabel {
    fn of(succeeded: bool) -> Self {
        Self {
            result: if succeeded { "success" } else { "error" },
        }
    }
}

#[derive(Debug)]
pub(super) struct Metrics {
    match_policy: Histogram,
    apply_policy: Family<ResultLabel, Histogram, fn() -> Histogram>,
    attempts: Family<ResultLabel, Counter>,
    preemptions: Family<ResultLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            match_policy: histogram(),
            apply_policy: Family::new_with_constructor(histogram),
            attempts: Family::default(),
            preemptions: Family::default(),
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 12))
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "resource_match_policy_duration_seconds",
            "Time to find a policy for an unclaimed template",
            self.match_policy.clone(),
        );
        registry.register(
            "resource_apply_policy_duration_seconds",
            "Time to claim a template and bring its binding up to date",
            self.apply_policy.clone(),
        );
        // The encoder appends `_total` to the names of counters.
        registry.register(
            "policy_apply_attempts",
            "Attempts to apply a policy to a template",
            self.attempts.clone(),
        );
        registry.register(
            "policy_preemption",
            "Attempts of a policy to take a template from another",
            self.preemptions.clone(),
        );
    }

    pub(super) fn matched(&self, took: Duration) {
        self.match_policy.observe(took.as_secs_f64());
    }

    pub(super) fn applied(&self, succeeded: bool, took: Duration) {
        let label = ResultLabel::of(succeeded);
        self.attempts.get_or_create(&label).inc();
        self.apply_policy
            .get_or_create(&label)
            .observe(took.as_secs_f64());
    }

    pub(super) fn preempted(&self, succeeded: bool) {
        self.preemptions
            .get_or_create(&ResultLabel::of(succeeded))
            .inc();
    }
}

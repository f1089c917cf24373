//! How much is held back, and how often something was.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use propagation::brake::HeldBack;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HeldLabels {
    member_cluster: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Metrics {
    held: Family<HeldLabels, Gauge<i64, AtomicI64>>,
    holds: Family<ReasonLabels, Counter>,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "navarch_removals_held",
            "Removals from members that wait to be let go",
            self.held.clone(),
        );
        registry.register(
            "navarch_removal_holds",
            "Removals from members that were held back",
            self.holds.clone(),
        );
    }

    pub(super) fn changed(&self, before: &[HeldBack], after: &[HeldBack]) {
        let labels = |item: &HeldBack| HeldLabels {
            member_cluster: item.cluster.clone(),
            reason: item.hold.reason.as_str(),
        };
        let objects = |item: &HeldBack| i64::try_from(item.objects).unwrap_or(i64::MAX);
        for item in after {
            self.held.get_or_create(&labels(item)).inc_by(objects(item));
            if !before.contains(item) {
                let reason = item.hold.reason.as_str();
                self.holds.get_or_create(&ReasonLabels { reason }).inc();
            }
        }
        for item in before {
            self.held.get_or_create(&labels(item)).dec_by(objects(item));
        }
    }
}

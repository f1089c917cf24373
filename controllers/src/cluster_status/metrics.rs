//! Gauges per member, under the names that dashboards know.

use std::{sync::atomic::AtomicU64, time::Duration};

use crds::cluster::ClusterStatus;
use interpreter::quantity::Quantity;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    member_cluster: String,
}

type Number = Family<Labels, Gauge<f64, AtomicU64>>;

#[derive(Debug)]
pub(super) struct Metrics {
    ready: Number,
    nodes: Number,
    ready_nodes: Number,
    allocatable: [Number; 3],
    allocated: [Number; 3],
    duration: Family<Labels, Histogram, fn() -> Histogram>,
}

/// Resources that have gauges, in the order of [`Metrics::allocatable`].
const RESOURCES: [&str; 3] = ["memory", "cpu", "pods"];
const SECONDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

impl Default for Metrics {
    fn default() -> Self {
        Self {
            ready: Number::default(),
            nodes: Number::default(),
            ready_nodes: Number::default(),
            allocatable: Default::default(),
            allocated: Default::default(),
            duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let mut gauge = |name: &str, help: &str, number: &Number| {
            registry.register(name, help, number.clone());
        };
        gauge(
            "cluster_ready_state",
            "Whether the member is ready (1) or not (0)",
            &self.ready,
        );
        gauge("cluster_node_number", "Nodes of the member", &self.nodes);
        gauge(
            "cluster_ready_node_number",
            "Ready nodes of the member",
            &self.ready_nodes,
        );
        let [memory, cpu, pods] = &self.allocatable;
        gauge(
            "cluster_memory_allocatable_bytes",
            "Memory that nodes offer",
            memory,
        );
        gauge(
            "cluster_cpu_allocatable_number",
            "CPUs that nodes offer",
            cpu,
        );
        gauge(
            "cluster_pod_allocatable_number",
            "Pods that nodes have room for",
            pods,
        );
        let [memory, cpu, pods] = &self.allocated;
        gauge(
            "cluster_memory_allocated_bytes",
            "Memory that pods on nodes request",
            memory,
        );
        gauge(
            "cluster_cpu_allocated_number",
            "CPUs that pods on nodes request",
            cpu,
        );
        gauge("cluster_pod_allocated_number", "Pods on nodes", pods);
        registry.register(
            "cluster_sync_status_duration_seconds",
            "How long a look at the member takes",
            self.duration.clone(),
        );
    }

    fn numbers(&self) -> impl Iterator<Item = &Number> {
        [&self.ready, &self.nodes, &self.ready_nodes]
            .into_iter()
            .chain(&self.allocatable)
            .chain(&self.allocated)
    }

    pub(super) fn synced(&self, cluster: &str, took: Duration) {
        self.duration
            .get_or_create(&labels(cluster))
            .observe(took.as_secs_f64());
    }

    /// Shows what is published.
    pub(super) fn publish(&self, cluster: &str, status: Option<&ClusterStatus>) {
        let labels = labels(cluster);
        let set = |number: &Number, value: f64| {
            number.get_or_create(&labels).set(value);
        };
        let is_ready = status.is_some_and(ClusterStatus::is_ready);
        set(&self.ready, f64::from(u8::from(is_ready)));
        let Some(status) = status else {
            return;
        };
        if let Some(nodes) = &status.node_summary {
            set(&self.nodes, nodes.total_num.unwrap_or_default().into());
            set(
                &self.ready_nodes,
                nodes.ready_num.unwrap_or_default().into(),
            );
        }
        if let Some(resources) = &status.resource_summary {
            for (index, name) in RESOURCES.into_iter().enumerate() {
                let amount = |quantity: Option<_>| {
                    quantity
                        .and_then(|it| Quantity::try_from(it).ok())
                        .map_or(0.0, |it| it.to_f64())
                };
                set(
                    &self.allocatable[index],
                    amount(resources.allocatable.get(name)),
                );
                set(
                    &self.allocated[index],
                    amount(resources.allocated.get(name)),
                );
            }
        }
    }

    pub(super) fn forget(&self, cluster: &str) {
        let labels = labels(cluster);
        for number in self.numbers() {
            number.remove(&labels);
        }
        self.duration.remove(&labels);
    }
}

fn labels(cluster: &str) -> Labels {
    Labels {
        member_cluster: cluster.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_follow_the_status_and_go_with_the_cluster() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let status: ClusterStatus = serde_json::from_value(serde_json::json!({
            "nodeSummary": {"totalNum": 3, "readyNum": 2},
            "resourceSummary": {"allocatable": {"memory": "1Ki", "cpu": "1500m"}},
        }))
        .unwrap();
        metrics.publish("m1", Some(&status));
        metrics.synced("m1", Duration::from_millis(3));
        let text = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        for line in [
            "cluster_ready_state{member_cluster=\"m1\"} 0.0",
            "cluster_ready_node_number{member_cluster=\"m1\"} 2.0",
            "cluster_memory_allocatable_bytes{member_cluster=\"m1\"} 1024.0",
            "cluster_cpu_allocatable_number{member_cluster=\"m1\"} 1.5",
        ] {
            assert!(text().contains(line), "{line} in {}", text());
        }
        metrics.forget("m1");
        assert!(!text().contains("m1"), "{}", text());
    }
}

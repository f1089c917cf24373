//! What interpretation costs.

use std::time::Duration;

use crds::{config::InterpreterOperation, object::Gvk};
use interpreter::{LayerName, PoolUse, Runtime};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    layer: &'static str,
    operation: &'static str,
    group: String,
    version: String,
    kind: String,
}

/// From the native rules' microseconds to webhooks' seconds.
const BUCKETS: [f64; 8] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 30.0];

#[derive(Debug)]
pub(super) struct Metrics {
    time: Family<Labels, Histogram, fn() -> Histogram>,
    errors: Family<Labels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            time: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            errors: Family::default(),
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry, pools: [&Runtime; 2]) {
        registry.register_with_unit(
            "navarch_interpreter_duration",
            "Time that an operation on an object took, calls of webhooks included",
            Unit::Seconds,
            self.time.clone(),
        );
        registry.register(
            "navarch_interpreter_errors",
            "Operations on objects that failed",
            self.errors.clone(),
        );
        registry.register_collector(Box::new(Pools(pools.map(Runtime::clone))));
    }

    pub(super) fn answered(
        &self,
        layer: LayerName,
        operation: InterpreterOperation,
        gvk: &Gvk,
        took: Duration,
        failed: bool,
    ) {
        let labels = Labels {
            layer: layer.as_str(),
            operation: operation.as_str(),
            group: gvk.group.clone(),
            version: gvk.version.clone(),
            kind: gvk.kind.clone(),
        };
        self.time.get_or_create(&labels).observe(took.as_secs_f64());
        if failed {
            self.errors.get_or_create(&labels).inc();
        }
    }
}

/// The pools of script engines, under the names that the reference has for them.
#[derive(Debug)]
struct Pools([Runtime; 2]);

impl Collector for Pools {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let sum = |field: fn(PoolUse) -> u64| -> u64 {
            self.0.iter().map(|pool| field(pool.pool_use())).sum()
        };
        for (name, help, label, counts) in [
            (
                "pool_get_operation",
                "Script engines taken from the pool, or made anew",
                "from",
                [("pool", sum(|it| it.from_pool)), ("new", sum(|it| it.new))],
            ),
            (
                "pool_put_operation",
                "Script engines put back into the pool, or thrown away",
                "to",
                [
                    ("pool", sum(|it| it.to_pool)),
                    ("destroyed", sum(|it| it.destroyed)),
                ],
            ),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, count) in counts {
                let labels = [("name", "luavm"), (label, value)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use interpreter::Limits;

    use super::*;

    #[test]
    fn names_are_those_that_dashboards_know() {
        let registry = runtime::metrics::Shared::default();
        let (metrics, pool) = (Metrics::default(), Runtime::new(Limits::default()));
        registry.register(|registry| metrics.register(registry, [&pool, &pool]));
        pool.compile("x = 1").unwrap();
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let operation = InterpreterOperation::InterpretHealth;
        metrics.answered(
            LayerName::Native,
            operation,
            &gvk,
            Duration::from_micros(3),
            true,
        );
        let text = registry.encode();
        let labels = r#"{layer="native",operation="InterpretHealth",group="apps",version="v1",kind="Deployment""#;
        for line in [
            r#"pool_get_operation_total{name="luavm",from="pool"} 0"#.to_owned(),
            r#"pool_get_operation_total{name="luavm",from="new"} 2"#.to_owned(),
            r#"pool_put_operation_total{name="luavm",to="pool"} 2"#.to_owned(),
            r#"pool_put_operation_total{name="luavm",to="destroyed"} 0"#.to_owned(),
            format!("navarch_interpreter_errors_total{labels}}} 1"),
            format!("navarch_interpreter_duration_seconds_count{labels}}} 1"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}

//! Any JSON as an object: every operation answers or fails.

use std::sync::{Arc, LazyLock};

use crds::work::AggregatedStatusItem;
use navarch_interpreter::{
    Interpreter, Limits, Options, Runtime, StoppedClock, prune, third_party,
};
use serde_json::Value;

static INTERPRETER: LazyLock<Interpreter> = LazyLock::new(|| {
    let rules = third_party(&Runtime::new(Limits::default()), false);
    Interpreter::native(Arc::new(StoppedClock(0))).with_layer(Arc::new(rules))
});

/// States in clusters: the object's own, each of its parts that is an object, and none.
fn items(object: &Value) -> Vec<AggregatedStatusItem> {
    let status = object.get("status");
    let parts = status.and_then(Value::as_object).into_iter().flatten();
    let parts = parts.map(|(_, part)| part).filter(|part| part.is_object());
    let statuses = status.into_iter().chain(parts).take(4).cloned().map(Some);
    let item = |(number, status)| AggregatedStatusItem {
        cluster_name: format!("member{number}"),
        status,
        ..AggregatedStatusItem::default()
    };
    statuses.chain([None]).enumerate().map(item).collect()
}

pub(crate) fn run(data: &[u8]) {
    let Ok(object) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    for compat in [true, false] {
        let interpreter = INTERPRETER.clone().with_options(Options {
            compat,
            ..Options::default()
        });
        let _ = interpreter.replicas(&object);
        let _ = interpreter.components(&object);
        let _ = interpreter.revise_replica(object.clone(), 3);
        let _ = interpreter.retain(object.clone(), &object);
        let _ = interpreter.reflect_status(&object);
        let _ = interpreter.aggregate_status(object.clone(), &[]);
        let _ = interpreter.aggregate_status(object.clone(), &items(&object));
        let _ = interpreter.health(&object);
        let _ = interpreter.dependencies(&object);
    }
    let mut manifest = object;
    if prune::prune(&mut manifest).is_ok() {
        let _ = prune::stamp(&mut manifest, Some("id"));
    }
}

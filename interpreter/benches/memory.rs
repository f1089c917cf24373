//! What a thousand customizations cost in memory, loaded and each used once. Linux only: it reads `/proc/self/statm`.
//!
//! `cargo bench -p navarch-interpreter --bench memory`

#![expect(
    clippy::print_stdout,
    reason = "the figure is what this program is for"
)]

use std::sync::Arc;

use crds::config::ResourceInterpreterCustomization;
use interpreter::{Customizations, Interpreter, Limits, Runtime, StoppedClock};
use navarch_interpreter as interpreter;
use serde_json::json;

const CUSTOMIZATIONS: usize = 1_000;
const PAGE_KIB: usize = 4;

fn resident_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or_default() * PAGE_KIB
}

/// Six scripts of some thirty lines, none equal to another customization's.
fn customization(number: usize) -> ResourceInterpreterCustomization {
    let lines = |body: &str| {
        let padding =
            format!("  -- what rule {number} knows about a line of this kind\n").repeat(25);
        format!("local kube = require('kube')\n{body}\n{padding}  return result(obj)\nend\n")
    };
    let helper = "local function result(obj) return obj end\n";
    let script = |name: &str| json!({"luaScript": format!("{helper}{}", lines(&format!("function {name}(obj, other)")))});
    let object = json!({
        "apiVersion": "config.karmada.io/v1alpha1", "kind": "ResourceInterpreterCustomization",
        "metadata": {"name": format!("c{number}")},
        "spec": {"target": {"apiVersion": "example.com/v1", "kind": format!("Kind{number}")}, "customizations": {
            "replicaRevision": script("ReviseReplica"),
            "retention": script("Retain"),
            "statusReflection": script("ReflectStatus"),
            "statusAggregation": script("AggregateStatus"),
            "healthInterpretation": {"luaScript": format!("-- {number}\nfunction InterpretHealth(o) return o.status ~= nil end")},
            "dependencyInterpretation": script("GetDependencies"),
        }},
    });
    serde_json::from_value(object).expect("the kind's shape")
}

fn main() {
    let before = resident_kib();
    let layer = {
        let customizations: Vec<_> = (0..CUSTOMIZATIONS).map(customization).collect();
        Customizations::new(&customizations, &Runtime::new(Limits::default()), None)
    };
    let loaded = resident_kib();
    let interpreter = Interpreter::native(Arc::new(StoppedClock(0))).with_layer(Arc::new(layer));
    let healthy = (0..CUSTOMIZATIONS).filter(|number| {
        let object =
            json!({"apiVersion": "example.com/v1", "kind": format!("Kind{number}"), "status": {}});
        matches!(interpreter.health(&object), Ok(Some(_)))
    });
    let answered = healthy.count();
    let used = resident_kib();
    println!(
        "{CUSTOMIZATIONS} customizations: {} KiB loaded, {} KiB after {answered} answers",
        loaded - before,
        used - before
    );
}

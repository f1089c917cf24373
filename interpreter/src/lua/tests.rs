//! The dialect, the contract of each operation, and scripts that mean harm.

#![expect(
    clippy::needless_pass_by_value,
    reason = "cases read better with their values in place"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crds::work::{AggregatedStatusItem, ResourceHealth};
use serde_json::{Value, json};

use super::*;
use crate::layer::{Answer, Clock, Context, Options, Question, StoppedClock};

mod adversarial;
mod calls;
mod contract;
mod dialect;
mod translation;

/// 2026-01-01T10:43:59Z.
const NOW: i64 = 1_767_264_239;

fn ask_with(
    runtime: &Runtime,
    clock: Arc<dyn Clock>,
    compat: bool,
    script: &str,
    question: &Question<'_>,
) -> Result<Answer, String> {
    let script = runtime.compile(script).map_err(|error| error.to_string())?;
    let options = Options {
        compat,
        ..Options::default()
    };
    let context = Context {
        options,
        clock: &clock,
        print: None,
        customization: "",
    };
    runtime
        .ask(&script, question, &context)
        .map_err(|error| error.to_string())
}

fn ask(compat: bool, script: &str, question: &Question<'_>) -> Result<Answer, String> {
    ask_with(
        &Runtime::new(Limits::default()),
        Arc::new(StoppedClock(NOW)),
        compat,
        script,
        question,
    )
}

/// What a function with this body returns, each value printed with `tostring`, in one line.
fn run(runtime: &Runtime, clock: Arc<dyn Clock>, body: &str) -> Result<String, String> {
    let script = format!(
        "function ReflectStatus(o) return (function(...) local out = {{}} for i = 1, select('#', ...) do \
         out[i] = tostring((select(i, ...))) end return {{text = table.concat(out, ' ')}} end)((function() {body}\nend)()) end"
    );
    let object = json!({"kind": "Thing", "spec": {"b": 1, "a": [1, 2], "c": {}}});
    match ask_with(
        runtime,
        clock,
        false,
        &script,
        &Question::Status { observed: &object },
    )? {
        Answer::Status(Some(status)) => Ok(status["text"].as_str().unwrap_or_default().to_owned()),
        other => Err(format!("{other:?}")),
    }
}

//! Any text as a script: it is refused, fails, or answers, within its limits.

use std::sync::Arc;
use std::time::Duration;

use navarch_interpreter::{Clock, Context, Limits, Options, Question, Runtime, StoppedClock};
use serde_json::json;

pub(crate) fn run(source: &str) {
    let limits = Limits {
        deadline: Duration::from_secs(1),
        instructions: 200_000,
        memory: 4 << 20,
    };
    let runtime = Runtime::new(limits);
    let Ok(script) = runtime.compile(source) else {
        return;
    };
    let clock: Arc<dyn Clock> = Arc::new(StoppedClock(0));
    let object = json!({"apiVersion": "v1", "kind": "Thing", "spec": {"list": [], "map": {}, "number": 1.5}});
    for compat in [true, false] {
        let context = Context {
            options: Options {
                compat,
                ..Options::default()
            },
            clock: &clock,
            print: None,
            customization: "",
        };
        let _ = runtime.ask(&script, &Question::Replicas { object: &object }, &context);
        let _ = runtime.ask(
            &script,
            &Question::Retain {
                desired: object.clone(),
                observed: &object,
            },
            &context,
        );
    }
}

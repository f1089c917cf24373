//! The interpreter as a server with these customizations has it, webhooks excepted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crds::config::ResourceInterpreterCustomization;
use interpreter::{
    Clock, Customizations, Interpreter, Limits, Note, Options, Runtime, third_party,
};

pub(crate) struct Rules {
    pub(crate) interpreter: Interpreter,
    notes: Vec<Note>,
}

impl Rules {
    pub(crate) fn new(customizations: &[ResourceInterpreterCustomization], compat: bool) -> Self {
        let runtime = Runtime::new(Limits::default());
        let customizations = Customizations::new(customizations, &runtime, None);
        let notes = customizations.notes().to_vec();
        let interpreter = Interpreter::native(Arc::new(SystemClock(Instant::now())))
            .with_layer(Arc::new(customizations))
            .with_layer(Arc::new(third_party(&runtime, compat)))
            .with_options(Options {
                compat,
                ..Options::default()
            });
        Self { interpreter, notes }
    }

    /// What the authors should know, broken scripts included.
    pub(crate) fn notes(&self) -> &[Note] {
        &self.notes
    }
}

struct SystemClock(Instant);

impl Clock for SystemClock {
    fn unix_seconds(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

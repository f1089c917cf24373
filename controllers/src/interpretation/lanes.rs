//! Which scripts are quick enough to run where they are asked, and how the others run.
//!
//! A script is quick once it has answered within [`QUICK`]. One that has not, or is new, runs on a thread for blocking work, so
//! that it holds up neither the runtime nor, as its pass steps aside, any other key. Of these, one per kind runs at a time and a
//! few in all: an endless loop in one customization takes a part of one processor and lets slow rules of other kinds have
//! their turns.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crds::{config::InterpreterOperation, object::Gvk};
use interpreter::{LayerName, Printed, Target};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::{Answered, metrics::Metrics};

/// What a script may take on the thread of whoever asks.
const QUICK: Duration = Duration::from_millis(5);
/// Quick answers in a row after which a script that was slow counts as quick again.
const REFORM: u8 = 16;

/// See the module documentation.
pub(super) struct Lanes {
    /// Quick answers that a script still has to give before it counts as quick; scripts that are not in it have never run.
    probation: RwLock<HashMap<Gvk, [u8; OPERATIONS]>>,
    turns: Mutex<HashMap<Gvk, Arc<Semaphore>>>,
    threads: Semaphore,
    metrics: Arc<Metrics>,
}

const OPERATIONS: usize = InterpreterOperation::ALL.len() + 1;

fn position(operation: InterpreterOperation) -> usize {
    let found = InterpreterOperation::ALL
        .iter()
        .position(|it| *it == operation);
    found.unwrap_or(OPERATIONS - 1)
}

impl Lanes {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            probation: RwLock::default(),
            turns: Mutex::default(),
            threads: Semaphore::new((processors / 2).clamp(1, 4)),
            metrics,
        }
    }

    /// Whether the script for this operation may run right here.
    pub(super) fn is_quick(&self, target: Target<'_>, operation: InterpreterOperation) -> bool {
        let gvk = Gvk::new(target.group, target.version, target.kind);
        let probation = self.probation.read();
        probation
            .get(&gvk)
            .is_some_and(|left| left[position(operation)] == 0)
    }

    /// Forgets how quick the scripts of a kind were, because they have changed.
    pub(super) fn forget(&self, gvk: &Gvk) {
        self.probation.write().remove(gvk);
    }

    /// Asks when it is this kind's turn.
    pub(super) async fn run(
        &self,
        gvk: Gvk,
        operation: InterpreterOperation,
        ask: impl FnOnce() -> Answered + Send + 'static,
    ) -> Answered {
        let lane = {
            let mut turns = self.turns.lock();
            Arc::clone(
                turns
                    .entry(gvk.clone())
                    .or_insert_with(|| Arc::new(Semaphore::new(1))),
            )
        };
        // Nobody closes the semaphores.
        let _turn = lane.acquire().await.ok();
        // While this one waited, another may have shown that the script is quick.
        if self.is_quick(Target::from(&gvk), operation) {
            return ask();
        }
        let _thread = self.threads.acquire().await.ok();
        match tokio::task::spawn_blocking(ask).await {
            Ok(answered) => answered,
            Err(error) => match error.try_into_panic() {
                // The engine that runs passes catches it.
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going away, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn ran(&self, target: Target<'_>, operation: InterpreterOperation, took: Duration) {
        let gvk = Gvk::new(target.group, target.version, target.kind);
        let at = position(operation);
        let known = self.probation.read().get(&gvk).map(|left| left[at]);
        let left = match known {
            _ if took > QUICK => REFORM,
            None => 0,
            Some(left) => left.min(REFORM).saturating_sub(1),
        };
        if known != Some(left) {
            self.probation
                .write()
                .entry(gvk)
                .or_insert([NEVER; OPERATIONS])[at] = left;
        }
    }
}

/// Of an operation whose script has never run: the first quick answer makes it quick.
const NEVER: u8 = 1;

impl interpreter::Observer for Lanes {
    fn answered(&self, answered: interpreter::Answered<'_>) {
        let interpreter::Answered {
            target,
            operation,
            layer,
            took,
            failed,
            printed,
        } = answered;
        for Printed {
            customization,
            line,
        } in printed
        {
            let operation = operation.as_str();
            tracing::debug!(customization, operation, kind = %target, line, "Script printed");
        }
        match layer {
            LayerName::Customization | LayerName::ThirdParty => self.ran(target, operation, took),
            LayerName::Native => {}
            // Whoever makes the call measures it.
            LayerName::Webhook => return,
        }
        let gvk = Gvk::new(target.group, target.version, target.kind);
        self.metrics.answered(layer, operation, &gvk, took, failed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use interpreter::Answer;

    use super::*;

    const HEALTH: InterpreterOperation = InterpreterOperation::InterpretHealth;

    fn thing() -> Target<'static> {
        Target::new("example.com/v1", "Thing")
    }

    fn kind(name: &str) -> Gvk {
        Gvk::new("example.com", "v1", name)
    }

    #[test]
    fn scripts_are_quick_once_they_have_shown_it() {
        let lanes = Lanes::new(Arc::default());
        let (quick, slow) = (Duration::from_micros(30), Duration::from_millis(50));
        assert!(!lanes.is_quick(thing(), HEALTH), "a script that never ran");
        lanes.ran(thing(), HEALTH, quick);
        assert!(lanes.is_quick(thing(), HEALTH));
        assert!(
            !lanes.is_quick(thing(), InterpreterOperation::Retain),
            "another operation"
        );
        lanes.ran(thing(), InterpreterOperation::Retain, quick);
        assert!(lanes.is_quick(thing(), InterpreterOperation::Retain));
        lanes.ran(thing(), HEALTH, slow);
        for answers in 1..=REFORM {
            assert!(!lanes.is_quick(thing(), HEALTH), "after {answers}");
            lanes.ran(thing(), HEALTH, quick);
        }
        assert!(lanes.is_quick(thing(), HEALTH));
        lanes.forget(&kind("Thing"));
        assert!(!lanes.is_quick(thing(), HEALTH), "a new script");
    }

    #[tokio::test]
    async fn slow_scripts_of_one_kind_take_turns_and_leave_the_runtime_alone() {
        let lanes = Arc::new(Lanes::new(Arc::default()));
        let begun = Instant::now();
        let pause = Duration::from_millis(40);
        let run = |name: &str| {
            let (lanes, gvk) = (Arc::clone(&lanes), kind(name));
            tokio::spawn(async move {
                let ask = move || {
                    std::thread::sleep(pause);
                    Ok(Some((LayerName::Customization, Answer::Health(true))))
                };
                lanes.run(gvk, HEALTH, ask).await
            })
        };
        let tasks = [run("Thing"), run("Thing"), run("Thing")];
        // The one thread of this runtime is free meanwhile.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(begun.elapsed() < pause, "{:?}", begun.elapsed());
        for task in tasks {
            assert!(task.await.unwrap().is_ok());
        }
        assert!(begun.elapsed() >= 3 * pause);
    }
}

//! What a run may use, shared between the engine's hook, the libraries and the caller.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mlua::Lua;

use super::library;
use crate::layer::{Clock, Options};
use crate::rfc3339::UnixSeconds;

/// What one call of a script may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time of the whole call.
    pub deadline: Duration,
    /// Steps of the engine. Stops an endless loop even under a clock that stands still.
    pub instructions: u64,
    /// Bytes of memory.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(1),
            instructions: 200_000_000,
            memory: 64 << 20,
        }
    }
}

/// The engine asks the hook every so many steps.
pub(super) const HOOK_INTERVAL: u32 = 1_000;
/// What the host does for a script counts as steps too: so many for a call ...
const STEPS_OF_CALL: u32 = 10;
/// ... and one for so many bytes of its arguments.
const BYTES_OF_STEP: usize = 16;
/// Printed lines that are kept of one call.
const MAX_PRINTED: usize = 64 << 10;
/// The seed of `math.random`; the same in every run, so that the same input gives the same result.
const RANDOM_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Deadline,
    Instructions,
    Memory,
}

/// The run has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

impl From<Stopped> for mlua::Error {
    fn from(_: Stopped) -> Self {
        Self::RuntimeError("stopped".to_owned())
    }
}

struct Shared {
    stop: AtomicU8,
    instructions_left: AtomicI64,
    /// Steps of the host since somebody last looked at the clock.
    unseen: AtomicU32,
    /// From this much memory on, the hook remembers where the script is: nobody can ask once there is none left.
    watched_from: AtomicUsize,
    /// The line that was remembered; 0 when there is none.
    last_line: AtomicU32,
    random: AtomicU64,
    run: Mutex<Run>,
}

struct Run {
    clock: Option<Arc<dyn Clock>>,
    ends_at: Duration,
    options: Options,
    printed: Vec<String>,
    printed_bytes: usize,
}

/// The state of the run that is going on; cheap to clone.
#[derive(Clone)]
pub(super) struct RunState(Arc<Shared>);

impl RunState {
    pub(super) fn new() -> Self {
        let run = Run {
            clock: None,
            ends_at: Duration::ZERO,
            options: Options::default(),
            printed: Vec::new(),
            printed_bytes: 0,
        };
        Self(Arc::new(Shared {
            stop: AtomicU8::new(0),
            instructions_left: AtomicI64::new(0),
            unseen: AtomicU32::new(0),
            watched_from: AtomicUsize::new(usize::MAX),
            last_line: AtomicU32::new(0),
            random: AtomicU64::new(RANDOM_SEED),
            run: Mutex::new(run),
        }))
    }

    fn run(&self) -> std::sync::MutexGuard<'_, Run> {
        self.0.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run. `used` is the memory that is in use already.
    pub(super) fn begin(
        &self,
        limits: &Limits,
        clock: &Arc<dyn Clock>,
        options: Options,
        used: usize,
    ) {
        self.0.stop.store(0, Ordering::Relaxed);
        self.0.unseen.store(0, Ordering::Relaxed);
        self.0.last_line.store(0, Ordering::Relaxed);
        let watched_from = used.saturating_add(limits.memory / 4);
        self.0.watched_from.store(watched_from, Ordering::Relaxed);
        self.0.instructions_left.store(
            i64::try_from(limits.instructions).unwrap_or(i64::MAX),
            Ordering::Relaxed,
        );
        self.0.random.store(RANDOM_SEED, Ordering::Relaxed);
        let mut run = self.run();
        run.ends_at = clock.monotonic().saturating_add(limits.deadline);
        run.clock = Some(Arc::clone(clock));
        run.options = options;
        run.printed.clear();
        run.printed_bytes = 0;
    }

    /// Ends the run; returns what it printed.
    pub(super) fn end(&self) -> Vec<String> {
        let mut run = self.run();
        run.clock = None;
        std::mem::take(&mut run.printed)
    }

    /// Counts steps of the engine, and says whether the run has to stop.
    pub(super) fn spend(&self, instructions: u32) -> bool {
        self.count(instructions);
        self.is_over()
    }

    /// Counts what the host does for a call with so many bytes of arguments, before it does it. Looks at the clock as often as
    /// the hook does.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), Stopped> {
        let steps = u32::try_from(bytes / BYTES_OF_STEP)
            .unwrap_or(u32::MAX)
            .saturating_add(STEPS_OF_CALL);
        self.count(steps);
        let unseen = self.0.unseen.load(Ordering::Relaxed).saturating_add(steps);
        let is_due = unseen >= HOOK_INTERVAL;
        let unseen = if is_due { 0 } else { unseen };
        self.0.unseen.store(unseen, Ordering::Relaxed);
        let is_over = if is_due {
            self.is_over()
        } else {
            self.stop().is_some()
        };
        if is_over { Err(Stopped) } else { Ok(()) }
    }

    /// Remembers the line that a script is at which may be about to run out of memory.
    pub(super) fn watch(&self, lua: &Lua, more: usize) {
        let reached = lua.used_memory().saturating_add(more);
        if reached >= self.0.watched_from.load(Ordering::Relaxed)
            && let Some(line) = library::script_line(lua)
        {
            self.remember(line);
        }
    }

    /// Remembers the line that the script is at.
    pub(super) fn remember(&self, line: usize) {
        let line = u32::try_from(line).unwrap_or_default();
        self.0.last_line.store(line, Ordering::Relaxed);
    }

    pub(super) fn last_line(&self) -> Option<u32> {
        Some(self.0.last_line.load(Ordering::Relaxed)).filter(|line| *line > 0)
    }

    fn count(&self, instructions: u32) {
        let left = self
            .0
            .instructions_left
            .fetch_sub(i64::from(instructions), Ordering::Relaxed);
        if left <= i64::from(instructions) {
            self.set_stop(Stop::Instructions);
        }
    }

    /// Whether the run has to stop.
    pub(super) fn is_over(&self) -> bool {
        if self.stop().is_none() {
            let run = self.run();
            if run
                .clock
                .as_ref()
                .is_some_and(|clock| clock.monotonic() >= run.ends_at)
            {
                drop(run);
                self.set_stop(Stop::Deadline);
            }
        }
        self.stop().is_some()
    }

    /// Whether the run has to stop, now that this error was caught.
    pub(super) fn is_over_by(&self, error: &mlua::Value) -> bool {
        let is_out_of_memory = match error {
            mlua::Value::Error(error) => super::is_out_of_memory(error),
            mlua::Value::String(message) => message.as_bytes() == super::OUT_OF_MEMORY.as_bytes(),
            _ => false,
        };
        if is_out_of_memory {
            self.set_stop(Stop::Memory);
        }
        self.is_over()
    }

    fn set_stop(&self, stop: Stop) {
        let code = match stop {
            Stop::Deadline => 1,
            Stop::Instructions => 2,
            Stop::Memory => 3,
        };
        // The first reason is the one that is told.
        let _ = self
            .0
            .stop
            .compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        match self.0.stop.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Stop::Deadline),
            2 => Some(Stop::Instructions),
            _ => Some(Stop::Memory),
        }
    }

    pub(super) fn options(&self) -> Options {
        self.run().options
    }

    pub(super) fn unix_seconds(&self) -> UnixSeconds {
        self.run()
            .clock
            .as_ref()
            .map_or(0, |clock| clock.unix_seconds())
    }

    pub(super) fn print(&self, line: &[u8]) {
        let mut run = self.run();
        run.printed_bytes = run.printed_bytes.saturating_add(line.len());
        if run.printed_bytes <= MAX_PRINTED {
            run.printed.push(String::from_utf8_lossy(line).into_owned());
        }
    }

    /// A number from 0 to below 1, from a xorshift generator.
    pub(super) fn random(&self) -> f64 {
        let step = |mut state: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^ (state << 17)
        };
        let next = step(self.0.random.load(Ordering::Relaxed));
        self.0.random.store(next, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
        let random = (next >> 11) as f64 / (1_u64 << 53) as f64;
        random
    }

    pub(super) fn seed(&self, seed: f64) {
        let seed = seed.to_bits() ^ RANDOM_SEED;
        self.0.random.store(
            if seed == 0 { RANDOM_SEED } else { seed },
            Ordering::Relaxed,
        );
    }
}

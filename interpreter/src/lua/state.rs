//! What a run may use, shared between the engine's hook, the libraries and the caller.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
pub(super) const HOOK_INTERVAL: u32 = 10_000;
/// Printed lines that are kept of one call.
const MAX_PRINTED: usize = 64 << 10;
/// The seed of `math.random`; the same in every run, so that the same input gives the same result.
const RANDOM_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Deadline,
    Instructions,
}

struct Shared {
    stop: AtomicU8,
    instructions_left: AtomicI64,
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
            random: AtomicU64::new(RANDOM_SEED),
            run: Mutex::new(run),
        }))
    }

    fn run(&self) -> std::sync::MutexGuard<'_, Run> {
        self.0.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, limits: &Limits, clock: &Arc<dyn Clock>, options: Options) {
        self.0.stop.store(0, Ordering::Relaxed);
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
        let left = self
            .0
            .instructions_left
            .fetch_sub(i64::from(instructions), Ordering::Relaxed);
        if left <= i64::from(instructions) {
            self.set_stop(Stop::Instructions);
        }
        self.is_over()
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

    fn set_stop(&self, stop: Stop) {
        let code = if stop == Stop::Deadline { 1 } else { 2 };
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
            _ => Some(Stop::Instructions),
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

    pub(super) fn print(&self, line: String) {
        let mut run = self.run();
        run.printed_bytes += line.len();
        if run.printed_bytes <= MAX_PRINTED {
            run.printed.push(line);
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

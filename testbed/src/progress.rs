//! What the test bed tells while it works: builds take minutes, starts take seconds.

use std::io::Write;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A step that somebody waiting may want to see.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Another process builds the same binaries; this one waits for it.
    WaitingForBuild,
    /// The Go modules that the programs need are being fetched and listed.
    Resolving { programs: &'a str },
    /// A package was compiled. `done` never exceeds `total`; packages from Go's build cache are not reported one by one.
    Compiling {
        programs: &'a str,
        package: &'a str,
        done: usize,
        total: usize,
    },
    /// The programs are built and in the cache.
    Built { programs: &'a str, after: Duration },
    /// The processes of a cluster are being started.
    Starting { cluster: &'a str },
    /// The cluster answers, and its nodes are ready if it has any.
    Ready { cluster: &'a str, after: Duration },
}

/// Receives [`Event`]s, from several threads.
pub trait Progress: Send + Sync {
    fn report(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>) + Send + Sync> Progress for F {
    fn report(&self, event: Event<'_>) {
        self(event);
    }
}

/// Says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _event: Event<'_>) {}
}

/// Plain lines on standard error about builds only: one per step and one every 30 s.
///
/// The lines are written past the test harness' capture, so that a first `cargo test` does not seem to hang.
#[derive(Debug, Default)]
pub struct Lines {
    last: Mutex<Option<Instant>>,
}

impl Progress for Lines {
    fn report(&self, event: Event<'_>) {
        let line = match event {
            Event::WaitingForBuild => {
                "waiting for another process that builds the test bed's binaries".to_owned()
            }
            Event::Resolving { programs } => format!("fetching the modules of {programs}"),
            Event::Compiling {
                programs,
                done,
                total,
                ..
            } => {
                let mut last = self.last.lock();
                if last.is_some_and(|at| at.elapsed() < Duration::from_secs(30)) {
                    return;
                }
                *last = Some(Instant::now());
                format!("building {programs}: {done} of {total} packages")
            }
            Event::Built { programs, after } => {
                format!("built {programs} in {} s", after.as_secs())
            }
            Event::Starting { .. } | Event::Ready { .. } => return,
        };
        // Nobody can act on a standard error that is closed.
        let _ = writeln!(std::io::stderr(), "testbed: {line}");
    }
}

//! Progress on standard error: one changing line on a terminal, one line per step elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use testbed::{Event, Progress};

/// How often a long step is mentioned where lines cannot be changed.
const MENTION: Duration = Duration::from_secs(30);
const BAR: usize = 30;

pub(super) struct Screen {
    quiet: bool,
    is_terminal: bool,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    text: String,
    at: Option<Instant>,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            is_terminal: stderr().is_terminal(),
            last: Mutex::default(),
        }
    }

    /// Shows what is being done, until the next call.
    pub(super) fn status(&self, text: &str) {
        self.show(text, true);
    }

    fn show(&self, text: &str, is_step: bool) {
        if self.quiet {
            return;
        }
        let mut last = self.last.lock();
        if last.text == text {
            return;
        }
        // Whoever closed standard error does not want to know.
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K{text}");
            let _ = stderr().flush();
        } else if is_step || last.at.is_none_or(|at| at.elapsed() >= MENTION) {
            let _ = writeln!(stderr(), "{text}");
            last.at = Some(Instant::now());
        }
        text.clone_into(&mut last.text);
    }

    /// Removes the changing line, before other output.
    pub(super) fn clear(&self) {
        if self.is_terminal && !self.quiet {
            let _ = write!(stderr(), "\r\x1b[K");
            let _ = stderr().flush();
        }
        self.last.lock().text.clear();
    }
}

impl Progress for Screen {
    fn report(&self, event: Event<'_>) {
        match event {
            Event::WaitingForBuild => {
                self.status("waiting for another process that builds the same programs");
            }
            Event::Resolving { programs } => {
                self.status(&format!("fetching the Go modules of {programs}"));
            }
            Event::Compiling {
                programs,
                done,
                total,
                ..
            } => {
                self.show(
                    &format!(
                        "building {programs}  {}  {done} of {total} packages",
                        bar(done, total)
                    ),
                    false,
                );
            }
            Event::Built { programs, after } => {
                self.clear();
                if !self.quiet {
                    let _ = writeln!(stderr(), "built {programs} in {} s", after.as_secs());
                }
            }
            Event::Starting { .. } => self.status("starting the clusters"),
            _ => {}
        }
    }
}

fn bar(done: usize, total: usize) -> String {
    let filled = (done * BAR).checked_div(total).unwrap_or(0).min(BAR);
    format!("[{}{}]", "#".repeat(filled), ".".repeat(BAR - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_stays_in_its_frame() {
        for (done, total, filled) in [
            (0, 0, 0),
            (0, 10, 0),
            (5, 10, 15),
            (10, 10, 30),
            (11, 10, 30),
        ] {
            let bar = bar(done, total);
            assert_eq!(
                (bar.len(), bar.matches('#').count()),
                (BAR + 2, filled),
                "{done} of {total}"
            );
        }
    }
}

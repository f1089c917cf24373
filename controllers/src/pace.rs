//! Remembers for [`propagation::pace`] what waits to be written since when, and what was written when.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crds::object::Key;
use parking_lot::Mutex;
use propagation::pace::{Pace, SECOND};

/// As many objects in progress are a crowd.
const CROWD: usize = 16;
/// The longest until a held object is looked at again: by then the crowd may be gone.
const LOOK: Duration = Duration::from_secs(10);
/// How long the changes of one object are gathered in a crowd.
const CROWDED: Duration = Duration::from_secs(1);
/// With so many entries it is time to forget those that say nothing any more.
const SWEEP: usize = 1024;

#[derive(Debug, Default, Clone, Copy)]
struct Entry {
    held_since: Option<Instant>,
    /// It was on its way since the last write.
    moved: bool,
    written: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    held: usize,
    sweep_at: usize,
}

/// The pace of one reconciler's status writes. Nothing is lost with it: after a restart each object begins anew.
#[derive(Debug, Default)]
pub(crate) struct Pacer(Mutex<State>);

impl Pacer {
    /// How long the write of this object's status has to wait; zero for now. Of `news`, only what the caller knows is read.
    pub(crate) fn wait(&self, key: &Key, news: Pace) -> Duration {
        let now = Instant::now();
        let mut state = self.0.lock();
        let crowd = u32::try_from(state.held).unwrap_or(u32::MAX);
        let entry = state.entries.get(key).copied().unwrap_or_default();
        let held_since = entry.held_since.unwrap_or(now);
        let wait = Pace {
            was_settled: news.was_settled && !entry.moved,
            held: now - held_since,
            since_write: entry.written.map(|at| now - at),
            crowd,
            ..news
        }
        .wait()
        .min(LOOK);
        if !wait.is_zero() {
            if entry.held_since.is_none() {
                state.held += 1;
            }
            let entry = state.entry(key);
            entry.held_since = Some(held_since);
            entry.moved |= !news.is_settled;
        }
        wait
    }

    /// How long changes of one object are gathered into a pass: `lone`, and longer while a great many objects progress, because
    /// then passes are what makes everything late.
    pub(crate) fn gathering(&self, lone: Duration) -> Duration {
        if self.0.lock().is_busy() {
            CROWDED.max(lone)
        } else {
            lone
        }
    }

    /// The object's status was written.
    pub(crate) fn written(&self, key: &Key) {
        let mut state = self.0.lock();
        state.let_go(key);
        state.entry(key).written = Some(Instant::now());
    }

    /// The object has nothing to write any more.
    pub(crate) fn settled(&self, key: &Key) {
        self.0.lock().let_go(key);
    }
}

impl State {
    fn is_busy(&self) -> bool {
        self.held > CROWD
    }

    fn entry(&mut self, key: &Key) -> &mut Entry {
        if self.entries.len() >= self.sweep_at.max(SWEEP) {
            let is_recent = |at: Instant| at.elapsed() < SECOND;
            self.entries
                .retain(|_, it| it.held_since.is_some() || it.written.is_some_and(is_recent));
            self.sweep_at = self.entries.len() * 2;
        }
        self.entries.entry(key.clone()).or_default()
    }

    fn let_go(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get_mut(key)
            && entry.held_since.take().is_some()
        {
            entry.moved = false;
            self.held -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn news(was_settled: bool, is_settled: bool, urgent: bool) -> Pace {
        Pace {
            urgent,
            was_settled,
            is_settled,
            held: Duration::ZERO,
            since_write: None,
            crowd: 0,
            is_silent: false,
        }
    }

    #[test]
    fn an_object_that_went_away_while_it_waited_is_no_crowd() {
        let pacer = Pacer::default();
        let key = Key::new("ns", "a");
        assert!(!pacer.wait(&key, news(false, false, false)).is_zero());
        assert!(!pacer.wait(&key, news(false, false, false)).is_zero());
        assert_eq!(pacer.0.lock().held, 1);
        pacer.settled(&key);
        pacer.settled(&key);
        assert_eq!(pacer.0.lock().held, 0);
        assert!(pacer.wait(&key, news(false, true, false)).is_zero());
    }

    #[test]
    fn a_settled_object_is_written_once_a_second() {
        let pacer = Pacer::default();
        let key = Key::new("ns", "a");
        assert!(pacer.wait(&key, news(true, true, false)).is_zero());
        pacer.written(&key);
        assert!(!pacer.wait(&key, news(true, true, false)).is_zero());
        assert!(
            pacer.wait(&key, news(true, true, true)).is_zero(),
            "failures do not wait"
        );
    }

    #[test]
    fn an_object_that_moved_and_arrived_is_news() {
        let pacer = Pacer::default();
        let key = Key::new("ns", "a");
        pacer.written(&key);
        assert!(!pacer.wait(&key, news(true, false, false)).is_zero());
        assert!(pacer.wait(&key, news(true, true, false)).is_zero());
        pacer.written(&key);
        assert!(!pacer.wait(&key, news(true, true, false)).is_zero());
    }
}

//! Keys that wait to be reconciled.
//!
//! A key stands in the queue at most once and is handed to at most one worker at a time; what is added while it is being
//! worked on is handed out again afterwards. Higher priorities go first, and keys of one priority in the order in which
//! they became due. A failing key backs off alone and delays nobody else.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Caused by our own start or by an administrator's bulk change; gives way to what users do.
    Low,
    #[default]
    Normal,
}

#[derive(Debug)]
struct Entry {
    /// When and how urgently the key is due; `None` while nothing is to be done but a worker holds it or it has failures to
    /// remember.
    due: Option<Due>,
    working: bool,
    backoff: Backoff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Ready(Priority),
    /// The sequence number makes timers of the same instant distinct.
    Later(Instant, u64, Priority),
}

#[derive(Debug)]
struct State<K> {
    entries: HashMap<K, Entry>,
    normal: VecDeque<K>,
    low: VecDeque<K>,
    timers: BTreeMap<(Instant, u64), K>,
    sequence: u64,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

impl<K: Clone + Eq + Hash> Default for Queue<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                entries: HashMap::new(),
                normal: VecDeque::new(),
                low: VecDeque::new(),
                timers: BTreeMap::new(),
                sequence: 0,
            }),
            changed: Notify::new(),
        }
    }
}

/// What a queue holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    pub ready: usize,
    pub waiting: usize,
    pub working: usize,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Makes the key due now.
    pub fn add(&self, key: K) {
        self.add_with(key, Priority::Normal);
    }

    /// Makes the key due now, in the given class. A key that waits already keeps the higher of both priorities.
    pub fn add_with(&self, key: K, priority: Priority) {
        self.state.lock().make_ready(key, priority);
        self.changed.notify_one();
    }

    /// Makes the key due after `delay`, unless it is due earlier anyway.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.state
            .lock()
            .make_due(key, Instant::now() + delay, Priority::Normal);
        self.changed.notify_one();
    }

    /// Waits for a key and takes it; `None` once `stop` is cancelled.
    ///
    /// The caller has to give it back through [`Queue::done`] or [`Queue::failed`].
    pub async fn take(&self, stop: &CancellationToken) -> Option<K> {
        loop {
            let notified = self.changed.notified();
            let (taken, next) = self.state.lock().take();
            if let Some(key) = taken {
                // One notification may stand for several keys: pass it on while there is work.
                self.changed.notify_one();
                return Some(key);
            }
            let timer = async {
                match next {
                    Some(instant) => tokio::time::sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = notified => {}
                () = timer => {}
            }
        }
    }

    /// Gives a key back after success and forgets its failures.
    pub fn done(&self, key: &K) {
        self.state.lock().give_back(key, true);
        self.changed.notify_one();
    }

    /// Gives a key back after a failure and makes it due again after its back-off, whose length is returned.
    pub fn failed(&self, key: &K) -> Duration {
        let pause = {
            let mut state = self.state.lock();
            let Some(entry) = state.entries.get_mut(key) else {
                return Duration::ZERO;
            };
            let pause = entry.backoff.failed();
            state.make_due(key.clone(), Instant::now() + pause, Priority::Normal);
            state.give_back(key, false);
            pause
        };
        self.changed.notify_one();
        pause
    }

    /// Makes every key that backs off and satisfies `which` due now and forgets its failures: what they waited for has
    /// come back.
    pub fn recover(&self, which: impl Fn(&K) -> bool) {
        {
            let mut state = self.state.lock();
            let waiting: Vec<K> = state
                .timers
                .values()
                .filter(|key| which(key))
                .cloned()
                .collect();
            for key in waiting {
                if let Some(entry) = state.entries.get_mut(&key) {
                    entry.backoff.reset();
                }
                state.make_ready(key, Priority::Normal);
            }
        }
        self.changed.notify_one();
    }

    pub fn depth(&self) -> Depth {
        let state = self.state.lock();
        Depth {
            ready: state.normal.len() + state.low.len(),
            waiting: state.timers.len(),
            working: state.entries.values().filter(|entry| entry.working).count(),
        }
    }

    /// Failures in a row of a key.
    pub fn failures(&self, key: &K) -> u32 {
        self.state
            .lock()
            .entries
            .get(key)
            .map_or(0, |entry| entry.backoff.failures())
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn entry(&mut self, key: &K) -> &mut Entry {
        if !self.entries.contains_key(key) {
            self.entries.insert(
                key.clone(),
                Entry {
                    due: None,
                    working: false,
                    backoff: Backoff::reconcile(),
                },
            );
        }
        self.entries
            .get_mut(key)
            .expect("the entry was inserted above")
    }

    fn make_ready(&mut self, key: K, priority: Priority) {
        let entry = self.entry(&key);
        let working = entry.working;
        let (priority, was) = match entry.due {
            Some(Due::Ready(present)) if present >= priority => return,
            Some(Due::Ready(present)) => (priority, Some(Due::Ready(present))),
            Some(Due::Later(at, sequence, present)) => (
                priority.max(present),
                Some(Due::Later(at, sequence, present)),
            ),
            None => (priority, None),
        };
        entry.due = Some(Due::Ready(priority));
        match was {
            Some(Due::Later(at, sequence, _)) => {
                self.timers.remove(&(at, sequence));
            }
            // A key that is being worked on stands in no line; it joins one when it is given back.
            Some(Due::Ready(_)) if !working => self.low.retain(|waiting| *waiting != key),
            _ => {}
        }
        if !working {
            self.line(priority).push_back(key);
        }
    }

    fn make_due(&mut self, key: K, at: Instant, priority: Priority) {
        self.sequence += 1;
        let sequence = self.sequence;
        let entry = self.entry(&key);
        match entry.due {
            Some(Due::Ready(_)) => return,
            Some(Due::Later(earlier, _, _)) if earlier <= at => return,
            Some(Due::Later(later, old, _)) => {
                entry.due = Some(Due::Later(at, sequence, priority));
                self.timers.remove(&(later, old));
            }
            None => entry.due = Some(Due::Later(at, sequence, priority)),
        }
        self.timers.insert((at, sequence), key);
    }

    fn line(&mut self, priority: Priority) -> &mut VecDeque<K> {
        match priority {
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }

    /// Moves what is due into the lines, then takes the first key; without one, tells when the next timer ends.
    fn take(&mut self) -> (Option<K>, Option<Instant>) {
        let now = Instant::now();
        while let Some((&(at, sequence), _)) = self.timers.first_key_value() {
            if at > now {
                break;
            }
            let Some(key) = self.timers.remove(&(at, sequence)) else {
                break;
            };
            let entry = self.entry(&key);
            let priority = match entry.due {
                Some(Due::Later(_, _, priority) | Due::Ready(priority)) => priority,
                None => Priority::Normal,
            };
            entry.due = Some(Due::Ready(priority));
            if !entry.working {
                self.line(priority).push_back(key);
            }
        }
        let key = self.normal.pop_front().or_else(|| self.low.pop_front());
        if let Some(key) = &key {
            let entry = self.entry(key);
            entry.due = None;
            entry.working = true;
        }
        (key, self.timers.first_key_value().map(|((at, _), _)| *at))
    }

    fn give_back(&mut self, key: &K, success: bool) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.working = false;
        if success {
            entry.backoff.reset();
        }
        match entry.due {
            Some(Due::Ready(priority)) => self.line(priority).push_back(key.clone()),
            None if success => {
                self.entries.remove(key);
            }
            Some(Due::Later(..)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(queue: &Queue<&'static str>) -> Option<&'static str> {
        let stop = CancellationToken::new();
        tokio::time::timeout(Duration::from_millis(1), queue.take(&stop))
            .await
            .ok()
            .flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_stands_in_the_queue_once() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("a");
        assert_eq!(take(&queue).await, Some("a"));
        queue.done(&"a");
        assert_eq!(take(&queue).await, None);
        assert_eq!(queue.depth(), Depth::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_by_one_worker_and_again_when_it_changed_meanwhile() {
        let queue = Queue::default();
        queue.add("a");
        assert_eq!(take(&queue).await, Some("a"));
        queue.add("a");
        assert_eq!(take(&queue).await, None);
        queue.done(&"a");
        assert_eq!(take(&queue).await, Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn normal_goes_before_low_and_a_raise_moves_the_key() {
        let queue = Queue::default();
        queue.add_with("bulk-1", Priority::Low);
        queue.add_with("bulk-2", Priority::Low);
        queue.add("user");
        queue.add("bulk-2");
        assert_eq!(take(&queue).await, Some("user"));
        assert_eq!(take(&queue).await, Some("bulk-2"));
        assert_eq!(take(&queue).await, Some("bulk-1"));
        assert_eq!(take(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_key_backs_off_and_an_event_brings_it_back_at_once() {
        let queue = Queue::default();
        queue.add("a");
        assert_eq!(take(&queue).await, Some("a"));
        let pause = queue.failed(&"a");
        assert!(pause >= Duration::from_millis(25));
        assert_eq!(take(&queue).await, None);
        tokio::time::advance(pause).await;
        assert_eq!(take(&queue).await, Some("a"));
        queue.failed(&"a");
        queue.add("a");
        assert_eq!(take(&queue).await, Some("a"));
        assert_eq!(queue.failures(&"a"), 2);
        queue.done(&"a");
        assert_eq!(queue.failures(&"a"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn recovery_ends_the_back_off_of_the_keys_it_names() {
        let queue = Queue::default();
        for key in ["m1/a", "m2/b"] {
            queue.add(key);
            assert_eq!(take(&queue).await, Some(key));
        }
        queue.failed(&"m1/a");
        queue.failed(&"m2/b");
        queue.recover(|key| key.starts_with("m1/"));
        assert_eq!(take(&queue).await, Some("m1/a"));
        assert_eq!(take(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_timers_counts() {
        let queue = Queue::default();
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("a", Duration::from_secs(2));
        queue.add_after("a", Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(take(&queue).await, Some("a"));
        queue.done(&"a");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(take(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn several_keys_wake_several_workers() {
        let queue = Queue::new();
        let stop = CancellationToken::new();
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, stop) = (Arc::clone(&queue), stop.clone());
                tokio::spawn(async move { queue.take(&stop).await })
            })
            .collect();
        tokio::task::yield_now().await;
        for key in ["a", "b", "c"] {
            queue.add(key);
        }
        let mut taken = Vec::new();
        for worker in workers {
            taken.extend(worker.await.unwrap());
        }
        taken.sort_unstable();
        assert_eq!(taken, ["a", "b", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn cancellation_ends_the_wait() {
        let queue = Queue::<&str>::default();
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(queue.take(&stop).await, None);
    }
}

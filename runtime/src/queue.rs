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

use crate::{
    backoff::Backoff,
    metrics::{Load, Measured, Meter},
};

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Caused by our own start or by an administrator's bulk change; gives way to what users do.
    Low,
    #[default]
    Normal,
    /// As urgent as the object says; more is earlier. Not compared with the others in one queue, but it would go before them.
    Of(i32),
}

/// How long failed keys wait.
#[derive(Debug, Clone)]
pub struct Retries {
    /// The pauses of one key.
    pub backoff: Backoff,
    /// What all failures together may take; no limit without it.
    pub bucket: Option<Bucket>,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            backoff: Backoff::reconcile(),
            bucket: None,
        }
    }
}

/// A store of tokens that fills steadily; each retry takes one, and waits for it if need be.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: f64,
    size: f64,
    tokens: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: f64, size: u32) -> Self {
        Self {
            per_second,
            size: size.into(),
            tokens: size.into(),
            filled: None,
        }
    }

    /// Books a token and tells how long until it is there.
    fn take(&mut self, now: Instant) -> Duration {
        let filled = self.filled.replace(now).unwrap_or(now);
        let fresh = now.duration_since(filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + fresh).min(self.size) - 1.0;
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.tokens / self.per_second).unwrap_or(Duration::MAX)
    }
}

/// The first pause of a key that lost a race.
const RACE: Duration = Duration::from_millis(5);

#[derive(Debug)]
struct Entry {
    /// When and how urgently the key is due; `None` while nothing is to be done but a worker holds it or it has failures to
    /// remember.
    due: Option<Due>,
    working: bool,
    /// The priority with which the key was added last: what is retried keeps it.
    priority: Priority,
    /// Since when it stands in a line, or a worker holds it.
    since: Option<Instant>,
    backoff: Backoff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The number is that of the key's place in the line of its priority, or of none while it is being worked on.
    Ready(Priority, u64),
    /// The sequence number makes timers of the same instant distinct.
    Later(Instant, u64, Priority),
}

#[derive(Debug)]
struct State<K> {
    entries: HashMap<K, Entry>,
    /// Keys that are due, by priority. A key whose priority was raised leaves its former place behind, which is skipped.
    lines: BTreeMap<Priority, VecDeque<(u64, K)>>,
    /// How many keys really stand in line.
    ready: usize,
    timers: BTreeMap<(Instant, u64), K>,
    sequence: u64,
    retries: Retries,
    meter: Option<Meter>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

impl<K: Clone + Eq + Hash> Default for Queue<K> {
    fn default() -> Self {
        Self::retrying(Retries::default())
    }
}

/// What a queue holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Depth {
    pub ready: usize,
    /// Keys that wait for their time, after a failure or not.
    pub waiting: usize,
    /// Those of them that failed.
    pub backing_off: usize,
    pub working: usize,
}

impl std::ops::AddAssign for Depth {
    fn add_assign(&mut self, other: Self) {
        self.ready += other.ready;
        self.waiting += other.waiting;
        self.backing_off += other.backing_off;
        self.working += other.working;
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A queue whose failed keys wait like this.
    pub fn retrying(retries: Retries) -> Self {
        Self {
            state: Mutex::new(State {
                entries: HashMap::new(),
                lines: BTreeMap::new(),
                ready: 0,
                timers: BTreeMap::new(),
                sequence: 0,
                retries,
                meter: None,
            }),
            changed: Notify::new(),
        }
    }

    /// Makes the key due now.
    pub fn add(&self, key: K) {
        self.add_with(key, Priority::Normal);
    }

    /// Makes the key due now, in the given class. A key that stands in line already keeps the higher of both priorities. One that backs
    /// off takes the new one if it is the object's own, and starts over; of the classes it keeps the higher.
    pub fn add_with(&self, key: K, priority: Priority) {
        self.state.lock().make_ready(key, priority);
        self.changed.notify_one();
    }

    /// Makes the key due after `delay`, unless it is due earlier anyway.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.state.lock().make_due(key, Instant::now() + delay);
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
        self.retry(key, |pause, _, token| pause.max(token()))
    }

    /// Gives a key back after a lost race and makes it due again at once, or almost if it loses again and again; returns the pause.
    ///
    /// A race says nothing about how much there is to do, so it takes no token.
    pub fn lost_race(&self, key: &K) -> Duration {
        self.retry(key, |pause, failures, _| {
            pause.min(RACE.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX)))
        })
    }

    /// Gives a key back that failed; `length` makes its pause out of its back-off, its failures in a row and what a token takes.
    fn retry(
        &self,
        key: &K,
        length: impl FnOnce(Duration, u32, &mut dyn FnMut() -> Duration) -> Duration,
    ) -> Duration {
        let pause = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let Some(entry) = state.entries.get_mut(key) else {
                return Duration::ZERO;
            };
            let now = Instant::now();
            let bucket = &mut state.retries.bucket;
            let mut token = || {
                let bucket = bucket.as_mut();
                bucket.map_or(Duration::ZERO, |bucket| bucket.take(now))
            };
            let pause = entry.backoff.failed();
            let pause = length(pause, entry.backoff.failures(), &mut token);
            state.make_due(key.clone(), now + pause);
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
                let Some(entry) = state.entries.get_mut(&key) else {
                    continue;
                };
                entry.backoff.reset();
                let priority = entry.priority;
                state.make_ready(key, priority);
            }
        }
        self.changed.notify_one();
    }

    /// Counts from now on.
    pub(crate) fn measure(&self, meter: Meter) {
        self.state.lock().meter = Some(meter);
    }

    pub fn depth(&self) -> Depth {
        let state = self.state.lock();
        Depth {
            ready: state.ready,
            waiting: state.timers.len(),
            backing_off: state
                .timers
                .values()
                .filter(|key| {
                    let entry = state.entries.get(*key);
                    entry.is_some_and(|entry| entry.backoff.failures() > 0)
                })
                .count(),
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

impl<K: Clone + Eq + Hash + std::fmt::Debug + Send + Sync> Measured for Queue<K> {
    fn depth(&self) -> Depth {
        Queue::depth(self)
    }

    fn load(&self) -> Load {
        let state = self.state.lock();
        let running = state.entries.values().filter(|entry| entry.working);
        let took = running.filter_map(|entry| entry.since.map(|since| since.elapsed()));
        let mut load = Load {
            ready: state.ready,
            ..Load::default()
        };
        for took in took {
            load.unfinished += took;
            load.longest = load.longest.max(took);
        }
        load
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
                    priority: Priority::Normal,
                    backoff: self.retries.backoff.clone(),
                    since: None,
                },
            );
        }
        self.entries
            .get_mut(key)
            .expect("the entry was inserted above")
    }

    fn make_ready(&mut self, key: K, priority: Priority) {
        let entry = self.entry(&key);
        let (priority, was) = match entry.due {
            Some(Due::Ready(present, _)) if present >= priority => return,
            Some(Due::Later(..)) if matches!(priority, Priority::Of(_)) => (priority, entry.due),
            Some(Due::Later(_, _, present)) => (priority.max(present), entry.due),
            due => (priority, due),
        };
        if let (Priority::Of(_), Some(Due::Later(..))) = (priority, was) {
            entry.backoff.reset();
        }
        entry.priority = priority;
        let working = entry.working;
        if let (Some(meter), None | Some(Due::Later(..))) = (&self.meter, was) {
            meter.adds.inc();
        }
        match was {
            Some(Due::Later(at, sequence, _)) => {
                self.timers.remove(&(at, sequence));
            }
            // Its former place stays behind and is skipped.
            Some(Due::Ready(..)) if !working => self.ready -= 1,
            _ => {}
        }
        self.stand_in_line(key, priority, working);
    }

    /// Notes that a key is due, and unless a worker holds it gives it the last place in the line of its priority.
    fn stand_in_line(&mut self, key: K, priority: Priority, working: bool) {
        self.sequence += 1;
        let place = self.sequence;
        let entry = self.entry(&key);
        entry.due = Some(Due::Ready(priority, place));
        if !working {
            entry.since.get_or_insert_with(Instant::now);
            self.ready += 1;
            self.lines
                .entry(priority)
                .or_default()
                .push_back((place, key));
        }
    }

    fn make_due(&mut self, key: K, at: Instant) {
        self.sequence += 1;
        let sequence = self.sequence;
        let entry = self.entry(&key);
        let due = Some(Due::Later(at, sequence, entry.priority));
        match entry.due {
            Some(Due::Ready(..)) => return,
            Some(Due::Later(earlier, _, _)) if earlier <= at => return,
            Some(Due::Later(later, old, _)) => {
                entry.due = due;
                self.timers.remove(&(later, old));
            }
            None => entry.due = due,
        }
        self.timers.insert((at, sequence), key);
    }

    /// Moves what is due into the lines, then takes the first key; without one, tells when the next timer ends.
    fn take(&mut self) -> (Option<K>, Option<Instant>) {
        let now = Instant::now();
        while let Some(timer) = self.timers.first_entry() {
            if timer.key().0 > now {
                break;
            }
            let key = timer.remove();
            let entry = self.entry(&key);
            let (priority, working) = (entry.priority, entry.working);
            self.stand_in_line(key, priority, working);
            if let Some(meter) = &self.meter {
                meter.adds.inc();
            }
        }
        let key = self.first_in_line();
        if let Some(key) = &key {
            self.ready -= 1;
            let entry = self.entry(key);
            entry.due = None;
            entry.working = true;
            let since = entry.since.replace(now);
            if let (Some(meter), Some(since)) = (&self.meter, since) {
                meter
                    .waited
                    .observe(now.duration_since(since).as_secs_f64());
            }
        }
        (key, self.timers.first_key_value().map(|((at, _), _)| *at))
    }

    fn first_in_line(&mut self) -> Option<K> {
        while let Some(mut line) = self.lines.last_entry() {
            let priority = *line.key();
            while let Some((place, key)) = line.get_mut().pop_front() {
                let entry = self.entries.get(&key);
                if entry
                    .is_some_and(|it| !it.working && it.due == Some(Due::Ready(priority, place)))
                {
                    return Some(key);
                }
            }
            line.remove();
        }
        None
    }

    fn give_back(&mut self, key: &K, success: bool) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.working = false;
        let since = entry.since.take();
        if let (Some(meter), Some(since)) = (&self.meter, since) {
            meter.worked.observe(since.elapsed().as_secs_f64());
            if !success {
                meter.retries.inc();
            }
        }
        if success {
            entry.backoff.reset();
        }
        match entry.due {
            Some(Due::Ready(priority, _)) => self.stand_in_line(key.clone(), priority, false),
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
    async fn the_most_urgent_goes_first_and_keeps_its_priority_when_it_is_retried() {
        let queue = Queue::default();
        for (key, priority) in [("late", 0), ("bulk", -5), ("urgent", 1000), ("raised", 3)] {
            queue.add_with(key, Priority::Of(priority));
        }
        queue.add_with("raised", Priority::Of(2000));
        queue.add_with("raised", Priority::Of(7));
        assert_eq!(queue.depth().ready, 4);
        for expected in ["raised", "urgent", "late"] {
            assert_eq!(take(&queue).await, Some(expected));
        }
        assert_eq!(queue.depth().ready, 1);
        queue.failed(&"urgent");
        assert_eq!((queue.depth().backing_off, queue.depth().waiting), (1, 1));
        queue.add_with("soon", Priority::Of(999));
        tokio::time::advance(Duration::from_secs(1)).await;
        for expected in ["urgent", "soon", "bulk"] {
            assert_eq!(take(&queue).await, Some(expected));
        }
        assert_eq!(take(&queue).await, None);
        queue.add_with("late", Priority::Of(5));
        queue.add_with("soon", Priority::Of(6));
        queue.done(&"late");
        queue.done(&"soon");
        assert_eq!(
            take(&queue).await,
            Some("soon"),
            "the latest priority counts"
        );
        assert_eq!(take(&queue).await, Some("late"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_starts_a_key_over_that_backs_off_with_its_latest_priority() {
        let queue = Queue::default();
        for (key, priority) in [("lowered", 9), ("steady", 5)] {
            queue.add_with(key, Priority::Of(priority));
            assert_eq!(take(&queue).await, Some(key));
            queue.failed(&key);
        }
        queue.add_with("lowered", Priority::Of(1));
        queue.add_with("steady", Priority::Of(5));
        assert_eq!(queue.failures(&"lowered"), 0);
        assert_eq!(take(&queue).await, Some("steady"));
        assert_eq!(take(&queue).await, Some("lowered"));
    }

    #[tokio::test(start_paused = true)]
    async fn races_take_no_tokens() {
        let queue = Queue::retrying(Retries {
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(10)).exact(),
            bucket: Some(Bucket::new(10.0, 1)),
        });
        let mut pauses = Vec::new();
        for key in ["a", "b", "c"] {
            queue.add(key);
            assert_eq!(take(&queue).await, Some(key));
            pauses.push(queue.lost_race(&key).as_millis());
        }
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(take(&queue).await, Some("a"));
        pauses.push(queue.lost_race(&"a").as_millis());
        assert_eq!(pauses, [5, 5, 5, 10]);
        assert_eq!(take(&queue).await, Some("b"));
        assert_eq!(queue.failed(&"b").as_millis(), 2000, "the token is there");
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_share_the_bucket() {
        let queue = Queue::retrying(Retries {
            backoff: Backoff::new(Duration::from_millis(5), Duration::from_secs(1000)).exact(),
            bucket: Some(Bucket::new(10.0, 2)),
        });
        let mut pauses = Vec::new();
        for key in ["a", "b", "c", "d"] {
            queue.add(key);
            assert_eq!(take(&queue).await, Some(key));
            pauses.push(queue.failed(&key).as_millis());
        }
        assert_eq!(pauses, [5, 5, 100, 200]);
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

//! The queue that serves urgent bindings first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Unschedulable keys come back after this time even if nothing happened.
const UNSCHEDULABLE_STAY: Duration = Duration::from_mins(5);

/// How long a key waits after its n-th attempt failed: 1, 2, 4, 8, 10, 10, … seconds; nothing before the first.
pub fn backoff(attempts: u32) -> Duration {
    match attempts {
        0 => Duration::ZERO,
        1..=4 => Duration::from_secs(1 << (attempts - 1)),
        _ => Duration::from_secs(10),
    }
}

/// A binding in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<K> {
    pub key: K,
    pub priority: i32,
    /// When it last became active.
    pub since: Duration,
    /// When it was first handed to a worker.
    pub first_attempt: Option<Duration>,
    /// How often it was handed to a worker.
    pub attempts: u32,
}

impl<K: Clone> Item<K> {
    fn rank(&self) -> (Reverse<i32>, Duration, K) {
        (Reverse(self.priority), self.since, self.key.clone())
    }
}

/// Keys in each part of the queue, for the gauge `scheduler_pending_bindings`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
}

type Rank<K> = (Reverse<i32>, Duration, K);

/// Keys ordered by priority, then by waiting time; failed ones rest in one of two other parts.
#[derive(Debug)]
pub struct PriorityQueue<K> {
    active: BTreeMap<Rank<K>, Item<K>>,
    /// Keys that wait or that changed while being processed, with the priority of the last push.
    dirty: BTreeMap<K, i32>,
    processing: BTreeMap<K, Item<K>>,
    backoff: BTreeMap<K, (Duration, Item<K>)>,
    backoff_order: BTreeSet<(Duration, Rank<K>)>,
    unschedulable: BTreeMap<K, (Duration, Item<K>)>,
}

impl<K: Ord + Clone> Default for PriorityQueue<K> {
    fn default() -> Self {
        Self {
            active: BTreeMap::new(),
            dirty: BTreeMap::new(),
            processing: BTreeMap::new(),
            backoff: BTreeMap::new(),
            backoff_order: BTreeSet::new(),
            unschedulable: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> PriorityQueue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn lengths(&self) -> Lengths {
        Lengths {
            active: self.active.len(),
            backoff: self.backoff.len(),
            unschedulable: self.unschedulable.len(),
        }
    }

    /// Adds a key after an event, with a fresh count of attempts, and takes it out of backoff and unschedulable.
    ///
    /// Nothing happens to a key that waits already; one that is being processed comes back afterwards.
    pub fn push(&mut self, key: K, priority: i32, now: Duration) {
        self.activate(
            Item {
                key,
                priority,
                since: now,
                first_attempt: None,
                attempts: 0,
            },
            now,
        );
    }

    /// Takes the most urgent key.
    pub fn pop(&mut self, now: Duration) -> Option<Item<K>> {
        self.advance(now);
        let (_, mut item) = self.active.pop_first()?;
        self.dirty.remove(&item.key);
        item.attempts = item.attempts.saturating_add(1);
        item.first_attempt.get_or_insert(now);
        self.processing.insert(item.key.clone(), item.clone());
        Some(item)
    }

    /// Ends the processing of a key; one that changed meanwhile becomes active again, keeping its attempts.
    pub fn done(&mut self, key: &K, now: Duration) {
        let Some(mut item) = self.processing.remove(key) else {
            return;
        };
        if let Some(&priority) = self.dirty.get(key) {
            item.priority = priority;
            item.since = now;
            self.insert_active(item);
        }
    }

    /// Lets a key rest because of an error; the time counts from now.
    pub fn back_off(&mut self, item: Item<K>, now: Duration) {
        if self.unschedulable.contains_key(&item.key) || self.dirty.contains_key(&item.key) {
            return;
        }
        self.forget(&item.key.clone());
        let due = now.saturating_add(backoff(item.attempts));
        self.backoff_order.insert((due, item.rank()));
        self.backoff.insert(item.key.clone(), (due, item));
    }

    /// Puts a key aside until an event or five minutes bring it back.
    pub fn set_unschedulable(&mut self, item: Item<K>, now: Duration) {
        if self.backoff.contains_key(&item.key) || self.dirty.contains_key(&item.key) {
            return;
        }
        self.unschedulable.insert(item.key.clone(), (now, item));
    }

    /// Drops a key from backoff after a success.
    pub fn forget(&mut self, key: &K) {
        if let Some((due, item)) = self.backoff.remove(key) {
            self.backoff_order.remove(&(due, item.rank()));
        }
    }

    /// When something becomes active by itself.
    pub fn next_due(&self) -> Option<Duration> {
        let backoff = self.backoff_order.first().map(|&(due, _)| due);
        let oldest = self.unschedulable.values().map(|&(since, _)| since).min();
        let unschedulable = oldest.map(|since| since.saturating_add(UNSCHEDULABLE_STAY));
        [backoff, unschedulable].into_iter().flatten().min()
    }

    /// Moves keys whose time has come to the active part.
    pub fn advance(&mut self, now: Duration) {
        while self
            .backoff_order
            .first()
            .is_some_and(|&(due, _)| due <= now)
        {
            let Some((_, (_, _, key))) = self.backoff_order.pop_first() else {
                break;
            };
            if let Some((_, item)) = self.backoff.remove(&key) {
                self.activate(item, now);
            }
        }
        let waited: Vec<K> = self
            .unschedulable
            .iter()
            .filter(|(_, (since, _))| now.saturating_sub(*since) >= UNSCHEDULABLE_STAY)
            .map(|(key, _)| key.clone())
            .collect();
        for key in waited {
            if let Some((_, item)) = self.unschedulable.remove(&key) {
                self.activate(item, now);
            }
        }
    }

    fn activate(&mut self, mut item: Item<K>, now: Duration) {
        if self.dirty.contains_key(&item.key) {
            if self.processing.contains_key(&item.key) {
                self.dirty.insert(item.key, item.priority);
            }
            return;
        }
        self.forget(&item.key);
        self.unschedulable.remove(&item.key);
        self.dirty.insert(item.key.clone(), item.priority);
        if !self.processing.contains_key(&item.key) {
            item.since = now;
            self.insert_active(item);
        }
    }

    fn insert_active(&mut self, item: Item<K>) {
        let rank = item.rank();
        self.active.insert(rank, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn back_off_doubles_to_ten_seconds() {
        let seconds: Vec<u64> = (0..=6)
            .map(|attempts| backoff(attempts).as_secs())
            .collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff(u32::MAX), at(10));
    }

    #[test]
    fn urgent_keys_first_then_those_that_waited_longer() {
        let mut queue = PriorityQueue::new();
        queue.push("late", 0, at(2));
        queue.push("early", 0, at(1));
        queue.push("urgent", 7, at(3));
        queue.push("early", 9, at(4));
        let order: Vec<&str> =
            std::iter::from_fn(|| queue.pop(at(5)).map(|item| item.key)).collect();
        assert_eq!(order, ["urgent", "early", "late"]);
    }

    #[test]
    fn a_key_that_changes_while_processed_comes_back_with_its_latest_priority() {
        let mut queue = PriorityQueue::new();
        queue.push("a", 1, at(0));
        queue.pop(at(0));
        queue.push("a", 2, at(1));
        queue.push("a", 5, at(2));
        assert_eq!(queue.pop(at(2)), None);
        queue.done(&"a", at(3));
        let item = queue.pop(at(3)).unwrap();
        assert_eq!(
            (item.priority, item.attempts, item.first_attempt),
            (5, 2, Some(at(0)))
        );
        queue.done(&"a", at(4));
        assert_eq!(queue.pop(at(4)), None);
    }

    #[test]
    fn failed_keys_rest_from_the_end_of_the_attempt() {
        let mut queue = PriorityQueue::new();
        queue.push("a", 0, at(0));
        let item = queue.pop(at(0)).unwrap();
        queue.back_off(item, at(30));
        queue.done(&"a", at(30));
        assert_eq!(queue.next_due(), Some(at(31)));
        assert_eq!(queue.pop(at(30)), None);
        let item = queue.pop(at(31)).unwrap();
        assert_eq!(item.attempts, 2);
        queue.set_unschedulable(item, at(31));
        queue.done(&"a", at(31));
        assert_eq!(queue.lengths().unschedulable, 1);
        assert_eq!(queue.pop(at(330)), None);
        assert_eq!(queue.next_due(), Some(at(331)));
        assert_eq!(queue.pop(at(331)).unwrap().attempts, 3);
    }

    #[test]
    fn events_bring_a_resting_key_back_at_once() {
        let mut queue = PriorityQueue::new();
        queue.push("a", 0, at(0));
        let item = queue.pop(at(0)).unwrap();
        queue.set_unschedulable(item, at(0));
        queue.done(&"a", at(0));
        queue.push("a", 0, at(1));
        assert_eq!(
            queue.lengths(),
            Lengths {
                active: 1,
                ..Lengths::default()
            }
        );
        assert_eq!(queue.pop(at(1)).unwrap().attempts, 1);
    }

    #[test]
    fn a_key_that_changed_during_a_failed_attempt_does_not_rest() {
        let mut queue = PriorityQueue::new();
        queue.push("a", 0, at(0));
        let item = queue.pop(at(0)).unwrap();
        queue.push("a", 0, at(1));
        queue.back_off(item, at(1));
        queue.done(&"a", at(1));
        assert_eq!(
            queue.lengths(),
            Lengths {
                active: 1,
                ..Lengths::default()
            }
        );
    }
}

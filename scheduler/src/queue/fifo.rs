//! The default queue: first come, first served; failures come back after a delay.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long failed keys wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimits {
    /// Delay after the first failure; doubles with each further one.
    pub base_delay: Duration,
    /// Longest delay that doubling leads to.
    pub max_delay: Duration,
    /// Failures per second that all keys together may retry.
    pub qps: f64,
    /// Retries that may happen at once.
    pub bucket_size: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            base_delay: Duration::from_millis(5),
            max_delay: Duration::from_secs(1000),
            qps: 10.0,
            bucket_size: 100,
        }
    }
}

impl RateLimits {
    /// The same limits with a default for every number that is not positive.
    #[must_use]
    pub fn or_default(self) -> Self {
        let default = Self::default();
        let delay = |value: Duration, or: Duration| if value.is_zero() { or } else { value };
        Self {
            base_delay: delay(self.base_delay, default.base_delay),
            max_delay: delay(self.max_delay, default.max_delay),
            qps: if self.qps > 0.0 && self.qps.is_finite() {
                self.qps
            } else {
                default.qps
            },
            bucket_size: if self.bucket_size == 0 {
                default.bucket_size
            } else {
                self.bucket_size
            },
        }
    }
}

/// A queue in which every key is at most once and which hands each key to one worker at a time.
#[derive(Debug)]
pub struct WorkQueue<K> {
    limits: RateLimits,
    waiting: VecDeque<K>,
    dirty: BTreeSet<K>,
    processing: BTreeSet<K>,
    delayed: BTreeMap<K, Duration>,
    by_time: BTreeSet<(Duration, K)>,
    failures: BTreeMap<K, u32>,
    /// Tokens in the bucket at `filled_at`; negative while retries are booked ahead.
    tokens: f64,
    filled_at: Duration,
}

impl<K: Ord + Clone> WorkQueue<K> {
    /// An empty queue.
    pub fn new(limits: RateLimits) -> Self {
        let limits = limits.or_default();
        Self {
            limits,
            waiting: VecDeque::new(),
            dirty: BTreeSet::new(),
            processing: BTreeSet::new(),
            delayed: BTreeMap::new(),
            by_time: BTreeSet::new(),
            failures: BTreeMap::new(),
            tokens: f64::from(limits.bucket_size),
            filled_at: Duration::ZERO,
        }
    }

    /// Keys that a worker could take now.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no key can be taken now.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a key unless it waits already; one that is being processed comes back afterwards.
    pub fn push(&mut self, key: K) {
        if !self.dirty.insert(key.clone()) {
            return;
        }
        if !self.processing.contains(&key) {
            self.waiting.push_back(key);
        }
    }

    /// Takes the key that has waited longest.
    pub fn pop(&mut self, now: Duration) -> Option<K> {
        self.advance(now);
        let key = self.waiting.pop_front()?;
        self.dirty.remove(&key);
        self.processing.insert(key.clone());
        Some(key)
    }

    /// Ends the processing of a key.
    pub fn done(&mut self, key: &K) {
        if self.processing.remove(key) && self.dirty.contains(key) {
            self.waiting.push_back(key.clone());
        }
    }

    /// Forgets the failures of a key.
    pub fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Brings a key back after a delay that grows with its failures; returns the delay.
    pub fn retry(&mut self, key: &K, now: Duration) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        let factor = 1_u32.checked_shl(*failures).unwrap_or(u32::MAX);
        *failures = failures.saturating_add(1);
        let exponential = self
            .limits
            .base_delay
            .saturating_mul(factor)
            .min(self.limits.max_delay);
        let delay = exponential.max(self.token(now));
        self.push_at(key.clone(), now.saturating_add(delay));
        delay
    }

    /// Brings a key back at this time, or earlier if it is already due earlier.
    pub fn push_at(&mut self, key: K, time: Duration) {
        if let Some(&due) = self.delayed.get(&key) {
            if due <= time {
                return;
            }
            self.by_time.remove(&(due, key.clone()));
        }
        self.delayed.insert(key.clone(), time);
        self.by_time.insert((time, key));
    }

    /// When the next delayed key is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.by_time.first().map(|&(time, _)| time)
    }

    /// Moves delayed keys that are due to those that wait.
    pub fn advance(&mut self, now: Duration) {
        while self.by_time.first().is_some_and(|&(time, _)| time <= now) {
            if let Some((_, key)) = self.by_time.pop_first() {
                self.delayed.remove(&key);
                self.push(key);
            }
        }
    }

    /// Books a token of the bucket and returns how long until it is there.
    fn token(&mut self, now: Duration) -> Duration {
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        let full = f64::from(self.limits.bucket_size);
        self.tokens = (self.tokens + elapsed * self.limits.qps).min(full) - 1.0;
        self.filled_at = self.filled_at.max(now);
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.tokens / self.limits.qps).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    #[test]
    fn a_key_is_handed_to_one_worker_at_a_time() {
        let mut queue = WorkQueue::new(RateLimits::default());
        queue.push("a");
        queue.push("a");
        queue.push("b");
        assert_eq!(queue.pop(START), Some("a"));
        queue.push("a");
        assert_eq!(queue.pop(START), Some("b"));
        assert_eq!(queue.pop(START), None, "a is being processed");
        queue.done(&"a");
        assert_eq!(queue.pop(START), Some("a"));
        queue.done(&"a");
        assert_eq!(queue.pop(START), None);
    }

    #[test]
    fn delays_double_up_to_the_cap_and_are_forgotten() {
        let mut queue = WorkQueue::new(RateLimits {
            max_delay: Duration::from_millis(30),
            ..RateLimits::default()
        });
        let delays: Vec<u128> = (0..5)
            .map(|_| queue.retry(&"a", START).as_millis())
            .collect();
        assert_eq!(delays, [5, 10, 20, 30, 30]);
        queue.forget(&"a");
        assert_eq!(queue.retry(&"a", START).as_millis(), 5);
        assert_eq!(queue.next_due(), Some(START + Duration::from_millis(5)));
        assert_eq!(queue.pop(START), None);
        assert_eq!(queue.pop(START + Duration::from_millis(5)), Some("a"));
        assert_eq!(queue.next_due(), None, "the earliest delay of a key counts");
    }

    #[test]
    fn many_failures_share_the_bucket() {
        let mut queue = WorkQueue::new(RateLimits {
            bucket_size: 2,
            ..RateLimits::default()
        });
        let delays: Vec<u128> = (0..4)
            .map(|key| queue.retry(&key, START).as_millis())
            .collect();
        assert_eq!(delays, [5, 5, 100, 200]);
    }

    #[test]
    fn limits_that_are_not_positive_fall_back() {
        let limits = RateLimits {
            base_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            qps: -1.0,
            bucket_size: 0,
        };
        assert_eq!(limits.or_default(), RateLimits::default());
    }
}

//! The keys whose passes took longest of late.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Serialize;

/// How many are remembered.
const KEPT: usize = 20;
/// For how long.
const WINDOW: Duration = Duration::from_mins(10);

/// One pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slow {
    pub controller: &'static str,
    pub key: String,
    /// How long the pass took, waiting for answers included.
    pub seconds: f64,
    /// When it ended.
    pub seconds_ago: u64,
}

#[derive(Debug)]
struct Entry {
    controller: &'static str,
    key: String,
    took: Duration,
    ended: Instant,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Slowest(Mutex<Vec<Entry>>);

impl Slowest {
    /// Takes note of a pass that ended at `now`. A key is remembered with its longest pass.
    pub(super) fn observe(
        &self,
        controller: &'static str,
        key: &impl Display,
        took: Duration,
        now: Instant,
    ) {
        let mut entries = self.0.lock();
        entries.retain(|entry| now.duration_since(entry.ended) < WINDOW);
        let quickest = entries.last().map_or(Duration::ZERO, |entry| entry.took);
        if entries.len() >= KEPT && took <= quickest {
            return;
        }
        let key = key.to_string();
        let known = entries
            .iter()
            .position(|entry| entry.controller == controller && entry.key == key);
        if let Some(known) = known {
            if entries[known].took >= took {
                return;
            }
            entries.remove(known);
        }
        let place = entries.partition_point(|entry| entry.took >= took);
        entries.insert(
            place,
            Entry {
                controller,
                key,
                took,
                ended: now,
            },
        );
        entries.truncate(KEPT);
    }

    /// The longest first.
    pub(super) fn list(&self, now: Instant) -> Vec<Slow> {
        let entries = self.0.lock();
        let recent = entries
            .iter()
            .filter(|entry| now.duration_since(entry.ended) < WINDOW);
        let told = recent.map(|entry| Slow {
            controller: entry.controller,
            key: entry.key.clone(),
            seconds: entry.took.as_secs_f64(),
            seconds_ago: now.duration_since(entry.ended).as_secs(),
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_kept_for_a_while() {
        let slowest = Slowest::default();
        let start = Instant::now();
        for number in 0..50_u64 {
            let key = format!("k{}", number % 30);
            slowest.observe("c", &key, Duration::from_millis(number), start);
        }
        let list = slowest.list(start);
        let keys: Vec<&str> = list.iter().map(|slow| slow.key.as_str()).collect();
        let expected: Vec<String> = (30..50).rev().map(|n| format!("k{}", n % 30)).collect();
        assert_eq!(keys, expected, "each key once, by its longest pass");
        assert!((list[0].seconds - 0.049).abs() < 1e-9);

        let later = start + WINDOW;
        slowest.observe("c", &"new", Duration::from_millis(1), later);
        let list = slowest.list(later);
        assert_eq!((list.len(), list[0].key.as_str()), (1, "new"));
    }
}

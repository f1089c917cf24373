//! What members answered last, per manifest, within a bound.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::AtomicI64,
};

use crds::object::Key;
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use serde::Serialize;

/// Bytes that the answers may take together.
const LIMIT: usize = 8 << 20;
/// What an answer takes besides its message: the entry, its slot in the map and its place in the order.
const OVERHEAD: usize = size_of::<Entry>() + 3 * size_of::<u64>();
/// Longer messages are cut; they stand whole in the condition of the Work.
const MESSAGE: usize = 400;

/// What was asked of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    /// The object was looked at and is as it should be.
    Compare,
    Create,
    Update,
    Delete,
    /// Something was in the way before the member was asked to change anything, or the change was refused.
    Apply,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome<'a> {
    Success,
    /// A word from a bounded set, and a sentence.
    Failure(&'static str, &'a str),
}

#[derive(Debug)]
struct Entry {
    at: i64,
    action: Action,
    reason: &'static str,
    /// How often in a row this was the answer.
    attempts: u32,
    message: Box<str>,
}

/// An answer as it is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) manifest: usize,
    pub(super) action: Action,
    /// `Success`, or why not.
    pub(super) result: &'static str,
    pub(super) message: String,
    pub(super) at: Timestamp,
    /// How often in a row this was the answer.
    pub(super) attempts: u32,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<u64, Entry>,
    /// Oldest first; an answer that is replaced keeps its place.
    order: VecDeque<u64>,
    bytes: usize,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Answers {
    kept: Mutex<Kept>,
    bytes: Gauge<i64, AtomicI64>,
    count: Gauge<i64, AtomicI64>,
}

/// What was true of a Work, as one number: 2^64 are many more than there are Works.
fn id(work: &Key, manifest: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (work.namespace.as_deref(), &work.name, manifest).hash(&mut hasher);
    hasher.finish()
}

impl Answers {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "navarch_decision_records_bytes",
            "Memory that the kept answers of members take",
            self.bytes.clone(),
        );
        registry.register(
            "navarch_decision_records",
            "Kept answers of members",
            self.count.clone(),
        );
    }

    /// Keeps an answer. That nothing had to be done is kept only where something failed before.
    pub(crate) fn keep(&self, work: &Key, manifest: usize, action: Action, outcome: Outcome<'_>) {
        let id = id(work, manifest);
        let (reason, message) = match outcome {
            Outcome::Success => ("Success", ""),
            Outcome::Failure(reason, message) => {
                (reason, &message[..message.floor_char_boundary(MESSAGE)])
            }
        };
        let mut kept = self.kept.lock();
        let kept = &mut *kept;
        let before = kept.entries.get(&id);
        if action == Action::Compare && before.is_none_or(|before| before.reason == reason) {
            return;
        }
        let is_same = |before: &&Entry| {
            before.action == action && before.reason == reason && *before.message == *message
        };
        let attempts = before.filter(is_same).map_or(0, |before| before.attempts);
        let entry = Entry {
            at: Timestamp::now().as_second(),
            action,
            reason,
            attempts: attempts.saturating_add(1),
            message: message.into(),
        };
        kept.bytes += OVERHEAD + entry.message.len();
        match kept.entries.insert(id, entry) {
            Some(before) => kept.bytes -= OVERHEAD + before.message.len(),
            None => kept.order.push_back(id),
        }
        while kept.bytes > LIMIT
            && let Some(oldest) = kept.order.pop_front()
        {
            if let Some(entry) = kept.entries.remove(&oldest) {
                kept.bytes -= OVERHEAD + entry.message.len();
            }
        }
        self.bytes
            .set(i64::try_from(kept.bytes).unwrap_or(i64::MAX));
        self.count
            .set(i64::try_from(kept.entries.len()).unwrap_or(i64::MAX));
    }

    pub(super) fn of(&self, work: &Key, manifests: usize) -> Vec<Answer> {
        let kept = self.kept.lock();
        (0..manifests)
            .filter_map(|manifest| {
                let entry = kept.entries.get(&id(work, manifest))?;
                Some(Answer {
                    manifest,
                    action: entry.action,
                    result: entry.reason,
                    message: entry.message.to_string(),
                    at: Timestamp::from_second(entry.at).unwrap_or_default(),
                    attempts: entry.attempts,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(n: usize) -> Key {
        Key::new("karmada-es-m1", &format!("w{n}"))
    }

    #[test]
    fn answers_are_counted_while_they_repeat() {
        let answers = Answers::default();
        let refused = || Outcome::Failure("Conflict", "it exists already");
        answers.keep(&work(1), 0, Action::Compare, Outcome::Success);
        assert!(answers.of(&work(1), 1).is_empty());
        answers.keep(&work(1), 0, Action::Apply, refused());
        answers.keep(&work(1), 0, Action::Apply, refused());
        let told = answers.of(&work(1), 1);
        assert_eq!((told[0].result, told[0].attempts), ("Conflict", 2));
        assert_eq!(told[0].message, "it exists already");
        answers.keep(&work(1), 0, Action::Compare, Outcome::Success);
        let told = answers.of(&work(1), 1);
        assert_eq!((told[0].result, told[0].attempts), ("Success", 1));
        assert!(answers.of(&work(2), 1).is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let answers = Answers::default();
        let message = "x".repeat(2 * MESSAGE);
        let many = LIMIT / (OVERHEAD + MESSAGE) + 10;
        for n in 0..many {
            answers.keep(&work(n), 0, Action::Create, Outcome::Failure("R", &message));
        }
        let bytes = answers.bytes.get();
        assert!(
            bytes <= i64::try_from(LIMIT).unwrap() && bytes > i64::try_from(LIMIT / 2).unwrap()
        );
        assert!(answers.of(&work(0), 1).is_empty());
        assert_eq!(answers.of(&work(many - 1), 1)[0].message.len(), MESSAGE);
        let kept = answers.kept.lock();
        assert_eq!(kept.order.len(), kept.entries.len());
    }
}

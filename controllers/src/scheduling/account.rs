//! How a binding's latest decision came about, on request.
//!
//! Nothing is written down while deciding but the binding as it was and the outcome. Whoever asks has the decision made once more,
//! from the same binding and the same clusters, with every step recorded. Of clusters only the latest states that decisions went by are
//! kept; an older decision is told with the clusters as they are now.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Weak},
};

use crds::{
    conditions::{self, binding::SCHEDULED},
    keys::APPLIED_PLACEMENT,
    object::Key,
    work::TargetCluster,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use scheduler::{
    Decision, Estimates, Explanation, Inputs, Outcome, Snapshot, decide,
    explain::{Failure, Target},
    trace::Recorder,
};
use serde::Serialize;

use super::{Shared, inflight};
use crate::world::Bindings;

/// How many decisions are remembered.
const REMEMBERED: usize = 4096;
/// How many answers of estimators are remembered with them; those of the oldest decisions are forgotten first.
const ANSWERS: usize = 100_000;

/// How many states of the clusters are remembered. They share what did not change between them.
const SNAPSHOTS: usize = 16;

/// A decision told. Serialises to what the process serves.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    /// What the binding says.
    pub recorded: Recorded,
    /// The latest decision of this process, unless that is long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    pub recomputed: Recomputed,
}

/// What is written in a binding.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    pub generation: i64,
    pub clusters: Vec<Target>,
    /// The condition `Scheduled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scheduled_time: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// A decision that was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    pub at: Timestamp,
    /// The generation of the binding that was looked at.
    pub generation: i64,
    pub trigger: &'static str,
    /// `Fresh` or `Steady`.
    pub mode: &'static str,
    pub clusters: Vec<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A decision made again to see how it comes about.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recomputed {
    pub at: Timestamp,
    /// `AsDecided` if the binding was taken as it was at the latest decision, `AsIs` if as it is now.
    pub input: &'static str,
    /// Whether the result is the decided one, or else the recorded one. If not, clusters have changed since, or the binding has.
    pub agrees: bool,
    pub explanation: Explanation,
}

/// The latest decisions of either kind of binding, the oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Latest(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    decisions: HashMap<Key, Made>,
    /// Keys by the number of their decision.
    order: BTreeMap<u64, Key>,
    /// What estimators answered, by the number of the decision.
    estimates: BTreeMap<u64, Arc<Estimates>>,
    /// How many answers these are.
    answers: usize,
    /// The latest states of the clusters that decisions went by, oldest first.
    snapshots: VecDeque<Arc<Snapshot>>,
    count: u64,
}

/// What a decision went by besides the binding.
#[derive(Debug)]
pub(super) struct Basis {
    snapshot: Arc<Snapshot>,
    estimates: Option<Estimates>,
}

impl Basis {
    pub(super) fn new(snapshot: Arc<Snapshot>, estimates: Option<Estimates>) -> Self {
        Self {
            snapshot,
            estimates,
        }
    }
}

#[derive(Debug, Clone)]
struct Made {
    number: u64,
    snapshot: Weak<Snapshot>,
    binding: Arc<dyn Any + Send + Sync>,
    outcome: Outcome,
}

impl Latest {
    pub(super) fn remember<B: Bindings>(
        &self,
        key: &Key,
        binding: &Arc<B>,
        outcome: &Outcome,
        basis: Basis,
    ) {
        let mut remembered = self.0.lock();
        let remembered = &mut *remembered;
        let Basis {
            snapshot,
            estimates,
        } = basis;
        remembered.count += 1;
        let made = Made {
            number: remembered.count,
            snapshot: Arc::downgrade(&snapshot),
            binding: Arc::<B>::clone(binding),
            outcome: outcome.clone(),
        };
        let is_kept = |it: &Arc<Snapshot>| Arc::ptr_eq(it, &snapshot);
        if !remembered.snapshots.iter().rev().any(is_kept) {
            remembered.snapshots.push_back(snapshot);
            if remembered.snapshots.len() > SNAPSHOTS {
                remembered.snapshots.pop_front();
            }
        }
        if let Some(estimates) = estimates {
            remembered.answers += count(&estimates);
            remembered
                .estimates
                .insert(made.number, Arc::new(estimates));
        }
        remembered.order.insert(made.number, key.clone());
        if let Some(before) = remembered.decisions.insert(key.clone(), made) {
            remembered.drop_number(before.number);
        }
        if remembered.decisions.len() > REMEMBERED
            && let Some((number, oldest)) = remembered.order.pop_first()
        {
            remembered.decisions.remove(&oldest);
            remembered.drop_number(number);
        }
        while remembered.answers > ANSWERS
            && let Some((_, oldest)) = remembered.estimates.pop_first()
        {
            remembered.answers -= count(&oldest);
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        let mut remembered = self.0.lock();
        if let Some(made) = remembered.decisions.remove(key) {
            remembered.drop_number(made.number);
        }
    }

    fn of(&self, key: &Key) -> Option<(Made, Option<Arc<Estimates>>)> {
        let remembered = self.0.lock();
        let made = remembered.decisions.get(key).cloned()?;
        let estimates = remembered.estimates.get(&made.number).cloned();
        Some((made, estimates))
    }
}

impl Remembered {
    fn drop_number(&mut self, number: u64) {
        self.order.remove(&number);
        if let Some(estimates) = self.estimates.remove(&number) {
            self.answers -= count(&estimates);
        }
    }
}

fn count(estimates: &Estimates) -> usize {
    estimates.0.iter().map(|it| it.answers.len()).sum()
}

impl Shared {
    /// Whether it is known what bindings there are.
    pub fn is_filled(&self) -> bool {
        let world = &self.world;
        world.clusters.is_synced()
            && world.bindings.is_synced()
            && world.cluster_bindings.is_synced()
    }

    /// Tells how the latest decision about a binding came about; `None` if there is no such binding. Takes as long as a decision with
    /// all its steps recorded: some tens of milliseconds with thousands of clusters.
    pub fn account<B: Bindings>(&self, key: &Key) -> Option<Account> {
        let binding = B::store(&self.world).get(key)?;
        let status = binding.status();
        let scheduled = status
            .and_then(|status| conditions::find(&status.conditions, SCHEDULED))
            .map(|it| Condition {
                status: it.status.clone(),
                reason: it.reason.clone(),
                message: it.message.clone(),
            });
        let recorded = Recorded {
            generation: binding.meta().generation.unwrap_or_default(),
            clusters: targets(&binding.spec().clusters),
            scheduled,
            affinity_name: status
                .and_then(|status| status.scheduler_observing_affinity_name.clone())
                .filter(|name| !name.is_empty()),
            last_scheduled_time: status
                .and_then(|status| status.last_scheduled_time.as_ref())
                .map(|time| time.0),
        };
        // A binding that was deleted and made again is another one.
        let made = self.latest.of(key).and_then(|(made, estimates)| {
            let then = made.binding.downcast::<B>().ok()?;
            let clusters = made.snapshot.upgrade();
            let is_same = then.meta().uid == binding.meta().uid;
            is_same.then_some((then, made.outcome, clusters, estimates))
        });
        let (input, decided, subject, clusters, estimates) = match made {
            Some((then, outcome, clusters, estimates)) => {
                let decided = Decided::of(&*then, &outcome);
                ("AsDecided", Some(decided), then, clusters, estimates)
            }
            None => ("AsIs", None, binding, None, None),
        };
        let clusters = clusters.unwrap_or_else(|| self.clusters());
        let explanation = self.explain(&*subject, &clusters, estimates.as_deref());
        let expected = decided
            .as_ref()
            .map_or(&recorded.clusters, |decided| &decided.clusters);
        let failed = explanation.failure.is_some();
        let agrees = match &decided {
            Some(decided) => {
                let reason = |failure: &Option<Failure>| failure.as_ref().map(|it| it.reason);
                reason(&decided.failure) == reason(&explanation.failure)
                    && (failed || *expected == explanation.result)
            }
            None => !failed && *expected == explanation.result,
        };
        Some(Account {
            kind: B::KIND,
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            recorded,
            decided,
            recomputed: Recomputed {
                at: Timestamp::now(),
                input,
                agrees,
                explanation,
            },
        })
    }

    /// Decides with every step recorded. A binding that gives no occasion is decided all the same.
    fn explain<B: Bindings>(
        &self,
        binding: &B,
        snapshot: &Snapshot,
        estimates: Option<&Estimates>,
    ) -> Explanation {
        let assumed = self.inflight.assumed.read();
        let peers = inflight::peers(&self.world, binding, &self.options);
        let now = Timestamp::now();
        let inputs = Inputs {
            peers: peers.as_ref(),
            assumed: Some(assumed.at(now)),
            estimates,
            ..Inputs::new(snapshot, &self.options, now)
        };
        let mut recorder = Recorder::default();
        let decision = decide(binding, &inputs, &mut recorder);
        if !matches!(
            decision,
            Decision::Nothing | Decision::Observe | Decision::Repair(_)
        ) {
            return Explanation::of(&recorder.items);
        }
        let mut unplaced = binding.clone();
        if let Some(annotations) = &mut unplaced.meta_mut().annotations {
            annotations.remove(APPLIED_PLACEMENT);
        }
        let mut recorder = Recorder::default();
        decide(&unplaced, &inputs, &mut recorder);
        Explanation {
            trigger: "Unchanged",
            ..Explanation::of(&recorder.items)
        }
    }
}

impl Decided {
    fn of<B: Bindings>(binding: &B, outcome: &Outcome) -> Self {
        Self {
            at: outcome.at,
            generation: outcome.generation,
            trigger: outcome.trigger.code(),
            mode: if outcome.fresh { "Fresh" } else { "Steady" },
            clusters: targets(outcome.clusters(binding)),
            failure: outcome.result.as_ref().err().map(|failure| Failure {
                reason: failure.reason,
                message: failure.message.clone(),
            }),
        }
    }
}

fn targets(clusters: &[TargetCluster]) -> Vec<Target> {
    let target = |target: &TargetCluster| Target {
        name: target.name.clone(),
        replicas: target.replicas.unwrap_or_default().into(),
    };
    clusters.iter().map(target).collect()
}

#[cfg(test)]
mod tests {
    use crds::work::ResourceBinding;
    use scheduler::Options;

    use super::*;

    fn basis(estimates: Option<Estimates>) -> Basis {
        Basis::new(Arc::default(), estimates)
    }

    #[test]
    fn the_oldest_decision_is_forgotten_first() {
        let binding: Arc<ResourceBinding> = Arc::default();
        let options = Options::default();
        let snapshot = Snapshot::default();
        let inputs = Inputs::new(&snapshot, &options, Timestamp::UNIX_EPOCH);
        let Decision::Scheduled(outcome) = decide(&*binding, &inputs, &mut trace::NoTrace) else {
            panic!("a binding without placement is an error");
        };
        let latest = Latest::default();
        let key = |number: usize| Key::new("shop", &number.to_string());
        for number in 0..REMEMBERED {
            latest.remember(&key(number), &binding, &outcome, basis(None));
        }
        latest.remember(&key(0), &binding, &outcome, basis(None));
        latest.remember(&key(REMEMBERED), &binding, &outcome, basis(None));
        assert!(latest.of(&key(0)).is_some() && latest.of(&key(1)).is_none());
        latest.forget(&key(0));
        let remembered = latest.0.lock();
        assert_eq!(remembered.decisions.len(), REMEMBERED - 1);
        assert_eq!(remembered.order.len(), REMEMBERED - 1);
        assert_eq!(remembered.snapshots.len(), SNAPSHOTS);
        let clusters = |number| {
            let made = &remembered.decisions[&key(number)];
            made.snapshot.upgrade().is_some()
        };
        assert!(clusters(REMEMBERED) && !clusters(REMEMBERED - SNAPSHOTS - 1));
    }

    #[test]
    fn answers_of_old_decisions_are_forgotten_before_the_decisions() {
        let binding: Arc<ResourceBinding> = Arc::default();
        let options = Options::default();
        let snapshot = Snapshot::default();
        let inputs = Inputs::new(&snapshot, &options, Timestamp::UNIX_EPOCH);
        let Decision::Scheduled(outcome) = decide(&*binding, &inputs, &mut trace::NoTrace) else {
            panic!("a binding without placement is an error");
        };
        let answers = |count: usize| {
            let clusters = (0..count).map(|it| (it.to_string(), scheduler::Answer::Fits(1)));
            Some(Estimates::of("estimator", clusters))
        };
        let latest = Latest::default();
        let key = |number: usize| Key::new("shop", &number.to_string());
        latest.remember(&key(0), &binding, &outcome, basis(answers(ANSWERS - 1)));
        latest.remember(&key(1), &binding, &outcome, basis(answers(2)));
        assert!(latest.of(&key(0)).unwrap().1.is_none() && latest.of(&key(1)).unwrap().1.is_some());
        latest.remember(&key(1), &binding, &outcome, basis(None));
        assert_eq!(latest.0.lock().answers, 0);
    }
}

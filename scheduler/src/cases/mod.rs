//! Recorded cases, decided again: a JSON object in, a JSON object out.
//!
//! Support cases are replayed with it, and decisions are compared with those of other schedulers.

use std::borrow::Cow;
use std::sync::Arc;

use crds::cluster::Cluster;
use crds::work::{Binding, ClusterResourceBinding, ResourceBinding};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::decision::{Decision, Inputs, Skip, decide};
use crate::explain::{Explanation, Target};
use crate::inflight::{AssigningBindings, Peers};
use crate::options::Options;
use crate::snapshot::Snapshot;
use crate::trace::{NoTrace, Recorder};

/// The reason of answers to what is no case.
pub const MALFORMED: &str = "MalformedCase";

/// How much text of cluster lists is remembered.
const REMEMBERED: usize = 64 << 20;

/// Decides cases, one after the other.
///
/// A case is `{"clusters": [Cluster…], "binding": ResourceBinding}`; the binding may be a `ClusterResourceBinding`. With the gate
/// `WorkloadAffinity` it can hold the other `bindings` of the namespace too.
///
/// ```
/// use scheduler::{Options, cases::Cases};
///
/// let case = br#"{
///     "clusters": [{ "metadata": { "name": "member1" }, "spec": { "syncMode": "Push" } }],
///     "binding": {
///         "metadata": { "name": "web" },
///         "spec": { "resource": { "apiVersion": "v1", "kind": "ConfigMap", "name": "web" }, "placement": {} }
///     }
/// }"#;
/// let answer = Cases::new(Options::default()).answer(1, case, "2026-01-01T00:00:00Z".parse().unwrap());
/// assert_eq!(answer.error.unwrap().reason, "NoClusterFit");
/// ```
#[derive(Clone, Debug)]
pub struct Cases {
    options: Options,
    explains: bool,
    /// Lists of clusters by their text, the latest last: they are often the same from case to case.
    snapshots: Vec<(Box<str>, Snapshot)>,
}

/// What becomes of a case. Serialises to the line that is printed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The target list that follows from the decision; `None` if the resource goes nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<Target>>,
    /// Why it goes nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
    /// Why the scheduler has nothing to do with the binding: `Deleting`, `OtherScheduler` or `Suspended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<&'static str>,
    /// How it came about, if that is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// Why a case has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Error {
    /// The reason of the condition `Scheduled`, or [`MALFORMED`].
    pub reason: &'static str,
    /// Its message.
    pub message: String,
}

impl Answer {
    /// Whether the line was no case.
    pub fn is_malformed(&self) -> bool {
        self.error
            .as_ref()
            .is_some_and(|error| error.reason == MALFORMED)
    }
}

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(borrow)]
    clusters: &'a RawValue,
    #[serde(borrow)]
    binding: &'a RawValue,
    #[serde(borrow, default)]
    bindings: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
}

/// What is wrong with a line: where in it, counted from 1, and what.
struct Malformed {
    column: usize,
    message: String,
}

impl Cases {
    /// Decides with these options and explains nothing.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            explains: false,
            snapshots: Vec::new(),
        }
    }

    /// The same with an explanation of each decision.
    #[must_use]
    pub fn explained(self) -> Self {
        Self {
            explains: true,
            ..self
        }
    }

    /// Decides the case in a line of this number; `now` is the time of the decision.
    pub fn answer(&mut self, number: usize, line: &[u8], now: Timestamp) -> Answer {
        self.decided(line, now)
            .unwrap_or_else(|Malformed { column, message }| Answer {
                error: Some(Error {
                    reason: MALFORMED,
                    message: format!("line {number}, column {column}: {message}"),
                }),
                ..Answer::default()
            })
    }

    fn decided(&mut self, line: &[u8], now: Timestamp) -> Result<Answer, Malformed> {
        let case: Case<'_> = serde_json::from_slice(line).map_err(|error| Malformed {
            column: error.column(),
            message: text(&error),
        })?;
        self.recall(line, case.clusters)?;
        let snapshot = self
            .snapshots
            .last()
            .map(|(_, snapshot)| snapshot)
            .expect("the list of clusters of this case was remembered just now");
        let Kind { kind } = part(line, "binding", case.binding)?;
        match kind.as_ref() {
            ClusterResourceBinding::KIND => {
                let binding: ClusterResourceBinding = part(line, "binding", case.binding)?;
                Ok(self.decide(&binding, snapshot, None, now))
            }
            ResourceBinding::KIND | "" => {
                let binding: ResourceBinding = part(line, "binding", case.binding)?;
                let peers = match case.bindings {
                    Some(bindings) if self.options.gates.workload_affinity => {
                        let others: Vec<ResourceBinding> = part(line, "bindings", bindings)?;
                        Some(AssigningBindings::default().peers(&binding, others.iter()))
                    }
                    _ => None,
                };
                Ok(self.decide(&binding, snapshot, peers.as_ref(), now))
            }
            other => Err(Malformed {
                column: column(line, case.binding, 1),
                message: format!(
                    "binding: kind {other:?} is neither {} nor {}",
                    ResourceBinding::KIND,
                    ClusterResourceBinding::KIND
                ),
            }),
        }
    }

    /// Makes the snapshot of these clusters the last one.
    fn recall(&mut self, line: &[u8], clusters: &RawValue) -> Result<(), Malformed> {
        let text = clusters.get();
        let known = self.snapshots.iter().rposition(|(key, _)| **key == *text);
        if let Some(at) = known {
            self.snapshots[at..].rotate_left(1);
            return Ok(());
        }
        let parsed: Vec<Arc<Cluster>> = part::<Vec<Cluster>>(line, "clusters", clusters)?
            .into_iter()
            .map(Arc::new)
            .collect();
        let mut room = REMEMBERED.saturating_sub(text.len());
        let kept = self.snapshots.iter().rev().take(15).take_while(|(key, _)| {
            let fits = key.len() <= room;
            room = room.saturating_sub(key.len());
            fits
        });
        let forgotten = self.snapshots.len() - kept.count();
        self.snapshots.drain(..forgotten);
        self.snapshots.push((text.into(), Snapshot::new(&parsed)));
        Ok(())
    }

    fn decide<B: Binding>(
        &self,
        binding: &B,
        snapshot: &Snapshot,
        peers: Option<&Peers>,
        now: Timestamp,
    ) -> Answer {
        let inputs = Inputs {
            peers,
            ..Inputs::new(snapshot, &self.options, now)
        };
        if self.explains {
            let mut recorder = Recorder::default();
            let decision = decide(binding, &inputs, &mut recorder);
            Answer {
                explanation: Some(Explanation::of(&recorder.items)),
                ..Answer::of(binding, &decision)
            }
        } else {
            Answer::of(binding, &decide(binding, &inputs, &mut NoTrace))
        }
    }
}

impl Answer {
    fn of<B: Binding>(binding: &B, decision: &Decision) -> Self {
        if let Decision::Scheduled(outcome) = decision
            && let Err(failure) = &outcome.result
        {
            return Self {
                error: Some(Error {
                    reason: failure.reason,
                    message: failure.message.clone(),
                }),
                ..Self::default()
            };
        }
        let targets = decision.clusters(binding).iter().map(|target| Target {
            name: target.name.clone(),
            replicas: i64::from(target.replicas.unwrap_or_default()),
        });
        Self {
            clusters: Some(targets.collect()),
            skipped: match decision {
                Decision::Skip(skip) => Some(skip.code()),
                _ => None,
            },
            ..Self::default()
        }
    }
}

impl Skip {
    /// A name for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Deleting => "Deleting",
            Self::OtherScheduler => "OtherScheduler",
            Self::Suspended => "Suspended",
        }
    }
}

/// Reads a part of a case.
fn part<'a, T: Deserialize<'a>>(
    line: &[u8],
    name: &str,
    raw: &'a RawValue,
) -> Result<T, Malformed> {
    serde_json::from_str(raw.get()).map_err(|error| Malformed {
        column: column(line, raw, error.column()),
        message: format!("{name}: {}", text(&error)),
    })
}

/// The column in the line of a column in a part of it.
fn column(line: &[u8], raw: &RawValue, within: usize) -> usize {
    let start = raw.get().as_ptr().addr();
    start
        .saturating_sub(line.as_ptr().addr())
        .saturating_add(within)
}

/// What an error says, without where.
fn text(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&at).unwrap_or(&text).to_owned()
}

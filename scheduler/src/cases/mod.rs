//! Recorded cases, decided again: a JSON object in, a JSON object out.
//!
//! Support cases are replayed with it, and decisions are compared with those of other schedulers.

mod objects;
mod reading;

use std::borrow::Cow;
use std::collections::HashMap;
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
use reading::{Malformed, column, part, unknown_fields, whole};

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
    /// Of a binding that has targets and gets no others: whether it keeps them, or they are taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
    /// Why the scheduler has nothing to do with the binding: `Deleting`, `OtherScheduler` or `Suspended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<&'static str>,
    /// Fields of the placement that it does not have. They are without effect, as in the API server, which drops them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
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

/// What has to be known of a binding before it is read.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    spec: SpecOutline<'a>,
}

#[derive(Default, Deserialize)]
struct SpecOutline<'a> {
    #[serde(borrow, default)]
    placement: Option<&'a RawValue>,
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
        let case: Case<'_> = whole(line)?;
        self.recall(line, case.clusters)?;
        let snapshot = self
            .snapshots
            .last()
            .map(|(_, snapshot)| snapshot)
            .expect("the list of clusters of this case was remembered just now");
        let Outline { kind, spec } = part(line, "binding", case.binding)?;
        let ignored = match spec.placement {
            Some(placement) => unknown_fields(line, placement)?,
            None => Vec::new(),
        };
        let answer = match kind.as_ref() {
            ClusterResourceBinding::KIND => {
                let binding: ClusterResourceBinding = part(line, "binding", case.binding)?;
                self.decide(&binding, snapshot, None, now)
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
                self.decide(&binding, snapshot, peers.as_ref(), now)
            }
            other => {
                return Err(Malformed {
                    column: column(line, case.binding, 1),
                    message: format!(
                        "binding.kind: {other:?} is neither {} nor {}",
                        ResourceBinding::KIND,
                        ClusterResourceBinding::KIND
                    ),
                });
            }
        };
        Ok(Answer { ignored, ..answer })
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
        check_names(&parsed).map_err(|message| Malformed {
            column: column(line, clusters, 1),
            message,
        })?;
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
                kept: failure.keeps_targets(binding),
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

/// Refuses clusters that cannot be told apart.
fn check_names(clusters: &[Arc<Cluster>]) -> Result<(), String> {
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(clusters.len());
    for (index, cluster) in clusters.iter().enumerate() {
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(format!("clusters[{index}].metadata.name: is missing"));
        }
        if let Some(other) = seen.insert(name, index) {
            return Err(format!(
                "clusters[{index}].metadata.name: {name:?} is the name of clusters[{other}] too"
            ));
        }
    }
    Ok(())
}

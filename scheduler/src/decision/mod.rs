//! What to do about one binding: leave it, note it, or place it.
//!
//! ```text
//! binding, snapshot -> step -> Ask: the shell asks accurate estimators and comes back with their answers
//!                           -> Decided -> spec_patch -> (API server) -> report -> status_patch, events, queue
//! ```

mod affinities;
mod patch;
mod repair;
mod report;
mod trigger;

use crds::conditions::binding as reasons;
use crds::work::{Binding, TargetCluster};
use k8s_openapi::jiff::Timestamp;

pub use patch::{APPLIED_COMPONENTS, spec_patch};
pub use repair::Repair;
pub use report::{Event, EventType, Report, Requeue, WriteError, status_patch};
pub use trigger::Trigger;
pub(crate) use trigger::observed_affinity;

use crate::error::ScheduleError;
use crate::estimate::Estimates;
use crate::inflight::{AssumedAt, Peers};
use crate::options::{Compat, DEFAULT_SCHEDULER, Options, Switch};
use crate::pipeline::{Accurate, Observer};
use crate::request::{Question, Request, Surroundings};
use crate::snapshot::Snapshot;
use crate::trace::{Item, Sink};

/// Everything but the binding that a decision depends on.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub snapshot: &'a Snapshot,
    pub options: &'a Options,
    /// What accurate estimators answered.
    pub estimates: Option<&'a Estimates>,
    /// Where the workloads of the same groups are; needed with the gate `WorkloadAffinity`.
    pub peers: Option<&'a Peers>,
    /// What was placed recently; counts with the gate `SchedulingOvercommitProtection`.
    pub assumed: Option<AssumedAt<'a>>,
    pub observer: Option<&'a dyn Observer>,
    pub now: Timestamp,
}

impl<'a> Inputs<'a> {
    /// Inputs without answers, peers and assumptions.
    pub fn new(snapshot: &'a Snapshot, options: &'a Options, now: Timestamp) -> Self {
        Self {
            snapshot,
            options,
            estimates: None,
            peers: None,
            assumed: None,
            observer: None,
            now,
        }
    }

    /// The same with answers of accurate estimators.
    #[must_use]
    pub fn with_estimates(self, estimates: &'a Estimates) -> Self {
        Self {
            estimates: Some(estimates),
            ..self
        }
    }
}

/// What to do about a binding.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Leave it alone.
    Skip(Skip),
    /// Nothing to schedule and nothing to write.
    Nothing,
    /// Nothing to schedule, but the generation has to be noted.
    Observe,
    /// Nothing to schedule, but the status does not tell of the result that is in place.
    Repair(Repair),
    /// The algorithm ran.
    Scheduled(Outcome),
}

/// Why a binding is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    Deleting,
    OtherScheduler,
    Suspended,
}

/// What the algorithm found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub trigger: Trigger,
    /// Whether the workload was placed as if it ran nowhere.
    pub fresh: bool,
    /// `metadata.generation` of the binding that was looked at.
    pub generation: i64,
    /// The time of the decision.
    pub at: Timestamp,
    /// Affinity terms that were tried in vain, in the order in which they were tried.
    pub attempts: Vec<FailedAttempt>,
    pub result: Result<Placed, Failure>,
}

/// An affinity term that has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// Position in `clusterAffinities`.
    pub index: usize,
    pub affinity_name: String,
    pub error: ScheduleError,
}

/// Where the resource goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The new target list.
    pub clusters: Vec<TargetCluster>,
    /// The affinity term in use; `None` without ordered affinities.
    pub affinity_name: Option<String>,
    /// Whether a name noted earlier has to be removed because the placement has no terms any more.
    pub clears_affinity_name: bool,
}

/// Why the resource goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason of the condition `Scheduled`.
    pub reason: &'static str,
    /// The message of the condition.
    pub message: String,
    /// Whether the resource is removed from the clusters that it is in.
    pub empties_targets: bool,
    /// Whether another attempt without any change could succeed.
    pub retry: bool,
}

impl Failure {
    /// Whether the resource stays in the clusters that it is in; `None` if it is in none.
    pub fn keeps_targets(&self, binding: &impl Binding) -> Option<bool> {
        (!binding.spec().clusters.is_empty()).then_some(!self.empties_targets)
    }

    fn of(error: &ScheduleError, empties_targets: bool) -> Self {
        let no_fit = matches!(error, ScheduleError::NoFit(_));
        Self {
            reason: error.reason(),
            message: error.to_string(),
            empties_targets: no_fit && empties_targets,
            retry: !no_fit,
        }
    }
}

impl Decision {
    /// The target list that follows from the decision.
    pub fn clusters<'a>(&'a self, binding: &'a impl Binding) -> &'a [TargetCluster] {
        match self {
            Self::Scheduled(outcome) => outcome.clusters(binding),
            _ => &binding.spec().clusters,
        }
    }
}

impl Outcome {
    /// The target list that follows from the outcome.
    pub fn clusters<'a>(&'a self, binding: &'a impl Binding) -> &'a [TargetCluster] {
        match &self.result {
            Ok(placed) => &placed.clusters,
            Err(failure) if failure.empties_targets => &[],
            Err(_) => &binding.spec().clusters,
        }
    }

    /// Whether a resource that is in some cluster would be in none afterwards, for brakes on mass removal.
    pub fn removes_everywhere(&self, binding: &impl Binding) -> bool {
        !binding.spec().clusters.is_empty() && self.clusters(binding).is_empty()
    }
}

/// One step towards a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// Accurate estimators have to be asked first; their answers go into [`Inputs::estimates`], then take the step again.
    Ask(Shortlist<'a>),
    Decided(Decision),
}

/// The clusters that a workload could go to, and what to ask about each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortlist<'a> {
    pub question: Question<'a>,
    /// The namespace of the workload's replicas.
    pub namespace: &'a str,
    /// Clusters without an answer, by name. Each needs one: [`Answer::Failed`](crate::Answer::Failed) if nothing came back.
    pub clusters: Vec<&'a str>,
}

/// Decides about a binding with what is known, asking nobody.
pub fn decide<B: Binding>(
    binding: &B,
    inputs: &Inputs<'_>,
    sink: &mut impl Sink<Item>,
) -> Decision {
    match advance(binding, inputs, false, sink) {
        Step::Decided(decision) => decision,
        Step::Ask(_) => Decision::Nothing,
    }
}

/// Decides about a binding, or says which clusters accurate estimators have to be asked about first.
///
/// Ordered affinities ask for one term at a time, so that clusters of later terms are asked about only when earlier terms fail.
/// Items of a step that asks are those of an unfinished decision; record each step anew.
pub fn step<'a, B: Binding>(
    binding: &'a B,
    inputs: &Inputs<'a>,
    sink: &mut impl Sink<Item>,
) -> Step<'a> {
    advance(binding, inputs, true, sink)
}

fn advance<'a, B: Binding>(
    binding: &'a B,
    inputs: &Inputs<'a>,
    asks: bool,
    sink: &mut impl Sink<Item>,
) -> Step<'a> {
    let spec = binding.spec();
    if let Some(skip) = skip(binding, inputs.options) {
        sink.record(|| Item::Skipped { code: skip.code() });
        return Step::Decided(Decision::Skip(skip));
    }
    let generation = binding.meta().generation.unwrap_or_default();
    let mut outcome = Outcome {
        trigger: Trigger::NoPlacement,
        fresh: false,
        generation,
        at: inputs.now,
        attempts: Vec::new(),
        result: Err(Failure {
            reason: reasons::SCHEDULER_ERROR,
            message: "the binding has no placement".to_owned(),
            empties_targets: false,
            retry: true,
        }),
    };
    let Some(placement) = &spec.placement else {
        sink.record(|| Item::Triggered {
            code: outcome.trigger.code(),
            fresh: false,
        });
        return finish(binding, inputs, Decision::Scheduled(outcome), sink);
    };
    let Some(trigger) = trigger::of(binding, placement, inputs) else {
        sink.record(|| Item::Triggered {
            code: "Unchanged",
            fresh: false,
        });
        return finish(
            binding,
            inputs,
            repair::idle(binding, placement, inputs),
            sink,
        );
    };
    outcome.trigger = trigger;
    outcome.fresh = trigger::is_explicit(binding, inputs.options.compat);
    sink.record(|| Item::Triggered {
        code: trigger.code(),
        fresh: outcome.fresh,
    });
    if let Some(failure) = malformed(binding, inputs.options.compat) {
        outcome.result = Err(failure);
        return finish(binding, inputs, Decision::Scheduled(outcome), sink);
    }

    let around = Surroundings {
        peers: inputs.peers,
        assumed: inputs.assumed,
    };
    let mut request = Request::new(
        binding,
        placement,
        inputs.snapshot,
        inputs.options,
        outcome.fresh,
        around,
    );
    if request.counts_sets() {
        request.placed_set = trigger::applied_components(binding);
    }
    let accurate = Accurate {
        estimates: inputs.estimates,
        asks,
    };
    match affinities::place(binding, &mut request, accurate, inputs.observer, sink) {
        Err(clusters) => {
            return Step::Ask(Shortlist {
                question: request.question(),
                namespace: spec.resource.namespace.as_deref().unwrap_or_default(),
                clusters,
            });
        }
        Ok((result, attempts)) => {
            outcome.result = result;
            outcome.attempts = attempts;
        }
    }
    finish(binding, inputs, Decision::Scheduled(outcome), sink)
}

/// Reports how a decision came out and what is written for it.
fn finish<'a, B: Binding>(
    binding: &B,
    inputs: &Inputs<'_>,
    decision: Decision,
    sink: &mut impl Sink<Item>,
) -> Step<'a> {
    if !sink.is_recording() {
        return Step::Decided(decision);
    }
    if let Decision::Scheduled(outcome) = &decision {
        match &outcome.result {
            Err(failure) => sink.record(|| Item::Failed {
                reason: failure.reason,
                message: failure.message.clone(),
                kept: failure.keeps_targets(binding),
            }),
            Ok(placed) => {
                for target in &placed.clusters {
                    sink.record(|| Item::Placed {
                        cluster: target.name.clone(),
                        replicas: i64::from(target.replicas.unwrap_or_default()),
                    });
                }
            }
        }
    }
    if let Some(patch) = spec_patch(binding, &decision, inputs.options.compat) {
        sink.record(|| Item::Patch { patch });
    }
    Step::Decided(decision)
}

fn skip<B: Binding>(binding: &B, options: &Options) -> Option<Skip> {
    if binding.meta().deletion_timestamp.is_some() {
        Some(Skip::Deleting)
    } else if scheduler_name(binding) != options.scheduler_name {
        Some(Skip::OtherScheduler)
    } else if binding.spec().is_scheduling_suspended() {
        Some(Skip::Suspended)
    } else {
        None
    }
}

/// The scheduler that a binding belongs to.
pub(crate) fn scheduler_name(binding: &impl Binding) -> &str {
    let name = binding.spec().scheduler_name.as_deref().unwrap_or_default();
    if name.is_empty() {
        DEFAULT_SCHEDULER
    } else {
        name
    }
}

/// Numbers that no workload can have.
fn malformed(binding: &impl Binding, compat: Compat) -> Option<Failure> {
    let spec = binding.spec();
    let refused = |field: String, count: i32| {
        let error = ScheduleError::malformed(field, format!("{count} is negative"));
        Some(Failure::of(&error, false))
    };
    if let Some(count) = spec.replicas.filter(|&it| it < 0) {
        return refused("spec.replicas".to_owned(), count);
    }
    if let Some(index) = spec.components.iter().position(|it| it.replicas < 0) {
        let field = format!("spec.components[{index}].replicas");
        return refused(field, spec.components[index].replicas);
    }
    if compat.keeps(Switch::UncheckedNumbers) {
        return None;
    }
    let targets = spec.clusters.iter();
    let counts = targets.map(|it| it.replicas.unwrap_or_default());
    let (index, count) = (0_usize..).zip(counts).find(|&(_, count)| count < 0)?;
    refused(format!("spec.clusters[{index}].replicas"), count)
}

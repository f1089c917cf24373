//! What users and the queue learn about an outcome, once the write that it asked for was tried.

use crds::conditions::{self, binding as reasons, status};
use crds::reasons::{SCHEDULE_BINDING_FAILED, SCHEDULE_BINDING_SUCCEED};
use crds::work::{Binding, TargetCluster};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::patch::same;
use super::{Decision, Outcome, Repair, Skip, Trigger};
use crate::options::{Compat, Switch};

/// A write that the API server refused, or that did not reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteError {
    pub message: String,
    /// The HTTP status code; 0 without an answer.
    pub code: u16,
    /// The `reason` of the status.
    pub reason: String,
    /// Whether a cause is that the namespace is terminating.
    pub namespace_terminating: bool,
}

impl WriteError {
    fn is_quota_exceeded(&self) -> bool {
        self.code == 403 && self.reason == reasons::QUOTA_EXCEEDED
    }
}

/// Whether and how a binding comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// Not before something changes.
    No,
    /// After a while, or when clusters gain room.
    Unschedulable,
    /// After a delay that grows.
    Backoff,
}

/// What became of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether the resource is scheduled and that is written.
    pub scheduled: bool,
    /// The reason of the condition `Scheduled`.
    pub reason: &'static str,
    pub message: String,
    pub requeue: Requeue,
    /// Whether there is no news: a binding that is placed on every occasion went where it was.
    pub unchanged: bool,
    written: bool,
}

impl Outcome {
    /// Judges an outcome by what became of the write: `Ok` if there was none.
    pub fn report<B: Binding>(
        &self,
        binding: &B,
        written: Result<(), &WriteError>,
        compat: Compat,
    ) -> Report {
        let mut report = match (&self.result, written) {
            (Ok(_), Ok(())) => Report {
                scheduled: true,
                reason: reasons::SUCCESS,
                message: reasons::SUCCESS_MESSAGE.to_owned(),
                requeue: Requeue::No,
                unchanged: self.is_repetition(binding, compat),
                written: true,
            },
            (Err(failure), Ok(())) => {
                let requeue = match failure.reason {
                    _ if !failure.retry => Requeue::No,
                    reasons::UNSCHEDULABLE => Requeue::Unschedulable,
                    _ => Requeue::Backoff,
                };
                Report::failed(failure.reason, failure.message.clone(), requeue)
            }
            // Members of an aggregate are looked at one by one.
            (Err(failure), Err(error)) => {
                let message = format!("[{}, {}]", failure.message, error.message);
                Report::failed(failure.reason, message, Requeue::Backoff)
            }
            (Ok(_), Err(error)) => {
                let reason = if error.is_quota_exceeded() {
                    reasons::QUOTA_EXCEEDED
                } else {
                    reasons::SCHEDULER_ERROR
                };
                Report::failed(reason, error.message.clone(), Requeue::Backoff)
            }
        };
        report.written = written.is_ok();
        if written.is_err_and(|error| error.namespace_terminating) {
            report.requeue = Requeue::No;
        }
        report
    }

    /// Whether a binding that is placed on every occasion has the result that it had.
    fn is_repetition<B: Binding>(&self, binding: &B, compat: Compat) -> bool {
        let Ok(placed) = &self.result else {
            return false;
        };
        let status = binding.status();
        let scheduled = status.is_some_and(|status| {
            let condition = conditions::find(&status.conditions, reasons::SCHEDULED);
            condition.is_some_and(|it| {
                it.status == status::TRUE
                    && it.reason == reasons::SUCCESS
                    && it.message == reasons::SUCCESS_MESSAGE
            }) && status.scheduler_observed_generation == Some(self.generation)
                && status.last_scheduled_time.is_some()
                && !placed.clears_affinity_name
                && placed.affinity_name.as_ref().is_none_or(|name| {
                    status.scheduler_observing_affinity_name.as_ref() == Some(name)
                })
        });
        scheduled
            && self.trigger == Trigger::NotDivided
            && !self.fresh
            && !compat.keeps(Switch::AlwaysWriteTime)
            && same(&placed.clusters, &binding.spec().clusters)
    }
}

impl Report {
    fn failed(reason: &'static str, message: String, requeue: Requeue) -> Self {
        Self {
            scheduled: false,
            reason,
            message,
            requeue,
            unchanged: false,
            written: true,
        }
    }

    /// The value of the metric label `result`: no fitting cluster counts as scheduled.
    pub fn result_label(&self) -> &'static str {
        let no_fit = self.reason == reasons::NO_CLUSTER_FIT && self.written;
        if self.scheduled || no_fit {
            "scheduled"
        } else {
            "error"
        }
    }
}

/// The one merge patch of the status subresource that a decision asks for; `None` if nothing differs.
///
/// `latest` is the binding as the write of the result returned it, or as it was if there was none. A patch that replaces the list of
/// conditions carries its resource version, so that it cannot undo a condition that somebody else has set meanwhile: on a conflict
/// read the binding again and compute the patch anew.
pub fn status_patch<B: Binding>(
    latest: &B,
    decision: &Decision,
    report: Option<&Report>,
    now: Timestamp,
) -> Option<Value> {
    let generation = latest.meta().generation.unwrap_or_default();
    let old = latest.status().cloned().unwrap_or_default();
    let mut fields = Map::new();
    let (outcome, report) = match (decision, report) {
        (Decision::Observe, _) => {
            let observe = old.scheduler_observed_generation != Some(generation);
            return observe
                .then(|| json!({ "status": { "schedulerObservedGeneration": generation } }));
        }
        (Decision::Repair(repair), _) => return repaired(latest, repair, &whole_seconds(now)),
        (Decision::Scheduled(outcome), Some(report)) => (outcome, report),
        _ => return None,
    };
    if report.unchanged {
        return None;
    }
    let now = whole_seconds(now);
    let mut conditions = old.conditions.clone();
    let status = if report.scheduled {
        status::TRUE
    } else {
        status::FALSE
    };
    let condition = conditions::condition(
        reasons::SCHEDULED,
        status,
        report.reason,
        report.message.clone(),
    );
    let mut locked = false;
    if conditions::set_condition(&mut conditions, condition, &now) {
        locked = true;
        fields.insert("conditions".to_owned(), json!(conditions));
    }
    if report.scheduled {
        let observed = outcome.covers(latest);
        if old.scheduler_observed_generation != Some(observed) {
            fields.insert("schedulerObservedGeneration".to_owned(), observed.into());
        }
        if old.last_scheduled_time.as_ref() != Some(&now) {
            fields.insert("lastScheduledTime".to_owned(), json!(now));
        }
    }
    if let Ok(placed) = &outcome.result
        && report.written
    {
        let name = placed.affinity_name.as_ref();
        let noted = old.scheduler_observing_affinity_name.as_ref();
        if (name.is_some() && name != noted) || (placed.clears_affinity_name && noted.is_some()) {
            fields.insert("schedulerObservingAffinityName".to_owned(), json!(name));
        }
    }
    envelope(latest, fields, locked)
}

/// The patch that makes the status tell of the result that is in place.
fn repaired<B: Binding>(latest: &B, repair: &Repair, now: &Time) -> Option<Value> {
    let old = latest.status().cloned().unwrap_or_default();
    let generation = latest.meta().generation.unwrap_or_default();
    let mut fields = Map::new();
    let mut conditions = old.conditions.clone();
    let condition = conditions::condition(
        reasons::SCHEDULED,
        status::TRUE,
        reasons::SUCCESS,
        reasons::SUCCESS_MESSAGE.to_owned(),
    );
    let locked = conditions::set_condition(&mut conditions, condition, now);
    if locked {
        fields.insert("conditions".to_owned(), json!(conditions));
    }
    if old.scheduler_observed_generation != Some(generation) {
        fields.insert("schedulerObservedGeneration".to_owned(), generation.into());
    }
    if old.last_scheduled_time.is_none() {
        fields.insert("lastScheduledTime".to_owned(), json!(now));
    }
    if let Some(name) = &repair.affinity_name {
        fields.insert(
            "schedulerObservingAffinityName".to_owned(),
            name.clone().into(),
        );
    }
    envelope(latest, fields, locked)
}

/// A status patch of these fields, under the version of the object if it is locked.
fn envelope<B: Binding>(latest: &B, fields: Map<String, Value>, locked: bool) -> Option<Value> {
    if fields.is_empty() {
        return None;
    }
    let mut patch = Map::new();
    if locked && let Some(version) = &latest.meta().resource_version {
        patch.insert("metadata".to_owned(), json!({ "resourceVersion": version }));
    }
    patch.insert("status".to_owned(), Value::Object(fields));
    Some(Value::Object(patch))
}

/// The wire has whole seconds.
fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

impl Outcome {
    /// The generation that the outcome speaks for: the one that its own write led to, unless somebody else changed the spec too.
    fn covers<B: Binding>(&self, latest: &B) -> i64 {
        let generation = latest.meta().generation.unwrap_or_default();
        let own = generation == self.generation + 1
            && self
                .result
                .as_ref()
                .is_ok_and(|it| same(&it.clusters, &latest.spec().clusters));
        if own { generation } else { self.generation }
    }
}

/// Whether an event is good or bad news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// An event, to be recorded on the binding and on a reference to the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub type_: EventType,
    pub reason: &'static str,
    pub message: String,
}

impl Event {
    fn warning(message: String) -> Self {
        Self {
            type_: EventType::Warning,
            reason: SCHEDULE_BINDING_FAILED,
            message,
        }
    }
}

impl Decision {
    /// The events that tell about a decision; none about one that changed nothing.
    pub fn events<B: Binding>(&self, binding: &B, report: Option<&Report>) -> Vec<Event> {
        let key = binding.key();
        let (outcome, report) = match (self, report) {
            (Self::Skip(Skip::Deleting), _) => {
                let kind = if B::IS_NAMESPACED {
                    "resourceBinding"
                } else {
                    "clusterResourceBinding"
                };
                return vec![Event::warning(format!(
                    "skip schedule deleting {kind}: {key}"
                ))];
            }
            (Self::Scheduled(outcome), Some(report)) if !report.unchanged => (outcome, report),
            _ => return Vec::new(),
        };
        let mut events: Vec<Event> = outcome
            .attempts
            .iter()
            .map(|attempt| {
                Event::warning(format!(
                    "failed to schedule {}({key}) with clusterAffiliates index({}): {}",
                    B::KIND,
                    attempt.index,
                    attempt.error
                ))
            })
            .collect();
        events.push(match (&outcome.result, report.scheduled) {
            (Ok(placed), true) => Event {
                type_: EventType::Normal,
                reason: SCHEDULE_BINDING_SUCCEED,
                message: success(B::IS_NAMESPACED, &placed.clusters),
            },
            _ => Event::warning(report.message.clone()),
        });
        events
    }
}

fn success(namespaced: bool, clusters: &[TargetCluster]) -> String {
    let targets: Vec<String> = clusters
        .iter()
        .map(|target| format!("{}:{}", target.name, target.replicas.unwrap_or_default()))
        .collect();
    let colon = if namespaced { ":" } else { "" };
    format!(
        "{} Result{colon} {{{}}}",
        reasons::SUCCESS_MESSAGE,
        targets.join(", ")
    )
}

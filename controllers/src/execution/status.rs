//! What a Work says about its delivery and about the objects in the member: one write per pass, and only if it changes.

use crds::{
    conditions::{self, status::TRUE, work as texts},
    config::InterpreterOperation,
    object::Key,
    reasons,
    work::{ResourceHealth, Work, WorkStatus},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use propagation::{
    events,
    execution::{self, PlanError, conditions as built},
    pace::{self, Pace},
};
use runtime::Action;
use serde_json::Value;

use super::{
    Context, Error, MemberRef,
    apply::{Applied, ManifestError},
    is_recreating,
    observe::place,
    works_api,
};
use crate::{
    interpretation::report::{self, Outcomes},
    write,
};

/// Reports a pass that applied the manifests.
pub(super) async fn applied(
    context: &Context,
    work: &Work,
    manifests: &[Value],
    outcomes: &[Result<Applied, ManifestError>],
) -> Result<(Action, Interpreted), Error> {
    let errors: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| Some(outcome.as_ref().err()?.to_string()))
        .collect();
    let now = Time(jiff::Timestamp::now());
    let mut status = work.status.clone().unwrap_or_default();
    set_dispatching(context, work, &mut status, false, &now);

    let recreated = outcomes.iter().flatten().any(|outcome| outcome.created)
        && (conditions::is_true(&status.conditions, texts::APPLIED) || is_recreating(work))
        && !status.manifest_statuses.is_empty();
    let condition = if recreated && errors.is_empty() {
        built::recreated(None, work.metadata.generation)
    } else if is_recreation_alone(outcomes) {
        let text = built::joined(&errors);
        built::recreated(Some(&text), work.metadata.generation)
    } else if is_marks_alone(outcomes) {
        built::mark_removed(built::joined(&errors), work.metadata.generation)
    } else {
        built::applied(manifests.len(), &errors, work.metadata.generation)
    };
    if !says_the_same(&status.conditions, &condition, outcomes) {
        conditions::set_condition(&mut status.conditions, condition, &now);
    }
    let mut interpreted = Interpreted::default();
    for (ordinal, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(applied) => {
                interpreted.retain.tried();
                let place = (manifests, ordinal);
                let object = &applied.object;
                reflect(context, work, &mut status, place, object, &mut interpreted).await;
            }
            Err(ManifestError::Plan(PlanError::Retain(error))) => {
                interpreted.retain.failed(error.to_string());
            }
            Err(_) => {}
        }
    }
    interpreted.put(work, &mut status, &now);
    let next = patch(context, work, status).await?;
    Ok((next, interpreted))
}

/// What failed of an operation on a Work's objects; none when it was not tried on any.
#[derive(Debug, Default)]
struct Failures(Option<Vec<String>>);

impl Failures {
    fn tried(&mut self) {
        self.0.get_or_insert_default();
    }

    fn failed(&mut self, error: String) {
        self.0.get_or_insert_default().push(error);
    }
}

/// What failed of the operations on a Work's objects.
#[derive(Debug, Default)]
pub(super) struct Interpreted {
    retain: Failures,
    status: Failures,
    health: Failures,
}

impl Interpreted {
    /// The outcomes of the operations that were tried. What the others said before, if they failed, stays said.
    fn outcomes(&self) -> Outcomes {
        let tried = [
            (InterpreterOperation::Retain, &self.retain),
            (InterpreterOperation::InterpretStatus, &self.status),
            (InterpreterOperation::InterpretHealth, &self.health),
        ];
        let outcome = |errors: &Vec<String>| (!errors.is_empty()).then(|| built::joined(errors));
        tried
            .into_iter()
            .filter_map(|(operation, failures)| Some((operation, outcome(failures.0.as_ref()?))))
            .collect()
    }

    fn put(&self, work: &Work, status: &mut WorkStatus, now: &Time) {
        let outcomes = self.outcomes();
        let generation = work.metadata.generation;
        report::put(&mut status.conditions, &outcomes, generation, now);
    }

    /// A pass that could not tell state or health is tried again: a webhook may answer the next time. That retention failed has
    /// failed the pass already.
    pub(super) fn into_result(self, work: &Work, next: Action) -> Result<Action, Error> {
        let errors = [self.status.0, self.health.0];
        let errors: Vec<String> = errors.into_iter().flatten().flatten().collect();
        if errors.is_empty() {
            return Ok(next);
        }
        Err(Error::Interpret {
            work: Key::of_meta(&work.metadata),
            message: built::joined(&errors),
        })
    }
}

/// Whether nothing failed but that objects lost our mark.
fn is_marks_alone(outcomes: &[Result<Applied, ManifestError>]) -> bool {
    let mut errors = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .peekable();
    errors.peek().is_some() && errors.all(|error| matches!(error, ManifestError::MarkRemoved(_)))
}

/// Whether nothing failed but to create again what had vanished.
fn is_recreation_alone(outcomes: &[Result<Applied, ManifestError>]) -> bool {
    let mut errors = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .peekable();
    errors.peek().is_some() && errors.all(|error| matches!(error, ManifestError::Recreate(_)))
}

/// A Work that was applied by re-creating keeps saying so until it is applied for another reason.
fn says_the_same(
    present: &[Condition],
    new: &Condition,
    outcomes: &[Result<Applied, ManifestError>],
) -> bool {
    let wrote = outcomes.iter().flatten().any(|outcome| outcome.written);
    conditions::find(present, texts::APPLIED).is_some_and(|present| {
        !wrote
            && present.status == TRUE
            && new.status == TRUE
            && present.observed_generation == new.observed_generation
    })
}

/// Reports a Work whose dispatching is suspended: what was applied before is still looked at.
pub(super) async fn suspended(
    context: &Context,
    work: &Work,
    member: MemberRef<'_>,
) -> Result<Action, Error> {
    let now = Time(jiff::Timestamp::now());
    let mut status = work.status.clone().unwrap_or_default();
    set_dispatching(context, work, &mut status, true, &now);
    let mut interpreted = Interpreted::default();
    if conditions::is_true(&status.conditions, texts::APPLIED) {
        let manifests = execution::manifests(work);
        for (ordinal, manifest) in manifests.iter().enumerate() {
            let Ok(place) = place(context, member, manifest).await else {
                continue;
            };
            if place.is_pending() {
                continue;
            }
            if let Ok(Some(object)) = place.observed().await {
                let place = (&manifests[..], ordinal);
                reflect(context, work, &mut status, place, &object, &mut interpreted).await;
            }
        }
    }
    interpreted.put(work, &mut status, &now);
    let next = patch(context, work, status).await?;
    interpreted.into_result(work, next)
}

fn set_dispatching(
    context: &Context,
    work: &Work,
    status: &mut WorkStatus,
    suspended: bool,
    now: &Time,
) {
    let condition = built::dispatching(suspended);
    let present = conditions::find(&status.conditions, texts::DISPATCHING);
    if present.is_some_and(|present| present.status == condition.status) {
        return;
    }
    if present.is_some() || suspended {
        context.events.normal(
            write::reference(work),
            reasons::WORK_DISPATCHING,
            condition.message.clone(),
        );
    }
    conditions::set_condition(&mut status.conditions, condition, now);
}

/// Puts state and health of one object into the status. What cannot be told leaves the rest alone: the state stays as it was, the
/// health is unknown.
async fn reflect(
    context: &Context,
    work: &Work,
    status: &mut WorkStatus,
    (manifests, ordinal): (&[Value], usize),
    object: &Value,
    interpreted: &mut Interpreted,
) {
    let (kind, key) = (crds::object::kind(object), Key::of(object));
    let (events, rules) = (&context.events, &context.world.interpreter);
    let has_failed = |operation| {
        let type_ = conditions::interpretation::type_of(operation);
        conditions::find(&status.conditions, type_).is_some()
    };
    let (status_failed, health_failed) = (
        has_failed(InterpreterOperation::InterpretStatus),
        has_failed(InterpreterOperation::InterpretHealth),
    );
    interpreted.status.tried();
    interpreted.health.tried();
    let reflected = match rules.reflect_status(object).await {
        Ok(reflected) => {
            if status_failed {
                let text = events::reflect_status_succeed(kind, &key);
                events.recovery(
                    write::reference(work),
                    reasons::REFLECT_STATUS_SUCCEED,
                    text,
                );
            }
            reflected
        }
        Err(error) => {
            let error = error.to_string();
            let text = events::reflect_status_failed(kind, &key, &error);
            events.warning(write::reference(work), reasons::REFLECT_STATUS_FAILED, text);
            interpreted.status.failed(error);
            collected(status, manifests, ordinal)
        }
    };
    let health = match rules.health(object).await {
        Ok(Some(health)) => {
            if health_failed {
                let text = events::interpret_health_succeed(kind, &key, health);
                events.recovery(
                    write::reference(work),
                    reasons::INTERPRET_HEALTH_SUCCEED,
                    text,
                );
            }
            health
        }
        Ok(None) => ResourceHealth::Healthy,
        Err(error) => {
            let error = error.to_string();
            let text = events::interpret_health_failed(kind, &key, &error);
            events.warning(
                write::reference(work),
                reasons::INTERPRET_HEALTH_FAILED,
                text,
            );
            interpreted.health.failed(error);
            ResourceHealth::Unknown
        }
    };
    built::set_manifest_status(
        &mut status.manifest_statuses,
        manifests,
        ordinal,
        reflected,
        health,
    );
}

/// The state that the status has of one object.
fn collected(status: &WorkStatus, manifests: &[Value], ordinal: usize) -> Option<Value> {
    let identifier = built::identifier(manifests.get(ordinal)?, ordinal);
    let mut entries = status.manifest_statuses.iter();
    let entry = entries.find(|entry| entry.identifier == identifier)?;
    entry.status.clone()
}

/// Writes the status if it changed, now or, while the objects are on their way, when there is more to say at once.
async fn patch(context: &Context, work: &Work, status: WorkStatus) -> Result<Action, Error> {
    let key = Key::of_meta(&work.metadata);
    let present = work.status.as_ref();
    if present.unwrap_or(&WorkStatus::default()) == &status {
        context.pacer.settled(&key);
        return Ok(Action::AwaitChange);
    }
    let wait = context.pacer.wait(
        &key,
        Pace {
            was_settled: present.is_some_and(pace::work_is_settled),
            is_settled: pace::work_is_settled(&status),
            urgent: pace::work_is_urgent(present, &status),
            ..Pace::default()
        },
    );
    if !wait.is_zero() {
        return Ok(Action::Requeue(wait));
    }
    write::replace_status(
        &works_api(&context.world, work),
        &context.world.works,
        work,
        (present, Some(&status)),
    )
    .await
    .map_err(|source| Error::PatchStatus {
        work: key.clone(),
        source,
    })?;
    context.pacer.written(&key);
    Ok(Action::AwaitChange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operations_that_were_tried_have_an_outcome() {
        let mut interpreted = Interpreted::default();
        assert!(interpreted.outcomes().is_empty());
        interpreted.retain.failed("no".to_owned());
        interpreted.health.tried();
        let expected = Outcomes::from([
            (InterpreterOperation::Retain, Some("no".to_owned())),
            (InterpreterOperation::InterpretHealth, None),
        ]);
        assert_eq!(interpreted.outcomes(), expected);
        // What was tried on one object and failed on another has failed.
        interpreted.retain.tried();
        assert_eq!(interpreted.outcomes(), expected);
    }
}

//! What a Work says about its delivery and about the objects in the member: one write per pass, and only if it changes.

use crds::{
    conditions::{self, status::TRUE, work as texts},
    object::Key,
    reasons,
    work::{ResourceHealth, Work, WorkStatus},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use propagation::{
    events,
    execution::{self, conditions as built},
    pace::{self, Pace},
};
use runtime::Action;
use serde_json::Value;

use super::{
    Context, Error, MemberRef,
    apply::{Applied, ManifestError},
    observe::place,
    works_api,
};
use crate::write;

/// Reports a pass that applied the manifests.
pub(super) async fn applied(
    context: &Context,
    work: &Work,
    manifests: &[Value],
    outcomes: &[Result<Applied, ManifestError>],
) -> Result<Action, Error> {
    let errors: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| Some(outcome.as_ref().err()?.to_string()))
        .collect();
    let now = Time(jiff::Timestamp::now());
    let mut status = work.status.clone().unwrap_or_default();
    set_dispatching(context, work, &mut status, false, &now);

    let recreated = outcomes.iter().flatten().any(|outcome| outcome.created)
        && conditions::is_true(&status.conditions, texts::APPLIED)
        && !status.manifest_statuses.is_empty();
    let condition = if recreated && errors.is_empty() {
        built::recreated(None, work.metadata.generation)
    } else if is_marks_alone(outcomes) {
        built::mark_removed(built::joined(&errors), work.metadata.generation)
    } else {
        built::applied(manifests.len(), &errors, work.metadata.generation)
    };
    if !says_the_same(&status.conditions, &condition, outcomes) {
        conditions::set_condition(&mut status.conditions, condition, &now);
    }
    for (ordinal, outcome) in outcomes.iter().enumerate() {
        if let Ok(applied) = outcome {
            reflect(
                context,
                work,
                &mut status,
                manifests,
                ordinal,
                &applied.object,
            );
        }
    }
    patch(context, work, status).await
}

/// Whether nothing failed but that objects lost our mark.
fn is_marks_alone(outcomes: &[Result<Applied, ManifestError>]) -> bool {
    let mut errors = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .peekable();
    errors.peek().is_some() && errors.all(|error| matches!(error, ManifestError::MarkRemoved(_)))
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
                reflect(context, work, &mut status, &manifests, ordinal, &object);
            }
        }
    }
    patch(context, work, status).await
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

/// Puts state and health of one object into the status.
fn reflect(
    context: &Context,
    work: &Work,
    status: &mut WorkStatus,
    manifests: &[Value],
    ordinal: usize,
    object: &Value,
) {
    let (kind, key) = (crds::object::kind(object), Key::of(object));
    let warn = |reason, text| context.events.warning(write::reference(work), reason, text);
    let reflected = match context.world.interpreter.reflect_status(object) {
        Ok(reflected) => reflected,
        Err(error) => {
            warn(
                reasons::REFLECT_STATUS_FAILED,
                events::reflect_status_failed(kind, &key, &error.to_string()),
            );
            return;
        }
    };
    let health = match context.world.interpreter.health(object) {
        Ok(health) => health.unwrap_or(ResourceHealth::Healthy),
        Err(error) => {
            warn(
                reasons::INTERPRET_HEALTH_FAILED,
                events::interpret_health_failed(kind, &key, &error.to_string()),
            );
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
    let mut reported = work.clone();
    reported.status = Some(status);
    write::update_status(
        &works_api(&context.world, work),
        &context.world.works,
        work,
        &reported,
    )
    .await
    .map_err(|source| Error::PatchStatus {
        work: key.clone(),
        source,
    })?;
    context.pacer.written(&key);
    Ok(Action::AwaitChange)
}

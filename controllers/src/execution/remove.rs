//! Cleans the member after a Work that goes, then lets the Work go.

use std::time::Duration;

use crds::{
    cluster::Cluster,
    keys::finalizers::EXECUTION_CONTROLLER,
    object::Key,
    work::{ClusterResourceBinding, ResourceBinding, Work},
};
use interpreter::Target;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use propagation::execution::{self, DeletePlan, ReleasePlan};
use runtime::{Action, ApiError, error::call};
use serde_json::Value;
use trace::NoTrace;

use super::{
    Context, Error, MemberRef,
    apply::ManifestError,
    is_ready,
    metrics::{Request, UpdateResult},
    observe::{ObserveError, Place, place},
    works_api,
};
use crate::{
    binding,
    brake::{Fate, fate, is_left_behind},
    records::{Action as Asked, Outcome},
    write,
};

/// When a terminating Work is looked at again whose template's kind is not known.
const UNKNOWN: Duration = Duration::from_secs(10);

pub(super) async fn remove(
    context: &Context,
    work: &Work,
    name: &str,
    cluster: Option<&Cluster>,
) -> Result<Action, Error> {
    if !work
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == EXECUTION_CONTROLLER)
    {
        return Ok(Action::AwaitChange);
    }
    let leaving = cluster.is_none_or(|cluster| cluster.metadata.deletion_timestamp.is_some());
    let fate = fate(&context.world, &context.events, work, leaving)
        .await
        .map_err(|source| Error::Fate {
            work: Key::of_meta(&work.metadata),
            source,
        })?;
    let is_left_behind = leaving && cluster.is_some_and(is_left_behind);
    match context.world.members.member(name) {
        // A release wakes it.
        _ if fate == Fate::Held => return Ok(Action::AwaitChange),
        _ if fate == Fate::Unknown => return Ok(Action::Requeue(UNKNOWN)),
        _ if fate == Fate::Keep => note(context, work).await?,
        _ if is_left_behind => {}
        Some(member) if is_ready(cluster) => {
            let key = Key::of_meta(&work.metadata);
            for (ordinal, manifest) in execution::manifests(work).iter().enumerate() {
                let outcome = clean(context, work, manifest, &member).await;
                let answers = &context.world.answers;
                if let Err(error) = outcome {
                    let message = error.to_string();
                    let answer = Outcome::Failure(error.reason(), &message);
                    answers.keep(&key, ordinal, Asked::Delete, answer);
                    return Err(Error::Remove {
                        work: key,
                        cluster: name.into(),
                        message,
                    });
                }
                answers.keep(&key, ordinal, Asked::Delete, Outcome::Success);
            }
        }
        // A cluster that leaves the fleet and does not answer keeps its objects; leaving must not hang on it.
        _ if leaving && !is_ready(cluster) => {}
        // Its readiness, or its connection, wakes its Works.
        _ => return Ok(Action::AwaitChange),
    }
    write::remove_finalizer(
        &works_api(&context.world, work),
        &context.world.works,
        work,
        EXECUTION_CONTROLLER,
    )
    .await
    .map_err(|source| Error::Release {
        work: Key::of_meta(&work.metadata),
        source,
    })?;
    Ok(Action::AwaitChange)
}

/// The objects stay for the Work that is made next. Whether it is still wanted then is not known yet.
async fn note(context: &Context, work: &Work) -> Result<(), Error> {
    let noted = async {
        binding::note::<ResourceBinding>(&context.world, work).await?;
        binding::note::<ClusterResourceBinding>(&context.world, work).await
    };
    noted.await.map_err(|source| Error::Note {
        work: Key::of_meta(&work.metadata),
        source,
    })
}

async fn clean(
    context: &Context,
    work: &Work,
    manifest: &Value,
    member: MemberRef<'_>,
) -> Result<(), ManifestError> {
    let place = match place(context, member, manifest).await {
        // Where the kind is not served there are no objects of it, provided that the member told everything it serves.
        Err(ObserveError::NoKind { complete: true, .. }) => return Ok(()),
        found => found?,
    };
    let key = Key::of_meta(&work.metadata);
    // Read live: a deletion is decided on what the member has, not on what we last heard of it.
    let observed = place.live().await?;
    if work.spec.preserve_resources_on_deletion == Some(true) {
        return release(
            context,
            (manifest, &member.name),
            &key,
            &place,
            observed.as_ref(),
        )
        .await;
    }
    if let DeletePlan::Delete {
        uid,
        resource_version,
    } = execution::delete_plan(&key, observed.as_ref(), &mut NoTrace)
    {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid,
                resource_version,
            }),
            ..DeleteParams::background()
        };
        let reply = call(place.api.delete(&place.key.name, &params)).await;
        let gone = reply.as_ref().is_err_and(ApiError::is_not_found);
        context.metrics.asked(
            manifest,
            &member.name,
            Request::Delete,
            gone || reply.is_ok(),
        );
        if !gone {
            reply?;
        }
    }
    Ok(())
}

/// Leaves the object behind without our marks. Where the member refuses the rest of the Work's content, the marks alone go: nothing may
/// keep a Work from letting go.
async fn release(
    context: &Context,
    (manifest, cluster): (&Value, &str),
    work: &Key,
    place: &Place,
    observed: Option<&Value>,
) -> Result<(), ManifestError> {
    let interpreter = context
        .world
        .interpreter
        .retaining(Target::of(manifest), || {
            execution::release_retention(manifest, observed?)
        });
    let interpreter = interpreter.await;
    let plan = execution::release_plan(manifest, work, observed, &interpreter, &mut NoTrace);
    let wanted = match plan {
        Ok(ReleasePlan::Done { .. }) => return Ok(()),
        Ok(ReleasePlan::Update(object)) => Some(serde_json::from_value::<DynamicObject>(object)?),
        Ok(ReleasePlan::Unmark) | Err(_) => None,
    };
    let name = &place.key.name;
    let count = |reply: &Result<DynamicObject, ApiError>| {
        let version = observed.and_then(|it| it.pointer("/metadata/resourceVersion")?.as_str());
        let request = Request::Update(UpdateResult::of(version, reply.as_ref().ok()));
        let metrics = &context.metrics;
        metrics.asked(manifest, cluster, request, reply.is_ok());
    };
    if let Some(object) = wanted {
        let reply = call(place.api.replace(name, &PostParams::default(), &object)).await;
        count(&reply);
        match reply {
            Err(error) if error.is_refusal() => {}
            Err(error) if error.is_not_found() => return Ok(()),
            replaced => return replaced.map(drop).map_err(Into::into),
        }
    }
    let Some(patch) = observed.and_then(execution::unmark) else {
        return Ok(());
    };
    let params = PatchParams::default();
    let reply = call(place.api.patch(name, &params, &Patch::Merge(&patch))).await;
    count(&reply);
    reply.map(drop).map_err(Into::into)
}

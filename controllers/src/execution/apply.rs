//! Brings the member objects of a Work to what its manifests say.

use crds::{cluster::Cluster, object::Key, reasons, work::Work};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DynamicObject, PostParams};
use propagation::{
    events,
    execution::{self, Plan, PlanError},
};
use runtime::{Action, ApiError, error::call};
use serde_json::Value;
use std::time::Duration;
use trace::NoTrace;

use super::{
    Context, Error, MemberRef,
    observe::{ObserveError, Place, place},
    status,
};
use crate::{world::to_value, write};

/// When a Work is looked at again whose kinds are being listed for the first time.
const PENDING: Duration = Duration::from_secs(4);

/// How often a write that lost a race is decided anew within one pass.
const RACES: usize = 5;

/// Why a manifest is not in the member.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the manifest is not an object: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// What came of one manifest.
pub(super) struct Applied {
    /// The object as the member has it now.
    pub(super) object: Value,
    pub(super) created: bool,
    pub(super) written: bool,
}

pub(super) async fn apply(
    context: &Context,
    work: &Work,
    cluster: &Cluster,
    member: MemberRef<'_>,
) -> Result<Action, Error> {
    let manifests = execution::manifests(work);
    let mut places = Vec::new();
    for manifest in &manifests {
        let found = place(context, member, manifest).await;
        if found.as_ref().is_ok_and(Place::is_pending) {
            return Ok(Action::Requeue(PENDING));
        }
        places.push(found);
    }
    let mut outcomes = Vec::new();
    for (manifest, found) in manifests.iter().zip(places) {
        let outcome = match found {
            Ok(place) => apply_one(context, manifest, &place, &member.name).await,
            Err(error) => Err(error.into()),
        };
        report(context, work, manifest, &member.name, &outcome);
        outcomes.push(outcome);
    }
    status::applied(context, work, &manifests, &outcomes).await?;
    let errors: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| Some(outcome.as_ref().err()?.to_string()))
        .collect();
    if errors.is_empty() {
        return Ok(Action::AwaitChange);
    }
    Err(Error::Apply {
        work: Key::of_meta(&work.metadata),
        cluster: cluster.metadata.name.clone().unwrap_or_default(),
        message: execution::conditions::joined(&errors),
    })
}

async fn apply_one(
    context: &Context,
    manifest: &Value,
    place: &Place,
    cluster: &str,
) -> Result<Applied, ManifestError> {
    let mut observed = place.observed().await?;
    for _ in 0..RACES {
        match try_apply(context, manifest, observed, place, cluster).await {
            // The store was behind, the member's own controllers wrote first, or the object is not ours and therefore in no
            // store: decide again on what is there now.
            Err(ManifestError::Api(error)) if error.is_already_exists() || error.is_conflict() => {
                observed = place.live().await?;
            }
            outcome => return outcome,
        }
    }
    try_apply(context, manifest, observed, place, cluster).await
}

async fn try_apply(
    context: &Context,
    manifest: &Value,
    observed: Option<Value>,
    place: &Place,
    cluster: &str,
) -> Result<Applied, ManifestError> {
    let plan = execution::plan(
        manifest,
        observed.as_ref(),
        cluster,
        &context.world.interpreter,
        &mut NoTrace,
    )?;
    let (created, reply) = match plan {
        Plan::Unchanged => {
            return Ok(Applied {
                object: observed.unwrap_or_default(),
                created: false,
                written: false,
            });
        }
        Plan::Create(object) => {
            let object: DynamicObject = serde_json::from_value(object)?;
            (
                true,
                call(place.api.create(&PostParams::default(), &object)).await?,
            )
        }
        Plan::Update { object, .. } => {
            let object: DynamicObject = serde_json::from_value(object)?;
            (
                false,
                call(
                    place
                        .api
                        .replace(&place.key.name, &PostParams::default(), &object),
                )
                .await?,
            )
        }
    };
    let mut reply = place.typed(reply);
    reply.metadata.managed_fields = None;
    let object = to_value(&reply);
    place.store.observe_reply(reply);
    Ok(Applied {
        object,
        created,
        written: true,
    })
}

/// Tells Work and template of a failure, and the template of its first arrival in a cluster.
fn report(
    context: &Context,
    work: &Work,
    manifest: &Value,
    cluster: &str,
    outcome: &Result<Applied, ManifestError>,
) {
    let template = template_of(manifest);
    let key = Key::of(manifest);
    match outcome {
        Ok(applied) if applied.created => {
            context.events.normal(
                template,
                reasons::SYNC_SUCCEED,
                events::sync_template_succeed(&key, cluster),
            );
        }
        Ok(_) => {}
        Err(error) => {
            let error = error.to_string();
            let of_work =
                events::sync_work_to_cluster_failed(&Key::of_meta(&work.metadata), cluster, &error);
            context
                .events
                .warning(write::reference(work), reasons::SYNC_FAILED, of_work);
            context.events.warning(
                template,
                reasons::SYNC_FAILED,
                events::sync_template_failed(&key, cluster, &error),
            );
        }
    }
}

/// A reference to the template that a manifest was rendered from.
fn template_of(manifest: &Value) -> ObjectReference {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ObjectReference {
        api_version: text(crds::object::api_version(manifest)),
        kind: text(crds::object::kind(manifest)),
        name: text(crds::object::name(manifest)),
        namespace: crds::object::namespace(manifest).map(ToOwned::to_owned),
        uid: crds::object::annotation(manifest, crds::keys::TEMPLATE_UID).and_then(text),
        ..ObjectReference::default()
    }
}

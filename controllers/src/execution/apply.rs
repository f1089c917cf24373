//! Brings the member objects of a Work to what its manifests say.

use crds::{cluster::Cluster, object::Key, reasons, work::Work};
use interpreter::{LayerName, Target};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use propagation::{
    events,
    execution::{self, Plan, PlanError},
};
use runtime::{Action, ApiError, error::call};
use serde_json::Value;
use std::time::{Duration, Instant};
use trace::NoTrace;

use super::{
    Context, Error, MemberRef,
    compared::Print,
    is_applied, is_carried_out, is_recreating,
    metrics::{Request, UpdateResult},
    observe::{ObserveError, Place, place},
    status::{self, Interpreted},
};
use crate::{
    records::{Action as Asked, Outcome},
    world::to_value,
    write,
};

/// Whose fields the applied ones are, where server-side apply is asked for.
const FIELD_MANAGER: &str = "navarch";

/// When a Work is looked at again whose kinds are being listed for the first time.
const PENDING: Duration = Duration::from_secs(4);

/// How often a write that lost a race is decided anew within one pass.
const RACES: usize = 5;

/// So many passes in a row may fail for a passing reason, such as a namespace that is on its way, before anybody is told.
const QUIET: u32 = 3;

/// When a Work is looked at again that the member refuses; a change of the Work or in the member comes first.
const REFUSED: Duration = Duration::from_mins(5);

/// The same for a Work whose object is not ours, which no watch shows.
const IN_CONFLICT: Duration = Duration::from_secs(30);

/// Why a manifest is not in the member.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{0}")]
    MarkRemoved(String),
    #[error("{message}; {remedy}")]
    Refused { message: String, remedy: String },
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the manifest is not an object: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The object had been there, vanished in the member, and could not be created again.
    #[error(transparent)]
    Recreate(Box<ManifestError>),
}

impl ManifestError {
    /// Says what the member's answer means.
    fn explained(self, cluster: &str) -> Self {
        let error = match self {
            Self::Recreate(error) => return Self::Recreate(Box::new(error.explained(cluster))),
            Self::Api(ref error) => error,
            _ => return self,
        };
        let refusal = write::refusal(error, &format!("cluster {cluster}"));
        match refusal.remedy {
            Some(remedy) if refusal.is_lasting => Self::Refused {
                message: error.to_string(),
                remedy,
            },
            _ => self,
        }
    }

    /// When to try again what most likely only a change of an input ends; `None` for what passes by itself.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::MarkRemoved(_) => Some(IN_CONFLICT),
            Self::Plan(error) if error.is_conflict() => Some(IN_CONFLICT),
            Self::Observe(ObserveError::NoKind { complete, .. }) => complete.then_some(IN_CONFLICT),
            // A webhook may answer the next time.
            Self::Plan(PlanError::Retain(error)) if error.layer == LayerName::Webhook => None,
            Self::Plan(_) | Self::Refused { .. } | Self::Malformed(_) => Some(REFUSED),
            Self::Observe(ObserveError::Api(_)) | Self::Api(_) => None,
            Self::Recreate(error) => error.retry_after(),
        }
    }

    /// Whether somebody else wrote first, so that the plan has to be made anew.
    fn is_lost_race(&self) -> bool {
        match self {
            Self::Api(error) => error.is_already_exists() || error.is_conflict(),
            Self::Recreate(error) => error.is_lost_race(),
            _ => false,
        }
    }

    /// Whether a rule failed, whose author is to know at once.
    fn is_of_a_rule(&self) -> bool {
        matches!(self, Self::Plan(PlanError::Retain(_)))
    }

    /// A word from a bounded set.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Plan(_) | Self::MarkRemoved(_) | Self::Refused { .. } => "Refused",
            Self::Observe(ObserveError::NoKind { .. }) => "NoKind",
            Self::Observe(ObserveError::Api(error)) | Self::Api(error) => error.reason(),
            Self::Malformed(_) => "Malformed",
            Self::Recreate(error) => error.reason(),
        }
    }
}

/// What came of one manifest.
pub(super) struct Applied {
    /// The object as the member has it now.
    pub(super) object: Value,
    pub(super) created: bool,
    pub(super) written: bool,
}

impl Applied {
    fn unchanged(observed: Option<Value>) -> Self {
        Self {
            object: observed.unwrap_or_default(),
            created: false,
            written: false,
        }
    }
}

pub(super) async fn apply(
    context: &Context,
    work: &Work,
    cluster: &Cluster,
    member: MemberRef<'_>,
    failures: u32,
) -> Result<Action, Error> {
    let started = Instant::now();
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
    let key = Key::of_meta(&work.metadata);
    for (ordinal, (manifest, found)) in manifests.iter().zip(places).enumerate() {
        let outcome = match found {
            Ok(place) => apply_one(context, work, (ordinal, manifest), &place, &member.name)
                .await
                .map_err(|error| error.explained(&member.name)),
            Err(error) => Err(error.into()),
        };
        remember(context, &key, ordinal, &outcome);
        outcomes.push(outcome);
    }
    let errors: Vec<&ManifestError> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .collect();
    context.metrics.synced(errors.is_empty(), started.elapsed());
    let waits: Option<Vec<Duration>> = errors.iter().map(|error| error.retry_after()).collect();
    // A passing failure is worth a word only when it lasts.
    let is_quiet =
        waits.is_none() && failures < QUIET && !errors.iter().any(|error| error.is_of_a_rule());
    let mut next = Action::AwaitChange;
    let mut interpreted = Interpreted::default();
    if !is_quiet {
        for (manifest, outcome) in manifests.iter().zip(&outcomes) {
            report(context, work, manifest, &member.name, outcome);
        }
        (next, interpreted) = status::applied(context, work, &manifests, &outcomes).await?;
    }
    if errors.is_empty() {
        return interpreted.into_result(work, next);
    }
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(Error::Apply {
        work: Key::of_meta(&work.metadata),
        cluster: cluster.metadata.name.clone().unwrap_or_default(),
        message: execution::conditions::joined(&texts),
        retry_after: waits.and_then(|waits| waits.into_iter().min()),
    })
}

async fn apply_one(
    context: &Context,
    work: &Work,
    (ordinal, manifest): (usize, &Value),
    place: &Place,
    cluster: &str,
) -> Result<Applied, ManifestError> {
    let mut observed = place.observed().await?;
    let rules = &context.world.interpreter;
    let print = match &observed {
        Some(observed) if rules.retains_by_itself(Target::of(manifest)).await => {
            Some(Print::of(work, ordinal, observed))
        }
        _ => None,
    };
    if print.is_some_and(|print| context.compared.is_equal(print)) {
        return Ok(Applied::unchanged(observed));
    }
    for _ in 0..RACES {
        match try_apply(context, work, manifest, observed, place, cluster).await {
            // The store was behind, the member's own controllers wrote first, or the object is not ours and therefore in no
            // store: decide again on what is there now.
            Err(error) if error.is_lost_race() => {
                observed = place.live().await?;
            }
            Ok(applied) => {
                if let Some(print) = print.filter(|_| !applied.written) {
                    // A later object, read live in between, has another print.
                    if print == Print::of(work, ordinal, &applied.object) {
                        context.compared.found_equal(print);
                    }
                }
                return Ok(applied);
            }
            outcome => return outcome,
        }
    }
    try_apply(context, work, manifest, observed, place, cluster).await
}

async fn try_apply(
    context: &Context,
    work: &Work,
    manifest: &Value,
    observed: Option<Value>,
    place: &Place,
    cluster: &str,
) -> Result<Applied, ManifestError> {
    let interpreter = context
        .world
        .interpreter
        .retaining(Target::of(manifest), || {
            execution::retention(manifest, observed.as_ref()?)
        });
    let interpreter = interpreter.await;
    let plan = execution::plan(
        manifest,
        observed.as_ref(),
        cluster,
        &interpreter,
        &mut NoTrace,
    )
    .map_err(|error| match &observed {
        Some(observed)
            if error.is_conflict()
                && execution::lost_mark(observed, &Key::of_meta(&work.metadata)) =>
        {
            ManifestError::MarkRemoved(execution::conditions::mark_removed_message(
                cluster, observed,
            ))
        }
        _ => error.into(),
    })?;
    let version = observed
        .as_ref()
        .and_then(|it| it.pointer("/metadata/resourceVersion")?.as_str())
        .map(ToOwned::to_owned);
    let (api, name, params) = (&place.api, &place.key.name, PostParams::default());
    let reply = match plan {
        Plan::Unchanged => {
            if !is_carried_out(work) {
                context
                    .metrics
                    .asked(manifest, cluster, Request::Update(UpdateResult::None), true);
            }
            return Ok(Applied::unchanged(observed));
        }
        Plan::Create(object) => {
            let object: DynamicObject = serde_json::from_value(object)?;
            call(api.create(&params, &object)).await
        }
        Plan::Update { object, fields, .. } => {
            tracing::debug!(?fields, cluster, "Object differs from its manifest");
            let object: DynamicObject = serde_json::from_value(object)?;
            call(api.replace(name, &params, &object)).await
        }
        Plan::Apply {
            object,
            force,
            fields,
            ..
        } => {
            tracing::debug!(?fields, cluster, "Applying the manifest");
            let params = PatchParams {
                force,
                ..PatchParams::apply(FIELD_MANAGER)
            };
            call(api.patch(name, &params, &Patch::Apply(&object))).await
        }
    };
    let created = version.is_none();
    let recreate = created && (is_applied(work) || is_recreating(work));
    let request = if created {
        Request::Create { recreate }
    } else {
        Request::Update(UpdateResult::of(version.as_deref(), reply.as_ref().ok()))
    };
    context
        .metrics
        .asked(manifest, cluster, request, reply.is_ok());
    let reply = reply.map_err(|error| match ManifestError::from(error) {
        error if recreate => ManifestError::Recreate(Box::new(error)),
        error => error,
    })?;
    // Some differences are none to the API server, such as `1000m` and `1`.
    let written = created || reply.metadata.resource_version != version;
    let mut reply = place.typed(reply);
    reply.metadata.managed_fields = None;
    let object = to_value(&reply);
    place.store.observe_reply(reply);
    Ok(Applied {
        object,
        created,
        written,
    })
}

/// Tells Work and template of a failure, and the template of its end.
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
        Ok(applied) if applied.written => {
            context.events.recovery(
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

/// Keeps what the member answered, for whoever asks.
fn remember(
    context: &Context,
    work: &Key,
    ordinal: usize,
    outcome: &Result<Applied, ManifestError>,
) {
    let answers = &context.world.answers;
    match outcome {
        Ok(applied) => {
            let action = match (applied.created, applied.written) {
                (true, _) => Asked::Create,
                (false, true) => Asked::Update,
                (false, false) => Asked::Compare,
            };
            answers.keep(work, ordinal, action, Outcome::Success);
        }
        Err(error) => {
            let message = error.to_string();
            let outcome = Outcome::Failure(error.reason(), &message);
            answers.keep(work, ordinal, Asked::Apply, outcome);
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

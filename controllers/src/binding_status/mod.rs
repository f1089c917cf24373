//! Works -> status of the binding -> status of the template.
//!
//! reads   bindings, Works, templates
//! writes  `status.aggregatedStatus` and condition `FullyApplied` of bindings, status of templates
//! woken by  Work status, Works that go, bindings that were scheduled or whose template changed

use std::{sync::Arc, time::Duration};

use crds::{config::InterpreterOperation, object::Key, reasons, work::Binding};
use futures::future::BoxFuture;
use interpreter::LayerName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use propagation::{
    diff, events,
    pace::{self, Pace},
    status,
};
use runtime::{
    Action, ApiError, Change, Queue, controller::ReconcileError, error::call, events::Source,
    queue::Priority,
};
use serde_json::json;
use trace::NoTrace;

use crate::{
    interpretation::{bindings_of, report},
    pace::Pacer,
    world::{Bindings, World, binding_of, dynamic_api, template_of, to_value},
    write,
};

/// The members of a binding report within moments of each other; this long their reports are gathered into one write.
const GATHER: Duration = Duration::from_millis(40);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("aggregate status of binding {binding}: {source}")]
    Aggregate {
        binding: Key,
        source: status::AggregateError,
    },
    #[error("patch status of binding {binding}")]
    PatchBinding { binding: Key, source: ApiError },
    #[error("interpret status of the template of binding {binding}: {source}")]
    Interpret {
        binding: Key,
        source: interpreter::Error,
    },
    #[error("read template of binding {binding}")]
    ReadTemplate { binding: Key, source: ApiError },
    #[error("patch status of the template of binding {binding}")]
    PatchTemplate { binding: Key, source: ApiError },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Aggregate { .. } => "AggregateFailed",
            Self::PatchBinding { .. } => "PatchBindingFailed",
            Self::Interpret { .. } => "InterpretFailed",
            Self::ReadTemplate { .. } => "ReadTemplateFailed",
            Self::PatchTemplate { .. } => "PatchTemplateFailed",
        }
    }

    fn is_terminal(&self) -> bool {
        // A webhook may answer the next time, and a script may have missed its deadline on a busy machine.
        matches!(self, Self::Interpret { source, .. } if source.layer == LayerName::Native)
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::PatchBinding { source, .. } | Self::PatchTemplate { source, .. } => {
                source.is_conflict() || source.is_not_found()
            }
            _ => false,
        }
    }
}

struct Context {
    world: Arc<World>,
    events: Arc<Source>,
    pacer: Pacer,
}

/// Subscribes to the stores; the future runs the workers.
pub fn prepare<B: Bindings>(world: &Arc<World>, workers: usize) -> BoxFuture<'static, ()> {
    let name = if B::IS_NAMESPACED {
        "resource-binding-status-controller"
    } else {
        "cluster-resource-binding-status-controller"
    };
    let queue = Queue::new();
    let context = Arc::new(Context {
        world: Arc::clone(world),
        events: Source::new(&world.recorder, name),
        pacer: Pacer::default(),
    });
    subscribe::<B>(&context, &queue);
    let controller = world.controller(name, queue, workers);
    let stop = world.stop.clone();
    Box::pin(controller.run(
        move |key: Key| {
            let context = Arc::clone(&context);
            async move { reconcile::<B>(&context, &key).await }
        },
        stop,
    ))
}

fn subscribe<B: Bindings>(context: &Arc<Context>, queue: &Arc<Queue<Key>>) {
    let world = &context.world;
    let to = Arc::clone(queue);
    B::store(world).subscribe(move |change| match change {
        Change::Added { new, initial: true } => to.add_with(Binding::key(&***new), Priority::Low),
        Change::Updated { old, new }
            if old.meta().generation != new.meta().generation
                || is_scheduled(&***old) != is_scheduled(&***new) =>
        {
            to.add_after(Binding::key(&***new), GATHER);
        }
        _ => {}
    });
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(context));
    world.works.subscribe(move |change| {
        let concerns = match change {
            Change::Added { initial, .. } => !initial,
            Change::Updated { old, new } => {
                old.status != new.status
                    || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
            }
            Change::Deleted { .. } => true,
        };
        if concerns
            && let Some(key) = binding_of::<B>(change.object())
            && let Some(context) = weak.upgrade()
        {
            to.add_after(key, context.pacer.gathering(GATHER));
        }
    });
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.interpreter.on_change(move |kinds| {
        let Some(world) = weak.upgrade() else { return };
        for key in bindings_of::<B>(&world, kinds) {
            to.add_with(key, Priority::Low);
        }
    });
}

/// Whether there is anything to say yet: a binding that was never placed says only why, and that is the scheduler's part.
fn is_scheduled<B: Binding>(binding: &B) -> bool {
    binding
        .status()
        .is_some_and(|status| status.last_scheduled_time.is_some())
        || !binding.spec().required_by.is_empty()
}

async fn reconcile<B: Bindings>(context: &Context, key: &Key) -> Result<Action, Error> {
    let world = &context.world;
    let Some(binding) = B::store(world).get(key) else {
        return Ok(Action::AwaitChange);
    };
    if binding.meta().deletion_timestamp.is_some() || !is_scheduled(&*binding) {
        return Ok(Action::AwaitChange);
    }
    let works = binding.permanent_id().map_or_else(Vec::new, |id| {
        world.works.by_index(world.works_by_binding, id)
    });
    let now = Time(jiff::Timestamp::now());
    let refreshed = status::refresh(
        &*binding,
        works.iter().map(AsRef::as_ref),
        &now,
        &mut NoTrace,
    )
    .map_err(|source| {
        context.events.warning(
            write::reference(&*binding),
            reasons::AGGREGATE_STATUS_FAILED,
            source.to_string(),
        );
        Error::Aggregate {
            binding: key.clone(),
            source,
        }
    })?;
    let Some(refreshed) = &refreshed else {
        context.pacer.settled(key);
        report_to_template(context, &*binding).await?;
        return Ok(Action::AwaitChange);
    };
    let wait = context.pacer.wait(
        key,
        Pace {
            was_settled: pace::binding_is_settled(&*binding),
            is_settled: pace::binding_is_settled(refreshed)
                && pace::works_are_current(works.iter().map(AsRef::as_ref)),
            urgent: pace::binding_is_urgent(&*binding, refreshed),
            is_silent: pace::works_are_silent(works.iter().map(AsRef::as_ref)),
            ..Pace::default()
        },
    );
    if !wait.is_zero() {
        return Ok(Action::Requeue(wait));
    }
    let api = B::api(world, key.namespace.as_deref());
    let to_binding = async {
        let status = (binding.status(), refreshed.status());
        write::replace_status(&api, B::store(world), &*binding, status)
            .await
            .map_err(|source| Error::PatchBinding {
                binding: key.clone(),
                source,
            })
    };
    // Neither needs the other, and whoever waits for the template's status waits for one request only.
    tokio::try_join!(to_binding, report_to_template(context, refreshed))?;
    context.pacer.written(key);
    Ok(Action::AwaitChange)
}

/// Writes what the members report together into the status of the template, for kinds that say how.
async fn report_to_template<B: Bindings>(context: &Context, binding: &B) -> Result<(), Error> {
    let world = &context.world;
    let key = Binding::key(binding);
    let resource = &binding.spec().resource;
    let items = binding
        .status()
        .map_or(&[][..], |status| &status.aggregated_status);
    let (gvk, template_key) = template_of(resource);
    let template = world
        .template(&gvk, &template_key)
        .await
        .map_err(|source| Error::ReadTemplate {
            binding: key.clone(),
            source,
        })?;
    let Some(template) = template.filter(|template| template.metadata.uid == resource.uid) else {
        return Ok(());
    };
    let value = to_value(&template);
    let aggregated = world
        .interpreter
        .aggregate_status(value.clone(), items)
        .await;
    let error = aggregated.as_ref().err().map(ToString::to_string);
    if let Some(error) = &error {
        context.events.warning(
            write::template_reference(resource),
            reasons::AGGREGATE_STATUS_FAILED,
            error.clone(),
        );
    }
    let outcome = report::outcome(InterpreterOperation::AggregateStatus, error);
    report::write(world, binding, &outcome)
        .await
        .map_err(|source| Error::PatchBinding {
            binding: key.clone(),
            source,
        })?;
    let aggregated = aggregated.map_err(|source| Error::Interpret {
        binding: key.clone(),
        source,
    })?;
    let Some(status) = aggregated
        .as_ref()
        .and_then(|aggregated| status::template_status(&value, aggregated, items))
    else {
        return Ok(());
    };
    let before = value.get("status").cloned().unwrap_or_else(|| json!({}));
    let difference = if status.is_null() {
        Some(json!(null))
    } else {
        diff::merge_patch(&before, status)
    };
    let Some(difference) = difference else {
        return Ok(());
    };
    let Some(served) = world.mapper.resolve(&gvk) else {
        return Ok(());
    };
    let mut patch = json!({ "status": difference });
    if let Some(version) = &template.metadata.resource_version {
        patch["metadata"]["resourceVersion"] = version.clone().into();
    }
    let api = dynamic_api(world.client(), &served, template_key.namespace.as_deref());
    let reply = call(api.patch_status(
        &template_key.name,
        &PatchParams::default(),
        &Patch::Merge(&patch),
    ))
    .await
    .map_err(|source| {
        // A lost race is tried again and worth no word; a status that the API server will not have stays refused.
        if !source.is_conflict() && !source.is_not_found() {
            context.events.warning(
                write::template_reference(resource),
                reasons::AGGREGATE_STATUS_FAILED,
                format!("the status that the members' were summed up to is refused: {source}"),
            );
        }
        Error::PatchTemplate {
            binding: key,
            source,
        }
    })?;
    if let Some(store) = world.templates.store(&gvk) {
        store.observe_reply(reply);
    }
    context.events.recovery(
        write::template_reference(resource),
        reasons::AGGREGATE_STATUS_SUCCEED,
        events::AGGREGATE_TEMPLATE_STATUS_SUCCEED,
    );
    Ok(())
}

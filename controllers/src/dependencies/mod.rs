//! Bindings with `propagateDeps` -> bindings of what their templates need, attached to them by `spec.requiredBy`.
//!
//! reads   bindings, templates, what the interpreter says a template needs
//! writes  attached bindings; annotation `resourcebinding.karmada.io/dependencies` of independent ones
//! owns    finalizer `karmada.io/binding-dependencies-distributor`
//! woken by  bindings, and objects that the dependencies annotation of a binding refers to
//!
//! The binding of a workload is *independent*, that of something it needs is *attached*. Both kinds of binding can be either.

mod attached;
mod found;
mod wake;

use std::sync::Arc;

use crds::{
    config::InterpreterOperation,
    keys,
    object::Key,
    reasons,
    work::{Binding, ClusterResourceBinding, ResourceBinding},
};
use futures::future::BoxFuture;
use kube::ResourceExt;
use propagation::{dependencies, events};
use runtime::{Action, ApiError, Queue, controller::ReconcileError, events::Source};

use self::found::Found;
use crate::{
    interpretation::report,
    world::{Bindings, World, template_of, to_value},
    write,
};

const NAME: &str = "dependencies-distributor";

/// What the distributor can be told.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Gate `PropagateDeps`. Without it nothing is attached any more, what is attached stays, and bindings that are deleted are
    /// still let go of.
    pub enabled: bool,
    /// Bindings worked on at a time.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enabled: true,
            workers: 8,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read template of binding {binding}")]
    ReadTemplate { binding: Key, source: ApiError },
    #[error("ask for the dependencies of the template of binding {binding}")]
    Interpret {
        binding: Key,
        source: Box<interpreter::Error>,
    },
    #[error("record the dependencies of binding {binding}")]
    Record { binding: Key, source: ApiError },
    #[error("detach what binding {binding} does not need any more")]
    Detach { binding: Key, source: ApiError },
    #[error("let go of binding {binding}")]
    Release { binding: Key, source: ApiError },
    #[error("attach the dependencies of binding {binding}: {message}")]
    Attach {
        binding: Key,
        message: String,
        terminal: bool,
        conflict: bool,
    },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::ReadTemplate { .. } => "ReadTemplate",
            Self::Interpret { .. } => "InterpreterFailed",
            Self::Record { .. } => "RecordDependencies",
            Self::Detach { .. } => "Detach",
            Self::Release { .. } => "Release",
            Self::Attach { .. } => "Attach",
        }
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Self::Attach { terminal: true, .. })
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Record { source, .. }
            | Self::Detach { source, .. }
            | Self::Release { source, .. } => source.is_conflict() || source.is_not_found(),
            Self::Attach { conflict, .. } => *conflict,
            Self::ReadTemplate { .. } | Self::Interpret { .. } => false,
        }
    }
}

struct Context {
    world: Arc<World>,
    events: Arc<Source>,
    options: Options,
}

/// Subscribes to the stores; the future runs the workers.
pub fn prepare(world: &Arc<World>, options: Options) -> BoxFuture<'static, ()> {
    let queue = Queue::new();
    wake::subscribe(world, &queue);
    let controller = world.controller(NAME, queue, options.workers);
    let context = Arc::new(Context {
        world: Arc::clone(world),
        events: Source::new(&world.recorder, NAME),
        options,
    });
    let stop = world.stop.clone();
    Box::pin(controller.run(
        move |key: Key| {
            let context = Arc::clone(&context);
            async move {
                // The key of a `ClusterResourceBinding` has no namespace.
                if key.namespace.is_some() {
                    reconcile::<ResourceBinding>(&context, &key).await
                } else {
                    reconcile::<ClusterResourceBinding>(&context, &key).await
                }
            }
        },
        stop,
    ))
}

async fn reconcile<I: Bindings>(context: &Context, key: &Key) -> Result<Action, Error> {
    let world = &context.world;
    let Some(binding) = I::store(world).get(key) else {
        attached::detach_all(context, key).await?;
        return Ok(Action::AwaitChange);
    };
    if binding.meta().deletion_timestamp.is_some() {
        return let_go(context, &*binding).await;
    }
    if !context.options.enabled {
        return Ok(Action::AwaitChange);
    }
    if binding.spec().propagate_deps != Some(true) {
        return let_go(context, &*binding).await;
    }
    if binding.spec().clusters.is_empty() && !is_recorded(&*binding) {
        return Ok(Action::AwaitChange);
    }
    distribute(context, binding).await
}

/// Detaches everything and takes the finalizer off. The annotation stays, as a record.
async fn let_go<I: Bindings>(context: &Context, binding: &I) -> Result<Action, Error> {
    let world = &context.world;
    let key = Binding::key(binding);
    attached::detach_all(context, &key).await?;
    let api = I::api(world, key.namespace.as_deref());
    let finalizer = keys::finalizers::BINDING_DEPENDENCIES_DISTRIBUTOR;
    write::remove_finalizer(&api, I::store(world), binding, finalizer)
        .await
        .map_err(|source| Error::Release {
            binding: key,
            source,
        })?;
    Ok(Action::AwaitChange)
}

async fn distribute<I: Bindings>(context: &Context, binding: Arc<I>) -> Result<Action, Error> {
    let world = &context.world;
    let key = Binding::key(&*binding);
    let (gvk, template_key) = template_of(&binding.spec().resource);
    let template = world
        .template(&gvk, &template_key)
        .await
        .map_err(|source| Error::ReadTemplate {
            binding: key.clone(),
            source,
        })?;
    // Without a template, or with a later one of that name, the binding is about to go with its owner.
    let Some(template) =
        template.filter(|template| template.metadata.uid == binding.spec().resource.uid)
    else {
        return Ok(Action::AwaitChange);
    };
    let about_template = write::template_reference(&binding.spec().resource);
    let template = to_value(&template);
    let asked = world.interpreter.dependencies(&template).await;
    let error = asked.as_ref().err().map(ToString::to_string);
    let operation = InterpreterOperation::InterpretDependency;
    report::write(world, &*binding, &report::outcome(operation, error))
        .await
        .map_err(|source| Error::Record {
            binding: key.clone(),
            source,
        })?;
    let dependencies = match asked {
        Ok(dependencies) => dependencies,
        Err(source) => {
            context.events.warning(
                about_template,
                reasons::GET_DEPENDENCIES_FAILED,
                source.to_string(),
            );
            return Err(Error::Interpret {
                binding: key,
                source: Box::new(source),
            });
        }
    };
    if dependencies.is_empty()
        && !is_recorded(&*binding)
        && !world.interpreter.hook_enabled(&gvk, operation).await
    {
        return Ok(Action::AwaitChange);
    }

    let binding = I::store(world).get(&key).unwrap_or(binding);
    if record(world, &*binding, &dependencies).await? {
        context.events.normal(
            about_template,
            reasons::GET_DEPENDENCIES_SUCCEED,
            events::get_dependencies_succeed(&dependencies),
        );
    }
    let binding = I::store(world).get(&key).unwrap_or(binding);
    let detached = attached::detach_orphans(context, &key, &dependencies).await?;
    let found = Found::of(world, &dependencies).await;
    let outcome = attached::attach_all(context, &*binding, &found).await;
    report(context, &*binding, &outcome, detached);
    outcome?;
    // A kind that was not listed yet reports its objects when it is, but says nothing when there are none.
    Ok(if found.is_complete() {
        Action::AwaitChange
    } else {
        Action::Requeue(found::UNLISTED)
    })
}

/// Whether this reconciler has had to do with the binding.
fn is_recorded<I: Binding>(binding: &I) -> bool {
    let finalizer = keys::finalizers::BINDING_DEPENDENCIES_DISTRIBUTOR;
    binding.finalizers().iter().any(|it| it == finalizer)
}

/// Puts finalizer and annotation on the binding; returns whether the dependencies are other ones than before.
async fn record<I: Bindings>(
    world: &World,
    binding: &I,
    dependencies: &[crds::config::DependentObjectReference],
) -> Result<bool, Error> {
    let finalizer = keys::finalizers::BINDING_DEPENDENCIES_DISTRIBUTOR;
    let mut recorded = binding.clone();
    if !is_recorded(binding) {
        recorded.finalizers_mut().push(finalizer.to_owned());
    }
    let text = dependencies::annotation(dependencies);
    let before = recorded
        .annotations_mut()
        .insert(keys::DEPENDENCIES.to_owned(), text.clone());
    let key = Binding::key(binding);
    let api = I::api(world, key.namespace.as_deref());
    write::update(&api, I::store(world), binding, &recorded)
        .await
        .map_err(|source| Error::Record {
            binding: key,
            source,
        })?;
    Ok(before.as_deref() != Some(&*text))
}

/// Tells what came of the pass; success only when something was written.
fn report<I: Bindings>(
    context: &Context,
    binding: &I,
    outcome: &Result<bool, Error>,
    detached: bool,
) {
    let about = write::reference(binding);
    match outcome {
        Ok(attached) if *attached || detached => context.events.normal(
            about,
            reasons::SYNC_SCHEDULE_RESULT_TO_DEPENDENCIES_SUCCEED,
            events::SYNC_SCHEDULE_RESULT_TO_DEPENDENCIES_SUCCEED,
        ),
        Err(Error::Attach {
            message,
            conflict: false,
            ..
        }) => context.events.warning(
            about,
            reasons::SYNC_SCHEDULE_RESULT_TO_DEPENDENCIES_FAILED,
            message.clone(),
        ),
        _ => {}
    }
}

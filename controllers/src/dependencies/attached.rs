//! Writes of attached bindings.

use std::{collections::BTreeMap, sync::Arc};

use crds::{
    config::DependentObjectReference,
    names,
    object::Key,
    reasons,
    work::{
        Binding, BindingSnapshot, ClusterResourceBinding, ResourceBinding, ResourceBindingSpec,
    },
};
use kube::{ResourceExt, api::DynamicObject};
use propagation::{
    binding::UpsertError,
    dependencies::{self, Attach, Detach},
};
use runtime::ApiError;
use trace::NoTrace;

use super::{
    Context, Error,
    found::{self, Found},
};
use crate::{
    world::{Bindings, World, to_value},
    write,
};

/// Why one dependency could not be attached.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Find(#[from] found::Failure),
    #[error(transparent)]
    Upsert(#[from] UpsertError),
    #[error("{kind} {key} is being deleted")]
    Terminating { kind: &'static str, key: Key },
    #[error("write {kind} {key}: {source}")]
    Write {
        kind: &'static str,
        key: Key,
        source: ApiError,
    },
}

impl Failure {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Find(failure) => failure.is_terminal(),
            Self::Upsert(UpsertError::Collision(_)) => true,
            Self::Upsert(UpsertError::OwnerGone { .. })
            | Self::Terminating { .. }
            | Self::Write { .. } => false,
        }
    }

    /// Whether it passes by itself, and is not worth a word.
    fn is_transient(&self) -> bool {
        match self {
            Self::Upsert(UpsertError::OwnerGone { .. }) | Self::Terminating { .. } => true,
            Self::Write { source, .. } => {
                source.is_conflict() || source.is_already_exists() || source.is_not_found()
            }
            _ => false,
        }
    }
}

/// Attaches everything that was found; returns whether anything was written.
pub(super) async fn attach_all<I: Bindings>(
    context: &Context,
    independent: &I,
    found: &Found,
) -> Result<bool, Error> {
    let mut written = false;
    let mut failures: Vec<Failure> = Vec::new();
    for object in found.objects.iter().filter(|object| !is_collected(object)) {
        let outcome = if object.metadata.namespace.is_some() {
            attach::<ResourceBinding, I>(context, independent, object).await
        } else {
            attach::<ClusterResourceBinding, I>(context, independent, object).await
        };
        match outcome {
            Ok(wrote) => written |= wrote,
            Err(failure) => failures.push(failure),
        }
    }
    let texts: Vec<String> = found
        .failures
        .iter()
        .map(ToString::to_string)
        .chain(failures.iter().map(ToString::to_string))
        .collect();
    if texts.is_empty() {
        return Ok(written);
    }
    Err(Error::Attach {
        binding: Binding::key(independent),
        message: propagation::execution::conditions::joined(&texts),
        terminal: found.failures.iter().all(found::Failure::is_terminal)
            && failures.iter().all(Failure::is_terminal),
        conflict: found.failures.is_empty() && failures.iter().all(Failure::is_transient),
    })
}

/// Garbage collection waits for the attached binding to go; a new one would be collected in turn, for ever.
fn is_collected(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
        && object
            .finalizers()
            .iter()
            .any(|it| it == "foregroundDeletion" || it == "orphan")
}

async fn attach<A: Bindings, I: Bindings>(
    context: &Context,
    independent: &I,
    dependency: &DynamicObject,
) -> Result<bool, Failure> {
    let world = &context.world;
    let desired: A = dependencies::attached(&to_value(dependency), independent);
    let key = Binding::key(&desired);
    let (store, api) = (A::store(world), A::api(world, key.namespace.as_deref()));
    let existing = store.get(&key);
    if existing
        .as_ref()
        .is_some_and(|binding| binding.meta().deletion_timestamp.is_some())
    {
        let kind = <A as Binding>::KIND;
        return Err(Failure::Terminating { kind, key });
    }
    let mut dependents = Dependents::default();
    dependents.insert(Binding::key(independent), independent.spec().clone());
    if let Some(existing) = &existing {
        dependents.read(world, &existing.spec().required_by);
    }
    let fresh_id = uuid::Uuid::new_v4().to_string();
    let find = |key: &Key| dependents.0.get(key);
    let Attach { write, conflict } =
        dependencies::attach(existing.as_deref(), desired, find, &fresh_id)?;
    let Some(wanted) = write else {
        return Ok(false);
    };
    let failed = |source| Failure::Write {
        kind: <A as Binding>::KIND,
        key: key.clone(),
        source,
    };
    let about = match &existing {
        None => write::reference(&write::create(&api, store, &wanted).await.map_err(failed)?),
        Some(existing) => {
            write::update(&api, store, &**existing, &wanted)
                .await
                .map_err(failed)?;
            write::reference(&**existing)
        }
    };
    if let Some(text) = conflict {
        context
            .events
            .warning(about, reasons::DEPENDENCY_POLICY_CONFLICT, text);
    }
    Ok(true)
}

/// Detaches what no dependency refers to any more; returns whether anything was written.
pub(super) async fn detach_orphans(
    context: &Context,
    independent: &Key,
    dependencies: &[DependentObjectReference],
) -> Result<bool, Error> {
    let namespaced =
        detach_orphans_of::<ResourceBinding>(context, independent, dependencies).await?;
    let cluster =
        detach_orphans_of::<ClusterResourceBinding>(context, independent, dependencies).await?;
    Ok(namespaced || cluster)
}

async fn detach_orphans_of<A: Bindings>(
    context: &Context,
    independent: &Key,
    dependencies: &[DependentObjectReference],
) -> Result<bool, Error> {
    let world = &context.world;
    let mut detached = false;
    for attached in attached_to::<A>(world, independent) {
        let resource = &attached.spec().resource;
        let is_orphan = found::seen(world, resource, |seen| {
            dependencies::is_orphan(&*attached, dependencies, seen, &mut NoTrace)
        });
        if is_orphan.await {
            detached |= detach(context, &*attached, independent).await?;
        }
    }
    Ok(detached)
}

/// Takes a binding that goes, or that does not propagate its dependencies any more, off everything it was attached to.
pub(super) async fn detach_all(context: &Context, independent: &Key) -> Result<(), Error> {
    let world = &context.world;
    for attached in attached_to::<ResourceBinding>(world, independent) {
        detach(context, &*attached, independent).await?;
    }
    for attached in attached_to::<ClusterResourceBinding>(world, independent) {
        detach(context, &*attached, independent).await?;
    }
    Ok(())
}

/// The bindings that name the independent one, by snapshot or by label, whichever of the two is left.
fn attached_to<A: Bindings>(world: &World, independent: &Key) -> Vec<Arc<A>> {
    let label = names::depended_by_label(independent.namespace.as_deref(), &independent.name);
    let find = |value: &str| A::store(world).by_index(A::by_dependent(world), value);
    let mut found: BTreeMap<Key, Arc<A>> = BTreeMap::new();
    for binding in find(&independent.to_string())
        .into_iter()
        .chain(find(&label))
    {
        found.insert(Binding::key(&*binding), binding);
    }
    found.into_values().collect()
}

async fn detach<A: Bindings>(
    context: &Context,
    attached: &A,
    independent: &Key,
) -> Result<bool, Error> {
    let world = &context.world;
    if attached.meta().deletion_timestamp.is_some() {
        return Ok(false);
    }
    let mut dependents = Dependents::default();
    dependents.read(world, &attached.spec().required_by);
    let api = A::api(world, attached.namespace().as_deref());
    let written = match dependencies::detach(attached, independent, |key| dependents.0.get(key)) {
        Detach::Unchanged => Ok(false),
        Detach::Update { binding, conflict } => {
            let written = write::update(&api, A::store(world), attached, &*binding).await;
            // Those that are left may disagree without the one that settled it.
            if let (Ok(true), Some(text)) = (&written, conflict) {
                context.events.warning(
                    write::reference(attached),
                    reasons::DEPENDENCY_POLICY_CONFLICT,
                    text,
                );
            }
            written
        }
        Detach::Delete => write::delete_unchanged(&api, attached).await.map(|()| true),
    };
    match written {
        Err(error) if error.is_not_found() => Ok(false),
        written => written.map_err(|source| Error::Detach {
            binding: independent.clone(),
            source,
        }),
    }
}

/// The bindings that an attached one follows.
#[derive(Debug, Default)]
struct Dependents(BTreeMap<Key, ResourceBindingSpec>);

impl Dependents {
    fn insert(&mut self, key: Key, spec: ResourceBindingSpec) {
        self.0.insert(key, spec);
    }

    /// Reads those that exist.
    fn read(&mut self, world: &World, snapshots: &[BindingSnapshot]) {
        for snapshot in snapshots {
            let namespace = snapshot.namespace.as_deref().unwrap_or_default();
            let key = Key::new(namespace, &snapshot.name);
            if self.0.contains_key(&key) {
                continue;
            }
            let spec = if namespace.is_empty() {
                world
                    .cluster_bindings
                    .get(&key)
                    .map(|binding| binding.spec.clone())
            } else {
                world.bindings.get(&key).map(|binding| binding.spec.clone())
            };
            if let Some(spec) = spec {
                self.0.insert(key, spec);
            }
        }
    }
}

//! The objects that dependencies refer to, as far as they can be known now.

use std::{sync::Arc, time::Duration};

use crds::{
    config::DependentObjectReference,
    object::{Gvk, Key},
    work::ObjectReference,
};
use kube::api::DynamicObject;
use propagation::{
    dependencies::{Seen, refers_to},
    matching::Subject,
};
use runtime::{ApiError, discovery::Resource};

use crate::world::{World, template_of};

/// How long until a kind that was not listed yet is looked at again.
pub(super) const UNLISTED: Duration = Duration::from_secs(1);

/// Why a dependency could not be looked up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(
        "kind {kind} of {api_version} is not served by the control plane; install its CustomResourceDefinition or correct what names it"
    )]
    UnknownKind { api_version: String, kind: String },
    #[error(
        "a dependency of kind {kind} has neither a name nor a label selector; correct the interpreter customization that names it"
    )]
    Unspecific { kind: String },
    #[error("read {kind} {key}: {source}")]
    Read {
        kind: String,
        key: Key,
        source: ApiError,
    },
}

impl Failure {
    /// Whether trying again is of no use before something changes.
    pub(super) fn is_terminal(&self) -> bool {
        !matches!(self, Self::Read { .. })
    }
}

/// What a look at all dependencies found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) objects: Vec<Arc<DynamicObject>>,
    pub(super) failures: Vec<Failure>,
    unlisted: bool,
}

impl Found {
    /// Looks every dependency up; one that does not exist is no failure.
    pub(super) async fn of(world: &World, dependencies: &[DependentObjectReference]) -> Self {
        let mut found = Self::default();
        for reference in dependencies {
            if let Err(failure) = found.add(world, reference).await {
                found.failures.push(failure);
            }
        }
        found
    }

    /// Whether every kind that is selected by labels has been listed.
    pub(super) fn is_complete(&self) -> bool {
        !self.unlisted
    }

    async fn add(
        &mut self,
        world: &World,
        reference: &DependentObjectReference,
    ) -> Result<(), Failure> {
        let gvk = Gvk::parse(&reference.api_version, &reference.kind);
        let resource = served(world, &gvk)?;
        let namespace = reference
            .namespace
            .as_deref()
            .filter(|_| resource.namespaced);
        if let Some(name) = reference.name.as_deref().filter(|name| !name.is_empty()) {
            let key = Key::new(namespace.unwrap_or_default(), name);
            let object = world.template(&gvk, &key).await;
            let object = object.map_err(|source| Failure::Read {
                kind: gvk.kind.clone(),
                key,
                source,
            })?;
            self.objects.extend(object);
            return Ok(());
        }
        if reference.label_selector.is_none() {
            return Err(Failure::Unspecific {
                kind: gvk.kind.clone(),
            });
        }
        let Some(store) = world.templates.store(&gvk).filter(|it| it.is_synced()) else {
            self.unlisted = true;
            return Ok(());
        };
        let mut selected: Vec<_> = store
            .list()
            .into_iter()
            .filter(|object| refers_to(reference, &subject(&gvk, object)))
            .collect();
        selected.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        self.objects.extend(selected);
        Ok(())
    }
}

/// What is served of a kind, which is watched from now on: a dependency may be of a kind that policies cannot select.
fn served(world: &World, gvk: &Gvk) -> Result<Resource, Failure> {
    let resource = world
        .mapper
        .resolve(gvk)
        .ok_or_else(|| Failure::UnknownKind {
            api_version: gvk.api_version(),
            kind: gvk.kind.clone(),
        })?;
    if resource.supports("list") && resource.supports("watch") {
        world.templates.ensure(&resource.api);
    }
    Ok(resource)
}

/// An object as selectors see it.
pub(super) fn subject(gvk: &Gvk, object: &DynamicObject) -> Subject {
    Subject {
        api_version: gvk.api_version(),
        kind: gvk.kind.clone(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
        labels: object.metadata.labels.clone().unwrap_or_default(),
    }
}

/// Calls `look` with what is known of the resource of an attached binding.
pub(super) async fn seen<T>(
    world: &World,
    resource: &ObjectReference,
    look: impl FnOnce(Seen<'_>) -> T,
) -> T {
    let (gvk, key) = template_of(resource);
    if world.mapper.resolve(&gvk).is_none() {
        return look(Seen::Unknown);
    }
    match world.template(&gvk, &key).await {
        Ok(Some(object)) => look(Seen::Present(&subject(&gvk, &object))),
        Ok(None) => look(Seen::Absent),
        Err(_) => look(Seen::Unknown),
    }
}

//! What the member has of an object.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crds::object::{Gvk, Key};
use kube::api::{Api, DynamicObject};
use runtime::{ApiError, discovery::Resource, error::call, store::Store};
use serde_json::Value;

use super::{Context, MemberRef};
use crate::world::{dynamic_api, to_value};

/// How long the first list of a kind is waited for before single objects are read live instead.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often an unknown kind may make us ask the member what it serves.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// Where an object of a manifest is, or would be, in a member.
pub(super) struct Place {
    pub(super) api: Api<DynamicObject>,
    pub(super) store: Arc<Store<DynamicObject>>,
    pub(super) key: Key,
    resource: Resource,
}

/// Why it is not known what the member has.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObserveError {
    #[error("no matches for kind {:?} in version {:?} in cluster {cluster}", gvk.kind, gvk.api_version())]
    NoKind {
        gvk: Gvk,
        cluster: String,
        complete: bool,
    },
    #[error("{0}")]
    Api(#[from] ApiError),
}

/// Finds the place of a manifest in a member.
pub(super) async fn place(
    context: &Context,
    member: MemberRef<'_>,
    manifest: &Value,
) -> Result<Place, ObserveError> {
    member.mapper.ensure_loaded(&member.client).await?;
    let gvk = Gvk::of(manifest);
    let mut resource = member.mapper.resolve(&gvk);
    if resource.is_none() && may_refresh(context, &member.name) {
        resource = member
            .mapper
            .refresh(&member.client)
            .await?
            .resolve(&gvk)
            .cloned();
    }
    let Some(resource) = resource else {
        let complete = member.mapper.current().is_complete();
        return Err(ObserveError::NoKind {
            gvk,
            cluster: member.name.clone(),
            complete,
        });
    };
    let mut key = Key::of(manifest);
    if !resource.namespaced {
        key.namespace = None;
    }
    let api = dynamic_api(member.client.clone(), &resource, key.namespace.as_deref());
    Ok(Place {
        api,
        store: member.managed(&resource),
        key,
        resource,
    })
}

fn may_refresh(context: &Context, member: &str) -> bool {
    let mut refreshed = context.refreshed.lock();
    if refreshed
        .get(member)
        .is_some_and(|at| at.elapsed() < REFRESH_INTERVAL)
    {
        return false;
    }
    refreshed.insert(member.to_owned(), Instant::now());
    true
}

impl Place {
    /// Whether to come back when the first list of the kind is in. It is asked for once per kind; reading each object on its
    /// own instead would be the stampede that a restart must not be.
    pub(super) fn is_pending(&self) -> bool {
        !self.store.is_synced() && self.store.age() < PATIENCE
    }

    /// The object: from the store, or live while the store is not filled. Objects that are not ours are in no store.
    pub(super) async fn observed(&self) -> Result<Option<Value>, ApiError> {
        if self.store.is_synced() {
            return Ok(self.store.get(&self.key).map(|object| to_value(&object)));
        }
        self.live().await
    }

    /// The object as the member has it this moment, ours or not.
    pub(super) async fn live(&self) -> Result<Option<Value>, ApiError> {
        let found = call(self.api.get_opt(&self.key.name)).await?;
        Ok(found.map(|object| to_value(&self.typed(object))))
    }

    pub(super) fn typed(&self, mut object: DynamicObject) -> DynamicObject {
        object.types.get_or_insert_with(|| kube::core::TypeMeta {
            api_version: self.resource.api.api_version.clone(),
            kind: self.resource.api.kind.clone(),
        });
        object
    }
}

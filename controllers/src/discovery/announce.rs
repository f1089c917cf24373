//! Tells of changes of a kind of which only the fact matters.

use std::{fmt::Debug, pin::pin, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Resource,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::World;

/// Notifies at each change of an object of the kind, until the world stops. Only metadata are transferred and none are kept.
pub(super) async fn watch<K>(world: &Arc<World>, changed: &Notify)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(world.client());
    let config = watcher::Config::default().page_size(500);
    let mut events = pin!(watcher::watcher(api, config).default_backoff());
    loop {
        let event = tokio::select! {
            () = world.stop.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init | watcher::Event::InitApply(_))) => {}
            Some(Ok(_)) => changed.notify_one(),
            Some(Err(error)) => tracing::debug!(
                kind = %K::kind(&()),
                error = &error as &dyn std::error::Error,
                "Watch failed, retrying"
            ),
            None => return,
        }
    }
}

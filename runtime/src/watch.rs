//! One watch that fills one [`Store`], for as long as its token lives.

mod unread;

use std::{collections::BTreeSet, fmt::Debug, pin::pin, sync::Arc, time::Duration};

use crds::object::Key;
use futures::StreamExt;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject},
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::unread::Unread;
use crate::{
    backoff::Backoff,
    store::{Malformed, Store, key_of, version_of},
};

/// Objects per page of a list: bounds what a relist holds at a time.
const PAGE_SIZE: u32 = 200;
/// How often a store is told to pack what has come to rest.
const REST_INTERVAL: Duration = Duration::from_secs(2);

/// Removes from an object what nobody reads, before it is kept.
pub type Trim<K> = fn(&mut K);

/// Drops `metadata.managedFields`, which nothing of ours reads and which often is half of an object.
pub fn drop_managed_fields<K: ResourceExt>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// Which objects of a kind to watch; everything by default.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// A label selector in the API's text form.
    pub labels: Option<String>,
    /// A field selector in the API's text form.
    pub fields: Option<String>,
    /// The member cluster that is watched, as logs name it; `None` for the control plane.
    pub cluster: Option<String>,
}

impl Selection {
    fn config(&self) -> watcher::Config {
        watcher::Config {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            page_size: Some(PAGE_SIZE),
            ..watcher::Config::default()
        }
    }
}

/// Fills `store` with objects of a kind that we have a type for, until `stop` is cancelled.
///
/// An object that does not decode is reported and skipped, so that it does not stop the watch of its kind; the last
/// version of it that did decode stays in the store.
pub async fn typed<K>(
    client: Client,
    store: Arc<Store<K>>,
    trim: Trim<K>,
    selection: Selection,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let what = format!("{}/{}", K::api_version(&()), K::kind(&()));
    let api = Api::all_with(client, &ApiResource::erase::<K>(&()));
    drive(
        api,
        store,
        trim,
        &selection,
        &what,
        stop,
        unread::typed::<K>,
    )
    .await;
}

/// Fills `store` with objects of any kind, until `stop` is cancelled.
pub async fn dynamic(
    client: Client,
    resource: ApiResource,
    store: Arc<Store<DynamicObject>>,
    trim: Trim<DynamicObject>,
    selection: Selection,
    stop: CancellationToken,
) {
    let what = format!("{}/{}", resource.api_version, resource.kind);
    let api = Api::all_with(client, &resource);
    let read = move |text: &str| {
        let mut object = unread::dynamic(text)?;
        // Lists leave the type out of their items.
        if object
            .types
            .as_ref()
            .is_none_or(|types| types.kind.is_empty())
        {
            object.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
        }
        Ok(object)
    };
    drive(api, store, trim, &selection, &what, stop, read).await;
}

async fn drive<K>(
    api: Api<Unread>,
    store: Arc<Store<K>>,
    trim: Trim<K>,
    selection: &Selection,
    what: &str,
    stop: CancellationToken,
    read: impl Fn(&str) -> Result<K, serde_json::Error>,
) where
    K: ResourceExt + 'static,
{
    let mut events = pin!(watcher::watcher(api, selection.config()));
    let mut backoff = Backoff::watch();
    let mut rest = tokio::time::interval(REST_INTERVAL);
    rest.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut filling = Filling {
        store: &store,
        trim,
        read,
        what,
        cluster: selection.cluster.as_deref(),
        listed: BTreeSet::new(),
    };
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
            _ = rest.tick() => {
                store.pack_rested();
                continue;
            }
        };
        match event {
            Some(Ok(event)) => {
                if filling.take(event) {
                    backoff.reset();
                }
            }
            Some(Err(error)) => {
                let pause = backoff.failed();
                log_watch_error(what, filling.cluster, &error, pause);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
            None => return,
        }
    }
}

/// Puts what a watch tells into its store.
struct Filling<'a, K, R> {
    store: &'a Store<K>,
    trim: Trim<K>,
    read: R,
    what: &'a str,
    cluster: Option<&'a str>,
    /// What the list that is under way has named so far.
    listed: BTreeSet<Key>,
}

impl<K, R> Filling<'_, K, R>
where
    K: ResourceExt + 'static,
    R: Fn(&str) -> Result<K, serde_json::Error>,
{
    /// Returns whether the event shows that the watch works again.
    fn take(&mut self, event: Event<Unread>) -> bool {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.insert(key_of(&object));
                self.put(&object, true);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.store
                    .forget_malformed(|malformed| !listed.contains(malformed));
                self.store.finish_list(&listed);
                return true;
            }
            Event::Apply(object) => {
                self.put(&object, false);
                return true;
            }
            Event::Delete(object) => {
                let key = key_of(&object);
                self.store.forget_malformed(|malformed| *malformed == key);
                self.store.delete(&key, version_of(&object));
            }
        }
        false
    }

    fn put(&self, object: &Unread, listed: bool) {
        let (store, key) = (self.store, key_of(object));
        // An echo of our own write, mostly: the store has it from the reply.
        if !store.awaits(&key, version_of(object), listed) {
            return;
        }
        // What a later list brings was made while nobody watched: news like any other.
        let initial = listed && !store.is_synced();
        let text = object.text();
        match (self.read)(text) {
            Ok(mut object) => {
                (self.trim)(&mut object);
                if store.has_malformed() {
                    store.forget_malformed(|malformed| *malformed == key);
                }
                store.apply_sized(object, initial, text.len());
            }
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(kind = self.what, cluster = self.cluster, object = %key, error, "Object does not decode, keeping the last version that did");
                store.note_malformed(Malformed {
                    key,
                    uid: object.meta().uid.clone(),
                    resource_version: object.meta().resource_version.clone(),
                    error,
                });
            }
        }
    }
}

fn log_watch_error(what: &str, cluster: Option<&str>, error: &watcher::Error, pause: Duration) {
    let error = error as &dyn std::error::Error;
    // A watch that the server ends is everyday business; only repeated failures are worth a warning.
    if pause > Duration::from_secs(1) {
        tracing::warn!(kind = what, cluster, error, "Watch keeps failing, retrying");
    } else {
        tracing::debug!(kind = what, cluster, error, "Watch failed, retrying");
    }
}

#[cfg(test)]
mod tests;

//! Objects of one kind, held once and shared by every reconciler.
//!
//! A store is filled by one watch (see [`crate::watch`]) and by the replies of our own writes, so that a reconciler that
//! runs right after a write sees it. Subscribers hear of each change with the object before and after it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crds::object::Key;
use kube::ResourceExt;
use parking_lot::{RwLock, RwLockWriteGuard};
use tokio::sync::watch;

/// One change of a store, as subscribers see it.
#[derive(Debug)]
pub enum Change<'a, K> {
    /// The object is new to the store; `initial` while the first list of the watch is read.
    Added { new: &'a Arc<K>, initial: bool },
    /// The object was there before.
    Updated { old: &'a Arc<K>, new: &'a Arc<K> },
    /// The API server said that the object is gone.
    Deleted { old: &'a Arc<K> },
}

impl<'a, K> Change<'a, K> {
    /// The object after the change, or the last one known of a deleted object.
    pub fn object(&self) -> &'a Arc<K> {
        match self {
            Self::Added { new, .. } | Self::Updated { new, .. } => new,
            Self::Deleted { old } => old,
        }
    }

    /// The object before the change.
    pub fn old(&self) -> Option<&'a Arc<K>> {
        match self {
            Self::Added { .. } => None,
            Self::Updated { old, .. } | Self::Deleted { old } => Some(old),
        }
    }

    pub fn is_deletion(&self) -> bool {
        matches!(self, Self::Deleted { .. })
    }
}

type Subscriber<K> = Box<dyn Fn(&Change<'_, K>) + Send + Sync>;
type IndexFn<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

/// Names an index of a store; obtained from [`Builder::index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexId(usize);

impl IndexId {
    /// The index that was added after `position` others.
    pub(crate) const fn nth(position: usize) -> Self {
        Self(position)
    }
}

struct Index<K> {
    values: IndexFn<K>,
    keys: HashMap<String, BTreeSet<Key>>,
}

struct Inner<K> {
    objects: HashMap<Key, Arc<K>>,
    indexes: Vec<Index<K>>,
    /// The newest resourceVersion that the watch delivered. A reply that is not newer has been seen by the watch already,
    /// perhaps followed by the object's deletion, and must not bring it back.
    watched_version: u64,
    /// Objects put in from replies that the watch has not confirmed yet. A relist must not drop them.
    unconfirmed: HashMap<Key, u64>,
}

/// Sets up indexes and subscribers before the first object arrives.
pub struct Builder<K> {
    indexes: Vec<Index<K>>,
    subscribers: Vec<Subscriber<K>>,
}

impl<K: ResourceExt> Default for Builder<K> {
    fn default() -> Self {
        Self {
            indexes: Vec::new(),
            subscribers: Vec::new(),
        }
    }
}

impl<K: ResourceExt> Builder<K> {
    /// Adds an index; `values` names the values under which an object is found.
    pub fn index(&mut self, values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> IndexId {
        self.indexes.push(Index {
            values: Box::new(values),
            keys: HashMap::new(),
        });
        IndexId(self.indexes.len() - 1)
    }

    #[must_use]
    pub fn build(self) -> Arc<Store<K>> {
        Arc::new(Store {
            inner: RwLock::new(Inner {
                objects: HashMap::new(),
                indexes: self.indexes,
                watched_version: 0,
                unconfirmed: HashMap::new(),
            }),
            subscribers: RwLock::new(self.subscribers),
            synced: watch::Sender::new(false),
            created: Instant::now(),
        })
    }
}

/// See the module documentation.
pub struct Store<K> {
    inner: RwLock<Inner<K>>,
    subscribers: RwLock<Vec<Subscriber<K>>>,
    synced: watch::Sender<bool>,
    created: Instant,
}

impl<K> std::fmt::Debug for Store<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("objects", &self.inner.read().objects.len())
            .finish_non_exhaustive()
    }
}

/// The key of an object.
pub fn key_of<K: ResourceExt>(object: &K) -> Key {
    Key {
        namespace: object.namespace(),
        name: object.name_any(),
    }
}

/// The resourceVersion as a number; API servers hand out the revisions of etcd, and Kubernetes promises that they compare
/// as integers.
fn version_of<K: ResourceExt>(object: &K) -> u64 {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

impl<K: ResourceExt + 'static> Store<K> {
    pub fn builder() -> Builder<K> {
        Builder::default()
    }

    /// Calls `subscriber` after each change, on the task that made it: it has to be quick, as it is when it fills a queue.
    ///
    /// Objects that are in the store already are reported at once as initial additions, so that the order of set-up does
    /// not matter.
    pub fn subscribe(&self, subscriber: impl Fn(&Change<'_, K>) + Send + Sync + 'static) {
        let mut subscribers = self.subscribers.write();
        let present: Vec<Arc<K>> = self.inner.read().objects.values().cloned().collect();
        for object in &present {
            subscriber(&Change::Added {
                new: object,
                initial: true,
            });
        }
        subscribers.push(Box::new(subscriber));
    }

    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.inner.read().objects.get(key).cloned()
    }

    /// Every object, in no particular order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.inner.read().objects.values().cloned().collect()
    }

    pub fn keys(&self) -> Vec<Key> {
        self.inner.read().objects.keys().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.inner.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The objects that the index files under `value`, in key order.
    pub fn by_index(&self, index: IndexId, value: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        inner.indexes[index.0]
            .keys
            .get(value)
            .into_iter()
            .flatten()
            .filter_map(|key| inner.objects.get(key).cloned())
            .collect()
    }

    /// Whether the first list is in. Absence proves nothing before that.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// How long ago the store was made.
    pub fn age(&self) -> Duration {
        self.created.elapsed()
    }

    /// Waits for the first list.
    pub async fn synced(&self) {
        // The sender lives as long as `self`, so the wait ends only by the value turning true.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Takes the object that the API server returned from one of our writes, without its managed fields.
    pub fn observe_reply(&self, mut object: K) {
        object.meta_mut().managed_fields = None;
        let version = version_of(&object);
        let key = key_of(&object);
        let inner = self.inner.write();
        if version <= inner.watched_version || !inner.is_news(&key, version) {
            return;
        }
        self.put(inner, key, object, false, Some(version));
    }

    /// Takes an object from the watch.
    pub(crate) fn apply(&self, object: K, initial: bool) {
        let version = version_of(&object);
        let key = key_of(&object);
        let mut inner = self.inner.write();
        inner.watched_version = inner.watched_version.max(version);
        if inner
            .unconfirmed
            .get(&key)
            .is_some_and(|reply| *reply <= version)
        {
            inner.unconfirmed.remove(&key);
        }
        if inner.is_news(&key, version) {
            self.put(inner, key, object, initial, None);
        }
    }

    /// Stores an object under the lock under which it was found to be newer, and tells subscribers without it.
    fn put(
        &self,
        mut inner: RwLockWriteGuard<'_, Inner<K>>,
        key: Key,
        object: K,
        initial: bool,
        unconfirmed: Option<u64>,
    ) {
        let new = Arc::new(object);
        let old = {
            let inner = &mut *inner;
            let old = inner.objects.insert(key.clone(), Arc::clone(&new));
            for index in &mut inner.indexes {
                if let Some(old) = &old {
                    index.remove(&key, old);
                }
                for value in (index.values)(&new) {
                    index.keys.entry(value).or_default().insert(key.clone());
                }
            }
            if let Some(version) = unconfirmed {
                inner.unconfirmed.insert(key, version);
            }
            old
        };
        drop(inner);
        match &old {
            Some(old) => self.notify(&Change::Updated { old, new: &new }),
            None => self.notify(&Change::Added { new: &new, initial }),
        }
    }

    /// Takes a deletion from the watch.
    pub(crate) fn delete(&self, object: &K) {
        {
            let mut inner = self.inner.write();
            inner.watched_version = inner.watched_version.max(version_of(object));
        }
        self.delete_key(&key_of(object));
    }

    /// Takes the deletion of an object whose last state did not decode.
    pub(crate) fn delete_key(&self, key: &Key) {
        self.inner.write().unconfirmed.remove(key);
        self.remove(key);
    }

    fn remove(&self, key: &Key) {
        let old = {
            let mut inner = self.inner.write();
            let inner = &mut *inner;
            let Some(old) = inner.objects.remove(key) else {
                return;
            };
            for index in &mut inner.indexes {
                index.remove(key, &old);
            }
            old
        };
        self.notify(&Change::Deleted { old: &old });
    }

    /// Ends a list: what the API server did not name any more is gone, unless one of our own writes is newer than the list.
    pub(crate) fn finish_list(&self, listed: &BTreeSet<Key>) {
        let gone: Vec<Key> = {
            let mut inner = self.inner.write();
            let watched = inner.watched_version;
            inner.unconfirmed.retain(|_, version| *version > watched);
            inner
                .objects
                .keys()
                .filter(|key| !listed.contains(*key) && !inner.unconfirmed.contains_key(*key))
                .cloned()
                .collect()
        };
        for key in &gone {
            self.remove(key);
        }
        self.synced.send_replace(true);
    }

    fn notify(&self, change: &Change<'_, K>) {
        for subscriber in self.subscribers.read().iter() {
            subscriber(change);
        }
    }
}

impl<K: ResourceExt> Inner<K> {
    fn is_news(&self, key: &Key, version: u64) -> bool {
        self.objects
            .get(key)
            .is_none_or(|known| version_of(known.as_ref()) < version)
    }
}

impl<K> Index<K> {
    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use parking_lot::Mutex;

    use super::*;

    fn config_map(name: &str, version: u64) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some("default".into()),
                resource_version: Some(version.to_string()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    fn key(name: &str) -> Key {
        Key {
            namespace: Some("default".into()),
            name: name.into(),
        }
    }

    fn recorded() -> (Arc<Store<ConfigMap>>, Arc<Mutex<Vec<String>>>) {
        let store = Store::<ConfigMap>::builder().build();
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        store.subscribe(move |change| {
            let name = change.object().name_any();
            sink.lock().push(match change {
                Change::Added { initial, .. } => format!("added {name} {initial}"),
                Change::Updated { .. } => format!("updated {name}"),
                Change::Deleted { .. } => format!("deleted {name}"),
            });
        });
        (store, log)
    }

    #[test]
    fn reply_is_visible_at_once_and_not_reported_again_by_the_watch() {
        let (store, log) = recorded();
        store.observe_reply(config_map("a", 5));
        store.apply(config_map("a", 5), false);
        assert_eq!(*log.lock(), ["added a false"]);
    }

    #[test]
    fn late_reply_does_not_bring_back_a_deleted_object() {
        let (store, log) = recorded();
        store.apply(config_map("a", 5), false);
        store.delete(&config_map("a", 7));
        store.observe_reply(config_map("a", 6));
        assert_eq!(store.get(&key("a")), None);
        assert_eq!(*log.lock(), ["added a false", "deleted a"]);
    }

    #[test]
    fn stale_watch_event_does_not_undo_a_reply() {
        let (store, _) = recorded();
        store.apply(config_map("a", 5), false);
        store.observe_reply(config_map("a", 9));
        store.apply(config_map("a", 7), false);
        let version = store
            .get(&key("a"))
            .and_then(|found| found.metadata.resource_version.clone());
        assert_eq!(version.as_deref(), Some("9"));
    }

    #[test]
    fn relist_removes_what_is_gone_but_not_a_newer_write_of_ours() {
        let (store, log) = recorded();
        store.apply(config_map("gone", 5), true);
        store.apply(config_map("stays", 6), true);
        store.observe_reply(config_map("ours", 9));
        store.finish_list(&BTreeSet::from([key("stays")]));
        assert!(store.is_synced());
        assert!(store.get(&key("gone")).is_none());
        assert!(store.get(&key("ours")).is_some());
        assert_eq!(
            *log.lock(),
            [
                "added gone true",
                "added stays true",
                "added ours false",
                "deleted gone"
            ]
        );
    }

    #[test]
    fn index_follows_updates_and_deletions() {
        let mut builder = Store::<ConfigMap>::builder();
        let by_label =
            builder.index(|object| object.labels().get("app").cloned().into_iter().collect());
        let store = builder.build();
        let labelled = |version, app: &str| {
            let mut object = config_map("a", version);
            object.labels_mut().insert("app".into(), app.into());
            object
        };
        store.apply(labelled(1, "x"), false);
        assert_eq!(store.by_index(by_label, "x").len(), 1);
        store.apply(labelled(2, "y"), false);
        assert!(store.by_index(by_label, "x").is_empty());
        assert_eq!(store.by_index(by_label, "y").len(), 1);
        store.delete(&labelled(3, "y"));
        assert!(store.by_index(by_label, "y").is_empty());
    }

    #[test]
    fn late_subscriber_hears_of_what_is_there() {
        let store = Store::<ConfigMap>::builder().build();
        store.apply(config_map("a", 1), false);
        let seen = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&seen);
        store.subscribe(move |_| *counter.lock() += 1);
        assert_eq!(*seen.lock(), 1);
    }
}

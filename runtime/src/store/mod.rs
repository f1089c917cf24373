//! Objects of one kind, held once and shared by every reconciler.
//!
//! A store is filled by one watch (see [`crate::watch`]) and by the replies of our own writes, so that a reconciler that
//! runs right after a write sees it. Subscribers hear of each change with the object before and after it.
//!
//! Objects of the kinds that there are thousands of are packed when they come to rest (see [`packing`]): most of a fleet's
//! objects lie still most of the time, and a packed one takes a twentieth of its parsed form.

mod index;
pub mod packing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    index::Index,
    packing::{Codec, Packed, Packer},
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

/// Objects of a store that packs which stay as they are however old they get; what many passes look at is among them.
const OPEN: usize = 128;
/// After what time without a change an object is packed.
const REST: Duration = Duration::from_secs(3);

/// Names an index of a store; obtained from [`Builder::index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexId(usize);

impl IndexId {
    /// The index that was added after `position` others.
    pub(crate) const fn nth(position: usize) -> Self {
        Self(position)
    }
}

enum Held<K> {
    Open(Arc<K>),
    Packed(Packed),
}

struct Entry<K> {
    held: Held<K>,
    version: u64,
    /// Which change of the store this is.
    change: u64,
}

struct Inner<K> {
    objects: HashMap<Arc<Key>, Entry<K>>,
    indexes: Vec<Index<K>>,
    /// Open objects of a store that packs, the longest unchanged first, with the change that made them and its time. An object
    /// that changed again since stands further back once more.
    open: VecDeque<(Arc<Key>, u64, Instant)>,
    /// Open objects that are packed when there is a dictionary, with the change that made them.
    sampled: HashMap<Arc<Key>, u64>,
    changes: u64,
    packed_bytes: usize,
    /// The newest resourceVersion that the watch delivered. A reply that is not newer has been seen by the watch already,
    /// perhaps followed by the object's deletion, and must not bring it back.
    watched_version: u64,
    /// Objects put in from replies that the watch has not confirmed yet. A relist must not drop them.
    unconfirmed: HashMap<Key, u64>,
}

/// Sets up indexes and subscribers before the first object arrives.
pub struct Builder<K> {
    indexes: Vec<Index<K>>,
    codec: Option<Codec<K>>,
}

impl<K: ResourceExt> Default for Builder<K> {
    fn default() -> Self {
        Self {
            indexes: Vec::new(),
            codec: None,
        }
    }
}

impl<K: ResourceExt> Builder<K> {
    /// Adds an index; `values` names the values under which an object is found.
    pub fn index(&mut self, values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> IndexId {
        self.indexes.push(Index::new(values));
        IndexId(self.indexes.len() - 1)
    }

    /// Packs objects that have come to rest.
    pub fn packed(&mut self, codec: Codec<K>) -> &mut Self {
        self.codec = Some(codec);
        self
    }

    #[must_use]
    pub fn build(self) -> Arc<Store<K>> {
        Arc::new(Store {
            inner: RwLock::new(Inner {
                objects: HashMap::new(),
                indexes: self.indexes,
                open: VecDeque::new(),
                sampled: HashMap::new(),
                changes: 0,
                packed_bytes: 0,
                watched_version: 0,
                unconfirmed: HashMap::new(),
            }),
            packer: self.codec.map(Packer::new),
            subscribers: RwLock::default(),
            synced: watch::Sender::new(false),
            malformed: watch::Sender::new(BTreeMap::new()),
            created: Instant::now(),
        })
    }
}

/// An object that the API server has and whose present version does not decode. The last version that did stays in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub key: Key,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub error: String,
}

/// See the module documentation.
pub struct Store<K> {
    inner: RwLock<Inner<K>>,
    packer: Option<Packer<K>>,
    subscribers: RwLock<Vec<Subscriber<K>>>,
    synced: watch::Sender<bool>,
    /// Objects whose present version does not decode.
    malformed: watch::Sender<BTreeMap<Key, Malformed>>,
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
pub(crate) fn version_of<K: ResourceExt>(object: &K) -> u64 {
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
        self.each(|object| {
            subscriber(&Change::Added {
                new: object,
                initial: true,
            });
        });
        subscribers.push(Box::new(subscriber));
    }

    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        let inner = self.inner.read();
        self.open(&inner.objects.get(key)?.held)
    }

    /// Whether there is an object of this key, without looking at it.
    pub fn contains(&self, key: &Key) -> bool {
        self.inner.read().objects.contains_key(key)
    }

    /// Every object, in no particular order. Of a store with thousands of objects, [`Store::each`] holds fewer at a time.
    pub fn list(&self) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        let held = inner.objects.values();
        held.filter_map(|entry| self.open(&entry.held)).collect()
    }

    /// Calls `visit` with every object that is there now, one after another, in no particular order.
    pub fn each(&self, mut visit: impl FnMut(&Arc<K>)) {
        let keys: Vec<Arc<Key>> = self.inner.read().objects.keys().cloned().collect();
        for key in keys {
            if let Some(object) = self.get(&key) {
                visit(&object);
            }
        }
    }

    pub fn keys(&self) -> Vec<Key> {
        let inner = self.inner.read();
        inner.objects.keys().map(|key| Key::clone(key)).collect()
    }

    /// How many objects the store holds, how many of them are not packed, and the bytes of the packed ones.
    pub fn size(&self) -> Size {
        let inner = self.inner.read();
        let is_open = |entry: &&Entry<K>| matches!(entry.held, Held::Open(_));
        Size {
            objects: inner.objects.len(),
            open: inner.objects.values().filter(is_open).count(),
            packed_bytes: inner.packed_bytes,
        }
    }

    fn open(&self, held: &Held<K>) -> Option<Arc<K>> {
        match (held, &self.packer) {
            (Held::Open(object), _) => Some(Arc::clone(object)),
            (Held::Packed(bytes), Some(packer)) => packer.unpack(bytes).map(Arc::new),
            (Held::Packed(_), None) => None,
        }
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
        let keys = inner.indexes[index.0].keys(value);
        keys.filter_map(|key| self.open(&inner.objects.get(key)?.held))
            .collect()
    }

    /// The keys of the objects that the index files under `value`, in order.
    pub fn keys_by_index(&self, index: IndexId, value: &str) -> Vec<Key> {
        let inner = self.inner.read();
        let keys = inner.indexes[index.0].keys(value);
        keys.map(|key| Key::clone(key)).collect()
    }

    /// The keys of the objects that the index files under values that are wanted at one moment, in no particular order.
    pub fn keys_matching(&self, index: IndexId, wanted: impl Fn(&str) -> bool) -> Vec<Key> {
        let inner = self.inner.read();
        let keys = inner.indexes[index.0].keys_matching(wanted);
        keys.map(|key| Key::clone(key)).collect()
    }

    /// How many objects the index files under `value`.
    pub fn count_by_index(&self, index: IndexId, value: &str) -> usize {
        self.inner.read().indexes[index.0].count(value)
    }

    /// The values under which the index files an object, without looking at it.
    pub fn values_of(&self, index: IndexId, key: &Key) -> Vec<Arc<str>> {
        self.inner.read().indexes[index.0].values_of(key).to_vec()
    }

    /// The objects whose present version does not decode, and news of them.
    pub fn malformed(&self) -> watch::Receiver<BTreeMap<Key, Malformed>> {
        self.malformed.subscribe()
    }

    /// Remembers that an object from the watch does not decode.
    pub(crate) fn note_malformed(&self, malformed: Malformed) {
        let insert = |all: &mut BTreeMap<_, _>| {
            all.insert(malformed.key.clone(), malformed);
        };
        self.malformed.send_modify(insert);
    }

    pub(crate) fn has_malformed(&self) -> bool {
        !self.malformed.borrow().is_empty()
    }

    /// Forgets the objects that do not decode for which `is_gone` holds.
    pub(crate) fn forget_malformed(&self, is_gone: impl Fn(&Key) -> bool) {
        self.malformed.send_if_modified(|all| {
            let before = all.len();
            all.retain(|key, _| !is_gone(key));
            all.len() < before
        });
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

    /// Whether the watch has an object of which the store does not have this version. Takes note that the watch has come so far.
    ///
    /// Lists hold objects of any age. An event is younger than everything before it; one that is not was delivered twice, or late,
    /// and must not bring back what is gone.
    pub(crate) fn awaits(&self, key: &Key, version: u64, listed: bool) -> bool {
        let mut inner = self.inner.write();
        let is_late = !listed && version <= inner.watched_version;
        if inner.is_news(key, version) && (!is_late || inner.objects.contains_key(key)) {
            return true;
        }
        inner.confirm(key, version);
        false
    }

    /// Takes an object from the watch.
    #[cfg(test)]
    pub(crate) fn apply(&self, object: K, initial: bool) {
        self.apply_sized(object, initial, 0);
    }

    /// Takes an object from the watch, of which the API server sent so many bytes.
    pub(crate) fn apply_sized(&self, object: K, initial: bool, bytes: usize) {
        let version = version_of(&object);
        let key = key_of(&object);
        let mut inner = self.inner.write();
        inner.confirm(&key, version);
        if inner.is_news(&key, version) {
            self.put(inner, key, object, initial, None);
            // A list of definitions, parsed, takes tens of megabytes.
            if bytes >= packing::LARGE {
                self.pack_newest();
            }
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
        let before = {
            let inner = &mut *inner;
            inner.changes += 1;
            let entry = Entry {
                version: version_of(&*new),
                held: Held::Open(Arc::clone(&new)),
                change: inner.changes,
            };
            let key = match inner.objects.get_key_value(&key) {
                Some((known, _)) => Arc::clone(known),
                None => Arc::new(key),
            };
            let before = inner.objects.insert(Arc::clone(&key), entry);
            for index in &mut inner.indexes {
                index.file(&key, &new);
            }
            if self.packer.is_some() {
                let change = inner.changes;
                inner
                    .open
                    .push_back((Arc::clone(&key), change, Instant::now()));
            }
            if let Some(version) = unconfirmed {
                inner.unconfirmed.insert(Key::clone(&key), version);
            }
            before
        };
        if let Some(Held::Packed(packed)) = before.as_ref().map(|before| &before.held) {
            inner.packed_bytes -= packed.len();
        }
        drop(inner);
        match before.and_then(|before| self.open(&before.held)) {
            Some(old) => self.notify(&Change::Updated {
                old: &old,
                new: &new,
            }),
            None => self.notify(&Change::Added { new: &new, initial }),
        }
        self.pack_beyond(OPEN, None);
    }

    /// Packs what has not changed for a while. The watch that fills the store calls this now and then.
    pub(crate) fn pack_rested(&self) {
        if self.packer.as_ref().is_some_and(Packer::is_ready) {
            let sampled = std::mem::take(&mut self.inner.write().sampled);
            for (key, change) in sampled {
                self.pack(&key, change);
            }
        }
        self.pack_beyond(0, Some(REST));
    }

    /// Packs the longest unchanged objects until no more than `open` are left that are younger than `rest`.
    fn pack_beyond(&self, open: usize, rest: Option<Duration>) {
        if self.packer.is_none() {
            return;
        }
        loop {
            let (key, change) = {
                let mut inner = self.inner.write();
                if inner.open.len() <= open {
                    return;
                }
                let is_young = |at: &Instant| rest.is_some_and(|rest| at.elapsed() < rest);
                if inner.open.front().is_none_or(|(_, _, at)| is_young(at)) {
                    return;
                }
                let Some((key, change, _)) = inner.open.pop_front() else {
                    return;
                };
                (key, change)
            };
            self.pack(&key, change);
        }
    }

    /// Packs what was put in last.
    fn pack_newest(&self) {
        let newest = self.inner.write().open.pop_back();
        if let Some((key, change, _)) = newest {
            self.pack(&key, change);
        }
    }

    /// Packs an object unless it has changed since.
    fn pack(&self, key: &Arc<Key>, change: u64) {
        let Some(packer) = &self.packer else { return };
        let object = match self.inner.read().objects.get(key) {
            Some(Entry {
                held: Held::Open(object),
                change: current,
                ..
            }) if *current == change => Arc::clone(object),
            _ => return,
        };
        // Outside of the lock: this takes longer than everything else here.
        let bytes = packer.pack(&object);
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let Some(bytes) = bytes else {
            inner.sampled.insert(Arc::clone(key), change);
            return;
        };
        if let Some(entry) = inner.objects.get_mut(key)
            && entry.change == change
        {
            inner.packed_bytes += bytes.len();
            entry.held = Held::Packed(bytes);
        }
    }

    /// Takes a deletion from the watch, which came with this version. The object may have been made anew since.
    pub(crate) fn delete(&self, key: &Key, version: u64) {
        {
            let mut inner = self.inner.write();
            inner.watched_version = inner.watched_version.max(version);
            let known = inner.objects.get(key);
            if known.is_some_and(|known| known.version > version && version > 0) {
                return;
            }
            inner.unconfirmed.remove(key);
        }
        self.remove(key);
    }

    fn remove(&self, key: &Key) {
        let old = {
            let mut inner = self.inner.write();
            let inner = &mut *inner;
            let Some(old) = inner.objects.remove(key) else {
                return;
            };
            inner.sampled.remove(key);
            for index in &mut inner.indexes {
                index.remove(key);
            }
            if let Held::Packed(packed) = &old.held {
                inner.packed_bytes -= packed.len();
            }
            old
        };
        if let Some(old) = self.open(&old.held) {
            self.notify(&Change::Deleted { old: &old });
        }
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
                .filter(|key| !listed.contains(&***key) && !inner.unconfirmed.contains_key(&***key))
                .map(|key| Key::clone(key))
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

impl<K> Inner<K> {
    /// The watch has delivered this version of an object.
    fn confirm(&mut self, key: &Key, version: u64) {
        self.watched_version = self.watched_version.max(version);
        if self
            .unconfirmed
            .get(key)
            .is_some_and(|reply| *reply <= version)
        {
            self.unconfirmed.remove(key);
        }
    }

    fn is_news(&self, key: &Key, version: u64) -> bool {
        self.objects
            .get(key)
            .is_none_or(|known| known.version < version)
    }
}

/// What a store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    pub objects: usize,
    /// Of these, those that are held as they are used and not packed.
    pub open: usize,
    /// Bytes of the others.
    pub packed_bytes: usize,
}

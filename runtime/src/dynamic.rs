//! Stores for kinds that are known only at run time, one watch per kind.

use std::{collections::HashMap, sync::Arc};

use crds::object::{Gvk, Key};
use kube::{
    Client,
    api::{ApiResource, DynamicObject},
};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Change, IndexId, Store, packing::Codec},
    watch::{self, Selection, Trim},
};

type Subscriber = Arc<dyn Fn(&Gvk, &Change<'_, DynamicObject>) + Send + Sync>;
type IndexFn = Arc<dyn Fn(&DynamicObject) -> Vec<String> + Send + Sync>;
type SyncedHook = Arc<dyn Fn(&Gvk) + Send + Sync>;

struct Kind {
    store: Arc<Store<DynamicObject>>,
    stop: CancellationToken,
}

/// See the module documentation. All kinds share one client, one selection and the same subscribers.
pub struct DynamicStores {
    client: Client,
    trim: Trim<DynamicObject>,
    selection: Selection,
    stop: CancellationToken,
    kinds: RwLock<HashMap<Gvk, Kind>>,
    indexes: RwLock<Vec<IndexFn>>,
    subscribers: RwLock<Vec<Subscriber>>,
    synced_hooks: RwLock<Vec<SyncedHook>>,
}

impl std::fmt::Debug for DynamicStores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamicStores")
            .field("kinds", &self.kinds.read().len())
            .finish_non_exhaustive()
    }
}

impl DynamicStores {
    /// Makes an empty set whose watches end with `stop`.
    pub fn new(
        client: Client,
        trim: Trim<DynamicObject>,
        selection: Selection,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            trim,
            selection,
            stop,
            kinds: RwLock::default(),
            indexes: RwLock::default(),
            subscribers: RwLock::default(),
            synced_hooks: RwLock::default(),
        })
    }

    /// Adds an index to the store of every kind. To be called before the first [`DynamicStores::ensure`].
    pub fn index(
        &self,
        values: impl Fn(&DynamicObject) -> Vec<String> + Send + Sync + 'static,
    ) -> IndexId {
        let mut indexes = self.indexes.write();
        indexes.push(Arc::new(values));
        IndexId::nth(indexes.len() - 1)
    }

    /// The objects of every kind that the index files under `value`.
    pub fn by_index(&self, index: IndexId, value: &str) -> Vec<(Gvk, Arc<DynamicObject>)> {
        let kinds = self.kinds.read();
        let found = kinds.iter().flat_map(|(gvk, kind)| {
            let objects = kind.store.by_index(index, value);
            objects.into_iter().map(|object| (gvk.clone(), object))
        });
        found.collect()
    }

    /// Calls `subscriber` after each change of any kind. To be called before the first [`DynamicStores::ensure`].
    pub fn subscribe(
        &self,
        subscriber: impl Fn(&Gvk, &Change<'_, DynamicObject>) + Send + Sync + 'static,
    ) {
        self.subscribers.write().push(Arc::new(subscriber));
    }

    /// Calls `hook` when the first list of a kind is in. To be called before the first [`DynamicStores::ensure`].
    pub fn on_synced(&self, hook: impl Fn(&Gvk) + Send + Sync + 'static) {
        self.synced_hooks.write().push(Arc::new(hook));
    }

    /// The store of a kind, whose watch is started at the first call.
    pub fn ensure(self: &Arc<Self>, resource: &ApiResource) -> Arc<Store<DynamicObject>> {
        let gvk = Gvk {
            group: resource.group.clone(),
            version: resource.version.clone(),
            kind: resource.kind.clone(),
        };
        if let Some(kind) = self.kinds.read().get(&gvk) {
            return Arc::clone(&kind.store);
        }
        let mut kinds = self.kinds.write();
        if let Some(kind) = kinds.get(&gvk) {
            return Arc::clone(&kind.store);
        }
        let mut builder = Store::<DynamicObject>::builder();
        builder.packed(Codec::dynamic());
        for values in self.indexes.read().iter().cloned() {
            builder.index(move |object| values(object));
        }
        let store = builder.build();
        for subscriber in self.subscribers.read().iter() {
            let (subscriber, gvk) = (Arc::clone(subscriber), gvk.clone());
            store.subscribe(move |change| subscriber(&gvk, change));
        }
        let stop = self.stop.child_token();
        kinds.insert(
            gvk.clone(),
            Kind {
                store: Arc::clone(&store),
                stop: stop.clone(),
            },
        );
        drop(kinds);
        self.start(gvk, resource, Arc::clone(&store), stop);
        store
    }

    fn start(
        &self,
        gvk: Gvk,
        resource: &ApiResource,
        store: Arc<Store<DynamicObject>>,
        stop: CancellationToken,
    ) {
        tokio::spawn(watch::dynamic(
            self.client.clone(),
            resource.clone(),
            Arc::clone(&store),
            self.trim,
            self.selection.clone(),
            stop.clone(),
        ));
        let hooks = self.synced_hooks.read().clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = store.synced() => for hook in hooks { hook(&gvk) },
            }
        });
    }

    /// The store of a kind, if it is watched.
    pub fn store(&self, gvk: &Gvk) -> Option<Arc<Store<DynamicObject>>> {
        self.kinds
            .read()
            .get(gvk)
            .map(|kind| Arc::clone(&kind.store))
    }

    /// One object of a watched kind.
    pub fn object(&self, gvk: &Gvk, key: &Key) -> Option<Arc<DynamicObject>> {
        self.store(gvk)?.get(key)
    }

    /// Ends the watch of a kind. Its objects leave without a deletion being reported: that a kind is not served any more
    /// says nothing about the objects.
    pub fn remove(&self, gvk: &Gvk) {
        if let Some(kind) = self.kinds.write().remove(gvk) {
            kind.stop.cancel();
        }
    }

    /// The kinds that are watched.
    pub fn kinds(&self) -> Vec<Gvk> {
        self.kinds.read().keys().cloned().collect()
    }

    /// Waits for the first list of every kind that is watched now.
    pub async fn all_synced(&self) {
        let stores: Vec<_> = self
            .kinds
            .read()
            .values()
            .map(|kind| Arc::clone(&kind.store))
            .collect();
        for store in stores {
            store.synced().await;
        }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

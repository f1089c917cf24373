//! Finds objects by a value that is computed from them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crds::object::Key;

type Values<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

/// One index of a store.
pub(super) struct Index<K> {
    values: Values<K>,
    keys: HashMap<Arc<str>, BTreeSet<Arc<Key>>>,
    /// Under which values each object is filed. The object itself may be packed when it has to be found again.
    filed: HashMap<Arc<Key>, Box<[Arc<str>]>>,
}

impl<K> Index<K> {
    pub(super) fn new(values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Self {
        Self {
            values: Box::new(values),
            keys: HashMap::new(),
            filed: HashMap::new(),
        }
    }

    /// Files an object under its values, and under no others any more.
    pub(super) fn file(&mut self, key: &Arc<Key>, object: &K) {
        let values = (self.values)(object);
        if let Some(filed) = self.filed.get(key)
            && filed.len() == values.len()
            && filed
                .iter()
                .zip(&values)
                .all(|(filed, value)| **filed == **value)
        {
            return;
        }
        self.remove(key);
        if values.is_empty() {
            return;
        }
        let mut filed = Vec::with_capacity(values.len());
        for value in values {
            let value = match self.keys.get_key_value(value.as_str()) {
                Some((known, _)) => Arc::clone(known),
                None => Arc::from(value),
            };
            let keys = self.keys.entry(Arc::clone(&value)).or_default();
            keys.insert(Arc::clone(key));
            filed.push(value);
        }
        self.filed.insert(Arc::clone(key), filed.into());
    }

    pub(super) fn remove(&mut self, key: &Key) {
        for value in self.filed.remove(key).unwrap_or_default() {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }

    /// The keys filed under values that are wanted.
    pub(super) fn keys_matching(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = &Arc<Key>> {
        let filed = self.keys.iter().filter(move |(value, _)| wanted(value));
        filed.flat_map(|(_, keys)| keys)
    }

    /// The values that an object is filed under.
    pub(super) fn values_of(&self, key: &Key) -> &[Arc<str>] {
        self.filed.get(key).map_or(&[], |filed| filed)
    }

    /// How many objects are filed under a value.
    pub(super) fn count(&self, value: &str) -> usize {
        self.keys.get(value).map_or(0, BTreeSet::len)
    }

    /// The keys filed under a value, in order.
    pub(super) fn keys(&self, value: &str) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.get(value).into_iter().flatten()
    }
}

//! Strings and repeated structures of clusters, each kept once and referred to by number.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crds::cluster::{ApiEnablements, ResourceModel};
use k8s_openapi::api::core::v1::Taint;

use super::resources::Models;

/// A string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Symbol(u32);

/// Numbers for values that are equal.
#[derive(Clone, Debug)]
struct Table<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    fn insert(&mut self, value: T) -> u32 {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        let number = u32::try_from(self.values.len())
            .expect("a snapshot holds fewer than 2^32 distinct values");
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}

/// A taint that keeps replicas off, with the reason that users see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaintKind {
    pub(crate) key: Arc<str>,
    pub(crate) value: Arc<str>,
    pub(crate) effect: Arc<str>,
    /// Text of the filter for a cluster with this taint.
    pub(crate) reason: Arc<str>,
}

impl TaintKind {
    fn of(taint: &Taint) -> Self {
        let value = taint.value.as_deref().unwrap_or_default();
        let text = match (value.is_empty(), taint.effect.is_empty()) {
            (true, true) => taint.key.clone(),
            (true, false) => format!("{}:{}", taint.key, taint.effect),
            (false, _) => format!("{}={value}:{}", taint.key, taint.effect),
        };
        Self {
            key: taint.key.as_str().into(),
            value: value.into(),
            effect: taint.effect.as_str().into(),
            reason: format!("cluster(s) had untolerated taint {{{text}}}").into(),
        }
    }
}

/// An API of a cluster: group and version, and kind.
pub(crate) type Api = (Symbol, Symbol);

/// All tables of a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols {
    strings: Table<Arc<str>>,
    taints: Table<TaintKind>,
    api_sets: Table<Arc<[Api]>>,
    models: Table<Arc<Models>>,
    /// Sizes after the last rebuild.
    rebuilt: Sizes,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    strings: usize,
    taints: usize,
    api_sets: usize,
    models: usize,
}

impl Symbols {
    /// The symbol of a text; `None` if no cluster ever used it.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        self.strings.numbers.get(text).copied().map(Symbol)
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        &self.strings.values[symbol.0 as usize]
    }

    pub(crate) fn taints(&self) -> &[TaintKind] {
        &self.taints.values
    }

    pub(crate) fn api_sets(&self) -> &[Arc<[Api]>] {
        &self.api_sets.values
    }

    pub(crate) fn models(&self) -> &[Arc<Models>] {
        &self.models.values
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            strings: self.strings.values.len(),
            taints: self.taints.values.len(),
            api_sets: self.api_sets.values.len(),
            models: self.models.values.len(),
        }
    }

    /// Marks the tables as holding only what clusters use.
    pub(crate) fn mark_rebuilt(&mut self) {
        self.rebuilt = self.sizes();
    }

    /// Whether most of the tables may be what clusters no longer use.
    pub(crate) fn is_stale(&self) -> bool {
        let now = self.sizes();
        let before = self.rebuilt;
        now.strings > 2 * before.strings + 4096
            || now.taints > 2 * before.taints + 256
            || now.api_sets > 2 * before.api_sets + 64
            || now.models > 2 * before.models + 64
    }
}

/// Adds to the tables of a snapshot, which are copied only if they are shared and something is really new.
pub(crate) struct Interner<'a>(pub(crate) &'a mut Arc<Symbols>);

impl Interner<'_> {
    pub(crate) fn symbols(&self) -> &Symbols {
        self.0
    }

    pub(crate) fn text(&mut self, text: &str) -> Symbol {
        match self.0.find(text) {
            Some(symbol) => symbol,
            None => Symbol(Arc::make_mut(self.0).strings.insert(text.into())),
        }
    }

    pub(crate) fn taint(&mut self, taint: &Taint) -> u32 {
        let kind = TaintKind::of(taint);
        match self.0.taints.numbers.get(&kind) {
            Some(&number) => number,
            None => Arc::make_mut(self.0).taints.insert(kind),
        }
    }

    pub(crate) fn apis(&mut self, enablements: &[ApiEnablements]) -> u32 {
        let mut apis: Vec<Api> = Vec::new();
        for enablement in enablements {
            let group_version = self.text(&enablement.group_version);
            for resource in &enablement.resources {
                apis.push((group_version, self.text(&resource.kind)));
            }
        }
        apis.sort_unstable();
        apis.dedup();
        match self.0.api_sets.numbers.get(apis.as_slice()) {
            Some(&number) => number,
            None => Arc::make_mut(self.0).api_sets.insert(apis.into()),
        }
    }

    pub(crate) fn models(&mut self, models: &[ResourceModel]) -> u32 {
        let models = Models::of(models, |name| self.text(name));
        match self.0.models.numbers.get(&models) {
            Some(&number) => number,
            None => Arc::make_mut(self.0).models.insert(Arc::new(models)),
        }
    }
}

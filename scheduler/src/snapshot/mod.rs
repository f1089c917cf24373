//! The clusters as decisions see them: parsed once, shared by all decisions, changed one cluster at a time.

mod affinity;
pub(crate) mod resources;
pub(crate) mod symbols;

use std::sync::Arc;

use crds::cluster::Cluster as Object;

pub(crate) use affinity::Affinity;
use resources::{Nodes, Summary};
use symbols::{Interner, Symbol, Symbols};

/// A set of clusters by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots(Vec<u64>);

impl Slots {
    /// An empty set with room for the slots of a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self(vec![0; snapshot.slots.len().div_ceil(64)])
    }

    pub(crate) fn insert(&mut self, slot: u32) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.0
            .get(slot as usize / 64)
            .is_some_and(|bits| bits & (1 << (slot % 64)) != 0)
    }
}

/// One member cluster.
///
/// Plugins read the whole object through [`Cluster::object`]; what the built-in rules need of it is parsed already.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) slot: u32,
    object: Arc<Object>,
    name: String,
    pub(crate) deleting: bool,
    /// By key.
    pub(crate) labels: Box<[(Symbol, Symbol)]>,
    /// The `NoSchedule` and `NoExecute` taints, in order.
    pub(crate) taints: Box<[u32]>,
    pub(crate) api_set: u32,
    pub(crate) provider: Option<Symbol>,
    pub(crate) region: Option<Symbol>,
    pub(crate) zones: Box<[Symbol]>,
    pub(crate) summary: Option<Summary>,
    pub(crate) nodes: Nodes,
}

impl Cluster {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object it was read from.
    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// Whether the cluster is being removed.
    pub fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let labels = self.object.metadata.labels.as_ref()?;
        labels.get(key).map(String::as_str)
    }

    fn parse(
        object: Arc<Object>,
        slot: u32,
        previous: Option<&Self>,
        mut intern: Interner<'_>,
    ) -> Self {
        let spec = &object.spec;
        let status = object.status.as_ref();
        let mut labels: Vec<(Symbol, Symbol)> = object
            .metadata
            .labels
            .iter()
            .flatten()
            .map(|(key, value)| (intern.text(key), intern.text(value)))
            .collect();
        labels.sort_unstable();
        let taints = spec
            .taints
            .iter()
            .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
            .map(|taint| intern.taint(taint))
            .collect();
        let mut field = |value: &Option<String>| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some(intern.text(value))
        };
        let provider = field(&spec.provider);
        let region = field(&spec.region);
        let zones = spec.zones.iter().map(|zone| intern.text(zone)).collect();
        let models = (!spec.resource_models.is_empty()).then(|| {
            previous
                .filter(|it| it.object.spec.resource_models == spec.resource_models)
                .and_then(|it| match it.nodes {
                    Nodes::Modelled { models, .. } => Some(models),
                    _ => None,
                })
                .unwrap_or_else(|| intern.models(&spec.resource_models))
        });
        let models =
            models.map(|number| (number, intern.symbols().models()[number as usize].clone()));
        let nodes = Nodes::of(
            status,
            models
                .as_ref()
                .map(|(number, models)| (*number, models.as_ref())),
        );
        let summary = status
            .and_then(|status| status.resource_summary.as_ref())
            .map(|summary| Summary::of(summary, |name| intern.text(name)));
        let api_set = previous
            .filter(|it| apis(&it.object) == apis(&object))
            .map_or_else(|| intern.apis(apis(&object)), |it| it.api_set);
        Self {
            slot,
            name: object.metadata.name.clone().unwrap_or_default(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            labels: labels.into(),
            taints,
            api_set,
            provider,
            region,
            zones,
            summary,
            nodes,
            object,
        }
    }
}

fn apis(object: &Object) -> &[crds::cluster::ApiEnablements] {
    object
        .status
        .as_ref()
        .map_or(&[], |status| &status.api_enablements)
}

/// All member clusters at one moment.
///
/// Cloning shares the clusters, so that a decision can keep the snapshot it started with while the next one changes.
///
/// ```
/// use std::sync::Arc;
/// use crds::cluster::{Cluster, ClusterSpec};
/// use scheduler::Snapshot;
///
/// let mut snapshot = Snapshot::new(&[]);
/// snapshot.apply(Arc::new(Cluster::new("member1", ClusterSpec::default())));
/// assert_eq!(snapshot.cluster("member1").map(|cluster| cluster.name()), Some("member1"));
/// assert!(snapshot.remove("member1"));
/// assert!(snapshot.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    slots: Vec<Option<Arc<Cluster>>>,
    /// Occupied slots by name of the cluster.
    order: Vec<u32>,
    vacant: Vec<u32>,
    symbols: Arc<Symbols>,
}

impl Snapshot {
    /// Reads these clusters.
    pub fn new(clusters: &[Arc<Object>]) -> Self {
        let mut snapshot = Self::default();
        snapshot.fill(clusters.iter().cloned());
        snapshot
    }

    /// Adds a cluster or replaces the one of its name.
    pub fn apply(&mut self, cluster: Arc<Object>) {
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        let at = self.position(name);
        let slot = match at {
            Ok(at) => self.order[at],
            Err(_) => self.vacant.pop().unwrap_or_else(|| {
                let slot = self.next_slot();
                self.slots.push(None);
                slot
            }),
        };
        let previous = self.slots[slot as usize].take();
        let intern = Interner(&mut self.symbols);
        let parsed = Cluster::parse(cluster, slot, previous.as_deref(), intern);
        self.slots[slot as usize] = Some(Arc::new(parsed));
        if let Err(at) = at {
            self.order.insert(at, slot);
        }
        self.rebuild_if_stale();
    }

    /// Takes a cluster out; false if there is none of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        let Ok(at) = self.position(name) else {
            return false;
        };
        let slot = self.order.remove(at);
        self.slots[slot as usize] = None;
        self.vacant.push(slot);
        true
    }

    /// Number of clusters.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no cluster.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The cluster of this name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.position(name).ok().map(|at| self.at(at))
    }

    /// All clusters by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Cluster> {
        (0..self.order.len()).map(|at| self.at(at))
    }

    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The number of slots, occupied or not.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The n-th cluster by name.
    pub(crate) fn at(&self, at: usize) -> &Cluster {
        self.slots[self.order[at] as usize]
            .as_deref()
            .expect("slots in the order are occupied")
    }

    pub(crate) fn position(&self, name: &str) -> Result<usize, usize> {
        self.order.binary_search_by(|&slot| {
            let cluster = self.slots[slot as usize].as_deref();
            cluster.map_or("", Cluster::name).cmp(name)
        })
    }

    fn next_slot(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("a snapshot holds fewer than 2^32 clusters")
    }

    fn fill(&mut self, clusters: impl Iterator<Item = Arc<Object>>) {
        let mut clusters: Vec<Arc<Object>> = clusters.collect();
        clusters.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        // Of several objects of one name the last one counts.
        clusters.reverse();
        clusters.dedup_by(|a, b| a.metadata.name == b.metadata.name);
        clusters.reverse();
        let mut symbols = Arc::new(Symbols::default());
        let mut previous: Option<Arc<Cluster>> = None;
        *self = Self::default();
        for (slot, object) in (0_u32..).zip(clusters) {
            // Neighbours often serve the same APIs and have the same models.
            let cluster = Arc::new(Cluster::parse(
                object,
                slot,
                previous.as_deref(),
                Interner(&mut symbols),
            ));
            previous = Some(Arc::clone(&cluster));
            self.slots.push(Some(cluster));
            self.order.push(slot);
        }
        Arc::make_mut(&mut symbols).mark_rebuilt();
        self.symbols = symbols;
    }

    fn rebuild_if_stale(&mut self) {
        if self.symbols.is_stale() {
            let objects: Vec<Arc<Object>> = self
                .iter()
                .map(|cluster| Arc::clone(cluster.object()))
                .collect();
            self.fill(objects.into_iter());
        }
    }
}

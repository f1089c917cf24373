//! One binding's demands, prepared so that asking them of thousands of clusters is cheap.

use std::cell::OnceCell;

use crds::policy::{
    ClusterAffinityTerm, DynamicWeight, Placement, ReplicaDivisionPreference,
    ReplicaSchedulingType, SpreadConstraint, SpreadField,
};
use crds::work::{Binding, Component, ReplicaRequirements, ResourceBindingSpec};
use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::estimate::Demand;
use crate::inflight::{AssumedAt, Peers};
use crate::options::{Options, Switch};
use crate::plugins::Reason;
use crate::snapshot::symbols::TaintKind;
use crate::snapshot::{Affinity, Cluster, Slots, Snapshot};

/// What a decision knows about the binding.
///
/// Plugins read the binding through it; besides the fields themselves it answers what is asked once per cluster.
pub struct Request<'a> {
    pub(crate) meta: &'a ObjectMeta,
    pub(crate) spec: &'a ResourceBindingSpec,
    pub(crate) placement: &'a Placement,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) options: &'a Options,
    pub(crate) fresh: bool,
    /// The replicas wanted; never negative.
    pub(crate) replicas: i64,
    /// Known clusters of the target list in its order, with their replicas.
    pub(crate) targets: Vec<(u32, i64)>,
    is_target: Slots,
    assigned: Vec<u32>,
    evicting: Slots,
    /// Whether the API is in each set of APIs.
    serves: Vec<bool>,
    /// Whether each taint is tolerated.
    tolerated: Vec<bool>,
    /// Constraints by which a cluster must have a property.
    pub(crate) properties: Vec<Property>,
    peers: Groups,
    pub(crate) assumed: Option<AssumedAt<'a>>,
    /// The components that are placed, where sets are counted and it was noted.
    pub(crate) placed_set: Option<Vec<Component>>,
    /// The affinity that this attempt goes by.
    pub(crate) affinity: Rule<'a>,
    /// Why no cluster matches, if a part of the affinity is malformed: then it is not known which clusters were meant.
    pub(crate) malformed_affinity: Option<Reason>,
    demand: OnceCell<Demand<'a>>,
}

/// The affinity of an attempt.
#[derive(Default)]
pub(crate) enum Rule<'a> {
    /// Neither kind of affinity is set, or the observed name is none of a term's.
    #[default]
    None,
    /// The single `clusterAffinity`.
    Single(Affinity),
    /// A term of `clusterAffinities`.
    Term {
        term: &'a ClusterAffinityTerm,
        inline: Affinity,
        overflow: Vec<Affinity>,
    },
}

/// A property of clusters that a spread constraint needs.
#[derive(Clone, Debug)]
pub(crate) enum Property {
    Provider,
    Region,
    Zones,
    Label { key: String, reason: Reason },
}

/// What other workloads of the same groups allow.
enum Groups {
    /// Nobody told.
    Unknown,
    Failed(&'static str),
    Known {
        /// The clusters of each workload to stay with.
        together: Vec<Slots>,
        /// The clusters of workloads to stay away from.
        apart: Slots,
    },
}

/// Why the affinity keeps a cluster out.
pub(crate) const AFFINITY_MISMATCH: &str =
    "cluster(s) did not match the placement cluster affinity constraint";

/// The overflow order of clusters that no part of the observed term matches.
const NO_TIER: u32 = 1000;

/// What workload peers and bookkeeping say, besides the objects.
#[derive(Clone, Copy, Default)]
pub(crate) struct Surroundings<'a> {
    pub(crate) peers: Option<&'a Peers>,
    pub(crate) assumed: Option<AssumedAt<'a>>,
}

impl<'a> Request<'a> {
    pub(crate) fn new<B: Binding>(
        binding: &'a B,
        placement: &'a Placement,
        snapshot: &'a Snapshot,
        options: &'a Options,
        fresh: bool,
        around: Surroundings<'a>,
    ) -> Self {
        let spec = binding.spec();
        let mut request = Self {
            meta: binding.meta(),
            spec,
            placement,
            snapshot,
            options,
            fresh,
            replicas: i64::from(spec.replicas.unwrap_or_default()).max(0),
            targets: Vec::with_capacity(spec.clusters.len()),
            is_target: Slots::of(snapshot),
            assigned: vec![0; snapshot.capacity()],
            evicting: Slots::of(snapshot),
            serves: Vec::new(),
            tolerated: Vec::new(),
            properties: Vec::new(),
            peers: Groups::Unknown,
            assumed: around.assumed,
            placed_set: None,
            affinity: Rule::None,
            malformed_affinity: None,
            demand: OnceCell::new(),
        };
        request.read_targets();
        for task in &spec.graceful_eviction_tasks {
            if let Some(cluster) = snapshot.cluster(&task.from_cluster) {
                request.evicting.insert(cluster.slot);
            }
        }
        request.serves = serves(spec, snapshot);
        request.tolerated = snapshot
            .symbols()
            .taints()
            .iter()
            .map(|taint| {
                placement
                    .cluster_tolerations
                    .iter()
                    .any(|it| tolerates(it, taint))
            })
            .collect();
        request.properties = properties(placement, options);
        request.peers = Groups::of(around.peers, snapshot);
        request
    }

    /// The metadata of the binding.
    pub fn meta(&self) -> &'a ObjectMeta {
        self.meta
    }

    /// The spec of the binding.
    pub fn spec(&self) -> &'a ResourceBindingSpec {
        self.spec
    }

    /// The placement.
    pub fn placement(&self) -> &'a Placement {
        self.placement
    }

    /// All clusters.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// Whether the workload is to be placed anew, as if it ran nowhere.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether the cluster is in the target list.
    pub fn is_target(&self, cluster: &Cluster) -> bool {
        self.is_target.contains(cluster.slot)
    }

    /// The replicas that the target list gives the cluster.
    pub fn assigned(&self, cluster: &Cluster) -> i64 {
        self.assigned
            .get(cluster.slot as usize)
            .copied()
            .map_or(0, i64::from)
    }

    /// Whether the workload is being moved away from the cluster.
    pub fn is_evicting(&self, cluster: &Cluster) -> bool {
        self.evicting.contains(cluster.slot)
    }

    /// Whether the resource has replicas, requirements or components.
    pub fn is_workload(&self) -> bool {
        self.replicas > 0
            || self.spec.replica_requirements.is_some()
            || !self.spec.components.is_empty()
    }

    /// Whether the cluster serves the resource's API.
    pub fn serves_api(&self, cluster: &Cluster) -> bool {
        self.serves
            .get(cluster.api_set as usize)
            .copied()
            .unwrap_or_default()
    }

    /// What estimators are asked.
    pub fn question(&self) -> Question<'a> {
        if self.counts_sets() {
            Question::Sets(&self.spec.components)
        } else {
            Question::Replicas(self.spec.replica_requirements.as_ref())
        }
    }

    /// The first taint that keeps the workload off the cluster.
    pub(crate) fn untolerated(&self, cluster: &Cluster) -> Option<&'a TaintKind> {
        let taint = cluster.taints.iter().find(|&&taint| {
            !self
                .tolerated
                .get(taint as usize)
                .copied()
                .unwrap_or_default()
        })?;
        Some(&self.snapshot.symbols().taints()[*taint as usize])
    }

    /// Sets the term of `clusterAffinities` that this attempt goes by, or without a name the single affinity.
    pub(crate) fn set_affinity(&mut self, observed: &str) {
        let strict = self.options.compat.keeps(Switch::FieldsAreLabelValues);
        let compile = |affinity| Affinity::compile(affinity, self.snapshot, strict);
        self.affinity = if let Some(affinity) = &self.placement.cluster_affinity {
            Rule::Single(compile(affinity))
        } else if let Some(term) = self.placement.affinity_term(observed) {
            Rule::Term {
                term,
                inline: compile(&term.affinity),
                overflow: term
                    .overflow_affinities
                    .iter()
                    .map(|it| compile(&it.affinity))
                    .collect(),
            }
        } else {
            Rule::None
        };
        self.malformed_affinity = None;
        if !self.keeps(Switch::EmptyOnMalformed)
            && let Some(fault) = self.affinity_fault()
        {
            let text = format!("{AFFINITY_MISMATCH}: spec.placement.{fault}");
            self.malformed_affinity = Some(text.into());
        }
    }

    /// The first field of the affinity that is malformed, and why.
    fn affinity_fault(&self) -> Option<String> {
        match &self.affinity {
            Rule::None => None,
            Rule::Single(affinity) => Some(format!("clusterAffinity.{}", affinity.malformed()?)),
            Rule::Term {
                term,
                inline,
                overflow,
            } => {
                let of_overflow = || {
                    let mut faults = overflow.iter().map(Affinity::malformed).enumerate();
                    let (index, fault) = faults.find_map(|(at, fault)| Some((at, fault?)))?;
                    Some(format!("overflowAffinities[{index}].{fault}"))
                };
                let fault = inline.malformed().map(str::to_owned).or_else(of_overflow)?;
                let mut terms = self.placement.cluster_affinities.iter();
                let index = terms.position(|it| std::ptr::eq(it, *term))?;
                Some(format!("clusterAffinities[{index}].{fault}"))
            }
        }
    }

    /// Whether the affinity lets the cluster take part.
    pub(crate) fn in_affinity(&self, cluster: &Cluster) -> bool {
        let symbols = self.snapshot.symbols();
        match &self.affinity {
            Rule::None => true,
            Rule::Single(affinity) => affinity.matches(cluster, symbols),
            Rule::Term {
                inline, overflow, ..
            } => {
                inline.matches(cluster, symbols)
                    || (self.is_workload()
                        && overflow.iter().any(|it| it.matches(cluster, symbols)))
            }
        }
    }

    /// The overflow order of a cluster: 0 for the primary group, then the overflow groups.
    pub(crate) fn tier(&self, cluster: &Cluster) -> u32 {
        if self.placement.cluster_affinity.is_some() || self.placement.cluster_affinities.is_empty()
        {
            return 0;
        }
        let symbols = self.snapshot.symbols();
        let Rule::Term {
            inline, overflow, ..
        } = &self.affinity
        else {
            return NO_TIER;
        };
        if inline.matches(cluster, symbols) {
            return 0;
        }
        let tier = overflow.iter().position(|it| it.matches(cluster, symbols));
        tier.and_then(|tier| u32::try_from(tier + 1).ok())
            .unwrap_or(NO_TIER)
    }

    /// Whether replicas are given out tier by tier.
    pub(crate) fn has_overflow(&self) -> bool {
        matches!(&self.affinity, Rule::Term { overflow, .. } if !overflow.is_empty())
    }

    /// The first property that the cluster lacks for a spread constraint.
    pub(crate) fn missing_property(&self, cluster: &Cluster) -> Option<&Property> {
        self.properties.iter().find(|property| match property {
            Property::Provider => cluster.provider.is_none(),
            Property::Region => cluster.region.is_none(),
            Property::Zones => cluster.zones.is_empty(),
            Property::Label { key, .. } => cluster.label(key).is_none_or(str::is_empty),
        })
    }

    /// Whether the workload's affinity group lets it go to the cluster; else why not.
    pub(crate) fn allowed_by_group(&self, cluster: &Cluster) -> Result<(), &'static str> {
        let together = match &self.peers {
            Groups::Unknown => return Err(NO_INDEXER),
            Groups::Failed(reason) => return Err(reason),
            Groups::Known { together, .. } => together,
        };
        if together
            .iter()
            .all(|targets| targets.contains(cluster.slot))
        {
            Ok(())
        } else {
            Err("ResourceBinding with the same affinity group does not target this cluster")
        }
    }

    /// Whether the workload's anti-affinity group lets it go to the cluster; else why not.
    pub(crate) fn allowed_by_anti_group(&self, cluster: &Cluster) -> Result<(), &'static str> {
        match &self.peers {
            Groups::Unknown => Err(NO_INDEXER),
            Groups::Failed(reason) => Err(reason),
            Groups::Known { apart, .. } if apart.contains(cluster.slot) => {
                Err("cluster already has workload with the same anti-affinity group")
            }
            Groups::Known { .. } => Ok(()),
        }
    }

    /// The effective type.
    pub(crate) fn is_duplicated(&self) -> bool {
        self.placement.replica_scheduling_type() == ReplicaSchedulingType::Duplicated
    }

    /// How shares are computed when replicas are divided.
    pub(crate) fn division_preference(&self) -> Option<ReplicaDivisionPreference> {
        let strategy = self.placement.replica_scheduling.as_ref()?;
        let default = (!self.options.compat.keeps(Switch::NoDefaults))
            .then_some(ReplicaDivisionPreference::Weighted);
        strategy.replica_division_preference.or(default)
    }

    pub(crate) fn dynamic_weight(&self) -> Option<DynamicWeight> {
        let strategy = self.placement.replica_scheduling.as_ref()?;
        strategy.weight_preference.as_ref()?.dynamic_weight
    }

    /// Whether room is counted in sets of components rather than in replicas.
    pub(crate) fn counts_sets(&self) -> bool {
        let defaults = !self.keeps(Switch::NoDefaults);
        let is_by_cluster = |constraint: &SpreadConstraint| match constraint.spread_by_field {
            Some(field) => field == SpreadField::Cluster,
            None => {
                defaults
                    && constraint
                        .spread_by_label
                        .as_deref()
                        .is_none_or(str::is_empty)
            }
        };
        let is_one = |groups: Option<i64>, default: bool| match groups.unwrap_or_default() {
            0 => default,
            groups => groups == 1,
        };
        self.options.gates.multiple_pod_templates_scheduling
            && !self.spec.components.is_empty()
            && self.placement.spread_constraints.iter().any(|constraint| {
                is_by_cluster(constraint)
                    && is_one(constraint.min_groups, defaults)
                    && is_one(constraint.max_groups, false)
            })
    }

    /// Whether room matters at all.
    pub(crate) fn needs_estimates(&self) -> bool {
        self.replicas > 0 || !self.spec.components.is_empty()
    }

    /// The demands of one replica or set, read from the binding on first use.
    pub(crate) fn demand(&self) -> &Demand<'a> {
        self.demand.get_or_init(|| Demand::of(self))
    }

    pub(crate) fn keeps(&self, switch: Switch) -> bool {
        self.options.compat.keeps(switch)
    }

    fn read_targets(&mut self) {
        let mut expected = 0;
        for target in &self.spec.clusters {
            // Target lists are mostly sorted by name, like the snapshot.
            let here =
                expected < self.snapshot.len() && self.snapshot.at(expected).name() == target.name;
            let at = if here {
                expected
            } else {
                match self.snapshot.position(&target.name) {
                    Ok(at) => at,
                    Err(_) => continue,
                }
            };
            expected = at + 1;
            let slot = self.snapshot.at(at).slot;
            let replicas = u32::try_from(target.replicas.unwrap_or_default()).unwrap_or(0);
            let assigned = &mut self.assigned[slot as usize];
            *assigned = assigned.saturating_add(replicas);
            if self.is_target.contains(slot) {
                // A cluster listed twice has the sum of its entries.
                if let Some(entry) = self.targets.iter_mut().find(|(it, _)| *it == slot) {
                    entry.1 = i64::from(*assigned);
                }
            } else {
                self.is_target.insert(slot);
                self.targets.push((slot, i64::from(*assigned)));
            }
        }
    }
}

/// What an estimator is asked about each cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Question<'a> {
    /// How many more replicas with these requirements fit.
    Replicas(Option<&'a ReplicaRequirements>),
    /// How many more sets of these components fit.
    Sets(&'a [Component]),
}

const NO_INDEXER: &str = "ResourceBindingIndexer is nil";

impl Groups {
    fn of(peers: Option<&Peers>, snapshot: &Snapshot) -> Self {
        let Some(peers) = peers else {
            return Self::Unknown;
        };
        if let Some(reason) = peers.failure {
            return Self::Failed(reason);
        }
        let add = |slots: &mut Slots, names: &[String]| {
            for cluster in names.iter().filter_map(|name| snapshot.cluster(name)) {
                slots.insert(cluster.slot);
            }
        };
        let mut apart = Slots::of(snapshot);
        for names in &peers.anti_affinity {
            add(&mut apart, names);
        }
        let together = peers
            .affinity
            .iter()
            .filter(|names| !names.is_empty())
            .map(|names| {
                let mut slots = Slots::of(snapshot);
                add(&mut slots, names);
                slots
            })
            .collect();
        Self::Known { together, apart }
    }
}

fn serves(spec: &ResourceBindingSpec, snapshot: &Snapshot) -> Vec<bool> {
    let symbols = snapshot.symbols();
    let api = symbols
        .find(&spec.resource.api_version)
        .zip(symbols.find(&spec.resource.kind));
    let sets = symbols.api_sets().iter();
    sets.map(|set| api.is_some_and(|api| set.binary_search(&api).is_ok()))
        .collect()
}

fn properties(placement: &Placement, options: &Options) -> Vec<Property> {
    let labels = !options.compat.keeps(Switch::ClusterAndRegionOnly);
    let constraints = placement.spread_constraints.iter();
    constraints
        .filter_map(|constraint| match constraint.spread_by_field {
            Some(SpreadField::Provider) => Some(Property::Provider),
            Some(SpreadField::Region) => Some(Property::Region),
            Some(SpreadField::Zone) => Some(Property::Zones),
            Some(SpreadField::Cluster) => None,
            None => {
                let key = constraint.spread_by_label.as_ref()?;
                (labels && !key.is_empty()).then(|| Property::Label {
                    key: key.clone(),
                    reason: format!("cluster(s) did not have label {key}").into(),
                })
            }
        })
        .collect()
}

/// Whether a toleration covers a taint, by the rule for Pods and nodes; `Gt` and `Lt` never do.
fn tolerates(toleration: &Toleration, taint: &TaintKind) -> bool {
    let text = |field: &'_ Option<String>| field.clone().unwrap_or_default();
    let covers = |field: &Option<String>, found: &str| {
        field
            .as_deref()
            .is_none_or(|wanted| wanted.is_empty() || wanted == found)
    };
    if !covers(&toleration.effect, &taint.effect) || !covers(&toleration.key, &taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => text(&toleration.value) == *taint.value,
        _ => false,
    }
}

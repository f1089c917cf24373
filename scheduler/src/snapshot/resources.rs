//! What a cluster has room for, parsed once.

use std::collections::BTreeMap;

use crds::cluster::{ClusterStatus, ResourceModel, ResourceSummary};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::symbols::Symbol;
use crate::quantity::{Amount, milli, units};

/// The unit in which a resource is counted where only some resources count: on virtual nodes and by estimators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    /// CPU, in thousandths.
    Milli,
    /// Memory, ephemeral storage and scalar resources, in whole units.
    Whole,
    /// The number of pods, which is counted by itself.
    Pods,
}

impl Unit {
    /// The unit of a resource; `None` for names that are not counted.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "cpu" => Some(Self::Milli),
            "memory" | "ephemeral-storage" => Some(Self::Whole),
            "pods" => Some(Self::Pods),
            _ => is_scalar(name).then_some(Self::Whole),
        }
    }

    pub(crate) fn count(self, amount: Amount) -> i64 {
        match self {
            Self::Milli => amount.milli(),
            Self::Whole | Self::Pods => amount.value(),
        }
    }
}

/// Whether a resource is an extended, huge-page, attachable-volume or prefixed native one.
fn is_scalar(name: &str) -> bool {
    name.starts_with("hugepages-")
        || name.starts_with("attachable-volumes-")
        || name.contains("kubernetes.io/")
        || is_extended(name)
}

/// The prefix with which names must stay legal, because quotas put it before them.
const QUOTA_PREFIX: &str = "requests.";

fn is_extended(name: &str) -> bool {
    let Some((prefix, local)) = name.split_once('/') else {
        return false;
    };
    let is_label = |label: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.starts_with(edge)
            && label.ends_with(edge)
            && label.chars().all(|c| edge(c) || c == '-')
    };
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    !name.starts_with(QUOTA_PREFIX)
        && prefix.len() + QUOTA_PREFIX.len() <= 253
        && prefix.split('.').all(is_label)
        && local.len() <= 63
        && local.starts_with(alphanumeric)
        && local.ends_with(alphanumeric)
        && local
            .chars()
            .all(|c| alphanumeric(c) || matches!(c, '-' | '_' | '.'))
}

/// What is free of one resource that the cluster has at all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Free {
    pub(crate) name: Symbol,
    pub(crate) nanos: i128,
    /// In whole units, rounded up.
    pub(crate) units: i64,
    /// In thousandths, rounded up.
    pub(crate) milli: i64,
    /// Whether the allocatable amount is written in binary notation.
    pub(crate) binary: bool,
}

/// A resource summary, less what is allocated and about to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) pods: i64,
    /// By name.
    resources: Box<[Free]>,
    /// Resources whose amounts cannot be read, each with what is wrong.
    faults: Box<[(String, String)]>,
}

impl Summary {
    pub(crate) fn of(summary: &ResourceSummary, mut intern: impl FnMut(&str) -> Symbol) -> Self {
        let used = |name: &str| {
            let of = |list: &BTreeMap<String, Quantity>| match list.get(name) {
                None => Some(0),
                Some(quantity) => Amount::of(quantity).map(|it| it.nanos),
            };
            // Nothing is free of a resource whose use is not known.
            of(&summary.allocated)
                .zip(of(&summary.allocating))
                .map_or(i128::MAX / 2, |(allocated, allocating)| {
                    allocated + allocating
                })
        };
        let free = |name: &str, allocatable: Amount| allocatable.nanos - used(name);
        let pods = summary.allocatable.get("pods").and_then(Amount::of);
        let mut resources: Vec<Free> = summary
            .allocatable
            .iter()
            .filter_map(|(name, quantity)| {
                let allocatable = Amount::of(quantity)?;
                let nanos = free(name, allocatable);
                Some(Free {
                    name: intern(name),
                    nanos,
                    units: units(nanos),
                    milli: milli(nanos),
                    binary: allocatable.binary,
                })
            })
            .collect();
        resources.sort_unstable_by_key(|free| free.name);
        Self {
            pods: pods.map_or(0, |it| units(free("pods", it))),
            resources: resources.into(),
            faults: faults(summary).collect(),
        }
    }

    /// What is wrong with the amounts of a resource.
    pub(crate) fn fault(&self, name: &str) -> Option<&str> {
        let mut faults = self.faults.iter();
        faults
            .find(|(it, _)| it == name)
            .map(|(_, fault)| fault.as_str())
    }

    /// What is free of a resource; `None` if the cluster does not have it.
    pub(crate) fn free(&self, name: Symbol) -> Option<&Free> {
        // A handful of entries: walking them beats a binary search.
        self.resources.iter().find(|free| free.name == name)
    }

    /// Changes what is free of a resource that the cluster has.
    pub(crate) fn change(&mut self, name: Symbol, with: impl FnOnce(&mut Free)) {
        if let Some(free) = self.resources.iter_mut().find(|free| free.name == name) {
            with(free);
        }
    }
}

/// The amounts of a summary that are no quantities.
fn faults(summary: &ResourceSummary) -> impl Iterator<Item = (String, String)> {
    let lists = [
        ("allocatable", &summary.allocatable),
        ("allocated", &summary.allocated),
        ("allocating", &summary.allocating),
    ];
    lists.into_iter().flat_map(|(list, amounts)| {
        let unread = amounts.iter().filter(|(_, it)| Amount::of(it).is_none());
        unread.map(move |(name, it)| {
            let text = &it.0;
            let fault = format!(
                "status.resourceSummary.{list}[{name}] is invalid: {text:?} is no quantity"
            );
            (name.clone(), fault)
        })
    })
}

/// Sizes of nodes, ascending: what a virtual node of each grade has room for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Models {
    grades: Vec<Grade>,
    /// Every resource that some grade names.
    resources: Vec<Symbol>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Grade {
    number: u64,
    /// Lower bounds in the unit of each resource.
    capacity: Vec<(Symbol, i64)>,
}

/// Pods on one virtual node, whatever the models say.
pub(crate) const PODS_PER_NODE: i64 = 110;

impl Models {
    pub(crate) fn of(models: &[ResourceModel], mut intern: impl FnMut(&str) -> Symbol) -> Self {
        let mut by_grade: BTreeMap<u64, Vec<(Symbol, i64)>> = BTreeMap::new();
        for model in models {
            let capacity = model.ranges.iter().filter_map(|range| {
                let unit = Unit::of(&range.name).filter(|&unit| unit != Unit::Pods)?;
                let amount = Amount::of(&range.min)?;
                Some((intern(&range.name), unit.count(amount)))
            });
            let capacity: BTreeMap<Symbol, i64> = capacity.collect();
            by_grade.insert(model.grade, capacity.into_iter().collect());
        }
        let grades: Vec<Grade> = by_grade
            .into_iter()
            .map(|(number, capacity)| Grade { number, capacity })
            .collect();
        let mut resources: Vec<Symbol> = grades
            .iter()
            .flat_map(|grade| grade.capacity.iter().map(|&(name, _)| name))
            .collect();
        resources.sort_unstable();
        resources.dedup();
        Self { grades, resources }
    }

    pub(crate) fn len(&self) -> usize {
        self.grades.len()
    }

    /// Whether some grade says how much of this resource a node has.
    pub(crate) fn lists(&self, name: Symbol) -> bool {
        self.resources.binary_search(&name).is_ok()
    }

    /// What a node of the n-th grade has of a resource.
    pub(crate) fn capacity(&self, grade: usize, name: Symbol) -> i64 {
        let capacity = &self.grades[grade].capacity;
        capacity
            .binary_search_by_key(&name, |&(name, _)| name)
            .map_or(0, |at| capacity[at].1)
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.grades
            .binary_search_by_key(&number, |grade| grade.number)
            .ok()
    }
}

/// How many nodes of each size a cluster has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Nodes {
    /// The cluster reports no sizes.
    Unmodelled,
    /// It does, but they cannot be used.
    Invalid,
    Modelled {
        /// Number of the models in the snapshot's table.
        models: u32,
        /// One count per grade of the models.
        counts: Box<[i64]>,
    },
}

impl Nodes {
    /// Counts nodes against the cluster's models, whose number in the table is given.
    pub(crate) fn of(status: Option<&ClusterStatus>, models: Option<(u32, &Models)>) -> Self {
        let counted = status
            .and_then(|status| status.resource_summary.as_ref())
            .map_or(&[][..], |summary| &summary.allocatable_modelings);
        if counted.is_empty() {
            return Self::Unmodelled;
        }
        let Some((number, models)) = models.filter(|(_, models)| models.len() > 0) else {
            return Self::Invalid;
        };
        let mut counts = vec![0_i64; models.len()];
        for entry in counted {
            if entry.count < 0 {
                return Self::Invalid;
            }
            if let Some(position) = models.position(entry.grade) {
                counts[position] += i64::from(entry.count);
            }
        }
        Self::Modelled {
            models: number,
            counts: counts.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_resources_are_told_from_ignored_ones() {
        for name in [
            "nvidia.com/gpu",
            "hugepages-2Mi",
            "attachable-volumes-csi",
            "kubernetes.io/batch",
            "example.com/a.b_c",
        ] {
            assert_eq!(Unit::of(name), Some(Unit::Whole), "{name}");
        }
        for name in [
            "storage",
            "requests.nvidia.com/gpu",
            "Upper.com/gpu",
            "a/b/c",
            "gpu",
            "a/",
        ] {
            assert_eq!(Unit::of(name), None, "{name}");
        }
    }
}

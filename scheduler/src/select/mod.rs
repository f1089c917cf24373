//! Which of the clusters that fit get the workload: spread constraints over candidates in canonical order.

mod cluster;
mod group_score;
mod groups;
mod nested;
mod region;

use std::cmp::Reverse;

use crds::policy::{ReplicaDivisionPreference, SpreadConstraint, SpreadField};

pub use groups::{Group, Limits, choose};

use crate::options::Switch;
use crate::request::Request;
use crate::snapshot::Cluster;
use crate::trace::{Item, Sink};

/// A cluster that fits, with what selection and division go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub(crate) slot: u32,
    /// Position among all clusters by name.
    pub(crate) rank: u32,
    /// 0 in the primary group of the affinity, then the overflow groups.
    pub tier: u32,
    /// The sum of all scores.
    pub score: i64,
    /// Replicas (or sets) that fit, including those that are there.
    pub available: i64,
    /// Replicas (or sets) that fit in addition.
    pub allocatable: i64,
    /// Replicas that the target list gives the cluster.
    pub assigned: i64,
}

impl Candidate {
    /// The cluster.
    pub fn cluster<'a>(&self, request: &Request<'a>) -> &'a Cluster {
        request.snapshot.at(self.rank as usize)
    }

    pub(crate) fn name<'a>(&self, request: &Request<'a>) -> &'a str {
        self.cluster(request).name()
    }

    /// What the canonical order goes by.
    fn order(&self) -> (u32, Reverse<i64>, Reverse<i64>, u32) {
        (
            self.tier,
            Reverse(self.score),
            Reverse(self.available),
            self.rank,
        )
    }
}

/// Brings candidates into the canonical order: tier, then score, then available room, then name.
pub(crate) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_unstable_by_key(Candidate::order);
}

/// Why no clusters could be selected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    #[error("the number of feasible clusters is less than spreadConstraint.MinGroups")]
    TooFewClusters,
    #[error("no enough resource when selecting {clusters} clusters")]
    NotEnoughRoom {
        clusters: usize,
        /// Whether this counts as a shortage that may pass.
        unschedulable: bool,
    },
    #[error("the number of feasible {field} is less than spreadConstraint.MinGroups")]
    TooFewGroups { field: String },
    #[error("the number of clusters is less than the cluster spreadConstraint.MinGroups")]
    TooFewClustersInGroups,
    /// One constraint asks for more groups than another one allows.
    #[error(
        "spec.placement.spreadConstraints[{index}].minGroups is invalid: {min} is more than \
         spec.placement.spreadConstraints[{limit}].maxGroups, which is {max}"
    )]
    MoreGroupsThanAllowed {
        index: usize,
        min: usize,
        limit: usize,
        max: usize,
    },
    #[error("spec.placement.spreadConstraints[{index}].{field} is invalid: {message}")]
    Malformed {
        index: usize,
        field: &'static str,
        message: String,
    },
    #[error("no choice of groups meets all spread constraints")]
    NoCombination,
    #[error("just support cluster and region spread constraint")]
    Unsupported,
    /// A plugin's own words.
    #[error("{0}")]
    Plugin(String),
}

impl SelectError {
    /// Whether clusters could be selected if they had more room.
    pub fn is_unschedulable(&self) -> bool {
        matches!(
            self,
            Self::NotEnoughRoom {
                unschedulable: true,
                ..
            }
        )
    }
}

/// How many groups a constraint asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// Which of the constraints says so.
    pub(crate) index: usize,
}

impl Range {
    /// Any number.
    pub(crate) const ANY: Self = Self {
        min: 0,
        max: usize::MAX,
        index: 0,
    };
    /// What an absent cluster constraint means to the reference.
    const NONE: Self = Self {
        max: 0,
        ..Self::ANY
    };
}

/// What selection aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aim {
    pub(crate) duplicated: bool,
    pub(crate) replicas: i64,
    /// The room that the selected clusters must have together; `None` if it does not matter.
    pub(crate) needed: Option<i64>,
}

/// The spread constraints of a placement, by what they speak of.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    cluster: Option<Range>,
    region: Option<Range>,
    provider: Option<Range>,
    zone: Option<Range>,
    labels: Vec<(String, Range)>,
}

impl Spread {
    fn of(request: &Request<'_>) -> Result<Self, SelectError> {
        let zero_is_zero = request.keeps(Switch::ZeroMaxGroups);
        let defaults = !request.keeps(Switch::NoDefaults);
        let mut spread = Self::default();
        for (index, constraint) in request.placement.spread_constraints.iter().enumerate() {
            if !request.keeps(Switch::UncheckedNumbers) {
                check_limits(index, constraint)?;
            }
            let count = |value: Option<i64>| {
                usize::try_from(value.unwrap_or_default().max(0)).unwrap_or(usize::MAX)
            };
            let range = Range {
                min: count(constraint.min_groups),
                max: match count(constraint.max_groups) {
                    0 if !zero_is_zero => usize::MAX,
                    max => max,
                },
                index,
            };
            let label = constraint
                .spread_by_label
                .as_ref()
                .filter(|key| !key.is_empty());
            match (constraint.spread_by_field, label) {
                (Some(SpreadField::Cluster), _) => spread.cluster = Some(range),
                (Some(SpreadField::Region), _) => spread.region = Some(range),
                (Some(SpreadField::Provider), _) => spread.provider = Some(range),
                (Some(SpreadField::Zone), _) => spread.zone = Some(range),
                (None, Some(key)) => spread.labels.push((key.clone(), range)),
                (None, None) if defaults => spread.cluster = Some(range),
                (None, None) => {}
            }
        }
        Ok(spread)
    }

    fn is_nested(&self) -> bool {
        self.provider.is_some() || self.zone.is_some() || !self.labels.is_empty()
    }
}

/// Refuses limits that no number of groups meets.
fn check_limits(index: usize, constraint: &SpreadConstraint) -> Result<(), SelectError> {
    let malformed = |field, message| {
        Err(SelectError::Malformed {
            index,
            field,
            message,
        })
    };
    let min = constraint.min_groups.unwrap_or_default();
    let max = constraint.max_groups.unwrap_or_default();
    if min < 0 {
        malformed("minGroups", format!("{min} is negative"))
    } else if max < 0 {
        malformed("maxGroups", format!("{max} is negative"))
    } else if max != 0 && max < min {
        malformed(
            "maxGroups",
            format!("{max} is less than minGroups, which is {min}"),
        )
    } else {
        Ok(())
    }
}

/// What was selected, and by whom.
pub(crate) struct Selected<'a> {
    /// Positions among the candidates, in the order of selection.
    pub(crate) chosen: Vec<usize>,
    /// The plugin that decided; `None` for the built-in rules.
    pub(crate) plugin: Option<&'a str>,
}

/// Selects among candidates in canonical order.
pub(crate) fn select<'a>(
    request: &Request<'a>,
    candidates: &[Candidate],
    sink: &mut impl Sink<Item>,
) -> Result<Selected<'a>, SelectError> {
    for plugin in &request.options.plugins.selects {
        let Some(result) = plugin.select(request, candidates) else {
            continue;
        };
        sink.record(|| Item::Path {
            path: "Plugin",
            plugin: Some(plugin.name().to_owned()),
        });
        let mut chosen = result?;
        let mut seen = vec![false; candidates.len()];
        chosen.retain(|&at| {
            seen.get_mut(at)
                .is_some_and(|seen| !std::mem::replace(seen, true))
        });
        return Ok(Selected {
            chosen,
            plugin: Some(plugin.name()),
        });
    }
    let chosen = by_constraints(request, candidates, sink)?;
    Ok(Selected {
        chosen,
        plugin: None,
    })
}

/// Selects by the spread constraints.
fn by_constraints(
    request: &Request<'_>,
    candidates: &[Candidate],
    sink: &mut impl Sink<Item>,
) -> Result<Vec<usize>, SelectError> {
    let mut path = |path| sink.record(|| Item::Path { path, plugin: None });
    if request.placement.spread_constraints.is_empty() || has_static_weights(request) {
        path("All");
        return Ok((0..candidates.len()).collect());
    }
    let spread = Spread::of(request)?;
    let aim = Aim {
        duplicated: request.is_duplicated(),
        replicas: request.replicas,
        needed: needed(request),
    };
    if spread.is_nested() && !request.keeps(Switch::ClusterAndRegionOnly) {
        path("Groups");
        return nested::select(request, candidates, &spread, aim, sink);
    }
    if let Some(region) = spread.region {
        path("Regions");
        return region::select(request, candidates, region, spread.cluster, aim, sink);
    }
    match spread.cluster {
        None => Err(SelectError::Unsupported),
        Some(range) => {
            path("Clusters");
            let spare_targets = !request.keeps(Switch::SelectionShortage);
            let chosen = cluster::select(candidates, range, aim.needed, spare_targets)?;
            trace_swaps(request, candidates, &chosen, sink);
            Ok(chosen)
        }
    }
}

/// Reports which clusters took the place of which.
fn trace_swaps(
    request: &Request<'_>,
    candidates: &[Candidate],
    chosen: &[usize],
    sink: &mut impl Sink<Item>,
) {
    if !sink.is_recording() {
        return;
    }
    for (place, &at) in chosen.iter().enumerate().filter(|(place, at)| place != *at) {
        sink.record(|| Item::Swapped {
            out: candidates[place].name(request).to_owned(),
            r#in: candidates[at].name(request).to_owned(),
        });
    }
}

/// Whether replicas are divided by fixed weights, for which spread constraints are not looked at.
fn has_static_weights(request: &Request<'_>) -> bool {
    let strategy = request.placement.replica_scheduling.as_ref();
    let preference = strategy.and_then(|strategy| strategy.weight_preference.as_ref());
    !request.is_duplicated()
        && request.division_preference() == Some(ReplicaDivisionPreference::Weighted)
        && preference.is_none_or(|preference| {
            !preference.static_weight_list.is_empty() && preference.dynamic_weight.is_none()
        })
}

/// The room that the selected clusters must have.
fn needed(request: &Request<'_>) -> Option<i64> {
    if request.is_duplicated() {
        None
    } else if request.counts_sets() {
        Some(1)
    } else {
        Some(request.replicas)
    }
}

//! How many replicas each selected cluster gets.

mod dynamic;
mod static_weight;
pub mod webster;

use crds::policy::{ReplicaDivisionPreference, ReplicaSchedulingType};

use crate::options::Switch;
use crate::request::Request;
use crate::select::Candidate;
use crate::trace::{Assigned, Division, Item, Share, Sink};
use dynamic::Kind;
use webster::{Quotients, TieOrder};

/// Replicas for a cluster, by its position among all clusters by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) rank: u32,
    pub(crate) replicas: i64,
}

/// Why replicas could not be assigned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    #[error("no clusters available to schedule")]
    NoClusters,
    #[error(
        "unsupported replica scheduling strategy, replicaSchedulingType: {scheduling_type}, \
         replicaDivisionPreference: {division_preference}, please try another scheduling strategy"
    )]
    UnsupportedStrategy {
        scheduling_type: &'static str,
        division_preference: &'static str,
    },
    #[error("spec.placement.replicaScheduling.weightPreference.staticWeightList[{rule}].{fault}")]
    MalformedWeight { rule: usize, fault: String },
    #[error("{phase}: Clusters available replicas {available} are not enough to schedule.")]
    Shortage { phase: &'static str, available: i64 },
    #[error("Clusters available replicas are not enough to schedule.")]
    TiersShortage,
}

impl AssignError {
    /// Whether replicas could be assigned if clusters had more room.
    pub fn is_unschedulable(&self) -> bool {
        matches!(self, Self::Shortage { .. } | Self::TiersShortage)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Duplicated,
    StaticWeight,
    Available(Kind),
}

impl Strategy {
    fn of(request: &Request<'_>) -> Result<Self, AssignError> {
        if request.is_duplicated() {
            return Ok(Self::Duplicated);
        }
        match request.division_preference() {
            Some(ReplicaDivisionPreference::Aggregated) => Ok(Self::Available(Kind::Aggregated)),
            Some(ReplicaDivisionPreference::Weighted) if request.dynamic_weight().is_some() => {
                Ok(Self::Available(Kind::DynamicWeight))
            }
            Some(ReplicaDivisionPreference::Weighted) => Ok(Self::StaticWeight),
            None => Err(AssignError::UnsupportedStrategy {
                scheduling_type: match request.placement.replica_scheduling_type() {
                    ReplicaSchedulingType::Duplicated => "Duplicated",
                    ReplicaSchedulingType::Divided => "Divided",
                },
                division_preference: "",
            }),
        }
    }
}

/// Assigns replicas to candidates given in the order of selection.
pub(crate) fn assign(
    request: &Request<'_>,
    selected: &[Candidate],
    sink: &mut impl Sink<Item>,
) -> Result<Vec<Part>, AssignError> {
    if selected.is_empty() {
        return Err(AssignError::NoClusters);
    }
    let spec = request.spec;
    // A workload of no replicas stays where it is wanted: scaling to zero must not delete it.
    let removes = request.keeps(Switch::RemoveAtZero) && spec.replica_requirements.is_some();
    let divides = (request.replicas > 0 || removes) && spec.components.len() < 2;
    let mut result = if divides {
        let mut result = if request.has_overflow() {
            by_tiers(request, selected, sink)?
        } else {
            by_strategy(request, selected, request.replicas, None, sink)?
        };
        result.retain(|part| part.replicas > 0);
        result
    } else {
        selected
            .iter()
            .map(|it| Part {
                rank: it.rank,
                replicas: 0,
            })
            .collect()
    };
    if request.options.empty_workload_propagation {
        let mut present = vec![false; request.snapshot.len()];
        for part in &result {
            present[part.rank as usize] = true;
        }
        let missing = selected.iter().filter(|it| !present[it.rank as usize]);
        result.extend(missing.map(|it| Part {
            rank: it.rank,
            replicas: 0,
        }));
    }
    Ok(result)
}

fn by_strategy(
    request: &Request<'_>,
    selected: &[Candidate],
    replicas: i64,
    tier: Option<u32>,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<Part>, AssignError> {
    match Strategy::of(request)? {
        Strategy::Duplicated => {
            let parts: Vec<Part> = selected
                .iter()
                .map(|it| Part {
                    rank: it.rank,
                    replicas,
                })
                .collect();
            sink.record(|| {
                Item::Divided(Division {
                    strategy: "Duplicated",
                    mode: "Static",
                    tier,
                    target: replicas,
                    shares: Vec::new(),
                    base: Vec::new(),
                })
            });
            Ok(parts)
        }
        Strategy::StaticWeight => static_weight::divide(request, selected, replicas, tier, sink),
        Strategy::Available(kind) => dynamic::divide(request, selected, replicas, kind, tier, sink),
    }
}

/// Fills the primary group first, then the overflow groups in order, each up to its capacity.
fn by_tiers(
    request: &Request<'_>,
    selected: &[Candidate],
    sink: &mut impl Sink<Item>,
) -> Result<Vec<Part>, AssignError> {
    let mut tiers: Vec<u32> = selected.iter().map(|it| it.tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let mut remaining = request.replicas;
    let mut result = Vec::new();
    for tier in tiers {
        let members: Vec<Candidate> = selected
            .iter()
            .filter(|it| it.tier == tier)
            .cloned()
            .collect();
        let capacity = members
            .iter()
            .fold(0_i64, |sum, it| sum.saturating_add(it.available));
        let quota = remaining.min(capacity);
        result.extend(by_strategy(request, &members, quota, Some(tier), sink)?);
        remaining -= quota;
        if remaining <= 0 {
            return Ok(result);
        }
    }
    Err(AssignError::TiersShortage)
}

/// Divides by Webster's method among candidates, each with a weight; the result is in the order of names.
fn webster(request: &Request<'_>, seats: i64, mut pool: Vec<(u32, u64)>) -> Vec<Part> {
    pool.sort_unstable_by_key(|&(rank, _)| rank);
    let weights: Vec<u64> = pool.iter().map(|&(_, weight)| weight).collect();
    let uid = request.spec.resource.uid.as_deref().unwrap_or_default();
    let quotients = if request.keeps(Switch::RoundedQuotients) {
        Quotients::Rounded
    } else {
        Quotients::Exact
    };
    let seats = u64::try_from(seats).unwrap_or_default();
    let seats = webster::divide(seats, &weights, TieOrder::of_uid(uid), quotients);
    pool.iter()
        .zip(seats)
        .map(|(&(rank, _), seats)| Part {
            rank,
            replicas: i64::try_from(seats).unwrap_or(i64::MAX),
        })
        .collect()
}

/// The trace's view of a division: exact shares beside the outcome, which is in the order of names.
fn shares(request: &Request<'_>, seats: i64, pool: &[(u32, u64)], result: &[Part]) -> Vec<Share> {
    let total: u128 = pool.iter().map(|&(_, weight)| u128::from(weight)).sum();
    let seats = u128::from(u64::try_from(seats).unwrap_or_default());
    pool.iter()
        .map(|&(rank, weight)| {
            let hundredths = (seats * u128::from(weight) * 100)
                .checked_div(total)
                .unwrap_or(0);
            let replicas = result.binary_search_by_key(&rank, |part| part.rank);
            Share {
                cluster: name(request, rank),
                weight: i64::try_from(weight).unwrap_or(i64::MAX),
                share: format!("{}.{:02}", hundredths / 100, hundredths % 100),
                replicas: replicas.map_or(0, |at| result[at].replicas),
            }
        })
        .collect()
}

fn assigned(request: &Request<'_>, base: &[Part]) -> Vec<Assigned> {
    base.iter()
        .map(|part| Assigned {
            cluster: name(request, part.rank),
            replicas: part.replicas,
        })
        .collect()
}

fn name(request: &Request<'_>, rank: u32) -> String {
    request.snapshot.at(rank as usize).name().to_owned()
}

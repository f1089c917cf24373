//! Division by the weights that the policy gives clusters.

use super::{AssignError, Part, shares, webster};
use crate::options::Switch;
use crate::request::Request;
use crate::select::Candidate;
use crate::snapshot::Affinity;
use crate::trace::{Division, Item, Sink};

/// Divides anew each time: neither room nor what runs where matters.
pub(super) fn divide(
    request: &Request<'_>,
    selected: &[Candidate],
    replicas: i64,
    tier: Option<u32>,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<Part>, AssignError> {
    let pool: Vec<(u32, u64)> = weights(request, selected, sink)?;
    let result = webster(request, replicas, pool.clone());
    sink.record(|| {
        Item::Divided(Division {
            strategy: "StaticWeight",
            mode: "Static",
            tier,
            target: replicas,
            shares: shares(request, replicas, &pool, &result),
            base: Vec::new(),
        })
    });
    Ok(result)
}

/// The weight of each candidate that has one: the largest of the rules that match it. Equal weights if no rule matches any.
///
/// A rule that means nothing is an error: left out, it would take away what its clusters have.
fn weights(
    request: &Request<'_>,
    selected: &[Candidate],
    sink: &mut impl Sink<Item>,
) -> Result<Vec<(u32, u64)>, AssignError> {
    let strategy = request.placement.replica_scheduling.as_ref();
    let preference = strategy.and_then(|strategy| strategy.weight_preference.as_ref());
    let rules = preference.map_or(&[][..], |preference| &preference.static_weight_list);
    // By cluster's rank; the number of the rule only counts with a weight above 0.
    let mut weights = vec![(0_u64, 0_usize); request.snapshot.len()];
    let symbols = request.snapshot.symbols();
    let strict = request.keeps(Switch::FieldsAreLabelValues);
    for (number, rule) in rules.iter().enumerate() {
        let weight = u64::try_from(rule.weight).unwrap_or_default();
        let affinity = Affinity::compile(&rule.target_cluster, request.snapshot, strict);
        let negative = (rule.weight < 0 && !request.keeps(Switch::UncheckedNumbers))
            .then(|| format!("weight is invalid: {} is negative", rule.weight));
        let malformed = affinity
            .malformed()
            .filter(|_| !request.keeps(Switch::EmptyOnMalformed))
            .map(|fault| format!("targetCluster.{fault}"));
        if let Some(fault) = negative.or(malformed) {
            return Err(AssignError::MalformedWeight {
                rule: number,
                fault,
            });
        }
        let mut apply = |rank: u32| {
            let entry = &mut weights[rank as usize];
            if weight > entry.0 && affinity.matches(request.snapshot.at(rank as usize), symbols) {
                *entry = (weight, number);
            }
        };
        let names = &rule.target_cluster.cluster_names;
        if names.is_empty() {
            for candidate in selected {
                apply(candidate.rank);
            }
        } else {
            let ranks = names
                .iter()
                .filter_map(|name| request.snapshot.position(name).ok());
            ranks
                .filter_map(|rank| u32::try_from(rank).ok())
                .for_each(&mut apply);
        }
    }
    let mut pool: Vec<(u32, u64)> = selected
        .iter()
        .map(|it| (it.rank, weights[it.rank as usize].0))
        .filter(|&(_, weight)| weight > 0)
        .collect();
    let matched = !pool.is_empty();
    if !matched {
        pool = selected.iter().map(|it| (it.rank, 1)).collect();
    }
    if sink.is_recording() {
        for &(rank, weight) in &pool {
            sink.record(|| Item::Weight {
                cluster: super::name(request, rank),
                weight: i64::try_from(weight).unwrap_or(i64::MAX),
                rule: matched.then(|| weights[rank as usize].1),
            });
        }
    }
    Ok(pool)
}

//! The division of a Job's completions.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crds::policy::ReplicaSchedulingType;
use crds::work::ResourceBindingSpec;
use crds::{names, object};
use serde_json::Value;
use trace::Sink;

use super::Target;
use crate::trace::Item;

/// `spec.completions` of the Job is no number, so no cluster can be told its share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("spec.completions of {kind} {name} is not an integer")]
pub struct CompletionsError {
    pub kind: String,
    pub name: String,
}

/// The most completions that are divided; the division takes one step per completion.
const MAX_COMPLETIONS: i64 = 10_000_000;

/// The share of each target; `None` when there is nothing to divide.
pub fn completions(
    template: &Value,
    spec: &ResourceBindingSpec,
    targets: &[Target],
    sink: &mut impl Sink<Item>,
) -> Result<Option<BTreeMap<String, i64>>, CompletionsError> {
    let is_divided = spec.placement.as_ref().is_some_and(|placement| {
        placement.replica_scheduling_type() == ReplicaSchedulingType::Divided
    });
    if object::kind(template) != "Job" || spec.replicas.unwrap_or_default() <= 0 || !is_divided {
        return Ok(None);
    }
    let Some(completions) = template.pointer("/spec/completions") else {
        return Ok(None);
    };
    let completions = completions.as_i64().ok_or_else(|| CompletionsError {
        kind: object::kind(template).to_owned(),
        name: object::name(template).to_owned(),
    })?;
    let weights: BTreeMap<&str, i64> = targets
        .iter()
        .map(|target| {
            (
                &*target.cluster,
                i64::from(target.replicas.unwrap_or_default().max(0)),
            )
        })
        .collect();
    if weights.values().all(|weight| *weight == 0) || completions > MAX_COMPLETIONS {
        return Ok(None);
    }
    let uid = object::uid(template).unwrap_or_default();
    let descending = !uid.is_empty() && names::fnv1a32(uid.as_bytes()) % 2 == 1;
    let shares = webster(completions, &weights, descending);
    sink.record(|| Item::CompletionsDivided {
        completions,
        weights: weights
            .iter()
            .map(|(cluster, weight)| ((*cluster).to_owned(), *weight))
            .collect(),
        shares: shares.clone(),
    });
    Ok(Some(shares))
}

/// Gives one seat after the other to the party with the greatest `weight / (2·seats + 1)`. Ties go to the party with fewer
/// seats, then to the first name, or to the last one if `descending`.
fn webster(seats: i64, weights: &BTreeMap<&str, i64>, descending: bool) -> BTreeMap<String, i64> {
    let mut shares: Vec<(&str, i64, i64)> = weights
        .iter()
        .map(|(party, weight)| (*party, *weight, 0))
        .collect();
    if descending {
        shares.reverse();
    }
    for _ in 0..seats {
        let mut best = 0;
        for (index, &(_, weight, held)) in shares.iter().enumerate().skip(1) {
            let (_, best_weight, best_held) = shares[best];
            // weight / (2·held + 1) compared without division.
            let priority =
                |weight: i64, other: i64| i128::from(weight) * (2 * i128::from(other) + 1);
            let wins = match priority(weight, best_held).cmp(&priority(best_weight, held)) {
                Ordering::Greater => true,
                Ordering::Equal => held < best_held,
                Ordering::Less => false,
            };
            if wins {
                best = index;
            }
        }
        shares[best].2 += 1;
    }
    shares
        .into_iter()
        .map(|(party, _, held)| (party.to_owned(), held))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_follow_weights() {
        let check = |seats, weights: &[(&str, i64)], descending, expected: &[(&str, i64)]| {
            let shares = webster(seats, &weights.iter().copied().collect(), descending);
            let expected: BTreeMap<_, _> = expected
                .iter()
                .map(|(name, share)| ((*name).to_owned(), *share))
                .collect();
            assert_eq!(shares, expected);
        };
        check(8, &[("m1", 1), ("m2", 2)], false, &[("m1", 3), ("m2", 5)]);
        check(7, &[("m1", 3)], false, &[("m1", 7)]);
        check(3, &[("m1", 1), ("m2", 1)], false, &[("m1", 2), ("m2", 1)]);
        check(3, &[("m1", 1), ("m2", 1)], true, &[("m1", 1), ("m2", 2)]);
        check(5, &[("m1", 0), ("m2", 1)], false, &[("m1", 0), ("m2", 5)]);
        check(0, &[("m1", 1)], false, &[("m1", 0)]);
    }
}

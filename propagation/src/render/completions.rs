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
    // Where only dependents are, nothing was scheduled, and the Job runs there as its template says.
    let weights: BTreeMap<&str, i64> = targets
        .iter()
        .filter_map(|target| Some((&*target.cluster, i64::from(target.replicas?.max(0)))))
        .collect();
    if weights.values().all(|weight| *weight == 0) {
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
    let mut shares = head_start(seats, weights);
    if descending {
        shares.reverse();
    }
    let given: i64 = shares.iter().map(|share| share.held).sum();
    for _ in given..seats {
        let best = shares.iter_mut().reduce(|best, next| {
            // weight / (2·held + 1) compared without division.
            let (left, right) = (next.priority_against(best), best.priority_against(next));
            let wins = match left.cmp(&right) {
                Ordering::Greater => true,
                Ordering::Equal => next.held < best.held,
                Ordering::Less => false,
            };
            if wins { next } else { best }
        });
        if let Some(best) = best {
            best.held += 1;
        }
    }
    shares
        .into_iter()
        .map(|share| (share.party.to_owned(), share.held))
        .collect()
}

struct Share<'a> {
    party: &'a str,
    weight: i64,
    held: i64,
}

impl Share<'_> {
    fn priority_against(&self, other: &Self) -> i128 {
        i128::from(self.weight) * (2 * i128::from(other.held) + 1)
    }
}

/// The seats whose priority lies above a bound that no more than `seats` of them can exceed. They are the first to be given, in
/// whatever order, so that only a few are left to be given one by one.
fn head_start<'a>(seats: i64, weights: &BTreeMap<&'a str, i64>) -> Vec<Share<'a>> {
    let total: i128 = weights.values().map(|weight| i128::from(*weight)).sum();
    let parties = i128::try_from(weights.len()).unwrap_or(i128::MAX);
    let bulk = (i128::from(seats) - parties).max(0);
    let held = |weight: i64| {
        // Seats k with weight / (2k + 1) > total / (2·bulk).
        let reach = 2 * bulk * i128::from(weight);
        if reach == 0 || total == 0 {
            0
        } else {
            i64::try_from(((reach - 1) / total + 1) / 2).unwrap_or(0)
        }
    };
    weights
        .iter()
        .map(|(party, weight)| Share {
            party,
            weight: *weight,
            held: held(*weight),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, seat by seat.
    fn by_definition(
        seats: i64,
        weights: &BTreeMap<&str, i64>,
        descending: bool,
    ) -> BTreeMap<String, i64> {
        let mut held: BTreeMap<&str, i64> = weights.keys().map(|party| (*party, 0)).collect();
        for _ in 0..seats {
            let mut parties: Vec<&str> = weights.keys().copied().collect();
            if descending {
                parties.reverse();
            }
            parties.sort_by(|a, b| {
                let cross = |one: &str, other: &str| weights[one] * (2 * held[other] + 1);
                cross(b, a).cmp(&cross(a, b)).then(held[a].cmp(&held[b]))
            });
            *held.get_mut(parties[0]).unwrap() += 1;
        }
        held.into_iter()
            .map(|(party, seats)| (party.to_owned(), seats))
            .collect()
    }

    proptest! {
        #[test]
        fn the_head_start_changes_nothing(
            seats in 0i64..300,
            weights in prop::collection::btree_map("m[0-9]", 0i64..20, 1..6),
            descending in any::<bool>(),
        ) {
            let weights: BTreeMap<&str, i64> = weights.iter().map(|(party, weight)| (&**party, *weight)).collect();
            prop_assume!(weights.values().any(|weight| *weight > 0));
            let shares = webster(seats, &weights, descending);
            prop_assert_eq!(shares.values().sum::<i64>(), seats);
            prop_assert_eq!(shares, by_definition(seats, &weights, descending));
        }
    }

    #[test]
    fn a_large_number_of_seats_is_no_work() {
        let shares = webster(
            i64::from(i32::MAX),
            &BTreeMap::from([("m1", 1), ("m2", 2)]),
            false,
        );
        assert_eq!(shares.values().sum::<i64>(), i64::from(i32::MAX));
        assert_eq!(shares["m1"], 715_827_882);
    }

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

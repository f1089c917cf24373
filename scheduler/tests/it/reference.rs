//! Division against a naive model: one seat at a time, by the definition.

use proptest::prelude::*;
use scheduler::divide::webster::{Quotients, TieOrder, divide};
use scheduler::select::{Group, Limits, choose};

/// Gives one seat after the other to the party with the largest quotient, then fewer seats, then name order.
fn one_by_one(seats: u64, weights: &[u64], ties: TieOrder, rounded: bool) -> Vec<u64> {
    let mut result = vec![0_u64; weights.len()];
    if weights.iter().all(|&weight| weight == 0) {
        return result;
    }
    for _ in 0..seats {
        let mut best = None;
        let order: Vec<usize> = match ties {
            TieOrder::Ascending => (0..weights.len()).collect(),
            TieOrder::Descending => (0..weights.len()).rev().collect(),
        };
        for party in order {
            let beats = |other: usize| {
                let (mine, theirs) = (2 * result[party] + 1, 2 * result[other] + 1);
                if rounded {
                    #[expect(clippy::cast_precision_loss, reason = "as in the reference")]
                    let quotient = |weight: u64, divisor: u64| weight as f64 / divisor as f64;
                    let left = quotient(weights[party], mine);
                    let right = quotient(weights[other], theirs);
                    left > right || (left.total_cmp(&right).is_eq() && mine < theirs)
                } else {
                    let left = u128::from(weights[party]) * u128::from(theirs);
                    let right = u128::from(weights[other]) * u128::from(mine);
                    left > right || (left == right && mine < theirs)
                }
            };
            if best.is_none_or(beats) {
                best = Some(party);
            }
        }
        if let Some(best) = best {
            result[best] += 1;
        }
    }
    result
}

fn tie_order() -> impl Strategy<Value = TieOrder> {
    prop_oneof![Just(TieOrder::Ascending), Just(TieOrder::Descending)]
}

/// Weights from ranges in which ties, large ratios and rounding occur.
fn weights() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        prop::collection::vec(0_u64..4, 1..12),
        prop::collection::vec(0_u64..200, 1..30),
        prop::collection::vec(
            prop_oneof![Just(0_u64), Just(1), Just(3), Just(9), Just(1 << 31)],
            1..10
        ),
        prop::collection::vec(0_u64..i64::MAX as u64, 1..8),
    ]
}

proptest! {
    #[test]
    fn bulk_division_equals_one_by_one(seats in 0_u64..400, weights in weights(), ties in tie_order()) {
        let fast = divide(seats, &weights, ties, Quotients::Exact);
        prop_assert_eq!(fast, one_by_one(seats, &weights, ties, false));
    }

    #[test]
    fn rounded_division_equals_one_by_one(seats in 0_u64..200, weights in weights(), ties in tie_order()) {
        let fast = divide(seats, &weights, ties, Quotients::Rounded);
        prop_assert_eq!(fast, one_by_one(seats, &weights, ties, true));
    }

    #[test]
    fn nearly_equal_huge_weights_round_alike(
        base in (1_u64 << 52)..(1 << 60),
        deltas in prop::collection::vec(0_u64..300, 2..6),
        seats in 0_u64..60,
        ties in tie_order(),
    ) {
        let weights: Vec<u64> = deltas.iter().map(|delta| base + delta).collect();
        let fast = divide(seats, &weights, ties, Quotients::Rounded);
        prop_assert_eq!(fast, one_by_one(seats, &weights, ties, true));
    }

    #[test]
    fn shares_add_up_and_respect_room(seats in 0_u64..100_000, weights in weights(), ties in tie_order()) {
        let total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
        let result = divide(seats, &weights, ties, Quotients::Exact);
        prop_assert_eq!(result.iter().sum::<u64>(), if total == 0 { 0 } else { seats });
        if total >= u128::from(seats) {
            for (seats, weight) in result.iter().zip(&weights) {
                prop_assert!(seats <= weight);
            }
        }
    }

    #[test]
    fn one_seat_more_takes_none_away(seats in 0_u64..5_000, weights in weights(), ties in tie_order()) {
        let less = divide(seats, &weights, ties, Quotients::Exact);
        let more = divide(seats + 1, &weights, ties, Quotients::Exact);
        prop_assert!(less.iter().zip(&more).all(|(less, more)| less <= more));
    }
}

/// Every combination in the order of enumeration, then the rules for the best one, by the letter.
fn enumerate(groups: &[Group<'_>], limits: Limits) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&groups[a], &groups[b]);
        (a.value, -a.weight, a.name).cmp(&(b.value, -b.weight, b.name))
    });
    let mut paths: Vec<Vec<usize>> = Vec::new();
    if order.len() < limits.min {
        return None;
    }
    if order.len() == limits.min {
        let sum: i64 = order.iter().map(|&at| groups[at].value).sum();
        if sum >= limits.target && order.len() <= limits.max {
            paths.push(order.clone());
        }
    } else {
        descend(groups, &order, limits, 0, &mut Vec::new(), &mut paths);
    }
    for path in &mut paths {
        path.sort_by(|&a, &b| {
            (-groups[a].weight, groups[a].name).cmp(&(-groups[b].weight, groups[b].name))
        });
    }
    let total = |path: &[usize]| {
        let weight: i64 = path.iter().map(|&at| groups[at].weight).sum();
        let value: i64 = path.iter().map(|&at| groups[at].value).sum();
        (-weight, -value)
    };
    paths.sort_by_key(|path| total(path));
    let mut best = paths.first()?.clone();
    for path in &paths[1..] {
        if path.len() < best.len() && best.starts_with(path) {
            best.clone_from(path);
        }
    }
    Some(best)
}

fn descend(
    groups: &[Group<'_>],
    order: &[usize],
    limits: Limits,
    next: usize,
    path: &mut Vec<usize>,
    paths: &mut Vec<Vec<usize>>,
) {
    let sum: i64 = path.iter().map(|&at| groups[at].value).sum();
    if sum >= limits.target && (limits.min..=limits.max).contains(&path.len()) {
        paths.push(path.clone());
        return;
    }
    if path.len() >= limits.max {
        return;
    }
    for at in next..order.len() {
        path.push(order[at]);
        descend(groups, order, limits, at + 1, path, paths);
        path.pop();
    }
}

proptest! {
    #[test]
    fn bounded_choice_equals_full_enumeration(
        items in prop::collection::vec((1_i64..8, 0_i64..6), 1..10),
        min in 1_usize..5,
        more in 0_usize..5,
        target in 0_i64..25,
    ) {
        let names: Vec<String> = (0..items.len()).map(|number| format!("r{number}")).collect();
        let groups: Vec<Group<'_>> = items
            .iter()
            .zip(&names)
            .map(|(&(value, weight), name)| Group { name, value, weight: weight * 1000 })
            .collect();
        let limits = Limits { min, max: min + more, target };
        prop_assert_eq!(choose(&groups, limits), enumerate(&groups, limits));
    }
}

//! Selection under a cluster constraint alone.

use super::{Candidate, Range, SelectError};

/// Takes the first candidates, exchanging some for roomier ones if together they lack room.
///
/// With `spare_targets` the exchange avoids clusters that have replicas as far as that is possible, and a shortage counts as one
/// that may pass.
pub(super) fn select(
    candidates: &[Candidate],
    range: Range,
    needed: Option<i64>,
    spare_targets: bool,
) -> Result<Vec<usize>, SelectError> {
    if candidates.len() < range.min {
        return Err(SelectError::TooFewClusters);
    }
    let count = candidates.len().min(range.max);
    let first: Vec<usize> = (0..count).collect();
    let Some(needed) = needed else {
        return Ok(first);
    };
    let from_the_end: Vec<usize> = (0..count).rev().collect();
    let chosen = exchange(candidates, count, needed, &from_the_end);
    if spare_targets && moves_targets(candidates, &chosen) {
        let mut lightest_first = from_the_end;
        lightest_first.sort_by_key(|&place| candidates[place].assigned);
        let gentle = exchange(candidates, count, needed, &lightest_first);
        if room(candidates, &gentle) >= needed
            && kept(candidates, &gentle) > kept(candidates, &chosen)
        {
            return Ok(gentle);
        }
    }
    if chosen.is_empty() || room(candidates, &chosen) < needed {
        return Err(SelectError::NotEnoughRoom {
            clusters: count,
            unschedulable: spare_targets,
        });
    }
    Ok(chosen)
}

/// Exchanges the clusters at these places, in this order, each for the roomiest one left, until there is room enough.
fn exchange(candidates: &[Candidate], count: usize, needed: i64, places: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let (chosen, rest) = order.split_at_mut(count);
    let mut sum = room(candidates, chosen);
    for &place in places {
        if sum >= needed {
            break;
        }
        let current = candidates[chosen[place]].available;
        let mut best: Option<usize> = None;
        for at in 0..rest.len() {
            let available = candidates[rest[at]].available;
            let to_beat = best.map_or(current, |best: usize| candidates[rest[best]].available);
            if available > to_beat {
                best = Some(at);
            }
        }
        if let Some(at) = best {
            sum = sum
                .saturating_sub(current)
                .saturating_add(candidates[rest[at]].available);
            std::mem::swap(&mut chosen[place], &mut rest[at]);
        }
    }
    chosen.to_vec()
}

fn room(candidates: &[Candidate], chosen: &[usize]) -> i64 {
    chosen
        .iter()
        .fold(0, |sum, &at| candidates[at].available.saturating_add(sum))
}

/// The replicas that can stay where they are.
fn kept(candidates: &[Candidate], chosen: &[usize]) -> i64 {
    chosen
        .iter()
        .fold(0, |sum, &at| candidates[at].assigned.saturating_add(sum))
}

fn moves_targets(candidates: &[Candidate], chosen: &[usize]) -> bool {
    let first: Vec<usize> = (0..chosen.len()).collect();
    kept(candidates, chosen) < kept(candidates, &first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::sort;

    /// Candidates from (number in the name, score, available).
    fn candidates(of: &[(u32, i64, i64)]) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = of
            .iter()
            .map(|&(rank, score, available)| Candidate {
                slot: rank,
                rank,
                tier: 0,
                score,
                available,
                allocatable: available,
                assigned: 0,
            })
            .collect();
        sort(&mut candidates);
        candidates
    }

    #[track_caller]
    fn check(
        of: &[(u32, i64, i64)],
        range: (usize, usize),
        needed: Option<i64>,
        expected: &Result<&[u32], SelectError>,
    ) {
        let candidates = candidates(of);
        let (min, max) = range;
        let range = Range {
            min,
            max,
            ..Range::ANY
        };
        for spare_targets in [false, true] {
            let chosen = select(&candidates, range, needed, spare_targets);
            let ranks = chosen.map(|it| it.iter().map(|&at| candidates[at].rank).collect());
            let expected = expected
                .clone()
                .map(<[u32]>::to_vec)
                .map_err(|error| match error {
                    SelectError::NotEnoughRoom { clusters, .. } => SelectError::NotEnoughRoom {
                        clusters,
                        unschedulable: spare_targets,
                    },
                    error => error,
                });
            assert_eq!(ranks, expected);
        }
    }

    fn short(clusters: usize) -> SelectError {
        SelectError::NotEnoughRoom {
            clusters,
            unschedulable: false,
        }
    }

    #[test]
    fn worked_examples() {
        check(
            &[(1, 60, 40), (2, 50, 30), (3, 40, 60)],
            (1, 2),
            Some(80),
            &Ok(&[1, 3]),
        );
        check(
            &[(1, 0, 10), (2, 0, 30), (3, 100, 5)],
            (1, 2),
            Some(30),
            &Ok(&[3, 2]),
        );
        let four = [(1, 0, 10), (2, 0, 30), (3, 100, 5), (4, 0, 50)];
        check(&four, (1, 2), Some(70), &Ok(&[2, 4]));
        check(&four[..3], (1, 2), Some(60), &Err(short(2)));
        check(
            &[(1, 0, 10), (2, 0, 30), (3, 0, 30)],
            (1, 2),
            None,
            &Ok(&[2, 3]),
        );
        check(
            &[(1, 0, 10)],
            (2, 3),
            Some(5),
            &Err(SelectError::TooFewClusters),
        );
        check(&[(1, 0, 10)], (1, 0), Some(5), &Err(short(0)));
        check(
            &[(1, 0, 10), (2, 0, 9), (3, 0, 8)],
            (1, 2),
            Some(17),
            &Ok(&[1, 2]),
        );
        check(
            &[(1, 100, 5), (2, 0, 30), (3, 0, 30)],
            (1, 1),
            Some(20),
            &Ok(&[2]),
        );
    }

    #[test]
    fn an_exchange_moves_as_few_replicas_as_it_can() {
        let mut candidates = candidates(&[(1, 100, 12), (2, 100, 11), (3, 0, 20)]);
        candidates[0].assigned = 1;
        candidates[1].assigned = 10;
        let range = Range {
            min: 1,
            max: 2,
            ..Range::ANY
        };
        assert_eq!(select(&candidates, range, Some(30), false), Ok(vec![0, 2]));
        assert_eq!(select(&candidates, range, Some(30), true), Ok(vec![2, 1]));
    }
}

//! How good a group of clusters is.

use super::{Aim, Candidate};

/// Room counts a thousand times as much as scores.
const UNIT: i64 = 1000;

/// Scores a group whose members are given in canonical order.
///
/// Duplicated workloads want many clusters with room for all replicas. Divided ones want the group's share of the replicas, the
/// replicas over `groups`, placed on well-ranked clusters, of which `clusters` at least are looked at.
pub(super) fn group_score<'a>(
    members: impl Iterator<Item = &'a Candidate>,
    aim: Aim,
    groups: usize,
    clusters: usize,
) -> i64 {
    if aim.duplicated {
        duplicated(members, aim.replicas)
    } else {
        divided(members, aim.replicas, groups, clusters)
    }
}

fn duplicated<'a>(members: impl Iterator<Item = &'a Candidate>, replicas: i64) -> i64 {
    let (mut count, mut scores) = (0_i64, 0_i64);
    for member in members.filter(|member| member.available >= replicas) {
        count += 1;
        scores = scores.saturating_add(member.score);
    }
    if count == 0 {
        0
    } else {
        (count * UNIT).saturating_add(scores / count)
    }
}

fn divided<'a>(
    members: impl Iterator<Item = &'a Candidate>,
    replicas: i64,
    groups: usize,
    clusters: usize,
) -> i64 {
    let groups = groups.max(1);
    // A group count beyond 64 bits leaves one replica for each.
    let share = i64::try_from(groups).map_or(1, |groups| {
        replicas / groups + i64::from(replicas % groups > 0)
    });
    let enough = clusters.max(groups);
    let (mut count, mut room, mut scores) = (0_i64, 0_i64, 0_i64);
    for (walked, member) in (1..).zip(members) {
        count += 1;
        room = room.saturating_add(member.available);
        scores = scores.saturating_add(member.score);
        if walked >= enough && room >= share {
            break;
        }
    }
    if count == 0 {
        return 0;
    }
    room.min(share)
        .saturating_mul(UNIT)
        .saturating_add(scores / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        duplicated: bool,
        replicas: i64,
        groups: usize,
        members: &[(i64, i64)],
        expected: i64,
    ) {
        let members: Vec<Candidate> = (0..)
            .zip(members)
            .map(|(rank, &(score, available))| Candidate {
                slot: rank,
                rank,
                tier: 0,
                score,
                available,
                allocatable: available,
                assigned: 0,
            })
            .collect();
        let aim = Aim {
            duplicated,
            replicas,
            needed: None,
        };
        assert_eq!(group_score(members.iter(), aim, groups, 1), expected);
    }

    #[test]
    fn worked_examples() {
        let near = [(100, 10), (100, 10), (100, 10), (100, 10), (100, 5)];
        check(false, 100, 2, &near, 45_100);
        check(false, 100, 2, &[(0, 40), (0, 30), (0, 10), (0, 10)], 50_000);
        let wide = [(100, 60), (100, 70), (100, 40), (100, 30), (100, 10)];
        check(true, 50, 2, &wide, 2_100);
        check(true, 50, 2, &[(0, 60), (0, 60), (0, 60), (0, 60)], 4_000);
        check(false, 5, 2, &[(0, 2)], 2_000);
        check(false, 5, 2, &[(0, 4)], 3_000);
        check(false, 100, 1, &[(100, 10), (0, 20)], 30_050);
        check(false, 100, 1, &[(100, 60), (0, 50), (0, 1)], 100_050);
    }

    #[test]
    fn odd_numbers_give_some_score() {
        check(true, i64::MAX, 0, &[(i64::MAX, i64::MAX), (1, 0)], i64::MAX);
        check(false, 0, 0, &[], 0);
        check(false, 7, usize::MAX, &[(3, i64::MAX)], 1_003);
    }
}

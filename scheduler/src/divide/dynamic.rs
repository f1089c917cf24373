//! Division by room: in proportion to it, or on as few clusters as possible.
//!
//! In steady mode what runs stays where it is: only added replicas are divided, and on scale-down each cluster gives up its part.
//! In fresh mode everything is divided anew, counting a workload's own replicas as room.

use std::cmp::Reverse;

use super::{AssignError, Part, assigned, shares, webster};
use crate::options::Switch;
use crate::request::Request;
use crate::select::Candidate;
use crate::trace::{Division, Item, Sink};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    DynamicWeight,
    Aggregated,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::DynamicWeight => "DynamicWeight",
            Self::Aggregated => "Aggregated",
        }
    }
}

/// What is divided among whom.
struct Task {
    mode: &'static str,
    /// How errors begin.
    phase: &'static str,
    target: i64,
    /// Clusters with their weights, ties in the order that counts.
    pool: Vec<(u32, i64)>,
    /// What stays and is added.
    base: Vec<Part>,
}

pub(super) fn divide(
    request: &Request<'_>,
    selected: &[Candidate],
    replicas: i64,
    kind: Kind,
    tier: Option<u32>,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<Part>, AssignError> {
    let previous = previous(request, selected);
    let already = previous
        .iter()
        .fold(0_i64, |sum, part| sum.saturating_add(part.replicas));
    let task = if request.fresh {
        Task {
            mode: "Fresh",
            phase: "failed to do fresh scale",
            target: replicas,
            pool: selected
                .iter()
                .map(|it| (it.rank, it.allocatable.saturating_add(it.assigned)))
                .collect(),
            base: Vec::new(),
        }
    } else if already > replicas {
        Task {
            mode: "ScaleDown",
            phase: "failed to scale down",
            target: replicas,
            pool: previous
                .iter()
                .map(|part| (part.rank, part.replicas))
                .collect(),
            base: Vec::new(),
        }
    } else if already < replicas {
        Task {
            mode: "ScaleUp",
            phase: "failed to scale up",
            target: replicas - already,
            pool: selected
                .iter()
                .map(|it| (it.rank, it.allocatable))
                .collect(),
            base: previous,
        }
    } else {
        sink.record(|| {
            Item::Divided(Division {
                strategy: kind.name(),
                mode: "Unchanged",
                tier,
                target: 0,
                shares: Vec::new(),
                base: assigned(request, &previous),
            })
        });
        return Ok(previous);
    };
    solve(request, task, kind, tier, sink)
}

fn solve(
    request: &Request<'_>,
    mut task: Task,
    kind: Kind,
    tier: Option<u32>,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<Part>, AssignError> {
    let available = sum(&task.pool, request.keeps(Switch::WrappingSums));
    if available < task.target {
        return Err(AssignError::Shortage {
            phase: task.phase,
            available,
        });
    }
    if kind == Kind::Aggregated {
        task.pool.sort_by_key(|&(_, weight)| Reverse(weight));
        keep_prefix(request, &mut task);
    }
    let pool: Vec<(u32, u64)> = task
        .pool
        .iter()
        .map(|&(rank, weight)| (rank, u64::try_from(weight).unwrap_or_default()))
        .collect();
    let has_weight = pool.iter().any(|&(_, weight)| weight > 0);
    let divided = if has_weight {
        webster(request, task.target, pool.clone())
    } else {
        Vec::new()
    };
    sink.record(|| {
        let mut order = pool.clone();
        order.sort_by_key(|&(_, weight)| Reverse(weight));
        Item::Divided(Division {
            strategy: kind.name(),
            mode: task.mode,
            tier,
            target: task.target,
            shares: shares(request, task.target, &order, &divided),
            base: assigned(request, &task.base),
        })
    });
    Ok(merge(divided, task.base))
}

/// The rank of clusters that are not selected.
const ABSENT: u32 = u32::MAX;

/// The previous targets that are still selected, in their order.
fn previous(request: &Request<'_>, selected: &[Candidate]) -> Vec<Part> {
    if request.targets.is_empty() {
        return Vec::new();
    }
    let mut rank_of_slot = vec![ABSENT; request.snapshot.capacity()];
    for candidate in selected {
        rank_of_slot[candidate.slot as usize] = candidate.rank;
    }
    request
        .targets
        .iter()
        .map(|&(slot, replicas)| Part {
            rank: rank_of_slot[slot as usize],
            replicas,
        })
        .filter(|part| part.rank != ABSENT)
        .collect()
}

/// The sum of all weights; `wrapping` like the 32-bit integers of the reference.
fn sum(pool: &[(u32, i64)], wrapping: bool) -> i64 {
    let weights = pool.iter().map(|&(_, weight)| weight);
    if wrapping {
        let sum = weights.fold(0_i64, i64::wrapping_add);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the loss is what this mode reproduces"
        )]
        return i64::from(sum as i32);
    }
    weights.fold(0, i64::saturating_add)
}

/// Keeps the clusters that have replicas and then the roomiest ones, as few as have room for the target together.
fn keep_prefix(request: &Request<'_>, task: &mut Task) {
    if task.base.iter().any(|part| part.replicas > 0) {
        let mut has_replicas = vec![false; request.snapshot.len()];
        for part in task.base.iter().filter(|part| part.replicas > 0) {
            has_replicas[part.rank as usize] = true;
        }
        task.pool
            .sort_by_key(|&(rank, _)| !has_replicas[rank as usize]);
    }
    let mut room = 0_i64;
    let mut length = 0;
    for &(_, weight) in &task.pool {
        if room >= task.target {
            break;
        }
        room = room.saturating_add(weight);
        length += 1;
    }
    task.pool.truncate(length);
}

/// Adds the base to what was divided; clusters that are only in the base follow, by name.
fn merge(mut divided: Vec<Part>, mut base: Vec<Part>) -> Vec<Part> {
    if divided.is_empty() || base.is_empty() {
        return if divided.is_empty() { base } else { divided };
    }
    base.sort_unstable_by_key(|part| part.rank);
    let length = divided.len();
    for part in base {
        match divided[..length].binary_search_by_key(&part.rank, |it| it.rank) {
            Ok(at) => {
                let replicas = &mut divided[at].replicas;
                *replicas = replicas.saturating_add(part.replicas);
            }
            Err(_) => divided.push(part),
        }
    }
    divided
}

//! Which groups of clusters (regions, zones, …) a workload is spread over.
//!
//! Of all combinations that hold enough clusters, the heaviest wins; among equals the one with more clusters, then the one that
//! comes first in the order of group sizes. A combination is never extended beyond the point where it suffices.

use std::cmp::Reverse;

/// A group as the choice sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    pub name: &'a str,
    /// Number of clusters.
    pub value: i64,
    /// Group score.
    pub weight: i64,
}

/// How many groups are taken, and how many clusters they must hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub min: usize,
    pub max: usize,
    pub target: i64,
}

/// Up to this many groups every combination can be looked at.
const EXACT_GROUPS: usize = 20;

/// Steps after which the best combination so far is taken: one per combination, and one per group of each combination kept.
const BUDGET: usize = 1 << EXACT_GROUPS;

/// Up to this many groups the bound on weights is computed for each position.
const EXACT_ROWS: usize = 128;

/// Chooses among groups and returns their positions, heaviest first; `None` if no combination is within the limits.
///
/// Exact for up to twenty groups and, because hopeless branches are cut, in practice for many more; beyond that the best
/// combination found within a fixed number of steps.
pub fn choose(groups: &[Group<'_>], limits: Limits) -> Option<Vec<usize>> {
    let min = limits.min.max(1);
    let max = limits.max.min(groups.len());
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|&a, &b| {
        let key = |group: &Group<'_>| (group.value, Reverse(group.weight));
        key(&groups[a])
            .cmp(&key(&groups[b]))
            .then_with(|| groups[a].name.cmp(groups[b].name))
    });
    let sorted: Vec<Item> = order
        .iter()
        .map(|&position| Item {
            value: groups[position].value,
            weight: groups[position].weight,
        })
        .collect();

    let limits = Limits { min, max, ..limits };
    let mut best = Search::new(&sorted, limits).run()?;
    best.sort_by(|&a, &b| {
        let (left, right) = (&groups[order[a]], &groups[order[b]]);
        right
            .weight
            .cmp(&left.weight)
            .then_with(|| left.name.cmp(right.name))
    });
    let shortest = (1..best.len()).find(|&length| is_path(&best[..length], &sorted, limits));
    best.truncate(shortest.unwrap_or(best.len()));
    Some(best.into_iter().map(|item| order[item]).collect())
}

/// Whether the enumeration would have recorded this set of items as a combination of its own.
fn is_path(items: &[usize], sorted: &[Item], limits: Limits) -> bool {
    let sum: i64 = items.iter().map(|&item| sorted[item].value).sum();
    let last = items.iter().copied().max().unwrap_or_default();
    // When every group must be taken there is only one combination.
    let whole = sorted.len() > limits.min || items.len() == sorted.len();
    whole
        && (limits.min..=limits.max).contains(&items.len())
        && sum >= limits.target
        && (items.len() == limits.min || sum - sorted[last].value < limits.target)
}

struct Item {
    value: i64,
    weight: i64,
}

/// Depth-first search over increasing positions, cutting what can no longer suffice or win.
struct Search<'a> {
    items: &'a [Item],
    limits: Limits,
    /// Row i holds the sums of the 0, 1, 2, … largest weights from position i on; with many items there is only row 0.
    heaviest: Vec<Vec<i64>>,
    /// `values[i]` is the sum of the values before position i.
    values: Vec<i64>,
    best: Option<Found>,
}

struct Found {
    weight: i64,
    value: i64,
    path: Vec<usize>,
}

/// A combination under construction and the position that is tried next.
struct Node {
    next: usize,
    weight: i64,
    value: i64,
}

impl<'a> Search<'a> {
    fn new(items: &'a [Item], limits: Limits) -> Self {
        let mut values = vec![0_i64];
        for item in items {
            values.push(values[values.len() - 1].saturating_add(item.value));
        }
        let rows = if items.len() <= EXACT_ROWS {
            items.len()
        } else {
            1
        };
        let heaviest = (0..rows)
            .map(|start| {
                let mut weights: Vec<i64> = items[start..].iter().map(|item| item.weight).collect();
                weights.sort_unstable_by_key(|&weight| Reverse(weight));
                let sums = weights.iter().take(limits.max).scan(0_i64, |sum, &weight| {
                    *sum = sum.saturating_add(weight);
                    Some(*sum)
                });
                std::iter::once(0).chain(sums).collect()
            })
            .collect();
        Self {
            items,
            limits,
            heaviest,
            values,
            best: None,
        }
    }

    fn run(mut self) -> Option<Vec<usize>> {
        if self.items.len() < self.limits.min || self.limits.max < self.limits.min {
            return None;
        }
        let mut budget = BUDGET;
        let mut path: Vec<usize> = Vec::new();
        let mut nodes = vec![Node {
            next: 0,
            weight: 0,
            value: 0,
        }];
        while let Some(node) = nodes.last_mut() {
            let position = node.next;
            let go_on = position < self.items.len()
                && budget > 0
                && self.can_win(path.len(), position, node.weight, node.value);
            if !go_on {
                nodes.pop();
                path.pop();
                continue;
            }
            budget -= 1;
            node.next += 1;
            let item = &self.items[position];
            let weight = node.weight.saturating_add(item.weight);
            let value = node.value.saturating_add(item.value);
            path.push(position);
            if path.len() >= self.limits.min && value >= self.limits.target {
                if self.keep_better(weight, value, &path) && self.items.len() > EXACT_GROUPS {
                    budget = budget.saturating_sub(path.len());
                }
                path.pop();
            } else {
                nodes.push(Node {
                    next: position + 1,
                    weight,
                    value,
                });
            }
        }
        self.best.map(|found| found.path)
    }

    /// Keeps a combination if it is better than the best so far, and says whether it was.
    fn keep_better(&mut self, weight: i64, value: i64, path: &[usize]) -> bool {
        let better = self
            .best
            .as_ref()
            .is_none_or(|best| (weight, value) > (best.weight, best.value));
        if better {
            self.best = Some(Found {
                weight,
                value,
                path: path.to_vec(),
            });
        }
        better
    }

    /// Whether some continuation of a path with items from `position` on suffices and beats the best combination so far.
    ///
    /// If one position cannot, no later one can: fewer items remain, and they are what was already counted.
    fn can_win(&self, length: usize, position: usize, weight: i64, value: i64) -> bool {
        let left = self.items.len() - position;
        let room = (self.limits.max - length).min(left);
        if room == 0 || length + left < self.limits.min {
            return false;
        }
        // Values ascend, so the last items are the largest.
        let largest = |count: usize| {
            let sum = self.values[self.items.len()] - self.values[self.items.len() - count];
            value.saturating_add(sum)
        };
        if largest(room) < self.limits.target {
            return false;
        }
        let Some(best) = &self.best else {
            return true;
        };
        let smallest = self.items[position].value;
        let steps = if smallest > 0 {
            // A path ends as soon as it is long enough and suffices.
            let needed = self.limits.min.saturating_sub(length);
            let missing = self.limits.target.saturating_sub(value).max(0);
            let steps = missing / smallest + i64::from(missing % smallest > 0);
            room.min(usize::try_from(steps).unwrap_or(room).max(needed))
        } else {
            room
        };
        let weights = &self.heaviest[position.min(self.heaviest.len() - 1)];
        let heaviest = weight.saturating_add(weights[steps]);
        (heaviest, largest(steps)) > (best.weight, best.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(groups: &[(&'static str, i64, i64)], limits: (usize, usize, i64), expected: &[&str]) {
        let groups: Vec<Group<'_>> = groups
            .iter()
            .map(|&(name, value, weight)| Group {
                name,
                value,
                weight,
            })
            .collect();
        let (min, max, target) = limits;
        let chosen = choose(&groups, Limits { min, max, target }).unwrap_or_default();
        let chosen: Vec<&str> = chosen
            .into_iter()
            .map(|position| groups[position].name)
            .collect();
        assert_eq!(chosen, expected);
    }

    #[test]
    fn worked_examples() {
        check(
            &[("R1", 1, 100), ("R2", 2, 80), ("R3", 3, 60)],
            (1, 3, 3),
            &["R1", "R2"],
        );
        check(
            &[("R1", 2, 50), ("R2", 3, 60), ("R3", 6, 10), ("R4", 7, 40)],
            (2, 2, 7),
            &["R2", "R4"],
        );
        check(&[("R1", 1, 50), ("R2", 3, 90)], (1, 2, 3), &["R2"]);
        check(
            &[("R1", 1, 100), ("R2", 3, 90), ("R3", 3, 100)],
            (1, 3, 3),
            &["R1", "R3"],
        );
    }

    #[test]
    fn nothing_suffices() {
        check(&[("a", 1, 1), ("b", 1, 1)], (1, 2, 3), &[]);
        check(&[("a", 5, 1)], (2, 3, 1), &[]);
        check(&[("a", 5, 1)], (1, 0, 1), &[]);
        check(&[], (1, 1, 0), &[]);
    }
}

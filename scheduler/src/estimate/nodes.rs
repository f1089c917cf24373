//! The virtual nodes that resource models stand for.

use super::demand::{Need, Part};
use crate::snapshot::resources::{Models, PODS_PER_NODE, Unit};
use crate::snapshot::symbols::Symbol;

/// How many replicas one node of each grade has room for.
///
/// With `skip` resources that no grade lists are left to the resource summary; otherwise nodes have none of them.
pub(crate) fn per_node(models: &Models, needs: &[Need<'_>], skip: bool) -> Box<[i64]> {
    (0..models.len())
        .map(|grade| {
            needs
                .iter()
                .filter(|need| counts(models, need, skip))
                .map(|need| capacity(models, grade, need.symbol) / need.amount.max(1))
                .fold(PODS_PER_NODE, i64::min)
                .max(0)
        })
        .collect()
}

/// Whether a need is checked against nodes.
pub(crate) fn counts(models: &Models, need: &Need<'_>, skip: bool) -> bool {
    matches!(need.unit, Some(Unit::Milli | Unit::Whole))
        && (!skip || need.symbol.is_some_and(|name| models.lists(name)))
}

fn capacity(models: &Models, grade: usize, name: Option<Symbol>) -> i64 {
    name.map_or(0, |name| models.capacity(grade, name))
}

/// Placements that one simulation tries before it settles for what it has.
const BUDGET: u32 = 1_000_000;

/// Virtual nodes in order of their grade, of which only those are kept one by one that something was placed on.
pub(crate) struct Fleet<'a> {
    models: &'a Models,
    skip: bool,
    /// The resources that matter.
    names: Vec<Option<Symbol>>,
    runs: Vec<Run>,
    budget: u32,
}

/// Equal nodes, the first of which have been used.
struct Run {
    whole: Node,
    count: usize,
    used: Vec<Node>,
}

#[derive(Clone)]
struct Node {
    pods: i64,
    free: Box<[i64]>,
}

/// The first node that may still have room for one component; nodes never gain room.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    run: usize,
    node: usize,
}

impl<'a> Fleet<'a> {
    /// The nodes of a cluster, for placing these parts.
    pub(crate) fn new<'p>(
        models: &'a Models,
        nodes: &[i64],
        parts: impl Iterator<Item = &'p Part<'p>>,
        skip: bool,
    ) -> Self {
        let mut names: Vec<Option<Symbol>> = parts
            .flat_map(|part| &part.needs)
            .filter(|need| counts(models, need, skip))
            .map(|need| need.symbol)
            .collect();
        names.sort_unstable();
        names.dedup();
        let runs = nodes
            .iter()
            .enumerate()
            .map(|(grade, &count)| Run {
                whole: Node {
                    pods: PODS_PER_NODE,
                    free: names
                        .iter()
                        .map(|&name| capacity(models, grade, name))
                        .collect(),
                },
                count: usize::try_from(count).unwrap_or_default(),
                used: Vec::new(),
            })
            .collect();
        Self {
            models,
            skip,
            names,
            runs,
            budget: BUDGET,
        }
    }

    /// What one replica of a part takes from a node, by position of the resource.
    pub(crate) fn take(&self, part: &Part<'_>) -> Vec<(usize, i64)> {
        part.needs
            .iter()
            .filter(|need| counts(self.models, need, self.skip))
            .filter_map(|need| {
                let at = self.names.binary_search(&need.symbol).ok()?;
                Some((at, need.amount.max(1)))
            })
            .collect()
    }

    /// Places replicas first-fit and returns how many found no node.
    pub(crate) fn place(
        &mut self,
        take: &[(usize, i64)],
        mut replicas: i64,
        cursor: &mut Cursor,
    ) -> i64 {
        while replicas > 0 && cursor.run < self.runs.len() && self.budget > 0 {
            self.budget -= 1;
            let run = &mut self.runs[cursor.run];
            let fresh = cursor.node >= run.used.len();
            let node = if fresh {
                &run.whole
            } else {
                &run.used[cursor.node]
            };
            let fits = node.fits(take).min(replicas);
            if fits <= 0 || cursor.node >= run.count {
                if fresh {
                    // All further nodes of the run are like this one.
                    *cursor = Cursor {
                        run: cursor.run + 1,
                        node: 0,
                    };
                } else {
                    cursor.node += 1;
                }
                continue;
            }
            if fresh {
                run.used.push(run.whole.clone());
            }
            run.used[cursor.node].subtract(take, fits);
            replicas -= fits;
        }
        replicas
    }

    /// How many replicas fit altogether.
    pub(crate) fn room(&self, take: &[(usize, i64)]) -> i64 {
        let rooms = self.runs.iter().map(|run| {
            let used: i64 = run.used.iter().map(|node| node.fits(take)).sum();
            let unused = i64::try_from(run.count - run.used.len()).unwrap_or(i64::MAX);
            used.saturating_add(unused.saturating_mul(run.whole.fits(take)))
        });
        rooms.fold(0, i64::saturating_add)
    }

    /// Places whole sets of parts until one does not fit or the limit is reached; returns how many fit.
    pub(crate) fn sets(&mut self, parts: &[Part<'_>], limit: i64) -> i64 {
        let takes: Vec<_> = parts.iter().map(|part| self.take(part)).collect();
        let mut cursors = vec![Cursor::default(); parts.len()];
        let mut sets = 0;
        while sets < limit {
            for ((part, take), cursor) in parts.iter().zip(&takes).zip(&mut cursors) {
                if self.place(take, part.replicas, cursor) > 0 {
                    return sets;
                }
            }
            sets += 1;
        }
        sets
    }
}

impl Node {
    fn fits(&self, take: &[(usize, i64)]) -> i64 {
        let rooms = take.iter().map(|&(at, amount)| self.free[at] / amount);
        rooms.fold(self.pods, i64::min).max(0)
    }

    fn subtract(&mut self, take: &[(usize, i64)], replicas: i64) {
        self.pods -= replicas;
        for &(at, amount) in take {
            self.free[at] = self.free[at]
                .saturating_sub(amount.saturating_mul(replicas))
                .max(0);
        }
    }
}

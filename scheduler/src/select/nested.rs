//! Selection under constraints on several levels: provider, region, zone, labels, cluster.
//!
//! Each constraint speaks of the whole selection: two to three providers, at least four regions altogether, and so on. Groups are
//! chosen level by level, outermost first; on each level every group chosen above keeps at least one group below.
//!
//! A cluster that spans several zones stands in each of them and counts for all of them. `maxGroups` limits the zones that clusters
//! are taken from: what else a taken cluster spans does not count against it, or no such cluster could ever meet a low limit.

use std::collections::BTreeSet;

use super::region::{Cohort, Picked, choose_groups, group, trace_chosen, trace_groups};
use super::{Aim, Candidate, Limits, Range, SelectError, Spread};
use crate::request::Request;
use crate::snapshot::Cluster;
use crate::trace::{Item, Sink};

struct Level<'a> {
    field: &'a str,
    range: Range,
    by: By<'a>,
}

#[derive(Clone, Copy)]
enum By<'a> {
    Provider,
    Region,
    Zone,
    Label(&'a str),
}

impl By<'_> {
    /// The groups of a cluster: one, or as many as it has zones.
    fn names(self, cluster: &Cluster) -> impl Iterator<Item = &str> + use<'_> {
        let spec = &cluster.object().spec;
        let (name, zones) = match self {
            Self::Provider => (spec.provider.as_deref(), &[][..]),
            Self::Region => (spec.region.as_deref(), &[][..]),
            Self::Zone => (None, spec.zones.as_slice()),
            Self::Label(key) => (cluster.label(key), &[][..]),
        };
        let one = zones.is_empty().then(|| name.unwrap_or_default());
        zones.iter().map(String::as_str).chain(one)
    }
}

pub(super) fn select(
    request: &Request<'_>,
    candidates: &[Candidate],
    spread: &Spread,
    aim: Aim,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<usize>, SelectError> {
    let level = |field: &'static str, range: Option<Range>, by| {
        range.map(|range| Level { field, range, by })
    };
    let fields = [
        level("provider", spread.provider, By::Provider),
        level("region", spread.region, By::Region),
        level("zone", spread.zone, By::Zone),
    ];
    let labels = spread.labels.iter().map(|(key, range)| Level {
        field: key,
        range: *range,
        by: By::Label(key),
    });
    let clusters = spread.cluster.unwrap_or(Range::ANY);
    let mut levels: Vec<Level<'_>> = fields.into_iter().flatten().chain(labels).collect();
    let spans_zones = |candidate: &Candidate| candidate.cluster(request).zones.len() > 1;
    let have_several = spread.zone.is_some() && candidates.iter().any(spans_zones);
    // A group needs a group on each level below, and a cluster; only zones can share one.
    let (mut most, mut limit) = (clusters.max, clusters.index);
    for level in levels.iter_mut().rev() {
        if level.range.max <= most {
            (most, limit) = (level.range.max, level.range.index);
        }
        if !(have_several && matches!(level.by, By::Zone)) {
            level.range.max = most;
        }
        if level.range.max < level.range.min {
            return Err(SelectError::MoreGroupsThanAllowed {
                index: level.range.index,
                min: level.range.min,
                limit,
                max: level.range.max,
            });
        }
    }
    if candidates.len() < clusters.min {
        return Err(SelectError::TooFewClusters);
    }
    let search = Search {
        request,
        candidates,
        levels,
        clusters,
        aim,
    };
    let all: Vec<usize> = (0..candidates.len()).collect();
    let groups = search.descend(0, &all, std::slice::from_ref(&all), sink)?;
    let groups: Vec<&[usize]> = groups.iter().map(Vec::as_slice).collect();
    let mut picked = search.pick(&groups);
    if let Some(needed) = aim.needed {
        let keeps_minima = |selected: &[(usize, usize)]| !search.lacks_groups(selected);
        picked.repair(candidates, needed, keeps_minima, |out, r#in| {
            sink.record(|| Item::Swapped {
                out: candidates[out].name(request).to_owned(),
                r#in: candidates[r#in].name(request).to_owned(),
            });
        });
        picked.check(request, candidates, needed)?;
    }
    if search.lacks_groups(&picked.selected) {
        return Err(SelectError::NoCombination);
    }
    Ok(picked.selected.into_iter().map(|(at, _)| at).collect())
}

/// The groups of each level that selected clusters stand in.
struct Covered<'a>(Vec<BTreeSet<&'a str>>);

struct Search<'a, 'r> {
    request: &'a Request<'r>,
    candidates: &'a [Candidate],
    levels: Vec<Level<'a>>,
    clusters: Range,
    aim: Aim,
}

impl<'a> Search<'a, '_> {
    /// Picks a cluster of each innermost group and then others in canonical order.
    ///
    /// Where groups cross each other, as labels and zones may, clusters of groups go first that a level still lacks.
    fn pick(&self, groups: &[&[usize]]) -> Picked {
        let mut covered = Covered(vec![BTreeSet::new(); self.levels.len()]);
        let mut taken = vec![false; self.candidates.len()];
        let mut selected: Vec<(usize, usize)> = Vec::new();
        for (group, members) in groups.iter().enumerate() {
            // A cluster of several zones may stand for this group already.
            if selected.len() == self.clusters.max || members.iter().any(|&at| taken[at]) {
                continue;
            }
            if let Some(best) = self.most_wanted(members.iter().copied(), &covered) {
                self.cover(best, &mut covered);
                taken[best] = true;
                selected.push((best, group));
            }
        }
        let mut pool: Vec<(usize, usize)> = Vec::new();
        for (group, members) in groups.iter().enumerate() {
            let left = members.iter().map(|&at| (at, group));
            pool.extend(left.filter(|&(at, _)| !std::mem::replace(&mut taken[at], true)));
        }
        // Positions are the canonical order.
        pool.sort_unstable();
        while selected.len() < self.clusters.max && self.is_lacking(&covered) {
            let left = pool.iter().map(|&(at, _)| at);
            let Some(best) = self.most_wanted(left, &covered) else {
                break;
            };
            self.cover(best, &mut covered);
            selected.extend(pool.extract_if(.., |&mut (at, _)| at == best));
        }
        let more = self.clusters.max.saturating_sub(selected.len());
        selected.extend(pool.drain(..more.min(pool.len())));
        Picked { selected, pool }
    }

    /// The first of those candidates that stand in the most groups which levels lack.
    fn most_wanted(
        &self,
        among: impl Iterator<Item = usize>,
        covered: &Covered<'_>,
    ) -> Option<usize> {
        let adds = |at: usize| {
            let levels = self.levels.iter().zip(&covered.0);
            let added = levels.map(|(level, covered)| {
                let missing = level.range.min.saturating_sub(covered.len());
                let groups = self.groups_of(at, level);
                groups
                    .filter(|it| !covered.contains(it))
                    .take(missing)
                    .count()
            });
            added.sum::<usize>()
        };
        among.min_by_key(|&at| std::cmp::Reverse(adds(at)))
    }

    fn cover(&self, at: usize, covered: &mut Covered<'a>) {
        for (level, covered) in self.levels.iter().zip(&mut covered.0) {
            covered.extend(self.groups_of(at, level));
        }
    }

    fn groups_of(&self, at: usize, level: &Level<'_>) -> impl Iterator<Item = &'a str> + use<'a> {
        level.by.names(self.candidates[at].cluster(self.request))
    }

    /// Whether a level has fewer groups than it asks for.
    fn is_lacking(&self, covered: &Covered<'_>) -> bool {
        let mut levels = self.levels.iter().zip(&covered.0);
        levels.any(|(level, covered)| covered.len() < level.range.min)
    }

    /// Whether these clusters stand in fewer groups than a level asks for, which can only be where groups cross each other.
    fn lacks_groups(&self, selected: &[(usize, usize)]) -> bool {
        let mut covered = Covered(vec![BTreeSet::new(); self.levels.len()]);
        for &(at, _) in selected {
            self.cover(at, &mut covered);
        }
        self.is_lacking(&covered)
    }

    /// Chooses groups on this level and below among some candidates so that each parent keeps one; returns the innermost groups.
    ///
    /// Starts with as few groups as allowed and takes more, in growing steps, if the levels below find no choice.
    fn descend(
        &self,
        depth: usize,
        among: &[usize],
        parents: &[Vec<usize>],
        sink: &mut impl Sink<Item>,
    ) -> Result<Vec<Vec<usize>>, SelectError> {
        let Some(level) = self.levels.get(depth) else {
            return Ok(parents.to_vec());
        };
        let groups = group(
            self.candidates,
            among.iter().copied(),
            |candidate| level.by.names(candidate.cluster(self.request)),
            self.aim,
            level.range,
            self.clusters.min,
        );
        trace_groups(&groups, level.field, sink);
        if groups.len() < level.range.min {
            return Err(SelectError::TooFewGroups {
                field: level.field.to_owned(),
            });
        }
        let mut failure = SelectError::TooFewClustersInGroups;
        let overlap = groups.iter().map(|it| it.members.len()).sum::<usize>() > among.len();
        let most = level.range.max.min(groups.len());
        let mut min = level.range.min.max(1);
        let mut more = 1;
        while min <= most {
            let mut chosen = self.choose(&groups, parents, min, level.range.max, depth == 0);
            if overlap {
                chosen = chosen
                    .filter(|chosen| self.clusters_in(&groups, chosen) >= self.clusters.min)
                    .or_else(|| self.choose_widest(&groups, parents, min, level.range.max));
            }
            if let Some(chosen) = chosen {
                trace_chosen(&groups, &chosen, level.field, sink);
                let members: Vec<Vec<usize>> = chosen
                    .iter()
                    .map(|&it| groups[it].members.clone())
                    .collect();
                let mut among: Vec<usize> = members.concat();
                among.sort_unstable();
                among.dedup();
                match self.descend(depth + 1, &among, &members, sink) {
                    Ok(innermost) => return Ok(innermost),
                    Err(error) => failure = error,
                }
            }
            if min == most {
                break;
            }
            // With doubled steps the number of attempts stays small however many groups there are.
            min = most.min(min + more);
            more *= 2;
        }
        Err(failure)
    }

    /// Chooses the heaviest group of each parent, then more until there are groups and clusters enough.
    fn choose(
        &self,
        groups: &[Cohort<'_>],
        parents: &[Vec<usize>],
        min: usize,
        max: usize,
        outermost: bool,
    ) -> Option<Vec<usize>> {
        let target = i64::try_from(self.clusters.min).unwrap_or(i64::MAX);
        if outermost {
            return choose_groups(groups, Limits { min, max, target });
        }
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by(|&a, &b| {
            let (left, right) = (&groups[a], &groups[b]);
            right
                .score
                .cmp(&left.score)
                .then_with(|| left.name.cmp(right.name))
        });
        let mut taken = vec![false; groups.len()];
        let mut chosen: Vec<usize> = Vec::new();
        for parent in parents {
            let is_in_parent = |group: usize| {
                groups[group]
                    .members
                    .iter()
                    .any(|at| parent.binary_search(at).is_ok())
            };
            if chosen.iter().any(|&group| is_in_parent(group)) {
                continue;
            }
            let best = order.iter().copied().find(|&group| is_in_parent(group))?;
            taken[best] = true;
            chosen.push(best);
        }
        let held: usize = chosen
            .iter()
            .map(|&group| groups[group].members.len())
            .sum();
        let missing = target.saturating_sub(i64::try_from(held).unwrap_or(i64::MAX));
        if chosen.len() > max {
            return None;
        }
        if chosen.len() < min || missing > 0 {
            let rest: Vec<usize> = (0..groups.len()).filter(|&group| !taken[group]).collect();
            let items: Vec<Cohort<'_>> = rest
                .iter()
                .map(|&group| Cohort {
                    name: groups[group].name,
                    members: groups[group].members.clone(),
                    score: groups[group].score,
                })
                .collect();
            let limits = Limits {
                min: min.saturating_sub(chosen.len()),
                max: max - chosen.len(),
                target: missing,
            };
            chosen.extend(
                choose_groups(&items, limits)?
                    .into_iter()
                    .map(|it| rest[it]),
            );
        }
        Some(chosen)
    }

    /// Chooses the group of each parent that holds most clusters, then others that add most, until there are groups and clusters
    /// enough: for groups that share clusters, whose sizes do not add up.
    fn choose_widest(
        &self,
        groups: &[Cohort<'_>],
        parents: &[Vec<usize>],
        min: usize,
        max: usize,
    ) -> Option<Vec<usize>> {
        let mut held = vec![false; self.candidates.len()];
        let mut chosen: Vec<usize> = Vec::new();
        let mut add = |among: &dyn Fn(&Cohort<'_>) -> bool, chosen: &mut Vec<usize>| {
            let adds = |group: &Cohort<'_>| group.members.iter().filter(|&&at| !held[at]).count();
            let left = (0..groups.len()).filter(|it| !chosen.contains(it) && among(&groups[*it]));
            let best = left.max_by_key(|&it| {
                let group = &groups[it];
                (adds(group), group.score, std::cmp::Reverse(group.name))
            });
            for &at in best.map_or(&[][..], |it| &groups[it].members) {
                held[at] = true;
            }
            chosen.extend(best);
            best.is_some()
        };
        for parent in parents {
            let is_in_parent = |group: &Cohort<'_>| {
                let mut members = group.members.iter();
                members.any(|at| parent.binary_search(at).is_ok())
            };
            if !chosen.iter().any(|&it| is_in_parent(&groups[it]))
                && !add(&is_in_parent, &mut chosen)
            {
                return None;
            }
        }
        while chosen.len() < min || self.clusters_in(groups, &chosen) < self.clusters.min {
            if chosen.len() >= max || !add(&|_| true, &mut chosen) {
                return None;
            }
        }
        (chosen.len() <= max).then_some(chosen)
    }

    /// The number of clusters in some groups.
    fn clusters_in(&self, groups: &[Cohort<'_>], chosen: &[usize]) -> usize {
        let mut counted = vec![false; self.candidates.len()];
        let members = chosen.iter().flat_map(|&it| &groups[it].members);
        members
            .filter(|&&at| !std::mem::replace(&mut counted[at], true))
            .count()
    }
}

//! Selection under a region constraint.

use std::collections::HashMap;

use super::group_score::group_score;
use super::{Aim, Candidate, Group, Limits, Range, SelectError, choose};
use crate::options::Switch;
use crate::request::Request;
use crate::trace::{Item, Sink};

/// Candidates that share a name of something, in canonical order.
pub(super) struct Cohort<'a> {
    pub(super) name: &'a str,
    pub(super) members: Vec<usize>,
    pub(super) score: i64,
}

/// Groups candidates by their names and scores the groups; groups are in the order in which their first members come.
pub(super) fn group<'a, Names: IntoIterator<Item = &'a str>>(
    candidates: &[Candidate],
    among: impl Iterator<Item = usize>,
    names: impl Fn(&Candidate) -> Names,
    aim: Aim,
    range: Range,
    clusters: usize,
) -> Vec<Cohort<'a>> {
    let mut groups: Vec<Cohort<'a>> = Vec::new();
    let mut by_name: HashMap<&'a str, usize> = HashMap::new();
    for at in among {
        for name in names(&candidates[at]) {
            let group = *by_name.entry(name).or_insert_with(|| {
                groups.push(Cohort {
                    name,
                    members: Vec::new(),
                    score: 0,
                });
                groups.len() - 1
            });
            let members = &mut groups[group].members;
            // A list of zones may name one twice.
            if members.last() != Some(&at) {
                members.push(at);
            }
        }
    }
    for group in &mut groups {
        let members = group.members.iter().map(|&at| &candidates[at]);
        group.score = group_score(members, aim, range.min, clusters);
    }
    groups
}

/// Chooses regions, then the best cluster of each, then the best of the others up to the cluster maximum.
pub(super) fn select(
    request: &Request<'_>,
    candidates: &[Candidate],
    regions: Range,
    clusters: Option<Range>,
    aim: Aim,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<usize>, SelectError> {
    let verify = !request.keeps(Switch::RegionsUnverified);
    let absent = if request.keeps(Switch::ZeroMaxGroups) {
        Range::NONE
    } else {
        Range::ANY
    };
    let clusters = clusters.unwrap_or(absent);
    let name = |candidate: &Candidate| {
        let region = candidate.cluster(request).object().spec.region.as_deref();
        [region.unwrap_or_default()]
    };
    let groups = group(
        candidates,
        0..candidates.len(),
        name,
        aim,
        regions,
        clusters.min,
    );
    trace_groups(&groups, "region", sink);
    if groups.len() < regions.min {
        return Err(SelectError::TooFewGroups {
            field: "region".to_owned(),
        });
    }
    let max = if verify {
        regions.max.min(clusters.max)
    } else {
        regions.max
    };
    if regions.max >= regions.min && max < regions.min {
        return Err(SelectError::MoreGroupsThanAllowed {
            index: regions.index,
            min: regions.min,
            limit: clusters.index,
            max,
        });
    }
    let limits = Limits {
        min: regions.min,
        max,
        target: i64::try_from(clusters.min).unwrap_or(i64::MAX),
    };
    let chosen = choose_groups(&groups, limits).ok_or(SelectError::TooFewClustersInGroups)?;
    trace_chosen(&groups, &chosen, "region", sink);
    let chosen: Vec<&[usize]> = chosen
        .iter()
        .map(|&it| groups[it].members.as_slice())
        .collect();
    let mut picked = pick(&chosen, clusters.max);
    if verify && let Some(needed) = aim.needed {
        picked.repair(
            candidates,
            needed,
            |_| true,
            |out, r#in| {
                sink.record(|| Item::Swapped {
                    out: candidates[out].name(request).to_owned(),
                    r#in: candidates[r#in].name(request).to_owned(),
                });
            },
        );
        picked.check(request, candidates, needed)?;
    }
    Ok(picked.selected.into_iter().map(|(at, _)| at).collect())
}

pub(super) fn choose_groups(groups: &[Cohort<'_>], limits: Limits) -> Option<Vec<usize>> {
    let items: Vec<Group<'_>> = groups
        .iter()
        .map(|group| Group {
            name: group.name,
            value: i64::try_from(group.members.len()).unwrap_or(i64::MAX),
            weight: group.score,
        })
        .collect();
    choose(&items, limits)
}

pub(super) fn trace_groups(groups: &[Cohort<'_>], field: &str, sink: &mut impl Sink<Item>) {
    if sink.is_recording() {
        for group in groups {
            sink.record(|| Item::Group {
                field: field.to_owned(),
                name: group.name.to_owned(),
                clusters: group.members.len(),
                score: group.score,
            });
        }
    }
}

pub(super) fn trace_chosen(
    groups: &[Cohort<'_>],
    chosen: &[usize],
    field: &str,
    sink: &mut impl Sink<Item>,
) {
    sink.record(|| Item::GroupsChosen {
        field: field.to_owned(),
        names: chosen
            .iter()
            .map(|&it| groups[it].name.to_owned())
            .collect(),
    });
}

/// Clusters picked from groups, and those left over, each with its group.
pub(super) struct Picked {
    pub(super) selected: Vec<(usize, usize)>,
    pub(super) pool: Vec<(usize, usize)>,
}

/// Picks the first cluster of each group and then others in canonical order, up to a number of clusters.
pub(super) fn pick(groups: &[&[usize]], max: usize) -> Picked {
    let mut selected: Vec<(usize, usize)> = Vec::new();
    let mut pool: Vec<(usize, usize)> = Vec::new();
    for (group, members) in groups.iter().enumerate() {
        let mut members = members.iter().map(|&at| (at, group));
        selected.extend(members.next());
        pool.extend(members);
    }
    // Positions are the canonical order.
    pool.sort_unstable();
    let more = max.saturating_sub(selected.len()).min(pool.len());
    selected.extend(pool.drain(..more));
    Picked { selected, pool }
}

impl Picked {
    /// The room of all selected clusters.
    fn room(&self, candidates: &[Candidate]) -> i64 {
        self.selected.iter().fold(0_i64, |sum, &(at, _)| {
            sum.saturating_add(candidates[at].available)
        })
    }

    /// Whether the room suffices for a set of components, whose targets get no replicas: nothing after this would notice a shortage.
    pub(super) fn check(
        &self,
        request: &Request<'_>,
        candidates: &[Candidate],
        needed: i64,
    ) -> Result<(), SelectError> {
        if request.counts_sets() && self.room(candidates) < needed {
            return Err(SelectError::NotEnoughRoom {
                clusters: self.selected.len(),
                unschedulable: true,
            });
        }
        Ok(())
    }

    /// Exchanges clusters for roomier ones until there is room enough; every group keeps a cluster.
    ///
    /// Clusters without replicas go first, the last selected ones before others. What `may_be` refuses is not selected.
    pub(super) fn repair(
        &mut self,
        candidates: &[Candidate],
        needed: i64,
        may_be: impl Fn(&[(usize, usize)]) -> bool,
        mut swapped: impl FnMut(usize, usize),
    ) {
        let available = |at: usize| candidates[at].available;
        let mut room = self.room(candidates);
        let mut places: Vec<usize> = (0..self.selected.len()).rev().collect();
        places.sort_by_key(|&place| candidates[self.selected[place].0].assigned);
        for place in places {
            if room >= needed {
                return;
            }
            let (current, group) = self.selected[place];
            let alone = self.selected.iter().filter(|&&(_, it)| it == group).count() == 1;
            let mut best: Option<usize> = None;
            for at in 0..self.pool.len() {
                let (candidate, its_group) = self.pool[at];
                let to_beat = best.map_or(current, |best| self.pool[best].0);
                if (!alone || its_group == group) && available(candidate) > available(to_beat) {
                    self.selected[place] = self.pool[at];
                    if may_be(&self.selected) {
                        best = Some(at);
                    }
                }
            }
            self.selected[place] = (current, group);
            if let Some(at) = best {
                let other = self.pool[at].0;
                room = room
                    .saturating_sub(available(current))
                    .saturating_add(available(other));
                swapped(current, other);
                std::mem::swap(&mut self.selected[place], &mut self.pool[at]);
            }
        }
    }
}

//! Filter, score, estimate, select, assign: one run of the algorithm.

use crds::work::TargetCluster;

use crate::divide::{self, Part};
use crate::error::{FitError, ScheduleError};
use crate::estimate::{self, Estimates};
use crate::options::Switch;
use crate::plugins::Verdict;
use crate::request::Request;
use crate::select::{self, Candidate, Selected};
use crate::snapshot::Cluster;
use crate::trace::{Item, Sink};

/// A stage of the algorithm, as `scheduling_algorithm_duration_seconds` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Filter,
    Score,
    Select,
    AssignReplicas,
}

impl Stage {
    /// The value of the label `schedule_step`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "Filter",
            Self::Score => "Score",
            Self::Select => "Select",
            Self::AssignReplicas => "AssignReplicas",
        }
    }
}

/// Learns when stages begin and end, for example to measure them.
pub trait Observer: Sync {
    fn enter(&self, stage: Stage);
    fn leave(&self, stage: Stage);
}

/// Accurate answers during a run.
#[derive(Clone, Copy)]
pub(crate) struct Accurate<'a> {
    pub(crate) estimates: Option<&'a Estimates>,
    /// Whether the run stops when a cluster that fits has no answer.
    pub(crate) asks: bool,
}

/// Why a run stops without a result.
pub(crate) enum Stop<'a> {
    /// Estimators have to be asked about these clusters first.
    Ask(Vec<&'a str>),
    Error(ScheduleError),
}

impl<E: Into<ScheduleError>> From<E> for Stop<'_> {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Runs the algorithm for the affinity that the request is set to.
pub(crate) fn run<'a>(
    request: &Request<'a>,
    accurate: Accurate<'_>,
    observer: Option<&dyn Observer>,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<TargetCluster>, Stop<'a>> {
    let stage = Guard::enter(observer, Stage::Filter);
    let feasible = filter(request, sink)?;
    drop(stage);

    let stage = Guard::enter(observer, Stage::Score);
    let clusters: Vec<&Cluster> = feasible
        .iter()
        .map(|&rank| request.snapshot.at(rank as usize))
        .collect();
    let scores = score(request, &clusters, sink)?;
    drop(stage);

    let stage = Guard::enter(observer, Stage::Select);
    if accurate.asks && request.needs_estimates() {
        let known = |cluster: &&Cluster| {
            accurate
                .estimates
                .is_some_and(|estimates| estimates.knows(cluster.name()))
        };
        let unknown: Vec<&'a str> = feasible
            .iter()
            .map(|&rank| request.snapshot.at(rank as usize))
            .filter(|cluster| !known(cluster))
            .map(Cluster::name)
            .collect();
        if !unknown.is_empty() {
            return Err(Stop::Ask(unknown));
        }
    }
    let room = estimate::allocatable(request, &clusters, accurate.estimates, sink)?;
    let mut candidates: Vec<Candidate> = Vec::with_capacity(clusters.len());
    let keeps_sets = request.counts_sets() && !request.keeps(Switch::ComponentChanges);
    for (((cluster, &rank), score), allocatable) in
        clusters.iter().zip(&feasible).zip(scores).zip(room)
    {
        let assigned = request.assigned(cluster);
        // A set that is placed already needs no room for another one.
        let placed = i64::from(
            keeps_sets && request.is_target(cluster) && estimate::set_can_stay(request, cluster),
        );
        candidates.push(Candidate {
            slot: cluster.slot,
            rank,
            tier: request.tier(cluster),
            score,
            available: allocatable.saturating_add(assigned).saturating_add(placed),
            allocatable,
            assigned,
        });
    }
    select::sort(&mut candidates);
    trace_available(request, &candidates, sink);
    let selected = select::select(request, &candidates, sink).map_err(ScheduleError::Select)?;
    trace_selected(request, &candidates, &selected, sink);
    let chosen = selected.chosen.iter();
    let selected: Vec<Candidate> = chosen.map(|&at| candidates[at].clone()).collect();
    drop(stage);

    let _stage = Guard::enter(observer, Stage::AssignReplicas);
    let parts = divide::assign(request, &selected, sink).map_err(ScheduleError::Assign)?;
    Ok(parts
        .into_iter()
        .map(|part| target(request, part))
        .collect())
}

fn target(request: &Request<'_>, part: Part) -> TargetCluster {
    TargetCluster {
        name: request.snapshot.at(part.rank as usize).name().to_owned(),
        replicas: Some(i32::try_from(part.replicas).unwrap_or(i32::MAX)).filter(|&it| it != 0),
    }
}

/// The clusters that pass all filters, by their position among all clusters.
pub(crate) fn filter(
    request: &Request<'_>,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<u32>, FitError> {
    let recording = sink.is_recording();
    let mut feasible: Vec<u32> = Vec::with_capacity(request.snapshot.len());
    for (rank, cluster) in (0..).zip(request.snapshot.iter()) {
        if cluster.deleting {
            sink.record(|| Item::Deleting {
                cluster: cluster.name().to_owned(),
            });
            continue;
        }
        let fits = if recording {
            judge(request, cluster, sink)
        } else {
            let mut filters = request.options.plugins.filters.iter();
            filters.all(|plugin| plugin.filter(request, cluster) == Verdict::Fits)
        };
        if fits {
            feasible.push(rank);
        }
    }
    if feasible.is_empty() {
        Err(refusals(request))
    } else {
        Ok(feasible)
    }
}

/// Asks every filter about a cluster and reports all answers.
fn judge(request: &Request<'_>, cluster: &Cluster, sink: &mut impl Sink<Item>) -> bool {
    let mut fits = true;
    for plugin in &request.options.plugins.filters {
        let verdict = plugin.filter(request, cluster);
        let reason = verdict.reason().map(|reason| reason.as_str().to_owned());
        let passed = reason.is_none();
        let decisive = !passed && fits;
        fits &= passed;
        sink.record(|| Item::Filtered {
            cluster: cluster.name().to_owned(),
            plugin: plugin.name().to_owned(),
            passed,
            decisive,
            code: plugin.code(),
            reason: reason.unwrap_or_default(),
            detail: if passed {
                None
            } else {
                plugin.explain(request, cluster)
            },
        });
    }
    fits
}

/// Counts why clusters were refused. Asked only when none is left, so that reasons cost nothing otherwise.
fn refusals(request: &Request<'_>) -> FitError {
    let mut error = FitError {
        clusters: request.snapshot.len(),
        ..FitError::default()
    };
    for cluster in request.snapshot.iter().filter(|cluster| !cluster.deleting) {
        let mut verdicts = request
            .options
            .plugins
            .filters
            .iter()
            .map(|plugin| plugin.filter(request, cluster));
        if let Some(reason) = verdicts.find_map(|verdict| verdict.reason().cloned()) {
            error.add(reason);
        }
    }
    error
}

fn score(
    request: &Request<'_>,
    clusters: &[&Cluster],
    sink: &mut impl Sink<Item>,
) -> Result<Vec<i64>, ScheduleError> {
    let mut total = vec![0_i64; clusters.len()];
    let mut scores = vec![0_i64; clusters.len()];
    for plugin in &request.options.plugins.scores {
        let name = || plugin.name().to_owned();
        for (score, cluster) in scores.iter_mut().zip(clusters) {
            *score = plugin
                .score(request, cluster)
                .map_err(|message| ScheduleError::Score {
                    plugin: name(),
                    message,
                })?;
        }
        plugin
            .normalise(request, clusters, &mut scores)
            .map_err(|message| ScheduleError::NormaliseScore {
                plugin: name(),
                message,
            })?;
        for ((total, score), cluster) in total.iter_mut().zip(&scores).zip(clusters) {
            *total = total.saturating_add(*score);
            sink.record(|| Item::Scored {
                cluster: cluster.name().to_owned(),
                plugin: name(),
                score: *score,
            });
        }
    }
    Ok(total)
}

fn trace_available(request: &Request<'_>, candidates: &[Candidate], sink: &mut impl Sink<Item>) {
    if sink.is_recording() {
        for candidate in candidates {
            sink.record(|| Item::Available {
                cluster: candidate.name(request).to_owned(),
                allocatable: candidate.allocatable,
                available: candidate.available,
            });
        }
    }
}

fn trace_selected(
    request: &Request<'_>,
    candidates: &[Candidate],
    selection: &Selected<'_>,
    sink: &mut impl Sink<Item>,
) {
    if !sink.is_recording() {
        return;
    }
    let mut selected = vec![false; candidates.len()];
    for (place, &at) in selection.chosen.iter().enumerate() {
        selected[at] = true;
        sink.record(|| Item::Selected {
            cluster: candidates[at].name(request).to_owned(),
            place,
            tier: candidates[at].tier,
        });
    }
    let reason = selection.plugin.map_or_else(
        || "the spread constraints are met without it".to_owned(),
        |plugin| format!("plugin {plugin} left it out"),
    );
    for (candidate, _) in candidates
        .iter()
        .zip(selected)
        .filter(|(_, selected)| !selected)
    {
        sink.record(|| Item::NotSelected {
            cluster: candidate.name(request).to_owned(),
            reason: reason.clone(),
        });
    }
}

/// Reports the end of a stage whichever way it is left.
struct Guard<'a> {
    observer: Option<&'a dyn Observer>,
    stage: Stage,
}

impl<'a> Guard<'a> {
    fn enter(observer: Option<&'a dyn Observer>, stage: Stage) -> Self {
        if let Some(observer) = observer {
            observer.enter(stage);
        }
        Self { observer, stage }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(observer) = self.observer {
            observer.leave(self.stage);
        }
    }
}

//! The estimator that needs nothing but the Cluster object.

use std::borrow::Cow;

use super::UNLIMITED;
use super::demand::{Demand, Need, Part, needs};
use super::nodes::{Cursor, Fleet, counts};
use crate::inflight::AssumedWorkload;
use crate::options::Switch;
use crate::plugins::Estimate;
use crate::quantity::{milli, units};
use crate::request::Request;
use crate::snapshot::Cluster;
use crate::snapshot::resources::{Free, Models, Nodes, Summary};
use crate::snapshot::symbols::Symbols;
use crate::trace::Factor;

/// Divides what is free in the cluster's resource summary and resource models by what a replica requests.
pub struct GeneralEstimator;

impl GeneralEstimator {
    /// Its name.
    pub const NAME: &'static str = "general-estimator";
}

impl Estimate for GeneralEstimator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn estimate(&self, request: &Request<'_>, cluster: &Cluster) -> Option<i64> {
        let view = View::of(request, cluster);
        Some(view.map_or(0, |view| view.fits(|_| ())).min(UNLIMITED))
    }

    fn explain(&self, request: &Request<'_>, cluster: &Cluster) -> Vec<Factor> {
        let mut factors = Vec::new();
        if let Some(view) = View::of(request, cluster) {
            view.fits(|factor| factors.push(factor.owned(&view.summary)));
        }
        factors
    }
}

/// Whether a cluster that has a set of the workload has room for the set as it is now, in place of the one that it has.
///
/// Goes by sums: on which nodes the present set runs is not known. Neither is what it takes if nobody noted it; then it stays.
pub(crate) fn set_can_stay(request: &Request<'_>, cluster: &Cluster) -> bool {
    let Some(placed) = &request.placed_set else {
        return true;
    };
    if *placed == request.spec.components {
        return true;
    }
    let view = View::of(request, cluster);
    let (
        Some(view),
        Demand::Sets {
            pods: freed_pods,
            needs: freed,
            ..
        },
    ) = (view, Demand::sets(request, placed))
    else {
        return true;
    };
    let Demand::Sets { pods, needs, .. } = view.demand else {
        return true;
    };
    let fits = |need: &Need<'_>| {
        let free = need.symbol.and_then(|name| view.summary.free(name));
        let freed = freed
            .iter()
            .find(|it| it.name == need.name)
            .map_or(0, |it| it.nanos);
        free.is_some_and(|free| free.nanos.saturating_add(freed) >= need.nanos)
    };
    view.summary.pods.saturating_add(freed_pods) >= *pods && needs.iter().all(fits)
}

/// One number that limits the estimate.
struct Limit<'a> {
    resource: &'a str,
    free: Option<i64>,
    request: Option<i64>,
    fits: i64,
}

impl Limit<'_> {
    fn owned(&self, summary: &Summary) -> Factor {
        Factor {
            resource: self.resource.to_owned(),
            free: self.free,
            request: self.request,
            fits: self.fits,
            fault: summary.fault(self.resource).map(str::to_owned),
        }
    }
}

/// What is asked of one cluster.
struct View<'a, 'r> {
    request: &'a Request<'r>,
    cluster: &'a Cluster,
    demand: &'a Demand<'r>,
    summary: Cow<'a, Summary>,
    /// Placed recently, but not yet part of the summary.
    assumed: Vec<&'a AssumedWorkload>,
}

impl<'a, 'r> View<'a, 'r> {
    /// `None` if nothing is known about the cluster's resources.
    fn of(request: &'a Request<'r>, cluster: &'a Cluster) -> Option<Self> {
        let summary = cluster.summary.as_ref()?;
        let gate = request.options.gates.scheduling_overcommit_protection;
        let assumed: Vec<&AssumedWorkload> = match &request.assumed {
            Some(assumed) if gate => assumed.in_cluster(cluster.name()).collect(),
            _ => Vec::new(),
        };
        let summary = if assumed.is_empty() {
            Cow::Borrowed(summary)
        } else {
            Cow::Owned(less(summary, &assumed, request.snapshot.symbols()))
        };
        Some(Self {
            request,
            cluster,
            demand: request.demand(),
            summary,
            assumed,
        })
    }

    fn fits(&self, mut limited: impl FnMut(&Limit<'_>)) -> i64 {
        let pods = self.summary.pods;
        if pods <= 0 {
            limited(&Limit {
                resource: "pods",
                free: Some(pods),
                request: None,
                fits: 0,
            });
            return 0;
        }
        match self.demand {
            Demand::Invalid { .. } => 0,
            Demand::Replicas { needs, per_node } => {
                limited(&Limit {
                    resource: "pods",
                    free: Some(pods),
                    request: Some(1),
                    fits: pods,
                });
                match needs {
                    None => pods,
                    Some(needs) => self.replicas(pods, needs, per_node, limited),
                }
            }
            Demand::Sets {
                pods: per_set,
                needs,
                parts,
            } => self.sets(pods, *per_set, needs, parts, limited),
        }
    }

    fn replicas(
        &self,
        pods: i64,
        needs: &[Need<'_>],
        per_node: &[Box<[i64]>],
        mut limited: impl FnMut(&Limit<'_>),
    ) -> i64 {
        let mut fits = pods;
        let mut models = None;
        if let Some((number, table, nodes)) = self.models() {
            let on_nodes = if self.assumed.is_empty() {
                let rooms = per_node.get(number).map_or(&[][..], |rooms| rooms);
                let rooms = nodes.iter().zip(rooms);
                rooms
                    .map(|(count, room)| count.saturating_mul(*room))
                    .fold(0, i64::saturating_add)
            } else {
                self.replicas_beside_assumed(table, nodes, needs)
            };
            limited(&Limit {
                resource: "models",
                free: None,
                request: None,
                fits: on_nodes,
            });
            fits = fits.min(on_nodes);
            models = Some(table);
        }
        let skip = self.skips_unmodelled();
        for need in needs {
            let by_nodes = models.is_some_and(|models| !skip || counts(models, need, skip));
            if !by_nodes {
                fits = fits.min(self.quotient(need, false, &mut limited));
            }
        }
        fits
    }

    /// How often a need fits into what the summary has free; with `notation` each amount is taken in the unit of its notation.
    fn quotient(
        &self,
        need: &Need<'_>,
        notation: bool,
        limited: &mut impl FnMut(&Limit<'_>),
    ) -> i64 {
        let found = need.symbol.and_then(|name| self.summary.free(name));
        let free = found.map(|it| if need.is_cpu() { it.milli } else { it.units });
        let fits = match found {
            None => 0,
            Some(it) if it.nanos <= 0 => 0,
            Some(it) if notation => {
                let free = if it.binary { it.units } else { it.milli };
                let amount = if need.binary {
                    units(need.nanos)
                } else {
                    milli(need.nanos)
                };
                free / amount.max(1)
            }
            Some(it) => (if need.is_cpu() { it.milli } else { it.units }) / need.amount.max(1),
        };
        limited(&Limit {
            resource: need.name,
            free,
            request: Some(need.amount),
            fits,
        });
        fits
    }

    fn sets(
        &self,
        pods: i64,
        per_set: i64,
        needs: &[Need<'_>],
        parts: &[Part<'_>],
        mut limited: impl FnMut(&Limit<'_>),
    ) -> i64 {
        if per_set <= 0 {
            return pods;
        }
        let mut fits = pods / per_set;
        limited(&Limit {
            resource: "pods",
            free: Some(pods),
            request: Some(per_set),
            fits,
        });
        let notation = self.request.keeps(Switch::UnitByNotation);
        for need in needs {
            fits = fits.min(self.quotient(need, notation, &mut limited));
        }
        if let Some((_, table, nodes)) = self.models()
            && fits > 0
        {
            let assumed = self.assumed_parts();
            let all = parts.iter().chain(&assumed);
            let mut fleet = Fleet::new(table, nodes, all, self.skips_unmodelled());
            place_assumed(&mut fleet, &assumed);
            fits = fleet.sets(parts, fits);
            limited(&Limit {
                resource: "models",
                free: None,
                request: None,
                fits,
            });
        }
        fits
    }

    fn replicas_beside_assumed(&self, models: &Models, nodes: &[i64], needs: &[Need<'_>]) -> i64 {
        let one = Part {
            replicas: 1,
            needs: needs.to_vec(),
        };
        let assumed = self.assumed_parts();
        let all = std::iter::once(&one).chain(&assumed);
        let mut fleet = Fleet::new(models, nodes, all, self.skips_unmodelled());
        place_assumed(&mut fleet, &assumed);
        fleet.room(&fleet.take(&one))
    }

    fn assumed_parts(&self) -> Vec<Part<'a>> {
        let symbols = self.request.snapshot.symbols();
        let components = self.assumed.iter().flat_map(|it| &it.components);
        components
            .map(|component| {
                let requirements = component.replica_requirements.as_ref();
                let needs = requirements.and_then(|it| needs(&it.resource_request, symbols).ok());
                Part {
                    replicas: i64::from(component.replicas).max(0),
                    needs: needs.unwrap_or_default(),
                }
            })
            .collect()
    }

    /// The cluster's models, their number, and its nodes of each grade, if the estimate goes by them.
    fn models(&self) -> Option<(usize, &'a Models, &'a [i64])> {
        if !self
            .request
            .options
            .gates
            .customized_cluster_resource_modeling
        {
            return None;
        }
        let Nodes::Modelled { models, counts } = &self.cluster.nodes else {
            return None;
        };
        let number = *models as usize;
        let table = self.request.snapshot.symbols().models().get(number)?;
        Some((number, table, counts))
    }

    fn skips_unmodelled(&self) -> bool {
        !self.request.keeps(Switch::UnmodelledIsZero)
    }
}

fn place_assumed(fleet: &mut Fleet<'_>, assumed: &[Part<'_>]) {
    for part in assumed {
        let take = fleet.take(part);
        fleet.place(&take, part.replicas, &mut Cursor::default());
    }
}

/// The summary as if the assumed workloads were part of it.
fn less(summary: &Summary, assumed: &[&AssumedWorkload], symbols: &Symbols) -> Summary {
    let mut summary = summary.clone();
    for component in assumed.iter().flat_map(|it| &it.components) {
        let replicas = i64::from(component.replicas);
        if replicas <= 0 {
            continue;
        }
        summary.pods = summary.pods.saturating_sub(replicas);
        let requirements = component.replica_requirements.as_ref();
        let needs = requirements.and_then(|it| needs(&it.resource_request, symbols).ok());
        for need in needs.unwrap_or_default() {
            if let Some(name) = need.symbol {
                let used = need.nanos.saturating_mul(i128::from(replicas));
                summary.change(name, |free: &mut Free| {
                    free.nanos = free.nanos.saturating_sub(used);
                    free.units = units(free.nanos);
                    free.milli = milli(free.nanos);
                });
            }
        }
    }
    summary
}

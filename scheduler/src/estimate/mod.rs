//! How many more replicas, or sets of components, fit into a cluster.

mod answers;
mod demand;
mod general;
mod nodes;

pub use answers::{Answer, Estimates, EstimatorAnswers};
pub(crate) use demand::Demand;
pub use general::GeneralEstimator;
pub(crate) use general::set_can_stay;

use crate::error::ScheduleError;
use crate::options::Switch;
use crate::request::Request;
use crate::snapshot::Cluster;
use crate::trace::{Item, Sink};

/// Room that nobody limited.
pub(crate) const UNLIMITED: i64 = i32::MAX as i64;

/// The number of replicas or sets that can be added to each of these clusters.
///
/// The smallest of all estimators' numbers counts; a cluster that no estimator limits has room for all replicas.
pub(crate) fn allocatable(
    request: &Request<'_>,
    clusters: &[&Cluster],
    estimates: Option<&Estimates>,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<i64>, ScheduleError> {
    let mut room = vec![UNLIMITED; clusters.len()];
    if !request.needs_estimates() {
        return Ok(room);
    }
    request.demand().check()?;
    for plugin in &request.options.plugins.estimates {
        for (room, cluster) in room.iter_mut().zip(clusters) {
            let replicas = plugin.estimate(request, cluster).filter(|&it| it >= 0);
            if let Some(replicas) = replicas {
                *room = (*room).min(replicas);
            }
            sink.record(|| Item::Estimated {
                cluster: cluster.name().to_owned(),
                estimator: plugin.name().to_owned(),
                replicas,
                factors: plugin.explain(request, cluster),
                error: None,
            });
        }
    }
    for answers in estimates.map_or(&[][..], |estimates| &estimates.0) {
        accurate(request, clusters, answers, &mut room, sink);
    }
    for room in room.iter_mut().filter(|room| **room == UNLIMITED) {
        *room = request.replicas;
    }
    Ok(room)
}

/// What hides the room of a cluster that could have been chosen: an amount in its status that cannot be read.
pub(crate) fn unreadable(request: &Request<'_>) -> Option<String> {
    let mut clusters = request.snapshot.iter();
    clusters.find_map(|cluster| {
        let summary = cluster
            .summary
            .as_ref()
            .filter(|_| request.in_affinity(cluster))?;
        let fault = request
            .demand()
            .resources()
            .find_map(|name| summary.fault(name))?;
        Some(format!("Cluster {}: {fault}", cluster.name()))
    })
}

/// Lowers the room to what an accurate estimator answered.
fn accurate(
    request: &Request<'_>,
    clusters: &[&Cluster],
    answers: &EstimatorAnswers,
    room: &mut [i64],
    sink: &mut impl Sink<Item>,
) {
    let failed = |cluster: &&Cluster| matches!(answers.of(cluster.name()), Some(Answer::Failed(_)));
    let void = request.keeps(Switch::EstimatorAllOrNothing) && clusters.iter().any(failed);
    for (room, cluster) in room.iter_mut().zip(clusters) {
        let answer = answers.of(cluster.name());
        let replicas = match answer {
            // Only -1 means that the estimator does not know, but no other negative number makes sense.
            Some(Answer::Fits(replicas)) => {
                Some(i64::from(*replicas)).filter(|&it| it >= 0 && !void)
            }
            Some(Answer::Failed(_)) | None => None,
        };
        if let Some(replicas) = replicas {
            *room = (*room).min(replicas);
        }
        sink.record(|| Item::Estimated {
            cluster: cluster.name().to_owned(),
            estimator: answers.estimator.clone(),
            replicas,
            factors: Vec::new(),
            error: match answer {
                Some(Answer::Failed(error)) => Some(error.clone()),
                _ if void => Some("void because another cluster failed".to_owned()),
                _ => None,
            },
        });
    }
}

//! Attempts: one for a single affinity, one per term for ordered ones.

use crds::work::Binding;

use super::trigger::observed_affinity;
use super::{FailedAttempt, Failure, Placed};
use crate::error::ScheduleError;
use crate::estimate;
use crate::options::Switch;
use crate::pipeline::{self, Accurate, Observer, Stop};
use crate::request::Request;
use crate::trace::{Item, Sink};

type Result<T> = std::result::Result<T, Failure>;

/// Runs the algorithm until an attempt succeeds; `Err` names clusters that estimators have to be asked about first.
pub(super) fn place<'a, B: Binding>(
    binding: &B,
    request: &mut Request<'a>,
    accurate: Accurate<'_>,
    observer: Option<&dyn Observer>,
    sink: &mut impl Sink<Item>,
) -> std::result::Result<(Result<Placed>, Vec<FailedAttempt>), Vec<&'a str>> {
    let terms = &request.placement.cluster_affinities;
    let fail_back = !request.keeps(Switch::NoFailBack);
    let in_use = observed_affinity(binding);
    if terms.is_empty() {
        request.set_affinity("");
        trace_attempt(None, request, sink);
        return match pipeline::run(request, accurate, observer, sink) {
            Ok(clusters) => {
                let placed = Placed {
                    clusters,
                    affinity_name: None,
                    clears_affinity_name: fail_back && !in_use.is_empty(),
                };
                Ok((Ok(placed), Vec::new()))
            }
            Err(Stop::Ask(clusters)) => Err(clusters),
            Err(Stop::Error(error)) => {
                trace_failure(&error, sink);
                let malformed = request.malformed_affinity.is_some();
                Ok((Err(failure(request, &[&error], malformed)), Vec::new()))
            }
        };
    }

    let start = if fail_back && request.fresh {
        0
    } else {
        terms
            .iter()
            .position(|term| term.affinity_name == in_use)
            .unwrap_or(0)
    };
    // Terms before the one in use may have room again when it and those after it have none.
    let wrapped = if fail_back { 0..start } else { 0..0 };
    let mut attempts: Vec<FailedAttempt> = Vec::new();
    let mut malformed = false;
    for index in (start..terms.len()).chain(wrapped) {
        let name = &terms[index].affinity_name;
        request.set_affinity(name);
        trace_attempt(Some(name), request, sink);
        match pipeline::run(request, accurate, observer, sink) {
            Ok(clusters) => {
                let placed = Placed {
                    clusters,
                    affinity_name: Some(name.clone()),
                    clears_affinity_name: false,
                };
                return Ok((Ok(placed), attempts));
            }
            Err(Stop::Ask(clusters)) => return Err(clusters),
            Err(Stop::Error(error)) => {
                trace_failure(&error, sink);
                malformed |= request.malformed_affinity.is_some();
                attempts.push(FailedAttempt {
                    index,
                    affinity_name: name.clone(),
                    error,
                });
            }
        }
    }
    let errors: Vec<&ScheduleError> = attempts.iter().map(|attempt| &attempt.error).collect();
    Ok((Err(failure(request, &errors, malformed)), attempts))
}

/// What follows from the errors of all attempts.
///
/// A resource is removed only if no attempt left hope: a shortage or an error in any of them keeps it where it is, and so does a
/// malformed affinity, of which nobody knows what it meant.
fn failure(request: &Request<'_>, errors: &[&ScheduleError], malformed: bool) -> Failure {
    let first = errors.first().copied();
    let deciding = if request.keeps(Switch::FirstError) {
        first
    } else {
        let unschedulable = errors
            .iter()
            .copied()
            .find(|error| error.is_unschedulable());
        let other = errors
            .iter()
            .copied()
            .find(|error| !matches!(error, ScheduleError::NoFit(_)));
        unschedulable.or(other).or(first)
    };
    // Knowing no cluster at all is a lack of knowledge, not a reason to remove anything.
    let empties =
        (!request.snapshot.is_empty() || request.keeps(Switch::EmptyWithoutClusters)) && !malformed;
    match deciding {
        Some(error) => {
            let mut failure = Failure::of(error, empties);
            if error.is_unschedulable()
                && !request.keeps(Switch::UncheckedNumbers)
                && let Some(fault) = estimate::unreadable(request)
            {
                failure.message = format!("{} {fault}.", failure.message);
            }
            failure
        }
        None => Failure::of(
            &ScheduleError::malformed("spec.placement", "there is nothing to try"),
            false,
        ),
    }
}

fn trace_attempt(name: Option<&str>, request: &Request<'_>, sink: &mut impl Sink<Item>) {
    sink.record(|| Item::Attempt {
        affinity_name: name.map(str::to_owned),
        clusters: request.snapshot.len(),
    });
}

fn trace_failure(error: &ScheduleError, sink: &mut impl Sink<Item>) {
    sink.record(|| Item::AttemptFailed {
        reason: error.reason(),
        message: error.to_string(),
    });
}

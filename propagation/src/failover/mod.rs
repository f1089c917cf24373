//! Application failover: a workload leaves clusters in which it stays unhealthy.

pub mod jsonpath;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crds::conditions::{condition, status};
use crds::policy::{ApplicationFailoverBehavior, PurgeMode, StatePreservationRule};
use crds::work::{Binding, GracefulEvictionTask, ResourceBindingSpec, ResourceHealth};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use trace::Sink;

use crate::clock::{after, until};
use crate::trace::Item;

/// Reason of the eviction tasks made here.
pub const APPLICATION_FAILURE: &str = "ApplicationFailure";
/// Annotation on a binding: since when the workload is unhealthy in which cluster, as JSON, so that a restart does not begin the
/// toleration anew.
pub const UNHEALTHY_SINCE: &str = "navarch.dev/unhealthy-since";

/// Type of the condition on bindings that shows clusters which are not left although their time is up.
pub const FAILOVER_HELD: &str = "FailoverHeld";

/// Reason of [`FAILOVER_HELD`] for a workload that no other cluster can take.
pub const NO_OTHER_CLUSTER: &str = "NoOtherCluster";

const DEFAULT_TOLERATION: i32 = 300;

/// Since when the workload is unhealthy, by cluster.
pub type UnhealthySince = BTreeMap<String, Time>;

/// Reads the annotation; anything unreadable counts as nothing.
pub fn parse_unhealthy_since(annotation: &str) -> UnhealthySince {
    serde_json::from_str(annotation).unwrap_or_default()
}

/// The text of the annotation; `None` when there is nothing to remember.
pub fn unhealthy_since_annotation(state: &UnhealthySince) -> Option<String> {
    (!state.is_empty()).then(|| crate::diff::to_text(state))
}

/// Feature gates and choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Gate `GracefulEviction`.
    pub graceful_eviction: bool,
    /// Gate `StatefulFailoverInjection`.
    pub stateful_injection: bool,
    /// An unknown health leaves the clock running that an unhealthy one started, instead of resetting it.
    pub unknown_keeps_running: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            graceful_eviction: true,
            stateful_injection: false,
            unknown_keeps_running: false,
        }
    }
}

/// What to do with a binding; by default nothing, and nothing is remembered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// The spec without the clusters that are left, and with a task for each; `None` when none is left.
    pub spec: Option<Box<ResourceBindingSpec>>,
    /// The clusters that are left, sorted.
    pub evicted: Vec<String>,
    /// Why some clusters are not left although their time is up.
    pub failures: Vec<FailoverError>,
    /// What to remember.
    pub state: UnhealthySince,
    /// When to look again, if nothing happens before.
    pub requeue_after: Option<Duration>,
}

/// Why a workload cannot leave a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailoverError {
    #[error(
        "the state of the workload in cluster {cluster} is not known, so it cannot be preserved"
    )]
    NoStatus { cluster: String },
    #[error("preserve state of the workload in cluster {cluster} as label {label}: {source}")]
    State {
        cluster: String,
        label: String,
        source: jsonpath::PathError,
    },
    #[error("purge mode {mode} needs the feature gate GracefulEviction")]
    GracefulEvictionOff { cluster: String, mode: &'static str },
    #[error("the workload stays, because no other cluster can take it: {cause}")]
    Nowhere { cluster: String, cause: String },
}

impl FailoverError {
    /// The cluster that the workload stays in.
    pub fn cluster(&self) -> &str {
        match self {
            Self::NoStatus { cluster }
            | Self::State { cluster, .. }
            | Self::GracefulEvictionOff { cluster, .. }
            | Self::Nowhere { cluster, .. } => cluster,
        }
    }

    /// A word for conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoStatus { .. } | Self::State { .. } => "StateNotPreserved",
            Self::GracefulEvictionOff { .. } => "GracefulEvictionOff",
            Self::Nowhere { .. } => NO_OTHER_CLUSTER,
        }
    }

    /// What somebody can do about it.
    const fn remedy(&self) -> &'static str {
        match self {
            Self::NoStatus { .. } | Self::State { .. } => {
                "correct spec.failover.application.statePreservation of the policy, or the status of the workload"
            }
            Self::GracefulEvictionOff { .. } => "turn the gate on, or choose another purge mode",
            Self::Nowhere { .. } => {
                "mend the workload, add clusters or room, or widen the placement"
            }
        }
    }
}

/// Why clusters cannot be left, in a word; a workload that has nowhere to go comes first.
pub fn held_reason(failures: &[FailoverError]) -> Option<&'static str> {
    let mut reasons = failures.iter().map(FailoverError::reason);
    reasons
        .clone()
        .find(|reason| *reason == NO_OTHER_CLUSTER)
        .or_else(|| reasons.next())
}

/// Condition [`FAILOVER_HELD`] for clusters that cannot be left; `None` when none is held.
///
/// No release lets such a workload go: the scheduler would place it in the same cluster again, for want of another.
pub fn held(failures: &[FailoverError]) -> Option<Condition> {
    let first = failures.first()?;
    let texts: Vec<String> = failures
        .iter()
        .map(|failure| {
            format!(
                "unhealthy in cluster {}: {failure}; {}",
                failure.cluster(),
                failure.remedy()
            )
        })
        .collect();
    let message = crate::execution::conditions::joined(&texts);
    Some(condition(
        FAILOVER_HELD,
        status::TRUE,
        first.reason(),
        message,
    ))
}

/// Whether application failover concerns the binding at all.
pub fn concerns<B: Binding>(binding: &B, has_health_rule: bool) -> bool {
    let spec = binding.spec();
    let is_reported = binding
        .status()
        .is_some_and(|status| !status.aggregated_status.is_empty());
    behavior(spec).is_some()
        && is_reported
        && has_health_rule
        && (!B::IS_NAMESPACED || spec.propagate_deps == Some(true))
}

fn behavior(spec: &ResourceBindingSpec) -> Option<&ApplicationFailoverBehavior> {
    spec.failover.as_ref()?.application.as_ref()
}

/// The producer of eviction tasks for this kind of binding.
pub const fn producer<B: Binding>() -> &'static str {
    if B::IS_NAMESPACED {
        "resource-binding-application-failover-controller"
    } else {
        "cluster-resource-binding-application-failover-controller"
    }
}

/// Decides which clusters are left. To be asked only about bindings that it [`concerns`].
///
/// A cluster that cannot be left holds back itself alone. `elsewhere` is asked before the last cluster is left, with the spec that
/// the binding would have: whether the scheduler finds a place, or why not.
pub fn decide<B: Binding>(
    binding: &B,
    state: &UnhealthySince,
    options: Options,
    elsewhere: impl FnOnce(&ResourceBindingSpec) -> Result<(), String>,
    now: &Time,
    sink: &mut impl Sink<Item>,
) -> Decision {
    let spec = binding.spec();
    let mut decision = Decision::default();
    let Some(behavior) = behavior(spec) else {
        return decision;
    };
    let toleration = behavior
        .decision_conditions
        .toleration_seconds
        .unwrap_or(DEFAULT_TOLERATION);
    let toleration = Duration::from_secs(u64::try_from(toleration).unwrap_or(0));
    let health = health(binding);
    let mut state = state.clone();
    let mut evicted = BTreeSet::new();
    let mut requeue_after: Option<Duration> = None;
    for (cluster, health) in &health {
        match health {
            ResourceHealth::Healthy => {
                state.remove(*cluster);
                continue;
            }
            ResourceHealth::Unknown => {
                if !options.unknown_keeps_running {
                    state.remove(*cluster);
                }
                continue;
            }
            ResourceHealth::Unhealthy => {}
        }
        if spec.eviction_task(cluster).is_some() {
            continue;
        }
        let first = state
            .entry((*cluster).to_owned())
            .or_insert_with(|| now.clone());
        let wait = until(&after(first, toleration), now).filter(|wait| !wait.is_zero());
        // Only a cluster that the binding is in can be left.
        let evict = wait.is_none() && spec.target(cluster).is_some();
        sink.record(|| Item::Failover {
            cluster: (*cluster).to_owned(),
            evict,
            reason: match wait {
                Some(wait) => format!("unhealthy, tolerated for another {} s", wait.as_secs()),
                None => "unhealthy for longer than tolerated".to_owned(),
            },
        });
        if evict {
            evicted.insert((*cluster).to_owned());
        }
        requeue_after = requeue_after.into_iter().chain(wait).min();
    }
    let mut updated = spec.clone();
    let before: Vec<String> = spec
        .clusters
        .iter()
        .map(|target| target.name.clone())
        .collect();
    for cluster in evicted {
        match task(binding, &cluster, behavior, &before, options) {
            Ok(task) => {
                updated.evict_gracefully(task);
                decision.evicted.push(cluster);
            }
            Err(error) => decision.failures.push(error),
        }
    }
    if !decision.evicted.is_empty()
        && updated.clusters.is_empty()
        && let Err(cause) = elsewhere(&updated)
    {
        let stays = std::mem::take(&mut decision.evicted);
        decision
            .failures
            .extend(stays.into_iter().map(|cluster| FailoverError::Nowhere {
                cluster,
                cause: cause.clone(),
            }));
        updated.clone_from(spec);
    }
    state.retain(|cluster, _| updated.target(cluster).is_some());
    decision.spec = (!decision.evicted.is_empty()).then(|| Box::new(updated));
    decision.state = state;
    decision.requeue_after = requeue_after;
    decision
}

fn health<B: Binding>(binding: &B) -> BTreeMap<&str, ResourceHealth> {
    let items = binding
        .status()
        .into_iter()
        .flat_map(|status| &status.aggregated_status);
    items
        .map(|item| (&*item.cluster_name, item.health.unwrap_or_default()))
        .collect()
}

fn task<B: Binding>(
    binding: &B,
    cluster: &str,
    behavior: &ApplicationFailoverBehavior,
    before: &[String],
    options: Options,
) -> Result<GracefulEvictionTask, FailoverError> {
    let mode = behavior.purge_mode.unwrap_or(PurgeMode::Gracefully);
    let mut task = GracefulEvictionTask {
        from_cluster: cluster.to_owned(),
        purge_mode: Some(mode),
        reason: APPLICATION_FAILURE.to_owned(),
        producer: producer::<B>().to_owned(),
        ..GracefulEvictionTask::default()
    };
    let rules = behavior
        .state_preservation
        .as_ref()
        .map_or(&[][..], |preservation| &preservation.rules);
    if options.stateful_injection && !rules.is_empty() {
        task.preserved_label_state = preserved_state(binding, cluster, rules)?;
        task.clusters_before_failover = before.to_vec();
    }
    if mode.is_gracefully() {
        if !options.graceful_eviction {
            return Err(FailoverError::GracefulEvictionOff {
                cluster: cluster.to_owned(),
                mode: mode.as_str(),
            });
        }
        task.grace_period_seconds = behavior.grace_period_seconds;
    } else if mode == PurgeMode::Never {
        task.suppress_deletion = Some(true);
    }
    Ok(task)
}

fn preserved_state<B: Binding>(
    binding: &B,
    cluster: &str,
    rules: &[StatePreservationRule],
) -> Result<BTreeMap<String, String>, FailoverError> {
    let items = binding
        .status()
        .into_iter()
        .flat_map(|status| &status.aggregated_status);
    let status = items
        .filter(|item| item.cluster_name == cluster)
        .find_map(|item| item.status.as_ref())
        .ok_or_else(|| FailoverError::NoStatus {
            cluster: cluster.to_owned(),
        })?;
    rules
        .iter()
        .map(|rule| {
            let label = rule.alias_label_name.clone();
            match jsonpath::evaluate(&rule.json_path, status) {
                Ok(text) => Ok((label, text)),
                Err(source) => Err(FailoverError::State {
                    cluster: cluster.to_owned(),
                    label,
                    source,
                }),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;

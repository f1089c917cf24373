//! Which part of a member object's status is collected.

use crds::keys;
use serde_json::{Map, Value};

use super::Kind;
use crate::error::Cause;
use crate::layer::Options;
use crate::rfc3339;
use crate::schema::{self, TypeName};
use crate::value::{integer, set, strict, strict_text, text};

/// A counter of a status, and whether it is written when it is 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    pub(super) name: &'static str,
    pub(super) always: bool,
}

const fn optional(name: &'static str) -> Counter {
    Counter {
        name,
        always: false,
    }
}

const fn always(name: &'static str) -> Counter {
    Counter { name, always: true }
}

pub(super) const DEPLOYMENT: &[Counter] = &[
    optional("replicas"),
    optional("updatedReplicas"),
    optional("readyReplicas"),
    optional("availableReplicas"),
    optional("unavailableReplicas"),
];
pub(super) const REPLICA_SET: &[Counter] = &[
    always("replicas"),
    optional("readyReplicas"),
    optional("availableReplicas"),
];
pub(super) const DAEMON_SET: &[Counter] = &[
    always("currentNumberScheduled"),
    always("desiredNumberScheduled"),
    optional("numberAvailable"),
    always("numberMisscheduled"),
    always("numberReady"),
    optional("updatedNumberScheduled"),
    optional("numberUnavailable"),
];
pub(super) const STATEFUL_SET: &[Counter] = &[
    always("availableReplicas"),
    optional("currentReplicas"),
    optional("readyReplicas"),
    always("replicas"),
    optional("updatedReplicas"),
];
pub(super) const JOB: &[Counter] = &[
    optional("active"),
    optional("succeeded"),
    optional("failed"),
];
pub(super) const DISRUPTION_BUDGET: &[Counter] = &[
    always("disruptionsAllowed"),
    always("expectedPods"),
    always("desiredHealthy"),
    always("currentHealthy"),
];
pub(super) const AUTOSCALER: &[Counter] = &[optional("currentReplicas"), always("desiredReplicas")];

/// Writes a counter the way its type is emitted.
pub(super) fn write(status: &mut Map<String, Value>, counter: Counter, value: i64) {
    if value != 0 || counter.always {
        status.insert(counter.name.to_owned(), value.into());
    } else {
        status.remove(counter.name);
    }
}

/// The part to collect; None when there is none.
pub(super) fn reflect(
    kind: Option<Kind>,
    observed: &Value,
    options: Options,
) -> Result<Option<Value>, Cause> {
    if kind == Some(Kind::Service) && text(observed, &["spec", "type"]) != Some("LoadBalancer") {
        return Ok(None);
    }
    let Some(status) = strict(observed, &["status"])? else {
        return Ok(None);
    };
    if !status.is_object() {
        return Err(Cause::field(&["status"], "is no object"));
    }
    let Some((kind, type_name)) = kind.and_then(|kind| Some((kind, special(kind)?))) else {
        return Ok(Some(status.clone()));
    };
    schema::check(type_name, status).map_err(|mut mismatch| {
        mismatch.path = format!("status.{}", mismatch.path);
        mismatch
    })?;
    let collected = match kind {
        Kind::Service => load_balancer(status),
        Kind::Job => job(status),
        Kind::PodDisruptionBudget => {
            let mut collected = counters(status, DISRUPTION_BUDGET);
            if let Some(pods) =
                set(status, &["disruptedPods"]).filter(|pods| *pods != &Value::Object(Map::new()))
            {
                collected.insert("disruptedPods".to_owned(), times_of_map(pods));
            }
            collected
        }
        Kind::HorizontalPodAutoscaler => {
            let mut collected = counters(status, AUTOSCALER);
            if options.compat {
                collected.insert("currentMetrics".to_owned(), Value::Null);
            }
            collected
        }
        _ => {
            let mut collected = counters(status, counters_of(kind));
            if kind != Kind::StatefulSet || !options.compat {
                write(
                    &mut collected,
                    optional("observedGeneration"),
                    integer(status, &["observedGeneration"]),
                );
            }
            write_generations(&mut collected, observed, options)?;
            if collected.is_empty() && matches!(kind, Kind::Deployment | Kind::ReplicaSet) {
                return Ok(None);
            }
            collected
        }
    };
    Ok(Some(Value::Object(collected)))
}

/// The status type of the kinds that are not copied whole.
fn special(kind: Kind) -> Option<TypeName> {
    match kind {
        Kind::Deployment => Some(TypeName::DeploymentStatus),
        Kind::ReplicaSet => Some(TypeName::ReplicaSetStatus),
        Kind::DaemonSet => Some(TypeName::DaemonSetStatus),
        Kind::StatefulSet => Some(TypeName::StatefulSetStatus),
        Kind::Service => Some(TypeName::ServiceStatus),
        Kind::Job => Some(TypeName::JobStatus),
        Kind::PodDisruptionBudget => Some(TypeName::PodDisruptionBudgetStatus),
        Kind::HorizontalPodAutoscaler => Some(TypeName::HorizontalPodAutoscalerStatus),
        _ => None,
    }
}

pub(super) fn counters_of(kind: Kind) -> &'static [Counter] {
    match kind {
        Kind::Deployment => DEPLOYMENT,
        Kind::ReplicaSet => REPLICA_SET,
        Kind::DaemonSet => DAEMON_SET,
        Kind::StatefulSet => STATEFUL_SET,
        Kind::Job => JOB,
        Kind::PodDisruptionBudget => DISRUPTION_BUDGET,
        Kind::HorizontalPodAutoscaler => AUTOSCALER,
        _ => &[],
    }
}

fn counters(status: &Value, counters: &[Counter]) -> Map<String, Value> {
    let mut collected = Map::new();
    for counter in counters {
        write(&mut collected, *counter, integer(status, &[counter.name]));
    }
    collected
}

/// Which generation of the member object, and of the template, the member's controllers have seen.
fn write_generations(
    collected: &mut Map<String, Value>,
    observed: &Value,
    options: Options,
) -> Result<(), Cause> {
    write(
        collected,
        optional("generation"),
        integer(observed, &["metadata", "generation"]),
    );
    let path = &["metadata", "annotations", keys::TEMPLATE_GENERATION];
    let template_generation = match strict_text(observed, path)? {
        Some(text) => text
            .parse()
            .map_err(|_| Cause::field(path, format!("is no integer: {text:?}")))?,
        // The manifest of a Work that somebody wrote by hand.
        None if !options.compat => 0,
        None => return Err(Cause::field(path, "is missing")),
    };
    write(
        collected,
        optional("resourceTemplateGeneration"),
        template_generation,
    );
    Ok(())
}

fn load_balancer(status: &Value) -> Map<String, Value> {
    let mut load_balancer = Map::new();
    if let Some(ingress) = set(status, &["loadBalancer", "ingress"])
        .filter(|it| it.as_array().is_some_and(|it| !it.is_empty()))
    {
        load_balancer.insert("ingress".to_owned(), ingress.clone());
    }
    Map::from_iter([("loadBalancer".to_owned(), Value::Object(load_balancer))])
}

fn job(status: &Value) -> Map<String, Value> {
    let mut collected = counters(status, JOB);
    let conditions = set(status, &["conditions"])
        .and_then(Value::as_array)
        .filter(|it| !it.is_empty());
    if let Some(conditions) = conditions {
        let conditions = conditions.iter().map(job_condition).collect();
        collected.insert("conditions".to_owned(), Value::Array(conditions));
    }
    for field in ["startTime", "completionTime"] {
        if let Some(time) = text(status, &[field]).and_then(canonical_time) {
            collected.insert(field.to_owned(), time.into());
        }
    }
    collected
}

fn job_condition(condition: &Value) -> Value {
    let mut written = Map::new();
    for field in ["type", "status"] {
        written.insert(
            field.to_owned(),
            text(condition, &[field]).unwrap_or_default().into(),
        );
    }
    for field in ["lastProbeTime", "lastTransitionTime"] {
        let time = text(condition, &[field]).and_then(canonical_time);
        written.insert(field.to_owned(), time.into());
    }
    for field in ["reason", "message"] {
        if let Some(text) = text(condition, &[field]).filter(|text| !text.is_empty()) {
            written.insert(field.to_owned(), text.into());
        }
    }
    Value::Object(written)
}

fn times_of_map(times: &Value) -> Value {
    let times = times.as_object().into_iter().flatten();
    let canonical =
        times.map(|(key, time)| (key.clone(), time.as_str().and_then(canonical_time).into()));
    Value::Object(canonical.collect())
}

/// The time in UTC and whole seconds, as the API server stores it.
pub(super) fn canonical_time(text: &str) -> Option<String> {
    rfc3339::parse(text).map(|instant| rfc3339::format(instant.seconds))
}

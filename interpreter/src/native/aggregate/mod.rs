//! The status of a template that follows from those in the clusters.

mod job;
mod load_balancer;
mod pod;

use crds::work::AggregatedStatusItem;
use serde_json::{Map, Value};

use super::Kind;
use super::status::{Counter, canonical_time, counters_of, write};
use crate::error::Cause;
use crate::layer::Context;
use crate::rfc3339;
use crate::schema::{self, TypeName};
use crate::value::{integer, items as list, same_but_for_zeros, set, text};

/// Items with the statuses that they carry, in the order of the clusters.
#[derive(Debug, Clone, Copy)]
struct Items<'a> {
    all: &'a [AggregatedStatusItem],
}

impl<'a> Items<'a> {
    /// Cluster and status, of the items that have one.
    fn collected(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let status =
            |item: &'a AggregatedStatusItem| Some((item.cluster_name.as_str(), status_of(item)?));
        self.all.iter().filter_map(status)
    }

    fn len(self) -> usize {
        self.all.len()
    }

    fn sum(self, field: &str) -> i64 {
        self.collected().fold(0, |sum, (_, status)| {
            sum.saturating_add(integer(status, &[field]))
        })
    }

    /// The elements of a list in all statuses, one after the other.
    fn concatenated(self, field: &'static str) -> Vec<Value> {
        self.collected()
            .flat_map(|(_, status)| list(status, &[field]))
            .cloned()
            .collect()
    }

    /// The latest of the times in a field.
    fn latest(self, field: &str) -> Option<String> {
        let times = self
            .collected()
            .filter_map(|(_, status)| text(status, &[field]));
        times
            .max_by_key(|time| rfc3339::parse(time))
            .and_then(canonical_time)
    }

    /// The phases that occur; an item without status counts as `Pending`.
    fn phases(self) -> Vec<&'a str> {
        let phase = |item: &'a AggregatedStatusItem| {
            status_of(item).map_or("Pending", |status| {
                text(status, &["phase"]).unwrap_or_default()
            })
        };
        self.all.iter().map(phase).collect()
    }

    fn first_occurring(self, order: &[&'static str]) -> Option<&'static str> {
        let phases = self.phases();
        order.iter().copied().find(|phase| phases.contains(phase))
    }
}

fn status_of(item: &AggregatedStatusItem) -> Option<&Value> {
    item.status.as_ref().filter(|status| !status.is_null())
}

/// The template, which has been checked against its type, with its new status; as it came if nothing changes.
pub(super) fn aggregate(
    kind: Kind,
    mut template: Value,
    items: Option<&[AggregatedStatusItem]>,
    context: &Context<'_>,
) -> Result<Value, Cause> {
    if kind == Kind::Pod && items.is_none() {
        return Ok(template);
    }
    if kind == Kind::Service && text(&template, &["spec", "type"]) != Some("LoadBalancer") {
        return Ok(template);
    }
    let items = Items {
        all: items.unwrap_or_default(),
    };
    check_statuses(kind, items)?;
    if has_generations(kind) {
        aggregate_workload(kind, &mut template, items, context);
        check_sums(kind, &template)?;
        return Ok(template);
    }
    let null = Value::Null;
    let old = set(&template, &["status"]).unwrap_or(&null);
    let new = match kind {
        Kind::Service => Some(load_balancer::of_service(old, items, context.options)),
        Kind::Ingress => Some(load_balancer::of_ingress(items)),
        Kind::Job => job::aggregate(old, items, context),
        Kind::CronJob => Some(cron_job(old, items)),
        Kind::Pod => Some(pod::aggregate(items, context.options)),
        Kind::PersistentVolume => {
            let order = ["Failed", "Pending", "Available", "Bound", "Released"];
            Some(with_phase(
                items.first_occurring(&order).unwrap_or_default(),
            ))
        }
        Kind::PersistentVolumeClaim => Some(with_phase(claim_phase(items, context.options.compat))),
        Kind::PodDisruptionBudget => Some(disruption_budget(items)),
        Kind::HorizontalPodAutoscaler => {
            let mut status = sums(kind, items, Map::new());
            if context.options.compat {
                status.insert("currentMetrics".to_owned(), Value::Null);
            }
            Some(status)
        }
        Kind::Deployment
        | Kind::ReplicaSet
        | Kind::DaemonSet
        | Kind::StatefulSet
        | Kind::Secret
        | Kind::ServiceAccount
        | Kind::ServiceImport => None,
    };
    if let Some(new) = new
        .map(Value::Object)
        .filter(|new| !same_but_for_zeros(new, old))
    {
        template["status"] = new;
    }
    check_sums(kind, &template)?;
    Ok(template)
}

/// Fails if a sum is larger than its field: the API server refuses such a status.
fn check_sums(kind: Kind, template: &Value) -> Result<(), Cause> {
    let too_large =
        |counter: &&Counter| i32::try_from(integer(template, &["status", counter.name])).is_err();
    match counters_of(kind).iter().find(too_large) {
        Some(counter) => Err(Cause::field(
            &["status", counter.name],
            "is outside the range of a 32-bit integer, summed over the clusters",
        )),
        None => Ok(()),
    }
}

/// Fails if the status of an item does not fit the kind's type.
fn check_statuses(kind: Kind, items: Items<'_>) -> Result<(), Cause> {
    let type_name = match kind {
        Kind::Deployment => TypeName::DeploymentStatus,
        Kind::ReplicaSet => TypeName::ReplicaSetStatus,
        Kind::DaemonSet => TypeName::DaemonSetStatus,
        Kind::StatefulSet => TypeName::StatefulSetStatus,
        Kind::Service => TypeName::ServiceStatus,
        Kind::Ingress => TypeName::IngressStatus,
        Kind::Job => TypeName::JobStatus,
        Kind::CronJob => TypeName::CronJobStatus,
        Kind::Pod => TypeName::PodStatus,
        Kind::PersistentVolume => TypeName::PersistentVolumeStatus,
        Kind::PersistentVolumeClaim => TypeName::PersistentVolumeClaimStatus,
        Kind::PodDisruptionBudget => TypeName::PodDisruptionBudgetStatus,
        Kind::HorizontalPodAutoscaler => TypeName::HorizontalPodAutoscalerStatus,
        Kind::Secret | Kind::ServiceAccount | Kind::ServiceImport => return Ok(()),
    };
    for (cluster, status) in items.collected() {
        schema::check(type_name, status).map_err(|mut mismatch| {
            mismatch.path = format!("status of {cluster}: {}", mismatch.path);
            mismatch
        })?;
        if has_generations(kind) {
            for field in ["generation", "resourceTemplateGeneration"] {
                if set(status, &[field]).is_some()
                    && crate::value::integer_if_set(status, &[field]).is_none()
                {
                    return Err(Cause::field(
                        &["status", field],
                        format!("of {cluster} is no integer"),
                    ));
                }
            }
        }
    }
    Ok(())
}

fn has_generations(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Deployment | Kind::ReplicaSet | Kind::DaemonSet | Kind::StatefulSet
    )
}

/// Sums over the old status, and the observed generation once every cluster has seen the template as it is. What the
/// template has beside these stays where it is.
fn aggregate_workload(kind: Kind, template: &mut Value, items: Items<'_>, context: &Context<'_>) {
    let generation = integer(template, &["metadata", "generation"]);
    let is_current = |status: &Value| {
        let of_member = integer(status, &["generation"]);
        // The reference compares a StatefulSet with the wrong generation.
        let wanted = if kind == Kind::StatefulSet && context.options.compat {
            of_member
        } else {
            generation
        };
        integer(status, &["observedGeneration"]) >= of_member
            && integer(status, &["resourceTemplateGeneration"]) >= wanted
    };
    let current = items
        .collected()
        .filter(|(_, status)| is_current(status))
        .count();
    let old = |field: &str| integer(template, &["status", field]);
    let mut sums: Vec<(Counter, i64)> = counters_of(kind)
        .iter()
        .map(|counter| (*counter, items.sum(counter.name)))
        .collect();
    if current == items.len() {
        sums.push((
            Counter {
                name: "observedGeneration",
                always: false,
            },
            generation,
        ));
    }
    if sums.iter().all(|(counter, sum)| old(counter.name) == *sum) {
        return;
    }
    if !template["status"].is_object() {
        template["status"] = Value::Object(Map::new());
    }
    if let Some(status) = template["status"].as_object_mut() {
        for (counter, sum) in sums {
            write(status, counter, sum);
        }
        // An observed generation that was kept is written like one that was set.
        if status
            .get("observedGeneration")
            .is_some_and(|it| it.as_i64() == Some(0) || it.is_null())
        {
            status.remove("observedGeneration");
        }
    }
}

fn sums(kind: Kind, items: Items<'_>, mut status: Map<String, Value>) -> Map<String, Value> {
    for counter in counters_of(kind) {
        write(&mut status, *counter, items.sum(counter.name));
    }
    status
}

fn with_phase(phase: &str) -> Map<String, Value> {
    let mut status = Map::new();
    if !phase.is_empty() {
        status.insert("phase".to_owned(), phase.into());
    }
    status
}

/// `Lost` anywhere decides; otherwise the last phase that is not `Bound`.
fn claim_phase(items: Items<'_>, compat: bool) -> &str {
    let mut phase = "Bound";
    for (_, status) in items.collected() {
        match text(status, &["phase"]).unwrap_or_default() {
            "Lost" => return "Lost",
            "Bound" => {}
            other => phase = other,
        }
    }
    // The reference skips claims that nothing is known of.
    let is_known = items.len() > 0 && items.collected().count() == items.len();
    if phase == "Bound" && !is_known && !compat {
        return "Pending";
    }
    phase
}

fn cron_job(old: &Value, items: Items<'_>) -> Map<String, Value> {
    let mut status = old.as_object().cloned().unwrap_or_default();
    let mut write_or_remove = |field: &str, value: Option<Value>| match value {
        Some(value) => status.insert(field.to_owned(), value),
        None => status.remove(field),
    };
    let active = items.concatenated("active");
    write_or_remove("active", (!active.is_empty()).then_some(active.into()));
    for field in ["lastScheduleTime", "lastSuccessfulTime"] {
        write_or_remove(field, items.latest(field).map(Value::from));
    }
    status
}

fn disruption_budget(items: Items<'_>) -> Map<String, Value> {
    let mut status = sums(Kind::PodDisruptionBudget, items, Map::new());
    let mut disrupted = Map::new();
    for (cluster, collected) in items.collected() {
        let pods = set(collected, &["disruptedPods"]).and_then(Value::as_object);
        for (pod, time) in pods.into_iter().flatten() {
            disrupted.insert(format!("{cluster}/{pod}"), time.clone());
        }
    }
    if !disrupted.is_empty() {
        status.insert("disruptedPods".to_owned(), Value::Object(disrupted));
    }
    status
}

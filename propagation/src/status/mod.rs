//! Works to the status of their binding.

use std::collections::BTreeSet;

use crds::conditions::{self, binding as texts, condition, status};
use crds::config::InterpreterOperation;
use crds::work::{
    AggregatedStatusItem, Binding, ObjectReference, ResourceBindingStatus, ResourceHealth, Work,
};
use crds::{keys, names, object};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;
use serde_json::Value;
use trace::Sink;

use crate::binding::{reference, same_object};
use crate::render::expected_clusters;
use crate::trace::Item;

/// How the status comes back, for whoever asks why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Code {
    StatusStale,
    NoHealthInterpreter,
    AggregateFailed,
    StatusOk,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StatusStale => "StatusStale",
            Self::NoHealthInterpreter => "NoHealthInterpreter",
            Self::AggregateFailed => "AggregateFailed",
            Self::StatusOk => "StatusOk",
        }
    }
}

/// A Work that does not carry the binding's resource, so nothing can be said about its cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("work {namespace}/{name} carries no manifest of {kind} {resource}")]
pub struct AggregateError {
    pub namespace: String,
    pub name: String,
    pub kind: String,
    pub resource: String,
}

/// The state of the resource in each cluster, sorted by cluster. `works` are all Works with the binding's permanent id;
/// those being deleted do not count.
pub fn aggregate<'w>(
    resource: &ObjectReference,
    works: impl IntoIterator<Item = &'w Work>,
    sink: &mut impl Sink<Item>,
) -> Result<Vec<AggregatedStatusItem>, AggregateError> {
    let mut items = Vec::new();
    for work in works {
        if work.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
        let Ok(cluster) = names::cluster_of_execution_namespace(namespace) else {
            continue;
        };
        items.push(item(resource, work, cluster)?);
    }
    items.sort_by(|a, b| a.cluster_name.cmp(&b.cluster_name));
    for item in &items {
        sink.record(|| Item::Aggregated {
            cluster: item.cluster_name.clone(),
            applied: item.applied.unwrap_or_default(),
            health: item.health.unwrap_or_default(),
            message: item.applied_message.clone().unwrap_or_default(),
        });
    }
    Ok(items)
}

fn item(
    resource: &ObjectReference,
    work: &Work,
    cluster: &str,
) -> Result<AggregatedStatusItem, AggregateError> {
    let manifests = &work.spec.workload.manifests;
    let ordinal = ordinal(resource, manifests).ok_or_else(|| AggregateError {
        namespace: work.metadata.namespace.clone().unwrap_or_default(),
        name: work.metadata.name.clone().unwrap_or_default(),
        kind: resource.kind.clone(),
        resource: resource.name.clone(),
    })?;
    let mut item = AggregatedStatusItem {
        cluster_name: cluster.to_owned(),
        health: Some(ResourceHealth::Unknown),
        ..AggregatedStatusItem::default()
    };
    let Some(of_work) = &work.status else {
        return Ok(item);
    };
    let applied = conditions::find(&of_work.conditions, conditions::work::APPLIED);
    match applied {
        Some(applied) if applied.status == status::TRUE => {
            item.applied = Some(true);
            let identifier = crate::execution::conditions::identifier(&manifests[ordinal], ordinal);
            if let Some(found) = of_work
                .manifest_statuses
                .iter()
                .find(|entry| entry.identifier == identifier)
            {
                item.status.clone_from(&found.status);
                item.health = Some(found.health.unwrap_or_default());
            }
        }
        Some(applied) => {
            item.applied_message = Some(applied.message.clone()).filter(|text| !text.is_empty());
        }
        None => {}
    }
    Ok(item)
}

/// The place of the resource among the manifests.
///
/// An override may have renamed it. Then it is the one that came from this template, or the only one there is.
fn ordinal(resource: &ObjectReference, manifests: &[Value]) -> Option<usize> {
    let exact = |manifest: &Value| {
        let found = reference(manifest);
        found.api_version == resource.api_version && same_object(&found, resource)
    };
    let of_template = |manifest: &Value| {
        let uid = object::annotation(manifest, keys::TEMPLATE_UID).filter(|uid| !uid.is_empty());
        uid.is_some() && uid == resource.uid.as_deref()
    };
    manifests
        .iter()
        .position(exact)
        .or_else(|| manifests.iter().position(of_template))
        .or_else(|| (manifests.len() == 1).then_some(0))
}

/// Condition `FullyApplied`: true when every cluster that should have the resource has it, and no other.
pub fn fully_applied(expected: &BTreeSet<String>, items: &[AggregatedStatusItem]) -> Condition {
    let holds = !expected.is_empty()
        && expected.len() == items.len()
        && items
            .iter()
            .all(|item| item.applied == Some(true) && expected.contains(&item.cluster_name));
    if holds {
        condition(
            texts::FULLY_APPLIED,
            status::TRUE,
            texts::FULLY_APPLIED_SUCCESS,
            texts::FULLY_APPLIED_SUCCESS_MESSAGE,
        )
    } else {
        condition(
            texts::FULLY_APPLIED,
            status::FALSE,
            texts::FULLY_APPLIED_FAILED,
            texts::FULLY_APPLIED_FAILED_MESSAGE,
        )
    }
}

/// The binding with its status brought up to date; `None` when nothing changes.
pub fn refresh<'w, B: Binding>(
    binding: &B,
    works: impl IntoIterator<Item = &'w Work>,
    now: &Time,
    sink: &mut impl Sink<Item>,
) -> Result<Option<B>, AggregateError> {
    let works: Vec<&Work> = works.into_iter().collect();
    let items = aggregate(&binding.spec().resource, works.iter().copied(), sink)?;
    let mut updated = binding.clone();
    let generation = binding.meta().generation;
    let condition = fully_applied(&expected_clusters(binding.spec()), &items);
    let of_binding = updated.status_mut();
    conditions::set_condition(&mut of_binding.conditions, condition, now);
    of_binding.aggregated_status = items;
    interpretation(&works, of_binding, generation, now);
    Ok((updated != *binding).then_some(updated))
}

/// The conditions about operations on the objects in members: one that fails in some cluster has failed.
fn interpretation(
    works: &[&Work],
    status: &mut ResourceBindingStatus,
    generation: Option<i64>,
    now: &Time,
) {
    for operation in [
        InterpreterOperation::Retain,
        InterpreterOperation::InterpretStatus,
        InterpreterOperation::InterpretHealth,
    ] {
        let type_ = conditions::interpretation::type_of(operation);
        let mut failures: Vec<String> = works
            .iter()
            .filter(|work| work.metadata.deletion_timestamp.is_none())
            .filter_map(|work| {
                let failed = conditions::find(&work.status.as_ref()?.conditions, type_)?;
                let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
                let cluster = names::cluster_of_execution_namespace(namespace).ok()?;
                Some(format!("cluster {cluster}: {}", failed.message))
            })
            .collect();
        failures.sort();
        let error = (!failures.is_empty()).then(|| crate::execution::conditions::joined(&failures));
        conditions::interpretation::put(
            &mut status.conditions,
            operation,
            error.as_deref(),
            generation,
            now,
        );
    }
}

/// The template's new `status`, if aggregation changed it. `aggregated` is the hook's answer, of which nothing else counts.
///
/// Null means that the template is to have none: that follows from items alone. Without any, nothing is known.
pub fn template_status<'v>(
    template: &Value,
    aggregated: &'v Value,
    items: &[AggregatedStatusItem],
) -> Option<&'v Value> {
    static NONE: Value = Value::Null;
    let is_nothing = |status: &Value| {
        status.is_null() || status.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let present = template.get("status").filter(|it| !is_nothing(it));
    let Some(status) = aggregated.get("status").filter(|status| !status.is_null()) else {
        return (present.is_some() && !items.is_empty()).then_some(&NONE);
    };
    (template.get("status") != Some(status)).then_some(status)
}

#[cfg(test)]
mod tests;

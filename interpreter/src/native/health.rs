//! Whether a member object does what it is for.

use serde_json::Value;

use super::Kind;
use crate::value::{integer, integer_if_set, items, text};

/// The object has been checked against its type; missing counters are 0.
pub(super) fn is_healthy(kind: Kind, object: &Value) -> bool {
    let status = |field: &str| integer(object, &["status", field]);
    let is_observed =
        || status("observedGeneration") == integer(object, &["metadata", "generation"]);
    let wanted = || integer_if_set(object, &["spec", "replicas"]);
    match kind {
        Kind::Deployment | Kind::StatefulSet => {
            is_observed()
                && wanted().is_none_or(|wanted| status("updatedReplicas") >= wanted)
                && status("availableReplicas") >= status("updatedReplicas")
        }
        Kind::ReplicaSet => {
            is_observed() && wanted().is_none_or(|wanted| status("availableReplicas") >= wanted)
        }
        Kind::DaemonSet => {
            is_observed()
                && status("updatedNumberScheduled") >= status("desiredNumberScheduled")
                && status("numberAvailable") >= status("updatedNumberScheduled")
        }
        Kind::Service => {
            text(object, &["spec", "type"]) != Some("LoadBalancer") || has_address(object)
        }
        Kind::Ingress => has_address(object),
        Kind::PersistentVolumeClaim => text(object, &["status", "phase"]) == Some("Bound"),
        Kind::Pod => match text(object, &["status", "phase"]) {
            Some("Succeeded") => true,
            Some("Running") => is_ready(object),
            _ => false,
        },
        Kind::PodDisruptionBudget => status("currentHealthy") >= status("desiredHealthy"),
        Kind::Job => !items(object, &["status", "conditions"])
            .iter()
            .any(|condition| {
                text(condition, &["type"]) == Some("Failed")
                    && text(condition, &["status"]) == Some("True")
            }),
        _ => true,
    }
}

fn has_address(object: &Value) -> bool {
    let filled =
        |entry: &Value, field: &str| text(entry, &[field]).is_some_and(|text| !text.is_empty());
    let mut entries = items(object, &["status", "loadBalancer", "ingress"]).iter();
    entries.any(|entry| filled(entry, "hostname") || filled(entry, "ip"))
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = items(pod, &["status", "conditions"]).iter();
    let ready = conditions.find(|condition| text(condition, &["type"]) == Some("Ready"));
    ready.is_some_and(|condition| text(condition, &["status"]) == Some("True"))
}

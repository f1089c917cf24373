//! The status of a Pod: phase and the readiness of its containers.

use serde_json::{Map, Value};

use super::{Items, with_phase};
use crate::layer::Options;
use crate::value::{items as list, set, text};

pub(super) fn aggregate(items: Items<'_>, options: Options) -> Map<String, Value> {
    if let (false, [only]) = (options.compat, items.all) {
        // One cluster: its Pod is the Pod, with name, address and conditions.
        if let Some(status) = super::status_of(only).and_then(Value::as_object) {
            return status.clone();
        }
    }
    let mut status = with_phase(
        items
            .first_occurring(&["Failed", "Pending", "Running", "Succeeded"])
            .unwrap_or_default(),
    );
    for field in ["containerStatuses", "initContainerStatuses"] {
        let containers = items
            .collected()
            .flat_map(|(_, status)| list(status, &[field]));
        let containers: Vec<_> = containers
            .map(|container| container_status(container, options))
            .collect();
        if !containers.is_empty() {
            status.insert(field.to_owned(), containers.into());
        }
    }
    status
}

fn container_status(container: &Value, options: Options) -> Value {
    let mut written = Map::new();
    let ready = set(container, &["ready"])
        .and_then(Value::as_bool)
        .unwrap_or_default();
    written.insert("ready".to_owned(), ready.into());
    if let Some(state) = set(container, &["state"]) {
        written.insert("state".to_owned(), state.clone());
    }
    // A container status without a name says little, and the API requires one.
    if let Some(name) = text(container, &["name"]).filter(|_| !options.compat) {
        written.insert("name".to_owned(), name.into());
    }
    Value::Object(written)
}

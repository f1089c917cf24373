//! The version record: whether a member object needs a closer look.

use std::collections::BTreeSet;

use crds::{keys, object};
use serde_json::Value;

/// The text that is recorded for an object after it was written or compared: its generation, or the resource version where the kind
/// has no generation.
pub fn version(observed: &Value) -> String {
    match object::generation(observed).filter(|generation| *generation != 0) {
        Some(generation) => format!("gen:{generation}"),
        None => format!(
            "rv:{}",
            object::resource_version(observed).unwrap_or_default()
        ),
    }
}

/// Whether the object may have drifted, so that a plan has to be made.
///
/// A generation says nothing about labels and annotations, so those that the control plane owns are compared as well.
pub fn needs_update(recorded: Option<&str>, desired: &Value, observed: &Value) -> bool {
    let current = version(observed);
    if recorded != Some(&*current) {
        return true;
    }
    if current.starts_with("rv:") {
        return false;
    }
    let identity = |of: &Value| {
        (
            object::namespace(of).map(ToOwned::to_owned),
            object::name(of).to_owned(),
        )
    };
    identity(desired) != identity(observed)
        || owned_differ(
            &object::labels(desired),
            &object::labels(observed),
            observed,
            keys::MANAGED_LABELS,
        )
        || owned_differ(
            &object::annotations(desired),
            &object::annotations(observed),
            observed,
            keys::MANAGED_ANNOTATIONS,
        )
}

fn owned_differ(
    desired: &std::collections::BTreeMap<String, String>,
    found: &std::collections::BTreeMap<String, String>,
    observed: &Value,
    list: &str,
) -> bool {
    let managed: BTreeSet<&str> = object::annotation(observed, list)
        .unwrap_or_default()
        .split(',')
        .collect();
    desired
        .iter()
        .any(|(key, value)| found.get(key) != Some(value))
        || found
            .keys()
            .any(|key| managed.contains(key.as_str()) && !desired.contains_key(key))
}

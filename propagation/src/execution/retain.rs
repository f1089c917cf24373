//! What the member object keeps when it is replaced.

use std::collections::BTreeSet;

use crds::{keys, object};
use serde_json::{Map, Value};

/// Metadata that only the member's API server and controllers write.
const OF_THE_MEMBER: &[&str] = &["resourceVersion", "finalizers", "ownerReferences"];

/// The retention that holds for every kind, before the kind's own.
///
/// Resource version, finalizers and owners come from the member. Labels and annotations of the member stay, unless the control plane
/// put them there before and does not want them any more, which the lists of managed keys tell.
pub fn retain(desired: &mut Value, observed: &Value) {
    keep_server_metadata(desired, observed);
    for (field, list) in [
        ("annotations", keys::MANAGED_ANNOTATIONS),
        ("labels", keys::MANAGED_LABELS),
    ] {
        let managed: BTreeSet<&str> = object::annotation(observed, list)
            .unwrap_or_default()
            .split(',')
            .collect();
        let Some(found) = observed
            .get("metadata")
            .and_then(|it| it.get(field))
            .and_then(Value::as_object)
        else {
            continue;
        };
        let kept: Vec<_> = found
            .iter()
            .filter(|(key, _)| !managed.contains(key.as_str()))
            .collect();
        if kept.is_empty() {
            continue;
        }
        let Some(metadata) = object::metadata_mut(desired) else {
            return;
        };
        let entry = metadata.entry(field).or_insert(Value::Null);
        if entry.is_null() {
            *entry = Value::Object(Map::new());
        }
        let Some(wanted) = entry.as_object_mut() else {
            continue;
        };
        for (key, value) in kept {
            wanted.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Takes over what belongs to the member alone.
fn keep_server_metadata(desired: &mut Value, observed: &Value) {
    let Some(metadata) = object::metadata_mut(desired) else {
        return;
    };
    for field in OF_THE_MEMBER {
        match observed
            .get("metadata")
            .and_then(|metadata| metadata.get(field))
        {
            Some(value) => metadata.insert((*field).to_owned(), value.clone()),
            None => metadata.remove(*field),
        };
    }
}

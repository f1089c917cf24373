//! What a Work says about its delivery.

use crds::conditions::{condition, status, work as texts};
use crds::object;
use crds::work::{ManifestStatus, ResourceHealth, ResourceIdentifier};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

/// Reason of `Applied` False: somebody took the mark or the back reference off the member object, so that it is refused or invisible.
pub const MARK_REMOVED: &str = "ManagedMarkRemoved";

/// Condition `Dispatching`, to be written only when its type and status differ from what is there.
pub fn dispatching(suspended: bool) -> Condition {
    if suspended {
        condition(
            texts::DISPATCHING,
            status::FALSE,
            texts::SUSPEND_DISPATCHING,
            texts::SUSPEND_DISPATCHING_MESSAGE,
        )
    } else {
        condition(
            texts::DISPATCHING,
            status::TRUE,
            texts::DISPATCHING_REASON,
            texts::DISPATCHING_MESSAGE,
        )
    }
}

/// Condition `Applied` after all manifests were tried; `generation` is that of the Work which was carried out.
pub fn applied(total: usize, errors: &[String], generation: Option<i64>) -> Condition {
    let new = if errors.is_empty() {
        condition(
            texts::APPLIED,
            status::TRUE,
            texts::APPLIED_SUCCESSFUL,
            texts::APPLIED_SUCCESSFUL_MESSAGE,
        )
    } else {
        let message = texts::applied_failed_message(
            total.saturating_sub(errors.len()),
            total,
            &joined(errors),
        );
        condition(
            texts::APPLIED,
            status::FALSE,
            texts::APPLIED_FAILED,
            truncated(message),
        )
    };
    Condition {
        observed_generation: generation,
        ..new
    }
}

/// Condition `Applied` after an object that had vanished in the member was created again.
pub fn recreated(error: Option<&str>, generation: Option<i64>) -> Condition {
    let new = match error {
        None => condition(
            texts::APPLIED,
            status::TRUE,
            texts::RECREATE_SUCCESSFUL,
            texts::APPLIED_SUCCESSFUL_MESSAGE,
        ),
        Some(error) => condition(
            texts::APPLIED,
            status::FALSE,
            texts::RECREATE_FAILED,
            truncated(error.to_owned()),
        ),
    };
    Condition {
        observed_generation: generation,
        ..new
    }
}

/// Condition `Applied` when member objects lost the marks by which the control plane knows them; `message` is that of
/// [`mark_removed_message`].
pub fn mark_removed(message: String, generation: Option<i64>) -> Condition {
    Condition {
        observed_generation: generation,
        ..condition(
            texts::APPLIED,
            status::FALSE,
            MARK_REMOVED,
            truncated(message),
        )
    }
}

/// What happened to the object, and what to do about it.
pub fn mark_removed_message(cluster: &str, observed: &Value) -> String {
    format!(
        "{} in cluster {cluster} lost the label {}, so it is left alone; put the label back, or set {} to overwrite on the template to take it over again",
        super::described(observed),
        crds::keys::MANAGED,
        crds::keys::CONFLICT_RESOLUTION
    )
}

/// Several errors in brackets, one error bare; repeated texts once.
pub fn joined(errors: &[String]) -> String {
    let mut unique: Vec<&str> = Vec::new();
    for error in errors {
        if !unique.contains(&error.as_str()) {
            unique.push(error);
        }
    }
    match unique[..] {
        [single] => single.to_owned(),
        _ => format!("[{}]", unique.join(", ")),
    }
}

/// Conditions take 32768 characters, and a refusal from the member can be longer.
fn truncated(mut message: String) -> String {
    const LIMIT: usize = 32768;
    if message.len() > LIMIT {
        let end = (0..=LIMIT - 3)
            .rev()
            .find(|end| message.is_char_boundary(*end))
            .unwrap_or(0);
        message.truncate(end);
        message.push_str("...");
    }
    message
}

/// Names a manifest of a Work; `ordinal` is its place.
pub fn identifier(manifest: &Value, ordinal: usize) -> ResourceIdentifier {
    let gvk = object::Gvk::of(manifest);
    ResourceIdentifier {
        ordinal: i64::try_from(ordinal).unwrap_or(i64::MAX),
        group: Some(gvk.group).filter(|group| !group.is_empty()),
        version: gvk.version,
        kind: gvk.kind,
        resource: String::new(),
        namespace: object::namespace(manifest).map(ToOwned::to_owned),
        name: object::name(manifest).to_owned(),
    }
}

/// Puts the state of one manifest into the list, whose other entries stay if their manifests still exist. Returns whether the list
/// changed.
pub fn set_manifest_status(
    list: &mut Vec<ManifestStatus>,
    manifests: &[Value],
    ordinal: usize,
    reflected: Option<Value>,
    health: ResourceHealth,
) -> bool {
    let identifiers: Vec<_> = manifests
        .iter()
        .enumerate()
        .map(|(ordinal, manifest)| identifier(manifest, ordinal))
        .collect();
    let Some(own) = identifiers.get(ordinal) else {
        return false;
    };
    let new = ManifestStatus {
        identifier: own.clone(),
        status: reflected,
        health: Some(health),
    };
    let mut updated: Vec<ManifestStatus> = list
        .iter()
        .filter(|entry| entry.identifier != *own && identifiers.contains(&entry.identifier))
        .cloned()
        .chain([new])
        .collect();
    updated.sort_by_key(|entry| entry.identifier.ordinal);
    let changed = *list != updated;
    *list = updated;
    changed
}

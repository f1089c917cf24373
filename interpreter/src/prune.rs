//! Takes out of a manifest what belongs to one cluster, so that the object can be created in another.
//!
//! The renderer of Works and the admission of Works share these rules: the stored Work has to equal what the controller
//! computed, or it would be written again at every reconcile.

use crds::keys;
use serde_json::Value;

use crate::error::Cause;
use crate::layer::Target;
use crate::schema::{self, TypeName};
use crate::value::{object_mut, remove, strict_list, strict_text};

const METADATA: &[&str] = &[
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
    "ownerReferences",
    "finalizers",
];

const TOKEN_SECRET: &str = "kubernetes.io/service-account-token";

/// Which of the rules apply.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Leave a Job's time to live: for objects that move into the control plane. Everywhere else it goes, since a Job that a
    /// member deletes would be created again; time to live is the control plane's to keep.
    pub keep_time_to_live: bool,
    /// Match kinds without looking at their group, as Karmada v1.18 does.
    pub compat: bool,
}

/// Prunes a manifest for a member. Fails for a Job that does not fit its type; the manifest is left as it was then.
pub fn prune(manifest: &mut Value) -> Result<(), Cause> {
    prune_with(manifest, Rules::default())
}

/// Prunes by chosen rules.
pub fn prune_with(manifest: &mut Value, rules: Rules) -> Result<(), Cause> {
    let kind = Kind::of(manifest, rules.compat);
    if kind == Some(Kind::Job) {
        schema::check(TypeName::Job, manifest)?;
    }
    if let Some(metadata) = object_mut(manifest, &["metadata"]) {
        for field in METADATA {
            metadata.remove(*field);
        }
    }
    remove(manifest, &["status"]);
    match kind {
        Some(Kind::Deployment) => {
            for key in [
                "deployment.kubernetes.io/revision",
                "deployment.kubernetes.io/revision-history",
            ] {
                remove(manifest, &["metadata", "annotations", key]);
            }
        }
        Some(Kind::Job) => prune_job(manifest, rules.keep_time_to_live),
        Some(Kind::Secret) => prune_secret(manifest),
        Some(Kind::ServiceAccount) => prune_service_account(manifest, rules.compat)?,
        Some(Kind::Service) => prune_service(manifest),
        Some(Kind::PersistentVolumeClaim) => {
            let path = &[
                "metadata",
                "annotations",
                "volume.kubernetes.io/selected-node",
            ];
            if strict_text(manifest, path)
                .ok()
                .flatten()
                .is_some_and(|node| !node.is_empty())
            {
                remove(manifest, path);
            }
        }
        None => {}
    }
    Ok(())
}

/// A kind with rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deployment,
    Job,
    Secret,
    ServiceAccount,
    Service,
    PersistentVolumeClaim,
}

impl Kind {
    fn of(manifest: &Value, any_group: bool) -> Option<Self> {
        let target = Target::of(manifest);
        let (group, kind) = match target.kind {
            "Deployment" => ("apps", Self::Deployment),
            "Job" => ("batch", Self::Job),
            "Secret" => ("", Self::Secret),
            "ServiceAccount" => ("", Self::ServiceAccount),
            "Service" => ("", Self::Service),
            "PersistentVolumeClaim" => ("", Self::PersistentVolumeClaim),
            _ => return None,
        };
        (any_group || group == target.group).then_some(kind)
    }
}

/// The labels that tie pods to the Job's uid are the member's to generate, unless the user chose the selector.
fn prune_job(manifest: &mut Value, keep_time_to_live: bool) {
    if !keep_time_to_live {
        remove(manifest, &["spec", "ttlSecondsAfterFinished"]);
    }
    if manifest
        .pointer("/spec/manualSelector")
        .and_then(Value::as_bool)
        == Some(true)
    {
        return;
    }
    let ids = ["controller-uid", "batch.kubernetes.io/controller-uid"];
    let names = ["job-name", "batch.kubernetes.io/job-name"];
    for key in ids {
        remove(manifest, &["spec", "selector", "matchLabels", key]);
    }
    for key in ids.into_iter().chain(names) {
        remove(manifest, &["spec", "template", "metadata", "labels", key]);
    }
}

/// The token is issued anew in every cluster.
fn prune_secret(manifest: &mut Value) {
    if manifest.get("type").and_then(Value::as_str) == Some(TOKEN_SECRET) {
        remove(
            manifest,
            &[
                "metadata",
                "annotations",
                "kubernetes.io/service-account.uid",
            ],
        );
        if let Some(secret) = manifest.as_object_mut() {
            secret.insert("data".to_owned(), Value::Null);
        }
    }
}

fn prune_service_account(manifest: &mut Value, compat: bool) -> Result<(), Cause> {
    let Ok(Some(secrets)) = strict_list(manifest, &["secrets"]) else {
        return Ok(());
    };
    let name = manifest
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let prefix = format!("{name}-token-");
    let is_token = |entry: &Value| {
        entry
            .get("name")
            .and_then(Value::as_str)
            .is_some_and(|name| name.starts_with(&prefix))
    };
    let mut kept = Vec::with_capacity(secrets.len());
    let mut entries = secrets.iter();
    while let Some(entry) = entries.next() {
        if compat && entry.get("name").is_none_or(|name| !name.is_string()) {
            return Err(Cause::field(&["secrets"], "has an entry without a name"));
        }
        if !is_token(entry) {
            kept.push(entry.clone());
        } else if compat {
            // The reference goes on behind the entry that moved into the removed one's place.
            kept.extend(entries.next().cloned());
        }
    }
    if let Some(account) = manifest.as_object_mut() {
        account.insert("secrets".to_owned(), kept.into());
    }
    Ok(())
}

fn prune_service(manifest: &mut Value) {
    let address = manifest.pointer("/spec/clusterIP").and_then(Value::as_str);
    if address.is_some_and(|address| address != "None") {
        remove(manifest, &["spec", "clusterIP"]);
        remove(manifest, &["spec", "clusterIPs"]);
    }
}

/// Writes into a manifest which labels and annotations the control plane set, so that those of the member's users can be
/// told from them, and the permanent id of its Work.
///
/// Stamping a stamped manifest again changes nothing.
pub fn stamp(manifest: &mut Value, work_permanent_id: Option<&str>) -> Result<(), Cause> {
    let annotations = string_map(manifest, "annotations")?;
    annotations
        .entry(keys::MANAGED_ANNOTATIONS)
        .or_insert_with(|| "".into());
    annotations
        .entry(keys::MANAGED_LABELS)
        .or_insert_with(|| "".into());
    let managed_annotations = joined(annotations);
    annotations.insert(
        keys::MANAGED_ANNOTATIONS.to_owned(),
        managed_annotations.into(),
    );
    let managed_labels = match work_permanent_id {
        Some(id) => {
            let labels = string_map(manifest, "labels")?;
            labels.insert(keys::WORK_PERMANENT_ID.to_owned(), id.into());
            joined(labels)
        }
        None => manifest
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .map(joined)
            .unwrap_or_default(),
    };
    string_map(manifest, "annotations")?
        .insert(keys::MANAGED_LABELS.to_owned(), managed_labels.into());
    Ok(())
}

/// Keys in order, separated by commas.
fn joined(map: &serde_json::Map<String, Value>) -> String {
    let mut keys: Vec<&str> = map.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(",")
}

fn string_map<'a>(
    manifest: &'a mut Value,
    field: &str,
) -> Result<&'a mut serde_json::Map<String, Value>, Cause> {
    let no_object = |path: &[&str]| Cause::field(path, "is no object");
    let metadata = manifest
        .as_object_mut()
        .ok_or_else(|| no_object(&[]))?
        .entry("metadata")
        .or_insert_with(empty);
    let map = metadata
        .as_object_mut()
        .ok_or_else(|| no_object(&["metadata"]))?
        .entry(field)
        .or_insert_with(empty);
    if map.is_null() {
        *map = empty();
    }
    map.as_object_mut()
        .ok_or_else(|| no_object(&["metadata", field]))
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

#[cfg(test)]
mod tests;

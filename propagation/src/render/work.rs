//! The Work around a manifest, and what to write when it is there already.

use std::collections::BTreeSet;

use crds::object::Key;
use crds::work::{Work, WorkSpec, WorkloadTemplate};
use crds::{keys, object};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::{LAST_APPLIED, RenderError, STANDS_IN};
use crate::binding::{Collision, merge_map, reference, same_object};
use crate::matching::lazy;
use crate::overrides::Applied;

/// A Work without its permanent id, which only the Work that exists, or the creation of one, can tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    manifest: Value,
    metadata: ObjectMeta,
    suspend_dispatching: Option<bool>,
    preserve_resources_on_deletion: Option<bool>,
    applied: Applied,
    ignored_conflict_resolution: Option<String>,
}

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Upsert {
    Create(Box<Work>),
    /// The existing Work with its changes; its `resourceVersion` is kept.
    Update(Box<Work>),
    Unchanged,
}

/// Why a Work cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UpsertError {
    #[error("work {work} is being deleted")]
    Terminating { work: Key },
    #[error(transparent)]
    Collision(#[from] Box<Collision>),
    #[error(
        "work {work} carries the object for {holder}, which renders the same object as {refused}"
    )]
    OtherBinding {
        work: Key,
        holder: String,
        refused: String,
    },
}

impl UpsertError {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Terminating { .. } => "WorkTerminating",
            Self::Collision(_) | Self::OtherBinding { .. } => "NameCollision",
        }
    }

    /// Whether nothing helps before a template, policy or override changes.
    pub const fn is_terminal(&self) -> bool {
        !matches!(self, Self::Terminating { .. })
    }
}

impl Draft {
    /// A Work around any manifest; `template_uid` is empty when there is no template.
    ///
    /// This is also for controllers that make Works without a binding: `metadata` then has their labels and owner.
    pub fn new(mut manifest: Value, metadata: ObjectMeta, template_uid: &str) -> Self {
        for annotation in [LAST_APPLIED, lazy::TEMPLATE_FINGERPRINT] {
            object::remove_annotation(&mut manifest, annotation);
        }
        object::set_label(&mut manifest, keys::MANAGED, keys::TRUE);
        object::set_annotation(&mut manifest, keys::TEMPLATE_UID, template_uid);
        for (key, value) in [
            (keys::WORK_NAME, &metadata.name),
            (keys::WORK_NAMESPACE, &metadata.namespace),
        ] {
            object::set_annotation(&mut manifest, key, value.as_deref().unwrap_or_default());
        }
        let conflict = metadata
            .annotations
            .as_ref()
            .and_then(|map| map.get(keys::CONFLICT_RESOLUTION));
        if let Some(value) = conflict {
            object::set_annotation(&mut manifest, keys::CONFLICT_RESOLUTION, value);
        }
        Self {
            manifest,
            metadata,
            suspend_dispatching: None,
            preserve_resources_on_deletion: None,
            applied: Applied::default(),
            ignored_conflict_resolution: None,
        }
    }

    /// Writes both flags of the Work.
    #[must_use]
    pub fn with_flags(
        mut self,
        suspend_dispatching: bool,
        preserve_resources_on_deletion: bool,
    ) -> Self {
        self.suspend_dispatching = Some(suspend_dispatching);
        self.preserve_resources_on_deletion = Some(preserve_resources_on_deletion);
        self
    }

    pub(super) fn with_applied(mut self, applied: Applied) -> Self {
        self.applied = applied;
        self
    }

    pub(super) fn with_ignored_conflict_resolution(mut self, ignored: Option<String>) -> Self {
        self.ignored_conflict_resolution = ignored;
        self
    }

    /// What the object asks for in its conflict resolution annotation, if there is no such thing.
    pub fn ignored_conflict_resolution(&self) -> Option<&str> {
        self.ignored_conflict_resolution.as_deref()
    }

    /// Removes what belongs to the control plane's API server and not to the member.
    pub fn pruned(mut self) -> Result<Self, RenderError> {
        interpreter::prune::prune(&mut self.manifest)
            .map_err(|error| RenderError::Prune(error.to_string()))?;
        Ok(self)
    }

    /// Namespace and name of the Work.
    pub fn key(&self) -> Key {
        Key::of_meta(&self.metadata)
    }

    /// The manifest before the Work's permanent id is put on it.
    pub fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// The override rules that were applied.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Whether other override rules were applied than those that the existing Work records: what success events are about.
    pub fn overrides_changed(&self, existing: Option<&Work>) -> bool {
        let recorded = existing.and_then(|work| work.metadata.annotations.as_ref());
        self.applied
            .annotations()
            .iter()
            .any(|(key, text)| recorded.and_then(|map| map.get(*key)) != text.as_ref())
    }

    /// What to write. `existing` is the Work of this name; `permanent_id` is used if there is none or if it has no id.
    pub fn upsert(
        self,
        existing: Option<&Work>,
        permanent_id: &str,
    ) -> Result<Upsert, UpsertError> {
        let Some(existing) = existing else {
            return Ok(Upsert::Create(Box::new(self.into_work(permanent_id))));
        };
        if existing.metadata.deletion_timestamp.is_some() {
            return Err(UpsertError::Terminating { work: self.key() });
        }
        self.check_identity(existing)?;
        let id = existing
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(keys::WORK_PERMANENT_ID));
        let desired = self.into_work(
            id.filter(|id| !id.is_empty())
                .map_or(permanent_id, String::as_str),
        );

        let mut merged = existing.clone();
        let metadata = &mut merged.metadata;
        merge_map(&mut metadata.labels, desired.metadata.labels.as_ref());
        merge_map(
            &mut metadata.annotations,
            desired.metadata.annotations.as_ref(),
        );
        // These are ours alone: the first two go with the last override, and a Work with its content stands in for nothing.
        for key in [
            keys::APPLIED_OVERRIDES,
            keys::APPLIED_CLUSTER_OVERRIDES,
            STANDS_IN,
        ] {
            let is_wanted = desired
                .metadata
                .annotations
                .as_ref()
                .is_some_and(|map| map.contains_key(key));
            if let Some(annotations) = metadata.annotations.as_mut().filter(|_| !is_wanted) {
                annotations.remove(key);
            }
        }
        let finalizers: BTreeSet<String> = [&metadata.finalizers, &desired.metadata.finalizers]
            .into_iter()
            .flatten()
            .flatten()
            .cloned()
            .collect();
        let present = metadata.finalizers.get_or_insert_default();
        if !finalizers
            .iter()
            .all(|finalizer| present.contains(finalizer))
        {
            *present = finalizers.into_iter().collect();
        }
        merged.spec = desired.spec;
        Ok(if merged == *existing {
            Upsert::Unchanged
        } else {
            Upsert::Update(Box::new(merged))
        })
    }

    /// The Work with this permanent id.
    pub fn into_work(mut self, permanent_id: &str) -> Work {
        stamp(&mut self.manifest, permanent_id);
        let labels = self.metadata.labels.get_or_insert_default();
        labels.insert(keys::WORK_PERMANENT_ID.to_owned(), permanent_id.to_owned());
        Work {
            metadata: self.metadata,
            spec: WorkSpec {
                workload: WorkloadTemplate {
                    manifests: vec![self.manifest],
                },
                suspend_dispatching: self.suspend_dispatching,
                preserve_resources_on_deletion: self.preserve_resources_on_deletion,
            },
            status: None,
        }
    }

    /// Refuses a Work that carries another object, or the same one on behalf of another template.
    fn check_identity(&self, existing: &Work) -> Result<(), UpsertError> {
        let Some(carried) = existing.spec.workload.manifests.first() else {
            return Ok(());
        };
        let (holder, refused) = (reference(carried), reference(&self.manifest));
        if !same_object(&holder, &refused) {
            let through = format!("Work {}", self.key());
            return Err(Box::new(Collision {
                through,
                holder,
                refused,
            })
            .into());
        }
        match (binding_of(&existing.metadata), binding_of(&self.metadata)) {
            (Some(holder), Some(refused)) if holder != refused => Err(UpsertError::OtherBinding {
                work: self.key(),
                holder,
                refused,
            }),
            _ => Ok(()),
        }
    }
}

/// The binding that a Work comes from, as its annotations say.
fn binding_of(metadata: &ObjectMeta) -> Option<String> {
    let annotation = |key| {
        metadata
            .annotations
            .as_ref()
            .and_then(|map| map.get(key))
            .filter(|value| !value.is_empty())
    };
    if let Some(name) = annotation(keys::RESOURCE_BINDING_NAME) {
        let namespace = annotation(keys::RESOURCE_BINDING_NAMESPACE).map_or("", String::as_str);
        return Some(format!("ResourceBinding {namespace}/{name}"));
    }
    annotation(keys::CLUSTER_RESOURCE_BINDING_NAME)
        .map(|name| format!("ClusterResourceBinding {name}"))
}

/// Marks a manifest: the Work's permanent id, and the keys that the control plane owns. The order matters, since the lists name
/// each other and the id. Stamping a stamped manifest changes nothing.
pub fn stamp(manifest: &mut Value, permanent_id: &str) {
    let listed = |map: std::collections::BTreeMap<String, String>, own: &[&str]| {
        let keys: BTreeSet<&str> = map
            .keys()
            .map(String::as_str)
            .chain(own.iter().copied())
            .collect();
        keys.into_iter().collect::<Vec<_>>().join(",")
    };
    let own = [keys::MANAGED_ANNOTATIONS, keys::MANAGED_LABELS];
    let annotations = listed(object::annotations(manifest), &own);
    object::set_annotation(manifest, keys::MANAGED_ANNOTATIONS, &annotations);
    object::set_label(manifest, keys::WORK_PERMANENT_ID, permanent_id);
    let labels = listed(object::labels(manifest), &[]);
    object::set_annotation(manifest, keys::MANAGED_LABELS, &labels);
}

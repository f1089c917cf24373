//! What to write when a binding is to become as built.

use std::collections::BTreeMap;
use std::fmt;

use crds::work::{Binding, BindingSuspension, ObjectReference};

use crate::matching::{PolicyKind, claim_keys, lazy};

/// Why a binding cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UpsertError {
    /// The binding is of an earlier template of this name; retry when it is gone.
    #[error(
        "binding {binding} belongs to an earlier {kind} {name} (uid {found}) and is being removed"
    )]
    OwnerGone {
        binding: String,
        kind: String,
        name: String,
        found: String,
    },
    #[error(transparent)]
    Collision(#[from] Box<Collision>),
}

/// Two templates whose bindings or Works have the same name, because names say nothing about groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Collision {
    /// The kind and name of the object in between, for example `ResourceBinding demo/web-deployment`.
    pub through: String,
    pub holder: ObjectReference,
    pub refused: ObjectReference,
}

impl std::error::Error for Collision {}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |of: &ObjectReference| {
            let namespace = of
                .namespace
                .as_ref()
                .map(|namespace| format!("{namespace}/"))
                .unwrap_or_default();
            format!("{} {namespace}{} ({})", of.kind, of.name, of.api_version)
        };
        write!(
            f,
            "{} cannot be propagated: {} has the same name and already uses {}; rename one of them",
            named(&self.refused),
            named(&self.holder),
            self.through
        )
    }
}

/// Whether two references mean one object, whatever version it is read in and whichever incarnation it is.
pub(crate) fn same_object(left: &ObjectReference, right: &ObjectReference) -> bool {
    let identity = |of: &ObjectReference| {
        let group = of
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        (
            group.to_owned(),
            of.kind.clone(),
            of.namespace.clone().unwrap_or_default(),
            of.name.clone(),
        )
    };
    identity(left) == identity(right)
}

/// The built binding as it is created, with its permanent id.
pub fn create<B: Binding>(mut desired: B, permanent_id: &str) -> B {
    let labels = desired.meta_mut().labels.get_or_insert_default();
    labels
        .entry(B::PERMANENT_ID.to_owned())
        .or_insert_with(|| permanent_id.to_owned());
    desired
}

/// What the existing binding becomes; `None` when nothing changes. `permanent_id` is used if it has none yet.
pub fn merge<B: Binding>(
    existing: &B,
    desired: &B,
    permanent_id: &str,
) -> Result<Option<B>, UpsertError> {
    check_identity(existing, desired)?;
    let mut merged = existing.clone();
    let metadata = merged.meta_mut();
    let wanted = desired.meta();
    merge_map(&mut metadata.labels, wanted.labels.as_ref());
    merge_map(&mut metadata.annotations, wanted.annotations.as_ref());
    // What a policy that was lazy once left behind says nothing about the template that the binding is built from now.
    let wants_fingerprint = wanted
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key(lazy::TEMPLATE_FINGERPRINT));
    if let Some(annotations) = metadata.annotations.as_mut().filter(|_| !wants_fingerprint) {
        annotations.remove(lazy::TEMPLATE_FINGERPRINT);
    }
    let has = |kind| {
        let (label, _) = claim_keys(kind);
        wanted
            .labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key(label))
    };
    for (other, kind) in [
        (
            PolicyKind::ClusterPropagationPolicy,
            PolicyKind::PropagationPolicy,
        ),
        (
            PolicyKind::PropagationPolicy,
            PolicyKind::ClusterPropagationPolicy,
        ),
    ] {
        if has(kind) && !has(other) {
            let (label, annotations) = claim_keys(other);
            metadata
                .labels
                .iter_mut()
                .for_each(|labels| drop(labels.remove(label)));
            for key in annotations {
                metadata
                    .annotations
                    .iter_mut()
                    .for_each(|annotations| drop(annotations.remove(key)));
            }
        }
    }
    let labels = metadata.labels.get_or_insert_default();
    if labels.get(B::PERMANENT_ID).is_none_or(String::is_empty) {
        labels.insert(B::PERMANENT_ID.to_owned(), permanent_id.to_owned());
    }
    let finalizers = metadata.finalizers.get_or_insert_default();
    for finalizer in wanted.finalizers.iter().flatten() {
        if !finalizers.contains(finalizer) {
            finalizers.push(finalizer.clone());
        }
    }
    metadata
        .owner_references
        .clone_from(&wanted.owner_references);

    let spec = merged.spec_mut();
    let wanted = desired.spec().clone();
    spec.resource = wanted.resource;
    spec.replicas = wanted.replicas;
    spec.replica_requirements = wanted.replica_requirements;
    spec.components = wanted.components;
    spec.scheduler_name = wanted.scheduler_name;
    spec.placement = wanted.placement;
    spec.failover = wanted.failover;
    spec.conflict_resolution = wanted.conflict_resolution;
    spec.preserve_resources_on_deletion = wanted.preserve_resources_on_deletion;
    spec.propagate_deps = wanted.propagate_deps;
    if B::IS_NAMESPACED {
        spec.schedule_priority = wanted.schedule_priority;
        spec.workload_affinity_groups = wanted.workload_affinity_groups;
    }
    spec.suspension = merge_suspension(wanted.suspension, spec.suspension.take());
    Ok((merged != *existing).then_some(merged))
}

/// Refuses a binding of another object, or of an earlier incarnation of this one.
pub(crate) fn check_identity<B: Binding>(existing: &B, desired: &B) -> Result<(), UpsertError> {
    let (holder, refused) = (&existing.spec().resource, &desired.spec().resource);
    if !same_object(holder, refused) {
        let through = format!("{} {}", <B as Binding>::KIND, existing.key());
        return Err(Box::new(Collision {
            through,
            holder: holder.clone(),
            refused: refused.clone(),
        })
        .into());
    }
    let owners = existing.meta().owner_references.iter().flatten();
    let controller = owners
        .into_iter()
        .find(|owner| owner.controller == Some(true));
    match controller {
        Some(owner) if Some(&owner.uid) != refused.uid.as_ref() => Err(UpsertError::OwnerGone {
            binding: existing.key().to_string(),
            kind: refused.kind.clone(),
            name: refused.name.clone(),
            found: owner.uid.clone(),
        }),
        _ => Ok(()),
    }
}

/// Adds entries; the given ones win.
pub(crate) fn merge_map(
    map: &mut Option<BTreeMap<String, String>>,
    other: Option<&BTreeMap<String, String>>,
) {
    for (key, value) in other.into_iter().flatten() {
        map.get_or_insert_default()
            .insert(key.clone(), value.clone());
    }
}

/// The dispatching part is the policy's, the scheduling part belongs to third parties.
fn merge_suspension(
    of_policy: Option<BindingSuspension>,
    before: Option<BindingSuspension>,
) -> Option<BindingSuspension> {
    let scheduling = before.and_then(|before| before.scheduling);
    match (of_policy, scheduling) {
        (None, None) => None,
        (of_policy, scheduling) => Some(BindingSuspension {
            scheduling,
            ..of_policy.unwrap_or_default()
        }),
    }
}

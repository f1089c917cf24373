//! Attaching a dependency's binding to the binding of a workload, and detaching it.

use std::collections::BTreeMap;

use crds::names;
use crds::object::Key;
use crds::policy::{ConflictResolution, SuspendClusters};
use crds::work::{Binding as _, BindingSnapshot, BindingSuspension, ResourceBinding};
use serde_json::Value;

use super::snapshot;
use crate::binding::{UpsertError, check_identity, merge_map, skeleton};

/// What to write after attaching.
#[derive(Debug, Clone, PartialEq)]
pub struct Attach {
    /// The binding to create or update; `None` when nothing changes.
    pub write: Option<ResourceBinding>,
    /// The text of the event `DependencyPolicyConflict`, if the policies of the dependents disagree.
    pub conflict: Option<String>,
}

/// What to write after detaching.
#[derive(Debug, Clone, PartialEq)]
pub enum Detach {
    Unchanged,
    Update {
        binding: Box<ResourceBinding>,
        conflict: Option<String>,
    },
    /// Nothing needs the binding any more: it has neither dependents nor a policy.
    Delete,
}

/// The label on attached bindings that stands for this independent binding: key and value.
pub fn depended_by(independent: &ResourceBinding) -> (String, String) {
    let key = independent.key();
    let label = names::depended_by_label(key.namespace.as_deref(), &key.name);
    (
        label,
        independent.permanent_id().unwrap_or_default().to_owned(),
    )
}

/// The binding that a dependency of the independent binding should have.
///
/// It lives in the namespace of the independent binding.
pub fn attached(dependency: &Value, independent: &ResourceBinding) -> ResourceBinding {
    let mut binding: ResourceBinding = skeleton(dependency);
    binding
        .metadata
        .namespace
        .clone_from(&independent.metadata.namespace);
    binding.metadata.labels = Some(BTreeMap::from([depended_by(independent)]));
    binding.spec.required_by = vec![snapshot(independent)];
    binding
}

/// Merges the desired attached binding into the existing one, or completes it for creation.
///
/// `lookup` finds independent bindings; one that does not exist has gone, and its snapshot goes with it. `permanent_id` is for a binding that has
/// none yet.
pub fn attach<'a>(
    existing: Option<&ResourceBinding>,
    desired: ResourceBinding,
    lookup: impl Fn(&Key) -> Option<&'a ResourceBinding>,
    permanent_id: &str,
) -> Result<Attach, UpsertError> {
    let mut merged = match existing {
        None => desired.clone(),
        Some(existing) => {
            check_identity(existing, &desired)?;
            let mut merged = existing.clone();
            merge_map(
                &mut merged.metadata.labels,
                desired.metadata.labels.as_ref(),
            );
            merged.spec.resource = desired.spec.resource;
            for snapshot in desired.spec.required_by {
                match merged
                    .spec
                    .required_by
                    .iter_mut()
                    .find(|it| is_of(it, &key_of(&snapshot)))
                {
                    Some(entry) => entry.clusters = snapshot.clusters,
                    None => merged.spec.required_by.push(snapshot),
                }
            }
            merged
        }
    };
    let labels = merged.metadata.labels.get_or_insert_default();
    if labels
        .get(ResourceBinding::PERMANENT_ID)
        .is_none_or(String::is_empty)
    {
        labels.insert(
            ResourceBinding::PERMANENT_ID.to_owned(),
            permanent_id.to_owned(),
        );
    }
    let conflict = follow(&mut merged, &lookup);
    let write = (existing != Some(&merged)).then_some(merged);
    Ok(Attach { write, conflict })
}

/// Takes the independent binding's label and snapshot off an attached one.
pub fn detach<'a>(
    existing: &ResourceBinding,
    independent: &Key,
    lookup: impl Fn(&Key) -> Option<&'a ResourceBinding>,
) -> Detach {
    let mut binding = existing.clone();
    let label = names::depended_by_label(independent.namespace.as_deref(), &independent.name);
    if let Some(labels) = binding.metadata.labels.as_mut() {
        labels.remove(&label);
    }
    binding
        .spec
        .required_by
        .retain(|snapshot| !is_of(snapshot, independent));
    finish(existing, binding, &lookup)
}

/// Brings an attached binding up to date with the bindings that it follows, and drops those that are gone.
pub fn refresh<'a>(
    existing: &ResourceBinding,
    lookup: impl Fn(&Key) -> Option<&'a ResourceBinding>,
) -> Detach {
    finish(existing, existing.clone(), &lookup)
}

fn finish<'a>(
    existing: &ResourceBinding,
    mut binding: ResourceBinding,
    lookup: &impl Fn(&Key) -> Option<&'a ResourceBinding>,
) -> Detach {
    let conflict = follow(&mut binding, lookup);
    if binding == *existing {
        Detach::Unchanged
    } else if binding.spec.placement.is_none() && binding.spec.required_by.is_empty() {
        Detach::Delete
    } else {
        Detach::Update {
            binding: Box::new(binding),
            conflict,
        }
    }
}

/// Takes over from the dependents what an attached binding without policy of its own has no other source for.
fn follow<'a>(
    binding: &mut ResourceBinding,
    lookup: &impl Fn(&Key) -> Option<&'a ResourceBinding>,
) -> Option<String> {
    let gone: Vec<Key> = binding
        .spec
        .required_by
        .iter()
        .map(key_of)
        .filter(|key| lookup(key).is_none())
        .collect();
    binding
        .spec
        .required_by
        .retain(|snapshot| !gone.contains(&key_of(snapshot)));
    if let Some(labels) = binding.metadata.labels.as_mut() {
        for key in &gone {
            labels.remove(&names::depended_by_label(
                key.namespace.as_deref(),
                &key.name,
            ));
        }
    }
    if binding.spec.placement.is_some() {
        return None;
    }
    let dependents: Vec<&ResourceBinding> = binding
        .spec
        .required_by
        .iter()
        .filter_map(|snapshot| lookup(&key_of(snapshot)))
        .collect();
    let overwrite: Vec<bool> = dependents
        .iter()
        .map(|it| it.spec.conflict_resolution == Some(ConflictResolution::Overwrite))
        .collect();
    let preserve: Vec<bool> = dependents
        .iter()
        .map(|it| it.spec.preserve_resources_on_deletion == Some(true))
        .collect();
    let any = |flags: &[bool]| flags.iter().any(|flag| *flag);
    let mixed = |flags: &[bool]| any(flags) && !flags.iter().all(|flag| *flag);

    binding.spec.conflict_resolution = Some(if any(&overwrite) {
        ConflictResolution::Overwrite
    } else {
        ConflictResolution::Abort
    });
    binding.spec.preserve_resources_on_deletion = (!dependents.is_empty()).then(|| any(&preserve));
    binding.spec.suspension = suspension(binding, &dependents);

    let parts: Vec<&str> = [
        (
            mixed(&overwrite),
            "ConflictResolution conflicted (Overwrite vs Abort)",
        ),
        (
            mixed(&preserve),
            "PreserveResourcesOnDeletion conflicted (true vs false)",
        ),
    ]
    .into_iter()
    .filter_map(|(conflicted, text)| conflicted.then_some(text))
    .collect();
    (!parts.is_empty())
        .then(|| format!("Dependency policy conflict detected: {}.", parts.join("; ")))
}

/// A dependency is held back in a cluster when all dependents that are there are.
fn suspension(
    binding: &ResourceBinding,
    dependents: &[&ResourceBinding],
) -> Option<BindingSuspension> {
    let mut held: BTreeMap<&str, bool> = BTreeMap::new();
    for (snapshot, dependent) in binding.spec.required_by.iter().zip(dependents) {
        for target in &snapshot.clusters {
            let suspended = dependent
                .spec
                .suspension
                .as_ref()
                .is_some_and(|it| it.suspends(&target.name));
            let entry = held.entry(&target.name).or_insert(true);
            *entry = *entry && suspended;
        }
    }
    let cluster_names: Vec<String> = held
        .into_iter()
        .filter(|(_, held)| *held)
        .map(|(cluster, _)| cluster.to_owned())
        .collect();
    let scheduling = binding
        .spec
        .suspension
        .as_ref()
        .and_then(|suspension| suspension.scheduling);
    let dispatching_on_clusters =
        (!cluster_names.is_empty()).then_some(SuspendClusters { cluster_names });
    (scheduling.is_some() || dispatching_on_clusters.is_some()).then_some(BindingSuspension {
        dispatching: None,
        dispatching_on_clusters,
        scheduling,
    })
}

fn key_of(snapshot: &BindingSnapshot) -> Key {
    Key::new(
        snapshot.namespace.as_deref().unwrap_or_default(),
        &snapshot.name,
    )
}

fn is_of(snapshot: &BindingSnapshot, key: &Key) -> bool {
    key_of(snapshot) == *key
}

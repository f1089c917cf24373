//! Attaching a dependency's binding to the binding of a workload, and detaching it.

use std::collections::BTreeMap;

use crds::names;
use crds::object::Key;
use crds::policy::{ConflictResolution, SuspendClusters};
use crds::work::{Binding, BindingSnapshot, BindingSuspension, ResourceBindingSpec};
use serde_json::Value;

use super::snapshot;
use crate::binding::{UpsertError, check_identity, merge_map, skeleton};
use crate::matching::lazy;

/// What to write after attaching.
#[derive(Debug, Clone, PartialEq)]
pub struct Attach<B> {
    /// The binding to create or update; `None` when nothing changes.
    pub write: Option<B>,
    /// The text of the event `DependencyPolicyConflict`, if the policies of the dependents disagree.
    pub conflict: Option<String>,
}

/// What to write after detaching.
#[derive(Debug, Clone, PartialEq)]
pub enum Detach<B> {
    Unchanged,
    Update {
        binding: Box<B>,
        conflict: Option<String>,
    },
    /// Nothing needs the binding any more: it has neither dependents nor a policy.
    Delete,
}

/// The label on attached bindings that stands for this independent binding: key and value.
pub fn depended_by(independent: &impl Binding) -> (String, String) {
    let key = independent.key();
    let label = names::depended_by_label(key.namespace.as_deref(), &key.name);
    (
        label,
        independent.permanent_id().unwrap_or_default().to_owned(),
    )
}

/// The binding that a dependency of the independent binding should have: in the dependency's namespace if it has one.
///
/// The reference puts it into the namespace of the independent binding, which is the same for every dependency that the native rules name.
/// Elsewhere an owner in another namespace would have garbage collection take the binding away, and a cluster-scoped dependency
/// would have two bindings write one Work.
pub fn attached<A: Binding>(dependency: &Value, independent: &impl Binding) -> A {
    let mut binding: A = skeleton(dependency);
    binding.meta_mut().labels = Some(BTreeMap::from([depended_by(independent)]));
    binding.meta_mut().annotations = Some(BTreeMap::from([(
        lazy::TEMPLATE_SPECIFICATION.to_owned(),
        lazy::specification_fingerprint(dependency),
    )]));
    binding.spec_mut().required_by = vec![snapshot(independent)];
    binding
}

/// Merges the desired attached binding into the existing one, or completes it for creation.
///
/// `lookup` finds independent bindings; one that does not exist has gone, and its snapshot goes with it. `permanent_id` is for a binding that has
/// none yet.
pub fn attach<'a, A: Binding>(
    existing: Option<&A>,
    desired: A,
    lookup: impl Fn(&Key) -> Option<&'a ResourceBindingSpec>,
    permanent_id: &str,
) -> Result<Attach<A>, UpsertError> {
    let mut merged = match existing {
        None => desired,
        Some(existing) => {
            check_identity(existing, &desired)?;
            merge(existing, &desired)
        }
    };
    let labels = merged.meta_mut().labels.get_or_insert_default();
    if labels.get(A::PERMANENT_ID).is_none_or(String::is_empty) {
        labels.insert(A::PERMANENT_ID.to_owned(), permanent_id.to_owned());
    }
    let conflict = follow(&mut merged, &lookup);
    let write = (existing != Some(&merged)).then_some(merged);
    Ok(Attach { write, conflict })
}

fn merge<A: Binding>(existing: &A, desired: &A) -> A {
    let mut merged = existing.clone();
    let keep_version = is_built_from_the_same(existing, desired);
    let (metadata, wanted) = (merged.meta_mut(), desired.meta());
    merge_map(&mut metadata.labels, wanted.labels.as_ref());
    merge_map(&mut metadata.annotations, wanted.annotations.as_ref());
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
    let version = spec.resource.resource_version.take();
    spec.resource = desired.spec().resource.clone();
    if keep_version {
        spec.resource.resource_version = version;
    }
    for snapshot in &desired.spec().required_by {
        match spec
            .required_by
            .iter_mut()
            .find(|it| is_of(it, &key_of(snapshot)))
        {
            Some(entry) => entry.clusters.clone_from(&snapshot.clusters),
            None => spec.required_by.push(snapshot.clone()),
        }
    }
    merged
}

/// Whether only the status of the dependency can have changed since its version was noted, which is no reason to render it again.
fn is_built_from_the_same<A: Binding>(existing: &A, desired: &A) -> bool {
    let built_from = |binding: &A| {
        let annotations = binding.meta().annotations.as_ref()?;
        annotations.get(lazy::TEMPLATE_SPECIFICATION).cloned()
    };
    let (before, after) = (&existing.spec().resource, &desired.spec().resource);
    before.uid == after.uid
        && before.resource_version.is_some()
        && built_from(existing) == built_from(desired)
}

/// Takes the independent binding's label and snapshot off an attached one.
pub fn detach<'a, A: Binding>(
    existing: &A,
    independent: &Key,
    lookup: impl Fn(&Key) -> Option<&'a ResourceBindingSpec>,
) -> Detach<A> {
    let mut binding = existing.clone();
    let label = names::depended_by_label(independent.namespace.as_deref(), &independent.name);
    if let Some(labels) = binding.meta_mut().labels.as_mut() {
        labels.remove(&label);
    }
    binding
        .spec_mut()
        .required_by
        .retain(|snapshot| !is_of(snapshot, independent));
    finish(existing, binding, &lookup)
}

/// Brings an attached binding up to date with the bindings that it follows, and drops those that are gone.
pub fn refresh<'a, A: Binding>(
    existing: &A,
    lookup: impl Fn(&Key) -> Option<&'a ResourceBindingSpec>,
) -> Detach<A> {
    finish(existing, existing.clone(), &lookup)
}

fn finish<'a, A: Binding>(
    existing: &A,
    mut binding: A,
    lookup: &impl Fn(&Key) -> Option<&'a ResourceBindingSpec>,
) -> Detach<A> {
    let conflict = follow(&mut binding, lookup);
    if binding == *existing {
        Detach::Unchanged
    } else if binding.spec().placement.is_none() && binding.spec().required_by.is_empty() {
        Detach::Delete
    } else {
        Detach::Update {
            binding: Box::new(binding),
            conflict,
        }
    }
}

/// Takes over from the dependents what an attached binding without policy of its own has no other source for.
fn follow<'a, A: Binding>(
    binding: &mut A,
    lookup: &impl Fn(&Key) -> Option<&'a ResourceBindingSpec>,
) -> Option<String> {
    let gone: Vec<Key> = binding
        .spec()
        .required_by
        .iter()
        .map(key_of)
        .filter(|key| lookup(key).is_none())
        .collect();
    binding
        .spec_mut()
        .required_by
        .retain(|snapshot| !gone.contains(&key_of(snapshot)));
    if let Some(labels) = binding.meta_mut().labels.as_mut() {
        for key in &gone {
            labels.remove(&names::depended_by_label(
                key.namespace.as_deref(),
                &key.name,
            ));
        }
    }
    let spec = binding.spec_mut();
    if spec.placement.is_some() {
        return None;
    }
    let dependents: Vec<&ResourceBindingSpec> = spec
        .required_by
        .iter()
        .filter_map(|snapshot| lookup(&key_of(snapshot)))
        .collect();
    let overwrite: Vec<bool> = dependents
        .iter()
        .map(|it| it.conflict_resolution == Some(ConflictResolution::Overwrite))
        .collect();
    let preserve: Vec<bool> = dependents
        .iter()
        .map(|it| it.preserve_resources_on_deletion == Some(true))
        .collect();
    let any = |flags: &[bool]| flags.iter().any(|flag| *flag);
    let mixed = |flags: &[bool]| any(flags) && !flags.iter().all(|flag| *flag);

    spec.conflict_resolution = Some(if any(&overwrite) {
        ConflictResolution::Overwrite
    } else {
        ConflictResolution::Abort
    });
    spec.preserve_resources_on_deletion = (!dependents.is_empty()).then(|| any(&preserve));
    spec.suspension = suspension(spec, &dependents);

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
    spec: &ResourceBindingSpec,
    dependents: &[&ResourceBindingSpec],
) -> Option<BindingSuspension> {
    let mut held: BTreeMap<&str, bool> = BTreeMap::new();
    for (snapshot, dependent) in spec.required_by.iter().zip(dependents) {
        for target in &snapshot.clusters {
            let suspended = dependent
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
    let scheduling = spec
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

//! Which changes concern which independent bindings.

use std::{collections::BTreeSet, sync::Arc};

use crds::{
    keys, names,
    object::Key,
    work::{Binding, BindingSnapshot, ClusterResourceBinding, ResourceBinding},
};
use kube::ResourceExt;
use parking_lot::Mutex;
use propagation::{
    dependencies::{Index, parse},
    matching::Subject,
};
use runtime::{Change, Queue, queue::Priority};

use super::{found::subject, is_recorded};
use crate::{
    detector::specification_changed,
    interpretation::bindings_of,
    world::{Bindings, World},
};

pub(super) fn subscribe(world: &Arc<World>, queue: &Arc<Queue<Key>>) {
    let index = Arc::new(Mutex::new(Index::default()));
    bindings::<ResourceBinding>(world, queue, &index);
    bindings::<ClusterResourceBinding>(world, queue, &index);

    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.interpreter.on_change(move |kinds| {
        let Some(world) = weak.upgrade() else { return };
        let namespaced = bindings_of::<ResourceBinding>(&world, kinds);
        let cluster_scoped = bindings_of::<ClusterResourceBinding>(&world, kinds);
        for key in namespaced.into_iter().chain(cluster_scoped) {
            to.add_with(key, Priority::Low);
        }
    });

    let to = Arc::clone(queue);
    world.templates.subscribe(move |gvk, change| {
        let (new, old) = (change.object(), change.old());
        if let Change::Updated { old, new } = change
            && !specification_changed(old, new)
        {
            return;
        }
        let mut concerned = index.lock().dependents(&subject(gvk, new));
        // A label that goes takes the object out of a selection.
        if let Some(old) = old.filter(|old| old.metadata.labels != new.metadata.labels) {
            concerned.extend(index.lock().dependents(&subject(gvk, old)));
        }
        let priority = match change {
            Change::Added { initial: true, .. } => Priority::Low,
            _ => Priority::Normal,
        };
        for key in concerned {
            to.add_with(key, priority);
        }
    });
}

fn bindings<B: Bindings>(world: &Arc<World>, queue: &Arc<Queue<Key>>, index: &Arc<Mutex<Index>>) {
    let (to, index) = (Arc::clone(queue), Arc::clone(index));
    B::store(world).subscribe(move |change| {
        let key = Binding::key(&**change.object());
        let mut wake = BTreeSet::new();
        let mut priority = Priority::Normal;
        match change {
            Change::Added { new, initial } => {
                index.lock().set(&key, parse(dependencies_of(&***new)));
                if concerns(&***new) {
                    wake.insert(key);
                }
                if *initial {
                    // Some of those that it is attached to may have gone while nobody looked.
                    wake.extend(new.spec().required_by.iter().map(of_snapshot));
                    priority = Priority::Low;
                }
            }
            Change::Updated { old, new } => {
                let dependencies = dependencies_of(&***new);
                if dependencies_of(&***old) != dependencies {
                    index.lock().set(&key, parse(dependencies));
                }
                if (concerns(&***old) || concerns(&***new)) && is_relevant(&***old, &***new) {
                    wake.insert(key);
                }
                wake.extend(disturbed(&***old, &***new));
            }
            Change::Deleted { old } => {
                let mut index = index.lock();
                index.remove(&key);
                // Those that waited for the old binding to go have left no trace in it.
                wake.extend(index.dependents(&resource_of(&***old)));
                drop(index);
                wake.extend(old.spec().required_by.iter().map(of_snapshot));
                wake.insert(key);
            }
        }
        for key in wake {
            to.add_with(key, priority);
        }
    });
}

/// Whether a binding is independent, or was.
fn concerns<B: Binding>(binding: &B) -> bool {
    binding.spec().propagate_deps == Some(true) || is_recorded(binding)
}

/// Whether a change of an independent binding can change what is attached to it.
fn is_relevant<B: Binding>(old: &B, new: &B) -> bool {
    let parts = |binding: &B| {
        let metadata = binding.meta();
        (
            metadata.generation,
            metadata.uid.clone(),
            metadata.deletion_timestamp.clone(),
            is_recorded(binding),
            binding.permanent_id().map(str::to_owned),
        )
    };
    parts(old) != parts(new) || dependencies_of(old) != dependencies_of(new)
}

/// The text of the dependencies annotation, of a binding that propagates them.
fn dependencies_of<B: Binding>(binding: &B) -> &str {
    let annotations = binding.meta().annotations.as_ref();
    annotations
        .filter(|_| binding.spec().propagate_deps == Some(true))
        .and_then(|annotations| annotations.get(keys::DEPENDENCIES))
        .map_or("", String::as_str)
}

/// The independent bindings whose part of an attached one changed. When what it has of all of them together changed, any one can
/// put it right.
fn disturbed<B: Binding>(old: &B, new: &B) -> BTreeSet<Key> {
    let (before, after) = (&old.spec().required_by, &new.spec().required_by);
    if before.is_empty() && after.is_empty() {
        return BTreeSet::new();
    }
    let label = |binding: &B, of: &Key| {
        let label = names::depended_by_label(of.namespace.as_deref(), &of.name);
        binding.labels().get(&label).cloned()
    };
    let snapshot =
        |all: &[BindingSnapshot], of: &Key| all.iter().find(|it| of_snapshot(it) == *of).cloned();
    let mut keys: BTreeSet<Key> = before.iter().chain(after).map(of_snapshot).collect();
    let common = |binding: &B| {
        let (metadata, spec) = (binding.meta(), binding.spec());
        (
            metadata.finalizers.clone(),
            metadata.owner_references.clone(),
            binding.permanent_id().map(str::to_owned),
            spec.resource.clone(),
            spec.conflict_resolution,
            spec.preserve_resources_on_deletion,
            spec.suspension.clone(),
        )
    };
    let any = (common(old) != common(new))
        .then(|| after.first().map(of_snapshot))
        .flatten();
    keys.retain(|key| {
        snapshot(before, key) != snapshot(after, key) || label(old, key) != label(new, key)
    });
    keys.extend(any);
    keys
}

fn of_snapshot(snapshot: &BindingSnapshot) -> Key {
    Key::new(
        snapshot.namespace.as_deref().unwrap_or_default(),
        &snapshot.name,
    )
}

fn resource_of<B: Binding>(binding: &B) -> Subject {
    let resource = &binding.spec().resource;
    Subject {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
        namespace: resource.namespace.clone().unwrap_or_default(),
        name: resource.name.clone(),
        ..Subject::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn attached(patch: &Value) -> ResourceBinding {
        let label = names::depended_by_label(Some("demo"), "a-deployment");
        let mut value = json!({
            "apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding",
            "metadata": {"name": "c", "namespace": "demo", "labels": {(label): "id"}, "finalizers": ["f"]},
            "spec": {
                "resource": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "demo", "name": "c"},
                "conflictResolution": "Abort",
                "requiredBy": [
                    {"namespace": "demo", "name": "a-deployment", "clusters": [{"name": "m1"}]},
                    {"namespace": "demo", "name": "b-deployment", "clusters": [{"name": "m2"}]},
                ],
            },
        });
        propagation::diff::apply(&mut value, patch);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_those_whose_part_was_touched_are_woken() {
        let (a, b) = ("demo/a-deployment", "demo/b-deployment");
        let required = |clusters: &str| {
            json!([
                {"namespace": "demo", "name": "a-deployment", "clusters": [{"name": "m1"}]},
                {"namespace": "demo", "name": "b-deployment", "clusters": [{"name": clusters}]},
            ])
        };
        for (name, patch, expected) in [
            ("nothing", json!({}), vec![]),
            ("status", json!({"status": {"conditions": []}}), vec![]),
            (
                "own schedule",
                json!({"spec": {"clusters": [{"name": "m3"}]}}),
                vec![],
            ),
            (
                "one snapshot",
                json!({"spec": {"requiredBy": required("m9")}}),
                vec![b],
            ),
            (
                "all snapshots",
                json!({"spec": {"requiredBy": null}}),
                vec![a, b],
            ),
            ("labels", json!({"metadata": {"labels": null}}), vec![a]),
            (
                "settings",
                json!({"spec": {"conflictResolution": "Overwrite"}}),
                vec![a],
            ),
            (
                "finalizer",
                json!({"metadata": {"finalizers": null}}),
                vec![a],
            ),
        ] {
            let woken = disturbed(&attached(&json!({})), &attached(&patch));
            let woken: Vec<String> = woken.iter().map(ToString::to_string).collect();
            assert_eq!(woken, expected, "{name}");
        }
    }
}

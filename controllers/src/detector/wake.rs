//! What has a template looked at.

use std::{sync::Arc, time::Duration};

use crds::{
    keys::{
        CLUSTER_PROPAGATION_POLICY_NAME, CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
        PROPAGATION_POLICY_NAME, PROPAGATION_POLICY_NAMESPACE, PROPAGATION_POLICY_PERMANENT_ID,
    },
    object::{Gvk, Key},
};
use kube::{ResourceExt, api::DynamicObject};
use propagation::{
    matching::lazy,
    skip::{SkippedNamespaces, is_reserved},
};
use runtime::{Change, queue::Priority, store::key_of};

use super::{Handle, TemplateKey, claims::binding_key};
use crate::world::{Bindings, World, to_value};

/// How long a binding that somebody deleted may take to go before the template is looked at again anyway.
pub(super) const TERMINATING_BINDING: Duration = Duration::from_secs(10);

/// Fills the queue from the stores.
pub(super) fn subscribe<B1: Bindings, B2: Bindings>(
    world: &Arc<World>,
    handle: &Handle,
    namespaces: &SkippedNamespaces,
) {
    let (queue, skipped) = (handle.clone(), namespaces.clone());
    world.templates.subscribe(move |gvk, change| {
        let namespace = change
            .object()
            .metadata
            .namespace
            .as_deref()
            .unwrap_or_default();
        if is_reserved(namespace) || skipped.matches(namespace) {
            return;
        }
        template_changed(&queue, gvk, change);
    });
    bindings::<B1>(world, handle);
    bindings::<B2>(world, handle);
    let (handle, weak) = (handle.clone(), Arc::downgrade(world));
    world.interpreter.on_change(move |kinds| {
        let Some(world) = weak.upgrade() else { return };
        for gvk in kinds {
            let Some(store) = world.templates.store(gvk) else {
                continue;
            };
            for key in store.keys() {
                let gvk = gvk.clone();
                handle.enqueue_unprompted(TemplateKey { gvk, key });
            }
        }
    });
}

fn template_changed(handle: &Handle, gvk: &Gvk, change: &Change<'_, DynamicObject>) {
    let key = || TemplateKey {
        gvk: gvk.clone(),
        key: key_of(change.object().as_ref()),
    };
    match change {
        Change::Added { initial: true, .. } => handle.enqueue(key(), Priority::Low),
        Change::Added { .. } | Change::Deleted { .. } => {
            let key = key();
            handle.touched(&key);
            handle.enqueue(key, Priority::Normal);
        }
        Change::Updated { old, new } if specification_changed(old, new) => {
            let key = key();
            if !lazy::changed_by_control_plane(&to_value(old), &to_value(new)) {
                handle.touched(&key);
            }
            handle.enqueue(key, Priority::Normal);
        }
        Change::Updated { .. } => {}
    }
}

/// Whether anything but the status and the bookkeeping of the API server changed. Does without copies of the bodies, because
/// most updates of a busy template are of its status.
pub(crate) fn specification_changed(old: &DynamicObject, new: &DynamicObject) -> bool {
    let metadata = |object: &DynamicObject| {
        let mut metadata = object.metadata.clone();
        metadata.managed_fields = None;
        metadata.resource_version = None;
        metadata
    };
    if metadata(old) != metadata(new) {
        return true;
    }
    let (Some(old), Some(new)) = (old.data.as_object(), new.data.as_object()) else {
        return old.data != new.data;
    };
    let fields =
        |object: &serde_json::Map<_, _>| object.len() - usize::from(object.contains_key("status"));
    fields(old) != fields(new)
        || old
            .iter()
            .any(|(field, value)| field != "status" && new.get(field) != Some(value))
}

/// A binding that is deleted, or that somebody edits where the detector has the say, is mended at once.
fn bindings<B: Bindings>(world: &Arc<World>, handle: &Handle) {
    let handle = handle.clone();
    let weak = Arc::downgrade(world);
    B::store(world).subscribe(move |change| {
        let is_disturbed = match change {
            Change::Updated { old, new } => is_disturbed(&***old, &***new),
            Change::Added { .. } => false,
            Change::Deleted { .. } => true,
        };
        if !is_disturbed {
            return;
        }
        let key = TemplateKey::of_binding(&change.object().spec().resource);
        if change.is_deletion()
            && let Some(world) = weak.upgrade()
        {
            for other in namesakes(&world, &key) {
                handle.enqueue(other, Priority::Normal);
            }
        }
        handle.enqueue(key, Priority::Normal);
    });
}

/// Whether anything changed that template and policy decide. The clusters, eviction tasks and dependents are others'.
fn is_disturbed<B: Bindings>(old: &B, new: &B) -> bool {
    if old.labels() != new.labels() {
        return true;
    }
    // What only dependencies and third parties have to do with is not the detector's.
    let is_claimed = [
        PROPAGATION_POLICY_PERMANENT_ID,
        CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
    ]
    .iter()
    .any(|label| new.labels().contains_key(*label));
    if !is_claimed {
        return false;
    }
    let annotations = |binding: &B| ANNOTATIONS.map(|key| binding.annotations().get(key).cloned());
    let metadata = |binding: &B| {
        let metadata = binding.meta();
        (
            metadata.finalizers.clone(),
            metadata.owner_references.clone(),
        )
    };
    if annotations(old) != annotations(new) || metadata(old) != metadata(new) {
        return true;
    }
    if old.meta().generation == new.meta().generation {
        return false;
    }
    let decided = |binding: &B| {
        let mut spec = binding.spec().clone();
        spec.clusters.clear();
        spec.graceful_eviction_tasks.clear();
        spec.required_by.clear();
        spec.reschedule_triggered_at = None;
        spec
    };
    decided(old) != decided(new)
}

/// The annotations of bindings that the detector writes.
const ANNOTATIONS: [&str; 5] = [
    PROPAGATION_POLICY_NAMESPACE,
    PROPAGATION_POLICY_NAME,
    CLUSTER_PROPAGATION_POLICY_NAME,
    lazy::TEMPLATE_FINGERPRINT,
    lazy::TEMPLATE_SPECIFICATION,
];

/// Templates that could not have a binding because this one had it.
fn namesakes(world: &World, of: &TemplateKey) -> Vec<TemplateKey> {
    let kinds = world.templates.kinds();
    let kinds = kinds
        .into_iter()
        .filter(|gvk| gvk.kind.eq_ignore_ascii_case(&of.gvk.kind));
    kinds
        .filter_map(|gvk| world.templates.store(&gvk).map(|store| (gvk, store)))
        .flat_map(|(gvk, store)| {
            let keys = if has_odd_names(&gvk) {
                store.keys()
            } else {
                vec![of.key.clone()]
            };
            let is_there = move |key: &Key| store.contains(key);
            keys.into_iter()
                .filter(is_there)
                .map(move |key| TemplateKey {
                    gvk: gvk.clone(),
                    key,
                })
        })
        .filter(|other| is_namesake(other, of))
        .collect()
}

/// Whether names of this kind may have capitals and colons, which names of bindings do not tell apart.
fn has_odd_names(gvk: &Gvk) -> bool {
    gvk.group == "rbac.authorization.k8s.io"
}

fn is_namesake(other: &TemplateKey, of: &TemplateKey) -> bool {
    other != of && other.key.namespace == of.key.namespace && binding_key(other) == binding_key(of)
}

#[cfg(test)]
mod tests {
    use crds::work::ResourceBinding;
    use serde_json::json;

    use super::*;

    #[test]
    fn edits_of_what_others_decide_do_not_wake() {
        let base = json!({
            "apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding",
            "metadata": {
                "name": "b", "namespace": "demo", "generation": 1,
                "labels": {(PROPAGATION_POLICY_PERMANENT_ID): "id"},
                "annotations": {(PROPAGATION_POLICY_NAME): "p"},
            },
            "spec": {
                "resource": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "demo", "name": "c"},
                "replicas": 2,
            },
        });
        let edited = |patch: &serde_json::Value| -> ResourceBinding {
            let mut value = base.clone();
            propagation::diff::apply(&mut value, patch);
            propagation::diff::apply(&mut value, &json!({"metadata": {"generation": 2}}));
            serde_json::from_value(value).unwrap()
        };
        let before: ResourceBinding = serde_json::from_value(base.clone()).unwrap();
        for (name, patch, expected) in [
            (
                "clusters",
                json!({"spec": {"clusters": [{"name": "m1"}]}}),
                false,
            ),
            (
                "trigger",
                json!({"spec": {"rescheduleTriggeredAt": "2026-01-01T00:00:00Z"}}),
                false,
            ),
            ("status", json!({"status": {"conditions": []}}), false),
            (
                "applied placement",
                json!({"metadata": {"annotations": {"policy.karmada.io/applied-placement": "{}"}}}),
                false,
            ),
            (
                "placement",
                json!({"spec": {"placement": {"clusterTolerations": []}}}),
                true,
            ),
            ("replicas", json!({"spec": {"replicas": 9}}), true),
            (
                "conflict resolution",
                json!({"spec": {"conflictResolution": "Overwrite"}}),
                true,
            ),
            (
                "suspension",
                json!({"spec": {"suspension": {"dispatching": true}}}),
                true,
            ),
            ("claim label", json!({"metadata": {"labels": null}}), true),
            (
                "claim annotation",
                json!({"metadata": {"annotations": null}}),
                true,
            ),
            (
                "finalizer",
                json!({"metadata": {"finalizers": ["x"]}}),
                true,
            ),
        ] {
            assert_eq!(is_disturbed(&before, &edited(&patch)), expected, "{name}");
        }
    }

    #[test]
    fn names_that_make_one_binding_are_namesakes() {
        let key = |api_version: &str, kind: &str, namespace: &str, name: &str| TemplateKey {
            gvk: Gvk::parse(api_version, kind),
            key: Key::new(namespace, name),
        };
        let rbac = "rbac.authorization.k8s.io/v1";
        let dotted = key(rbac, "ClusterRole", "", "system.a");
        let role = key(rbac, "Role", "demo", "system.a");
        for (other, of, expected) in [
            (key(rbac, "ClusterRole", "", "system:a"), &dotted, true),
            (key(rbac, "ClusterRole", "", "System.a"), &dotted, true),
            (
                key("example.com/v1", "ClusterRole", "", "system.a"),
                &dotted,
                true,
            ),
            (key(rbac, "ClusterRole", "", "system:b"), &dotted, false),
            (key(rbac, "Role", "other", "system:a"), &role, false),
            (key(rbac, "Role", "demo", "system:a"), &role, true),
            (dotted.clone(), &dotted, false),
        ] {
            assert_eq!(is_namesake(&other, of), expected, "{other} {of}");
        }
    }

    #[test]
    fn only_the_status_does_not_wake() {
        let object = |value| -> DynamicObject { serde_json::from_value(value).unwrap() };
        let base = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "resourceVersion": "1"},
            "spec": {"replicas": 1},
        });
        for (name, patch, expected) in [
            ("nothing", json!({}), false),
            (
                "resourceVersion",
                json!({"metadata": {"resourceVersion": "2"}}),
                false,
            ),
            ("status", json!({"status": {"replicas": 1}}), false),
            ("spec", json!({"spec": {"replicas": 2}}), true),
            ("label", json!({"metadata": {"labels": {"a": "b"}}}), true),
            (
                "deletion",
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
                true,
            ),
            ("a field goes", json!({"spec": null}), true),
            ("a field comes", json!({"data": {}}), true),
        ] {
            let mut changed = base.clone();
            propagation::diff::apply(&mut changed, &patch);
            let (old, new) = (object(base.clone()), object(changed));
            assert_eq!(specification_changed(&old, &new), expected, "{name}");
            assert_eq!(
                specification_changed(&new, &old),
                expected,
                "{name}, reversed"
            );
        }
    }
}

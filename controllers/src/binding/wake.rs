//! Which changes concern which bindings.

use std::{sync::Arc, time::Duration};

use crds::{cluster::Cluster, names, object::Key, policy::OverrideSpec, work::Binding};
use kube::ResourceExt;
use propagation::{matching::Subject, overrides, render::is_answered};
use runtime::{Change, Queue, queue::Priority};

use super::refused::Refused;
use crate::{
    brake::Holder,
    interpretation::bindings_of,
    world::{Bindings, World, binding_of, template_of},
};

/// How long a change that concerns the scheduler waits for its answer.
const ANSWER: Duration = Duration::from_millis(500);

pub(super) fn subscribe<B: Bindings>(
    world: &Arc<World>,
    queue: &Arc<Queue<Key>>,
    refused: &Arc<Refused>,
) {
    let to = Arc::clone(queue);
    B::store(world).subscribe(move |change| match change {
        Change::Added { new, initial } => {
            to.add_with(
                Binding::key(&***new),
                if *initial {
                    Priority::Low
                } else {
                    Priority::Normal
                },
            );
        }
        Change::Updated { old, new } if is_relevant(&***old, &***new) => {
            let key = Binding::key(&***new);
            if awaits_scheduler(&***old, &***new) {
                to.add_after(key, ANSWER);
            } else {
                to.add(key);
            }
        }
        // The scheduler's answer lets Works be written that waited for it, and others go.
        Change::Updated { old, new } if !is_answered(&***old) && is_answered(&***new) => {
            to.add(Binding::key(&***new));
        }
        _ => {}
    });

    of_works::<B>(world, queue, refused);
    let to = Arc::clone(queue);
    world.brake.on_release(move |holder| {
        if let Some(key) = holder.binding::<B>() {
            to.add(key.clone());
        }
    });

    // A template that is there again, and claimed, takes over what is held since its kind went.
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.templates.subscribe(move |gvk, change| {
        let template = match change {
            Change::Added { new, .. } => new,
            Change::Updated { old, new } if old.metadata.labels != new.metadata.labels => new,
            _ => return,
        };
        let Some(world) = weak.upgrade() else { return };
        let namespace = template.namespace();
        if world.brake.is_idle() || namespace.is_some() != B::IS_NAMESPACED {
            return;
        }
        let name = names::binding_name(&template.name_any(), &gvk.kind);
        let key = Key { namespace, name };
        if world.brake.holds(&Holder::of_key::<B>(key.clone())) {
            to.add(key);
        }
    });

    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.cluster_overrides.subscribe(move |change| {
        if let Some(world) = weak.upgrade() {
            override_changed::<B, _>(&world, &to, change, |policy| (None, &policy.spec));
        }
    });
    if B::IS_NAMESPACED {
        let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
        world.overrides.subscribe(move |change| {
            if let Some(world) = weak.upgrade() {
                override_changed::<B, _>(&world, &to, change, |policy| {
                    (policy.metadata.namespace.as_deref(), &policy.spec)
                });
            }
        });
    }

    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.interpreter.on_change(move |kinds| {
        let Some(world) = weak.upgrade() else { return };
        for key in bindings_of::<B>(&world, kinds) {
            to.add_with(key, Priority::Low);
        }
    });

    // Overrides select clusters by labels and fields, and a binding may name a cluster before it exists.
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.clusters.subscribe(move |change| {
        let cluster = match change {
            Change::Added {
                new,
                initial: false,
            } => new,
            Change::Updated { old, new } if looks_differ(old, new) => new,
            _ => return,
        };
        let Some(world) = weak.upgrade() else { return };
        let name = cluster.name_any();
        B::store(&world).each(|binding| {
            if propagation::render::expected_clusters(binding.spec()).contains(&name) {
                to.add_with(Binding::key(&**binding), Priority::Low);
            }
        });
    });
}

fn of_works<B: Bindings>(world: &Arc<World>, queue: &Arc<Queue<Key>>, refused: &Arc<Refused>) {
    // A Work that goes, by hand or because an execution space went, is made again if the binding still wants it.
    // One that somebody edits is put right.
    // Its name is free then for a binding that was refused it.
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    let refused = Arc::clone(refused);
    world.works.subscribe(move |change| {
        if let Change::Deleted { old } = change {
            for key in refused.freed(&Key::of_meta(&old.metadata)) {
                to.add(key);
            }
        }
        let concerned = match change {
            Change::Deleted { old } => binding_of::<B>(old),
            Change::Updated { old, new }
                if weak
                    .upgrade()
                    .is_some_and(|world| world.work_writes.is_foreign(old, new)) =>
            {
                binding_of::<B>(old).or_else(|| binding_of::<B>(new))
            }
            _ => None,
        };
        if let Some(key) = concerned {
            to.add(key);
        }
    });
}

/// Whether the scheduler is about to answer the change with other clusters or replicas: Works written before would be written
/// again. An answer that does not come is waited for no longer than [`ANSWER`].
fn awaits_scheduler<B: Binding>(old: &B, new: &B) -> bool {
    let asked = |binding: &B| {
        let spec = binding.spec();
        (
            spec.placement.clone(),
            spec.replicas,
            spec.replica_requirements.clone(),
            spec.components.clone(),
        )
    };
    !is_answered(new)
        && new.meta().deletion_timestamp.is_none()
        && old.spec().clusters == new.spec().clusters
        && asked(old) != asked(new)
}

/// Whether a binding's change can change its Works: its status cannot.
fn is_relevant<B: Binding>(old: &B, new: &B) -> bool {
    old.meta().generation != new.meta().generation
        || old.permanent_id() != new.permanent_id()
        || old.meta().deletion_timestamp != new.meta().deletion_timestamp
        || old.uid() != new.uid()
}

fn looks_differ(old: &Cluster, new: &Cluster) -> bool {
    let look = |cluster: &Cluster| {
        (
            cluster.metadata.labels.clone(),
            cluster.spec.provider.clone(),
            cluster.spec.region.clone(),
            cluster.spec.zones.clone(),
            cluster.spec.zone.clone(),
        )
    };
    look(old) != look(new)
}

fn override_changed<B: Bindings, P: ResourceExt>(
    world: &World,
    queue: &Queue<Key>,
    change: &Change<'_, P>,
    parts: impl Fn(&P) -> (Option<&str>, &OverrideSpec),
) {
    // At the start every binding is looked at anyway.
    if let Change::Added { initial: true, .. } = change {
        return;
    }
    if let Change::Updated { old, new } = change
        && is_same(old.as_ref(), new.as_ref())
    {
        return;
    }
    let versions: Vec<_> = [Some(change.object()), change.old()]
        .into_iter()
        .flatten()
        .collect();
    B::store(world).each(|binding| {
        let resource = &binding.spec().resource;
        let concerned = versions.iter().any(|policy| {
            let (namespace, spec) = parts(policy);
            (namespace.is_none() || namespace == resource.namespace.as_deref())
                && may_name(spec, &resource.api_version, &resource.kind)
                && subject(world, &**binding)
                    .is_none_or(|subject| overrides::concerns(spec, &subject))
        });
        if concerned {
            queue.add_with(Binding::key(&**binding), Priority::Low);
        }
    });
}

/// Whether nothing changed that rendering looks at. A policy that was deleted and made again while the watch was away may have the
/// generation of the old one.
fn is_same(old: &impl ResourceExt, new: &impl ResourceExt) -> bool {
    old.meta().uid == new.meta().uid
        && old.meta().generation == new.meta().generation
        && old.annotations() == new.annotations()
}

/// The cheap half of the question, before the template is looked up.
fn may_name(spec: &OverrideSpec, api_version: &str, kind: &str) -> bool {
    spec.resource_selectors.as_ref().is_none_or(|selectors| {
        selectors.is_empty()
            || selectors
                .iter()
                .any(|selector| selector.api_version == api_version && selector.kind == kind)
    })
}

/// What selectors see of the template; `None` when it is not known, and then anything may concern it.
fn subject<B: Binding>(world: &World, binding: &B) -> Option<Subject> {
    let resource = &binding.spec().resource;
    let (gvk, key) = template_of(resource);
    let template = world.templates.object(&gvk, &key)?;
    Some(Subject {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
        namespace: resource.namespace.clone().unwrap_or_default(),
        name: resource.name.clone(),
        labels: template.labels().clone(),
    })
}

#[cfg(test)]
mod tests {
    use crds::policy::OverridePolicy;
    use serde_json::json;

    use super::*;

    #[test]
    fn override_policies_that_are_made_again_are_others() {
        let policy = |uid: &str, generation: i64, note: &str| -> OverridePolicy {
            serde_json::from_value(json!({
                "metadata": {"name": "op", "uid": uid, "generation": generation,
                             "resourceVersion": note, "annotations": {"note": note}},
                "spec": {"overrideRules": []},
            }))
            .unwrap()
        };
        let before = policy("a", 1, "");
        for (name, after, expected) in [
            ("the same", policy("a", 1, ""), true),
            ("edited", policy("a", 2, ""), false),
            ("annotated", policy("a", 1, "x"), false),
            ("made again", policy("b", 1, ""), false),
        ] {
            assert_eq!(is_same(&before, &after), expected, "{name}");
        }
    }
}

//! Which changes concern which bindings.

use std::sync::Arc;

use crds::{cluster::Cluster, object::Key, policy::OverrideSpec, work::Binding};
use kube::ResourceExt;
use propagation::{
    matching::Subject,
    overrides,
    render::{is_answered, orphans},
};
use runtime::{Change, Queue, queue::Priority};
use trace::NoTrace;

use crate::world::{Bindings, World, binding_of, template_of};

pub(super) fn subscribe<B: Bindings>(world: &Arc<World>, queue: &Arc<Queue<Key>>) {
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
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
            to.add(Binding::key(&***new));
        }
        // The scheduler's answer lets Works go that waited for it.
        Change::Updated { old, new }
            if !is_answered(&***old)
                && is_answered(&***new)
                && weak
                    .upgrade()
                    .is_some_and(|world| has_orphans(&world, &***new)) =>
        {
            to.add(Binding::key(&***new));
        }
        _ => {}
    });

    // A Work that goes, by hand or because an execution space went, is made again if the binding still wants it.
    // One that somebody edits is put right.
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.works.subscribe(move |change| {
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

    let to = Arc::clone(queue);
    world.brake.on_release(move |holder| {
        if let Some(key) = holder.binding::<B>() {
            to.add(key.clone());
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

/// Whether a binding's change can change its Works: its status cannot.
fn is_relevant<B: Binding>(old: &B, new: &B) -> bool {
    old.meta().generation != new.meta().generation
        || old.permanent_id() != new.permanent_id()
        || old.meta().deletion_timestamp != new.meta().deletion_timestamp
        || old.uid() != new.uid()
}

fn has_orphans<B: Bindings>(world: &World, binding: &B) -> bool {
    let works = binding.permanent_id().map_or_else(Vec::new, |id| {
        world.works.by_index(world.works_by_binding, id)
    });
    !orphans(
        binding.spec(),
        works.iter().map(AsRef::as_ref),
        &mut NoTrace,
    )
    .is_empty()
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
        && old.meta().generation == new.meta().generation
        && old.annotations() == new.annotations()
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

//! What has a policy looked at.

use std::sync::{Arc, Weak};

use crds::policy::{
    ClusterOverridePolicy, ClusterPropagationPolicy, OverridePolicy, PropagationPolicy,
};
use kube::{Resource, ResourceExt};
use propagation::matching::PolicyRef;
use runtime::{Change, Queue, queue::Priority};

use super::{PolicyKey, concerned::claimed, kinds::Policies};
use crate::{World, detector::Handle};

pub(super) fn subscribe(
    world: &Arc<World>,
    detector: &Handle,
    namespaced: &Arc<Queue<PolicyKey>>,
    cluster: &Arc<Queue<PolicyKey>>,
) {
    policies::<PropagationPolicy>(world, detector, namespaced);
    policies::<ClusterPropagationPolicy>(world, detector, cluster);
    let (weak, ready) = (Arc::downgrade(world), Arc::clone(namespaced));
    world.overrides.subscribe(move |change| {
        for policy in waiting_for_override(change, &weak) {
            ready.add(PolicyKey(policy));
        }
    });
    let (weak, ready) = (Arc::downgrade(world), Arc::clone(cluster));
    world.cluster_overrides.subscribe(move |change| {
        for policy in waiting_for_cluster_override(change, &weak) {
            ready.add(PolicyKey(policy));
        }
    });
}

fn policies<P: Policies>(world: &Arc<World>, detector: &Handle, queue: &Arc<Queue<PolicyKey>>) {
    let (weak, detector, queue) = (Arc::downgrade(world), detector.clone(), Arc::clone(queue));
    P::store(world).subscribe(move |change| match change {
        Change::Added { new, initial } => {
            let priority = if *initial {
                Priority::Low
            } else {
                Priority::Normal
            };
            queue.add_with(PolicyKey(new.view().reference), priority);
        }
        Change::Updated { old, new } if matters(old.as_ref(), new.as_ref()) => {
            queue.add(PolicyKey(new.view().reference));
        }
        Change::Updated { .. } => {}
        // Usually nothing is left, but the finalizer may have been taken off by hand, and a template claimed meanwhile.
        Change::Deleted { old } => {
            if let Some(world) = weak.upgrade() {
                for template in claimed(&old.view(), &world) {
                    detector.enqueue(template, Priority::Low);
                }
            }
        }
    });
}

/// Whether anything changed that templates or the policy's life depend on.
fn matters<P: Policies>(old: &P, new: &P) -> bool {
    let parts = |policy: &P| {
        let meta = policy.meta();
        (
            meta.generation,
            meta.uid.clone(),
            meta.deletion_timestamp.clone(),
            meta.finalizers.clone(),
            policy.labels().get(P::ID).cloned(),
        )
    };
    parts(old) != parts(new)
}

/// The policies that name an override policy which has just come.
fn waiting_for_override(
    change: &Change<'_, OverridePolicy>,
    world: &Weak<World>,
) -> Vec<PolicyRef> {
    let (Some(new), Some(world)) = (arrival(change), world.upgrade()) else {
        return Vec::new();
    };
    let namespace = new.namespace().unwrap_or_default();
    let policies = world
        .policies
        .by_index(world.policies_by_namespace, &namespace);
    named_by(&policies, &new.name_any())
}

fn waiting_for_cluster_override(
    change: &Change<'_, ClusterOverridePolicy>,
    world: &Weak<World>,
) -> Vec<PolicyRef> {
    let (Some(new), Some(world)) = (arrival(change), world.upgrade()) else {
        return Vec::new();
    };
    named_by(&world.cluster_policies.list(), &new.name_any())
}

fn arrival<'a, K: Resource>(change: &Change<'a, K>) -> Option<&'a Arc<K>> {
    match change {
        // What is there at the start is there when the workers begin.
        Change::Added {
            new,
            initial: false,
        } => Some(new),
        _ => None,
    }
}

fn named_by<P: Policies>(policies: &[Arc<P>], name: &str) -> Vec<PolicyRef> {
    let views = policies.iter().map(|policy| policy.view());
    views
        .filter(|policy| policy.spec.dependent_overrides.iter().any(|it| it == name))
        .map(|policy| policy.reference)
        .collect()
}

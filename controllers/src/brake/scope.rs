//! Clusters and policies as scopes: what they allow, what they have, and how they are told.

use std::{collections::BTreeMap, sync::Arc};

use crds::{keys, names, object::Key, work::Binding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use propagation::{
    brake::{RELEASE_HOLD, Release, Scope, THRESHOLD, Threshold, is_released, release},
    matching::{PolicyKind, PolicyRef},
};

use super::{COMPONENT, INVALID_RELEASE, INVALID_THRESHOLD, Options, binding::claim_of};
use crate::{World, write};

/// What a scope says.
pub(super) struct Settings {
    pub(super) threshold: Threshold,
    pub(super) is_released: bool,
}

/// Reads the annotations of a scope, and tells of those that cannot be used.
pub(super) fn settings(world: &World, options: Options, scope: &Scope, now: &Time) -> Settings {
    let annotations = annotations(world, scope);
    let annotation = |key: &str| annotations.get(key).map(String::as_str);
    let default = default_threshold(options, scope);
    let threshold = annotation(THRESHOLD).map(str::parse::<Threshold>);
    if let Some(Err(error)) = &threshold {
        let message = format!("{THRESHOLD} is not used: {error}; {default} holds instead");
        tell(world, scope, INVALID_THRESHOLD, &message);
    }
    let release = release(annotation(RELEASE_HOLD), now);
    if let Release::Invalid(message) = &release {
        tell(world, scope, INVALID_RELEASE, message);
    }
    Settings {
        threshold: threshold.and_then(Result::ok).unwrap_or(default),
        is_released: release == Release::InForce,
    }
}

/// What holds for a scope without an annotation of its own.
pub(super) fn default_threshold(options: Options, scope: &Scope) -> Threshold {
    match scope {
        Scope::Cluster(_) => options.cluster,
        Scope::Policy(_) => options.policy,
    }
}

fn annotations(world: &World, scope: &Scope) -> BTreeMap<String, String> {
    let annotations = match scope {
        Scope::Cluster(name) => world
            .clusters
            .get(&Key::cluster_scoped(name))
            .and_then(|it| it.metadata.annotations.clone()),
        Scope::Policy(policy) => {
            let key = Key::new(&policy.namespace, &policy.name);
            match policy.kind {
                PolicyKind::PropagationPolicy => world
                    .policies
                    .get(&key)
                    .and_then(|it| it.metadata.annotations.clone()),
                PolicyKind::ClusterPropagationPolicy => world
                    .cluster_policies
                    .get(&key)
                    .and_then(|it| it.metadata.annotations.clone()),
            }
        }
    };
    annotations.unwrap_or_default()
}

/// Whether somebody agreed to what would take a binding's objects from a cluster, by releasing either or the policy.
pub(crate) fn is_let_go<B: Binding>(world: &World, binding: &B, cluster: &str, now: &Time) -> bool {
    let of_binding = binding.meta().annotations.as_ref();
    let in_force = |annotations: Option<&BTreeMap<String, String>>| {
        let text = annotations.and_then(|it| it.get(RELEASE_HOLD));
        is_released(text.map(String::as_str), now)
    };
    let mut scopes = vec![Scope::Cluster(cluster.to_owned())];
    scopes.extend(claim_of(binding).map(|claim| Scope::Policy(claim.policy)));
    in_force(of_binding)
        || scopes
            .iter()
            .any(|scope| in_force(Some(&annotations(world, scope))))
}

/// How many objects a scope has. No object is looked at for it.
pub(super) fn total(world: &World, scope: &Scope) -> usize {
    match scope {
        Scope::Cluster(name) => world
            .works
            .count_by_index(world.works_by_namespace, &names::execution_namespace(name)),
        Scope::Policy(policy) => permanent_id(world, policy).map_or(0, |id| {
            let namespaced = world
                .bindings
                .keys_by_index(world.bindings_by_claim, &id)
                .iter()
                .flat_map(|key| world.bindings.values_of(world.bindings_by_id, key))
                .collect::<Vec<Arc<str>>>();
            let cluster = world
                .cluster_bindings
                .keys_by_index(world.cluster_bindings_by_claim, &id)
                .iter()
                .flat_map(|key| {
                    world
                        .cluster_bindings
                        .values_of(world.cluster_bindings_by_id, key)
                })
                .collect::<Vec<Arc<str>>>();
            let works = |id: &Arc<str>| world.works.count_by_index(world.works_by_binding, id);
            namespaced.iter().chain(&cluster).map(works).sum()
        }),
    }
}

fn permanent_id(world: &World, policy: &PolicyRef) -> Option<String> {
    let key = Key::new(&policy.namespace, &policy.name);
    match policy.kind {
        PolicyKind::PropagationPolicy => world
            .policies
            .get(&key)?
            .labels()
            .get(keys::PROPAGATION_POLICY_PERMANENT_ID)
            .cloned(),
        PolicyKind::ClusterPropagationPolicy => world
            .cluster_policies
            .get(&key)?
            .labels()
            .get(keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID)
            .cloned(),
    }
}

/// A Warning event on the object that a scope stands for.
pub(super) fn tell(world: &World, scope: &Scope, reason: &'static str, message: &str) {
    let about = match scope {
        Scope::Cluster(name) => world
            .clusters
            .get(&Key::cluster_scoped(name))
            .map(|it| write::reference(&*it)),
        Scope::Policy(policy) => {
            let key = Key::new(&policy.namespace, &policy.name);
            match policy.kind {
                PolicyKind::PropagationPolicy => {
                    world.policies.get(&key).map(|it| write::reference(&*it))
                }
                PolicyKind::ClusterPropagationPolicy => world
                    .cluster_policies
                    .get(&key)
                    .map(|it| write::reference(&*it)),
            }
        }
    };
    if let Some(about) = about {
        world.recorder.warning(COMPONENT, about, reason, message);
    }
}

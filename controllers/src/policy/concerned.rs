//! Which templates a policy concerns.

use std::collections::BTreeMap;

use crds::{
    object::{Gvk, Key},
    work::{ClusterResourceBinding, ResourceBinding},
};
use kube::ResourceExt;
use propagation::matching::{ClaimState, Level, Policy, Subject, read_claim};
use runtime::{queue::Priority, store::key_of};

use super::{Context, kinds::Policies, priority};
use crate::{
    detector::{TemplateKey, metadata_value},
    world::{Bindings, World, claimant},
};

/// Every template that has to be looked at because the policy is new or has changed.
pub(super) fn concerned(
    policy: &Policy<'_>,
    world: &World,
    context: &Context,
) -> BTreeMap<TemplateKey, Priority> {
    let mut found = BTreeMap::new();
    for template in claimed(policy, world) {
        found.insert(template, Priority::Low);
    }
    for template in context.detector.waiting_for(policy) {
        let level = match subject(&template, world) {
            Some(subject) => policy.level(&subject),
            None => Level::All,
        };
        if level > Level::None {
            found.insert(template, priority(level == Level::Name));
        }
    }
    if context.options.preemption && policy.preempts() {
        for template in named(policy, world) {
            found.entry(template).or_insert(Priority::Normal);
        }
    }
    found
}

/// The templates with the claim of the policy, on themselves or on their bindings.
///
/// A claim counts if it has the policy's id, or names the policy: the id may have been edited since the claim was made.
pub(super) fn claimed(policy: &Policy<'_>, world: &World) -> Vec<TemplateKey> {
    let mut keys = Vec::new();
    for value in [policy.id, &claimant(&policy.reference)] {
        if value.is_empty() {
            continue;
        }
        let templates = world.templates.by_index(world.templates_by_claim, value);
        keys.extend(templates.into_iter().map(|(gvk, object)| TemplateKey {
            gvk,
            key: key_of(object.as_ref()),
        }));
        let bindings = ResourceBinding::store(world).by_index(world.bindings_by_claim, value);
        let bindings = bindings.iter().map(|binding| &binding.spec.resource);
        keys.extend(bindings.map(TemplateKey::of_binding));
        let bindings =
            ClusterResourceBinding::store(world).by_index(world.cluster_bindings_by_claim, value);
        let bindings = bindings.iter().map(|binding| &binding.spec.resource);
        keys.extend(bindings.map(TemplateKey::of_binding));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The id that claims of the policy carry, if it has lost its own. An id that another policy has by now is not taken from it.
pub(super) fn former_id<P: Policies>(policy: &Policy<'_>, world: &World) -> Option<String> {
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    for template in claimed(policy, world) {
        let object = world.templates.object(&template.gvk, &template.key);
        let claim = object.map(|object| read_claim(&metadata_value(object.as_ref())));
        if let Some(ClaimState::Claimed(claim)) = claim
            && claim.policy == policy.reference
        {
            *ids.entry(claim.id).or_default() += 1;
        }
    }
    P::store(world).each(|other| {
        ids.remove(other.view().id);
    });
    let most = ids.into_iter().max_by_key(|(_, templates)| *templates);
    most.map(|(id, _)| id)
}

/// The templates that the policy's selectors name, whoever has them.
fn named(policy: &Policy<'_>, world: &World) -> Vec<TemplateKey> {
    let own = &policy.reference.namespace;
    let mut keys = Vec::new();
    for selector in &policy.spec.resource_selectors {
        let Some(name) = selector.name.as_deref().filter(|name| !name.is_empty()) else {
            continue;
        };
        let gvk = Gvk::parse(&selector.api_version, &selector.kind);
        let Some(store) = world.templates.store(&gvk) else {
            continue;
        };
        let namespace = selector.namespace.as_deref().unwrap_or_default();
        let namespace = if namespace.is_empty() { own } else { namespace };
        let is_namespaced = world
            .mapper
            .resolve(&gvk)
            .is_none_or(|resource| resource.namespaced);
        let found = if namespace.is_empty() && is_namespaced {
            // Of this name in every namespace.
            let mut keys = store.keys();
            keys.retain(|key| key.name == name);
            keys
        } else {
            vec![Key::new(if is_namespaced { namespace } else { "" }, name)]
        };
        keys.extend(found.into_iter().map(|key| TemplateKey {
            gvk: gvk.clone(),
            key,
        }));
    }
    keys
}

fn subject(template: &TemplateKey, world: &World) -> Option<Subject> {
    let object = world.templates.object(&template.gvk, &template.key)?;
    Some(Subject {
        api_version: template.gvk.api_version(),
        kind: template.gvk.kind.clone(),
        namespace: template.key.namespace.clone().unwrap_or_default(),
        name: template.key.name.clone(),
        labels: object.labels().clone(),
    })
}

//! Template and policy to binding.
//!
//! [`build`] says what the binding should be, [`create`] and [`merge`] what to write. The scheduler's fields, eviction tasks, dependents and the
//! status belong to others and are never touched.

mod merge;

pub use merge::{Collision, UpsertError, create, merge};
pub(crate) use merge::{check_identity, merge_map, same_object};

use std::collections::BTreeMap;

use crds::policy::{WorkloadAffinity, defaults};
use crds::work::{
    Binding, BindingSchedulePriority, BindingSuspension, Component, ObjectReference,
    ReplicaRequirements, ResourceBindingSpec, WorkloadAffinityGroups,
};
use crds::{names, object};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;
use trace::Sink;

use crate::matching::{Policy, claim_labels_and_annotations, lazy};
use crate::trace::Item;

/// What the interpreter says about a template; empty for something that has no replicas.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Interpretation {
    pub replicas: Option<i32>,
    pub requirements: Option<ReplicaRequirements>,
    /// With gate `MultiplePodTemplatesScheduling`, instead of the two above.
    pub components: Vec<Component>,
}

/// Feature gates that building looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gates {
    pub workload_affinity: bool,
    pub resource_quota_estimate: bool,
}

/// Everything that a binding is built from.
#[derive(Debug, Clone)]
pub struct Inputs<'a> {
    pub template: &'a Value,
    pub policy: &'a Policy<'a>,
    pub interpretation: Interpretation,
    /// The value of the policy's priority class, with gate `PriorityBasedScheduling`.
    pub schedule_priority: Option<i32>,
    pub gates: Gates,
}

/// The binding that template and policy ask for: a `ResourceBinding` for a namespaced template, else a `ClusterResourceBinding`.
pub fn build<B: Binding>(inputs: Inputs<'_>, sink: &mut impl Sink<Item>) -> B {
    let Inputs {
        template,
        policy,
        interpretation,
        schedule_priority,
        gates,
    } = inputs;
    let mut binding = skeleton::<B>(template);
    let metadata = binding.meta_mut();
    let (labels, mut annotations) = claim_labels_and_annotations(&policy.claim());
    if policy.is_lazy() {
        annotations.insert(
            lazy::TEMPLATE_FINGERPRINT.to_owned(),
            lazy::fingerprint(template),
        );
    }
    metadata.labels = Some(labels);
    metadata.annotations = Some(annotations);

    // Defaults are applied again, for policies that were stored while admission was away.
    let mut of_policy = policy.spec.clone();
    defaults::propagation_spec(&mut of_policy);
    let mut requirements = interpretation.requirements;
    if let Some(requirements) = requirements
        .as_mut()
        .filter(|_| gates.resource_quota_estimate)
    {
        let namespace = object::namespace(template).map(ToOwned::to_owned);
        requirements.namespace = requirements
            .namespace
            .take()
            .filter(|it| !it.is_empty())
            .or(namespace);
    }
    let spec = binding.spec_mut();
    spec.propagate_deps = of_policy.propagate_deps.filter(|deps| *deps);
    spec.scheduler_name = Some(
        of_policy
            .scheduler_name
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| defaults::SCHEDULER_NAME.to_owned()),
    );
    spec.failover.clone_from(&of_policy.failover);
    spec.conflict_resolution = Some(of_policy.conflict_resolution.unwrap_or_default());
    spec.preserve_resources_on_deletion = of_policy.preserve_resources_on_deletion;
    spec.placement = Some(of_policy.placement.clone().unwrap_or_default());
    spec.suspension = of_policy
        .suspension
        .as_ref()
        .map(|suspension| BindingSuspension {
            dispatching: suspension.dispatching,
            dispatching_on_clusters: suspension.dispatching_on_clusters.clone(),
            scheduling: None,
        });
    spec.replicas = interpretation.replicas.filter(|replicas| *replicas != 0);
    spec.replica_requirements = requirements;
    spec.components = interpretation.components;
    if B::IS_NAMESPACED {
        spec.schedule_priority = schedule_priority.map(|priority| BindingSchedulePriority {
            priority: Some(priority),
        });
        let affinity = spec
            .placement
            .as_ref()
            .and_then(|placement| placement.workload_affinity.as_ref());
        spec.workload_affinity_groups = affinity
            .filter(|_| gates.workload_affinity)
            .and_then(|affinity| groups(affinity, &object::labels(template)));
    }
    sink.record(|| Item::BindingBuilt {
        binding: binding.meta().name.clone().unwrap_or_default(),
        policy: policy.reference.clone(),
        replicas: binding.spec().replicas.unwrap_or_default(),
        is_workload: binding.spec().is_workload(),
    });
    binding
}

/// A binding with name, owner, finalizer and resource, as policies and dependencies both make it.
pub(crate) fn skeleton<B: Binding>(template: &Value) -> B {
    let resource = reference(template);
    let mut binding = B::default();
    let metadata = binding.meta_mut();
    metadata.name = Some(names::binding_name(&resource.name, &resource.kind));
    metadata.namespace = resource.namespace.clone().filter(|_| B::IS_NAMESPACED);
    metadata.owner_references = Some(vec![owner(template)]);
    metadata.finalizers = Some(vec![B::FINALIZER.to_owned()]);
    *binding.spec_mut() = ResourceBindingSpec {
        resource,
        ..ResourceBindingSpec::default()
    };
    binding
}

/// Refers to a template.
pub fn reference(template: &Value) -> ObjectReference {
    let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    ObjectReference {
        api_version: object::api_version(template).to_owned(),
        kind: object::kind(template).to_owned(),
        namespace: owned(object::namespace(template)),
        name: object::name(template).to_owned(),
        uid: owned(object::uid(template)),
        resource_version: owned(object::resource_version(template)),
    }
}

/// The controller owner reference to a template.
pub(crate) fn owner(template: &Value) -> OwnerReference {
    OwnerReference {
        api_version: object::api_version(template).to_owned(),
        kind: object::kind(template).to_owned(),
        name: object::name(template).to_owned(),
        uid: object::uid(template).unwrap_or_default().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn groups(
    affinity: &WorkloadAffinity,
    labels: &BTreeMap<String, String>,
) -> Option<WorkloadAffinityGroups> {
    let group = |key: Option<&str>| {
        let key = key?;
        labels.get(key).map(|value| format!("{key}={value}"))
    };
    let groups = WorkloadAffinityGroups {
        affinity_group: group(
            affinity
                .affinity
                .as_ref()
                .map(|term| &*term.group_by_label_key),
        ),
        anti_affinity_group: group(
            affinity
                .anti_affinity
                .as_ref()
                .map(|term| &*term.group_by_label_key),
        ),
    };
    (groups != WorkloadAffinityGroups::default()).then_some(groups)
}

#[cfg(test)]
mod tests;

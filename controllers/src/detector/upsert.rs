//! Template and policy -> binding, written.

use std::{collections::BTreeMap, sync::Arc};

use crds::{
    object::{Gvk, Key},
    policy::{PriorityClassSource, SchedulePriority},
    work::ReplicaRequirements,
};
use kube::ResourceExt;
use propagation::{
    binding::{self, Inputs, Interpretation},
    matching::{Policy, lazy},
};
use runtime::error::call;
use serde_json::Value;
use trace::NoTrace;
use uuid::Uuid;

use super::{Error, Gates, TemplateKey, claims::binding_key};
use crate::{
    brake,
    world::{Bindings, World},
    write,
};

/// What writing a binding came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// The binding was created or changed.
    pub(super) changed: bool,
    /// And so were its replicas or components.
    pub(super) replicas_changed: bool,
    /// Reason and text of the event about them, if there is something to tell.
    pub(super) interpreted: Option<(&'static str, &'static str)>,
}

impl Written {
    const CREATED: Self = Self {
        changed: true,
        replicas_changed: true,
        interpreted: None,
    };
}

/// What the interpreter says about a template.
pub(super) async fn interpret(
    world: &World,
    gates: Gates,
    key: &TemplateKey,
    template: &Value,
) -> Result<Interpretation, Error> {
    if gates.multiple_pod_templates {
        let components = world
            .interpreter
            .components(template)
            .await
            .map_err(|source| Error::Components {
                template: key.to_string(),
                source: Box::new(source),
            })?;
        if let Some(components) = components {
            return Ok(Interpretation {
                components,
                ..Interpretation::default()
            });
        }
    }
    let answer = world
        .interpreter
        .replicas(template)
        .await
        .map_err(|source| Error::Replicas {
            template: key.to_string(),
            source: Box::new(source),
        })?;
    Ok(answer.map_or_else(Interpretation::default, of_replicas))
}

/// What is said with a number of replicas. Requirements that are there and empty make a workload as others do.
fn of_replicas((replicas, requirements): (i64, Option<ReplicaRequirements>)) -> Interpretation {
    Interpretation {
        // More replicas than the wire can carry are as many as it can.
        replicas: Some(i32::try_from(replicas).unwrap_or(i32::MAX)),
        requirements,
        components: Vec::new(),
    }
}

/// The value of the policy's priority class.
pub(super) async fn schedule_priority(
    world: &World,
    priority: &SchedulePriority,
) -> Result<i32, Error> {
    // The only source that there is; another one has to be decided here.
    let PriorityClassSource::KubePriorityClass = priority.priority_class_source;
    let name = &priority.priority_class_name;
    let gvk = Gvk::parse("scheduling.k8s.io/v1", "PriorityClass");
    let class = world
        .template(&gvk, &Key::cluster_scoped(name))
        .await
        .map_err(|source| Error::PriorityClass {
            name: name.clone(),
            source,
        })?;
    let class = class.ok_or_else(|| Error::NoPriorityClass { name: name.clone() })?;
    let value = class.data.get("value").and_then(Value::as_i64);
    Ok(value
        .and_then(|value| i32::try_from(value).ok())
        .unwrap_or_default())
}

/// Fails if the binding's name is taken by a template of another group, or by an earlier one of this name.
pub(super) fn check_name<B: Bindings>(
    existing: &B,
    template: &Value,
    policy: &Policy<'_>,
) -> Result<(), Error> {
    let inputs = Inputs {
        template,
        policy,
        interpretation: Interpretation::default(),
        schedule_priority: None,
        gates: binding::Gates::default(),
    };
    let draft: B = binding::build(inputs, &mut NoTrace);
    binding::merge(existing, &draft, "")?;
    Ok(())
}

/// Makes the binding what template and policy ask for.
pub(super) async fn upsert<B: Bindings>(
    world: &World,
    key: &TemplateKey,
    inputs: Inputs<'_>,
) -> Result<Written, Error> {
    let template = inputs.template;
    let mut desired: B = binding::build(inputs, &mut NoTrace);
    desired.annotations_mut().insert(
        lazy::TEMPLATE_SPECIFICATION.to_owned(),
        lazy::specification_fingerprint(template),
    );
    let binding_key = binding_key(key);
    let (store, api) = (B::store(world), B::api(world, key.namespace()));
    let fresh_id = || Uuid::new_v4().to_string();
    let failed = |source| Error::WriteBinding {
        binding: binding_key.to_string(),
        source,
    };
    let existing = if let Some(existing) = store.get(&binding_key) {
        existing
    } else {
        // A binding that somebody deleted gets its identity back, and with it the Works that it left.
        let id = brake::leftover_id::<B>(world, &binding_key, &key.gvk.kind, &key.key);
        let new = binding::create(desired.clone(), &id.unwrap_or_else(fresh_id));
        match write::create(&api, store, &new).await {
            Ok(_) => return Ok(Written::CREATED),
            // The store lags behind: take what is there as if it had been known.
            Err(source) if source.is_already_exists() => {
                let live = call(api.get(&binding_key.name)).await;
                Arc::new(live.map_err(|source| Error::ReadBinding {
                    binding: binding_key.to_string(),
                    source,
                })?)
            }
            Err(source) => return Err(failed(source)),
        }
    };
    keep_version(existing.as_ref(), &mut desired);
    let Some(merged) = binding::merge(existing.as_ref(), &desired, &fresh_id())? else {
        return Ok(Written::default());
    };
    let changed = write::update(&api, store, existing.as_ref(), &merged)
        .await
        .map_err(failed)?;
    let (old, new) = (existing.spec(), merged.spec());
    Ok(Written {
        changed,
        replicas_changed: changed
            && (old.replicas, &old.replica_requirements, &old.components)
                != (new.replicas, &new.replica_requirements, &new.components),
        interpreted: None,
    })
}

/// Leaves `spec.resource.resourceVersion` as it is while only the template's status has changed since: a restart, or any other
/// look at the template, must not wake everything that hangs on the binding.
fn keep_version<B: Bindings>(existing: &B, desired: &mut B) {
    let built_from = |annotations: &BTreeMap<String, String>| {
        annotations.get(lazy::TEMPLATE_SPECIFICATION).cloned()
    };
    let before = &existing.spec().resource;
    let is_same_object = before.uid == desired.spec().resource.uid;
    if is_same_object
        && built_from(existing.annotations()) == built_from(desired.annotations())
        && before.resource_version.is_some()
    {
        let version = before.resource_version.clone();
        desired.spec_mut().resource.resource_version = version;
    }
}

#[cfg(test)]
mod tests {
    use crds::work::ResourceBinding;

    use super::*;

    fn built(uid: &str, version: &str, specification: &str) -> ResourceBinding {
        let mut binding = ResourceBinding::default();
        binding.annotations_mut().insert(
            lazy::TEMPLATE_SPECIFICATION.to_owned(),
            specification.to_owned(),
        );
        binding.spec.resource.uid = Some(uid.to_owned());
        binding.spec.resource.resource_version = Some(version.to_owned());
        binding
    }

    #[test]
    fn empty_requirements_are_requirements() {
        let some = Some(ReplicaRequirements::default());
        for (requirements, replicas) in [(some, 0), (None, 3)] {
            let interpretation = of_replicas((replicas, requirements.clone()));
            assert_eq!(interpretation.requirements, requirements);
        }
        assert_eq!(of_replicas((1 << 40, None)).replicas, Some(i32::MAX));
    }

    #[test]
    fn version_follows_the_specification() {
        for (name, existing, desired, expected) in [
            (
                "status only",
                built("u", "1", "a"),
                built("u", "2", "a"),
                "1",
            ),
            (
                "specification",
                built("u", "1", "a"),
                built("u", "2", "b"),
                "2",
            ),
            (
                "another object",
                built("t", "1", "a"),
                built("u", "2", "a"),
                "2",
            ),
        ] {
            let mut desired = desired;
            keep_version(&existing, &mut desired);
            let version = desired.spec.resource.resource_version.as_deref();
            assert_eq!(version, Some(expected), "{name}");
        }
    }
}

//! What may be done about a template, step by step: for the pass that does it, and for whoever asks why nothing happens.

use std::sync::Arc;

use crds::object;
use kube::{ResourceExt, api::DynamicObject};
use propagation::{
    matching::{Code, Policy, PolicyKind, Subject, upkeep},
    skip,
    trace::Item,
};
use serde_json::Value;
use trace::Sink;

use super::{
    Error, Options, TemplateKey, claims::binding_key, deferral::Deferral, upsert::check_name,
};
use crate::world::{Bindings, World, to_value};

/// Whether the object is one that is propagated.
pub(super) fn may_propagate(
    subject: &Subject,
    metadata: &Value,
    options: &Options,
    sink: &mut impl Sink<Item>,
) -> bool {
    let (apis, namespaces) = (&options.skipped_apis, &options.skipped_namespaces);
    skip::may_propagate(subject, metadata, apis, namespaces, sink).is_allowed()
}

/// Whether the policy can claim anything.
pub(super) fn is_identified(policy: &Policy<'_>, sink: &mut impl Sink<Item>) -> bool {
    let is_identified = !policy.id.is_empty();
    if !is_identified {
        let message = "the policy gets its permanent id in a moment".to_owned();
        obstacle(policy, Code::NotIdentified, || message, sink);
    }
    is_identified
}

/// What is known when a policy is applied to a template, before anything is written.
pub(super) struct Ready<B> {
    pub(super) existing: Option<Arc<B>>,
    pub(super) template: Value,
    pub(super) deferral: Deferral,
}

/// Looks for what keeps the policy that gets the template from claiming it and from building its binding.
pub(super) fn ready<B: Bindings>(
    world: &World,
    key: &TemplateKey,
    template: &DynamicObject,
    policy: &Policy<'_>,
    woken_lazily: bool,
    sink: &mut impl Sink<Item>,
) -> Result<Ready<B>, Error> {
    check_overrides(world, policy).inspect_err(|error| {
        obstacle(
            policy,
            Code::DependentOverrideMissing,
            || error.to_string(),
            sink,
        );
    })?;
    let existing = B::store(world).get(&binding_key(key));
    let template = to_value(template);
    if let Some(existing) = &existing {
        check_name(existing.as_ref(), &template, policy).inspect_err(|error| {
            let code = if matches!(error, Error::OwnerGone(_)) {
                Code::OwnerGone
            } else {
                Code::NameCollision
            };
            obstacle(policy, code, || error.to_string(), sink);
        })?;
    }
    let bound = existing.as_ref().map(|binding| binding.annotations());
    let deferral = Deferral::of(policy, &template, bound, woken_lazily);
    if deferral.defers {
        let message = || {
            let what = if existing.is_some() {
                "what changed in the policy"
            } else {
                "the binding"
            };
            format!("the policy is lazy: {what} waits until a user changes the object")
        };
        obstacle(policy, Code::LazyNotActivated, message, sink);
    }
    Ok(Ready {
        existing,
        template,
        deferral,
    })
}

fn check_overrides(world: &World, policy: &Policy<'_>) -> Result<(), Error> {
    let of = &policy.reference;
    let missing = upkeep::missing_overrides(policy.spec, |name| match of.kind {
        PolicyKind::PropagationPolicy => world
            .overrides
            .get(&object::Key::new(&of.namespace, name))
            .is_some(),
        PolicyKind::ClusterPropagationPolicy => world
            .cluster_overrides
            .get(&object::Key::cluster_scoped(name))
            .is_some(),
    });
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::OverridesMissing {
        message: upkeep::missing_overrides_message(of.kind, &missing),
    })
}

fn obstacle(
    policy: &Policy<'_>,
    code: Code,
    message: impl FnOnce() -> String,
    sink: &mut impl Sink<Item>,
) {
    sink.record(|| Item::Obstacle {
        policy: policy.reference.clone(),
        code,
        message: message(),
    });
}

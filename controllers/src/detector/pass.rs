//! One look at one template.

use std::{sync::Arc, time::Instant};

use crds::{
    config::InterpreterOperation,
    object,
    policy::{ClusterPropagationPolicy, PropagationPolicy},
    reasons,
    work::{ClusterResourceBinding, ResourceBinding},
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{ResourceExt, api::DynamicObject};
use propagation::{
    binding::{Inputs, Interpretation},
    events as texts,
    matching::{
        Decision, Input, Policy, PolicyKind, PolicyRef, Subject, claim_patch, decide, read_claim,
    },
};
use runtime::{Action, events::reference_to};
use serde_json::Value;
use trace::NoTrace;

use super::{
    Context, Error, Gates, TemplateKey,
    claims::{self, binding_key, metadata_value, patch_template},
    course::{self, Ready},
    deferral::merged,
    leftover,
    upsert::{self, Written},
    wake::TERMINATING_BINDING,
};
use crate::{
    interpretation::report::{self, Outcomes},
    world::{Bindings, World, to_value},
    write,
};

/// Failures of a transient kind in a row before the user hears of them.
const PATIENCE: u32 = 6;

pub(super) async fn reconcile(key: TemplateKey, context: Arc<Context>) -> Result<Action, Error> {
    let woken_lazily = context.handle.take_lazy_wake(&key);
    let outcome = look(&key, &context, woken_lazily).await;
    if outcome.is_err() && woken_lazily {
        context.handle.put_lazy_wake_back(&key);
    }
    outcome
}

async fn look(key: &TemplateKey, context: &Context, woken_lazily: bool) -> Result<Action, Error> {
    let template = context
        .world
        .template(&key.gvk, &key.key)
        .await
        .map_err(|source| Error::ReadTemplate {
            template: key.to_string(),
            source,
        })?;
    let Some(template) = template else {
        context.handle.settle(key);
        if key.namespace().is_some() {
            leftover::remove::<ResourceBinding>(&context.world, key).await?;
        } else {
            leftover::remove::<ClusterResourceBinding>(&context.world, key).await?;
        }
        return Ok(Action::AwaitChange);
    };
    let (subject, metadata) = (subject(key, &template), metadata_value(template.as_ref()));
    if !course::may_propagate(&subject, &metadata, &context.options, &mut NoTrace) {
        context.handle.settle(key);
        return Ok(Action::AwaitChange);
    }
    let pass = Pass {
        key,
        context,
        template,
        woken_lazily,
        preempts: None,
    };
    if key.namespace().is_some() {
        pass.run::<ResourceBinding>(&subject, &metadata).await
    } else {
        pass.run::<ClusterResourceBinding>(&subject, &metadata)
            .await
    }
}

pub(super) fn subject(key: &TemplateKey, template: &DynamicObject) -> Subject {
    Subject {
        api_version: key.gvk.api_version(),
        kind: key.gvk.kind.clone(),
        namespace: key.key.namespace.clone().unwrap_or_default(),
        name: key.key.name.clone(),
        labels: template.labels().clone(),
    }
}

/// The policies that can concern a template.
pub(super) struct Candidates {
    policies: Vec<Arc<PropagationPolicy>>,
    cluster_policies: Vec<Arc<ClusterPropagationPolicy>>,
}

impl Candidates {
    pub(super) fn read(world: &World, namespace: Option<&str>) -> Self {
        Self {
            policies: namespace.map_or_else(Vec::new, |namespace| {
                world
                    .policies
                    .by_index(world.policies_by_namespace, namespace)
            }),
            cluster_policies: world.cluster_policies.list(),
        }
    }

    pub(super) fn views(&self) -> (Vec<Policy<'_>>, Vec<Policy<'_>>) {
        let policies = self.policies.iter().map(|it| Policy::from(it.as_ref()));
        let cluster = self.cluster_policies.iter();
        (
            policies.collect(),
            cluster.map(|it| Policy::from(it.as_ref())).collect(),
        )
    }
}

struct Pass<'a> {
    key: &'a TemplateKey,
    context: &'a Context,
    template: Arc<DynamicObject>,
    woken_lazily: bool,
    /// The policy that the template is being taken from, until that is done.
    preempts: Option<PolicyRef>,
}

impl Pass<'_> {
    async fn run<B: Bindings>(
        mut self,
        subject: &Subject,
        metadata: &Value,
    ) -> Result<Action, Error> {
        let started = Instant::now();
        let world = &self.context.world;
        if read_claim(metadata).claimed().is_none() {
            self.context.handle.wait(self.key);
        }
        let candidates = Candidates::read(world, self.key.namespace());
        let (policies, cluster_policies) = candidates.views();
        let existing = B::store(world).get(&binding_key(self.key));
        let input = Input {
            subject,
            metadata,
            policies: &policies,
            cluster_policies: &cluster_policies,
            preemption: self.context.options.gates.preemption,
            bound: existing.as_ref().map(|binding| &binding.spec().resource),
        };
        match decide(&input, &mut NoTrace) {
            Decision::NoPolicy | Decision::Ignore | Decision::Wait { .. } => {
                Ok(Action::AwaitChange)
            }
            Decision::Release { claim, message, .. } => {
                tracing::info!(policy = %claim.policy, reason = message, "Releasing the template");
                claims::release(world, self.key, &claim).await?;
                Ok(Action::AwaitChange)
            }
            Decision::Apply { policy, newly } => {
                if newly {
                    self.context.metrics.matched(started.elapsed());
                }
                self.apply::<B>(policy).await
            }
            Decision::Preempt { policy, owner } => {
                self.preempts = Some(owner.reference.clone());
                let outcome = self.apply::<B>(policy).await;
                self.tell_preemption(policy, outcome.as_ref().err());
                outcome
            }
        }
    }

    /// Tells of a preemption that has not come about.
    fn tell_preemption(&mut self, taker: &Policy<'_>, error: Option<&Error>) {
        let (Some(owner), Some(error)) = (self.preempts.take(), error) else {
            return;
        };
        self.context.metrics.preempted(false);
        if !error.is_transient() {
            self.context.events.warning(
                reference_to(&self.template),
                reasons::PREEMPT_POLICY_FAILED,
                texts::preempt_policy_failed(&taker.reference, &owner, &error.text()),
            );
        }
    }

    async fn apply<B: Bindings>(&mut self, policy: &Policy<'_>) -> Result<Action, Error> {
        if !course::is_identified(policy, &mut NoTrace) {
            // The id wakes the templates that wait for it.
            return Ok(Action::AwaitChange);
        }
        let started = Instant::now();
        let mut outcome = self.claim_and_bind::<B>(policy).await;
        if matches!(outcome, Err(Error::OwnerGone(_)))
            && leftover::remove::<B>(&self.context.world, self.key).await?
        {
            outcome = Ok(Bound::BindingGoes);
        }
        self.context
            .metrics
            .applied(outcome.is_ok(), started.elapsed());
        let about = reference_to(&self.template);
        match outcome {
            Ok(Bound::Written(written)) => {
                self.tell_success(about, policy, written);
                Ok(Action::AwaitChange)
            }
            Ok(Bound::Deferred | Bound::Gone) => Ok(Action::AwaitChange),
            Ok(Bound::BindingGoes) => Ok(Action::Requeue(TERMINATING_BINDING)),
            Err(error) => {
                let failures = self.context.handle.queue().failures(self.key);
                if !error.is_transient() || failures >= PATIENCE {
                    self.tell_failure(about, policy, &error);
                }
                Err(error)
            }
        }
    }

    fn tell_success(&self, about: ObjectReference, policy: &Policy<'_>, written: Written) {
        let events = &self.context.events;
        // The first word after a failure is the one that is written. On the ordinary way none is: the scheduler's says as much.
        if written.changed {
            events.recovery(
                about.clone(),
                reasons::APPLY_POLICY_SUCCEED,
                texts::apply_policy_succeed(&policy.reference),
            );
        }
        if let Some((reason, text)) = written.interpreted {
            events.recovery(about, reason, text);
        }
    }

    fn tell_failure(&self, about: ObjectReference, policy: &Policy<'_>, error: &Error) {
        let events = &self.context.events;
        let specific = match error {
            Error::Replicas { .. } => Some(reasons::GET_REPLICAS_FAILED),
            Error::Components { .. } => Some(reasons::GET_COMPONENTS_FAILED),
            _ => None,
        };
        if let Some(reason) = specific {
            events.warning(about.clone(), reason, error.text());
        }
        let text = texts::apply_policy_failed(&policy.reference, &error.text());
        if matches!(error, Error::OverridesMissing { .. })
            && let Some(about) = self.policy_reference(policy)
        {
            events.warning(about, reasons::APPLY_POLICY_FAILED, text.clone());
        }
        events.warning(about, reasons::APPLY_POLICY_FAILED, text);
    }

    fn policy_reference(&self, policy: &Policy<'_>) -> Option<ObjectReference> {
        let world = &self.context.world;
        let of = &policy.reference;
        let key = object::Key::new(&of.namespace, &of.name);
        match of.kind {
            PolicyKind::PropagationPolicy => world
                .policies
                .get(&key)
                .map(|it| write::reference(it.as_ref())),
            PolicyKind::ClusterPropagationPolicy => world
                .cluster_policies
                .get(&key)
                .map(|it| write::reference(it.as_ref())),
        }
    }

    async fn claim_and_bind<B: Bindings>(&mut self, policy: &Policy<'_>) -> Result<Bound, Error> {
        let Context { world, options, .. } = self.context;
        let Ready {
            existing,
            template: mut value,
            deferral,
        } = course::ready::<B>(
            world,
            self.key,
            &self.template,
            policy,
            self.woken_lazily,
            &mut NoTrace,
        )?;
        let patch = merged(
            claim_patch(&value["metadata"], &policy.claim()),
            deferral.patch(&value),
        );
        if let Some(patch) = patch {
            let patched = patch_template(world, self.key, &patch, |source| Error::Claim {
                template: self.key.to_string(),
                source,
            });
            let Some(patched) = patched.await? else {
                return Ok(Bound::Gone);
            };
            tracing::info!(policy = %policy.reference, "Claimed the template");
            value = to_value(&patched);
            self.template = Arc::new(patched);
        }
        // Whatever comes of the binding, the template has changed hands.
        if let Some(owner) = self.preempts.take() {
            self.context.metrics.preempted(true);
            self.context.events.normal(
                reference_to(&self.template),
                reasons::PREEMPT_POLICY_SUCCEED,
                texts::preempt_policy_succeed(&policy.reference, &owner),
            );
        }
        self.context.handle.settle(self.key);
        if deferral.defers {
            return Ok(Bound::Deferred);
        }
        if existing
            .as_ref()
            .is_some_and(|binding| binding.meta().deletion_timestamp.is_some())
        {
            return Ok(Bound::BindingGoes);
        }

        let interpreted = upsert::interpret(world, options.gates, self.key, &value).await;
        if let Some(existing) = &existing {
            self.report(existing.as_ref(), &interpreted, options.gates)
                .await?;
        }
        let interpretation = interpreted?;
        let interpreted = if !interpretation.components.is_empty() {
            Some((
                reasons::GET_COMPONENTS_SUCCEED,
                texts::GET_COMPONENTS_SUCCEED,
            ))
        } else if interpretation.replicas.is_some() {
            Some((reasons::GET_REPLICAS_SUCCEED, texts::GET_REPLICAS_SUCCEED))
        } else {
            None
        };
        let schedule_priority = match &policy.spec.schedule_priority {
            Some(priority) if options.gates.schedule_priority && B::IS_NAMESPACED => {
                Some(upsert::schedule_priority(world, priority).await?)
            }
            _ => None,
        };
        let inputs = Inputs {
            template: &value,
            policy,
            interpretation,
            schedule_priority,
            gates: options.gates.of_binding(),
        };
        let mut written = upsert::upsert::<B>(world, self.key, inputs).await?;
        written.interpreted = interpreted.filter(|_| written.replicas_changed);
        Ok(Bound::Written(written))
    }
}

impl Pass<'_> {
    /// Says on a binding that is there already how its template was interpreted.
    async fn report<B: Bindings>(
        &self,
        binding: &B,
        interpreted: &Result<Interpretation, Error>,
        gates: Gates,
    ) -> Result<(), Error> {
        let outcomes = outcomes(interpreted, gates);
        let written = report::write(&self.context.world, binding, &outcomes).await;
        written.map_err(|source| Error::WriteBinding {
            binding: binding_key(self.key).to_string(),
            source,
        })
    }
}

/// The outcomes of the operations that were tried, or that would not have been tried any more: that an operation failed when it was
/// the one to ask is of no interest once another one is.
fn outcomes(interpreted: &Result<Interpretation, Error>, gates: Gates) -> Outcomes {
    let (components, replicas) = (
        InterpreterOperation::InterpretComponent,
        InterpreterOperation::InterpretReplica,
    );
    match interpreted {
        Ok(_) => Outcomes::from([(components, None), (replicas, None)]),
        Err(Error::Components { source, .. }) => {
            Outcomes::from([(components, Some(source.to_string()))])
        }
        Err(Error::Replicas { source, .. }) => {
            let mut outcomes = Outcomes::from([(replicas, Some(source.to_string()))]);
            if gates.multiple_pod_templates {
                // It was asked first, and nobody answered.
                outcomes.insert(components, None);
            }
            outcomes
        }
        Err(_) => Outcomes::new(),
    }
}

/// What became of a template's binding.
enum Bound {
    Written(Written),
    /// The policy is lazy and no user has touched the template.
    Deferred,
    /// The template is gone.
    Gone,
    /// The binding is being deleted, which takes a while; its end wakes the template.
    BindingGoes,
}

#[cfg(test)]
mod tests {
    use interpreter::{Cause, LayerName};

    use super::*;

    #[test]
    fn operations_that_were_not_tried_have_no_outcome() {
        let (components, replicas) = (
            InterpreterOperation::InterpretComponent,
            InterpreterOperation::InterpretReplica,
        );
        let source = |operation| {
            Box::new(interpreter::Error {
                operation,
                kind: "v1 Thing".to_owned(),
                layer: LayerName::Native,
                cause: Cause::NoHook,
            })
        };
        let template = || "t".to_owned();
        let failed = |operation| match operation {
            InterpreterOperation::InterpretComponent => Err(Error::Components {
                template: template(),
                source: source(operation),
            }),
            _ => Err(Error::Replicas {
                template: template(),
                source: source(operation),
            }),
        };
        for (name, result, with_components, expected) in [
            (
                "components fail",
                failed(components),
                true,
                &[(components, true)][..],
            ),
            (
                "replicas fail",
                failed(replicas),
                false,
                &[(replicas, true)],
            ),
            (
                "replicas fail after components",
                failed(replicas),
                true,
                &[(components, false), (replicas, true)],
            ),
            (
                "all is well",
                Ok(Interpretation::default()),
                false,
                &[(components, false), (replicas, false)],
            ),
        ] {
            let gates = Gates {
                multiple_pod_templates: with_components,
                ..Gates::default()
            };
            let found: Vec<_> = outcomes(&result, gates)
                .into_iter()
                .map(|(operation, error)| (operation, error.is_some()))
                .collect();
            let mut expected = expected.to_vec();
            expected.sort();
            assert_eq!(found, expected, "{name}");
        }
    }
}

//! What to do with a template, given its claim and all policies.

use crds::work::ObjectReference;
use serde_json::Value;
use trace::Sink;

use super::claim::{Claim, read_claim};
use super::preemption::{outranks, taker};
use super::select::{Level, Subject, choose};
use super::{Code, Policy, PolicyKind};
use crate::trace::Item;

/// Everything that the decision looks at. Policies come from synced stores: one that is missing there counts as deleted.
#[derive(Debug, Clone, Copy)]
pub struct Input<'p, 'a> {
    pub subject: &'p Subject,
    /// The template's `metadata`.
    pub metadata: &'p Value,
    /// The PropagationPolicies of the template's namespace, terminating ones included.
    pub policies: &'p [Policy<'a>],
    /// All ClusterPropagationPolicies, terminating ones included.
    pub cluster_policies: &'p [Policy<'a>],
    /// Gate `PropagationPolicyPreemption`.
    pub preemption: bool,
    /// `spec.resource` of the binding with the template's binding name, if there is one.
    pub bound: Option<&'p ObjectReference>,
}

/// What to do with a template.
#[derive(Debug, Clone)]
pub enum Decision<'p, 'a> {
    /// Claim the template for this policy, if that is not done yet, and build the binding.
    Apply {
        policy: &'p Policy<'a>,
        /// The template was unclaimed before.
        newly: bool,
    },
    /// Claim the template for this policy, which takes it from the one that has it, and build the binding.
    Preempt {
        policy: &'p Policy<'a>,
        owner: &'p Policy<'a>,
    },
    /// Take the claim from the binding and then from the template, which is matched afresh afterwards.
    Release {
        claim: Claim,
        code: Code,
        message: String,
    },
    /// The claiming policy is being deleted; it lets go of the template by itself.
    Wait { policy: &'p Policy<'a> },
    /// The object is another view of the bound template, served under another group or version.
    Ignore,
    /// No policy matches.
    NoPolicy,
}

/// Decides which policy has the template.
///
/// Records how every policy fares: against the one that has the template while the claim holds, else against the one that gets it.
pub fn decide<'p, 'a>(input: &Input<'p, 'a>, sink: &mut impl Sink<Item>) -> Decision<'p, 'a> {
    let all = || input.policies.iter().chain(input.cluster_policies);
    let Some(claim) = read_claim(input.metadata).resolve(all()) else {
        return match choose(input.subject, input.policies, input.cluster_policies, sink) {
            Some(policy) => Decision::Apply {
                policy,
                newly: true,
            },
            None => Decision::NoPolicy,
        };
    };
    let Some(owner) = all().find(|policy| policy.reference == claim.policy) else {
        let message = format!(
            "{} {} does not exist any more",
            claim.policy.kind.as_str(),
            claim.policy
        );
        sink.record(|| Item::Claim {
            policy: claim.policy.clone(),
            code: Some(Code::ClaimStale),
            message: message.clone(),
        });
        record_next(input, sink);
        return Decision::Release {
            claim,
            code: Code::ClaimStale,
            message,
        };
    };
    if owner.terminating {
        record_against(input, owner, None, sink);
        sink.record(|| Item::Claim {
            policy: claim.policy.clone(),
            code: Some(Code::PolicyTerminating),
            message: "the claiming policy is being deleted".to_owned(),
        });
        return Decision::Wait { policy: owner };
    }
    if owner.level(input.subject) > Level::None {
        let is_going = input.metadata.get("deletionTimestamp").is_some();
        let taker = if input.preemption && !is_going {
            taker(input.subject, owner, input.policies, input.cluster_policies)
        } else {
            None
        };
        record_against(input, owner, taker, sink);
        if let Some(policy) = taker {
            sink.record(|| Item::Claim {
                policy: claim.policy.clone(),
                code: Some(Code::Preempted),
                message: format!(
                    "{} {} takes the object",
                    policy.reference.kind.as_str(),
                    policy.reference
                ),
            });
            return Decision::Preempt { policy, owner };
        }
        sink.record(|| Item::Claim {
            policy: claim.policy.clone(),
            code: None,
            message: String::new(),
        });
        return Decision::Apply {
            policy: owner,
            newly: false,
        };
    }
    let is_other_view = input.bound.is_some_and(|bound| {
        (&bound.api_version, &bound.kind) != (&input.subject.api_version, &input.subject.kind)
    });
    if is_other_view {
        record_against(input, owner, None, sink);
        return Decision::Ignore;
    }
    let message = "the selectors of the claiming policy do not match any more".to_owned();
    sink.record(|| Item::Claim {
        policy: claim.policy.clone(),
        code: Some(Code::SelectorMismatch),
        message: message.clone(),
    });
    record_next(input, sink);
    Decision::Release {
        claim,
        code: Code::SelectorMismatch,
        message,
    }
}

/// Records how the policies fare that the template is matched with once it is released.
fn record_next(input: &Input<'_, '_>, sink: &mut impl Sink<Item>) {
    if sink.is_recording() {
        choose(input.subject, input.policies, input.cluster_policies, sink);
    }
}

/// Records why each policy has, or has not, the claimed template.
fn record_against(
    input: &Input<'_, '_>,
    owner: &Policy<'_>,
    taker: Option<&Policy<'_>>,
    sink: &mut impl Sink<Item>,
) {
    if sink.is_recording() {
        for policy in input.policies.iter().chain(input.cluster_policies) {
            record(input.subject, policy, owner, taker, sink);
        }
    }
}

fn record(
    subject: &Subject,
    policy: &Policy<'_>,
    owner: &Policy<'_>,
    taker: Option<&Policy<'_>>,
    sink: &mut impl Sink<Item>,
) {
    let level = policy.level(subject);
    let is_taker = taker.is_some_and(|taker| taker.reference == policy.reference);
    let (code, message) = if is_taker {
        (None, format!("takes the object from {}", owner.reference))
    } else if policy.reference == owner.reference {
        match taker {
            Some(taker) => (
                Some(Code::Preempted),
                format!("{} takes the object", taker.reference),
            ),
            None => (None, "claims the object".to_owned()),
        }
    } else if level == Level::None {
        (Some(Code::SelectorMismatch), String::new())
    } else if policy.terminating {
        (
            Some(Code::PolicyTerminating),
            "the policy is being deleted".to_owned(),
        )
    } else if outranks(policy, owner) && taker.is_none() {
        (
            Some(Code::NoPreemption),
            format!(
                "{} claimed the object first, and {}",
                owner.reference,
                obstacle(policy, level)
            ),
        )
    } else if policy.reference.kind == PolicyKind::ClusterPropagationPolicy
        && owner.reference.kind == PolicyKind::PropagationPolicy
    {
        (
            Some(Code::ClusterPolicyLoses),
            "a namespaced policy wins over cluster policies".to_owned(),
        )
    } else {
        (
            Some(Code::ClaimKept),
            format!("{} claimed the object first", owner.reference),
        )
    };
    sink.record(|| Item::Policy {
        policy: policy.reference.clone(),
        matched: level > Level::None,
        level,
        priority: policy.priority(),
        used: code.is_none(),
        code,
        message,
    });
}

/// What keeps a policy that outranks the owner from taking the object.
fn obstacle(policy: &Policy<'_>, level: Level) -> &'static str {
    if !policy.preempts() {
        "this policy does not preempt"
    } else if level < Level::Name {
        "this policy preempts only objects that it selects by name"
    } else {
        "preemption is switched off, or this policy has no permanent id yet"
    }
}

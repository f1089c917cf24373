//! Preemption: a policy takes templates that another one has claimed.

use super::claim::{Claim, ClaimState};
use super::{Policy, PolicyKind, PolicyRef};

/// Whether the first policy may take templates from the second, if it preempts at all.
pub fn outranks(policy: &Policy<'_>, owner: &Policy<'_>) -> bool {
    match (policy.reference.kind, owner.reference.kind) {
        (PolicyKind::PropagationPolicy, PolicyKind::ClusterPropagationPolicy) => true,
        (PolicyKind::ClusterPropagationPolicy, PolicyKind::PropagationPolicy) => false,
        _ => policy.reference != owner.reference && policy.priority() > owner.priority(),
    }
}

/// What a preempting policy does with a template that one of its selectors names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preemption {
    /// Claim it; the claim taken over is for the event.
    Take { from: Claim },
    /// Nothing to take: unclaimed, terminating, already owned, or owned by a policy that it does not outrank.
    Leave,
    /// The owner is not known, so nothing can be compared.
    UnknownOwner { owner: PolicyRef },
}

/// Decides about one template. `owner` is the policy that the claim names, if it exists.
pub fn preempt(
    policy: &Policy<'_>,
    claim: &ClaimState,
    owner: Option<&Policy<'_>>,
    terminating: bool,
) -> Preemption {
    let ClaimState::Claimed(claim) = claim else {
        return Preemption::Leave;
    };
    if terminating || !policy.preempts() || policy.terminating || claim.policy == policy.reference {
        return Preemption::Leave;
    }
    let any_cluster_policy = policy.reference.kind == PolicyKind::PropagationPolicy
        && claim.policy.kind == PolicyKind::ClusterPropagationPolicy;
    match owner {
        // The priority of a cluster policy does not matter to a namespaced one, so it need not be known.
        _ if any_cluster_policy => Preemption::Take {
            from: claim.clone(),
        },
        Some(owner) if outranks(policy, owner) => Preemption::Take {
            from: claim.clone(),
        },
        Some(_) => Preemption::Leave,
        None => Preemption::UnknownOwner {
            owner: claim.policy.clone(),
        },
    }
}

/// The policies that get a chance to preempt because this one's priority went down, highest priority first.
///
/// `others` are policies of the same kind, for a PropagationPolicy of the same namespace.
pub fn after_lowering(
    policy: &PolicyRef,
    old: i32,
    new: i32,
    others: &[Policy<'_>],
) -> Vec<PolicyRef> {
    let mut chances: Vec<_> = others
        .iter()
        .filter(|other| {
            other.reference.kind == policy.kind && other.reference.namespace == policy.namespace
        })
        .filter(|other| other.preempts() && other.priority() > new && other.priority() < old)
        .collect();
    chances.sort_by(|a, b| {
        b.priority()
            .cmp(&a.priority())
            .then_with(|| a.reference.cmp(&b.reference))
    });
    chances
        .into_iter()
        .map(|other| other.reference.clone())
        .collect()
}

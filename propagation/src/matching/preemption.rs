//! Preemption: a policy takes templates that another one has claimed.

use super::select::{Level, Subject};
use super::{Policy, PolicyKind};

/// Whether the first policy may take templates from the second, if it preempts at all.
pub(super) fn outranks(policy: &Policy<'_>, owner: &Policy<'_>) -> bool {
    match (policy.reference.kind, owner.reference.kind) {
        (PolicyKind::PropagationPolicy, PolicyKind::ClusterPropagationPolicy) => true,
        (PolicyKind::ClusterPropagationPolicy, PolicyKind::PropagationPolicy) => false,
        _ => policy.reference != owner.reference && policy.priority() > owner.priority(),
    }
}

/// The best policy that takes the object from its owner: one that preempts, outranks the owner and selects the object by its name.
///
/// Whether a priority went up or down does not matter: whoever is looked at with these priorities takes the object.
pub(super) fn taker<'p, 'a>(
    subject: &Subject,
    owner: &Policy<'_>,
    policies: &'p [Policy<'a>],
    cluster_policies: &'p [Policy<'a>],
) -> Option<&'p Policy<'a>> {
    let takes = |policy: &&Policy<'_>| {
        policy.preempts()
            && !policy.terminating
            && !policy.id.is_empty()
            && outranks(policy, owner)
            && policy.level(subject) == Level::Name
    };
    let best = |policies: &'p [Policy<'a>]| {
        policies.iter().filter(takes).max_by(|a, b| {
            let by_name = || b.reference.name.cmp(&a.reference.name);
            a.priority().cmp(&b.priority()).then_with(by_name)
        })
    };
    best(policies).or_else(|| best(cluster_policies))
}

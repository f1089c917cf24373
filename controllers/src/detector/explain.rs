//! Which policy has a template, and why no other.

use crds::object::{Gvk, Key};
use kube::api::DynamicObject;
use propagation::{
    matching::{Decision, Input, choose, decide},
    trace::Item,
};
use serde::Serialize;
use trace::Recorder;

use super::{TemplateKey, claims::metadata_value, pass::Candidates};
use crate::world::{Bindings, World};

/// How the matching of a template comes about, with what the stores hold now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `Apply`, `Release`, `Wait`, `Ignore` or `NoPolicy`.
    decision: &'static str,
    /// What becomes of the claim that the template carries.
    claim: Vec<Item>,
    /// How every policy that could concern the template fares, claim or no claim.
    candidates: Vec<Item>,
}

pub(crate) fn explain<B: Bindings>(
    world: &World,
    gvk: &Gvk,
    key: &Key,
    template: &DynamicObject,
) -> Explanation {
    let key = TemplateKey {
        gvk: gvk.clone(),
        key: key.clone(),
    };
    let subject = super::pass::subject(&key, template);
    let metadata = metadata_value(template);
    let found = Candidates::read(world, key.namespace());
    let (policies, cluster_policies) = found.views();
    let existing = B::store(world).get(&super::claims::binding_key(&key));
    let input = Input {
        subject: &subject,
        metadata: &metadata,
        policies: &policies,
        cluster_policies: &cluster_policies,
        bound: existing.as_ref().map(|binding| &binding.spec().resource),
    };
    let mut claim = Recorder::default();
    let decision = match decide(&input, &mut claim) {
        Decision::Apply { .. } => "Apply",
        Decision::Release { .. } => "Release",
        Decision::Wait { .. } => "Wait",
        Decision::Ignore => "Ignore",
        Decision::NoPolicy => "NoPolicy",
    };
    let mut candidates = Recorder::default();
    choose(&subject, &policies, &cluster_policies, &mut candidates);
    claim
        .items
        .retain(|item| matches!(item, Item::Claim { .. }));
    Explanation {
        decision,
        claim: claim.items,
        candidates: candidates.items,
    }
}

//! Which policy has a template, why no other, and what keeps that one from acting.

use crds::object::{Gvk, Key};
use kube::api::DynamicObject;
use propagation::{
    matching::{Decision, Input, decide},
    trace::Item,
};
use serde::Serialize;
use trace::Recorder;

use super::{Handle, Options, TemplateKey, claims::metadata_value, course, pass::Candidates};
use crate::world::{Bindings, World};

/// What the detector of this process goes by, for whoever asks how it decides.
#[derive(Debug)]
pub struct Insight {
    pub(super) options: Options,
    pub(super) handle: Handle,
}

/// How the matching of a template comes about, with what the stores hold now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `Apply`, `Preempt`, `Release`, `Wait`, `Ignore`, `NoPolicy` or `Skip`.
    decision: &'static str,
    /// Whether the object is one that is propagated.
    template: Vec<Item>,
    /// What becomes of the claim that the template carries.
    claim: Vec<Item>,
    /// How every policy that could concern the template fares: against the one that has it, or against the one that gets it.
    candidates: Vec<Item>,
    /// What keeps the policy that has the template from building its binding.
    obstacles: Vec<Item>,
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
    let defaults;
    let (options, woken_lazily) = if let Some(Insight { options, handle }) = world.detector.get() {
        (options, handle.is_woken_lazily(&key))
    } else {
        // Another process runs the detector.
        defaults = Options::default();
        (&defaults, false)
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
        preemption: options.gates.preemption,
        bound: existing.as_ref().map(|binding| &binding.spec().resource),
    };
    let mut recorder = Recorder::default();
    let decision = if course::may_propagate(&subject, &metadata, options, &mut recorder) {
        let (decision, policy) = match decide(&input, &mut recorder) {
            Decision::Apply { policy, .. } => ("Apply", Some(policy)),
            Decision::Preempt { policy, .. } => ("Preempt", Some(policy)),
            Decision::Release { .. } => ("Release", None),
            Decision::Wait { .. } => ("Wait", None),
            Decision::Ignore => ("Ignore", None),
            Decision::NoPolicy => ("NoPolicy", None),
        };
        if let Some(policy) = policy.filter(|it| course::is_identified(it, &mut recorder)) {
            // What fails is in the record.
            let _ready =
                course::ready::<B>(world, &key, template, policy, woken_lazily, &mut recorder);
        }
        decision
    } else {
        "Skip"
    };
    let mut explanation = Explanation {
        decision,
        template: Vec::new(),
        claim: Vec::new(),
        candidates: Vec::new(),
        obstacles: Vec::new(),
    };
    for item in recorder.items {
        let part = match item {
            Item::Template { .. } => &mut explanation.template,
            Item::Claim { .. } => &mut explanation.claim,
            Item::Policy { .. } => &mut explanation.candidates,
            _ => &mut explanation.obstacles,
        };
        part.push(item);
    }
    explanation
}

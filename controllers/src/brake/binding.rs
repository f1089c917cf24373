//! Works that a binding does not want any more, or that go with it.

use std::{collections::BTreeSet, sync::Arc};

use crds::{
    conditions::{self, status::TRUE},
    names,
    object::Key,
    work::{Binding, Work},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use propagation::{
    brake::{
        self, Doubt, HeldBack, Hold, RELEASE_HOLD, REMOVAL_HELD, Reason, Release, Scope, Verdict,
    },
    matching::{Claim, ClaimState, read_claim},
    render::{STANDS_IN, expected_clusters, is_answered},
};
use runtime::{ApiError, events::Source};
use serde_json::Value;

use super::{HELD, Holder, INVALID_RELEASE, Question, tell};
use crate::{
    world::{Bindings, World, template_of, to_value},
    write,
};

/// What may be removed of the Works that a binding does not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orphans {
    /// What the brake lets go.
    Go,
    /// The scheduler has found no cluster at all: only what somebody lets go.
    LastCopies,
    /// Nothing before the scheduler has answered.
    Wait,
}

/// Finds out what the scheduler's answer, or its absence, allows.
pub(crate) fn orphans<B: Binding>(binding: &B) -> Orphans {
    let is_answered = is_answered(binding);
    let is_nowhere =
        binding.spec().placement.is_some() && expected_clusters(binding.spec()).is_empty();
    let was_decided = binding.status().is_some_and(|status| {
        status.last_scheduled_time.is_some()
            || conditions::find(&status.conditions, conditions::binding::SCHEDULED).is_some()
    });
    match (is_nowhere, is_answered) {
        // A binding made anew has no clusters yet.
        (true, _) if !was_decided => Orphans::Wait,
        (true, false) => Orphans::LastCopies,
        (_, true) => Orphans::Go,
        (false, false) => Orphans::Wait,
    }
}

/// What one pass over a binding removes, and what it may not.
pub(crate) struct BindingPass<'a, B> {
    world: &'a World,
    binding: &'a B,
    /// Whether what goes counts for the policy that the binding was made for.
    by_policy: bool,
    doubt: Option<Doubt>,
    held: Vec<HeldBack>,
}

impl<'a, B: Bindings> BindingPass<'a, B> {
    /// A pass that removes what the binding does not expect any more.
    pub(crate) fn orphans(world: &'a World, binding: &'a B, which: Orphans) -> Self {
        Self {
            world,
            binding,
            by_policy: true,
            doubt: (which == Orphans::LastCopies).then_some(Doubt::LastCopy),
            held: Vec::new(),
        }
    }

    /// A pass that removes everything, because the binding goes. That is the template's end and no decision of its policy.
    pub(crate) fn everything(world: &'a World, binding: &'a B, kind_is_gone: bool) -> Self {
        Self {
            world,
            binding,
            by_policy: false,
            doubt: kind_is_gone.then_some(Doubt::KindGone),
            held: Vec::new(),
        }
    }

    /// Whether the Work may go; remembers it otherwise.
    pub(crate) async fn may_remove(&mut self, work: &Work) -> bool {
        let Some(cluster) = touched(self.world, work) else {
            return true;
        };
        let mut scopes = vec![Scope::Cluster(cluster.to_owned())];
        let claim = claim_of(self.binding).filter(|_| self.by_policy);
        scopes.extend(claim.map(|claim| Scope::Policy(claim.policy)));
        if self.by_policy {
            // A hold does not end because its policy goes, or another one takes over.
            let holding = self
                .world
                .brake
                .policies_holding(&Holder::of(self.binding), cluster);
            scopes.extend(
                holding
                    .into_iter()
                    .filter(|it| !scopes.contains(it))
                    .collect::<Vec<_>>(),
            );
        }
        let doubt = match self.doubt {
            Some(doubt) => Some(doubt),
            None => self.is_last_copy().await,
        };
        let question = Question {
            object: &Key::of_meta(&work.metadata).to_string(),
            scopes: &scopes,
            doubt,
            annotations: self.binding.annotations(),
        };
        match self.world.brake.ask(self.world, &question) {
            Verdict::Proceed => true,
            Verdict::Hold(hold) => {
                self.held.push(HeldBack::new(cluster, hold));
                false
            }
        }
    }

    async fn is_last_copy(&self) -> Option<Doubt> {
        let spec = self.binding.spec();
        if self.binding.meta().deletion_timestamp.is_some()
            // Without a placement it only follows others, and they do not need it any more.
            || spec.placement.is_none()
            || !expected_clusters(spec).is_empty()
        {
            return None;
        }
        let (gvk, key) = template_of(&spec.resource);
        let store = self.world.templates.store(&gvk);
        let template = store.as_ref().and_then(|store| store.get(&key));
        let Some(template) = template else {
            // Absence says something only of a kind that is watched.
            let is_known = store.is_some_and(|store| store.is_synced());
            return (!is_known).then_some(Doubt::LastCopy);
        };
        let is_wanted = template.metadata.uid == spec.resource.uid
            && template.metadata.deletion_timestamp.is_none();
        let is_missed = is_wanted && !asks_for_nothing(self.world, &to_value(&template)).await;
        is_missed.then_some(Doubt::LastCopy)
    }

    /// Whether something stays that should have gone.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Shows what was held back, or that nothing is any more.
    pub(crate) async fn finish(self, events: &Source) -> Result<(), ApiError> {
        let (world, binding) = (self.world, self.binding);
        let holder = Holder::of(binding);
        let wanted = brake::held(&self.held, &holder.release_argument());
        let list = binding.status().map(|status| &status.conditions[..]);
        let present = list.and_then(|list| conditions::find(list, REMOVAL_HELD));
        let is_shown = match (present, &wanted) {
            (None, None) => true,
            (Some(present), Some(wanted)) => says_the_same(present, wanted),
            _ => false,
        };
        if !is_shown {
            let mut shown = binding.clone();
            let list = &mut shown.status_mut().conditions;
            match wanted.clone() {
                Some(wanted) => {
                    conditions::set_condition(list, wanted, &Time(jiff::Timestamp::now()));
                }
                None => {
                    conditions::remove_condition(list, REMOVAL_HELD);
                }
            }
            let api = B::api(world, binding.namespace().as_deref());
            write::update_status(&api, B::store(world), binding, &shown).await?;
        }
        let release = binding.annotations().get(RELEASE_HOLD);
        let now = Time(jiff::Timestamp::now());
        if let Release::Invalid(message) = brake::release(release.map(String::as_str), &now)
            && wanted.is_some()
        {
            events.warning(write::reference(binding), INVALID_RELEASE, message);
        }
        // Told only after it was written, so that a restart between the two repeats both.
        let news = world.brake.settle(world, &holder, self.held);
        if let Some(wanted) = wanted.filter(|_| !is_shown && !news.is_empty()) {
            events.warning(write::reference(binding), HELD, wanted.message);
        }
        let policies: BTreeSet<(&Scope, &str)> = news
            .iter()
            .filter_map(|item| Some((item.hold.scope.as_ref()?, item.hold.message.as_str())))
            .collect();
        for (scope, message) in policies {
            // The condition of a cluster comes with an event of its own.
            if matches!(scope, Scope::Policy(_)) {
                tell(world, scope, HELD, message);
            }
        }
        Ok(())
    }
}

/// The cluster in which the removal of a Work takes an object away; `None` if it takes none.
pub(super) fn touched<'w>(world: &World, work: &'w Work) -> Option<&'w str> {
    let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
    let name = names::cluster_of_execution_namespace(namespace).ok()?;
    let cluster = world.clusters.get(&Key::cluster_scoped(name))?;
    let was_applied = work.status.as_ref().is_some_and(|status| {
        !status.manifest_statuses.is_empty()
            || conditions::is_true(&status.conditions, conditions::work::APPLIED)
    }) || work.annotations().contains_key(STANDS_IN);
    let touches = was_applied
        // Leaving the fleet is asked about as a whole.
        && cluster.metadata.deletion_timestamp.is_none()
        && work.spec.preserve_resources_on_deletion != Some(true);
    touches.then_some(name)
}

pub(super) fn claim_of<B: Binding>(binding: &B) -> Option<Claim> {
    let metadata = serde_json::to_value(binding.meta()).unwrap_or_default();
    match read_claim(&metadata) {
        ClaimState::Claimed(claim) => Some(claim),
        _ => None,
    }
}

/// A workload that was scaled to nothing is nowhere on purpose.
async fn asks_for_nothing(world: &World, template: &Value) -> bool {
    let asked = world.interpreter.replicas(template).await;
    matches!(asked, Ok(Some((0, _))))
}

fn says_the_same(present: &Condition, wanted: &Condition) -> bool {
    present.status == wanted.status
        && present.reason == wanted.reason
        && present.message == wanted.message
}

/// What the conditions of bindings say is held back.
pub(super) fn held<B: Bindings>(world: &World) -> Vec<(Holder, Vec<HeldBack>)> {
    let mut shown = Vec::new();
    B::store(world).each(|binding| {
        let list = binding.status().map(|status| &status.conditions[..]);
        let condition = list.and_then(|list| conditions::find(list, REMOVAL_HELD));
        if condition.is_some_and(|condition| condition.status == TRUE) {
            shown.push(Arc::clone(binding));
        }
    });
    let held = shown.iter().map(|binding| held_by(world, &**binding));
    held.flatten().collect()
}

fn held_by<B: Bindings>(world: &World, binding: &B) -> Option<(Holder, Vec<HeldBack>)> {
    let list = &binding.status()?.conditions;
    let condition = conditions::find(list, REMOVAL_HELD)?;
    let reason = Reason::of(condition)?;
    let told = brake::read_held(condition);
    let expected = expected_clusters(binding.spec());
    let is_leaving = binding.meta().deletion_timestamp.is_some();
    let works = world
        .works
        .by_index(world.works_by_binding, binding.permanent_id()?);
    let policy = claim_of(binding).map(|claim| claim.policy);
    let held: Vec<HeldBack> = works
        .iter()
        .filter(|work| work.metadata.deletion_timestamp.is_none())
        .filter_map(|work| touched(world, work))
        .filter(|cluster| is_leaving || !expected.contains(*cluster))
        .map(|cluster| {
            let told = told.iter().find(|item| item.cluster == cluster);
            // Where the text does not name the cluster, what the condition says first is taken for it.
            told.cloned().unwrap_or_else(|| {
                let scope = match reason {
                    Reason::ClusterLimit => Some(Scope::Cluster(cluster.to_owned())),
                    Reason::PolicyLimit => policy.clone().map(Scope::Policy),
                    Reason::LastCopy | Reason::KindGone => None,
                };
                let hold = Hold {
                    reason,
                    scope,
                    threshold: None,
                    message: condition.message.clone(),
                };
                HeldBack::new(cluster, hold)
            })
        })
        .collect();
    (!held.is_empty()).then(|| (Holder::of(binding), held))
}

#[cfg(test)]
mod tests {
    use crds::work::ResourceBinding;
    use serde_json::json;

    use super::*;

    #[test]
    fn orphans_wait_for_the_scheduler() {
        let binding = |clusters: serde_json::Value, status: serde_json::Value| -> ResourceBinding {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "b", "namespace": "n", "generation": 3,
                    "labels": {crds::keys::PROPAGATION_POLICY_PERMANENT_ID: "id"},
                },
                "spec": {
                    "resource": {"apiVersion": "v1", "kind": "ConfigMap", "name": "c"},
                    "placement": {}, "clusters": clusters,
                },
                "status": status,
            }))
            .unwrap()
        };
        let somewhere = json!([{"name": "m1"}]);
        let failed = json!({"schedulerObservedGeneration": 2, "conditions": [{
            "type": "Scheduled", "status": "False", "reason": "NoClusterFit", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]});
        let answered = json!({
            "schedulerObservedGeneration": 3, "lastScheduledTime": "2026-01-01T00:00:00Z",
        });
        for (name, binding, expected) in [
            (
                "answered",
                binding(somewhere.clone(), answered.clone()),
                Orphans::Go,
            ),
            ("not yet", binding(somewhere, failed.clone()), Orphans::Wait),
            (
                "nowhere on purpose",
                binding(json!([]), answered),
                Orphans::Go,
            ),
            (
                "nowhere fits",
                binding(json!([]), failed),
                Orphans::LastCopies,
            ),
            ("made anew", binding(json!([]), json!({})), Orphans::Wait),
        ] {
            assert_eq!(orphans(&binding), expected, "{name}");
        }
    }
}

//! Works that a binding does not want any more, or that go with it.

use std::{collections::BTreeSet, sync::Arc};

use crds::{
    conditions::{self, status::TRUE},
    names,
    object::{Gvk, Key},
    work::{Binding, Work},
};
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{Api, ResourceExt};
use propagation::{
    brake::{
        self, Doubt, HeldBack, Hold, RELEASE_HOLD, REMOVAL_HELD, Reason, Release, Scope, Verdict,
    },
    matching::{Claim, ClaimState, read_claim},
    render::{expected_clusters, is_answered},
};
use runtime::{ApiError, error::call, events::Source};
use serde_json::Value;

use super::{HELD, Holder, INVALID_RELEASE, Question, tell};
use crate::{
    world::{Bindings, World, binding_of, dynamic_api, template_of, to_value},
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
    });
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

/// Why a binding is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminating {
    /// Its template is gone, or no policy has it any more.
    Meant,
    /// The template's kind is not served any more, and took the template along.
    KindGone,
    /// Somebody deleted the binding, while template and policy are as they were: it is made anew at once, and what it had delivered
    /// stays.
    ByHand,
}

/// Finds out why a binding is going. Asks the API server when the store still has the template, because the news of its deletion
/// may be on their way.
///
/// Where the kind vanished, a template that was made again under the old name says that its objects are meant after all.
pub(crate) async fn terminating<B: Bindings>(
    world: &World,
    binding: &B,
    works: &[Arc<Work>],
) -> Result<Terminating, ApiError> {
    let (gvk, key) = template_of(&binding.spec().resource);
    let Some(resource) = world.mapper.resolve(&gvk) else {
        return Ok(Terminating::KindGone);
    };
    let definition = definition(world, binding, &gvk, &resource.api.plural).await?;
    if definition == Definition::Gone {
        return Ok(Terminating::KindGone);
    }
    let is_stored = world
        .templates
        .store(&gvk)
        .is_none_or(|store| !store.is_synced() || store.get(&key).is_some());
    if !is_stored && definition == Definition::Stands {
        return Ok(Terminating::Meant);
    }
    let api = dynamic_api(world.client(), &resource, key.namespace.as_deref());
    let template = match call(api.get(&key.name)).await {
        Ok(template) => template,
        Err(error) if error.is_not_found() => {
            // Only of an object that it knows the kind of does the server say its name.
            let is_of_object = error
                .status()
                .and_then(|status| status.details.as_ref())
                .is_some_and(|details| !details.name.is_empty());
            return Ok(if is_of_object && definition != Definition::Later {
                Terminating::Meant
            } else {
                Terminating::KindGone
            });
        }
        Err(error) => return Err(error),
    };
    let metadata = serde_json::to_value(&template.metadata).unwrap_or_default();
    let facts = Found {
        definition,
        is_held: is_held_for_kind(binding),
        is_same: template.metadata.uid == binding.spec().resource.uid,
        is_alive: template.metadata.deletion_timestamp.is_none(),
        is_claimed: matches!(read_claim(&metadata), ClaimState::Claimed(_)),
        // The next binding finds Works by their names; one that an override renamed would be forgotten in its member.
        has_works: works.iter().all(|work| {
            let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
            work.name_any() == work_name(&gvk.kind, &key)
                && names::cluster_of_execution_namespace(namespace).is_ok()
        }),
    };
    Ok(facts.judge())
}

/// Whether the binding's objects wait because the kind was gone.
fn is_held_for_kind<B: Binding>(binding: &B) -> bool {
    let list = binding.status().map(|status| &status.conditions[..]);
    list.and_then(|list| conditions::find(list, REMOVAL_HELD))
        .is_some_and(|condition| {
            brake::read_held(condition)
                .iter()
                .any(|item| item.hold.reason == Reason::KindGone)
        })
}

/// What was found under the name of a going binding's template.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not depend on each other"
)]
struct Found {
    definition: Definition,
    /// The binding's objects are held because the kind was gone.
    is_held: bool,
    /// It is the object that the binding was made for, not a later one of its name.
    is_same: bool,
    is_alive: bool,
    is_claimed: bool,
    has_works: bool,
}

impl Found {
    fn judge(self) -> Terminating {
        let is_doubtful = self.definition == Definition::Later || self.is_held;
        // A user who deletes a template and makes another one of its name means both, unless the kind took the first one along.
        let is_wanted = self.is_alive && (self.is_same || is_doubtful);
        // A later one is claimed only when this binding has made way for its own.
        let has_policy = self.is_claimed || !self.is_same;
        if is_wanted && has_policy && self.has_works {
            Terminating::ByHand
        } else if is_doubtful && !self.is_same {
            // Only somebody who lets the objects go can tell.
            Terminating::KindGone
        } else {
            Terminating::Meant
        }
    }
}

/// What the control plane knows of a kind's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Definition {
    /// The kind is Kubernetes' own, or a definition serves it that is older than the binding.
    Stands,
    /// The definition goes and takes the objects along.
    Gone,
    /// The definition is younger than the binding: an earlier one took the objects along.
    Later,
    /// There is none: an aggregated API server has the kind, or the definition went and discovery has not noticed.
    None,
}

/// Asks the API server, because the news that a template, its kind, and the kind's definition went come over watches of their own,
/// in any order.
async fn definition<B: Bindings>(
    world: &World,
    binding: &B,
    gvk: &Gvk,
    plural: &str,
) -> Result<Definition, ApiError> {
    if is_of_kubernetes(&gvk.group) {
        return Ok(Definition::Stands);
    }
    let api: Api<CustomResourceDefinition> = Api::all(world.client().clone());
    match call(api.get_metadata(&format!("{plural}.{}", gvk.group))).await {
        Ok(found) => {
            let (made, bound) = (
                &found.metadata.creation_timestamp,
                &binding.meta().creation_timestamp,
            );
            let is_later = matches!((made, bound), (Some(made), Some(bound)) if made > bound);
            Ok(if found.metadata.deletion_timestamp.is_some() {
                Definition::Gone
            } else if is_later {
                Definition::Later
            } else {
                Definition::Stands
            })
        }
        Err(error) if error.is_not_found() => Ok(Definition::None),
        Err(error) => Err(error),
    }
}

/// Whether the API server has the group's kinds built in. No definition may use the groups without a dot; of the others there is a
/// fixed list.
fn is_of_kubernetes(group: &str) -> bool {
    const DOTTED: [&str; 12] = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "networking.k8s.io",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    !group.contains('.') || DOTTED.contains(&group)
}

fn work_name(kind: &str, key: &Key) -> String {
    names::work_name(&key.name, kind, key.namespace.as_deref())
}

/// The permanent id that Works of a former binding of this template still carry, so that the next one finds them.
pub(crate) fn leftover_id<B: Bindings>(
    world: &World,
    binding: &Key,
    kind: &str,
    template: &Key,
) -> Option<String> {
    let name = work_name(kind, template);
    world.clusters.keys().into_iter().find_map(|cluster| {
        let namespace = names::execution_namespace(&cluster.name);
        let work = world.works.get(&Key::new(&namespace, &name))?;
        let is_left = work.metadata.deletion_timestamp.is_none()
            && binding_of::<B>(&work).as_ref() == Some(binding);
        work.labels()
            .get(B::PERMANENT_ID)
            .filter(|_| is_left)
            .cloned()
    })
}

#[cfg(test)]
mod tests {
    use crds::work::ResourceBinding;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_made_again_takes_over_only_what_its_kind_took_along() {
        let same = Found {
            definition: Definition::Stands,
            is_held: false,
            is_same: true,
            is_alive: true,
            is_claimed: true,
            has_works: true,
        };
        let another = Found {
            is_same: false,
            ..same
        };
        let later = Found {
            definition: Definition::Later,
            ..another
        };
        for (name, found, expected) in [
            ("deleted by hand", same, Terminating::ByHand),
            (
                "the template goes too",
                Found {
                    is_alive: false,
                    ..same
                },
                Terminating::Meant,
            ),
            (
                "no policy has it any more",
                Found {
                    is_claimed: false,
                    ..same
                },
                Terminating::Meant,
            ),
            ("deleted and made again", another, Terminating::Meant),
            ("kind and template made again", later, Terminating::ByHand),
            (
                "made again, not claimed yet",
                Found {
                    is_claimed: false,
                    ..later
                },
                Terminating::ByHand,
            ),
            (
                "renamed by an override",
                Found {
                    has_works: false,
                    ..later
                },
                Terminating::KindGone,
            ),
            (
                "held while the kind was away",
                Found {
                    is_held: true,
                    ..another
                },
                Terminating::ByHand,
            ),
        ] {
            assert_eq!(found.judge(), expected, "{name}");
        }
    }

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

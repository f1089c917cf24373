//! Works that are deleted by somebody else than their binding.

use crds::{
    conditions::{self, status::TRUE},
    names,
    object::{Gvk, Key},
    work::{ClusterResourceBinding, ResourceBinding, Work},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt, api::DynamicObject};
use propagation::{
    brake::{self, HeldBack, Hold, RELEASE_HOLD, REMOVAL_HELD, Reason, Release, Scope, Verdict},
    render::expected_clusters,
};
use runtime::{ApiError, events::Source};

use super::{HELD, Holder, INVALID_RELEASE, Question, binding::touched};
use crate::{
    world::{Bindings, World, binding_of, template_of, to_value},
    write,
};

/// What becomes of the objects of a Work that is being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They go.
    Remove,
    /// They stay: whoever wrote the Work still wants it, and writes it again.
    Keep,
    /// They stay until somebody lets them go, and so does the Work.
    Held,
    /// They stay, and so does the Work, until it is known whether its template is there.
    Unknown,
}

/// Decides about a terminating Work; `is_leaving` if its cluster leaves the fleet, which was decided about as a whole.
pub(crate) async fn fate(
    world: &World,
    events: &Source,
    work: &Work,
    is_leaving: bool,
) -> Result<Fate, ApiError> {
    let holder = Holder::Work(Key::of_meta(&work.metadata));
    let wanted = if is_leaving {
        Wanted::No
    } else {
        wanted(world, work).await?
    };
    let held = match wanted {
        // Its binding has asked already.
        Wanted::No if !is_leaving && !is_of_binding(work) => ask(world, work),
        _ => None,
    };
    let fate = match (wanted, &held) {
        (Wanted::Yes, _) => Fate::Keep,
        (Wanted::Unknown, _) => Fate::Unknown,
        (Wanted::No, None) => Fate::Remove,
        (Wanted::No, Some(_)) => Fate::Held,
    };
    if let Some(held) = &held {
        show(world, events, work, held).await?;
    }
    world
        .brake
        .settle(world, &holder, held.into_iter().collect());
    Ok(fate)
}

/// Asks about the removal of the objects of a Work; returns what is held back.
fn ask(world: &World, work: &Work) -> Option<HeldBack> {
    let cluster = touched(world, work)?;
    let question = Question {
        object: &Key::of_meta(&work.metadata).to_string(),
        scopes: &[Scope::Cluster(cluster.to_owned())],
        doubt: None,
        annotations: work.annotations(),
    };
    match world.brake.ask(world, &question) {
        Verdict::Proceed => None,
        Verdict::Hold(hold) => Some(HeldBack::new(cluster, hold)),
    }
}

fn is_of_binding(work: &Work) -> bool {
    binding_of::<ResourceBinding>(work).is_some()
        || binding_of::<ClusterResourceBinding>(work).is_some()
}

/// Whether somebody still wants a Work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
    /// The kind of its template is not known at the moment.
    Unknown,
}

async fn wanted(world: &World, work: &Work) -> Result<Wanted, ApiError> {
    for found in [
        by_binding::<ResourceBinding>(world, work).await?,
        by_binding::<ClusterResourceBinding>(world, work).await?,
        by_namespace(world, work).await?,
    ] {
        if found != Wanted::No {
            return Ok(found);
        }
    }
    Ok(Wanted::No)
}

/// Whether a living binding expects this Work where it is, and its template is there.
async fn by_binding<B: Bindings>(world: &World, work: &Work) -> Result<Wanted, ApiError> {
    let Some(binding) = binding_of::<B>(work).and_then(|key| B::store(world).get(&key)) else {
        return Ok(Wanted::No);
    };
    let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
    let Ok(cluster) = names::cluster_of_execution_namespace(namespace) else {
        return Ok(Wanted::No);
    };
    let is_expected = binding.meta().deletion_timestamp.is_none()
        && binding.permanent_id() == work.labels().get(B::PERMANENT_ID).map(String::as_str)
        && expected_clusters(binding.spec()).contains(cluster);
    if !is_expected {
        return Ok(Wanted::No);
    }
    let (gvk, key) = template_of(&binding.spec().resource);
    let uid = &binding.spec().resource.uid;
    is_there(world, &gvk, &key, |template| template.metadata.uid == *uid).await
}

/// Whether the Work carries a Namespace that every member has, and the control plane still has it.
async fn by_namespace(world: &World, work: &Work) -> Result<Wanted, ApiError> {
    let owners = work.owner_references();
    let owner = owners
        .iter()
        .find(|owner| owner.kind == "Namespace" && owner.api_version == "v1");
    let Some(owner) = owner else {
        return Ok(Wanted::No);
    };
    let namespaces = Gvk::parse("v1", "Namespace");
    let key = Key::cluster_scoped(&owner.name);
    is_there(world, &namespaces, &key, |namespace| {
        namespace.metadata.uid.as_ref() == Some(&owner.uid)
            && !crate::namespace::is_left_alone(&to_value(namespace))
    })
    .await
}

/// Whether a living object of this name is the one. A store says so only once it is filled; before that the API server is asked,
/// unless it does not serve the kind.
async fn is_there(
    world: &World,
    gvk: &Gvk,
    key: &Key,
    is_it: impl Fn(&DynamicObject) -> bool,
) -> Result<Wanted, ApiError> {
    let is_filled = world
        .templates
        .store(gvk)
        .is_some_and(|store| store.is_synced());
    if !is_filled && world.mapper.resolve(gvk).is_none() {
        return Ok(Wanted::Unknown);
    }
    let found = world.template(gvk, key).await?;
    let is_there =
        found.is_some_and(|found| found.metadata.deletion_timestamp.is_none() && is_it(&found));
    Ok(if is_there { Wanted::Yes } else { Wanted::No })
}

/// Shows on a Work what is held back.
async fn show(
    world: &World,
    events: &Source,
    work: &Work,
    held: &HeldBack,
) -> Result<(), ApiError> {
    let holder = Holder::Work(Key::of_meta(&work.metadata));
    let Some(condition) = brake::held(std::slice::from_ref(held), &holder.release_argument())
    else {
        return Ok(());
    };
    let now = Time(jiff::Timestamp::now());
    let release = work.annotations().get(RELEASE_HOLD);
    if let Release::Invalid(message) = brake::release(release.map(String::as_str), &now) {
        events.warning(write::reference(work), INVALID_RELEASE, message);
    }
    let list = work.status.as_ref().map(|status| &status.conditions[..]);
    let present = list.and_then(|list| conditions::find(list, REMOVAL_HELD));
    if present.is_some_and(|it| it.status == TRUE && it.message == condition.message) {
        return Ok(());
    }
    let message = condition.message.clone();
    let mut shown = work.clone();
    conditions::set_condition(
        &mut shown.status.get_or_insert_default().conditions,
        condition,
        &now,
    );
    let api: Api<Work> = Api::namespaced(world.client(), &work.namespace().unwrap_or_default());
    write::update_status(&api, &world.works, work, &shown).await?;
    events.warning(write::reference(work), HELD, message);
    Ok(())
}

/// What the conditions of Works say is held back.
pub(super) fn held(world: &World) -> Vec<(Holder, Vec<HeldBack>)> {
    let mut found = Vec::new();
    world.works.each(|work| found.extend(held_by(world, work)));
    found
}

fn held_by(world: &World, work: &Work) -> Option<(Holder, Vec<HeldBack>)> {
    work.metadata.deletion_timestamp.as_ref()?;
    let condition = conditions::find(&work.status.as_ref()?.conditions, REMOVAL_HELD)?;
    let cluster = touched(world, work)?;
    let told = brake::read_held(condition);
    let kept = told.into_iter().find(|item| item.cluster == cluster);
    let kept = kept.unwrap_or_else(|| {
        let hold = Hold {
            reason: Reason::ClusterLimit,
            scope: Some(Scope::Cluster(cluster.to_owned())),
            threshold: None,
            message: condition.message.clone(),
        };
        HeldBack::new(cluster, hold)
    });
    Some((Holder::Work(Key::of_meta(&work.metadata)), vec![kept]))
}

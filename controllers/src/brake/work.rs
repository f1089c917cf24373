//! Works that are deleted by somebody else than their binding.

use crds::{
    conditions::{self, status::TRUE},
    names,
    object::{Gvk, Key},
    work::{ClusterResourceBinding, ResourceBinding, Work},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt};
use propagation::{
    brake::{Hold, REMOVAL_HELD, Reason, Scope, Verdict},
    render::expected_clusters,
};
use runtime::{ApiError, events::Source};

use super::{HELD, HeldBack, Holder, Question, binding::touched};
use crate::{
    world::{Bindings, World, binding_of, template_of},
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
}

/// Decides about a terminating Work.
pub(crate) async fn fate(world: &World, events: &Source, work: &Work) -> Result<Fate, ApiError> {
    if is_wanted::<ResourceBinding>(world, work)
        || is_wanted::<ClusterResourceBinding>(world, work)
        || is_wanted_namespace(world, work)
    {
        return Ok(Fate::Keep);
    }
    // Its binding has asked already.
    if binding_of::<ResourceBinding>(work).is_some()
        || binding_of::<ClusterResourceBinding>(work).is_some()
    {
        return Ok(Fate::Remove);
    }
    let key = Key::of_meta(&work.metadata);
    let holder = Holder::Work(key.clone());
    let Some(cluster) = touched(world, work) else {
        world.brake.settle(world, &holder, Vec::new());
        return Ok(Fate::Remove);
    };
    let question = Question {
        object: &key.to_string(),
        scopes: &[Scope::Cluster(cluster.to_owned())],
        doubt: None,
        annotations: work.annotations(),
    };
    match world.brake.ask(world, &question) {
        Verdict::Proceed => {
            world.brake.settle(world, &holder, Vec::new());
            Ok(Fate::Remove)
        }
        Verdict::Hold(hold) => {
            show(world, events, work, &hold).await?;
            let kept = HeldBack {
                cluster: cluster.to_owned(),
                hold,
            };
            world.brake.settle(world, &holder, vec![kept]);
            Ok(Fate::Held)
        }
    }
}

/// Whether a living binding expects this Work where it is.
fn is_wanted<B: Bindings>(world: &World, work: &Work) -> bool {
    let Some(binding) = binding_of::<B>(work).and_then(|key| B::store(world).get(&key)) else {
        return false;
    };
    let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
    let Ok(cluster) = names::cluster_of_execution_namespace(namespace) else {
        return false;
    };
    let (gvk, key) = template_of(&binding.spec().resource);
    let has_template = || {
        let template = world.templates.object(&gvk, &key);
        template.is_some_and(|template| {
            template.metadata.uid == binding.spec().resource.uid
                && template.metadata.deletion_timestamp.is_none()
        })
    };
    binding.meta().deletion_timestamp.is_none()
        && binding.permanent_id() == work.labels().get(B::PERMANENT_ID).map(String::as_str)
        && expected_clusters(binding.spec()).contains(cluster)
        && has_template()
}

/// Whether the Work carries a Namespace that every member has, and the control plane still has it.
fn is_wanted_namespace(world: &World, work: &Work) -> bool {
    let Some(owner) = work
        .owner_references()
        .iter()
        .find(|owner| owner.kind == "Namespace" && owner.api_version == "v1")
    else {
        return false;
    };
    let namespaces = Gvk::parse("v1", "Namespace");
    world
        .templates
        .object(&namespaces, &Key::cluster_scoped(&owner.name))
        .is_some_and(|namespace| {
            namespace.metadata.uid.as_ref() == Some(&owner.uid)
                && namespace.metadata.deletion_timestamp.is_none()
                && !crate::namespace::is_left_alone(&crate::world::to_value(&namespace))
        })
}

async fn show(world: &World, events: &Source, work: &Work, hold: &Hold) -> Result<(), ApiError> {
    let list = work.status.as_ref().map(|status| &status.conditions[..]);
    let present = list.and_then(|list| conditions::find(list, REMOVAL_HELD));
    if present.is_some_and(|it| it.status == TRUE && it.message == hold.message) {
        return Ok(());
    }
    let mut shown = work.clone();
    let condition = conditions::condition(REMOVAL_HELD, TRUE, hold.reason.as_str(), &hold.message);
    conditions::set_condition(
        &mut shown.status.get_or_insert_default().conditions,
        condition,
        &Time(jiff::Timestamp::now()),
    );
    let api: Api<Work> = Api::namespaced(world.client(), &work.namespace().unwrap_or_default());
    write::update_status(&api, &world.works, work, &shown).await?;
    events.warning(write::reference(work), HELD, &hold.message);
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
    let kept = HeldBack {
        cluster: cluster.to_owned(),
        hold: Hold {
            reason: Reason::ClusterLimit,
            scope: Some(Scope::Cluster(cluster.to_owned())),
            message: condition.message.clone(),
        },
    };
    Some((Holder::Work(Key::of_meta(&work.metadata)), vec![kept]))
}

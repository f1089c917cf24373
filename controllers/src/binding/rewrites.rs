//! Works that somebody deleted by hand, and that go only when the binding has noted what they left in their members.

use std::collections::BTreeSet;

use crds::{object::Key, work::Work};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use propagation::render::{self, rewrites};
use runtime::{ApiError, error::call};
use serde_json::json;

use super::{Context, Error};
use crate::{
    world::{Bindings, World, binding_of},
    write,
};

/// Has the binding remember a Work that goes while its objects stay, until there is a Work of its name again.
pub(crate) async fn note<B: Bindings>(world: &World, work: &Work) -> Result<(), ApiError> {
    let binding = binding_of::<B>(work).and_then(|key| B::store(world).get(&key));
    let (Some(binding), Some((annotation, text))) = (binding, render::note(work)) else {
        return Ok(());
    };
    let annotations = binding.meta().annotations.as_ref();
    if annotations.and_then(|it| it.get(&annotation)) == Some(&text) {
        return Ok(());
    }
    annotate(world, &*binding, &annotation, Some(&text)).await
}

/// Makes Works that stand in for those that are noted and gone, where the binding wants none any more.
pub(super) async fn stand_in<B: Bindings>(context: &Context, binding: &B) -> Result<(), Error> {
    let world = &context.world;
    let expected = if binding.meta().deletion_timestamp.is_some() {
        // Nothing is written any more for a binding that goes.
        BTreeSet::new()
    } else {
        render::expected_clusters(binding.spec())
    };
    for (cluster, rewrite) in rewrites(binding.meta()) {
        let key = rewrite.key(&cluster);
        let is_in_fleet = world.clusters.get(&Key::cluster_scoped(&cluster)).is_some();
        if expected.contains(&cluster) || !is_in_fleet || world.works.get(&key).is_some() {
            continue;
        }
        let fresh_id = uuid::Uuid::new_v4().to_string();
        let Some(work) = rewrite.stand_in(&cluster, binding, &fresh_id) else {
            continue;
        };
        let api: Api<Work> =
            Api::namespaced(world.client(), key.namespace.as_deref().unwrap_or_default());
        write::create(&api, &world.works, &work)
            .await
            .map_err(|source| Error::StandIn { work: key, source })?;
    }
    Ok(())
}

/// Forgets what is written again, or cannot be because the cluster left the fleet.
pub(super) async fn forget<B: Bindings>(context: &Context, binding: &B) -> Result<(), Error> {
    let world = &context.world;
    for (cluster, rewrite) in rewrites(binding.meta()) {
        let work = world.works.get(&rewrite.key(&cluster));
        let is_there = work.is_some_and(|work| work.metadata.deletion_timestamp.is_none());
        let is_in_fleet = world.clusters.get(&Key::cluster_scoped(&cluster)).is_some();
        if is_there || !is_in_fleet {
            annotate(world, binding, &render::rewrite_annotation(&cluster), None)
                .await
                .map_err(|source| Error::Forget {
                    binding: binding.key(),
                    source,
                })?;
        }
    }
    Ok(())
}

/// Bound to the uid alone: each cluster has an annotation of its own.
async fn annotate<B: Bindings>(
    world: &World,
    binding: &B,
    annotation: &str,
    text: Option<&str>,
) -> Result<(), ApiError> {
    let patch = json!({
        "metadata": {"uid": binding.meta().uid, "annotations": {annotation: text}},
    });
    let key = binding.key();
    let api = B::api(world, key.namespace.as_deref());
    let reply = call(api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch))).await;
    match reply {
        Ok(reply) => {
            B::store(world).observe_reply(reply);
            Ok(())
        }
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

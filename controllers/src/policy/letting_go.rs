//! A policy is being deleted: its claims go first. Bindings, Works and member objects stay.

use crds::object::Gvk;
use futures::{StreamExt, stream};
use kube::ResourceExt;
use propagation::matching::{PolicyRef, upkeep};
use serde_json::json;

use super::{Error, concerned::claimed, kinds::Policies, patch_metadata};
use crate::{World, detector};

/// Templates that are released at a time.
const CONCURRENCY: usize = 16;

pub(super) async fn let_go<P: Policies>(
    policy: &P,
    key: &PolicyRef,
    world: &World,
) -> Result<(), Error> {
    let present = policy.finalizers();
    if !present.iter().any(|it| it == P::FINALIZER) {
        return Ok(());
    }
    let view = policy.view();
    // What is not listed yet may carry the claim as well.
    for (api_version, kind, _) in upkeep::claimed_places(&view) {
        let store = world.templates.store(&Gvk::parse(&api_version, &kind));
        if store.is_some_and(|store| !store.is_synced()) {
            return Err(Error::NotSynced {
                policy: key.to_string(),
                kind,
            });
        }
    }
    let releases = claimed(&view, world).into_iter().map(|template| {
        let claim = view.claim();
        async move {
            let outcome = detector::release(world, &template, &claim).await;
            outcome.err().map(|error| (template, error))
        }
    });
    let mut failures: Vec<_> = stream::iter(releases)
        .buffer_unordered(CONCURRENCY)
        .filter_map(|failure| async { failure })
        .collect()
        .await;
    if let Some((template, source)) = failures.pop() {
        return Err(Error::LetGo {
            policy: key.to_string(),
            template: template.to_string(),
            others: failures.len(),
            source: Box::new(source),
        });
    }
    let remaining: Vec<&String> = present.iter().filter(|it| *it != P::FINALIZER).collect();
    let patch = json!({ "metadata": { "finalizers": remaining } });
    patch_metadata(policy, key, world, &patch)
        .await
        .map_err(|source| Error::Finalize {
            policy: key.to_string(),
            source,
        })
}

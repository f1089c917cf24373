//! Writes of claims: on templates without a lock, so that users who edit them are not disturbed; releases with one, so that
//! never a claim is taken away that somebody else has made in between.

use crds::{
    names,
    object::Key,
    work::{ClusterResourceBinding, ResourceBinding},
};
use kube::{
    ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use propagation::matching::{Claim, release_patch};
use runtime::{ApiError, error::call};
use serde_json::Value;

use super::{Error, TemplateKey};
use crate::world::{Bindings, World, dynamic_api};

/// The key of a template's binding, of the kind that fits.
pub(super) fn binding_key(template: &TemplateKey) -> Key {
    Key {
        namespace: template.key.namespace.clone(),
        name: names::binding_name(&template.key.name, &template.gvk.kind),
    }
}

/// Metadata as the pure functions take them.
pub(crate) fn metadata_value(object: &impl ResourceExt) -> Value {
    // Metadata consist of strings, numbers, maps and lists, which always serialise.
    serde_json::to_value(object.meta()).unwrap_or_default()
}

/// Patches a template and returns what it is now; `None` when it is gone.
pub(super) async fn patch_template(
    world: &World,
    template: &TemplateKey,
    patch: &Value,
    error: impl FnOnce(ApiError) -> Error,
) -> Result<Option<DynamicObject>, Error> {
    let Some(resource) = world.mapper.resolve(&template.gvk) else {
        return Err(Error::UnknownKind {
            template: template.to_string(),
        });
    };
    let api = dynamic_api(world.client(), &resource, template.namespace());
    let params = PatchParams::default();
    match call(api.patch(&template.key.name, &params, &Patch::Merge(patch))).await {
        Ok(patched) => {
            if let Some(store) = world.templates.store(&template.gvk) {
                store.observe_reply(patched.clone());
            }
            Ok(Some(patched))
        }
        Err(source) if source.is_not_found() => Ok(None),
        Err(source) => Err(error(source)),
    }
}

/// Takes the claim from the binding and then from the template, which is what makes the pair discoverable for another try. Other
/// claims stay.
pub(crate) async fn release(
    world: &World,
    template: &TemplateKey,
    claim: &Claim,
) -> Result<(), Error> {
    if template.namespace().is_some() {
        release_binding::<ResourceBinding>(world, template, claim).await?;
    } else {
        release_binding::<ClusterResourceBinding>(world, template, claim).await?;
    }
    let found = world
        .template(&template.gvk, &template.key)
        .await
        .map_err(|source| Error::ReadTemplate {
            template: template.to_string(),
            source,
        })?;
    let Some(object) = found else {
        return Ok(());
    };
    let Some(patch) = release_patch(&metadata_value(object.as_ref()), claim) else {
        return Ok(());
    };
    let patch = locked(patch, object.as_ref());
    patch_template(world, template, &patch, |source| Error::Release {
        template: template.to_string(),
        source,
    })
    .await
    .map(drop)
}

async fn release_binding<B: Bindings>(
    world: &World,
    template: &TemplateKey,
    claim: &Claim,
) -> Result<(), Error> {
    let key = binding_key(template);
    let Some(binding) = B::store(world).get(&key) else {
        return Ok(());
    };
    let bound = TemplateKey::of_binding(&binding.spec().resource);
    if bound.key != template.key || !bound.gvk.is(&template.gvk.group, &template.gvk.kind) {
        return Ok(());
    }
    let Some(patch) = release_patch(&metadata_value(binding.as_ref()), claim) else {
        return Ok(());
    };
    let patch = locked(patch, binding.as_ref());
    let api = B::api(world, template.namespace());
    let params = PatchParams::default();
    match call(api.patch(&key.name, &params, &Patch::Merge(&patch))).await {
        Ok(released) => B::store(world).observe_reply(released),
        Err(source) if source.is_not_found() => {}
        Err(source) => {
            return Err(Error::ReleaseBinding {
                binding: key.to_string(),
                source,
            });
        }
    }
    Ok(())
}

fn locked(mut patch: Value, object: &impl ResourceExt) -> Value {
    if let Some(version) = object.resource_version() {
        patch["metadata"]["resourceVersion"] = version.into();
    }
    patch
}

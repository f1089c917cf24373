//! Writes to the control plane: only differences, with an optimistic lock, and seen in the store at once.

use std::fmt::Debug;

use crds::conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use propagation::{
    diff,
    execution::{self, Answer, Refusal},
};
use runtime::{ApiError, Store, error::call};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::world::{Bindings, World};

/// A kind of ours that can be written.
pub(crate) trait Written:
    Resource<DynamicType = ()> + ResourceExt + Clone + Debug + Serialize + DeserializeOwned + 'static
{
}

impl<K> Written for K where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + 'static
{
}

/// Creates the object and puts the answer into the store.
pub(crate) async fn create<K: Written>(
    api: &Api<K>,
    store: &Store<K>,
    object: &K,
) -> Result<K, ApiError> {
    let created = call(api.create(&PostParams::default(), object)).await?;
    store.observe_reply(created.clone());
    Ok(created)
}

/// Writes what differs between the two outside of the status; returns whether anything did.
///
/// Fails with a conflict if the object is not any more as `old` says.
pub(crate) async fn update<K: Written>(
    api: &Api<K>,
    store: &Store<K>,
    old: &K,
    new: &K,
) -> Result<bool, ApiError> {
    let Some(mut patch) = diff::between(old, new) else {
        return Ok(false);
    };
    if let Value::Object(patch) = &mut patch {
        patch.remove("status");
        if patch.is_empty() {
            return Ok(false);
        }
    }
    lock(&mut patch, old);
    let name = old.name_any();
    let reply = call(api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
    store.observe_reply(reply);
    Ok(true)
}

/// Writes what differs between the two in the status; returns whether anything did.
///
/// Fails with a conflict if the object is not any more as `old` says.
pub(crate) async fn update_status<K: Written>(
    api: &Api<K>,
    store: &Store<K>,
    old: &K,
    new: &K,
) -> Result<bool, ApiError> {
    let Some(status) =
        diff::between(old, new).and_then(|mut patch| patch.get_mut("status").map(Value::take))
    else {
        return Ok(false);
    };
    lock_and_patch(api, store, old, status).await
}

/// The same of an object whose other parts are not worth comparing, because there are many of its kind.
pub(crate) async fn replace_status<K: Written, S: Serialize>(
    api: &Api<K>,
    store: &Store<K>,
    object: &K,
    (old, new): (S, S),
) -> Result<bool, ApiError> {
    let Some(status) = diff::between(&old, &new) else {
        return Ok(false);
    };
    lock_and_patch(api, store, object, status).await
}

async fn lock_and_patch<K: Written>(
    api: &Api<K>,
    store: &Store<K>,
    object: &K,
    status: Value,
) -> Result<bool, ApiError> {
    let mut patch = json!({ "status": status });
    lock(&mut patch, object);
    patch_status(api, store, &object.name_any(), &patch).await?;
    Ok(true)
}

/// Shows a condition of this type on a binding, or takes it away when there is none; writes only a difference.
pub(crate) async fn show_condition<B: Bindings>(
    world: &World,
    binding: &B,
    type_: &str,
    condition: Option<Condition>,
) -> Result<(), ApiError> {
    let shown = binding
        .status()
        .and_then(|status| conditions::find(&status.conditions, type_));
    if shown.is_none() && condition.is_none() {
        return Ok(());
    }
    let mut updated = binding.clone();
    let list = &mut updated.status_mut().conditions;
    let changed = match condition {
        Some(condition) => {
            conditions::set_condition(list, condition, &Time(jiff::Timestamp::now()))
        }
        None => conditions::remove_condition(list, type_),
    };
    if changed {
        let api = B::api(world, binding.namespace().as_deref());
        update_status(&api, B::store(world), binding, &updated).await?;
    }
    Ok(())
}

/// Sends a patch of the status subresource and puts the answer into the store.
pub(crate) async fn patch_status<K: Written>(
    api: &Api<K>,
    store: &Store<K>,
    name: &str,
    patch: &Value,
) -> Result<(), ApiError> {
    let params = PatchParams::default();
    let reply = call(api.patch_status(name, &params, &Patch::Merge(patch))).await?;
    store.observe_reply(reply);
    Ok(())
}

fn lock<K: Written>(patch: &mut Value, old: &K) {
    if let Some(version) = old.resource_version() {
        patch["metadata"]["resourceVersion"] = version.into();
    }
}

/// Deletes exactly the object that was read; one that is gone already is fine.
pub(crate) async fn delete<K: Written>(api: &Api<K>, object: &K) -> Result<(), ApiError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match call(api.delete(&object.name_any(), &params)).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes the object only if it still is as it was read, because what it says is why it goes.
pub(crate) async fn delete_unchanged<K: Written>(api: &Api<K>, object: &K) -> Result<(), ApiError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: object.resource_version(),
        }),
        ..DeleteParams::background()
    };
    match call(api.delete(&object.name_any(), &params)).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Takes a finalizer off an object; one that is gone already is fine.
pub(crate) async fn remove_finalizer<K: Written>(
    api: &Api<K>,
    store: &Store<K>,
    object: &K,
    finalizer: &str,
) -> Result<(), ApiError> {
    if !object
        .finalizers()
        .iter()
        .any(|present| present == finalizer)
    {
        return Ok(());
    }
    let mut released = object.clone();
    released
        .finalizers_mut()
        .retain(|present| present != finalizer);
    match update(api, store, object, &released).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// What an error of an API server means; `place` is whose it is, for example `cluster member1`.
pub(crate) fn refusal(error: &ApiError, place: &str) -> Refusal {
    let status = error.status();
    let answer = Answer {
        code: status.map_or(0, |status| status.code),
        message: status.map_or("", |status| &status.message),
        namespace_terminating: error.is_namespace_terminating(),
    };
    execution::judge(answer, place)
}

/// A reference to an object of ours, as events need it.
pub(crate) fn reference<K: Written>(object: &K) -> k8s_openapi::api::core::v1::ObjectReference {
    k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: Some(object.name_any()),
        namespace: object.namespace(),
        uid: object.uid(),
        ..k8s_openapi::api::core::v1::ObjectReference::default()
    }
}

/// A reference to the template of a binding.
pub(crate) fn template_reference(
    resource: &crds::work::ObjectReference,
) -> k8s_openapi::api::core::v1::ObjectReference {
    k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some(resource.api_version.clone()),
        kind: Some(resource.kind.clone()),
        name: Some(resource.name.clone()),
        namespace: resource.namespace.clone(),
        uid: resource.uid.clone(),
        ..k8s_openapi::api::core::v1::ObjectReference::default()
    }
}

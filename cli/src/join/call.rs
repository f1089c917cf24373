//! Requests with a time limit, and a record of what they created.

use std::{fmt::Debug, future::Future, time::Duration};

use futures::future::BoxFuture;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};

use super::Error;

/// How long a server may take to answer.
const LIMIT: Duration = Duration::from_secs(32);

/// Runs one request; `step` completes the sentence "cannot …".
pub(super) async fn call<T>(
    step: impl Into<String>,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(LIMIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(Error::Request {
            step: step.into(),
            source,
        }),
        Err(_) => Err(Error::NoAnswer {
            step: step.into(),
            limit: LIMIT,
        }),
    }
}

/// What the requests here need of a kind.
pub(super) trait Kind:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// `namespace/karmada-cluster`, `secret/karmada-cluster/m1`.
pub(super) fn label<K: Kind>(object: &K) -> String {
    let kind = K::kind(&()).to_lowercase();
    match object.namespace() {
        Some(namespace) => format!("{kind}/{namespace}/{}", object.name_any()),
        None => format!("{kind}/{}", object.name_any()),
    }
}

/// What a run created, so that it can be taken back.
#[derive(Default)]
pub(super) struct Created {
    undo: Vec<(String, BoxFuture<'static, Result<(), Error>>)>,
}

impl Created {
    /// Creates the object. `None`: there is one of this name already.
    pub(super) async fn ensure<K: Kind>(
        &mut self,
        api: &Api<K>,
        object: &K,
        place: &str,
    ) -> Result<Option<K>, Error> {
        let label = format!("{} in {place}", label(object));
        let params = PostParams::default();
        let request = api.create(&params, object);
        match call(format!("create {label}"), request).await {
            Ok(created) => {
                let (api, removed) = (api.clone(), created.clone());
                self.undo
                    .push((label, Box::pin(async move { delete(&api, &removed).await })));
                Ok(Some(created))
            }
            Err(error) if error.is_already_exists() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes everything again, the latest first, and returns what could not be removed.
    pub(super) async fn undo(self) -> Vec<String> {
        let mut left = Vec::new();
        for (label, undo) in self.undo.into_iter().rev() {
            if undo.await.is_err() {
                left.push(label);
            }
        }
        left
    }
}

/// Deletes exactly this object; one that is gone is fine.
pub(super) async fn delete<K: Kind>(api: &Api<K>, object: &K) -> Result<(), Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    let name = object.name_any();
    let request = api.delete(&name, &params);
    match call(format!("delete {}", label(object)), request).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes by name; returns whether there was one.
pub(super) async fn delete_named<K: Kind>(api: &Api<K>, name: &str) -> Result<bool, Error> {
    let kind = K::kind(&()).to_lowercase();
    let params = DeleteParams::background();
    let request = api.delete(name, &params);
    match call(format!("delete {kind}/{name}"), request).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

//! What a control plane holds before our own processes come: their kinds and their namespaces.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::Error;

const NAMESPACES: [&str; 2] = ["karmada-system", "karmada-cluster"];
const FIELD_MANAGER: &str = "navarch-testbed";
/// Requests at the same time; more would only wait in the API server.
const PARALLEL: usize = 8;

pub(crate) async fn install(
    client: &kube::Client,
    cluster: &str,
    crds: &[CustomResourceDefinition],
) -> Result<(), Error> {
    let patch = PatchParams::apply(FIELD_MANAGER).force();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in NAMESPACES {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let result = namespaces
            .patch(name, &patch, &Patch::Apply(namespace))
            .await;
        result.map_err(Error::request(format!("apply namespace {name}"), cluster))?;
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    stream::iter(crds)
        .map(|crd| install_crd(&definitions, crd, cluster))
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await
}

async fn install_crd(
    api: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
    cluster: &str,
) -> Result<(), Error> {
    let name = crd.name_any();
    let patch = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api.patch(&name, &patch, &Patch::Apply(crd)).await;
    let mut live = applied.map_err(Error::request(format!("apply crd {name}"), cluster))?;
    while !is_established(&live) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        live = api
            .get(&name)
            .await
            .map_err(Error::request(format!("read crd {name}"), cluster))?;
    }
    Ok(())
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|it| it.type_ == "Established" && it.status == "True")
}

//! The objects of a registration in the control plane.

use std::collections::BTreeMap;

use crds::{
    cluster::{
        ClusterSpec, ClusterSyncMode, LocalSecretReference, default_resource_models,
        v1alpha1::Cluster,
    },
    keys, names,
};
use k8s_openapi::{
    ByteString,
    api::core::v1::{Secret, Taint},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    Error, JoinOptions,
    call::{Created, call, delete, label},
    member::{self, Tokens, system_labels},
};

const PLACE: &str = "the control plane";

/// Writes credentials and Cluster.
pub(super) async fn register(
    client: &Client,
    options: &JoinOptions,
    id: &str,
    tokens: Tokens,
    created: &mut Created,
) -> Result<Cluster, Error> {
    let namespace = &options.namespace;
    created
        .ensure(
            &Api::all(client.clone()),
            &member::namespace(namespace),
            PLACE,
        )
        .await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for secret in self::secrets(options, tokens) {
        replace(&secrets, &secret, created).await?;
    }
    let clusters: Api<Cluster> = Api::all(client.clone());
    let cluster = cluster(options, id);
    let Some(cluster) = created.ensure(&clusters, &cluster, PLACE).await? else {
        return Err(Error::NameTaken {
            name: options.name.clone(),
            id: "registered at the same time".to_owned(),
        });
    };
    let owner = json!({"metadata": {"ownerReferences": [owner_of(&cluster)]}});
    for name in secret_names(&options.name) {
        let params = PatchParams::default();
        let patch = Patch::Merge(&owner);
        let request = secrets.patch(&name, &params, &patch);
        call(format!("give secret/{namespace}/{name} its owner"), request).await?;
    }
    Ok(cluster)
}

/// Gives a registered Cluster new credentials and the endpoint that they were made with.
pub(super) async fn refresh(
    client: &Client,
    options: &JoinOptions,
    cluster: &Cluster,
    tokens: Tokens,
) -> Result<(), Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &options.namespace);
    for mut secret in self::secrets(options, tokens) {
        secret.metadata.owner_references = Some(vec![owner_of(cluster)]);
        let name = secret.name_any();
        let data = json!({"data": secret.data, "metadata": {"ownerReferences": secret.metadata.owner_references}});
        let params = PatchParams::default();
        let patch = Patch::Merge(&data);
        let step = format!("write {}", label(&secret));
        match call(&step, secrets.patch(&name, &params, &patch)).await {
            Err(error) if error.is_not_found() => {
                call(&step, secrets.create(&PostParams::default(), &secret)).await?;
            }
            other => {
                other?;
            }
        }
    }
    let wanted = self::cluster(options, "").spec;
    let patch = json!({"spec": {
        "apiEndpoint": wanted.api_endpoint,
        "insecureSkipTLSVerification": wanted.insecure_skip_tls_verification,
        "proxyURL": wanted.proxy_url,
        "secretRef": wanted.secret_ref,
        "impersonatorSecretRef": wanted.impersonator_secret_ref,
    }});
    let clusters: Api<Cluster> = Api::all(client.clone());
    let params = PatchParams::default();
    let patch = Patch::Merge(&patch);
    let request = clusters.patch(&options.name, &params, &patch);
    call(format!("write cluster/{}", options.name), request).await?;
    Ok(())
}

pub(super) fn secret_names(cluster: &str) -> [String; 2] {
    [names::impersonator_secret(cluster), cluster.to_owned()]
}

fn secrets(options: &JoinOptions, tokens: Tokens) -> [Secret; 2] {
    let secret = |name: String, data: BTreeMap<String, ByteString>| Secret {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(options.namespace.clone()),
            labels: Some(system_labels()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    let [impersonator, own] = secret_names(&options.name);
    let authority = member::authority(options.member.root_cert.as_deref(), tokens.authority);
    [
        secret(
            impersonator,
            BTreeMap::from([("token".to_owned(), tokens.impersonator)]),
        ),
        secret(
            own,
            BTreeMap::from([
                ("caBundle".to_owned(), authority),
                ("token".to_owned(), tokens.token),
            ]),
        ),
    ]
}

/// Creates the Secret in place of one that a former registration left behind. That one may go at any moment together with its
/// former owner, so it is not written into.
async fn replace(api: &Api<Secret>, secret: &Secret, created: &mut Created) -> Result<(), Error> {
    loop {
        if created.ensure(api, secret, PLACE).await?.is_some() {
            return Ok(());
        }
        let name = secret.name_any();
        let step = format!("read {}", label(secret));
        if let Some(stale) = call(step, api.get_opt(&name)).await? {
            delete(api, &stale).await?;
        }
    }
}

pub(super) fn cluster(options: &JoinOptions, id: &str) -> Cluster {
    let reference = |name: &str| {
        Some(LocalSecretReference {
            namespace: options.namespace.clone(),
            name: name.to_owned(),
        })
    };
    let [impersonator, own] = secret_names(&options.name);
    let taints = if options.taint_until_ready {
        vec![Taint {
            key: keys::taints::NOT_READY.to_owned(),
            effect: "NoSchedule".to_owned(),
            value: None,
            time_added: Some(Time(jiff::Timestamp::now())),
        }]
    } else {
        Vec::new()
    };
    let spec = ClusterSpec {
        id: Some(id.to_owned()),
        sync_mode: ClusterSyncMode::Push,
        api_endpoint: Some(endpoint(&options.member)),
        secret_ref: reference(&own),
        impersonator_secret_ref: reference(&impersonator),
        insecure_skip_tls_verification: options.member.accept_invalid_certs.then_some(true),
        proxy_url: options.member_proxy.clone(),
        provider: options.provider.clone(),
        region: options.region.clone(),
        zones: options.zones.clone(),
        taints,
        resource_models: default_resource_models(),
        ..ClusterSpec::default()
    };
    let mut cluster = Cluster::new(&options.name, spec);
    if !options.labels.is_empty() {
        cluster.metadata.labels = Some(options.labels.clone());
    }
    cluster
}

/// The address of the API server, without the slash that URLs of a host alone are printed with.
pub(super) fn endpoint(config: &kube::Config) -> String {
    config
        .cluster_url
        .to_string()
        .trim_end_matches('/')
        .to_owned()
}

fn owner_of(cluster: &Cluster) -> OwnerReference {
    OwnerReference {
        api_version: Cluster::api_version(&()).into_owned(),
        kind: Cluster::kind(&()).into_owned(),
        name: cluster.name_any(),
        uid: cluster.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_says_how_the_member_is_reached() {
        let config = |url: &'static str| kube::Config::new(url.parse().unwrap());
        let mut options =
            JoinOptions::new("m1", config("https://c"), config("https://10.0.0.1:6443"));
        options.zones = vec!["a".into(), "b".into()];
        options.member_proxy = Some("socks5://p:1080".into());
        options.taint_until_ready = true;
        let cluster = cluster(&options, "uid-1");
        let mut value = serde_json::to_value(&cluster.spec).unwrap();
        assert_eq!(value["resourceModels"].as_array().unwrap().len(), 9);
        assert!(value["taints"][0]["timeAdded"].is_string());
        for key in ["resourceModels", "taints"] {
            value.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(
            value,
            json!({
                "id": "uid-1",
                "syncMode": "Push",
                "apiEndpoint": "https://10.0.0.1:6443",
                "secretRef": {"namespace": "karmada-cluster", "name": "m1"},
                "impersonatorSecretRef": {"namespace": "karmada-cluster", "name": "m1-impersonator"},
                "proxyURL": "socks5://p:1080",
                "zones": ["a", "b"],
            })
        );
    }
}

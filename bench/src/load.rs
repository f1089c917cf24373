//! What is written: Deployments as users write them, under one policy.

use crds::policy::PropagationPolicy;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use serde_json::json;

/// Namespace of everything that the benchmarks create.
pub(crate) const NAMESPACE: &str = "bench";

/// The name of the Deployment with this number.
pub(crate) fn name(index: usize) -> String {
    format!("app-{index:05}")
}

/// A Deployment of the size that people have: a container with resources, environment, probes and a volume.
pub(crate) fn deployment(index: usize, replicas: i32) -> Deployment {
    let name = name(index);
    let value = json!({
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app": name, "app.kubernetes.io/part-of": "shop", "tier": "backend"},
            "annotations": {"owner": "team-checkout@example.com"},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, "tier": "backend"}},
                "spec": {
                    "containers": [{
                        "name": "app",
                        "image": "registry.example.com/shop/checkout:1.27.3",
                        "args": ["--listen=:8080", "--log-level=info"],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "env": [
                            {"name": "DATABASE", "value": "postgres://checkout@db:5432/checkout"},
                            {"name": "REGION", "value": "eu-central"},
                            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "checkout", "key": "token", "optional": true}}},
                        ],
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
                        "volumeMounts": [{"name": "cache", "mountPath": "/var/cache/app"}],
                    }],
                    "volumes": [{"name": "cache", "emptyDir": {}}],
                },
            },
        },
    });
    // The literal above is a Deployment.
    serde_json::from_value(value).unwrap_or_default()
}

/// Creates the namespace in a cluster.
pub(crate) async fn namespace(client: &Client) -> anyhow::Result<()> {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let api: Api<Namespace> = Api::all(client.clone());
    match api.create(&PostParams::default(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Creates the policy that sends every object of these kinds to every member.
pub(crate) async fn policy(client: &Client, kinds: &[(&str, &str)]) -> anyhow::Result<()> {
    let selectors: Vec<_> = kinds
        .iter()
        .map(|(version, kind)| json!({"apiVersion": version, "kind": kind}))
        .collect();
    let policy: PropagationPolicy = serde_json::from_value(json!({
        "metadata": {"name": "everywhere", "namespace": NAMESPACE},
        "spec": {"resourceSelectors": selectors, "placement": {"clusterAffinity": {}}},
    }))?;
    let api: Api<PropagationPolicy> = Api::namespaced(client.clone(), NAMESPACE);
    api.create(&PostParams::default(), &policy).await?;
    Ok(())
}

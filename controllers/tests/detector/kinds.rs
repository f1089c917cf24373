//! Kinds besides the usual ones.

use crds::{policy::ClusterPropagationPolicy, work::ClusterResourceBinding};
use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Event},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::case::{
    CPP_ID, Case, PP_ID, annotation, cpp, create, finish_binding, poll, selects, until,
};

/// Two kinds of one name in different groups want the same binding.
pub(crate) async fn name_collision(client: &Client) {
    let case = Case::new(client, "collision").await;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    create(
        &crds,
        crd("configmaps", "ConfigMap", "collision.example.com"),
    )
    .await;
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}});
    create::<ConfigMap>(&case.api(), object).await;
    let core = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "conf"});
    case.policy("core", selects(&json!([core]))).await;
    case.bound("conf-configmap", "core").await;

    let (api, object) = custom(
        &case,
        "configmaps",
        "ConfigMap",
        "collision.example.com",
        "conf",
    );
    create_served(&api, &object).await;
    let other =
        json!({"apiVersion": "collision.example.com/v1", "kind": "ConfigMap", "name": "conf"});
    case.policy("other", selects(&json!([other]))).await;
    let events = case.api::<Event>();
    let params = ListParams::default().fields("reason=ApplyPolicyFailed");
    let ask = || async { events.list(&params).await.unwrap().items };
    let found = poll("told", ask, |events| !events.is_empty()).await;
    let message = found[0].message.clone().unwrap();
    assert!(
        message.contains("ConfigMap collision/conf (v1) has the same name"),
        "{message}"
    );
    let refused = api.get("conf").await.unwrap();
    assert!(!refused.labels().contains_key(PP_ID), "nothing is written");

    // The name gets free.
    case.api::<ConfigMap>()
        .delete("conf", &DeleteParams::default())
        .await
        .unwrap();
    finish_binding(&case, "conf-configmap").await;
    case.bound("conf-configmap", "other").await;
}

pub(crate) fn crd(plural: &str, kind: &str, group: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    })
}

pub(crate) fn custom(
    case: &Case,
    plural: &str,
    kind: &str,
    group: &str,
    name: &str,
) -> (Api<DynamicObject>, DynamicObject) {
    let resource = ApiResource {
        group: group.into(),
        version: "v1".into(),
        api_version: format!("{group}/v1"),
        kind: kind.into(),
        plural: plural.into(),
    };
    let api = Api::namespaced_with(case.client.clone(), &case.namespace, &resource);
    (api, DynamicObject::new(name, &resource))
}

/// Creates an object as soon as its kind is served.
pub(crate) async fn create_served(api: &Api<DynamicObject>, object: &DynamicObject) {
    poll(
        "served",
        || async { api.create(&PostParams::default(), object).await },
        Result::is_ok,
    )
    .await
    .unwrap();
}

pub(crate) async fn cluster_role(client: &Client) {
    let api: Api<ClusterRole> = Api::all(client.clone());
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "system:demo"}, "rules": [],
    });
    create(&api, object).await;
    let selector = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "system:demo"});
    let policies: Api<ClusterPropagationPolicy> = Api::all(client.clone());
    create(&policies, cpp("roles", &selects(&json!([selector])))).await;
    let bindings: Api<ClusterResourceBinding> = Api::all(client.clone());
    let binding = until(&bindings, "system.demo-clusterrole", "bound", |_| true).await;
    assert_eq!(
        annotation(&binding, "clusterpropagationpolicy.karmada.io/name"),
        Some("roles")
    );
    assert_eq!(
        binding.finalizers(),
        ["karmada.io/cluster-resource-binding-controller"]
    );
    assert_eq!(binding.spec.resource.namespace, None);
    let role = api.get("system:demo").await.unwrap();
    assert_eq!(role.labels()[CPP_ID], binding.labels()[CPP_ID]);
    let policy = policies.get("roles").await.unwrap();
    assert_eq!(
        policy.finalizers(),
        ["karmada.io/cluster-propagation-policy-controller"]
    );
}

/// A kind that did not exist when the process started.
pub(crate) async fn custom_resource(client: &Client) {
    let case = Case::new(client, "custom").await;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    create(&crds, crd("widgets", "Widget", "custom.example.com")).await;
    let selector = json!({"apiVersion": "custom.example.com/v1", "kind": "Widget"});
    case.policy("pol", selects(&json!([selector]))).await;
    let (api, object) = custom(&case, "widgets", "Widget", "custom.example.com", "w");
    create_served(&api, &object).await;
    let binding = case.bound("w-widget", "pol").await;
    assert_eq!(binding.spec.replicas, None);
}

//! Templates and bindings that are deleted.

use crds::work::ResourceBinding;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Client, ResourceExt,
    api::{DeleteParams, PropagationPolicy as Deletion},
};
use serde_json::json;

use crate::case::{Case, deployments, finish_binding, gone};

pub(crate) async fn template_deleted(client: &Client) {
    let case = Case::new(client, "template-deleted").await;
    case.deployment("web", json!({})).await;
    case.policy("pol", deployments(&json!({}))).await;
    let first = case.bound("web-deployment", "pol").await;
    let templates = case.api::<Deployment>();
    templates
        .delete("web", &DeleteParams::background())
        .await
        .unwrap();
    // Comes back before its binding has gone.
    case.deployment("web", json!({})).await;
    finish_binding(&case, "web-deployment").await;
    let second = case.bound("web-deployment", "pol").await;
    assert_ne!(first.uid(), second.uid());
    // In the foreground the template waits for its binding, and nobody makes a new one.
    let foreground = DeleteParams {
        propagation_policy: Some(Deletion::Foreground),
        ..DeleteParams::default()
    };
    templates.delete("web", &foreground).await.unwrap();
    finish_binding(&case, "web-deployment").await;
    gone(&templates, "web").await;
    gone(&case.api::<ResourceBinding>(), "web-deployment").await;
}

pub(crate) async fn binding_deleted(client: &Client) {
    let case = Case::new(client, "binding-deleted").await;
    case.deployment("web", json!({})).await;
    case.policy("pol", deployments(&json!({}))).await;
    let first = case.bound("web-deployment", "pol").await;
    let api = case.api::<ResourceBinding>();
    api.delete("web-deployment", &DeleteParams::default())
        .await
        .unwrap();
    finish_binding(&case, "web-deployment").await;
    let second = case.bound("web-deployment", "pol").await;
    assert_ne!(first.uid(), second.uid());
}

//! Policies that wait for something.

use crds::{
    policy::{OverridePolicy, PropagationPolicy},
    work::ResourceBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::case::{Case, PP_ID, create, deployments, events_about, merge, until};

pub(crate) async fn override_awaited(client: &Client) {
    let case = Case::new(client, "override-awaited").await;
    case.deployment("web", json!({})).await;
    let mut spec = deployments(&json!({}));
    spec["dependentOverrides"] = json!(["op"]);
    case.policy("pol", spec).await;
    let events = events_about(&case, "pol", "ApplyPolicyFailed").await;
    assert_eq!(
        events["ApplyPolicyFailed"],
        "Apply policy(override-awaited/pol) failed: waiting for dependent OverridePolicy op to be created"
    );
    let template = case.api::<Deployment>().get("web").await.unwrap();
    assert!(!template.labels().contains_key(PP_ID));
    let object = json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "OverridePolicy",
        "metadata": {"name": "op"},
        "spec": {"overrideRules": [{"overriders": {"labelsOverrider": [{"operator": "add", "value": {"a": "b"}}]}}]},
    });
    create::<OverridePolicy>(&case.api(), object).await;
    case.bound("web-deployment", "pol").await;
    // What went wrong before is told to go well.
    let events = events_about(&case, "web", "ApplyPolicySucceed").await;
    assert_eq!(
        events["ApplyPolicySucceed"],
        "Apply policy(override-awaited/pol) succeed"
    );
}

pub(crate) async fn lazy_policy(client: &Client) {
    let case = Case::new(client, "lazy").await;
    case.deployment("waiting", json!({})).await;
    let mut spec = deployments(&json!({}));
    spec["activationPreference"] = json!("Lazy");
    // What is there before the policy is only claimed.
    let bystander = deployments(&json!({"name": "marker"}));
    case.policy("bystander", bystander).await;
    case.deployment("marker", json!({})).await;
    case.bound("marker-deployment", "bystander").await;
    case.policy("pol", spec.clone()).await;
    case.claimed("waiting", "pol").await;
    // A template that comes later is bound at once.
    case.deployment("later", json!({})).await;
    case.bound("later-deployment", "pol").await;
    let bindings = case.api::<ResourceBinding>();
    assert!(
        bindings
            .get_opt("waiting-deployment")
            .await
            .unwrap()
            .is_none()
    );

    // A user's change activates it.
    merge::<Deployment>(&case.api(), "waiting", json!({"spec": {"replicas": 2}})).await;
    case.bound("waiting-deployment", "pol").await;

    // A change of the policy waits for the next change of each template.
    spec["placement"]["clusterAffinity"]["clusterNames"] = json!(["member2"]);
    merge::<PropagationPolicy>(&case.api(), "pol", json!({ "spec": spec })).await;
    merge::<Deployment>(&case.api(), "later", json!({"spec": {"replicas": 2}})).await;
    let moved = |it: &ResourceBinding| {
        serde_json::to_value(&it.spec.placement).unwrap()["clusterAffinity"]["clusterNames"]
            == json!(["member2"])
    };
    until(&bindings, "later-deployment", "moved", moved).await;
    assert!(!moved(&bindings.get("waiting-deployment").await.unwrap()));
}

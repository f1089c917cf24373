//! Which policy gets a template, and when it has to let go.

use crds::{policy::PropagationPolicy, work::ResourceBinding};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Event};
use kube::{
    Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

use crate::case::{Case, PP_ID, deployments, gone, merge, poll, until};

pub(crate) async fn template_first(client: &Client) {
    let case = Case::new(client, "template-first").await;
    let template = case.deployment("web", json!({"app": "web"})).await;
    let policy = case
        .policy("pol", deployments(&json!({"name": "web"})))
        .await;
    let claimed = case.claimed("web", "pol").await;
    let binding = case.bound("web-deployment", "pol").await;

    let policy = until(
        &case.api(),
        &policy.name_any(),
        "complete",
        |it: &PropagationPolicy| it.labels().contains_key(PP_ID),
    )
    .await;
    assert_eq!(
        policy.finalizers(),
        ["karmada.io/propagation-policy-controller"]
    );
    let id = &policy.labels()[PP_ID];
    assert_eq!(claimed.labels()[PP_ID], *id);
    assert_eq!(claimed.labels()["app"], "web", "the user's labels stay");
    assert_eq!(claimed.metadata.generation, Some(2));

    let binding = serde_json::to_value(&binding).unwrap();
    let uid = template.uid().unwrap();
    let metadata = &binding["metadata"];
    assert_eq!(metadata["labels"][PP_ID], **id);
    assert!(metadata["labels"]["resourcebinding.karmada.io/permanent-id"].is_string());
    assert_eq!(
        metadata["annotations"]["propagationpolicy.karmada.io/namespace"],
        "template-first"
    );
    assert_eq!(
        metadata["finalizers"],
        json!(["karmada.io/binding-controller"])
    );
    assert_eq!(
        metadata["ownerReferences"],
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": true, "blockOwnerDeletion": true}])
    );
    assert_eq!(
        binding["spec"],
        json!({
            "conflictResolution": "Abort",
            "placement": {"clusterAffinity": {"clusterNames": ["member1"]}},
            "replicaRequirements": {"resourceRequest": {"cpu": "10m", "memory": "16Mi"}},
            "replicas": 4,
            "resource": {
                "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "template-first", "name": "web",
                "uid": uid, "resourceVersion": claimed.resource_version().unwrap(),
            },
            "schedulerName": "default-scheduler",
        })
    );

    // An edit reaches the binding.
    merge::<Deployment>(&case.api(), "web", json!({"spec": {"replicas": 6}})).await;
    until(
        &case.api(),
        "web-deployment",
        "scaled",
        |it: &ResourceBinding| it.spec.replicas == Some(6),
    )
    .await;
}

pub(crate) async fn policy_first(client: &Client) {
    let case = Case::new(client, "policy-first").await;
    let policy = deployments(&json!({"labelSelector": {"matchLabels": {"tier": "front"}}}));
    case.policy("pol", policy).await;
    case.deployment("other", json!({"tier": "back"})).await;
    case.deployment("web", json!({"tier": "front"})).await;
    case.claimed("web", "pol").await;
    case.bound("web-deployment", "pol").await;
    let other = case.api::<Deployment>().get("other").await.unwrap();
    assert!(!other.labels().contains_key(PP_ID));
}

pub(crate) async fn policy_deleted(client: &Client) {
    let case = Case::new(client, "policy-deleted").await;
    case.deployment("web", json!({})).await;
    case.policy("pol", deployments(&json!({}))).await;
    let binding = case.bound("web-deployment", "pol").await;
    let api = case.api::<PropagationPolicy>();
    api.delete("pol", &DeleteParams::default()).await.unwrap();
    gone(&api, "pol").await;
    // Everything was let go before the policy went.
    let template = case.api::<Deployment>().get("web").await.unwrap();
    let released = case
        .api::<ResourceBinding>()
        .get("web-deployment")
        .await
        .unwrap();
    for (labels, annotations) in [
        (template.labels(), template.annotations()),
        (released.labels(), released.annotations()),
    ] {
        assert!(
            labels
                .keys()
                .chain(annotations.keys())
                .all(|key| !key.starts_with("propagationpolicy"))
        );
    }
    assert_eq!(released.spec, binding.spec);
    assert_eq!(released.uid(), binding.uid());
}

pub(crate) async fn selector_changed(client: &Client) {
    let case = Case::new(client, "selector-changed").await;
    case.deployment("old", json!({})).await;
    case.deployment("new", json!({})).await;
    case.policy("pol", deployments(&json!({"name": "old"})))
        .await;
    case.bound("old-deployment", "pol").await;
    merge::<PropagationPolicy>(
        &case.api(),
        "pol",
        json!({"spec": deployments(&json!({"name": "new"}))}),
    )
    .await;
    case.bound("new-deployment", "pol").await;
    until(&case.api(), "old", "released", |it: &Deployment| {
        !it.labels().contains_key(PP_ID)
    })
    .await;
    let binding = case
        .api::<ResourceBinding>()
        .get("old-deployment")
        .await
        .unwrap();
    assert!(!binding.labels().contains_key(PP_ID));

    // Another placement reaches the bindings of the claimed.
    let mut spec = deployments(&json!({"name": "new"}));
    spec["placement"]["clusterAffinity"]["clusterNames"] = json!(["member2"]);
    merge::<PropagationPolicy>(&case.api(), "pol", json!({ "spec": spec })).await;
    until(
        &case.api(),
        "new-deployment",
        "refreshed",
        |it: &ResourceBinding| {
            serde_json::to_value(&it.spec.placement).unwrap()["clusterAffinity"]["clusterNames"]
                == json!(["member2"])
        },
    )
    .await;
}

pub(crate) async fn another_policy_takes_over(client: &Client) {
    let case = Case::new(client, "takes-over").await;
    case.deployment("web", json!({})).await;
    case.policy("first", deployments(&json!({}))).await;
    let binding = case.bound("web-deployment", "first").await;
    // Fits more closely and has a higher priority, but the claim holds.
    let mut spec = deployments(&json!({"name": "web"}));
    spec["priority"] = json!(7);
    case.policy("second", spec).await;
    until(
        &case.api(),
        "second",
        "complete",
        |it: &PropagationPolicy| it.labels().contains_key(PP_ID),
    )
    .await;
    case.claimed("web", "first").await;
    let api = case.api::<PropagationPolicy>();
    api.delete("first", &DeleteParams::default()).await.unwrap();
    case.claimed("web", "second").await;
    let taken = case.bound("web-deployment", "second").await;
    assert_eq!(taken.uid(), binding.uid());
}

pub(crate) async fn preempted(client: &Client) {
    let case = Case::new(client, "preempted").await;
    case.deployment("web", json!({})).await;
    case.policy("low", deployments(&json!({"name": "web"})))
        .await;
    let binding = case.bound("web-deployment", "low").await;
    let mut spec = deployments(&json!({"name": "web"}));
    spec["priority"] = json!(5);
    spec["preemption"] = json!("Always");
    case.policy("high", spec).await;
    case.claimed("web", "high").await;
    let taken = case.bound("web-deployment", "high").await;
    assert_eq!(taken.uid(), binding.uid());
    let events = case.api::<Event>();
    let params = ListParams::default().fields("reason=PreemptPolicySucceed");
    let ask = || async { events.list(&params).await.unwrap().items };
    let found = poll("told", ask, |events| !events.is_empty()).await;
    assert_eq!(
        found[0].message.as_deref(),
        Some(
            "Propagation policy(preempted/high) preempted propagation policy(preempted/low) successfully"
        )
    );

    // Lowered below a policy that preempts: that one gets its chance.
    let mut spec = deployments(&json!({"name": "web"}));
    spec["priority"] = json!(3);
    spec["preemption"] = json!("Always");
    case.policy("middle", spec).await;
    until(
        &case.api(),
        "middle",
        "complete",
        |it: &PropagationPolicy| it.labels().contains_key(PP_ID),
    )
    .await;
    case.claimed("web", "high").await;
    merge::<PropagationPolicy>(&case.api(), "high", json!({"spec": {"priority": 1}})).await;
    case.bound("web-deployment", "middle").await;
}

pub(crate) async fn label_edited(client: &Client) {
    let case = Case::new(client, "label-edited").await;
    let selector = json!({"labelSelector": {"matchLabels": {"tier": "front"}}});
    case.deployment("web", json!({"tier": "front"})).await;
    case.policy("pol", deployments(&selector)).await;
    case.bound("web-deployment", "pol").await;
    merge::<Deployment>(
        &case.api(),
        "web",
        json!({"metadata": {"labels": {"tier": "back"}}}),
    )
    .await;
    until(&case.api(), "web", "released", |it: &Deployment| {
        !it.labels().contains_key(PP_ID)
    })
    .await;
    let binding = case
        .api::<ResourceBinding>()
        .get("web-deployment")
        .await
        .unwrap();
    assert!(!binding.labels().contains_key(PP_ID));
}

pub(crate) async fn claim_removed_by_hand(client: &Client) {
    let case = Case::new(client, "by-hand").await;
    case.deployment("web", json!({})).await;
    case.policy("pol", deployments(&json!({}))).await;
    case.bound("web-deployment", "pol").await;
    for metadata in [
        json!({"labels": {PP_ID: null}}),
        json!({"annotations": {"propagationpolicy.karmada.io/name": null}}),
    ] {
        merge::<Deployment>(&case.api(), "web", json!({ "metadata": metadata })).await;
        case.claimed("web", "pol").await;
    }
    let labels = json!({"metadata": {"labels": {PP_ID: null}}});
    merge::<ResourceBinding>(&case.api(), "web-deployment", labels).await;
    until(
        &case.api(),
        "web-deployment",
        "mended",
        |it: &ResourceBinding| it.labels().contains_key(PP_ID),
    )
    .await;
}

/// A policy that loses its label gets it back, and lets go of everything when it is deleted.
pub(crate) async fn id_lost(client: &Client) {
    let case = Case::new(client, "id-lost").await;
    case.deployment("web", json!({})).await;
    case.policy("pol", deployments(&json!({}))).await;
    case.bound("web-deployment", "pol").await;
    let id = case.claimed("web", "pol").await.labels()[PP_ID].clone();
    let api = case.api::<PropagationPolicy>();
    let labels = json!({"metadata": {"labels": {PP_ID: null}}});
    merge::<PropagationPolicy>(&api, "pol", labels).await;
    until(&api, "pol", "itself again", |it: &PropagationPolicy| {
        it.labels().get(PP_ID) == Some(&id)
    })
    .await;
}

/// A policy whose label somebody edits keeps its templates, and lets go of everything when it is deleted.
pub(crate) async fn id_edited(client: &Client) {
    let case = Case::new(client, "id-edited").await;
    case.deployment("web", json!({})).await;
    case.policy("pol", deployments(&json!({}))).await;
    case.bound("web-deployment", "pol").await;
    let api = case.api::<PropagationPolicy>();
    let other = "00000000-0000-4000-8000-000000000001";
    let labels = json!({"metadata": {"labels": {PP_ID: other}}});
    merge::<PropagationPolicy>(&api, "pol", labels).await;
    until(&case.api(), "web", "claimed anew", |it: &Deployment| {
        it.labels().get(PP_ID).map(String::as_str) == Some(other)
    })
    .await;
    until(
        &case.api(),
        "web-deployment",
        "claimed anew",
        |it: &ResourceBinding| it.labels().get(PP_ID).map(String::as_str) == Some(other),
    )
    .await;
    // Edited and deleted in one breath: the claims carry the old id still.
    let labels = json!({"metadata": {"labels": {PP_ID: "00000000-0000-4000-8000-000000000002"}}});
    merge::<PropagationPolicy>(&api, "pol", labels).await;
    api.delete("pol", &DeleteParams::default()).await.unwrap();
    gone(&api, "pol").await;
    let template = case.api::<Deployment>().get("web").await.unwrap();
    assert!(!template.labels().contains_key(PP_ID), "{template:#?}");
}

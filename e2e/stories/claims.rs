//! Bindings that somebody edits, and names that two kinds share.

use serde_json::{Value, json};

use crate::stage::{Scene, clusters, config_map, deployment, on, policy};

const BINDINGS: &str = "resourcebindings.work.karmada.io";

#[tokio::test]
async fn an_edited_binding_is_put_right_at_once() {
    let scene = Scene::open("edit-binding").await;
    scene.apply(&(deployment(2) + &policy("web", "apps/v1", "Deployment", &on("member1"))));
    let right = |it: &Value| {
        it["spec"]["placement"]["clusterAffinity"]["clusterNames"] == json!(["member1"])
            && it["spec"]["replicas"] == 2
            && it["spec"]["conflictResolution"] == "Abort"
            && it["metadata"]["annotations"]["propagationpolicy.karmada.io/name"] == "web"
            && clusters(it) == "member1:2"
    };
    let before = scene
        .until("control", BINDINGS, "web-deployment", "scheduled", right)
        .await;
    let edit = json!({
        "metadata": {"annotations": {"propagationpolicy.karmada.io/name": null}},
        "spec": {
            "placement": {"clusterAffinity": {"clusterNames": ["member2"]}},
            "replicas": 9, "conflictResolution": "Overwrite",
        },
    });
    let text = edit.to_string();
    scene.merge("control", "rb", "web-deployment", &text);
    let generation = before["metadata"]["generation"].as_i64().unwrap();
    scene
        .until(
            "control",
            BINDINGS,
            "web-deployment",
            "put right",
            move |it| it["metadata"]["generation"].as_i64() > Some(generation) && right(it),
        )
        .await;
    let template = scene
        .object("control", "deployments.apps", "web")
        .await
        .unwrap();
    assert_eq!(template["spec"]["replicas"], 2);
    scene
        .until("member1", "deployments.apps", "web", "as before", |it| {
            it["spec"]["replicas"] == 2
        })
        .await;
}

#[tokio::test]
async fn half_a_claim_is_made_whole() {
    let scene = Scene::open("half-claim").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let whole = |it: &Value| {
        it["metadata"]["annotations"]["propagationpolicy.karmada.io/name"] == "settings"
            && it["metadata"]["annotations"]["propagationpolicy.karmada.io/namespace"]
                == "half-claim"
            && it["metadata"]["labels"]["propagationpolicy.karmada.io/permanent-id"].is_string()
    };
    scene
        .until("control", "configmaps", "settings", "claimed", whole)
        .await;
    // A better policy that does not preempt must not profit.
    scene.apply(&policy("a-better", "v1", "ConfigMap", &on("member2")));
    for key in [
        "propagationpolicy.karmada.io/name",
        "propagationpolicy.karmada.io/namespace",
    ] {
        scene.kubectl(
            "control",
            &["annotate", "configmap", "settings", &format!("{key}-")],
        );
        scene
            .until("control", "configmaps", "settings", "claimed again", whole)
            .await;
    }
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    assert!(
        scene
            .object("member2", "configmaps", "settings")
            .await
            .is_none()
    );
}

#[tokio::test]
async fn the_second_of_two_kinds_of_one_name_is_told_so_and_gets_its_turn() {
    let scene = Scene::open("collision").await;
    scene.apply(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: limitranges.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: limitranges, singular: limitrange, kind: LimitRange}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
",
    );
    scene.kubectl(
        "control",
        &[
            "wait",
            "--for=condition=Established",
            "crd/limitranges.shop.example.com",
            "--timeout=60s",
        ],
    );
    scene.apply(
        &("apiVersion: v1
kind: LimitRange
metadata: {name: twin, namespace: {ns}}
spec: {limits: [{type: Container, default: {cpu: 100m}}]}
"
        .to_owned()
            + &policy("core", "v1", "LimitRange", &on("member1"))),
    );
    scene
        .until("control", BINDINGS, "twin-limitrange", "there", |_| true)
        .await;
    scene.apply(
        &("apiVersion: shop.example.com/v1\nkind: LimitRange\nmetadata: {name: twin, namespace: {ns}}\n".to_owned()
            + &policy("shop", "shop.example.com/v1", "LimitRange", &on("member2"))),
    );
    scene
        .until_event(
            "twin",
            "ApplyPolicyFailed",
            "LimitRange collision/twin (shop.example.com/v1) cannot be propagated: LimitRange collision/twin (v1) has the same name",
        )
        .await;
    let kept = scene
        .object("control", BINDINGS, "twin-limitrange")
        .await
        .unwrap();
    assert_eq!(kept["spec"]["resource"]["apiVersion"], "v1");
    scene.kubectl("control", &["delete", "limitranges", "twin"]);
    scene
        .until(
            "control",
            BINDINGS,
            "twin-limitrange",
            "of the other",
            |it| it["spec"]["resource"]["apiVersion"] == "shop.example.com/v1",
        )
        .await;
    scene.kubectl(
        "control",
        &["delete", "crd", "limitranges.shop.example.com"],
    );
}

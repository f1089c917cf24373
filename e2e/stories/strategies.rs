//! How member objects are updated: replaced, applied or left alone.

use serde_json::json;

use crate::stage::{Scene, item, on, policy};

const BINDING: &str = "resourcebindings.work.karmada.io";

/// A `ConfigMap` that asks for a strategy.
fn settings(strategy: &str, data: &str) -> String {
    format!(
        "
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: {{ns}}
  annotations: {{navarch.dev/update-strategy: {strategy}}}
data: {data}
---
"
    )
}

fn everywhere() -> String {
    policy("settings", "v1", "ConfigMap", &on("member1"))
}

#[tokio::test]
async fn what_is_applied_keeps_what_others_add_and_loses_what_the_template_loses() {
    let scene = Scene::open("strategy-apply").await;
    let template = |data: &str| settings("ServerSideApply", data);
    let first = template("{color: blue, size: large}");
    scene.apply(&(first + &everywhere()));
    scene
        .until("member1", "configmaps", "settings", "there", |it| {
            it["data"] == json!({"color": "blue", "size": "large"})
        })
        .await;

    // A controller of the member adds a key and changes one of ours.
    let patch = "{\"data\": {\"theirs\": \"1\", \"color\": \"red\"}}";
    scene.merge("member1", "configmap", "settings", patch);
    scene
        .until("member1", "configmaps", "settings", "mended", |it| {
            it["data"] == json!({"color": "blue", "size": "large", "theirs": "1"})
        })
        .await;

    scene.apply(&template("{color: blue}"));
    scene
        .until("member1", "configmaps", "settings", "without", |it| {
            it["data"] == json!({"color": "blue", "theirs": "1"})
        })
        .await;

    // Replaced from now on, it has what the template says and nothing else.
    scene.apply(&settings("Replace", "{color: blue}"));
    scene
        .until("member1", "configmaps", "settings", "replaced", |it| {
            it["data"] == json!({"color": "blue"})
                && it["metadata"]["annotations"]["navarch.dev/applied-manifest"].is_null()
        })
        .await;
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene.until_gone("member1", "configmaps", "settings").await;
}

#[tokio::test]
async fn what_is_only_created_is_the_members_own_until_its_template_goes() {
    let scene = Scene::open("strategy-create").await;
    scene.apply(&(settings("CreateOnly", "{color: blue}") + &everywhere()));
    scene.applied("settings-configmap").await;
    let patch = "{\"data\": {\"color\": \"red\"}}";
    scene.merge("member1", "configmap", "settings", patch);
    scene.apply(&settings("CreateOnly", "{color: green}"));
    scene.meanwhile("later").await;
    let object = scene.object("member1", "configmaps", "settings").await;
    assert_eq!(object.unwrap()["data"]["color"], "red");

    scene.kubectl("member1", &["delete", "configmap", "settings"]);
    scene
        .until("member1", "configmaps", "settings", "made again", |it| {
            it["data"]["color"] == "green"
        })
        .await;
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene.until_gone("member1", "configmaps", "settings").await;
}

#[tokio::test]
async fn a_strategy_that_does_not_exist_is_refused_with_its_names() {
    let scene = Scene::open("strategy-unknown").await;
    scene.apply(&(settings("Recreate", "{color: blue}") + &everywhere()));
    scene
        .until("control", BINDING, "settings-configmap", "refused", |it| {
            let message = item(it, "member1")["appliedMessage"].as_str();
            message.is_some_and(|message| {
                message
                    .contains("is \"Recreate\"; it must be Replace, ServerSideApply or CreateOnly")
            })
        })
        .await;
}

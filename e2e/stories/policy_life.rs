//! What becomes of template, binding and member objects when policies and claims change.

use serde_json::Value;

use crate::stage::{BINDINGS, Scene, clusters, condition, config_map, on, policy};

const ID: &str = "propagationpolicy.karmada.io/permanent-id";
const NAME: &str = "propagationpolicy.karmada.io/name";
const CLUSTER_ID: &str = "clusterpropagationpolicy.karmada.io/permanent-id";
const CLUSTER_NAME: &str = "clusterpropagationpolicy.karmada.io/name";

fn label<'v>(object: &'v Value, key: &str) -> &'v Value {
    &object["metadata"]["labels"][key]
}

fn annotation<'v>(object: &'v Value, key: &str) -> &'v Value {
    &object["metadata"]["annotations"][key]
}

fn cluster_policy(name: &str, to: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {{name: {name}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, namespace: {{ns}}}}]
  placement: {{clusterAffinity: {{clusterNames: [{to}]}}}}
"
    )
}

/// A policy for each `ConfigMap` with a label.
fn labelled(name: &str, team: &str, to: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: {name}, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, labelSelector: {{matchLabels: {{team: {team}}}}}}}]
  placement: {{clusterAffinity: {{clusterNames: [{to}]}}}}
"
    )
}

#[tokio::test]
async fn a_claim_that_a_user_takes_off_comes_back() {
    let scene = Scene::open("unclaim").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let before = scene.applied("settings-configmap").await;
    let id = label(&before, ID).clone();
    assert!(id.is_string());
    let whole = |it: &Value| *label(it, ID) == id && *annotation(it, NAME) == "settings";
    // The label, an annotation, both.
    for args in [
        vec![
            "label",
            "configmap",
            "settings",
            "propagationpolicy.karmada.io/permanent-id-",
        ],
        vec![
            "annotate",
            "configmap",
            "settings",
            "propagationpolicy.karmada.io/name-",
        ],
        vec![
            "annotate",
            "configmap",
            "settings",
            "propagationpolicy.karmada.io/name-",
            "propagationpolicy.karmada.io/namespace-",
        ],
        vec![
            "label",
            "rb",
            "settings-configmap",
            "propagationpolicy.karmada.io/permanent-id-",
        ],
    ] {
        scene.kubectl("control", &args);
        scene
            .until("control", "configmaps", "settings", "claimed again", whole)
            .await;
        scene
            .binding("settings-configmap", "claimed again", whole)
            .await;
    }
    let after = scene.applied("settings-configmap").await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

#[tokio::test]
async fn a_template_that_stops_matching_is_let_go_and_keeps_running() {
    let scene = Scene::open("unmatch").await;
    scene.apply(
        "apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: {ns}, labels: {team: a}}
data: {color: blue}
",
    );
    scene.apply(&labelled("a", "a", "member1"));
    scene.applied("settings-configmap").await;
    let first = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    scene.kubectl(
        "control",
        &["label", "--overwrite", "configmap", "settings", "team=b"],
    );
    let is_free = |it: &Value| label(it, ID).is_null() && annotation(it, NAME).is_null();
    scene
        .until("control", "configmaps", "settings", "free", is_free)
        .await;
    let binding = scene.binding("settings-configmap", "free", is_free).await;
    assert_eq!(clusters(&binding), "member1");
    // Another policy takes over the same binding, and moves the object.
    scene.apply(&labelled("b", "b", "member2"));
    let moved = scene
        .binding("settings-configmap", "moved", |it| {
            clusters(it) == "member2" && *annotation(it, NAME) == "b"
        })
        .await;
    assert_eq!(moved["metadata"]["uid"], binding["metadata"]["uid"]);
    scene
        .until("member2", "configmaps", "settings", "there", |_| true)
        .await;
    scene.until_gone("member1", "configmaps", "settings").await;
    assert!(first["metadata"]["uid"].is_string());
}

#[tokio::test]
async fn a_policy_edit_releases_what_it_no_longer_selects() {
    let scene = Scene::open("release").await;
    for name in ["kept", "left"] {
        scene.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {{ns}}}}\ndata: {{v: '1'}}\n"
        ));
    }
    let selecting = |names: &[&str], to: &str| {
        let selectors: Vec<String> = names
            .iter()
            .map(|name| format!("{{apiVersion: v1, kind: ConfigMap, name: {name}}}"))
            .collect();
        format!(
            "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: both, namespace: {{ns}}}}
spec:
  resourceSelectors: [{}]
  placement: {{clusterAffinity: {{clusterNames: [{to}]}}}}
",
            selectors.join(", ")
        )
    };
    scene.apply(&selecting(&["kept", "left"], "member1"));
    for name in ["kept", "left"] {
        scene.applied(&format!("{name}-configmap")).await;
    }
    scene.apply(&selecting(&["kept"], "member2"));
    let binding = scene
        .binding("left-configmap", "released", |it| label(it, ID).is_null())
        .await;
    scene
        .until("control", "configmaps", "left", "released", |it| {
            label(it, ID).is_null() && annotation(it, NAME).is_null()
        })
        .await;
    scene
        .until("member2", "configmaps", "kept", "there", |_| true)
        .await;
    scene.until_gone("member1", "configmaps", "kept").await;
    assert_eq!(clusters(&binding), "member1");
    assert!(
        scene
            .object("member1", "configmaps", "left")
            .await
            .is_some()
    );
    // Nothing of it is lost: the old Work still corrects the member.
    scene.kubectl("member1", &["delete", "configmap", "left"]);
    scene
        .until("member1", "configmaps", "left", "there again", |_| true)
        .await;
}

#[tokio::test]
async fn a_deleted_policy_leaves_its_templates_to_the_next_best() {
    let scene = Scene::open("next-best").await;
    let cluster_wide = "next-best-all";
    scene.apply(&(config_map("blue") + &policy("own", "v1", "ConfigMap", &on("member1"))));
    let first = scene.applied("settings-configmap").await;
    scene.apply(&cluster_policy(cluster_wide, "member1, member2"));
    scene.kubectl("control", &["delete", "propagationpolicy", "own"]);
    let second = scene
        .binding("settings-configmap", "the cluster policy's", |it| {
            *annotation(it, CLUSTER_NAME) == cluster_wide && clusters(it) == "member1 member2"
        })
        .await;
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    assert!(label(&second, ID).is_null() && annotation(&second, NAME).is_null());
    scene
        .until(
            "control",
            "configmaps",
            "settings",
            "the cluster policy's",
            |it| label(it, CLUSTER_ID).is_string() && label(it, ID).is_null(),
        )
        .await;
    scene
        .until("member2", "configmaps", "settings", "there", |_| true)
        .await;

    // A namespaced policy that comes later takes nothing from a cluster policy, unless it preempts.
    scene.apply(&policy("late", "v1", "ConfigMap", &on("member3")));
    scene.meanwhile("probe").await;
    let third = scene.applied("settings-configmap").await;
    assert_eq!(*annotation(&third, CLUSTER_NAME), cluster_wide);
    assert_eq!(clusters(&third), "member1 member2");

    // With the cluster policy gone it is next in line.
    scene.kubectl("control", &["delete", "cpp", cluster_wide]);
    scene
        .binding("settings-configmap", "the late policy's", |it| {
            *annotation(it, NAME) == "late"
                && annotation(it, CLUSTER_NAME).is_null()
                && clusters(it) == "member3"
        })
        .await;
    scene
        .until("member3", "configmaps", "settings", "there", |_| true)
        .await;
    scene.until_gone("member1", "configmaps", "settings").await;
}

#[tokio::test]
async fn what_a_deleted_policy_leaves_behind_stays_as_it_is() {
    let scene = Scene::open("orphaned").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let before = scene.applied("settings-configmap").await;
    scene.kubectl("control", &["delete", "propagationpolicy", "settings"]);
    let after = scene
        .binding("settings-configmap", "free", |it| label(it, ID).is_null())
        .await;
    assert_eq!(after["spec"], before["spec"]);
    let placement = "policy.karmada.io/applied-placement";
    assert_eq!(
        annotation(&after, placement),
        annotation(&before, placement)
    );
    assert_eq!(
        condition(&after, "FullyApplied"),
        "True/FullyAppliedSuccess"
    );
    // Edits of the template go nowhere by themselves, and the member object keeps even the claim.
    scene.apply(&config_map("green"));
    scene.meanwhile("probe").await;
    let object = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(object["data"]["color"], "blue");
    assert_eq!(*annotation(&object, NAME), "settings");
    // Drift is still reset to the last Work.
    let before = object["metadata"]["resourceVersion"].clone();
    scene.merge(
        "member1",
        "configmap",
        "settings",
        "{\"data\":{\"color\":\"red\"}}",
    );
    scene
        .until("member1", "configmaps", "settings", "reset", move |it| {
            it["data"]["color"] == "blue" && it["metadata"]["resourceVersion"] != before
        })
        .await;
    // A template that goes takes everything along, with or without a policy.
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene.until_gone("member1", "configmaps", "settings").await;
    scene
        .until_gone("control", BINDINGS, "settings-configmap")
        .await;
}

#[tokio::test]
async fn a_template_made_again_under_its_name_gets_a_binding_of_its_own() {
    let scene = Scene::open("again").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let first = scene.applied("settings-configmap").await;
    let old = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    // The member holds on to the object for a while.
    scene.merge(
        "member1",
        "configmap",
        "settings",
        "{\"metadata\":{\"finalizers\":[\"e2e.example.com/hold\"]}}",
    );
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene.apply(&config_map("green"));
    let uid = first["metadata"]["uid"].clone();
    let second = scene
        .binding("settings-configmap", "new and applied", move |it| {
            it["metadata"]["uid"] != uid && condition(it, "FullyApplied").starts_with("True")
        })
        .await;
    let template = scene
        .object("control", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(
        second["metadata"]["ownerReferences"][0]["uid"],
        template["metadata"]["uid"]
    );
    // The object that is going carries the new content, and a fresh one follows it.
    scene
        .until("member1", "configmaps", "settings", "green", |it| {
            it["data"]["color"] == "green"
        })
        .await;
    scene.merge(
        "member1",
        "configmap",
        "settings",
        "{\"metadata\":{\"finalizers\":null}}",
    );
    let uid = old["metadata"]["uid"].clone();
    scene
        .until("member1", "configmaps", "settings", "fresh", move |it| {
            it["data"]["color"] == "green"
                && it["metadata"]["uid"] != uid
                && it["metadata"]["deletionTimestamp"].is_null()
        })
        .await;
    scene.applied("settings-configmap").await;
}

#[tokio::test]
async fn a_template_that_waits_for_its_finalizer_is_still_propagated() {
    let scene = Scene::open("going").await;
    scene.apply(
        "apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: {ns}, finalizers: [e2e.example.com/hold]}
data: {color: blue}
",
    );
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member1")));
    scene.applied("settings-configmap").await;
    let object = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    assert!(object["metadata"]["finalizers"].is_null());
    scene.kubectl(
        "control",
        &["delete", "configmap", "settings", "--wait=false"],
    );
    scene.merge(
        "control",
        "configmap",
        "settings",
        "{\"data\":{\"color\":\"green\"}}",
    );
    scene
        .until("member1", "configmaps", "settings", "green", |it| {
            it["data"]["color"] == "green"
        })
        .await;
    scene.merge(
        "control",
        "configmap",
        "settings",
        "{\"metadata\":{\"finalizers\":null}}",
    );
    scene.until_gone("member1", "configmaps", "settings").await;
}

//! What goes when templates, policies and bindings go.

use crate::stage::{Scene, condition, config_map, deployment, on, policy};

#[tokio::test]
async fn a_deleted_template_leaves_the_members() {
    let scene = Scene::open("delete-template").await;
    scene
        .apply(&(deployment(1) + &policy("web", "apps/v1", "Deployment", &on("member1, member2"))));
    for member in ["member1", "member2"] {
        scene
            .until(member, "deployments.apps", "web", "there", |_| true)
            .await;
    }
    scene.kubectl("control", &["delete", "deployment", "web"]);
    for member in ["member1", "member2"] {
        scene.until_gone(member, "deployments.apps", "web").await;
    }
    scene
        .until_gone(
            "control",
            "resourcebindings.work.karmada.io",
            "web-deployment",
        )
        .await;
}

#[tokio::test]
async fn a_deleted_policy_keeps_what_runs_and_lets_go_of_the_template() {
    let scene = Scene::open("delete-policy").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let before = scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    scene.kubectl("control", &["delete", "propagationpolicy", "settings"]);
    let is_free = |it: &serde_json::Value| {
        it["metadata"]["labels"]["propagationpolicy.karmada.io/permanent-id"].is_null()
            && it["metadata"]["annotations"]["propagationpolicy.karmada.io/name"].is_null()
    };
    scene
        .until("control", "configmaps", "settings", "free", is_free)
        .await;
    scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
            "free",
            is_free,
        )
        .await;
    let after = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    // Another policy takes over where the first one left.
    scene.apply(&policy(
        "second",
        "v1",
        "ConfigMap",
        &on("member1, member3"),
    ));
    scene
        .until("member3", "configmaps", "settings", "there", |_| true)
        .await;
}

#[tokio::test]
async fn a_deleted_binding_comes_back() {
    let scene = Scene::open("delete-binding").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let applied =
        |it: &serde_json::Value| condition(it, "FullyApplied") == "True/FullyAppliedSuccess";
    let first = scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
            "applied",
            applied,
        )
        .await;
    scene.kubectl(
        "control",
        &["delete", "rb", "settings-configmap", "--wait=false"],
    );
    let again = move |it: &serde_json::Value| {
        it["metadata"]["uid"] != first["metadata"]["uid"] && applied(it)
    };
    scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
            "there and applied again",
            again,
        )
        .await;
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
}

#[tokio::test]
async fn a_template_that_is_to_be_preserved_stays_in_the_members() {
    let scene = Scene::open("preserve").await;
    scene.apply(&config_map("blue"));
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: keep, namespace: preserve}
spec:
  preserveResourcesOnDeletion: true
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: settings}]
  placement: {clusterAffinity: {clusterNames: [member1]}}
",
    );
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene
        .until_gone(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
        )
        .await;
    scene
        .until(
            "member1",
            "configmaps",
            "settings",
            "left behind without our marks",
            |it| {
                it["data"]["color"] == "blue"
                    && it["metadata"]["labels"]["karmada.io/managed"].is_null()
            },
        )
        .await;
}

#[tokio::test]
async fn suspended_dispatching_holds_changes_back_until_it_ends() {
    let scene = Scene::open("suspend").await;
    let suspended = |value: &str| {
        format!(
            "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: settings, namespace: suspend}}
spec:
  suspension: {{dispatching: {value}}}
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: settings}}]
  placement: {{clusterAffinity: {{clusterNames: [member1]}}}}
"
        )
    };
    scene.apply(&config_map("blue"));
    scene.apply(&suspended("true"));
    scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
            "scheduled but not applied",
            |it| {
                condition(it, "Scheduled") == "True/Success"
                    && condition(it, "FullyApplied") == "False/FullyAppliedFailed"
            },
        )
        .await;
    let works = scene.kubectl(
        "control",
        &["get", "work", "-n", "karmada-es-member1", "-o", "name"],
    );
    assert!(works.contains("settings-"), "{works}");
    assert!(
        scene
            .object("member1", "configmaps", "settings")
            .await
            .is_none()
    );
    scene.apply(&suspended("false"));
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
}

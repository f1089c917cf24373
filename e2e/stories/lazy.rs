//! Lazy policies: what an administrator changes waits for the next change of the template's user.

use serde_json::Value;

use crate::stage::{BINDINGS, Scene, clusters, config_map};

fn lazy(name: &str, priority: i32, to: &str, more: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: {name}, namespace: {{ns}}}}
spec:
  activationPreference: Lazy
  priority: {priority}
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: settings}}]
  placement: {{clusterAffinity: {{clusterNames: [{to}]}}}}
{more}"
    )
}

fn claimed_by(object: &Value, policy: &str) -> bool {
    object["metadata"]["annotations"]["propagationpolicy.karmada.io/name"] == policy
}

#[tokio::test]
async fn a_new_template_is_bound_at_once_and_policy_edits_wait_for_the_user() {
    let scene = Scene::open("lazy").await;
    scene.apply(&lazy("settings", 0, "member1", ""));
    scene.apply(&config_map("blue"));
    scene.applied("settings-configmap").await;
    // The policy moves, and nothing follows it.
    scene.apply(&lazy("settings", 0, "member2", ""));
    scene.meanwhile("probe").await;
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(clusters(&binding), "member1");
    // Marks of the control plane's own are no change of a user.
    scene.kubectl(
        "control",
        &[
            "annotate",
            "configmap",
            "settings",
            "e2e.karmada.io/note=ours",
        ],
    );
    scene.meanwhile("another").await;
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(clusters(&binding), "member1");
    // A change of a user's brings both along.
    scene.apply(&config_map("green"));
    scene
        .until("member2", "configmaps", "settings", "green", |it| {
            it["data"]["color"] == "green"
        })
        .await;
    scene.until_gone("member1", "configmaps", "settings").await;
}

#[tokio::test]
async fn a_lazy_policy_only_claims_what_waits_for_it() {
    let scene = Scene::open("lazy-late").await;
    scene.apply(&config_map("blue"));
    scene.meanwhile("probe").await;
    scene.apply(&lazy("settings", 0, "member1", ""));
    scene
        .until("control", "configmaps", "settings", "claimed", |it| {
            claimed_by(it, "settings")
        })
        .await;
    scene.meanwhile("another").await;
    assert!(
        scene
            .object("control", BINDINGS, "settings-configmap")
            .await
            .is_none(),
        "claimed templates wait for their user"
    );
    scene.kubectl("control", &["label", "configmap", "settings", "edited=yes"]);
    scene
        .until("member1", "configmaps", "settings", "there", |it| {
            it["metadata"]["labels"]["edited"] == "yes"
        })
        .await;
}

#[tokio::test]
async fn preemption_by_a_lazy_policy_moves_the_claim_alone() {
    let scene = Scene::open("lazy-preempt").await;
    scene.apply(&lazy("low", 1, "member1", ""));
    scene.apply(&config_map("blue"));
    scene.applied("settings-configmap").await;
    scene.apply(&lazy("high", 2, "member2", "  preemption: Always\n"));
    scene
        .until("control", "configmaps", "settings", "taken over", |it| {
            claimed_by(it, "high")
        })
        .await;
    scene.meanwhile("probe").await;
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(clusters(&binding), "member1");
    scene.apply(&config_map("green"));
    scene
        .until("member2", "configmaps", "settings", "green", |it| {
            it["data"]["color"] == "green"
        })
        .await;
    let binding = scene.applied("settings-configmap").await;
    assert!(claimed_by(&binding, "high"));
}

//! What a lazy policy's change waits for is waited for over a restart.

use crate::{
    ONE_AT_A_TIME,
    stage::{Scene, clusters, config_map},
};

fn lazy(to: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: settings, namespace: {{ns}}}}
spec:
  activationPreference: Lazy
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: settings}}]
  placement: {{clusterAffinity: {{clusterNames: [{to}]}}}}
"
    )
}

#[tokio::test]
async fn a_lazy_policy_still_waits_for_the_user_after_a_restart() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("lazy-restart").await;
    scene.apply(&lazy("member1"));
    scene.apply(&config_map("blue"));
    scene.applied("settings-configmap").await;
    scene.apply(&lazy("member2"));
    scene.meanwhile("probe").await;
    crate::kill().await;
    scene.meanwhile("again").await;
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(clusters(&binding), "member1");
    scene.apply(&config_map("green"));
    scene
        .until("member2", "configmaps", "settings", "green", |it| {
            it["data"]["color"] == "green"
        })
        .await;
    scene.until_gone("member1", "configmaps", "settings").await;
}

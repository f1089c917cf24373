//! Members that have the object already, or refuse it.

use crate::stage::{Scene, condition, config_map, on, policy};

#[tokio::test]
async fn an_object_that_is_not_ours_is_left_alone_until_overwrite_is_asked_for() {
    let scene = Scene::open("conflict").await;
    scene
        .until("member1", "namespaces", "conflict", "there", |_| true)
        .await;
    scene.apply_to("member1", &config_map("theirs"));
    scene.apply(
        &(config_map("ours") + &policy("settings", "v1", "ConfigMap", &on("member1, member2"))),
    );
    scene
        .until("member2", "configmaps", "settings", "there", |it| {
            it["data"]["color"] == "ours"
        })
        .await;
    let binding = scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
            "applied in one of two",
            |it| {
                condition(it, "FullyApplied") == "False/FullyAppliedFailed"
                    && it["status"]["aggregatedStatus"]
                        .as_array()
                        .is_some_and(|items| {
                            items.len() == 2
                                && items[0]["appliedMessage"].is_string()
                                && items[1]["applied"] == true
                        })
            },
        )
        .await;
    let message = binding["status"]["aggregatedStatus"][0]["appliedMessage"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("already exists in the cluster member1"),
        "{message}"
    );
    scene
        .until_event("settings", "SyncFailed", "already exists")
        .await;
    assert_eq!(
        scene
            .object("member1", "configmaps", "settings")
            .await
            .unwrap()["data"]["color"],
        "theirs"
    );

    scene.kubectl(
        "control",
        &[
            "annotate",
            "configmap",
            "settings",
            "work.karmada.io/conflict-resolution=overwrite",
        ],
    );
    scene
        .until("member1", "configmaps", "settings", "taken over", |it| {
            it["data"]["color"] == "ours"
        })
        .await;
}

#[tokio::test]
async fn a_member_that_refuses_the_object_says_so_and_the_others_get_it() {
    let scene = Scene::open("refused").await;
    // An admission policy refuses as an admission webhook would.
    scene.apply_to(
        "member3",
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-red-settings}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  validations: [{expression: \"!('color' in object.?data.orValue({})) || object.data.color != 'red'\", message: red is not allowed here}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-red-settings}
spec: {policyName: no-red-settings, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: refused}}}}
",
    );
    // Admission policies take effect a moment after they are stored.
    wait_for_refusal(&scene).await;
    scene.apply(
        &(config_map("red") + &policy("settings", "v1", "ConfigMap", &on("member1, member3"))),
    );
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
            "refused in member3",
            |it| {
                it["status"]["aggregatedStatus"]
                    .as_array()
                    .is_some_and(|items| {
                        items.iter().any(|item| {
                            item["clusterName"] == "member3"
                                && item["appliedMessage"]
                                    .as_str()
                                    .is_some_and(|text| text.contains("red is not allowed here"))
                        })
                    })
            },
        )
        .await;
    scene
        .until_event("settings", "SyncFailed", "red is not allowed here")
        .await;
    scene.apply(&config_map("blue"));
    scene
        .until("member3", "configmaps", "settings", "there", |it| {
            it["data"]["color"] == "blue"
        })
        .await;
}

async fn wait_for_refusal(scene: &Scene) {
    scene
        .until("member3", "namespaces", "refused", "there", |_| true)
        .await;
    let probe = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: probe, namespace: refused}\ndata: {color: red}\n";
    let refused = async {
        loop {
            let output =
                scene.kubectl_with("member3", &["create", "--dry-run=server", "-f", "-"], probe);
            if !output.status.success() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::stage::DEADLINE, refused)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_resolution_that_does_not_exist_is_told_and_ignored() {
    let scene = Scene::open("resolution").await;
    scene.apply(
        "apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: {ns}
  annotations: {work.karmada.io/conflict-resolution: maybe}
data: {color: blue}
",
    );
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member1")));
    scene
        .until_event(
            "settings",
            "InvalidConflictResolution",
            "is \"maybe\" and ignored; use overwrite or abort",
        )
        .await;
    scene
        .until("member1", "configmaps", "settings", "there", |it| {
            it["metadata"]["annotations"]["work.karmada.io/conflict-resolution"] == "abort"
        })
        .await;
}

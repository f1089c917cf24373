//! What differs from cluster to cluster.

use crate::stage::{Scene, config_map, deployment, on, policy};

fn override_policy(name: &str, cluster: &str, overriders: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: {name}, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: apps/v1, kind: Deployment, name: web}}]
  overrideRules:
  - targetCluster: {{clusterNames: [{cluster}]}}
    overriders: {overriders}
"
    )
}

#[tokio::test]
async fn image_labels_annotations_and_plaintext_differ_in_one_cluster() {
    let scene = Scene::open("overrides").await;
    let overriders = "{imageOverrider: [{component: Registry, operator: replace, value: registry.example.com}], \
        labelsOverrider: [{operator: add, value: {zone: north}}], \
        annotationsOverrider: [{operator: add, value: {example.com/note: local}}], \
        plaintext: [{path: /spec/minReadySeconds, operator: add, value: 5}]}";
    scene.apply(&(override_policy("north", "member2", overriders) + &deployment_document()));
    scene.apply(&policy(
        "web",
        "apps/v1",
        "Deployment",
        &on("member1, member2"),
    ));
    let object = scene
        .until("member2", "deployments.apps", "web", "there", |_| true)
        .await;
    assert_eq!(
        object["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example.com/library/nginx:1.29"
    );
    assert_eq!(object["metadata"]["labels"]["zone"], "north");
    assert_eq!(
        object["metadata"]["annotations"]["example.com/note"],
        "local"
    );
    assert_eq!(object["spec"]["minReadySeconds"], 5);
    let plain = scene
        .until("member1", "deployments.apps", "web", "there", |_| true)
        .await;
    assert_eq!(
        plain["spec"]["template"]["spec"]["containers"][0]["image"],
        "docker.io/library/nginx:1.29"
    );
    assert!(plain["metadata"]["labels"]["zone"].is_null());

    // A changed rule reaches the member, and a deleted policy takes its effect along.
    scene.apply(&override_policy(
        "north",
        "member2",
        "{labelsOverrider: [{operator: add, value: {zone: south}}]}",
    ));
    scene
        .until(
            "member2",
            "deployments.apps",
            "web",
            "relabelled, with its own image again",
            |it| {
                it["metadata"]["labels"]["zone"] == "south"
                    && it["spec"]["template"]["spec"]["containers"][0]["image"]
                        == "docker.io/library/nginx:1.29"
            },
        )
        .await;
    scene.kubectl("control", &["delete", "overridepolicy", "north"]);
    scene
        .until("member2", "deployments.apps", "web", "plain", |it| {
            it["metadata"]["labels"]["zone"].is_null()
        })
        .await;
}

fn deployment_document() -> String {
    format!("---\n{}", deployment(1))
}

#[tokio::test]
async fn a_rule_that_does_not_apply_holds_back_only_its_cluster() {
    let scene = Scene::open("bad-override").await;
    scene.apply(&override_policy(
        "broken",
        "member1",
        "{plaintext: [{path: /spec/nope/deeper, operator: replace, value: 1}]}",
    ));
    scene.apply(&deployment(1));
    scene.apply(&policy(
        "web",
        "apps/v1",
        "Deployment",
        &on("member1, member2"),
    ));
    scene
        .until("member2", "deployments.apps", "web", "there", |_| true)
        .await;
    scene
        .until_event("web", "ApplyOverridePolicyFailed", "broken")
        .await;
    scene
        .until_event("web-deployment", "SyncWorkFailed", "member1")
        .await;
    assert!(
        scene
            .object("member1", "deployments.apps", "web")
            .await
            .is_none()
    );
    scene.kubectl("control", &["delete", "overridepolicy", "broken"]);
    scene
        .until("member1", "deployments.apps", "web", "there", |_| true)
        .await;
}

#[tokio::test]
async fn rules_choose_clusters_by_provider_region_and_zone() {
    let scene = Scene::open("by-field").await;
    scene.place_members();
    let rule = |field: &str, operator: &str, values: &str| {
        format!(
            "  - targetCluster: {{fieldSelector: {{matchExpressions: [{{key: {field}, operator: {operator}, values: [{values}]}}]}}}}
    overriders: {{labelsOverrider: [{{operator: add, value: {{{field}: matches}}}}]}}
"
        )
    };
    scene.apply(&format!(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: fields, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: settings}}]
  overrideRules:
{}{}{}",
        rule("provider", "In", "acme"),
        rule("region", "NotIn", "north"),
        rule("zone", "In", "north-1, south-1"),
    ));
    let everywhere = on("member1, member2, member3");
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &everywhere)));
    for (member, expected) in [
        // One of its two zones is enough.
        ("member1", ["provider", "", "zone"]),
        ("member2", ["provider", "", ""]),
        ("member3", ["", "region", "zone"]),
    ] {
        scene
            .until(
                member,
                "configmaps",
                "settings",
                "as its fields say",
                |it| {
                    let labels = &it["metadata"]["labels"];
                    ["provider", "region", "zone"].map(|field| {
                        if labels[field] == "matches" {
                            field
                        } else {
                            ""
                        }
                    }) == expected
                },
            )
            .await;
    }
}

//! Namespaces go to every member by themselves.

use serde_json::Value;

use crate::stage::{Scene, condition};

const MEMBERS: [&str; 3] = ["member1", "member2", "member3"];

fn label<'a>(object: &'a Value, key: &str) -> &'a Value {
    &object["metadata"]["labels"][key]
}

#[tokio::test]
async fn a_cluster_override_shapes_the_namespace_of_one_member() {
    let scene = Scene::open("ns-override").await;
    scene
        .until("member2", "namespaces", "ns-override", "there", |_| true)
        .await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: ClusterOverridePolicy
metadata: {name: e2e-ns-override}
spec:
  resourceSelectors: [{apiVersion: v1, kind: Namespace, name: ns-override}]
  overrideRules:
  - targetCluster: {clusterNames: [member2]}
    overriders: {labelsOverrider: [{operator: add, value: {team: blue}}]}
",
    );
    scene
        .until("member2", "namespaces", "ns-override", "overridden", |it| {
            label(it, "team") == "blue"
        })
        .await;
    let other = scene
        .object("member1", "namespaces", "ns-override")
        .await
        .unwrap();
    assert!(label(&other, "team").is_null());
    scene.kubectl(
        "control",
        &["delete", "clusteroverridepolicy", "e2e-ns-override"],
    );
    scene
        .until("member2", "namespaces", "ns-override", "as it was", |it| {
            label(it, "team").is_null()
        })
        .await;
}

#[tokio::test]
async fn a_namespace_that_a_member_loses_comes_back() {
    let scene = Scene::open("ns-lost").await;
    let first = scene
        .until("member3", "namespaces", "ns-lost", "there", |_| true)
        .await;
    scene.kubectl(
        "member3",
        &["delete", "namespace", "ns-lost", "--wait=false"],
    );
    scene
        .until("member3", "namespaces", "ns-lost", "a new one", move |it| {
            it["metadata"]["uid"] != first["metadata"]["uid"]
                && it["metadata"]["labels"]["karmada.io/managed"] == "true"
        })
        .await;
}

#[tokio::test]
async fn a_namespace_that_a_policy_selects_goes_where_the_policy_says() {
    let scene = Scene::open("ns-probe").await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: e2e-ns-chosen}
spec:
  resourceSelectors: [{apiVersion: v1, kind: Namespace, name: ns-chosen}]
  placement: {clusterAffinity: {clusterNames: [member1]}}
---
apiVersion: v1
kind: Namespace
metadata: {name: ns-chosen}
",
    );
    scene
        .until("member1", "namespaces", "ns-chosen", "there", |_| true)
        .await;
    scene
        .until(
            "control",
            "clusterresourcebindings.work.karmada.io",
            "ns-chosen-namespace",
            "applied",
            |it| condition(it, "FullyApplied") == "True/FullyAppliedSuccess",
        )
        .await;
    // A later namespace has arrived, so the chosen one has been decided about.
    scene.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: ns-after-chosen}\n");
    for member in ["member2", "member3"] {
        scene
            .until(member, "namespaces", "ns-after-chosen", "there", |_| true)
            .await;
        assert!(
            scene
                .object(member, "namespaces", "ns-chosen")
                .await
                .is_none()
        );
    }
    // When the policy goes, the namespace is everybody's again.
    scene.kubectl(
        "control",
        &["delete", "clusterpropagationpolicy", "e2e-ns-chosen"],
    );
    for member in MEMBERS {
        scene
            .until(member, "namespaces", "ns-chosen", "there", |_| true)
            .await;
    }
}

#[tokio::test]
async fn a_namespace_of_the_members_own_is_taken_over_only_if_told() {
    let scene = Scene::open("ns-conflict-probe").await;
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ns-conflict";
    scene.apply_to(
        "member2",
        &format!("{namespace}, labels: {{owner: member}}}}\n"),
    );
    scene.apply(&format!("{namespace}}}\n"));
    let work = "karmada-es-member2/ns-conflict-55f59656fc";
    scene
        .until("member1", "namespaces", "ns-conflict", "there", |_| true)
        .await;
    let refused = scene
        .until("control", "works.work.karmada.io", work, "refused", |it| {
            condition(it, "Applied") == "False/AppliedFailed"
        })
        .await;
    assert!(
        refused
            .to_string()
            .contains("(kind=Namespace, /ns-conflict) already exists in the cluster member2")
    );
    let theirs = scene
        .object("member2", "namespaces", "ns-conflict")
        .await
        .unwrap();
    assert!(label(&theirs, "karmada.io/managed").is_null());
    scene.kubectl(
        "control",
        &[
            "annotate",
            "namespace",
            "ns-conflict",
            "work.karmada.io/conflict-resolution=overwrite",
        ],
    );
    scene
        .until("member2", "namespaces", "ns-conflict", "taken over", |it| {
            label(it, "karmada.io/managed") == "true" && label(it, "owner") == "member"
        })
        .await;
    scene
        .until("control", "works.work.karmada.io", work, "applied", |it| {
            condition(it, "Applied") == "True/AppliedSuccessful"
        })
        .await;
}

#[tokio::test]
async fn the_skip_label_leaves_what_went_out_and_stops_its_updates() {
    let scene = Scene::open("ns-skipped").await;
    for member in MEMBERS {
        scene
            .until(member, "namespaces", "ns-skipped", "there", |_| true)
            .await;
    }
    let skip = "namespace.karmada.io/skip-auto-propagation";
    scene.kubectl(
        "control",
        &[
            "label",
            "namespace",
            "ns-skipped",
            &format!("{skip}=True"),
            "late=yes",
        ],
    );
    // Events about cluster-scoped objects are in the namespace `default`.
    let defaults = Scene {
        stage: scene.stage,
        namespace: "default".to_owned(),
    };
    defaults
        .until_event("ns-skipped", "NamespaceLeftAlone", "stays in 3 cluster(s)")
        .await;
    let left = scene
        .object("member1", "namespaces", "ns-skipped")
        .await
        .unwrap();
    assert!(label(&left, "late").is_null());
    scene.kubectl(
        "control",
        &["label", "namespace", "ns-skipped", &format!("{skip}-")],
    );
    scene
        .until("member1", "namespaces", "ns-skipped", "up to date", |it| {
            label(it, "late") == "yes"
        })
        .await;
}

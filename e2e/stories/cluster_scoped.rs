//! Namespaces and other objects without one.

use crate::stage::{Scene, clusters, condition};

#[tokio::test]
async fn a_namespace_goes_to_every_member_and_leaves_with_its_deletion() {
    let scene = Scene::open("everywhere").await;
    for member in ["member1", "member2", "member3"] {
        scene
            .until(member, "namespaces", "everywhere", "there", |it| {
                it["metadata"]["labels"]["karmada.io/managed"] == "true"
            })
            .await;
    }
    scene.kubectl(
        "control",
        &["delete", "namespace", "everywhere", "--wait=false"],
    );
    for member in ["member1", "member2", "member3"] {
        scene.until_gone(member, "namespaces", "everywhere").await;
    }
}

#[tokio::test]
async fn a_namespace_can_stay_at_home() {
    let scene = Scene::open("home-probe").await;
    scene.apply(
        "apiVersion: v1
kind: Namespace
metadata: {name: at-home, labels: {namespace.karmada.io/skip-auto-propagation: 'true'}}
",
    );
    // The later namespace has arrived everywhere, so the earlier one has been decided about.
    scene
        .until("member1", "namespaces", "home-probe", "there", |_| true)
        .await;
    scene.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: home-after}\n");
    scene
        .until("member1", "namespaces", "home-after", "there", |_| true)
        .await;
    assert!(
        scene
            .object("member1", "namespaces", "at-home")
            .await
            .is_none()
    );
    let works = scene.kubectl(
        "control",
        &["get", "work", "-n", "karmada-es-member1", "-o", "name"],
    );
    assert!(!works.contains("/at-home-"), "{works}");
}

#[tokio::test]
async fn a_cluster_role_follows_a_cluster_policy() {
    let scene = Scene::open("cluster-role").await;
    scene.apply(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: 'e2e:reader'}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: e2e-reader}
spec:
  resourceSelectors: [{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: 'e2e:reader'}]
  placement: {clusterAffinity: {clusterNames: [member2, member3]}}
",
    );
    for member in ["member2", "member3"] {
        scene
            .until(
                member,
                "clusterroles.rbac.authorization.k8s.io",
                "e2e:reader",
                "there",
                |_| true,
            )
            .await;
    }
    let binding = scene
        .until(
            "control",
            "clusterresourcebindings.work.karmada.io",
            "e2e.reader-clusterrole",
            "applied",
            |it| condition(it, "FullyApplied") == "True/FullyAppliedSuccess",
        )
        .await;
    assert_eq!(
        binding["metadata"]["annotations"]["clusterpropagationpolicy.karmada.io/name"],
        "e2e-reader"
    );
    scene.kubectl("control", &["delete", "clusterrole", "e2e:reader"]);
    for member in ["member2", "member3"] {
        scene
            .until_gone(
                member,
                "clusterroles.rbac.authorization.k8s.io",
                "e2e:reader",
            )
            .await;
    }
}

#[tokio::test]
async fn a_deleted_cluster_policy_keeps_what_runs_and_lets_go_of_the_template() {
    const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
    let scene = Scene::open("cluster-policy-gone").await;
    scene.apply(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: e2e-kept}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: e2e-kept}
spec:
  resourceSelectors: [{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: e2e-kept}]
  placement: {clusterAffinity: {clusterNames: [member1]}}
",
    );
    let before = scene
        .until("member1", ROLES, "e2e-kept", "there", |_| true)
        .await;
    scene.kubectl("control", &["delete", "cpp", "e2e-kept"]);
    let is_free = |it: &serde_json::Value| {
        let (labels, annotations) = (&it["metadata"]["labels"], &it["metadata"]["annotations"]);
        labels["clusterpropagationpolicy.karmada.io/permanent-id"].is_null()
            && annotations["clusterpropagationpolicy.karmada.io/name"].is_null()
    };
    scene
        .until("control", ROLES, "e2e-kept", "free", is_free)
        .await;
    let bindings = "clusterresourcebindings.work.karmada.io";
    let binding = scene
        .until("control", bindings, "e2e-kept-clusterrole", "free", is_free)
        .await;
    assert_eq!(clusters(&binding), "member1");
    scene.meanwhile("probe").await;
    let after = scene.object("member1", ROLES, "e2e-kept").await.unwrap();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    scene.kubectl("control", &["delete", "clusterrole", "e2e-kept"]);
    scene.until_gone("member1", ROLES, "e2e-kept").await;
}

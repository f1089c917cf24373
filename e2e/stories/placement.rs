//! Where things go, and what is said when they go nowhere.

use crate::stage::{Scene, clusters, condition, config_map, deployment, divided, on, policy};

#[tokio::test]
async fn a_changed_policy_moves_the_workload() {
    let scene = Scene::open("move").await;
    scene.apply(&(deployment(3) + &policy("web", "apps/v1", "Deployment", &on("member1"))));
    scene
        .until("member1", "deployments.apps", "web", "there", |it| {
            it["spec"]["replicas"] == 3
        })
        .await;
    scene.apply(&policy("web", "apps/v1", "Deployment", &on("member2")));
    scene
        .until("member2", "deployments.apps", "web", "there", |it| {
            it["spec"]["replicas"] == 3
        })
        .await;
    scene.until_gone("member1", "deployments.apps", "web").await;
}

#[tokio::test]
async fn duplicated_is_the_default() {
    let scene = Scene::open("duplicate").await;
    scene
        .apply(&(deployment(2) + &policy("web", "apps/v1", "Deployment", &on("member1, member2"))));
    for member in ["member1", "member2"] {
        scene
            .until(member, "deployments.apps", "web", "whole", |it| {
                it["spec"]["replicas"] == 2
            })
            .await;
    }
    scene
        .until(
            "control",
            "deployments.apps",
            "web",
            "the sum of both",
            |it| it["status"]["replicas"] == 4,
        )
        .await;
}

#[tokio::test]
async fn weights_that_change_move_replicas() {
    let scene = Scene::open("weights").await;
    scene.apply(
        &(deployment(6)
            + &policy(
                "web",
                "apps/v1",
                "Deployment",
                &divided(&[("member1", 1), ("member2", 1)]),
            )),
    );
    scene
        .until("member1", "deployments.apps", "web", "at 3", |it| {
            it["spec"]["replicas"] == 3
        })
        .await;
    scene.apply(&policy(
        "web",
        "apps/v1",
        "Deployment",
        &divided(&[("member1", 1), ("member2", 5)]),
    ));
    scene
        .until("member1", "deployments.apps", "web", "at 1", |it| {
            it["spec"]["replicas"] == 1
        })
        .await;
    scene
        .until("member2", "deployments.apps", "web", "at 5", |it| {
            it["spec"]["replicas"] == 5
        })
        .await;
}

#[tokio::test]
async fn a_placement_that_fits_nowhere_says_why() {
    let scene = Scene::open("nowhere").await;
    scene.apply(&(config_map("red") + &policy("settings", "v1", "ConfigMap", &on("atlantis"))));
    let binding = scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
            "refused",
            |it| condition(it, "Scheduled") == "False/NoClusterFit",
        )
        .await;
    let message = binding["status"]["conditions"][0]["message"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("clusters are available")
            && message.contains("did not match the placement cluster affinity"),
        "{message}"
    );
    scene
        .until_event(
            "settings",
            "ScheduleBindingFailed",
            "clusters are available",
        )
        .await;
    // The way out is to mend the policy.
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member3")));
    scene
        .until("member3", "configmaps", "settings", "there", |_| true)
        .await;
}

#[tokio::test]
async fn a_kind_goes_only_where_it_is_served() {
    let scene = Scene::open("served").await;
    let widgets = "widgets.e2e.example.com";
    scene.define(&["control"], widgets, "Widget").await;
    // Only member2 gets the definition, through a policy like anything else.
    let definition = |members: &str| {
        format!(
            "apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {{name: widgets-crd}}
spec:
  resourceSelectors: [{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, name: widgets.e2e.example.com}}]
  placement: {{clusterAffinity: {{clusterNames: [{members}]}}}}
"
        )
    };
    scene.apply(&definition("member2"));
    scene.until_established("member2", widgets).await;
    scene.apply(
        "apiVersion: e2e.example.com/v1
kind: Widget
metadata: {name: gear, namespace: served}
size: 7
",
    );
    scene.apply(&policy(
        "widgets",
        "e2e.example.com/v1",
        "Widget",
        "{clusterAffinity: {clusterNames: [member1, member2]}}",
    ));
    scene
        .until("member2", widgets, "gear", "there", |it| it["size"] == 7)
        .await;
    let binding = scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "gear-widget",
            "applied",
            |it| condition(it, "FullyApplied") == "True/FullyAppliedSuccess",
        )
        .await;
    assert_eq!(clusters(&binding), "member2");
    // A member that learns the kind later gets what it was meant to have.
    scene.apply(&definition("member1, member2"));
    scene.until_established("member1", widgets).await;
    scene
        .until("member1", widgets, "gear", "there", |it| it["size"] == 7)
        .await;
}

#[tokio::test]
async fn a_policy_that_matches_nothing_says_so() {
    let scene = Scene::open("nothing").await;
    scene.apply(&policy("early", "apps/v1", "Deployment", &on("member1")));
    scene.apply(&policy("typo", "apps/v1", "Deploymnet", &on("member1")));
    scene
        .until_event("early", "NoMatchingResource", "apps/v1 Deployment")
        .await;
    scene
        .until_event("typo", "UnknownKind", "spec.resourceSelectors[0]")
        .await;
}

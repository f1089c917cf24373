//! A workload goes to the members, follows its template and comes back.

use serde_json::json;

use crate::stage::{Scene, clusters, condition, config_map, deployment, divided, on, policy};

#[tokio::test]
async fn a_deployment_is_divided_and_its_status_comes_back() {
    let scene = Scene::open("divide").await;
    scene.apply(
        &(deployment(6)
            + &policy(
                "web",
                "apps/v1",
                "Deployment",
                &divided(&[("member1", 1), ("member2", 2), ("member3", 3)]),
            )),
    );
    for (member, replicas) in [("member1", 1), ("member2", 2), ("member3", 3)] {
        let is = format!("there with {replicas} replicas, all ready");
        scene
            .until(member, "deployments.apps", "web", &is, |it| {
                it["spec"]["replicas"] == replicas && it["status"]["readyReplicas"] == replicas
            })
            .await;
    }
    let binding = scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "web-deployment",
            "fully applied and healthy",
            |it| {
                condition(it, "Scheduled") == "True/Success"
                    && condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
                    && it["status"]["aggregatedStatus"]
                        .as_array()
                        .is_some_and(|items| {
                            items.len() == 3
                                && items.iter().all(|item| {
                                    item["applied"] == true && item["health"] == "Healthy"
                                })
                        })
            },
        )
        .await;
    assert_eq!(clusters(&binding), "member1:1 member2:2 member3:3");
    assert_eq!(
        binding["metadata"]["annotations"]["propagationpolicy.karmada.io/name"],
        "web"
    );
    assert_eq!(
        binding["metadata"]["finalizers"],
        json!(["karmada.io/binding-controller"])
    );
    scene
        .until("control", "deployments.apps", "web", "complete", |it| {
            it["status"]["readyReplicas"] == 6
                && it["status"]["observedGeneration"] == it["metadata"]["generation"]
        })
        .await;
}

#[tokio::test]
async fn the_member_object_and_the_work_carry_the_documented_marks() {
    let scene = Scene::open("marks").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member2"))));
    let object = scene
        .until("member2", "configmaps", "settings", "there", |it| {
            it["data"]["color"] == "blue"
        })
        .await;
    let (labels, annotations) = (
        &object["metadata"]["labels"],
        &object["metadata"]["annotations"],
    );
    assert_eq!(labels["karmada.io/managed"], "true");
    assert_eq!(
        annotations["resourcebinding.karmada.io/name"],
        "settings-configmap"
    );
    assert_eq!(annotations["resourcebinding.karmada.io/namespace"], "marks");
    assert_eq!(
        annotations["work.karmada.io/namespace"],
        "karmada-es-member2"
    );
    assert_eq!(annotations["work.karmada.io/conflict-resolution"], "abort");
    assert!(annotations["kubectl.kubernetes.io/last-applied-configuration"].is_null());
    let work = annotations["work.karmada.io/name"].as_str().unwrap();
    let work = scene
        .until(
            "control",
            "works.work.karmada.io",
            &format!("karmada-es-member2/{work}"),
            "applied",
            |it| {
                condition(it, "Applied") == "True/AppliedSuccessful"
                    && condition(it, "Dispatching") == "True/Dispatching"
            },
        )
        .await;
    assert_eq!(
        work["metadata"]["finalizers"],
        json!(["karmada.io/execution-controller"])
    );
    assert_eq!(
        work["metadata"]["labels"]["work.karmada.io/permanent-id"],
        labels["work.karmada.io/permanent-id"]
    );
    let template = scene
        .object("control", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(
        annotations["resourcetemplate.karmada.io/uid"],
        template["metadata"]["uid"]
    );
}

#[tokio::test]
async fn a_scaled_template_scales_the_members() {
    let scene = Scene::open("scale").await;
    scene.apply(
        &(deployment(2)
            + &policy(
                "web",
                "apps/v1",
                "Deployment",
                &divided(&[("member1", 1), ("member2", 1)]),
            )),
    );
    for member in ["member1", "member2"] {
        scene
            .until(member, "deployments.apps", "web", "at 1", |it| {
                it["spec"]["replicas"] == 1
            })
            .await;
    }
    scene.kubectl("control", &["scale", "deployment/web", "--replicas=8"]);
    for member in ["member1", "member2"] {
        scene
            .until(member, "deployments.apps", "web", "at 4", |it| {
                it["spec"]["replicas"] == 4
            })
            .await;
    }
    scene
        .until(
            "control",
            "deployments.apps",
            "web",
            "complete at 8",
            |it| it["status"]["readyReplicas"] == 8,
        )
        .await;
}

#[tokio::test]
async fn a_new_image_reaches_every_member() {
    let scene = Scene::open("image").await;
    scene
        .apply(&(deployment(1) + &policy("web", "apps/v1", "Deployment", &on("member1, member3"))));
    for member in ["member1", "member3"] {
        scene
            .until(member, "deployments.apps", "web", "there", |it| {
                it["spec"]["replicas"] == 1
            })
            .await;
    }
    scene.kubectl(
        "control",
        &[
            "set",
            "image",
            "deployment/web",
            "web=docker.io/library/nginx:1.30",
        ],
    );
    for member in ["member1", "member3"] {
        scene
            .until(
                member,
                "deployments.apps",
                "web",
                "on the new image",
                |it| {
                    it["spec"]["template"]["spec"]["containers"][0]["image"]
                        == "docker.io/library/nginx:1.30"
                },
            )
            .await;
    }
}

#[tokio::test]
async fn a_policy_that_comes_after_its_template_picks_it_up() {
    let scene = Scene::open("late-policy").await;
    scene.apply(&config_map("green"));
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member1")));
    scene
        .until("member1", "configmaps", "settings", "there", |it| {
            it["data"]["color"] == "green"
        })
        .await;
}

#[tokio::test]
async fn label_selectors_choose_templates() {
    let scene = Scene::open("labels").await;
    for (name, team) in [("ours", "a"), ("theirs", "b")] {
        scene.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {{ns}}, labels: {{team: {team}}}}}\ndata: {{x: z}}\n"
        ));
    }
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: team-a, namespace: labels}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, labelSelector: {matchLabels: {team: a}}}]
  placement: {clusterAffinity: {clusterNames: [member1]}}
",
    );
    scene
        .until("member1", "configmaps", "ours", "there", |_| true)
        .await;
    assert!(
        scene
            .object(
                "control",
                "resourcebindings.work.karmada.io",
                "theirs-configmap"
            )
            .await
            .is_none()
    );
    assert!(
        scene
            .object("member1", "configmaps", "theirs")
            .await
            .is_none()
    );
}

#[tokio::test]
async fn kubectl_shows_what_a_karmada_user_expects() {
    let scene = Scene::open("printed").await;
    scene.apply(
        &(deployment(2)
            + &policy(
                "web",
                "apps/v1",
                "Deployment",
                &divided(&[("member1", 1), ("member2", 1)]),
            )),
    );
    scene
        .until("control", "deployments.apps", "web", "complete", |it| {
            it["status"]["readyReplicas"] == 2
        })
        .await;
    let deployments = scene.kubectl("control", &["get", "deploy"]);
    assert!(deployments.contains("2/2"), "{deployments}");
    let bindings = scene.kubectl("control", &["get", "rb"]);
    let header: Vec<&str> = bindings
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(header, ["NAME", "SCHEDULED", "FULLYAPPLIED", "AGE"]);
    assert!(bindings.contains("web-deployment   True"), "{bindings}");
    let works = scene.kubectl("control", &["get", "work", "-A"]);
    assert!(
        works.lines().any(|line| line.contains("karmada-es-member1")
            && line.contains("Deployment")
            && line.contains("True")),
        "{works}"
    );
    let clusters = scene.kubectl("control", &["get", "clusters"]);
    assert!(
        clusters
            .lines()
            .any(|line| line.contains("member1") && line.contains("Push") && line.contains("True")),
        "{clusters}"
    );
}

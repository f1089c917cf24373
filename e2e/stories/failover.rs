//! Workloads that are unhealthy move to other clusters, and stay where there is no other.

use serde_json::Value;

use crate::stage::{Scene, clusters, condition, deployment, on, text};

const BINDING: &str = "resourcebindings.work.karmada.io";

/// A policy that puts `web` into one of the members, and moves it when it is unhealthy; `application` is inline YAML.
fn moving(candidates: &str, application: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: web, namespace: {{ns}}}}
spec:
  propagateDeps: true
  resourceSelectors: [{{apiVersion: apps/v1, kind: Deployment, name: web}}]
  failover: {{application: {application}}}
  placement:
    clusterAffinity: {{clusterNames: [{candidates}]}}
    spreadConstraints: [{{spreadByField: cluster, minGroups: 1, maxGroups: 1}}]
"
    )
}

/// A Deployment whose old pods go before new ones come, so that a bad change leaves none ready.
fn web() -> String {
    deployment(1).replacen("spec:\n", "spec:\n  strategy: {type: Recreate}\n", 1)
}

/// An override that keeps the pods of `web` from getting ready in these clusters.
fn sick_in(clusters: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: sick, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: apps/v1, kind: Deployment, name: web}}]
  overrideRules:
  - targetCluster: {{clusterNames: [{clusters}]}}
    overriders:
      plaintext:
      - {{path: /spec/template/metadata/annotations, operator: add, value: {{testbed.navarch.dev/ready: 'false'}}}}
"
    )
}

fn health_in(binding: &Value, cluster: &str) -> String {
    let items = binding["status"]["aggregatedStatus"].as_array();
    items
        .into_iter()
        .flatten()
        .find(|item| item["clusterName"] == cluster)
        .and_then(|item| item["health"].as_str())
        .unwrap_or_default()
        .to_owned()
}

fn task_from<'v>(binding: &'v Value, cluster: &str) -> Option<&'v Value> {
    let tasks = binding["spec"]["gracefulEvictionTasks"].as_array()?;
    tasks.iter().find(|task| task["fromCluster"] == cluster)
}

/// The cluster that the healthy workload is in, and another of the members.
async fn settled(scene: &Scene) -> (String, &'static str) {
    let binding = scene
        .until("control", BINDING, "web-deployment", "healthy", |it| {
            let name = it["spec"]["clusters"][0]["name"].as_str().unwrap_or("");
            health_in(it, name) == "Healthy"
        })
        .await;
    let first = binding["spec"]["clusters"][0]["name"].as_str().unwrap();
    let second = if first == "member1" {
        "member2"
    } else {
        "member1"
    };
    (first.to_owned(), second)
}

#[tokio::test]
async fn an_unhealthy_workload_moves_and_its_old_copy_goes_last() {
    let scene = Scene::open("failover-gracefully").await;
    scene.apply(
        &(web()
            + &moving(
                "member1, member2",
                "{decisionConditions: {tolerationSeconds: 5}, purgeMode: Gracefully}",
            )),
    );
    let (old, new) = settled(&scene).await;
    // Sick in both, so that the move takes place and is not completed.
    scene.apply(&sick_in("member1, member2"));
    let binding = scene
        .until("control", BINDING, "web-deployment", "moved", |it| {
            clusters(it).starts_with(new)
                && task_from(it, &old).is_some_and(|task| task["creationTimestamp"].is_string())
                && health_in(it, new) == "Unhealthy"
        })
        .await;
    let task = task_from(&binding, &old).unwrap();
    assert_eq!(
        (
            task["reason"].as_str(),
            task["producer"].as_str(),
            task["purgeMode"].as_str(),
            task["gracePeriodSeconds"].as_i64(),
        ),
        (
            Some("ApplicationFailure"),
            Some("resource-binding-application-failover-controller"),
            Some("Gracefully"),
            Some(600),
        )
    );
    // The new cluster is unhealthy too, but there is no third one: nothing more moves, and somebody is told.
    let held = scene
        .until("control", BINDING, "web-deployment", "held", |it| {
            condition(it, "FailoverHeld") == "True/NoOtherCluster"
        })
        .await;
    assert!(clusters(&held).starts_with(new), "{held:#}");
    scene
        .until_event("web", "EvictWorkloadFromClusterFailed", "no other cluster")
        .await;
    assert!(
        scene
            .object(&old, "deployments.apps", "web")
            .await
            .is_some()
    );

    scene.apply(&sick_in(&old));
    scene.until_gone(&old, "deployments.apps", "web").await;
    scene
        .until("control", BINDING, "web-deployment", "settled", |it| {
            clusters(it).starts_with(new)
                && it["spec"]["gracefulEvictionTasks"].is_null()
                && condition(it, "FailoverHeld").is_empty()
                && condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    scene
        .until_event(
            "web",
            "EvictWorkloadFromClusterSucceed",
            &format!("Evict from cluster {old} succeed."),
        )
        .await;
}

#[tokio::test]
async fn a_workload_that_is_purged_directly_hands_its_state_over() {
    let scene = Scene::open("failover-directly").await;
    scene.apply(
        &(web()
            + &moving(
                "member1, member2",
                "{decisionConditions: {tolerationSeconds: 5}, purgeMode: Directly, statePreservation: {rules: [{aliasLabelName: failover.example.com/replicas, jsonPath: '{.replicas}'}]}}",
            )),
    );
    let (old, new) = settled(&scene).await;
    scene.apply(&sick_in("member1, member2"));
    let binding = scene
        .until("control", BINDING, "web-deployment", "moved", |it| {
            clusters(it).starts_with(new) && task_from(it, &old).is_some()
        })
        .await;
    let task = task_from(&binding, &old).unwrap();
    assert_eq!(task["clustersBeforeFailover"][0], old.as_str());
    assert_eq!(
        task["preservedLabelState"]["failover.example.com/replicas"],
        "1"
    );
    scene.until_gone(&old, "deployments.apps", "web").await;
    scene
        .until(new, "deployments.apps", "web", "told the state", |it| {
            it["metadata"]["labels"]["failover.example.com/replicas"] == "1"
        })
        .await;
    // Once it is healthy the task goes, and the label with it.
    scene.apply(&sick_in(&old));
    scene
        .until(new, "deployments.apps", "web", "without the label", |it| {
            it["metadata"]["labels"]["failover.example.com/replicas"].is_null()
        })
        .await;
}

#[tokio::test]
async fn a_workload_that_is_never_purged_waits_for_a_word() {
    let scene = Scene::open("failover-never").await;
    scene.apply(
        &(web()
            + &moving(
                "member1, member2",
                "{decisionConditions: {tolerationSeconds: 5}, purgeMode: Never}",
            )),
    );
    let (old, new) = settled(&scene).await;
    scene.apply(&sick_in(&old));
    scene
        .until("control", BINDING, "web-deployment", "moved", |it| {
            clusters(it).starts_with(new)
                && health_in(it, new) == "Healthy"
                && task_from(it, &old).is_some_and(|task| task["suppressDeletion"] == true)
        })
        .await;
    assert!(
        scene
            .object(&old, "deployments.apps", "web")
            .await
            .is_some()
    );
    scene.kubectl(
        "control",
        &[
            "patch",
            "rb",
            "web-deployment",
            "--type=json",
            "-p",
            r#"[{"op": "replace", "path": "/spec/gracefulEvictionTasks/0/suppressDeletion", "value": false}]"#,
        ],
    );
    scene.until_gone(&old, "deployments.apps", "web").await;
    assert!(scene.object(new, "deployments.apps", "web").await.is_some());
}

#[tokio::test]
async fn a_workload_with_nowhere_to_go_stays() {
    let scene = Scene::open("failover-nowhere").await;
    scene.apply(
        &(web()
            + &moving(
                "member3",
                "{decisionConditions: {tolerationSeconds: 0}, purgeMode: Directly}",
            )),
    );
    settled(&scene).await;
    let before = scene
        .object("member3", "deployments.apps", "web")
        .await
        .unwrap();
    scene.apply(&sick_in("member3"));
    let held = scene
        .until("control", BINDING, "web-deployment", "held", |it| {
            condition(it, "FailoverHeld") == "True/NoOtherCluster"
        })
        .await;
    assert!(clusters(&held).starts_with("member3") && task_from(&held, "member3").is_none());
    // Mended in place: the copy that stayed gets the update.
    scene.kubectl("control", &["delete", "overridepolicy", "sick"]);
    scene
        .until("control", BINDING, "web-deployment", "well again", |it| {
            health_in(it, "member3") == "Healthy"
                && condition(it, "FailoverHeld").is_empty()
                && it["metadata"]["annotations"]["navarch.dev/unhealthy-since"].is_null()
        })
        .await;
    let after = scene
        .object("member3", "deployments.apps", "web")
        .await
        .unwrap();
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
}

#[tokio::test]
async fn state_that_cannot_be_read_holds_the_move() {
    let scene = Scene::open("failover-state").await;
    scene.apply(
        &(web()
            + &moving(
                "member1, member2",
                "{decisionConditions: {tolerationSeconds: 0}, purgeMode: Directly, statePreservation: {rules: [{aliasLabelName: failover.example.com/phase, jsonPath: '{.phase}'}]}}",
            )),
    );
    let (old, _) = settled(&scene).await;
    scene.apply(&sick_in(&old));
    let held = scene
        .until("control", BINDING, "web-deployment", "held", |it| {
            condition(it, "FailoverHeld") == "True/StateNotPreserved"
        })
        .await;
    assert!(clusters(&held).starts_with(&old), "{held:#}");
    let text = held["status"]["conditions"].to_string();
    assert!(
        text.contains("phase is not found") && text.contains("statePreservation"),
        "{text}"
    );
    assert!(
        scene
            .object(&old, "deployments.apps", "web")
            .await
            .is_some()
    );
}

#[tokio::test]
async fn since_when_a_workload_is_unhealthy_is_read_from_its_binding() {
    let scene = Scene::open("failover-clock").await;
    scene.apply(
        &(web()
            + &moving(
                "member1, member2",
                "{decisionConditions: {tolerationSeconds: 3600}, purgeMode: Never}",
            )),
    );
    let (old, new) = settled(&scene).await;
    scene.apply(&sick_in(&old));
    scene
        .until("control", BINDING, "web-deployment", "noted", |it| {
            it["metadata"]["annotations"]["navarch.dev/unhealthy-since"]
                .as_str()
                .is_some_and(|text| text.contains(&old))
        })
        .await;
    // As if it had been noted long ago, by a process that is gone.
    scene.kubectl(
        "control",
        &[
            "annotate",
            "--overwrite",
            "rb",
            "web-deployment",
            &format!("navarch.dev/unhealthy-since={{\"{old}\":\"2020-01-01T00:00:00Z\"}}"),
        ],
    );
    scene.kubectl("control", &["scale", "deployment/web", "--replicas=2"]);
    scene
        .until("control", BINDING, "web-deployment", "moved", |it| {
            clusters(it).starts_with(new) && task_from(it, &old).is_some()
        })
        .await;
}

#[tokio::test]
async fn a_policy_without_failover_moves_nothing() {
    let scene = Scene::open("failover-off").await;
    scene.apply(&web());
    scene.apply(&format!(
        "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: web, namespace: failover-off}}
spec:
  resourceSelectors: [{{apiVersion: apps/v1, kind: Deployment, name: web}}]
  placement: {}
",
        on("member1")
    ));
    settled(&scene).await;
    scene.apply(&sick_in("member1"));
    let binding = scene
        .until("control", BINDING, "web-deployment", "unhealthy", |it| {
            health_in(it, "member1") == "Unhealthy"
        })
        .await;
    assert!(binding["metadata"]["annotations"]["navarch.dev/unhealthy-since"].is_null());
    assert!(task_from(&binding, "member1").is_none());
}

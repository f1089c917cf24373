//! Asking for workloads to be scheduled afresh.

use serde_json::Value;

use crate::stage::{Scene, condition, config_map, deployment, on, policy};

const BINDING: &str = "resourcebindings.work.karmada.io";
const REBALANCER: &str = "workloadrebalancers.apps.karmada.io";

fn rebalancer(name: &str, ttl: &str, workloads: &[(&str, &str, &str)]) -> String {
    let list: Vec<String> = workloads
        .iter()
        .map(|(api_version, kind, name)| {
            format!("{{apiVersion: {api_version}, kind: {kind}, name: {name}, namespace: {{ns}}}}")
        })
        .collect();
    format!(
        "apiVersion: apps.karmada.io/v1alpha1
kind: WorkloadRebalancer
metadata: {{name: {name}}}
spec: {{{ttl}workloads: [{}]}}
",
        list.join(", ")
    )
}

fn result_of(rebalancer: &Value, name: &str) -> String {
    let observed = rebalancer["status"]["observedWorkloads"].as_array();
    observed
        .into_iter()
        .flatten()
        .find(|it| it["workload"]["name"] == name)
        .map(|it| {
            format!(
                "{} {}",
                it["result"].as_str().unwrap_or(""),
                it["reason"].as_str().unwrap_or("")
            )
        })
        .unwrap_or_default()
}

async fn placed(scene: &Scene) {
    scene.apply(&(deployment(2) + &policy("web", "apps/v1", "Deployment", &on("member1"))));
    scene
        .until("control", BINDING, "web-deployment", "scheduled", |it| {
            condition(it, "Scheduled") == "True/Success"
        })
        .await;
}

#[tokio::test]
async fn each_workload_is_triggered_once_and_says_how_it_went() {
    let scene = Scene::open("rebalance").await;
    placed(&scene).await;
    scene.apply(&rebalancer(
        "rebalance",
        "",
        &[
            ("apps/v1", "Deployment", "web"),
            ("apps/v1", "Deployment", "missing"),
        ],
    ));
    let done = scene
        .until("control", REBALANCER, "rebalance", "finished", |it| {
            it["status"]["finishTime"].is_string()
        })
        .await;
    assert_eq!(result_of(&done, "web"), "Successful ");
    assert_eq!(
        result_of(&done, "missing"),
        "Failed ReferencedBindingNotFound"
    );
    assert_eq!(done["status"]["observedGeneration"], 1);
    let scheduled = scene
        .until(
            "control",
            BINDING,
            "web-deployment",
            "scheduled afresh",
            |it| {
                it["spec"]["rescheduleTriggeredAt"].is_string()
                    && it["status"]["lastScheduledTime"].as_str()
                        >= it["spec"]["rescheduleTriggeredAt"].as_str()
                    && it["status"]["schedulerObservedGeneration"] == it["metadata"]["generation"]
            },
        )
        .await;

    // A workload that is added later is triggered alone, and by the time at which it is.
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    scene
        .until(
            "control",
            BINDING,
            "settings-configmap",
            "scheduled",
            |it| condition(it, "Scheduled") == "True/Success",
        )
        .await;
    scene.apply(&rebalancer(
        "rebalance",
        "",
        &[
            ("apps/v1", "Deployment", "web"),
            ("v1", "ConfigMap", "settings"),
        ],
    ));
    let done = scene
        .until("control", REBALANCER, "rebalance", "finished anew", |it| {
            it["status"]["observedGeneration"] == 2 && !result_of(it, "settings").is_empty()
        })
        .await;
    assert_eq!(result_of(&done, "settings"), "Successful ");
    assert_eq!(result_of(&done, "missing"), "");
    let created = done["metadata"]["creationTimestamp"].as_str().unwrap();
    let added = scene
        .object("control", BINDING, "settings-configmap")
        .await
        .unwrap();
    let triggered = added["spec"]["rescheduleTriggeredAt"].as_str().unwrap();
    assert!(triggered >= created, "{triggered} {created}");
    let web = scene
        .object("control", BINDING, "web-deployment")
        .await
        .unwrap();
    assert_eq!(
        web["spec"]["rescheduleTriggeredAt"],
        scheduled["spec"]["rescheduleTriggeredAt"]
    );
    scene.kubectl("control", &["delete", "workloadrebalancer", "rebalance"]);
}

#[tokio::test]
async fn a_finished_rebalancer_goes_after_its_time_to_live() {
    let scene = Scene::open("rebalance-ttl").await;
    placed(&scene).await;
    scene.apply(&rebalancer(
        "rebalance-ttl",
        "ttlSecondsAfterFinished: 1, ",
        &[("apps/v1", "Deployment", "web")],
    ));
    scene
        .until("control", BINDING, "web-deployment", "triggered", |it| {
            it["spec"]["rescheduleTriggeredAt"].is_string()
        })
        .await;
    scene
        .until_gone("control", REBALANCER, "rebalance-ttl")
        .await;
    // What it asked for stays.
    assert!(
        scene
            .object("member1", "deployments.apps", "web")
            .await
            .is_some()
    );
}

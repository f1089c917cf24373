//! What dashboards read.

use crate::stage::{Scene, config_map, on, policy};

/// Series as they begin in the text that is served: names that dashboards for Karmada know.
const SERIES: [&str; 17] = [
    "resource_match_policy_duration_seconds_count ",
    "resource_apply_policy_duration_seconds_count{result=\"success\"}",
    "policy_apply_attempts_total{result=\"success\"}",
    "policy_preemption_total{result=\"success\"}",
    "binding_sync_work_duration_seconds_count{result=\"success\"}",
    "work_sync_workload_duration_seconds_count{result=\"success\"}",
    "create_resource_to_cluster{result=\"success\",apiversion=\"v1\",kind=\"ConfigMap\",member_cluster=\"member1\",recreate=\"false\"}",
    "update_resource_to_cluster{result=\"success\",apiversion=\"v1\",kind=\"ConfigMap\",member_cluster=\"member1\",operationResult=\"updated\"}",
    "delete_resource_from_cluster{result=\"success\",apiversion=\"v1\",kind=\"ConfigMap\",member_cluster=\"member1\"}",
    "controller_runtime_reconcile_total{controller=\"binding-controller\"",
    "controller_runtime_reconcile_time_seconds_count{controller=\"execution-controller\"",
    "controller_runtime_active_workers{controller=\"execution-controller\"",
    "workqueue_adds_total{name=\"resource detector\"",
    "workqueue_depth{name=\"scheduler-queue\"",
    "workqueue_queue_duration_seconds_count{name=\"resource detector\"",
    "workqueue_work_duration_seconds_count{name=\"resource detector\"",
    "workqueue_unfinished_work_seconds{name=\"resource detector\"",
];

#[tokio::test]
async fn a_delivery_counts_under_the_names_that_dashboards_know() {
    let scene = Scene::open("metrics").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let has = |color: &'static str| {
        scene.until("member1", "configmaps", "settings", color, move |it| {
            it["data"]["color"] == color
        })
    };
    has("blue").await;
    scene.apply(&config_map("green"));
    has("green").await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: higher, namespace: {ns}}
spec:
  priority: 5
  preemption: Always
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: settings}]
  placement: {clusterAffinity: {clusterNames: [member2]}}
",
    );
    scene.until_gone("member1", "configmaps", "settings").await;
    // What is counted when an answer has come is counted by now.
    scene.meanwhile("later").await;
    let (_, served) = scene.stage.page("/metrics");
    let missing: Vec<&str> = SERIES
        .into_iter()
        .filter(|series| !served.lines().any(|line| line.starts_with(series)))
        .collect();
    assert!(missing.is_empty(), "{missing:#?} of\n{served}");
}

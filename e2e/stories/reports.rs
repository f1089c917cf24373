//! What members report ends up in the template, for the kinds that the first stories do not show, and when it is bad news.

use serde_json::{Value, json};

use crate::stage::{
    Scene, condition, config_map, deployment, divided, is_applied, item, message, on, policy,
};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "three kinds in one scene")]
async fn budgets_autoscalers_and_cron_jobs_report_their_sums() {
    let scene = Scene::open("sums").await;
    scene.apply(
        "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: budget, namespace: {ns}}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: {ns}}
spec:
  schedule: '0 3 * * *'
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: it, image: 'busybox:1'}]}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaler, namespace: {ns}}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: nobody}, minReplicas: 1, maxReplicas: 5}
",
    );
    scene.apply(&deployment(2));
    let both = on("member1, member2");
    scene.apply(&policy("web", "apps/v1", "Deployment", &both));
    scene.apply(&policy(
        "budgets",
        "policy/v1",
        "PodDisruptionBudget",
        &both,
    ));
    scene.apply(&policy("nightly", "batch/v1", "CronJob", &both));
    scene.apply(&policy(
        "scalers",
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        &both,
    ));
    // Two pods in each of two members.
    scene
        .until(
            "control",
            "poddisruptionbudgets.policy",
            "budget",
            "the sum of both",
            |it| it["status"]["currentHealthy"] == 4 && it["status"]["desiredHealthy"] == 2,
        )
        .await;
    for name in [
        "budget-poddisruptionbudget",
        "nightly-cronjob",
        "scaler-horizontalpodautoscaler",
    ] {
        scene.applied(name).await;
    }
    for (member, active) in [("member1", "first"), ("member2", "second")] {
        let patch = format!(
            "{{\"status\":{{\"active\":[{{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"name\":\"{active}\",\"namespace\":\"sums\"}}],\
             \"lastScheduleTime\":\"2030-01-0{}T00:00:00Z\"}}}}",
            if member == "member1" { 1 } else { 2 }
        );
        scene
            .until(member, "cronjobs.batch", "nightly", "there", |_| true)
            .await;
        scene.kubectl(
            member,
            &[
                "patch",
                "cronjob",
                "nightly",
                "--subresource=status",
                "--type=merge",
                "-p",
                &patch,
            ],
        );
    }
    // The member's own controller may take the invented jobs off again; the time of the last schedule stays.
    scene
        .until(
            "control",
            "cronjobs.batch",
            "nightly",
            "with the latest time",
            |it| it["status"]["lastScheduleTime"] == "2030-01-02T00:00:00Z",
        )
        .await;
    for member in ["member1", "member2"] {
        scene.kubectl(
            member,
            &[
                "patch",
                "hpa",
                "scaler",
                "--subresource=status",
                "--type=merge",
                "-p",
                "{\"status\":{\"currentReplicas\":2,\"desiredReplicas\":3}}",
            ],
        );
    }
    scene
        .until(
            "control",
            "horizontalpodautoscalers.autoscaling",
            "scaler",
            "the sum of both",
            |it| it["status"]["currentReplicas"].as_i64() >= Some(2),
        )
        .await;
}

#[tokio::test]
async fn a_failed_job_is_failed_in_the_template() {
    let scene = Scene::open("failed-job").await;
    scene.apply(
        "apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: {ns}}
spec:
  suspend: true
  template: {spec: {restartPolicy: Never, containers: [{name: it, image: 'busybox:1'}]}}
",
    );
    scene.apply(&policy("jobs", "batch/v1", "Job", &on("member1, member2")));
    scene.applied("once-job").await;
    let failed = json!({ "status": {
        "startTime": "2030-01-01T00:00:00Z",
        "failed": 1,
        "uncountedTerminatedPods": {},
        "conditions": [
            { "type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often",
              "lastTransitionTime": "2030-01-01T00:00:01Z", "lastProbeTime": "2030-01-01T00:00:01Z" },
            { "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often",
              "lastTransitionTime": "2030-01-01T00:00:01Z", "lastProbeTime": "2030-01-01T00:00:01Z" },
        ],
    }});
    scene.kubectl(
        "member2",
        &[
            "patch",
            "job",
            "once",
            "--subresource=status",
            "--type=merge",
            "-p",
            &failed.to_string(),
        ],
    );
    let job = scene
        .until("control", "jobs.batch", "once", "failed", |it| {
            condition(it, "Failed").starts_with("True")
        })
        .await;
    assert!(message(&job, "Failed").contains("member2"), "{job:#}");
}

#[tokio::test]
async fn pods_that_are_not_ready_make_their_cluster_unhealthy() {
    let scene = Scene::open("unready").await;
    let sick = deployment(2).replace(
        "template:\n    metadata: {labels: {app: web}}",
        &format!(
            "template:\n    metadata: {{labels: {{app: web}}, annotations: {{{}: 'false'}}}}",
            testbed::POD_READY_ANNOTATION
        ),
    );
    assert!(sick.contains("'false'"));
    scene.apply(
        &(sick
            + &policy(
                "web",
                "apps/v1",
                "Deployment",
                &divided(&[("member1", 1), ("member2", 1)]),
            )),
    );
    let binding = scene
        .binding("web-deployment", "applied and unhealthy", |it| {
            is_applied(it)
                && ["member1", "member2"].iter().all(|member| {
                    let item = item(it, member);
                    item["health"] == "Unhealthy" && item["status"]["unavailableReplicas"] == 1
                })
        })
        .await;
    assert_eq!(
        condition(&binding, "FullyApplied"),
        "True/FullyAppliedSuccess"
    );
    scene
        .until("control", "deployments.apps", "web", "unavailable", |it| {
            it["status"]["unavailableReplicas"] == 2 && it["status"]["readyReplicas"].is_null()
        })
        .await;
}

#[tokio::test]
async fn an_immutable_field_is_refused_by_the_one_member() {
    let scene = Scene::open("immutable").await;
    scene
        .apply(&(deployment(1) + &policy("web", "apps/v1", "Deployment", &on("member1, member2"))));
    scene.applied("web-deployment").await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: reselect, namespace: {ns}}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, name: web}]
  overrideRules:
  - targetCluster: {clusterNames: [member2]}
    overriders:
      plaintext:
      - {path: /spec/selector/matchLabels, operator: replace, value: {app: other}}
      - {path: /spec/template/metadata/labels/app, operator: replace, value: other}
",
    );
    let binding = scene
        .binding("web-deployment", "refused in one", |it| {
            item(it, "member2")["appliedMessage"]
                .as_str()
                .is_some_and(|text| text.contains("field is immutable"))
        })
        .await;
    assert_eq!(
        condition(&binding, "FullyApplied"),
        "False/FullyAppliedFailed"
    );
    assert_eq!(item(&binding, "member1")["applied"], true);
    assert!(
        item(&binding, "member2")["appliedMessage"]
            .as_str()
            .unwrap()
            .starts_with("Failed to apply all manifests (0/1): ")
    );
    scene
        .until_event("web", "SyncFailed", "in member cluster(member2)")
        .await;
    let object = scene
        .object("member2", "deployments.apps", "web")
        .await
        .unwrap();
    assert_eq!(object["spec"]["selector"]["matchLabels"]["app"], "web");
    scene.kubectl("control", &["delete", "overridepolicy", "reselect"]);
    scene.applied("web-deployment").await;
}

#[tokio::test]
async fn an_object_over_the_size_limit_is_held_back_in_its_cluster_only() {
    let scene = Scene::open("too-big").await;
    // Stored as bytes a Secret may be larger than its text in a Work.
    let policies = format!(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: grow, namespace: too-big}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: Secret, name: blob}}]
  overrideRules:
  - targetCluster: {{clusterNames: [member1]}}
    overriders: {{plaintext: [{{path: /data/more, operator: add, value: {}}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: blob, namespace: too-big}}
data: {{blob: {}}}
",
        "AAAA".repeat(60_000),
        "AAAA".repeat(333_000),
    );
    let output = scene.kubectl_with("control", &["create", "-f", "-"], &policies);
    assert!(output.status.success());
    scene.apply(&policy("blobs", "v1", "Secret", &on("member1, member2")));
    scene
        .until("member2", "secrets", "blob", "there", |_| true)
        .await;
    scene
        .until_event("blob-secret", "SyncWorkFailed", "cluster member1: ")
        .await;
    scene
        .until_event("blob-secret", "SyncWorkFailed", "too large")
        .await;
    let binding = scene
        .binding("blob-secret", "half applied", |it| {
            condition(it, "FullyApplied") == "False/FullyAppliedFailed"
                && item(it, "member2")["applied"] == true
        })
        .await;
    assert_eq!(item(&binding, "member1"), &Value::Null);
    scene.kubectl("control", &["delete", "overridepolicy", "grow"]);
    scene
        .until("member1", "secrets", "blob", "there", |_| true)
        .await;
    scene.applied("blob-secret").await;
}

#[tokio::test]
async fn a_namespace_that_is_going_in_a_member_holds_its_objects_back() {
    let scene = Scene::open("ns-going").await;
    scene
        .until("member1", "namespaces", "ns-going", "there", |_| true)
        .await;
    let finalizers = |value: &str| format!("{{\"metadata\":{{\"finalizers\":{value}}}}}");
    scene.apply_to(
        "member1",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: anchor, namespace: {ns}, finalizers: [e2e.example.com/hold]}\n",
    );
    scene.kubectl(
        "member1",
        &["delete", "namespace", "ns-going", "--wait=false"],
    );
    scene
        .until("member1", "namespaces", "ns-going", "going", |it| {
            it["status"]["phase"] == "Terminating"
        })
        .await;
    scene.apply(
        &(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1, member2"))),
    );
    let binding = scene
        .binding("settings-configmap", "refused in one", |it| {
            item(it, "member2")["applied"] == true
                && item(it, "member1")["appliedMessage"]
                    .as_str()
                    .is_some_and(|text| text.contains("because it is being terminated"))
        })
        .await;
    assert_eq!(
        condition(&binding, "FullyApplied"),
        "False/FullyAppliedFailed"
    );
    scene.merge("member1", "configmap", "anchor", &finalizers("null"));
    // The namespace comes back, and what belongs into it.
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    scene.applied("settings-configmap").await;
}

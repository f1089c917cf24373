//! How a decision came about: asked of the running scheduler, and decided again offline.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::stage::{NAVARCH, Scene, condition, deployment, divided, policy};

#[tokio::test]
async fn the_scheduler_tells_how_a_decision_came_about() {
    let scene = Scene::open("explain").await;
    let weights = divided(&[("member1", 1), ("member2", 2)]);
    scene.apply(&(deployment(6) + &policy("web", "apps/v1", "Deployment", &weights)));
    scene
        .until("member2", "deployments.apps", "web", "at 4", |it| {
            it["spec"]["replicas"] == 4
        })
        .await;

    // The result is written before the word about it.
    scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "web-deployment",
            "told",
            |it| condition(it, "Scheduled") == "True/Success",
        )
        .await;

    let page = |path: String| scene.stage.page(&path);
    let (code, text) = page(format!(
        "/debug/scheduling/{}/web-deployment",
        scene.namespace
    ));
    assert_eq!(code, 200, "{text}");
    let account: Value = serde_json::from_str(&text).unwrap();
    let placed =
        json!([{ "name": "member1", "replicas": 2 }, { "name": "member2", "replicas": 4 }]);
    assert_eq!(account["recorded"]["clusters"], placed, "{account}");
    assert_eq!(account["recorded"]["scheduled"]["reason"], "Success");
    assert_eq!(account["decided"]["clusters"], placed, "{account}");
    let recomputed = &account["recomputed"];
    assert_eq!(recomputed["agrees"], true, "{account}");
    assert_eq!(recomputed["explanation"]["result"], placed, "{account}");
    let attempt = &recomputed["explanation"]["attempts"][0];
    assert_eq!(attempt["divisions"][0]["strategy"], "StaticWeight");
    let verdict = |name: &str| {
        let clusters = attempt["clusters"].as_array().unwrap();
        let cluster = clusters.iter().find(|it| it["name"] == name).unwrap();
        cluster["verdict"]["code"].clone()
    };
    assert_eq!(verdict("member1"), "Selected");
    assert_eq!(verdict("member3"), "AffinityMismatch");

    let (code, text) = page(format!("/debug/scheduling/{}/nothing", scene.namespace));
    assert_eq!(code, 404);
    assert!(text.contains("there is no ResourceBinding"), "{text}");
    assert_eq!(page("/debug/scheduling/nothing".to_owned()).0, 404);

    let (_, metrics) = page("/metrics".to_owned());
    for name in [
        "karmada_scheduler_schedule_attempts_total{result=\"scheduled\"",
        "karmada_scheduler_e2e_scheduling_duration_seconds_bucket",
        "karmada_scheduler_queue_incoming_bindings_total{event=\"BindingAdd\"}",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
}

/// What `navarch scheduler decide` answers to these lines: its exit code, results and notes.
fn decide(args: &[&str], lines: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(NAVARCH)
        .args(["scheduler", "decide"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn recorded_cases_are_decided_without_a_cluster() {
    let cluster = |name: &str| {
        let apis = json!([{ "groupVersion": "v1", "resources": [{ "name": "configmaps", "kind": "ConfigMap" }] }]);
        json!({ "metadata": { "name": name }, "spec": { "syncMode": "Push" }, "status": { "apiEnablements": apis } })
    };
    let case = |cluster_name: &str| {
        let resource = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "settings" });
        let placement = json!({ "clusterAffinity": { "clusterNames": [cluster_name] } });
        json!({
            "clusters": [cluster("m1"), cluster("m2")],
            "binding": { "metadata": { "name": "b" }, "spec": { "resource": resource, "placement": placement } },
        })
    };
    let lines = format!("{}\n{}\n", case("m2"), case("m3"));
    let (code, results, notes) = decide(&[], &lines);
    assert_eq!(code, Some(0), "{notes}");
    assert_eq!(
        results,
        "{\"clusters\":[{\"name\":\"m2\",\"replicas\":0}]}\n\
         {\"error\":{\"reason\":\"NoClusterFit\",\"message\":\"0/2 clusters are available: \
         2 cluster(s) did not match the placement cluster affinity constraint.\"}}\n"
    );
    assert!(notes.starts_with("2 cases in "), "{notes}");

    let (code, results, notes) = decide(&["--plugins", "*,-ClusterAffinity", "--quiet"], &lines);
    assert_eq!(code, Some(0), "{notes}");
    assert!(!results.contains("error"), "{results}");

    let (code, results, notes) = decide(&["--explain", "--compat", "-q"], "{}\n");
    assert_eq!(code, Some(1));
    assert!(results.contains("line 1, column 2: `clusters` is missing"));
    assert_eq!(notes, "error: 1 of 1 lines are no cases\n");
    assert_eq!(decide(&["--compat=wings"], "").0, Some(1));
    assert_eq!(decide(&["--feature-gates", "Wings=true"], "").0, Some(1));
}

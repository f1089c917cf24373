//! How a decision came about, asked of the running scheduler.

use serde_json::{Value, json};

use crate::stage::{Scene, deployment, divided, policy};

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

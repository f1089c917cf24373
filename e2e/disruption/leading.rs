//! Several servers, of which one works.

use serde_json::Value;

use crate::{
    ONE_AT_A_TIME,
    stage::{self, Scene, config_map, on, page_at, policy, stage},
};

const LEASES: &str = "leases.coordination.k8s.io";
const CONTROLLERS: &str = "karmada-system/karmada-controller-manager";
const SCHEDULER: &str = "karmada-system/karmada-scheduler";

fn holder(lease: &Value) -> &str {
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default()
}

async fn leader(scene: &Scene, lease: &str) -> String {
    let lease = scene
        .until("control", LEASES, lease, "held", |it| {
            !holder(it).is_empty()
        })
        .await;
    holder(&lease).to_owned()
}

/// Asks until the page has the text.
async fn until_page(address: std::net::SocketAddr, path: &'static str, part: &str) -> String {
    let asking = async {
        let mut look = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            look.tick().await;
            let asked = tokio::task::spawn_blocking(move || page_at(address, path));
            let (code, text) = asked.await.unwrap();
            if code == 200 && text.contains(part) {
                return text;
            }
        }
    };
    tokio::time::timeout(stage::DEADLINE, asking)
        .await
        .unwrap_or_else(|_| panic!("{path} does not show {part}"))
}

async fn propagates(scene: &Scene, value: &str) {
    scene.apply(&config_map(value));
    scene
        .until("member1", "configmaps", "settings", "delivered", |it| {
            it["data"]["color"] == value
        })
        .await;
}

#[tokio::test]
async fn a_second_server_stands_by_and_takes_over() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("leading").await;
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member1")));
    propagates(&scene, "blue").await;
    let first = leader(&scene, CONTROLLERS).await;
    assert_eq!(leader(&scene, SCHEDULER).await, first);

    let address = tokio::task::spawn_blocking(|| stage().serve_also("standby"))
        .await
        .unwrap();
    until_page(address, "/readyz", "ok").await;
    propagates(&scene, "green").await;
    let metrics = until_page(address, "/metrics", "navarch_decision_records").await;
    assert!(
        !metrics.contains("controller_runtime_reconcile_total{"),
        "the standby works: {metrics}"
    );
    assert_eq!(leader(&scene, CONTROLLERS).await, first);

    // A clean stop hands the Leases over.
    let stop = |name: &'static str| async move {
        tokio::task::spawn_blocking(move || stage().block_on(stage().bed.stop_program(name)))
            .await
            .unwrap()
            .unwrap();
    };
    stop("serve").await;
    for lease in [CONTROLLERS, SCHEDULER] {
        scene
            .until("control", LEASES, lease, "taken over", |it| {
                !holder(it).is_empty() && holder(it) != first
            })
            .await;
    }
    propagates(&scene, "red").await;
    let second = leader(&scene, CONTROLLERS).await;

    // A kill is found out: no process of this identity runs any more.
    tokio::task::spawn_blocking(|| {
        stage()
            .block_on(async { stage().bed.start_program("serve") })
            .unwrap();
    })
    .await
    .unwrap();
    crate::kill_program("standby").await;
    for lease in [CONTROLLERS, SCHEDULER] {
        scene
            .until("control", LEASES, lease, "taken over", |it| {
                !holder(it).is_empty() && holder(it) != second
            })
            .await;
    }
    propagates(&scene, "yellow").await;
    stop("standby").await;
    propagates(&scene, "white").await;
    let report = scene.kubectl(
        "control",
        &[
            "get",
            "configmap",
            "navarch-component.controllers",
            "-n",
            "karmada-system",
            "-o",
            "jsonpath={.data.report}",
        ],
    );
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["component"], "controllers");
    assert_eq!(report["featureGates"]["PropagationPolicyPreemption"], true);
}

//! Stories in which clusters come and go and the servers are killed; they disturb each other, so they run one after the other.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "stories fail by panicking, and each binary uses a part of the stage"
)]

#[path = "../stage/mod.rs"]
mod stage;
mod world;

mod faults;
mod held;
mod lazy;
mod leading;

use std::collections::BTreeMap;

use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;
use stage::{Scene, condition, config_map, deployment, on, policy, stage, text};
use tokio::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_fourth_cluster_joins_gets_its_share_and_leaves_again() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("fourth").await;
    scene.apply(
        &(config_map("blue")
            + &policy(
                "settings",
                "v1",
                "ConfigMap",
                "{clusterAffinity: {exclude: [member2, member3]}}",
            )),
    );
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;

    scene.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: fourth-alone}\n");
    scene
        .until("member1", "namespaces", "fourth-alone", "there", |_| true)
        .await;

    tokio::task::spawn_blocking(|| {
        let stage = stage();
        stage.block_on(stage.bed.add_member("member4")).unwrap();
        stage.join("member4");
    })
    .await
    .unwrap();
    let cluster = scene
        .until(
            "control",
            "clusters.cluster.karmada.io",
            "member4",
            "ready with its nodes",
            |it| {
                condition(it, "Ready") == "True/ClusterReady"
                    && it["status"]["nodeSummary"]["readyNum"] == 2
            },
        )
        .await;
    assert_eq!(cluster["spec"]["syncMode"], "Push");
    assert!(
        cluster["status"]["kubernetesVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("v1."))
    );
    scene
        .until("member4", "configmaps", "settings", "there", |_| true)
        .await;

    // A namespace goes there by itself, also one that nothing is in.
    scene
        .until("member4", "namespaces", "fourth-alone", "there", |_| true)
        .await;

    let again = scene.stage.navarch(&[
        "join",
        "member4",
        "--cluster-kubeconfig",
        &kubeconfig("member4"),
    ]);
    assert!(
        !again.status.success() && text(&again).contains("already registered"),
        "{}",
        text(&again)
    );

    let output = scene.stage.navarch(&[
        "unjoin",
        "member4",
        "--cluster-kubeconfig",
        &kubeconfig("member4"),
        "--yes",
    ]);
    assert!(output.status.success(), "{}", text(&output));
    scene
        .until_gone("control", "clusters.cluster.karmada.io", "member4")
        .await;
    scene.until_gone("member4", "configmaps", "settings").await;
    scene
        .until_gone("control", "namespaces", "karmada-es-member4")
        .await;
    scene
        .until("member1", "configmaps", "settings", "still there", |_| true)
        .await;
}

fn kubeconfig(member: &str) -> String {
    stage()
        .bed
        .member(member)
        .unwrap()
        .kubeconfig()
        .display()
        .to_string()
}

#[tokio::test]
async fn killed_in_mid_flight_nothing_is_lost_and_nothing_doubled() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("killed").await;
    let settings = |n: u32, value: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings-{n}, namespace: killed}}\ndata: {{color: {value}}}\n"
        )
    };
    scene.apply(&policy(
        "settings",
        "v1",
        "ConfigMap",
        &on("member1, member2"),
    ));
    let all = |value: &str| (0..20).map(|n| settings(n, value)).collect::<String>();
    scene.apply(&all("blue"));
    kill().await;
    scene.apply(&all("green"));
    kill().await;
    for n in (0..20).step_by(2) {
        scene.kubectl(
            "control",
            &[
                "delete",
                "configmap",
                &format!("settings-{n}"),
                "--wait=false",
            ],
        );
    }
    kill().await;
    for n in 0..20 {
        let name = format!("settings-{n}");
        for member in ["member1", "member2"] {
            if n % 2 == 0 {
                scene.until_gone(member, "configmaps", &name).await;
            } else {
                scene
                    .until(member, "configmaps", &name, "green", |it| {
                        it["data"]["color"] == "green"
                    })
                    .await;
            }
        }
    }
    for n in (1..20).step_by(2) {
        let name = format!("settings-{n}-configmap");
        scene
            .until(
                "control",
                "resourcebindings.work.karmada.io",
                &name,
                "fully applied",
                |it| condition(it, "FullyApplied") == "True/FullyAppliedSuccess",
            )
            .await;
    }
    let bindings = scene.kubectl("control", &["get", "rb", "-o", "name"]);
    assert_eq!(
        bindings
            .lines()
            .filter(|line| line.contains("settings-"))
            .count(),
        10,
        "{bindings}"
    );
}

/// Kills the servers without warning; the bed starts them again.
async fn kill() {
    kill_program("serve").await;
}

async fn kill_program(name: &str) {
    let running = async {
        let mut look = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            look.tick().await;
            if let Some(process) = &stage().bed.state().processes[name].process {
                return process.pid;
            }
        }
    };
    let pid = tokio::time::timeout(stage::DEADLINE, running)
        .await
        .expect("the servers are started again");
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
}

#[tokio::test]
async fn an_idle_restart_writes_nothing() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("idle").await;
    scene
        .apply(&(deployment(2) + &policy("web", "apps/v1", "Deployment", &on("member1, member2"))));
    scene
        .until("control", "deployments.apps", "web", "complete", |it| {
            it["status"]["readyReplicas"] == 4
        })
        .await;
    settled(&scene).await;
    let before = written(&scene).await;
    kill().await;
    // A change that goes all the way proves that the new process has been through everything it found.
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    settled(&scene).await;
    let after = written(&scene).await;
    for (name, object) in &before {
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let now = &after[name];
        assert_eq!(
            version(now),
            version(object),
            "the restart wrote {name}; it was\n{object:#}\nand is\n{now:#}"
        );
    }
}

/// Waits until nothing has changed for a while.
async fn settled(scene: &Scene) {
    let steady = async {
        let mut look = tokio::time::interval(std::time::Duration::from_millis(100));
        let mut last = written(scene).await;
        let mut same = 0;
        while same < 20 {
            look.tick().await;
            let now = written(scene).await;
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
    };
    tokio::time::timeout(stage::DEADLINE, steady).await.unwrap();
}

/// Everything that Navarch writes for this scene, without the bookkeeping of the API server.
async fn written(scene: &Scene) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut keep = |kind: &str, mut object: DynamicObject| {
        object.metadata.managed_fields = None;
        let key = format!(
            "{kind} {}/{}",
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        found.insert(key, serde_json::to_value(object).unwrap());
    };
    for kind in [
        "deployments.apps",
        "resourcebindings.work.karmada.io",
        "propagationpolicies.policy.karmada.io",
    ] {
        let api = scene.api("control", kind).await;
        for object in api.list(&ListParams::default()).await.unwrap() {
            keep(kind, object);
        }
    }
    let (works, _) = stage::resource("works.work.karmada.io");
    let api = scene.api_of("control", &works, None).await;
    for object in api.list(&ListParams::default()).await.unwrap() {
        if object.name_any().starts_with("web-") {
            keep("works", object);
        }
    }
    found
}

#[tokio::test]
async fn an_outage_of_one_member_costs_the_others_nothing_and_heals() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("outage").await;
    scene
        .until("member1", "namespaces", "outage", "there", |_| true)
        .await;
    scene
        .until("member3", "namespaces", "outage", "there", |_| true)
        .await;
    tokio::task::spawn_blocking(|| stage().block_on(stage().bed.member("member3").unwrap().stop()))
        .await
        .unwrap();
    scene
        .until(
            "control",
            "clusters.cluster.karmada.io",
            "member3",
            "not ready",
            |it| {
                condition(it, "Ready") == "False/ClusterNotReachable"
                    && it["spec"]["taints"].as_array().is_some_and(|taints| {
                        taints
                            .iter()
                            .any(|taint| taint["key"] == "cluster.karmada.io/not-ready")
                    })
            },
        )
        .await;
    // member3 was chosen before the outage by name, so only its taint keeps new work off.
    let tolerant = "{clusterAffinity: {clusterNames: [member1, member3]}, clusterTolerations: [{operator: Exists}]}";
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", tolerant)));
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    tokio::task::spawn_blocking(|| {
        stage()
            .block_on(stage().bed.member("member3").unwrap().start())
            .unwrap();
    })
    .await
    .unwrap();
    scene
        .until(
            "member3",
            "configmaps",
            "settings",
            "there after the outage",
            |_| true,
        )
        .await;
    scene
        .until(
            "control",
            "clusters.cluster.karmada.io",
            "member3",
            "ready again and without taint",
            |it| {
                condition(it, "Ready") == "True/ClusterReady"
                    && it["spec"]["taints"].as_array().is_none_or(Vec::is_empty)
            },
        )
        .await;
}

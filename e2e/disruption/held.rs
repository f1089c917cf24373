//! Removals that were held stay held, whatever becomes of the servers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    ONE_AT_A_TIME,
    stage::{Scene, condition, on, policy, stage, text},
};

const BINDINGS: &str = "resourcebindings.work.karmada.io";
const CLUSTERS: &str = "clusters.cluster.karmada.io";
const HELD: &str = "RemovalHeld";

fn settings(n: u32) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings-{n}, namespace: {{ns}}}}\ndata: {{color: blue}}\n"
    )
}

async fn applied(scene: &Scene, count: u32) {
    for n in 0..count {
        scene
            .until(
                "control",
                BINDINGS,
                &format!("settings-{n}-configmap"),
                "applied",
                |it| condition(it, "FullyApplied") == "True/FullyAppliedSuccess",
            )
            .await;
    }
}

/// The bindings with something held back, and what their conditions and versions are.
async fn held(scene: &Scene, count: u32) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for n in 0..count {
        let name = format!("settings-{n}-configmap");
        if let Some(binding) = scene.object("control", BINDINGS, &name).await
            && condition(&binding, HELD) == "True/ClusterRemovalLimit"
        {
            found.insert(name, binding["metadata"]["resourceVersion"].clone());
        }
    }
    found
}

fn threshold(scene: &Scene, cluster: &str, value: &str) {
    let annotation = format!("navarch.dev/removal-threshold{value}");
    scene.kubectl(
        "control",
        &["annotate", "cluster", cluster, &annotation, "--overwrite"],
    );
}

#[tokio::test]
async fn a_wave_of_deletions_is_held_over_a_restart() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("held").await;
    let all: String = (0..6).map(settings).collect();
    scene.apply(&(all + &policy("settings", "v1", "ConfigMap", &on("member3"))));
    applied(&scene, 6).await;
    threshold(&scene, "member3", "=0%/2/600s");
    scene.kubectl("control", &["delete", "configmap", "--all", "--wait=false"]);
    scene
        .until("control", CLUSTERS, "member3", "holding four", |it| {
            let list = it["status"]["conditions"].as_array();
            list.into_iter().flatten().any(|condition| {
                condition["type"] == HELD
                    && condition["reason"] == "ClusterRemovalLimit"
                    && condition["message"]
                        .as_str()
                        .is_some_and(|text| text.starts_with("4 removals"))
            })
        })
        .await;
    crate::settled(&scene).await;
    let before = held(&scene, 6).await;
    assert_eq!(before.len(), 4, "{before:?}");

    crate::kill().await;
    // A change that goes all the way proves that the new process has been through everything it found.
    scene.apply(&settings(9));
    scene
        .until("member3", "configmaps", "settings-9", "there", |_| true)
        .await;
    crate::settled(&scene).await;
    assert_eq!(held(&scene, 6).await, before);
    let kept = scene.kubectl("member3", &["get", "configmaps", "-o", "name"]);
    let kept = kept.lines().filter(|it| it.contains("settings-")).count();
    assert_eq!(kept, 5);

    let output = scene.stage.navarch(&["release-hold", "cluster/member3"]);
    assert!(output.status.success(), "{}", text(&output));
    for n in 0..6 {
        let name = format!("settings-{n}");
        scene.until_gone("member3", "configmaps", &name).await;
    }
    scene
        .until("control", CLUSTERS, "member3", "free", |it| {
            condition(it, HELD).is_empty()
        })
        .await;
    threshold(&scene, "member3", "-");
}

#[tokio::test]
async fn a_cluster_deleted_with_much_in_it_waits() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("leaving").await;
    tokio::task::spawn_blocking(|| {
        let stage = stage();
        stage.block_on(stage.bed.add_member("member5")).unwrap();
        stage.join("member5");
    })
    .await
    .unwrap();
    let all: String = (0..3).map(settings).collect();
    scene.apply(&(all + &policy("settings", "v1", "ConfigMap", &on("member5"))));
    applied(&scene, 3).await;
    threshold(&scene, "member5", "=0%/2/600s");
    scene.kubectl("control", &["delete", "cluster", "member5", "--wait=false"]);
    scene
        .until("control", CLUSTERS, "member5", "waiting", |it| {
            condition(it, "navarch.dev/Removal") == "False/ClusterRemovalLimit"
                && condition(it, HELD).starts_with("True/")
        })
        .await;
    for n in 0..3 {
        let name = format!("settings-{n}");
        assert!(scene.object("member5", "configmaps", &name).await.is_some());
    }
    let output = scene.stage.navarch(&["release-hold", "cluster/member5"]);
    assert!(output.status.success(), "{}", text(&output));
    scene.until_gone("control", CLUSTERS, "member5").await;
    for n in 0..3 {
        let name = format!("settings-{n}");
        scene.until_gone("member5", "configmaps", &name).await;
    }
}

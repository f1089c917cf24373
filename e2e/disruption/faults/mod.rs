//! A member whose API server misbehaves: late there, on time everywhere else, and right in the end.

mod proxy;

use serde_json::{Value, json};

use self::proxy::{Fault, Proxy};
use crate::{
    ONE_AT_A_TIME,
    stage::{Scene, condition, is_applied, on, policy},
};

const CLUSTERS: &str = "clusters.cluster.karmada.io";

/// Has the servers talk to member3 at this address.
fn redirect(scene: &Scene, endpoint: &str) {
    let patch = json!({"spec": {"apiEndpoint": endpoint}}).to_string();
    scene.merge("control", "cluster", "member3", &patch);
}

fn config_map(name: &str, value: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {{ns}}}}\ndata: {{color: {value}}}\n"
    )
}

async fn has(scene: &Scene, cluster: &str, name: &str, value: &str) {
    scene
        .until(cluster, "configmaps", name, value, |it| {
            it["data"]["color"] == value
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_misbehaves_is_late_and_nobody_else_is() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("faults").await;
    let before = scene.object("control", CLUSTERS, "member3").await.unwrap();
    let endpoint = before["spec"]["apiEndpoint"].as_str().unwrap().to_owned();
    let (proxy, address) = Proxy::start(scene.client("member3").await).await;
    redirect(&scene, &format!("http://{address}"));
    scene.apply(&policy(
        "everything",
        "v1",
        "ConfigMap",
        &on("member1, member3"),
    ));
    scene.apply(&config_map("first", "blue"));
    has(&scene, "member3", "first", "blue").await;
    assert!(proxy.requests() > 0, "the member is reached by the proxy");

    for (name, fault, is_reached) in [
        ("ends", Fault::WatchesEnd, true),
        ("expired", Fault::Expired, true),
        ("repeats", Fault::Repeats, true),
        ("throttled", Fault::Refuses(429), false),
        ("broken", Fault::Refuses(500), false),
        ("silent", Fault::Silent, false),
    ] {
        let (requests, watches) = (proxy.requests(), proxy.watches());
        proxy.set(fault);
        if is_reached {
            // Watches that run already do not meet the fault: another connection does.
            redirect(&scene, &endpoint);
            redirect(&scene, &format!("http://{address}"));
        }
        scene.apply(&config_map(name, "green"));
        has(&scene, "member1", name, "green").await;
        if is_reached {
            has(&scene, "member3", name, "green").await;
            scene.apply(&config_map(name, "red"));
            has(&scene, "member3", name, "red").await;
            assert!(proxy.watches() > watches, "{fault:?} was met");
        } else {
            // What the member never answered is said of it, and of it alone.
            scene.apply(&config_map(name, "red"));
            has(&scene, "member1", name, "red").await;
        }
        proxy.set(Fault::None);
        has(&scene, "member3", name, "red").await;
        let binding = format!("{name}-configmap");
        scene
            .until(
                "control",
                "resourcebindings.work.karmada.io",
                &binding,
                "applied everywhere",
                is_applied,
            )
            .await;
        let asked = proxy.requests() - requests;
        assert!(asked < 3000, "{fault:?} took {asked} requests");
    }

    // Nothing is left of the disorder: drift is corrected, deletions arrive, and only they.
    scene.kubectl(
        "member3",
        &[
            "-n",
            "faults",
            "patch",
            "cm",
            "repeats",
            "-p",
            r#"{"data":{"color":"drift"}}"#,
        ],
    );
    has(&scene, "member3", "repeats", "red").await;
    scene.kubectl("control", &["-n", "faults", "delete", "cm", "ends"]);
    scene.until_gone("member3", "configmaps", "ends").await;
    for name in [
        "first",
        "expired",
        "repeats",
        "throttled",
        "broken",
        "silent",
    ] {
        let found = scene.object("member3", "configmaps", name).await;
        assert!(found.is_some(), "{name} is in member3");
    }
    redirect(&scene, &endpoint);
    scene
        .until(
            "control",
            CLUSTERS,
            "member3",
            "ready again",
            |it: &Value| condition(it, "Ready") == "True/ClusterReady",
        )
        .await;
}

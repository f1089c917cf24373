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

#[tokio::test]
async fn last_copies_and_those_of_a_kind_that_is_gone_stay_over_a_restart() {
    const GADGETS: &str = "gadgets.brake.example.com";
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("held-copies").await;
    scene
        .define(&["control", "member1"], GADGETS, "Gadget")
        .await;
    scene.apply(&(settings(0) + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let gadget = "---\napiVersion: brake.example.com/v1\nkind: Gadget\nmetadata: {name: g, namespace: {ns}}\n";
    scene.apply(
        &(gadget.to_owned() + &policy("gadgets", "brake.example.com/v1", "Gadget", &on("member1"))),
    );
    scene.applied("settings-0-configmap").await;
    scene.applied("g-gadget").await;
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("nowhere")));
    scene.undefine(GADGETS).await;
    let delete = [
        "delete",
        "rb",
        "g-gadget",
        "--wait=false",
        "--ignore-not-found",
    ];
    scene.kubectl("control", &delete);
    let mut versions = Vec::new();
    for (name, reason) in [
        ("settings-0-configmap", "True/LastCopy"),
        ("g-gadget", "True/KindGone"),
    ] {
        scene
            .binding(name, "held", |it| condition(it, HELD) == reason)
            .await;
    }
    crate::settled(&scene).await;
    for name in ["settings-0-configmap", "g-gadget"] {
        let binding = scene.object("control", BINDINGS, name).await.unwrap();
        versions.push(binding["metadata"]["resourceVersion"].clone());
    }

    crate::kill().await;
    scene.meanwhile("probe").await;
    crate::settled(&scene).await;
    for (name, version) in ["settings-0-configmap", "g-gadget"].iter().zip(versions) {
        let binding = scene.object("control", BINDINGS, name).await.unwrap();
        assert_eq!(binding["metadata"]["resourceVersion"], version, "{name}");
    }
    for (kind, name) in [("configmaps", "settings-0"), (GADGETS, "g")] {
        let kept = scene.object("member1", kind, name).await;
        assert!(kept.is_some(), "{name}");
    }
    for (kind, name, object) in [
        ("configmaps", "settings-0", "settings-0-configmap"),
        (GADGETS, "g", "g-gadget"),
    ] {
        let what = format!("rb/{object}");
        let output = scene
            .stage
            .navarch(&["release-hold", &what, "-n", &scene.namespace]);
        assert!(output.status.success(), "{}", text(&output));
        scene.until_gone("member1", kind, name).await;
    }
}

#[tokio::test]
async fn works_of_no_binding_are_held_and_let_go_one_by_one() {
    const WORKS: &str = "works.work.karmada.io";
    let _turn = ONE_AT_A_TIME.lock().await;
    let scene = Scene::open("held-works").await;
    // Not in a cluster that another test has released, which is good for five minutes.
    scene
        .until("member2", "namespaces", "held-works", "there", |_| true)
        .await;
    let work = |n: u32| {
        format!(
            "---
apiVersion: work.karmada.io/v1alpha1
kind: Work
metadata: {{name: held-works-{n}, namespace: karmada-es-member2}}
spec:
  workload:
    manifests: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: own-{n}, namespace: held-works}}}}]
"
        )
    };
    let output = scene.kubectl_with(
        "control",
        &["apply", "-n", "karmada-es-member2", "-f", "-"],
        &(work(0) + &work(1)),
    );
    assert!(output.status.success(), "{}", text(&output));
    for n in 0..2 {
        let path = format!("karmada-es-member2/held-works-{n}");
        scene
            .until("control", WORKS, &path, "applied", |it| {
                condition(it, "Applied").starts_with("True/")
            })
            .await;
    }
    threshold(&scene, "member2", "=0%/0/600s");
    for n in 0..2 {
        let name = format!("held-works-{n}");
        let args = [
            "delete",
            "work",
            "-n",
            "karmada-es-member2",
            &name,
            "--wait=false",
        ];
        scene.kubectl("control", &args);
    }
    for n in 0..2 {
        let path = format!("karmada-es-member2/held-works-{n}");
        let held = scene
            .until("control", WORKS, &path, "held", |it| {
                condition(it, HELD) == "True/ClusterRemovalLimit"
            })
            .await;
        let release = format!("navarch release-hold work/held-works-{n} -n karmada-es-member2");
        let told = crate::stage::message(&held, HELD);
        assert!(told.contains(&release), "{told}");
    }
    crate::kill().await;
    scene.meanwhile("probe").await;
    for n in 0..2 {
        let name = format!("own-{n}");
        assert!(scene.object("member2", "configmaps", &name).await.is_some());
    }
    let output = scene.stage.navarch(&[
        "release-hold",
        "work/held-works-0",
        "-n",
        "karmada-es-member2",
    ]);
    assert!(output.status.success(), "{}", text(&output));
    scene.until_gone("member2", "configmaps", "own-0").await;
    scene
        .until_gone("control", WORKS, "karmada-es-member2/held-works-0")
        .await;
    scene.meanwhile("another").await;
    assert!(
        scene
            .object("member2", "configmaps", "own-1")
            .await
            .is_some()
    );
    // What the limit does not hold any more goes by itself.
    threshold(&scene, "member2", "-");
    scene.until_gone("member2", "configmaps", "own-1").await;
}

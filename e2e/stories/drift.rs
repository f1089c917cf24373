//! Members are kept as the control plane says.

use crate::stage::{BINDINGS, Scene, WORKS, clusters, config_map, deployment, on, policy};

#[tokio::test]
async fn an_object_edited_in_a_member_is_corrected() {
    let scene = Scene::open("drift").await;
    scene.apply(&(deployment(2) + &policy("web", "apps/v1", "Deployment", &on("member1"))));
    scene
        .until("member1", "deployments.apps", "web", "ready", |it| {
            it["status"]["readyReplicas"] == 2
        })
        .await;
    scene.kubectl("member1", &["scale", "deployment/web", "--replicas=5"]);
    let edited = scene
        .object("member1", "deployments.apps", "web")
        .await
        .unwrap()["metadata"]["generation"]
        .as_i64()
        .unwrap();
    scene
        .until("member1", "deployments.apps", "web", "corrected", |it| {
            it["spec"]["replicas"] == 2 && it["metadata"]["generation"].as_i64() >= Some(edited)
        })
        .await;
}

#[tokio::test]
async fn annotations_edited_in_a_member_are_corrected_and_foreign_ones_stay() {
    let scene = Scene::open("annotations").await;
    scene.apply(&config_map("blue"));
    scene.kubectl(
        "control",
        &["annotate", "configmap", "settings", "example.com/owner=us"],
    );
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member1")));
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    scene.kubectl(
        "member1",
        &[
            "annotate",
            "--overwrite",
            "configmap",
            "settings",
            "example.com/owner=them",
            "example.com/extra=kept",
        ],
    );
    scene
        .until(
            "member1",
            "configmaps",
            "settings",
            "ours again, with the foreign annotation",
            |it| {
                it["metadata"]["annotations"]["example.com/owner"] == "us"
                    && it["metadata"]["annotations"]["example.com/extra"] == "kept"
            },
        )
        .await;
}

#[tokio::test]
async fn an_object_deleted_in_a_member_is_created_again() {
    let scene = Scene::open("recreate").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member2"))));
    let first = scene
        .until("member2", "configmaps", "settings", "there", |_| true)
        .await;
    scene.kubectl("member2", &["delete", "configmap", "settings"]);
    scene
        .until(
            "member2",
            "configmaps",
            "settings",
            "there again",
            move |it| it["metadata"]["uid"] != first["metadata"]["uid"],
        )
        .await;
}

#[tokio::test]
async fn a_deleted_work_is_made_again() {
    let scene = Scene::open("delete-work").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let object = scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    let work = object["metadata"]["annotations"]["work.karmada.io/name"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("karmada-es-member1/{work}");
    let first = scene
        .until("control", "works.work.karmada.io", &path, "there", |_| true)
        .await;
    // The Work is there again before kubectl has begun to wait for its end.
    let namespace = "karmada-es-member1";
    let delete = ["delete", "work", "-n", namespace, &work, "--wait=false"];
    scene.kubectl("control", &delete);
    scene
        .until(
            "control",
            "works.work.karmada.io",
            &path,
            "there again",
            move |it| it["metadata"]["uid"] != first["metadata"]["uid"],
        )
        .await;
    scene
        .until("member1", "configmaps", "settings", "there", |it| {
            it["data"]["color"] == "blue"
        })
        .await;
}

#[tokio::test]
async fn a_deleted_work_that_nobody_wants_any_more_takes_its_object_along() {
    let scene = Scene::open("delete-work-late").await;
    let settings = |to: &str| config_map("blue") + &policy("settings", "v1", "ConfigMap", &on(to));
    scene.apply(&settings("member1, member2"));
    scene.applied("settings-configmap").await;
    let before = scene
        .object("member2", "configmaps", "settings")
        .await
        .unwrap();
    let path = scene.work_path("member2", "ConfigMap", "settings");
    let (space, work) = path.split_once('/').unwrap();
    // Somebody else's finalizer keeps the Work, so that it cannot be made again before it is wanted no more.
    scene.set_finalizers(
        &path,
        r#"["karmada.io/execution-controller", "example.com/fence"]"#,
    );
    let delete = ["delete", "work", "-n", space, work, "--wait=false"];
    scene.kubectl("control", &delete);
    scene
        .until("control", WORKS, &path, "let go", |it| {
            it["metadata"]["finalizers"] == serde_json::json!(["example.com/fence"])
        })
        .await;
    let noted = |it: &serde_json::Value| {
        it["metadata"]["annotations"]["navarch.dev/rewrites-member2"].is_string()
    };
    let binding = scene.object("control", BINDINGS, "settings-configmap");
    assert!(noted(&binding.await.unwrap()));
    scene.apply(&settings("member1"));
    scene
        .binding("settings-configmap", "in member1 alone", |it| {
            clusters(it) == "member1"
        })
        .await;
    scene.meanwhile("probe").await;
    let kept = scene.object("member2", "configmaps", "settings").await;
    assert_eq!(kept.unwrap()["metadata"]["uid"], before["metadata"]["uid"]);
    scene.set_finalizers(&path, "null");
    scene.until_gone("member2", "configmaps", "settings").await;
    scene
        .until_no_work("member2", "ConfigMap", "settings")
        .await;
    scene
        .binding("settings-configmap", "through", |it| !noted(it))
        .await;
    scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
}

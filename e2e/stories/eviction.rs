//! How clusters are let go that a resource leaves.

use crate::stage::{Scene, clusters, condition, config_map, on, policy, text};

const BINDING: &str = "resourcebindings.work.karmada.io";

/// The ConfigMap `settings` in one of two members; returns where it is and the other one.
async fn in_one_of_two(scene: &Scene) -> (String, &'static str) {
    scene.apply(&config_map("blue"));
    scene.apply(&policy(
        "settings",
        "v1",
        "ConfigMap",
        "{clusterAffinity: {clusterNames: [member1, member2]}, spreadConstraints: [{spreadByField: cluster, minGroups: 1, maxGroups: 1}]}",
    ));
    let binding = scene
        .until("control", BINDING, "settings-configmap", "applied", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    let first = clusters(&binding);
    let second = if first == "member1" {
        "member2"
    } else {
        "member1"
    };
    (first, second)
}

/// The ConfigMap `settings` in a member that is the only one it may be in.
async fn in_member3_alone(scene: &Scene) {
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member3"))));
    scene.applied("settings-configmap").await;
}

/// Waits until the scheduler has found nothing.
async fn finds_no_place(scene: &Scene) {
    scene
        .binding("settings-configmap", "without a place", |it| {
            condition(it, "Scheduled") == "False/NoClusterFit"
        })
        .await;
}

/// Writes an eviction task as another controller would; `more` are further members of the task.
fn evict(scene: &Scene, kind: &str, name: &str, cluster: &str, more: &str) {
    let patch = format!(
        r#"{{"spec": {{"clusters": null, "gracefulEvictionTasks": [{{"fromCluster": "{cluster}", "reason": "Maintenance", "producer": "story"{more}}}]}}}}"#
    );
    scene.merge("control", kind, name, &patch);
}

#[tokio::test]
async fn a_task_of_anybody_moves_the_resource_and_goes_when_it_has_moved() {
    let scene = Scene::open("evict-by-hand").await;
    let (old, new) = in_one_of_two(&scene).await;
    evict(&scene, "rb", "settings-configmap", &old, "");
    scene
        .until(new, "configmaps", "settings", "there", |_| true)
        .await;
    scene.until_gone(&old, "configmaps", "settings").await;
    scene
        .until("control", BINDING, "settings-configmap", "settled", |it| {
            clusters(it) == new
                && it["spec"]["gracefulEvictionTasks"].is_null()
                && condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    scene
        .until_event(
            "settings-configmap",
            "EvictWorkloadFromClusterSucceed",
            &format!("Evict from cluster {old} succeed."),
        )
        .await;
}

#[tokio::test]
async fn cluster_scoped_resources_are_evicted_likewise() {
    let scene = Scene::open("evict-cluster-scoped").await;
    scene.apply(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: evict-reader}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: evict-reader}
spec:
  resourceSelectors: [{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: evict-reader}]
  placement:
    clusterAffinity: {clusterNames: [member1, member2]}
    spreadConstraints: [{spreadByField: cluster, minGroups: 1, maxGroups: 1}]
",
    );
    let kind = "clusterresourcebindings.work.karmada.io";
    let binding = scene
        .until(
            "control",
            kind,
            "evict-reader-clusterrole",
            "applied",
            |it| condition(it, "FullyApplied") == "True/FullyAppliedSuccess",
        )
        .await;
    let old = clusters(&binding);
    let new = if old == "member1" {
        "member2"
    } else {
        "member1"
    };
    evict(&scene, "crb", "evict-reader-clusterrole", &old, "");
    let role = "clusterroles.rbac.authorization.k8s.io";
    scene
        .until(new, role, "evict-reader", "there", |_| true)
        .await;
    scene.until_gone(&old, role, "evict-reader").await;
    scene
        .until(
            "control",
            kind,
            "evict-reader-clusterrole",
            "settled",
            |it| clusters(it) == new && it["spec"]["gracefulEvictionTasks"].is_null(),
        )
        .await;
}

#[tokio::test]
async fn nothing_starts_elsewhere_before_a_direct_purge_is_done() {
    let scene = Scene::open("evict-directly").await;
    let (old, new) = in_one_of_two(&scene).await;
    let object = scene.object(&old, "configmaps", "settings").await.unwrap();
    let work = object["metadata"]["annotations"]["work.karmada.io/name"]
        .as_str()
        .unwrap()
        .to_owned();
    let space = format!("karmada-es-{old}");
    // Somebody else's finalizer keeps the Work from going, as a member that does not answer would.
    scene.kubectl(
        "control",
        &[
            "patch",
            "work",
            "-n",
            &space,
            &work,
            "--type=json",
            "-p",
            r#"[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/fence"}]"#,
        ],
    );
    evict(
        &scene,
        "rb",
        "settings-configmap",
        &old,
        r#", "purgeMode": "Directly""#,
    );
    let barred = scene
        .until("control", BINDING, "settings-configmap", "barred", |it| {
            condition(it, "PurgeBarrier") == "True/WaitingForPurge"
        })
        .await;
    assert_eq!(clusters(&barred), new);
    scene.until_gone(&old, "configmaps", "settings").await;
    assert!(scene.object(new, "configmaps", "settings").await.is_none());
    scene.kubectl(
        "control",
        &[
            "patch",
            "work",
            "-n",
            &space,
            &work,
            "--type=merge",
            "-p",
            r#"{"metadata": {"finalizers": null}}"#,
        ],
    );
    scene
        .until(new, "configmaps", "settings", "there", |_| true)
        .await;
    scene
        .until("control", BINDING, "settings-configmap", "open", |it| {
            condition(it, "PurgeBarrier").is_empty()
        })
        .await;
}

#[tokio::test]
async fn a_direct_purge_waits_until_there_is_somewhere_to_go() {
    let scene = Scene::open("evict-nowhere").await;
    in_member3_alone(&scene).await;
    evict(
        &scene,
        "rb",
        "settings-configmap",
        "member3",
        r#", "purgeMode": "Directly""#,
    );
    finds_no_place(&scene).await;
    scene
        .object("member3", "configmaps", "settings")
        .await
        .unwrap();
    // Another cluster turns up.
    scene.apply(&policy(
        "settings",
        "v1",
        "ConfigMap",
        &on("member2, member3"),
    ));
    scene
        .until("member2", "configmaps", "settings", "there", |_| true)
        .await;
}

#[tokio::test]
async fn an_eviction_to_nowhere_is_withdrawn_when_its_time_is_up() {
    let scene = Scene::open("evict-withdrawn").await;
    in_member3_alone(&scene).await;
    let before = scene
        .object("member3", "configmaps", "settings")
        .await
        .unwrap();
    evict(
        &scene,
        "rb",
        "settings-configmap",
        "member3",
        r#", "purgeMode": "Gracefully", "gracePeriodSeconds": 1"#,
    );
    scene
        .until_event(
            "settings-configmap",
            "EvictWorkloadFromClusterFailed",
            "it stays",
        )
        .await;
    scene
        .until("control", BINDING, "settings-configmap", "back", |it| {
            clusters(it) == "member3"
                && it["spec"]["gracefulEvictionTasks"].is_null()
                && condition(it, "Scheduled") == "True/Success"
                && condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    let after = scene
        .object("member3", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
}

#[tokio::test]
async fn an_eviction_to_nowhere_ends_at_once_when_the_policy_is_released() {
    let scene = Scene::open("evict-released").await;
    in_member3_alone(&scene).await;
    evict(&scene, "rb", "settings-configmap", "member3", "");
    finds_no_place(&scene).await;
    let output = scene
        .stage
        .navarch(&["release-hold", "pp/settings", "-n", "evict-released"]);
    assert!(output.status.success(), "{}", text(&output));
    scene.until_gone("member3", "configmaps", "settings").await;
}

#[tokio::test]
async fn a_released_eviction_bars_its_cluster_until_the_copy_is_gone() {
    let scene = Scene::open("evict-barred").await;
    in_member3_alone(&scene).await;
    let path = scene.work_path("member3", "ConfigMap", "settings");
    // Somebody else's finalizer keeps the Work, so that what happens meanwhile can be seen.
    scene.set_finalizers(
        &path,
        r#"["karmada.io/execution-controller", "example.com/fence"]"#,
    );
    evict(&scene, "rb", "settings-configmap", "member3", "");
    finds_no_place(&scene).await;
    let output = scene
        .stage
        .navarch(&["release-hold", "pp/settings", "-n", "evict-barred"]);
    assert!(output.status.success(), "{}", text(&output));
    scene.until_gone("member3", "configmaps", "settings").await;
    scene.meanwhile("probe").await;
    let binding = scene
        .object("control", BINDING, "settings-configmap")
        .await
        .unwrap();
    let tasks = &binding["spec"]["gracefulEvictionTasks"];
    assert_eq!(tasks[0]["purgeMode"], "Directly", "{tasks}");
    assert_eq!(clusters(&binding), "");
    scene.set_finalizers(&path, "null");
    // Nothing else keeps it from the cluster.
    scene
        .binding("settings-configmap", "placed anew", |it| {
            it["spec"]["gracefulEvictionTasks"].is_null() && clusters(it) == "member3"
        })
        .await;
    scene
        .until("member3", "configmaps", "settings", "there", |_| true)
        .await;
}

#[tokio::test]
async fn a_scheduler_that_finds_nothing_empties_no_member() {
    let scene = Scene::open("orphans-wait").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    scene
        .until("control", BINDING, "settings-configmap", "applied", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("ghost")));
    finds_no_place(&scene).await;
    scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    // An answer lets the old Work go.
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member2")));
    scene
        .until("member2", "configmaps", "settings", "there", |_| true)
        .await;
    scene.until_gone("member1", "configmaps", "settings").await;
}

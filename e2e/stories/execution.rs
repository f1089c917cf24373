//! What a Work does in its member, and what is said when the member will not have it.

use serde_json::Value;

use crate::stage::{Scene, condition, config_map, deployment, on, policy};

const BINDING: &str = "resourcebindings.work.karmada.io";
const WORK: &str = "works.work.karmada.io";

fn is_applied(binding: &Value) -> bool {
    condition(binding, "FullyApplied") == "True/FullyAppliedSuccess"
}

/// Why a cluster does not have the resource.
fn message_in<'v>(binding: &'v Value, cluster: &str) -> &'v str {
    let items = binding["status"]["aggregatedStatus"].as_array();
    items
        .into_iter()
        .flatten()
        .find(|item| item["clusterName"] == cluster)
        .and_then(|item| item["appliedMessage"].as_str())
        .unwrap_or_default()
}

/// The Work of an object in a member, as `namespace/name`.
async fn work_of(scene: &Scene, cluster: &str, kind: &str, name: &str) -> String {
    let object = scene.object(cluster, kind, name).await.unwrap();
    let annotations = &object["metadata"]["annotations"];
    format!(
        "{}/{}",
        annotations["work.karmada.io/namespace"].as_str().unwrap(),
        annotations["work.karmada.io/name"].as_str().unwrap()
    )
}

async fn settings_in_member1(scene: &Scene) {
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    scene
        .until(
            "control",
            BINDING,
            "settings-configmap",
            "applied",
            is_applied,
        )
        .await;
}

#[tokio::test]
async fn an_object_that_lost_our_mark_is_left_alone_and_reported() {
    let scene = Scene::open("mark-removed").await;
    settings_in_member1(&scene).await;
    let work = work_of(&scene, "member1", "configmaps", "settings").await;
    scene.kubectl(
        "member1",
        &["label", "configmap", "settings", "karmada.io/managed-"],
    );
    scene
        .until("control", WORK, &work, "told apart from a conflict", |it| {
            condition(it, "Applied") == "False/ManagedMarkRemoved"
        })
        .await;
    let binding = scene
        .until("control", BINDING, "settings-configmap", "told", |it| {
            !message_in(it, "member1").is_empty()
        })
        .await;
    let text = message_in(&binding, "member1");
    assert!(
        text.contains("ConfigMap mark-removed/settings in cluster member1 lost the label")
            && text.contains("put the label back"),
        "{text}"
    );
    scene
        .until_event("settings", "SyncFailed", "lost the label")
        .await;
    scene.kubectl(
        "member1",
        &["label", "configmap", "settings", "karmada.io/managed=true"],
    );
    scene
        .until(
            "control",
            BINDING,
            "settings-configmap",
            "applied",
            is_applied,
        )
        .await;
    let (_, metrics) = scene.stage.page("/metrics");
    assert!(
        metrics.contains("create_resource_to_cluster{")
            && metrics.contains("work_sync_workload_duration_seconds_count{"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_field_that_cannot_change_holds_back_that_cluster_alone() {
    let scene = Scene::open("immutable-field").await;
    scene
        .apply(&(deployment(1) + &policy("web", "apps/v1", "Deployment", &on("member1, member2"))));
    scene
        .until("control", BINDING, "web-deployment", "applied", is_applied)
        .await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: other-selector, namespace: immutable-field}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, name: web}]
  overrideRules:
  - targetCluster: {clusterNames: [member2]}
    overriders:
      plaintext:
      - {path: /spec/selector/matchLabels/app, operator: replace, value: other}
      - {path: /spec/template/metadata/labels/app, operator: replace, value: other}
",
    );
    let binding = scene
        .until("control", BINDING, "web-deployment", "refused", |it| {
            !message_in(it, "member2").is_empty()
        })
        .await;
    let text = message_in(&binding, "member2");
    assert!(
        text.contains(r#"Deployment.apps "web" is invalid: spec.selector"#)
            && text.contains("field is immutable")
            && text.contains("delete the object in cluster member2"),
        "{text}"
    );
    scene
        .until_event("web", "SyncFailed", "field is immutable")
        .await;
    // The other cluster follows the template.
    scene.kubectl("control", &["scale", "deployment/web", "--replicas=3"]);
    scene
        .until("member1", "deployments.apps", "web", "scaled", |it| {
            it["spec"]["replicas"] == 3
        })
        .await;
    let held = scene
        .object("member2", "deployments.apps", "web")
        .await
        .unwrap();
    assert_eq!(held["spec"]["replicas"], 1);
    scene.kubectl("control", &["delete", "overridepolicy", "other-selector"]);
    scene
        .until("member2", "deployments.apps", "web", "scaled", |it| {
            it["spec"]["replicas"] == 3
        })
        .await;
    scene
        .until("control", BINDING, "web-deployment", "applied", is_applied)
        .await;
}

#[tokio::test]
async fn an_object_that_grows_over_the_limit_is_told_where() {
    let scene = Scene::open("too-large").await;
    let large = "x".repeat(1_040_000);
    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: large, namespace: too-large}}\ndata: {{content: {large}}}\n"
    );
    let created = scene.kubectl_with("control", &["create", "-f", "-"], &manifest);
    assert!(created.status.success(), "{}", crate::stage::text(&created));
    let more = "y".repeat(20_000);
    scene.apply(&format!(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: more, namespace: too-large}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: large}}]
  overrideRules:
  - targetCluster: {{clusterNames: [member2]}}
    overriders:
      plaintext: [{{path: /data/more, operator: add, value: {more}}}]
"
    ));
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: large, namespace: too-large}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: large}]
  placement: {clusterAffinity: {clusterNames: [member1, member2]}}
",
    );
    scene
        .until("member1", "configmaps", "large", "there", |_| true)
        .await;
    let binding = scene
        .until("control", BINDING, "large-configmap", "refused", |it| {
            !message_in(it, "member2").is_empty()
        })
        .await;
    let text = message_in(&binding, "member2");
    assert!(
        text.contains("make the object smaller, it is over the size limit of cluster member2"),
        "{text}"
    );
    assert!(
        scene
            .object("member2", "configmaps", "large")
            .await
            .is_none()
    );
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_in_a_member_is_waited_for() {
    let scene = Scene::open("ns-terminating").await;
    scene
        .until("member2", "namespaces", "ns-terminating", "there", |_| true)
        .await;
    scene.apply_to(
        "member2",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: anchor, namespace: ns-terminating, finalizers: [example.com/anchor]}\n",
    );
    scene.kubectl(
        "member2",
        &["delete", "namespace", "ns-terminating", "--wait=false"],
    );
    scene.apply(
        &(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1, member2"))),
    );
    let binding = scene
        .until("control", BINDING, "settings-configmap", "held", |it| {
            !message_in(it, "member2").is_empty()
        })
        .await;
    let text = message_in(&binding, "member2");
    assert!(
        text.contains("the namespace is being deleted in cluster member2"),
        "{text}"
    );
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    scene.merge(
        "member2",
        "configmap",
        "anchor",
        r#"{"metadata": {"finalizers": null}}"#,
    );
    scene
        .until("member2", "configmaps", "settings", "there", |_| true)
        .await;
    scene
        .until(
            "control",
            BINDING,
            "settings-configmap",
            "applied",
            is_applied,
        )
        .await;
}

#[tokio::test]
async fn dispatching_is_suspended_for_one_cluster() {
    let scene = Scene::open("suspend-one").await;
    let suspended = |clusters: &str| {
        format!(
            "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: settings, namespace: suspend-one}}
spec:
  suspension: {{dispatchingOnClusters: {{clusterNames: [{clusters}]}}}}
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: settings}}]
  placement: {{clusterAffinity: {{clusterNames: [member1, member2]}}}}
"
        )
    };
    scene.apply(&(config_map("blue") + "---\n" + &suspended("")));
    scene
        .until(
            "control",
            BINDING,
            "settings-configmap",
            "applied",
            is_applied,
        )
        .await;
    let work = work_of(&scene, "member2", "configmaps", "settings").await;
    scene.apply(&suspended("member2, ghost"));
    scene
        .until("control", WORK, &work, "suspended", |it| {
            condition(it, "Dispatching") == "False/SuspendDispatching"
        })
        .await;
    scene.apply(&config_map("green"));
    scene
        .until("member1", "configmaps", "settings", "changed", |it| {
            it["data"]["color"] == "green"
        })
        .await;
    scene
        .until("control", WORK, &work, "rendered", |it| {
            it["spec"]["workload"]["manifests"][0]["data"]["color"] == "green"
        })
        .await;
    let held = scene
        .object("member2", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(held["data"]["color"], "blue");
    scene.apply(&suspended(""));
    scene
        .until("member2", "configmaps", "settings", "changed", |it| {
            it["data"]["color"] == "green"
        })
        .await;
}

#[tokio::test]
async fn a_work_edited_by_hand_is_put_right_at_once() {
    let scene = Scene::open("edit-work").await;
    settings_in_member1(&scene).await;
    let path = work_of(&scene, "member1", "configmaps", "settings").await;
    let (space, name) = path.split_once('/').unwrap();
    let edited = scene.kubectl(
        "control",
        &[
            "patch",
            "work",
            "-n",
            space,
            name,
            "--type=json",
            "-p",
            r#"[{"op": "replace", "path": "/spec/workload/manifests/0/data/color", "value": "red"}, {"op": "remove", "path": "/metadata/annotations/work.karmada.io~1conflict-resolution"}]"#,
            "-o",
            "jsonpath={.metadata.generation}",
        ],
    );
    let generation: i64 = edited.trim().parse().unwrap();
    scene
        .until("control", WORK, &path, "ours again", move |it| {
            it["metadata"]["generation"].as_i64() > Some(generation)
                && it["spec"]["workload"]["manifests"][0]["data"]["color"] == "blue"
                && it["metadata"]["annotations"]["work.karmada.io/conflict-resolution"] == "abort"
        })
        .await;
    scene
        .until("member1", "configmaps", "settings", "as it was", |it| {
            it["data"]["color"] == "blue"
        })
        .await;
}

/// A policy that leaves `settings` behind in member1.
const KEEPING: &str = "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: settings, namespace: {ns}}
spec:
  preserveResourcesOnDeletion: true
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: settings}]
  placement: {clusterAffinity: {clusterNames: [member1]}}
";

#[tokio::test]
async fn an_object_that_cannot_be_written_any_more_is_still_left_behind() {
    let scene = Scene::open("preserve-refused").await;
    scene.apply(&(config_map("blue") + KEEPING));
    scene
        .until(
            "control",
            BINDING,
            "settings-configmap",
            "applied",
            is_applied,
        )
        .await;
    scene.merge(
        "member1",
        "configmap",
        "settings",
        r#"{"data": {"color": "green"}, "immutable": true}"#,
    );
    let binding = scene
        .until("control", BINDING, "settings-configmap", "refused", |it| {
            !message_in(it, "member1").is_empty()
        })
        .await;
    assert!(
        message_in(&binding, "member1").contains("field is immutable"),
        "{binding:#}"
    );
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene
        .until_gone("control", BINDING, "settings-configmap")
        .await;
    scene
        .until("member1", "configmaps", "settings", "left behind", |it| {
            it["data"]["color"] == "green"
                && it["metadata"]["labels"]["karmada.io/managed"].is_null()
                && it["metadata"]["annotations"]["work.karmada.io/name"].is_null()
        })
        .await;
}

#[tokio::test]
async fn an_object_that_somebody_took_over_keeps_no_work_from_going() {
    let scene = Scene::open("preserve-taken").await;
    scene.apply(&(config_map("blue") + KEEPING));
    scene
        .until(
            "control",
            BINDING,
            "settings-configmap",
            "applied",
            is_applied,
        )
        .await;
    let work = work_of(&scene, "member1", "configmaps", "settings").await;
    scene.kubectl(
        "member1",
        &["label", "configmap", "settings", "karmada.io/managed-"],
    );
    scene
        .until("control", WORK, &work, "told", |it| {
            condition(it, "Applied") == "False/ManagedMarkRemoved"
        })
        .await;
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    let (space, name) = work.split_once('/').unwrap();
    let (resource, _) = crate::stage::resource(WORK);
    let works = scene.api_of("control", &resource, Some(space)).await;
    let gone = kube::runtime::wait::await_condition(
        works,
        name,
        |work: Option<&kube::api::DynamicObject>| work.is_none(),
    );
    tokio::time::timeout(crate::stage::DEADLINE, gone)
        .await
        .unwrap()
        .unwrap();
    assert!(
        scene
            .object("member1", "configmaps", "settings")
            .await
            .is_some()
    );
}

#[tokio::test]
async fn an_object_of_more_than_a_megabyte_arrives_and_follows_its_template() {
    let scene = Scene::open("megabyte").await;
    let kind = "blobs.large.example.com";
    scene.define(&["control", "member1"], kind, "Blob").await;
    scene.apply(&policy(
        "blobs",
        "large.example.com/v1",
        "Blob",
        &on("member1"),
    ));
    let blob = format!(
        "apiVersion: large.example.com/v1\nkind: Blob\nmetadata: {{name: b, namespace: megabyte}}\nspec: {{size: 1, data: {}}}\n",
        "x".repeat(1_400_000)
    );
    // `apply` would write the object a second time, into an annotation.
    let created = scene.kubectl_with("control", &["create", "-f", "-"], &blob);
    assert!(created.status.success(), "{}", crate::stage::text(&created));
    let length = |it: &Value| it["spec"]["data"].as_str().map(str::len);
    scene
        .until("member1", kind, "b", "complete", |it| {
            length(it) == Some(1_400_000)
        })
        .await;
    scene
        .until("control", BINDING, "b-blob", "applied", is_applied)
        .await;
    let patch = r#"{"spec":{"size":2}}"#;
    scene.merge("control", kind, "b", patch);
    scene
        .until("member1", kind, "b", "changed", |it| {
            it["spec"]["size"] == 2 && length(it) == Some(1_400_000)
        })
        .await;
}

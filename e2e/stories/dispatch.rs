//! Suspension, conflicts and preservation: when the members are written and when they are left alone.

use serde_json::{Value, json};

use crate::stage::{
    BINDINGS, Scene, clusters, condition, config_map, is_applied, item, message, on,
};

/// A policy `settings` for the ConfigMap `settings`; `more` are further lines of its specification.
fn settings_policy(to: &str, more: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: settings, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: settings}}]
  placement: {}
{more}",
        on(to)
    )
}

fn color(expected: &'static str) -> impl Fn(&Value) -> bool + Send {
    move |it| it["data"]["color"] == expected
}

#[tokio::test]
async fn one_suspended_cluster_waits_while_the_others_go_on() {
    let scene = Scene::open("hold-one").await;
    let held = "  suspension: {dispatchingOnClusters: {clusterNames: [member3, ghost]}}\n";
    scene.apply(&(config_map("blue") + &settings_policy("member2, member3", held)));
    let binding = scene
        .binding("settings-configmap", "applied in one", |it| {
            item(it, "member2")["applied"] == true && item(it, "member3").is_object()
        })
        .await;
    assert_eq!(
        *item(&binding, "member3"),
        json!({ "clusterName": "member3", "health": "Unknown" })
    );
    assert_eq!(
        condition(&binding, "FullyApplied"),
        "False/FullyAppliedFailed"
    );
    assert_eq!(
        binding["spec"]["suspension"],
        json!({ "dispatchingOnClusters": { "clusterNames": ["member3", "ghost"] } })
    );
    let work = scene
        .work("member3", "ConfigMap", "settings", "held", |it| {
            condition(it, "Dispatching") == "False/SuspendDispatching"
        })
        .await;
    assert_eq!(work["spec"]["suspendDispatching"], true);
    assert_eq!(
        message(&work, "Dispatching"),
        "Work dispatching is in a suspended state."
    );
    assert_eq!(condition(&work, "Applied"), "");
    assert!(
        scene
            .object("member3", "configmaps", "settings")
            .await
            .is_none()
    );
    // The Work is kept up to date meanwhile.
    scene.apply(&config_map("green"));
    scene
        .until("member2", "configmaps", "settings", "green", color("green"))
        .await;
    scene
        .work("member3", "ConfigMap", "settings", "green", |it| {
            it["spec"]["workload"]["manifests"][0]["data"]["color"] == "green"
        })
        .await;
    scene.apply(&settings_policy("member2, member3", ""));
    scene
        .until("member3", "configmaps", "settings", "green", color("green"))
        .await;
    scene.applied("settings-configmap").await;
    scene
        .work("member3", "ConfigMap", "settings", "dispatched", |it| {
            condition(it, "Dispatching") == "True/Dispatching"
        })
        .await;
}

#[tokio::test]
async fn while_suspended_drift_stays_and_deletion_goes_through() {
    let scene = Scene::open("hold-drift").await;
    scene.apply(&(config_map("blue") + &settings_policy("member1", "")));
    scene.applied("settings-configmap").await;
    scene.apply(&settings_policy(
        "member1",
        "  suspension: {dispatching: true}\n",
    ));
    scene
        .work("member1", "ConfigMap", "settings", "held", |it| {
            condition(it, "Dispatching") == "False/SuspendDispatching"
        })
        .await;
    scene.merge(
        "member1",
        "configmap",
        "settings",
        "{\"data\":{\"color\":\"red\"}}",
    );
    scene.meanwhile("probe").await;
    let object = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(object["data"]["color"], "red", "nobody corrects it now");
    // What was applied before still counts.
    let binding = scene
        .binding("settings-configmap", "applied", is_applied)
        .await;
    assert_eq!(item(&binding, "member1")["applied"], true);
    scene.apply(&settings_policy("member1", ""));
    scene
        .until("member1", "configmaps", "settings", "blue", color("blue"))
        .await;
    // Deletion does not wait for the end of a suspension.
    scene.apply(&settings_policy(
        "member1",
        "  suspension: {dispatching: true}\n",
    ));
    scene
        .work("member1", "ConfigMap", "settings", "held", |it| {
            condition(it, "Dispatching") == "False/SuspendDispatching"
        })
        .await;
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene.until_gone("member1", "configmaps", "settings").await;
    scene
        .until_no_work("member1", "ConfigMap", "settings")
        .await;
}

#[tokio::test]
async fn overwrite_takes_objects_over_and_keeps_what_others_put_on_them() {
    let scene = Scene::open("takeover").await;
    scene
        .until("member1", "namespaces", "takeover", "there", |_| true)
        .await;
    scene.apply_to(
        "member1",
        "apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: {ns}, labels: {theirs: 'yes'}, annotations: {example.com/note: theirs}}
data: {color: theirs, extra: gone-with-the-takeover}
",
    );
    scene.apply(
        &(config_map("ours") + &settings_policy("member1", "  conflictResolution: Abort\n")),
    );
    let refused = "Failed to apply all manifests (0/1): resource(kind=ConfigMap, takeover/settings) already exists in the \
                   cluster member1 and the work.karmada.io/conflict-resolution strategy value is empty, Karmada will not \
                   manage this resource";
    let binding = scene
        .binding("settings-configmap", "refused", |it| {
            item(it, "member1")["appliedMessage"] == refused
        })
        .await;
    assert_eq!(binding["spec"]["conflictResolution"], "Abort");
    scene.apply(&settings_policy(
        "member1",
        "  conflictResolution: Overwrite\n",
    ));
    let taken = scene
        .until("member1", "configmaps", "settings", "ours", color("ours"))
        .await;
    assert_eq!(taken["data"]["extra"], Value::Null);
    assert_eq!(taken["metadata"]["labels"]["theirs"], "yes");
    assert_eq!(taken["metadata"]["labels"]["karmada.io/managed"], "true");
    assert_eq!(
        taken["metadata"]["annotations"]["example.com/note"],
        "theirs"
    );
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(binding["spec"]["conflictResolution"], "Overwrite");
    // Once it is ours, going back to Abort changes nothing.
    scene.apply(&(config_map("still-ours") + &settings_policy("member1", "")));
    scene
        .until(
            "member1",
            "configmaps",
            "settings",
            "still ours",
            color("still-ours"),
        )
        .await;
    scene.applied("settings-configmap").await;
}

#[tokio::test]
async fn a_conflict_ends_with_the_other_object() {
    let scene = Scene::open("conflict-ends").await;
    scene
        .until("member1", "namespaces", "conflict-ends", "there", |_| true)
        .await;
    scene.apply_to("member1", &config_map("theirs"));
    scene.apply(&(config_map("ours") + &settings_policy("member1", "")));
    scene
        .work("member1", "ConfigMap", "settings", "refused", |it| {
            condition(it, "Applied") == "False/AppliedFailed"
        })
        .await;
    scene.kubectl("member1", &["delete", "configmap", "settings"]);
    scene
        .until("member1", "configmaps", "settings", "ours", color("ours"))
        .await;
    scene.applied("settings-configmap").await;
}

#[tokio::test]
async fn preserved_objects_stay_when_a_cluster_or_the_template_goes() {
    let scene = Scene::open("keep").await;
    let keep = "  preserveResourcesOnDeletion: true\n";
    scene.apply(&(config_map("blue") + &settings_policy("member1, member2", keep)));
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(binding["spec"]["preserveResourcesOnDeletion"], true);
    // A cluster that leaves the placement keeps its object, without our marks.
    scene.apply(&settings_policy("member1", keep));
    let is_unmarked = |it: &Value| it["metadata"]["labels"]["karmada.io/managed"].is_null();
    let left = scene
        .until("member2", "configmaps", "settings", "left", is_unmarked)
        .await;
    let ours = |key: &String| key.contains("karmada.io/");
    for map in ["labels", "annotations"] {
        let keys: Vec<_> = left["metadata"][map]
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys())
            .filter(|key| ours(key))
            .collect();
        assert!(keys.is_empty(), "{map} {keys:?}");
    }
    assert_eq!(left["data"]["color"], "blue");
    scene
        .until_no_work("member2", "ConfigMap", "settings")
        .await;
    // Coming back is a conflict like any other.
    scene.apply(&settings_policy("member1, member2", keep));
    scene
        .binding("settings-configmap", "in conflict", |it| {
            clusters(it) == "member1 member2"
                && item(it, "member2")["appliedMessage"]
                    .as_str()
                    .is_some_and(|text| text.contains("already exists in the cluster member2"))
        })
        .await;
    // Drift is undone a last time when the template goes.
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene
        .until_gone("control", BINDINGS, "settings-configmap")
        .await;
    scene
        .until("member1", "configmaps", "settings", "left", |it| {
            is_unmarked(it) && it["data"]["color"] == "blue"
        })
        .await;
    for member in ["member1", "member2"] {
        scene.until_no_work(member, "ConfigMap", "settings").await;
        let object = scene
            .object(member, "configmaps", "settings")
            .await
            .unwrap();
        assert_eq!(object["data"]["color"], "blue", "{member}");
    }
}

#[tokio::test]
async fn objects_taken_from_us_in_a_member_are_not_deleted() {
    let scene = Scene::open("theirs").await;
    scene.apply(&(config_map("blue") + &settings_policy("member1", "")));
    scene.applied("settings-configmap").await;
    scene.kubectl(
        "member1",
        &["label", "configmap", "settings", "karmada.io/managed-"],
    );
    scene
        .work(
            "member1",
            "ConfigMap",
            "settings",
            "no longer applied",
            |it| condition(it, "Applied").starts_with("False"),
        )
        .await;
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene
        .until_no_work("member1", "ConfigMap", "settings")
        .await;
    let object = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(object["data"]["color"], "blue");
}

#[tokio::test]
async fn a_binding_whose_scheduling_is_suspended_stays_where_it_is() {
    let scene = Scene::open("hold-place").await;
    scene.apply(&(config_map("blue") + &settings_policy("member1", "")));
    scene.applied("settings-configmap").await;
    let suspend = |value: &str| {
        let patch = format!(r#"{{"spec": {{"suspension": {{"scheduling": {value}}}}}}}"#);
        let args = [
            "patch",
            "rb",
            "settings-configmap",
            "--type=merge",
            "-p",
            &patch,
        ];
        scene.kubectl("control", &args);
    };
    suspend("true");
    scene.apply(&(config_map("green") + &settings_policy("member2", "")));
    // The placement changes, and the member follows the template as before.
    scene
        .binding("settings-configmap", "to move", |it| {
            it["spec"]["placement"]["clusterAffinity"]["clusterNames"] == json!(["member2"])
        })
        .await;
    scene
        .until("member1", "configmaps", "settings", "green", color("green"))
        .await;
    scene.meanwhile("probe").await;
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(clusters(&binding), "member1");
    assert_eq!(binding["spec"]["suspension"]["scheduling"], true);
    suspend("false");
    scene
        .until("member2", "configmaps", "settings", "green", color("green"))
        .await;
    scene.until_gone("member1", "configmaps", "settings").await;
}

//! What a workload needs goes where the workload goes.

use serde_json::{Value, json};

use crate::stage::{Scene, clusters, condition};

const BINDINGS: &str = "resourcebindings.work.karmada.io";
const DISTRIBUTOR: &str = "karmada.io/binding-dependencies-distributor";

/// A Deployment whose pods read their environment from what is named.
fn deployment(name: &str, config_maps: &[&str], secrets: &[&str]) -> String {
    let of = |kind: &str, names: &[&str]| {
        let items = names
            .iter()
            .map(|name| format!("{{{kind}: {{name: {name}}}}}"));
        items.collect::<Vec<_>>()
    };
    let environment = [of("configMapRef", config_maps), of("secretRef", secrets)].concat();
    format!(
        "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {{ns}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: 'docker.io/library/nginx:1.29', envFrom: [{}]}}]}}
",
        environment.join(", ")
    )
}

fn config_map(name: &str, value: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {{ns}}}}\ndata: {{color: {value}}}\n"
    )
}

/// A policy for one object; `more` are fields of its spec in YAML's flow style.
fn policy(name: &str, kind: &str, cluster: &str, more: &str) -> String {
    let api_version = if kind == "Deployment" {
        "apps/v1"
    } else {
        "v1"
    };
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: {name}, namespace: {{ns}}}}
spec: {{resourceSelectors: [{{apiVersion: {api_version}, kind: {kind}, name: {name}}}], \
         placement: {{clusterAffinity: {{clusterNames: [{cluster}]}}}}{more}}}
"
    )
}

fn with_deps(name: &str, cluster: &str) -> String {
    policy(name, "Deployment", cluster, ", propagateDeps: true")
}

/// The independent bindings and clusters of an attached binding, as `app:member1 other:member2`.
fn required_by(binding: &Value) -> String {
    let snapshots = binding["spec"]["requiredBy"].as_array();
    let shown: Vec<String> = snapshots
        .into_iter()
        .flatten()
        .map(|snapshot| {
            let clusters = snapshot["clusters"].as_array().cloned().unwrap_or_default();
            let clusters: Vec<&str> = clusters
                .iter()
                .filter_map(|it| it["name"].as_str())
                .collect();
            let name = snapshot["name"].as_str().unwrap_or_default();
            format!(
                "{}:{}",
                name.trim_end_matches("-deployment"),
                clusters.join("+")
            )
        })
        .collect();
    shown.join(" ")
}

fn depended_by(binding: &Value) -> usize {
    let labels = binding["metadata"]["labels"].as_object();
    labels.map_or(0, |labels| {
        let keys = labels.keys();
        keys.filter(|key| key.starts_with("resourcebinding.karmada.io/depended-by-"))
            .count()
    })
}

#[tokio::test]
async fn a_deployment_takes_along_what_its_pods_read() {
    let scene = Scene::open("deps-along").await;
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: creds, namespace: {ns}}\nstringData: {password: x}\n";
    scene.apply(&(config_map("common", "blue") + secret + &config_map("unused", "red")));
    scene.apply(
        &(deployment("web", &["common", "missing"], &["creds"]) + &with_deps("web", "member1")),
    );
    scene
        .until("member1", "deployments.apps", "web", "there", |_| true)
        .await;
    scene
        .until("member1", "configmaps", "common", "there", |it| {
            it["data"]["color"] == "blue"
        })
        .await;
    scene
        .until("member1", "secrets", "creds", "there", |_| true)
        .await;

    let independent = scene
        .until("control", BINDINGS, "web-deployment", "recorded", |it| {
            it["metadata"]["annotations"]["resourcebinding.karmada.io/dependencies"].is_string()
        })
        .await;
    let text = &independent["metadata"]["annotations"]["resourcebinding.karmada.io/dependencies"];
    let listed: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    let one = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "namespace": "deps-along", "name": name});
    assert_eq!(
        listed,
        json!([
            one("ConfigMap", "common"),
            one("ConfigMap", "missing"),
            one("Secret", "creds")
        ])
    );
    assert_eq!(independent["metadata"]["finalizers"][1], DISTRIBUTOR);

    let attached = scene
        .until("control", BINDINGS, "common-configmap", "applied", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    assert_eq!(required_by(&attached), "web:member1");
    assert_eq!(depended_by(&attached), 1);
    assert!(attached["spec"]["placement"].is_null() && attached["spec"]["clusters"].is_null());
    assert_eq!(
        condition(&attached, "Scheduled"),
        "",
        "the scheduler has nothing to do with it"
    );
    assert_eq!(
        attached["status"]["aggregatedStatus"][0]["clusterName"],
        "member1"
    );

    assert!(
        scene
            .object("member1", "configmaps", "unused")
            .await
            .is_none()
    );
    assert!(
        scene
            .object("member2", "configmaps", "common")
            .await
            .is_none()
    );
    scene
        .until_event("web", "GetDependenciesSucceed", "Get dependencies([{APIVersion:v1 Kind:ConfigMap Namespace:deps-along Name:common LabelSelector:nil} ")
        .await;
    scene
        .until_event(
            "web-deployment",
            "SyncScheduleResultToDependenciesSucceed",
            "Sync schedule results to dependencies succeed.",
        )
        .await;
}

#[tokio::test]
async fn a_dependency_follows_from_its_first_to_its_last_day() {
    let scene = Scene::open("deps-days").await;
    scene.apply(&(deployment("web", &["late"], &[]) + &with_deps("web", "member2")));
    scene
        .until("member2", "deployments.apps", "web", "there", |_| true)
        .await;
    scene.apply(&config_map("late", "blue"));
    scene
        .until("member2", "configmaps", "late", "there", |it| {
            it["data"]["color"] == "blue"
        })
        .await;
    scene.apply(&config_map("late", "red"));
    scene
        .until("member2", "configmaps", "late", "red", |it| {
            it["data"]["color"] == "red"
        })
        .await;
    scene.kubectl("control", &["delete", "configmap", "late"]);
    scene.until_gone("member2", "configmaps", "late").await;
    scene
        .until_gone("control", BINDINGS, "late-configmap")
        .await;
    scene.apply(&config_map("late", "green"));
    scene
        .until("member2", "configmaps", "late", "back", |it| {
            it["data"]["color"] == "green"
        })
        .await;
}

#[tokio::test]
async fn a_shared_dependency_serves_both_and_stays_for_the_other() {
    let scene = Scene::open("deps-shared").await;
    scene.apply(&config_map("common", "blue"));
    scene.apply(&(deployment("one", &["common"], &[]) + &with_deps("one", "member1")));
    scene
        .until("member1", "configmaps", "common", "there", |_| true)
        .await;
    let overwrites = ", propagateDeps: true, conflictResolution: Overwrite";
    scene.apply(
        &(deployment("two", &["common"], &[])
            + &policy("two", "Deployment", "member2", overwrites)),
    );
    scene
        .until("member2", "configmaps", "common", "there", |_| true)
        .await;
    let both = scene
        .until("control", BINDINGS, "common-configmap", "for both", |it| {
            required_by(it) == "one:member1 two:member2"
        })
        .await;
    assert_eq!(both["spec"]["conflictResolution"], "Overwrite");
    assert_eq!(depended_by(&both), 2);
    let text =
        "Dependency policy conflict detected: ConflictResolution conflicted (Overwrite vs Abort).";
    scene
        .until_event("common-configmap", "DependencyPolicyConflict", text)
        .await;

    scene.kubectl("control", &["delete", "deployment", "two"]);
    scene.until_gone("member2", "configmaps", "common").await;
    let left = scene
        .until(
            "control",
            BINDINGS,
            "common-configmap",
            "for the other",
            |it| required_by(it) == "one:member1" && it["spec"]["conflictResolution"] == "Abort",
        )
        .await;
    assert_eq!(depended_by(&left), 1);
    assert_eq!(left["metadata"]["uid"], both["metadata"]["uid"]);
    assert!(
        scene
            .object("member1", "configmaps", "common")
            .await
            .is_some()
    );
}

#[tokio::test]
async fn a_dependency_that_is_not_named_any_more_leaves() {
    let scene = Scene::open("deps-change").await;
    scene.apply(&(config_map("old", "blue") + &config_map("new", "green")));
    scene.apply(&(deployment("web", &["old"], &[]) + &with_deps("web", "member1")));
    scene
        .until("member1", "configmaps", "old", "there", |_| true)
        .await;
    scene.apply(&deployment("web", &["new"], &[]));
    scene
        .until("member1", "configmaps", "new", "there", |_| true)
        .await;
    scene.until_gone("member1", "configmaps", "old").await;
    scene.until_gone("control", BINDINGS, "old-configmap").await;
    assert!(scene.object("control", "configmaps", "old").await.is_some());
}

#[tokio::test]
async fn dependencies_leave_when_the_policy_stops_taking_them_along() {
    let scene = Scene::open("deps-off").await;
    scene.apply(&(config_map("common", "blue") + &deployment("web", &["common"], &[])));
    scene.apply(&with_deps("web", "member1"));
    scene
        .until("member1", "configmaps", "common", "there", |_| true)
        .await;
    scene.apply(&policy(
        "web",
        "Deployment",
        "member1",
        ", propagateDeps: false",
    ));
    scene.until_gone("member1", "configmaps", "common").await;
    let independent = scene
        .until("control", BINDINGS, "web-deployment", "let go", |it| {
            it["metadata"]["finalizers"] == json!(["karmada.io/binding-controller"])
        })
        .await;
    assert_eq!(clusters(&independent), "member1:2");
    assert!(
        scene
            .object("member1", "deployments.apps", "web")
            .await
            .is_some()
    );
}

#[tokio::test]
async fn a_dependency_with_a_policy_of_its_own_goes_to_both_places() {
    let scene = Scene::open("deps-own").await;
    scene.apply(&(config_map("common", "blue") + &policy("common", "ConfigMap", "member2", "")));
    scene
        .until("member2", "configmaps", "common", "there", |_| true)
        .await;
    scene.apply(
        &(deployment("web", &["common"], &[])
            + &policy(
                "web",
                "Deployment",
                "member1",
                ", propagateDeps: true, conflictResolution: Overwrite",
            )),
    );
    scene
        .until("member1", "configmaps", "common", "there", |_| true)
        .await;
    let binding = scene
        .until(
            "control",
            BINDINGS,
            "common-configmap",
            "applied in both",
            |it| {
                condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
                    && it["status"]["aggregatedStatus"]
                        .as_array()
                        .map_or(0, Vec::len)
                        == 2
            },
        )
        .await;
    assert_eq!(clusters(&binding), "member2");
    assert_eq!(required_by(&binding), "web:member1");
    assert_eq!(
        binding["spec"]["conflictResolution"], "Abort",
        "its own policy decides"
    );
    scene.kubectl("control", &["delete", "deployment", "web"]);
    scene.until_gone("member1", "configmaps", "common").await;
    scene
        .until(
            "control",
            BINDINGS,
            "common-configmap",
            "on its own",
            |it| required_by(it).is_empty() && depended_by(it) == 0,
        )
        .await;
    assert!(
        scene
            .object("member2", "configmaps", "common")
            .await
            .is_some()
    );
}

#[tokio::test]
async fn an_attached_binding_that_somebody_breaks_is_mended() {
    let scene = Scene::open("deps-mend").await;
    scene.apply(
        &(config_map("common", "blue")
            + &deployment("web", &["common"], &[])
            + &with_deps("web", "member1")),
    );
    let whole = |it: &Value| {
        required_by(it) == "web:member1"
            && it["spec"]["conflictResolution"] == "Abort"
            && depended_by(it) == 1
    };
    let first = scene
        .until("control", BINDINGS, "common-configmap", "attached", whole)
        .await;
    let patch = json!({"spec": {"requiredBy": null, "conflictResolution": "Overwrite"}, "metadata": {"labels": {}}});
    let mut patch = patch;
    for label in first["metadata"]["labels"].as_object().unwrap().keys() {
        if label.contains("depended-by") {
            patch["metadata"]["labels"][label] = Value::Null;
        }
    }
    let text = patch.to_string();
    scene.merge("control", "rb", "common-configmap", &text);
    scene
        .until("control", BINDINGS, "common-configmap", "mended", whole)
        .await;
    scene.kubectl(
        "control",
        &["delete", "rb", "common-configmap", "--wait=false"],
    );
    let uid = first["metadata"]["uid"].clone();
    scene
        .until(
            "control",
            BINDINGS,
            "common-configmap",
            "made again",
            move |it| it["metadata"]["uid"] != uid && whole(it),
        )
        .await;
    scene
        .until("member1", "configmaps", "common", "there", |_| true)
        .await;
}

#[tokio::test]
async fn dependencies_are_found_by_their_labels_too() {
    let scene = Scene::open("deps-labels").await;
    let slice = |name: &str, service: &str| {
        format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: {{ns}}, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
endpoints: [{{addresses: [10.0.0.1]}}]
"
        )
    };
    // Only clusters that know ServiceImports get any.
    let definition = include_str!("../../crds/manifests/multicluster.x-k8s.io_serviceimports.yaml");
    scene.apply_to("member1", definition);
    scene.apply(&(slice("mine", "derived-web") + &slice("other", "derived-other")));
    scene.apply(
        "apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: web, namespace: {ns}}
spec: {type: ClusterSetIP, ports: [{port: 80, protocol: TCP}]}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: {ns}}
spec:
  propagateDeps: true
  resourceSelectors: [{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ServiceImport, name: web}]
  placement: {clusterAffinity: {clusterNames: [member1]}, clusterTolerations: []}
",
    );
    let slices = "endpointslices.discovery.k8s.io";
    scene
        .until("member1", slices, "mine", "there", |_| true)
        .await;
    assert!(scene.object("member1", slices, "other").await.is_none());
    // A label brings one in, and takes one out.
    scene.kubectl(
        "control",
        &[
            "label",
            "endpointslice",
            "other",
            "--overwrite",
            "kubernetes.io/service-name=derived-web",
        ],
    );
    scene
        .until("member1", slices, "other", "there", |_| true)
        .await;
    scene.kubectl(
        "control",
        &[
            "label",
            "endpointslice",
            "mine",
            "kubernetes.io/service-name-",
        ],
    );
    scene.until_gone("member1", slices, "mine").await;
}

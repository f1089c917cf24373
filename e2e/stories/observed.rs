//! The documented examples, whole: what a Karmada user finds in the control plane, field by field.
//!
//! Three differences are meant: `last-applied-configuration` is not propagated, conditions of a Work tell the generation that they
//! speak of, and annotations of our own stand under `navarch.dev/`. A fourth one these objects do not show: the success event of an
//! ordinary delivery is written once, on the template (`ScheduleBindingSucceed`), and the others only after a failure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::stage::{Scene, condition, config_map, is_applied, on, policy};

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// Takes off what differs from run to run, and puts names in the place of ids.
fn normal(mut object: Value, ids: &BTreeMap<String, &str>) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in [
        "managedFields",
        "creationTimestamp",
        "resourceVersion",
        "uid",
    ] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.retain(|key, _| !key.starts_with("navarch.dev/"));
    }
    rename(&mut object, ids);
    object
}

fn rename(value: &mut Value, ids: &BTreeMap<String, &str>) {
    match value {
        Value::Object(map) => {
            if map.contains_key("lastTransitionTime") {
                map.remove("observedGeneration");
                map.insert("lastTransitionTime".into(), "then".into());
            }
            if map.contains_key("lastScheduledTime") {
                map.insert("lastScheduledTime".into(), "then".into());
            }
            map.values_mut().for_each(|value| rename(value, ids));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| rename(value, ids)),
        Value::String(text) => {
            if let Some(name) = ids.get(text) {
                *text = (*name).to_owned();
            }
        }
        _ => {}
    }
}

/// Names for the ids that a binding, its template and its Work are known by.
fn ids<'n>(known: &[(&Value, &'n str)]) -> BTreeMap<String, &'n str> {
    known
        .iter()
        .map(|(id, name)| (id.as_str().unwrap_or_default().to_owned(), *name))
        .collect()
}

#[track_caller]
fn same(found: &Value, expected: &Value) {
    let mut differences = Vec::new();
    compare(found, expected, "", &mut differences);
    assert!(
        differences.is_empty(),
        "{}\n\nfound\n{}",
        differences.join("\n"),
        serde_json::to_string_pretty(found).unwrap()
    );
}

fn compare(found: &Value, expected: &Value, path: &str, differences: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(left), Value::Object(right)) => {
            for key in left
                .keys()
                .chain(right.keys().filter(|key| !left.contains_key(*key)))
            {
                let none = Value::Null;
                let at = format!("{path}/{key}");
                match (left.get(key), right.get(key)) {
                    (Some(found), None) => differences.push(format!("{at}: unexpected {found}")),
                    (None, Some(expected)) => differences.push(format!("{at}: missing {expected}")),
                    (found, expected) => compare(
                        found.unwrap_or(&none),
                        expected.unwrap_or(&none),
                        &at,
                        differences,
                    ),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (found, expected)) in left.iter().zip(right).enumerate() {
                compare(found, expected, &format!("{path}/{index}"), differences);
            }
        }
        _ if found == expected => {}
        _ => differences.push(format!("{path}: {found} instead of {expected}")),
    }
}

const RB_ID: &str = "resourcebinding.karmada.io/permanent-id";
const CRB_ID: &str = "clusterresourcebinding.karmada.io/permanent-id";
const WORK_ID: &str = "work.karmada.io/permanent-id";
const PP_ID: &str = "propagationpolicy.karmada.io/permanent-id";
const CPP_ID: &str = "clusterpropagationpolicy.karmada.io/permanent-id";

/// The examples speak of one namespace, whose name is part of many hashes, so they are told one after the other.
#[tokio::test]
async fn the_documented_examples_are_found_field_by_field() {
    let scene = Scene::open("demo").await;
    the_work_of_the_namespace(&scene).await;
    a_divided_deployment(&scene).await;
    a_conflict(&scene).await;
    a_cluster_role(&scene).await;
    a_job(&scene).await;
    nothing_fits(&scene).await;
    a_binding_without_its_policy(&scene).await;
}

#[expect(clippy::too_many_lines, reason = "the objects are shown whole")]
async fn a_divided_deployment(scene: &Scene) {
    let placement = "{clusterAffinity: {clusterNames: [member2, member3]}, replicaScheduling: {replicaSchedulingType: Divided, \
                     replicaDivisionPreference: Weighted, weightPreference: {staticWeightList: [\
                     {targetCluster: {clusterNames: [member2]}, weight: 1}, {targetCluster: {clusterNames: [member3]}, weight: 2}]}}}";
    scene.apply(
        "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: {ns}, labels: {app: web}}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'nginx:1', resources: {requests: {cpu: 10m, memory: 16Mi}}}]}
",
    );
    scene.apply(&policy("pol", "apps/v1", "Deployment", placement));
    let template = scene
        .until("control", "deployments.apps", "web", "complete", |it| {
            it["status"]["readyReplicas"] == 4 && it["status"]["observedGeneration"] == 2
        })
        .await;
    same(
        &template["status"],
        &json!({ "availableReplicas": 4, "observedGeneration": 2, "readyReplicas": 4, "replicas": 4, "updatedReplicas": 4 }),
    );
    let binding = scene.applied("web-deployment").await;
    let work = scene
        .work("member3", "Deployment", "web", "ready", |it| {
            it["status"]["manifestStatuses"][0]["status"]["readyReplicas"] == 3
        })
        .await;
    let ids = ids(&[
        (&binding["metadata"]["labels"][RB_ID], "rb-id"),
        (&binding["metadata"]["labels"][PP_ID], "pp-id"),
        (&template["metadata"]["uid"], "template-uid"),
        (&work["metadata"]["labels"][WORK_ID], "work-id"),
        (
            &binding["spec"]["resource"]["resourceVersion"],
            "template-version",
        ),
    ]);
    let placement = yaml(placement);
    same(
        &normal(binding, &ids),
        &json!({
            "apiVersion": "work.karmada.io/v1alpha2",
            "kind": "ResourceBinding",
            "metadata": {
                "name": "web-deployment",
                "namespace": "demo",
                "generation": 2,
                "annotations": {
                    "policy.karmada.io/applied-placement": "{\"clusterAffinity\":{\"clusterNames\":[\"member2\",\"member3\"]},\
                        \"replicaScheduling\":{\"replicaSchedulingType\":\"Divided\",\"replicaDivisionPreference\":\"Weighted\",\
                        \"weightPreference\":{\"staticWeightList\":[{\"targetCluster\":{\"clusterNames\":[\"member2\"]},\"weight\":1},\
                        {\"targetCluster\":{\"clusterNames\":[\"member3\"]},\"weight\":2}]}}}",
                    "propagationpolicy.karmada.io/name": "pol",
                    "propagationpolicy.karmada.io/namespace": "demo",
                },
                "finalizers": ["karmada.io/binding-controller"],
                "labels": { PP_ID: "pp-id", RB_ID: "rb-id" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "template-uid",
                    "controller": true, "blockOwnerDeletion": true }],
            },
            "spec": {
                "clusters": [{ "name": "member2", "replicas": 1 }, { "name": "member3", "replicas": 3 }],
                "conflictResolution": "Abort",
                "placement": placement,
                "replicaRequirements": { "resourceRequest": { "cpu": "10m", "memory": "16Mi" } },
                "replicas": 4,
                "resource": { "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "demo", "name": "web",
                    "resourceVersion": "template-version", "uid": "template-uid" },
                "schedulerName": "default-scheduler",
            },
            "status": {
                "aggregatedStatus": [
                    { "applied": true, "clusterName": "member2", "health": "Healthy", "status": status(1) },
                    { "applied": true, "clusterName": "member3", "health": "Healthy", "status": status(3) },
                ],
                "conditions": [
                    { "type": "Scheduled", "status": "True", "reason": "Success",
                        "message": "Binding has been scheduled successfully.", "lastTransitionTime": "then" },
                    { "type": "FullyApplied", "status": "True", "reason": "FullyAppliedSuccess",
                        "message": "All works have been successfully applied", "lastTransitionTime": "then" },
                ],
                "lastScheduledTime": "then",
                "schedulerObservedGeneration": 2,
            },
        }),
    );
    same(&normal(work, &ids), &deployment_work(&template));
    // The member's object has exactly the manifest's labels and annotations, and the member's own.
    let object = scene
        .object("member3", "deployments.apps", "web")
        .await
        .unwrap();
    let object = normal(object, &ids);
    let manifest = deployment_work(&template)["spec"]["workload"]["manifests"][0].clone();
    let mut annotations = manifest["metadata"]["annotations"].clone();
    annotations["deployment.kubernetes.io/revision"] = "1".into();
    same(&object["metadata"]["annotations"], &annotations);
    same(
        &object["metadata"]["labels"],
        &manifest["metadata"]["labels"],
    );
}

fn status(replicas: u32) -> Value {
    json!({ "availableReplicas": replicas, "generation": 1, "observedGeneration": 1, "readyReplicas": replicas,
        "replicas": replicas, "resourceTemplateGeneration": 2, "updatedReplicas": replicas })
}

fn deployment_work(template: &Value) -> Value {
    let mut spec = template["spec"].clone();
    spec["replicas"] = 3.into();
    json!({
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {
            "name": "web-85cf589867",
            "namespace": "karmada-es-member3",
            "generation": 1,
            "annotations": {
                "resourcebinding.karmada.io/name": "web-deployment",
                "resourcebinding.karmada.io/namespace": "demo",
                "work.karmada.io/conflict-resolution": "abort",
            },
            "finalizers": ["karmada.io/execution-controller"],
            "labels": { RB_ID: "rb-id", WORK_ID: "work-id" },
        },
        "spec": {
            "preserveResourcesOnDeletion": false,
            "suspendDispatching": false,
            "workload": { "manifests": [{
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {
                    "name": "web",
                    "namespace": "demo",
                    "annotations": {
                        "propagationpolicy.karmada.io/name": "pol",
                        "propagationpolicy.karmada.io/namespace": "demo",
                        "resourcebinding.karmada.io/name": "web-deployment",
                        "resourcebinding.karmada.io/namespace": "demo",
                        "resourcetemplate.karmada.io/generation": "2",
                        "resourcetemplate.karmada.io/managed-annotations": "propagationpolicy.karmada.io/name,\
                            propagationpolicy.karmada.io/namespace,resourcebinding.karmada.io/name,\
                            resourcebinding.karmada.io/namespace,resourcetemplate.karmada.io/generation,\
                            resourcetemplate.karmada.io/managed-annotations,resourcetemplate.karmada.io/managed-labels,\
                            resourcetemplate.karmada.io/uid,work.karmada.io/conflict-resolution,work.karmada.io/name,\
                            work.karmada.io/namespace",
                        "resourcetemplate.karmada.io/managed-labels": "app,karmada.io/managed,\
                            propagationpolicy.karmada.io/permanent-id,resourcebinding.karmada.io/permanent-id,\
                            work.karmada.io/permanent-id",
                        "resourcetemplate.karmada.io/uid": "template-uid",
                        "work.karmada.io/conflict-resolution": "abort",
                        "work.karmada.io/name": "web-85cf589867",
                        "work.karmada.io/namespace": "karmada-es-member3",
                    },
                    "labels": { "app": "web", "karmada.io/managed": "true", PP_ID: "pp-id", RB_ID: "rb-id", WORK_ID: "work-id" },
                },
                "spec": spec,
            }]},
        },
        "status": {
            "conditions": [
                { "type": "Dispatching", "status": "True", "reason": "Dispatching",
                    "message": "Work is being dispatched to member clusters.", "lastTransitionTime": "then" },
                { "type": "Applied", "status": "True", "reason": "AppliedSuccessful",
                    "message": "Manifest has been successfully applied", "lastTransitionTime": "then" },
            ],
            "manifestStatuses": [{
                "health": "Healthy",
                "identifier": { "group": "apps", "version": "v1", "kind": "Deployment", "namespace": "demo", "name": "web",
                    "ordinal": 0, "resource": "" },
                "status": status(3),
            }],
        },
    })
}

async fn a_conflict(scene: &Scene) {
    let common = |color: &str| config_map(color).replace("settings", "common");
    scene
        .until("member2", "namespaces", "demo", "there", |_| true)
        .await;
    scene.apply_to("member2", &common("theirs"));
    scene.apply(&(common("ours") + &policy("common", "v1", "ConfigMap", &on("member2"))));
    let refused = "Failed to apply all manifests (0/1): resource(kind=ConfigMap, demo/common) already exists in the cluster \
                   member2 and the work.karmada.io/conflict-resolution strategy value is empty, Karmada will not manage this \
                   resource";
    let binding = scene
        .binding("common-configmap", "refused", |it| {
            it["status"]["aggregatedStatus"][0]["appliedMessage"].is_string()
        })
        .await;
    let work = scene
        .work("member2", "ConfigMap", "common", "refused", |it| {
            condition(it, "Applied").starts_with("False")
        })
        .await;
    assert_eq!(work["metadata"]["name"], "common-bb76b47f7");
    let none = BTreeMap::new();
    same(
        &normal(work, &none)["status"],
        &json!({ "conditions": [
            { "type": "Dispatching", "status": "True", "reason": "Dispatching",
                "message": "Work is being dispatched to member clusters.", "lastTransitionTime": "then" },
            { "type": "Applied", "status": "False", "reason": "AppliedFailed", "message": refused, "lastTransitionTime": "then" },
        ]}),
    );
    same(
        &normal(binding, &none)["status"],
        &json!({
            "aggregatedStatus": [{ "appliedMessage": refused, "clusterName": "member2", "health": "Unknown" }],
            "conditions": [
                { "type": "Scheduled", "status": "True", "reason": "Success",
                    "message": "Binding has been scheduled successfully.", "lastTransitionTime": "then" },
                { "type": "FullyApplied", "status": "False", "reason": "FullyAppliedFailed",
                    "message": "Failed to apply all works, see status.aggregatedStatus for details", "lastTransitionTime": "then" },
            ],
            "lastScheduledTime": "then",
            "schedulerObservedGeneration": 2,
        }),
    );
}

#[expect(clippy::too_many_lines, reason = "the objects are shown whole")]
async fn a_cluster_role(scene: &Scene) {
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: ClusterOverridePolicy
metadata: {name: extra}
spec:
  resourceSelectors: [{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: 'demo:reader'}]
  overrideRules: [{overriders: {labelsOverrider: [{operator: add, value: {both: cop, by: cop}}]}}]
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: everywhere}
spec:
  resourceSelectors: [{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: 'demo:reader'}]
  placement: {clusterAffinity: {clusterNames: [member2, member3]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: 'demo:reader'}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
",
    );
    let binding = scene
        .until(
            "control",
            "clusterresourcebindings.work.karmada.io",
            "demo.reader-clusterrole",
            "applied",
            is_applied,
        )
        .await;
    let work = scene
        .until(
            "control",
            "works.work.karmada.io",
            "karmada-es-member2/demo.reader-7c485759d4",
            "applied",
            |it| condition(it, "Applied").starts_with("True"),
        )
        .await;
    let ids = ids(&[
        (&binding["metadata"]["labels"][CRB_ID], "crb-id"),
        (&binding["metadata"]["labels"][CPP_ID], "cpp-id"),
        (&binding["spec"]["resource"]["uid"], "template-uid"),
        (
            &binding["spec"]["resource"]["resourceVersion"],
            "template-version",
        ),
        (&work["metadata"]["labels"][WORK_ID], "work-id"),
    ]);
    let (binding, work) = (normal(binding, &ids), normal(work, &ids));
    same(
        &binding["metadata"],
        &json!({
            "name": "demo.reader-clusterrole",
            "generation": 2,
            "annotations": {
                "clusterpropagationpolicy.karmada.io/name": "everywhere",
                "policy.karmada.io/applied-placement": "{\"clusterAffinity\":{\"clusterNames\":[\"member2\",\"member3\"]}}",
            },
            "finalizers": ["karmada.io/cluster-resource-binding-controller"],
            "labels": { CPP_ID: "cpp-id", CRB_ID: "crb-id" },
            "ownerReferences": [{ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "demo:reader",
                "uid": "template-uid", "controller": true, "blockOwnerDeletion": true }],
        }),
    );
    same(
        &binding["spec"],
        &json!({
            "clusters": [{ "name": "member2" }, { "name": "member3" }],
            "conflictResolution": "Abort",
            "placement": { "clusterAffinity": { "clusterNames": ["member2", "member3"] } },
            "resource": { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "demo:reader",
                "resourceVersion": "template-version", "uid": "template-uid" },
            "schedulerName": "default-scheduler",
        }),
    );
    same(
        &work["metadata"],
        &json!({
            "name": "demo.reader-7c485759d4",
            "namespace": "karmada-es-member2",
            "generation": 1,
            "finalizers": ["karmada.io/execution-controller"],
            "annotations": {
                "clusterresourcebinding.karmada.io/name": "demo.reader-clusterrole",
                "policy.karmada.io/applied-cluster-overrides": "[{\"policyName\":\"extra\",\"overriders\":{\"labelsOverrider\":\
                    [{\"operator\":\"add\",\"value\":{\"both\":\"cop\",\"by\":\"cop\"}}]}}]",
                "work.karmada.io/conflict-resolution": "abort",
            },
            "labels": { CRB_ID: "crb-id", WORK_ID: "work-id" },
        }),
    );
    let manifest = &work["spec"]["workload"]["manifests"][0]["metadata"];
    assert_eq!(manifest["name"], "demo:reader");
    assert_eq!(manifest["namespace"], Value::Null);
    same(
        &manifest["labels"],
        &json!({ "both": "cop", "by": "cop", CPP_ID: "cpp-id", CRB_ID: "crb-id", WORK_ID: "work-id",
            "karmada.io/managed": "true" }),
    );
    scene.kubectl("control", &["delete", "clusterrole", "demo:reader"]);
    scene.kubectl("control", &["delete", "cpp", "everywhere"]);
    scene.kubectl("control", &["delete", "cop", "extra"]);
}

async fn the_work_of_the_namespace(scene: &Scene) {
    scene.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: demo, labels: {team: a}}\n");
    let work = scene
        .until(
            "control",
            "works.work.karmada.io",
            "karmada-es-member2/demo-6654f4c4f6",
            "applied with the label",
            |it| {
                condition(it, "Applied").starts_with("True")
                    && it["spec"]["workload"]["manifests"][0]["metadata"]["labels"]["team"] == "a"
            },
        )
        .await;
    let ids = ids(&[
        (&work["metadata"]["labels"][WORK_ID], "work-id"),
        (
            &work["metadata"]["ownerReferences"][0]["uid"],
            "template-uid",
        ),
    ]);
    let mut work = normal(work, &ids);
    work.as_object_mut().unwrap().remove("status");
    work["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("generation");
    same(
        &work,
        &yaml(
            "
apiVersion: work.karmada.io/v1alpha1
kind: Work
metadata:
  name: demo-6654f4c4f6
  namespace: karmada-es-member2
  finalizers: [karmada.io/execution-controller]
  labels: {work.karmada.io/permanent-id: work-id}
  ownerReferences:
  - {apiVersion: v1, kind: Namespace, name: demo, uid: template-uid, controller: true, blockOwnerDeletion: true}
spec:
  workload:
    manifests:
    - apiVersion: v1
      kind: Namespace
      metadata:
        name: demo
        annotations:
          resourcetemplate.karmada.io/managed-annotations: resourcetemplate.karmada.io/managed-annotations,resourcetemplate.karmada.io/managed-labels,resourcetemplate.karmada.io/uid,work.karmada.io/name,work.karmada.io/namespace
          resourcetemplate.karmada.io/managed-labels: karmada.io/managed,kubernetes.io/metadata.name,team,work.karmada.io/permanent-id
          resourcetemplate.karmada.io/uid: template-uid
          work.karmada.io/name: demo-6654f4c4f6
          work.karmada.io/namespace: karmada-es-member2
        labels: {karmada.io/managed: 'true', kubernetes.io/metadata.name: demo, team: a, work.karmada.io/permanent-id: work-id}
      spec: {finalizers: [kubernetes]}
",
        ),
    );
}

async fn a_job(scene: &Scene) {
    scene.apply(
        "apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: {ns}}
spec:
  parallelism: 3
  completions: 7
  ttlSecondsAfterFinished: 3600
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}}
",
    );
    scene.apply(&policy("jobs", "batch/v1", "Job", &on("member2")));
    let work = scene
        .work("member2", "Job", "once", "applied", |it| {
            condition(it, "Applied").starts_with("True")
        })
        .await;
    let template = scene.object("control", "jobs.batch", "once").await.unwrap();
    let ids = ids(&[
        (&template["metadata"]["uid"], "template-uid"),
        (&template["metadata"]["labels"][PP_ID], "pp-id"),
        (&work["metadata"]["labels"][RB_ID], "rb-id"),
        (&work["metadata"]["labels"][WORK_ID], "work-id"),
    ]);
    let work = normal(work, &ids);
    let manifest = &work["spec"]["workload"]["manifests"][0];
    same(
        &manifest["metadata"]["labels"],
        &json!({
            "batch.kubernetes.io/controller-uid": "template-uid",
            "batch.kubernetes.io/job-name": "once",
            "controller-uid": "template-uid",
            "job-name": "once",
            "karmada.io/managed": "true",
            PP_ID: "pp-id", RB_ID: "rb-id", WORK_ID: "work-id",
        }),
    );
    assert_eq!(
        manifest["metadata"]["annotations"]["resourcetemplate.karmada.io/generation"],
        "1"
    );
    let mut spec = manifest["spec"].clone();
    assert_eq!(
        spec["template"].as_object_mut().unwrap().remove("spec"),
        template["spec"]["template"].get("spec").cloned()
    );
    same(
        &spec,
        &yaml(
            "
backoffLimit: 6
completionMode: NonIndexed
completions: 7
manualSelector: false
parallelism: 3
podReplacementPolicy: TerminatingOrFailed
selector: {matchLabels: {}}
suspend: false
template: {metadata: {labels: {}}}
",
        ),
    );
}

async fn nothing_fits(scene: &Scene) {
    scene.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: nowhere, namespace: {ns}}\n");
    scene.apply(&policy("nowhere", "v1", "Secret", &on("atlantis")));
    let binding = scene
        .binding("nowhere-secret", "refused", |it| {
            condition(it, "Scheduled").starts_with("False")
        })
        .await;
    assert_eq!(binding["spec"]["clusters"], Value::Null);
    same(
        &normal(binding, &BTreeMap::new())["status"],
        &json!({ "conditions": [{ "type": "Scheduled", "status": "False", "reason": "NoClusterFit",
            "message": "0/3 clusters are available: 3 cluster(s) did not match the placement cluster affinity constraint.",
            "lastTransitionTime": "then" }] }),
    );
}

async fn a_binding_without_its_policy(scene: &Scene) {
    let service_account =
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: common, namespace: {ns}}\n";
    scene.apply(service_account);
    scene.apply(&policy("leaves", "v1", "ServiceAccount", &on("member3")));
    scene.applied("common-serviceaccount").await;
    scene.kubectl("control", &["delete", "propagationpolicy", "leaves"]);
    let binding = scene
        .binding("common-serviceaccount", "free", |it| {
            it["metadata"]["labels"][PP_ID].is_null()
        })
        .await;
    let template = scene
        .until("control", "serviceaccounts", "common", "free", |it| {
            it["metadata"]["labels"].is_null()
        })
        .await;
    assert_eq!(
        template["metadata"]["annotations"]["propagationpolicy.karmada.io/name"],
        Value::Null
    );
    let ids = ids(&[(&binding["metadata"]["labels"][RB_ID], "rb-id")]);
    let mut binding = normal(binding, &ids);
    same(
        &binding["metadata"]["annotations"],
        &json!({ "policy.karmada.io/applied-placement": "{\"clusterAffinity\":{\"clusterNames\":[\"member3\"]}}" }),
    );
    same(&binding["metadata"]["labels"], &json!({ RB_ID: "rb-id" }));
    binding["spec"].as_object_mut().unwrap().remove("resource");
    same(
        &binding["spec"],
        &json!({
            "clusters": [{ "name": "member3" }],
            "conflictResolution": "Abort",
            "placement": { "clusterAffinity": { "clusterNames": ["member3"] } },
            "schedulerName": "default-scheduler",
        }),
    );
}

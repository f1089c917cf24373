//! The Works of the API's documented examples, whole.

use ::trace::NoTrace;
use crds::object;
use crds::policy::OverrideSpec;
use crds::work::{ClusterResourceBinding, ResourceBinding};
use serde_json::{Value, json};

use super::*;

#[test]
fn a_divided_deployment() {
    let work = work(
        &binding(),
        &deployment(),
        "member3",
        "d968ba15-03b6-40d5-96a0-c1b7f7422384",
    );
    let expected = yaml(
        "
apiVersion: work.karmada.io/v1alpha1
kind: Work
metadata:
  name: web-85cf589867
  namespace: karmada-es-member3
  annotations:
    resourcebinding.karmada.io/name: web-deployment
    resourcebinding.karmada.io/namespace: demo
    work.karmada.io/conflict-resolution: abort
  finalizers: [karmada.io/execution-controller]
  labels:
    resourcebinding.karmada.io/permanent-id: 219af99f-a34e-4724-8e2d-877289cbeccd
    work.karmada.io/permanent-id: d968ba15-03b6-40d5-96a0-c1b7f7422384
spec:
  preserveResourcesOnDeletion: false
  suspendDispatching: false
  workload:
    manifests:
    - apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: web
        namespace: demo
        annotations:
          propagationpolicy.karmada.io/name: pol
          propagationpolicy.karmada.io/namespace: demo
          resourcebinding.karmada.io/name: web-deployment
          resourcebinding.karmada.io/namespace: demo
          resourcetemplate.karmada.io/generation: '2'
          resourcetemplate.karmada.io/managed-annotations: propagationpolicy.karmada.io/name,propagationpolicy.karmada.io/namespace,resourcebinding.karmada.io/name,resourcebinding.karmada.io/namespace,resourcetemplate.karmada.io/generation,resourcetemplate.karmada.io/managed-annotations,resourcetemplate.karmada.io/managed-labels,resourcetemplate.karmada.io/uid,work.karmada.io/conflict-resolution,work.karmada.io/name,work.karmada.io/namespace
          resourcetemplate.karmada.io/managed-labels: app,karmada.io/managed,propagationpolicy.karmada.io/permanent-id,resourcebinding.karmada.io/permanent-id,work.karmada.io/permanent-id
          resourcetemplate.karmada.io/uid: c1ae5606-4917-4c82-a911-542740ee3e99
          work.karmada.io/conflict-resolution: abort
          work.karmada.io/name: web-85cf589867
          work.karmada.io/namespace: karmada-es-member3
        labels:
          app: web
          karmada.io/managed: 'true'
          propagationpolicy.karmada.io/permanent-id: 713a98d2-7292-46a9-a3e2-48122c2237cc
          resourcebinding.karmada.io/permanent-id: 219af99f-a34e-4724-8e2d-877289cbeccd
          work.karmada.io/permanent-id: d968ba15-03b6-40d5-96a0-c1b7f7422384
      spec: {replicas: 3, selector: {matchLabels: {app: web}}}
",
    );
    assert_eq!(value(&work), expected);
}

#[test]
fn a_cluster_role_with_overrides() {
    let template = yaml(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: 'demo:reader'
  uid: 08e976b7-2031-404e-b952-673fedf9cbc4
  labels: {clusterpropagationpolicy.karmada.io/permanent-id: 746127c3-365b-41f3-aad5-13a731a7546c}
  annotations: {clusterpropagationpolicy.karmada.io/name: everywhere}
",
    );
    let binding: ClusterResourceBinding = typed(
        "
metadata:
  name: demo.reader-clusterrole
  labels: {clusterresourcebinding.karmada.io/permanent-id: 9fc59e62-3d04-442e-8fc3-c1e0d15a1344}
spec:
  clusters: [{name: member2}, {name: member3}]
  conflictResolution: Abort
  resource: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: 'demo:reader'}
",
    );
    let spec: OverrideSpec = typed(
        "{overrideRules: [{overriders: {labelsOverrider: [{operator: add, value: {both: cop, by: cop}}]}}]}",
    );
    let metadata = ObjectMeta {
        name: Some("extra".into()),
        ..ObjectMeta::default()
    };
    let extra = [overrides::Policy::new(None, &metadata, &spec)];
    let draft = rendered(&binding, &template, "member2", &extra, &[]).unwrap();
    let work = value(&draft.into_work("02267f90-5f21-497a-be1f-aacaff9e526c"));
    let metadata = yaml(
        "
name: demo.reader-7c485759d4
namespace: karmada-es-member2
finalizers: [karmada.io/execution-controller]
annotations:
  clusterresourcebinding.karmada.io/name: demo.reader-clusterrole
  policy.karmada.io/applied-cluster-overrides: '[{\"policyName\":\"extra\",\"overriders\":{\"labelsOverrider\":[{\"operator\":\"add\",\"value\":{\"both\":\"cop\",\"by\":\"cop\"}}]}}]'
  work.karmada.io/conflict-resolution: abort
labels:
  clusterresourcebinding.karmada.io/permanent-id: 9fc59e62-3d04-442e-8fc3-c1e0d15a1344
  work.karmada.io/permanent-id: 02267f90-5f21-497a-be1f-aacaff9e526c
",
    );
    assert_eq!(work["metadata"], metadata);
    let manifest = &work["spec"]["workload"]["manifests"][0]["metadata"];
    let keys = |field: &str| {
        manifest[field]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(manifest["name"], "demo:reader");
    assert_eq!(manifest.get("namespace"), None);
    assert_eq!(
        keys("labels"),
        [
            "both",
            "by",
            "clusterpropagationpolicy.karmada.io/permanent-id",
            "clusterresourcebinding.karmada.io/permanent-id",
            "karmada.io/managed",
            "work.karmada.io/permanent-id",
        ]
    );
    assert_eq!(
        keys("annotations"),
        [
            "clusterpropagationpolicy.karmada.io/name",
            "clusterresourcebinding.karmada.io/name",
            "resourcetemplate.karmada.io/managed-annotations",
            "resourcetemplate.karmada.io/managed-labels",
            "resourcetemplate.karmada.io/uid",
            "work.karmada.io/conflict-resolution",
            "work.karmada.io/name",
            "work.karmada.io/namespace",
        ]
    );
}

fn namespace() -> Value {
    yaml(
        "
apiVersion: v1
kind: Namespace
metadata: {name: demo, uid: 29162758-b074-4ae5-8a2b-8b5f5ee62210, labels: {kubernetes.io/metadata.name: demo, team: a}}
spec: {finalizers: [kubernetes]}
status: {phase: Active}
",
    )
}

fn namespace_draft(namespace: &Value, conflict: Option<crds::policy::ConflictResolution>) -> Draft {
    let request = NamespaceRequest {
        namespace,
        cluster: &cluster("member2"),
        cluster_overrides: &[],
        conflict_resolution: conflict,
    };
    render_namespace(request, &mut NoTrace).unwrap()
}

#[test]
fn a_namespace() {
    let work =
        namespace_draft(&namespace(), None).into_work("c879741a-8823-4cbc-999b-df6dc87e7e44");
    let expected = yaml(
        "
apiVersion: work.karmada.io/v1alpha1
kind: Work
metadata:
  name: demo-6654f4c4f6
  namespace: karmada-es-member2
  finalizers: [karmada.io/execution-controller]
  labels: {work.karmada.io/permanent-id: c879741a-8823-4cbc-999b-df6dc87e7e44}
  ownerReferences:
  - {apiVersion: v1, kind: Namespace, name: demo, uid: 29162758-b074-4ae5-8a2b-8b5f5ee62210, controller: true, blockOwnerDeletion: true}
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
          resourcetemplate.karmada.io/uid: 29162758-b074-4ae5-8a2b-8b5f5ee62210
          work.karmada.io/name: demo-6654f4c4f6
          work.karmada.io/namespace: karmada-es-member2
        labels: {karmada.io/managed: 'true', kubernetes.io/metadata.name: demo, team: a, work.karmada.io/permanent-id: c879741a-8823-4cbc-999b-df6dc87e7e44}
      spec: {finalizers: [kubernetes]}
",
    );
    assert_eq!(value(&work), expected);
    let overwrite = namespace_draft(
        &namespace(),
        Some(crds::policy::ConflictResolution::Overwrite),
    );
    assert_eq!(
        object::annotation(overwrite.manifest(), keys::CONFLICT_RESOLUTION),
        Some("overwrite")
    );
}

fn job(completions: &Value) -> Value {
    let mut job = yaml(
        "
apiVersion: batch/v1
kind: Job
metadata:
  name: once
  namespace: demo
  uid: a9bfe514-a73e-4c95-9b40-c90f2ced89f6
  labels:
    batch.kubernetes.io/controller-uid: a9bfe514-a73e-4c95-9b40-c90f2ced89f6
    batch.kubernetes.io/job-name: once
    controller-uid: a9bfe514-a73e-4c95-9b40-c90f2ced89f6
    job-name: once
spec:
  backoffLimit: 6
  manualSelector: false
  parallelism: 3
  ttlSecondsAfterFinished: 3600
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: a9bfe514-a73e-4c95-9b40-c90f2ced89f6}}
  template:
    metadata: {labels: {batch.kubernetes.io/controller-uid: a9bfe514-a73e-4c95-9b40-c90f2ced89f6, job-name: once}}
    spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}
",
    );
    job["spec"]["completions"] = completions.clone();
    job
}

fn job_binding(clusters: &str) -> ResourceBinding {
    let mut binding = binding();
    binding.spec.resource.kind = "Job".into();
    binding.spec.replicas = Some(3);
    binding.spec.clusters = typed(clusters);
    binding
}

#[test]
fn a_job_is_pruned_and_divided() {
    let binding = job_binding("[{name: member2, replicas: 3}]");
    let work = value(&work(&binding, &job(&json!(7)), "member2", "w"));
    let manifest = &work["spec"]["workload"]["manifests"][0];
    assert_eq!(manifest["metadata"]["labels"]["job-name"], "once");
    assert_eq!(
        manifest["spec"],
        yaml(
            "
backoffLimit: 6
completions: 7
manualSelector: false
parallelism: 3
selector: {matchLabels: {}}
template:
  metadata: {labels: {}}
  spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}
"
        )
    );
    let binding = job_binding("[{name: member2, replicas: 1}, {name: member3, replicas: 2}]");
    for (to, parallelism, completions) in [("member2", 1, 3), ("member3", 2, 5)] {
        let draft = rendered(&binding, &job(&json!(8)), to, &[], &[]).unwrap();
        let spec = &draft.manifest()["spec"];
        assert_eq!(
            (&spec["parallelism"], &spec["completions"]),
            (&json!(parallelism), &json!(completions))
        );
    }
    let error = Plan::new(
        &binding,
        &job(&json!("many")),
        Gates::default(),
        &mut NoTrace,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "spec.completions of Job once is not an integer"
    );
    // A work queue has no completions to divide.
    let mut queue = job(&json!(1));
    queue["spec"].as_object_mut().unwrap().remove("completions");
    let plan = Plan::new(&binding, &queue, Gates::default(), &mut NoTrace).unwrap();
    assert_eq!(plan.completions, None);
}

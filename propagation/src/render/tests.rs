use std::time::Duration;

use ::trace::NoTrace;
use crds::policy::OverrideSpec;
use crds::work::{ClusterResourceBinding, ResourceBinding, Work};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::clock::at;
use crate::testing::{cluster, native, typed, value, yaml};

fn deployment() -> Value {
    yaml(
        "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: demo
  uid: c1ae5606-4917-4c82-a911-542740ee3e99
  generation: 2
  resourceVersion: '218799'
  creationTimestamp: 2026-01-01T10:43:58Z
  managedFields: [{manager: kubectl}]
  labels: {app: web, propagationpolicy.karmada.io/permanent-id: 713a98d2-7292-46a9-a3e2-48122c2237cc}
  annotations:
    deployment.kubernetes.io/revision: '1'
    kubectl.kubernetes.io/last-applied-configuration: '{}'
    propagationpolicy.karmada.io/name: pol
    propagationpolicy.karmada.io/namespace: demo
spec: {replicas: 4, selector: {matchLabels: {app: web}}}
status: {replicas: 4}
",
    )
}

fn binding() -> ResourceBinding {
    typed(
        "
metadata:
  name: web-deployment
  namespace: demo
  labels: {resourcebinding.karmada.io/permanent-id: 219af99f-a34e-4724-8e2d-877289cbeccd}
spec:
  clusters: [{name: member2, replicas: 1}, {name: member3, replicas: 3}]
  conflictResolution: Abort
  placement: {replicaScheduling: {replicaSchedulingType: Divided}}
  replicas: 4
  resource: {apiVersion: apps/v1, kind: Deployment, namespace: demo, name: web, uid: c1ae5606-4917-4c82-a911-542740ee3e99}
",
    )
}

fn rendered<B: Binding>(
    binding: &B,
    template: &Value,
    to: &str,
    cluster_overrides: &[overrides::Policy<'_>],
    overrides: &[overrides::Policy<'_>],
) -> Result<Draft, RenderError> {
    let gates = Gates {
        stateful_failover_injection: true,
    };
    let plan = Plan::new(binding, template, gates, &mut NoTrace).expect("completions divide");
    let target = plan
        .targets
        .iter()
        .find(|target| target.cluster == to)
        .expect("the cluster is a target");
    let place = Place {
        target,
        cluster: &cluster(to),
        cluster_overrides,
        overrides,
        interpreter: &native(),
    };
    render(&plan, place, &mut NoTrace)
}

fn work<B: Binding>(binding: &B, template: &Value, to: &str, id: &str) -> Work {
    rendered(binding, template, to, &[], &[])
        .unwrap()
        .into_work(id)
}

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

#[test]
fn flags_and_conflict_resolution() {
    let mut binding = binding();
    binding.spec.suspension = typed("{dispatchingOnClusters: {clusterNames: [member3, ghost]}}");
    binding.spec.preserve_resources_on_deletion = Some(true);
    binding.spec.conflict_resolution = Some(crds::policy::ConflictResolution::Overwrite);
    let of = |to: &str, template: &Value| work(&binding, template, to, "w");
    assert_eq!(
        of("member2", &deployment()).spec.suspend_dispatching,
        Some(false)
    );
    let suspended = of("member3", &deployment());
    assert_eq!(suspended.spec.suspend_dispatching, Some(true));
    assert_eq!(suspended.spec.preserve_resources_on_deletion, Some(true));
    for (annotation, expected) in [
        (None, "overwrite"),
        (Some("abort"), "abort"),
        (Some("overwrite"), "overwrite"),
        (Some("?"), "overwrite"),
    ] {
        let mut template = deployment();
        if let Some(annotation) = annotation {
            object::set_annotation(&mut template, keys::CONFLICT_RESOLUTION, annotation);
        }
        let work = of("member2", &template);
        assert_eq!(
            work.metadata.annotations.unwrap()[keys::CONFLICT_RESOLUTION],
            expected
        );
        let manifest = &work.spec.workload.manifests[0];
        assert_eq!(
            object::annotation(manifest, keys::CONFLICT_RESOLUTION),
            Some(expected)
        );
    }
}

#[test]
fn targets_include_those_of_dependents() {
    let spec: ResourceBindingSpec = typed(
        "
resource: {apiVersion: v1, kind: ConfigMap, name: c}
clusters: [{name: m2, replicas: 1}]
requiredBy:
- {name: a, clusters: [{name: m3, replicas: 4}, {name: m2, replicas: 9}]}
- {name: b, clusters: [{name: m1}]}
gracefulEvictionTasks:
- {fromCluster: m4, producer: p, reason: R, purgeMode: Gracefully}
- {fromCluster: m5, producer: p, reason: R, purgeMode: Immediately}
- {fromCluster: m6, producer: p, reason: R}
",
    );
    let found: Vec<_> = targets(&spec)
        .into_iter()
        .map(|target| (target.cluster, target.replicas))
        .collect();
    assert_eq!(
        found,
        [
            ("m2".to_owned(), Some(1)),
            ("m3".to_owned(), None),
            ("m1".to_owned(), None)
        ]
    );
    let expected: Vec<_> = expected_clusters(&spec).into_iter().collect();
    assert_eq!(expected, ["m1", "m2", "m3", "m4", "m6"]);
    let in_cluster = |cluster: &str| -> Work {
        typed(&format!(
            "{{metadata: {{name: w, namespace: karmada-es-{cluster}}}, spec: {{}}}}"
        ))
    };
    let elsewhere: Work = typed("{metadata: {name: w, namespace: other}, spec: {}}");
    let mut terminating = in_cluster("m8");
    terminating.metadata.deletion_timestamp = Some(at(1));
    let works = [
        in_cluster("m1"),
        in_cluster("m5"),
        in_cluster("m7"),
        elsewhere,
        terminating,
    ];
    let orphaned: Vec<_> = orphans(&spec, &works, &mut NoTrace)
        .into_iter()
        .map(|work| work.metadata.namespace.clone().unwrap())
        .collect();
    assert_eq!(orphaned, ["karmada-es-m5", "karmada-es-m7"]);
}

#[test]
fn the_purge_barrier_opens_when_works_are_gone_or_given_up() {
    let mut spec: ResourceBindingSpec = typed(
        "
resource: {apiVersion: v1, kind: ConfigMap, name: c}
gracefulEvictionTasks: [{fromCluster: m5, producer: p, reason: R, purgeMode: Directly, creationTimestamp: 1970-01-01T00:00:10Z}]
",
    );
    let work: Work = typed("{metadata: {name: w, namespace: karmada-es-m5}, spec: {}}");
    let limit = Duration::from_mins(1);
    let barrier = |spec: &ResourceBindingSpec, works: &[Work], reachable: bool, now: i64| {
        purge_barrier(spec, works, |_| reachable, limit, &at(now))
            .map(|barrier| barrier.is_closed())
    };
    let works = [work];
    assert_eq!(barrier(&spec, &[], true, 20), None);
    assert_eq!(barrier(&spec, &works, true, 20), Some(true));
    assert_eq!(barrier(&spec, &works, true, 1000), Some(true));
    assert_eq!(barrier(&spec, &works, false, 20), Some(true));
    assert_eq!(barrier(&spec, &works, false, 1000), Some(false));
    spec.graceful_eviction_tasks[0].creation_timestamp = None;
    assert_eq!(barrier(&spec, &works, false, 1000), Some(true));
}

#[test]
fn preserved_state_reaches_the_successor() {
    let mut binding = binding();
    binding.spec.clusters = typed("[{name: member2, replicas: 4}]");
    let injected = |binding: &ResourceBinding| {
        let draft = rendered(binding, &deployment(), "member2", &[], &[]).unwrap();
        object::label(draft.manifest(), "state").map(ToOwned::to_owned)
    };
    let task = |mode: &str, before: &str| {
        typed(&format!(
            "[{{fromCluster: member3, producer: p, reason: R, purgeMode: {mode}, clustersBeforeFailover: [{before}], preservedLabelState: {{state: kept}}}}]"
        ))
    };
    binding.spec.graceful_eviction_tasks = task("Directly", "member3");
    assert_eq!(injected(&binding).as_deref(), Some("kept"));
    binding.spec.graceful_eviction_tasks = task("Gracefully", "member3");
    assert_eq!(injected(&binding), None);
    binding.spec.graceful_eviction_tasks = task("Immediately", "member2");
    assert_eq!(injected(&binding), None);
}

#[test]
fn works_are_written_only_when_they_change() {
    let draft = || rendered(&binding(), &deployment(), "member3", &[], &[]).unwrap();
    let Ok(Upsert::Create(mut existing)) = draft().upsert(None, "fresh") else {
        panic!("not created")
    };
    assert_eq!(
        existing.metadata.labels.as_ref().unwrap()[keys::WORK_PERMANENT_ID],
        "fresh"
    );
    assert_eq!(
        draft().upsert(Some(&existing), "other"),
        Ok(Upsert::Unchanged)
    );

    // Foreign keys stay, owned annotations go with the last override.
    let annotations = existing.metadata.annotations.get_or_insert_default();
    annotations.insert("mine".into(), "1".into());
    annotations.insert(keys::APPLIED_OVERRIDES.into(), "[]".into());
    existing.metadata.resource_version = Some("9".into());
    let Ok(Upsert::Update(updated)) = draft().upsert(Some(&existing), "other") else {
        panic!("not updated")
    };
    let annotations = updated.metadata.annotations.as_ref().unwrap();
    assert!(annotations.contains_key("mine") && !annotations.contains_key(keys::APPLIED_OVERRIDES));
    assert_eq!(updated.metadata.resource_version.as_deref(), Some("9"));
    assert_eq!(
        draft().upsert(Some(&updated), "other"),
        Ok(Upsert::Unchanged)
    );

    existing.metadata.deletion_timestamp = Some(at(1));
    let error = draft().upsert(Some(&existing), "other").unwrap_err();
    assert_eq!(
        error.to_string(),
        "work karmada-es-member3/web-85cf589867 is being deleted"
    );
}

#[test]
fn works_of_others_are_refused() {
    let draft = || rendered(&binding(), &deployment(), "member3", &[], &[]).unwrap();
    let mut foreign = draft().into_work("w");
    foreign.spec.workload.manifests[0]["apiVersion"] = json!("apps.example.com/v1");
    let error = draft().upsert(Some(&foreign), "x").unwrap_err();
    assert_eq!(error.reason(), "NameCollision");
    assert!(
        error
            .to_string()
            .contains("Deployment demo/web (apps/v1) cannot be propagated"),
        "{error}"
    );
    let mut other = draft().into_work("w");
    other
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .insert(keys::RESOURCE_BINDING_NAME.into(), "api-deployment".into());
    let error = draft().upsert(Some(&other), "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "work karmada-es-member3/web-85cf589867 carries the object for ResourceBinding demo/api-deployment, which renders the same object as ResourceBinding demo/web-deployment"
    );
    // A recreated binding has another id but the same name, and takes its Work over.
    let mut recreated = binding();
    recreated.metadata.labels = typed("{resourcebinding.karmada.io/permanent-id: new}");
    let draft = rendered(&recreated, &deployment(), "member3", &[], &[]).unwrap();
    assert!(matches!(
        draft.upsert(
            Some(&super::tests::work(
                &binding(),
                &deployment(),
                "member3",
                "w"
            )),
            "x"
        ),
        Ok(Upsert::Update(_))
    ));
}

#[test]
fn overrides_may_rename_but_not_erase() {
    let rule =
        |overriders: &str| -> OverrideSpec { typed(&format!("{{overriders: {overriders}}}")) };
    let rename = rule("{plaintext: [{path: /metadata/name, operator: replace, value: other}]}");
    let erase = rule("{plaintext: [{path: /metadata/name, operator: remove}]}");
    let with = |spec: &OverrideSpec| {
        let policies = [overrides::Policy::new(
            Some("demo"),
            &ObjectMeta::default(),
            spec,
        )];
        rendered(&binding(), &deployment(), "member3", &[], &policies)
    };
    assert_eq!(
        with(&rename).unwrap().key().name,
        names::work_name("other", "Deployment", Some("demo"))
    );
    assert_eq!(
        with(&erase),
        Err(RenderError::NoIdentity {
            field: "metadata.name"
        })
    );
}

#[test]
fn stamping_twice_changes_nothing() {
    let mut manifest = deployment();
    stamp(&mut manifest, "id");
    let once = manifest.clone();
    stamp(&mut manifest, "id");
    assert_eq!(manifest, once);
}

proptest! {
    #[test]
    fn rendering_is_deterministic_and_idempotent(
        labels in prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..4),
        replicas in 0i32..9,
        suspended in any::<bool>(),
    ) {
        let mut template = deployment();
        for (key, value) in &labels {
            object::set_label(&mut template, key, value);
        }
        let mut binding = binding();
        binding.spec.clusters[1].replicas = Some(replicas);
        binding.spec.suspension = typed(&format!("{{dispatching: {suspended}}}"));
        let draft = || rendered(&binding, &template, "member3", &[], &[]).unwrap();
        prop_assert_eq!(value(&draft().into_work("w")), value(&draft().into_work("w")));
        let work = draft().into_work("w");
        prop_assert_eq!(draft().upsert(Some(&work), "x"), Ok(Upsert::Unchanged));
    }
}

mod golden;

use std::time::Duration;

use ::trace::NoTrace;
use crds::policy::OverrideSpec;
use crds::work::{ResourceBinding, Work};
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
        let draft = rendered(&binding, &template, "member2", &[], &[]).unwrap();
        let ignored = annotation.filter(|it| *it == "?");
        assert_eq!(draft.ignored_conflict_resolution(), ignored);
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
fn members_get_none_of_our_bookkeeping() {
    use crate::matching::lazy::TEMPLATE_FINGERPRINT;

    let mut template = deployment();
    object::set_annotation(&mut template, TEMPLATE_FINGERPRINT, "0123456789abcdef");
    let marked = work(&binding(), &template, "member2", "w");
    assert_eq!(marked, work(&binding(), &deployment(), "member2", "w"));
    let manifest = &marked.spec.workload.manifests[0];
    assert_eq!(object::annotation(manifest, TEMPLATE_FINGERPRINT), None);
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
    assert!(draft().overrides_changed(Some(&existing)));
    assert!(!draft().overrides_changed(None));
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
        draft.upsert(Some(&work(&binding(), &deployment(), "member3", "w")), "x"),
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

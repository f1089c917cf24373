//! Objects as they were observed, which have to come out as they went in.

use kube::core::crd::v1::CustomResourceExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::keys;
use crate::policy::{Overriders, Placement};

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[track_caller]
fn survives<T: Serialize + DeserializeOwned>(text: &str) -> T {
    let wire = yaml(text);
    let typed: T = serde_json::from_value(wire.clone()).unwrap();
    // Values have sorted keys, so that equal text means equal bytes whatever the order of fields.
    assert_eq!(
        serde_json::to_value(&typed).unwrap().to_string(),
        wire.to_string()
    );
    typed
}

#[test]
fn binding_of_a_divided_deployment() {
    let binding: ResourceBinding = survives(
        r#"
apiVersion: work.karmada.io/v1alpha2
kind: ResourceBinding
metadata:
  name: web-deployment
  namespace: demo
  generation: 2
  annotations:
    policy.karmada.io/applied-placement: '{"clusterAffinity":{"clusterNames":["member2","member3"]},"replicaScheduling":{"replicaSchedulingType":"Divided","replicaDivisionPreference":"Weighted","weightPreference":{"staticWeightList":[{"targetCluster":{"clusterNames":["member2"]},"weight":1},{"targetCluster":{"clusterNames":["member3"]},"weight":2}]}}}'
    propagationpolicy.karmada.io/name: pol
    propagationpolicy.karmada.io/namespace: demo
  finalizers: [karmada.io/binding-controller]
  labels:
    propagationpolicy.karmada.io/permanent-id: 713a98d2-7292-46a9-a3e2-48122c2237cc
    resourcebinding.karmada.io/permanent-id: 219af99f-a34e-4724-8e2d-877289cbeccd
  ownerReferences:
  - {apiVersion: apps/v1, kind: Deployment, name: web, uid: c1ae5606-4917-4c82-a911-542740ee3e99, controller: true, blockOwnerDeletion: true}
spec:
  clusters:
  - {name: member2, replicas: 1}
  - {name: member3, replicas: 3}
  conflictResolution: Abort
  placement:
    clusterAffinity: {clusterNames: [member2, member3]}
    replicaScheduling:
      replicaDivisionPreference: Weighted
      replicaSchedulingType: Divided
      weightPreference:
        staticWeightList:
        - {targetCluster: {clusterNames: [member2]}, weight: 1}
        - {targetCluster: {clusterNames: [member3]}, weight: 2}
  replicaRequirements:
    namespace: demo
    resourceRequest: {cpu: 10m, memory: 16Mi}
  replicas: 4
  resource: {apiVersion: apps/v1, kind: Deployment, namespace: demo, name: web, resourceVersion: "218799", uid: c1ae5606-4917-4c82-a911-542740ee3e99}
  schedulerName: default-scheduler
status:
  aggregatedStatus:
  - applied: true
    clusterName: member2
    health: Healthy
    status: {availableReplicas: 1, generation: 1, observedGeneration: 1, readyReplicas: 1, replicas: 1, resourceTemplateGeneration: 2, updatedReplicas: 1}
  - applied: true
    clusterName: member3
    health: Healthy
    status: {availableReplicas: 3, generation: 1, observedGeneration: 1, readyReplicas: 3, replicas: 3, resourceTemplateGeneration: 2, updatedReplicas: 3}
  conditions:
  - {type: Scheduled, status: "True", reason: Success, message: Binding has been scheduled successfully., lastTransitionTime: "2026-01-01T10:43:59Z"}
  - {type: FullyApplied, status: "True", reason: FullyAppliedSuccess, message: All works have been successfully applied, lastTransitionTime: "2026-01-01T10:43:59Z"}
  lastScheduledTime: "2026-01-01T10:43:59Z"
  schedulerObservedGeneration: 2
"#,
    );
    let applied = &binding.metadata.annotations.as_ref().unwrap()[keys::APPLIED_PLACEMENT];
    let placement: Placement = serde_json::from_str(applied).unwrap();
    assert_eq!(Some(&placement), binding.spec.placement.as_ref());
    assert_eq!(serde_json::to_string(&placement).unwrap(), *applied);
    assert_eq!(binding.key().to_string(), "demo/web-deployment");
    assert_eq!(
        binding.permanent_id(),
        Some("219af99f-a34e-4724-8e2d-877289cbeccd")
    );
}

#[test]
fn work_of_a_deployment() {
    survives::<Work>(
        r#"
apiVersion: work.karmada.io/v1alpha1
kind: Work
metadata:
  name: web-85cf589867
  namespace: karmada-es-member3
  generation: 1
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
          resourcetemplate.karmada.io/generation: "2"
          work.karmada.io/name: web-85cf589867
        labels:
          app: web
          karmada.io/managed: "true"
      spec: {replicas: 3, unknownToUs: {deep: [1, 2.5, null]}}
status:
  conditions:
  - {type: Dispatching, status: "True", reason: Dispatching, message: Work is being dispatched to member clusters., lastTransitionTime: "2026-01-01T10:43:59Z"}
  - {type: Applied, status: "True", reason: AppliedSuccessful, message: Manifest has been successfully applied, lastTransitionTime: "2026-01-01T10:43:59Z"}
  manifestStatuses:
  - health: Healthy
    identifier: {group: apps, version: v1, kind: Deployment, namespace: demo, name: web, ordinal: 0, resource: ""}
    status: {availableReplicas: 3}
"#,
    );
}

#[test]
fn status_of_a_binding_in_conflict() {
    survives::<ResourceBindingStatus>(
        r"
aggregatedStatus:
- appliedMessage: 'Failed to apply all manifests (0/1): resource(kind=ConfigMap, demo/common) already exists in the cluster member2 and the work.karmada.io/conflict-resolution strategy value is empty, Karmada will not manage this resource'
  clusterName: member2
  health: Unknown
conditions:
- {type: FullyApplied, status: 'False', reason: FullyAppliedFailed, message: 'Failed to apply all works, see status.aggregatedStatus for details', lastTransitionTime: '2026-01-01T10:43:59Z'}
",
    );
}

#[test]
fn attached_binding() {
    let binding: ResourceBinding = survives(
        r#"
apiVersion: work.karmada.io/v1alpha2
kind: ResourceBinding
metadata:
  name: common-configmap
  namespace: demo
  generation: 2
  finalizers: [karmada.io/binding-controller]
  labels:
    resourcebinding.karmada.io/depended-by-98ddd89bc: 5679323b-ca24-4188-8fa9-766a708230bb
    resourcebinding.karmada.io/depended-by-685b47d6f6: cd9c5274-574c-4969-b23f-b7acf1d75666
    resourcebinding.karmada.io/permanent-id: 7adfd21e-ad58-4307-ba67-cfb2d96bc1e3
spec:
  conflictResolution: Overwrite
  preserveResourcesOnDeletion: true
  requiredBy:
  - namespace: demo
    name: app1-deployment
    clusters: [{name: member2, replicas: 2}]
  - namespace: demo
    name: app2-deployment
    clusters: [{name: member3, replicas: 2}]
  resource: {apiVersion: v1, kind: ConfigMap, namespace: demo, name: common, resourceVersion: "220334", uid: 9d120c70-b4d7-44b0-aa90-cee840b4ae4d}
status:
  aggregatedStatus:
  - {applied: true, clusterName: member2, health: Healthy}
  - {applied: true, clusterName: member3, health: Healthy}
  conditions:
  - {type: FullyApplied, status: "True", reason: FullyAppliedSuccess, message: All works have been successfully applied, lastTransitionTime: "2026-01-01T10:43:59Z"}
"#,
    );
    assert_eq!(binding.spec.placement, None);
    assert!(!binding.spec.is_workload());
}

#[test]
fn cluster_scoped_binding() {
    survives::<ClusterResourceBinding>(
        r#"
apiVersion: work.karmada.io/v1alpha2
kind: ClusterResourceBinding
metadata:
  name: demo.reader-clusterrole
  annotations:
    clusterpropagationpolicy.karmada.io/name: everywhere
    policy.karmada.io/applied-placement: '{"clusterAffinity":{"clusterNames":["member2","member3"]}}'
  finalizers: [karmada.io/cluster-resource-binding-controller]
  labels:
    clusterresourcebinding.karmada.io/permanent-id: 9fc59e62-3d04-442e-8fc3-c1e0d15a1344
spec:
  clusters: [{name: member2}, {name: member3}]
  conflictResolution: Abort
  placement: {clusterAffinity: {clusterNames: [member2, member3]}}
  resource: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: "demo:reader", resourceVersion: "222611", uid: 08e976b7-2031-404e-b952-673fedf9cbc4}
  schedulerName: default-scheduler
"#,
    );
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    policy_name: String,
    overriders: Overriders,
}

#[test]
fn record_of_applied_overriders() {
    let record = r#"[{"policyName":"extra","overriders":{"labelsOverrider":[{"operator":"add","value":{"both":"cop","by":"cop"}}]}}]"#;
    let applied: Vec<Applied> = serde_json::from_str(record).unwrap();
    assert_eq!(serde_json::to_string(&applied).unwrap(), record);
}

#[test]
fn work_of_a_propagated_namespace() {
    let work: Work = survives(
        "
apiVersion: work.karmada.io/v1alpha1
kind: Work
metadata:
  name: demo-6654f4c4f6
  namespace: karmada-es-member2
  finalizers: [karmada.io/execution-controller]
spec:
  workload:
    manifests:
    - {apiVersion: v1, kind: Namespace, metadata: {name: demo}, spec: {finalizers: [kubernetes]}}
",
    );
    assert_eq!(work.spec.suspend_dispatching, None);
}

#[test]
fn eviction_task_with_everything() {
    survives::<GracefulEvictionTask>(
        "
fromCluster: m1
purgeMode: Graciously
replicas: 2
reason: TaintUntolerated
message: gone
producer: TaintManager
gracePeriodSeconds: 600
suppressDeletion: false
preservedLabelState: {a: '1'}
creationTimestamp: '2026-01-01T10:43:59Z'
clustersBeforeFailover: [m1]
",
    );
}

#[test]
fn status_keeps_the_odd_name() {
    let status: ResourceBindingStatus = survives("schedulerObservingAffinityName: group1");
    assert_eq!(
        status.scheduler_observing_affinity_name.as_deref(),
        Some("group1")
    );
}

#[test]
fn eviction_takes_the_cluster_out_and_keeps_one_task() {
    let mut spec: ResourceBindingSpec = serde_json::from_value(json!({
        "resource": { "apiVersion": "v1", "kind": "Pod", "name": "a" },
        "clusters": [{ "name": "m1", "replicas": 2 }, { "name": "m2", "replicas": 0 }],
    }))
    .unwrap();
    let task = |cluster: &str, reason: &str| GracefulEvictionTask {
        from_cluster: cluster.to_owned(),
        reason: reason.to_owned(),
        ..GracefulEvictionTask::default()
    };
    assert!(!spec.evict_gracefully(task("m3", "A")));
    assert!(spec.evict_gracefully(task("m1", "A")));
    assert!(!spec.evict_gracefully(task("m1", "B")));
    assert!(spec.evict_gracefully(task("m2", "A")));
    assert_eq!(spec.clusters, []);
    assert_eq!(spec.eviction_task("m1").unwrap().replicas, Some(2));
    assert_eq!(spec.eviction_task("m1").unwrap().reason, "A");
    assert_eq!(spec.eviction_task("m2").unwrap().replicas, None);

    // The scheduler chose the cluster again while its task was still there.
    spec.clusters.push(TargetCluster {
        name: "m1".to_owned(),
        replicas: Some(1),
    });
    assert!(spec.evict_gracefully(task("m1", "B")));
    assert_eq!(spec.clusters, []);
    assert_eq!(spec.graceful_eviction_tasks.len(), 2);
    assert_eq!(spec.eviction_task("m1").unwrap().reason, "A");
}

#[test]
fn workloads_are_what_has_replicas() {
    let with = |field: &str, value: Value| -> bool {
        let mut spec = json!({ "resource": { "apiVersion": "v1", "kind": "Pod", "name": "a" } });
        spec[field] = value;
        serde_json::from_value::<ResourceBindingSpec>(spec)
            .unwrap()
            .is_workload()
    };
    assert!(with("replicas", json!(1)));
    assert!(!with("replicas", json!(0)));
    assert!(with("replicaRequirements", json!({})));
    assert!(with("components", json!([{ "name": "a", "replicas": 0 }])));
    assert!(!with("components", json!([])));
}

#[test]
fn suspension_is_for_all_clusters_or_some() {
    let suspension = |value: Value| -> BindingSuspension { serde_json::from_value(value).unwrap() };
    for (value, cluster, expected) in [
        (json!({}), "m1", false),
        (json!({ "dispatching": true }), "m1", true),
        (json!({ "dispatching": false }), "m1", false),
        (json!({ "scheduling": true }), "m1", false),
        (
            json!({ "dispatchingOnClusters": { "clusterNames": ["m1"] } }),
            "m1",
            true,
        ),
        (
            json!({ "dispatchingOnClusters": { "clusterNames": ["m1"] } }),
            "m2",
            false,
        ),
    ] {
        assert_eq!(
            suspension(value.clone()).suspends(cluster),
            expected,
            "{value}"
        );
    }
}

#[test]
fn twins_differ_in_names_only() {
    fn describe<B: Binding>() -> [String; 4] {
        let mut binding = B::default();
        binding.meta_mut().name = Some("b".to_owned());
        binding.spec_mut().replicas = Some(1);
        binding.status_mut().scheduler_observed_generation = Some(1);
        assert!(binding.status().is_some() && binding.spec().is_workload());
        assert_eq!(binding.permanent_id(), None);
        [
            B::KIND.to_owned(),
            B::PERMANENT_ID.to_owned(),
            B::FINALIZER.to_owned(),
            B::url_path(&(), B::IS_NAMESPACED.then_some("ns")),
        ]
    }
    assert_eq!(
        describe::<ResourceBinding>(),
        [
            "ResourceBinding",
            "resourcebinding.karmada.io/permanent-id",
            "karmada.io/binding-controller",
            "/apis/work.karmada.io/v1alpha2/namespaces/ns/resourcebindings",
        ]
    );
    assert_eq!(
        describe::<ClusterResourceBinding>(),
        [
            "ClusterResourceBinding",
            "clusterresourcebinding.karmada.io/permanent-id",
            "karmada.io/cluster-resource-binding-controller",
            "/apis/work.karmada.io/v1alpha2/clusterresourcebindings",
        ]
    );
}

#[test]
fn old_bindings_are_another_version_of_the_same_kind() {
    let old = v1alpha1::ResourceBinding::crd();
    let new = ResourceBinding::crd();
    assert_eq!(old.spec.names, new.spec.names);
    assert_eq!(old.spec.versions[0].name, "v1alpha1");
    assert_eq!(new.spec.versions[0].name, "v1alpha2");
}

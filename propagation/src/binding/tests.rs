use ::trace::NoTrace;
use crds::policy::{PropagationSpec, Suspension};
use crds::work::{
    Binding, BindingSuspension, ClusterResourceBinding, ResourceBinding, TargetCluster,
};
use serde_json::{Value, json};

use super::*;
use crate::matching::Policy;
use crate::testing::{policy, typed, value, yaml};

fn deployment() -> Value {
    yaml(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: demo, uid: c1ae5606-4917-4c82-a911-542740ee3e99, resourceVersion: '218799', labels: {app: web}}
spec: {replicas: 4}
",
    )
}

fn pol() -> PropagationSpec {
    typed(
        "
resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
propagateDeps: false
placement:
  clusterAffinity: {clusterNames: [member2, member3]}
  replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted}
schedulerName: default-scheduler
conflictResolution: Abort
",
    )
}

fn built(template: &Value, policy: &Policy<'_>) -> ResourceBinding {
    let interpretation = Interpretation {
        replicas: Some(4),
        requirements: Some(typed("resourceRequest: {cpu: 10m, memory: 16Mi}")),
        components: Vec::new(),
    };
    let gates = Gates {
        workload_affinity: true,
        resource_quota_estimate: true,
    };
    build(
        Inputs {
            template,
            policy,
            interpretation,
            schedule_priority: None,
            gates,
        },
        &mut NoTrace,
    )
}

#[test]
fn a_deployment_gets_its_binding() {
    let spec = pol();
    let policy = Policy {
        id: "713a98d2-7292-46a9-a3e2-48122c2237cc",
        ..policy("demo", "pol", &spec)
    };
    let binding = create(
        built(&deployment(), &policy),
        "219af99f-a34e-4724-8e2d-877289cbeccd",
    );
    let expected = yaml(
        "
apiVersion: work.karmada.io/v1alpha2
kind: ResourceBinding
metadata:
  name: web-deployment
  namespace: demo
  annotations:
    propagationpolicy.karmada.io/name: pol
    propagationpolicy.karmada.io/namespace: demo
  finalizers: [karmada.io/binding-controller]
  labels:
    propagationpolicy.karmada.io/permanent-id: 713a98d2-7292-46a9-a3e2-48122c2237cc
    resourcebinding.karmada.io/permanent-id: 219af99f-a34e-4724-8e2d-877289cbeccd
  ownerReferences:
  - {apiVersion: apps/v1, kind: Deployment, name: web, uid: c1ae5606-4917-4c82-a911-542740ee3e99, controller: true, blockOwnerDeletion: true}
spec:
  conflictResolution: Abort
  placement:
    clusterAffinity: {clusterNames: [member2, member3]}
    replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted}
  replicaRequirements:
    namespace: demo
    resourceRequest: {cpu: 10m, memory: 16Mi}
  replicas: 4
  resource: {apiVersion: apps/v1, kind: Deployment, namespace: demo, name: web, resourceVersion: '218799', uid: c1ae5606-4917-4c82-a911-542740ee3e99}
  schedulerName: default-scheduler
",
    );
    assert_eq!(value(&binding), expected);
}

#[test]
fn a_cluster_role_gets_a_cluster_binding() {
    let spec: PropagationSpec = typed(
        "
resourceSelectors: [{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole}]
placement: {clusterAffinity: {clusterNames: [member2, member3]}}
",
    );
    let policy = Policy {
        id: "746127c3-365b-41f3-aad5-13a731a7546c",
        ..policy("", "everywhere", &spec)
    };
    let template = yaml(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: 'demo:reader', resourceVersion: '222611', uid: 08e976b7-2031-404e-b952-673fedf9cbc4}
",
    );
    let inputs = Inputs {
        template: &template,
        policy: &policy,
        interpretation: Interpretation::default(),
        schedule_priority: Some(3),
        gates: Gates::default(),
    };
    let binding: ClusterResourceBinding = build(inputs, &mut NoTrace);
    let expected = yaml(
        "
apiVersion: work.karmada.io/v1alpha2
kind: ClusterResourceBinding
metadata:
  name: demo.reader-clusterrole
  annotations: {clusterpropagationpolicy.karmada.io/name: everywhere}
  finalizers: [karmada.io/cluster-resource-binding-controller]
  labels:
    clusterpropagationpolicy.karmada.io/permanent-id: 746127c3-365b-41f3-aad5-13a731a7546c
    clusterresourcebinding.karmada.io/permanent-id: 9fc59e62-3d04-442e-8fc3-c1e0d15a1344
  ownerReferences:
  - {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: 'demo:reader', uid: 08e976b7-2031-404e-b952-673fedf9cbc4, controller: true, blockOwnerDeletion: true}
spec:
  conflictResolution: Abort
  placement: {clusterAffinity: {clusterNames: [member2, member3]}}
  resource: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: 'demo:reader', resourceVersion: '222611', uid: 08e976b7-2031-404e-b952-673fedf9cbc4}
  schedulerName: default-scheduler
",
    );
    assert_eq!(
        value(&create(binding, "9fc59e62-3d04-442e-8fc3-c1e0d15a1344")),
        expected
    );
}

#[test]
fn affinity_groups_and_priority() {
    let spec: PropagationSpec = typed(
        "
resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
placement: {workloadAffinity: {affinity: {groupByLabelKey: app}, antiAffinity: {groupByLabelKey: none}}}
propagateDeps: true
preserveResourcesOnDeletion: true
",
    );
    let policy = policy("demo", "pol", &spec);
    let inputs = |gates| Inputs {
        template: Box::leak(Box::new(deployment())),
        policy: &policy,
        interpretation: Interpretation {
            replicas: Some(0),
            ..Interpretation::default()
        },
        schedule_priority: Some(7),
        gates,
    };
    let binding: ResourceBinding = build(
        inputs(Gates {
            workload_affinity: true,
            ..Gates::default()
        }),
        &mut NoTrace,
    );
    let groups = binding.spec.workload_affinity_groups.clone().unwrap();
    assert_eq!(
        (groups.affinity_group.as_deref(), groups.anti_affinity_group),
        (Some("app=web"), None)
    );
    assert_eq!(binding.spec.priority(), 7);
    assert_eq!(
        (binding.spec.replicas, binding.spec.propagate_deps),
        (None, Some(true))
    );
    let binding: ResourceBinding = build(inputs(Gates::default()), &mut NoTrace);
    assert_eq!(binding.spec.workload_affinity_groups, None);
}

#[test]
fn merging_keeps_what_belongs_to_others() {
    let spec = pol();
    let policy = policy("demo", "pol", &spec);
    let desired = built(&deployment(), &policy);
    let mut existing = create(desired.clone(), "id");
    existing.spec.clusters = vec![TargetCluster {
        name: "member2".into(),
        replicas: Some(4),
    }];
    existing.metadata.resource_version = Some("7".into());
    existing
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("mine".into(), "1".into());
    existing
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .insert("policy.karmada.io/applied-placement".into(), "{}".into());
    existing.metadata.finalizers = Some(vec![
        "other/finalizer".into(),
        "karmada.io/binding-controller".into(),
    ]);
    assert_eq!(merge(&existing, &desired, "fresh"), Ok(None));

    let mut template = deployment();
    template["metadata"]["resourceVersion"] = json!("218800");
    let merged = merge(&existing, &built(&template, &policy), "fresh")
        .unwrap()
        .unwrap();
    assert_eq!(
        merged.spec.resource.resource_version.as_deref(),
        Some("218800")
    );
    let mut unchanged = merged.clone();
    unchanged.spec.resource.resource_version = existing.spec.resource.resource_version.clone();
    assert_eq!(unchanged, existing);
    assert_eq!(
        merge(&merged, &built(&template, &policy), "fresh"),
        Ok(None)
    );

    // A binding without permanent id gets the fresh one.
    existing
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .remove(ResourceBinding::PERMANENT_ID);
    let merged = merge(&existing, &desired, "fresh").unwrap().unwrap();
    assert_eq!(merged.permanent_id(), Some("fresh"));
}

#[test]
fn a_policy_that_is_lazy_no_more_takes_its_fingerprint_along() {
    let eager = pol();
    let mut lazy = pol();
    lazy.activation_preference = Some(crds::policy::ActivationPreference::Lazy);
    let by_lazy = built(&deployment(), &policy("demo", "pol", &lazy));
    let by_eager = built(&deployment(), &policy("demo", "pol", &eager));
    let fingerprint = |binding: &ResourceBinding| {
        let annotations = binding.metadata.annotations.as_ref().unwrap();
        annotations.get(lazy::TEMPLATE_FINGERPRINT).cloned()
    };
    let existing = create(by_lazy.clone(), "id");
    assert_eq!(
        fingerprint(&existing),
        Some(lazy::fingerprint(&deployment()))
    );
    let merged = merge(&existing, &by_eager, "id").unwrap().unwrap();
    assert_eq!(fingerprint(&merged), None);
    assert_eq!(merge(&merged, &by_eager, "id"), Ok(None));
    let lazy_again = merge(&merged, &by_lazy, "id").unwrap().unwrap();
    assert_eq!(fingerprint(&lazy_again), fingerprint(&existing));
}

#[test]
fn a_namespaced_claim_replaces_a_cluster_claim() {
    let spec = pol();
    let by_cluster_policy = create(built(&deployment(), &policy("", "everywhere", &spec)), "id");
    let merged = merge(
        &by_cluster_policy,
        &built(&deployment(), &policy("demo", "pol", &spec)),
        "x",
    )
    .unwrap()
    .unwrap();
    let keys = |map: Option<&std::collections::BTreeMap<String, String>>| {
        map.into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(merged.metadata.labels.as_ref()),
        [
            "propagationpolicy.karmada.io/permanent-id",
            "resourcebinding.karmada.io/permanent-id"
        ]
    );
    assert_eq!(
        keys(merged.metadata.annotations.as_ref()),
        [
            "propagationpolicy.karmada.io/name",
            "propagationpolicy.karmada.io/namespace"
        ]
    );
}

#[test]
fn suspension_is_merged() {
    let dispatching = |on: bool| Suspension {
        dispatching: Some(on),
        ..Suspension::default()
    };
    let of_binding = |dispatching, scheduling| BindingSuspension {
        dispatching,
        scheduling,
        ..BindingSuspension::default()
    };
    for (of_policy, before, after) in [
        (
            Some(dispatching(true)),
            None,
            Some(of_binding(Some(true), None)),
        ),
        (
            Some(dispatching(true)),
            Some(of_binding(None, Some(true))),
            Some(of_binding(Some(true), Some(true))),
        ),
        (None, None, None),
        (None, Some(of_binding(Some(true), None)), None),
        (
            None,
            Some(of_binding(Some(true), Some(false))),
            Some(of_binding(None, Some(false))),
        ),
    ] {
        let spec = PropagationSpec {
            suspension: of_policy,
            ..pol()
        };
        let policy = policy("demo", "pol", &spec);
        let desired = built(&deployment(), &policy);
        let mut existing = create(desired.clone(), "id");
        existing.spec.suspension = before;
        let merged = merge(&existing, &desired, "x").unwrap().unwrap_or(existing);
        assert_eq!(merged.spec.suspension, after);
    }
}

#[test]
fn bindings_of_others_are_refused() {
    let spec = pol();
    let policy = policy("demo", "pol", &spec);
    let existing = create(built(&deployment(), &policy), "id");
    let mut recreated = deployment();
    recreated["metadata"]["uid"] = json!("new");
    let error = merge(&existing, &built(&recreated, &policy), "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "binding demo/web-deployment belongs to an earlier Deployment web (uid c1ae5606-4917-4c82-a911-542740ee3e99) and is being removed"
    );
    let mut foreign = deployment();
    foreign["apiVersion"] = json!("apps.example.com/v1");
    let error = merge(&existing, &built(&foreign, &policy), "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Deployment demo/web (apps.example.com/v1) cannot be propagated: Deployment demo/web (apps/v1) has the same name and already uses ResourceBinding demo/web-deployment; rename one of them"
    );
    // Another version of the same group is the same object.
    let mut newer = deployment();
    newer["apiVersion"] = json!("apps/v2");
    assert!(
        merge(&existing, &built(&newer, &policy), "x")
            .unwrap()
            .is_some()
    );
}

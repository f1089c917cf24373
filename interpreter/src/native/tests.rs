//! Cases per kind and operation, from the rules' tables.

#![expect(
    clippy::needless_pass_by_value,
    reason = "cases read better with their values in place"
)]

use std::sync::Arc;

use crds::work::{AggregatedStatusItem, ResourceHealth};
use serde_json::{Value, json};

use crate::layer::{Answer, LayerName, Options, Question, StoppedClock, Target};
use crate::{Interpreter, Operation};

use super::{Kind, NATIVE_KINDS};

mod aggregate;
mod reflect;
mod retain;

/// 2026-01-01T10:43:59Z.
const NOW: i64 = 1_767_264_239;

fn interpreter(compat: bool) -> Interpreter {
    let options = Options {
        compat,
        ..Options::default()
    };
    Interpreter::native(Arc::new(StoppedClock(NOW))).with_options(options)
}

fn object(api_version: &str, kind: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "demo"}});
    merge(&mut object, rest);
    object
}

/// Sets the members of the second object in the first, down to the first difference that is no object.
fn merge(object: &mut Value, rest: Value) {
    match (object, rest) {
        (Value::Object(object), Value::Object(rest)) => {
            for (key, value) in rest {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, rest) => *object = rest,
    }
}

fn item(cluster: &str, status: Value) -> AggregatedStatusItem {
    AggregatedStatusItem {
        cluster_name: cluster.to_owned(),
        status: Some(status).filter(|status| !status.is_null()),
        ..AggregatedStatusItem::default()
    }
}

fn items(statuses: &[Value]) -> Vec<AggregatedStatusItem> {
    statuses
        .iter()
        .zip(["a", "b", "c", "d"])
        .map(|(status, cluster)| item(cluster, status.clone()))
        .collect()
}

const MATRIX: &[(&str, &str, &str)] = &[
    ("apps/v1", "Deployment", "RVKAHD"),
    ("apps/v1", "ReplicaSet", "RVKAHD"),
    ("apps/v1", "StatefulSet", "RVKAHD"),
    ("apps/v1", "DaemonSet", "AHD"),
    ("batch/v1", "Job", "RVKAD"),
    ("batch/v1", "CronJob", "AD"),
    ("v1", "Pod", "RKAHD"),
    ("v1", "Service", "KAH"),
    ("networking.k8s.io/v1", "Ingress", "AHD"),
    ("v1", "ServiceAccount", "K"),
    ("v1", "Secret", "K"),
    ("v1", "PersistentVolume", "KA"),
    ("v1", "PersistentVolumeClaim", "KAH"),
    ("policy/v1", "PodDisruptionBudget", "AH"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "A"),
    ("multicluster.x-k8s.io/v1alpha1", "ServiceImport", "D"),
    ("v1", "ConfigMap", ""),
    ("apps/v1beta1", "Deployment", ""),
    ("example.com/v1", "Deployment", ""),
];

#[test]
fn hooks_are_those_of_the_matrix() {
    let interpreter = interpreter(false);
    let letters = [
        (Operation::InterpretReplica, 'R'),
        (Operation::InterpretComponent, 'C'),
        (Operation::ReviseReplica, 'V'),
        (Operation::Retain, 'K'),
        (Operation::AggregateStatus, 'A'),
        (Operation::InterpretHealth, 'H'),
        (Operation::InterpretDependency, 'D'),
    ];
    for (api_version, kind, expected) in MATRIX {
        let target = Target::new(api_version, kind);
        let found: String = letters
            .iter()
            .filter(|it| interpreter.hook_enabled(target, it.0))
            .map(|it| it.1)
            .collect();
        assert_eq!(found, *expected, "{kind}");
        assert!(
            interpreter.hook_enabled(target, Operation::InterpretStatus),
            "{kind}"
        );
    }
}

#[test]
fn without_a_hook_nothing_is_answered() {
    let interpreter = interpreter(false);
    let object = object("v1", "ConfigMap", json!({"data": {"a": "b"}}));
    assert_eq!(interpreter.replicas(&object), Ok(None));
    assert_eq!(interpreter.components(&object), Ok(None));
    assert_eq!(interpreter.health(&object), Ok(None));
    assert_eq!(interpreter.dependencies(&object), Ok(vec![]));
    assert_eq!(interpreter.aggregate_status(object.clone(), &[]), Ok(None));
    assert_eq!(
        interpreter.revise_replica(object.clone(), 2),
        Ok(object.clone())
    );
    assert_eq!(interpreter.retain(object.clone(), &object), Ok(object));
}

#[test]
fn trace_names_the_layer() {
    let mut recorder = ::trace::Recorder::default();
    let service = object("v1", "Service", json!({}));
    let answer = interpreter(false).answer(Question::Health { observed: &service }, &mut recorder);
    assert_eq!(answer, Ok(Some((LayerName::Native, Answer::Health(true)))));
    assert_eq!(
        recorder.items,
        [crate::trace::Item::Answers {
            operation: Operation::InterpretHealth,
            kind: "v1 Service".to_owned(),
            layer: LayerName::Native
        }]
    );
}

#[test]
fn errors_name_kind_operation_and_field() {
    let object = object("apps/v1", "Deployment", json!({"spec": {"replicas": "3"}}));
    let error = interpreter(false)
        .replicas(&object)
        .expect_err("a string is no number");
    assert_eq!(
        error.to_string(),
        "InterpretReplica of apps/v1 Deployment: native: decode spec.replicas: expected an integer, found a string"
    );
}

#[track_caller]
fn check_replicas(api_version: &str, kind: &str, spec: Value, expected: i64) {
    let object = object(api_version, kind, json!({"spec": spec}));
    let (replicas, _) = interpreter(true)
        .replicas(&object)
        .expect("valid")
        .expect("a hook");
    assert_eq!(replicas, expected, "{object}");
}

#[test]
fn replicas() {
    for kind in ["Deployment", "ReplicaSet", "StatefulSet"] {
        check_replicas("apps/v1", kind, json!({"replicas": 3}), 3);
        check_replicas("apps/v1", kind, json!({}), 0);
    }
    check_replicas("batch/v1", "Job", json!({}), 0);
    check_replicas("batch/v1", "Job", json!({"parallelism": 3}), 3);
    check_replicas(
        "batch/v1",
        "Job",
        json!({"parallelism": 3, "completions": 2}),
        2,
    );
    check_replicas("batch/v1", "Job", json!({"completions": 2}), 0);
    check_replicas("v1", "Pod", json!({}), 1);
}

#[test]
fn requirements_are_those_of_the_pod_template() {
    let pod = json!({"containers": [{"resources": {"requests": {"cpu": "1"}}}], "nodeSelector": {"a": "b"}});
    let expected =
        json!({"resourceRequest": {"cpu": "1"}, "nodeClaim": {"nodeSelector": {"a": "b"}}});
    for (api_version, kind, spec) in [
        ("apps/v1", "Deployment", json!({"template": {"spec": pod}})),
        ("batch/v1", "Job", json!({"template": {"spec": pod}})),
        ("v1", "Pod", pod.clone()),
    ] {
        let object = object(api_version, kind, json!({"spec": spec}));
        let (_, requirements) = interpreter(false)
            .replicas(&object)
            .expect("valid")
            .expect("a hook");
        assert_eq!(
            serde_json::to_value(requirements).expect("plain data"),
            expected,
            "{kind}"
        );
    }
}

#[track_caller]
fn check_revision(api_version: &str, kind: &str, spec: Value, expected: Result<Value, &str>) {
    let object = object(api_version, kind, json!({"spec": spec}));
    let revised = interpreter(true)
        .revise_replica(object, 5)
        .map(|revised| revised["spec"].clone());
    assert_eq!(
        revised.map_err(|error| error.cause.to_string()),
        expected.map_err(str::to_owned),
        "{kind}"
    );
}

#[test]
fn revision_writes_the_field_where_it_is_present() {
    check_revision(
        "apps/v1",
        "Deployment",
        json!({"replicas": 1, "x": 1}),
        Ok(json!({"replicas": 5, "x": 1})),
    );
    check_revision(
        "apps/v1",
        "StatefulSet",
        json!({"x": 1}),
        Ok(json!({"x": 1})),
    );
    check_revision(
        "batch/v1",
        "Job",
        json!({"parallelism": 1, "completions": 9}),
        Ok(json!({"parallelism": 5, "completions": 9})),
    );
    check_revision(
        "apps/v1",
        "ReplicaSet",
        json!({"replicas": null}),
        Err("spec.replicas is no integer"),
    );
    check_revision(
        "apps/v1",
        "ReplicaSet",
        json!({"replicas": 1.5}),
        Err("spec.replicas is no integer"),
    );
    check_revision(
        "apps/v1",
        "ReplicaSet",
        json!({"replicas": "1"}),
        Err("spec.replicas is no integer"),
    );
    check_revision(
        "apps/v1",
        "ReplicaSet",
        json!(null),
        Err("spec is no object"),
    );
    check_revision("apps/v1", "ReplicaSet", json!([]), Err("spec is no object"));
}

#[track_caller]
fn check_health(api_version: &str, kind: &str, rest: Value, healthy: bool) {
    let object = object(api_version, kind, rest);
    let expected = if healthy {
        ResourceHealth::Healthy
    } else {
        ResourceHealth::Unhealthy
    };
    assert_eq!(
        interpreter(true).health(&object),
        Ok(Some(expected)),
        "{object}"
    );
}

#[test]
fn health_of_workloads() {
    for kind in ["Deployment", "StatefulSet"] {
        let with = |generation: i64, replicas: Value, updated: i64, available: i64| {
            json!({"metadata": {"generation": generation}, "spec": {"replicas": replicas},
                "status": {"observedGeneration": 1, "updatedReplicas": updated, "availableReplicas": available}})
        };
        check_health("apps/v1", kind, with(1, json!(2), 2, 2), true);
        check_health("apps/v1", kind, with(2, json!(2), 2, 2), false);
        check_health("apps/v1", kind, with(1, json!(3), 2, 2), false);
        check_health("apps/v1", kind, with(1, json!(null), 2, 2), true);
        check_health("apps/v1", kind, with(1, json!(2), 2, 1), false);
        check_health("apps/v1", kind, json!({}), true);
    }
    let replica_set = |available: i64| {
        json!({"metadata": {"generation": 1}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 1, "availableReplicas": available}})
    };
    check_health("apps/v1", "ReplicaSet", replica_set(2), true);
    check_health("apps/v1", "ReplicaSet", replica_set(1), false);
    let daemon_set = |updated: i64, available: i64| {
        json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "desiredNumberScheduled": 2,
            "updatedNumberScheduled": updated, "numberAvailable": available}})
    };
    check_health("apps/v1", "DaemonSet", daemon_set(2, 2), true);
    check_health("apps/v1", "DaemonSet", daemon_set(1, 2), false);
    check_health("apps/v1", "DaemonSet", daemon_set(2, 1), false);
}

#[test]
fn health_of_others() {
    let balanced = |entry: Value| json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [entry]}}});
    check_health(
        "v1",
        "Service",
        json!({"spec": {"type": "ClusterIP"}}),
        true,
    );
    check_health("v1", "Service", balanced(json!({"ip": "10.0.0.1"})), true);
    check_health("v1", "Service", balanced(json!({"ip": ""})), false);
    check_health(
        "v1",
        "Service",
        json!({"spec": {"type": "LoadBalancer"}}),
        false,
    );
    let address = json!({"status": {"loadBalancer": {"ingress": [{}, {"hostname": "h"}]}}});
    check_health("networking.k8s.io/v1", "Ingress", address, true);
    check_health("networking.k8s.io/v1", "Ingress", json!({}), false);
    check_health(
        "v1",
        "PersistentVolumeClaim",
        json!({"status": {"phase": "Bound"}}),
        true,
    );
    check_health(
        "v1",
        "PersistentVolumeClaim",
        json!({"status": {"phase": "Lost"}}),
        false,
    );
    let pod = |phase: &str, ready: &str| json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}, {"type": "Ready", "status": "True"}]}});
    check_health("v1", "Pod", pod("Running", "True"), true);
    check_health("v1", "Pod", pod("Running", "False"), false);
    check_health("v1", "Pod", pod("Succeeded", "False"), true);
    check_health("v1", "Pod", pod("Pending", "True"), false);
    let budget = |current: i64| json!({"status": {"currentHealthy": current, "desiredHealthy": 2}});
    check_health("policy/v1", "PodDisruptionBudget", budget(2), true);
    check_health("policy/v1", "PodDisruptionBudget", budget(1), false);
}

#[test]
fn failed_jobs_are_unhealthy_on_request() {
    let job = object(
        "batch/v1",
        "Job",
        json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}}),
    );
    assert_eq!(interpreter(false).health(&job), Ok(None));
    let options = Options {
        job_health: true,
        ..Options::default()
    };
    assert_eq!(
        interpreter(false).with_options(options).health(&job),
        Ok(Some(ResourceHealth::Unhealthy))
    );
}

#[track_caller]
fn check_dependencies(api_version: &str, kind: &str, spec: Value, expected: &[&str]) {
    let object = object(api_version, kind, json!({"spec": spec}));
    let references = interpreter(false).dependencies(&object).expect("valid");
    let found: Vec<_> = references
        .iter()
        .map(|it| {
            assert_eq!(it.namespace.as_deref(), Some("demo"));
            match (&it.name, &it.label_selector) {
                (Some(name), None) => format!("{} {} {name}", it.api_version, it.kind),
                (None, Some(selector)) => {
                    let labels: Vec<_> = selector
                        .match_labels
                        .iter()
                        .flatten()
                        .map(|(key, value)| format!("{key}={value}"))
                        .collect();
                    format!("{} {} {}", it.api_version, it.kind, labels.join(","))
                }
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(found, expected, "{kind}");
}

#[test]
fn dependencies_of_pods() {
    let pod = json!({
        "serviceAccountName": "sa",
        "serviceAccount": "deprecated",
        "imagePullSecrets": [{"name": "pull"}, {"name": ""}, {}],
        "initContainers": [{"envFrom": [{"configMapRef": {"name": "cm-init"}}]}],
        "containers": [
            {"env": [{"valueFrom": {"configMapKeyRef": {"name": "cm-key", "optional": true}}},
                {"valueFrom": {"secretKeyRef": {"name": "s-key"}}}, {"value": "plain"}]},
            {"envFrom": [{"secretRef": {"name": "s-env"}}, {"configMapRef": {"name": "cm-key"}}]},
        ],
        "ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "s-ephemeral"}}]}],
        "volumes": [
            {"configMap": {"name": "cm-volume"}},
            {"projected": {"sources": [{"configMap": {"name": "cm-projected"}}, {"secret": {"name": "s-projected"}}]}},
            {"secret": {"secretName": "s-volume"}},
            {"azureFile": {"secretName": "s-azure"}},
            {"cephfs": {"secretRef": {"name": "s-ceph"}}},
            {"cinder": {"secretRef": {"name": "s-cinder"}}},
            {"flexVolume": {"secretRef": {"name": "s-flex"}}},
            {"rbd": {"secretRef": {"name": "s-rbd"}}},
            {"scaleIO": {"secretRef": {"name": "s-scaleio"}}},
            {"iscsi": {"secretRef": {"name": "s-iscsi"}}},
            {"storageos": {"secretRef": {"name": "s-storageos"}}},
            {"csi": {"nodePublishSecretRef": {"name": "s-csi"}}},
            {"persistentVolumeClaim": {"claimName": "data"}},
            {"emptyDir": {}},
        ],
    });
    let secrets = [
        "s-azure",
        "s-ceph",
        "s-cinder",
        "s-csi",
        "s-env",
        "s-ephemeral",
        "s-flex",
        "s-iscsi",
        "s-key",
        "s-projected",
        "s-rbd",
        "s-scaleio",
        "s-storageos",
        "s-volume",
    ];
    let config_maps = ["cm-init", "cm-key", "cm-projected", "cm-volume"];
    let mut expected: Vec<_> = config_maps
        .iter()
        .map(|name| format!("v1 ConfigMap {name}"))
        .collect();
    expected.push("v1 PersistentVolumeClaim data".to_owned());
    expected.push("v1 Secret pull".to_owned());
    expected.extend(secrets.iter().map(|name| format!("v1 Secret {name}")));
    expected.push("v1 ServiceAccount sa".to_owned());
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    check_dependencies("v1", "Pod", pod.clone(), &expected);
    check_dependencies(
        "apps/v1",
        "Deployment",
        json!({"template": {"spec": pod}}),
        &expected,
    );
    check_dependencies(
        "apps/v1",
        "DaemonSet",
        json!({"template": {"spec": pod}}),
        &expected,
    );
    check_dependencies(
        "batch/v1",
        "CronJob",
        json!({"jobTemplate": {"spec": {"template": {"spec": pod}}}}),
        &expected,
    );
}

#[test]
fn dependencies_of_others() {
    let stateful = json!({
        "template": {"spec": {"serviceAccountName": "default", "volumes": [
            {"persistentVolumeClaim": {"claimName": "own"}}, {"persistentVolumeClaim": {"claimName": "shared"}}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "own"}}],
    });
    check_dependencies(
        "apps/v1",
        "StatefulSet",
        stateful,
        &["v1 PersistentVolumeClaim shared"],
    );
    let ingress =
        json!({"tls": [{"secretName": "b"}, {}, {"secretName": "a"}, {"secretName": "b"}]});
    check_dependencies(
        "networking.k8s.io/v1",
        "Ingress",
        ingress,
        &["v1 Secret a", "v1 Secret b", "v1 Secret b"],
    );
    check_dependencies(
        "multicluster.x-k8s.io/v1alpha1",
        "ServiceImport",
        json!({}),
        &[
            "discovery.k8s.io/v1 EndpointSlice kubernetes.io/service-name=derived-x",
            "v1 Service derived-x",
        ],
    );
}

#[test]
fn compatible_ingress_dependencies_need_names() {
    let with = |tls: Value| {
        object(
            "networking.k8s.io/v1",
            "Ingress",
            json!({"spec": {"tls": tls}}),
        )
    };
    assert!(interpreter(true).dependencies(&with(json!([{}]))).is_err());
}

#[test]
fn service_import_names_are_limited_by_the_label() {
    let import = |length: usize| {
        let metadata = json!({"metadata": {"name": "x".repeat(length)}});
        object("multicluster.x-k8s.io/v1alpha1", "ServiceImport", metadata)
    };
    assert!(interpreter(false).dependencies(&import(55)).is_ok());
    let error = interpreter(false)
        .dependencies(&import(56))
        .expect_err("too long");
    assert!(error.to_string().contains("is no label value"), "{error}");
}

#[test]
fn service_imports_are_checked_against_their_type() {
    let spec = json!({"spec": {"type": "ClusterSetIP", "ports": [{"port": "http"}]}});
    let import = object("multicluster.x-k8s.io/v1alpha1", "ServiceImport", spec);
    let error = interpreter(false)
        .dependencies(&import)
        .expect_err("a port is a number");
    assert!(
        error
            .to_string()
            .ends_with("decode spec.ports[0].port: expected an integer, found a string"),
        "{error}"
    );
}

#[test]
fn every_kind_is_known_by_its_version() {
    for (position, (api_version, kind)) in NATIVE_KINDS.into_iter().enumerate() {
        let target = Target::new(api_version, kind);
        assert!(Kind::of(target).is_some(), "{api_version} {kind}");
        assert!(
            !NATIVE_KINDS[..position].contains(&(api_version, kind)),
            "{kind}"
        );
    }
}

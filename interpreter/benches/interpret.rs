//! What an answer costs: native rules on a typical Deployment, and scripts in a warm state.
//!
//! `cargo bench -p navarch-interpreter --bench interpret`

use std::hint::black_box;
use std::sync::Arc;

use crds::config::ResourceInterpreterCustomization;
use crds::work::AggregatedStatusItem;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use interpreter::{Customizations, Interpreter, Limits, Runtime, StoppedClock, prune, third_party};
use navarch_interpreter as interpreter;
use serde_json::{Value, json};

/// A Deployment as the API server stores one for a small web application.
fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "demo",
            "uid": "c1ae5606-4917-4c82-a911-542740ee3e99",
            "generation": 2,
            "resourceVersion": "218799",
            "creationTimestamp": "2026-01-01T10:43:59Z",
            "labels": {"app": "web", "team": "a", "karmada.io/managed": "true"},
            "annotations": {"deployment.kubernetes.io/revision": "1", "resourcetemplate.karmada.io/generation": "2"},
        },
        "spec": {
            "replicas": 3,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web", "team": "a"}},
                "spec": {
                    "containers": [{
                        "name": "web",
                        "image": "example.com/web:1.2.3",
                        "imagePullPolicy": "IfNotPresent",
                        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                        "env": [
                            {"name": "LEVEL", "value": "info"},
                            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "web-token", "key": "token"}}},
                        ],
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "128Mi"},
                            "limits": {"cpu": "500m", "memory": "256Mi"},
                        },
                        "livenessProbe": {"httpGet": {"path": "/live", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, "periodSeconds": 5},
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}],
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                    }],
                    "volumes": [{"name": "config", "configMap": {"name": "web-config", "defaultMode": 420}}],
                    "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 30,
                    "dnsPolicy": "ClusterFirst",
                    "serviceAccountName": "web",
                    "securityContext": {"runAsNonRoot": true},
                    "schedulerName": "default-scheduler",
                },
            },
        },
        "status": {
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "observedGeneration": 2,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
                    "message": "Deployment has minimum availability.", "lastUpdateTime": "2026-01-01T10:44:09Z",
                    "lastTransitionTime": "2026-01-01T10:44:09Z"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
                    "message": "ReplicaSet \"web-5d4b\" has successfully progressed.", "lastUpdateTime": "2026-01-01T10:44:09Z",
                    "lastTransitionTime": "2026-01-01T10:43:59Z"},
            ],
        },
    })
}

fn items() -> Vec<AggregatedStatusItem> {
    let status = json!({"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1, "generation": 1,
        "observedGeneration": 1, "resourceTemplateGeneration": 2});
    ["member1", "member2", "member3"]
        .map(|cluster| AggregatedStatusItem {
            cluster_name: cluster.to_owned(),
            status: Some(status.clone()),
            applied: Some(true),
            ..AggregatedStatusItem::default()
        })
        .into()
}

fn native(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("native deployment");
    let interpreter = Interpreter::native(Arc::new(StoppedClock(0)));
    let deployment = deployment();
    let items = items();
    group.bench_function("replicas", |bencher| {
        bencher.iter(|| interpreter.replicas(black_box(&deployment)));
    });
    group.bench_function("health", |bencher| {
        bencher.iter(|| interpreter.health(black_box(&deployment)));
    });
    group.bench_function("reflect status", |bencher| {
        bencher.iter(|| interpreter.reflect_status(black_box(&deployment)));
    });
    group.bench_function("dependencies", |bencher| {
        bencher.iter(|| interpreter.dependencies(black_box(&deployment)));
    });
    let copy = || deployment.clone();
    // The object is given away and comes back, so that neither its copy nor its end is measured.
    group.bench_function("revise replica", |bencher| {
        bencher.iter_batched(
            copy,
            |object| interpreter.revise_replica(object, 5),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("retain", |bencher| {
        bencher.iter_batched(
            copy,
            |object| interpreter.retain(object, &deployment),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("aggregate status", |bencher| {
        bencher.iter_batched(
            copy,
            |object| interpreter.aggregate_status(object, &items),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("prune", |bencher| {
        bencher.iter_batched(
            copy,
            |mut object| {
                let pruned = prune::prune(&mut object);
                (object, pruned)
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

const HEALTH: &str = r"
function InterpretHealth(observedObj)
  if observedObj.status == nil then return false end
  if observedObj.status.observedGeneration ~= observedObj.metadata.generation then return false end
  if observedObj.status.updatedReplicas < observedObj.spec.replicas then return false end
  if observedObj.status.availableReplicas < observedObj.status.updatedReplicas then return false end
  return true
end
";

fn customization() -> ResourceInterpreterCustomization {
    let object = json!({
        "apiVersion": "config.karmada.io/v1alpha1", "kind": "ResourceInterpreterCustomization", "metadata": {"name": "bench"},
        "spec": {"target": {"apiVersion": "apps/v1", "kind": "Deployment"}, "customizations": {
            "healthInterpretation": {"luaScript": HEALTH},
            "replicaResource": {"luaScript": "local kube = require('kube')\n\
                function GetReplicas(o) return o.spec.replicas, kube.accuratePodRequirements(o.spec.template) end"},
            "replicaRevision": {"luaScript": "function ReviseReplica(o, n) o.spec.replicas = n return o end"},
        }},
    });
    serde_json::from_value(object).expect("the kind's shape")
}

fn scripts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("script deployment");
    let runtime = Runtime::new(Limits::default());
    let layer = Customizations::new(&[customization()], &runtime, None);
    let interpreter = Interpreter::native(Arc::new(StoppedClock(0))).with_layer(Arc::new(layer));
    let deployment = deployment();
    group.bench_function("health", |bencher| {
        bencher.iter(|| interpreter.health(black_box(&deployment)));
    });
    group.bench_function("replicas", |bencher| {
        bencher.iter(|| interpreter.replicas(black_box(&deployment)));
    });
    group.bench_function("revise replica", |bencher| {
        bencher.iter_batched(
            || deployment.clone(),
            |object| interpreter.revise_replica(object, 5),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn built_in(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("built-in clone set");
    let runtime = Runtime::new(Limits::default());
    let interpreter = Interpreter::native(Arc::new(StoppedClock(0)))
        .with_layer(Arc::new(third_party(&runtime, false)));
    let mut clone_set = deployment();
    clone_set["apiVersion"] = json!("apps.kruise.io/v1alpha1");
    clone_set["kind"] = json!("CloneSet");
    let items = items();
    group.bench_function("health", |bencher| {
        bencher.iter(|| interpreter.health(black_box(&clone_set)));
    });
    group.bench_function("aggregate status", |bencher| {
        bencher.iter_batched(
            || clone_set.clone(),
            |object| interpreter.aggregate_status(object, &items),
            BatchSize::SmallInput,
        );
    });
    group.finish();
    criterion.bench_function("load built-in rules", |bencher| {
        bencher.iter(|| third_party(&runtime, false));
    });
}

criterion_group!(benches, native, scripts, built_in);
criterion_main!(benches);

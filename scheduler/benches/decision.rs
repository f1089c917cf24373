//! How long one decision takes.
//!
//! `cargo bench -p navarch-scheduler`; add `-- --quick` for a first impression.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot build its input cannot run"
)]

use std::hint::black_box;
use std::sync::Arc;

use crds::cluster::{Cluster, default_resource_models};
use crds::work::ResourceBinding;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scheduler::cases::Cases;
use scheduler::divide::webster::{Quotients, TieOrder, divide};
use scheduler::trace::{NoTrace, Recorder};
use scheduler::{Inputs, Options, Snapshot, decide};
use serde_json::json;

/// A cluster as it comes: twenty labels, two taints on some, forty API groups, resources, and nodes by size.
fn cluster(number: usize, regions: usize) -> Arc<Cluster> {
    let labels: serde_json::Map<_, _> = (0..20)
        .map(|key| {
            (
                format!("example.com/label-{key}"),
                json!(format!("value-{}", (number + key) % 7)),
            )
        })
        .chain([(
            "tier".to_owned(),
            json!(if number.is_multiple_of(10) {
                "test"
            } else {
                "production"
            }),
        )])
        .collect();
    let taints = match number % 20 {
        3 => json!([{ "key": "dedicated", "value": "gpu", "effect": "NoSchedule" }]),
        7 => json!([
            { "key": "maintenance", "value": "soon", "effect": "NoSchedule" },
            { "key": "team", "value": format!("team-{}", number % 5), "effect": "NoExecute" },
        ]),
        _ => json!([]),
    };
    let kinds = |group: usize| -> Vec<_> {
        let kind = |kind| json!({ "name": format!("kind{kind}s"), "kind": format!("Kind{kind}") });
        (0..8).map(|number| kind(group * 8 + number)).collect()
    };
    let apis: Vec<_> = (0..40)
        .map(|group| json!({ "groupVersion": format!("g{group}.example.com/v1"), "resources": kinds(group) }))
        .chain([json!({
            "groupVersion": "apps/v1",
            "resources": [{ "name": "deployments", "kind": "Deployment" }],
        })])
        .collect();
    let object = json!({
        "metadata": { "name": format!("member-{number:05}"), "labels": labels },
        "spec": {
            "syncMode": "Push",
            "region": format!("region-{:02}", number % regions),
            "taints": taints,
            "resourceModels": default_resource_models(),
        },
        "status": {
            "apiEnablements": apis,
            "resourceSummary": {
                "allocatable": { "cpu": "640", "memory": "2560Gi", "ephemeral-storage": "9Ti", "pods": "1100" },
                "allocated": {
                    "cpu": format!("{}m", 1000 * (number % 300)),
                    "memory": format!("{}Mi", 4096 * (number % 300)),
                    "pods": (number % 500).to_string(),
                },
                "allocatableModelings": [
                    { "grade": 2, "count": number % 9 },
                    { "grade": 4, "count": number % 5 },
                    { "grade": 5, "count": 1 },
                ],
            },
        },
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn snapshot(clusters: usize, regions: usize) -> Snapshot {
    let clusters: Vec<_> = (0..clusters)
        .map(|number| cluster(number, regions))
        .collect();
    Snapshot::new(&clusters)
}

fn binding(replicas: usize, constraints: &serde_json::Value) -> ResourceBinding {
    serde_json::from_value(json!({
        "metadata": { "name": "web-deployment", "namespace": "shop", "generation": 1 },
        "spec": {
            "resource": { "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "u" },
            "replicas": replicas,
            "replicaRequirements": { "resourceRequest": { "cpu": "250m", "memory": "512Mi" } },
            "placement": {
                "clusterAffinity": {
                    "labelSelector": {
                        "matchLabels": { "tier": "production" },
                        "matchExpressions": [
                            { "key": "example.com/label-3", "operator": "NotIn", "values": ["value-6"] },
                        ],
                    },
                },
                "clusterTolerations": [{ "key": "dedicated", "operator": "Exists" }],
                "spreadConstraints": constraints,
                "replicaScheduling": {
                    "replicaSchedulingType": "Divided",
                    "replicaDivisionPreference": "Weighted",
                    "weightPreference": { "dynamicWeight": "AvailableReplicas" },
                },
            },
        },
    }))
    .unwrap()
}

/// Puts the workload where a first decision puts it and asks for more replicas.
fn scaled(mut binding: ResourceBinding, snapshot: &Snapshot) -> ResourceBinding {
    let options = Options::default();
    let inputs = Inputs::new(snapshot, &options, "2026-01-01T00:00:00Z".parse().unwrap());
    let decision = decide(&binding, &inputs, &mut NoTrace);
    binding.spec.clusters = decision.clusters(&binding).to_vec();
    assert!(!binding.spec.clusters.is_empty(), "{decision:?}");
    binding.spec.replicas = binding.spec.replicas.map(|replicas| replicas * 3 / 2);
    binding
}

fn decisions(criterion: &mut Criterion) {
    let options = Options::default();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut group = criterion.benchmark_group("dynamic weight");
    for size in [100, 1000, 5000] {
        let snapshot = snapshot(size, 20);
        let inputs = Inputs::new(&snapshot, &options, now);
        let first = binding(size * 4, &json!([]));
        group.bench_function(BenchmarkId::new("first", size), |bencher| {
            bencher.iter(|| decide(black_box(&first), &inputs, &mut NoTrace));
        });
        let scaled = scaled(first.clone(), &snapshot);
        group.bench_function(BenchmarkId::new("scale up", size), |bencher| {
            bencher.iter(|| decide(black_box(&scaled), &inputs, &mut NoTrace));
        });
        group.bench_function(BenchmarkId::new("explained", size), |bencher| {
            bencher.iter(|| {
                let mut recorder = Recorder::default();
                decide(black_box(&first), &inputs, &mut recorder);
                recorder.items.len()
            });
        });
    }
    group.finish();

    let snapshot = snapshot(1000, 20);
    let inputs = Inputs::new(&snapshot, &options, now);
    let constraints = |regions: (u32, u32), clusters: (u32, u32)| {
        json!([
            { "spreadByField": "region", "minGroups": regions.0, "maxGroups": regions.1 },
            { "spreadByField": "cluster", "minGroups": clusters.0, "maxGroups": clusters.1 },
        ])
    };
    let mut group = criterion.benchmark_group("region spread");
    for (name, regions, clusters) in [
        ("few", (2, 4), (10, 40)),
        ("half", (8, 12), (300, 400)),
        ("most", (3, 20), (500, 700)),
    ] {
        let binding = binding(4000, &constraints(regions, clusters));
        group.bench_function(name, |bencher| {
            bencher.iter(|| decide(black_box(&binding), &inputs, &mut NoTrace));
        });
    }
    group.finish();
}

fn snapshots(criterion: &mut Criterion) {
    let clusters: Vec<_> = (0..5000).map(|number| cluster(number, 20)).collect();
    let mut snapshot = Snapshot::new(&clusters);
    criterion.bench_function("snapshot/apply one of 5000", |bencher| {
        bencher.iter(|| snapshot.apply(Arc::clone(black_box(&clusters[777]))));
    });
    criterion.bench_function("snapshot/clone 5000", |bencher| {
        bencher.iter(|| snapshot.clone());
    });
}

fn division(criterion: &mut Criterion) {
    let weights: Vec<u64> = (0..1000).map(|number| 1 + (number * 7919) % 5003).collect();
    criterion.bench_function("webster/1000000 over 1000", |bencher| {
        bencher.iter(|| {
            divide(
                1_000_000,
                black_box(&weights),
                TieOrder::Ascending,
                Quotients::Exact,
            )
        });
    });
}

/// Lines of recorded cases with three clusters each, as `navarch scheduler decide` reads them.
fn cases(criterion: &mut Criterion) {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let line = |number: usize, first: usize| {
        let clusters: Vec<_> = (first..first + 3)
            .map(|number| {
                json!({
                    "metadata": { "name": format!("member{number}"), "labels": { "tier": "production" } },
                    "spec": { "syncMode": "Push", "region": format!("region-{}", number % 4) },
                    "status": {
                        "apiEnablements": [{
                            "groupVersion": "apps/v1",
                            "resources": [{ "name": "deployments", "kind": "Deployment" }],
                        }],
                        "resourceSummary": {
                            "allocatable": { "cpu": "64", "memory": "256Gi", "pods": "110" },
                            "allocated": { "cpu": format!("{}m", number % 1000), "memory": "16Gi", "pods": "17" },
                        },
                    },
                })
            })
            .collect();
        let binding = binding(1 + number % 40, &json!([]));
        json!({ "clusters": clusters, "binding": binding }).to_string()
    };
    let mut group = criterion.benchmark_group("cases");
    group.throughput(Throughput::Elements(1));
    for (name, spread) in [("own clusters", 1000), ("shared clusters", 1)] {
        let lines: Vec<String> = (0..1000)
            .map(|number| line(number, number % spread))
            .collect();
        let mut cases = Cases::new(Options::default());
        let mut at = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                at = (at + 1) % lines.len();
                let answer = cases.answer(at, black_box(lines[at].as_bytes()), now);
                assert!(answer.clusters.is_some(), "{answer:?}");
                serde_json::to_string(&answer).unwrap().len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decisions, snapshots, division, cases);
criterion_main!(benches);

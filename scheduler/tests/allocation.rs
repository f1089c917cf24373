//! Filters, scores and estimates allocate nothing per cluster on the success path.
//!
//! A program of its own, because the allocator that counts is one for the whole program.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

use std::sync::Arc;

use crds::cluster::Cluster;
use crds::work::ResourceBinding;
use scheduler::trace::NoTrace;
use scheduler::{Decision, Inputs, Options, Snapshot, decide};
use serde_json::{Value, json};

/// A cluster with whatever a filter looks at: labels, a region, taints that are tolerated, APIs, room by sum and by size of nodes.
fn cluster(number: usize) -> Arc<Cluster> {
    let object = json!({
        "metadata": {
            "name": format!("member-{number:05}"),
            "labels": { "tier": "production", "team": format!("team-{}", number % 5) },
        },
        "spec": {
            "syncMode": "Push",
            "provider": format!("provider-{}", number % 3),
            "region": format!("region-{}", number % 10),
            "zones": [format!("zone-{}", number % 20)],
            "taints": [{ "key": "dedicated", "value": format!("{}", number % 4), "effect": "NoSchedule" }],
            "resourceModels": [
                { "grade": 0, "ranges": [{ "name": "cpu", "min": "0", "max": "2" }] },
                { "grade": 1, "ranges": [{ "name": "cpu", "min": "2", "max": "9" }] },
            ],
        },
        "status": {
            "apiEnablements": [{
                "groupVersion": "apps/v1",
                "resources": [{ "name": "deployments", "kind": "Deployment" }],
            }],
            "resourceSummary": {
                "allocatable": { "cpu": "64", "memory": "256Gi", "pods": "110" },
                "allocated": { "cpu": format!("{}m", number % 900), "memory": "3Gi", "pods": "7" },
                "allocatableModelings": [{ "grade": 1, "count": 8 }],
            },
        },
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

/// A workload of which every filter has something to look at.
fn binding(clusters: usize, spread: &Value) -> ResourceBinding {
    let object = json!({
        "metadata": { "name": "web-deployment", "namespace": "shop", "generation": 1 },
        "spec": {
            "resource": { "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "u" },
            "replicas": 20,
            "replicaRequirements": { "resourceRequest": { "cpu": "500m", "memory": "1Gi" } },
            "placement": {
                "clusterAffinity": {
                    "labelSelector": {
                        "matchLabels": { "tier": "production" },
                        "matchExpressions": [{ "key": "team", "operator": "NotIn", "values": ["team-9"] }],
                    },
                    "fieldSelector": { "matchExpressions": [{ "key": "zone", "operator": "NotIn", "values": ["zone-99"] }] },
                    "exclude": ["nobody"],
                },
                "clusterTolerations": [{ "key": "dedicated", "operator": "Exists" }],
                "spreadConstraints": spread,
                "replicaScheduling": {
                    "replicaSchedulingType": "Divided",
                    "replicaDivisionPreference": "Aggregated",
                },
            },
            "clusters": [{ "name": "member-00001", "replicas": 2 }],
            "gracefulEvictionTasks": [{ "fromCluster": format!("member-{:05}", clusters - 1), "reason": "r", "producer": "p" }],
        },
    });
    serde_json::from_value(object).unwrap()
}

/// How many blocks one decision allocates.
fn allocations(clusters: usize, spread: &Value) -> u64 {
    let all: Vec<Arc<Cluster>> = (0..clusters).map(cluster).collect();
    let snapshot = Snapshot::new(&all);
    let (binding, options) = (binding(clusters, spread), Options::default());
    let inputs = Inputs::new(&snapshot, &options, "2026-01-01T00:00:00Z".parse().unwrap());
    let mut decision = None;
    let info = allocation_counter::measure(|| {
        decision = Some(decide(&binding, &inputs, &mut NoTrace));
    });
    let Some(Decision::Scheduled(outcome)) = decision else {
        panic!("not scheduled: {decision:?}");
    };
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    info.count_total
}

/// What vectors cost that grow twice as often for twice as many clusters.
const GROWTH: u64 = 8;

#[track_caller]
fn check(spread: &Value) {
    let (half, full) = (allocations(500, spread), allocations(1000, spread));
    assert!(
        full <= half + GROWTH,
        "{half} allocations for 500 clusters, {full} for 1000"
    );
}

#[test]
fn a_decision_allocates_nothing_per_cluster() {
    check(&json!([]));
    check(&json!([{ "spreadByField": "cluster", "minGroups": 1, "maxGroups": 5 }]));
}

/// Members of regions are lists, which grow a little more often when they get longer.
#[test]
fn a_decision_by_region_allocates_per_region_only() {
    let spread = json!([
        { "spreadByField": "region", "minGroups": 2, "maxGroups": 3 },
        { "spreadByField": "cluster", "minGroups": 2, "maxGroups": 6 },
    ]);
    let (half, full) = (allocations(500, &spread), allocations(1000, &spread));
    let regions = 10;
    assert!(
        full <= half + GROWTH + 2 * regions,
        "{half} allocations for 500 clusters, {full} for 1000"
    );
}

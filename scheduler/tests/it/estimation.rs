//! The worked examples of estimation, seen through the explanation of a decision.

use std::collections::BTreeMap;

use crds::cluster::{AllocatableModeling, Cluster, default_resource_models};
use crds::object::Key;
use crds::policy::SpreadField;
use crds::work::{
    Component, ComponentReplicaRequirements, ReplicaRequirements, ResourceBinding,
    ResourceBindingSpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use scheduler::decision::{APPLIED_COMPONENTS, spec_patch};
use scheduler::inflight::AssumedWorkloads;
use scheduler::trace::{Item, Recorder};
use scheduler::{Compat, Decision, Inputs, Options, decide};

use crate::fixtures::*;

fn quantities(of: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    of.iter()
        .map(|&(name, text)| (name.to_owned(), Quantity(text.to_owned())))
        .collect()
}

/// A cluster with this summary: allocatable, allocated, allocating.
fn summary(
    allocatable: &[(&str, &str)],
    allocated: &[(&str, &str)],
    allocating: &[(&str, &str)],
) -> Cluster {
    let mut cluster = cluster("m1", 0);
    let summary = cluster
        .status
        .get_or_insert_default()
        .resource_summary
        .get_or_insert_default();
    summary.allocatable = quantities(allocatable);
    summary.allocated = quantities(allocated);
    summary.allocating = quantities(allocating);
    cluster
}

fn summary_z() -> Cluster {
    summary(
        &[("cpu", "32"), ("memory", "64Gi"), ("pods", "110")],
        &[("cpu", "10500m"), ("memory", "20Gi"), ("pods", "30")],
        &[("cpu", "500m"), ("pods", "2")],
    )
}

/// A cluster with plenty of everything and nodes of these grades of the default models.
fn modelled(pods: &str, nodes: &[(u64, i32)]) -> Cluster {
    let all = [
        ("cpu", "1000"),
        ("memory", "4000Gi"),
        ("nvidia.com/gpu", "8"),
        ("pods", pods),
    ];
    let mut cluster = summary(&all, &[], &[]);
    cluster.spec.resource_models = default_resource_models();
    let summary = cluster
        .status
        .get_or_insert_default()
        .resource_summary
        .get_or_insert_default();
    summary.allocatable_modelings = nodes
        .iter()
        .map(|&(grade, count)| AllocatableModeling { grade, count })
        .collect();
    cluster
}

fn requesting(requests: Option<&[(&str, &str)]>) -> ResourceBinding {
    let mut binding = binding(1, aggregated());
    binding.spec.replica_requirements = requests.map(|requests| ReplicaRequirements {
        resource_request: quantities(requests),
        ..ReplicaRequirements::default()
    });
    binding
}

fn estimated(items: &[Item]) -> Option<i64> {
    items.iter().find_map(|item| match item {
        Item::Estimated { replicas, .. } => Some(*replicas),
        _ => None,
    })?
}

#[track_caller]
fn check(cluster: &Cluster, requests: Option<&[(&str, &str)]>, reference: i64, better: i64) {
    for (compat, expected) in [(Compat::REFERENCE, reference), (Compat::default(), better)] {
        let (_, items) = recorded(
            &requesting(requests),
            std::slice::from_ref(cluster),
            &options(compat),
        );
        assert_eq!(estimated(&items), Some(expected));
    }
}

#[test]
fn estimates_from_the_summary() {
    let z = summary_z();
    check(&z, Some(&[("cpu", "750m"), ("memory", "1Gi")]), 28, 28);
    check(&z, None, 78, 78);
    check(&z, Some(&[("nvidia.com/gpu", "1")]), 0, 0);
    check(&z, Some(&[("cpu", "0")]), 78, 78);
    let full = summary(&[("pods", "110")], &[("pods", "100")], &[("pods", "20")]);
    check(&full, None, 0, 0);
    let mut unknown = z;
    unknown.status.as_mut().unwrap().resource_summary = None;
    check(&unknown, None, 0, 0);
}

#[test]
fn estimates_from_models() {
    let small = [("cpu", "500m"), ("memory", "1Gi")];
    check(&modelled("500", &[(1, 2), (2, 3)]), Some(&small), 16, 16);
    let large = [("cpu", "3"), ("memory", "20Gi")];
    check(&modelled("500", &[(0, 5), (3, 2)]), Some(&large), 2, 2);
    check(
        &modelled("500", &[(3, 2)]),
        Some(&[("nvidia.com/gpu", "1")]),
        0,
        8,
    );
    check(&modelled("300", &[(1, 1)]), Some(&[]), 110, 110);
}

#[test]
fn unusable_models_fall_back_to_the_summary() {
    let cpu = [("cpu", "10")];
    check(&modelled("300", &[(1, -1)]), Some(&cpu), 100, 100);
    let mut cluster = modelled("300", &[(1, 1)]);
    cluster.spec.resource_models.clear();
    check(&cluster, Some(&cpu), 100, 100);
}

fn component(name: &str, replicas: i32, requests: &[(&str, &str)]) -> Component {
    Component {
        name: name.to_owned(),
        replicas,
        replica_requirements: Some(ComponentReplicaRequirements {
            resource_request: quantities(requests),
            ..ComponentReplicaRequirements::default()
        }),
    }
}

fn flink() -> ResourceBinding {
    let placement = with_spread(aggregated(), &[spread(SpreadField::Cluster, 1, 1)]);
    let mut binding = binding(0, placement);
    binding.spec.replicas = None;
    binding.spec.replica_requirements = None;
    binding.spec.components = vec![
        component("jm", 1, &[("cpu", "1"), ("memory", "2Gi")]),
        component("tm", 2, &[("cpu", "2"), ("memory", "4Gi")]),
    ];
    binding
}

fn components(compat: Compat) -> Options {
    let mut options = options(compat);
    options.gates.multiple_pod_templates_scheduling = true;
    options
}

#[track_caller]
fn check_sets(cluster: &Cluster, expected: i64) {
    for compat in [Compat::REFERENCE, Compat::default()] {
        let (_, items) = recorded(&flink(), std::slice::from_ref(cluster), &components(compat));
        assert_eq!(estimated(&items), Some(expected));
    }
}

#[test]
fn estimates_of_sets() {
    let mut cluster = summary(
        &[("cpu", "22"), ("memory", "50Gi"), ("pods", "40")],
        &[],
        &[],
    );
    check_sets(&cluster, 4);
    cluster.spec.resource_models = default_resource_models();
    let summary = cluster
        .status
        .as_mut()
        .unwrap()
        .resource_summary
        .as_mut()
        .unwrap();
    summary.allocatable_modelings = vec![AllocatableModeling { grade: 3, count: 2 }];
    check_sets(&cluster, 1);
}

#[test]
fn notations_are_mixed_up_only_in_the_reference() {
    // 1 GB is less than the 10 GiB of a set, but a thousand times that in the unit of decimal notation.
    let cluster = summary(
        &[("cpu", "22"), ("memory", "1000000000"), ("pods", "40")],
        &[],
        &[],
    );
    let reference_answer = 1_000_000_000_000 / (10_i64 << 30);
    for (compat, expected) in [
        (Compat::REFERENCE, reference_answer.min(4)),
        (Compat::default(), 0),
    ] {
        let (_, items) = recorded(
            &flink(),
            std::slice::from_ref(&cluster),
            &components(compat),
        );
        assert_eq!(estimated(&items), Some(expected));
    }
}

#[test]
fn component_workloads_go_to_one_cluster_without_replicas() {
    let mut small = summary(
        &[("cpu", "2"), ("memory", "50Gi"), ("pods", "40")],
        &[],
        &[],
    );
    small.metadata.name = Some("m0".to_owned());
    let large = summary(
        &[("cpu", "22"), ("memory", "50Gi"), ("pods", "40")],
        &[],
        &[],
    );
    let clusters = [small, large];
    let options = components(Compat::default());
    assert_eq!(told(&outcome(&flink(), &clusters, &options)), "m1");
    // A placed set does not need room for another one.
    let placed = with_targets(flink(), &[("m0", 0)]);
    assert_eq!(told(&outcome(&placed, &clusters, &options)), "m0");
    let reference = components(Compat::REFERENCE);
    assert_eq!(told(&outcome(&placed, &clusters, &reference)), "m1");
}

#[test]
fn a_changed_set_stays_where_it_fits_in_place_of_the_old_one() {
    let of = |name: &str, cpu: &str| {
        let mut cluster = summary(
            &[("cpu", cpu), ("memory", "50Gi"), ("pods", "40")],
            &[],
            &[],
        );
        cluster.metadata.name = Some(name.to_owned());
        cluster
    };
    // m0 has two of the five cores of a set free beside the placed one.
    let full = of("m0", "2");
    let clusters = [full.clone(), of("m1", "22")];
    let placed = |compat: Compat| {
        let decision = decide_with(&flink(), &[of("m0", "22")], &components(compat));
        let patch = spec_patch(&flink(), &decision, compat).unwrap();
        let mut binding = settled(with_targets(flink(), &[("m0", 0)]));
        if let Some(noted) = patch["metadata"]["annotations"][APPLIED_COMPONENTS].as_str() {
            annotate(&mut binding, APPLIED_COMPONENTS, noted);
        }
        binding
    };
    let options = components(Compat::default());
    let resized = |replicas: i32| {
        let mut binding = placed(options.compat);
        binding.spec.components[1].replicas = replicas;
        binding
    };
    assert_eq!(
        decide_with(&placed(options.compat), &clusters, &options),
        Decision::Nothing
    );
    assert_eq!(told(&outcome(&resized(1), &clusters, &options)), "m0");
    assert_eq!(told(&outcome(&resized(3), &clusters, &options)), "m0");
    assert_eq!(told(&outcome(&resized(4), &clusters, &options)), "m1");
    // Where it fits nowhere it is kept, and that is told.
    let nowhere = resized(4);
    let kept = outcome(&nowhere, &[full], &options);
    assert_eq!(
        told(&kept),
        "Unschedulable: failed to select clusters: no enough resource when selecting 1 clusters"
    );
    assert_eq!(kept.clusters(&nowhere), targets(&[("m0", 0)]));
}

#[test]
fn assumed_workloads_take_room() {
    let mut options = options(Compat::default());
    options.gates.scheduling_overcommit_protection = true;
    let before = ResourceBindingSpec::default();
    let mut other = requesting(Some(&[("cpu", "1"), ("memory", "1Gi")]));
    other.metadata.name = Some("other".to_owned());
    other.spec.replicas = Some(6);
    other.spec.clusters = targets(&[("m1", 6)]);
    let mut assumed = AssumedWorkloads::default();
    assumed.placed(&before, &other, now(), Compat::default());

    let estimate = |cluster: Cluster, requests: &[(&str, &str)], assumed: &AssumedWorkloads| {
        let snapshot = snapshot(&[cluster]);
        let mut inputs = Inputs::new(&snapshot, &options, now());
        inputs.assumed = Some(assumed.at(now()));
        let mut recorder = Recorder::default();
        decide(&requesting(Some(requests)), &inputs, &mut recorder);
        estimated(&recorder.items)
    };
    assert_eq!(estimate(summary_z(), &[("cpu", "1")], &assumed), Some(15));
    assert_eq!(estimate(summary_z(), &[], &assumed), Some(72));
    // Of four nodes with two cores each three are full.
    let small_nodes = modelled("500", &[(2, 4)]);
    assert_eq!(
        estimate(small_nodes.clone(), &[("cpu", "1")], &assumed),
        Some(2)
    );
    assumed.deleted(&Key::of_meta(&other.metadata));
    assert_eq!(estimate(small_nodes, &[("cpu", "1")], &assumed), Some(8));
}

//! The worked examples of selection, run as whole decisions.

use crds::cluster::Cluster;
use crds::policy::{Placement, SpreadConstraint, SpreadField};
use crds::work::ResourceBinding;
use scheduler::trace::Item;
use scheduler::{Compat, Decision};

use crate::fixtures::*;

/// Clusters in the order of selection, or the error.
fn selected(binding: &ResourceBinding, clusters: &[Cluster], compat: Compat) -> String {
    let (decision, items) = recorded(binding, clusters, &options(compat));
    let names: Vec<&str> = items
        .iter()
        .filter_map(|item| match item {
            Item::Selected { cluster, .. } => Some(cluster.as_str()),
            _ => None,
        })
        .collect();
    match decision {
        Decision::Scheduled(outcome) if names.is_empty() => told(&outcome),
        _ => names.join(", "),
    }
}

fn scores(binding: &ResourceBinding, clusters: &[Cluster]) -> String {
    let (_, items) = recorded(binding, clusters, &options(Compat::REFERENCE));
    let mut scores: Vec<String> = items
        .iter()
        .filter_map(|item| match item {
            Item::Group { name, score, .. } => Some(format!("{name} {score}")),
            _ => None,
        })
        .collect();
    scores.sort_unstable();
    scores.join(", ")
}

fn regions(min: i64, max: i64) -> SpreadConstraint {
    spread(SpreadField::Region, min, max)
}

fn numbers(min: i64, max: i64) -> SpreadConstraint {
    spread(SpreadField::Cluster, min, max)
}

#[derive(Clone, Copy)]
enum Kind {
    Divided,
    Duplicated,
}
use Kind::{Divided, Duplicated};

fn workload(kind: Kind, replicas: i32, constraints: &[SpreadConstraint]) -> ResourceBinding {
    let placement = match kind {
        Divided => dynamic_weight(),
        Duplicated => duplicated(),
    };
    binding(replicas, with_spread(placement, constraints))
}

fn data_x() -> Vec<Cluster> {
    let of = |name, region, pods| with_region(cluster(name, pods), region);
    vec![
        of("m1", "R1", 40),
        of("m2", "R1", 10),
        of("m3", "R2", 30),
        of("m4", "R2", 30),
        of("m5", "R3", 100),
    ]
}

/// Data set X: m1 is a target without replicas, which gives it its score.
#[track_caller]
fn check_x(
    kind: (Kind, i32),
    region: (i64, i64),
    number: (i64, i64),
    expected_scores: &str,
    reference: &str,
    better: &str,
) {
    let constraints = [regions(region.0, region.1), numbers(number.0, number.1)];
    let binding = with_targets(workload(kind.0, kind.1, &constraints), &[("m1", 0)]);
    assert_eq!(scores(&binding, &data_x()), expected_scores);
    assert_eq!(selected(&binding, &data_x(), Compat::REFERENCE), reference);
    assert_eq!(selected(&binding, &data_x(), Compat::default()), better);
}

const FEWER: &str = "SchedulerError: failed to select clusters: the number of clusters is less than the cluster \
                     spreadConstraint.MinGroups";

#[test]
fn regions_of_data_set_x() {
    let x1 = "R1 30050, R2 30000, R3 30000";
    let same = |kind, region, number, scores, expected| {
        check_x(kind, region, number, scores, expected, expected);
    };
    same((Divided, 60), (2, 2), (3, 3), x1, "m1, m3, m4");
    same((Divided, 60), (2, 2), (3, 4), x1, "m1, m3, m4, m2");
    same(
        (Duplicated, 40),
        (2, 2),
        (2, 2),
        "R1 1100, R2 0, R3 1000",
        "m1, m5",
    );
    same(
        (Duplicated, 20),
        (2, 2),
        (2, 5),
        "R1 1100, R2 2000, R3 1000",
        "m3, m1, m4, m2",
    );
    same(
        (Divided, 60),
        (1, 3),
        (4, 5),
        "R1 50050, R2 60000, R3 60000",
        "m3, m5, m1, m4, m2",
    );
    same((Divided, 60), (2, 2), (5, 5), x1, FEWER);
    same((Divided, 60), (2, 3), (5, 5), x1, "m1, m3, m5, m4, m2");
    let contradiction = "SchedulerError: failed to select clusters: spec.placement.spreadConstraints[0].minGroups is invalid: 3 is \
                         more than spec.placement.spreadConstraints[1].maxGroups, which is 2";
    let x8 = "R1 20050, R2 20000, R3 20000";
    check_x(
        (Divided, 60),
        (3, 3),
        (2, 2),
        x8,
        "m1, m3, m5",
        contradiction,
    );
    check_x((Divided, 60), (2, 0), (3, 3), x1, FEWER, "m1, m3, m4");
}

fn data_y() -> Vec<Cluster> {
    let of = |name, region, pods| with_region(cluster(name, pods), region);
    vec![
        of("a1", "ra", 20),
        of("a2", "ra", 5),
        of("b1", "rb", 15),
        of("c1", "rc", 50),
        of("c2", "rc", 1),
    ]
}

#[track_caller]
fn check_y(
    kind: (Kind, i32),
    region: (i64, i64),
    number: (i64, i64),
    reference: &str,
    better: &str,
) {
    let constraints = [regions(region.0, region.1), numbers(number.0, number.1)];
    let binding = workload(kind.0, kind.1, &constraints);
    assert_eq!(selected(&binding, &data_y(), Compat::REFERENCE), reference);
    assert_eq!(selected(&binding, &data_y(), Compat::default()), better);
}

#[test]
fn regions_of_data_set_y() {
    let same = |kind, region, number, expected| check_y(kind, region, number, expected, expected);
    same((Divided, 40), (2, 2), (2, 2), "a1, c1");
    same((Divided, 40), (2, 2), (3, 3), "a1, c1, a2");
    same((Divided, 40), (2, 3), (4, 4), "a1, c1, a2, c2");
    same((Duplicated, 10), (2, 2), (2, 2), "a1, c1");
    same((Divided, 40), (1, 1), (1, 2), "c1, c2");
    same((Divided, 40), (1, 3), (4, 5), "c1, a1, a2, c2");
    check_y((Divided, 40), (2, 2), (3, 0), "a1, c1", "a1, c1, a2, c2");
}

#[test]
fn too_few_regions() {
    let binding = workload(Divided, 5, &[regions(4, 4), numbers(1, 9)]);
    let expected = "SchedulerError: failed to select clusters: the number of feasible region is less than \
                    spreadConstraint.MinGroups";
    for compat in [Compat::REFERENCE, Compat::default()] {
        assert_eq!(selected(&binding, &data_x(), compat), expected);
    }
}

#[test]
fn region_selection_repairs_a_shortage() {
    // The heaviest region comes first with its best-ranked cluster, which is a small one.
    let of = |name, region, pods| with_region(cluster(name, pods), region);
    let clusters = [of("a1", "ra", 5), of("a2", "ra", 40), of("b1", "rb", 20)];
    let constraints = [regions(2, 2), numbers(2, 2)];
    let binding = with_targets(workload(Divided, 50, &constraints), &[("a1", 0)]);
    let reference = selected(&binding, &clusters, Compat::REFERENCE);
    assert_eq!(reference, "a1, b1");
    assert_eq!(selected(&binding, &clusters, Compat::default()), "a2, b1");
}

fn by_number(replicas: i32, min: i64, max: i64) -> ResourceBinding {
    workload(Divided, replicas, &[numbers(min, max)])
}

#[test]
fn zero_means_no_upper_limit() {
    let one = clusters(&[("m1", 10)]);
    let binding = by_number(5, 1, 0);
    let short =
        "SchedulerError: failed to select clusters: no enough resource when selecting 0 clusters";
    assert_eq!(selected(&binding, &one, Compat::REFERENCE), short);
    assert_eq!(selected(&binding, &one, Compat::default()), "m1");
    let empty = workload(Duplicated, 5, &[numbers(1, 0)]);
    let none = "SchedulerError: failed to assign replicas: no clusters available to schedule";
    assert_eq!(selected(&empty, &one, Compat::REFERENCE), none);
}

#[test]
fn a_shortage_in_selection_may_pass() {
    let rooms = clusters(&[("m1", 10), ("m2", 30), ("m3", 5)]);
    let binding = by_number(60, 1, 2);
    let text = "failed to select clusters: no enough resource when selecting 2 clusters";
    assert_eq!(
        selected(&binding, &rooms, Compat::REFERENCE),
        format!("SchedulerError: {text}")
    );
    assert_eq!(
        selected(&binding, &rooms, Compat::default()),
        format!("Unschedulable: {text}")
    );
}

#[test]
fn static_weights_ignore_spread_constraints() {
    let rooms = clusters(&[("m1", 1), ("m2", 2), ("m3", 3)]);
    let placement = with_spread(static_weights(&[("m1", 1), ("m2", 1)]), &[numbers(1, 1)]);
    for compat in [Compat::REFERENCE, Compat::default()] {
        assert_eq!(
            selected(&binding(4, placement.clone()), &rooms, compat),
            "m3, m2, m1"
        );
    }
}

#[test]
fn zones_alone_are_supported() {
    let zoned = |name: &str, zone: &str, pods| {
        let mut cluster = cluster(name, pods);
        cluster.spec.zones = vec![zone.to_owned()];
        cluster
    };
    let clusters = [
        zoned("a", "z1", 9),
        zoned("b", "z1", 8),
        zoned("c", "z2", 7),
    ];
    let binding = workload(Duplicated, 1, &[spread(SpreadField::Zone, 2, 2)]);
    let refused = "SchedulerError: failed to select clusters: just support cluster and region spread constraint";
    assert_eq!(selected(&binding, &clusters, Compat::REFERENCE), refused);
    assert_eq!(selected(&binding, &clusters, Compat::default()), "a, c, b");
}

#[test]
fn a_cluster_counts_for_each_of_its_zones() {
    let across = |name: &str, zones: &[&str], pods| {
        let mut cluster = cluster(name, pods);
        cluster.spec.zones = zones.iter().map(|&zone| zone.to_owned()).collect();
        cluster
    };
    let check = |clusters: &[Cluster], constraints: &[SpreadConstraint], expected: &str| {
        let binding = workload(Duplicated, 1, constraints);
        assert_eq!(selected(&binding, clusters, Compat::default()), expected);
    };
    let zones = |min, max| spread(SpreadField::Zone, min, max);
    let both = [across("a", &["z1", "z2"], 9), across("b", &["z2", "z1"], 8)];
    check(&both, &[zones(2, 2)], "a, b");
    // One cluster stands in two zones.
    check(&both, &[zones(2, 2), numbers(1, 1)], "a");
    // What a cluster spans beyond the maximum does not rule it out.
    check(&both, &[zones(1, 1)], "a, b");
    check(
        &both,
        &[zones(3, 3)],
        "SchedulerError: failed to select clusters: the number of feasible zone is less than spreadConstraint.MinGroups",
    );
    // A cluster that two zones share is one cluster.
    let shared = [
        across("a", &["z1", "z2"], 9),
        across("b", &["z3"], 8),
        across("c", &["z3", "z3"], 7),
    ];
    check(&shared, &[zones(1, 2), numbers(3, 3)], "b, a, c");
    // The one that covers most comes first where few clusters are allowed.
    let wide = [across("a", &["z1"], 9), across("b", &["z1", "z2"], 8)];
    check(&wide, &[zones(2, 2), numbers(1, 1)], "b");
    check(
        &[
            across("a", &["z1"], 9),
            across("b", &["z2"], 8),
            across("c", &["z3", "z1"], 1),
        ],
        &[zones(3, 3), numbers(1, 2)],
        "c, b",
    );
}

#[test]
fn an_exchange_for_room_keeps_the_zones() {
    let across = |name: &str, zones: &[&str], pods| {
        let mut cluster = cluster(name, pods);
        cluster.spec.zones = zones.iter().map(|&zone| zone.to_owned()).collect();
        cluster
    };
    let clusters = [
        across("a", &["z1", "z2"], 5),
        across("b", &["z1"], 50),
        across("c", &["z1"], 6),
    ];
    let constraints = [spread(SpreadField::Zone, 2, 2), numbers(1, 2)];
    let binding = with_targets(workload(Divided, 56, &constraints), &[("a", 0)]);
    assert_eq!(selected(&binding, &clusters, Compat::default()), "a, b");
}

#[test]
fn constraints_nest() {
    let at = |name: &str, provider: &str, region: &str, zone: &str| {
        let mut cluster = with_region(cluster(name, 10), region);
        cluster.spec.provider = Some(provider.to_owned());
        cluster.spec.zones = vec![zone.to_owned()];
        cluster
    };
    let clusters = [
        at("a", "p1", "r1", "z1"),
        at("b", "p1", "r1", "z2"),
        at("c", "p1", "r2", "z3"),
        at("d", "p2", "r3", "z4"),
        at("e", "p2", "r3", "z5"),
        at("f", "p3", "r4", "z6"),
    ];
    let constraints = [
        spread(SpreadField::Provider, 2, 2),
        spread(SpreadField::Region, 3, 3),
        spread(SpreadField::Zone, 3, 4),
        numbers(4, 4),
    ];
    let binding = workload(Duplicated, 1, &constraints);
    let chosen = selected(&binding, &clusters, Compat::default());
    let count = |of: fn(&Cluster) -> Option<&str>| {
        let names: Vec<&str> = chosen.split(", ").collect();
        let groups = clusters
            .iter()
            .filter(|it| names.contains(&it.metadata.name.as_deref().unwrap()));
        groups
            .filter_map(of)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    assert_eq!(count(|it| it.spec.provider.as_deref()), 2, "{chosen}");
    assert_eq!(count(|it| it.spec.region.as_deref()), 3, "{chosen}");
    assert!(
        (3..=4).contains(&count(|it| it.spec.zones.first().map(String::as_str))),
        "{chosen}"
    );
    assert_eq!(count(|it| it.metadata.name.as_deref()), 4, "{chosen}");
}

#[test]
fn a_contradiction_names_the_limit_that_is_too_low() {
    let at = |name: &str, region: &str, zone: &str| {
        let mut cluster = with_region(cluster(name, 10), region);
        cluster.spec.zones = vec![zone.to_owned()];
        cluster
    };
    let clusters = [at("a", "r1", "z1"), at("b", "r2", "z2")];
    let constraints = [
        spread(SpreadField::Region, 2, 2),
        spread(SpreadField::Zone, 1, 1),
        numbers(1, 5),
    ];
    let binding = workload(Duplicated, 1, &constraints);
    let refused = selected(&binding, &clusters, Compat::default());
    assert!(
        refused.ends_with(
            "spec.placement.spreadConstraints[0].minGroups is invalid: 2 is more than \
             spec.placement.spreadConstraints[1].maxGroups, which is 1"
        ),
        "{refused}"
    );
}

#[test]
fn constraints_by_label_are_supported() {
    let rack = |name: &str, rack: &str| with_label(cluster(name, 5), "rack", rack);
    let clusters = [
        rack("a", "1"),
        rack("b", "1"),
        rack("c", "2"),
        cluster("d", 50),
    ];
    let constraint = SpreadConstraint {
        spread_by_label: Some("rack".to_owned()),
        min_groups: Some(2),
        ..SpreadConstraint::default()
    };
    let binding = workload(Divided, 4, &[constraint, numbers(2, 2)]);
    assert_eq!(selected(&binding, &clusters, Compat::default()), "a, c");
}

#[test]
fn many_regions_are_chosen_in_time() {
    let clusters: Vec<Cluster> = (0..400)
        .map(|number| {
            let region = format!("r{:02}", number % 40);
            with_region(cluster(&format!("m{number:03}"), 3 + number % 7), &region)
        })
        .collect();
    let binding = workload(Divided, 300, &[regions(5, 30), numbers(100, 120)]);
    let chosen = selected(&binding, &clusters, Compat::default());
    assert!((100..=120).contains(&chosen.split(", ").count()));
}

#[test]
fn very_many_groups_are_chosen_in_time() {
    let clusters: Vec<Cluster> = (0..1500_i64)
        .map(|number| {
            let cluster = cluster(&format!("m{number:04}"), 1 + (number * 7919) % 101);
            with_label(
                cluster,
                "rack",
                &format!("rack-{}", number / 2 * (1 + number % 2)),
            )
        })
        .collect();
    let constraint = SpreadConstraint {
        spread_by_label: Some("rack".to_owned()),
        min_groups: Some(20),
        max_groups: Some(900),
        ..SpreadConstraint::default()
    };
    let binding = workload(Divided, 9000, &[constraint, numbers(300, 400)]);
    let chosen = selected(&binding, &clusters, Compat::default());
    assert!(
        (300..=400).contains(&chosen.split(", ").count()),
        "{chosen}"
    );
}

#[test]
fn a_placement_without_constraints_takes_all() {
    let rooms = clusters(&[("m1", 1), ("m2", 2)]);
    let binding = binding(1, Placement::default());
    assert_eq!(selected(&binding, &rooms, Compat::default()), "m2, m1");
}

//! The worked examples of static weight, dynamic weight, Aggregated and overflow tiers.

use crds::policy::{
    ClusterAffinity, ClusterAffinityTerm, ClusterPreferences, OverflowAffinityTerm, Placement,
    StaticClusterWeight,
};
use crds::work::ResourceBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use scheduler::Compat;

use crate::fixtures::*;

/// Checks a division with and without the improvements.
#[track_caller]
fn check(binding: &ResourceBinding, rooms: &[(&str, i64)], expected: &str) {
    check_each(binding, rooms, expected, expected);
}

#[track_caller]
fn check_each(binding: &ResourceBinding, rooms: &[(&str, i64)], reference: &str, better: &str) {
    let clusters = clusters(rooms);
    let told_with = |compat| told(&outcome(binding, &clusters, &options(compat)));
    assert_eq!(told_with(Compat::REFERENCE), reference, "as the reference");
    assert_eq!(told_with(Compat::default()), better, "improved");
}

fn weighted(replicas: i32, weights: &[(&str, i64)], uid: &str) -> ResourceBinding {
    with_uid(binding(replicas, static_weights(weights)), uid)
}

#[track_caller]
fn check_static(replicas: i32, weights: &[(&str, i64)], uids: &[&str], expected: &str) {
    let rooms: Vec<(&str, i64)> = weights.iter().map(|&(name, _)| (name, 0)).collect();
    for uid in uids {
        check(&weighted(replicas, weights, uid), &rooms, expected);
    }
}

const ANY: [&str; 3] = ["", UID_0, UID_1];

#[test]
fn static_weights_divide_by_webster() {
    check_static(9, &[("m1", 1), ("m2", 2)], &[""], "m1 3, m2 6");
    check_static(9, &[("m1", 1), ("m2", 3)], &[""], "m1 2, m2 7");
    check_static(5, &[("m1", 1), ("m2", 1)], &[UID_0], "m1 3, m2 2");
    check_static(5, &[("m1", 1), ("m2", 1)], &[UID_1], "m1 2, m2 3");
    check_static(
        2,
        &[("m1", 1), ("m2", 1), ("m3", 1)],
        &[UID_0],
        "m1 1, m2 1",
    );
    check_static(
        2,
        &[("m1", 1), ("m2", 1), ("m3", 1)],
        &[UID_1],
        "m2 1, m3 1",
    );
    check_static(
        7,
        &[("m1", 2), ("m2", 1), ("m3", 1)],
        &ANY,
        "m1 3, m2 2, m3 2",
    );
    check_static(11, &[("a", 3), ("b", 2), ("c", 2)], &ANY, "a 5, b 3, c 3");
    check_static(2, &[("m1", 1), ("m2", 3)], &ANY, "m1 1, m2 1");
    check_static(3, &[("m1", 10), ("m2", 1), ("m3", 1)], &ANY, "m1 3");
    check_static(
        100,
        &[("m1", 10), ("m2", 1), ("m3", 1)],
        &ANY,
        "m1 84, m2 8, m3 8",
    );
}

#[test]
fn static_weights_go_by_the_rules_that_match() {
    let three = [("m1", 0), ("m2", 0), ("m3", 0)];
    check(
        &weighted(10, &[("m1", 5), ("m2", 3)], ""),
        &three,
        "m1 6, m2 4",
    );
    check(&weighted(10, &[("x", 5)], ""), &three, "m1 4, m2 3, m3 3");

    let rule = |name: &str, weight| StaticClusterWeight {
        target_cluster: ClusterAffinity {
            label_selector: Some(LabelSelector {
                match_labels: Some([(name.to_owned(), String::new())].into()),
                ..LabelSelector::default()
            }),
            ..ClusterAffinity::default()
        },
        weight,
    };
    let mut placement = static_weights(&[]);
    placement
        .replica_scheduling
        .as_mut()
        .unwrap()
        .weight_preference = Some(ClusterPreferences {
        static_weight_list: vec![rule("one", 1), rule("three", 3)],
        dynamic_weight: None,
    });
    let a = with_label(with_label(cluster("a", 0), "one", ""), "three", "");
    let b = with_label(cluster("b", 0), "one", "");
    let outcome = outcome(&binding(6, placement), &[a, b], &options(Compat::default()));
    assert_eq!(told(&outcome), "a 4, b 2");
}

#[test]
fn scaling_to_zero_deletes_nothing() {
    let rooms = [("m1", 5), ("m2", 5)];
    check_each(
        &weighted(0, &[("m1", 1), ("m2", 1)], ""),
        &rooms,
        "-",
        "m1, m2",
    );
    let down = with_targets(binding(0, aggregated()), &[("m1", 3)]);
    check_each(&down, &rooms, "-", "m1, m2");
    let mut bare = with_targets(binding(0, aggregated()), &[("m1", 3)]);
    bare.spec.replica_requirements = None;
    check(&bare, &rooms, "m1, m2");
}

#[test]
fn absurd_weights_round_only_in_the_reference() {
    let weights = [("a", 1_232_334_251_123_622), ("b", 362_451_250_330_477)];
    let rooms = [("a", 0), ("b", 0)];
    check_each(&weighted(11, &weights, ""), &rooms, "a 8, b 3", "a 9, b 2");
}

fn dynamic(replicas: i32, previous: &[(&str, i32)]) -> ResourceBinding {
    with_targets(binding(replicas, dynamic_weight()), previous)
}

const UP: &str =
    "Unschedulable: failed to assign replicas: failed to scale up: Clusters available replicas";
const FRESH: &str = "Unschedulable: failed to assign replicas: failed to do fresh scale: Clusters available replicas";

#[test]
fn dynamic_weights_divide_what_is_added() {
    let six = [("A", 6), ("B", 6), ("C", 6)];
    check(
        &dynamic(12, &[]),
        &[("A", 18), ("B", 12), ("C", 6)],
        "A 6, B 4, C 2",
    );
    check(&with_uid(dynamic(10, &[]), UID_0), &six, "A 4, B 3, C 3");
    check(&with_uid(dynamic(10, &[]), UID_1), &six, "A 3, B 3, C 4");
    check(
        &dynamic(20, &[]),
        &six,
        &format!("{UP} 18 are not enough to schedule."),
    );
    check(&dynamic(6, &[]), &[("A", 10), ("B", 0)], "A 6");
    let both = [("A", 4), ("B", 4)];
    check(
        &dynamic(12, &both),
        &[("A", 10), ("B", 20), ("C", 10)],
        "A 5, B 6, C 1",
    );
    check(
        &dynamic(9, &[("A", 4), ("B", 2)]),
        &[("A", 1), ("B", 5)],
        "A 5, B 4",
    );
    let rooms = [("m1", 0), ("m2", 30), ("m3", 10)];
    check(&dynamic(10, &[("m1", 6)]), &rooms, "m1 6, m2 3, m3 1");
    let threes = [("m1", 3), ("m2", 3)];
    let fives = [("m1", 5), ("m2", 5)];
    check(&with_uid(dynamic(9, &threes), UID_0), &fives, "m1 5, m2 4");
    check(&with_uid(dynamic(9, &threes), UID_1), &fives, "m1 4, m2 5");
    let short = format!("{UP} 3 are not enough to schedule.");
    check(&dynamic(10, &threes), &[("m1", 1), ("m2", 2)], &short);
}

#[test]
fn dynamic_weights_scale_down_in_proportion() {
    let any = [("A", 1), ("B", 0), ("C", 7)];
    check(&dynamic(5, &[("A", 6), ("B", 4)]), &any, "A 3, B 2");
    let mixed = [("A", 2), ("B", 4), ("C", 6)];
    check(&dynamic(6, &mixed), &any, "A 1, B 2, C 3");
    check(&dynamic(7, &mixed), &any, "A 1, B 2, C 4");
    check(
        &dynamic(10, &[("A", 6), ("B", 4)]),
        &[("A", 0), ("B", 20)],
        "A 6, B 4",
    );
}

#[test]
fn replicas_of_lost_clusters_are_divided_again() {
    let left = [("B", 20), ("C", 10)];
    check(&dynamic(10, &[("A", 6), ("B", 4)]), &left, "B 8, C 2");
    check(
        &dynamic(4, &[("A", 6), ("B", 5), ("C", 1)]),
        &left,
        "B 3, C 1",
    );
}

#[test]
fn fresh_mode_divides_everything() {
    let rooms = [("A", 0), ("B", 20), ("C", 10)];
    check(
        &fresh(dynamic(10, &[("A", 6), ("B", 4)])),
        &rooms,
        "A 2, B 6, C 2",
    );
    let twelve = [("m1", 12), ("m2", 12)];
    check(&dynamic(12, &[("m1", 12)]), &twelve, "m1 12");
    check(&fresh(dynamic(12, &[("m1", 12)])), &twelve, "m1 8, m2 4");
    let rooms = [("m1", 3), ("m2", 3)];
    check(
        &fresh(dynamic(9, &[("m1", 6), ("m2", 0)])),
        &rooms,
        "m1 7, m2 2",
    );
}

#[test]
fn sums_wrap_around_only_in_the_reference() {
    let three = [("A", 1), ("B", 1), ("C", 1)];
    let four = [("A", 1), ("B", 1), ("C", 1), ("D", 1)];
    let wrapped = |sum: i64| format!("{FRESH} {sum} are not enough to schedule.");
    check_each(&fresh(dynamic(0, &[])), &three, "-", "A, B, C");
    check_each(&fresh(dynamic(0, &[])), &four, &wrapped(-4), "A, B, C, D");
    check_each(&fresh(dynamic(0, &[("A", 3)])), &three[..2], "-", "A, B");
    check_each(
        &fresh(dynamic(0, &[("A", 1)])),
        &three[..2],
        &wrapped(-1),
        "A, B",
    );
}

fn packed(replicas: i32, previous: &[(&str, i32)]) -> ResourceBinding {
    with_targets(binding(replicas, aggregated()), previous)
}

#[test]
fn aggregated_uses_few_clusters() {
    let rooms = [("A", 6), ("B", 12), ("C", 18)];
    check(&packed(12, &[]), &rooms, "C 12");
    check(&packed(20, &[]), &rooms, "B 8, C 12");
    check(&packed(36, &[]), &rooms, "A 6, B 12, C 18");
    check(&packed(12, &[]), &[("A", 10), ("B", 10)], "A 6, B 6");
    check(&packed(3, &[]), &[("A", 5), ("B", 5)], "A 3");
    check(&packed(14, &[("A", 10)]), &rooms, "A 14");
    check(&packed(20, &[("A", 10)]), &rooms, "A 13, C 7");
    check(
        &packed(30, &[("A", 5), ("B", 5)]),
        &rooms,
        "A 8, B 12, C 10",
    );
    let rooms = [("m1", 1), ("m2", 9), ("m3", 2)];
    check(
        &packed(9, &[("m1", 2), ("m3", 2)]),
        &rooms,
        "m1 2, m2 4, m3 3",
    );
}

#[test]
fn aggregated_gathers_on_the_way_down() {
    let any = [("A", 0), ("B", 3)];
    check(&packed(5, &[("A", 6), ("B", 4)]), &any, "A 5");
    check(&packed(8, &[("A", 6), ("B", 4)]), &any, "A 5, B 3");
    let rooms = [("A", 0), ("B", 20), ("C", 10)];
    check(&fresh(packed(10, &[("A", 6), ("B", 4)])), &rooms, "B 10");
    let rooms = [("m1", 0), ("m2", 7)];
    check(&packed(10, &[("m1", 6), ("m2", 0)]), &rooms, "m1 6, m2 4");
    let rooms = [("a", 0), ("b", 3), ("c", 9)];
    check(&packed(8, &[("a", 5), ("b", 0)]), &rooms, "a 5, c 3");
}

#[test]
fn leftovers_follow_by_name() {
    let rooms = [("a", 9), ("b", 1), ("c", 1), ("d", 1)];
    let previous = [("d", 1), ("c", 1), ("a", 1)];
    check(&packed(6, &previous), &rooms, "a 4, c 1, d 1");
}

fn tiered(mut placement: Placement, groups: &[&[&str]]) -> Placement {
    let mut groups = groups.iter();
    placement.cluster_affinities = vec![ClusterAffinityTerm {
        affinity_name: "primary".to_owned(),
        affinity: named(groups.next().unwrap()),
        overflow_affinities: groups
            .enumerate()
            .map(|(index, names)| OverflowAffinityTerm {
                affinity_name: format!("overflow-{index}"),
                affinity: named(names),
            })
            .collect(),
    }];
    placement
}

#[test]
fn overflow_tiers_fill_in_order_and_empty_in_reverse() {
    let tiers = || tiered(aggregated(), &[&["A"], &["B", "C"]]);
    let of =
        |replicas, previous: &[(&str, i32)]| with_targets(binding(replicas, tiers()), previous);
    let before = [("A", 5), ("C", 7)];
    check(&of(12, &[]), &[("A", 5), ("B", 4), ("C", 8)], "A 5, C 7");
    check(&of(8, &before), &[("A", 0), ("B", 4), ("C", 1)], "A 5, C 3");
    check(&of(8, &before), &[("A", 10), ("B", 4), ("C", 1)], "A 8");
    let weighted = binding(10, tiered(dynamic_weight(), &[&["A"], &["B", "C"]]));
    check(&weighted, &[("A", 6), ("B", 6), ("C", 2)], "A 6, B 3, C 1");
    let short = "Unschedulable: failed to assign replicas: Clusters available replicas are not enough to schedule.";
    check(&of(20, &[]), &[("A", 5), ("B", 4), ("C", 8)], short);
    let three = binding(8, tiered(aggregated(), &[&["A"], &["B"], &["C"]]));
    check(&three, &[("A", 0), ("B", 4), ("C", 6)], "B 4, C 4");
}

#[test]
fn duplicated_workloads_have_all_replicas_everywhere() {
    check(&binding(3, duplicated()), &[("b", 0), ("a", 5)], "a 3, b 3");
    check(
        &binding(3, Placement::default()),
        &[("b", 7), ("a", 5)],
        "b 3, a 3",
    );
    check(&config(aggregated()), &[("b", 7), ("a", 5)], "a, b");
}

#[test]
fn an_absent_preference_means_weighted() {
    let mut placement = static_weights(&[]);
    placement
        .replica_scheduling
        .as_mut()
        .unwrap()
        .replica_division_preference = None;
    let refused = "SchedulerError: failed to assign replicas: unsupported replica scheduling strategy, \
                   replicaSchedulingType: Divided, replicaDivisionPreference: , please try another scheduling strategy";
    check_each(
        &binding(4, placement),
        &[("a", 0), ("b", 0)],
        refused,
        "a 2, b 2",
    );
}

#[test]
fn empty_workloads_are_propagated_on_demand() {
    let mut options = options(Compat::REFERENCE);
    options.empty_workload_propagation = true;
    let clusters = clusters(&[("a", 1), ("b", 9)]);
    assert_eq!(
        told(&outcome(&binding(5, aggregated()), &clusters, &options)),
        "b 5, a"
    );
    assert_eq!(
        told(&outcome(&binding(0, aggregated()), &clusters, &options)),
        "a, b"
    );
}

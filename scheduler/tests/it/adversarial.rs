//! Odd input gives a value that says so: never a panic, never part of a result.

use std::collections::BTreeMap;

use crds::cluster::{AllocatableModeling, Cluster, ResourceModel, ResourceModelRange};
use crds::policy::{
    ClusterAffinity, ClusterAffinityTerm, OverflowAffinityTerm, Placement, SpreadConstraint,
    SpreadField, StaticClusterWeight,
};
use crds::work::{
    Component, ComponentReplicaRequirements, GracefulEvictionTask, ReplicaRequirements,
    ResourceBinding, TargetCluster, WorkloadAffinityGroups,
};
use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use proptest::prelude::*;
use scheduler::options::Switch;
use scheduler::trace::Recorder;
use scheduler::{Answer, Compat, Decision, Estimates, Explanation, Inputs, Options, decide};

use crate::fixtures::*;

#[track_caller]
fn check(binding: &ResourceBinding, clusters: &[Cluster], expected: &str) {
    assert_eq!(
        told(&outcome(binding, clusters, &Options::default())),
        expected
    );
}

#[test]
fn negative_replicas_are_refused() {
    let binding = binding(-5, duplicated());
    check(
        &binding,
        &clusters(&[("a", 1)]),
        "SchedulerError: spec.replicas is invalid: -5 is negative",
    );
    let mut of_parts = self::binding(0, duplicated());
    of_parts.spec.components = [2, -3]
        .map(|replicas| Component {
            replicas,
            ..Component::default()
        })
        .into();
    check(
        &of_parts,
        &clusters(&[("a", 1)]),
        "SchedulerError: spec.components[1].replicas is invalid: -3 is negative",
    );
}

#[test]
fn a_missing_placement_is_refused() {
    let mut binding = binding(5, duplicated());
    binding.spec.placement = None;
    check(
        &binding,
        &clusters(&[("a", 1)]),
        "SchedulerError: the binding has no placement",
    );
}

#[test]
fn requests_that_are_no_quantities_are_refused() {
    let mut binding = binding(5, aggregated());
    let requests = BTreeMap::from([("cpu".to_owned(), Quantity("many".to_owned()))]);
    binding
        .spec
        .replica_requirements
        .as_mut()
        .unwrap()
        .resource_request = requests;
    let expected = "SchedulerError: spec.replicaRequirements.resourceRequest[cpu] is invalid: \"many\" is no quantity";
    check(&binding, &clusters(&[("a", 9)]), expected);
}

#[test]
fn selectors_that_do_not_compile_match_nothing() {
    let mut placement = duplicated();
    let text = r#"{"labelSelector":{"matchExpressions":[{"key":"a b","operator":"Exists"}]}}"#;
    placement.cluster_affinity = Some(serde_json::from_str(text).unwrap());
    let told = told(&outcome(
        &binding(1, placement),
        &clusters(&[("a", 9)]),
        &Options::default(),
    ));
    assert_eq!(
        told,
        "NoClusterFit: 0/1 clusters are available: 1 cluster(s) did not match the placement cluster affinity constraint: \
         spec.placement.clusterAffinity.labelSelector.matchExpressions[0] is invalid: \"a b\" cannot be the key of a label."
    );
}

/// What a malformed affinity is told to be, after the field.
#[track_caller]
fn check_selector(affinity: &str, expected: &str) {
    let clusters = clusters(&[("a", 9)]);
    let affinity: ClusterAffinity = serde_json::from_str(affinity).unwrap();
    let mut placement = duplicated();
    placement.cluster_affinities = vec![ClusterAffinityTerm {
        affinity_name: "first".to_owned(),
        affinity: named(&["nowhere"]),
        overflow_affinities: vec![OverflowAffinityTerm {
            affinity_name: "more".to_owned(),
            affinity: affinity.clone(),
        }],
    }];
    let mismatch = "cluster(s) did not match the placement cluster affinity constraint";
    let of_overflow = format!(
        "NoClusterFit: 0/1 clusters are available: 1 {mismatch}: \
         spec.placement.clusterAffinities[0].overflowAffinities[0].{expected}."
    );
    check(&binding(1, placement.clone()), &clusters, &of_overflow);
    let compat = options(Compat::REFERENCE);
    assert_eq!(
        told(&outcome(&binding(1, placement), &clusters, &compat)),
        format!("NoClusterFit: 0/1 clusters are available: 1 {mismatch}.")
    );
    let mut weighted = static_weights(&[("a", 1), ("b", 2)]);
    let strategy = weighted.replica_scheduling.as_mut().unwrap();
    let preference = strategy.weight_preference.as_mut().unwrap();
    preference.static_weight_list[1].target_cluster = affinity;
    let of_weight = format!(
        "SchedulerError: failed to assign replicas: \
         spec.placement.replicaScheduling.weightPreference.staticWeightList[1].targetCluster.{expected}"
    );
    check(&binding(1, weighted.clone()), &clusters, &of_weight);
    assert_eq!(
        told(&outcome(&binding(1, weighted), &clusters, &compat)),
        "a 1"
    );
}

#[test]
fn a_malformed_selector_is_named_with_what_is_allowed() {
    check_selector(
        r#"{"labelSelector":{"matchLabels":{"tier":"x"},"matchExpressions":[{"key":"tier","operator":"In","values":["x"]},{"key":"tier","operator":"Near","values":["x"]}]}}"#,
        "labelSelector.matchExpressions[1] is invalid: operator \"Near\" is none of In, NotIn, Exists, DoesNotExist",
    );
    check_selector(
        r#"{"labelSelector":{"matchExpressions":[{"key":"tier","operator":"Gt","values":["1"]}]}}"#,
        "labelSelector.matchExpressions[0] is invalid: operator \"Gt\" is none of In, NotIn, Exists, DoesNotExist",
    );
    check_selector(
        r#"{"labelSelector":{"matchExpressions":[{"key":"tier","operator":"In"}]}}"#,
        "labelSelector.matchExpressions[0] is invalid: operator In takes values",
    );
    check_selector(
        r#"{"labelSelector":{"matchLabels":{"tier":"-x"}}}"#,
        "labelSelector.matchLabels is invalid: \"-x\" cannot be the value of a label",
    );
    check_selector(
        r#"{"fieldSelector":{"matchExpressions":[{"key":"region","operator":"Like","values":["eu*"]}]}}"#,
        "fieldSelector.matchExpressions[0] is invalid: operator \"Like\" is none of In, NotIn, Exists, DoesNotExist, Gt, Lt",
    );
    check_selector(
        r#"{"fieldSelector":{"matchExpressions":[{"key":"zone","operator":"Like","values":["eu*"]}]}}"#,
        "fieldSelector.matchExpressions[0] is invalid: operator \"Like\" is none of In, NotIn, Exists, DoesNotExist",
    );
}

#[test]
fn limits_that_nothing_meets_are_refused() {
    let clusters = clusters(&[("a", 9), ("b", 9), ("c", 9)]);
    for (field, min, max, fault) in [
        (
            SpreadField::Cluster,
            3,
            2,
            "maxGroups is invalid: 2 is less than minGroups, which is 3",
        ),
        (
            SpreadField::Zone,
            3,
            2,
            "maxGroups is invalid: 2 is less than minGroups, which is 3",
        ),
        (
            SpreadField::Cluster,
            -1,
            2,
            "minGroups is invalid: -1 is negative",
        ),
        (
            SpreadField::Cluster,
            1,
            -2,
            "maxGroups is invalid: -2 is negative",
        ),
    ] {
        let other = spread(SpreadField::Cluster, 1, 9);
        let zoned = |mut cluster: Cluster| {
            cluster.spec.zones = vec!["z".to_owned()];
            cluster
        };
        let clusters: Vec<Cluster> = clusters.iter().cloned().map(zoned).collect();
        let placement = with_spread(duplicated(), &[other, spread(field, min, max)]);
        let expected = format!(
            "SchedulerError: failed to select clusters: spec.placement.spreadConstraints[1].{fault}"
        );
        check(&binding(1, placement), &clusters, &expected);
    }
    let placement = with_spread(duplicated(), &[spread(SpreadField::Cluster, 3, 2)]);
    let reference = outcome(
        &binding(1, placement),
        &clusters,
        &options(Compat::REFERENCE),
    );
    assert_eq!(told(&reference), "a 1, b 1");
}

#[test]
fn a_shortage_names_amounts_of_clusters_that_cannot_be_read() {
    let mut binding = binding(5, aggregated());
    let requirements = binding.spec.replica_requirements.as_mut().unwrap();
    requirements.resource_request = [("cpu".to_owned(), Quantity("1".to_owned()))].into();
    let mut clusters = clusters(&[("a", 9)]);
    let status = clusters[0].status.as_mut().unwrap();
    let summary = status.resource_summary.as_mut().unwrap();
    summary
        .allocatable
        .insert("cpu".to_owned(), Quantity("8 cores".to_owned()));
    summary
        .allocated
        .insert("memory".to_owned(), Quantity("much".to_owned()));
    let short = "Unschedulable: failed to assign replicas: failed to scale up: Clusters available replicas 0 are not \
                 enough to schedule.";
    let fault = "status.resourceSummary.allocatable[cpu] is invalid: \"8 cores\" is no quantity";
    check(&binding, &clusters, &format!("{short} Cluster a: {fault}."));
    let reference = outcome(&binding, &clusters, &options(Compat::REFERENCE));
    assert_eq!(told(&reference), short);
    let (_, items) = recorded(&binding, &clusters, &Options::default());
    let account = Explanation::of(&items);
    let estimator = &account.attempts[0].clusters[0].estimators[0];
    assert_eq!(
        estimator.explanation,
        format!("min(cpu 0, {fault}, pods 9) = 0")
    );
}

#[test]
fn negative_numbers_in_targets_and_weights_are_refused() {
    let rooms = [("a", 9), ("b", 9)];
    let binding = with_targets(
        binding(4, dynamic_weight()),
        &[("a", -3), ("b", 2), ("b", 1)],
    );
    check(
        &binding,
        &clusters(&rooms),
        "SchedulerError: spec.clusters[0].replicas is invalid: -3 is negative",
    );
    // Even if the others make up for it.
    let settled = settled(with_targets(binding.clone(), &[("a", -3), ("b", 4)]));
    check(
        &settled,
        &clusters(&rooms),
        "SchedulerError: spec.clusters[0].replicas is invalid: -3 is negative",
    );
    let weights = static_weights(&[("b", i64::MAX), ("a", -7)]);
    let weighted = crate::fixtures::binding(4, weights);
    check(
        &weighted,
        &clusters(&rooms),
        "SchedulerError: failed to assign replicas: \
         spec.placement.replicaScheduling.weightPreference.staticWeightList[1].weight is invalid: -7 is negative",
    );
    let compat = options(Compat::default().with(Switch::UncheckedNumbers));
    for (binding, expected) in [(binding, "a 1, b 3"), (weighted, "b 4")] {
        let taken = outcome(&binding, &clusters(&rooms), &compat);
        assert_eq!(told(&taken), expected);
    }
}

#[test]
fn huge_node_counts_are_estimated_in_time() {
    let mut binding = binding(
        0,
        with_spread(aggregated(), &[spread(SpreadField::Cluster, 1, 1)]),
    );
    binding.spec.replicas = None;
    binding.spec.components = vec![Component {
        name: "one".to_owned(),
        replicas: 1,
        replica_requirements: None,
    }];
    let mut cluster = cluster("a", i64::MAX);
    let model = |grade| ResourceModel {
        grade,
        ranges: Vec::new(),
    };
    cluster.spec.resource_models = vec![model(0), model(u64::MAX)];
    let summary = cluster
        .status
        .as_mut()
        .unwrap()
        .resource_summary
        .as_mut()
        .unwrap();
    summary.allocatable_modelings = vec![
        AllocatableModeling {
            grade: 0,
            count: i32::MAX,
        },
        AllocatableModeling {
            grade: 0,
            count: i32::MAX,
        },
        AllocatableModeling {
            grade: u64::MAX,
            count: i32::MAX,
        },
    ];
    let mut options = Options::default();
    options.gates.multiple_pod_templates_scheduling = true;
    assert_eq!(told(&outcome(&binding, &[cluster], &options)), "a");
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![
        Just(i32::MIN),
        Just(-1),
        Just(0),
        Just(1),
        Just(i32::MAX),
        0_i32..50
    ]
}

fn large() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MIN),
        Just(-1),
        Just(0),
        Just(1),
        Just(i64::MAX),
        0_i64..9
    ]
}

fn quantity() -> impl Strategy<Value = Quantity> {
    let odd = prop::sample::select(vec![
        "",
        "-5",
        "1e400",
        "9223372036854775807",
        "-9223372036854775808",
        "1E",
        "Infinity",
        "0.1n",
        "123456789012345678901234567890",
        "8Ei",
        "5",
        "500m",
        "3Gi",
    ]);
    odd.prop_map(|text| Quantity(text.to_owned()))
}

fn quantities() -> impl Strategy<Value = BTreeMap<String, Quantity>> {
    let name = prop::sample::select(vec!["cpu", "memory", "pods", "nvidia.com/gpu", "odd name"]);
    prop::collection::btree_map(name.prop_map(str::to_owned), quantity(), 0..4)
}

fn odd_cluster() -> impl Strategy<Value = Cluster> {
    let models = prop::collection::vec((0_u64..3, quantity()), 0..3);
    let counts = prop::collection::vec((0_u64..4, number()), 0..3);
    (
        "[a-d]{0,1}",
        quantities(),
        quantities(),
        models,
        counts,
        prop::option::of("[r]{0,1}"),
    )
        .prop_map(|(name, allocatable, allocated, models, counts, region)| {
            let mut cluster = cluster(&name, 5);
            cluster.spec.region = region;
            cluster.spec.resource_models = models
                .into_iter()
                .map(|(grade, min)| ResourceModel {
                    grade,
                    ranges: vec![ResourceModelRange {
                        name: "cpu".to_owned(),
                        min: min.clone(),
                        max: min,
                    }],
                })
                .collect();
            let status = cluster.status.get_or_insert_default();
            let summary = status.resource_summary.get_or_insert_default();
            summary.allocatable.extend(allocatable);
            summary.allocated = allocated;
            summary.allocatable_modelings = counts
                .into_iter()
                .map(|(grade, count)| AllocatableModeling { grade, count })
                .collect();
            cluster
        })
}

fn word() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "",
        "a",
        "b",
        "zone",
        "region",
        "Exists",
        "In",
        "Gt",
        "Lt",
        "Equal",
        "no operator",
        "-1",
        "99999999999999999999",
        "a/b/c",
        "\u{0}",
        "ü",
    ]);
    odd.prop_map(str::to_owned)
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(), 0..3)
}

/// Selectors with anything in any place.
fn odd_affinity() -> impl Strategy<Value = ClusterAffinity> {
    let expressions = || prop::collection::vec((word(), word(), words()), 0..3);
    let labels = prop::option::of((
        prop::collection::btree_map(word(), word(), 0..2),
        expressions(),
    ));
    let fields = prop::option::of(expressions());
    (labels, fields, words(), words())
        .prop_map(|(labels, fields, names, exclude)| selector(labels, fields, names, exclude))
}

/// Affinities and tolerations, mostly none.
fn odd_limits() -> impl Strategy<Value = Placement> {
    let term = (
        word(),
        odd_affinity(),
        prop::collection::vec((word(), odd_affinity()), 0..2),
    );
    let toleration = (word(), word(), word(), prop::option::of(large()));
    (
        prop::option::weighted(0.3, odd_affinity()),
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(term, 0..3)],
        prop::collection::vec(toleration, 0..2),
    )
        .prop_map(|(cluster_affinity, terms, tolerations)| Placement {
            cluster_affinity,
            cluster_affinities: terms
                .into_iter()
                .map(|(affinity_name, affinity, overflow)| ClusterAffinityTerm {
                    affinity_name,
                    affinity,
                    overflow_affinities: overflow
                        .into_iter()
                        .map(|(affinity_name, affinity)| OverflowAffinityTerm {
                            affinity_name,
                            affinity,
                        })
                        .collect(),
                })
                .collect(),
            cluster_tolerations: tolerations
                .into_iter()
                .map(|(key, operator, effect, seconds)| Toleration {
                    key: Some(key),
                    operator: Some(operator),
                    effect: Some(effect),
                    toleration_seconds: seconds,
                    value: None,
                })
                .collect(),
            ..Placement::default()
        })
}

fn odd_placement() -> impl Strategy<Value = Placement> {
    let field = prop::option::of(prop::sample::select(vec![
        SpreadField::Cluster,
        SpreadField::Region,
        SpreadField::Zone,
        SpreadField::Provider,
    ]));
    let constraint = (field, prop::option::of("[a-b]{0,1}"), large(), large()).prop_map(
        |(spread_by_field, spread_by_label, min, max)| SpreadConstraint {
            spread_by_field,
            spread_by_label,
            min_groups: Some(min),
            max_groups: Some(max),
        },
    );
    let strategy = prop_oneof![
        Just(dynamic_weight()),
        Just(aggregated()),
        Just(duplicated()),
        prop::collection::vec((odd_affinity(), large()), 0..3).prop_map(|rules| {
            let mut placement = static_weights(&[]);
            let strategy = placement.replica_scheduling.as_mut().unwrap();
            let preference = strategy.weight_preference.as_mut().unwrap();
            preference.static_weight_list = rules
                .into_iter()
                .map(|(target_cluster, weight)| StaticClusterWeight {
                    target_cluster,
                    weight,
                })
                .collect();
            placement
        }),
        Just(Placement::default()),
    ];
    (
        strategy,
        prop::collection::vec(constraint, 0..4),
        odd_limits(),
    )
        .prop_map(|(placement, spread_constraints, limits)| Placement {
            spread_constraints,
            replica_scheduling: placement.replica_scheduling,
            ..limits
        })
}

fn odd_binding() -> impl Strategy<Value = ResourceBinding> {
    let target = ("[a-e]{0,1}", prop::option::of(number()))
        .prop_map(|(name, replicas)| TargetCluster { name, replicas });
    let component = (number(), quantities()).prop_map(|(replicas, resource_request)| Component {
        name: String::new(),
        replicas,
        replica_requirements: Some(ComponentReplicaRequirements {
            resource_request,
            ..ComponentReplicaRequirements::default()
        }),
    });
    (
        odd_placement(),
        prop::option::of(number()),
        prop::option::of(quantities()),
        prop::collection::vec(target, 0..5),
        prop::collection::vec(component, 0..3),
        any::<bool>(),
        (words(), prop::option::of(word()), prop::option::of(word())),
    )
        .prop_map(
            |(placement, replicas, requests, targets, components, is_fresh, around)| {
                let (evicted, observed, group) = around;
                let mut binding = binding(0, placement);
                binding.spec.replicas = replicas;
                binding.spec.replica_requirements =
                    requests.map(|resource_request| ReplicaRequirements {
                        resource_request,
                        ..ReplicaRequirements::default()
                    });
                binding.spec.clusters = targets;
                binding.spec.components = components;
                binding.spec.graceful_eviction_tasks = evicted
                    .into_iter()
                    .map(|from_cluster| GracefulEvictionTask {
                        from_cluster,
                        ..GracefulEvictionTask::default()
                    })
                    .collect();
                status(&mut binding).scheduler_observing_affinity_name = observed;
                binding.spec.workload_affinity_groups = group.map(|group| WorkloadAffinityGroups {
                    affinity_group: Some(group.clone()),
                    anti_affinity_group: Some(group),
                });
                if is_fresh { fresh(binding) } else { binding }
            },
        )
}

/// The reasons of the condition that a decision can have; the API server alone refuses for a quota.
const REASONS: [&str; 3] = ["NoClusterFit", "Unschedulable", "SchedulerError"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_input_has_a_whole_answer(
        clusters in prop::collection::vec(odd_cluster(), 0..6),
        binding in odd_binding(),
        lies in prop::collection::hash_map("[a-d]", number(), 0..4),
        reference in any::<bool>(),
        grouped in prop::bool::weighted(0.2),
    ) {
        let mut options = options(if reference { Compat::REFERENCE } else { Compat::default() });
        options.gates.multiple_pod_templates_scheduling = true;
        options.gates.workload_affinity = grouped;
        let estimates = Estimates::of("liar", lies.into_iter().map(|(name, it)| (name, Answer::Fits(it))));
        let snapshot = snapshot(&clusters);
        let inputs = Inputs::new(&snapshot, &options, now()).with_estimates(&estimates);
        let mut recorder = Recorder::default();
        let decision = decide(&binding, &inputs, &mut recorder);
        Explanation::of(&recorder.items);
        let Decision::Scheduled(outcome) = decision else {
            return Ok(());
        };
        let placed = match outcome.result {
            Ok(placed) => placed,
            Err(failure) => {
                prop_assert!(REASONS.contains(&failure.reason), "{}", failure.reason);
                prop_assert!(!failure.message.is_empty());
                // Only what no cluster fits leaves its clusters.
                prop_assert!(!failure.empties_targets || failure.reason == "NoClusterFit");
                return Ok(());
            }
        };
        let names: Vec<&str> = placed.clusters.iter().map(|it| it.name.as_str()).collect();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        prop_assert_eq!(names.len(), distinct.len());
        prop_assert!(names.iter().all(|name| snapshot.cluster(name).is_some()));
        let sum: i64 = placed.clusters.iter().map(|it| i64::from(it.replicas.unwrap_or_default())).sum();
        let wanted = i64::from(binding.spec.replicas.unwrap_or_default());
        let divided = binding.spec.placement.as_ref().unwrap().replica_scheduling_type()
            == crds::policy::ReplicaSchedulingType::Divided;
        if divided && sum > 0 {
            prop_assert_eq!(sum, wanted);
        }
        prop_assert!(placed.clusters.iter().all(|it| it.replicas.is_none_or(|it| it > 0)));
    }
}

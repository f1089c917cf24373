//! What holds for every decision.

use std::collections::BTreeMap;

use crds::cluster::Cluster;
use crds::policy::{ClusterAffinity, Placement, SpreadConstraint, SpreadField};
use crds::work::ResourceBinding;
use proptest::prelude::*;
use scheduler::trace::NoTrace;
use scheduler::{Compat, Decision, Inputs, Options, decide};

use crate::fixtures::*;

/// What a cluster has: pods, region, taint, label.
type Traits = (i64, u8, bool, u8);

fn fleet() -> impl Strategy<Value = Vec<Traits>> {
    prop::collection::vec(
        (0_i64..30, 0_u8..4, prop::bool::weighted(0.2), 0_u8..3),
        1..12,
    )
}

fn build(fleet: &[Traits]) -> Vec<Cluster> {
    fleet
        .iter()
        .enumerate()
        .map(|(number, &(pods, region, tainted, label))| {
            let cluster = cluster(&format!("m{number:02}"), pods);
            let cluster = with_region(cluster, &format!("r{region}"));
            let cluster = with_label(cluster, "tier", &format!("t{label}"));
            if tainted {
                with_taint(cluster, "k", "v", "NoSchedule")
            } else {
                cluster
            }
        })
        .collect()
}

fn placement() -> impl Strategy<Value = Placement> {
    let strategy = prop_oneof![
        Just(dynamic_weight()),
        Just(aggregated()),
        Just(duplicated()),
        Just(static_weights(&[("m00", 2), ("m01", 1), ("m03", 5)])),
    ];
    let constraints = prop_oneof![
        Just(Vec::new()),
        (1_i64..4, 0_i64..4).prop_map(|(min, more)| vec![spread(
            SpreadField::Cluster,
            min,
            min + more
        )]),
        (1_i64..3, 0_i64..2, 1_i64..4, 0_i64..4).prop_map(|(rmin, rmore, min, more)| {
            let regions = spread(SpreadField::Region, rmin, rmin + rmore);
            vec![regions, spread(SpreadField::Cluster, min, min + more)]
        }),
    ];
    (strategy, constraints)
        .prop_map(|(placement, constraints)| with_spread(placement, &constraints))
}

/// A binding with replicas, previous targets and a uid.
fn workload() -> impl Strategy<Value = ResourceBinding> {
    let previous = prop::collection::btree_map(0_usize..14, 0_i32..9, 0..6);
    (placement(), 1_i32..60, previous, 0_u8..4, any::<bool>()).prop_map(
        |(placement, replicas, previous, uid, is_fresh)| {
            let mut binding = with_uid(binding(replicas, placement), &format!("uid-{uid}"));
            binding.spec.clusters = previous
                .into_iter()
                .flat_map(|(number, replicas)| targets(&[(&format!("m{number:02}"), replicas)]))
                .collect();
            if is_fresh { fresh(binding) } else { binding }
        },
    )
}

fn replicas(decision: &Decision) -> Option<BTreeMap<String, i64>> {
    let Decision::Scheduled(outcome) = decision else {
        return None;
    };
    let placed = outcome.result.as_ref().ok()?;
    let entries = placed.clusters.iter();
    Some(
        entries
            .map(|it| (it.name.clone(), i64::from(it.replicas.unwrap_or_default())))
            .collect(),
    )
}

fn is_divided(binding: &ResourceBinding) -> bool {
    binding.spec.placement != Some(duplicated())
        && binding
            .spec
            .placement
            .as_ref()
            .unwrap()
            .replica_scheduling_type()
            == crds::policy::ReplicaSchedulingType::Divided
}

fn is_by_room(binding: &ResourceBinding) -> bool {
    let strategy = binding
        .spec
        .placement
        .as_ref()
        .unwrap()
        .replica_scheduling
        .as_ref();
    strategy.is_some_and(|it| {
        it.replica_division_preference.is_some()
            && it
                .weight_preference
                .as_ref()
                .is_none_or(|it| it.dynamic_weight.is_some())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn shares_add_up(fleet in fleet(), binding in workload(), reference in any::<bool>()) {
        let compat = if reference { Compat::REFERENCE } else { Compat::default() };
        let decision = decide_with(&binding, &build(&fleet), &options(compat));
        if let Some(shares) = replicas(&decision) && is_divided(&binding) {
            prop_assert_eq!(shares.values().sum::<i64>(), i64::from(binding.spec.replicas.unwrap()));
        }
    }

    #[test]
    fn no_cluster_gets_more_than_it_has_room_for(fleet in fleet(), binding in workload()) {
        let decision = decide_with(&binding, &build(&fleet), &Options::default());
        if let Some(shares) = replicas(&decision) && is_by_room(&binding) {
            for (name, share) in shares {
                let number: usize = name[1..].parse().unwrap();
                let before = i64::from(binding.spec.replicas_in(&name));
                prop_assert!(share <= fleet[number].0 + before, "{} has {}", name, share);
            }
        }
    }

    #[test]
    fn an_applied_result_is_stable(fleet in fleet(), binding in workload()) {
        let clusters = build(&fleet);
        // Which regions duplicated workloads go to depends on scores, which change as soon as clusters are targets.
        let by_region = |it: &SpreadConstraint| it.spread_by_field == Some(SpreadField::Region);
        let constraints = &binding.spec.placement.as_ref().unwrap().spread_constraints;
        prop_assume!(is_divided(&binding) || !constraints.iter().any(by_region));
        let Decision::Scheduled(first) = decide_with(&binding, &clusters, &Options::default()) else {
            return Ok(());
        };
        let Ok(placed) = &first.result else {
            return Ok(());
        };
        let mut binding = settled(binding);
        binding.spec.reschedule_triggered_at = None;
        binding.spec.clusters.clone_from(&placed.clusters);
        // Replicas that run are no longer free room.
        let settled_fleet: Vec<Traits> = fleet
            .iter()
            .enumerate()
            .map(|(number, &(pods, region, tainted, label))| {
                let running = i64::from(binding.spec.replicas_in(&format!("m{number:02}")));
                ((pods - running).max(0), region, tainted, label)
            })
            .collect();
        let again = decide_with(&binding, &build(&settled_fleet), &Options::default());
        match again {
            Decision::Nothing => prop_assert!(is_divided(&binding)),
            Decision::Scheduled(again) => {
                prop_assert!(!is_divided(&binding));
                prop_assert_eq!(
                    replicas(&Decision::Scheduled(first)),
                    replicas(&Decision::Scheduled(again))
                );
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn the_order_of_clusters_changes_nothing(
        fleet in fleet(),
        binding in workload(),
        seed in any::<prop::sample::Index>(),
    ) {
        let clusters = build(&fleet);
        let mut rotated = clusters.clone();
        rotated.rotate_left(seed.index(clusters.len()));
        rotated.reverse();
        let decide_all = |clusters: &[Cluster]| decide_with(&binding, clusters, &Options::default());
        prop_assert_eq!(decide_all(&clusters), decide_all(&rotated));
    }

    #[test]
    fn a_snapshot_grown_step_by_step_decides_alike(fleet in fleet(), binding in workload()) {
        let clusters = build(&fleet);
        let mut grown = snapshot(&[cluster("zz", 1), cluster("m00", 77)]);
        for cluster in clusters.iter().rev() {
            grown.apply(std::sync::Arc::new(cluster.clone()));
        }
        grown.remove("zz");
        let options = Options::default();
        let decision = decide(&binding, &Inputs::new(&grown, &options, now()), &mut NoTrace);
        prop_assert_eq!(decision, decide_with(&binding, &clusters, &options));
    }

    #[test]
    fn scaling_up_takes_nothing_away(
        fleet in fleet(),
        mut binding in workload(),
        packed in any::<bool>(),
        more in 1_i32..20,
    ) {
        let clusters = build(&fleet);
        binding.spec.placement = Some(if packed { aggregated() } else { dynamic_weight() });
        let Some(before) = replicas(&decide_with(&binding, &clusters, &Options::default())) else {
            return Ok(());
        };
        let mut scaled = settled(binding);
        scaled.spec.reschedule_triggered_at = None;
        let entries = before.iter().map(|(name, &share)| (name.as_str(), i32::try_from(share).unwrap()));
        scaled.spec.clusters = targets(&entries.collect::<Vec<_>>());
        scaled.spec.replicas = scaled.spec.replicas.map(|it| it + more);
        if let Some(after) = replicas(&decide_with(&scaled, &clusters, &Options::default())) {
            for (name, share) in before {
                prop_assert!(after.get(&name).is_some_and(|&it| it >= share));
            }
        }
    }

    #[test]
    fn spread_limits_hold(fleet in fleet(), binding in workload()) {
        let decision = decide_with(&binding, &build(&fleet), &Options::default());
        let placement = binding.spec.placement.as_ref().unwrap();
        let static_weights = !is_by_room(&binding) && is_divided(&binding);
        let Some(shares) = replicas(&decision).filter(|_| !static_weights) else {
            return Ok(());
        };
        for constraint in &placement.spread_constraints {
            let count = match constraint.spread_by_field.unwrap() {
                SpreadField::Region => {
                    let region = |name: &String| fleet[name[1..].parse::<usize>().unwrap()].1;
                    shares.keys().map(region).collect::<std::collections::BTreeSet<_>>().len()
                }
                _ => shares.len(),
            };
            let count = i64::try_from(count).unwrap();
            prop_assert!(count <= constraint.max_groups.unwrap());
            // Division may leave selected clusters empty.
            prop_assert!(is_divided(&binding) || count >= constraint.min_groups.unwrap());
        }
    }

    #[test]
    fn tracing_changes_nothing(fleet in fleet(), binding in workload()) {
        let clusters = build(&fleet);
        let (traced, _) = recorded(&binding, &clusters, &Options::default());
        prop_assert_eq!(traced, decide_with(&binding, &clusters, &Options::default()));
    }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abt12]{0,2}|-x|5", 0..3)
}

fn operator() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "In",
        "NotIn",
        "Exists",
        "DoesNotExist",
        "Gt",
        "Lt",
        "Nonsense",
    ])
    .prop_map(str::to_owned)
}

fn affinity() -> impl Strategy<Value = ClusterAffinity> {
    let key = prop::sample::select(vec!["tier", "a/b", "x y", ""]).prop_map(str::to_owned);
    let labels = prop::option::of((
        prop::collection::btree_map(key.clone(), "[at12]{0,2}", 0..2),
        prop::collection::vec((key, operator(), texts()), 0..3),
    ));
    let field =
        prop::sample::select(vec!["provider", "region", "zone", "other"]).prop_map(str::to_owned);
    let fields = prop::option::of(prop::collection::vec((field, operator(), texts()), 0..3));
    let names = || prop::collection::vec("[abm]", 0..2);
    (labels, fields, names(), names())
        .prop_map(|(labels, fields, names, exclude)| selector(labels, fields, names, exclude))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn compiled_affinities_match_like_plain_ones(
        affinity in affinity(),
        name in "[abm]",
        labels in prop::collection::btree_map("tier|a/b", "[abt12]{0,2}", 0..2),
        provider in prop::option::of("[abt125]{0,2}"),
        region in prop::option::of("[abt125]{0,2}"),
        zones in texts(),
    ) {
        let mut cluster = cluster(&name, 5);
        cluster.metadata.labels = Some(labels);
        cluster.spec.provider = provider;
        cluster.spec.region = region;
        cluster.spec.zones = zones;
        let expected = crds::affinity::matches(&affinity, &cluster);
        let mut placement = duplicated();
        placement.cluster_affinity = Some(affinity);
        let outcome = outcome(&binding(1, placement), &[cluster], &Options::default());
        prop_assert_eq!(outcome.result.is_ok(), expected);
    }
}

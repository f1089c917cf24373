//! Spread constraints hold at every level, by field and by label.

use std::collections::BTreeSet;

use crds::cluster::Cluster;
use crds::policy::{Placement, SpreadConstraint, SpreadField};
use proptest::prelude::*;
use scheduler::{Decision, Options};

use crate::fixtures::*;

/// Pods, provider, region, zones and rack of a cluster; 0 stands for none, and each bit of the zones for one.
type Place = (i64, u8, u8, u8, u8);

fn fleet() -> impl Strategy<Value = Vec<Place>> {
    let place = (0_i64..20, 0_u8..4, 0_u8..5, 0_u8..16, 0_u8..4);
    prop::collection::vec(place, 1..14)
}

const FIELDS: [&str; 5] = ["provider", "region", "zone", "rack", "cluster"];

/// The groups of a cluster by a field or label.
fn groups(fleet: &[Place], number: usize, field: &str) -> Vec<String> {
    let (_, provider, region, zones, rack) = fleet[number];
    let of = |value: u8| (value > 0).then(|| format!("{field}{value}"));
    let one = match field {
        "provider" => of(provider),
        "region" => of(region),
        "zone" => {
            return (0..4)
                .filter(|bit| zones & (1 << bit) > 0)
                .filter_map(|bit| of(bit + 1))
                .collect();
        }
        "rack" => of(rack),
        _ => Some(number.to_string()),
    };
    one.into_iter().collect()
}

fn build(fleet: &[Place]) -> Vec<Cluster> {
    (0..fleet.len())
        .map(|number| {
            let mut cluster = cluster(&format!("m{number:02}"), fleet[number].0);
            let of = |field| groups(fleet, number, field);
            cluster.spec.provider = of("provider").pop();
            cluster.spec.region = of("region").pop();
            cluster.spec.zones = of("zone");
            match of("rack").pop() {
                Some(rack) => with_label(cluster, "rack", &rack),
                None => cluster,
            }
        })
        .collect()
}

fn constraint(field: &str, min: i64, max: i64) -> SpreadConstraint {
    let by = match field {
        "provider" => SpreadField::Provider,
        "region" => SpreadField::Region,
        "zone" => SpreadField::Zone,
        "rack" => {
            return SpreadConstraint {
                spread_by_label: Some("rack".to_owned()),
                min_groups: Some(min),
                max_groups: Some(max),
                ..SpreadConstraint::default()
            };
        }
        _ => SpreadField::Cluster,
    };
    spread(by, min, max)
}

type Limits = Vec<(&'static str, i64, i64)>;

/// Any of the fields, in any order, each with limits; 0 at most means without limit.
fn limits() -> impl Strategy<Value = Limits> {
    prop::sample::subsequence(FIELDS.to_vec(), 1..=5)
        .prop_shuffle()
        .prop_flat_map(|fields| {
            let numbers = prop::collection::vec((0_i64..4, 0_i64..4), fields.len());
            (Just(fields), numbers)
        })
        .prop_map(|(fields, numbers)| {
            let limits = fields.into_iter().zip(numbers);
            limits
                .map(|(field, (min, more))| (field, min, if more == 0 { 0 } else { min + more }))
                .collect()
        })
}

fn strategy() -> impl Strategy<Value = Placement> {
    prop_oneof![
        Just(duplicated()),
        Just(dynamic_weight()),
        Just(aggregated())
    ]
}

/// The numbers of the clusters that a workload of so many replicas goes to.
fn chosen(
    fleet: &[Place],
    placement: &Placement,
    limits: &Limits,
    replicas: i32,
) -> Option<Vec<usize>> {
    let constraints: Vec<SpreadConstraint> = limits
        .iter()
        .map(|&(field, min, max)| constraint(field, min, max))
        .collect();
    let binding = binding(replicas, with_spread(placement.clone(), &constraints));
    let options = Options {
        // What is selected and gets no replicas counts for the limits too.
        empty_workload_propagation: true,
        ..Options::default()
    };
    let Decision::Scheduled(outcome) = decide_with(&binding, &build(fleet), &options) else {
        return None;
    };
    let placed = outcome.result.ok()?;
    let numbers = placed.clusters.iter().map(|it| it.name[1..].parse());
    Some(numbers.map(Result::unwrap).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn limits_of_every_level_hold(
        fleet in fleet(),
        placement in strategy(),
        limits in limits(),
        replicas in 1_i32..30,
    ) {
        let Some(chosen) = chosen(&fleet, &placement, &limits, replicas) else {
            return Ok(());
        };
        for &(field, min, max) in &limits {
            let of: Vec<Vec<String>> =
                chosen.iter().map(|&number| groups(&fleet, number, field)).collect();
            prop_assert!(of.iter().all(|it| !it.is_empty()), "a cluster without {}", field);
            let all: BTreeSet<&String> = of.iter().flatten().collect();
            let count = i64::try_from(all.len()).unwrap();
            prop_assert!(count >= min, "{} groups by {}", count, field);
            // So many groups, of which each cluster stands in one.
            let suffice = |max: i64| {
                (0_u32..1 << all.len()).filter(|mask| i64::from(mask.count_ones()) <= max).any(|mask| {
                    let taken: Vec<&String> = all
                        .iter()
                        .enumerate()
                        .filter(|(bit, _)| mask & (1 << bit) > 0)
                        .map(|(_, it)| *it)
                        .collect();
                    of.iter().all(|it| it.iter().any(|group| taken.contains(&group)))
                })
            };
            prop_assert!(max == 0 || count <= max || suffice(max), "{} groups by {}", count, field);
        }
    }

    /// One level cannot rule out another: what meets the limits is found.
    #[test]
    fn a_single_level_finds_a_choice_if_there_is_one(
        fleet in fleet(),
        field in prop::sample::select(FIELDS.to_vec()),
        min in 1_i64..4,
        more in 0_i64..3,
    ) {
        let numbers = 0..fleet.len();
        let groups: BTreeSet<String> =
            numbers.flat_map(|number| groups(&fleet, number, field)).collect();
        let limits = vec![(field, min, min + more)];
        let chosen = chosen(&fleet, &duplicated(), &limits, 1);
        prop_assert_eq!(chosen.is_some(), i64::try_from(groups.len()).unwrap() >= min);
    }
}

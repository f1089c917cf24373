//! The division of replicas against a naive model, written from the rules alone.
//!
//! The model knows names and numbers, gives away one seat after the other, and shares no code with the scheduler.

use std::cmp::Reverse;

use crds::policy::{
    ClusterAffinity, ClusterAffinityTerm, ClusterPreferences, DynamicWeight, OverflowAffinityTerm,
    Placement, ReplicaDivisionPreference, ReplicaSchedulingStrategy, ReplicaSchedulingType,
    StaticClusterWeight,
};
use crds::work::ResourceBinding;
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use scheduler::Compat;
use scheduler::options::Switch;

use crate::fixtures::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preference {
    Absent,
    Aggregated,
    Weighted,
}

#[derive(Clone, Debug)]
struct Weights {
    /// The clusters that a rule names, all if it names none, with its weight.
    rules: Vec<(Vec<usize>, i64)>,
    dynamic: bool,
}

#[derive(Clone, Debug)]
enum Strategy {
    /// No `replicaScheduling` at all.
    Absent,
    Duplicated,
    Divided(Preference, Option<Weights>),
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
#[derive(Clone, Debug)]
struct Case {
    replicas: i64,
    has_requirements: bool,
    strategy: Strategy,
    /// The free pods of clusters `c0`, `c1`, ...
    rooms: Vec<i64>,
    /// Clusters that the affinity leaves out.
    excluded: Vec<usize>,
    /// The tier of each cluster, if there are tiers.
    tiers: Option<Vec<usize>>,
    /// Targets in their order; some are no clusters.
    previous: Vec<(usize, i64)>,
    fresh: bool,
    uid: String,
    keeps_empty: bool,
    /// Without the improvements over the reference.
    reference: bool,
}

/// Cluster 10 would sort between 1 and 2.
fn name(number: usize) -> String {
    format!("c{number:02}")
}

/// A cluster as the model sees it.
#[derive(Clone, Debug)]
struct Candidate {
    name: String,
    tier: usize,
    is_target: bool,
    assigned: i64,
    allocatable: i64,
}

type Shares = Vec<(String, i64)>;

impl Case {
    fn candidates(&self) -> Vec<Candidate> {
        let is_workload = self.replicas > 0 || self.has_requirements;
        let mut candidates: Vec<Candidate> = (0..self.rooms.len())
            .filter(|it| match &self.tiers {
                // Overflow groups are for workloads.
                Some(tiers) => is_workload || tiers[*it] == 0,
                None => !self.excluded.contains(it),
            })
            .map(|number| {
                let previous = self.previous.iter().find(|it| it.0 == number);
                Candidate {
                    name: name(number),
                    tier: self.tiers.as_ref().map_or(0, |tiers| tiers[number]),
                    is_target: previous.is_some(),
                    assigned: previous.map_or(0, |it| it.1),
                    allocatable: if self.replicas == 0 {
                        i64::from(i32::MAX)
                    } else {
                        self.rooms[number]
                    },
                }
            })
            .collect();
        candidates.sort_by_key(|it| {
            let score = if it.is_target { 100 } else { 0 };
            let available = it.allocatable + it.assigned;
            (it.tier, Reverse(score), Reverse(available), it.name.clone())
        });
        candidates
    }

    fn answer(&self) -> Result<Shares, String> {
        let candidates = self.candidates();
        let divides = self.replicas > 0 || (self.reference && self.has_requirements);
        let mut shares = if !divides {
            candidates.iter().map(|it| (it.name.clone(), 0)).collect()
        } else if self.tiers.as_ref().is_some() {
            nonzero(self.by_tiers(&candidates)?)
        } else {
            nonzero(self.divide(&candidates, self.replicas)?)
        };
        if self.keeps_empty {
            for candidate in &candidates {
                if shares.iter().all(|(name, _)| *name != candidate.name) {
                    shares.push((candidate.name.clone(), 0));
                }
            }
        }
        Ok(shares)
    }

    fn by_tiers(&self, candidates: &[Candidate]) -> Result<Shares, String> {
        let mut remaining = self.replicas;
        let mut shares = Vec::new();
        for tier in 0..9 {
            let members: Vec<Candidate> = candidates
                .iter()
                .filter(|it| it.tier == tier)
                .cloned()
                .collect();
            if members.is_empty() {
                continue;
            }
            let capacity = members.iter().map(|it| it.allocatable + it.assigned).sum();
            let quota = remaining.min(capacity);
            shares.extend(self.divide(&members, quota)?);
            remaining -= quota;
            if remaining == 0 {
                return Ok(shares);
            }
        }
        Err("Unschedulable: failed to assign replicas: Clusters available replicas are not enough to schedule.".into())
    }

    fn divide(&self, selected: &[Candidate], replicas: i64) -> Result<Shares, String> {
        let (preference, weights) = match &self.strategy {
            Strategy::Absent | Strategy::Duplicated => {
                let shares = selected.iter().map(|it| (it.name.clone(), replicas));
                return Ok(shares.collect());
            }
            Strategy::Divided(preference, weights) => (*preference, weights),
        };
        let dynamic = weights.as_ref().is_some_and(|it| it.dynamic);
        match preference {
            Preference::Absent if self.reference => Err(
                "SchedulerError: failed to assign replicas: unsupported replica scheduling strategy, \
                 replicaSchedulingType: Divided, replicaDivisionPreference: , please try another scheduling strategy"
                    .into(),
            ),
            Preference::Aggregated => self.by_room(selected, replicas, true),
            _ if dynamic => self.by_room(selected, replicas, false),
            _ => Ok(self.by_static_weights(selected, replicas, weights.as_ref())),
        }
    }

    fn by_static_weights(
        &self,
        selected: &[Candidate],
        replicas: i64,
        weights: Option<&Weights>,
    ) -> Shares {
        let weight = |cluster: &str| {
            let rules = weights.map_or(&[][..], |it| &it.rules).iter();
            let matching = rules.filter(|(named, _)| {
                named.is_empty() || named.iter().any(|&number| name(number) == cluster)
            });
            matching.map(|rule| rule.1).max().unwrap_or(0)
        };
        let mut pool: Shares = selected
            .iter()
            .map(|it| (it.name.clone(), weight(&it.name)))
            .filter(|it| it.1 > 0)
            .collect();
        if pool.is_empty() {
            pool = selected.iter().map(|it| (it.name.clone(), 1)).collect();
        }
        webster(replicas, &pool, &self.uid)
    }

    fn by_room(
        &self,
        selected: &[Candidate],
        replicas: i64,
        aggregated: bool,
    ) -> Result<Shares, String> {
        let previous: Shares = self
            .previous
            .iter()
            .map(|&(number, replicas)| (name(number), replicas))
            .filter(|(name, _)| selected.iter().any(|it| it.name == *name))
            .collect();
        let assigned: i64 = previous.iter().map(|it| it.1).sum();
        let of = |weight: fn(&Candidate) -> i64| -> Shares {
            let entries = selected.iter();
            entries.map(|it| (it.name.clone(), weight(it))).collect()
        };
        let (phase, target, mut pool, base) = if self.fresh {
            let pool = of(|it| it.allocatable + it.assigned);
            ("failed to do fresh scale", replicas, pool, Vec::new())
        } else if assigned > replicas {
            ("failed to scale down", replicas, previous, Vec::new())
        } else if assigned < replicas {
            let pool = of(|it| it.allocatable);
            ("failed to scale up", replicas - assigned, pool, previous)
        } else {
            return Ok(previous);
        };
        pool.sort_by_key(|it| Reverse(it.1));
        let mut sum: i64 = pool.iter().map(|it| it.1).sum();
        if self.reference {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "sums of the reference wrap"
            )]
            let wrapped = sum as i32;
            sum = wrapped.into();
        }
        if sum < target {
            return Err(format!(
                "Unschedulable: failed to assign replicas: {phase}: \
                 Clusters available replicas {sum} are not enough to schedule."
            ));
        }
        if aggregated {
            pool.sort_by_key(|(name, _)| !base.iter().any(|it| it.0 == *name && it.1 > 0));
            let length = (0..=pool.len())
                .find(|&length| pool[..length].iter().map(|it| it.1).sum::<i64>() >= target);
            pool.truncate(length.unwrap_or(pool.len()));
        }
        let divided = webster(target, &pool, &self.uid);
        if base.is_empty() {
            return Ok(divided);
        }
        if divided.is_empty() {
            return Ok(base);
        }
        let mut shares = divided;
        for share in &mut shares {
            let more = base.iter().find(|it| it.0 == share.0);
            share.1 += more.map_or(0, |it| it.1);
        }
        let mut leftovers: Shares = base
            .into_iter()
            .filter(|(name, _)| shares.iter().all(|it| it.0 != *name))
            .collect();
        leftovers.sort();
        shares.extend(leftovers);
        Ok(shares)
    }
}

fn nonzero(shares: Shares) -> Shares {
    shares.into_iter().filter(|it| it.1 > 0).collect()
}

/// FNV-1a, 32 bits: an even hash, or no uid, has names ascend.
fn ascends(uid: &str) -> bool {
    let mut hash: u32 = 2_166_136_261;
    for byte in uid.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    }
    uid.is_empty() || hash.is_multiple_of(2)
}

/// One seat after the other to the largest quotient, then to who has fewer seats, then by name.
fn webster(seats: i64, weights: &[(String, i64)], uid: &str) -> Shares {
    if weights.iter().all(|it| it.1 == 0) {
        return Vec::new();
    }
    let mut parties: Vec<(String, i64, i64)> =
        weights.iter().map(|it| (it.0.clone(), it.1, 0)).collect();
    parties.sort();
    if !ascends(uid) {
        parties.reverse();
    }
    for _ in 0..seats {
        let mut best = 0;
        for at in 1..parties.len() {
            let (_, weight, seats) = parties[at];
            let (_, best_weight, best_seats) = parties[best];
            let mine = i128::from(weight) * i128::from(2 * best_seats + 1);
            let theirs = i128::from(best_weight) * i128::from(2 * seats + 1);
            if mine > theirs || (mine == theirs && seats < best_seats) {
                best = at;
            }
        }
        parties[best].2 += 1;
    }
    let mut shares: Shares = parties.into_iter().map(|it| (it.0, it.2)).collect();
    shares.sort();
    shares
}

// The same case as objects.

impl Case {
    fn placement(&self) -> Placement {
        let strategy = match &self.strategy {
            Strategy::Absent => None,
            Strategy::Duplicated => Some(ReplicaSchedulingStrategy {
                replica_scheduling_type: Some(ReplicaSchedulingType::Duplicated),
                ..ReplicaSchedulingStrategy::default()
            }),
            Strategy::Divided(preference, weights) => Some(ReplicaSchedulingStrategy {
                replica_scheduling_type: Some(ReplicaSchedulingType::Divided),
                replica_division_preference: match preference {
                    Preference::Absent => None,
                    Preference::Aggregated => Some(ReplicaDivisionPreference::Aggregated),
                    Preference::Weighted => Some(ReplicaDivisionPreference::Weighted),
                },
                weight_preference: weights.as_ref().map(|weights| ClusterPreferences {
                    static_weight_list: weights
                        .rules
                        .iter()
                        .map(|(numbers, weight)| StaticClusterWeight {
                            target_cluster: by_name(numbers),
                            weight: *weight,
                        })
                        .collect(),
                    dynamic_weight: weights.dynamic.then_some(DynamicWeight::AvailableReplicas),
                }),
            }),
        };
        let mut placement = Placement {
            replica_scheduling: strategy,
            ..Placement::default()
        };
        match &self.tiers {
            None => {
                placement.cluster_affinity = Some(ClusterAffinity {
                    exclude: self.excluded.iter().map(|&it| name(it)).collect(),
                    ..ClusterAffinity::default()
                });
            }
            Some(tiers) => {
                let members = |tier: usize| {
                    let numbers: Vec<usize> =
                        (0..tiers.len()).filter(|&it| tiers[it] == tier).collect();
                    if numbers.is_empty() {
                        named(&["nobody"])
                    } else {
                        by_name(&numbers)
                    }
                };
                placement.cluster_affinities = vec![ClusterAffinityTerm {
                    affinity_name: "term".to_owned(),
                    affinity: members(0),
                    overflow_affinities: (1..4)
                        .map(|tier| OverflowAffinityTerm {
                            affinity_name: format!("tier-{tier}"),
                            affinity: members(tier),
                        })
                        .collect(),
                }];
            }
        }
        placement
    }

    fn binding(&self) -> ResourceBinding {
        let replicas = i32::try_from(self.replicas).unwrap();
        let mut binding = with_uid(binding(replicas, self.placement()), &self.uid);
        if !self.has_requirements {
            binding.spec.replica_requirements = None;
        }
        binding.spec.clusters = self
            .previous
            .iter()
            .flat_map(|&(number, replicas)| {
                targets(&[(&name(number), i32::try_from(replicas).unwrap())])
            })
            .collect();
        if self.fresh { fresh(binding) } else { binding }
    }

    /// What the scheduler makes of it.
    fn decided(&self) -> String {
        let clusters: Vec<_> = self
            .rooms
            .iter()
            .enumerate()
            .map(|(number, &room)| cluster(&name(number), room))
            .collect();
        let mut options = options(if self.reference {
            Compat::REFERENCE
        } else {
            // The model takes negative numbers for none.
            Compat::default().with(Switch::UncheckedNumbers)
        });
        options.empty_workload_propagation = self.keeps_empty;
        told(&outcome(&self.binding(), &clusters, &options))
    }

    /// What the model makes of it, in the same words.
    fn expected(&self) -> String {
        let entry = |(name, replicas): (String, i64)| match replicas {
            0 => name,
            _ => format!("{name} {replicas}"),
        };
        match self.answer() {
            Ok(shares) if shares.is_empty() => "-".to_owned(),
            Ok(shares) => shares.into_iter().map(entry).collect::<Vec<_>>().join(", "),
            Err(error) => error,
        }
    }
}

fn by_name(numbers: &[usize]) -> ClusterAffinity {
    ClusterAffinity {
        cluster_names: numbers.iter().map(|&it| name(it)).collect(),
        ..ClusterAffinity::default()
    }
}

fn weights() -> impl Generator<Value = Weights> {
    let weight = prop_oneof![4 => 0_i64..5, 1 => 0_i64..1_000, 1 => -3_i64..0];
    let rule = (prop::collection::vec(0_usize..8, 0..4), weight);
    (prop::collection::vec(rule, 0..5), any::<bool>())
        .prop_map(|(rules, dynamic)| Weights { rules, dynamic })
}

fn strategy() -> impl Generator<Value = Strategy> {
    let preference = prop_oneof![
        1 => Just(Preference::Absent),
        4 => Just(Preference::Aggregated),
        6 => Just(Preference::Weighted),
    ];
    prop_oneof![
        1 => Just(Strategy::Absent),
        1 => Just(Strategy::Duplicated),
        8 => (preference, prop::option::of(weights()))
            .prop_map(|(preference, weights)| Strategy::Divided(preference, weights)),
    ]
}

/// Small rooms, so that ties, shortages and full clusters are frequent.
fn case() -> impl Generator<Value = Case> {
    let rooms = prop::collection::vec(
        prop_oneof![2 => Just(0_i64), 5 => 0_i64..8, 2 => 0_i64..40],
        1..8,
    );
    let previous = prop::sample::subsequence((0..10).collect::<Vec<usize>>(), 0..6)
        .prop_shuffle()
        .prop_flat_map(|numbers| {
            let replicas = prop::collection::vec(0_i64..9, numbers.len());
            (Just(numbers), replicas)
        })
        .prop_map(|(numbers, replicas)| -> Vec<(usize, i64)> {
            numbers.into_iter().zip(replicas).collect()
        });
    let shape = (
        prop_oneof![1 => Just(0_i64), 8 => 1_i64..40],
        prop::bool::weighted(0.8),
        strategy(),
        rooms,
        prop::collection::vec(0_usize..8, 0..3),
        prop::option::weighted(0.3, prop::collection::vec(0_usize..4, 8)),
    );
    let circumstances = (
        previous,
        prop::bool::weighted(0.3),
        "[a-d]{0,2}",
        prop::bool::weighted(0.2),
        any::<bool>(),
    );
    (shape, circumstances).prop_map(
        |(
            (replicas, has_requirements, strategy, rooms, excluded, tiers),
            (previous, fresh, uid, keeps_empty, reference),
        )| Case {
            replicas,
            has_requirements,
            strategy,
            tiers: tiers.map(|tiers| tiers[..rooms.len()].to_vec()),
            rooms,
            excluded,
            previous,
            fresh,
            uid,
            keeps_empty,
            reference,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn division_is_that_of_the_model(case in case()) {
        // Without any cluster left there is nothing to divide.
        prop_assume!(!case.candidates().is_empty());
        prop_assert_eq!(case.decided(), case.expected());
    }
}

#[test]
fn the_model_knows_the_worked_examples() {
    let case = |replicas: i64, rooms: &[i64], previous: &[(usize, i64)], preference| Case {
        replicas,
        has_requirements: true,
        strategy: Strategy::Divided(
            preference,
            Some(Weights {
                rules: Vec::new(),
                dynamic: true,
            }),
        ),
        rooms: rooms.to_vec(),
        excluded: Vec::new(),
        tiers: None,
        previous: previous.to_vec(),
        fresh: false,
        uid: String::new(),
        keeps_empty: false,
        reference: true,
    };
    let weighted = |replicas, rooms: &[i64], previous: &[(usize, i64)]| {
        case(replicas, rooms, previous, Preference::Weighted).expected()
    };
    let packed = |replicas, rooms: &[i64], previous: &[(usize, i64)]| {
        case(replicas, rooms, previous, Preference::Aggregated).expected()
    };
    // W1, W6, W13, A2, A7, A15 and O1.
    assert_eq!(weighted(12, &[18, 12, 6], &[]), "c00 6, c01 4, c02 2");
    assert_eq!(
        weighted(12, &[10, 20, 10], &[(0, 4), (1, 4)]),
        "c00 5, c01 6, c02 1"
    );
    assert_eq!(
        weighted(7, &[0, 0, 0], &[(0, 2), (1, 4), (2, 6)]),
        "c00 1, c01 2, c02 4"
    );
    assert_eq!(packed(20, &[6, 12, 18], &[]), "c01 8, c02 12");
    assert_eq!(packed(20, &[6, 12, 18], &[(0, 10)]), "c00 13, c02 7");
    assert_eq!(packed(8, &[0, 3, 9], &[(0, 5), (1, 0)]), "c00 5, c02 3");
    let mut tiers = case(12, &[5, 4, 8], &[], Preference::Aggregated);
    tiers.tiers = Some(vec![0, 1, 1]);
    assert_eq!(tiers.expected(), "c00 5, c02 7");
    assert!(ascends(UID_0) && !ascends(UID_1));
}

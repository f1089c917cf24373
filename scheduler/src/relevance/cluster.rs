use std::collections::{BTreeMap, BTreeSet};

use crds::affinity::matches;
use crds::cluster::{ApiEnablement, Cluster, ClusterStatus, ResourceSummary};
use crds::policy::{ClusterAffinity, ClusterAffinityTerm, ReplicaSchedulingType};
use crds::work::{Binding, ResourceBindingSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};

use super::is_unsatisfied;
use crate::decision::{observed_affinity, scheduler_name};
use crate::options::{Options, Switch};
use crate::quantity::Amount;

/// What happened to a cluster, as far as the scheduler is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterChange {
    /// Nothing that matters.
    Nothing,
    /// It is new.
    Added,
    /// It began to be removed.
    Terminating,
    /// Labels or spec changed.
    Spec,
    /// It became ready, serves more APIs or has more room.
    Gained,
}

impl ClusterChange {
    /// Compares a cluster with its state before; `None` stands for absent.
    pub fn between(before: Option<&Cluster>, after: &Cluster) -> Self {
        let Some(before) = before else {
            return Self::Added;
        };
        let (old, new) = (&before.metadata, &after.metadata);
        if old.deletion_timestamp.is_none() && new.deletion_timestamp.is_some() {
            Self::Terminating
        } else if old.labels.as_ref().filter(|it| !it.is_empty())
            != new.labels.as_ref().filter(|it| !it.is_empty())
            || old.generation != new.generation
        {
            Self::Spec
        } else if gained(before.status.as_ref(), after.status.as_ref()) {
            Self::Gained
        } else {
            Self::Nothing
        }
    }
}

/// Whether a cluster offers anything that it did not offer before.
fn gained(before: Option<&ClusterStatus>, after: Option<&ClusterStatus>) -> bool {
    let Some(after) = after else {
        return false;
    };
    let Some(before) = before else {
        return true;
    };
    let apis = |status: &ClusterStatus| -> BTreeSet<(String, String)> {
        let enablements = status.api_enablements.iter();
        enablements
            .flat_map(|it| {
                it.resources
                    .iter()
                    .map(|api| (it.group_version.clone(), api.kind.clone()))
            })
            .collect()
    };
    (after.is_ready() && !before.is_ready())
        || has_more_room(
            before.resource_summary.as_ref(),
            after.resource_summary.as_ref(),
        )
        || (before.api_enablements != after.api_enablements
            && !apis(after).is_subset(&apis(before)))
}

fn has_more_room(before: Option<&ResourceSummary>, after: Option<&ResourceSummary>) -> bool {
    let Some(after) = after else {
        return false;
    };
    let Some(before) = before else {
        return true;
    };
    let amount = |list: &BTreeMap<String, Quantity>, name: &str| {
        list.get(name)
            .and_then(Amount::of)
            .unwrap_or_default()
            .nanos
    };
    let free = |summary: &ResourceSummary, name: &str| {
        amount(&summary.allocatable, name)
            - amount(&summary.allocated, name)
            - amount(&summary.allocating, name)
    };
    let more = after
        .allocatable
        .keys()
        .any(|name| free(after, name) > free(before, name));
    // Nodes by size say where there is room even when the sums do not change.
    more || after.allocatable_modelings.iter().any(|new| {
        let old = before
            .allocatable_modelings
            .iter()
            .find(|old| old.grade == new.grade);
        new.count > old.map_or(0, |old| old.count)
    })
}

/// What the clusters have to be like whose changes concern a binding.
#[derive(Serialize, Deserialize)]
struct Interest {
    scheduler: String,
    /// Every cluster, because the last decision is out of date anyway, or because no affinity limits it.
    everything: bool,
    /// The terms that count, each with its overflow groups; the last one is in use unless the binding has no place.
    terms: Vec<Vec<ClusterAffinity>>,
    /// Which term is in use.
    start: usize,
    /// Group version and kind of what goes wherever it can.
    ///
    /// Kinds of one's own are often installed together with their first objects, which then are placed before every cluster has told
    /// that it serves the kind. Nothing that is placed moves for a cluster that learns it later.
    everywhere: Option<(String, String)>,
}

impl Interest {
    /// Whether the cluster serves the kind now and did not before.
    fn is_of_a_kind_learnt(&self, before: Option<&Cluster>, after: &Cluster) -> bool {
        self.everywhere.as_ref().is_some_and(|(version, kind)| {
            let serves = |it: &Cluster| it.api_enablement(version, kind) == ApiEnablement::Enabled;
            serves(after) && !before.is_some_and(serves)
        })
    }
}

/// What an interest begins with whose bindings found no place, so that gains matter to them too.
const UNSATISFIED: char = '!';

/// The interest of a binding in clusters, as text: bindings with the same text are concerned by the same changes.
///
/// Most bindings share the few affinities of their policies, so that by their interests a changed cluster is matched a few times
/// instead of once per binding. `None` for bindings that clusters do not concern.
pub fn interest<B: Binding>(binding: &B) -> Option<String> {
    let spec = binding.spec();
    let placement = spec.placement.as_ref()?;
    if spec.is_scheduling_suspended() {
        return None;
    }
    let unsatisfied = is_unsatisfied(binding);
    let status = binding.status();
    let decided = status.and_then(|status| status.scheduler_observed_generation);
    let up_to_date = decided.unwrap_or_default() == binding.meta().generation.unwrap_or_default();
    let terms = &placement.cluster_affinities;
    let observed = observed_affinity(binding);
    let start = terms
        .iter()
        .position(|term| term.affinity_name == observed)
        .unwrap_or(0);
    let interest = Interest {
        scheduler: scheduler_name(binding).to_owned(),
        everything: if terms.is_empty() {
            placement.cluster_affinity.is_none()
        } else {
            !up_to_date
        },
        terms: if terms.is_empty() {
            placement
                .cluster_affinity
                .iter()
                .map(|affinity| vec![affinity.clone()])
                .collect()
        } else {
            let last = if unsatisfied { terms.len() - 1 } else { start };
            terms[..=last].iter().map(with_overflow).collect()
        },
        start,
        everywhere: (!is_divided(spec)).then(|| {
            (
                spec.resource.api_version.clone(),
                spec.resource.kind.clone(),
            )
        }),
    };
    // Strings and lists of them always serialise; what cannot be read counts as concerned.
    let text = serde_json::to_string(&interest).unwrap_or_default();
    Some(if unsatisfied {
        format!("{UNSATISFIED}{text}")
    } else {
        text
    })
}

fn is_divided(spec: &ResourceBindingSpec) -> bool {
    let placement = spec.placement.as_ref();
    spec.is_workload()
        && placement
            .is_some_and(|it| it.replica_scheduling_type() == ReplicaSchedulingType::Divided)
}

fn with_overflow(term: &ClusterAffinityTerm) -> Vec<ClusterAffinity> {
    let overflow = term.overflow_affinities.iter();
    std::iter::once(&term.affinity)
        .chain(overflow.map(|it| &it.affinity))
        .cloned()
        .collect()
}

/// Whether a change of a cluster concerns the bindings that have this [`interest`].
pub fn concerns(
    interest: &str,
    change: ClusterChange,
    before: Option<&Cluster>,
    after: &Cluster,
    options: &Options,
) -> bool {
    if change == ClusterChange::Nothing {
        return false;
    }
    let unsatisfied = interest.starts_with(UNSATISFIED);
    let Ok(interest) = serde_json::from_str::<Interest>(interest.trim_start_matches(UNSATISFIED))
    else {
        // To look once too often does no harm.
        return true;
    };
    let before = match change {
        ClusterChange::Gained if !unsatisfied && !interest.is_of_a_kind_learnt(before, after) => {
            return false;
        }
        ClusterChange::Spec => before,
        _ => None,
    };
    let wants = |cluster: &Cluster| {
        interest.everything
            || if options.compat.keeps(Switch::NoFailBack) {
                let used = interest.terms.get(interest.start);
                used.and_then(|term| term.first())
                    .is_some_and(|affinity| matches(affinity, cluster))
            } else {
                let mut affinities = interest.terms.iter().flatten();
                affinities.any(|affinity| matches(affinity, cluster))
            }
    };
    interest.scheduler == options.scheduler_name && (wants(after) || before.is_some_and(wants))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::cluster::{ApiEnablements, ApiResource, ClusterSpec};
    use crds::conditions::{self, binding as reasons};
    use crds::policy::{OverflowAffinityTerm, Placement, ReplicaSchedulingStrategy};
    use crds::work::{BindingSuspension, ResourceBinding};

    use crate::options::Compat;

    fn named(name: &str) -> ClusterAffinity {
        ClusterAffinity {
            cluster_names: vec![name.to_owned()],
            ..ClusterAffinity::default()
        }
    }

    fn single(name: &str) -> Placement {
        Placement {
            cluster_affinity: Some(named(name)),
            ..Placement::default()
        }
    }

    fn terms() -> Placement {
        let term = |name: &str| ClusterAffinityTerm {
            affinity_name: name.to_owned(),
            affinity: named(name),
            overflow_affinities: vec![OverflowAffinityTerm {
                affinity_name: format!("{name}o"),
                affinity: named(&format!("{name}o")),
            }],
        };
        Placement {
            cluster_affinities: vec![term("a"), term("b"), term("c")],
            ..Placement::default()
        }
    }

    fn binding(placement: Placement, unsatisfied: bool) -> ResourceBinding {
        let mut binding = ResourceBinding::default();
        binding.spec.placement = Some(placement);
        let status = binding.status.get_or_insert_default();
        status.scheduler_observing_affinity_name = Some("b".to_owned());
        if unsatisfied {
            let condition =
                conditions::condition(reasons::SCHEDULED, "False", reasons::UNSCHEDULABLE, "");
            status.conditions.push(condition);
        }
        binding
    }

    fn cluster(name: &str) -> Cluster {
        Cluster::new(name, ClusterSpec::default())
    }

    #[track_caller]
    fn check(change: ClusterChange, changed: &str, expected: &[&str]) {
        let (options, cluster) = (Options::default(), cluster(changed));
        let bindings = [
            ("all", binding(Placement::default(), false)),
            ("single", binding(single("a"), true)),
            ("terms", binding(terms(), false)),
            ("waiting", binding(terms(), true)),
        ];
        let concerned: Vec<&str> = bindings
            .iter()
            .filter(|(_, it)| {
                let interest = interest(it).unwrap();
                concerns(&interest, change, Some(&cluster), &cluster, &options)
            })
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(concerned, expected);
    }

    #[test]
    fn changes_concern_bindings_whose_affinity_matches() {
        use ClusterChange::{Added, Gained, Nothing, Spec, Terminating};
        check(Spec, "a", &["all", "single", "terms", "waiting"]);
        check(Spec, "bo", &["all", "terms", "waiting"]);
        check(Terminating, "b", &["all", "terms", "waiting"]);
        check(Added, "c", &["all", "waiting"]);
        check(Gained, "a", &["single", "waiting"]);
        check(Gained, "x", &[]);
        check(Nothing, "a", &[]);
    }

    #[track_caller]
    fn added(binding: &ResourceBinding, cluster_name: &str, options: &Options) -> bool {
        let cluster = cluster(cluster_name);
        interest(binding)
            .is_some_and(|it| concerns(&it, ClusterChange::Added, None, &cluster, options))
    }

    #[test]
    fn a_cluster_that_leaves_an_affinity_concerns_it_too() {
        let interest = interest(&binding(single("a"), false)).unwrap();
        let (before, after) = (cluster("a"), cluster("b"));
        let concerned = |before: &Cluster| {
            let change = ClusterChange::Spec;
            concerns(&interest, change, Some(before), &after, &Options::default())
        };
        assert!(concerned(&before));
        assert!(!concerned(&after));
    }

    #[test]
    fn an_outdated_decision_is_concerned_by_every_cluster() {
        let (mut binding, options) = (binding(terms(), false), Options::default());
        assert!(!added(&binding, "x", &options));
        binding.metadata.generation = Some(2);
        assert!(added(&binding, "x", &options));
    }

    #[test]
    fn without_fail_back_only_the_term_in_use_counts() {
        let options = Options {
            compat: Compat::REFERENCE,
            ..Options::default()
        };
        for unsatisfied in [false, true] {
            let binding = binding(terms(), unsatisfied);
            assert!(added(&binding, "b", &options));
            for other in ["a", "bo", "c"] {
                assert!(!added(&binding, other, &options), "{other}");
            }
        }
    }

    #[test]
    fn bindings_of_others_are_not_concerned() {
        let options = Options::default();
        let mine = binding(single("a"), false);
        let mut other = mine.clone();
        other.spec.scheduler_name = Some("other".to_owned());
        let mut suspended = mine.clone();
        suspended.spec.suspension = Some(BindingSuspension {
            scheduling: Some(true),
            ..BindingSuspension::default()
        });
        let mut unplaced = mine.clone();
        unplaced.spec.placement = None;
        assert!(added(&mine, "a", &options));
        for foreign in [&other, &suspended, &unplaced] {
            assert!(!added(foreign, "a", &options));
        }
    }

    #[test]
    fn bindings_of_one_policy_share_an_interest() {
        let (one, mut two) = (binding(single("a"), false), binding(single("a"), false));
        two.metadata.name = Some("two".to_owned());
        two.metadata.generation = Some(7);
        assert_eq!(interest(&one), interest(&two));
        assert_ne!(interest(&one), interest(&binding(single("a"), true)));
    }

    fn serving(kinds: &[&str]) -> Cluster {
        let mut cluster = Cluster::new("m1", ClusterSpec::default());
        let resources = kinds.iter().map(|kind| ApiResource {
            kind: (*kind).to_owned(),
            ..ApiResource::default()
        });
        cluster.status.get_or_insert_default().api_enablements = vec![ApiEnablements {
            group_version: "example.com/v1".into(),
            resources: resources.collect(),
        }];
        cluster
    }

    #[test]
    fn a_cluster_that_learns_a_kind_concerns_what_goes_everywhere() {
        let mut widget = ResourceBinding::default();
        widget.spec.resource.api_version = "example.com/v1".into();
        widget.spec.resource.kind = "Widget".into();
        widget.spec.placement = Some(Placement::default());
        let concerned = |binding: &ResourceBinding, before: &[&str], after: &[&str]| {
            let (before, after) = (serving(before), serving(after));
            let change = ClusterChange::between(Some(&before), &after);
            let interest = interest(binding).unwrap();
            concerns(
                &interest,
                change,
                Some(&before),
                &after,
                &Options::default(),
            )
        };
        assert!(concerned(&widget, &[], &["Widget"]));
        assert!(!concerned(&widget, &["Widget"], &["Widget", "Gadget"]));
        assert!(!concerned(&widget, &[], &["Gadget"]));

        let mut elsewhere = widget.clone();
        elsewhere.spec.placement.as_mut().unwrap().cluster_affinity = Some(ClusterAffinity {
            cluster_names: vec!["m2".into()],
            ..ClusterAffinity::default()
        });
        assert!(!concerned(&elsewhere, &[], &["Widget"]));

        // What is divided would have to move for it.
        let mut divided = widget.clone();
        divided.spec.replicas = Some(3);
        let placement = divided.spec.placement.as_mut().unwrap();
        placement.replica_scheduling = Some(ReplicaSchedulingStrategy {
            replica_scheduling_type: Some(ReplicaSchedulingType::Divided),
            ..ReplicaSchedulingStrategy::default()
        });
        assert!(!concerned(&divided, &[], &["Widget"]));
    }
}

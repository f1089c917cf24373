use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crds::cluster::Cluster;
use crds::work::Binding;

use super::cluster::{ClusterChange, Interest};
use crate::options::Options;

/// Bindings by the affinities that decide which clusters concern them.
///
/// Most bindings share the few affinities of their policies, so that a cluster is matched a few times instead of once per binding.
#[derive(Debug)]
pub struct Index<K> {
    groups: HashMap<Arc<str>, Group<K>>,
    of_key: HashMap<K, Arc<str>>,
}

#[derive(Debug)]
struct Group<K> {
    interest: Interest,
    keys: BTreeSet<K>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self {
            groups: HashMap::new(),
            of_key: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Index<K> {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a binding as it is now.
    pub fn update<B: Binding>(&mut self, key: K, binding: &B, options: &Options) {
        let Some(interest) = Interest::of(binding, options) else {
            self.remove(&key);
            return;
        };
        let signature = format!("{interest:?}");
        if self.of_key.get(&key).is_some_and(|old| **old == *signature) {
            return;
        }
        self.remove(&key);
        let signature: Arc<str> = signature.into();
        let shared = self
            .groups
            .get_key_value(&signature)
            .map(|(shared, _)| Arc::clone(shared));
        let signature = shared.unwrap_or(signature);
        let group = self
            .groups
            .entry(Arc::clone(&signature))
            .or_insert_with(|| Group {
                interest,
                keys: BTreeSet::new(),
            });
        group.keys.insert(key.clone());
        self.of_key.insert(key, signature);
    }

    /// Forgets a binding.
    pub fn remove(&mut self, key: &K) {
        let Some(signature) = self.of_key.remove(key) else {
            return;
        };
        if let Some(group) = self.groups.get_mut(&signature) {
            group.keys.remove(key);
            if group.keys.is_empty() {
                self.groups.remove(&signature);
            }
        }
    }

    /// The bindings that a change of a cluster concerns, in order.
    pub fn concerned(
        &self,
        change: ClusterChange,
        before: Option<&Cluster>,
        after: &Cluster,
    ) -> BTreeSet<K> {
        self.groups
            .values()
            .filter(|group| group.interest.is_in(change, before, after))
            .flat_map(|group| group.keys.iter().cloned())
            .collect()
    }
}

/// Lets through the gains of each cluster at most once per period.
#[derive(Debug)]
pub struct Debounce {
    period: Duration,
    /// When each cluster was last let through, or will be.
    last: HashMap<String, Duration>,
}

impl Default for Debounce {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

impl Debounce {
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            last: HashMap::new(),
        }
    }

    /// How long to wait before acting on a gain; `None` if an earlier gain is waiting already.
    pub fn offer(&mut self, cluster: &str, now: Duration) -> Option<Duration> {
        let Some(last) = self.last.get_mut(cluster) else {
            self.last.insert(cluster.to_owned(), now);
            return Some(Duration::ZERO);
        };
        if *last > now {
            return None;
        }
        *last = now.max(*last + self.period);
        Some(last.saturating_sub(now))
    }

    /// How long to wait before acting, for those who wait on their own each time and so may ask while they wait already.
    pub fn postpone(&mut self, who: &str, now: Duration) -> Duration {
        self.offer(who, now)
            .or_else(|| Some(self.last.get(who)?.saturating_sub(now)))
            .unwrap_or_default()
    }

    /// Forgets a cluster that is gone.
    pub fn remove(&mut self, cluster: &str) {
        self.last.remove(cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::cluster::ClusterSpec;
    use crds::conditions::{self, binding as reasons};
    use crds::policy::{ClusterAffinity, ClusterAffinityTerm, OverflowAffinityTerm, Placement};
    use crds::work::ResourceBinding;

    fn named(name: &str) -> ClusterAffinity {
        ClusterAffinity {
            cluster_names: vec![name.to_owned()],
            ..ClusterAffinity::default()
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

    #[track_caller]
    fn check(change: ClusterChange, cluster: &str, expected: &[&str]) {
        let options = Options::default();
        let single = Placement {
            cluster_affinity: Some(named("a")),
            ..Placement::default()
        };
        let mut index = Index::new();
        index.update("all", &binding(Placement::default(), false), &options);
        index.update("single", &binding(single, true), &options);
        index.update("terms", &binding(terms(), false), &options);
        index.update("waiting", &binding(terms(), true), &options);
        let cluster = Cluster::new(cluster, ClusterSpec::default());
        let concerned = index.concerned(change, Some(&cluster), &cluster);
        assert_eq!(concerned.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn changes_concern_bindings_whose_affinity_matches() {
        check(
            ClusterChange::Spec,
            "a",
            &["all", "single", "terms", "waiting"],
        );
        check(ClusterChange::Spec, "bo", &["all", "terms", "waiting"]);
        check(ClusterChange::Added, "c", &["all", "waiting"]);
        check(ClusterChange::Gained, "a", &["single", "waiting"]);
        check(ClusterChange::Gained, "x", &[]);
        check(ClusterChange::Nothing, "a", &[]);
    }

    #[test]
    fn a_cluster_that_leaves_an_affinity_concerns_it_too() {
        let options = Options::default();
        let mut index = Index::new();
        let placement = Placement {
            cluster_affinity: Some(named("a")),
            ..Placement::default()
        };
        index.update(1, &binding(placement, false), &options);
        let (before, after) = (
            Cluster::new("a", ClusterSpec::default()),
            Cluster::new("b", ClusterSpec::default()),
        );
        let concerned = index.concerned(ClusterChange::Spec, Some(&before), &after);
        assert_eq!(concerned.len(), 1);
        index.remove(&1);
        assert!(index.groups.is_empty() && index.of_key.is_empty());
    }

    #[test]
    fn gains_are_let_through_once_per_period() {
        let at = Duration::from_secs;
        let mut debounce = Debounce::default();
        assert_eq!(debounce.offer("m1", at(0)), Some(at(0)));
        assert_eq!(debounce.offer("m2", at(1)), Some(at(0)));
        assert_eq!(debounce.offer("m1", at(10)), Some(at(20)));
        assert_eq!(debounce.offer("m1", at(11)), None);
        assert_eq!(debounce.offer("m1", at(100)), Some(at(0)));
        assert_eq!(debounce.postpone("m1", at(110)), at(20));
        assert_eq!(debounce.postpone("m1", at(112)), at(18));
        assert_eq!(debounce.postpone("m3", at(112)), at(0));
    }
}

//! Replicas that were placed but that no cluster's status shows yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crds::object::Key;
use crds::work::{
    AggregatedStatusItem, Component, ComponentReplicaRequirements, ResourceBinding,
    ResourceBindingSpec, ResourceHealth,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::options::{Compat, Switch};

/// How long a placement is assumed to be under way.
const EXPIRY: SignedDuration = SignedDuration::from_mins(5);

/// A workload, or a part of it, that is assumed to come to a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct AssumedWorkload {
    pub namespace: String,
    /// The components of one set; a plain workload is one component with all its replicas.
    pub components: Vec<Component>,
}

/// All assumed workloads, by binding and cluster.
#[derive(Debug, Default)]
pub struct AssumedWorkloads {
    bindings: HashMap<Key, Entry>,
    by_cluster: HashMap<String, BTreeSet<Key>>,
}

#[derive(Debug)]
struct Entry {
    expires: Timestamp,
    clusters: BTreeMap<String, AssumedWorkload>,
}

/// The assumed workloads that have not expired at some time.
#[derive(Clone, Copy, Debug)]
pub struct AssumedAt<'a> {
    workloads: &'a AssumedWorkloads,
    now: Timestamp,
}

impl<'a> AssumedAt<'a> {
    /// The workloads that are assumed to come to a cluster, by binding.
    pub fn in_cluster(self, cluster: &str) -> impl Iterator<Item = &'a AssumedWorkload> + use<'a> {
        let Self { workloads, now } = self;
        let by_cluster = workloads.by_cluster.get_key_value(cluster);
        by_cluster.into_iter().flat_map(move |(cluster, keys)| {
            keys.iter()
                .filter_map(|key| workloads.bindings.get(key))
                .filter(move |entry| entry.expires > now)
                .filter_map(move |entry| entry.clusters.get(cluster.as_str()))
        })
    }
}

impl AssumedWorkloads {
    /// What is assumed at this time.
    pub fn at(&self, now: Timestamp) -> AssumedAt<'_> {
        AssumedAt {
            workloads: self,
            now,
        }
    }

    /// Takes note of a result that was written for a workload; `before` is the spec that it replaced.
    ///
    /// Only the replicas that the result adds are assumed, besides those still assumed from before: the others are running.
    pub fn placed(
        &mut self,
        before: &ResourceBindingSpec,
        binding: &ResourceBinding,
        now: Timestamp,
        compat: Compat,
    ) {
        let key = Key::of_meta(&binding.metadata);
        let spec = &binding.spec;
        if !spec.is_workload() {
            self.deleted(&key);
            return;
        }
        let mut pending = self.take(&key, now);
        let everything = compat.keeps(Switch::AssumeAllReplicas);
        let mut clusters = BTreeMap::new();
        for target in &spec.clusters {
            let earlier = pending.remove(&target.name).filter(|_| !everything);
            let components = if spec.components.is_empty() {
                let replicas = target.replicas.unwrap_or_default();
                let running = if everything {
                    0
                } else {
                    before.replicas_in(&target.name)
                };
                let coming = earlier
                    .iter()
                    .flat_map(|it| &it.components)
                    .map(|it| it.replicas)
                    .sum();
                let added = replicas.saturating_sub(running).max(0);
                let assumed = added.saturating_add(coming).min(replicas);
                vec![synthetic(spec, assumed)]
            } else if everything || before.target(&target.name).is_none() {
                spec.components.clone()
            } else {
                earlier.map(|it| it.components).unwrap_or_default()
            };
            if components.iter().any(|component| component.replicas > 0) {
                let namespace = binding.metadata.namespace.clone().unwrap_or_default();
                let workload = AssumedWorkload {
                    namespace,
                    components,
                };
                clusters.insert(target.name.clone(), workload);
            }
        }
        if clusters.is_empty() {
            return;
        }
        for cluster in clusters.keys() {
            self.by_cluster
                .entry(cluster.clone())
                .or_default()
                .insert(key.clone());
        }
        let expires = now.saturating_add(EXPIRY).unwrap_or(now);
        self.bindings.insert(key, Entry { expires, clusters });
    }

    /// Releases the clusters in which the workload turned healthy.
    pub fn updated(
        &mut self,
        key: &Key,
        before: &[AggregatedStatusItem],
        after: &[AggregatedStatusItem],
    ) {
        let was_healthy = |cluster: &str| {
            let item = before.iter().find(|item| item.cluster_name == cluster);
            item.is_some_and(is_healthy)
        };
        for item in after.iter().filter(|item| is_healthy(item)) {
            if !was_healthy(&item.cluster_name) {
                self.release(key, &item.cluster_name);
            }
        }
    }

    /// Releases a deleted binding.
    pub fn deleted(&mut self, key: &Key) {
        if let Some(entry) = self.bindings.remove(key) {
            for cluster in entry.clusters.keys() {
                self.unlink(key, cluster);
            }
        }
    }

    /// Releases what has expired.
    pub fn sweep(&mut self, now: Timestamp) {
        let expired = self
            .bindings
            .iter()
            .filter(|(_, entry)| entry.expires <= now);
        let expired: Vec<Key> = expired.map(|(key, _)| key.clone()).collect();
        for key in expired {
            self.deleted(&key);
        }
    }

    fn take(&mut self, key: &Key, now: Timestamp) -> BTreeMap<String, AssumedWorkload> {
        let entry = self.bindings.remove(key);
        let Some(entry) = entry else {
            return BTreeMap::new();
        };
        for cluster in entry.clusters.keys() {
            self.unlink(key, cluster);
        }
        if entry.expires > now {
            entry.clusters
        } else {
            BTreeMap::new()
        }
    }

    fn release(&mut self, key: &Key, cluster: &str) {
        let Some(entry) = self.bindings.get_mut(key) else {
            return;
        };
        entry.clusters.remove(cluster);
        if entry.clusters.is_empty() {
            self.bindings.remove(key);
        }
        self.unlink(key, cluster);
    }

    fn unlink(&mut self, key: &Key, cluster: &str) {
        if let Some(keys) = self.by_cluster.get_mut(cluster) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_cluster.remove(cluster);
            }
        }
    }
}

fn is_healthy(item: &AggregatedStatusItem) -> bool {
    item.health == Some(ResourceHealth::Healthy)
}

fn synthetic(spec: &ResourceBindingSpec, replicas: i32) -> Component {
    let requirements = spec.replica_requirements.as_ref();
    Component {
        name: spec.resource.name.clone(),
        replicas,
        replica_requirements: requirements.map(|it| ComponentReplicaRequirements {
            node_claim: it.node_claim.clone(),
            resource_request: it.resource_request.clone(),
            priority_class_name: it.priority_class_name.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::work::TargetCluster;

    fn binding(clusters: &[(&str, i32)]) -> ResourceBinding {
        let spec = ResourceBindingSpec {
            replicas: Some(clusters.iter().map(|(_, replicas)| replicas).sum()),
            clusters: clusters
                .iter()
                .map(|&(name, replicas)| TargetCluster {
                    name: name.to_owned(),
                    replicas: Some(replicas),
                })
                .collect(),
            ..ResourceBindingSpec::default()
        };
        ResourceBinding::new("web", spec)
    }

    fn assumed(workloads: &AssumedWorkloads, cluster: &str, now: Timestamp) -> i32 {
        let found = workloads.at(now).in_cluster(cluster);
        found
            .flat_map(|it| &it.components)
            .map(|it| it.replicas)
            .sum()
    }

    #[test]
    fn only_added_replicas_are_assumed() {
        let now = Timestamp::UNIX_EPOCH;
        let (first, second) = (binding(&[("m1", 5), ("m2", 1)]), binding(&[("m1", 7)]));
        let mut workloads = AssumedWorkloads::default();
        workloads.placed(
            &ResourceBindingSpec::default(),
            &first,
            now,
            Compat::default(),
        );
        assert_eq!(assumed(&workloads, "m1", now), 5);
        workloads.placed(&first.spec, &second, now, Compat::default());
        assert_eq!(
            (
                assumed(&workloads, "m1", now),
                assumed(&workloads, "m2", now)
            ),
            (7, 0)
        );

        let healthy = [AggregatedStatusItem {
            cluster_name: "m1".to_owned(),
            health: Some(ResourceHealth::Healthy),
            ..AggregatedStatusItem::default()
        }];
        workloads.updated(&Key::cluster_scoped("web"), &[], &healthy);
        assert_eq!(assumed(&workloads, "m1", now), 0);
        workloads.placed(&second.spec, &binding(&[("m1", 8)]), now, Compat::default());
        assert_eq!(assumed(&workloads, "m1", now), 1);
        workloads.placed(&second.spec, &binding(&[("m1", 8)]), now, Compat::REFERENCE);
        assert_eq!(assumed(&workloads, "m1", now), 8);
    }

    #[test]
    fn assumptions_expire() {
        let now = Timestamp::UNIX_EPOCH;
        let later = now + EXPIRY;
        let mut workloads = AssumedWorkloads::default();
        workloads.placed(
            &ResourceBindingSpec::default(),
            &binding(&[("m1", 5)]),
            now,
            Compat::default(),
        );
        assert_eq!(assumed(&workloads, "m1", later), 0);
        workloads.sweep(later);
        assert!(workloads.bindings.is_empty() && workloads.by_cluster.is_empty());
    }
}

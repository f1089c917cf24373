//! Bindings that were just placed, for workloads that must stay together or apart.

use std::cmp::Ordering;
use std::collections::HashMap;

use crds::conditions::{self, binding::FULLY_APPLIED};
use crds::names::binding_name;
use crds::object::Key;
use crds::work::ResourceBinding;

/// The targets of other workloads in the same groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// The clusters of each workload of the affinity group.
    pub affinity: Vec<Vec<String>>,
    /// The clusters of each workload of the anti-affinity group.
    pub anti_affinity: Vec<Vec<String>>,
    /// Why the above is not known.
    pub failure: Option<&'static str>,
}

impl Peers {
    /// The other workloads could not be listed: new clusters are refused.
    pub fn unlisted() -> Self {
        Self {
            failure: Some("failed to list ResourceBindings"),
            ..Self::default()
        }
    }
}

/// Results that were written, until watching shows them applied.
#[derive(Debug, Default)]
pub struct AssigningBindings {
    bindings: HashMap<Key, Copy>,
}

/// What matters of a binding.
#[derive(Clone, Debug)]
struct Copy {
    resource_version: String,
    affinity: Option<String>,
    anti_affinity: Option<String>,
    clusters: Vec<String>,
}

impl AssigningBindings {
    /// Keeps a binding as it was after its result was written.
    pub fn placed(&mut self, binding: &ResourceBinding) {
        self.bindings
            .insert(Key::of_meta(&binding.metadata), Copy::of(binding));
    }

    /// Takes note of an update: an older one is ignored, a fully applied binding is dropped, anything else replaces the copy.
    pub fn updated(&mut self, binding: &ResourceBinding) {
        let key = Key::of_meta(&binding.metadata);
        let Some(copy) = self.bindings.get_mut(&key) else {
            return;
        };
        let new = Copy::of(binding);
        if compare(&copy.resource_version, &new.resource_version) == Some(Ordering::Greater) {
            return;
        }
        let conditions = binding
            .status
            .as_ref()
            .map_or(&[][..], |status| &status.conditions);
        if conditions::is_true(conditions, FULLY_APPLIED) {
            self.bindings.remove(&key);
        } else {
            *copy = new;
        }
    }

    /// Drops a deleted binding.
    pub fn deleted(&mut self, key: &Key) {
        self.bindings.remove(key);
    }

    /// Finds the workloads in the groups of a binding among the bindings of its namespace.
    pub fn peers<'a>(
        &self,
        binding: &ResourceBinding,
        namespace: impl Iterator<Item = &'a ResourceBinding>,
    ) -> Peers {
        let mut peers = Peers::default();
        let group = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let groups = binding.spec.workload_affinity_groups.as_ref();
        let affinity = groups.and_then(|groups| group(&groups.affinity_group));
        let anti_affinity = groups.and_then(|groups| group(&groups.anti_affinity_group));
        if affinity.is_none() && anti_affinity.is_none() {
            return peers;
        }
        let resource = &binding.spec.resource;
        let own = binding_name(&resource.name, &resource.kind);
        for other in namespace {
            let meta = &other.metadata;
            let is_own = meta.name.as_ref() == Some(&own);
            if is_own || meta.namespace != binding.metadata.namespace {
                continue;
            }
            let mut copy = Copy::of(other);
            if let Some(assigning) = self.bindings.get(&Key::of_meta(meta)) {
                match compare(&assigning.resource_version, &copy.resource_version) {
                    Some(Ordering::Greater) => copy = assigning.clone(),
                    Some(_) => {}
                    None => {
                        peers.failure =
                            Some("failed to compare resource versions for ResourceBinding");
                        return peers;
                    }
                }
            }
            if affinity.is_some() && copy.affinity == affinity {
                peers.affinity.push(copy.clusters.clone());
            }
            if anti_affinity.is_some() && copy.anti_affinity == anti_affinity {
                peers.anti_affinity.push(copy.clusters);
            }
        }
        peers
    }
}

impl Copy {
    fn of(binding: &ResourceBinding) -> Self {
        let groups = binding
            .spec
            .workload_affinity_groups
            .clone()
            .unwrap_or_default();
        Self {
            resource_version: binding
                .metadata
                .resource_version
                .clone()
                .unwrap_or_default(),
            affinity: groups.affinity_group,
            anti_affinity: groups.anti_affinity_group,
            clusters: binding
                .spec
                .clusters
                .iter()
                .map(|target| target.name.clone())
                .collect(),
        }
    }
}

/// Compares resource versions as integers of any length; `None` if one of them is none.
fn compare(left: &str, right: &str) -> Option<Ordering> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    (is_number(left) && is_number(right))
        .then(|| left.len().cmp(&right.len()).then_with(|| left.cmp(right)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::work::{ResourceBindingSpec, TargetCluster, WorkloadAffinityGroups};

    fn binding(name: &str, version: &str, clusters: &[&str]) -> ResourceBinding {
        let mut spec = ResourceBindingSpec {
            workload_affinity_groups: Some(WorkloadAffinityGroups {
                affinity_group: Some("app=a".to_owned()),
                anti_affinity_group: None,
            }),
            clusters: clusters
                .iter()
                .map(|name| TargetCluster {
                    name: (*name).to_owned(),
                    replicas: None,
                })
                .collect(),
            ..ResourceBindingSpec::default()
        };
        spec.resource.name = name.to_owned();
        spec.resource.kind = "Deployment".to_owned();
        let mut binding = ResourceBinding::new(&binding_name(name, "Deployment"), spec);
        binding.metadata.namespace = Some("shop".to_owned());
        binding.metadata.resource_version = Some(version.to_owned());
        binding
    }

    #[test]
    fn the_newer_copy_of_a_peer_counts() {
        let mut assigning = AssigningBindings::default();
        assigning.placed(&binding("b", "10", &["m1"]));
        let me = binding("a", "1", &[]);
        let seen = [
            binding("a", "1", &["own"]),
            binding("b", "9", &[]),
            binding("c", "3", &["m2"]),
        ];
        let peers = assigning.peers(&me, seen.iter());
        assert_eq!(
            peers.affinity,
            [vec!["m1".to_owned()], vec!["m2".to_owned()]]
        );

        assigning.updated(&binding("b", "9", &["m3"]));
        let peers = assigning.peers(&me, [binding("b", "11", &["m4"])].iter());
        assert_eq!(peers.affinity, [vec!["m4".to_owned()]]);
        let peers = assigning.peers(&me, [binding("b", "x", &[])].iter());
        assert_eq!(
            peers.failure,
            Some("failed to compare resource versions for ResourceBinding")
        );
    }

    #[test]
    fn a_fully_applied_binding_is_dropped() {
        let mut assigning = AssigningBindings::default();
        assigning.placed(&binding("b", "10", &["m1"]));
        let mut applied = binding("b", "12", &["m1"]);
        applied.status = Some(crds::work::ResourceBindingStatus {
            conditions: vec![conditions::condition(FULLY_APPLIED, "True", "", "")],
            ..Default::default()
        });
        assigning.updated(&applied);
        assert!(assigning.bindings.is_empty());
    }
}

//! The nodes of a member with what is taken of them, and how much more fits.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use crds::work::{Component, ReplicaRequirements};
use scheduler::inflight::AssumedWorkload;

use crate::{
    amounts::{Amounts, BadQuantity},
    claim::Claim,
    objects::{Node, Pod},
};

/// Room that nothing limits.
pub const UNLIMITED: i64 = i32::MAX as i64;
/// Placements that one simulation tries before it settles for what it has.
const BUDGET: u32 = 1_000_000;

/// Nodes and what the pods on them request, kept up to date change by change.
#[derive(Debug, Default)]
pub struct Fleet {
    nodes: HashMap<Box<str>, Account>,
}

/// What is known under the name of one node. Pods may be heard of before their node is.
#[derive(Debug, Default)]
struct Account {
    node: Option<Arc<Node>>,
    used: Amounts,
    pods: i64,
}

impl Account {
    fn pods_left(&self, node: &Node) -> i64 {
        node.pods.saturating_sub(self.pods).max(0)
    }
}

impl Fleet {
    /// Takes a node that is new or has changed.
    pub fn put_node(&mut self, node: &Arc<Node>) {
        self.account(node.name()).node = Some(Arc::clone(node));
    }

    pub fn remove_node(&mut self, name: &str) {
        if let Some(account) = self.nodes.get_mut(name) {
            account.node = None;
            self.drop_empty(name);
        }
    }

    /// Counts a pod; one that is on no node, or has ended, takes nothing.
    pub fn add_pod(&mut self, pod: &Pod) {
        if let Some(name) = node_of(pod) {
            let account = self.account(name);
            account.used.add(&pod.requests);
            account.pods += 1;
        }
    }

    /// Takes back what [`Fleet::add_pod`] counted for the same pod.
    pub fn remove_pod(&mut self, pod: &Pod) {
        if let Some(name) = node_of(pod)
            && let Some(account) = self.nodes.get_mut(name)
        {
            account.used.subtract(&pod.requests);
            account.pods -= 1;
            self.drop_empty(name);
        }
    }

    fn account(&mut self, name: &str) -> &mut Account {
        if !self.nodes.contains_key(name) {
            self.nodes.insert(name.into(), Account::default());
        }
        self.nodes
            .get_mut(name)
            .expect("the account was made above")
    }

    fn drop_empty(&mut self, name: &str) {
        let empty = |account: &Account| account.node.is_none() && account.pods == 0;
        if self.nodes.get(name).is_some_and(empty) {
            self.nodes.remove(name);
        }
    }

    fn nodes(&self) -> impl Iterator<Item = (&Account, &Node)> {
        self.nodes
            .values()
            .filter_map(|account| Some((account, &**account.node.as_ref()?)))
    }

    pub fn is_empty(&self) -> bool {
        self.nodes().next().is_none()
    }

    /// How many more replicas fit, beside workloads that are assumed to come.
    pub fn replicas<'a>(
        &self,
        requirements: Option<&ReplicaRequirements>,
        assumed: impl IntoIterator<Item = &'a AssumedWorkload>,
    ) -> Result<i64, BadQuantity> {
        let claim = Claim::of(requirements.and_then(|it| it.node_claim.as_ref()));
        let request = Amounts::strict(requirements.iter().flat_map(|it| &it.resource_request))?;
        let mut assumed = assumed.into_iter().peekable();
        let room = if assumed.peek().is_none() {
            self.nodes()
                .filter(|(_, node)| claim.matches(node))
                .map(|(account, node)| {
                    let fits = node.allocatable.fits(&account.used, &request);
                    fits.min(account.pods_left(node))
                })
                .fold(0, i64::saturating_add)
        } else {
            let mut rooms = Rooms::of(self);
            rooms.place_assumed(assumed)?;
            rooms
                .0
                .iter()
                .filter(|room| claim.matches(room.node))
                .map(|room| room.fits(&request))
                .fold(0, i64::saturating_add)
        };
        Ok(room.min(UNLIMITED))
    }

    /// How many more sets of all components fit, beside workloads that are assumed to come; `None` if a set has no replicas.
    pub fn sets<'a>(
        &self,
        components: &[Component],
        assumed: impl IntoIterator<Item = &'a AssumedWorkload>,
    ) -> Result<Option<i64>, BadQuantity> {
        let mut parts = parts(components)?;
        if parts.iter().all(|part| part.replicas == 0) {
            return Ok(None);
        }
        // The largest first: what is hard to place must not find the nodes full of small replicas.
        parts.sort_by_key(|part| Reverse((part.request.cpu, part.request.memory)));
        let mut rooms = Rooms::of(self);
        rooms.place_assumed(assumed)?;
        let mut lines: Vec<Line<'_, '_>> = parts
            .iter()
            .map(|part| Line {
                part,
                nodes: rooms.matching(&part.claim),
                next: 0,
            })
            .collect();
        let mut budget = BUDGET;
        let mut sets = 0;
        while sets < UNLIMITED {
            for line in &mut lines {
                if rooms.place(line, &mut budget) > 0 {
                    return Ok(Some(sets));
                }
            }
            sets += 1;
        }
        Ok(Some(sets))
    }
}

/// The node that a pod takes something of.
fn node_of(pod: &Pod) -> Option<&str> {
    pod.node.as_deref().filter(|_| !pod.finished)
}

/// A component as it is placed.
struct Part<'a> {
    claim: Claim<'a>,
    request: Amounts,
    replicas: i64,
}

fn parts(components: &[Component]) -> Result<Vec<Part<'_>>, BadQuantity> {
    components
        .iter()
        .map(|component| {
            let requirements = component.replica_requirements.as_ref();
            Ok(Part {
                claim: Claim::of(requirements.and_then(|it| it.node_claim.as_ref())),
                request: Amounts::strict(requirements.iter().flat_map(|it| &it.resource_request))?,
                replicas: i64::from(component.replicas).max(0),
            })
        })
        .collect()
}

/// A component with the nodes that it can run on and the first of them that may still have room; nodes never gain room.
struct Line<'p, 'a> {
    part: &'p Part<'a>,
    nodes: Vec<usize>,
    next: usize,
}

/// What is free on one node during a simulation.
struct Room<'f> {
    node: &'f Node,
    used: Amounts,
    pods: i64,
}

impl Room<'_> {
    fn fits(&self, request: &Amounts) -> i64 {
        let fits = self.node.allocatable.fits(&self.used, request);
        fits.min(self.pods).max(0)
    }
}

/// The nodes of a simulation, by region, zone and name: first-fit has to give the same answer every time.
struct Rooms<'f>(Vec<Room<'f>>);

impl<'f> Rooms<'f> {
    fn of(fleet: &'f Fleet) -> Self {
        let mut rooms: Vec<Room<'_>> = fleet
            .nodes()
            .map(|(account, node)| Room {
                node,
                used: account.used.clone(),
                pods: account.pods_left(node),
            })
            .collect();
        rooms.sort_by_key(|room| (room.node.zone(), room.node.name()));
        Self(rooms)
    }

    fn matching(&self, claim: &Claim<'_>) -> Vec<usize> {
        let rooms = self.0.iter().enumerate();
        rooms
            .filter(|(_, room)| claim.matches(room.node))
            .map(|(at, _)| at)
            .collect()
    }

    /// Places one set of each workload; what finds no node is left out.
    fn place_assumed<'a>(
        &mut self,
        assumed: impl IntoIterator<Item = &'a AssumedWorkload>,
    ) -> Result<(), BadQuantity> {
        let mut budget = BUDGET;
        for workload in assumed {
            for part in &parts(&workload.components)? {
                let mut line = Line {
                    part,
                    nodes: self.matching(&part.claim),
                    next: 0,
                };
                self.place(&mut line, &mut budget);
            }
        }
        Ok(())
    }

    /// Places all replicas of a component first-fit and returns how many found no node.
    fn place(&mut self, line: &mut Line<'_, '_>, budget: &mut u32) -> i64 {
        let mut replicas = line.part.replicas;
        while replicas > 0 && *budget > 0 {
            let Some(&at) = line.nodes.get(line.next) else {
                break;
            };
            *budget -= 1;
            let room = &mut self.0[at];
            let fits = room.fits(&line.part.request).min(replicas);
            if fits == 0 {
                line.next += 1;
                continue;
            }
            room.used.add(&line.part.request.times(fits));
            room.pods -= fits;
            replicas -= fits;
        }
        replicas
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, cpu: &str, memory: &str, pods: i64) -> Value {
        json!({
            "metadata": {"name": name},
            "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods.to_string()}},
        })
    }

    fn fleet(nodes: impl IntoIterator<Item = Value>) -> Fleet {
        let mut fleet = Fleet::default();
        for node in nodes {
            fleet.put_node(&Arc::new(serde_json::from_value(node).unwrap()));
        }
        fleet
    }

    /// The nodes of the worked examples E12 and E13.
    fn examples() -> Fleet {
        let mut tainted = node("n3", "64", "256Gi", 110);
        tainted["spec"] = json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
        fleet([
            node("n1", "2500m", "6Gi", 105),
            node("n2", "8", "16Gi", 2),
            tainted,
        ])
    }

    fn requirements(cpu: &str, memory: &str) -> ReplicaRequirements {
        serde_json::from_value(json!({"resourceRequest": {"cpu": cpu, "memory": memory}})).unwrap()
    }

    fn components(list: &[(i32, &str, &str)]) -> Vec<Component> {
        let component = |&(replicas, cpu, memory): &(i32, &str, &str)| {
            serde_json::from_value(json!({
                "name": format!("{replicas}-{cpu}"),
                "replicas": replicas,
                "replicaRequirements": {"resourceRequest": {"cpu": cpu, "memory": memory}},
            }))
            .unwrap()
        };
        list.iter().map(component).collect()
    }

    fn room(fleet: &Fleet, requirements: &ReplicaRequirements) -> i64 {
        fleet.replicas(Some(requirements), []).unwrap()
    }

    #[test]
    fn worked_examples_of_replicas() {
        let fleet = examples();
        assert_eq!(room(&fleet, &requirements("500m", "1Gi")), 7);
        assert_eq!(room(&fleet, &requirements("1500m", "1Gi")), 3);
        // Without requirements only pods count, and tainted nodes still do not.
        assert_eq!(fleet.replicas(None, []), Ok(107));
        assert_eq!(Fleet::default().replicas(None, []), Ok(0));
    }

    #[test]
    fn worked_example_of_sets() {
        // E11: two nodes of grade 3.
        let two = fleet([node("n1", "4", "32Gi", 110), node("n2", "4", "32Gi", 110)]);
        let flink = components(&[(1, "1", "2Gi"), (2, "2", "4Gi")]);
        assert_eq!(two.sets(&flink, []), Ok(Some(1)));
        assert_eq!(two.sets(&[], []), Ok(None));
        assert_eq!(two.sets(&components(&[(1, "5", "1Gi")]), []), Ok(Some(0)));
    }

    #[test]
    fn pods_take_room_while_they_are_there() {
        let mut fleet = fleet([node("n1", "4", "8Gi", 3)]);
        let pod = |cpu: &str, phase: &str| -> Pod {
            serde_json::from_value(json!({
                "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": cpu}}}]},
                "status": {"phase": phase},
            }))
            .unwrap()
        };
        let small = requirements("1", "1Gi");
        fleet.add_pod(&pod("3", "Running"));
        fleet.add_pod(&pod("3", "Failed"));
        assert_eq!(room(&fleet, &small), 1);
        fleet.remove_node("n1");
        assert!(fleet.is_empty() && room(&fleet, &small) == 0);
        fleet.put_node(&Arc::new(
            serde_json::from_value(node("n1", "4", "8Gi", 3)).unwrap(),
        ));
        assert_eq!(room(&fleet, &small), 1, "the pod came before its node");
        fleet.remove_pod(&pod("3", "Running"));
        assert_eq!(room(&fleet, &small), 3, "three pods and no more");
        fleet.remove_node("n1");
        assert!(fleet.nodes.is_empty());
    }

    #[test]
    fn assumed_workloads_come_first() {
        let fleet = fleet([node("n1", "4", "8Gi", 110), node("n2", "4", "8Gi", 110)]);
        let assumed = AssumedWorkload {
            namespace: "shop".to_owned(),
            components: components(&[(3, "2", "1Gi")]),
        };
        let small = requirements("1", "1Gi");
        assert_eq!(fleet.replicas(Some(&small), [&assumed]), Ok(2));
        let sets = components(&[(1, "1", "1Gi")]);
        assert_eq!(fleet.sets(&sets, [&assumed]), Ok(Some(2)));
    }

    #[test]
    fn an_absurd_node_does_not_hold_up_the_answer() {
        let huge = fleet([node("n1", "9E", "9E", i64::MAX)]);
        assert_eq!(huge.replicas(None, []), Ok(UNLIMITED));
        let tiny = components(&[(1, "1m", "1")]);
        assert!(huge.sets(&tiny, []).unwrap().unwrap() >= 900_000);
    }

    #[test]
    fn what_is_no_quantity_is_an_error() {
        let fleet = examples();
        assert!(fleet.replicas(Some(&requirements("x", "1")), []).is_err());
        assert!(fleet.sets(&components(&[(1, "", "1")]), []).is_err());
    }

    proptest! {
        /// One component of one replica fits as often as replicas do, whatever the order in which nodes were heard of.
        #[test]
        fn sets_of_one_are_replicas(nodes in prop::collection::vec((0..40_u32, 0..40_u32, 0..12_i64), 0..12), cpu in 1..6_u32) {
            let of = |order: Vec<usize>| fleet(order.into_iter().map(|at| {
                let (cpu, memory, pods) = nodes[at];
                node(&format!("n{at}"), &cpu.to_string(), &format!("{memory}Gi"), pods)
            }));
            let forward = of((0..nodes.len()).collect());
            let backward = of((0..nodes.len()).rev().collect());
            let request = requirements(&cpu.to_string(), "2Gi");
            let set = components(&[(1, &cpu.to_string(), "2Gi")]);
            let room = room(&forward, &request);
            prop_assert_eq!(forward.sets(&set, []).unwrap(), Some(room));
            prop_assert_eq!(backward.sets(&set, []).unwrap(), Some(room));
            let pair = components(&[(2, &cpu.to_string(), "2Gi")]);
            prop_assert_eq!(forward.sets(&pair, []).unwrap(), Some(room / 2));
        }
    }
}

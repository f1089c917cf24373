//! What a member's nodes offer and its pods take, as the Cluster's status says it.

use std::{borrow::Borrow, collections::HashMap};

use crds::cluster::{AllocatableModeling, NodeSummary, ResourceModel, ResourceSummary};
use interpreter::quantity::Quantity;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use std::collections::BTreeMap;

use super::capacity::{Amounts, NodeCapacity, PodDemand, ResourceName, add};

/// Both summaries of a Cluster's status.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) nodes: NodeSummary,
    pub(super) resources: ResourceSummary,
}

/// Sums up. Without `models` there are no modelings.
pub(super) fn summarise<N, P>(nodes: &[N], pods: &[P], models: &[ResourceModel]) -> Summary
where
    N: Borrow<NodeCapacity>,
    P: Borrow<PodDemand>,
{
    let mut allocatable: BTreeMap<&str, Quantity> = BTreeMap::new();
    let mut ready = 0;
    for node in nodes {
        let node = node.borrow();
        ready += usize::from(node.is_ready);
        for (name, quantity) in &node.allocatable {
            *allocatable.entry(name).or_default() += *quantity;
        }
    }
    let mut allocating = Amounts::new();
    let mut by_node: HashMap<&str, Amounts> = HashMap::new();
    for pod in pods {
        let pod = pod.borrow();
        let used = match &pod.node {
            None => &mut allocating,
            Some(_) if pod.is_finished => continue,
            Some(node) => by_node.entry(node).or_default(),
        };
        add(
            used,
            pod.requests.iter().map(|(name, amount)| (name, amount)),
        );
        add(used, [(&ResourceName::Pods, &1)]);
    }
    let mut allocated = Amounts::new();
    for used in by_node.values() {
        add(&mut allocated, used);
    }
    Summary {
        nodes: NodeSummary {
            total_num: Some(count(nodes.len())),
            ready_num: Some(count(ready)),
        },
        resources: ResourceSummary {
            allocatable: allocatable
                .into_iter()
                .map(|(name, quantity)| (name.to_owned(), quantity.into()))
                .collect(),
            allocating: quantities(&allocating),
            allocated: quantities(&allocated),
            allocatable_modelings: modelings(nodes, &by_node, models),
        },
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn quantities(amounts: &Amounts) -> BTreeMap<String, WireQuantity> {
    amounts
        .iter()
        .filter(|(_, amount)| **amount != 0)
        .map(|(name, amount)| (name.as_str().to_owned(), name.quantity(*amount)))
        .collect()
}

/// How many nodes have as much free as each model asks for. A node that is full, or whose pods took more than there is, counts
/// nowhere.
fn modelings<N: Borrow<NodeCapacity>>(
    nodes: &[N],
    used: &HashMap<&str, Amounts>,
    models: &[ResourceModel],
) -> Vec<AllocatableModeling> {
    let Some(floors) = Floors::of(models) else {
        return Vec::new();
    };
    let mut counts = vec![0_i32; models.len()];
    for node in nodes {
        let node = node.borrow();
        if let Some(grade) = floors.grade(node, used.get(node.name())) {
            counts[grade] = counts[grade].saturating_add(1);
        }
    }
    models
        .iter()
        .zip(counts)
        .map(|(model, count)| AllocatableModeling {
            grade: model.grade,
            count,
        })
        .collect()
}

/// Where the ranges of each resource begin, model by model.
struct Floors {
    resources: Vec<(ResourceName, Vec<i64>)>,
}

impl Floors {
    /// `None` if the models do not all speak of the same resources.
    fn of(models: &[ResourceModel]) -> Option<Self> {
        let first = models.first()?;
        let resources = first
            .ranges
            .iter()
            .map(|range| {
                // A resource that pods cannot request is still counted on nodes.
                let name = ResourceName::of(&range.name)
                    .unwrap_or_else(|| ResourceName::Scalar(range.name.as_str().into()));
                let floors = models
                    .iter()
                    .map(|model| {
                        let range = model.ranges.iter().find(|it| it.name == range.name)?;
                        Some(name.count(&Quantity::try_from(&range.min).ok()?))
                    })
                    .collect::<Option<Vec<i64>>>()?;
                Some((name, floors))
            })
            .collect::<Option<Vec<_>>>()?;
        let is_even = models
            .iter()
            .all(|model| model.ranges.len() == first.ranges.len());
        (is_even && !resources.is_empty()).then_some(Self { resources })
    }

    /// The index of the largest model whose ranges the free resources of the node all reach.
    fn grade(&self, node: &NodeCapacity, used: Option<&Amounts>) -> Option<usize> {
        let free = |name: &ResourceName| {
            let allocatable = node.allocatable.get(name.as_str())?;
            let used = used.and_then(|used| used.get(name)).copied();
            Some(
                name.count(allocatable)
                    .saturating_sub(used.unwrap_or_default()),
            )
        };
        if used.is_some() && free(&ResourceName::Pods).unwrap_or_default() <= 0 {
            return None;
        }
        let reached = self.resources.iter().map(|(name, floors)| {
            let free = free(name).unwrap_or_default();
            floors.iter().rposition(|floor| *floor <= free)
        });
        reached.collect::<Option<Vec<usize>>>()?.into_iter().min()
    }
}

#[cfg(test)]
mod tests {
    use crds::cluster::default_resource_models;
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, ready: &str, allocatable: &Value) -> NodeCapacity {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    fn pod(node: &str, phase: &str, requests: &Value) -> PodDemand {
        serde_json::from_value(json!({
            "spec": {"nodeName": node, "containers": [{"resources": {"requests": requests}}]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn counts(summary: &Summary) -> Vec<i32> {
        summary
            .resources
            .allocatable_modelings
            .iter()
            .map(|it| it.count)
            .collect()
    }

    /// The cluster that the reference implementation was observed with.
    #[test]
    fn a_cluster_with_six_nodes() {
        let large = json!({"cpu": "32", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "10Gi", "example.com/gpu": "3", "hugepages-2Mi": "4Mi"});
        let nodes = [
            node("large-1", "True", &large),
            node("large-2", "True", &large),
            node("large-3", "True", &large),
            node(
                "busy",
                "True",
                &json!({"cpu": "40", "memory": "20Gi", "pods": "110"}),
            ),
            node(
                "small",
                "True",
                &json!({"cpu": "4", "memory": "8Gi", "pods": "110"}),
            ),
            node(
                "tiny",
                "True",
                &json!({"cpu": "1500m", "memory": "3Gi", "pods": "2"}),
            ),
        ];
        let mut pods = vec![
            pod("busy", "Running", &json!({"cpu": "30"})),
            pod(
                "large-1",
                "Running",
                &json!({"cpu": "100m", "memory": "128Mi", "example.com/gpu": "2", "ephemeral-storage": "1Gi"}),
            ),
            pod("large-1", "Succeeded", &json!({"cpu": "8"})),
            pod("large-2", "Failed", &json!({"cpu": "8"})),
            pod(
                "",
                "Pending",
                &json!({"cpu": "1", "memory": "100Mi", "example.com/gpu": "1"}),
            ),
            pod("", "Failed", &json!({"cpu": "300m", "memory": "7Mi"})),
        ];
        for index in 0..12 {
            let on = ["large-1", "large-2", "large-3"][index % 3];
            let cpu = if index < 2 { "50m" } else { "0" };
            let memory = if index < 8 { "128Mi" } else { "0" };
            pods.push(pod(on, "Running", &json!({"cpu": cpu, "memory": memory})));
        }
        let found = summarise(&nodes, &pods, &default_resource_models());
        assert_eq!(
            serde_json::to_value(&found.nodes).unwrap(),
            json!({"readyNum": 6, "totalNum": 6})
        );
        assert_eq!(
            serde_json::to_value(&found.resources).unwrap(),
            json!({
                "allocatable": {"cpu": "141500m", "ephemeral-storage": "30Gi", "example.com/gpu": "9", "hugepages-2Mi": "12Mi", "memory": "799Gi", "pods": "3222"},
                "allocated": {"cpu": "30200m", "ephemeral-storage": "1Gi", "example.com/gpu": "2", "memory": "1152Mi", "pods": "14"},
                "allocating": {"cpu": "1300m", "example.com/gpu": "1", "memory": "107Mi", "pods": "2"},
                "allocatableModelings": [
                    {"count": 1, "grade": 0},
                    {"count": 1, "grade": 1},
                    {"count": 1, "grade": 2},
                    {"count": 0, "grade": 3},
                    {"count": 0, "grade": 4},
                    {"count": 3, "grade": 5},
                    {"count": 0, "grade": 6},
                    {"count": 0, "grade": 7},
                    {"count": 0, "grade": 8},
                ],
            })
        );
    }

    #[test]
    fn an_empty_cluster_has_no_sums() {
        let found = summarise::<NodeCapacity, PodDemand>(&[], &[], &[]);
        assert_eq!(found.resources, ResourceSummary::default());
        assert_eq!(found.nodes.total_num, Some(0));
    }

    #[test]
    fn round_numbers_are_written_canonically() {
        let nodes: Vec<NodeCapacity> = (0..3)
            .map(|index| node(&format!("n{index}"), "False", &json!({"pods": "1000"})))
            .collect();
        let found = summarise::<_, PodDemand>(&nodes, &[], &[]);
        assert_eq!(found.resources.allocatable["pods"].0, "3k");
        assert_eq!(found.nodes.ready_num, Some(0));
    }

    #[test]
    fn a_full_or_overcommitted_node_hides_no_other() {
        let shape = json!({"cpu": "8", "memory": "32Gi", "pods": "2"});
        let nodes: Vec<NodeCapacity> = ["full", "over", "free", "half"]
            .iter()
            .map(|name| node(name, "True", &shape))
            .collect();
        let small = json!({"cpu": "1", "memory": "1Gi"});
        let pods = [
            pod("full", "Running", &small),
            pod("full", "Running", &small),
            pod("over", "Running", &json!({"cpu": "9"})),
            pod("half", "Running", &json!({"cpu": "4500m"})),
        ];
        let models = default_resource_models();
        // Free: 8 CPUs and 32Gi, grade 3; half has 3.5 CPUs, grade 2.
        let expected = vec![0, 0, 1, 1, 0, 0, 0, 0, 0];
        assert_eq!(counts(&summarise(&nodes, &pods, &models)), expected);
        let reversed: Vec<NodeCapacity> = nodes.iter().rev().cloned().collect();
        assert_eq!(counts(&summarise(&reversed, &pods, &models)), expected);
    }

    #[test]
    fn models_that_name_different_resources_are_not_counted() {
        let mut models = default_resource_models();
        models[3].ranges[0].name = "example.com/gpu".into();
        let nodes = [node("n", "True", &json!({"cpu": "8", "memory": "32Gi"}))];
        assert!(counts(&summarise::<_, PodDemand>(&nodes, &[], &models)).is_empty());
        models.clear();
        assert!(counts(&summarise::<_, PodDemand>(&nodes, &[], &models)).is_empty());
    }
}

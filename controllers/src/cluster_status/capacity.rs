//! Nodes and Pods of a member, reduced to what is summed.
//!
//! A Pod takes some kilobytes on the wire and a few words here. Stores of these two types are filled by the ordinary watch.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use interpreter::quantity::{Format, Quantity};
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::{api::resource::Quantity as WireQuantity, apis::meta::v1::ObjectMeta},
};
use runtime::{
    Store,
    member::Member,
    watch::{self, Selection},
};
use serde::Deserialize;

/// A resource of which Pods request amounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ResourceName {
    Cpu,
    Memory,
    EphemeralStorage,
    Pods,
    /// Extended, huge-page, attachable-volume and prefixed native resources.
    Scalar(Box<str>),
}

impl ResourceName {
    /// `None` for names that are not counted. The member's API server has checked the names, so that those with a slash are
    /// extended or prefixed native resources.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "cpu" => Some(Self::Cpu),
            "memory" => Some(Self::Memory),
            "ephemeral-storage" => Some(Self::EphemeralStorage),
            "pods" => Some(Self::Pods),
            _ if name.contains('/')
                || name.starts_with("hugepages-")
                || name.starts_with("attachable-volumes-") =>
            {
                Some(Self::Scalar(name.into()))
            }
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral-storage",
            Self::Pods => "pods",
            Self::Scalar(name) => name,
        }
    }

    /// Thousandths of CPU, whole units of everything else, rounded up.
    pub(super) fn count(&self, quantity: &Quantity) -> i64 {
        match self {
            Self::Cpu => quantity.ceil_milli(),
            _ => quantity.ceil(),
        }
    }

    /// The way back from [`ResourceName::count`].
    pub(super) fn quantity(&self, count: i64) -> WireQuantity {
        let quantity = match self {
            Self::Cpu => Quantity::milli(count, Format::Decimal),
            Self::Memory | Self::EphemeralStorage => Quantity::whole(count, Format::Binary),
            Self::Scalar(name) if name.starts_with("hugepages-") => {
                Quantity::whole(count, Format::Binary)
            }
            Self::Pods | Self::Scalar(_) => Quantity::whole(count, Format::Decimal),
        };
        quantity.into()
    }
}

/// Amounts by resource, in the units of [`ResourceName::count`].
pub(super) type Amounts = BTreeMap<ResourceName, i64>;

pub(super) fn add<'a>(
    total: &mut Amounts,
    more: impl IntoIterator<Item = (&'a ResourceName, &'a i64)>,
) {
    for (name, amount) in more {
        match total.get_mut(name) {
            Some(sum) => *sum = sum.saturating_add(*amount),
            None => {
                total.insert(name.clone(), *amount);
            }
        }
    }
}

fn raise(total: &mut Amounts, floor: &Amounts) {
    for (name, amount) in floor {
        let highest = total.entry(name.clone()).or_default();
        *highest = (*highest).max(*amount);
    }
}

/// A Node as far as it is summed.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireNode")]
pub(super) struct NodeCapacity {
    metadata: ObjectMeta,
    pub(super) allocatable: BTreeMap<String, Quantity>,
    pub(super) is_ready: bool,
}

/// A Pod as far as it is summed.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WirePod")]
pub(super) struct PodDemand {
    metadata: ObjectMeta,
    /// The Node, if there is one.
    pub(super) node: Option<Box<str>>,
    /// Whether it holds nothing of its Node any more.
    pub(super) is_finished: bool,
    /// What it requests as a whole; nothing once it is finished on a Node.
    pub(super) requests: Box<[(ResourceName, i64)]>,
}

impl NodeCapacity {
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
}

/// The name of the object and what stores need; nothing else of the metadata.
fn trimmed(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        resource_version: metadata.resource_version,
        ..ObjectMeta::default()
    }
}

#[derive(Deserialize)]
struct WireNode {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    status: WireNodeStatus,
}

#[derive(Default, Deserialize)]
struct WireNodeStatus {
    #[serde(default)]
    allocatable: Option<BTreeMap<String, WireQuantity>>,
    #[serde(default)]
    conditions: Option<Vec<WireCondition>>,
}

#[derive(Deserialize)]
struct WireCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

impl From<WireNode> for NodeCapacity {
    fn from(node: WireNode) -> Self {
        let is_ready = node
            .status
            .conditions
            .unwrap_or_default()
            .iter()
            .any(|it| it.type_ == "Ready" && it.status == "True");
        let allocatable = node
            .status
            .allocatable
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, quantity)| Some((name, Quantity::try_from(&quantity).ok()?)))
            .collect();
        Self {
            metadata: trimmed(node.metadata),
            allocatable,
            is_ready,
        }
    }
}

#[derive(Deserialize)]
struct WirePod {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WirePodSpec,
    #[serde(default)]
    status: WirePodStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePodSpec {
    node_name: Option<Box<str>>,
    containers: Option<Vec<WireContainer>>,
    init_containers: Option<Vec<WireContainer>>,
    overhead: Option<BTreeMap<String, WireQuantity>>,
    resources: Option<WireResources>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireContainer {
    resources: Option<WireResources>,
    restart_policy: Option<String>,
}

#[derive(Deserialize)]
struct WireResources {
    requests: Option<BTreeMap<String, WireQuantity>>,
}

#[derive(Default, Deserialize)]
struct WirePodStatus {
    phase: Option<String>,
}

impl WireContainer {
    fn requests(&self) -> Amounts {
        requests(self.resources.as_ref())
    }
}

fn requests(resources: Option<&WireResources>) -> Amounts {
    amounts(resources.and_then(|it| it.requests.as_ref()))
}

fn amounts(quantities: Option<&BTreeMap<String, WireQuantity>>) -> Amounts {
    let counted = |(name, quantity): (&String, &WireQuantity)| {
        let name = ResourceName::of(name)?;
        let count = name.count(&Quantity::try_from(quantity).ok()?);
        Some((name, count))
    };
    quantities
        .into_iter()
        .flatten()
        .filter_map(counted)
        .collect()
}

impl WirePodSpec {
    /// What the Pod needs at the same time, as the scheduler of the member counts: the containers and the init containers that
    /// keep running, or the hungriest step of the start if that is more; requests of the Pod as a whole replace both.
    fn requests(&self) -> Amounts {
        let mut total = Amounts::new();
        for container in self.containers.iter().flatten() {
            add(&mut total, &container.requests());
        }
        let mut running = Amounts::new();
        let mut start = Amounts::new();
        for container in self.init_containers.iter().flatten() {
            let mut step = container.requests();
            if container.restart_policy.as_deref() == Some("Always") {
                add(&mut total, &step);
                add(&mut running, &step);
                raise(&mut start, &running);
            } else {
                add(&mut step, &running);
                raise(&mut start, &step);
            }
        }
        raise(&mut total, &start);
        total.extend(requests(self.resources.as_ref()));
        add(&mut total, &amounts(self.overhead.as_ref()));
        total
    }
}

impl From<WirePod> for PodDemand {
    fn from(pod: WirePod) -> Self {
        let is_finished = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let node = pod.spec.node_name.clone().filter(|node| !node.is_empty());
        let requests = if is_finished && node.is_some() {
            Box::default()
        } else {
            pod.spec
                .requests()
                .into_iter()
                .filter(|(_, amount)| *amount != 0)
                .collect()
        };
        Self {
            metadata: trimmed(pod.metadata),
            node,
            is_finished,
            requests,
        }
    }
}

runtime::stands_for!(NodeCapacity, Node);
runtime::stands_for!(PodDemand, Pod);

/// Nodes and Pods of one connection to a member.
#[derive(Debug, Clone)]
pub(super) struct Caches {
    member: Weak<Member>,
    pub(super) nodes: Arc<Store<NodeCapacity>>,
    pub(super) pods: Arc<Store<PodDemand>>,
}

impl Caches {
    /// Starts the watches; they end with the connection.
    pub(super) fn start(member: &Arc<Member>) -> Self {
        let caches = Self {
            member: Arc::downgrade(member),
            nodes: Store::builder().build(),
            pods: Store::builder().build(),
        };
        let everything = Selection {
            cluster: Some(member.name.clone()),
            ..Selection::default()
        };
        tokio::spawn(watch::typed(
            member.client.clone(),
            Arc::clone(&caches.nodes),
            |_| {},
            everything.clone(),
            member.stop.clone(),
        ));
        tokio::spawn(watch::typed(
            member.client.clone(),
            Arc::clone(&caches.pods),
            |_| {},
            everything,
            member.stop.clone(),
        ));
        caches
    }

    /// Whether they are filled from this connection.
    pub(super) fn are_of(&self, member: &Arc<Member>) -> bool {
        std::ptr::eq(self.member.as_ptr(), Arc::as_ptr(member))
    }

    pub(super) fn are_synced(&self) -> bool {
        self.nodes.is_synced() && self.pods.is_synced()
    }

    /// Waits for the first list of both.
    pub(super) async fn synced(&self) {
        tokio::join!(self.nodes.synced(), self.pods.synced());
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource as _;
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(pod: &Value, expected: &[(&str, i64)]) {
        let pod: PodDemand = serde_json::from_value(pod.clone()).unwrap();
        let found: Vec<(&str, i64)> = pod
            .requests
            .iter()
            .map(|(name, amount)| (name.as_str(), *amount))
            .collect();
        assert_eq!(found, expected);
    }

    fn container(requests: &Value) -> Value {
        json!({"name": "c", "resources": {"requests": requests}})
    }

    #[test]
    fn requests_of_a_pod() {
        check(&json!({"spec": {"containers": [{"name": "c"}]}}), &[]);
        check(
            &json!({"spec": {
                "containers": [container(&json!({"cpu": "100.1m", "memory": "1Ki", "storage": "1"})), container(&json!({"cpu": "1"}))],
                "overhead": {"cpu": "10m"},
            }}),
            &[("cpu", 1111), ("memory", 1024)],
        );
        // A large init container counts once, and not beside the containers.
        check(
            &json!({"spec": {
                "containers": [container(&json!({"cpu": "1", "memory": "2Ki"}))],
                "initContainers": [container(&json!({"cpu": "30"})), container(&json!({"memory": "1Ki"}))],
            }}),
            &[("cpu", 30_000), ("memory", 2048)],
        );
        // A sidecar runs beside the containers and beside the init containers after it.
        let mut sidecar = container(&json!({"cpu": "500m"}));
        sidecar["restartPolicy"] = "Always".into();
        check(
            &json!({"spec": {
                "containers": [container(&json!({"cpu": "1"}))],
                "initContainers": [sidecar, container(&json!({"cpu": "1200m"}))],
            }}),
            &[("cpu", 1700)],
        );
        check(
            &json!({"spec": {
                "resources": {"requests": {"cpu": "3"}},
                "containers": [container(&json!({"cpu": "1", "example.com/gpu": "2", "hugepages-2Mi": "4Mi"}))],
            }}),
            &[
                ("cpu", 3000),
                ("example.com/gpu", 2),
                ("hugepages-2Mi", 4 << 20),
            ],
        );
    }

    #[test]
    fn a_pod_that_ended_on_a_node_requests_nothing() {
        let pod = |node: Option<&str>, phase: &str| {
            json!({
                "spec": {"nodeName": node, "containers": [container(&json!({"cpu": "1"}))]},
                "status": {"phase": phase},
            })
        };
        check(&pod(Some("n"), "Running"), &[("cpu", 1000)]);
        check(&pod(Some("n"), "Failed"), &[]);
        check(&pod(Some("n"), "Succeeded"), &[]);
        check(&pod(None, "Failed"), &[("cpu", 1000)]);
        check(&pod(Some(""), "Failed"), &[("cpu", 1000)]);
    }

    #[test]
    fn little_is_kept() {
        let pod: PodDemand = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "b", "resourceVersion": "7", "uid": "u", "labels": {"l": "v"}},
            "spec": {"containers": []},
        }))
        .unwrap();
        let kept = serde_json::to_value(pod.meta()).unwrap();
        assert_eq!(
            kept,
            json!({"name": "a", "namespace": "b", "resourceVersion": "7"})
        );
        let node: NodeCapacity = serde_json::from_value(json!({
            "metadata": {"name": "n", "labels": {"l": "v"}},
            "status": {
                "allocatable": {"cpu": "8", "odd": "?"},
                "conditions": [{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": "Unknown"}],
            },
        }))
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(node.allocatable.keys().collect::<Vec<_>>(), ["cpu"]);
        assert!(!node.is_ready);
    }
}

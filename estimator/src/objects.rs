//! Objects of a member, reduced while they are read to what the arithmetic needs.
//!
//! A Pod takes some kilobytes on the wire and a few words here.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1,
        core::v1::{self as core, ScopedResourceSelectorRequirement, Taint},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference, Time},
    },
};
use scheduler::quantity::Amount;
use serde::Deserialize;
use serde_json::Value;

use crate::amounts::Amounts;

/// The label by which the `ReplicaSet` objects of one Deployment differ although their templates are the same.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// Labels that name the zone and the region of a node, and their names of former times.
const ZONES: [&str; 2] = [
    "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/zone",
];
const REGIONS: [&str; 2] = [
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/region",
];

/// A Node.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WireNode")]
pub struct Node {
    metadata: ObjectMeta,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub pods: i64,
}

impl Node {
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Region and zone, by which nodes are ordered.
    pub(crate) fn zone(&self) -> (&str, &str) {
        let first = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| self.labels.get(*name));
            found.next().map_or("", String::as_str)
        };
        (first(&REGIONS), first(&ZONES))
    }
}

/// A Pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WirePod")]
pub struct Pod {
    metadata: ObjectMeta,
    /// The Node that it is on.
    pub node: Option<Box<str>>,
    /// Whether it holds nothing of its Node any more.
    pub finished: bool,
    /// What it requests as a whole.
    pub requests: Amounts,
    /// Set while no Node is found for it.
    pub stuck: Option<Box<Stuck>>,
}

/// A Pod for which the member's scheduler finds no Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The uid of the controller that owns the Pod.
    pub owner: String,
    /// Kind and name of that controller, as `StatefulSet/db`.
    pub workload: String,
    pub since: Timestamp,
}

/// A Deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WireDeployment")]
pub struct Deployment {
    metadata: ObjectMeta,
    /// Stands for the pod template.
    pub template: u64,
}

/// A `ReplicaSet`.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WireReplicaSet")]
pub struct ReplicaSet {
    metadata: ObjectMeta,
    /// The uid of the Deployment that owns it.
    pub owner: Option<String>,
    /// Stands for the pod template.
    pub template: u64,
    pub created: Option<Timestamp>,
}

/// A `ResourceQuota`.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WireQuota")]
pub struct Quota {
    metadata: ObjectMeta,
    /// All have to hold for the quota to apply.
    pub scopes: Vec<ScopedResourceSelectorRequirement>,
    /// What is left, by the name in the quota; in billionths.
    pub free: BTreeMap<String, i128>,
}

runtime::stands_for!(Node, core::Node);
runtime::stands_for!(Pod, core::Pod);
runtime::stands_for!(Deployment, v1::Deployment);
runtime::stands_for!(ReplicaSet, v1::ReplicaSet);
runtime::stands_for!(Quota, core::ResourceQuota);

/// What stores need of the metadata.
fn trimmed(metadata: &mut ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.take(),
        namespace: metadata.namespace.take(),
        resource_version: metadata.resource_version.take(),
        ..ObjectMeta::default()
    }
}

fn controller(owners: Option<Vec<OwnerReference>>) -> Option<String> {
    let mut owners = owners.into_iter().flatten();
    owners
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid)
}

#[derive(Deserialize)]
struct WireNode {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WireNodeSpec,
    #[serde(default)]
    status: WireNodeStatus,
}

#[derive(Default, Deserialize)]
struct WireNodeSpec {
    taints: Option<Vec<Taint>>,
    unschedulable: Option<bool>,
}

#[derive(Default, Deserialize)]
struct WireNodeStatus {
    allocatable: Option<BTreeMap<String, Quantity>>,
}

impl From<WireNode> for Node {
    fn from(mut node: WireNode) -> Self {
        let allocatable = node.status.allocatable.unwrap_or_default();
        let pods = allocatable.get("pods").and_then(Amount::of);
        Self {
            labels: node.metadata.labels.take().unwrap_or_default(),
            metadata: trimmed(&mut node.metadata),
            taints: node
                .spec
                .taints
                .unwrap_or_default()
                .into_iter()
                .map(|taint| Taint {
                    time_added: None,
                    ..taint
                })
                .collect(),
            unschedulable: node.spec.unschedulable.unwrap_or_default(),
            pods: pods.map_or(0, Amount::value),
            allocatable: Amounts::lenient(&allocatable),
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
    overhead: Option<BTreeMap<String, Quantity>>,
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
    requests: Option<BTreeMap<String, Quantity>>,
}

#[derive(Default, Deserialize)]
struct WirePodStatus {
    phase: Option<String>,
    conditions: Option<Vec<WireCondition>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: Option<String>,
    last_transition_time: Option<Time>,
}

fn requests(resources: Option<&WireResources>) -> Amounts {
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    Amounts::lenient(requests.into_iter().flatten())
}

impl WirePodSpec {
    /// What the Pod needs at the same time, as the member's scheduler counts: the containers and the init containers that keep
    /// running, or the hungriest step of the start if that is more; requests of the Pod as a whole replace both.
    fn requests(&self) -> Amounts {
        let mut total = Amounts::default();
        for container in self.containers.iter().flatten() {
            total.add(&requests(container.resources.as_ref()));
        }
        let mut running = Amounts::default();
        let mut start = Amounts::default();
        for container in self.init_containers.iter().flatten() {
            let mut step = requests(container.resources.as_ref());
            if container.restart_policy.as_deref() == Some("Always") {
                total.add(&step);
                running.add(&step);
                start.raise(&running);
            } else {
                step.add(&running);
                start.raise(&step);
            }
        }
        total.raise(&start);
        let whole = self.resources.as_ref().and_then(|it| it.requests.as_ref());
        for (name, quantity) in whole.into_iter().flatten() {
            let amount = Amounts::lenient([(name, quantity)]);
            match name.as_str() {
                "cpu" => total.cpu = amount.cpu,
                "memory" => total.memory = amount.memory,
                "ephemeral-storage" => total.ephemeral_storage = amount.ephemeral_storage,
                _ => total.scalars.extend(amount.scalars),
            }
        }
        total.add(&Amounts::lenient(self.overhead.iter().flatten()));
        total
    }
}

impl From<WirePod> for Pod {
    fn from(mut pod: WirePod) -> Self {
        let finished = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let owners = pod.metadata.owner_references.take();
        let workload = owners
            .iter()
            .flatten()
            .find(|it| it.controller == Some(true))
            .map(|it| format!("{}/{}", it.kind, it.name));
        let owner = controller(owners);
        let unschedulable = pod
            .status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .find(|it| {
                it.type_ == "PodScheduled"
                    && it.status == "False"
                    && it.reason.as_deref() == Some("Unschedulable")
            });
        let since = unschedulable
            .and_then(|condition| condition.last_transition_time)
            .map(|time| time.0);
        let stuck = owner.zip(workload).zip(since);
        let stuck = stuck.map(|((owner, workload), since)| {
            Box::new(Stuck {
                owner,
                workload,
                since,
            })
        });
        Self {
            requests: pod.spec.requests(),
            node: pod.spec.node_name.filter(|node| !node.is_empty()),
            metadata: trimmed(&mut pod.metadata),
            finished,
            stuck,
        }
    }
}

#[derive(Deserialize)]
struct WireDeployment {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WireWorkload,
}

#[derive(Default, Deserialize)]
struct WireWorkload {
    #[serde(default)]
    template: Value,
}

impl WireWorkload {
    fn template(mut self) -> u64 {
        if let Some(Value::Object(labels)) = self.template.pointer_mut("/metadata/labels") {
            labels.remove(POD_TEMPLATE_HASH);
        }
        let mut hasher = DefaultHasher::new();
        self.template.hash(&mut hasher);
        hasher.finish()
    }
}

impl From<WireDeployment> for Deployment {
    fn from(mut deployment: WireDeployment) -> Self {
        let uid = deployment.metadata.uid.take();
        Self {
            metadata: ObjectMeta {
                uid,
                ..trimmed(&mut deployment.metadata)
            },
            template: deployment.spec.template(),
        }
    }
}

#[derive(Deserialize)]
struct WireReplicaSet {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WireWorkload,
}

impl From<WireReplicaSet> for ReplicaSet {
    fn from(mut set: WireReplicaSet) -> Self {
        let uid = set.metadata.uid.take();
        Self {
            owner: controller(set.metadata.owner_references.take()),
            created: set.metadata.creation_timestamp.take().map(|time| time.0),
            metadata: ObjectMeta {
                uid,
                ..trimmed(&mut set.metadata)
            },
            template: set.spec.template(),
        }
    }
}

#[derive(Deserialize)]
struct WireQuota {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WireQuotaSpec,
    #[serde(default)]
    status: WireQuotaStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireQuotaSpec {
    scopes: Option<Vec<String>>,
    scope_selector: Option<WireScopeSelector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireScopeSelector {
    match_expressions: Option<Vec<ScopedResourceSelectorRequirement>>,
}

#[derive(Default, Deserialize)]
struct WireQuotaStatus {
    hard: Option<BTreeMap<String, Quantity>>,
    used: Option<BTreeMap<String, Quantity>>,
}

impl From<WireQuota> for Quota {
    fn from(mut quota: WireQuota) -> Self {
        let named = quota.spec.scopes.into_iter().flatten();
        let scopes = named
            .map(|scope_name| ScopedResourceSelectorRequirement {
                scope_name,
                operator: "Exists".to_owned(),
                values: None,
            })
            .chain(
                quota
                    .spec
                    .scope_selector
                    .and_then(|selector| selector.match_expressions)
                    .into_iter()
                    .flatten(),
            )
            .collect();
        let used = quota.status.used.unwrap_or_default();
        let free = quota
            .status
            .hard
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, hard)| {
                let free = Amount::of(&hard)?.nanos - Amount::of(used.get(&name)?)?.nanos;
                Some((name, free))
            })
            .collect();
        Self {
            metadata: trimmed(&mut quota.metadata),
            scopes,
            free,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource as _;
    use serde_json::json;

    use super::*;

    fn container(requests: &Value) -> Value {
        json!({"name": "c", "resources": {"requests": requests}})
    }

    #[track_caller]
    fn requested(spec: &Value) -> Amounts {
        let pod: Pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
        pod.requests
    }

    #[test]
    fn requests_of_a_pod() {
        let plain = requested(&json!({
            "containers": [container(&json!({"cpu": "100.1m", "memory": "1Ki"})), container(&json!({"cpu": "1"}))],
            "overhead": {"cpu": "10m"},
        }));
        assert_eq!((plain.cpu, plain.memory), (1111, 1024));
        let hungry_start = requested(&json!({
            "containers": [container(&json!({"cpu": "1", "memory": "2Ki"}))],
            "initContainers": [container(&json!({"cpu": "30"})), container(&json!({"memory": "1Ki"}))],
        }));
        assert_eq!((hungry_start.cpu, hungry_start.memory), (30_000, 2048));
        let mut sidecar = container(&json!({"cpu": "500m"}));
        sidecar["restartPolicy"] = "Always".into();
        let beside = requested(&json!({
            "containers": [container(&json!({"cpu": "1"}))],
            "initContainers": [sidecar, container(&json!({"cpu": "1200m"}))],
        }));
        assert_eq!(beside.cpu, 1700);
        let whole = requested(&json!({
            "resources": {"requests": {"cpu": "3"}},
            "containers": [container(&json!({"cpu": "1", "example.com/gpu": "2"}))],
        }));
        assert_eq!((whole.cpu, whole.scalars["example.com/gpu"]), (3000, 2));
    }

    #[test]
    fn a_pod_is_stuck_only_while_it_has_no_node() {
        let pod = |reason: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "shop", "uid": "u", "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "rs", "controller": true},
                ]},
                "status": {"conditions": [
                    {"type": "Ready", "status": "False", "reason": "Unschedulable", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "PodScheduled", "status": "False", "reason": reason, "lastTransitionTime": "2026-01-01T00:00:01Z"},
                ]},
            }))
            .unwrap()
        };
        let stuck = Stuck {
            owner: "rs".to_owned(),
            workload: "ReplicaSet/web-1".to_owned(),
            since: "2026-01-01T00:00:01Z".parse().unwrap(),
        };
        assert_eq!(pod("Unschedulable").stuck.as_deref(), Some(&stuck));
        assert_eq!(pod("SchedulingGated").stuck, None);
        assert_eq!(pod("Unschedulable").meta().uid, None);
    }

    #[test]
    fn templates_are_compared_without_their_hash_label() {
        let workload = |labels: &Value, image: &str| {
            json!({
                "metadata": {"uid": "u"},
                "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": image}]}}},
            })
        };
        let deployment: Deployment =
            serde_json::from_value(workload(&json!({"app": "web"}), "nginx")).unwrap();
        let set = |image: &str| -> ReplicaSet {
            let labels = json!({"app": "web", POD_TEMPLATE_HASH: "abc"});
            serde_json::from_value(workload(&labels, image)).unwrap()
        };
        assert_eq!(set("nginx").template, deployment.template);
        assert_ne!(set("caddy").template, deployment.template);
    }

    #[test]
    fn quotas_count_what_has_both_a_limit_and_a_use() {
        let quota: Quota = serde_json::from_value(json!({
            "spec": {"scopes": ["NotTerminating"], "scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
            ]}},
            "status": {"hard": {"requests.cpu": "10", "pods": "5"}, "used": {"requests.cpu": "6"}},
        }))
        .unwrap();
        assert_eq!(
            quota.free,
            BTreeMap::from([("requests.cpu".to_owned(), 4_000_000_000)])
        );
        let scopes: Vec<&str> = quota
            .scopes
            .iter()
            .map(|it| it.scope_name.as_str())
            .collect();
        assert_eq!(scopes, ["NotTerminating", "PriorityClass"]);
    }
}

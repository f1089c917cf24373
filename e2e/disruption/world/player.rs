//! Carries operations out in one namespace.

use std::time::Duration;

use futures::StreamExt as _;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    runtime::watcher,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    operation::{Hold, Kind, Operation, Override, Place, Policy, Template},
    view::{self, View},
};
use crate::stage::{BINDINGS, DEADLINE, Scene, WORKS};

pub(super) struct Player {
    pub(super) scene: Scene,
    clients: Vec<(&'static str, kube::Client)>,
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::ConfigMap => "configmaps",
        Kind::Deployment => "deployments.apps",
        Kind::Secret => "secrets",
        Kind::Service => "services",
    }
}

pub(super) const CLUSTERS: [&str; 4] = ["control", "member1", "member2", "member3"];

impl Player {
    pub(super) async fn open(namespace: &str) -> Self {
        let scene = Scene::open(namespace).await;
        let mut clients = Vec::new();
        for cluster in CLUSTERS {
            clients.push((cluster, scene.client(cluster).await));
        }
        let player = Self { scene, clients };
        for member in &CLUSTERS[1..] {
            player
                .scene
                .until(member, "namespaces", namespace, "there", |_| true)
                .await;
        }
        player
    }

    pub(super) fn api(&self, cluster: &str, kind: &str) -> Api<DynamicObject> {
        let (resource, namespaced) = crate::stage::resource(kind);
        let (_, client) = self
            .clients
            .iter()
            .find(|(name, _)| *name == cluster)
            .unwrap();
        if namespaced {
            Api::namespaced_with(client.clone(), &self.scene.namespace, &resource)
        } else {
            Api::all_with(client.clone(), &resource)
        }
    }

    pub(super) fn api_everywhere(&self, cluster: &str, kind: &str) -> Api<DynamicObject> {
        let (resource, _) = crate::stage::resource(kind);
        let (_, client) = self
            .clients
            .iter()
            .find(|(name, _)| *name == cluster)
            .unwrap();
        Api::all_with(client.clone(), &resource)
    }

    async fn put(&self, kind: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let params = PatchParams::apply("world").force();
        let api = self.api("control", kind);
        let applied = async {
            let mut again = tokio::time::interval(Duration::from_millis(50));
            loop {
                again.tick().await;
                let patched = api
                    .patch(name, &params, &Patch::Apply(object))
                    .await
                    .unwrap_or_else(|error| panic!("put {kind} {name}: {error}"));
                // One of this name may still be on its way out.
                if patched.metadata.deletion_timestamp.is_none() {
                    return;
                }
            }
        };
        if timeout(DEADLINE, applied).await.is_err() {
            let found = api.get_opt(name).await;
            panic!(
                "{kind} {name} does not end: {found:#?}\n\nnavarch says\n{}",
                self.scene.stage.log()
            );
        }
    }

    /// Deletes, and waits for the end if the name is to be used again.
    async fn remove(&self, kind: &str, name: &str) {
        let api = self.api("control", kind);
        if api.delete(name, &DeleteParams::default()).await.is_ok() && kind != BINDINGS {
            let gone =
                kube::runtime::wait::await_condition(api, name, |it: Option<&DynamicObject>| {
                    it.is_none_or(|it| it.metadata.deletion_timestamp.is_some())
                });
            timeout(DEADLINE, gone).await.unwrap().unwrap();
        }
    }

    pub(super) async fn play(&self, operation: &Operation) {
        match operation {
            Operation::Template(slot, Some(template)) => {
                self.put(plural(Kind::of(*slot)), &self.template(*slot, template))
                    .await;
            }
            Operation::Template(slot, None) => {
                self.remove(plural(Kind::of(*slot)), &format!("t{slot}"))
                    .await;
            }
            Operation::Policy(slot, policy, old) => {
                self.put(
                    policy_kind(policy.cluster_wide),
                    &self.policy(*slot, policy),
                )
                .await;
                if let Some(old) = old {
                    let name = self.policy_name(*slot, old);
                    self.remove(policy_kind(old.cluster_wide), &name).await;
                }
            }
            Operation::Preempt(slot, Some(place)) => {
                self.put(policy_kind(false), &self.preempting(*slot, place))
                    .await;
            }
            Operation::Preempt(slot, None) => {
                self.remove(policy_kind(false), &format!("high{slot}"))
                    .await;
            }
            Operation::Override(slot, new, old) => {
                if let Some(old) = old
                    && new
                        .as_ref()
                        .is_none_or(|new| new.cluster_wide != old.cluster_wide)
                {
                    let name = self.override_name(*slot, old);
                    self.remove(override_kind(old.cluster_wide), &name).await;
                }
                if let Some(new) = new {
                    self.put(override_kind(new.cluster_wide), &self.revision(*slot, new))
                        .await;
                }
            }
            Operation::Label(cluster, on) => {
                let patch =
                    json!({ "metadata": { "labels": { &*self.label(): on.then_some("yes") } } });
                self.api("control", "clusters.cluster.karmada.io")
                    .patch(cluster, &PatchParams::default(), &Patch::Merge(patch))
                    .await
                    .unwrap();
            }
            Operation::DeleteBinding(slot) => {
                let name = format!("t{slot}-{:?}", Kind::of(*slot)).to_lowercase();
                self.remove(BINDINGS, &name).await;
            }
            Operation::DeleteWork(slot, cluster) => {
                let path = self.scene.work_path(
                    cluster,
                    &format!("{:?}", Kind::of(*slot)),
                    &format!("t{slot}"),
                );
                let (namespace, name) = path.split_once('/').unwrap();
                let (resource, _) = crate::stage::resource(WORKS);
                let (_, client) = &self.clients[0];
                let api: Api<DynamicObject> =
                    Api::namespaced_with(client.clone(), namespace, &resource);
                let _ = api.delete(name, &DeleteParams::default()).await;
            }
            Operation::EditInMember(slot, member, value) => {
                let patch = match Kind::of(*slot) {
                    Kind::ConfigMap => json!({ "data": { "v": value.to_string() } }),
                    Kind::Deployment => json!({ "spec": { "replicas": value % 7 } }),
                    Kind::Secret => json!({ "stringData": { "v": value.to_string() } }),
                    Kind::Service => json!({ "spec": { "selector": { "v": value.to_string() } } }),
                };
                // It may not be there just now.
                let _ = self
                    .api(member, plural(Kind::of(*slot)))
                    .patch(
                        &format!("t{slot}"),
                        &PatchParams::default(),
                        &Patch::Merge(patch),
                    )
                    .await;
            }
            Operation::DeleteInMember(slot, member) => {
                let _ = self
                    .api(member, plural(Kind::of(*slot)))
                    .delete(&format!("t{slot}"), &DeleteParams::background())
                    .await;
            }
        }
    }

    fn template(&self, slot: usize, template: &Template) -> Value {
        let namespace = &self.scene.namespace;
        let metadata = json!({ "name": format!("t{slot}"), "namespace": namespace, "labels": { "content": template.content.to_string() } });
        let value = template.content.to_string();
        match Kind::of(slot) {
            Kind::ConfigMap => {
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "v": value } })
            }
            Kind::Secret => {
                json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": { "v": value } })
            }
            Kind::Service => {
                json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                    "spec": { "selector": { "v": value }, "ports": [{ "port": 80 }] } })
            }
            Kind::Deployment => {
                let app = format!("t{slot}");
                json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
                    "replicas": template.replicas,
                    "selector": { "matchLabels": { "app": app } },
                    "template": {
                        "metadata": { "labels": { "app": app } },
                        "spec": { "terminationGracePeriodSeconds": 0, "containers": [{ "name": "web", "image": format!("nginx:{value}") }] },
                    },
                }})
            }
        }
    }

    fn label(&self) -> String {
        format!("e2e.example.com/{}", self.scene.namespace)
    }

    fn placement(&self, place: &Place) -> Value {
        match place {
            Place::Clusters(names) => json!({ "clusterAffinity": { "clusterNames": names } }),
            Place::Labelled => {
                json!({ "clusterAffinity": { "labelSelector": { "matchLabels": { &*self.label(): "yes" } } } })
            }
            Place::Weights(names) => {
                let weights: Vec<Value> = names
                    .iter()
                    .zip([1, 3, 7])
                    .map(|(name, weight)| json!({ "targetCluster": { "clusterNames": [name] }, "weight": weight }))
                    .collect();
                json!({
                    "clusterAffinity": { "clusterNames": names },
                    "replicaScheduling": {
                        "replicaSchedulingType": "Divided",
                        "replicaDivisionPreference": "Weighted",
                        "weightPreference": { "staticWeightList": weights },
                    },
                })
            }
        }
    }

    fn policy_name(&self, slot: usize, policy: &Policy) -> String {
        if policy.cluster_wide {
            format!("{}-p{slot}-{}", self.scene.namespace, policy.edition)
        } else {
            format!("p{slot}-{}", policy.edition)
        }
    }

    fn selectors(&self, slot: usize) -> Value {
        let (api_version, kind) = match Kind::of(slot) {
            Kind::Deployment => ("apps/v1", "Deployment"),
            Kind::ConfigMap => ("v1", "ConfigMap"),
            Kind::Secret => ("v1", "Secret"),
            Kind::Service => ("v1", "Service"),
        };
        json!([{ "apiVersion": api_version, "kind": kind, "namespace": self.scene.namespace, "name": format!("t{slot}") }])
    }

    fn policy(&self, slot: usize, policy: &Policy) -> Value {
        let mut spec = json!({
            "resourceSelectors": self.selectors(slot),
            "placement": self.placement(&policy.place),
            "conflictResolution": if policy.overwrite { "Overwrite" } else { "Abort" },
        });
        match &policy.hold {
            Hold::Nothing => {}
            Hold::Everything => spec["suspension"] = json!({ "dispatching": true }),
            Hold::Clusters(names) => {
                spec["suspension"] = json!({ "dispatchingOnClusters": { "clusterNames": names } });
            }
        }
        let kind = if policy.cluster_wide {
            "ClusterPropagationPolicy"
        } else {
            "PropagationPolicy"
        };
        self.of_policies(
            kind,
            &self.policy_name(slot, policy),
            policy.cluster_wide,
            &spec,
        )
    }

    fn preempting(&self, slot: usize, place: &Place) -> Value {
        let spec = json!({
            "resourceSelectors": self.selectors(slot),
            "placement": self.placement(place),
            "priority": 10,
            "preemption": "Always",
        });
        self.of_policies("PropagationPolicy", &format!("high{slot}"), false, &spec)
    }

    fn override_name(&self, slot: usize, revision: &Override) -> String {
        if revision.cluster_wide {
            format!("{}-o{slot}", self.scene.namespace)
        } else {
            format!("o{slot}")
        }
    }

    fn revision(&self, slot: usize, revision: &Override) -> Value {
        let overriders = if revision.bad {
            json!({ "plaintext": [{ "path": "/nothing/here", "operator": "remove" }] })
        } else {
            json!({ "labelsOverrider": [{ "operator": "add", "value": { "revised": revision.value.to_string() } }] })
        };
        let spec = json!({
            "resourceSelectors": self.selectors(slot),
            "overrideRules": [{ "targetCluster": { "clusterNames": [revision.cluster] }, "overriders": overriders }],
        });
        let kind = if revision.cluster_wide {
            "ClusterOverridePolicy"
        } else {
            "OverridePolicy"
        };
        let name = self.override_name(slot, revision);
        self.of_policies(kind, &name, revision.cluster_wide, &spec)
    }

    fn of_policies(&self, kind: &str, name: &str, cluster_wide: bool, spec: &Value) -> Value {
        let mut object = json!({
            "apiVersion": "policy.karmada.io/v1alpha1",
            "kind": kind,
            "metadata": { "name": name },
            "spec": spec,
        });
        if !cluster_wide {
            object["metadata"]["namespace"] = self.scene.namespace.clone().into();
        }
        object
    }

    /// Waits until what is done now has reached a member.
    pub(super) async fn catch_up(&self, turn: usize) {
        let marker = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "marker", "namespace": self.scene.namespace },
            "data": { "turn": turn.to_string() },
        });
        self.put("configmaps", &marker).await;
        let spec = json!({
            "resourceSelectors": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "marker" }],
            "placement": { "clusterAffinity": { "clusterNames": ["member1"] } },
        });
        self.put(
            policy_kind(false),
            &self.of_policies("PropagationPolicy", "marker", false, &spec),
        )
        .await;
        let turn = turn.to_string();
        self.scene
            .until("member1", "configmaps", "marker", "of this turn", |it| {
                it["data"]["turn"] == *turn
            })
            .await;
    }

    /// Waits until the servers have written so many bindings, or have nothing more to write.
    pub(super) async fn after_writes(&self, count: usize) {
        let writes = watcher(
            self.api("control", BINDINGS),
            watcher::Config::default().any_semantic(),
        );
        let counted = writes
            .filter(|event| {
                std::future::ready(matches!(
                    event,
                    Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_))
                ))
            })
            .take(count)
            .count();
        let _ = timeout(Duration::from_millis(400), counted).await;
    }

    pub(super) async fn view(&self) -> View {
        view::of(self).await
    }

    /// What there is once nothing changes any more.
    pub(super) async fn settled(&self) -> View {
        let steady = async {
            let mut look = tokio::time::interval(Duration::from_millis(250));
            let mut last = self.view().await;
            let mut same = 0;
            while same < 6 {
                look.tick().await;
                let now = self.view().await;
                same = if now == last { same + 1 } else { 0 };
                last = now;
            }
            last
        };
        timeout(DEADLINE, steady).await.unwrap()
    }
}

fn policy_kind(cluster_wide: bool) -> &'static str {
    if cluster_wide {
        "clusterpropagationpolicies.policy.karmada.io"
    } else {
        "propagationpolicies.policy.karmada.io"
    }
}

fn override_kind(cluster_wide: bool) -> &'static str {
    if cluster_wide {
        "clusteroverridepolicies.policy.karmada.io"
    } else {
        "overridepolicies.policy.karmada.io"
    }
}

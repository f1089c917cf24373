//! Everything that there is, without what differs from run to run.

use std::collections::BTreeMap;

use kube::api::ListParams;
use serde_json::Value;

use super::player::{CLUSTERS, Player};

/// Objects by cluster and kind, and then by name.
pub(super) type View = BTreeMap<String, BTreeMap<String, Value>>;

const NAMESPACED: [&str; 4] = ["configmaps", "deployments.apps", "secrets", "services"];
const OF_THE_CONTROL_PLANE: [&str; 5] = [
    "propagationpolicies.policy.karmada.io",
    "clusterpropagationpolicies.policy.karmada.io",
    "overridepolicies.policy.karmada.io",
    "clusteroverridepolicies.policy.karmada.io",
    "resourcebindings.work.karmada.io",
];

pub(super) async fn of(player: &Player) -> View {
    let mut view = View::new();
    for cluster in CLUSTERS {
        for kind in NAMESPACED {
            keep(player, &mut view, cluster, kind).await;
        }
    }
    for kind in OF_THE_CONTROL_PLANE {
        keep(player, &mut view, "control", kind).await;
    }
    works(player, &mut view).await;
    view
}

async fn keep(player: &Player, view: &mut View, cluster: &str, kind: &str) {
    let own = &player.scene.namespace;
    let found = player
        .api(cluster, kind)
        .list(&ListParams::default())
        .await
        .unwrap();
    let of_kind = view.entry(format!("{cluster} {kind}")).or_default();
    for object in found {
        let object = serde_json::to_value(object).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        let is_ours = object["metadata"]["namespace"] == **own || name.starts_with(own.as_str());
        if is_ours && name != "kube-root-ca.crt" && name != "marker" && name != "marker-configmap" {
            of_kind.insert(name.replace(own, "world"), normal(object.clone(), own));
        }
    }
}

async fn works(player: &Player, view: &mut View) {
    let own = &player.scene.namespace;
    let found = player
        .api_everywhere("control", "works.work.karmada.io")
        .list(&ListParams::default())
        .await
        .unwrap();
    let works = view.entry("control works".to_owned()).or_default();
    for object in found {
        let object = serde_json::to_value(object).unwrap();
        let manifest = &object["spec"]["workload"]["manifests"][0];
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        if manifest["metadata"]["namespace"] != **own || name == "marker" {
            continue;
        }
        let key = format!(
            "{} {} {name}",
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            manifest["kind"].as_str().unwrap_or_default(),
        );
        // The name is a hash of the namespace, among others.
        let mut object = normal(object.clone(), own);
        object["metadata"]["name"] = Value::Null;
        works.insert(key, object);
    }
}

/// Keys with ids, times, counters of writes, and addresses that a member hands out.
const LEFT_OUT: [&str; 26] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "observedGeneration",
    "resourceTemplateGeneration",
    "schedulerObservedGeneration",
    "lastScheduledTime",
    "lastTransitionTime",
    "lastUpdateTime",
    "clusterIP",
    "clusterIPs",
    "deployment.kubernetes.io/revision",
    "propagationpolicy.karmada.io/permanent-id",
    "clusterpropagationpolicy.karmada.io/permanent-id",
    "resourcebinding.karmada.io/permanent-id",
    "work.karmada.io/permanent-id",
    "work.karmada.io/name",
    "resourcetemplate.karmada.io/uid",
    "resourcetemplate.karmada.io/generation",
    "navarch.dev/template-fingerprint",
    "navarch.dev/template-specification",
    "collisionCount",
    "nodePort",
];

fn normal(mut object: Value, own: &str) -> Value {
    // Which ReplicaSet came to be when is the member's affair.
    let is_deployment = object["kind"] == "Deployment" || !object["status"]["replicas"].is_null();
    if is_deployment && let Some(status) = object["status"].as_object_mut() {
        status.remove("conditions");
    }
    // They are ordered by what the clusters had left at that moment.
    if let Some(clusters) = object["spec"]["clusters"].as_array_mut() {
        clusters.sort_by_key(|it| it["name"].to_string());
    }
    strip(&mut object, own);
    object
}

fn strip(value: &mut Value, own: &str) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
            // An object that was made again says so until it is applied for another reason.
            if map
                .get("reason")
                .is_some_and(|it| it == "ReCreateSuccessful")
            {
                map.insert("reason".into(), "AppliedSuccessful".into());
            }
            *map = std::mem::take(map)
                .into_iter()
                .map(|(key, mut value)| {
                    strip(&mut value, own);
                    (key.replace(own, "world"), value)
                })
                .collect();
        }
        Value::Array(list) => list.iter_mut().for_each(|value| strip(value, own)),
        Value::String(text) if text.contains(own) => *text = text.replace(own, "world"),
        _ => {}
    }
}

/// What differs, a line for each object.
pub(super) fn differences(expected: &View, found: &View) -> Vec<String> {
    let mut lines = Vec::new();
    let none = BTreeMap::new();
    for (kind, expected) in expected {
        let found = found.get(kind).unwrap_or(&none);
        for name in expected
            .keys()
            .chain(found.keys().filter(|name| !expected.contains_key(*name)))
        {
            match (expected.get(name), found.get(name)) {
                (Some(expected), Some(found)) if expected == found => {}
                (Some(expected), Some(found)) => lines.push(format!(
                    "{kind} {name} is\n{found:#}\ninstead of\n{expected:#}"
                )),
                (Some(_), None) => lines.push(format!("{kind} {name} is missing")),
                (None, Some(found)) => lines.push(format!("{kind} {name} is too much:\n{found:#}")),
                (None, None) => {}
            }
        }
    }
    lines
}

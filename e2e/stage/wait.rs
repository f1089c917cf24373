//! Waiting by watch, with a deadline and a message that tells what was found instead.

use std::sync::{Arc, Mutex};

use futures::{StreamExt, pin_mut};
use kube::{
    Api,
    api::DynamicObject,
    runtime::{WatchStreamExt, wait::await_condition, watcher},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{DEADLINE, Scene, resource};

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Where an object is. Works live in the execution space, which the name carries: `karmada-es-member1/web-…`.
async fn endpoint<'n>(
    scene: &Scene,
    cluster: &str,
    kind: &str,
    name: &'n str,
) -> (Api<DynamicObject>, &'n str) {
    let (namespace, short) = match name.split_once('/') {
        Some((namespace, short)) => (Some(namespace), short),
        None => (None, name),
    };
    let (api_resource, namespaced) = resource(kind);
    let namespace = namespace.or(namespaced.then_some(scene.namespace.as_str()));
    (scene.api_of(cluster, &api_resource, namespace).await, short)
}

pub(super) async fn until(
    scene: &Scene,
    cluster: &str,
    kind: &str,
    name: &str,
    is: &str,
    holds: impl Fn(&Value) -> bool + Send,
) -> Value {
    let (api, short) = endpoint(scene, cluster, kind, name).await;
    let last = Arc::new(Mutex::new(Value::Null));
    let seen = Arc::clone(&last);
    let met = move |object: Option<&DynamicObject>| {
        let Some(object) = object.map(value) else {
            return false;
        };
        let met = holds(&object);
        *seen.lock().unwrap() = object;
        met
    };
    if let Ok(found) = timeout(DEADLINE, await_condition(api, short, met)).await {
        return value(&found.unwrap().unwrap());
    }
    let last = serde_json::to_string_pretty(&*last.lock().unwrap()).unwrap();
    panic!(
        "{kind} {name} in {cluster} is not {is} after {DEADLINE:?}; it is\n{last}\n\nnavarch says\n{}",
        scene.stage.log()
    )
}

pub(super) async fn until_gone(scene: &Scene, cluster: &str, kind: &str, name: &str) {
    let (api, short) = endpoint(scene, cluster, kind, name).await;
    let gone = |object: Option<&DynamicObject>| object.is_none();
    if timeout(DEADLINE, await_condition(api.clone(), short, gone))
        .await
        .is_err()
    {
        let found = api.get_opt(short).await;
        panic!(
            "{kind} {name} in {cluster} still exists: {found:#?}\n\nnavarch says\n{}",
            scene.stage.log()
        );
    }
}

pub(super) async fn until_event(
    scene: &Scene,
    namespace: &str,
    about: &str,
    reason: &str,
    contains: &str,
) {
    let (events, _) = resource("events");
    let api = scene.api_of("control", &events, Some(namespace)).await;
    let events = watcher(api, watcher::Config::default()).applied_objects();
    pin_mut!(events);
    let mut seen = Vec::new();
    let found = timeout(DEADLINE, async {
        while let Some(event) = events.next().await {
            let event = value(&event.unwrap());
            let line = format!(
                "{} {} {}",
                event["involvedObject"]["name"], event["reason"], event["message"]
            );
            let hit = event["involvedObject"]["name"] == about
                && event["reason"] == reason
                && event["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(contains));
            seen.push(line);
            if hit {
                return;
            }
        }
    });
    assert!(
        found.await.is_ok(),
        "no event {reason} about {about} with {contains:?}; there are\n{}",
        seen.join("\n")
    );
}

//! Who is scheduled first.

use std::fmt::Write as _;

use kube::api::ListParams;

use crate::{estimator::serve, stage::Scene};

/// A binding that only the scheduler looks at.
fn binding(name: &str, priority: i32) -> String {
    format!(
        "---
apiVersion: work.karmada.io/v1alpha2
kind: ResourceBinding
metadata: {{name: {name}, namespace: {{ns}}, labels: {{binding.karmada.io/managed-by: story}}}}
spec:
  schedulerName: by-priority
  schedulePriority: {{priority: {priority}}}
  resource: {{apiVersion: v1, kind: ConfigMap, namespace: {{ns}}, name: {name}}}
  placement: {{clusterAffinity: {{clusterNames: [member1]}}}}
"
    )
}

#[tokio::test]
async fn urgent_bindings_go_before_those_that_waited_longer() {
    let scene = Scene::open("priority").await;
    let mut bindings = String::new();
    for number in 0..40 {
        write!(bindings, "{}", binding(&format!("calm-{number}"), 0)).unwrap();
    }
    for number in 0..4 {
        write!(bindings, "{}", binding(&format!("urgent-{number}"), 1000)).unwrap();
    }
    scene.apply(&bindings);
    let gates = "--feature-gates=PriorityBasedScheduling=true";
    serve(
        &scene,
        "scheduler",
        &["--scheduler-name", "by-priority", gates],
    );
    for number in 0..40 {
        scene
            .until_event(
                &format!("calm-{number}"),
                "ScheduleBindingSucceed",
                "scheduled",
            )
            .await;
    }
    let events = scene.api("control", "events").await;
    let events = events.list(&ListParams::default()).await.unwrap();
    let mut order: Vec<(u64, String)> = events
        .items
        .iter()
        .filter(|event| event.data["reason"] == "ScheduleBindingSucceed")
        .map(|event| {
            let version = event.metadata.resource_version.as_deref().unwrap();
            let about = event.data["involvedObject"]["name"].as_str().unwrap();
            (version.parse().unwrap(), about.to_owned())
        })
        .collect();
    order.sort();
    // Several are worked on at a time, so that the first calm ones may overtake a slow urgent one.
    let first: Vec<&str> = order
        .iter()
        .take(12)
        .map(|(_, name)| name.as_str())
        .collect();
    let urgent = first.iter().filter(|name| name.starts_with("urgent"));
    assert_eq!(urgent.count(), 4, "{first:?}");
}

//! What feature gates put on bindings.

use crds::work::ResourceBinding;
use k8s_openapi::{
    api::{core::v1::Event, scheduling::v1::PriorityClass},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{
    case::{Case, annotation, create, deployments, poll, pp, selects, until},
    kinds::{crd, create_served, custom},
};

/// A policy that asks for a priority class; also, what it preempts is told of although the binding has to wait for the class.
pub(crate) async fn schedule_priority(client: &Client) {
    let case = Case::new(client, "priority").await;
    case.deployment("web", json!({})).await;
    case.policy("low", deployments(&json!({"name": "web"})))
        .await;
    case.bound("web-deployment", "low").await;
    let mut spec = deployments(&json!({"name": "web"}));
    spec["priority"] = json!(5);
    spec["preemption"] = json!("Always");
    spec["schedulePriority"] = json!({
        "priorityClassSource": "KubePriorityClass", "priorityClassName": "gates-urgent",
    });
    create::<crds::policy::PropagationPolicy>(&case.api(), pp("high", &spec)).await;
    case.claimed("web", "high").await;
    told(
        &case,
        "PreemptPolicySucceed",
        "preempted propagation policy(priority/low) successfully",
    )
    .await;
    told(
        &case,
        "ApplyPolicyFailed",
        "names PriorityClass gates-urgent, which does not exist",
    )
    .await;
    let events: Api<Event> = case.api();
    let all = events
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    assert!(
        all.iter()
            .all(|event| event.reason.as_deref() != Some("PreemptPolicyFailed")),
        "{all:#?}"
    );

    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": "gates-urgent"}, "value": 1000,
    });
    create::<PriorityClass>(&Api::all(client.clone()), class).await;
    until(
        &case.api(),
        "web-deployment",
        "urgent",
        |it: &ResourceBinding| {
            let priority = it.spec.schedule_priority.as_ref();
            annotation(it, "propagationpolicy.karmada.io/name") == Some("high")
                && priority.and_then(|it| it.priority) == Some(1000)
        },
    )
    .await;
}

async fn told(case: &Case, reason: &str, part: &str) {
    let api: Api<Event> = case.api();
    let ask = || async {
        let events = api.list(&kube::api::ListParams::default()).await.unwrap();
        let mut messages: Vec<(String, String)> = events
            .into_iter()
            .filter_map(|event| Some((event.reason?, event.message?)))
            .collect();
        messages.retain(|(found, message)| found == reason && message.contains(part));
        messages
    };
    poll(reason, ask, |found| !found.is_empty()).await;
}

/// Groups of workloads, and the namespace whose quota counts.
pub(crate) async fn groups_and_quota(client: &Client) {
    let case = Case::new(client, "groups").await;
    case.deployment("web", json!({"team": "a", "tier": "front"}))
        .await;
    let mut spec = deployments(&json!({"name": "web"}));
    spec["placement"]["workloadAffinity"] = json!({
        "affinity": {"groupByLabelKey": "team"}, "antiAffinity": {"groupByLabelKey": "tier"},
    });
    case.policy("pol", spec).await;
    let binding = case.bound("web-deployment", "pol").await;
    let spec = serde_json::to_value(&binding.spec).unwrap();
    assert_eq!(
        spec["workloadAffinityGroups"],
        json!({"affinityGroup": "team=a", "antiAffinityGroup": "tier=front"})
    );
    assert_eq!(spec["replicaRequirements"]["namespace"], "groups");
}

/// A workload of several pod templates has components in the place of replicas.
pub(crate) async fn components(client: &Client) {
    let case = Case::new(client, "components").await;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut definition = crd("flinkdeployments", "FlinkDeployment", "flink.apache.org");
    definition["spec"]["versions"][0]["name"] = json!("v1beta1");
    create(&crds, definition).await;
    let (_, mut object) = custom(
        &case,
        "flinkdeployments",
        "FlinkDeployment",
        "flink.apache.org",
        "job",
    );
    let resource = kube::api::ApiResource {
        group: "flink.apache.org".into(),
        version: "v1beta1".into(),
        api_version: "flink.apache.org/v1beta1".into(),
        kind: "FlinkDeployment".into(),
        plural: "flinkdeployments".into(),
    };
    let api: Api<kube::api::DynamicObject> =
        Api::namespaced_with(case.client.clone(), &case.namespace, &resource);
    object.types = Some(kube::core::TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    object.data = json!({"spec": {
        "jobManager": {"replicas": 1, "resource": {"cpu": 1, "memory": "1024m"}},
        "taskManager": {"replicas": 2, "resource": {"cpu": 1, "memory": "1024m"}},
    }});
    create_served(&api, &object).await;
    let selector = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment"});
    case.policy("pol", selects(&json!([selector]))).await;
    let binding = case.bound("job-flinkdeployment", "pol").await;
    let spec: Value = serde_json::to_value(&binding.spec).unwrap();
    let components: Vec<_> = spec["components"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| (it["name"].clone(), it["replicas"].clone()))
        .collect();
    assert_eq!(
        components,
        [
            (json!("jobmanager"), json!(1)),
            (json!("taskmanager"), json!(2))
        ],
        "{spec:#}"
    );
    assert!(spec["replicas"].is_null(), "{spec:#}");
    // Where no rule knows of components, the replicas count.
    case.deployment("web", json!({})).await;
    case.policy("web", deployments(&json!({"name": "web"})))
        .await;
    let binding = case.bound("web-deployment", "web").await;
    assert_eq!(
        (binding.spec.replicas, binding.spec.components.len()),
        (Some(4), 0)
    );
}

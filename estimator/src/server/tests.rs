//! The server over TLS, asked by the client: what it answers, and what it refuses.

use std::{collections::BTreeMap, time::Duration};

use crds::work::{Component, ObjectReference, ReplicaRequirements};
use futures::executor::block_on;
use proptest::prelude::*;
use scheduler::Answer;
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;
use tonic::Request;

use super::*;
use crate::{
    client::{self, Address, Estimators, Question},
    loopback::{self, Pki},
    tls::ClientFiles,
    wire::{estimator as wire, resource, service::estimator_server::Estimator as _},
};

fn node(name: &str, zone: &str, cpu: &str) -> Value {
    json!({
        "kind": "Node",
        "metadata": { "name": name, "labels": { "zone": zone } },
        "status": { "allocatable": { "cpu": cpu, "memory": "64Gi", "pods": "50" } },
    })
}

fn waiting(name: &str, since: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "namespace": "shop",
            "name": name,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true,
            }],
        },
        "spec": { "containers": [] },
        "status": { "phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since,
        }]},
    })
}

/// Three nodes, one of them tainted, a pod on another, a quota for a class of pods, and pods that find no node.
fn service() -> Service {
    let stores = Stores::new(true);
    let mut tainted = node("n2", "a", "8");
    tainted["spec"] = json!({ "taints": [{ "key": "k", "value": "v", "effect": "NoSchedule" }] });
    stores.take(vec![
        node("n1", "a", "5"),
        tainted,
        node("n3", "b", "2"),
        json!({
            "kind": "Pod",
            "metadata": { "namespace": "shop", "name": "running" },
            "spec": { "nodeName": "n1", "containers": [{ "resources": { "requests": { "cpu": "1" } } }] },
            "status": { "phase": "Running" },
        }),
        waiting("db-0", "2020-01-01T00:00:00Z"),
        // The clock of the member is ahead.
        waiting("db-1", "2999-01-01T00:00:00Z"),
        json!({
            "kind": "ResourceQuota",
            "metadata": { "namespace": "shop", "name": "high" },
            "spec": { "scopeSelector": { "matchExpressions": [
                { "scopeName": "PriorityClass", "operator": "In", "values": ["high"] },
            ]}},
            "status": { "hard": { "requests.cpu": "5" }, "used": { "requests.cpu": "2" } },
        }),
    ]);
    let options = Options {
        cluster: "m1".to_owned(),
        address: ([127, 0, 0, 1], 0).into(),
        tls: ServerFiles::default(),
        quotas: true,
        assumed: true,
    };
    Service::new(stores, &options, Arc::default())
}

/// Served with certificates, and a client that has the right ones.
async fn served() -> (Arc<Estimators>, Vec<Address>, Pki, DropGuard) {
    let pki = Pki::new();
    let (addresses, stop) = loopback::serve(service(), pki.server()).await;
    let estimators = connected(pki.client(), &addresses);
    (estimators, addresses, pki, stop)
}

/// Connected to the server in the name of the member that it is for, and of another.
fn connected(tls: ClientFiles, addresses: &[Address]) -> Arc<Estimators> {
    let timeout = Duration::from_secs(20);
    let estimators = Estimators::new(client::Options { timeout, tls });
    for cluster in ["m1", "m2"] {
        estimators.connect(cluster, addresses.to_vec());
    }
    estimators
}

async fn ask(estimators: &Estimators, cluster: &str, question: &Question) -> Answer {
    let clusters = [cluster.to_owned()];
    let (about, assumed) = (ObjectReference::default(), BTreeMap::new());
    let mut answers = estimators
        .available(&about, question, &clusters, &assumed)
        .await;
    answers.pop().unwrap().1
}

fn replicas(requirements: Value) -> Question {
    let requirements: ReplicaRequirements = serde_json::from_value(requirements).unwrap();
    Question::Replicas(Some((&requirements).into()))
}

#[tokio::test]
async fn room_is_that_of_the_nodes_and_quotas_that_count() {
    let (estimators, _, _pki, _stop) = served().await;
    let one = json!({ "cpu": "1" });
    let toleration = json!([{ "key": "k", "operator": "Equal", "value": "v" }]);
    let affinity = json!({ "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["b", "c"] }] },
    ]});
    for (what, requirements, expected) in [
        ("pods", json!({}), 99),
        ("cpu", json!({ "resourceRequest": one }), 6),
        (
            "more than any node has",
            json!({ "resourceRequest": { "cpu": "7" } }),
            0,
        ),
        (
            "a resource that no node has",
            json!({ "resourceRequest": { "example.com/gpu": "1" } }),
            0,
        ),
        (
            "node selector",
            json!({ "resourceRequest": one, "nodeClaim": { "nodeSelector": { "zone": "a" } } }),
            4,
        ),
        (
            "affinity",
            json!({ "resourceRequest": one, "nodeClaim": { "hardNodeAffinity": affinity } }),
            2,
        ),
        (
            "toleration",
            json!({ "resourceRequest": one, "nodeClaim": { "tolerations": toleration } }),
            14,
        ),
        (
            "quota",
            json!({ "resourceRequest": one, "namespace": "shop", "priorityClassName": "high" }),
            3,
        ),
        (
            "another class",
            json!({ "resourceRequest": one, "namespace": "shop", "priorityClassName": "low" }),
            6,
        ),
        (
            "another namespace",
            json!({ "resourceRequest": one, "namespace": "bank", "priorityClassName": "high" }),
            6,
        ),
    ] {
        let answer = ask(&estimators, "m1", &replicas(requirements)).await;
        assert_eq!(answer, Answer::Fits(expected), "{what}");
    }
    let nothing = ask(&estimators, "m1", &Question::Replicas(None)).await;
    assert_eq!(nothing, Answer::Fits(99), "no requirements");
    let component: Component = serde_json::from_value(json!({
        "name": "worker",
        "replicas": 2,
        "replicaRequirements": { "resourceRequest": { "cpu": "2" } },
    }))
    .unwrap();
    let sets = Question::Sets {
        components: vec![(&component).into()],
        namespace: "shop".to_owned(),
    };
    assert_eq!(ask(&estimators, "m1", &sets).await, Answer::Fits(1), "sets");
}

#[tokio::test]
async fn pods_that_find_no_node_are_counted_by_their_workload() {
    let (estimators, _, _pki, _stop) = served().await;
    let ask = async |kind: &str, name: &str| {
        let about = ObjectReference {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
            ..ObjectReference::default()
        };
        let clusters = ["m1".to_owned()];
        let mut answers = estimators
            .unschedulable(&about, Duration::from_mins(5), &clusters)
            .await;
        answers.pop().unwrap().1.map_err(|error| error.to_string())
    };
    assert_eq!(ask("StatefulSet", "db").await, Ok(1));
    assert_eq!(ask("StatefulSet", "web").await, Ok(0));
    let unread = ask("Deployment", "web").await.unwrap_err();
    assert!(unread.contains("still being read"), "{unread}");
    let unknown = ask("CronJob", "web").await.unwrap_err();
    assert!(
        unknown.contains("kind(CronJob) of workload(shop/web) is not supported"),
        "{unknown}"
    );
}

#[tokio::test]
async fn questions_about_another_cluster_are_refused() {
    let (estimators, _, _pki, _stop) = served().await;
    let Answer::Failed(cause) = ask(&estimators, "m2", &Question::Replicas(None)).await else {
        panic!("answered for another cluster");
    };
    assert!(
        cause.contains("cluster name does not match, got: m2, desire: m1"),
        "{cause}"
    );
}

#[tokio::test]
async fn clients_of_another_authority_are_refused() {
    let (_, addresses, pki, _stop) = served().await;
    let stranger = ClientFiles {
        authority: Some(pki.file("ca.crt")),
        ..Pki::new().client()
    };
    let nobody = ClientFiles {
        certificate: None,
        key: None,
        ..pki.client()
    };
    for files in [stranger, nobody, ClientFiles::default()] {
        let estimators = connected(files, &addresses);
        let answer = ask(&estimators, "m1", &Question::Replicas(None)).await;
        assert!(matches!(answer, Answer::Failed(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_the_next_one_is_answered() {
    let (estimators, _, _pki, _stop) = served().await;
    let mut undecodable = wire::ReplicaRequirements::default();
    undecodable
        .resource_request_bytes
        .insert("cpu".to_owned(), vec![0xff; 9]);
    let mut claim = wire::ReplicaRequirements::default();
    claim.node_claim.get_or_insert_default().node_affinity_bytes = vec![0xff; 9];
    for (requirements, told) in [
        (undecodable, "resourceRequestBytes[cpu] cannot be decoded"),
        (claim, "nodeAffinityBytes cannot be decoded"),
    ] {
        let question = Question::Replicas(Some(requirements));
        let Answer::Failed(cause) = ask(&estimators, "m1", &question).await else {
            panic!("answered {question:?}");
        };
        assert!(cause.contains("failed to estimate replicas: "), "{cause}");
        assert!(cause.contains(told), "{cause}");
    }
    for text in ["", "many", "1.2.3", "0x10", "1e99999", "--1", "5Qi"] {
        let question = replicas(json!({ "resourceRequest": { "cpu": text } }));
        let answer = ask(&estimators, "m1", &question).await;
        let Answer::Failed(cause) = answer else {
            panic!("{text:?} is no quantity, yet {answer:?}");
        };
        assert!(cause.contains("failed to estimate replicas: "), "{cause}");
    }
    let next = ask(&estimators, "m1", &Question::Replicas(None)).await;
    assert_eq!(next, Answer::Fits(99));
}

fn quantity() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "",
        "-1",
        "0",
        "1n",
        "1e400",
        "9223372036854775807",
        "-9223372036854775808",
        "8Ei",
        "x",
        "5",
        "250m",
    ]);
    odd.prop_map(str::to_owned)
}

fn requests() -> impl Strategy<Value = BTreeMap<String, resource::Quantity>> {
    let name = prop::sample::select(vec![
        "cpu",
        "memory",
        "pods",
        "example.com/gpu",
        "",
        "hugepages-2Mi",
    ]);
    let quantity = quantity().prop_map(|string| resource::Quantity { string });
    prop::collection::btree_map(name.prop_map(str::to_owned), quantity, 0..4)
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![Just(i32::MIN), Just(-1), Just(0), Just(i32::MAX), 0_i32..9]
}

fn component() -> impl Strategy<Value = wire::Component> {
    (number(), requests()).prop_map(|(replicas, resource_request)| wire::Component {
        name: String::new(),
        replicas,
        replica_requirements: Some(wire::ComponentReplicaRequirements {
            resource_request,
            ..wire::ComponentReplicaRequirements::default()
        }),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is asked: a number of replicas or an error.
    #[test]
    fn any_question_has_an_answer(
        resource_request in requests(),
        affinity in prop::collection::vec(any::<u8>(), 0..6),
        components in prop::collection::vec(component(), 0..3),
        assumed in prop::collection::vec(component(), 0..3),
        unschedulable_threshold in prop_oneof![Just(i64::MIN), Just(-1), Just(i64::MAX)],
    ) {
        let service = service();
        let assumed_workloads = vec![wire::AssumedWorkload {
            namespace: "shop".to_owned(),
            components: assumed,
        }];
        let requirements = wire::ReplicaRequirements {
            node_claim: Some(wire::NodeClaim {
                node_affinity_bytes: affinity,
                ..wire::NodeClaim::default()
            }),
            resource_request,
            namespace: "shop".to_owned(),
            priority_class_name: "high".to_owned(),
            ..wire::ReplicaRequirements::default()
        };
        let question = wire::MaxAvailableReplicasRequest {
            cluster: "m1".to_owned(),
            replica_requirements: Some(requirements),
            assumed_workloads: assumed_workloads.clone(),
        };
        if let Ok(answer) = block_on(service.max_available_replicas(Request::new(question))) {
            prop_assert!(answer.into_inner().max_replicas >= 0);
        }
        let question = wire::MaxAvailableComponentSetsRequest {
            cluster: "m1".to_owned(),
            components,
            namespace: "shop".to_owned(),
            assumed_workloads,
        };
        if let Ok(answer) = block_on(service.max_available_component_sets(Request::new(question))) {
            prop_assert!(answer.into_inner().max_sets >= 0);
        }
        let question = wire::UnschedulableReplicasRequest {
            cluster: "m1".to_owned(),
            resource: Some(wire::ObjectReference {
                kind: "StatefulSet".to_owned(),
                namespace: "shop".to_owned(),
                name: "db".to_owned(),
                ..wire::ObjectReference::default()
            }),
            unschedulable_threshold,
        };
        let answer = block_on(service.get_unschedulable_replicas(Request::new(question))).unwrap();
        prop_assert!((0..=1).contains(&answer.into_inner().unschedulable_replicas));
    }
}

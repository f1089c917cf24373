//! A control plane and a member on real processes. The cases share one bed, because starting it is what takes time.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the whole file is a test, its helpers included"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use navarch_testbed::{Bed, Condition, POD_READY_ANNOTATION, ProcessId, State};
use serde::de::DeserializeOwned;
use serde_json::json;

const DEADLINE: Duration = Duration::from_mins(1);

/// Waits until the object is as wanted.
async fn until<K>(api: Api<K>, name: &str, wanted: impl Fn(&K) -> bool) -> K
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let objects = watcher(api, config).default_backoff().applied_objects();
    let found = async {
        let mut objects = std::pin::pin!(objects);
        loop {
            match objects.try_next().await {
                Ok(Some(object)) if wanted(&object) => return object,
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => panic!("the watch of {name} ended"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, found)
        .await
        .unwrap_or_else(|_| panic!("{name} is not as wanted in time"))
}

fn deployment(name: &str, replicas: u32, annotations: &serde_json::Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name }, "annotations": annotations },
                "spec": { "containers": [{ "name": "web", "image": "nginx:1.29" }] },
            },
        },
    }))
    .unwrap()
}

async fn create<K>(api: &Api<K>, object: &K)
where
    K: Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    api.create(&PostParams::default(), object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_and_a_member() {
    let started = Instant::now();
    let bed = Bed::builder()
        .members(1)
        .nodes(2)
        .audit_log(true)
        .start()
        .await
        .unwrap();
    let after = started.elapsed();
    let processes = bed.state().processes.len();
    println!(
        "1 control plane and 1 member: {processes} processes, ready in {after:.1?}, {} MiB",
        bed.memory() >> 20
    );
    for (name, process) in &bed.state().processes {
        println!(
            "  {name}: {} MiB",
            process.memory().unwrap_or_default() >> 20
        );
    }

    the_control_plane_has_our_kinds_and_namespaces(&bed).await;
    pods_get_ready_in_the_member(&bed).await;
    jobs_complete_and_marked_pods_stay_unready(&bed).await;
    a_deployment_in_the_control_plane_is_only_a_template(&bed).await;
    namespaces_end_in_the_control_plane(&bed).await;
    an_outage_ends_where_it_began(&bed).await;
    a_pause_is_not_a_refusal(&bed).await;
    another_member_joins(&bed).await;
    a_crashed_component_comes_back(&bed).await;
    kubeconfigs_and_state_tell_what_runs(&bed);

    let dir = bed.dir().to_owned();
    bed.shutdown().await;
    assert!(!dir.exists(), "a temporary folder is removed");
}

async fn the_control_plane_has_our_kinds_and_namespaces(bed: &Bed) {
    let client = bed.control_plane().client();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let installed = crds.list(&ListParams::default()).await.unwrap().items.len();
    assert_eq!(installed, crds::manifests::all().len());
    let namespaces: Api<Namespace> = Api::all(client);
    for name in ["karmada-system", "karmada-cluster"] {
        namespaces.get(name).await.unwrap();
    }
    let log = fs::read_to_string(bed.control_plane().audit_log().unwrap()).unwrap();
    assert!(
        log.contains("\"level\":\"Metadata\""),
        "requests are audited"
    );
}

async fn pods_get_ready_in_the_member(bed: &Bed) {
    let member = bed.member("member1").unwrap();
    let client = member.client();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let started = Instant::now();
    create(&deployments, &deployment("web", 3, &json!({}))).await;
    until(deployments, "web", |it| {
        it.status.as_ref().and_then(|status| status.ready_replicas) == Some(3)
    })
    .await;
    println!("3 replicas ready in {:.1?}", started.elapsed());

    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = pods
        .list(&ListParams::default().labels("app=web"))
        .await
        .unwrap()
        .items
        .remove(0);
    assert!(
        pod.spec
            .as_ref()
            .unwrap()
            .node_name
            .as_ref()
            .unwrap()
            .starts_with("member1-node-")
    );
    let log = pods
        .logs(&pod.name_any(), &LogParams::default())
        .await
        .unwrap();
    assert!(log.contains("this pod runs on a simulated node"), "{log}");
}

async fn jobs_complete_and_marked_pods_stay_unready(bed: &Bed) {
    let client = bed.member("member1").unwrap().client();
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let pod =
        json!({ "restartPolicy": "Never", "containers": [{ "name": "work", "image": "busybox" }] });
    let job = json!({ "metadata": { "name": "once" }, "spec": { "template": { "spec": pod } } });
    create(&jobs, &serde_json::from_value(job).unwrap()).await;
    until(jobs, "once", |it| {
        it.status.as_ref().and_then(|status| status.succeeded) == Some(1)
    })
    .await;

    let deployments: Api<Deployment> = Api::default_namespaced(client);
    create(
        &deployments,
        &deployment("sick", 1, &json!({ POD_READY_ANNOTATION: "false" })),
    )
    .await;
    let status = |it: &Deployment| it.status.clone().unwrap_or_default();
    let sick = until(deployments, "sick", |it| {
        status(it).unavailable_replicas == Some(1)
    })
    .await;
    assert_eq!(status(&sick).ready_replicas, None);
}

async fn a_deployment_in_the_control_plane_is_only_a_template(bed: &Bed) {
    let client = bed.control_plane().client();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    create(&deployments, &deployment("template", 3, &json!({}))).await;
    // Deleting another one in the foreground takes a round through the garbage collector, after which a deployment
    // controller would have acted as well.
    create(&deployments, &deployment("passing", 1, &json!({}))).await;
    let foreground = DeleteParams::foreground();
    deployments.delete("passing", &foreground).await.unwrap();
    let gone = kube::runtime::wait::await_condition(
        deployments.clone(),
        "passing",
        |it: Option<&Deployment>| it.is_none(),
    );
    tokio::time::timeout(DEADLINE, gone).await.unwrap().unwrap();

    let template = deployments.get("template").await.unwrap();
    assert_eq!(
        template
            .status
            .and_then(|status| status.observed_generation),
        None
    );
    let sets: Api<ReplicaSet> = Api::all(client.clone());
    assert_eq!(
        sets.list(&ListParams::default()).await.unwrap().items.len(),
        0
    );
    // Pods may be created without any service account, as templates name accounts of members.
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = json!({ "metadata": { "name": "bare" }, "spec": { "containers": [{ "name": "a", "image": "b" }] } });
    create(&pods, &serde_json::from_value(pod).unwrap()).await;
}

async fn namespaces_end_in_the_control_plane(bed: &Bed) {
    let namespaces: Api<Namespace> = Api::all(bed.control_plane().client());
    let namespace = json!({ "metadata": { "name": "passing" } });
    create(&namespaces, &serde_json::from_value(namespace).unwrap()).await;
    namespaces
        .delete("passing", &DeleteParams::default())
        .await
        .unwrap();
    let gone =
        kube::runtime::wait::await_condition(namespaces, "passing", |it: Option<&Namespace>| {
            it.is_none()
        });
    tokio::time::timeout(DEADLINE, gone).await.unwrap().unwrap();
}

async fn an_outage_ends_where_it_began(bed: &Bed) {
    let member = bed.member("member1").unwrap();
    let before = member.api_url();
    member.stop().await;
    assert!(bed.state().cluster("member1").unwrap().stopped);
    assert!(
        version(&member.client()).await.is_err(),
        "connections are refused"
    );

    let started = Instant::now();
    member.start().await.unwrap();
    println!("1 member back in {:.1?}", started.elapsed());
    assert_eq!(member.api_url(), before);
    let deployments: Api<Deployment> = Api::default_namespaced(member.client());
    assert_eq!(deployments.get("web").await.unwrap().spec.replicas, Some(3));
}

async fn a_pause_is_not_a_refusal(bed: &Bed) {
    let member = bed.member("member1").unwrap();
    member.pause();
    let client = member.client();
    let answer = tokio::time::timeout(Duration::from_millis(300), version(&client)).await;
    assert!(answer.is_err(), "no answer, not even a refusal");
    member.resume();
    version(&client).await.unwrap();
}

async fn another_member_joins(bed: &Bed) {
    let member = bed.add_member("member2").await.unwrap();
    let nodes: Api<Node> = Api::all(member.client());
    assert_eq!(
        nodes
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        2
    );
    assert_ne!(
        member.certificate_authority(),
        bed.control_plane().certificate_authority()
    );
    for (name, reason) in [
        ("member2", "there is one already"),
        ("all", "it has a meaning of its own"),
        (
            "Member",
            "it must be lower-case letters, digits and dashes, at most 48",
        ),
    ] {
        let error = bed.add_member(name).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{name:?} cannot be the name of a member: {reason}")
        );
    }
    let names: Vec<_> = bed
        .members()
        .iter()
        .map(|it| it.name().to_owned())
        .collect();
    assert_eq!(names, ["member1", "member2"]);

    bed.remove_member("member2").await.unwrap();
    let error = bed.member("member2").unwrap_err().to_string();
    assert_eq!(
        error,
        "no cluster or component is called \"member2\" (known: navarch, member1)"
    );
}

async fn a_crashed_component_comes_back(bed: &Bed) {
    let name = "member1/kube-scheduler";
    let before = bed.state().processes[name].process.clone().unwrap();
    Command::new("kill")
        .args(["-KILL", &before.pid.to_string()])
        .status()
        .unwrap();

    let deployments: Api<Deployment> =
        Api::default_namespaced(bed.member("member1").unwrap().client());
    create(&deployments, &deployment("later", 1, &json!({}))).await;
    until(deployments, "later", |it| {
        it.status.as_ref().and_then(|status| status.ready_replicas) == Some(1)
    })
    .await;
    let after = bed.state().processes[name].clone();
    assert_eq!((after.state, after.restarts), (Condition::Running, 1));
    assert_ne!(after.process, Some(before));
}

fn kubeconfigs_and_state_tell_what_runs(bed: &Bed) {
    let contexts = |path: &Path| -> Vec<String> {
        let file = kube::config::Kubeconfig::read_from(path).unwrap();
        file.contexts.into_iter().map(|it| it.name).collect()
    };
    assert_eq!(contexts(&bed.kubeconfig()), ["navarch", "member1"]);
    assert_eq!(contexts(bed.control_plane().kubeconfig()), ["navarch"]);
    assert!(bed.kubeconfig().ends_with("kubeconfig/all.yaml"));

    let state = State::load(bed.dir()).unwrap().unwrap();
    assert_eq!(state, bed.state());
    assert!(state.is_running());
    let names: Vec<_> = state.processes.keys().map(String::as_str).collect();
    let expected = [
        "etcd",
        "member1/kube-apiserver",
        "member1/kube-controller-manager",
        "member1/kube-scheduler",
        "member1/kwok",
        "navarch/kube-apiserver",
        "navarch/kube-controller-manager",
    ];
    assert_eq!(names, expected);
    assert!(state.processes.values().all(|it| it.log.exists()));
}

async fn version(client: &Client) -> Result<(), kube::Error> {
    client.apiserver_version().await.map(|_| ())
}

const OWNER_DIR: &str = "NAVARCH_TEST_OWNER_DIR";

/// Not a test of its own: the process that `nothing_outlives_a_killed_owner` starts and kills.
#[tokio::test]
async fn owner_to_be_killed() {
    let Ok(dir) = std::env::var(OWNER_DIR) else {
        return;
    };
    let bed = Bed::builder().dir(dir).start().await.unwrap();
    println!("\nready in {}", bed.dir().display());
    std::future::pending::<()>().await;
}

#[test]
fn nothing_outlives_a_killed_owner() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_to_be_killed", "--nocapture"])
        .env(OWNER_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let bed_dir = lines
        .map(Result::unwrap)
        .find_map(|it| it.strip_prefix("ready in ").map(PathBuf::from))
        .unwrap();

    let state = State::load(&bed_dir).unwrap().unwrap();
    let processes: Vec<ProcessId> = state
        .processes
        .into_values()
        .filter_map(|it| it.process)
        .collect();
    assert_eq!(processes.len(), 3);
    assert!(processes.iter().all(ProcessId::is_running));

    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while processes.iter().any(ProcessId::is_running) {
        assert!(Instant::now() < deadline, "processes outlive their owner");
        std::thread::yield_now();
    }

    // The folder is free again, and what was in it goes on.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bed = Bed::builder().dir(&bed_dir).start().await.unwrap();
        let old_api_server = state.clusters[0].api_server_port;
        assert_eq!(
            bed.control_plane().api_url(),
            format!("https://127.0.0.1:{old_api_server}")
        );

        let error = Bed::builder().dir(&bed_dir).start().await.unwrap_err();
        assert!(error.to_string().contains("is in use by"), "{error}");
        bed.shutdown().await;
        assert_eq!(State::load(&bed_dir).unwrap().unwrap().owner, None);
    });
}

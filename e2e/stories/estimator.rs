//! Placement by what the nodes of members really have room for.
//!
//! Each story counts a resource of its own, so that stories side by side do not take room from each other; the accurate schedulers are
//! processes of their own beside the one that all stories share.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use crate::stage::{NAVARCH, Scene, clusters, condition, policy};

/// Lets each of a member's two nodes offer this much of a resource, and waits until the control plane knows.
pub async fn offer(scene: &Scene, member: &str, resource: &str, amounts: [u32; 2]) {
    let nodes = scene.kubectl(member, &["get", "nodes", "-o", "name"]);
    for (node, amount) in nodes.lines().zip(amounts) {
        let amounts = format!(r#"{{"{resource}":"{amount}"}}"#);
        let patch = format!(r#"{{"status":{{"capacity":{amounts},"allocatable":{amounts}}}}}"#);
        scene.kubectl(
            member,
            &[
                "patch",
                node,
                "--subresource=status",
                "--type=merge",
                "-p",
                &patch,
            ],
        );
    }
    let sum = amounts.iter().sum::<u32>().to_string();
    scene
        .until(
            "control",
            "clusters.cluster.karmada.io",
            member,
            "offering the resource",
            |it| it["status"]["resourceSummary"]["allocatable"][resource] == sum.as_str(),
        )
        .await;
}

/// A Deployment `web` whose replicas each take two of a resource.
pub fn hungry(resource: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {{ns}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: web
        image: docker.io/library/nginx:1.29
        resources: {{requests: {{{resource}: 2}}, limits: {{{resource}: 2}}}}
"
    )
}

/// A policy for the Deployment that fills the named clusters one after the other.
pub fn aggregated(scheduler: &str, clusters: &str) -> String {
    let placement = format!(
        "{{clusterAffinity: {{clusterNames: [{clusters}]}}, replicaScheduling: {{replicaSchedulingType: Divided, \
         replicaDivisionPreference: Aggregated}}}}"
    );
    policy("web", "apps/v1", "Deployment", &placement) + &format!("  schedulerName: {scheduler}\n")
}

/// Starts the estimator of a member.
pub fn estimate(scene: &Scene, member: &str) {
    let port = free_port();
    let bed = &scene.stage.bed;
    let kubeconfig = bed
        .member(member)
        .unwrap()
        .kubeconfig()
        .display()
        .to_string();
    let args = [
        "serve",
        "estimator",
        "--kubeconfig",
        &kubeconfig,
        "--cluster-name",
        member,
        "--server-port",
        &port.to_string(),
        "--health-probe-bind-address",
        "0",
    ];
    let name = format!("{}-estimator-{member}", scene.namespace);
    bed.run(
        &name,
        Path::new(NAVARCH),
        args.map(str::to_owned).to_vec(),
        None,
    )
    .unwrap();
    publish(scene, member, port);
}

/// Starts a server role that asks estimators by Services with this scene's prefix.
pub fn serve(scene: &Scene, role: &str, more: &[&str]) {
    let bed = &scene.stage.bed;
    let kubeconfig = bed.control_plane().kubeconfig().display().to_string();
    let mut args: Vec<String> = [
        "serve",
        role,
        "--kubeconfig",
        &kubeconfig,
        "--health-probe-bind-address",
        "0",
        // The process that all stories share holds the Leases.
        "--leader-elect=false",
        "--scheduler-estimator-service-namespace",
        &scene.namespace,
    ]
    .map(str::to_owned)
    .to_vec();
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    let name = format!("{}-{role}", scene.namespace);
    bed.run(&name, Path::new(NAVARCH), args, None).unwrap();
}

/// The Service by which schedulers find the estimator of a member.
fn publish(scene: &Scene, member: &str, port: u16) {
    scene.apply(&format!(
        "apiVersion: v1
kind: Service
metadata: {{name: karmada-scheduler-estimator-{member}, namespace: {{ns}}}}
spec: {{type: ExternalName, externalName: localhost, ports: [{{port: 10352, targetPort: {port}}}]}}
"
    ));
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn replicas_go_where_nodes_have_room_and_not_where_sums_do() {
    let scene = Scene::open("accurate").await;
    // Six of the resource hold three replicas by their sum, but two on nodes of three each.
    let resource = "accurate.example.com/slots";
    for member in ["member1", "member2"] {
        offer(&scene, member, resource, [3, 3]).await;
        estimate(&scene, member);
    }
    let flags = [
        "--scheduler-name",
        "accurate",
        "--enable-scheduler-estimator",
    ];
    serve(&scene, "scheduler", &flags);
    scene.apply(&(hungry(resource, 3) + &aggregated("accurate", "member1, member2")));
    let binding = scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "web-deployment",
            "scheduled",
            |it| condition(it, "Scheduled") == "True/Success",
        )
        .await;
    // Both have room for two; which of them gets the second one is a draw.
    let placed = clusters(&binding);
    assert!(
        ["member1:2 member2:1", "member1:1 member2:2"].contains(&placed.as_str()),
        "{placed}"
    );
    // All of them find a node.
    scene
        .until("control", "deployments.apps", "web", "ready", |it| {
            it["status"]["readyReplicas"] == 3
        })
        .await;
}

#[tokio::test]
async fn an_estimator_that_hangs_holds_nothing_up() {
    let scene = Scene::open("hanging").await;
    let resource = "hanging.example.com/slots";
    offer(&scene, "member3", resource, [3, 3]).await;
    // Takes connections and never says a word.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    publish(&scene, "member3", silent.local_addr().unwrap().port());
    let flags = [
        "--scheduler-name",
        "hanging",
        "--enable-scheduler-estimator",
    ];
    serve(&scene, "scheduler", &flags);
    scene.apply(&(hungry(resource, 3) + &aggregated("hanging", "member3")));
    let binding = scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "web-deployment",
            "scheduled by the sums",
            |it| condition(it, "Scheduled") == "True/Success",
        )
        .await;
    assert_eq!(clusters(&binding), "member3:3");
}

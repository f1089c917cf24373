//! Replicas that find no node move on.

use crate::{
    estimator::{aggregated, estimate, hungry, offer, serve},
    stage::{Scene, clusters},
};

#[tokio::test]
async fn replicas_without_a_node_go_to_another_cluster() {
    let scene = Scene::open("deschedule").await;
    // By the sums three replicas fit into member1, on its nodes only two do.
    let resource = "deschedule.example.com/slots";
    for member in ["member1", "member2"] {
        offer(&scene, member, resource, [3, 3]).await;
        estimate(&scene, member);
    }
    scene.apply(&(hungry(resource, 3) + &aggregated("default-scheduler", "member1, member2")));
    let binding = "resourcebindings.work.karmada.io";
    scene
        .until(
            "control",
            binding,
            "web-deployment",
            "in member1 alone",
            |it| clusters(it) == "member1:3",
        )
        .await;
    scene
        .until(
            "member1",
            "deployments.apps",
            "web",
            "two thirds ready",
            |it| it["status"]["readyReplicas"] == 2,
        )
        .await;
    let flags = [
        "--descheduling-interval",
        "1s",
        "--unschedulable-threshold",
        "1s",
    ];
    serve(&scene, "descheduler", &flags);
    scene
        .until(
            "control",
            binding,
            "web-deployment",
            "in both members",
            |it| clusters(it) == "member1:2 member2:1",
        )
        .await;
    scene
        .until_event(
            "web-deployment",
            "DescheduleBindingSucceed",
            "1 replica(s) in cluster(member1), 1 total descheduled replica(s)",
        )
        .await;
    scene
        .until("control", "deployments.apps", "web", "ready", |it| {
            it["status"]["readyReplicas"] == 3
        })
        .await;
}

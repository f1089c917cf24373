//! What the members report ends up in the template, kind by kind.

use crate::stage::{Scene, item, on, policy};

#[tokio::test]
async fn stateful_sets_daemon_sets_and_jobs_report_their_sums() {
    let scene = Scene::open("workloads").await;
    let template = "template: {metadata: {labels: {app: it}}, spec: {containers: [{name: it, image: 'nginx:1.29'}]}}";
    scene.apply(&format!(
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: store, namespace: {{ns}}}}
spec: {{replicas: 2, serviceName: store, selector: {{matchLabels: {{app: it}}}}, {template}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent, namespace: {{ns}}}}
spec: {{selector: {{matchLabels: {{app: it}}}}, {template}}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: once, namespace: {{ns}}}}
spec: {{completions: 2, parallelism: 2, template: {{metadata: {{annotations: {{e2e: job}}}}, spec: {{restartPolicy: Never, containers: [{{name: it, image: 'busybox:1'}}]}}}}}}
"
    ));
    for (name, api_version, kind) in [
        ("sets", "apps/v1", "StatefulSet"),
        ("agents", "apps/v1", "DaemonSet"),
        ("jobs", "batch/v1", "Job"),
    ] {
        scene.apply(&policy(name, api_version, kind, &on("member1, member2")));
    }
    scene
        .until(
            "control",
            "statefulsets.apps",
            "store",
            "the sum of both members",
            |it| it["status"]["readyReplicas"] == 4,
        )
        .await;
    // Two nodes in each member.
    scene
        .until(
            "control",
            "daemonsets.apps",
            "agent",
            "the sum of both members",
            |it| it["status"]["numberReady"] == 4,
        )
        .await;
    scene
        .until(
            "control",
            "jobs.batch",
            "once",
            "started in both members",
            |it| {
                it["status"]["succeeded"].as_i64().unwrap_or(0)
                    + it["status"]["active"].as_i64().unwrap_or(0)
                    == 4
            },
        )
        .await;
}

#[tokio::test]
async fn services_and_ingresses_report_their_load_balancers() {
    let scene = Scene::open("balancers").await;
    scene.apply(
        "apiVersion: v1
kind: Service
metadata: {name: front, namespace: balancers}
spec: {type: LoadBalancer, selector: {app: front}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front, namespace: balancers}
spec: {defaultBackend: {service: {name: front, port: {number: 80}}}}
",
    );
    scene.apply(&policy(
        "services",
        "v1",
        "Service",
        &on("member1, member2"),
    ));
    scene.apply(&policy(
        "ingresses",
        "networking.k8s.io/v1",
        "Ingress",
        &on("member1, member2"),
    ));
    for (member, address) in [("member1", "192.0.2.1"), ("member2", "192.0.2.2")] {
        for kind in ["service", "ingress"] {
            let plural = if kind == "service" {
                "services"
            } else {
                "ingresses.networking.k8s.io"
            };
            scene
                .until(member, plural, "front", "there", |_| true)
                .await;
            let patch = format!(
                "{{\"status\":{{\"loadBalancer\":{{\"ingress\":[{{\"ip\":\"{address}\"}}]}}}}}}"
            );
            scene.kubectl(
                member,
                &[
                    "patch",
                    kind,
                    "front",
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &patch,
                ],
            );
        }
    }
    for kind in ["services", "ingresses.networking.k8s.io"] {
        scene
            .until(
                "control",
                kind,
                "front",
                "with the addresses of both members",
                |it| {
                    it["status"]["loadBalancer"]["ingress"]
                        .as_array()
                        .is_some_and(|addresses| addresses.len() == 2)
                },
            )
            .await;
    }
}

#[tokio::test]
async fn replica_sets_and_volumes_report_their_sums() {
    let scene = Scene::open("sets-volumes").await;
    scene.apply(
        "apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, namespace: {ns}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: 'nginx:1.29'}]}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e-disk}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], storageClassName: none, hostPath: {path: /disk}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: e2e-disk}
spec:
  resourceSelectors: [{apiVersion: v1, kind: PersistentVolume, name: e2e-disk}]
  placement: {clusterAffinity: {clusterNames: [member1, member2]}}
",
    );
    scene.apply(&policy(
        "web",
        "apps/v1",
        "ReplicaSet",
        &on("member1, member2"),
    ));
    scene
        .until(
            "control",
            "replicasets.apps",
            "web",
            "the sum of both members",
            |it| {
                let status = &it["status"];
                status["replicas"] == 2 && status["readyReplicas"] == 2
            },
        )
        .await;
    let bindings = "clusterresourcebindings.work.karmada.io";
    scene
        .until(
            "control",
            bindings,
            "e2e-disk-persistentvolume",
            "reported",
            |it| {
                ["member1", "member2"]
                    .iter()
                    .all(|member| item(it, member)["status"]["phase"] == "Available")
            },
        )
        .await;
    let volumes = "persistentvolumes";
    scene
        .until("control", volumes, "e2e-disk", "available", |it| {
            it["status"]["phase"] == "Available"
        })
        .await;
    scene.kubectl("control", &["delete", "pv", "e2e-disk", "--wait=false"]);
    scene.until_gone("member1", volumes, "e2e-disk").await;
}

//! How replicas, completions and clusters are divided, from the template to the members.

use serde_json::Value;

use crate::stage::{
    Scene, clusters, condition, config_map, deployment, divided, is_applied, message, policy,
};

/// A Deployment whose pods ask for this much cpu.
fn asking(replicas: u32, cpu: &str) -> String {
    deployment(replicas).replace(
        "image: 'docker.io/library/nginx:1.29'",
        &format!("image: 'nginx:1', resources: {{requests: {{cpu: {cpu}}}}}"),
    )
}

fn replicas(binding: &Value) -> Vec<i64> {
    binding["spec"]["clusters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it["replicas"].as_i64().unwrap_or_default())
        .collect()
}

async fn in_member(scene: &Scene, member: &str, replicas: i64) {
    scene
        .until(
            member,
            "deployments.apps",
            "web",
            &format!("at {replicas}"),
            move |it| {
                it["spec"]["replicas"] == replicas && it["status"]["readyReplicas"] == replicas
            },
        )
        .await;
}

#[tokio::test]
async fn completions_of_a_job_follow_its_parallelism() {
    let scene = Scene::open("completions").await;
    let job = |name: &str, more: &str| {
        format!(
            "---
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, namespace: {{ns}}}}
spec:
  parallelism: 3
  {more}
  template: {{spec: {{restartPolicy: Never, containers: [{{name: it, image: 'busybox:1'}}]}}}}
"
        )
    };
    scene.apply(&(job("shared", "completions: 8") + &job("queue", "backoffLimit: 3")));
    let weights = divided(&[("member1", 1), ("member2", 2)]);
    scene.apply(&policy("jobs", "batch/v1", "Job", &weights));
    // The queue has no completions to divide, but its parallelism bounds nothing: one replica per slot.
    for (member, parallelism, completions) in [("member1", 1, 3), ("member2", 2, 5)] {
        let object = scene
            .until(member, "jobs.batch", "shared", "there", |_| true)
            .await;
        assert_eq!(object["spec"]["parallelism"], parallelism, "{member}");
        assert_eq!(object["spec"]["completions"], completions, "{member}");
        let object = scene
            .until(member, "jobs.batch", "queue", "there", |_| true)
            .await;
        assert_eq!(object["spec"]["parallelism"], parallelism, "{member}");
        assert_eq!(object["spec"]["completions"], Value::Null, "{member}");
    }
    let done = scene
        .until("control", "jobs.batch", "shared", "complete", |it| {
            condition(it, "Complete").starts_with("True")
        })
        .await;
    assert_eq!(done["status"]["succeeded"], 8);
    assert!(done["status"]["completionTime"].is_string());
}

#[tokio::test]
async fn dynamic_weights_follow_what_the_clusters_have_left() {
    let scene = Scene::open("dynamic").await;
    let dynamic = "{clusterAffinity: {clusterNames: [member1, member2, member3]}, replicaScheduling: \
                   {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted, \
                   weightPreference: {dynamicWeight: AvailableReplicas}}}";
    scene.apply(&(asking(6, "10m") + &policy("web", "apps/v1", "Deployment", dynamic)));
    let binding = scene.applied("web-deployment").await;
    assert_eq!(clusters(&binding), "member1:2 member2:2 member3:2");
    assert_eq!(
        binding["spec"]["replicaRequirements"]["resourceRequest"]["cpu"],
        "10m"
    );
    for member in ["member1", "member2", "member3"] {
        in_member(&scene, member, 2).await;
    }
    // Growing adds to what is there, shrinking takes in proportion.
    scene.kubectl("control", &["scale", "deployment/web", "--replicas=9"]);
    let grown = scene
        .binding("web-deployment", "at nine", |it| {
            replicas(it).iter().sum::<i64>() == 9
        })
        .await;
    assert_eq!(replicas(&grown), [3, 3, 3]);
    scene.kubectl("control", &["scale", "deployment/web", "--replicas=3"]);
    let shrunk = scene
        .binding("web-deployment", "at three", |it| {
            replicas(it).iter().sum::<i64>() == 3
        })
        .await;
    assert_eq!(replicas(&shrunk), [1, 1, 1]);
    scene
        .until("control", "deployments.apps", "web", "complete", |it| {
            it["status"]["readyReplicas"] == 3 && it["status"]["replicas"] == 3
        })
        .await;
}

#[tokio::test]
async fn aggregated_division_fills_few_clusters() {
    let scene = Scene::open("aggregated").await;
    let aggregated = "{clusterAffinity: {clusterNames: [member1, member2, member3]}, replicaScheduling: \
                      {replicaSchedulingType: Divided, replicaDivisionPreference: Aggregated}}";
    scene.apply(&(asking(3, "10m") + &policy("web", "apps/v1", "Deployment", aggregated)));
    let binding = scene.applied("web-deployment").await;
    assert_eq!(replicas(&binding), [3], "one cluster holds them all");
    let chosen = binding["spec"]["clusters"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    in_member(&scene, &chosen, 3).await;
    // More of it stays where it is.
    scene.kubectl("control", &["scale", "deployment/web", "--replicas=5"]);
    let binding = scene
        .binding("web-deployment", "at five", |it| replicas(it) == [5])
        .await;
    assert_eq!(binding["spec"]["clusters"][0]["name"], *chosen);
    in_member(&scene, &chosen, 5).await;
}

#[tokio::test]
async fn more_than_the_clusters_hold_is_refused_with_the_reason() {
    let scene = Scene::open("too-much").await;
    let aggregated = "{clusterAffinity: {clusterNames: [member1, member2]}, replicaScheduling: \
                      {replicaSchedulingType: Divided, replicaDivisionPreference: Aggregated}}";
    scene.apply(&(asking(500, "1") + &policy("web", "apps/v1", "Deployment", aggregated)));
    let binding = scene
        .binding("web-deployment", "refused", |it| {
            condition(it, "Scheduled") == "False/Unschedulable"
        })
        .await;
    assert!(
        message(&binding, "Scheduled").contains("available"),
        "{}",
        message(&binding, "Scheduled")
    );
    assert_eq!(binding["spec"]["clusters"], Value::Null);
    // Less fits.
    scene.kubectl("control", &["scale", "deployment/web", "--replicas=1"]);
    let binding = scene.applied("web-deployment").await;
    assert_eq!(replicas(&binding), [1]);
}

#[tokio::test]
async fn spread_constraints_bound_the_number_of_clusters() {
    let scene = Scene::open("spread").await;
    let spread = |min: u32, max: u32| {
        format!(
            "{{clusterAffinity: {{clusterNames: [member1, member2, member3]}}, \
             spreadConstraints: [{{spreadByField: cluster, minGroups: {min}, maxGroups: {max}}}]}}"
        )
    };
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &spread(2, 2))));
    let binding = scene.applied("settings-configmap").await;
    let first = clusters(&binding);
    assert_eq!(first.split(' ').count(), 2, "{first}");
    for member in first.split(' ') {
        scene
            .until(member, "configmaps", "settings", "there", |_| true)
            .await;
    }
    // More groups than there are clusters: said, and nothing moves.
    scene.apply(&policy("settings", "v1", "ConfigMap", &spread(4, 5)));
    let binding = scene
        .binding("settings-configmap", "refused", |it| {
            condition(it, "Scheduled").starts_with("False")
        })
        .await;
    assert_eq!(clusters(&binding), first, "what runs is kept");
    for member in first.split(' ') {
        assert!(
            scene
                .object(member, "configmaps", "settings")
                .await
                .is_some()
        );
    }
    scene.apply(&policy("settings", "v1", "ConfigMap", &spread(1, 3)));
    scene
        .binding("settings-configmap", "everywhere", |it| {
            clusters(it) == "member1 member2 member3"
        })
        .await;
}

#[tokio::test]
async fn spread_constraints_bound_the_number_of_regions() {
    let scene = Scene::open("regions").await;
    scene.place_members();
    let spread = |regions: u32| {
        format!(
            "{{clusterAffinity: {{clusterNames: [member1, member2, member3]}}, spreadConstraints: [\
             {{spreadByField: region, minGroups: {regions}, maxGroups: {regions}}}, \
             {{spreadByField: cluster, minGroups: 2, maxGroups: 2}}]}}"
        )
    };
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &spread(2))));
    let binding = scene
        .binding("settings-configmap", "in both regions", |it| {
            is_applied(it) && clusters(it).contains("member3")
        })
        .await;
    assert_eq!(clusters(&binding).split(' ').count(), 2);
    // Only the north has two clusters.
    scene.apply(&policy("settings", "v1", "ConfigMap", &spread(1)));
    scene
        .binding("settings-configmap", "in the north", |it| {
            let found = clusters(it);
            let mut names: Vec<&str> = found.split(' ').collect();
            names.sort_unstable();
            names == ["member1", "member2"]
        })
        .await;
    scene.until_gone("member3", "configmaps", "settings").await;
}

#[tokio::test]
async fn the_first_affinity_that_fits_is_taken() {
    let scene = Scene::open("affinities").await;
    let ordered = |first: &str, second: &str| {
        format!(
            "{{clusterAffinities: [{{affinityName: first, clusterNames: [{first}]}}, \
             {{affinityName: second, clusterNames: [{second}]}}]}}"
        )
    };
    scene.apply(
        &(config_map("blue")
            + &policy(
                "settings",
                "v1",
                "ConfigMap",
                &ordered("atlantis", "member2"),
            )),
    );
    let observed = "schedulerObservingAffinityName";
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(clusters(&binding), "member2");
    assert_eq!(binding["status"][observed], "second");
    // Other terms than the observed one may be edited without moving anything.
    scene.apply(&policy(
        "settings",
        "v1",
        "ConfigMap",
        &ordered("member3, member1", "member2"),
    ));
    scene
        .binding("settings-configmap", "with the new terms", |it| {
            it["spec"]["placement"]["clusterAffinities"][0]["clusterNames"][0] == "member3"
        })
        .await;
    scene.meanwhile("probe").await;
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(clusters(&binding), "member2");
    // Rescheduling that is asked for begins with the first term again.
    scene.merge(
        "control",
        "rb",
        "settings-configmap",
        "{\"spec\":{\"rescheduleTriggeredAt\":\"2099-01-01T00:00:00Z\"}}",
    );
    let in_first = |it: &Value| {
        it["status"][observed] == "first" && {
            let names = clusters(it);
            names.contains("member1") && names.contains("member3") && !names.contains("member2")
        }
    };
    scene
        .binding("settings-configmap", "in the first group", in_first)
        .await;
    scene.until_gone("member2", "configmaps", "settings").await;
    scene
        .until("member3", "configmaps", "settings", "there", |_| true)
        .await;
}

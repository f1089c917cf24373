//! What belongs to a member, kind by kind: it stays out of the Work, and stays in the member.

use serde_json::{Value, json};

use crate::stage::{Scene, condition, is_applied, on, policy};

fn manifest(work: &Value) -> &Value {
    &work["spec"]["workload"]["manifests"][0]
}

async fn applied_work(scene: &Scene, kind: &str, name: &str) -> Value {
    scene
        .work("member1", kind, name, "applied", |it| {
            condition(it, "Applied").starts_with("True")
        })
        .await
}

#[tokio::test]
async fn a_service_keeps_the_addresses_and_ports_of_its_member() {
    let scene = Scene::open("own-service").await;
    let service = |port: u32| {
        format!(
            "---
apiVersion: v1
kind: Service
metadata: {{name: front, namespace: {{ns}}}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: {port}, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: headless, namespace: {{ns}}}}
spec: {{clusterIP: None, selector: {{app: web}}, ports: [{{port: {port}}}]}}
"
        )
    };
    scene.apply(&(service(80) + &policy("services", "v1", "Service", &on("member1, member2"))));
    let template = scene
        .until("control", "services", "front", "there", |_| true)
        .await;
    assert!(template["spec"]["clusterIP"].is_string());
    let work = applied_work(&scene, "Service", "front").await;
    for field in ["clusterIP", "clusterIPs"] {
        assert_eq!(manifest(&work)["spec"][field], Value::Null, "{field}");
    }
    let headless = applied_work(&scene, "Service", "headless").await;
    assert_eq!(manifest(&headless)["spec"]["clusterIP"], "None");
    let before = scene
        .until("member1", "services", "front", "with an address", |it| {
            it["spec"]["clusterIP"].is_string()
        })
        .await;
    scene.apply(&service(81));
    let after = scene
        .until("member1", "services", "front", "on port 81", |it| {
            it["spec"]["ports"][0]["port"] == 81
        })
        .await;
    for field in ["clusterIP", "clusterIPs"] {
        assert_eq!(after["spec"][field], before["spec"][field], "{field}");
    }
    scene
        .until("member1", "services", "headless", "on port 81", |it| {
            it["spec"]["ports"][0]["port"] == 81 && it["spec"]["clusterIP"] == "None"
        })
        .await;
    scene.applied("front-service").await;
}

#[tokio::test]
async fn a_job_gets_its_selector_in_the_member() {
    let scene = Scene::open("own-job").await;
    scene.apply(
        "apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: {ns}}
spec:
  ttlSecondsAfterFinished: 3600
  template: {spec: {restartPolicy: Never, containers: [{name: it, image: 'busybox:1'}]}}
",
    );
    scene.apply(&policy("jobs", "batch/v1", "Job", &on("member1, member2")));
    let template = scene
        .until("control", "jobs.batch", "once", "there", |_| true)
        .await;
    let uid = template["metadata"]["uid"].as_str().unwrap();
    let work = applied_work(&scene, "Job", "once").await;
    let spec = &manifest(&work)["spec"];
    assert_eq!(spec["ttlSecondsAfterFinished"], Value::Null);
    assert_eq!(spec["selector"], json!({ "matchLabels": {} }));
    assert_eq!(spec["template"]["metadata"]["labels"], json!({}));
    // The template's own labels, which its API server made, go along.
    assert_eq!(manifest(&work)["metadata"]["labels"]["controller-uid"], uid);
    let object = scene
        .until("member1", "jobs.batch", "once", "there", |_| true)
        .await;
    let selector = "batch.kubernetes.io/controller-uid";
    assert_eq!(
        object["spec"]["selector"]["matchLabels"][selector],
        object["metadata"]["uid"]
    );
    // A change reaches it without touching what the member generated.
    scene.merge("control", "job", "once", "{\"spec\":{\"backoffLimit\":2}}");
    let after = scene
        .until("member1", "jobs.batch", "once", "with the limit", |it| {
            it["spec"]["backoffLimit"] == 2
        })
        .await;
    assert_eq!(after["metadata"]["uid"], object["metadata"]["uid"]);
    assert_eq!(after["spec"]["selector"], object["spec"]["selector"]);
    assert_eq!(
        after["spec"]["template"]["metadata"]["labels"],
        object["spec"]["template"]["metadata"]["labels"]
    );
    scene
        .until("control", "jobs.batch", "once", "complete", |it| {
            it["status"]["succeeded"] == 2 && condition(it, "Complete").starts_with("True")
        })
        .await;
}

#[tokio::test]
async fn a_volume_claim_keeps_the_volume_that_its_member_bound() {
    let scene = Scene::open("own-claim").await;
    let claim = |label: &str| {
        format!(
            "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: {{ns}}, labels: {{v: '{label}'}}, annotations: {{volume.kubernetes.io/selected-node: home}}}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: '', resources: {{requests: {{storage: 1Gi}}}}}}
"
        )
    };
    scene.apply(&claim("1"));
    scene.apply(&policy(
        "claims",
        "v1",
        "PersistentVolumeClaim",
        &on("member1"),
    ));
    let work = applied_work(&scene, "PersistentVolumeClaim", "data").await;
    assert_eq!(
        manifest(&work)["metadata"]["annotations"]["volume.kubernetes.io/selected-node"],
        Value::Null
    );
    scene.apply_to(
        "member1",
        "apiVersion: v1
kind: PersistentVolume
metadata: {name: own-claim-data}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: ''
  claimRef: {namespace: {ns}, name: data}
  hostPath: {path: /tmp/own-claim-data}
",
    );
    scene
        .until("member1", "persistentvolumeclaims", "data", "bound", |it| {
            it["spec"]["volumeName"] == "own-claim-data" && it["status"]["phase"] == "Bound"
        })
        .await;
    scene.apply(&claim("2"));
    let after = scene
        .until(
            "member1",
            "persistentvolumeclaims",
            "data",
            "relabelled",
            |it| it["metadata"]["labels"]["v"] == "2",
        )
        .await;
    assert_eq!(after["spec"]["volumeName"], "own-claim-data");
    // Its phase comes back.
    scene
        .until("control", "persistentvolumeclaims", "data", "bound", |it| {
            it["status"]["phase"] == "Bound"
        })
        .await;
    let binding = scene.applied("data-persistentvolumeclaim").await;
    assert_eq!(
        binding["status"]["aggregatedStatus"][0]["health"],
        "Healthy"
    );
}

#[tokio::test]
async fn service_accounts_and_token_secrets_keep_what_their_member_issued() {
    let scene = Scene::open("own-token").await;
    let account = |label: &str| {
        format!(
            "---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: robot, namespace: {{ns}}, labels: {{v: '{label}'}}}}
secrets: [{{name: robot-token-abcde}}, {{name: robot-extra}}]
imagePullSecrets: [{{name: pull}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: robot-login, namespace: {{ns}}, labels: {{v: '{label}'}}, annotations: {{kubernetes.io/service-account.name: robot}}}}
type: kubernetes.io/service-account-token
"
        )
    };
    scene.apply(&account("1"));
    scene.apply(&policy("accounts", "v1", "ServiceAccount", &on("member1")));
    let work = applied_work(&scene, "ServiceAccount", "robot").await;
    assert_eq!(
        manifest(&work)["secrets"],
        json!([{ "name": "robot-extra" }])
    );
    scene
        .until("member1", "serviceaccounts", "robot", "there", |_| true)
        .await;
    // Only now, so that the member's controller finds the account.
    scene.apply(&policy("secrets", "v1", "Secret", &on("member1")));
    let issued = scene
        .until("member1", "secrets", "robot-login", "with a token", |it| {
            it["data"]["token"].is_string()
        })
        .await;
    let at_home = scene
        .until("control", "secrets", "robot-login", "with a token", |it| {
            it["data"]["token"].is_string()
        })
        .await;
    assert_ne!(issued["data"]["token"], at_home["data"]["token"]);
    let work = applied_work(&scene, "Secret", "robot-login").await;
    assert_eq!(manifest(&work)["data"], Value::Null);
    assert_eq!(
        manifest(&work)["metadata"]["annotations"]["kubernetes.io/service-account.uid"],
        Value::Null
    );

    scene.merge("member1", "serviceaccount", "robot", "{\"secrets\":[{\"name\":\"robot-extra\"},{\"name\":\"theirs\"}],\"imagePullSecrets\":[{\"name\":\"pull\"},{\"name\":\"their-pull\"}]}");
    scene.apply(&account("2"));
    let robot = scene
        .until("member1", "serviceaccounts", "robot", "relabelled", |it| {
            it["metadata"]["labels"]["v"] == "2"
        })
        .await;
    assert_eq!(
        robot["secrets"],
        json!([{ "name": "robot-extra" }, { "name": "theirs" }])
    );
    assert_eq!(
        robot["imagePullSecrets"],
        json!([{ "name": "pull" }, { "name": "their-pull" }])
    );
    let login = scene
        .until("member1", "secrets", "robot-login", "relabelled", |it| {
            it["metadata"]["labels"]["v"] == "2"
        })
        .await;
    assert_eq!(login["data"], issued["data"]);
}

#[tokio::test]
async fn a_pod_keeps_the_node_that_its_member_gave_it() {
    let scene = Scene::open("own-pod").await;
    let pod = |image: &str| {
        format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: lone, namespace: {{ns}}}}
spec: {{containers: [{{name: it, image: '{image}'}}]}}
"
        )
    };
    scene.apply(&pod("nginx:1"));
    scene.apply(&policy("pods", "v1", "Pod", &on("member1, member2")));
    let before = scene
        .until("member1", "pods", "lone", "running", |it| {
            it["spec"]["nodeName"].is_string() && it["status"]["phase"] == "Running"
        })
        .await;
    scene.apply(&pod("nginx:2"));
    let after = scene
        .until("member1", "pods", "lone", "on the new image", |it| {
            it["spec"]["containers"][0]["image"] == "nginx:2"
        })
        .await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    for field in ["nodeName", "serviceAccountName", "volumes"] {
        assert_eq!(after["spec"][field], before["spec"][field], "{field}");
    }
    assert_eq!(
        after["spec"]["containers"][0]["volumeMounts"],
        before["spec"]["containers"][0]["volumeMounts"]
    );
    scene
        .until("control", "pods", "lone", "running", |it| {
            it["status"]["phase"] == "Running"
        })
        .await;
    scene.applied("lone-pod").await;
}

#[tokio::test]
async fn replicas_that_an_autoscaler_owns_stay() {
    let scene = Scene::open("own-replicas").await;
    scene.apply(
        &(crate::stage::deployment(2).replace(
            "labels: {app: web}}\nspec:",
            "labels: {app: web, resourcetemplate.karmada.io/retain-replicas: 'true'}}\nspec:",
        ) + &policy("web", "apps/v1", "Deployment", &on("member1"))),
    );
    scene
        .until("member1", "deployments.apps", "web", "there", |it| {
            it["spec"]["replicas"] == 2
        })
        .await;
    scene.kubectl("member1", &["scale", "deployment/web", "--replicas=5"]);
    scene.kubectl(
        "control",
        &["set", "image", "deployment/web", "web=nginx:2"],
    );
    let object = scene
        .until("member1", "deployments.apps", "web", "on nginx:2", |it| {
            it["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
        })
        .await;
    assert_eq!(object["spec"]["replicas"], 5);
    scene.binding("web-deployment", "applied", is_applied).await;
}

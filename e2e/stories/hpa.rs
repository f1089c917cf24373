//! Replicas that members decide for themselves.

use serde_json::Value;

use crate::stage::{Scene, deployment, divided};

const RETAIN: &str = "resourcetemplate.karmada.io/retain-replicas";

const AUTOSCALER: &str = "---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: {ns}}
spec:
  minReplicas: 1
  maxReplicas: 9
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
";

fn policy(placement: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: web, namespace: {{ns}}}}
spec:
  resourceSelectors:
  - {{apiVersion: apps/v1, kind: Deployment, name: web}}
  - {{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: web}}
  placement: {placement}
"
    )
}

fn retains(it: &Value) -> bool {
    it["metadata"]["labels"][RETAIN] == "true"
}

#[tokio::test]
async fn members_keep_the_replicas_of_an_autoscaled_deployment_while_it_is_one() {
    let scene = Scene::open("hpa-retain").await;
    let weights = divided(&[("member1", 1), ("member2", 1)]);
    scene.apply(&(deployment(4) + AUTOSCALER + &policy(&weights)));
    scene
        .until("control", "deployments.apps", "web", "marked", retains)
        .await;
    scene
        .until("member1", "deployments.apps", "web", "marked", retains)
        .await;
    scene
        .until("member2", "deployments.apps", "web", "marked", retains)
        .await;
    scene
        .until("control", "deployments.apps", "web", "ready", |it| {
            it["status"]["readyReplicas"] == 4
        })
        .await;

    // What an autoscaler in the member does.
    scene.kubectl("member1", &["scale", "deployment", "web", "--replicas=5"]);
    let template = scene
        .until(
            "control",
            "deployments.apps",
            "web",
            "at the sum of the members",
            |it| it["spec"]["replicas"] == 7 && it["status"]["replicas"] == 7,
        )
        .await;
    assert!(retains(&template));
    let member = scene
        .object("member1", "deployments.apps", "web")
        .await
        .unwrap();
    assert_eq!(member["spec"]["replicas"], 5);

    // Without the autoscaler the template decides again: 7 over two members of equal weight.
    scene.kubectl("control", &["delete", "hpa", "web"]);
    scene
        .until("control", "deployments.apps", "web", "not marked", |it| {
            !retains(it)
        })
        .await;
    scene
        .until(
            "member1",
            "deployments.apps",
            "web",
            "as the template says",
            |it| {
                !retains(it)
                    && it["spec"]["replicas"]
                        .as_i64()
                        .is_some_and(|replicas| replicas < 5)
            },
        )
        .await;
}

#[tokio::test]
async fn an_autoscaler_that_no_policy_takes_along_marks_nothing() {
    let scene = Scene::open("hpa-unclaimed").await;
    let more = "---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: second, namespace: {ns}, labels: {taken: 'true'}}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: scalers, namespace: {ns}}
spec:
  resourceSelectors: [{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, labelSelector: {matchLabels: {taken: 'true'}}}]
  placement: {clusterAffinity: {clusterNames: [member1]}}
";
    scene.apply(&(deployment(1) + AUTOSCALER + more));
    scene
        .until(
            "control",
            "deployments.apps",
            "web",
            "marked for the claimed one",
            retains,
        )
        .await;
    // The claim goes with the label that the policy selects by, and the mark with the claim.
    scene.kubectl("control", &["label", "hpa", "second", "taken-"]);
    scene
        .until("control", "deployments.apps", "web", "not marked", |it| {
            !retains(it)
        })
        .await;
    scene.kubectl("control", &["label", "hpa", "web", "taken=true"]);
    scene
        .until(
            "control",
            "deployments.apps",
            "web",
            "marked again",
            retains,
        )
        .await;
}

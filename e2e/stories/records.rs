//! How an object came to be where it is: asked of the running servers.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::{DEADLINE, Scene, condition, config_map, deployment, on, policy};

fn ask(scene: &Scene, path: &str) -> (u16, Value) {
    let (code, text) = scene.stage.page(&format!("/debug/records/{path}"));
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (code, value)
}

/// Asks anew until the answer is as expected: a page cannot be watched.
async fn ask_until(scene: &Scene, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (code, account) = ask(scene, path);
        if code == 200 && is(&account) {
            return account;
        }
        assert!(Instant::now() < deadline, "{code} {account:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

const OVERRIDE: &str = "---
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: registry, namespace: {ns}}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, name: web}]
  overrideRules:
  - targetCluster: {clusterNames: [member2]}
    overriders: {imageOverrider: [{component: Registry, operator: replace, value: registry.example.com}]}
";

#[tokio::test]
async fn policies_overrides_and_answers_are_told_of_a_deployment() {
    let scene = Scene::open("records").await;
    let preferred = policy("web", "apps/v1", "Deployment", &on("member1, member2"))
        .replace("spec:\n", "spec:\n  priority: 5\n");
    let other = policy("other", "apps/v1", "Deployment", &on("member3"));
    scene.apply(&(OVERRIDE.to_owned() + &preferred + &other));
    scene.apply(&deployment(2));
    scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "web-deployment",
            "applied",
            |it| condition(it, "FullyApplied") == "True/FullyAppliedSuccess",
        )
        .await;

    let (code, account) = ask(&scene, "records/Deployment/web");
    assert_eq!(code, 200, "{account}");
    assert_eq!(account["object"]["apiVersion"], "apps/v1");
    assert_eq!(account["policy"]["decision"], "Apply");
    let candidate = |name: &str| {
        let all = list(&account["policy"]["candidates"]);
        all.iter()
            .find(|it| it["policy"]["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no {name} in {account:#}"))
    };
    assert_eq!(candidate("web")["used"], true);
    // The template is claimed by now, and preemption would have to be asked for.
    assert_eq!(candidate("other")["code"], "ClaimKept");
    assert_eq!(account["binding"]["name"], "web-deployment");

    let clusters = list(&account["clusters"]);
    assert_eq!(clusters.len(), 2, "{account:#}");
    let rules = |cluster: &Value| -> Vec<Value> {
        list(&cluster["rendered"])
            .iter()
            .filter(|it| it["type"] == "overrideRule" && it["code"] == "RuleApplied")
            .cloned()
            .collect()
    };
    let of = |name: &str| {
        let found = clusters.iter().find(|it| it["cluster"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {account:#}"))
    };
    assert!(rules(of("member1")).is_empty(), "{account:#}");
    let applied = rules(of("member2"));
    assert_eq!(applied[0]["policy"]["name"], "registry", "{account:#}");
    assert_eq!(
        applied[0]["operations"][0]["value"],
        "registry.example.com/library/nginx:1.29"
    );
    for cluster in clusters {
        let answer = &cluster["answers"][0];
        assert_eq!(answer["result"], "Success", "{account:#}");
        assert!(answer["attempts"].as_u64() >= Some(1));
        assert_eq!(cluster["work"]["isTerminating"], false);
    }
    let (_, metrics) = scene.stage.page("/metrics");
    assert!(
        metrics.contains("navarch_decision_records_bytes"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_member_that_refuses_is_quoted() {
    let scene = Scene::open("records-refused").await;
    scene
        .until("member1", "namespaces", "records-refused", "there", |_| {
            true
        })
        .await;
    scene.apply_to("member1", &config_map("theirs"));
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    scene
        .until(
            "control",
            "resourcebindings.work.karmada.io",
            "settings-configmap",
            "refused",
            |it| condition(it, "FullyApplied") == "False/FullyAppliedFailed",
        )
        .await;
    let (code, account) = ask(&scene, "records-refused/configmap/settings");
    assert_eq!(code, 200, "{account}");
    let answer = &account["clusters"][0]["answers"][0];
    assert_eq!(answer["result"], "Refused", "{account:#}");
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|text| text.contains("already exists in the cluster member1")),
        "{account:#}"
    );
}

#[tokio::test]
async fn an_object_without_a_policy_tells_why_none_fits() {
    let scene = Scene::open("records-none").await;
    scene.apply(&(config_map("blue") + &policy("web", "apps/v1", "Deployment", &on("member1"))));
    scene
        .until("control", "configmaps", "settings", "there", |_| true)
        .await;
    // The policy may reach the detector after the object.
    // Both may be with the API server and on their way to the detector.
    let account = ask_until(&scene, "records-none/ConfigMap/settings", |account| {
        account["policy"]["candidates"][0]["policy"]["name"] == "web"
    })
    .await;
    assert_eq!(account["policy"]["decision"], "NoPolicy");
    assert_eq!(
        account["policy"]["candidates"][0]["code"], "SelectorMismatch",
        "{account:#}"
    );
    assert!(account["binding"].is_null());
    let (code, text) = ask(&scene, "records-none/ConfigMap/nothing");
    assert_eq!(code, 404);
    assert!(
        text.as_str()
            .is_some_and(|text| text.contains("there is no ConfigMap"))
    );
    let (code, namespace) = ask(&scene, "Namespace/records-none");
    assert_eq!(code, 200, "{namespace}");
}

#[tokio::test]
async fn a_claim_that_holds_against_a_better_policy_is_told() {
    let scene = Scene::open("records-claimed").await;
    scene.apply(&(config_map("blue") + &policy("first", "v1", "ConfigMap", &on("member1"))));
    scene.applied("settings-configmap").await;
    let better = policy("better", "v1", "ConfigMap", &on("member2"))
        .replace("spec:\n", "spec:\n  priority: 9\n");
    scene.apply(&better);
    let account = ask_until(&scene, "records-claimed/ConfigMap/settings", |account| {
        list(&account["policy"]["candidates"]).len() > 1
    })
    .await;
    let candidate = |name: &str| {
        let all = list(&account["policy"]["candidates"]);
        all.iter()
            .find(|it| it["policy"]["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no {name} in {account:#}"))
    };
    assert_eq!(account["policy"]["decision"], "Apply", "{account:#}");
    assert_eq!(candidate("first")["used"], true, "{account:#}");
    assert_eq!(candidate("better")["used"], false, "{account:#}");
    assert_eq!(candidate("better")["code"], "NoPreemption", "{account:#}");
}

#[tokio::test]
async fn what_keeps_a_policy_from_acting_is_told() {
    let scene = Scene::open("records-obstacle").await;
    let waiting = policy("waiting", "v1", "ConfigMap", &on("member1"))
        .replace("spec:\n", "spec:\n  dependentOverrides: [missing]\n");
    scene.apply(&(config_map("blue") + &waiting));
    let account = ask_until(&scene, "records-obstacle/ConfigMap/settings", |account| {
        account["policy"]["obstacles"][0]["code"] == "DependentOverrideMissing"
    })
    .await;
    assert_eq!(account["policy"]["decision"], "Apply", "{account:#}");
    assert!(account["binding"].is_null(), "{account:#}");
    scene
        .until_event("settings", "ApplyPolicyFailed", "OverridePolicy missing")
        .await;
    // A skipped object says so.
    scene.kubectl(
        "control",
        &[
            "label",
            "configmap",
            "settings",
            "resourcetemplate.karmada.io/claimed-by=Somebody",
        ],
    );
    let account = ask_until(&scene, "records-obstacle/ConfigMap/settings", |account| {
        account["policy"]["decision"] == "Skip"
    })
    .await;
    let verdict = &account["policy"]["template"][0]["verdict"];
    assert_eq!(verdict["code"], "ClaimedByController", "{account:#}");
}

#[tokio::test]
async fn what_is_secret_is_not_told() {
    let scene = Scene::open("records-secret").await;
    scene.apply(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: creds, namespace: {ns}}\nstringData: {password: a}\n",
    );
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: password, namespace: {ns}}
spec:
  resourceSelectors: [{apiVersion: v1, kind: Secret, name: creds}]
  overrideRules:
  - overriders: {plaintext: [{path: /data/password, operator: replace, value: aHVzaC1odXNo}]}
",
    );
    scene.apply(&policy("creds", "v1", "Secret", &on("member1")));
    scene
        .until("member1", "secrets", "creds", "overridden", |it| {
            it["data"]["password"] == "aHVzaC1odXNo"
        })
        .await;
    let (code, account) = ask(&scene, "records-secret/Secret/creds");
    assert_eq!(code, 200, "{account}");
    let text = account.to_string();
    assert!(
        text.contains("/data/password") && text.contains("(hidden)"),
        "{text}"
    );
    assert!(!text.contains("aHVzaC1odXNo"), "{text}");
}

//! Which override policies apply, in which order, and what is said of them.

use serde_json::{Value, json};

use crate::stage::{Scene, condition, config_map, deployment, is_applied, item, on, policy};

/// A policy whose rules each append a word to the tag of every image.
fn appends(kind: &str, name: &str, selectors: &str, words: &[&str]) -> String {
    let namespace = if kind == "OverridePolicy" {
        ", namespace: {ns}"
    } else {
        ""
    };
    let rules: Vec<String> = words
        .iter()
        .map(|word| {
            format!(
                "\n  - overriders: {{imageOverrider: [{{component: Tag, operator: add, value: -{word}}}]}}"
            )
        })
        .collect();
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: {kind}
metadata: {{name: {name}{namespace}}}
spec:
  resourceSelectors: {selectors}
  overrideRules:{}
",
        rules.concat()
    )
}

fn image(object: &Value) -> &str {
    object["spec"]["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap_or_default()
}

#[tokio::test]
async fn general_policies_come_first_and_namespaced_ones_last() {
    let scene = Scene::open("order").await;
    let any = "[{apiVersion: apps/v1, kind: Deployment, namespace: {ns}}]";
    let labelled = "[{apiVersion: apps/v1, kind: Deployment, namespace: {ns}, labelSelector: {matchLabels: {app: web}}}]";
    let named = "[{apiVersion: apps/v1, kind: Deployment, namespace: {ns}, name: web}]";
    let other = "[{apiVersion: apps/v1, kind: Deployment, namespace: {ns}, name: other}]";
    // Names are chosen against the order of application, so that the level decides first.
    let policies = [
        appends("ClusterOverridePolicy", "order-a-named", named, &["c3"]),
        appends(
            "ClusterOverridePolicy",
            "order-b-labelled",
            labelled,
            &["c2"],
        ),
        appends("ClusterOverridePolicy", "order-c-any", any, &["c1"]),
        appends("OverridePolicy", "a-named", named, &["n1"]),
        appends("OverridePolicy", "b-named", named, &["n2", "n3"]),
        appends("OverridePolicy", "y-labelled", labelled, &["l"]),
        appends("OverridePolicy", "z-any", any, &["k"]),
        appends("OverridePolicy", "without-selectors", "[]", &["w"]),
        appends("OverridePolicy", "other", other, &["never"]),
    ];
    scene.apply(&policies.concat());
    scene.apply(&(deployment(1) + &policy("web", "apps/v1", "Deployment", &on("member1"))));
    let object = scene
        .until("member1", "deployments.apps", "web", "there", |_| true)
        .await;
    assert_eq!(
        image(&object),
        "docker.io/library/nginx:1.29-c1-c2-c3-w-k-l-n1-n2-n3"
    );
    // A cluster policy that goes takes its word along.
    scene.kubectl("control", &["delete", "cop", "order-b-labelled"]);
    scene
        .until(
            "member1",
            "deployments.apps",
            "web",
            "without the deleted policy's word",
            |it| image(it) == "docker.io/library/nginx:1.29-c1-c3-w-k-l-n1-n2-n3",
        )
        .await;
    scene.kubectl(
        "control",
        &["delete", "cop", "order-a-named", "order-c-any"],
    );
}

#[tokio::test]
async fn inside_a_rule_images_come_first_and_plaintext_last() {
    let scene = Scene::open("rule-order").await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: all, namespace: {ns}}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, name: web}]
  overrideRules:
  - overriders:
      plaintext:
      - {path: /metadata/labels/zone, operator: replace, value: by-plaintext}
      - {path: /spec/template/spec/containers/0/args/0, operator: replace, value: --second}
      - {path: /metadata/annotations/doc, operator: replace, value: '{\"n\":3}'}
      fieldOverrider:
      - {fieldPath: /metadata/annotations/doc, json: [{subPath: /n, operator: replace, value: 2}]}
      annotationsOverrider: [{operator: add, value: {doc: '{\"n\":1}'}}]
      labelsOverrider: [{operator: add, value: {zone: by-label}}]
      argsOverrider: [{containerName: web, operator: add, value: [--first]}]
      imageOverrider: [{component: Tag, operator: replace, value: v1}]
  - targetCluster: {clusterNames: [member2]}
    overriders:
      plaintext: [{path: /spec/template/spec/containers/0/image, operator: replace, value: 'nginx:by-plaintext'}]
      imageOverrider: [{component: Tag, operator: replace, value: by-image}]
",
    );
    scene
        .apply(&(deployment(1) + &policy("web", "apps/v1", "Deployment", &on("member1, member2"))));
    for (member, expected) in [
        ("member1", "docker.io/library/nginx:v1"),
        ("member2", "nginx:by-plaintext"),
    ] {
        let object = scene
            .until(member, "deployments.apps", "web", "there", |_| true)
            .await;
        assert_eq!(image(&object), expected, "{member}");
        assert_eq!(object["metadata"]["labels"]["zone"], "by-plaintext");
        assert_eq!(object["metadata"]["annotations"]["doc"], "{\"n\":3}");
        assert_eq!(
            object["spec"]["template"]["spec"]["containers"][0]["args"],
            json!(["--second"])
        );
    }
}

#[tokio::test]
async fn the_single_rule_of_old_is_still_understood() {
    let scene = Scene::open("old-form").await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: old, namespace: {ns}}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: settings}]
  targetCluster: {clusterNames: [member2]}
  overriders: {plaintext: [{path: /data/color, operator: replace, value: from-op}]}
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterOverridePolicy
metadata: {name: old-form}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, namespace: {ns}, name: settings}]
  targetCluster: {exclude: [member1]}
  overriders: {plaintext: [{path: /data/color, operator: replace, value: from-cop}]}
",
    );
    scene.apply(
        &(config_map("blue")
            + &policy(
                "settings",
                "v1",
                "ConfigMap",
                &on("member1, member2, member3"),
            )),
    );
    for (member, color) in [
        ("member1", "blue"),
        ("member2", "from-op"),
        ("member3", "from-cop"),
    ] {
        let object = scene
            .until(member, "configmaps", "settings", "there", |_| true)
            .await;
        assert_eq!(object["data"]["color"], color, "{member}");
    }
    scene.kubectl("control", &["delete", "cop", "old-form"]);
    scene
        .until("member3", "configmaps", "settings", "plain", |it| {
            it["data"]["color"] == "blue"
        })
        .await;
}

#[tokio::test]
async fn the_work_says_which_overrides_it_carries_until_they_go() {
    let scene = Scene::open("applied").await;
    let labels = |kind: &str, name: &str, namespace: &str, value: &str| {
        format!(
            "---
apiVersion: policy.karmada.io/v1alpha1
kind: {kind}
metadata: {{name: {name}{namespace}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, namespace: {{ns}}, name: settings}}]
  overrideRules:
  - targetCluster: {{clusterNames: [member1]}}
    overriders: {{labelsOverrider: [{{operator: add, value: {{by: {value}}}}}], \
    commandOverrider: [{{containerName: nobody, operator: add, value: [x]}}]}}
"
        )
    };
    scene.apply(
        &(labels("ClusterOverridePolicy", "applied-extra", "", "cop")
            + &labels("OverridePolicy", "extra", ", namespace: {ns}", "op")),
    );
    scene.apply(
        &(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1, member2"))),
    );
    let annotation = |work: &Value, key: &str| {
        let text = work["metadata"]["annotations"][format!("policy.karmada.io/{key}")].as_str();
        text.map(ToOwned::to_owned)
    };
    let record = |policy: &str, by: &str| {
        format!(
            "[{{\"policyName\":\"{policy}\",\"overriders\":{{\"commandOverrider\":[{{\"containerName\":\"nobody\",\
             \"operator\":\"add\",\"value\":[\"x\"]}}],\"labelsOverrider\":[{{\"operator\":\"add\",\"value\":{{\"by\":\"{by}\"}}}}]}}}}]"
        )
    };
    let work = scene
        .work("member1", "ConfigMap", "settings", "applied", |it| {
            condition(it, "Applied").starts_with("True")
        })
        .await;
    assert_eq!(
        annotation(&work, "applied-cluster-overrides"),
        Some(record("applied-extra", "cop"))
    );
    assert_eq!(
        annotation(&work, "applied-overrides"),
        Some(record("extra", "op"))
    );
    let plain = scene
        .work("member2", "ConfigMap", "settings", "applied", |it| {
            condition(it, "Applied").starts_with("True")
        })
        .await;
    assert_eq!(annotation(&plain, "applied-cluster-overrides"), None);
    assert_eq!(annotation(&plain, "applied-overrides"), None);

    scene.kubectl("control", &["delete", "overridepolicy", "extra"]);
    scene
        .work(
            "member1",
            "ConfigMap",
            "settings",
            "with the cluster policy only",
            |it| {
                annotation(it, "applied-overrides").is_none()
                    && annotation(it, "applied-cluster-overrides").is_some()
            },
        )
        .await;
    scene
        .until(
            "member1",
            "configmaps",
            "settings",
            "by the cluster policy",
            |it| it["metadata"]["labels"]["by"] == "cop",
        )
        .await;
    scene.kubectl("control", &["delete", "cop", "applied-extra"]);
    scene
        .work(
            "member1",
            "ConfigMap",
            "settings",
            "without overrides",
            |it| annotation(it, "applied-cluster-overrides").is_none(),
        )
        .await;
    scene
        .until("member1", "configmaps", "settings", "plain", |it| {
            it["metadata"]["labels"]["by"].is_null()
        })
        .await;
}

#[tokio::test]
async fn a_rule_that_stops_applying_keeps_what_its_cluster_has() {
    let scene = Scene::open("half-bad").await;
    scene.apply(
        &(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1, member2"))),
    );
    scene.applied("settings-configmap").await;
    let mistakes = [
        (
            "{plaintext: [{path: /data/zz, operator: replace, value: x}]}",
            "OverridePolicy half-bad/broken, rule 2, plaintext[0] at /data/zz: replace operation does not apply: \
             doc is missing key: /data/zz: missing value",
        ),
        (
            "{fieldOverrider: [{fieldPath: /data/nope.yaml, yaml: [{subPath: /a, operator: add, value: 1}]}]}",
            "OverridePolicy half-bad/broken, rule 2, fieldOverrider[0] at /data/nope.yaml: object has no key \"nope.yaml\": \
             JSON pointer error",
        ),
        (
            "{imageOverrider: [{predicate: {path: /spec/nope/image}, component: Tag, operator: replace, value: v1}]}",
            "OverridePolicy half-bad/broken, rule 2, imageOverrider[0] at /spec/nope/image: failed to obtain imageValue with \
             predicate path(/spec/nope/image), error: path(",
        ),
    ];
    for (overriders, text) in mistakes {
        scene.apply(&format!(
            "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: broken, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: settings}}]
  overrideRules:
  - overriders: {{labelsOverrider: [{{operator: add, value: {{half: applied}}}}]}}
  - targetCluster: {{clusterNames: [member1]}}
    overriders: {overriders}
"
        ));
        for about in ["settings", "settings-configmap"] {
            scene
                .until_event(about, "SyncWorkFailed", &format!("cluster member1: {text}"))
                .await;
        }
        scene
            .until_event(
                "settings",
                "ApplyOverridePolicyFailed",
                "Apply override policy(half-bad/broken) for cluster(member1) failed.",
            )
            .await;
    }
    // The other cluster goes on.
    scene.apply(&config_map("green"));
    scene
        .until("member2", "configmaps", "settings", "green", |it| {
            it["data"]["color"] == "green" && it["metadata"]["labels"]["half"] == "applied"
        })
        .await;
    let kept = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(kept["data"]["color"], "blue", "the former content stays");
    assert_eq!(kept["metadata"]["labels"]["half"], Value::Null);
    let binding = scene
        .binding("settings-configmap", "applied as before", is_applied)
        .await;
    assert_eq!(item(&binding, "member1")["applied"], true);

    scene.kubectl("control", &["delete", "overridepolicy", "broken"]);
    scene
        .until("member1", "configmaps", "settings", "green", |it| {
            it["data"]["color"] == "green"
        })
        .await;
}

#[tokio::test]
async fn a_rule_that_never_applied_leaves_its_cluster_out_of_the_status() {
    let scene = Scene::open("never-good").await;
    let broken = |clusters: &str| {
        format!(
            "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: broken, namespace: {{ns}}}}
spec:
  overrideRules:
  - targetCluster: {{clusterNames: [{clusters}]}}
    overriders: {{plaintext: [{{path: /data/zz, operator: remove}}]}}
"
        )
    };
    scene.apply(&broken("member1"));
    scene.apply(
        &(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1, member2"))),
    );
    let binding = scene
        .binding("settings-configmap", "half applied", |it| {
            condition(it, "FullyApplied") == "False/FullyAppliedFailed"
                && item(it, "member2")["applied"] == true
        })
        .await;
    assert_eq!(item(&binding, "member1"), &Value::Null);
    assert_eq!(condition(&binding, "Scheduled"), "True/Success");
    scene
        .until_event(
            "settings-configmap",
            "SyncWorkFailed",
            "error in remove for path: '/data/zz': unable to remove nonexistent key: zz",
        )
        .await;
    assert!(
        scene
            .object("member1", "configmaps", "settings")
            .await
            .is_none()
    );
    // A target that does not match any more ends the trouble.
    scene.apply(&broken("nowhere"));
    scene.applied("settings-configmap").await;
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
}

#[tokio::test]
async fn a_relabelled_cluster_is_looked_at_anew() {
    let scene = Scene::open("relabel").await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: tier, namespace: {ns}}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: settings}]
  overrideRules:
  - targetCluster: {labelSelector: {matchLabels: {e2e-tier: gold}}}
    overriders: {plaintext: [{path: /data/color, operator: replace, value: gold}]}
",
    );
    scene.apply(
        &(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1, member2"))),
    );
    scene.apply(
        "apiVersion: v1
kind: Secret
metadata: {name: placed, namespace: {ns}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: placed, namespace: {ns}}
spec:
  resourceSelectors: [{apiVersion: v1, kind: Secret, name: placed}]
  placement: {clusterAffinity: {labelSelector: {matchLabels: {e2e-tier: gold}}}}
",
    );
    scene.applied("settings-configmap").await;
    scene
        .binding("placed-secret", "without a cluster", |it| {
            condition(it, "Scheduled") == "False/NoClusterFit"
        })
        .await;
    scene.kubectl("control", &["label", "cluster", "member2", "e2e-tier=gold"]);
    scene
        .until("member2", "configmaps", "settings", "golden", |it| {
            it["data"]["color"] == "gold"
        })
        .await;
    scene
        .until("member2", "secrets", "placed", "there", |_| true)
        .await;
    let plain = scene
        .object("member1", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(plain["data"]["color"], "blue");

    scene.kubectl("control", &["label", "cluster", "member2", "e2e-tier-"]);
    scene
        .until("member2", "configmaps", "settings", "plain", |it| {
            it["data"]["color"] == "blue"
        })
        .await;
}

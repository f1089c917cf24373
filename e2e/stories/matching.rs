//! Which policy gets which template.

use serde_json::Value;

use crate::stage::{BINDINGS, Scene, clusters, condition, config_map, on, policy};

/// A policy of either kind with a priority; `more` are further lines of its specification.
fn ranked(kind: &str, name: &str, priority: i32, selectors: &str, to: &str, more: &str) -> String {
    let namespace = if kind == "PropagationPolicy" {
        ", namespace: {ns}"
    } else {
        ""
    };
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: {kind}
metadata: {{name: {name}{namespace}}}
spec:
  priority: {priority}
  resourceSelectors: {selectors}
  placement: {{clusterAffinity: {{clusterNames: [{to}]}}}}
{more}"
    )
}

fn pp(name: &str, priority: i32, selectors: &str) -> String {
    ranked(
        "PropagationPolicy",
        name,
        priority,
        selectors,
        "member1",
        "",
    )
}

fn settings(name: &str, labels: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: {{ns}}, labels: {labels}}}
data: {{x: z}}
"
    )
}

/// The policy that a template or binding says it belongs to.
fn owner(object: &Value) -> String {
    let text = |key: &str| object["metadata"]["annotations"][key].as_str();
    text("propagationpolicy.karmada.io/name")
        .map(|name| format!("pp {name}"))
        .or_else(|| {
            text("clusterpropagationpolicy.karmada.io/name").map(|name| format!("cpp {name}"))
        })
        .unwrap_or_default()
}

/// Waits until the binding belongs to a policy, and checks that the template does too.
async fn owned(scene: &Scene, name: &str, by: &str) -> Value {
    let binding = scene
        .binding(&format!("{name}-configmap"), by, |it| owner(it) == by)
        .await;
    scene
        .until("control", "configmaps", name, by, |it| owner(it) == by)
        .await;
    binding
}

#[tokio::test]
async fn the_highest_priority_then_the_closest_selector_then_the_first_name_wins() {
    let scene = Scene::open("rank").await;
    let config_map = |rest: &str| format!("[{{apiVersion: v1, kind: ConfigMap{rest}}}]");
    scene.apply(
        &[
            pp("z-any", 0, &config_map("")),
            pp(
                "y-team",
                0,
                &config_map(", labelSelector: {matchLabels: {team: a}}"),
            ),
            pp("x-named", 0, &config_map(", name: named")),
            // The label selector of a selector with a name does not count.
            pp(
                "w-tied",
                0,
                &config_map(", name: tied, labelSelector: {matchLabels: {no: body}}"),
            ),
            pp("x-tied", 0, &config_map(", name: tied")),
            pp(
                "urgent",
                5,
                &config_map(
                    ", labelSelector: {matchExpressions: [{key: tier, operator: In, values: [high, top]}]}",
                ),
            ),
            // Whatever these are, they are not ConfigMaps of version v1.
            pp("other-kind", 9, "[{apiVersion: v1, kind: Secret}]"),
            pp("other-version", 9, "[{apiVersion: v2, kind: ConfigMap}]"),
            // The best selector of a policy speaks for it.
            pp(
                "two-selectors",
                0,
                "[{apiVersion: v1, kind: ConfigMap}, {apiVersion: v1, kind: ConfigMap, name: both}]",
            ),
        ]
        .concat(),
    );
    let templates = [
        ("plain", "{}", "two-selectors"),
        ("labelled", "{team: a}", "y-team"),
        ("named", "{team: a}", "x-named"),
        ("tied", "{team: a}", "w-tied"),
        ("both", "{team: a}", "two-selectors"),
        ("rushed", "{team: a, tier: top}", "urgent"),
    ];
    for (name, labels, _) in templates {
        scene.apply(&settings(name, labels));
    }
    for (name, _, policy) in templates {
        owned(&scene, name, &format!("pp {policy}")).await;
        scene
            .until("member1", "configmaps", name, "there", |_| true)
            .await;
    }
}

#[tokio::test]
async fn a_namespaced_policy_wins_over_cluster_policies_of_any_priority() {
    let scene = Scene::open("pp-first").await;
    let selectors = "[{apiVersion: v1, kind: ConfigMap, namespace: {ns}}]";
    let elsewhere = "[{apiVersion: v1, kind: ConfigMap, namespace: pp-first-elsewhere}]";
    scene.apply(
        &[
            ranked(
                "ClusterPropagationPolicy",
                "pp-first-high",
                100,
                selectors,
                "member2",
                "",
            ),
            ranked(
                "ClusterPropagationPolicy",
                "pp-first-low",
                1,
                selectors,
                "member3",
                "",
            ),
            ranked(
                "ClusterPropagationPolicy",
                "pp-first-elsewhere",
                1000,
                elsewhere,
                "member3",
                "",
            ),
            pp(
                "own",
                -5,
                "[{apiVersion: v1, kind: ConfigMap, labelSelector: {matchLabels: {own: 'yes'}}}]",
            ),
        ]
        .concat(),
    );
    scene.apply(&(settings("own", "{own: 'yes'}") + &settings("common", "{}")));
    owned(&scene, "own", "pp own").await;
    owned(&scene, "common", "cpp pp-first-high").await;
    scene
        .until("member1", "configmaps", "own", "there", |_| true)
        .await;
    scene
        .until("member2", "configmaps", "common", "there", |_| true)
        .await;
    scene.kubectl(
        "control",
        &[
            "delete",
            "cpp",
            "pp-first-high",
            "pp-first-low",
            "pp-first-elsewhere",
        ],
    );
}

#[tokio::test]
async fn templates_wait_for_the_policy_that_selects_them() {
    let scene = Scene::open("waiting").await;
    scene.apply(&(settings("early", "{team: a}") + &settings("late", "{}")));
    scene.meanwhile("probe").await;
    assert!(
        scene
            .object("control", BINDINGS, "early-configmap")
            .await
            .is_none()
    );
    scene.apply(&pp(
        "team",
        0,
        "[{apiVersion: v1, kind: ConfigMap, labelSelector: {matchLabels: {team: a}}}]",
    ));
    owned(&scene, "early", "pp team").await;
    assert!(
        scene
            .object("control", BINDINGS, "late-configmap")
            .await
            .is_none()
    );
    // A template that comes to match, and one that a policy comes to match.
    scene.kubectl("control", &["label", "configmap", "late", "team=a"]);
    owned(&scene, "late", "pp team").await;
    scene.apply(&settings("third", "{team: b}"));
    scene.apply(&pp(
        "team",
        0,
        "[{apiVersion: v1, kind: ConfigMap, labelSelector: {matchExpressions: [{key: team, operator: Exists}]}}]",
    ));
    owned(&scene, "third", "pp team").await;
    scene
        .until("member1", "configmaps", "third", "there", |_| true)
        .await;
}

#[tokio::test]
async fn a_policy_waits_for_the_overrides_that_it_depends_on() {
    let scene = Scene::open("dependent").await;
    scene.apply(
        &(config_map("blue")
            + &ranked(
                "PropagationPolicy",
                "settings",
                0,
                "[{apiVersion: v1, kind: ConfigMap, name: settings}]",
                "member1",
                "  dependentOverrides: [north, south]\n",
            )),
    );
    for about in ["settings"] {
        scene
            .until_event(
                about,
                "ApplyPolicyFailed",
                "waiting for dependent OverridePolicy north, south to be created",
            )
            .await;
    }
    assert!(
        scene
            .object("control", BINDINGS, "settings-configmap")
            .await
            .is_none()
    );
    let template = scene
        .object("control", "configmaps", "settings")
        .await
        .unwrap();
    assert_eq!(owner(&template), "");
    for name in ["north", "south"] {
        scene.apply(&format!(
            "apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: {name}, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: ConfigMap, name: settings}}]
  overrideRules: [{{overriders: {{labelsOverrider: [{{operator: add, value: {{{name}: 'yes'}}}}]}}}}]
"
        ));
    }
    // The first thing that arrives is the overridden object.
    let object = scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    assert_eq!(object["metadata"]["labels"]["north"], "yes");
    assert_eq!(object["metadata"]["labels"]["south"], "yes");
}

#[tokio::test]
async fn a_policy_takes_over_only_if_it_preempts_and_ranks_higher() {
    let scene = Scene::open("preempt").await;
    let named = "[{apiVersion: v1, kind: ConfigMap, name: settings}]";
    let preempting = |name: &str, priority: i32, to: &str, preemption: &str| {
        ranked(
            "PropagationPolicy",
            name,
            priority,
            named,
            to,
            &format!("  preemption: {preemption}\n"),
        )
    };
    scene.apply(&(config_map("blue") + &preempting("low", 3, "member1", "Never")));
    let first = owned(&scene, "settings", "pp low").await;
    // Higher but polite; pushing but of the same rank.
    scene.apply(&preempting("high", 7, "member2", "Never"));
    scene.apply(&preempting("same", 3, "member3", "Always"));
    scene.meanwhile("probe").await;
    owned(&scene, "settings", "pp low").await;

    scene.apply(&preempting("high", 7, "member2", "Always"));
    let taken = owned(&scene, "settings", "pp high").await;
    scene
        .until_event(
            "settings",
            "PreemptPolicySucceed",
            "Propagation policy(preempt/high) preempted propagation policy(preempt/low) successfully",
        )
        .await;
    let id = "resourcebinding.karmada.io/permanent-id";
    assert_eq!(taken["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(
        taken["metadata"]["labels"][id],
        first["metadata"]["labels"][id]
    );
    scene
        .until("member2", "configmaps", "settings", "there", |_| true)
        .await;
    scene.until_gone("member1", "configmaps", "settings").await;

    // A policy that lowers itself gives way to a pushing one in between.
    scene.apply(&preempting("high", 1, "member2", "Never"));
    owned(&scene, "settings", "pp same").await;
    scene
        .until("member3", "configmaps", "settings", "there", |_| true)
        .await;
    scene.until_gone("member2", "configmaps", "settings").await;
}

#[tokio::test]
async fn cluster_policies_preempt_each_other_and_any_policy_preempts_them() {
    let scene = Scene::open("preempt-cpp").await;
    let named = "[{apiVersion: v1, kind: ConfigMap, namespace: {ns}, name: settings}]";
    let cpp = |name: &str, priority: i32, to: &str| {
        ranked(
            "ClusterPropagationPolicy",
            name,
            priority,
            named,
            to,
            "  preemption: Always\n",
        )
    };
    scene.apply(&(config_map("blue") + &cpp("preempt-cpp-low", 1, "member1")));
    owned(&scene, "settings", "cpp preempt-cpp-low").await;
    scene.apply(&cpp("preempt-cpp-high", 2, "member2"));
    owned(&scene, "settings", "cpp preempt-cpp-high").await;
    scene
        .until_event(
            "settings",
            "PreemptPolicySucceed",
            "Cluster propagation policy(preempt-cpp-high) preempted cluster propagation policy(preempt-cpp-low) successfully",
        )
        .await;
    // A namespaced policy takes from a cluster policy whatever the priorities are.
    scene.apply(&ranked(
        "PropagationPolicy",
        "own",
        -1,
        "[{apiVersion: v1, kind: ConfigMap, name: settings}]",
        "member3",
        "  preemption: Always\n",
    ));
    let binding = owned(&scene, "settings", "pp own").await;
    for gone in ["labels", "annotations"] {
        let keys = binding["metadata"][gone].as_object().unwrap();
        assert!(
            keys.keys()
                .all(|key| !key.starts_with("clusterpropagationpolicy")),
            "{keys:?}"
        );
    }
    scene
        .until("member3", "configmaps", "settings", "there", |_| true)
        .await;
    scene.until_gone("member2", "configmaps", "settings").await;
    // And a cluster policy never takes from a namespaced one.
    scene.apply(&cpp("preempt-cpp-low", 50, "member1"));
    scene.meanwhile("probe").await;
    let binding = owned(&scene, "settings", "pp own").await;
    assert_eq!(clusters(&binding), "member3");
    scene.kubectl(
        "control",
        &["delete", "cpp", "preempt-cpp-low", "preempt-cpp-high"],
    );
}

#[tokio::test]
async fn clusters_that_do_not_exist_are_passed_over() {
    let scene = Scene::open("ghosts").await;
    scene.apply(
        &(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1, atlantis"))),
    );
    let binding = scene.applied("settings-configmap").await;
    assert_eq!(clusters(&binding), "member1");
    assert_eq!(condition(&binding, "Scheduled"), "True/Success");
}

#[tokio::test]
async fn what_is_wrong_with_a_policy_is_told_on_it() {
    let scene = Scene::open("faulty").await;
    scene.apply(
        "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: faulty, namespace: {ns}}
spec:
  resourceSelectors:
  - {apiVersion: v1, kind: ConfigMap, name: settings}
  - {apiVersion: apps/v1, kind: Deploymnet}
  - {apiVersion: v1, kind: Secret, namespace: elsewhere}
  - {apiVersion: v1, kind: Service, labelSelector: {matchExpressions: [{key: a, operator: In}]}}
  placement: {clusterAffinity: {clusterNames: [ghost, member1]}}
",
    );
    scene.apply(&config_map("blue"));
    for (reason, part) in [
        (
            "UnknownCluster",
            "names ghost, of which there is no Cluster",
        ),
        (
            "ForeignNamespace",
            "resourceSelectors[2].namespace is elsewhere",
        ),
        ("InvalidSelector", "resourceSelectors[3].labelSelector"),
        ("UnknownKind", "resourceSelectors[1] names kind Deploymnet"),
    ] {
        scene.until_event("faulty", reason, part).await;
    }
    // What is right about it works.
    scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    let refused = scene.try_apply(
        "control",
        "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: unread, namespace: {ns}}
spec:
  resourceSelectors:
  - {apiVersion: v1, kind: Service, labelSelector: {matchExpressions: [{key: a, operator: Like, values: [b]}]}}
  placement: {clusterAffinity: {}}
",
    );
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(
        told.contains("matchExpressions[0].operator: Unsupported value: \"Like\""),
        "{told}"
    );
}

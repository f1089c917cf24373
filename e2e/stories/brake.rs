//! Nothing is taken from a member because something is missing, and large waves wait for somebody to let them go.

use serde_json::Value;

use crate::stage::{Scene, clusters, condition, config_map, on, policy, text};

const BINDINGS: &str = "resourcebindings.work.karmada.io";
const HELD: &str = "RemovalHeld";
const GADGETS: &str = "gadgets.brake.example.com";

fn settings(n: u32) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings-{n}, namespace: {{ns}}}}\ndata: {{color: blue}}\n"
    )
}

/// A policy for `ConfigMap`s that lets two of them go at once.
fn careful(placement: &str) -> String {
    policy("careful", "v1", "ConfigMap", placement).replace(
        "{name: careful,",
        "{name: careful, annotations: {navarch.dev/removal-threshold: 0%/2/600s},",
    )
}

async fn uid(scene: &Scene, cluster: &str, name: &str) -> Value {
    let object = scene
        .until(cluster, "configmaps", name, "there", |_| true)
        .await;
    object["metadata"]["uid"].clone()
}

/// How many of the numbered `ConfigMap`s a cluster has.
async fn count(scene: &Scene, cluster: &str, of: u32) -> usize {
    let mut found = 0;
    for n in 0..of {
        let name = format!("settings-{n}");
        found += usize::from(scene.object(cluster, "configmaps", &name).await.is_some());
    }
    found
}

#[tokio::test]
async fn a_policy_that_moves_too_much_at_once_is_held_and_let_go() {
    let scene = Scene::open("brake-policy").await;
    let all: String = (0..5).map(settings).collect();
    scene.apply(&(all + &careful(&on("member1"))));
    for n in 0..5 {
        let binding = format!("settings-{n}-configmap");
        scene
            .until("control", BINDINGS, &binding, "applied", |it| {
                condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
            })
            .await;
    }
    scene.apply(&careful(&on("member2")));
    for n in 0..5 {
        let name = format!("settings-{n}");
        scene
            .until("member2", "configmaps", &name, "there", |_| true)
            .await;
    }
    scene
        .until_event(
            "careful",
            HELD,
            "navarch release-hold propagationpolicy/careful -n brake-policy",
        )
        .await;
    let cluster = scene
        .until(
            "control",
            "clusters.cluster.karmada.io",
            "member1",
            "telling of what is held",
            |it| condition(it, HELD).starts_with("True/"),
        )
        .await;
    assert_eq!(condition(&cluster, "Ready"), "True/ClusterReady");
    assert_eq!(count(&scene, "member1", 5).await, 3);
    let mut held = 0;
    for n in 0..5 {
        let binding = format!("settings-{n}-configmap");
        let binding = scene.object("control", BINDINGS, &binding).await.unwrap();
        assert_eq!(clusters(&binding), "member2");
        held += u32::from(condition(&binding, HELD) == "True/PolicyRemovalLimit");
    }
    assert_eq!(held, 3);
    let (_, metrics) = scene.stage.page("/metrics");
    assert!(
        metrics.contains(
            "navarch_removals_held{member_cluster=\"member1\",reason=\"PolicyRemovalLimit\"} 3"
        ),
        "{metrics}"
    );

    let output = scene
        .stage
        .navarch(&["release-hold", "pp/careful", "-n", "brake-policy"]);
    assert!(output.status.success(), "{}", text(&output));
    for n in 0..5 {
        let name = format!("settings-{n}");
        scene.until_gone("member1", "configmaps", &name).await;
        scene
            .until(
                "control",
                BINDINGS,
                &format!("{name}-configmap"),
                "through",
                |it| condition(it, HELD).is_empty(),
            )
            .await;
    }
}

#[tokio::test]
async fn the_last_copy_stays_until_somebody_lets_it_go() {
    let scene = Scene::open("brake-last").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let first = uid(&scene, "member1", "settings").await;
    scene
        .until("control", BINDINGS, "settings-configmap", "applied", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member9")));
    scene
        .until("control", BINDINGS, "settings-configmap", "held", |it| {
            condition(it, HELD) == "True/LastCopy"
                && condition(it, "Scheduled") == "False/NoClusterFit"
        })
        .await;
    assert_eq!(uid(&scene, "member1", "settings").await, first);
    scene
        .until_event("settings-configmap", HELD, "kept in member1")
        .await;

    let output = scene
        .stage
        .navarch(&["release-hold", "configmap/settings", "-n", "brake-last"]);
    assert!(output.status.success(), "{}", text(&output));
    scene.until_gone("member1", "configmaps", "settings").await;
}

#[tokio::test]
async fn a_hold_ends_when_the_decision_is_taken_back() {
    let scene = Scene::open("brake-back").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let first = uid(&scene, "member1", "settings").await;
    scene
        .until("control", BINDINGS, "settings-configmap", "applied", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member9")));
    scene
        .until("control", BINDINGS, "settings-configmap", "held", |it| {
            condition(it, HELD) == "True/LastCopy"
        })
        .await;
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member1")));
    scene
        .until("control", BINDINGS, "settings-configmap", "free", |it| {
            condition(it, HELD).is_empty() && clusters(it) == "member1"
        })
        .await;
    assert_eq!(uid(&scene, "member1", "settings").await, first);
}

#[tokio::test]
async fn a_binding_deleted_by_hand_costs_the_members_nothing() {
    let scene = Scene::open("brake-binding").await;
    scene.apply(
        &(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1, member2"))),
    );
    let first = [
        uid(&scene, "member1", "settings").await,
        uid(&scene, "member2", "settings").await,
    ];
    let binding = scene
        .until("control", BINDINGS, "settings-configmap", "there", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    let id =
        |it: &Value| it["metadata"]["labels"]["resourcebinding.karmada.io/permanent-id"].clone();
    scene.kubectl(
        "control",
        &["delete", "rb", "settings-configmap", "--wait=false"],
    );
    let next = scene
        .until(
            "control",
            BINDINGS,
            "settings-configmap",
            "made again",
            |it| {
                it["metadata"]["uid"] != binding["metadata"]["uid"]
                    && condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
            },
        )
        .await;
    assert_eq!(id(&next), id(&binding));
    assert_eq!(clusters(&next), "member1 member2");
    assert_eq!(uid(&scene, "member1", "settings").await, first[0]);
    assert_eq!(uid(&scene, "member2", "settings").await, first[1]);

    // It is the same as ever: what leaves a cluster is removed there, and the end of the template ends everything.
    scene.apply(&policy("settings", "v1", "ConfigMap", &on("member2")));
    scene.until_gone("member1", "configmaps", "settings").await;
    scene.kubectl("control", &["delete", "configmap", "settings"]);
    scene.until_gone("member2", "configmaps", "settings").await;
}

#[tokio::test]
async fn a_work_deleted_by_hand_costs_the_member_nothing() {
    let scene = Scene::open("brake-work").await;
    scene.apply(&(config_map("blue") + &policy("settings", "v1", "ConfigMap", &on("member1"))));
    let object = scene
        .until("member1", "configmaps", "settings", "there", |_| true)
        .await;
    let work = object["metadata"]["annotations"]["work.karmada.io/name"]
        .as_str()
        .unwrap();
    let path = format!("karmada-es-member1/{work}");
    let before = scene
        .until("control", "works.work.karmada.io", &path, "applied", |it| {
            condition(it, "Applied") == "True/AppliedSuccessful"
        })
        .await;
    scene.kubectl(
        "control",
        &[
            "delete",
            "work",
            "-n",
            "karmada-es-member1",
            work,
            "--wait=false",
        ],
    );
    scene
        .until(
            "control",
            "works.work.karmada.io",
            &path,
            "made again",
            |it| {
                it["metadata"]["uid"] != before["metadata"]["uid"]
                    && condition(it, "Applied").starts_with("True/")
            },
        )
        .await;
    assert_eq!(
        uid(&scene, "member1", "settings").await,
        object["metadata"]["uid"]
    );
}

#[tokio::test]
async fn the_work_of_a_namespace_deleted_by_hand_costs_the_member_nothing() {
    let scene = Scene::open("brake-namespace").await;
    let namespace = scene
        .until("member2", "namespaces", "brake-namespace", "there", |it| {
            it["metadata"]["annotations"]["work.karmada.io/name"].is_string()
        })
        .await;
    let work = namespace["metadata"]["annotations"]["work.karmada.io/name"]
        .as_str()
        .unwrap();
    let path = format!("karmada-es-member2/{work}");
    let before = scene
        .until("control", "works.work.karmada.io", &path, "there", |it| {
            condition(it, "Applied").starts_with("True/")
        })
        .await;
    // The Work of a namespace belongs to no binding.
    scene.kubectl(
        "control",
        &[
            "delete",
            "work",
            "-n",
            "karmada-es-member2",
            work,
            "--wait=false",
        ],
    );
    scene
        .until(
            "control",
            "works.work.karmada.io",
            &path,
            "made again",
            |it| it["metadata"]["uid"] != before["metadata"]["uid"],
        )
        .await;
    let after = scene
        .until("member2", "namespaces", "brake-namespace", "there", |_| {
            true
        })
        .await;
    assert_eq!(after["metadata"]["uid"], namespace["metadata"]["uid"]);
    assert!(after["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test]
async fn a_kind_that_vanishes_takes_no_objects_along() {
    const TEMPLATE: &str = "apiVersion: brake.example.com/v1\nkind: Gadget\nmetadata: {name: g, namespace: {ns}}\nspec: {size: 1}\n";
    let scene = Scene::open("brake-kind").await;
    scene
        .define(&["control", "member1"], GADGETS, "Gadget")
        .await;
    scene.apply(&policy(
        "gadgets",
        "brake.example.com/v1",
        "Gadget",
        &on("member1"),
    ));
    scene.apply(TEMPLATE);
    let gadget = scene
        .until("member1", GADGETS, "g", "there", |_| true)
        .await;
    scene
        .until("control", BINDINGS, "g-gadget", "applied", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    remove_kind(&scene).await;
    let now = scene
        .until("member1", GADGETS, "g", "there", |_| true)
        .await;
    assert_eq!(now["metadata"]["uid"], gadget["metadata"]["uid"]);

    // Kind and template made again, as the condition proposes, take the copy over.
    scene.define(&["control"], GADGETS, "Gadget").await;
    scene.apply(TEMPLATE);
    scene
        .until("control", BINDINGS, "g-gadget", "taken over", |it| {
            it["metadata"]["deletionTimestamp"].is_null()
                && condition(it, HELD).is_empty()
                && condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    let now = scene
        .until("member1", GADGETS, "g", "there", |_| true)
        .await;
    assert_eq!(now["metadata"]["uid"], gadget["metadata"]["uid"]);

    // Gone once more, and meant.
    remove_kind(&scene).await;
    let output = scene
        .stage
        .navarch(&["release-hold", "rb/g-gadget", "-n", "brake-kind"]);
    assert!(output.status.success(), "{}", text(&output));
    scene.until_gone("member1", GADGETS, "g").await;
}

/// Takes the kind of the story above away, and with it the templates.
async fn remove_kind(scene: &Scene) {
    scene.undefine(GADGETS).await;
    // Garbage collection cannot tell any more whether the owner is gone; whoever deletes the binding cannot either.
    scene.kubectl(
        "control",
        &[
            "delete",
            "rb",
            "g-gadget",
            "--wait=false",
            "--ignore-not-found",
        ],
    );
    scene
        .until("control", BINDINGS, "g-gadget", "held", |it| {
            condition(it, HELD) == "True/KindGone"
        })
        .await;
}

#[tokio::test]
async fn what_cannot_be_released_is_refused_with_a_hint() {
    let scene = Scene::open("brake-cli").await;
    for (args, part) in [
        (["release-hold", "member1"], "is not TYPE/NAME"),
        (
            ["release-hold", "cluster/nowhere"],
            "cluster nowhere not found",
        ),
        (["release-hold", "deploy/nothing"], "not found"),
    ] {
        let output = scene.stage.navarch(&args);
        let text = text(&output);
        assert!(!output.status.success() && text.contains(part), "{text}");
        assert!(text.contains("hint: "), "{text}");
    }
}

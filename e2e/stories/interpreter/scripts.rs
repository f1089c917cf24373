//! Customizations: scripts that teach a kind, fail, and are stopped.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{BINDINGS, binding_work, customization, failure, health, introduce, object, report};
use crate::stage::{Scene, condition, config_map, divided, on, policy};

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one story from the first rule to the last"
)]
async fn a_customization_teaches_a_kind_and_can_be_changed_and_withdrawn() {
    let scene = Scene::open("gadgets").await;
    introduce(&scene, "gadgets", "Gadget").await;
    let health_rule =
        "function InterpretHealth(o)\n  return o.status ~= nil and o.status.fit == true\nend";
    let rules = [
        (
            "replicaResource",
            "function GetReplicas(o)\n  return o.spec.size, {resourceRequest = {cpu = '10m'}}\nend",
        ),
        (
            "replicaRevision",
            "function ReviseReplica(o, replica)\n  o.spec.size = replica\n  return o\nend",
        ),
        (
            "retention",
            "function Retain(desired, observed)\n  desired.spec.node = observed.spec.node\n  return desired\nend",
        ),
        (
            "statusReflection",
            "function ReflectStatus(o)\n  return {fit = o.status and o.status.fit, load = o.status and o.status.load}\nend",
        ),
        (
            "statusAggregation",
            "function AggregateStatus(o, items)
  local load = 0
  for _, item in ipairs(items) do
    load = load + ((item.status or {}).load or 0)
  end
  o.status = {load = load}
  return o
end",
        ),
        ("healthInterpretation", health_rule),
    ];
    scene.apply(&customization("gadgets", "Gadget", &rules));
    let weights = divided(&[("member1", 1), ("member2", 2)]);
    scene.apply(
        &(object("Gadget", "one", "{size: 6}")
            + &policy("gadgets", "e2e.example.com/v1", "Gadget", &weights)),
    );
    // Replicas are read, divided and written.
    for (member, size) in [("member1", 2), ("member2", 4)] {
        scene
            .until(
                member,
                "gadgets.e2e.example.com",
                "one",
                "its share",
                |it| it["spec"]["size"] == size,
            )
            .await;
    }
    // Status and health come back.
    for (member, fit, load) in [("member1", true, 3), ("member2", false, 4)] {
        let status = json!({"fit": fit, "load": load, "noise": "x"});
        report(&scene, member, "gadgets.e2e.example.com", "one", &status);
    }
    scene
        .until(
            "control",
            "gadgets.e2e.example.com",
            "one",
            "the sum of both members",
            |it| it["status"] == json!({"load": 7}),
        )
        .await;
    let binding = scene
        .until(
            "control",
            BINDINGS,
            "one-gadget",
            "healthy in member1 alone",
            |it| health(it, "member1") == "Healthy" && health(it, "member2") == "Unhealthy",
        )
        .await;
    assert_eq!(
        binding["status"]["aggregatedStatus"][0]["status"],
        json!({"fit": true, "load": 3})
    );
    assert_eq!(binding["spec"]["replicas"], 6);
    assert_eq!(
        binding["spec"]["replicaRequirements"]["resourceRequest"]["cpu"],
        "10m"
    );
    // What a member sets stays, and an update of the template goes through.
    let patch = "{\"spec\":{\"node\":\"n7\"}}";
    scene.merge("member1", "gadgets.e2e.example.com", "one", patch);
    scene.apply(&object("Gadget", "one", "{size: 6, colour: red}"));
    scene
        .until(
            "member1",
            "gadgets.e2e.example.com",
            "one",
            "updated, with its own field",
            |it| it["spec"]["colour"] == "red" && it["spec"]["node"] == "n7",
        )
        .await;

    // Another rule is followed without anybody touching an object.
    let mut changed = rules;
    changed[5].1 = "function InterpretHealth(o)\n  return o.status.load > 3\nend";
    scene.apply(&customization("gadgets", "Gadget", &changed));
    scene
        .until(
            "control",
            BINDINGS,
            "one-gadget",
            "healthy in member2 alone",
            |it| health(it, "member1") == "Unhealthy" && health(it, "member2") == "Healthy",
        )
        .await;
    // Without rules the whole status is collected, and the kind counts as healthy.
    scene.kubectl("control", &["delete", "ric", "gadgets"]);
    scene
        .until(
            "control",
            BINDINGS,
            "one-gadget",
            "as any unknown kind",
            |it| {
                health(it, "member1") == "Healthy"
                    && health(it, "member2") == "Healthy"
                    && it["status"]["aggregatedStatus"][0]["status"]["noise"] == "x"
            },
        )
        .await;
}

#[tokio::test]
async fn a_failing_script_is_reported_and_recovers() {
    let scene = Scene::open("gizmos").await;
    introduce(&scene, "gizmos", "Gizmo").await;
    let sound = "function InterpretHealth(o)\n  return true\nend";
    let status = (
        "statusReflection",
        "function ReflectStatus(o)\n  return {seen = 'yes'}\nend",
    );
    let aggregation = "function AggregateStatus(o, items)\n  o.status = {first = items[1].status.seen}\n  return o\nend";
    let broken = "function InterpretHealth(o)\n  local phase = o.status.phase\n  return phase.name == 'Ready'\nend";
    scene.apply(&customization(
        "gizmos",
        "Gizmo",
        &[
            ("healthInterpretation", broken),
            status,
            ("statusAggregation", aggregation),
        ],
    ));
    scene.apply(
        &(object("Gizmo", "one", "{}")
            + &policy("gizmos", "e2e.example.com/v1", "Gizmo", &on("member1"))),
    );
    scene
        .until("member1", "gizmos.e2e.example.com", "one", "there", |_| {
            true
        })
        .await;
    report(
        &scene,
        "member1",
        "gizmos.e2e.example.com",
        "one",
        &json!({"phase": null, "x": 1}),
    );
    // The condition names the customization, the operation and the line; the object's other operations go on.
    let binding = scene
        .until("control", BINDINGS, "one-gizmo", "failing", |it| {
            failure(it, "navarch.dev/InterpretHealth").contains("line 3")
        })
        .await;
    let message = failure(&binding, "navarch.dev/InterpretHealth");
    assert!(
        message.contains("cluster member1: InterpretHealth of e2e.example.com/v1 Gizmo: customization: gizmos: line 3"),
        "{message}"
    );
    assert_eq!(health(&binding, "member1"), "Unknown");
    scene
        .until(
            "control",
            "gizmos.e2e.example.com",
            "one",
            "with a status all the same",
            |it| it["status"]["first"] == "yes",
        )
        .await;
    let work = binding_work(&scene, "member1", "one").await;
    scene
        .until_event_in(
            "karmada-es-member1",
            &work,
            "InterpretHealthFailed",
            "customization: gizmos: line 3",
        )
        .await;

    scene.apply(&customization(
        "gizmos",
        "Gizmo",
        &[
            ("healthInterpretation", sound),
            status,
            ("statusAggregation", aggregation),
        ],
    ));
    scene
        .until("control", BINDINGS, "one-gizmo", "well again", |it| {
            health(it, "member1") == "Healthy"
                && failure(it, "navarch.dev/InterpretHealth").is_empty()
        })
        .await;
    scene.kubectl("control", &["delete", "ric", "gizmos"]);
}

#[expect(clippy::too_many_lines, reason = "one story, told in order")]
#[tokio::test]
async fn failing_scripts_that_change_objects_are_reported_and_recover() {
    const KIND: &str = "grommets.e2e.example.com";
    let scene = Scene::open("grommets").await;
    introduce(&scene, "grommets", "Grommet").await;
    let replicas = (
        "replicaResource",
        "function GetReplicas(o)\n  return o.spec.size\nend",
    );
    let revision = (
        "replicaRevision",
        "function ReviseReplica(o, replica)\n  o.spec.size = replica\n  return o\nend",
    );
    let failing = (
        "replicaRevision",
        "function ReviseReplica(o, replica)\n  o.spec.sizes.all = replica\n  return o\nend",
    );
    let rules = |rules: &[(&str, &str)]| customization("grommets", "Grommet", rules);
    // Nothing reaches the member that was not revised.
    scene.apply(&rules(&[replicas, failing]));
    scene.apply(
        &(object("Grommet", "one", "{size: 2}")
            + &policy(
                "grommets",
                "e2e.example.com/v1",
                "Grommet",
                &divided(&[("member1", 1)]),
            )),
    );
    let binding = scene
        .until("control", BINDINGS, "one-grommet", "not revised", |it| {
            !failure(it, "navarch.dev/ReviseReplica").is_empty()
        })
        .await;
    let message = failure(&binding, "navarch.dev/ReviseReplica");
    assert!(
        message.contains("customization: grommets: line 2"),
        "{message}"
    );
    scene
        .until_event(
            "one-grommet",
            "SyncWorkFailed",
            "customization: grommets: line 2",
        )
        .await;
    scene.apply(&rules(&[replicas, revision]));
    scene
        .until("member1", KIND, "one", "revised", |it| {
            it["spec"]["size"] == 2
        })
        .await;
    scene
        .until("control", BINDINGS, "one-grommet", "revised again", |it| {
            failure(it, "navarch.dev/ReviseReplica").is_empty()
        })
        .await;

    // An update that cannot keep what the member has is not made.
    let retention = (
        "retention",
        "function Retain(desired, observed)\n\n  desired.spec.node = observed.spec.place.node\n  return desired\nend",
    );
    scene.apply(&rules(&[replicas, revision, retention]));
    scene.apply(&object("Grommet", "one", "{size: 2, colour: red}"));
    let binding = scene
        .until("control", BINDINGS, "one-grommet", "not retained", |it| {
            !failure(it, "navarch.dev/Retain").is_empty()
        })
        .await;
    let message = failure(&binding, "navarch.dev/Retain");
    assert!(
        message.contains(
            "cluster member1: Retain of e2e.example.com/v1 Grommet: customization: grommets: line 3"
        ),
        "{message}"
    );
    let work = binding_work(&scene, "member1", "one").await;
    scene
        .until_event_in(
            "karmada-es-member1",
            &work,
            "SyncFailed",
            "customization: grommets: line 3",
        )
        .await;
    scene.apply(&rules(&[replicas, revision]));
    scene
        .until("member1", KIND, "one", "updated", |it| {
            it["spec"]["colour"] == "red"
        })
        .await;

    // A status that cannot be aggregated leaves the template's alone.
    let aggregation = (
        "statusAggregation",
        "function AggregateStatus(o, items)\n  o.status = {first = items[1].status.parts.seen}\n  return o\nend",
    );
    scene.apply(&rules(&[replicas, revision, aggregation]));
    report(&scene, "member1", KIND, "one", &json!({"seen": "yes"}));
    let binding = scene
        .until("control", BINDINGS, "one-grommet", "not aggregated", |it| {
            !failure(it, "navarch.dev/AggregateStatus").is_empty()
                && failure(it, "navarch.dev/Retain").is_empty()
        })
        .await;
    let message = failure(&binding, "navarch.dev/AggregateStatus");
    assert!(
        message.contains("customization: grommets: line 2"),
        "{message}"
    );
    scene
        .until_event(
            "one",
            "AggregateStatusFailed",
            "customization: grommets: line 2",
        )
        .await;
    scene.kubectl("control", &["delete", "ric", "grommets"]);
    scene
        .until("control", BINDINGS, "one-grommet", "without rules", |it| {
            failure(it, "navarch.dev/AggregateStatus").is_empty()
        })
        .await;
}

#[tokio::test]
async fn a_script_that_does_not_parse_is_told_to_its_author() {
    let scene = Scene::open("glyphs").await;
    let script = "function InterpretHealth(o)\n  return true +\nend";
    let rules = [("healthInterpretation", script)];
    scene.apply(&customization("glyphs", "Glyph", &rules));
    let reason = "InvalidCustomization";
    scene
        .until_event_in("default", "glyphs", reason, "InterpretHealth: line 3")
        .await;
    // Of two scripts for one question the first by name is run, and the author of the other hears of it.
    scene.apply(&customization("glyphs-too", "Glyph", &rules));
    let reason = "ShadowedCustomization";
    scene
        .until_event_in("default", "glyphs-too", reason, "customization glyphs")
        .await;
    scene.kubectl("control", &["delete", "ric", "glyphs", "glyphs-too"]);
}

#[tokio::test]
async fn an_endless_script_is_stopped_and_holds_up_nobody() {
    let scene = Scene::open("gyros").await;
    introduce(&scene, "gyros", "Gyro").await;
    let endless = "function InterpretHealth(o)\n  while true do\n  end\nend";
    scene.apply(&customization(
        "gyros",
        "Gyro",
        &[("healthInterpretation", endless)],
    ));
    let many: String = (0..12)
        .map(|number| object("Gyro", &format!("g{number}"), "{}") + "---\n")
        .collect();
    scene.apply(&(many + &policy("gyros", "e2e.example.com/v1", "Gyro", &on("member1"))));
    let failing = scene
        .until("control", BINDINGS, "g0-gyro", "stopped", |it| {
            !failure(it, "navarch.dev/InterpretHealth").is_empty()
        })
        .await;
    let message = failure(&failing, "navarch.dev/InterpretHealth");
    assert!(
        message.contains("customization: gyros: line 2"),
        "{message}"
    );
    assert!(
        message.contains("took longer than 1000 ms") || message.contains("instructions"),
        "{message}"
    );
    // Meanwhile an object of another kind passes through the same member, to and fro.
    let begun = Instant::now();
    scene.apply(&(config_map("blue") + &policy("others", "v1", "ConfigMap", &on("member1"))));
    scene
        .until("control", BINDINGS, "settings-configmap", "applied", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(20),
        "it took {took:?} beside endless scripts"
    );
    scene.kubectl("control", &["delete", "ric", "gyros"]);
    scene
        .until("control", BINDINGS, "g0-gyro", "without the rule", |it| {
            health(it, "member1") == "Healthy"
        })
        .await;
}

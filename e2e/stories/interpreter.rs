//! Kinds that only a user knows: scripts and webhooks say what they mean.

use std::{path::Path, time::Duration};

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use testbed::https::{Response, Server};

use crate::stage::{Scene, condition, on, policy};

/// The definition of a kind of the group `e2e.example.com`, and a policy that takes it to two members.
fn kind(plural: &str, kind: &str) -> String {
    let singular = kind.to_lowercase();
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.e2e.example.com}}
spec:
  group: e2e.example.com
  scope: Namespaced
  names: {{plural: {plural}, singular: {singular}, kind: {kind}}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {{name: {plural}}}
spec:
  resourceSelectors: [{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, name: {plural}.e2e.example.com}}]
  placement: {{clusterAffinity: {{clusterNames: [member1, member2]}}}}
"
    )
}

/// A customization with these rules, each a field and a script.
fn customization(name: &str, kind: &str, rules: &[(&str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: config.karmada.io/v1alpha1
kind: ResourceInterpreterCustomization
metadata: {{name: {name}}}
spec:
  target: {{apiVersion: e2e.example.com/v1, kind: {kind}}}
  customizations:
"
    );
    for (rule, script) in rules {
        text.push_str(&format!("    {rule}:\n      luaScript: |\n"));
        for line in script.lines() {
            text.push_str(&format!("        {line}\n"));
        }
    }
    text
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: e2e.example.com/v1
kind: {kind}
metadata: {{name: {name}, namespace: {{ns}}}}
spec: {spec}
"
    )
}

/// Sets the status of an object in a member, as a controller there would.
fn report(scene: &Scene, member: &str, kind: &str, name: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let args = [
        "patch",
        kind,
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    scene.kubectl(member, &args);
}

/// Brings up a kind in control plane and members.
async fn introduce(scene: &Scene, plural: &str, kind_name: &str) {
    scene.apply(&kind(plural, kind_name));
    let definition = format!("crd/{plural}.e2e.example.com");
    scene.kubectl(
        "control",
        &[
            "wait",
            "--for=condition=Established",
            &definition,
            "--timeout=60s",
        ],
    );
    let name = format!("{plural}.e2e.example.com");
    for member in ["member1", "member2"] {
        let kind = "customresourcedefinitions.apiextensions.k8s.io";
        scene
            .until(member, kind, &name, "established", |it| {
                condition(it, "Established").starts_with("True")
            })
            .await;
    }
}

fn health(binding: &Value, cluster: &str) -> String {
    let items = binding["status"]["aggregatedStatus"].as_array().cloned();
    let items = items.unwrap_or_default();
    let item = items.iter().find(|it| it["clusterName"] == cluster);
    item.map_or_else(String::new, |it| {
        it["health"].as_str().unwrap_or_default().to_owned()
    })
}

/// The message of a condition that does not hold.
fn failure(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned();
    let conditions = conditions.unwrap_or_default();
    let found = conditions
        .iter()
        .find(|it| it["type"] == type_ && it["status"] == "False");
    found.map_or_else(String::new, |it| {
        it["message"].as_str().unwrap_or_default().to_owned()
    })
}

const BINDINGS: &str = "resourcebindings.work.karmada.io";

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
    let weights = crate::stage::divided(&[("member1", 1), ("member2", 2)]);
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
    scene.kubectl(
        "member1",
        &["patch", "gadgets", "one", "--type=merge", "-p", patch],
    );
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

    // A script that does not parse is told to its author, where no admission refused it.
    scene.apply(&customization(
        "gizmos",
        "Gizmo",
        &[
            (
                "healthInterpretation",
                "function InterpretHealth(o)\n  return true +\nend",
            ),
            status,
        ],
    ));
    scene
        .until_event_in(
            "default",
            "gizmos",
            "InvalidCustomization",
            "InterpretHealth: line 3",
        )
        .await;
    scene.kubectl("control", &["delete", "ric", "gizmos"]);
}

/// The name of the Work that carries an object.
async fn binding_work(scene: &Scene, member: &str, object: &str) -> String {
    let space = format!("karmada-es-{member}");
    let works = scene.kubectl("control", &["get", "work", "-n", &space, "-o", "json"]);
    let works: Value = serde_json::from_str(&works).unwrap();
    let found = works["items"].as_array().unwrap().iter().find(|work| {
        let manifest = &work["spec"]["workload"]["manifests"][0];
        manifest["metadata"]["name"] == object
            && manifest["metadata"]["namespace"] == *scene.namespace
    });
    found.unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned()
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
    let begun = std::time::Instant::now();
    scene.apply(
        &(crate::stage::config_map("blue") + &policy("others", "v1", "ConfigMap", &on("member1"))),
    );
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

#[tokio::test]
async fn a_webhook_answers_over_tls_and_one_that_hangs_delays_its_objects_only() {
    let scene = Scene::open("gauges").await;
    introduce(&scene, "gauges", "Gauge").await;
    let server = Server::start(&["127.0.0.1"], |request| async move {
        let context: Value = serde_json::from_slice(&request.body).unwrap();
        let asked = &context["request"];
        let mut response = json!({"uid": asked["uid"], "successful": true});
        match asked["operation"].as_str() {
            Some("InterpretReplica") => {
                response["replicas"] = asked["object"]["spec"]["size"].clone()
            }
            Some("ReviseReplica") => {
                let patch =
                    json!([{"op": "replace", "path": "/spec/size", "value": asked["replicas"]}]);
                response["patch"] = json!(ByteString(patch.to_string().into_bytes()));
                response["patchType"] = json!("JSONPatch");
            }
            Some("InterpretHealth") => {
                if asked["object"]["spec"]["stuck"] == true {
                    std::future::pending::<()>().await;
                }
                response["healthy"] = json!(asked["object"]["status"]["level"] == 1);
            }
            _ => {
                response["successful"] = json!(false);
                response["status"] = json!({"code": 400, "message": "not for me"});
            }
        }
        Response::text(json!({ "response": response }).to_string())
    })
    .await
    .unwrap();
    let configuration = json!({
        "apiVersion": "config.karmada.io/v1alpha1",
        "kind": "ResourceInterpreterWebhookConfiguration",
        "metadata": {"name": "gauges"},
        "webhooks": [{
            "name": "gauges.e2e.example.com",
            "clientConfig": {
                "url": format!("https://127.0.0.1:{}/interpret", server.address.port()),
                "caBundle": ByteString(server.certificate.clone().into_bytes()),
            },
            "interpreterContextVersions": ["v1alpha1"],
            "timeoutSeconds": 5,
            "rules": [{
                "operations": ["InterpretReplica", "ReviseReplica", "InterpretHealth"],
                "apiGroups": ["e2e.example.com"], "apiVersions": ["v1"], "kinds": ["Gauge"],
            }],
        }],
    });
    scene.apply(&configuration.to_string());
    let weights = crate::stage::divided(&[("member1", 1), ("member2", 1)]);
    scene.apply(
        &(object("Gauge", "one", "{size: 4}")
            + &policy("gauges", "e2e.example.com/v1", "Gauge", &weights)),
    );
    for member in ["member1", "member2"] {
        scene
            .until(member, "gauges.e2e.example.com", "one", "its share", |it| {
                it["spec"]["size"] == 2
            })
            .await;
    }
    report(
        &scene,
        "member1",
        "gauges.e2e.example.com",
        "one",
        &json!({"level": 1}),
    );
    report(
        &scene,
        "member2",
        "gauges.e2e.example.com",
        "one",
        &json!({"level": 0}),
    );
    scene
        .until(
            "control",
            BINDINGS,
            "one-gauge",
            "healthy in member1 alone",
            |it| health(it, "member1") == "Healthy" && health(it, "member2") == "Unhealthy",
        )
        .await;

    // More objects than there are workers for a member, every one of them stuck.
    let stuck: String = (0..12)
        .map(|number| {
            object("Gauge", &format!("stuck{number}"), "{size: 4, stuck: true}") + "---\n"
        })
        .collect();
    scene.apply(stuck.trim_end_matches("---\n"));
    scene
        .until(
            "member1",
            "gauges.e2e.example.com",
            "stuck0",
            "there",
            |_| true,
        )
        .await;
    let begun = std::time::Instant::now();
    scene.apply(
        &(crate::stage::config_map("green") + &policy("others", "v1", "ConfigMap", &on("member1"))),
    );
    scene
        .until("control", BINDINGS, "settings-configmap", "applied", |it| {
            condition(it, "FullyApplied") == "True/FullyAppliedSuccess"
        })
        .await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(20),
        "it took {took:?} beside a webhook that hangs"
    );
    let failing = scene
        .until("control", BINDINGS, "stuck0-gauge", "given up", |it| {
            failure(it, "navarch.dev/InterpretHealth").contains("no answer within 5 s")
        })
        .await;
    let message = failure(&failing, "navarch.dev/InterpretHealth");
    assert!(
        message.contains("webhook gauges/gauges.e2e.example.com"),
        "{message}"
    );
    // Taking the webhook away is a change of the rules, too.
    scene.kubectl(
        "control",
        &[
            "delete",
            "resourceinterpreterwebhookconfiguration",
            "gauges",
        ],
    );
    scene
        .until(
            "control",
            BINDINGS,
            "stuck0-gauge",
            "without the webhook",
            |it| {
                health(it, "member1") == "Healthy"
                    && failure(it, "navarch.dev/InterpretHealth").is_empty()
            },
        )
        .await;
}

#[tokio::test]
async fn the_example_carries_a_virtual_machine_and_a_subnet() {
    let scene = Scene::open("example-kinds").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/interpreter");
    let apply = |name: &str| {
        let path = folder.join(name).display().to_string();
        scene.kubectl("control", &["apply", "-f", &path]);
    };
    apply("crds.yaml");
    for kind in ["crd/virtualmachines.kubevirt.io", "crd/subnets.kubeovn.io"] {
        let args = ["wait", "--for=condition=Established", kind, "--timeout=60s"];
        scene.kubectl("control", &args);
    }
    for name in ["customizations.yaml", "virtualmachine.yaml", "subnet.yaml"] {
        apply(name);
    }
    let (machines, subnets) = ("virtualmachines.kubevirt.io", "subnets.kubeovn.io");
    for member in ["member1", "member2"] {
        scene
            .until(member, machines, "default/desk", "there", |it| {
                it["spec"]["runStrategy"] == "Always"
            })
            .await;
        scene
            .until(member, subnets, "desks", "there", |it| {
                it["spec"]["protocol"] == "IPv4"
            })
            .await;
    }
    // What the controllers in the members would do.
    for (member, word, ready, using) in [
        ("member1", "Running", true, 2),
        ("member2", "Starting", false, 1),
    ] {
        let machine = json!({"status": {"created": true, "ready": ready, "printableStatus": word, "noise": 1}});
        let subnet = json!({"status": {"v4usingIPs": using, "v4availableIPs": 100, "conditions": [{"type": "Ready", "status": "True"}]}});
        for (kind, name, patch) in [(machines, "desk", machine), (subnets, "desks", subnet)] {
            let patch = patch.to_string();
            scene.kubectl(
                member,
                &[
                    "patch",
                    "-n",
                    "default",
                    &kind,
                    name,
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &patch,
                ],
            );
        }
        let filled =
            json!({"spec": {"template": {"spec": {"domain": {"firmware": {"uuid": member}}}}}})
                .to_string();
        scene.kubectl(
            member,
            &[
                "patch",
                "-n",
                "default",
                machines,
                "default/desk",
                "--type=merge",
                "-p",
                &filled,
            ],
        );
        scene.kubectl(
            member,
            &[
                "patch",
                subnets,
                "desks",
                "--type=merge",
                "-p",
                "{\"spec\":{\"gateway\":\"10.66.0.1\"}}",
            ],
        );
    }
    scene
        .until("control", machines, "default/desk", "with both members' words", |it| {
            it["status"]
                == json!({"created": true, "ready": false, "printableStatus": "member1: Running, member2: Starting"})
        })
        .await;
    scene
        .until("control", subnets, "desks", "with the sums", |it| {
            it["status"] == json!({"v4usingIPs": 3, "v4availableIPs": 200})
        })
        .await;
    let binding = scene
        .until(
            "control",
            BINDINGS,
            "default/desk-virtualmachine",
            "healthy in member1 alone",
            |it| health(it, "member1") == "Healthy" && health(it, "member2") == "Unhealthy",
        )
        .await;
    let request = &binding["spec"]["replicaRequirements"]["resourceRequest"];
    assert_eq!(*request, json!({"cpu": "2", "memory": "2Gi"}));
    assert_eq!(binding["spec"]["replicas"], 1);
    // An update of the template leaves alone what the members filled in.
    let args = [
        "patch",
        "-n",
        "default",
        machines,
        "default/desk",
        "--type=merge",
        "-p",
        "{\"spec\":{\"runStrategy\":\"Halted\"}}",
    ];
    scene.kubectl("control", &args);
    for member in ["member1", "member2"] {
        scene
            .until(
                member,
                machines,
                "default/desk",
                "halted, with its own firmware",
                |it| {
                    it["spec"]["runStrategy"] == "Halted"
                        && it["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"] == member
                },
            )
            .await;
        let subnet = scene.object(member, subnets, "desks").await.unwrap();
        assert_eq!(subnet["spec"]["gateway"], "10.66.0.1");
    }
    scene
        .until(
            "control",
            BINDINGS,
            "default/desk-virtualmachine",
            "healthy everywhere",
            |it| health(it, "member1") == "Healthy" && health(it, "member2") == "Healthy",
        )
        .await;
}

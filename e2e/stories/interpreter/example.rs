//! The manifests in `examples/interpreter`, as a user applies them.

use std::path::Path;

use serde_json::json;

use super::{BINDINGS, health};
use crate::stage::Scene;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story of one example")]
async fn the_example_carries_a_virtual_machine_and_a_subnet() {
    let scene = Scene::open("example-kinds").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/interpreter");
    let apply = |name: &str| {
        let path = folder.join(name).display().to_string();
        scene.kubectl("control", &["apply", "-n", "default", "-f", &path]);
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
        // What the machine needs has come along.
        scene
            .until(
                member,
                "secrets",
                "default/desk-cloud-init",
                "there",
                |_| true,
            )
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
                    kind,
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
                "desk",
                "--type=merge",
                "-p",
                &filled,
            ],
        );
        scene.merge(
            member,
            subnets,
            "desks",
            "{\"spec\":{\"gateway\":\"10.66.0.1\"}}",
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
        "desk",
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

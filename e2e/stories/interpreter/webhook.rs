//! Webhooks over TLS, one of them stuck.

use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use testbed::https::{Response, Server};

use super::{BINDINGS, failure, health, introduce, object, report};
use crate::stage::{Scene, condition, config_map, divided, on, policy};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story of one webhook")]
async fn a_webhook_answers_over_tls_and_one_that_hangs_delays_its_objects_only() {
    let scene = Scene::open("gauges").await;
    introduce(&scene, "gauges", "Gauge").await;
    let server = Server::start(&["127.0.0.1"], |request| async move {
        let context: Value = serde_json::from_slice(&request.body).unwrap();
        let asked = &context["request"];
        let mut response = json!({"uid": asked["uid"], "successful": true});
        match asked["operation"].as_str() {
            Some("InterpretReplica") => {
                response["replicas"] = asked["object"]["spec"]["size"].clone();
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
    let weights = divided(&[("member1", 1), ("member2", 1)]);
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
    let begun = Instant::now();
    scene.apply(&(config_map("green") + &policy("others", "v1", "ConfigMap", &on("member1"))));
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

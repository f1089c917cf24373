#![expect(
    clippy::needless_pass_by_value,
    reason = "cases read better with their values in place"
)]

use crds::config::ResourceInterpreterWebhook;
use crds::work::{AggregatedStatusItem, ResourceHealth};
use serde_json::json;

use super::*;
use crate::layer::StoppedClock;
use crate::{Error, Interpreter};

fn configuration(
    name: &str,
    webhooks: &[(&str, &str, &str)],
) -> ResourceInterpreterWebhookConfiguration {
    let webhooks = webhooks
        .iter()
        .map(|(name, operation, kind)| ResourceInterpreterWebhook {
            name: (*name).to_owned(),
            interpreter_context_versions: vec!["v1alpha1".to_owned()],
            rules: vec![RuleWithOperations {
                operations: vec![(*operation).to_owned()],
                api_groups: vec!["example.com".to_owned(), "apps".to_owned()],
                api_versions: vec!["*".to_owned()],
                kinds: vec![(*kind).to_owned()],
            }],
            ..ResourceInterpreterWebhook::default()
        });
    ResourceInterpreterWebhookConfiguration::new(name, webhooks.collect())
}

fn thing() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x", "namespace": "demo"}, "spec": {"size": 1}})
}

fn interpreter() -> Interpreter {
    let webhooks = Webhooks::new(&[configuration("c", &[("hook.example.com", "*", "Thing")])]);
    Interpreter::native(Arc::new(StoppedClock(0))).with_webhooks(Arc::new(webhooks))
}

#[test]
fn the_smallest_id_is_asked() {
    let webhooks = Webhooks::new(&[
        configuration("b", &[("a.example.com", "*", "*")]),
        configuration(
            "a",
            &[
                ("z.example.com", "InterpretHealth", "Thing"),
                ("y.example.com", "Retain", "*"),
            ],
        ),
    ]);
    let asked = |operation, kind| {
        webhooks
            .matching(Target::new("example.com/v1", kind), operation)
            .map(|webhook| webhook.id.as_str())
    };
    assert_eq!(
        asked(InterpreterOperation::InterpretHealth, "Thing"),
        Some("a/z.example.com")
    );
    assert_eq!(
        asked(InterpreterOperation::InterpretHealth, "Other"),
        Some("b/a.example.com")
    );
    assert_eq!(
        asked(InterpreterOperation::Retain, "Thing"),
        Some("a/y.example.com")
    );
    let elsewhere = Target::new("other.com/v1", "Thing");
    assert_eq!(
        webhooks.matching(elsewhere, InterpreterOperation::Retain),
        None
    );
}

#[test]
fn webhooks_come_before_built_in_rules() {
    let deployments = Webhooks::new(&[configuration(
        "c",
        &[("hook.example.com", "InterpretHealth", "Deployment")],
    )]);
    let interpreter =
        Interpreter::native(Arc::new(StoppedClock(0))).with_webhooks(Arc::new(deployments));
    let target = Target::new("apps/v1", "Deployment");
    assert_eq!(
        interpreter.deciding_layer(target, InterpreterOperation::InterpretHealth),
        Some(LayerName::Webhook)
    );
    assert_eq!(
        interpreter.deciding_layer(target, InterpreterOperation::InterpretReplica),
        Some(LayerName::Native)
    );
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
    let question = Question::Replicas {
        object: &deployment,
    };
    assert_eq!(interpreter.call_for(&question, "1".to_owned()), Ok(None));
}

#[test]
fn requests_carry_what_the_operation_needs() {
    let (thing, observed) = (thing(), json!({"status": {}}));
    let request = |question: Question<'_>| {
        let call = interpreter()
            .call_for(&question, "u-1".to_owned())
            .expect("a known version")
            .expect("a webhook");
        assert_eq!(call.query(), "timeout=10s");
        serde_json::to_value(call.context).expect("plain data")
    };
    let base = |operation: &str| {
        json!({"apiVersion": "config.karmada.io/v1alpha1", "kind": "ResourceInterpreterContext", "request": {
            "uid": "u-1", "kind": {"group": "example.com", "version": "v1", "kind": "Thing"}, "name": "x", "namespace": "demo",
            "operation": operation, "object": thing, "replicas": 0}})
    };
    assert_eq!(
        request(Question::Health { observed: &thing }),
        base("InterpretHealth")
    );
    let mut expected = base("ReviseReplica");
    expected["request"]["replicas"] = json!(3);
    assert_eq!(
        request(Question::ReviseReplica {
            object: thing.clone(),
            replicas: 3
        }),
        expected
    );
    let mut expected = base("Retain");
    expected["request"]["observedObject"] = observed.clone();
    assert_eq!(
        request(Question::Retain {
            desired: thing.clone(),
            observed: &observed
        }),
        expected
    );
    let items = [AggregatedStatusItem {
        cluster_name: "a".into(),
        ..AggregatedStatusItem::default()
    }];
    let mut expected = base("AggregateStatus");
    expected["request"]["aggregatedStatus"] = json!([{"clusterName": "a"}]);
    assert_eq!(
        request(Question::AggregateStatus {
            object: thing.clone(),
            items: Some(&items)
        }),
        expected
    );
}

#[test]
fn unknown_context_versions_are_refused() {
    let mut configuration = configuration("c", &[("hook.example.com", "*", "Thing")]);
    configuration.webhooks[0].interpreter_context_versions = vec!["v2".to_owned()];
    let webhooks = Webhooks::new(&[configuration]);
    let interpreter =
        Interpreter::native(Arc::new(StoppedClock(0))).with_webhooks(Arc::new(webhooks));
    assert!(
        interpreter
            .call_for(&Question::Health { observed: &thing() }, "1".to_owned())
            .is_err()
    );
}

fn reply_to(question: Question<'_>, reply: Reply) -> Result<Answer, Error> {
    let interpreter = interpreter();
    let call = interpreter
        .call_for(&question, "u-1".to_owned())
        .expect("a known version")
        .expect("a webhook");
    let mut answers = Answers::default();
    answers.insert(&call, reply);
    let answered = interpreter
        .with_webhook_answers(answers)
        .answer(question, &mut trace::NoTrace)?;
    let (layer, answer) = answered.expect("a hook");
    assert_eq!(layer, LayerName::Webhook);
    Ok(answer)
}

#[track_caller]
fn check(question: Question<'_>, response: Value, expected: Result<Answer, &str>) {
    let mut whole = json!({"uid": "u-1", "successful": true});
    for (key, value) in response.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    let body = json!({"response": whole}).to_string().into_bytes();
    let found =
        reply_to(question, Reply::Http { status: 200, body }).map_err(|error| match error.cause {
            Cause::Webhook { webhook, problem } => {
                assert_eq!(webhook, "c/hook.example.com");
                problem
            }
            other => other.to_string(),
        });
    assert_eq!(found, expected.map_err(str::to_owned));
}

fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).expect("plain data")
}

#[test]
fn responses() {
    let thing = thing();
    let replicas = || Question::Replicas { object: &thing };
    check(
        replicas(),
        json!({"replicas": 0}),
        Ok(Answer::Replicas(0, None)),
    );
    check(replicas(), json!({}), Err("the response has no replicas"));
    check(
        replicas(),
        json!({"replicas": -1}),
        Err("-1 is no number of replicas: it has to be 0 or more"),
    );
    check(
        Question::Components { object: &thing },
        json!({"components": null}),
        Ok(Answer::Components(vec![])),
    );
    check(
        Question::Status { observed: &thing },
        json!({"rawStatus": {"a": 1}}),
        Ok(Answer::Status(Some(json!({"a": 1})))),
    );
    check(
        Question::Status { observed: &thing },
        json!({}),
        Err("the response has no rawStatus"),
    );
    check(
        Question::Health { observed: &thing },
        json!({"healthy": false}),
        Ok(Answer::Health(false)),
    );
    check(
        Question::Health { observed: &thing },
        json!({}),
        Err("the response has no healthy"),
    );
    let dependencies = json!({"dependencies": [{"apiVersion": "v1", "kind": "Secret"}]});
    check(
        Question::Dependencies { object: &thing },
        dependencies,
        Err("dependencies[0].name: Secret has neither name nor labelSelector"),
    );
}

#[test]
fn patches() {
    let revise = || Question::ReviseReplica {
        object: thing(),
        replicas: 3,
    };
    let with = |patch: &str, kind: &str| json!({"patch": base64(patch), "patchType": kind});
    let mut revised = thing();
    revised["spec"]["size"] = json!(3);
    let patch = r#"[{"op": "replace", "path": "/spec/size", "value": 3}]"#;
    check(
        revise(),
        with(patch, "JSONPatch"),
        Ok(Answer::Object(revised)),
    );
    check(
        revise(),
        with("[]", "JSONPatch"),
        Ok(Answer::Object(thing())),
    );
    check(revise(), json!({}), Ok(Answer::Object(thing())));
    check(
        revise(),
        with(patch, "MergePatch"),
        Err("the patch is of type \"MergePatch\", not JSONPatch"),
    );
    check(
        revise(),
        json!({"patch": base64(patch)}),
        Err("the response has a patch without a patchType"),
    );
    check(
        revise(),
        json!({"patchType": "JSONPatch"}),
        Err("the response has a patchType without a patch"),
    );
    let failing = with(
        r#"[{"op": "test", "path": "/spec/size", "value": 9}]"#,
        "JSONPatch",
    );
    let error = reply_to(
        revise(),
        Reply::Http {
            status: 200,
            body: json!({"response": {"uid": "u-1", "successful": true, "patch": failing["patch"], "patchType": "JSONPatch"}})
                .to_string()
                .into_bytes(),
        },
    );
    assert!(
        error
            .expect_err("the test fails")
            .to_string()
            .contains("the patch does not apply")
    );
}

#[test]
fn failures() {
    let thing = thing();
    let health = || Question::Health { observed: &thing };
    check(
        health(),
        json!({"successful": false, "status": {"code": 500, "message": "no"}}),
        Err("webhook call failed, get status code: 500, msg: no"),
    );
    check(
        health(),
        json!({"successful": false}),
        Err("the response is unsuccessful and has no status"),
    );
    check(
        health(),
        json!({"uid": "u-2", "healthy": true}),
        Err("the response is to \"u-2\", not to \"u-1\""),
    );
    let message = |reply: Reply| {
        reply_to(health(), reply)
            .expect_err("no answer")
            .to_string()
    };
    let prefix = "InterpretHealth of example.com/v1 Thing: webhook: webhook c/hook.example.com: ";
    let http = |status: u16, body: &str| Reply::Http {
        status,
        body: body.as_bytes().to_vec(),
    };
    assert_eq!(
        message(Reply::Failed("timed out".into())),
        format!("{prefix}the call failed: timed out")
    );
    assert_eq!(
        message(http(500, "")),
        format!("{prefix}the webhook answered with HTTP status 500")
    );
    assert_eq!(
        message(http(200, "{}")),
        format!("{prefix}the reply has no response")
    );
    assert!(message(http(200, "oops")).starts_with(&format!("{prefix}the reply cannot be read")));
}

#[test]
fn a_question_that_was_not_asked_is_an_error() {
    let error = interpreter().health(&thing()).expect_err("nobody asked");
    assert!(
        error
            .to_string()
            .ends_with("the webhook has not been asked"),
        "{error}"
    );
    let mut other = thing();
    other["metadata"]["name"] = json!("y");
    let call = interpreter()
        .call_for(&Question::Health { observed: &other }, "1".to_owned())
        .unwrap()
        .unwrap();
    let mut answers = Answers::default();
    let body = json!({"response": {"uid": "1", "successful": true, "healthy": true}})
        .to_string()
        .into_bytes();
    answers.insert(&call, Reply::Http { status: 200, body });
    let interpreter = interpreter().with_webhook_answers(answers);
    assert!(interpreter.health(&thing()).is_err());
    assert_eq!(
        interpreter.health(&other),
        Ok(Some(ResourceHealth::Healthy))
    );
}

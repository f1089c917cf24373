//! Any bytes as a webhook's reply: it is an answer or an error.

use std::sync::{Arc, LazyLock};

use navarch_interpreter::webhook::{Answers, Reply, Webhooks};
use navarch_interpreter::{Interpreter, Question, StoppedClock};
use serde_json::{Value, json};

static INTERPRETER: LazyLock<Interpreter> = LazyLock::new(|| {
    let configuration = serde_json::from_value(json!({
        "metadata": {"name": "hooks"},
        "webhooks": [{
            "name": "all.example.com",
            "clientConfig": {"url": "https://example.com"},
            "interpreterContextVersions": ["v1alpha1"],
            "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "kinds": ["*"]}],
        }],
    }))
    .expect("the kind's shape");
    Interpreter::native(Arc::new(StoppedClock(0)))
        .with_webhooks(Arc::new(Webhooks::new([&configuration])))
});

const UID: &str = "u";

/// The reply as it is, and as one to the very question.
fn replies(data: &[u8]) -> Vec<Vec<u8>> {
    let mut replies = vec![data.to_vec()];
    if let Ok(mut reply) = serde_json::from_slice::<Value>(data)
        && let Some(response) = reply.get_mut("response").and_then(Value::as_object_mut)
    {
        response.insert("uid".to_owned(), UID.into());
        replies.push(reply.to_string().into_bytes());
    }
    replies
}

pub(crate) fn run(data: &[u8]) {
    let object = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"a": [1, {}]}});
    let questions = || {
        [
            Question::Replicas { object: &object },
            Question::Components { object: &object },
            Question::ReviseReplica {
                object: object.clone(),
                replicas: 3,
            },
            Question::Retain {
                desired: object.clone(),
                observed: &object,
            },
            Question::AggregateStatus {
                object: object.clone(),
                items: Some(&[]),
            },
            Question::Dependencies { object: &object },
            Question::Status { observed: &object },
            Question::Health { observed: &object },
        ]
    };
    for body in replies(data) {
        for question in questions() {
            let Ok(Some(call)) = INTERPRETER.call_for(&question, UID.to_owned()) else {
                continue;
            };
            let reply = Reply::Http {
                status: 200,
                body: body.clone(),
            };
            let mut answers = Answers::default();
            answers.insert(&call, reply);
            let interpreter = INTERPRETER.clone().with_webhook_answers(answers);
            // By the façade's own ways, which name the answers that they expect.
            match question {
                Question::Replicas { object } => drop(interpreter.replicas(object)),
                Question::Components { object } => drop(interpreter.components(object)),
                Question::ReviseReplica { object, replicas } => {
                    drop(interpreter.revise_replica(object, replicas));
                }
                Question::Retain { desired, observed } => {
                    drop(interpreter.retain(desired, observed));
                }
                Question::AggregateStatus { object, .. } => {
                    drop(interpreter.aggregate_status(object, &[]));
                }
                Question::Dependencies { object } => drop(interpreter.dependencies(object)),
                Question::Status { observed } => drop(interpreter.reflect_status(observed)),
                Question::Health { observed } => drop(interpreter.health(observed)),
            }
        }
    }
}

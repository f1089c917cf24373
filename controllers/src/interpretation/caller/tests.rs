//! Calls to a real TLS server in this process.

use std::sync::atomic::{AtomicUsize, Ordering};

use crds::config::{
    InterpreterOperation, ResourceInterpreterContext, ResourceInterpreterWebhookConfiguration,
};
use interpreter::{Interpreter, Question, StoppedClock, webhook::Webhooks};
use kube::Client;
use runtime::watch::{Selection, drop_managed_fields};
use serde_json::{Value, json};
use testbed::https::{Request as Received, Response, Server};
use tokio_util::sync::CancellationToken;

use super::*;

/// A client of a control plane that nobody needs: webhooks with URLs look nothing up.
fn caller() -> Caller {
    let nowhere = Config::new("https://127.0.0.1:1".parse().unwrap());
    let client = Client::try_from(nowhere).unwrap();
    let templates = DynamicStores::new(
        client.clone(),
        drop_managed_fields,
        Selection::default(),
        CancellationToken::new(),
    );
    Caller::new(client, templates)
}

fn thing() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one", "namespace": "demo"}})
}

/// The call that asks a webhook at this place about a thing's health.
fn call(client_config: &Value, timeout_seconds: Option<i32>) -> Call {
    let configuration: ResourceInterpreterWebhookConfiguration = serde_json::from_value(json!({
        "metadata": {"name": "hooks"},
        "webhooks": [{
            "name": "things.example.com",
            "clientConfig": client_config,
            "interpreterContextVersions": ["v1alpha1"],
            "timeoutSeconds": timeout_seconds,
            "rules": [{"operations": ["InterpretHealth"], "apiGroups": ["*"], "apiVersions": ["*"], "kinds": ["Thing"]}],
        }],
    }))
    .unwrap();
    let interpreter = Interpreter::native(Arc::new(StoppedClock(0)))
        .with_webhooks(Arc::new(Webhooks::new([&configuration])));
    let question = Question::Health { observed: &thing() };
    interpreter
        .call_for(&question, "u1".to_owned())
        .unwrap()
        .unwrap()
}

fn bundle(server: &Server) -> String {
    use k8s_openapi::ByteString;
    let text = serde_json::to_value(ByteString(server.certificate.clone().into_bytes()));
    text.unwrap().as_str().unwrap().to_owned()
}

fn url(server: &Server, path: &str) -> Value {
    let port = server.address.port();
    json!({"url": format!("https://127.0.0.1:{port}{path}"), "caBundle": bundle(server)})
}

/// Answers every question about health with yes.
async fn healthy(request: Received) -> Response {
    let context: ResourceInterpreterContext = serde_json::from_slice(&request.body).unwrap();
    let asked = context.request.unwrap();
    assert_eq!(asked.operation, InterpreterOperation::InterpretHealth);
    let answer = json!({"response": {"uid": asked.uid, "successful": true, "healthy": true}});
    Response::text(answer.to_string())
}

#[tokio::test]
async fn calls_carry_what_webhooks_expect() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let server = Server::start(&["127.0.0.1"], move |request| {
        sink.lock().push(request.clone());
        healthy(request)
    })
    .await
    .unwrap();
    let (caller, port) = (caller(), server.address.port());
    for (path, timeout, target) in [
        ("/interpret/things", Some(3), "/interpret/things?timeout=3s"),
        ("", None, "/?timeout=10s"),
    ] {
        let reply = caller.call(&call(&url(&server, path), timeout)).await;
        let Reply::Http { status: 200, body } = reply else {
            panic!("{path}: {reply:?}");
        };
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["response"]["healthy"], true);
        let request = seen.lock().pop().unwrap();
        assert_eq!((&*request.method, &*request.target), ("POST", target));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("host"), Some(&*format!("127.0.0.1:{port}")));
        assert_eq!(request.header("authorization"), None);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["request"]["object"], thing());
        assert_eq!(body["request"]["uid"], "u1");
    }
    assert_eq!(
        caller.servers.lock().len(),
        1,
        "both calls go to one server"
    );
}

#[tokio::test]
async fn services_are_reached_at_their_address_under_their_name() {
    let server = Server::start(&["hook.demo.svc"], |request: Received| {
        assert_eq!(request.header("host"), Some("hook.demo.svc"));
        healthy(request)
    })
    .await
    .unwrap();
    let config = WebhookClientConfig {
        ca_bundle: Some(k8s_openapi::ByteString(
            server.certificate.clone().into_bytes(),
        )),
        ..WebhookClientConfig::default()
    };
    let address = Address {
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        server_name: "hook.demo.svc".to_owned(),
        path: String::new(),
    };
    let server = caller().server(&config, &address, true).unwrap();
    let body = serde_json::to_vec(&call(&json!({"url": "https://unused"}), None).context).unwrap();
    let reply = exchange(
        &server.client,
        "/?timeout=10s",
        Some("hook.demo.svc"),
        &body,
    )
    .await;
    assert!(
        matches!(reply, Ok(Reply::Http { status: 200, .. })),
        "{reply:?}"
    );
}

#[tokio::test]
async fn failures_say_what_happened() {
    let server = Server::start(&["elsewhere.example.com"], healthy)
        .await
        .unwrap();
    let stranger = Server::start(&["127.0.0.1"], healthy).await.unwrap();
    let huge = Server::start(&["127.0.0.1"], |_| async {
        Response::text(vec![b' '; MAX_REPLY + 1])
    })
    .await
    .unwrap();
    let port = stranger.address.port();
    let mistrusted =
        json!({"url": format!("https://127.0.0.1:{port}"), "caBundle": bundle(&server)});
    let unbundled = json!({"url": format!("https://127.0.0.1:{port}")});
    let no_pem = json!({"url": format!("https://127.0.0.1:{port}"), "caBundle": "eA=="});
    for (name, config, problem) in [
        (
            "a certificate for another name",
            url(&server, ""),
            "certificate not valid for name",
        ),
        (
            "a certificate of another authority",
            mistrusted,
            "invalid peer certificate",
        ),
        ("system roots", unbundled, "certificate"),
        ("no PEM", no_pem, "the caBundle has no certificate"),
        (
            "nobody listens",
            json!({"url": "https://127.0.0.1:1"}),
            "refused",
        ),
        (
            "a huge reply",
            url(&huge, ""),
            "the reply is longer than 4 MiB",
        ),
    ] {
        let reply = caller().call(&call(&config, Some(20))).await;
        let Reply::Failed(text) = reply else {
            panic!("{name}: {reply:?}");
        };
        assert!(text.contains(problem), "{name}: {text}");
    }
}

#[tokio::test]
async fn webhooks_that_hang_are_given_up_and_those_that_are_busy_asked_again() {
    let hanging = Server::start(&["127.0.0.1"], |_| std::future::pending())
        .await
        .unwrap();
    let begun = Instant::now();
    let reply = caller().call(&call(&url(&hanging, ""), Some(1))).await;
    assert_eq!(reply, Reply::Failed("no answer within 1 s".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(10));

    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let busy = Server::start(&["127.0.0.1"], move |request| {
        let is_first = counter.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if is_first {
                let mut response = Response::text("come back");
                response.status = 503;
                response
                    .headers
                    .push(("retry-after".to_owned(), "0".to_owned()));
                return response;
            }
            healthy(request).await
        }
    })
    .await
    .unwrap();
    let reply = caller().call(&call(&url(&busy, ""), Some(20))).await;
    assert!(
        matches!(reply, Reply::Http { status: 200, .. }),
        "{reply:?}"
    );
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn webhooks_that_stay_busy_are_not_hammered() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let busy = Server::start(&["127.0.0.1"], move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        async {
            let mut response = Response::text("come back");
            response.status = 429;
            let again = ("retry-after".to_owned(), "0".to_owned());
            response.headers.push(again);
            response
        }
    })
    .await
    .unwrap();
    let begun = Instant::now();
    let reply = caller().call(&call(&url(&busy, ""), Some(30))).await;
    assert!(
        matches!(reply, Reply::Http { status: 429, .. }),
        "{reply:?}"
    );
    assert_eq!(calls.load(Ordering::Relaxed), MAX_ATTEMPTS);
    assert!(begun.elapsed() >= MIN_PAUSE * 9);
}

#[tokio::test]
async fn waiting_for_a_turn_counts() {
    let server = Server::start(&["127.0.0.1"], healthy).await.unwrap();
    let (caller, call) = (caller(), call(&url(&server, ""), Some(1)));
    let config = &call.webhook.client;
    let address = address_of_url(config.url.as_deref().unwrap()).unwrap();
    let taken = caller.server(config, &address, false).unwrap().turns;
    let all = u32::try_from(MAX_IN_FLIGHT).unwrap();
    let _all = taken.acquire_many(all).await.unwrap();
    let reply = caller.call(&call).await;
    assert_eq!(reply, Reply::Failed("no answer within 1 s".to_owned()));
}

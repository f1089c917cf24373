//! A member's real API server, seen through a connection that misbehaves as it is told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};
use kube::Client;
use serde_json::json;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every request but the probes of its health is refused with this status.
    Refuses(u16),
    /// Nothing but the probes of its health is answered.
    Silent,
    /// A watch ends after its first bytes.
    WatchesEnd,
    /// A watch says that its version is too old, whatever the version.
    Expired,
    /// Each event of a watch comes again after the one that followed it.
    Repeats,
}

/// See the module documentation. It ends with its runtime.
#[derive(Clone)]
pub struct Proxy {
    client: Client,
    fault: Arc<Mutex<Fault>>,
    requests: Arc<AtomicUsize>,
    watches: Arc<AtomicUsize>,
}

impl Proxy {
    /// Stands in front of the API server that the client talks to.
    pub async fn start(client: Client) -> (Self, SocketAddr) {
        let proxy = Self {
            client,
            fault: Arc::new(Mutex::new(Fault::None)),
            requests: Arc::default(),
            watches: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(pass).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (proxy, address)
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Watches that met the present or an earlier fault.
    pub fn watches(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }
}

async fn pass(State(proxy): State<Proxy>, request: Request) -> Response {
    proxy.requests.fetch_add(1, Ordering::Relaxed);
    let is_watch = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch="));
    let is_probe = matches!(request.uri().path(), "/healthz" | "/readyz" | "/livez");
    let fault = *proxy.fault.lock().unwrap();
    match fault {
        Fault::Refuses(code) if !is_probe => return refusal(code),
        Fault::Silent if !is_probe => std::future::pending().await,
        _ => {}
    }
    if is_watch && fault != Fault::None {
        proxy.watches.fetch_add(1, Ordering::Relaxed);
    }
    if is_watch && fault == Fault::Expired {
        let event = json!({"type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410,
            "message": "too old resource version",
        }});
        return (
            [(header::CONTENT_TYPE, "application/json")],
            format!("{event}\n"),
        )
            .into_response();
    }
    let (mut parts, body) = request.into_parts();
    // The client has credentials of its own.
    for hop in [header::AUTHORIZATION, header::HOST, header::CONTENT_LENGTH] {
        parts.headers.remove(hop);
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let request = axum::http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let answer = match proxy.client.send(request).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let (parts, body) = answer.into_parts();
    let body = Body::new(body);
    let body = match fault {
        Fault::WatchesEnd if is_watch => {
            let brief = tokio::time::sleep(Duration::from_millis(50));
            Body::from_stream(body.into_data_stream().take_until(brief).take(1))
        }
        Fault::Repeats if is_watch => Body::from_stream(repeated(body)),
        _ => body,
    };
    Response::from_parts(parts, body)
}

fn refusal(code: u16) -> Response {
    let code = StatusCode::from_u16(code).unwrap();
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": if code == StatusCode::TOO_MANY_REQUESTS { "TooManyRequests" } else { "InternalError" },
        "message": "as it was told to",
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::RETRY_AFTER, "1"),
    ];
    (code, headers, status.to_string()).into_response()
}

/// The lines of a watch, each of them once more after the next.
fn repeated(body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let chunks = body.into_data_stream();
    let state = (chunks, Vec::<u8>::new(), Vec::<u8>::new());
    stream::unfold(state, |(mut chunks, mut rest, mut last)| async move {
        loop {
            let chunk = match chunks.next().await? {
                Ok(chunk) => chunk,
                Err(error) => return Some((Err(error), (chunks, rest, last))),
            };
            rest.extend_from_slice(&chunk);
            let mut out = Vec::new();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                out.extend_from_slice(&line);
                out.extend_from_slice(&last);
                last = line;
            }
            if !out.is_empty() {
                return Some((Ok(Bytes::from(out)), (chunks, rest, last)));
            }
        }
    })
}

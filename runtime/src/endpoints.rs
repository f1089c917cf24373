//! The HTTP endpoints of a server process: `/healthz`, `/readyz`, `/metrics`.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Shared;

/// Whether the process does its work: set once its stores are filled, taken back when it stops.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<Result<(), String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Err("starting".into()))))
    }
}

impl Readiness {
    pub fn ready(&self) {
        drop(self.0.send_replace(Ok(())));
    }

    /// Not ready, for this reason.
    pub fn not_ready(&self, reason: impl Into<String>) {
        drop(self.0.send_replace(Err(reason.into())));
    }

    fn current(&self) -> Result<(), String> {
        self.0.borrow().clone()
    }
}

#[derive(Clone)]
struct Served {
    readiness: Readiness,
    metrics: Shared,
}

/// Serves until `stop` is cancelled.
///
/// # Errors
///
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    readiness: Readiness,
    metrics: Shared,
    extra: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/healthz/ping", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route(
            "/metrics",
            get(|State(served): State<Served>| async move { served.metrics.encode() }),
        )
        .with_state(Served { readiness, metrics })
        .merge(extra);
    let listener = tokio::net::TcpListener::bind(address).await?;
    // Pages may want to know who asks.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
}

async fn readyz(State(served): State<Served>) -> (StatusCode, String) {
    match served.readiness.current() {
        Ok(()) => (StatusCode::OK, "ok".into()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

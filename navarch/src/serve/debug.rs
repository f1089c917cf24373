//! `/debug/scheduling/{namespace}/{binding}` and `/debug/scheduling/{binding}`: how decisions came about, as JSON.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use controllers::{scheduling::Shared, world::Bindings};
use crds::{
    object::Key,
    work::{ClusterResourceBinding, ResourceBinding},
};
use tokio::sync::Semaphore;

#[derive(Clone)]
struct Served {
    scheduling: Arc<Shared>,
    /// One answer at a time: each costs about what a decision costs.
    turn: Arc<Semaphore>,
}

/// The pages about a scheduler's decisions.
pub(super) fn scheduling(scheduling: Arc<Shared>) -> Router {
    Router::new()
        .route("/debug/scheduling/{namespace}/{binding}", get(namespaced))
        .route("/debug/scheduling/{binding}", get(cluster_scoped))
        .with_state(Served {
            scheduling,
            turn: Arc::new(Semaphore::new(1)),
        })
}

async fn namespaced(
    State(served): State<Served>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    account::<ResourceBinding>(served, Key::new(&namespace, &name)).await
}

async fn cluster_scoped(State(served): State<Served>, Path(name): Path<String>) -> Response {
    account::<ClusterResourceBinding>(served, Key::cluster_scoped(&name)).await
}

async fn account<B: Bindings>(served: Served, key: Key) -> Response {
    let Served { scheduling, turn } = served;
    if !scheduling.is_filled() {
        return told(StatusCode::SERVICE_UNAVAILABLE, "starting");
    }
    let Ok(_turn) = turn.acquire().await else {
        return told(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    };
    let missing = format!("there is no {} {key}", B::KIND);
    match tokio::task::spawn_blocking(move || scheduling.account::<B>(&key)).await {
        Ok(Some(account)) => Json(account).into_response(),
        Ok(None) => told(StatusCode::NOT_FOUND, &missing),
        Err(_) => told(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the account could not be put together",
        ),
    }
}

fn told(code: StatusCode, message: &str) -> Response {
    (code, message.to_owned()).into_response()
}

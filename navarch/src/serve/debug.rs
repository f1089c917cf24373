//! How decisions came about, as JSON: of the scheduler under `/debug/scheduling/{namespace}/{binding}` and
//! `/debug/scheduling/{binding}`, of everything else about a template under `/debug/records/{namespace}/{kind}/{name}` and
//! `/debug/records/{kind}/{name}`. What the process holds and does, under `/debug/engine`.
//!
//! The pages are answered to clients on the same host alone, which in a pod are those that the API server lets forward a port: the
//! connection is not encrypted, and nobody proves who they are.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use controllers::{
    World,
    records::{self, Found},
    scheduling::Shared,
    world::Bindings,
};
use crds::{
    object::Key,
    work::{ClusterResourceBinding, ResourceBinding},
};
use propagation::render::Gates;
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

/// Answers to clients on this host alone.
pub(super) fn for_neighbours(pages: Router) -> Router {
    pages.layer(middleware::from_fn(neighbours_only))
}

async fn neighbours_only(
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if client.ip().to_canonical().is_loopback() {
        return next.run(request).await;
    }
    told(
        StatusCode::FORBIDDEN,
        "these pages are for clients on the same host; use kubectl port-forward",
    )
}

#[derive(Clone)]
struct Kept {
    world: Arc<World>,
    gates: Gates,
    /// One answer at a time: each costs about what rendering the object for all its clusters costs.
    turn: Arc<Semaphore>,
}

/// The page about stores, queues and passes.
pub(super) fn engine(world: Arc<World>) -> Router {
    let page = async |State(world): State<Arc<World>>| Json(controllers::engine::page(&world));
    Router::new()
        .route("/debug/engine", get(page))
        .with_state(world)
}

/// The pages about templates.
pub(super) fn records(world: Arc<World>, gates: Gates) -> Router {
    Router::new()
        .route(
            "/debug/records/{namespace}/{kind}/{name}",
            get(of_namespaced),
        )
        .route("/debug/records/{kind}/{name}", get(of_cluster_scoped))
        .with_state(Kept {
            world,
            gates,
            turn: Arc::new(Semaphore::new(1)),
        })
}

async fn of_namespaced(
    State(kept): State<Kept>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
) -> Response {
    record(kept, kind, Key::new(&namespace, &name)).await
}

async fn of_cluster_scoped(
    State(kept): State<Kept>,
    Path((kind, name)): Path<(String, String)>,
) -> Response {
    record(kept, kind, Key::cluster_scoped(&name)).await
}

async fn record(kept: Kept, kind: String, key: Key) -> Response {
    let Kept { world, gates, turn } = kept;
    let Ok(_turn) = turn.acquire().await else {
        return told(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    };
    let missing = format!("there is no {kind} {key} among the objects that may be propagated");
    // Most of it is computing, in between it may wait for a rule.
    let handle = tokio::runtime::Handle::current();
    let account = move || handle.block_on(records::account(&world, gates, &kind, &key));
    match tokio::task::spawn_blocking(account).await {
        Ok(Found::Account(account)) => Json(account).into_response(),
        Ok(Found::Nothing) => told(StatusCode::NOT_FOUND, &missing),
        Ok(Found::Several(kinds)) => told(
            StatusCode::CONFLICT,
            &format!(
                "several kinds have such an object, name one of {}",
                kinds.join(", ")
            ),
        ),
        Err(_) => told(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the account could not be put together",
        ),
    }
}

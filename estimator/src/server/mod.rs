//! The server beside one member: watches it and answers how much more fits.

pub(crate) mod listen;
mod metrics;
mod service;
mod stores;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, sync::Arc};

use kube::Client;
use runtime::{endpoints::Readiness, metrics::Shared};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport;

use self::{metrics::Metrics, service::Service, stores::Stores};
use crate::{
    tls::{self, Reloading, ServerFiles},
    wire::service::estimator_server::EstimatorServer,
};

/// How a server runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The member, as the control plane calls it. Questions about others are refused.
    pub cluster: String,
    pub address: SocketAddr,
    pub tls: ServerFiles,
    /// Whether quotas of the member limit; gate `ResourceQuotaEstimate`.
    pub quotas: bool,
    /// Whether workloads that are assumed to come take room; gate `SchedulingOvercommitProtection`.
    pub assumed: bool,
}

/// Why a server ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error("listen on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("serve estimates")]
    Serve { source: transport::Error },
}

/// Serves until `stop` is cancelled, from when nodes and pods are known; requests under way are answered before it ends.
pub async fn serve(
    member: Client,
    options: Options,
    registry: &Shared,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(), Error> {
    let tls = Arc::new(Reloading::new(options.tls.clone())?);
    let metrics = Arc::new(Metrics::default());
    registry.register(|registry| metrics.register(registry));
    let stores = Stores::new(options.quotas);
    stores.watch(&member, &stop);
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = stores.synced() => {}
    }
    let address = options.address;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    tracing::info!(cluster = options.cluster, %address, "Serving estimates");
    readiness.ready();
    let connections = listen::connections(listener, tls, stop.clone());
    transport::Server::builder()
        .add_service(EstimatorServer::new(Service::new(
            stores, &options, metrics,
        )))
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await
        .map_err(|source| Error::Serve { source })
}

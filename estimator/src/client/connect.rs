//! Addresses of estimators, and how they are reached.

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

use crate::{
    tls::{ClientFiles, Connection},
    wire::{estimator::MaxAvailableReplicasRequest, service::estimator_client::EstimatorClient},
};

/// What the way to one address may take, and an answer to the first question.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest message of a server that is passed on.
const MESSAGE_LIMIT: usize = 256;

/// Where an estimator listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A connection over which the estimator has answered.
pub(super) async fn dial(
    cluster: &str,
    addresses: &[Address],
    tls: &ClientFiles,
) -> Result<Channel, String> {
    let (addresses, tls): (Arc<[Address]>, _) = (addresses.into(), tls.clone());
    let connector = service_fn(move |_: Uri| {
        let (addresses, tls) = (Arc::clone(&addresses), tls.clone());
        async move {
            let tls = tls.load().map_err(io::Error::other)?;
            first(&addresses, tls).await.map(TokioIo::new)
        }
    });
    // The name in the URI is the authority of requests; the way goes through the connector.
    let channel = Endpoint::from_static("http://estimator")
        .connect_with_connector(connector)
        .await
        .map_err(|error| chain(&error))?;
    // A server can take connections and hang all the same.
    let probe = MaxAvailableReplicasRequest {
        cluster: cluster.to_owned(),
        ..MaxAvailableReplicasRequest::default()
    };
    let mut client = EstimatorClient::new(channel.clone());
    match tokio::time::timeout(PATIENCE, client.max_available_replicas(probe)).await {
        Ok(Err(status)) if is_trouble(&status) => Err(told(&status)),
        Ok(_) => Ok(channel),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

/// The first address that can be reached.
async fn first(addresses: &[Address], tls: Option<Arc<ClientConfig>>) -> io::Result<Connection> {
    let mut failures = Vec::new();
    for address in addresses {
        let reached = tokio::time::timeout(PATIENCE, reach(address, tls.clone())).await;
        match reached {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => failures.push(format!("{address}: {error}")),
            Err(_) => failures.push(format!("{address}: no connection within {PATIENCE:?}")),
        }
    }
    if failures.is_empty() {
        failures.push("its Service names no address".to_owned());
    }
    Err(io::Error::other(failures.join("; ")))
}

async fn reach(address: &Address, tls: Option<Arc<ClientConfig>>) -> io::Result<Connection> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Connection::Plain(stream));
    };
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    Ok(Connection::Tls(Box::new(stream.into())))
}

/// Whether the connection, rather than the question, is at fault.
pub(super) fn is_trouble(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded
    ) || std::error::Error::source(status).is_some()
}

/// The message of a server, or what went wrong on the way to it.
pub(super) fn told(status: &Status) -> String {
    let mut text = match std::error::Error::source(status) {
        Some(source) => chain(source),
        None => status.message().to_owned(),
    };
    if text.len() > MESSAGE_LIMIT {
        text.truncate(text.floor_char_boundary(MESSAGE_LIMIT));
        text.push_str("...");
    }
    text
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

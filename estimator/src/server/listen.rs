//! Connections of clients.

use std::{io, sync::Arc, time::Duration};

use futures::Stream;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::tls::{Connection, Reloading};

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long accepting rests after it failed, for want of file descriptors for example.
const REST: Duration = Duration::from_millis(100);
/// Connections that wait to be served.
const BACKLOG: usize = 64;

/// Accepted connections. A client that is slow to agree on TLS, or fails to, holds up no other.
pub(crate) fn connections(
    listener: TcpListener,
    tls: Arc<Reloading>,
    stop: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                () = sender.closed() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (tls, sender) = (Arc::clone(&tls), sender.clone());
                    tokio::spawn(async move {
                        match tokio::time::timeout(HANDSHAKE, shake_hands(stream, &tls)).await {
                            Ok(Ok(connection)) => drop(sender.send(Ok(connection)).await),
                            Ok(Err(error)) => tracing::debug!(
                                %peer,
                                error = &error as &dyn std::error::Error,
                                "Connection refused"
                            ),
                            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Accepting a connection failed"
                    );
                    tokio::time::sleep(REST).await;
                }
            }
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async move {
        let connection = receiver.recv().await?;
        Some((connection, receiver))
    })
}

async fn shake_hands(stream: TcpStream, tls: &Reloading) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    match tls.current() {
        None => Ok(Connection::Plain(stream)),
        Some(config) => {
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            Ok(Connection::Tls(Box::new(stream.into())))
        }
    }
}

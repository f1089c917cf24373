//! The connection to one cluster's estimator, kept up in the background.

use std::{sync::Arc, time::Duration};

use runtime::backoff::Backoff;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;

use super::connect::{Address, dial};
use crate::tls::ClientFiles;

/// Pause before the first and before every later try.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After what time a connection counts as good, so that pauses start over.
const STABLE: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
enum State {
    /// Not known yet: those who ask wait for it.
    Connecting,
    Up(Channel),
    /// Did not answer when last tried; tried again in the background.
    Down(Arc<str>),
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) addresses: Vec<Address>,
    shared: Arc<Shared>,
    /// Ends the background task with the link.
    _stop: DropGuard,
}

/// What the link and its background task share.
#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    broken: Notify,
}

impl Link {
    pub(super) fn start(cluster: &str, addresses: Vec<Address>, tls: ClientFiles) -> Arc<Self> {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            state: watch::Sender::new(State::Connecting),
            broken: Notify::new(),
        });
        let keeping = keep(
            Arc::clone(&shared),
            cluster.to_owned(),
            addresses.clone(),
            tls,
        );
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeping));
        Arc::new(Self {
            addresses,
            shared,
            _stop: stop.drop_guard(),
        })
    }

    /// The connection, or why there is none. Waits only while the first try is under way.
    pub(super) async fn channel(&self) -> Result<Channel, Arc<str>> {
        let mut state = self.shared.state.subscribe();
        let known = state
            .wait_for(|state| !matches!(state, State::Connecting))
            .await;
        match known.as_deref() {
            Ok(State::Up(channel)) => Ok(channel.clone()),
            Ok(State::Down(cause)) => Err(Arc::clone(cause)),
            // The sender lives as long as `self`.
            Ok(State::Connecting) | Err(_) => Err("still connecting".into()),
        }
    }

    /// Takes the connection out of use because of this; it is tried again in the background.
    pub(super) fn trouble(&self, cause: &str) {
        let was_up = self.shared.state.send_if_modified(|state| {
            let up = matches!(state, State::Up(_));
            if up {
                *state = State::Down(cause.into());
            }
            up
        });
        if was_up {
            tracing::warn!(cause, "Estimator out of use until it answers again");
            self.shared.broken.notify_one();
        }
    }
}

/// Connects, and connects again whenever the connection was taken out of use.
async fn keep(shared: Arc<Shared>, cluster: String, addresses: Vec<Address>, tls: ClientFiles) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match dial(&cluster, &addresses, &tls).await {
            Ok(channel) => {
                tracing::info!(cluster, "Estimator connected");
                shared.state.send_replace(State::Up(channel));
                let since = Instant::now();
                while matches!(*shared.state.borrow(), State::Up(_)) {
                    shared.broken.notified().await;
                }
                if since.elapsed() > STABLE {
                    backoff.reset();
                }
            }
            Err(cause) => {
                tracing::debug!(cluster, cause, "Estimator not connected, retrying");
                shared.state.send_replace(State::Down(cause.into()));
            }
        }
        tokio::time::sleep(backoff.failed()).await;
    }
}

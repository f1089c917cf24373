//! What every server process does: logs to standard error, finds its control plane, stops on a signal.

use std::{io::IsTerminal, time::Duration};

use anyhow::Context as _;
use kube::Client;
use runtime::{ApiError, backoff::Backoff, error::call};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, fmt};

use super::options::{LogFormat, ServeArgs};

/// Starts logging. `RUST_LOG` overrides the flags, for whoever looks for a bug.
pub(super) fn log(args: &ServeArgs) -> anyhow::Result<()> {
    let level = match args.verbosity {
        0..=3 => "info",
        4 | 5 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(format!(
            "warn,navarch={level},navarch_controllers={level},navarch_runtime={level}"
        ))
    });
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match args.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    }
    .map_err(|error| anyhow::anyhow!("start logging: {error}"))
}

/// Cancels `stop` on the first SIGTERM or SIGINT; a second one ends the process at once.
pub(super) fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(1);
            }
            stop.cancel();
        }
    });
    Ok(())
}

/// How long the control plane may take to come up beside us.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until the control plane answers; fails at once when it refuses us, because that does not mend itself.
pub(super) async fn reach(client: &Client, url: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        let error: ApiError = match call(client.apiserver_version()).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let refused = matches!(error.status().map(|status| status.code), Some(401 | 403));
        anyhow::ensure!(
            !refused,
            "the control plane {url} refuses the credentials of the kubeconfig: {error}; renew them (an expired client certificate looks like this)"
        );
        anyhow::ensure!(
            Instant::now() < deadline,
            "the control plane {url} did not answer for {} s: {error}; check the server address in the kubeconfig and that it runs",
            PATIENCE.as_secs()
        );
        tracing::warn!(
            url,
            error = &error as &dyn std::error::Error,
            "Control plane does not answer, retrying"
        );
        tokio::time::sleep(backoff.failed()).await;
    }
}

//! What every server process does: logs to standard error, finds its control plane, stops on a signal.

use std::{io::IsTerminal, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use axum::Router;
use kube::Client;
use prometheus_client::{metrics::info::Info, registry::Registry};
use runtime::{
    ApiError,
    backoff::Backoff,
    endpoints::{self, Readiness},
    error::call,
    metrics,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, fmt};

use super::options::{Addresses, LogFormat, ServeArgs};

/// Starts logging. `RUST_LOG` overrides the flags, for whoever looks for a bug.
pub(super) fn log(args: &ServeArgs) -> anyhow::Result<()> {
    let level = match args.verbosity {
        0..=3 => "info",
        4 | 5 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(format!(
            "warn,navarch={level},navarch_controllers={level},navarch_estimator={level},navarch_runtime={level}"
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

/// Serves health and metrics at each address, and other pages at the first, until `stop` is cancelled.
pub(super) async fn listen(
    addresses: Addresses,
    readiness: Readiness,
    metrics: metrics::Shared,
    pages: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let at = |address: Option<SocketAddr>, pages| {
        let (readiness, metrics, stop) = (readiness.clone(), metrics.clone(), stop.clone());
        async move {
            let Some(address) = address else {
                stop.cancelled().await;
                return Ok(());
            };
            endpoints::serve(address, readiness, metrics, pages, stop)
                .await
                .with_context(|| format!("serve health and metrics on {address}"))
        }
    };
    tokio::try_join!(
        at(addresses.health, pages),
        at(addresses.metrics, Router::new())
    )
    .map(|_| ())
}

/// How long the control plane may take to come up beside us.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until an API server answers, `what` it is in a word or two; fails at once when it refuses us, because that does not mend itself.
pub(super) async fn reach(client: &Client, what: &str, url: &str) -> anyhow::Result<()> {
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
            "the {what} {url} refuses the credentials of the kubeconfig: {error}; renew them (an expired client certificate looks like this)"
        );
        anyhow::ensure!(
            Instant::now() < deadline,
            "the {what} {url} did not answer for {} s: {error}; check the server address in the kubeconfig and that it runs",
            PATIENCE.as_secs()
        );
        tracing::warn!(
            url,
            error = &error as &dyn std::error::Error,
            "API server does not answer, retrying"
        );
        tokio::time::sleep(backoff.failed()).await;
    }
}

/// What the build was made of, as far as the environment of the compiler said so.
const COMMIT: &str = match option_env!("NAVARCH_GIT_COMMIT") {
    Some(commit) => commit,
    None => "",
};
const TREE_STATE: &str = match option_env!("NAVARCH_GIT_TREE_STATE") {
    Some(state) => state,
    None => "",
};
const DATE: &str = match option_env!("NAVARCH_BUILD_DATE") {
    Some(date) => date,
    None => "",
};

/// `karmada_build_info`, by which dashboards tell versions apart.
pub(super) fn build_info(registry: &mut Registry) {
    let labels = [
        (
            "git_version",
            concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        ("git_commit", COMMIT.to_owned()),
        ("git_short_commit", COMMIT.chars().take(8).collect()),
        ("git_tree_state", TREE_STATE.to_owned()),
        ("build_date", DATE.to_owned()),
        ("go_version", String::new()),
        ("compiler", "rustc".to_owned()),
        (
            "platform",
            format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        ),
    ];
    // The encoder appends `_info`.
    registry.register(
        "karmada_build",
        "The build of this process",
        Info::new(labels.to_vec()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_is_told_under_the_name_that_dashboards_know() {
        let metrics = runtime::metrics::Shared::default();
        metrics.register(build_info);
        let text = metrics.encode();
        assert!(
            text.contains("\nkarmada_build_info{git_version=\"v"),
            "{text}"
        );
    }
}

//! A server that comes back to a world in which nothing changed.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use testbed::Bed;

use crate::server::{Server, Usage};

/// How long after it is ready the server is watched for writes.
const WATCHED: Duration = Duration::from_secs(10);

/// What a restart costs.
#[derive(Debug, Serialize)]
pub(crate) struct Restart {
    /// From the start of the process until it says that it is ready.
    pub(crate) ready_s: f64,
    /// From the start of the process until it does nothing any more.
    pub(crate) steady_s: f64,
    /// Writes to the control plane by anybody but its own controllers, by the audit log of its API server; a leader's renewals of its
    /// Lease aside.
    pub(crate) writes: usize,
    pub(crate) written: BTreeMap<String, usize>,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_mib: f64,
}

/// Kills the server and starts it again.
pub(crate) async fn measure(
    binary: &Path,
    bed: &Bed,
    server: Server,
) -> anyhow::Result<(Restart, Server)> {
    server.kill()?;
    let log = bed
        .control_plane()
        .audit_log()
        .context("the bed has no audit log")?;
    let offset = fs::metadata(&log)?.len();
    let server = Server::start(binary, bed)?;
    let ready = server.ready().await?;
    let steady = steady(&server).await?;
    tokio::time::sleep(WATCHED.saturating_sub(server.started().elapsed())).await;
    let usage: Usage = server.usage()?;
    let written = writes_since(&log, offset)?;
    let restart = Restart {
        ready_s: crate::summary::round(ready.as_secs_f64(), 2),
        steady_s: crate::summary::round(steady.as_secs_f64(), 2),
        writes: written.values().sum(),
        written,
        cpu_seconds: usage.cpu_seconds,
        peak_rss_mib: crate::summary::round(usage.peak_rss_mib, 1),
    };
    Ok((restart, server))
}

/// Waits until the process has used next to no CPU for a second; returns when that second began.
async fn steady(server: &Server) -> anyhow::Result<Duration> {
    const STEP: Duration = Duration::from_millis(200);
    let mut since = server.started().elapsed();
    let mut at_rest = server.usage()?.cpu_seconds;
    loop {
        tokio::time::sleep(STEP).await;
        let used = server.usage()?.cpu_seconds;
        if used - at_rest > 0.05 {
            at_rest = used;
            since = server.started().elapsed();
        } else if server.started().elapsed() > since + Duration::from_secs(1) {
            return Ok(since);
        }
    }
}

/// The requests that wrote, by verb and resource, of everyone who is not part of Kubernetes.
fn writes_since(log: &Path, offset: u64) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut file = fs::File::open(log)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let mut writes = BTreeMap::new();
    for line in text.lines() {
        // The last line may still be being written.
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let text = |pointer: &str| {
            event
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let verb = text("/verb");
        if !matches!(
            verb,
            "create" | "update" | "patch" | "delete" | "deletecollection"
        ) {
            continue;
        }
        let agent = text("/userAgent");
        let of_kubernetes =
            agent.starts_with("kube-") || text("/user/username").starts_with("system:");
        let resource = text("/objectRef/resource");
        // A leader renews its Lease whether it was restarted or not.
        let is_heartbeat = resource == "leases" && verb == "update";
        if of_kubernetes && !agent.is_empty() || resource.ends_with("reviews") || is_heartbeat {
            continue;
        }
        let what = format!("{verb} {resource}/{} {agent}", text("/objectRef/name"));
        *writes.entry(what).or_default() += 1;
    }
    Ok(writes)
}

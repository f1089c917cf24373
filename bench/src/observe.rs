//! Watches Deployments of a cluster and notes when each got where.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt as _, watcher},
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::load::NAMESPACE;

/// What was seen of one Deployment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// When the object was there for the first time.
    pub(crate) present: Instant,
    /// Replicas asked for, and since when.
    pub(crate) replicas: i32,
    pub(crate) replicas_since: Instant,
    /// When the status began to say that every replica of the present generation is ready.
    pub(crate) complete: Option<Instant>,
}

/// The Deployments of one cluster, as its watch tells them.
pub(crate) struct Observer {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    watching: JoinHandle<()>,
}

impl Observer {
    /// Starts to watch. A Deployment counts as complete with `factor` times its replicas ready: a template whose object runs in
    /// three members reports three times what it asks for.
    pub(crate) fn start(client: &Client, factor: i32) -> Self {
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let into = Arc::clone(&seen);
        let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
        let watching = tokio::spawn(async move {
            let stream = watcher(api, watcher::Config::default()).applied_objects();
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                if let Ok(object) = event {
                    note(&mut into.lock(), &object, factor);
                }
            }
        });
        Self { seen, watching }
    }

    pub(crate) fn seen(&self, name: &str) -> Option<Seen> {
        self.seen.lock().get(name).copied()
    }

    /// Those seen so far.
    pub(crate) fn all(&self) -> HashMap<String, Seen> {
        self.seen.lock().clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn note(seen: &mut HashMap<String, Seen>, object: &Deployment, factor: i32) {
    let now = Instant::now();
    let replicas = object.spec.replicas.unwrap_or_default();
    let is_complete = object.status.as_ref().is_some_and(|status| {
        let wanted = Some(replicas * factor);
        status.observed_generation == object.metadata.generation
            && status.ready_replicas == wanted
            && status.replicas == wanted
            && status.updated_replicas == wanted
    });
    let entry = seen.entry(object.name_any()).or_insert(Seen {
        present: now,
        replicas,
        replicas_since: now,
        complete: None,
    });
    if entry.replicas != replicas {
        entry.replicas = replicas;
        entry.replicas_since = now;
    }
    match (is_complete, entry.complete) {
        (true, None) => entry.complete = Some(now),
        (false, Some(_)) => entry.complete = None,
        _ => {}
    }
}

/// Waits until `done` says so.
pub(crate) async fn until(
    what: &str,
    patience: Duration,
    poll: Duration,
    mut done: impl FnMut() -> bool,
) -> anyhow::Result<()> {
    let started = Instant::now();
    while !done() {
        if started.elapsed() > patience {
            bail!("{what}: not within {} s", patience.as_secs());
        }
        tokio::time::sleep(poll).await;
    }
    Ok(())
}

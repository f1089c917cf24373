//! What the clusters of a bed share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use parking_lot::Mutex;

use crate::Error;
use crate::binaries::Source;
use crate::components::Settings;
use crate::folder::{ClusterState, Condition, Folder, ProcessState, State};
use crate::kwok::NodeShape;
use crate::process::{Group, Process, Spec};
use crate::progress::Progress;

pub(crate) struct Context {
    pub(crate) folder: Folder,
    pub(crate) state: Mutex<State>,
    pub(crate) source: Source,
    pub(crate) settings: Settings,
    pub(crate) group: Group,
    pub(crate) node_shape: NodeShape,
    pub(crate) crds: Vec<CustomResourceDefinition>,
    /// How long one cluster may take to get ready.
    pub(crate) patience: Duration,
    pub(crate) progress: Arc<dyn Progress>,
    /// Set when the folder may belong to somebody else.
    pub(crate) disowned: AtomicBool,
}

impl Context {
    pub(crate) fn spawn(
        self: &Arc<Self>,
        spec: Spec,
        role: &str,
        cluster: Option<&str>,
        port: Option<u16>,
    ) -> Result<Process, Error> {
        let entry = ProcessState {
            role: role.to_owned(),
            cluster: cluster.map(str::to_owned),
            process: None,
            port,
            log: spec.log.clone(),
            state: Condition::Stopped,
            restarts: 0,
            started_at: None,
            message: None,
        };
        self.change(|state| {
            state.processes.insert(spec.name.clone(), entry);
        });
        // Weak, because the folder's lock must not live as long as the last watching thread.
        let context: Weak<Self> = Arc::downgrade(self);
        Process::start(
            spec,
            self.group,
            Arc::new(move |name, status, restarts| {
                if let Some(context) = context.upgrade() {
                    context.change(|state| {
                        if let Some(process) = state.processes.get_mut(name) {
                            process.apply(status, restarts);
                        }
                    });
                }
            }),
        )
    }

    pub(crate) fn add_cluster(&self, cluster: ClusterState) {
        self.change(
            |state| match state.clusters.iter_mut().find(|it| it.name == cluster.name) {
                Some(known) => *known = cluster,
                None => state.clusters.push(cluster),
            },
        );
    }

    pub(crate) fn remove_cluster(&self, name: &str) {
        self.change(|state| {
            state.clusters.retain(|it| it.name != name);
            state
                .processes
                .retain(|_, process| process.cluster.as_deref() != Some(name));
        });
    }

    /// Leaves the folder to others, with a state file that says that nothing runs.
    pub(crate) fn disown(&self) {
        self.change(|state| {
            state.owner = None;
            state.processes.clear();
        });
        self.disowned.store(true, Ordering::SeqCst);
        self.folder.release();
    }

    pub(crate) fn set_stopped(&self, name: &str, stopped: bool) {
        self.change(|state| {
            if let Some(cluster) = state.clusters.iter_mut().find(|it| it.name == name) {
                cluster.stopped = stopped;
            }
        });
    }

    /// Changes the state, in memory and on disk.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        if self.disowned.load(Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.folder.save(&state) {
            // The processes are right all the same, and the next change writes everything again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "Cannot write the state file"
            );
        }
    }
}

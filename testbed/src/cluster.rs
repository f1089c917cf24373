//! One cluster: its API server and what goes with it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Api, ListParams, PostParams};
use nix::sys::signal::Signal;
use parking_lot::Mutex;

use crate::binaries::Program;
use crate::components::{Target, audit_log};
use crate::context::Context;
use crate::error::Error;
use crate::folder::{ClusterState, Role};
use crate::kubeconfig::Entry;
use crate::pki::ClusterPki;
use crate::ports::{self, Claim, Reserved};
use crate::process::{Process, is_port_conflict};
use crate::progress::Event;
use crate::{kubeconfig, kwok, pki};

const POLL: Duration = Duration::from_millis(50);
/// Starts that may fail because somebody else took a port between our release of it and the server's bind.
const PORT_CONFLICTS: u32 = 5;

/// A running cluster. Clones are the same cluster.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    context: Arc<Context>,
    name: String,
    role: Role,
    nodes: u32,
    /// They stay ours through an outage.
    api_server: Claim,
    kubelet: Option<Claim>,
    pki: ClusterPki,
    kubeconfig: PathBuf,
    entry: Entry,
    authority: String,
    config: kube::Config,
    processes: Mutex<BTreeMap<Program, Arc<Process>>>,
    /// Starts and stops of the same cluster wait for each other.
    changing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.shared.name)
            .field("api_url", &self.api_url())
            .finish_non_exhaustive()
    }
}

/// What a cluster is to be before it has ports.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) nodes: u32,
}

impl Cluster {
    /// The name, which is also the context in its kubeconfig.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Such as `https://127.0.0.1:12345`.
    pub fn api_url(&self) -> String {
        url(self.shared.api_server.port())
    }

    /// A file with one context, for an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.shared.kubeconfig
    }

    /// The certificate authority of the API server, PEM.
    pub fn certificate_authority(&self) -> &str {
        &self.shared.authority
    }

    /// Simulated nodes that were asked for.
    pub fn nodes(&self) -> u32 {
        self.shared.nodes
    }

    /// Connection data of an administrator.
    pub fn config(&self) -> kube::Config {
        self.shared.config.clone()
    }

    /// A client for an administrator. It lives on the runtime that calls this, so every test asks for its own.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::try_from(self.config())
            .expect("the configuration served the start of the cluster")
    }

    /// Where the API server writes the metadata of every request, if the bed was built with an audit log and this is the
    /// control plane.
    pub fn audit_log(&self) -> Option<PathBuf> {
        let is_on = self.shared.role == Role::ControlPlane && self.shared.context.settings.audit;
        is_on.then(|| audit_log(&self.shared.context.folder, self.name()))
    }

    /// Plays an outage: every process of the cluster is killed and connections are refused. Its data stay.
    pub async fn stop(&self) {
        let _changing = self.shared.changing.lock().await;
        self.stop_processes(Duration::ZERO).await;
        self.shared.context.set_stopped(self.name(), true);
    }

    /// Ends an outage, on the same port. Does nothing to a cluster that runs.
    pub async fn start(&self) -> Result<(), Error> {
        let _changing = self.shared.changing.lock().await;
        if !self.shared.processes.lock().is_empty() {
            return Ok(());
        }
        let mut conflicts = 0;
        loop {
            let reserved = self.rebind().await?;
            match self.start_processes(reserved).await {
                Err(error) if is_port_conflict(&error) && conflicts < PORT_CONFLICTS => {
                    conflicts += 1;
                }
                result => break result?,
            }
        }
        self.shared.context.set_stopped(self.name(), false);
        Ok(())
    }

    /// Plays a network that loses everything: connections are accepted by the system and never answered.
    pub fn pause(&self) {
        self.signal_api_server(Signal::SIGSTOP);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.signal_api_server(Signal::SIGCONT);
    }

    fn signal_api_server(&self, signal: Signal) {
        if let Some(process) = self.shared.processes.lock().get(&Program::KubeApiserver) {
            process.signal(signal);
        }
    }

    /// Starts a cluster, on the ports it had before if it had some.
    pub(crate) async fn launch(context: &Arc<Context>, plan: &Plan) -> Result<Self, Error> {
        let before = context.state.lock().cluster(&plan.name).cloned();
        let mut conflicts = 0;
        loop {
            let reserved = match &before {
                Some(before) => Ports::reclaim(before).await?,
                None => Ports::reserve(plan.role)?,
            };
            let cluster = Self::new(context, plan, &reserved).await?;
            match cluster.launched(reserved).await {
                Err(error) if is_port_conflict(&error) && conflicts < PORT_CONFLICTS => {
                    conflicts += 1;
                }
                result => return result,
            }
        }
    }

    async fn launched(self, reserved: Ports) -> Result<Self, Error> {
        self.start_processes(reserved).await?;
        self.shared.context.add_cluster(self.state());
        Ok(self)
    }

    async fn new(context: &Arc<Context>, plan: &Plan, reserved: &Ports) -> Result<Self, Error> {
        let Plan { name, role, nodes } = plan.clone();
        let pki = pki::cluster(&context.folder.pki(&name), &name)?;
        let path = context.folder.kubeconfig(&name);
        let entry = Entry::admin(&name, &url(reserved.api_server.port()), &pki)?;
        kubeconfig::write(&path, std::slice::from_ref(&entry))?;
        let authority = &pki.authority.certificate;
        let authority =
            std::fs::read_to_string(authority).map_err(Error::file("read", authority))?;
        let config = read_config(&path)
            .await
            .map_err(|source| Error::Kubeconfig {
                cluster: name.clone(),
                source: Box::new(source),
            })?;
        Ok(Self {
            shared: Arc::new(Shared {
                context: Arc::clone(context),
                name,
                role,
                nodes,
                api_server: reserved.api_server.claim(),
                kubelet: reserved.kubelet.as_ref().map(Reserved::claim),
                pki,
                kubeconfig: path,
                entry,
                authority,
                config,
                processes: Mutex::default(),
                changing: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// The ports again after an outage.
    async fn rebind(&self) -> Result<Ports, Error> {
        let shared = &*self.shared;
        let api_server = process_name(&shared.name, Program::KubeApiserver);
        let kubelet = match &shared.kubelet {
            Some(claim) => {
                let process = process_name(&shared.name, Program::Kwok);
                Some(ports::rebind(claim, &process, ports::PATIENCE).await?)
            }
            None => None,
        };
        Ok(Ports {
            api_server: ports::rebind(&shared.api_server, &api_server, ports::PATIENCE).await?,
            kubelet,
        })
    }

    pub(crate) fn entry(&self) -> Entry {
        self.shared.entry.clone()
    }

    fn state(&self) -> ClusterState {
        let shared = &self.shared;
        ClusterState {
            name: shared.name.clone(),
            role: shared.role,
            api_server_port: shared.api_server.port(),
            kubelet_port: shared.kubelet.as_ref().map(Claim::port),
            nodes: shared.nodes,
            node_shape: shared.context.node_shape.clone(),
            stopped: false,
        }
    }

    async fn start_processes(&self, reserved: Ports) -> Result<(), Error> {
        let shared = &*self.shared;
        let started = Instant::now();
        shared.context.progress.report(Event::Starting {
            cluster: &shared.name,
        });
        let result = tokio::time::timeout(shared.context.patience, self.bring_up(reserved)).await;
        let result = result.unwrap_or_else(|_| {
            let cause = "not everything in it got ready".to_owned();
            Err(Error::NotReady {
                what: shared.name.clone(),
                after: shared.context.patience,
                cause,
            })
        });
        if let Err(error) = result {
            self.stop_processes(Duration::ZERO).await;
            return Err(error);
        }
        shared
            .processes
            .lock()
            .values()
            .for_each(|process| process.keep_alive());
        shared.context.progress.report(Event::Ready {
            cluster: &shared.name,
            after: started.elapsed(),
        });
        Ok(())
    }

    async fn bring_up(&self, reserved: Ports) -> Result<(), Error> {
        let Shared {
            context,
            role,
            nodes,
            ..
        } = &*self.shared;
        let target = Target {
            name: &self.shared.name,
            role: *role,
            folder: &context.folder,
            pki: &self.shared.pki,
            kubeconfig: &self.shared.kubeconfig,
        };
        let path = |program: Program| context.source.locate(program);

        let api_server = path(Program::KubeApiserver)?;
        let api_server =
            target.kube_apiserver(api_server, reserved.api_server.port(), &context.settings)?;
        let port = reserved.api_server.release();
        self.spawn(Program::KubeApiserver, api_server, Some(port))?;
        let client = self.client();
        self.while_running(answer(&client)).await?;

        let manager = target.kube_controller_manager(path(Program::KubeControllerManager)?);
        self.spawn(Program::KubeControllerManager, manager, None)?;
        if *role == Role::Member && *nodes > 0 {
            self.spawn(
                Program::KubeScheduler,
                target.kube_scheduler(path(Program::KubeScheduler)?),
                None,
            )?;
            if let Some(kubelet) = reserved.kubelet {
                let spec = target.kwok(path(Program::Kwok)?, kubelet.port(), &context.settings)?;
                let port = kubelet.release();
                self.spawn(Program::Kwok, spec, Some(port))?;
            }
        }
        self.while_running(self.settle(&client)).await?
    }

    fn spawn(
        &self,
        program: Program,
        spec: crate::process::Spec,
        port: Option<u16>,
    ) -> Result<(), Error> {
        let process = self
            .shared
            .context
            .spawn(spec, program.name(), Some(self.name()), port)?;
        self.shared
            .processes
            .lock()
            .insert(program, Arc::new(process));
        Ok(())
    }

    /// Completes with the future, or with the error of the first process that ends before.
    async fn while_running<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        let processes: Vec<Arc<Process>> = self.shared.processes.lock().values().cloned().collect();
        let ends: Vec<_> = processes
            .iter()
            .map(|process| Box::pin(process.ended()))
            .collect();
        tokio::select! {
            value = future => Ok(value),
            (error, ..) = futures::future::select_all(ends) => Err(error),
        }
    }

    /// What is done through the API before the cluster counts as ready.
    async fn settle(&self, client: &kube::Client) -> Result<(), Error> {
        if self.shared.role == Role::ControlPlane {
            return crate::seed::install(client, self.name(), &self.shared.context.crds).await;
        }
        self.create_nodes(client).await?;
        let nodes = async {
            let api: Api<Node> = Api::all(client.clone());
            let wanted = usize::try_from(self.shared.nodes).unwrap_or(usize::MAX);
            while api
                .list(&ListParams::default())
                .await
                .map_or(0, |list| list.iter().filter(|it| is_ready(it)).count())
                < wanted
            {
                tokio::time::sleep(POLL).await;
            }
        };
        // Pods are refused until the account that they run as exists.
        let account = async {
            let api: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
            while !matches!(api.get_opt("default").await, Ok(Some(_))) {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::join!(nodes, account);
        Ok(())
    }

    async fn create_nodes(&self, client: &kube::Client) -> Result<(), Error> {
        let api: Api<Node> = Api::all(client.clone());
        for node in kwok::nodes(
            self.name(),
            self.shared.nodes,
            &self.shared.context.node_shape,
        ) {
            let node: Node =
                serde_json::from_value(node).expect("the node is built with the fields of a Node");
            match api.create(&PostParams::default(), &node).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                result => {
                    result.map_err(Error::request("create a node", self.name()))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the processes, clients of the API server first.
    pub(crate) async fn stop_processes(&self, grace: Duration) {
        let mut processes = std::mem::take(&mut *self.shared.processes.lock());
        let api_server = processes.remove(&Program::KubeApiserver);
        futures::future::join_all(processes.values().map(|process| process.stop(grace))).await;
        if let Some(process) = api_server {
            process.stop(grace).await;
        }
    }

    /// Ends the processes at once, without waiting for it.
    pub(crate) fn abandon(&self) {
        self.shared.processes.lock().clear();
    }
}

struct Ports {
    api_server: Reserved,
    kubelet: Option<Reserved>,
}

impl Ports {
    /// Any free ones.
    fn reserve(role: Role) -> Result<Self, Error> {
        Ok(Self {
            api_server: ports::reserve()?,
            kubelet: (role == Role::Member).then(ports::reserve).transpose()?,
        })
    }

    /// Those that a cluster had in an earlier process.
    async fn reclaim(before: &ClusterState) -> Result<Self, Error> {
        let reclaim = async |port, program| {
            let process = process_name(&before.name, program);
            ports::reclaim(port, &process, ports::PATIENCE).await
        };
        let kubelet = match before.kubelet_port {
            Some(port) => Some(reclaim(port, Program::Kwok).await?),
            None => None,
        };
        Ok(Self {
            api_server: reclaim(before.api_server_port, Program::KubeApiserver).await?,
            kubelet,
        })
    }
}

fn process_name(cluster: &str, program: Program) -> String {
    format!("{cluster}/{}", program.name())
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

async fn read_config(path: &Path) -> Result<kube::Config, kube::config::KubeconfigError> {
    let kubeconfig = kube::config::Kubeconfig::read_from(path)?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
        .await
}

/// Waits until the API server says that it is ready.
async fn answer(client: &kube::Client) {
    loop {
        let request = http::Request::get("/readyz")
            .body(Vec::new())
            .expect("the path is a valid URI");
        if client.request_text(request).await.is_ok() {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|it| it.type_ == "Ready" && it.status == "True")
}

//! A control plane with members.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use parking_lot::Mutex;

use crate::binaries::{Program, Source};
use crate::cluster::{Cluster, Plan};
use crate::components::{self, Settings};
use crate::context::Context;
use crate::folder::{Folder, Role, State};
use crate::kwok::NodeShape;
use crate::ports::{self, Claim};
use crate::process::{Process, Reaper, Spec};
use crate::procfs::ProcessId;
use crate::progress::{Lines, Progress};
use crate::{Error, kubeconfig};

/// The control plane's name and context.
pub const CONTROL_PLANE: &str = "navarch";
/// The file with every context, so no cluster can be called like this.
const ALL: &str = "all";
/// What a process gets to end in order.
const GRACE: Duration = Duration::from_secs(10);

/// How a bed is to be. See [`Bed::builder`].
#[derive(Clone)]
pub struct Builder {
    dir: Option<PathBuf>,
    members: Vec<Plan>,
    nodes: u32,
    node_shape: NodeShape,
    durable: bool,
    audit: bool,
    pod_exec: bool,
    patience: Duration,
    source: Option<Source>,
    crds: Vec<CustomResourceDefinition>,
    progress: Arc<dyn Progress>,
}

/// A control plane and its members as child processes of this one. They end with this value, and with this process
/// however it ends.
pub struct Bed {
    // Fields are dropped in this order: the processes first, what cleans up after them last.
    members: Mutex<Vec<Cluster>>,
    control_plane: Cluster,
    extras: Mutex<Vec<Arc<Process>>>,
    etcd: Process,
    nodes: u32,
    ports: Mutex<Vec<Claim>>,
    context: Arc<Context>,
    _reaper: Reaper,
}

impl fmt::Debug for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bed")
            .field("dir", &self.dir())
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Members called `member1`, `member2`, … None by default.
    #[must_use]
    pub fn members(mut self, count: u32) -> Self {
        self.members = (1..=count)
            .map(|index| self.plan(format!("member{index}")))
            .collect();
        self
    }

    /// Simulated nodes of each member; 3 by default. A member without nodes has no scheduler.
    #[must_use]
    pub fn nodes(mut self, count: u32) -> Self {
        self.nodes = count;
        self.members
            .iter_mut()
            .for_each(|member| member.nodes = count);
        self
    }

    #[must_use]
    pub fn node_shape(mut self, shape: NodeShape) -> Self {
        self.node_shape = shape;
        self
    }

    /// Keeps everything in this folder and continues with what is there. Without it, a temporary folder is used and
    /// removed.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Lets data survive a crash of the machine, at the price of slower writes.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Makes the control plane's API server write the metadata of every request, see [`Cluster::audit_log`].
    #[must_use]
    pub fn audit_log(mut self, audit: bool) -> Self {
        self.audit = audit;
        self
    }

    /// Lets `kubectl exec` into any pod run commands on this machine. Whoever can connect to loopback ports here can
    /// then do so as the current user, so it is for machines with one user.
    #[must_use]
    pub fn pod_exec(mut self, exec: bool) -> Self {
        self.pod_exec = exec;
        self
    }

    /// How long each cluster may take to get ready; 2 min by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where the programs come from; [`Source::from_env`] by default.
    #[must_use]
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Kinds to install in the control plane; all of ours by default.
    #[must_use]
    pub fn crds(mut self, crds: Vec<CustomResourceDefinition>) -> Self {
        self.crds = crds;
        self
    }

    /// Who hears of the start; by default builds are told on standard error.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    fn plan(&self, name: String) -> Plan {
        Plan {
            name,
            role: Role::Member,
            nodes: self.nodes,
        }
    }

    /// Starts everything, building the programs first if need be, and returns when all clusters are ready.
    pub async fn start(self) -> Result<Bed, Error> {
        let source = self
            .source
            .clone()
            .unwrap_or_else(|| Source::from_env(None));
        let source = locate(source.progress(Arc::clone(&self.progress))).await?;
        let (dir, is_temporary) = match self.dir {
            Some(dir) => (dir, false),
            None => (temporary_dir()?, true),
        };
        let (folder, mut state) = Folder::take(&dir)?;
        let reaper = Reaper::start(is_temporary.then(|| folder.dir()))?;
        state.owner = Some(ProcessId::current());

        // Members that were added to this folder earlier come back too.
        let mut plans = self.members;
        let known = state.members().map(|it| Plan {
            name: it.name.clone(),
            role: Role::Member,
            nodes: it.nodes,
        });
        let added: Vec<Plan> = known
            .filter(|it| plans.iter().all(|plan| plan.name != it.name))
            .collect();
        plans.extend(added);

        let settings = Settings {
            durable: self.durable,
            audit: self.audit,
            pod_exec: self.pod_exec,
        };
        let context = Arc::new(Context {
            folder,
            state: Mutex::new(state),
            source,
            settings,
            group: reaper.group(),
            node_shape: self.node_shape,
            crds: self.crds,
            patience: self.patience,
            progress: self.progress,
            disowned: AtomicBool::new(false),
        });
        match bring_up(&context, &plans).await {
            Ok((etcd, control_plane, members)) => {
                let bed = Bed {
                    members: Mutex::new(members),
                    control_plane,
                    extras: Mutex::default(),
                    etcd,
                    nodes: self.nodes,
                    ports: Mutex::default(),
                    context,
                    _reaper: reaper,
                };
                bed.write_all_contexts()?;
                Ok(bed)
            }
            Err(error) => {
                context.disown();
                Err(error)
            }
        }
    }
}

/// etcd and all clusters, at the same time: API servers wait for their etcd.
async fn bring_up(
    context: &Arc<Context>,
    plans: &[Plan],
) -> Result<(Process, Cluster, Vec<Cluster>), Error> {
    let spec = components::etcd(
        context.source.locate(Program::Etcd)?,
        &context.folder,
        &context.settings,
    )?;
    let etcd = context.spawn(spec, Program::Etcd.name(), None, None)?;

    let control_plane = Plan {
        name: CONTROL_PLANE.to_owned(),
        role: Role::ControlPlane,
        nodes: 0,
    };
    let launches = std::iter::once(&control_plane)
        .chain(plans)
        .map(|plan| Cluster::launch(context, plan));
    let mut clusters = tokio::select! {
        clusters = futures::future::try_join_all(launches) => clusters?,
        error = etcd.ended() => return Err(error),
    };
    etcd.keep_alive();
    let control_plane = clusters.remove(0);
    context.change(|state| {
        // They became ready in any order.
        let rank = |name: &str| {
            plans
                .iter()
                .position(|plan| plan.name == name)
                .map_or(0, |at| at + 1)
        };
        state.clusters.sort_by_key(|cluster| rank(&cluster.name));
    });
    Ok((etcd, control_plane, clusters))
}

impl Bed {
    /// ```no_run
    /// # use navarch_testbed as testbed;
    /// # async fn example() -> Result<(), testbed::Error> {
    /// let bed = testbed::Bed::builder().members(2).nodes(1).start().await?;
    /// let nodes = kube::Api::<k8s_openapi::api::core::v1::Node>::all(bed.member("member1")?.client());
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder {
            dir: None,
            members: Vec::new(),
            nodes: 3,
            node_shape: NodeShape::default(),
            durable: false,
            audit: false,
            pod_exec: false,
            patience: Duration::from_mins(2),
            source: None,
            crds: crds::manifests::all(),
            progress: Arc::new(Lines::default()),
        }
    }

    pub fn control_plane(&self) -> &Cluster {
        &self.control_plane
    }

    /// The members in the order in which they were asked for.
    pub fn members(&self) -> Vec<Cluster> {
        self.members.lock().clone()
    }

    pub fn member(&self, name: &str) -> Result<Cluster, Error> {
        self.cluster(name)
            .filter(|it| it.name() != CONTROL_PLANE)
            .ok_or_else(|| self.unknown(name))
    }

    fn cluster(&self, name: &str) -> Option<Cluster> {
        self.clusters().into_iter().find(|it| it.name() == name)
    }

    fn clusters(&self) -> Vec<Cluster> {
        std::iter::once(self.control_plane.clone())
            .chain(self.members())
            .collect()
    }

    /// One more member, with as many nodes as the others were asked to have.
    pub async fn add_member(&self, name: &str) -> Result<Cluster, Error> {
        let reason = match name {
            CONTROL_PLANE | ALL => Some("it has a meaning of its own"),
            _ if self.cluster(name).is_some() => Some("there is one already"),
            _ if !is_dns_label(name) => {
                Some("it must be lower-case letters, digits and dashes, at most 48")
            }
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(Error::Name {
                name: name.to_owned(),
                reason,
            });
        }
        locate(self.context.source.clone()).await?;
        let plan = Plan {
            name: name.to_owned(),
            role: Role::Member,
            nodes: self.nodes,
        };
        let cluster = Cluster::launch(&self.context, &plan).await?;
        self.members.lock().push(cluster.clone());
        self.write_all_contexts()?;
        Ok(cluster)
    }

    /// Ends a member for good. Its data stay in etcd, so one of the same name finds them again.
    pub async fn remove_member(&self, name: &str) -> Result<(), Error> {
        let cluster = self.member(name)?;
        cluster.stop_processes(Duration::ZERO).await;
        self.members.lock().retain(|it| it.name() != name);
        self.context.remove_cluster(name);
        let kubeconfig = cluster.kubeconfig();
        std::fs::remove_file(kubeconfig).map_err(Error::file("remove", kubeconfig))?;
        self.write_all_contexts()
    }

    /// Starts another program beside the clusters, with a log file, started again when it crashes and ended first.
    pub fn run(
        &self,
        name: &str,
        program: &Path,
        args: Vec<String>,
        cluster: Option<&str>,
    ) -> Result<(), Error> {
        let spec = Spec {
            name: name.to_owned(),
            program: program.to_owned(),
            args,
            env: Vec::new(),
            log: self.context.folder.log(name),
            dir: self.dir().to_owned(),
        };
        let process = self.context.spawn(spec, name, cluster, None)?;
        process.keep_alive();
        let mut extras = self.extras.lock();
        extras.retain(|it| it.name() != name);
        extras.push(Arc::new(process));
        Ok(())
    }

    /// A free loopback port for a program given to [`Bed::run`]. Other beds keep off it as long as this one lives, also while the
    /// program is being started again.
    pub fn port(&self) -> Result<u16, Error> {
        let reserved = ports::reserve()?;
        self.ports.lock().push(reserved.claim());
        Ok(reserved.release())
    }

    /// Stops a program given to [`Bed::run`], with SIGTERM first.
    pub async fn stop_program(&self, name: &str) -> Result<(), Error> {
        self.program(name)?.stop(GRACE).await;
        Ok(())
    }

    /// Starts a program that was stopped. Does nothing to one that runs.
    pub fn start_program(&self, name: &str) -> Result<(), Error> {
        let process = self.program(name)?;
        if !process.is_stopped() {
            return Ok(());
        }
        let cluster = self
            .state()
            .processes
            .get(name)
            .and_then(|it| it.cluster.clone());
        let spec = process.spec().clone();
        self.run(name, &spec.program, spec.args, cluster.as_deref())
    }

    fn program(&self, name: &str) -> Result<Arc<Process>, Error> {
        let process = self
            .extras
            .lock()
            .iter()
            .find(|it| it.name() == name)
            .cloned();
        process.ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Error {
        let clusters = self.clusters();
        let extras = self.extras.lock();
        let known: Vec<&str> = clusters
            .iter()
            .map(Cluster::name)
            .chain(extras.iter().map(|it| it.name()))
            .collect();
        Error::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }

    pub fn dir(&self) -> &Path {
        self.context.folder.dir()
    }

    /// The file with the contexts of all clusters; the control plane's is the current one.
    pub fn kubeconfig(&self) -> PathBuf {
        self.context.folder.kubeconfig(ALL)
    }

    /// What runs at the moment.
    pub fn state(&self) -> State {
        self.context.state.lock().clone()
    }

    /// Bytes of memory that all processes take together, shared pages counted in proportion; 0 where the system does not
    /// tell.
    pub fn memory(&self) -> u64 {
        self.state()
            .processes
            .values()
            .filter_map(crate::folder::ProcessState::memory)
            .sum()
    }

    /// Ends everything in order: what uses the clusters, the clusters, etcd. Data stay unless the folder is temporary.
    pub async fn shutdown(self) {
        let extras = std::mem::take(&mut *self.extras.lock());
        futures::future::join_all(extras.iter().map(|process| process.stop(GRACE))).await;
        // Their state is in etcd, which survives a kill of its clients.
        let clusters = self.clusters();
        futures::future::join_all(
            clusters
                .iter()
                .map(|cluster| cluster.stop_processes(Duration::ZERO)),
        )
        .await;
        self.etcd.stop(GRACE).await;
        self.context.disown();
    }

    fn write_all_contexts(&self) -> Result<(), Error> {
        let entries: Vec<_> = self.clusters().iter().map(Cluster::entry).collect();
        kubeconfig::write(&self.kubeconfig(), &entries)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.extras.lock().clear();
        self.clusters().iter().for_each(Cluster::abandon);
    }
}

/// Finds the programs, off the runtime because building them takes minutes.
async fn locate(source: Source) -> Result<Source, Error> {
    let located = tokio::task::spawn_blocking(move || source.prepare().map(|()| source)).await;
    located.expect("looking for programs does not panic and is not cancelled")
}

fn temporary_dir() -> Result<PathBuf, Error> {
    let dir = tempfile::Builder::new().prefix("navarch-bed-").tempdir();
    Ok(dir
        .map_err(Error::file("create", std::env::temp_dir()))?
        .keep())
}

/// Short enough for the names that are made from it.
fn is_dns_label(name: &str) -> bool {
    let is_word = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    (1..=48).contains(&name.len())
        && name.starts_with(is_word)
        && name.ends_with(is_word)
        && name.chars().all(|it| is_word(it) || it == '-')
}

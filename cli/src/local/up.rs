//! `up`: from nothing, or from whatever runs, to clusters that are joined and ready.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use crds::cluster::Cluster;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use testbed::{Bed, Builder, Condition, NodeShape, Role, Source, State};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::control::{Request, ask};
use super::screen::Screen;
use super::supervise::{Report, SERVE};
use super::{Error, JoinRequest, Setup, client, kubeconfig_path, status};

const POLL: Duration = Duration::from_millis(250);
const DEFAULT_MEMBERS: u32 = 3;
/// A server that ended so often will not get better by waiting.
const HOPELESS: u32 = 3;
const TAIL_LINES: usize = 20;

#[derive(Debug, Clone, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the command line"
)]
pub(super) struct UpArgs {
    /// Member clusters: member1, member2, … [default: 3, or those of an earlier `up`]
    #[arg(long, value_name = "N")]
    pub(super) members: Option<u32>,

    /// How many of them, counted from the last, run an agent of their own instead of being pushed to
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) pull: u32,

    /// Simulated nodes of each member
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) nodes: u32,

    /// CPU of each node
    #[arg(long, value_name = "QUANTITY", default_value = "8")]
    node_cpu: String,

    /// Memory of each node
    #[arg(long, value_name = "QUANTITY", default_value = "32Gi")]
    node_memory: String,

    /// Pods that fit on each node
    #[arg(long, value_name = "N", default_value_t = 110)]
    node_pods: u32,

    /// Where etcd, kube-apiserver and the others are; what is nowhere is built
    #[arg(long, env = "NAVARCH_BIN_DIR", value_name = "DIR")]
    bin_dir: Option<PathBuf>,

    /// Keep data safe from a crash of the machine, with slower writes
    #[arg(long)]
    durable: bool,

    /// Do not start `navarch serve all`, to run it by hand
    #[arg(long)]
    pub(super) no_navarch: bool,

    /// Write the metadata of every request to the control plane to logs/navarch-audit.log
    #[arg(long)]
    audit_log: bool,

    /// Let `kubectl exec` into any pod run commands on this machine; not for machines that you share
    #[arg(long)]
    pod_exec: bool,

    /// How long everything may take to get ready
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration)]
    wait: Duration,
}

impl UpArgs {
    /// `known` is what the folder holds; its members come back without being asked for.
    pub(super) fn builder(&self, known: Option<&State>) -> Builder {
        let is_new = known.is_none_or(|state| state.clusters.is_empty());
        let shape = NodeShape {
            cpu: self.node_cpu.clone(),
            memory: self.node_memory.clone(),
            pods: self.node_pods,
        };
        Bed::builder()
            .members(
                self.members
                    .unwrap_or(if is_new { DEFAULT_MEMBERS } else { 0 }),
            )
            .nodes(self.nodes)
            .node_shape(shape)
            .durable(self.durable)
            .audit_log(self.audit_log)
            .pod_exec(self.pod_exec)
            .patience(self.wait)
            .source(self.source())
    }

    fn source(&self) -> Source {
        Source::from_env(self.bin_dir.clone())
    }

    /// The same flags for another process of this program.
    fn to_flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut set = |name: &str, value: String| flags.push(format!("--{name}={value}"));
        if let Some(members) = self.members {
            set("members", members.to_string());
        }
        set("nodes", self.nodes.to_string());
        set("node-cpu", self.node_cpu.clone());
        set("node-memory", self.node_memory.clone());
        set("node-pods", self.node_pods.to_string());
        set("wait", format!("{}s", self.wait.as_secs()));
        if let Some(dir) = &self.bin_dir {
            set("bin-dir", dir.display().to_string());
        }
        let switches = [
            ("--durable", self.durable),
            ("--no-navarch", self.no_navarch),
            ("--audit-log", self.audit_log),
            ("--pod-exec", self.pod_exec),
        ];
        flags.extend(
            switches
                .iter()
                .filter(|(_, is_on)| *is_on)
                .map(|(name, _)| (*name).to_owned()),
        );
        flags
    }
}

pub(super) async fn run(dir: &Path, args: &UpArgs, setup: &Setup<'_>) -> Result<(), Error> {
    let started = Instant::now();
    bring_up(dir, args, setup).await?;
    let state = current(dir)?;
    status::print_clusters(dir, &state, Some(started.elapsed())).await?;
    if !setup.quiet {
        let contexts = kubeconfig_path(dir, "all");
        eprintln!(
            "try:  export KUBECONFIG={}\n      kubectl get clusters",
            contexts.display()
        );
        if let Some(member) = state.members().next() {
            eprintln!(
                "      kubectl --context {} get nodes\n      navarch local demo",
                member.name
            );
        }
    }
    Ok(())
}

/// Everything runs, is joined and ready when this returns.
pub(super) async fn bring_up(dir: &Path, args: &UpArgs, setup: &Setup<'_>) -> Result<(), Error> {
    if args.pull > 0 {
        return Err(
            Error::new("--pull is not available: this version has no agent")
                .with_hint("leave it out; members are pushed to then"),
        );
    }
    let deadline = Instant::now() + args.wait;
    let screen = Arc::new(Screen::new(setup.quiet));
    let result = async {
        match State::load(dir)? {
            Some(state) if state.is_running() => converge(dir, &state, args, &screen).await?,
            state => start(dir, state.as_ref(), args, setup, &screen).await?,
        }
        let state = current(dir)?;
        join_members(dir, &state, setup, &screen).await?;
        if state.processes.contains_key(SERVE) {
            wait_until_ready(dir, deadline, args.wait, &screen).await
        } else {
            Ok(())
        }
    };
    let result = result.await;
    screen.clear();
    result
}

/// Adds to a running instance what is missing.
async fn converge(dir: &Path, state: &State, args: &UpArgs, screen: &Screen) -> Result<(), Error> {
    refuse_fewer_members(state, args)?;
    for index in 1..=args.members.unwrap_or(0) {
        let name = format!("member{index}");
        match state.cluster(&name) {
            None => {
                screen.status(&format!("adding {name}"));
                ask(dir, &Request::AddMember(name)).await?;
            }
            Some(cluster) if cluster.stopped => {
                screen.status(&format!("starting {name}"));
                ask(dir, &Request::Start(name)).await?;
            }
            Some(_) => {}
        }
    }
    if !args.no_navarch {
        ask(dir, &Request::Serve).await?;
    }
    Ok(())
}

/// Starts a supervisor and waits until it has everything running.
async fn start(
    dir: &Path,
    state: Option<&State>,
    args: &UpArgs,
    setup: &Setup<'_>,
    screen: &Arc<Screen>,
) -> Result<(), Error> {
    if let Some(state) = state {
        refuse_fewer_members(state, args)?;
    }
    // Here rather than in the supervisor, because a build shows its progress and can be interrupted.
    let progress: Arc<dyn testbed::Progress> = Arc::<Screen>::clone(screen);
    let source = args.source().progress(progress);
    let prepared = tokio::task::spawn_blocking(move || source.prepare()).await;
    prepared.map_err(|error| Error::from_chain(&error))??;

    screen.status("starting the clusters");
    let logs = dir.join("logs");
    std::fs::create_dir_all(&logs).map_err(|error| {
        Error::new(format!("cannot create {}: {error}", logs.display()))
            .with_hint("choose another folder with NAVARCH_LOCAL_DIR")
    })?;
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(logs.join("supervisor.log"))?;
    let mut supervisor = Command::new(&setup.executable)
        .args(["local", "supervise", "--dir"])
        .arg(dir)
        .args(args.to_flags())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| {
            Error::new(format!(
                "cannot start {}: {error}",
                setup.executable.display()
            ))
        })?;
    let stdout = supervisor
        .stdout
        .take()
        .expect("standard output was asked for");
    let reports = async {
        let mut lines = BufReader::new(stdout).lines();
        let mut ready = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Report::Ready { cluster, .. }) => {
                    ready.push(cluster);
                    screen.status(&format!(
                        "starting the clusters, {} ready",
                        ready.join(", ")
                    ));
                }
                Ok(Report::Up) => return Ok(()),
                Ok(Report::Failed(failure)) => return Err(failure.into()),
                Err(_) => {}
            }
        }
        let hint = format!("its log is {}", logs.join("supervisor.log").display());
        Err(Error::new("the supervisor ended during start").with_hint(hint))
    };
    let result = tokio::select! {
        result = reports => result,
        _ = tokio::signal::ctrl_c() => Err(Error::new("interrupted")),
    };
    if result.is_err() {
        // What it has started ends with it.
        let _ = supervisor.kill().await;
    }
    result
}

fn refuse_fewer_members(state: &State, args: &UpArgs) -> Result<(), Error> {
    let known = state.members().count();
    match args.members {
        Some(wanted) if usize::try_from(wanted).is_ok_and(|wanted| wanted < known) => {
            Err(Error::new(format!(
                "there are {known} members already, and up only adds members"
            ))
            .with_hint("start over with navarch local down --purge"))
        }
        _ => Ok(()),
    }
}

pub(super) fn current(dir: &Path) -> Result<State, Error> {
    State::load(dir)?.ok_or_else(|| super::control::not_running(dir))
}

/// Joins the members that the control plane does not know.
async fn join_members(
    dir: &Path,
    state: &State,
    setup: &Setup<'_>,
    screen: &Screen,
) -> Result<(), Error> {
    let control_plane = kubeconfig_path(dir, testbed::CONTROL_PLANE);
    let known: Api<Cluster> = Api::all(client(&control_plane).await?);
    let known = known
        .list(&ListParams::default())
        .await
        .map_err(|error| Error::from_chain(&error))?;
    let is_known = |name: &str| known.iter().any(|it| it.name_any() == name);
    let missing: Vec<&str> = state
        .members()
        .map(|it| it.name.as_str())
        .filter(|name| !is_known(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    screen.status(&format!("joining {}", missing.join(", ")));
    let joins = missing.iter().map(|name| {
        let request = JoinRequest {
            cluster: (*name).to_owned(),
            control_plane: control_plane.clone(),
            member: kubeconfig_path(dir, name),
        };
        let join = (setup.join)(request);
        async move {
            join.await
                .map_err(|error| Error::new(format!("cannot join {name}: {error:#}")))
        }
    });
    futures::future::try_join_all(joins).await.map(|_| ())
}

/// Waits until the control plane finds every member ready that is not stopped on purpose.
async fn wait_until_ready(
    dir: &Path,
    deadline: Instant,
    patience: Duration,
    screen: &Screen,
) -> Result<(), Error> {
    let clusters: Api<Cluster> =
        Api::all(client(&kubeconfig_path(dir, testbed::CONTROL_PLANE)).await?);
    loop {
        let state = current(dir)?;
        let cause = match clusters.list(&ListParams::default()).await {
            Ok(list) => {
                let wanted = state
                    .members()
                    .filter(|it| !it.stopped)
                    .map(|it| it.name.as_str());
                let unready: Vec<String> = wanted
                    .filter_map(|name| unready(name, &list.items))
                    .collect();
                if unready.is_empty() {
                    return Ok(());
                }
                unready.join(", ")
            }
            Err(error) => error.to_string(),
        };
        let serve = state.processes.get(SERVE);
        if let Some(serve) =
            serve.filter(|it| it.state == Condition::Crashed && it.restarts >= HOPELESS)
        {
            let how = serve.message.as_deref().unwrap_or("it ends");
            return Err(Error::new(format!("navarch does not keep running: {how}"))
                .with_hint(format!("its log is {}", serve.log.display()))
                .with_detail(tail(&serve.log)));
        }
        if Instant::now() >= deadline {
            return Err(
                Error::new(format!("not ready after {} s: {cause}", patience.as_secs()))
                    .with_hint("navarch local status, navarch local logs navarch")
                    .with_detail(serve.and_then(|it| tail(&it.log))),
            );
        }
        screen.status(&format!("waiting for {cause}"));
        tokio::time::sleep(POLL).await;
    }
}

/// What is missing of a member, in words.
fn unready(name: &str, clusters: &[Cluster]) -> Option<String> {
    let Some(cluster) = clusters.iter().find(|it| it.name_any() == name) else {
        return Some(format!("{name} (not joined)"));
    };
    match status::ready_condition(cluster) {
        Some(condition) if condition.status == "True" => None,
        Some(condition) => Some(format!("{name} ({})", condition.reason)),
        None => Some(name.to_owned()),
    }
}

fn tail(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    Some(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

/// `90s`, `3m`, `1h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit = text.chars().next_back().and_then(|unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        _ => None,
    });
    let number = text
        .get(..text.len().saturating_sub(1))
        .and_then(|number| number.parse::<u64>().ok());
    match number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit))
    {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err("a number and s, m or h, such as 90s or 3m".to_owned()),
    }
}

/// The members of a state, in order.
pub(super) fn member_names(state: &State) -> Vec<String> {
    state
        .clusters
        .iter()
        .filter(|it| it.role == Role::Member)
        .map(|it| it.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        up: UpArgs,
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [
            ("90s", Some(90)),
            ("3m", Some(180)),
            ("1h", Some(3600)),
            ("3", None),
            ("m", None),
            ("", None),
            ("3 m", None),
            ("3\u{fc}", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(
                parse_duration(text).ok().map(|it| it.as_secs()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn flags_survive_the_way_to_the_supervisor() {
        Cli::command().debug_assert();
        let given = [
            "up",
            "--members=2",
            "--nodes=1",
            "--node-cpu=4",
            "--bin-dir=/b",
            "--wait=90s",
            "--durable",
            "--no-navarch",
        ];
        let first = Cli::try_parse_from(given).unwrap().up;
        let flags = std::iter::once("up".to_owned()).chain(first.to_flags());
        let second = Cli::try_parse_from(flags).unwrap().up;
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
    }
}

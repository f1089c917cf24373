//! `status` and `kubeconfig`: what runs, for people and for programs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use crds::cluster::Cluster;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as ObjectCondition;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde::Serialize;
use testbed::{ClusterState, Condition, Role, State};

use super::supervise::SERVE;
use super::{Error, client, kubeconfig_path, table};

/// A cluster that does not answer in this time counts as not answering.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
}

#[derive(Debug, Args)]
pub(super) struct KubeconfigArgs {
    /// navarch, member1, …; without it the file with every context
    #[arg(default_value = "all", value_name = "CLUSTER")]
    cluster: String,
}

/// Report `LocalReport` of `cli.navarch.dev/v1`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LocalReport {
    api_version: &'static str,
    kind: &'static str,
    generated_at: String,
    context: &'static str,
    running: bool,
    state_dir: PathBuf,
    kubeconfig: PathBuf,
    members: Vec<MemberReport>,
    components: Vec<ComponentReport>,
    cluster_errors: Vec<ClusterError>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberReport {
    name: String,
    mode: &'static str,
    url: String,
    kubeconfig: PathBuf,
    nodes: u32,
    /// Whether the control plane finds it ready; absent when it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
    stopped: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ComponentReport {
    name: String,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    state: Condition,
    restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    log: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterError {
    cluster: String,
    class: &'static str,
    message: String,
}

pub(super) async fn run(dir: &Path, args: &StatusArgs) -> Result<(), Error> {
    let state = State::load(dir)?;
    if args.output == Some(Format::Json) {
        let report = report(dir, &state.unwrap_or_default()).await;
        let text =
            serde_json::to_string_pretty(&report).map_err(|error| Error::from_chain(&error))?;
        return print(&format!("{text}\n"));
    }
    let Some(state) = state.filter(State::is_running) else {
        return Err(super::control::not_running(dir));
    };
    print_clusters(dir, &state, None).await?;
    print(&format!("\n{}", components_table(&state)))
}

pub(super) fn kubeconfig(dir: &Path, args: &KubeconfigArgs) -> Result<(), Error> {
    let path = kubeconfig_path(dir, &args.cluster);
    if !path.exists() {
        let known = State::load(dir)?.unwrap_or_default().clusters;
        let known: Vec<String> = known.into_iter().map(|it| it.name).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        return Err(Error::new(format!(
            "no cluster is called {:?} (known: {known})",
            args.cluster
        )));
    }
    print(&format!("{}\n", path.display()))
}

/// One line per cluster, as `up` ends.
pub(super) async fn print_clusters(
    dir: &Path,
    state: &State,
    after: Option<Duration>,
) -> Result<(), Error> {
    let answers = ask_all(dir, state).await;
    let serve = state
        .processes
        .get(SERVE)
        .map_or("without navarch", |it| match it.state {
            Condition::Running => concat!("navarch ", env!("CARGO_PKG_VERSION")),
            Condition::Crashed => "navarch crashed",
            Condition::Stopped => "navarch stopped",
        });
    let rows: Vec<Vec<String>> = state
        .clusters
        .iter()
        .zip(&answers)
        .map(|(cluster, answer)| {
            let is_control_plane = cluster.role == Role::ControlPlane;
            let name = if is_control_plane {
                "control plane"
            } else {
                &cluster.name
            };
            let mode = if is_control_plane { "" } else { "push" };
            let what = match &answer.version {
                Ok(version) if is_control_plane => format!("kube-apiserver {version}, {serve}"),
                _ if is_control_plane => serve.to_owned(),
                _ => capacity(cluster),
            };
            let mut condition = answer.in_words(cluster);
            if let Some(after) = after.filter(|_| is_control_plane && condition == "ready") {
                condition = format!("ready in {:.1}s", after.as_secs_f64());
            }
            vec![
                name.to_owned(),
                mode.to_owned(),
                url(cluster),
                what,
                condition,
            ]
        })
        .collect();
    print(&table::align(&rows, "  "))
}

/// What a cluster and the control plane say about it.
struct Answer {
    version: Result<String, String>,
    ready_nodes: Option<usize>,
    /// The condition `Ready` of its Cluster.
    condition: Option<ObjectCondition>,
}

impl Answer {
    fn in_words(&self, cluster: &ClusterState) -> String {
        if cluster.stopped {
            return "stopped".to_owned();
        }
        if self.version.is_err() {
            return "not answering".to_owned();
        }
        if cluster.role == Role::ControlPlane {
            return "ready".to_owned();
        }
        let nodes = self.ready_nodes.unwrap_or(0);
        if nodes < usize::try_from(cluster.nodes).unwrap_or(usize::MAX) {
            return format!("{nodes} of {} nodes ready", cluster.nodes);
        }
        match &self.condition {
            Some(condition) if condition.status == "True" => "ready".to_owned(),
            Some(condition) => format!("not ready: {}", condition.reason),
            None => "answering".to_owned(),
        }
    }
}

/// The answers in the order of the state's clusters.
async fn ask_all(dir: &Path, state: &State) -> Vec<Answer> {
    let known = async {
        let path = kubeconfig_path(dir, testbed::CONTROL_PLANE);
        let api: Api<Cluster> = Api::all(client(&path).await.ok()?);
        let list = tokio::time::timeout(PATIENCE, api.list(&ListParams::default()))
            .await
            .ok()?;
        list.ok().map(|list| list.items)
    };
    let answers = futures::future::join_all(state.clusters.iter().map(|cluster| async move {
        if cluster.stopped {
            return (Err("stopped".to_owned()), None);
        }
        let answer = tokio::time::timeout(
            PATIENCE,
            ask_one(&kubeconfig_path(dir, &cluster.name), cluster),
        )
        .await;
        answer.unwrap_or_else(|_| (Err(format!("no answer in {} s", PATIENCE.as_secs())), None))
    }));
    let (known, answers) = tokio::join!(known, answers);
    let known = known.unwrap_or_default();
    let with_condition = |(cluster, (version, ready_nodes)): (&ClusterState, _)| {
        let object = known.iter().find(|it| it.name_any() == cluster.name);
        Answer {
            version,
            ready_nodes,
            condition: object.and_then(ready_condition).cloned(),
        }
    };
    state
        .clusters
        .iter()
        .zip(answers)
        .map(with_condition)
        .collect()
}

async fn ask_one(
    kubeconfig: &Path,
    cluster: &ClusterState,
) -> (Result<String, String>, Option<usize>) {
    let client = match client(kubeconfig).await {
        Ok(client) => client,
        Err(error) => return (Err(error.to_string()), None),
    };
    let version = client
        .apiserver_version()
        .await
        .map(|it| it.git_version)
        .map_err(|error| error.to_string());
    if version.is_err() || cluster.role == Role::ControlPlane {
        return (version, None);
    }
    let nodes: Api<Node> = Api::all(client);
    let is_ready = |node: &&Node| {
        let conditions = node
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        conditions
            .iter()
            .any(|it| it.type_ == "Ready" && it.status == "True")
    };
    let ready = nodes
        .list(&ListParams::default())
        .await
        .ok()
        .map(|list| list.items.iter().filter(is_ready).count());
    (version, ready)
}

pub(super) fn ready_condition(cluster: &Cluster) -> Option<&ObjectCondition> {
    cluster
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|it| it.type_ == "Ready")
}

fn url(cluster: &ClusterState) -> String {
    format!("https://127.0.0.1:{}", cluster.api_server_port)
}

/// `3 nodes, 24 cpu, 96Gi`
fn capacity(cluster: &ClusterState) -> String {
    let nodes = cluster.nodes;
    let unit = if nodes == 1 { "node" } else { "nodes" };
    let shape = &cluster.node_shape;
    format!(
        "{nodes} {unit}, {} cpu, {}",
        times(&shape.cpu, nodes),
        times(&shape.memory, nodes)
    )
}

/// `32Gi` three times is `96Gi`; what is not a whole number with a unit is left as it is, times said in words.
fn times(quantity: &str, count: u32) -> String {
    let end = quantity
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(end);
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(u64::from(count)))
    {
        Some(product) if !unit.contains('.') => format!("{product}{unit}"),
        _ => format!("{count} x {quantity}"),
    }
}

fn components_table(state: &State) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let rows = state.processes.iter().map(|(name, process)| {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "<none>".to_owned());
        vec![
            name.clone(),
            in_words(process.state).to_owned(),
            or_none(process.process.as_ref().map(|it| it.pid.to_string())),
            or_none(process.port.map(|port| port.to_string())),
            or_none(process.memory().map(|bytes| format!("{}Mi", bytes >> 20))),
            process.restarts.to_string(),
            or_none(
                process
                    .process
                    .as_ref()
                    .and(process.started_at)
                    .map(|at| age(now.saturating_sub(at))),
            ),
        ]
    });
    table::with_header(
        &[
            "COMPONENT",
            "STATE",
            "PID",
            "PORT",
            "MEMORY",
            "RESTARTS",
            "AGE",
        ],
        rows.collect(),
    )
}

fn in_words(state: Condition) -> &'static str {
    match state {
        Condition::Running => "running",
        Condition::Crashed => "crashed",
        Condition::Stopped => "stopped",
    }
}

/// As kubectl: the two largest units.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{minutes}m{}s", seconds % 60),
        7_200..172_800 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

async fn report(dir: &Path, state: &State) -> LocalReport {
    let running = state.is_running();
    let answers = if running {
        ask_all(dir, state).await
    } else {
        Vec::new()
    };
    let answer = |name: &str| {
        state
            .clusters
            .iter()
            .zip(&answers)
            .find(|(it, _)| it.name == name)
            .map(|(_, it)| it)
    };
    let members = state.members().map(|cluster| MemberReport {
        name: cluster.name.clone(),
        mode: "push",
        url: url(cluster),
        kubeconfig: kubeconfig_path(dir, &cluster.name),
        nodes: cluster.nodes,
        ready: answer(&cluster.name)
            .and_then(|it| it.condition.as_ref())
            .map(|it| it.status == "True"),
        stopped: cluster.stopped,
    });
    let components = state
        .processes
        .iter()
        .map(|(name, process)| ComponentReport {
            name: name.clone(),
            role: process.role.clone(),
            cluster: process.cluster.clone(),
            pid: process.process.as_ref().map(|it| it.pid),
            port: process.port,
            version: match process.role.as_str() {
                "kube-apiserver" => process
                    .cluster
                    .as_deref()
                    .and_then(answer)
                    .and_then(|it| it.version.clone().ok()),
                SERVE => Some(env!("CARGO_PKG_VERSION").to_owned()),
                _ => None,
            },
            state: process.state,
            restarts: process.restarts,
            started_at: process.started_at.and_then(timestamp),
            memory_bytes: process.memory(),
            message: process.message.clone(),
            log: process.log.clone(),
        });
    let errors = state
        .clusters
        .iter()
        .zip(&answers)
        .filter(|(cluster, _)| !cluster.stopped);
    let errors = errors.filter_map(|(cluster, answer)| {
        let message = answer.version.as_ref().err()?.clone();
        Some(ClusterError {
            cluster: cluster.name.clone(),
            class: "Unreachable",
            message,
        })
    });
    LocalReport {
        api_version: "cli.navarch.dev/v1",
        kind: "LocalReport",
        generated_at: jiff::Timestamp::now()
            .round(jiff::Unit::Second)
            .unwrap_or_default()
            .to_string(),
        context: testbed::CONTROL_PLANE,
        running,
        state_dir: dir.to_owned(),
        kubeconfig: kubeconfig_path(dir, "all"),
        members: members.collect(),
        components: components.collect(),
        cluster_errors: errors.collect(),
        warnings: Vec::new(),
    }
}

fn timestamp(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    jiff::Timestamp::from_second(seconds)
        .ok()
        .map(|it| it.to_string())
}

/// Data goes to standard output; a reader that closed it has what it wanted.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_multiplied_when_they_are_plain() {
        for (quantity, count, expected) in [
            ("8", 3, "24"),
            ("32Gi", 3, "96Gi"),
            ("500m", 2, "1000m"),
            ("1.5", 2, "2 x 1.5"),
        ] {
            assert_eq!(times(quantity, count), expected);
        }
    }

    #[test]
    fn ages_show_two_units() {
        for (seconds, expected) in [
            (5, "5s"),
            (119, "119s"),
            (150, "2m30s"),
            (7_260, "2h1m"),
            (446_400, "5d4h"),
        ] {
            assert_eq!(age(seconds), expected);
        }
    }
}

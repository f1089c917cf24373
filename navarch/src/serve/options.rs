//! Flags of the server processes, and what they resolve to.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use controllers::{
    application_failover, brake, cluster, cluster_status, dependencies, descheduler, detector,
    discovery, estimators, eviction, interpretation, namespace, policy, scheduling,
};
use crds::{keys, policy::ConflictResolution};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use propagation::{
    brake::Threshold,
    render,
    skip::{SkippedApis, SkippedNamespaces},
};
use scheduler::plugins::Registry;

use super::{
    Component, accepted::Accepted, estimation, gates::FeatureGates, lead::Election, report::Report,
    switches::Switches,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// What to do with an object in a member that nobody has asked us to manage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Resolution {
    Abort,
    Overwrite,
}

/// Flags of `navarch serve`. Names and defaults are the reference's where it has them.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each flag is on or off by itself"
)]
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// The role of this process.
    #[arg(value_name = "COMPONENT")]
    pub(super) component: Component,

    /// Kubeconfig of the control plane; without it `KUBECONFIG`, the in-cluster configuration or `~/.kube/config`.
    #[arg(long)]
    pub(super) kubeconfig: Option<PathBuf>,

    /// Context in the kubeconfig.
    #[arg(long)]
    pub(super) context: Option<String>,

    /// Format of the log on standard error.
    #[arg(long, alias = "logging-format", value_enum, default_value = "text")]
    pub(super) log_format: LogFormat,

    /// Verbosity of the log: 4 tells decisions, 6 payloads.
    #[arg(short = 'v', long = "v", default_value_t = 0, value_name = "LEVEL")]
    pub(super) verbosity: u8,

    /// Address of `/healthz`, `/readyz` and `/metrics`; 0 turns them off. The default depends on the role: :10357, for the scheduler and
    /// estimators :10351, for the descheduler :10358.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) health_probe_bind_address: Option<String>,

    /// Another address of the same, for deployments that keep metrics apart; 0 for none.
    #[arg(long, default_value = "0", value_name = "ADDRESS")]
    pub(super) metrics_bind_address: String,

    /// Serve what the process knows of its decisions under `/debug` on the same address, to clients on the same host alone.
    #[arg(long)]
    pub(super) enable_debug: bool,

    /// Work only while holding a Lease of the role, so that of several processes one works.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(super) leader_elect: bool,

    /// Namespace of the Leases and of the component reports.
    #[arg(long, default_value = keys::namespaces::SYSTEM, value_name = "NAME")]
    pub(super) leader_elect_resource_namespace: String,

    /// Name of the scheduler's Lease; the controllers' is karmada-controller-manager.
    #[arg(long, default_value = "karmada-scheduler", value_name = "NAME")]
    pub(super) leader_elect_resource_name: String,

    /// How long a Lease that is not renewed any more is waited for.
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub(super) leader_elect_lease_duration: Duration,

    /// How long renewing may fail before a process stops working and ends.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub(super) leader_elect_renew_deadline: Duration,

    /// Between two renewals of a Lease, or two looks at another's.
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "DURATION")]
    pub(super) leader_elect_retry_period: Duration,

    /// APIs whose objects stay in the control plane: `group`, `group/version`, `group/version/Kind,Kind`, separated by `;`.
    #[arg(long, default_value = "", value_name = "APIS")]
    pub(super) skipped_propagating_apis: String,

    /// Namespaces whose objects stay in the control plane: regular expressions, separated by commas.
    #[arg(long, default_value = "kube-.*", value_name = "EXPRESSIONS")]
    pub(super) skipped_propagating_namespaces: String,

    /// Reconcilers to turn on or off, such as `*,-namespace,hpaScaleTargetMarker`. `*` stands for those that are on by default; the
    /// first entry of a name wins.
    #[arg(
        long,
        default_value = "*",
        allow_hyphen_values = true,
        value_name = "LIST"
    )]
    pub(super) controllers: Switches,

    /// Templates worked on at a time.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(super) concurrent_resource_template_syncs: usize,

    /// `PropagationPolicy` objects worked on at a time.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(super) concurrent_propagation_policy_syncs: usize,

    /// `ClusterPropagationPolicy` objects worked on at a time.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(super) concurrent_cluster_propagation_policy_syncs: usize,

    /// `ResourceBinding` objects worked on at a time, by each of their reconcilers.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(super) concurrent_resourcebinding_syncs: usize,

    /// `ClusterResourceBinding` objects worked on at a time, by each of their reconcilers; as many as of the other kind if not given.
    #[arg(long, value_name = "N")]
    pub(super) concurrent_clusterresourcebinding_syncs: Option<usize>,

    /// Works carried out at a time in each member cluster.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(super) concurrent_work_syncs: usize,

    /// Namespaces worked on at a time.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(super) concurrent_namespace_syncs: usize,

    /// What happens in a member that has a namespace of that name already, unless the Namespace says so itself.
    #[arg(long, value_enum, default_value = "abort", value_name = "RESOLUTION")]
    pub(super) namespace_conflict_resolution: Resolution,

    /// Clusters worked on at a time.
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub(super) concurrent_cluster_syncs: usize,

    /// Seconds between two looks at a member cluster.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub(super) cluster_status_update_frequency: Duration,

    /// How long a cluster has to answer before it is ready again.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub(super) cluster_success_threshold: Duration,

    /// How long a cluster has to fail before it is not ready any more.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub(super) cluster_failure_threshold: Duration,

    /// How much may be removed from a cluster at once: `<percent>%/<count>/<seconds>s`, of which the larger of share and count may
    /// go within the time, or `off`. The rest waits for `navarch release-hold`. Annotation navarch.dev/removal-threshold of a
    /// Cluster goes before.
    #[arg(long, default_value_t = Threshold::default(), value_name = "THRESHOLD")]
    pub(super) cluster_removal_threshold: Threshold,

    /// The same for what the decisions about one policy remove. The annotation of a policy goes before.
    #[arg(long, default_value_t = Threshold::default(), value_name = "THRESHOLD")]
    pub(super) policy_removal_threshold: Threshold,

    /// Bindings with another scheduler name are left alone.
    #[arg(long, default_value = scheduler::options::DEFAULT_SCHEDULER, value_name = "NAME")]
    pub(super) scheduler_name: String,

    /// Scheduler plugins to turn on or off, such as `*,-TaintToleration`.
    #[arg(
        long,
        default_value = "*",
        allow_hyphen_values = true,
        value_name = "LIST"
    )]
    pub(super) plugins: String,

    /// Selected clusters that get no replicas stay targets.
    #[arg(long)]
    pub(super) enable_empty_workload_propagation: bool,

    /// Jobs that have failed are unhealthy, and move elsewhere where policies say so; otherwise Jobs have no health rule.
    #[arg(long)]
    pub(super) interpret_job_health: bool,

    /// Feature gates, such as `WorkloadAffinity=true`; `AllAlpha` and `AllBeta` stand for those that are not named.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub(super) feature_gates: FeatureGates,

    /// How long a workload is kept at most in a cluster that it leaves gracefully, unless its eviction says otherwise.
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "DURATION")]
    pub(super) graceful_eviction_timeout: Duration,

    /// While nothing is known of a workload's health, the time for which it counts as unhealthy runs on instead of starting over.
    #[arg(long)]
    pub(super) failover_counts_unknown_health: bool,

    /// Pause before a binding is tried again that could not be scheduled because of an error; doubles with each failure. With the
    /// gate `PriorityBasedScheduling` pauses go from one to ten seconds instead.
    #[arg(long, default_value = "5ms", value_parser = duration_or_zero, value_name = "DURATION")]
    rate_limiter_base_delay: Duration,

    /// The longest such pause.
    #[arg(long, default_value = "1000s", value_parser = duration_or_zero, value_name = "DURATION")]
    rate_limiter_max_delay: Duration,

    /// Such tries a second, of all bindings together.
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    rate_limiter_qps: f64,

    /// Such tries that may come at once.
    #[arg(long, default_value_t = 100, value_name = "N")]
    rate_limiter_bucket_size: i64,

    #[command(flatten)]
    pub(super) estimators: estimation::ClientArgs,

    #[command(flatten)]
    pub(super) estimator: estimation::ServerArgs,

    #[command(flatten)]
    pub(super) accepted: Accepted,
}

impl ServeArgs {
    /// How long failed bindings wait; what is not positive is zero, for which the default stands in.
    pub(super) fn rate_limits(&self) -> scheduling::RateLimits {
        scheduling::RateLimits {
            base_delay: self.rate_limiter_base_delay,
            max_delay: self.rate_limiter_max_delay,
            qps: self.rate_limiter_qps,
            bucket_size: u32::try_from(self.rate_limiter_bucket_size.max(0)).unwrap_or(u32::MAX),
        }
    }

    /// What to tell about flags that are accepted and have no effect.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = self.controllers.remarks();
        remarks.extend(self.accepted.remarks());
        remarks
    }
}

/// `10s`, `2m`, `1h30m`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(span).map_err(|_| "must not be negative".into())
}

/// The same with nothing for what is negative, for flags of which the default applies then.
fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let positive = text.strip_prefix('-').map_or(text, |_| "0s");
    duration(positive)
}

pub(super) struct Workers {
    pub(super) scheduler: usize,
    pub(super) bindings: usize,
    pub(super) cluster_bindings: usize,
    pub(super) works: usize,
}

/// Flags turned into what the roles take.
pub(super) struct Resolved {
    pub(super) component: Component,
    pub(super) control_plane: Config,
    pub(super) addresses: Addresses,
    pub(super) debug: bool,
    pub(super) controllers: Switches,
    pub(super) dependencies: dependencies::Options,
    /// How roles are led; `None` without election.
    pub(super) election: Option<Election>,
    pub(super) report: Report,
    pub(super) workers: Workers,
    pub(super) interpretation: interpretation::Options,
    pub(super) scheduler: scheduler::Options,
    /// How the scheduler's queue works.
    pub(super) scheduling: scheduling::Settings,
    /// How accurate estimators are asked, if they are.
    pub(super) estimators: Option<estimators::Options>,
    /// Set if the process takes replicas out.
    pub(super) descheduler: Option<descheduler::Options>,
    pub(super) brake: brake::Options,
    pub(super) detector: detector::Options,
    pub(super) policy: policy::Options,
    pub(super) rendering: render::Gates,
    pub(super) eviction: eviction::Options,
    pub(super) application_failover: application_failover::Options,
    pub(super) discovery: discovery::Options,
    pub(super) namespace: namespace::Options,
    pub(super) cluster: cluster::Options,
    pub(super) cluster_status: cluster_status::Options,
}

impl Resolved {
    #[expect(
        clippy::too_many_lines,
        reason = "a list of what each flag becomes, without a branch of its own"
    )]
    pub(super) async fn from_args(args: ServeArgs, plugins: &Registry) -> anyhow::Result<Self> {
        let skipped_apis = SkippedApis::parse(&args.skipped_propagating_apis)
            .context("--skipped-propagating-apis")?;
        let skipped_namespaces = SkippedNamespaces::parse(&args.skipped_propagating_namespaces)
            .context("--skipped-propagating-namespaces")?;
        let election = Election::from_args(&args)?;
        let report = Report::from_args(&args);
        let plugins = plugins
            .enable(&args.plugins, &args.feature_gates.scheduler())
            .context("--plugins")?;
        let addresses = args.addresses()?;
        let limits = args.rate_limits();
        let scheduler = scheduler::Options {
            scheduler_name: args.scheduler_name,
            gates: args.feature_gates.scheduler(),
            plugins,
            empty_workload_propagation: args.enable_empty_workload_propagation,
            ..scheduler::Options::default()
        };
        Ok(Self {
            component: args.component,
            control_plane: control_plane(args.kubeconfig, args.context).await?,
            addresses,
            scheduling: scheduling::Settings {
                by_priority: args.feature_gates.schedule_priority(),
                limits,
            },
            estimators: args.estimators.client(args.component),
            descheduler: args.estimators.descheduler(args.component),
            debug: args.enable_debug,
            controllers: args.controllers,
            dependencies: dependencies::Options {
                enabled: args.feature_gates.propagate_deps(),
                workers: args.concurrent_resourcebinding_syncs,
            },
            election,
            report,
            workers: Workers {
                // Workers that wait for estimators do nothing else.
                scheduler: if args.estimators.enable_scheduler_estimator {
                    16
                } else {
                    4
                },
                bindings: args.concurrent_resourcebinding_syncs,
                cluster_bindings: args
                    .concurrent_clusterresourcebinding_syncs
                    .unwrap_or(args.concurrent_resourcebinding_syncs),
                works: args.concurrent_work_syncs,
            },
            interpretation: interpretation::Options {
                job_health: args.interpret_job_health,
                resource_quota_estimate: args.feature_gates.detector().resource_quota_estimate,
                ..interpretation::Options::default()
            },
            rendering: args.feature_gates.rendering(),
            eviction: eviction::Options {
                timeout: args.graceful_eviction_timeout,
                workers: args.concurrent_resourcebinding_syncs,
            },
            brake: brake::Options {
                cluster: args.cluster_removal_threshold,
                policy: args.policy_removal_threshold,
            },
            application_failover: application_failover::Options {
                failover: args
                    .feature_gates
                    .failover(args.failover_counts_unknown_health),
                scheduler: scheduler.clone(),
                workers: args.concurrent_resourcebinding_syncs,
            },
            scheduler,
            detector: detector::Options {
                skipped_apis: skipped_apis.clone(),
                skipped_namespaces: skipped_namespaces.clone(),
                gates: args.feature_gates.detector(),
                workers: args.concurrent_resource_template_syncs,
            },
            policy: policy::Options {
                preemption: args.feature_gates.preemption(),
                workers: args.concurrent_propagation_policy_syncs,
                cluster_workers: args.concurrent_cluster_propagation_policy_syncs,
            },
            discovery: discovery::Options {
                skipped_apis,
                ..discovery::Options::default()
            },
            namespace: namespace::Options {
                skipped: skipped_namespaces,
                conflict_resolution: match args.namespace_conflict_resolution {
                    Resolution::Abort => None,
                    Resolution::Overwrite => Some(ConflictResolution::Overwrite),
                },
                workers: args.concurrent_namespace_syncs,
            },
            cluster: cluster::Options {
                workers: args.concurrent_cluster_syncs,
            },
            cluster_status: cluster_status::Options {
                frequency: args.cluster_status_update_frequency,
                thresholds: cluster_status::Limits {
                    success: args.cluster_success_threshold,
                    failure: args.cluster_failure_threshold,
                },
                workers: args.concurrent_cluster_syncs,
                ..cluster_status::Options::default()
            },
        })
    }
}

/// Where a process is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Health, metrics and whatever else is served.
    pub(super) health: Option<SocketAddr>,
    /// Health and metrics once more, if that is another address.
    pub(super) metrics: Option<SocketAddr>,
}

impl ServeArgs {
    /// Where health and metrics are served.
    pub(super) fn addresses(&self) -> anyhow::Result<Addresses> {
        let default = match self.component {
            Component::All | Component::Controllers => ":10357",
            Component::Scheduler | Component::Estimator => ":10351",
            Component::Descheduler => ":10358",
        };
        let health = self.health_probe_bind_address.as_deref().unwrap_or(default);
        let health = address("health-probe-bind-address", health)?;
        let metrics = address("metrics-bind-address", &self.metrics_bind_address)?;
        Ok(Addresses {
            health,
            metrics: metrics.filter(|it| Some(*it) != health),
        })
    }
}

/// The connection to an API server, or a sentence that names the file and the cause.
pub(super) async fn control_plane(
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
) -> anyhow::Result<Config> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let Some(path) = kubeconfig else {
        if options.context.is_none() {
            return Config::infer().await.context(
                "no connection to the control plane: neither KUBECONFIG, an in-cluster configuration nor ~/.kube/config leads to one; give --kubeconfig",
            );
        }
        return Config::from_kubeconfig(&options)
            .await
            .context("read the kubeconfig of the control plane");
    };
    let file = Kubeconfig::read_from(&path)
        .with_context(|| format!("read kubeconfig {}", path.display()))?;
    Config::from_custom_kubeconfig(file, &options)
        .await
        .with_context(|| format!("use kubeconfig {}", path.display()))
}

/// `:8080`, `127.0.0.1:8080`, `[::1]:8080`; `0` for none.
fn address(flag: &str, text: &str) -> anyhow::Result<Option<SocketAddr>> {
    if text == "0" {
        return Ok(None);
    }
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    let parsed = full
        .parse()
        .with_context(|| format!("--{flag} {text:?} is not an address such as 127.0.0.1:10357"))?;
    Ok(Some(parsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            (":8080", Some("0.0.0.0:8080")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("0", None),
        ] {
            assert_eq!(
                address("x", text)
                    .unwrap()
                    .map(|it| it.to_string())
                    .as_deref(),
                expected,
                "{text}"
            );
        }
        assert!(address("x", "nonsense").is_err());
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("10s", 10_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
        ] {
            assert_eq!(
                duration(text).unwrap(),
                Duration::from_millis(expected),
                "{text}"
            );
        }
        assert_eq!(duration_or_zero("-3s"), Ok(Duration::ZERO));
        assert!(duration("-3s").is_err() && duration("soon").is_err());
    }
}

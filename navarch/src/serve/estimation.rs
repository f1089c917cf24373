//! Flags of accurate estimation, and the role that runs beside one member.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use controllers::{descheduler, estimators};
use estimator::{
    client,
    server::{self, Options},
    tls::{ClientFiles, ServerFiles},
};
use kube::Client;
use runtime::{endpoints::Readiness, metrics};
use tokio_util::sync::CancellationToken;

use super::{
    Component,
    options::{ServeArgs, control_plane, duration},
    process,
};

/// Flags of those who ask estimators: the scheduler and the descheduler. Names and defaults are the reference's.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Asking estimators")]
#[expect(clippy::struct_excessive_bools, reason = "flags of the reference")]
pub(super) struct ClientArgs {
    /// Ask the accurate estimators of members how many replicas fit, besides reading the Clusters' resource summaries.
    #[arg(long)]
    pub(super) enable_scheduler_estimator: bool,

    /// Clusters in pull mode have no estimator that can be reached from here.
    #[arg(long)]
    disable_scheduler_estimator_in_pull_mode: bool,

    /// What the answers of all estimators may take together.
    #[arg(long, default_value = "3s", value_parser = duration, value_name = "DURATION")]
    scheduler_estimator_timeout: Duration,

    /// Namespace of the estimators' Services in the control plane.
    #[arg(long, default_value = "karmada-system", value_name = "NAMESPACE")]
    scheduler_estimator_service_namespace: String,

    /// The Service of a cluster's estimator is named after the cluster, with this and a dash before it.
    #[arg(
        long,
        default_value = "karmada-scheduler-estimator",
        value_name = "PREFIX"
    )]
    scheduler_estimator_service_prefix: String,

    /// Port of the estimators' Services.
    #[arg(long, default_value_t = 10352, value_name = "PORT")]
    scheduler_estimator_port: u16,

    /// Certificate that estimators are shown.
    #[arg(long, value_name = "FILE")]
    scheduler_estimator_cert_file: Option<PathBuf>,

    /// Private key of that certificate.
    #[arg(long, value_name = "FILE")]
    scheduler_estimator_key_file: Option<PathBuf>,

    /// Authorities of the estimators' certificates; without them, and unless verification is skipped, there is no TLS.
    #[arg(long, value_name = "FILE")]
    scheduler_estimator_ca_file: Option<PathBuf>,

    /// Use TLS, but take any certificate of an estimator.
    #[arg(long)]
    insecure_skip_estimator_verify: bool,

    /// Take replicas out of clusters in which they find no node; for a process that serves all roles.
    #[arg(long, requires = "enable_scheduler_estimator")]
    enable_descheduler: bool,

    /// Time between two looks for replicas to take out.
    #[arg(long, default_value = "2m", value_parser = duration, value_name = "DURATION")]
    descheduling_interval: Duration,

    /// How long a Pod has to be without a node before its replica is taken out.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    unschedulable_threshold: Duration,
}

impl ClientArgs {
    /// How estimators are asked; `None` if they are not.
    pub(super) fn client(&self, component: Component) -> Option<estimators::Options> {
        let asks = match component {
            Component::Descheduler => true,
            Component::All | Component::Scheduler => self.enable_scheduler_estimator,
            Component::Controllers | Component::Estimator => false,
        };
        asks.then(|| estimators::Options {
            service_namespace: self.scheduler_estimator_service_namespace.clone(),
            service_prefix: self.scheduler_estimator_service_prefix.clone(),
            port: self.scheduler_estimator_port,
            push_only: self.disable_scheduler_estimator_in_pull_mode,
            client: client::Options {
                timeout: self.scheduler_estimator_timeout,
                tls: ClientFiles {
                    certificate: self.scheduler_estimator_cert_file.clone(),
                    key: self.scheduler_estimator_key_file.clone(),
                    authority: self.scheduler_estimator_ca_file.clone(),
                    skip_verify: self.insecure_skip_estimator_verify,
                },
            },
        })
    }

    /// How replicas are taken out; `None` if they are not.
    pub(super) fn descheduler(&self, component: Component) -> Option<descheduler::Options> {
        let runs = match component {
            Component::Descheduler => true,
            Component::All => self.enable_descheduler,
            Component::Controllers | Component::Scheduler | Component::Estimator => false,
        };
        runs.then_some(descheduler::Options {
            interval: self.descheduling_interval,
            threshold: self.unschedulable_threshold,
        })
    }
}

/// Flags of `navarch serve estimator`. Names and defaults are the reference's.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Estimator")]
pub(super) struct ServerArgs {
    /// Name of the member that the estimator runs beside, as the control plane calls it. The kubeconfig is the member's.
    #[arg(long, required_if_eq("component", "estimator"), value_name = "NAME")]
    cluster_name: Option<String>,

    /// Port of the gRPC server.
    #[arg(long, default_value_t = 10352, value_name = "PORT")]
    server_port: u16,

    /// Certificate of the gRPC server; without it and its key there is no TLS.
    #[arg(long, value_name = "FILE")]
    grpc_auth_cert_file: Option<PathBuf>,

    /// Private key of that certificate.
    #[arg(long, value_name = "FILE")]
    grpc_auth_key_file: Option<PathBuf>,

    /// Authorities of clients; with them clients have to show a certificate.
    #[arg(long, value_name = "FILE")]
    grpc_client_ca_file: Option<PathBuf>,

    /// Take clients without a certificate although their authorities are given.
    #[arg(long)]
    insecure_skip_grpc_client_verify: bool,
}

/// Runs the estimator of one member until the process is told to stop.
pub(super) async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    process::stop_on_signal(stop.clone())?;
    let addresses = args.addresses()?;
    let config = control_plane(args.kubeconfig, args.context).await?;
    let url = config.cluster_url.to_string();
    let member = Client::try_from(config).context("build the client of the member")?;
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        reached = process::reach(&member, "member", &url) => reached?,
    }
    let flags = args.estimator;
    let options = Options {
        cluster: flags.cluster_name.unwrap_or_default(),
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), flags.server_port),
        tls: ServerFiles {
            certificate: flags.grpc_auth_cert_file,
            key: flags.grpc_auth_key_file,
            client_authority: flags.grpc_client_ca_file,
            skip_client_verify: flags.insecure_skip_grpc_client_verify,
        },
        quotas: args.feature_gates.resource_quota_estimate(),
        assumed: args
            .feature_gates
            .scheduler()
            .scheduling_overcommit_protection,
    };
    let registry = metrics::Shared::default();
    registry.register(process::build_info);
    let readiness = Readiness::default();
    let health = async {
        let pages = axum::Router::new();
        let serving = process::listen(
            addresses,
            readiness.clone(),
            registry.clone(),
            pages,
            stop.clone(),
        );
        if let Err(error) = serving.await {
            tracing::error!(
                error = &*error as &dyn std::error::Error,
                "Health and metrics cannot be served"
            );
            stop.cancel();
        }
    };
    let estimates = async {
        let served =
            server::serve(member, options, &registry, readiness.clone(), stop.clone()).await;
        stop.cancel();
        served
    };
    let (served, ()) = tokio::join!(estimates, health);
    served.context("serve estimates")
}

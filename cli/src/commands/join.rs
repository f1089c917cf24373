use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Args;

use super::{duration, notes, print, print_planned};
use crate::{
    Global,
    connection::access,
    failure::Failure,
    join::{JoinOptions, Joined, join},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  navarch join m1 --cluster-kubeconfig ~/.kube/m1
  navarch join m1 --cluster-context m1 --cluster-region eu --cluster-zones a,b
  navarch join m1 --cluster-context m1 --dry-run        tell what would be done
  navarch join m1 --cluster-context m1 --force-refresh  renew the credentials")]
pub(crate) struct JoinArgs {
    /// The name of the cluster in the fleet
    #[arg(value_name = "NAME")]
    name: String,

    /// The kubeconfig of the cluster [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) cluster_kubeconfig: Option<PathBuf>,

    /// The context of the cluster [default: the current one]
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    cluster_context: Option<String>,

    /// Who runs the cluster's machines, for placement
    #[arg(long, value_name = "NAME")]
    cluster_provider: Option<String>,

    /// Where the cluster is, for placement
    #[arg(long, value_name = "NAME")]
    cluster_region: Option<String>,

    /// The zones that the cluster spans, for placement
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    cluster_zones: Vec<String>,

    /// Labels of the Cluster, for placement
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,

    /// The namespace of credentials
    #[arg(long, default_value = crds::keys::namespaces::CLUSTER, value_name = "NAME")]
    cluster_namespace: String,

    /// Keep workloads off until the cluster is ready
    #[arg(long)]
    taint_until_ready: bool,

    /// How long to wait until the cluster is ready; 0 does not wait
    #[arg(long, default_value = "2m", value_parser = duration, value_name = "DURATION")]
    wait: Duration,

    /// Renew the credentials of a cluster that is registered already
    #[arg(long)]
    force_refresh: bool,

    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) async fn run(args: JoinArgs, global: &Global) -> Result<(), Failure> {
    let control_plane = access(global.kubeconfig.as_deref(), global.context.as_deref()).await?;
    let member = access(
        args.cluster_kubeconfig.as_deref(),
        args.cluster_context.as_deref(),
    )
    .await?;
    if args.cluster_namespace == crds::keys::namespaces::SYSTEM {
        eprintln!(
            "warning: {} is meant for the control plane itself",
            args.cluster_namespace
        );
    }
    let options = JoinOptions {
        member_proxy: member.proxy_url,
        namespace: args.cluster_namespace,
        provider: args.cluster_provider,
        region: args.cluster_region,
        zones: args.cluster_zones,
        labels: args.labels.into_iter().collect::<BTreeMap<_, _>>(),
        taint_until_ready: args.taint_until_ready,
        force_refresh: args.force_refresh,
        dry_run: args.dry_run,
        wait: args.wait,
        note: notes(global),
        ..JoinOptions::new(args.name, control_plane.config, member.config)
    };
    match join(&options).await? {
        Joined::Registered { .. } => print(&format!(
            "cluster({}) is joined successfully\n",
            options.name
        )),
        Joined::Refreshed { .. } => print(&format!(
            "credentials of cluster({}) are renewed\n",
            options.name
        )),
        Joined::Planned(steps) => print_planned(&steps),
    }
}

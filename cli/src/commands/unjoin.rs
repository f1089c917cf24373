use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{confirm, duration, notes, print, print_planned};
use crate::{
    Global,
    connection::{access, has_context},
    failure::Failure,
    join::{UnjoinOptions, consequences, unjoin},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  navarch unjoin m1
  navarch unjoin m1 --cluster-kubeconfig ~/.kube/m1  also remove its objects in the cluster
  navarch unjoin m1 --force --wait 30s               the cluster is lost")]
pub(crate) struct UnjoinArgs {
    /// The name of the cluster in the fleet
    #[arg(value_name = "NAME")]
    name: String,

    /// The kubeconfig of the cluster, to remove there what joining it created
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    cluster_kubeconfig: Option<PathBuf>,

    /// The context of the cluster [default: the one named like the cluster, else the current one]
    #[arg(
        long,
        value_name = "NAME",
        requires = "cluster_kubeconfig",
        help_heading = "Connection"
    )]
    cluster_context: Option<String>,

    /// The namespace of credentials
    #[arg(long, default_value = crds::keys::namespaces::CLUSTER, value_name = "NAME")]
    cluster_namespace: String,

    /// How long to wait until the cluster is gone
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "DURATION")]
    wait: Duration,

    /// When it is not gone by then, remove what holds it; its workloads may stay in the cluster
    #[arg(long)]
    force: bool,

    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: UnjoinArgs, global: &Global) -> Result<(), Failure> {
    if args.wait.is_zero() {
        return Err(Failure::new("--wait must be positive"));
    }
    let control_plane = access(global.kubeconfig.as_deref(), global.context.as_deref()).await?;
    let member = match &args.cluster_kubeconfig {
        None => None,
        Some(kubeconfig) => {
            let named = || has_context(kubeconfig, &args.name).then_some(args.name.as_str());
            let context = args.cluster_context.as_deref().or_else(named);
            Some(access(Some(kubeconfig), context).await?.config)
        }
    };
    let options = UnjoinOptions {
        member,
        namespace: args.cluster_namespace,
        force: args.force,
        wait: args.wait,
        dry_run: args.dry_run,
        note: notes(global),
        ..UnjoinOptions::new(args.name, control_plane.config)
    };
    let lines = consequences(&options).await?;
    if options.dry_run {
        return print_planned(&lines);
    }
    if !global.yes && !global.quiet {
        for line in &lines {
            eprintln!("{line}");
        }
    }
    if !confirm(global, &format!("remove {}", options.name))? {
        return Err(Failure::new("nothing was removed"));
    }
    for problem in unjoin(&options).await? {
        eprintln!("warning: {problem}");
    }
    print(&format!("cluster({}) is removed\n", options.name))
}

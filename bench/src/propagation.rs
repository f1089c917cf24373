//! Deployments as fast as they are taken.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, api::PostParams};
use parking_lot::Mutex;
use serde_json::{Value, json};
use testbed::{Bed, NodeShape};

use crate::{
    bare::{self, Bare},
    history, load,
    lone::{self, Lone},
    observe::{Observer, until},
    requests::{self, Writes},
    restart::{self, Restart},
    server::{self, Server},
    summary::{number, percentiles, round},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Deployments to create.
    #[arg(long, default_value_t = 300)]
    deployments: usize,
    /// Member clusters.
    #[arg(long, default_value_t = 3)]
    members: u32,
    /// Replicas of each Deployment, in every member.
    #[arg(long, default_value_t = 3)]
    replicas: i32,
    /// Users who create at the same time.
    #[arg(long, default_value_t = 16)]
    writers: usize,
    /// Single changes to measure afterwards.
    #[arg(long, default_value_t = 40)]
    lone: usize,
    /// How long everything may take.
    #[arg(long, default_value_t = 600)]
    patience_seconds: u64,
    /// The server to measure; by default the one built beside this program.
    #[arg(long)]
    navarch: Option<PathBuf>,
    /// File that the run is added to.
    #[arg(long)]
    history: Option<PathBuf>,
    /// Do not add the run to the history.
    #[arg(long)]
    no_history: bool,
    /// Do not measure the bare writer.
    #[arg(long)]
    no_bare: bool,
}

/// Limits that the figures are printed beside.
const LIMITS: &[(&str, &str)] = &[
    ("/load/of_bare_throughput", "at least 0.6"),
    ("/load/of_bare_time", "at most 1.7"),
    ("/load/writes_per_deployment", "at most 16"),
    ("/load/cpu_ms_per_deployment", "under 20"),
    ("/load/peak_rss_mib", "under 80"),
    ("/lone/in_all_members/p50_ms", "within 60"),
    ("/lone/in_all_members/p99_ms", "within 100"),
    ("/lone/status_after_member/p50_ms", "within 150"),
    ("/restart/steady_s", "under 5"),
    ("/restart/writes", "0"),
];

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let binary = server::binary(args.navarch.clone())?;
    let bare = if args.no_bare {
        None
    } else {
        let bed = bed(&args).await?;
        let (count, writers, changes) = (args.deployments, args.writers, args.lone);
        Some(bare::run(&bed, count, writers, args.replicas, changes).await?)
    };
    let bed = bed(&args).await?;
    let server = Server::start(&binary, &bed)?;
    server.ready().await?;
    server::join(&binary, &bed).await?;
    let control_plane = bed.control_plane().client();
    load::namespace(&control_plane).await?;
    load::policy(&control_plane, &[("apps/v1", "Deployment")]).await?;
    let factor = i32::try_from(args.members)?;
    let templates = Observer::start(&control_plane, factor);
    let members: Vec<Observer> = bed
        .members()
        .iter()
        .map(|member| Observer::start(&member.client(), 1))
        .collect();

    let to = bare.as_ref();
    let load = load_up(&args, &control_plane, &server, &templates, &members, to).await?;
    let lone: Option<Lone> = if args.lone == 0 {
        None
    } else {
        let (changes, count) = (args.lone, args.deployments);
        Some(
            lone::measure(
                &control_plane,
                &templates,
                &members,
                changes,
                args.replicas,
                count,
            )
            .await?,
        )
    };
    let restart: Restart = {
        // Idle is it when the members' summaries, which are made every ten seconds, are written as well.
        tokio::time::sleep(Duration::from_secs(12)).await;
        let (restart, _server) = restart::measure(&binary, &bed, server).await?;
        restart
    };
    let figures = json!({
        "asked": {
            "benchmark": "propagation", "deployments": args.deployments, "members": args.members,
            "replicas": args.replicas, "writers": args.writers,
        },
        "at": jiff::Timestamp::now().to_string(),
        "load": load,
        "lone": lone,
        "lone_bare": bare.map(|bare| bare.lone),
        "restart": restart,
    });
    tell(&args, &figures)
}

async fn bed(args: &Args) -> anyhow::Result<Bed> {
    // Room for every pod twice, because a change starts new ones before the old ones end.
    let pods = args.deployments * usize::try_from(args.replicas)?;
    let shape = NodeShape {
        pods: u32::try_from(pods)?.max(NodeShape::default().pods),
        ..NodeShape::default()
    };
    let bed = Bed::builder()
        .members(args.members)
        .nodes(3)
        .node_shape(shape)
        .audit_log(true);
    Ok(bed.start().await?)
}

/// Creates everything and waits until it is everywhere and reported back.
async fn load_up(
    args: &Args,
    control_plane: &Client,
    server: &Server,
    templates: &Observer,
    members: &[Observer],
    bare: Option<&Bare>,
) -> anyhow::Result<Value> {
    let before = requests::writes(control_plane).await?;
    let cpu_before = server.usage()?.cpu_seconds;
    let created = Mutex::new(vec![None; args.deployments]);
    let next = AtomicUsize::new(0);
    let api: Api<Deployment> = Api::namespaced(control_plane.clone(), load::NAMESPACE);
    let started = Instant::now();
    try_join_all((0..args.writers).map(|_| async {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= args.deployments {
                return anyhow::Ok(());
            }
            created.lock()[index] = Some(Instant::now());
            let object = load::deployment(index, args.replicas);
            api.create(&PostParams::default(), &object).await?;
        }
    }))
    .await?;
    let accepted = started.elapsed();
    let patience = Duration::from_secs(args.patience_seconds);
    let poll = Duration::from_millis(100);
    let everywhere = || members.iter().all(|it| it.all().len() >= args.deployments);
    until(
        "every Deployment in every member",
        patience,
        poll,
        everywhere,
    )
    .await?;
    let complete = || {
        let seen = templates.all();
        seen.len() >= args.deployments && seen.values().all(|it| it.complete.is_some())
    };
    until(
        "complete status of every template",
        patience,
        poll,
        complete,
    )
    .await?;
    let writes = settled(control_plane, &before).await?;
    let usage = server.usage()?;

    let created = created.into_inner();
    let (mut present, mut reported, mut last) = (Vec::new(), Vec::new(), started);
    let of_templates = templates.all();
    let of_members: Vec<_> = members.iter().map(Observer::all).collect();
    for (index, created) in created.iter().enumerate() {
        let (Some(created), name) = (created, load::name(index)) else {
            continue;
        };
        let arrived = of_members
            .iter()
            .filter_map(|seen| Some(seen.get(&name)?.present));
        if let Some(arrived) = arrived.max() {
            present.push(arrived.saturating_duration_since(*created));
            last = last.max(arrived);
        }
        if let Some(complete) = of_templates.get(&name).and_then(|it| it.complete) {
            reported.push(complete.saturating_duration_since(*created));
        }
    }
    let count = number(args.deployments);
    let total = (last - started).as_secs_f64();
    let bare_s = bare.map(|bare| bare.total.as_secs_f64());
    let bare_cpu = bare.map(|bare| round(bare.cpu_seconds * 1000.0 / count, 1));
    let cpu = usage.cpu_seconds - cpu_before;
    let objects: u32 = u32::try_from(requests::total(&writes))?;
    Ok(json!({
        "throughput_per_s": round(count / total, 1),
        "total_s": round(total, 2),
        "accepted_s": round(accepted.as_secs_f64(), 2),
        "bare_throughput_per_s": bare_s.map(|bare| round(count / bare, 1)),
        "bare_total_s": bare_s.map(|bare| round(bare, 2)),
        "of_bare_throughput": bare_s.map(|bare| round(bare / total, 2)),
        "of_bare_time": bare_s.map(|bare| round(total / bare, 2)),
        "present": percentiles(present),
        "complete": percentiles(reported),
        "writes_per_deployment": round(f64::from(objects) / count, 2),
        "writes": per_deployment(&writes, count),
        "cpu_seconds": round(cpu, 2),
        "cpu_ms_per_deployment": round(cpu * 1000.0 / count, 1),
        "bare_cpu_ms_per_deployment": bare_cpu,
        "peak_rss_mib": round(usage.peak_rss_mib, 1),
        "rss_mib": round(usage.rss_mib, 1),
    }))
}

/// Waits until the control plane takes no more writes; returns those since `before`.
async fn settled(control_plane: &Client, before: &Writes) -> anyhow::Result<Writes> {
    let mut last = requests::writes(control_plane).await?;
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = requests::writes(control_plane).await?;
        if requests::total(&now) <= requests::total(&last) + 2 {
            return Ok(requests::since(before, &now));
        }
        last = now;
    }
}

fn per_deployment(writes: &Writes, count: f64) -> Value {
    let each = writes.iter().map(|(what, number)| {
        let number = u32::try_from(*number).unwrap_or(u32::MAX);
        (what.clone(), json!(round(f64::from(number) / count, 2)))
    });
    Value::Object(each.collect())
}

/// Prints the figures as JSON, and beside their limits on standard error.
#[expect(
    clippy::print_stdout,
    reason = "the figures are what the program is for"
)]
fn tell(args: &Args, figures: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(figures)?);
    let before = if args.no_history {
        None
    } else {
        let path = args.history.clone().unwrap_or_else(history::default_path);
        history::add(&path, figures)?
    };
    eprintln!(
        "\n{:<36} {:>10} {:>14} {:>10}",
        "FIGURE", "NOW", "LIMIT", "BEFORE"
    );
    for (pointer, limit) in LIMITS {
        let show = |run: &Value| {
            run.pointer(pointer)
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        let before = before.as_ref().map(show).unwrap_or_default();
        eprintln!(
            "{:<36} {:>10} {limit:>14} {before:>10}",
            &pointer[1..],
            show(figures)
        );
    }
    Ok(())
}

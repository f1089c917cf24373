//! Many objects of several kinds: what they cost in memory, a restart included.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::bail;
use futures::future::try_join_all;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use testbed::Bed;

use crate::{
    load::{self, NAMESPACE},
    restart,
    server::{self, Server},
    summary::{number, round},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Units of which there are: one Deployment, one Secret, two `ConfigMaps` and one Service each.
    #[arg(long, default_value_t = 2000)]
    units: usize,
    /// Member clusters.
    #[arg(long, default_value_t = 3)]
    members: u32,
    /// Users who create at the same time.
    #[arg(long, default_value_t = 16)]
    writers: usize,
    /// How long everything may take.
    #[arg(long, default_value_t = 1800)]
    patience_seconds: u64,
    /// The server to measure; by default the one built beside this program.
    #[arg(long)]
    navarch: Option<PathBuf>,
}

const KINDS: [(&str, &str); 4] = [
    ("apps/v1", "Deployment"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
];

#[expect(
    clippy::print_stdout,
    reason = "the figures are what the program is for"
)]
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let binary = server::binary(args.navarch.clone())?;
    let bed = Bed::builder()
        .members(args.members)
        // Pods are the members' business; without nodes they cost them little.
        .nodes(0)
        .audit_log(true)
        .start()
        .await?;
    let server = Server::start(&binary, &bed)?;
    server.ready().await?;
    server::join(&binary, &bed).await?;
    let idle = server.usage()?;
    let control_plane = bed.control_plane().client();
    load::namespace(&control_plane).await?;
    load::policy(&control_plane, &KINDS).await?;

    let started = Instant::now();
    let next = AtomicUsize::new(0);
    try_join_all((0..args.writers).map(|_| async {
        loop {
            let unit = next.fetch_add(1, Ordering::Relaxed);
            if unit >= args.units {
                return anyhow::Ok(());
            }
            create_unit(&control_plane, unit).await?;
        }
    }))
    .await?;
    eprintln!("created after {:.0} s", started.elapsed().as_secs_f64());
    let patience = Duration::from_secs(args.patience_seconds);
    everywhere(&bed, args.units, patience, started).await?;
    let total = started.elapsed();
    // Status of the last ones comes back.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let loaded = server.usage()?;
    let (restart, server) = restart::measure(&binary, &bed, server).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let rested = server.usage()?;
    let templates = number(args.units * 5);
    let figures = json!({
        "asked": {"benchmark": "fleet", "units": args.units, "members": args.members, "writers": args.writers},
        "at": jiff::Timestamp::now().to_string(),
        "templates": args.units * 5,
        "objects_held": args.units * 5 * (2 + 2 * usize::try_from(args.members)?),
        "templates_per_s": round(templates / total.as_secs_f64(), 1),
        "idle_rss_mib": round(idle.rss_mib, 1),
        "peak_rss_mib": round(loaded.peak_rss_mib, 1),
        "rss_mib": round(loaded.rss_mib, 1),
        "rss_kib_per_template": round((loaded.rss_mib - idle.rss_mib) * 1024.0 / templates, 2),
        "cpu_seconds": loaded.cpu_seconds,
        "restart": restart,
        "rss_after_restart_mib": round(rested.rss_mib, 1),
    });
    println!("{}", serde_json::to_string_pretty(&figures)?);
    eprintln!(
        "\npeak_rss_mib {} and restart/peak_rss_mib {}: under 200 each; restart/writes {}: 0",
        figures["peak_rss_mib"], figures["restart"]["peak_rss_mib"], figures["restart"]["writes"]
    );
    Ok(())
}

async fn create_unit(client: &Client, unit: usize) -> anyhow::Result<()> {
    let name = load::name(unit);
    let text = "key: value that a service reads at its start\n".repeat(6);
    let metadata =
        json!({"name": name, "namespace": NAMESPACE, "labels": {"app": name, "tier": "backend"}});
    let mut second = metadata.clone();
    second["name"] = format!("{name}-more").into();
    let deployment = serde_json::to_value(load::deployment(unit, 1))?;
    let objects = [
        (
            "v1",
            "ConfigMap",
            json!({"metadata": metadata, "data": {"config.yaml": text}}),
        ),
        (
            "v1",
            "ConfigMap",
            json!({"metadata": second, "data": {"config.yaml": text, "level": "info"}}),
        ),
        (
            "v1",
            "Secret",
            json!({"metadata": metadata, "stringData": {"token": format!("{unit:064}"), "user": name}}),
        ),
        (
            "v1",
            "Service",
            json!({"metadata": metadata, "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
        ),
        ("apps/v1", "Deployment", deployment),
    ];
    for (version, kind, object) in objects {
        let api = objects_of(client, version, kind);
        let object: DynamicObject = serde_json::from_value(object)?;
        api.create(&PostParams::default(), &object).await?;
    }
    Ok(())
}

fn objects_of(client: &Client, version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), NAMESPACE, &resource)
}

/// Waits until every member has every object, counted by the API servers.
async fn everywhere(
    bed: &Bed,
    units: usize,
    patience: Duration,
    started: Instant,
) -> anyhow::Result<()> {
    loop {
        let mut missing = BTreeMap::<String, usize>::new();
        for member in bed.members() {
            for (version, kind) in KINDS {
                let wanted = if kind == "ConfigMap" {
                    2 * units
                } else {
                    units
                };
                let there = count(&objects_of(&member.client(), version, kind)).await?;
                *missing.entry(kind.to_owned()).or_default() += wanted.saturating_sub(there);
            }
        }
        if missing.values().sum::<usize>() == 0 {
            return Ok(());
        }
        if started.elapsed() > patience {
            bail!(
                "not everywhere within {} s: {missing:?} are missing",
                patience.as_secs()
            );
        }
        eprintln!(
            "{:.0} s: {}",
            started.elapsed().as_secs_f64(),
            Value::from_iter(missing)
        );
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}

/// How many of ours there are, asked for without their bodies. API servers do not count what a selector leaves out.
async fn count(api: &Api<DynamicObject>) -> anyhow::Result<usize> {
    let params = ListParams::default().labels("tier=backend");
    Ok(api.list_metadata(&params).await?.items.len())
}

//! `navarch serve`: the server roles, alone or all in one process on shared stores.

mod accepted;
mod debug;
mod estimation;
mod gates;
mod options;
mod process;
mod switches;

pub(crate) use options::ServeArgs;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use controllers::{
    World, application_failover, binding, binding_status, cluster, cluster_status, dependencies,
    deployment_replicas_syncer, descheduler, detector, discovery, estimators, eviction, execution,
    hpa_scale_target_marker, interpretation, namespace, policy, rebalancer, scheduling,
};
use crds::work::{ClusterResourceBinding, ResourceBinding};
use futures::future::BoxFuture;
use kube::Client;
use runtime::endpoints::{self, Readiness};
use scheduler::plugins::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::options::Resolved;

/// How long passes under way may take to finish after the first signal to stop.
const GRACE: Duration = Duration::from_secs(20);

/// A role of a server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Component {
    /// Every role in one process on shared stores.
    All,
    /// The reconcilers.
    Controllers,
    /// Placement of bindings.
    Scheduler,
    /// Takes replicas out of clusters in which they find no node.
    Descheduler,
    /// Answers, beside one member cluster, how many replicas it has room for.
    Estimator,
}

impl Component {
    fn has_controllers(self) -> bool {
        matches!(self, Self::All | Self::Controllers)
    }

    fn has_scheduler(self) -> bool {
        matches!(self, Self::All | Self::Scheduler)
    }
}

/// Runs the component until the process is told to stop.
///
/// `plugins` are those that the scheduler can run; a flag says which of them it does.
pub(crate) fn run(args: ServeArgs, plugins: &Registry) -> anyhow::Result<()> {
    process::log(&args)?;
    for remark in args.remarks() {
        tracing::warn!("{remark}");
    }
    let threads = std::thread::available_parallelism()
        .map_or(2, std::num::NonZero::get)
        .min(8);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if args.component == Component::Estimator {
            return estimation::serve(args).await;
        }
        let resolved = Resolved::from_args(args, plugins).await?;
        serve(resolved).await
    })
}

async fn serve(resolved: Resolved) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    process::stop_on_signal(stop.clone())?;
    let client = Client::try_from(resolved.control_plane.clone())
        .context("build the client of the control plane")?;
    let url = resolved.control_plane.cluster_url.to_string();
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        reached = process::reach(&client, "control plane", &url) => reached?,
    }
    let world = World::new(client, stop.clone());
    world.metrics.register(process::build_info);
    world.interpreter.set_options(resolved.interpretation);
    let Prepared { roles, pages } = prepare(&world, &resolved);
    let readiness = Readiness::default();
    let served = resolved.address.map(|address| {
        endpoints::serve(
            address,
            readiness.clone(),
            world.metrics.clone(),
            pages,
            stop.clone(),
        )
    });
    let mut endpoints = tokio::spawn(async move {
        match served {
            Some(served) => served.await,
            None => std::future::pending().await,
        }
    });

    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        served = &mut endpoints => return served?.with_context(|| format!("serve health and metrics on {}", resolved.health_address())),
        started = start(&world, &resolved) => started?,
    }
    let mut tasks = JoinSet::new();
    for role in roles {
        tasks.spawn(role);
    }
    tracing::info!(component = ?resolved.component, "Serving");
    readiness.ready();

    tokio::select! {
        () = stop.cancelled() => {}
        served = &mut endpoints => {
            stop.cancel();
            served?.with_context(|| format!("serve health and metrics on {}", resolved.health_address()))?;
        }
    }
    readiness.not_ready("stopping");
    tracing::info!("Stopping, letting the passes under way finish");
    let finished = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        tracing::warn!(
            seconds = GRACE.as_secs(),
            "Some passes did not finish in time; they are taken up again at the next start"
        );
    }
    Ok(())
}

struct Prepared {
    roles: Vec<BoxFuture<'static, ()>>,
    /// What the process serves besides health and metrics.
    pages: axum::Router,
}

/// Subscribes every reconciler of the component, before the first object arrives.
fn prepare(world: &Arc<World>, resolved: &Resolved) -> Prepared {
    let mut roles = Vec::new();
    let mut pages = axum::Router::new();
    let workers = &resolved.workers;
    let estimators = resolved
        .estimators
        .clone()
        .map(|options| estimators::prepare(world, options));
    if let (Some(options), Some(estimators)) = (resolved.descheduler, &estimators) {
        roles.push(descheduler::prepare(world, Arc::clone(estimators), options));
    }
    if resolved.component.has_scheduler() {
        let shared = scheduling::shared(
            world,
            resolved.scheduler.clone(),
            resolved.scheduling.clone(),
            estimators,
        );
        roles.push(scheduling::prepare::<ResourceBinding>(
            &shared,
            workers.scheduler,
        ));
        roles.push(scheduling::prepare::<ClusterResourceBinding>(
            &shared,
            workers.scheduler,
        ));
        if resolved.debug {
            pages = pages.merge(debug::scheduling(shared));
        }
    }
    if resolved.component.has_controllers() {
        roles.push(interpretation::prepare(world));
        let (handle, detecting) = detector::prepare(world, resolved.detector.clone());
        roles.push(detecting);
        roles.push(policy::prepare(world, resolved.policy.clone(), &handle));
        roles.push(discovery::prepare(world, resolved.discovery.clone()));
        let is_on = |switch| resolved.controllers.is_on(switch);
        if is_on(switches::APPLICATION_FAILOVER) {
            roles.push(application_failover::prepare::<ResourceBinding>(
                world,
                resolved.application_failover.clone(),
            ));
            roles.push(application_failover::prepare::<ClusterResourceBinding>(
                world,
                resolved.application_failover.clone(),
            ));
        }
        if is_on(switches::BINDING) {
            roles.extend(binding::prepare(
                world,
                resolved.rendering,
                workers.bindings,
                workers.cluster_bindings,
            ));
        }
        if is_on(switches::BINDING_STATUS) {
            roles.push(binding_status::prepare::<ResourceBinding>(
                world,
                workers.bindings,
            ));
            roles.push(binding_status::prepare::<ClusterResourceBinding>(
                world,
                workers.cluster_bindings,
            ));
        }
        roles.push(dependencies::prepare(world, resolved.dependencies));
        if is_on(switches::DEPLOYMENT_REPLICAS_SYNCER) {
            roles.push(deployment_replicas_syncer::prepare(world));
        }
        if is_on(switches::EXECUTION) {
            roles.push(execution::prepare(world, workers.works));
        }
        if is_on(switches::GRACEFUL_EVICTION) {
            roles.push(eviction::prepare::<ResourceBinding>(
                world,
                resolved.eviction,
            ));
            roles.push(eviction::prepare::<ClusterResourceBinding>(
                world,
                resolved.eviction,
            ));
        }
        if is_on(switches::HPA_SCALE_TARGET_MARKER) {
            roles.push(hpa_scale_target_marker::prepare(world));
        }
        if is_on(switches::NAMESPACE) {
            roles.push(namespace::prepare(world, resolved.namespace.clone()));
        }
        if is_on(switches::CLUSTER) {
            roles.push(cluster::prepare(world, resolved.cluster));
        }
        if is_on(switches::CLUSTER_STATUS) {
            roles.push(cluster_status::prepare(world, resolved.cluster_status));
        }
        if is_on(switches::WORKLOAD_REBALANCER) {
            roles.push(rebalancer::prepare(world, 1));
        }
    }
    Prepared { roles, pages }
}

/// Fills the stores; returns when nothing is missing from the picture that the first pass decides on.
async fn start(world: &Arc<World>, resolved: &Resolved) -> anyhow::Result<()> {
    world.start().await;
    if resolved.component.has_controllers() {
        discovery::initial(world, &resolved.discovery)
            .await
            .context("ask the control plane what it serves")?;
    }
    Ok(())
}

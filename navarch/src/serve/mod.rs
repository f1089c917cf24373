//! `navarch serve`: the server roles, alone or all in one process on shared stores.

mod accepted;
mod debug;
mod estimation;
mod flags;
mod gates;
mod lead;
mod options;
mod process;
mod report;
mod switches;

pub(crate) use flags::Flags;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use controllers::{
    World, application_failover, binding, binding_status, brake, cluster, cluster_status,
    dependencies, deployment_replicas_syncer, descheduler, detector, discovery, estimators,
    eviction, execution, hpa_scale_target_marker, interpretation, namespace, policy, rebalancer,
    scheduling,
};
use crds::work::{ClusterResourceBinding, ResourceBinding};
use futures::future::BoxFuture;
use kube::Client;
use runtime::{endpoints::Readiness, lease::Lost};
use scheduler::plugins::Registry;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::{
    lead::{Led, Role, lead},
    options::Resolved,
};

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
pub(crate) fn run(flags: Flags, plugins: &Registry) -> anyhow::Result<()> {
    let args = flags.0;
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
    let mut endpoints = tokio::spawn(process::listen(
        resolved.addresses,
        readiness.clone(),
        world.metrics.clone(),
        pages,
        stop.clone(),
    ));

    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        served = &mut endpoints => return served?,
        started = start(&world, &resolved) => started?,
    }
    let mut tasks = JoinSet::new();
    for led in roles {
        tasks.spawn(lead(
            Arc::clone(&world),
            resolved.election.clone(),
            resolved.report.clone(),
            led,
        ));
    }
    tracing::info!(component = ?resolved.component, "Serving");
    // Standing by is being ready as well: a rollout waits for the new process before it ends the one that leads.
    readiness.ready();

    let mut lost = None;
    tokio::select! {
        () = stop.cancelled() => {}
        ended = tasks.join_next() => {
            stop.cancel();
            lost = ended.and_then(failure);
        }
        served = &mut endpoints => {
            stop.cancel();
            served??;
        }
    }
    readiness.not_ready("stopping");
    tracing::info!("Stopping, letting the passes under way finish");
    let finished = async {
        while let Some(ended) = tasks.join_next().await {
            lost = lost.take().or(failure(ended));
        }
    };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        tracing::warn!(
            seconds = GRACE.as_secs(),
            "Some passes did not finish in time; they are taken up again at the next start"
        );
    }
    match lost {
        Some(lost) => Err(lost.into()),
        None => Ok(()),
    }
}

/// Why the work of a role ended before the process was told to stop.
fn failure(ended: Result<Result<(), Lost>, JoinError>) -> Option<Lost> {
    // A panic of a role has been told of where it happened; its passes are contained one by one.
    ended.ok().and_then(Result::err)
}

struct Prepared {
    roles: Vec<Led>,
    /// What the process serves besides health and metrics.
    pages: axum::Router,
}

/// Subscribes every reconciler of the component, before the first object arrives.
fn prepare(world: &Arc<World>, resolved: &Resolved) -> Prepared {
    let mut led = Vec::new();
    let mut pages = axum::Router::new();
    let workers = &resolved.workers;
    let estimators = resolved
        .estimators
        .clone()
        .map(|options| estimators::prepare(world, options));
    if let (Some(options), Some(estimators)) = (resolved.descheduler, &estimators) {
        led.push(Led {
            role: Role::Descheduler,
            tasks: vec![descheduler::prepare(world, Arc::clone(estimators), options)],
        });
    }
    if resolved.component.has_scheduler() {
        let shared = scheduling::shared(
            world,
            resolved.scheduler.clone(),
            resolved.scheduling.clone(),
            estimators,
        );
        led.push(Led {
            role: Role::Scheduler,
            tasks: vec![
                scheduling::prepare::<ResourceBinding>(&shared, workers.scheduler),
                scheduling::prepare::<ClusterResourceBinding>(&shared, workers.scheduler),
            ],
        });
        if resolved.debug {
            pages = pages.merge(debug::scheduling(shared));
        }
    }
    if resolved.component.has_controllers() {
        led.push(Led {
            role: Role::Controllers,
            tasks: controllers(world, resolved),
        });
        if resolved.debug {
            pages = pages.merge(debug::records(Arc::clone(world), resolved.rendering));
        }
    }
    if resolved.debug {
        pages = pages.merge(debug::engine(Arc::clone(world)));
    }
    Prepared {
        roles: led,
        pages: debug::for_neighbours(pages),
    }
}

/// The reconcilers of the role `controllers`, as far as they are switched on.
fn controllers(world: &Arc<World>, resolved: &Resolved) -> Vec<BoxFuture<'static, ()>> {
    let workers = &resolved.workers;
    let mut roles = vec![interpretation::prepare(world)];
    let (handle, detecting) = detector::prepare(world, resolved.detector.clone());
    roles.push(detecting);
    roles.push(policy::prepare(world, resolved.policy.clone(), &handle));
    roles.push(discovery::prepare(world, resolved.discovery.clone()));
    let is_on = |switch| resolved.controllers.is_on(switch);
    if is_on(switches::APPLICATION_FAILOVER) {
        roles.extend(application_failover::prepare(
            world,
            &resolved.application_failover,
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
    roles.push(brake::prepare(world, resolved.brake));
    roles
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

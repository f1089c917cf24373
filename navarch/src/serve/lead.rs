//! A role works only while its process holds the role's Lease.

use std::time::Duration;

use controllers::World;
use futures::future::BoxFuture;
use runtime::lease::{self, Held, Identity, Lost};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{options::ServeArgs, report::Report};

/// The Lease of the reconcilers, under the reference's name: the two never work at once.
const CONTROLLERS: &str = "karmada-controller-manager";
/// The Lease of the descheduler.
const DESCHEDULER: &str = "karmada-descheduler";

/// How the processes of a role agree on one.
#[derive(Debug, Clone)]
pub(super) struct Election {
    namespace: String,
    scheduler: String,
    duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
    pub(super) identity: Identity,
}

/// What holds a Lease of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Controllers,
    Scheduler,
    Descheduler,
}

impl Role {
    /// The component's name, as in `navarch serve`.
    pub(super) fn component(self) -> &'static str {
        match self {
            Self::Controllers => "controllers",
            Self::Scheduler => "scheduler",
            Self::Descheduler => "descheduler",
        }
    }
}

impl Election {
    pub(super) fn from_args(args: &ServeArgs) -> anyhow::Result<Option<Self>> {
        if !args.leader_elect {
            return Ok(None);
        }
        let (duration, deadline, period) = (
            args.leader_elect_lease_duration,
            args.leader_elect_renew_deadline,
            args.leader_elect_retry_period,
        );
        anyhow::ensure!(
            duration.as_secs() > deadline.as_secs(),
            "--leader-elect-lease-duration must be longer than --leader-elect-renew-deadline, by a second at least: another process may begin when it has passed"
        );
        anyhow::ensure!(
            deadline > period + period / 5 && !period.is_zero(),
            "--leader-elect-renew-deadline must be longer than 1.2 times --leader-elect-retry-period, which must not be 0: a single failed renewal would end the process"
        );
        Ok(Some(Self {
            namespace: args.leader_elect_resource_namespace.clone(),
            scheduler: args.leader_elect_resource_name.clone(),
            duration,
            renew_deadline: deadline,
            retry_period: period,
            identity: Identity::current(),
        }))
    }

    fn settings(&self, role: Role) -> lease::Settings {
        lease::Settings {
            namespace: self.namespace.clone(),
            name: match role {
                Role::Controllers => CONTROLLERS.to_owned(),
                Role::Scheduler => self.scheduler.clone(),
                Role::Descheduler => DESCHEDULER.to_owned(),
            },
            duration: self.duration,
            renew_deadline: self.renew_deadline,
            retry_period: self.retry_period,
        }
    }
}

/// What a role consists of.
pub(super) struct Led {
    pub(super) role: Role,
    pub(super) tasks: Vec<BoxFuture<'static, ()>>,
}

/// Runs a role once its Lease is ours, until the process stops. When the Lease is lost everything stops, and before others may begin.
pub(super) async fn lead(
    world: std::sync::Arc<World>,
    election: Option<Election>,
    report: Report,
    led: Led,
) -> Result<(), Lost> {
    let Some(election) = election else {
        run(led.tasks).await;
        return Ok(());
    };
    let stop = &world.stop;
    let settings = election.settings(led.role);
    let acquired = lease::acquire(world.client(), settings.clone(), election.identity.clone());
    let held = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        held = acquired => held,
    };
    tracing::info!(
        lease = settings.name,
        identity = election.identity.as_str(),
        "Leading"
    );
    let reporting = report.keep(
        world.client(),
        election.namespace.clone(),
        led.role,
        election.identity.as_str().to_owned(),
    );
    let reporting = tokio::spawn(reporting);
    let outcome = work(held, &settings, led, stop).await;
    reporting.abort();
    outcome
}

async fn work(
    held: Held,
    settings: &lease::Settings,
    led: Led,
    stop: &CancellationToken,
) -> Result<(), Lost> {
    let finished = CancellationToken::new();
    let mut keeping = Box::pin(held.keep(finished.clone()));
    let mut working = Box::pin(run(led.tasks));
    // Renewed as long as passes are under way, also while the process stops.
    let lost = tokio::select! {
        () = &mut working => None,
        kept = &mut keeping => kept.err(),
    };
    if let Some(lost) = lost {
        stop.cancel();
        // What is under way has as long as nobody else can have begun; each of its writes is conditional besides.
        let margin = Held::margin(settings) / 2;
        let _ = tokio::time::timeout(margin, working).await;
        return Err(lost);
    }
    finished.cancel();
    if let Ok(held) = keeping.await
        && let Err(error) = held.release().await
    {
        tracing::warn!(
            lease = settings.name,
            error = &error as &dyn std::error::Error,
            "Lease not released, the next process waits until it has run out"
        );
    }
    Ok(())
}

async fn run(tasks: Vec<BoxFuture<'static, ()>>) {
    let mut running = JoinSet::new();
    for task in tasks {
        running.spawn(task);
    }
    while running.join_next().await.is_some() {}
}

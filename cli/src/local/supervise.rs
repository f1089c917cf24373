//! The process that owns an instance: it starts everything, keeps it running, and ends it.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use testbed::{Bed, Event, State};
use tokio::signal::unix::{SignalKind, signal};

use super::control::{Failure, Listener, Request, answer};
use super::up::UpArgs;
use super::{Error, Setup, kubeconfig_path};

/// The name of `navarch serve all` among the processes.
pub(super) const SERVE: &str = "navarch";
/// What stops and starts the API server of the control plane, whose cluster has the name of our own process.
const CONTROL_PLANE: &str = "control-plane";

/// What the supervisor tells `up` while it starts, one JSON line each on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Report {
    Ready { cluster: String, after: Duration },
    Up,
    Failed(Failure),
}

impl Report {
    /// `up` may be gone by now, which changes nothing.
    fn send(&self) {
        let line = serde_json::to_string(self).expect("a report has string keys only");
        let mut stdout = std::io::stdout();
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }
}

pub(super) async fn run(dir: &Path, args: &UpArgs, setup: &Setup<'_>) -> Result<(), Error> {
    let result = supervise(dir, args, setup).await;
    if let Err(error) = &result {
        Report::Failed(Failure::from(error)).send();
    }
    result
}

async fn supervise(dir: &Path, args: &UpArgs, setup: &Setup<'_>) -> Result<(), Error> {
    // A session of its own, so that closing the terminal does not end it. It is there already if this was started from
    // a service manager, which is as good.
    let _ = nix::unistd::setsid();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let progress = |event: Event<'_>| {
        if let Event::Ready { cluster, after } = event {
            Report::Ready {
                cluster: cluster.to_owned(),
                after,
            }
            .send();
        }
    };
    let start = args
        .builder(State::load(dir)?.as_ref())
        .dir(dir)
        .progress(Arc::new(progress))
        .start();
    let bed = tokio::select! {
        bed = start => bed?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    if !args.no_navarch {
        serve(&bed, setup)?;
    }
    let listener = Listener::bind(bed.dir())?;
    Report::Up.send();

    let requests = async {
        loop {
            let (request, stream) = listener.next().await?;
            answer(stream, handle(&bed, request, setup).await).await;
        }
    };
    let result: Result<(), Error> = tokio::select! {
        result = requests => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    bed.shutdown().await;
    result
}

async fn handle(bed: &Bed, request: Request, setup: &Setup<'_>) -> Result<(), Error> {
    match request {
        Request::Stop(name) if name == CONTROL_PLANE => bed.control_plane().stop().await,
        Request::Stop(name) if name == SERVE => bed.stop_program(SERVE).await?,
        Request::Stop(name) => bed.member(&name)?.stop().await,
        Request::Start(name) if name == CONTROL_PLANE => bed.control_plane().start().await?,
        Request::Start(name) if name == SERVE => bed.start_program(SERVE)?,
        Request::Start(name) => bed.member(&name)?.start().await?,
        Request::AddMember(name) => {
            bed.add_member(&name).await?;
        }
        Request::Serve if bed.state().processes.contains_key(SERVE) => bed.start_program(SERVE)?,
        Request::Serve => serve(bed, setup)?,
    }
    Ok(())
}

fn serve(bed: &Bed, setup: &Setup<'_>) -> Result<(), Error> {
    let kubeconfig = kubeconfig_path(bed.dir(), testbed::CONTROL_PLANE);
    let args = [
        "serve",
        "all",
        "--kubeconfig",
        &kubeconfig.to_string_lossy(),
        // Loopback only, and several instances side by side: nobody asks this process for its health.
        "--health-probe-bind-address",
        "0",
    ]
    .map(str::to_owned);
    Ok(bed.run(SERVE, &setup.executable, args.to_vec(), None)?)
}

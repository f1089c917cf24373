//! `down`: ends everything, and with `--purge` leaves nothing.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{ProcessId, State};

use super::Error;
use super::status::print;

/// The supervisor gives our servers 10 s and etcd another 10 s.
const PATIENCE: Duration = Duration::from_secs(25);
const POLL: Duration = Duration::from_millis(50);
/// What an instance keeps; nothing else in its folder is ours to remove.
const OURS: [&str; 6] = ["pki", "kubeconfig", "logs", "data", "state.json", "lock"];

#[derive(Debug, Args)]
pub(super) struct DownArgs {
    /// Remove data, certificates, kubeconfigs and logs too
    #[arg(long)]
    purge: bool,
}

pub(super) async fn run(dir: &Path, args: &DownArgs) -> Result<(), Error> {
    // A state file that cannot be read must not stand in the way of removing it.
    let state = match State::load(dir) {
        Err(error) if !args.purge => return Err(error.into()),
        state => state.ok().flatten(),
    };
    match state
        .and_then(|state| state.owner)
        .filter(ProcessId::is_running)
    {
        Some(owner) => {
            end(&owner).await?;
            print(&format!("stopped what ran in {}\n", dir.display()))?;
        }
        None => print(&format!("nothing runs in {}\n", dir.display()))?,
    }
    if args.purge { purge(dir) } else { Ok(()) }
}

/// Ends the supervisor and so everything; its identity was checked, so this is nobody else.
async fn end(owner: &ProcessId) -> Result<(), Error> {
    let pid = Pid::from_raw(i32::try_from(owner.pid).map_err(|error| Error::from_chain(&error))?);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if let Err(error) = kill(pid, signal)
            && error != nix::errno::Errno::ESRCH
        {
            return Err(Error::new(format!(
                "cannot stop the supervisor (pid {}): {error}",
                owner.pid
            )));
        }
        let deadline = Instant::now() + PATIENCE;
        while owner.is_running() {
            if Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        if !owner.is_running() {
            return Ok(());
        }
    }
    Err(Error::new(format!(
        "the supervisor (pid {}) does not end",
        owner.pid
    )))
}

fn purge(dir: &Path) -> Result<(), Error> {
    for name in OURS {
        let path = dir.join(name);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::new(format!(
                    "cannot remove {}: {error}",
                    path.display()
                )));
            }
            _ => {}
        }
    }
    // Left alone when there is something of somebody else's in it.
    let _ = fs::remove_dir(dir);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn purge_removes_what_is_ours_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let purge = DownArgs { purge: true };
        for name in ["data", "pki"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("state.json"), "not JSON").unwrap();
        fs::write(dir.path().join("mine.txt"), "").unwrap();
        run(dir.path(), &purge).await.unwrap();
        let left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        assert_eq!(left, ["mine.txt"]);
    }

    #[tokio::test]
    async fn down_without_an_instance_is_done() {
        let dir = tempfile::tempdir().unwrap();
        run(&dir.path().join("absent"), &DownArgs { purge: true })
            .await
            .unwrap();
    }
}

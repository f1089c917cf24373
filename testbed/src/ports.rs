//! Ports for servers that other processes open.
//!
//! The kernel's ephemeral range is avoided: an outgoing connection could take such a port while a stopped member is away,
//! and a member must come back where it was.
//!
//! Between the moment in which a port is given up for its server and the server's bind, and all through the outage of a member, nobody
//! listens on it. Other beds on this machine keep off it all the same: each bed locks a file per port for as long as its clusters live.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::procfs;

const FIRST: u16 = 10_000;
/// Linux' default start of the ephemeral range, used where the system does not tell its own.
const DEFAULT_EPHEMERAL: u16 = 32_768;
/// How long a port may stay taken after the process that had it was killed: its threads end one after the other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A port that other beds keep off as long as this value lives. Clones hold the same port.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    port: u16,
    /// Absent where the folder of the locks cannot be written; the port is then free for all while nobody listens.
    _lock: Option<Arc<File>>,
}

impl Claim {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `None` when another bed has the port.
    fn of(port: u16) -> Option<Self> {
        let folder = std::env::temp_dir().join("navarch-ports");
        let file = fs::create_dir_all(&folder).and_then(|()| {
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join(port.to_string()))
        });
        let lock = match file {
            Ok(file) => match file.try_lock() {
                Ok(()) => Some(Arc::new(file)),
                Err(fs::TryLockError::WouldBlock) => return None,
                Err(fs::TryLockError::Error(_)) => None,
            },
            Err(_) => None,
        };
        Some(Self { port, _lock: lock })
    }
}

/// A port that nobody else can open; dropped right before the process that gets it is started.
#[derive(Debug)]
pub(crate) struct Reserved {
    listener: TcpListener,
    claim: Claim,
}

impl Reserved {
    pub(crate) fn port(&self) -> u16 {
        self.claim.port
    }

    /// What keeps the port for its server when the server does not listen.
    pub(crate) fn claim(&self) -> Claim {
        self.claim.clone()
    }

    /// Gives the port up for its server.
    pub(crate) fn release(self) -> u16 {
        drop(self.listener);
        self.claim.port
    }
}

fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

/// Takes any free port.
pub(crate) fn reserve() -> Result<Reserved, Error> {
    let end = ephemeral_start().max(FIRST + 1_000);
    let span = u32::from(end - FIRST);
    for attempt in 0..span {
        let offset = (seed().wrapping_add(attempt.wrapping_mul(7_919))) % span;
        let port = FIRST + u16::try_from(offset).unwrap_or_default();
        if let Some(claim) = Claim::of(port)
            && let Some(listener) = bind(port)
        {
            return Ok(Reserved { listener, claim });
        }
    }
    Err(Error::NoFreePort {
        first: FIRST,
        last: end - 1,
    })
}

/// Takes the port that `process` had before, waiting for what is left of its former process to let go of it.
pub(crate) async fn reclaim(
    port: u16,
    process: &str,
    patience: Duration,
) -> Result<Reserved, Error> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(claim) = Claim::of(port)
            && let Some(listener) = bind(port)
        {
            return Ok(Reserved { listener, claim });
        }
        if Instant::now() >= deadline {
            return Err(in_use(port, process));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Takes the port again that is still ours.
pub(crate) async fn rebind(
    claim: &Claim,
    process: &str,
    patience: Duration,
) -> Result<Reserved, Error> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(listener) = bind(claim.port) {
            let claim = claim.clone();
            return Ok(Reserved { listener, claim });
        }
        if Instant::now() >= deadline {
            return Err(in_use(claim.port, process));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn in_use(port: u16, process: &str) -> Error {
    Error::PortInUse {
        port,
        process: process.to_owned(),
        owner: procfs::listener(port).unwrap_or_else(|| "another process".to_owned()),
    }
}

/// Differs between processes and between calls, which is all it has to do.
fn seed() -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos());
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    clock ^ std::process::id().rotate_left(16) ^ call.wrapping_mul(2_654_435_761)
}

fn ephemeral_start() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(DEFAULT_EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reserved_ports_differ_and_can_be_reclaimed_after_release() {
        let (one, two) = (reserve().unwrap(), reserve().unwrap());
        assert_ne!(one.port(), two.port());
        assert!(one.port() < ephemeral_start());

        let port = one.release();
        let again = reclaim(port, "member1/kube-apiserver", Duration::ZERO)
            .await
            .unwrap();
        assert_eq!(again.port(), port);
    }

    #[tokio::test]
    async fn a_claimed_port_stays_ours_while_nobody_listens() {
        let one = reserve().unwrap();
        let claim = one.claim();
        one.release();
        assert!(Claim::of(claim.port()).is_none());
        let again = rebind(&claim, "member1/kube-apiserver", Duration::ZERO).await;
        assert_eq!(again.unwrap().port(), claim.port());
        let port = claim.port();
        drop(claim);
        assert!(Claim::of(port).is_some());
    }

    #[tokio::test]
    async fn a_port_that_is_let_go_late_is_waited_for() {
        let one = reserve().unwrap();
        let port = one.port();
        let (reclaimed, ()) = tokio::join!(reclaim(port, "etcd", PATIENCE), async {
            tokio::task::yield_now().await;
            drop(one);
        });
        assert_eq!(reclaimed.unwrap().port(), port);
    }

    #[tokio::test]
    async fn a_taken_port_names_its_owner() {
        let taken = reserve().unwrap();
        let error = reclaim(taken.port(), "member1/kube-apiserver", Duration::ZERO)
            .await
            .unwrap_err()
            .to_string();
        let start = format!(
            "port {} of member1/kube-apiserver is in use by ",
            taken.port()
        );
        assert!(error.starts_with(&start), "{error}");
        if cfg!(target_os = "linux") {
            assert!(
                error.ends_with(&format!("(pid {})", std::process::id())),
                "{error}"
            );
        }
    }
}

//! Ports for servers that other processes open.
//!
//! The kernel's ephemeral range is avoided: an outgoing connection could take such a port while a stopped member is away,
//! and a member must come back where it was.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::procfs;

const FIRST: u16 = 10_000;
/// Linux' default start of the ephemeral range, used where the system does not tell its own.
const DEFAULT_EPHEMERAL: u16 = 32_768;

/// A port that is ours as long as this value lives; dropped right before the process that gets it is started.
#[derive(Debug)]
pub(crate) struct Reserved {
    listener: TcpListener,
    port: u16,
}

impl Reserved {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Gives the port up for its server.
    pub(crate) fn release(self) -> u16 {
        drop(self.listener);
        self.port
    }
}

/// Takes any free port.
pub(crate) fn reserve() -> Result<Reserved, Error> {
    let end = ephemeral_start().max(FIRST + 1_000);
    let span = u32::from(end - FIRST);
    for attempt in 0..span {
        let offset = (seed().wrapping_add(attempt.wrapping_mul(7_919))) % span;
        let port = FIRST + u16::try_from(offset).unwrap_or_default();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(Reserved { listener, port });
        }
    }
    Err(Error::NoFreePort {
        first: FIRST,
        last: end - 1,
    })
}

/// Takes the port that `process` had before.
pub(crate) fn reclaim(port: u16, process: &str) -> Result<Reserved, Error> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => Ok(Reserved { listener, port }),
        Err(_) => Err(Error::PortInUse {
            port,
            process: process.to_owned(),
            owner: procfs::listener(port).unwrap_or_else(|| "another process".to_owned()),
        }),
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

    #[test]
    fn reserved_ports_differ_and_can_be_reclaimed_after_release() {
        let (one, two) = (reserve().unwrap(), reserve().unwrap());
        assert_ne!(one.port(), two.port());
        assert!(one.port() < ephemeral_start());

        let port = one.release();
        let again = reclaim(port, "member1/kube-apiserver").unwrap();
        assert_eq!(again.port(), port);
    }

    #[test]
    fn a_taken_port_names_its_owner() {
        let taken = reserve().unwrap();
        let error = reclaim(taken.port(), "member1/kube-apiserver")
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

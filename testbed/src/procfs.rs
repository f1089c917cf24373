//! Questions to the system about processes: does it still run, what does it take, who holds a port.
//!
//! Answered from `/proc`. Elsewhere `ps` tells start times, and the rest is unknown.

use std::fs;
use std::process::Command;

/// A process that cannot be confused with a later one that got the same id.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessId {
    pub pid: u32,
    /// When it started, in a form of the system's choice; only equality has a meaning.
    pub start_time: String,
}

impl ProcessId {
    /// The identity of a running process; `None` when there is none with this id.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            start_time: start_time(pid)?,
        })
    }

    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            start_time: start_time(pid).unwrap_or_default(),
        }
    }

    pub fn is_running(&self) -> bool {
        start_time(self.pid).is_some_and(|it| it == self.start_time)
    }
}

fn start_time(pid: u32) -> Option<String> {
    if cfg!(target_os = "linux") {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may hold anything, spaces and parentheses included.
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
        // The first thread of a killed process is a zombie while the others still end and hold files and ports.
        if fields.next()? == "Z" && threads(pid) <= 1 {
            return None;
        }
        return fields.nth(18).map(str::to_owned);
    }
    let output = Command::new("ps")
        .args(["-o", "lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// The command line's first word without folders.
pub(crate) fn program(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

/// Memory in bytes that would come free if the process ended: shared pages count in proportion.
pub(crate) fn memory(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Who listens on a loopback port, as `name (pid 12)`, if this user may know.
pub(crate) fn listener(port: u16) -> Option<String> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let listens = *fields.get(3)? == "0A" && u16::from_str_radix(local_port, 16).ok()? == port;
        listens.then(|| fields.get(9).map(ToString::to_string))?
    })?;
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .any(|fd| {
                fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == socket.as_str())
            });
        holds.then(|| format!("{} (pid {pid})", program(pid).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_its_successor() {
        let this = ProcessId::current();
        assert!(this.is_running());
        assert_eq!(ProcessId::of(this.pid), Some(this.clone()));

        let other = ProcessId {
            start_time: "1".to_owned(),
            ..this
        };
        assert!(!other.is_running());
    }

    #[test]
    fn an_ended_process_has_no_identity() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(ProcessId::of(pid), None);
    }
}

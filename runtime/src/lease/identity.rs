//! Who holds a Lease, told in a way that a later process on the same host can tell whether it still lives.

use std::fs;

/// `<hostname>_<boot>-<pid namespace>-<pid>-<start>`, or `<hostname>_<uuid>` where the system does not tell these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    text: String,
    process: Option<Process>,
}

/// What tells a process from all others that ever ran on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    host: String,
    /// A random number that the system draws at each boot.
    boot: String,
    /// The inode of the pid namespace.
    namespace: String,
    pid: u32,
    /// Clock ticks from the boot to the start of the process.
    start: u64,
}

impl Identity {
    /// Of this process.
    pub fn current() -> Self {
        let host = hostname();
        match Process::current(&host) {
            Some(process) => Self::of(process),
            None => Self {
                text: format!("{host}_{:032x}", rand::random::<u128>()),
                process: None,
            },
        }
    }

    fn of(process: Process) -> Self {
        Self {
            text: process.to_string(),
            process: Some(process),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the holder ran beside this process and does not run any more.
    pub(super) fn outlived(&self, holder: &str) -> bool {
        let (Some(me), Some(other)) = (&self.process, Process::parse(holder)) else {
            return false;
        };
        let is_neighbour =
            me.host == other.host && me.boot == other.boot && me.namespace == other.namespace;
        // Where processes of others are hidden, not finding one says nothing.
        is_neighbour && sees_all() && start_of(other.pid) != Some(other.start)
    }

    #[cfg(test)]
    pub(super) fn with_pid(&self, pid: u32, start: u64) -> Self {
        let process = self.process.clone().expect("tests run on Linux");
        Self::of(Process {
            pid,
            start,
            ..process
        })
    }
}

impl Process {
    fn current(host: &str) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
        let namespace: String = namespace
            .to_str()?
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        let pid = std::process::id();
        Some(Self {
            host: host.to_owned(),
            boot: boot.trim().replace('-', "").chars().take(12).collect(),
            namespace,
            pid,
            start: start_of(pid)?,
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (host, rest) = text.rsplit_once('_')?;
        let [boot, namespace, pid, start] = rest.split('-').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(Self {
            host: host.to_owned(),
            boot: boot.to_owned(),
            namespace: namespace.to_owned(),
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            host,
            boot,
            namespace,
            pid,
            start,
        } = self;
        write!(f, "{host}_{boot}-{namespace}-{pid}-{start}")
    }
}

fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Whether the system shows processes of all users: the first one belongs to root.
fn sees_all() -> bool {
    start_of(1).is_some()
}

/// When a process started, if it runs. One that ended and was not waited for does not run.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let is_running = !matches!(fields.first(), Some(&("Z" | "X")));
    // Of the whole line it is the 22nd.
    fields.get(19)?.parse().ok().filter(|_| is_running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_neighbour_that_ended_is_outlived() {
        let me = Identity::current();
        let process = me.process.clone().expect("tests run on Linux");
        let other = |change: &dyn Fn(&mut Process)| {
            let mut other = process.clone();
            change(&mut other);
            other.to_string()
        };
        for (name, holder, expected) in [
            ("this process", me.text.clone(), false),
            ("an earlier one", other(&|it| it.start -= 1), true),
            ("no such pid", other(&|it| it.pid = u32::MAX), true),
            (
                "another host",
                other(&|it| {
                    it.host.push('x');
                    it.pid = u32::MAX;
                }),
                false,
            ),
            (
                "before a reboot",
                other(&|it| {
                    it.boot = "0".into();
                    it.pid = u32::MAX;
                }),
                false,
            ),
            (
                "another container",
                other(&|it| {
                    it.namespace = "1".into();
                    it.pid = u32::MAX;
                }),
                false,
            ),
            ("another implementation", "host_0b1c-uuid".into(), false),
        ] {
            assert_eq!(me.outlived(&holder), expected, "{name}");
        }
        assert_eq!(Process::parse(&me.text), Some(process));
    }
}

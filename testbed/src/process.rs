//! Child processes: started with a log file, watched, started again when they crash, and never left behind.
//!
//! ```text
//!   owner ──spawns──> etcd, kube-apiserver, …      all in one process group, led by the anchor
//!     │
//!     └─pipe (held open)──> anchor, reaper         the pipe closes when the owner is gone, however it went:
//!                                                  the reaper then kills the group and removes temporary data
//! ```
//!
//! The kernel's parent-death signal would not do: it is tied to the thread that spawned, and threads of a test runtime end
//! before the bed does.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::Error;

/// How much of a log is shown when its process fails.
const TAIL_LINES: usize = 20;
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_secs(30);
/// A process that ran for so long starts over with the first back-off.
const STEADY: Duration = Duration::from_mins(1);

/// Kills the processes of one owner when the owner is gone, even if it was killed.
#[derive(Debug)]
pub(crate) struct Reaper {
    anchor: Child,
    reaper: Child,
}

/// `$1` is the process group, `$2` a folder to remove, or empty. The signals are what a terminal sends to everybody.
const REAPER: &str = r#"
trap '' HUP INT TERM
read -r _
kill -s KILL -- "-$1" 2>/dev/null
[ -n "$2" ] || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$2" 2>/dev/null && exit 0; sleep 0.2; done
"#;

/// Leads the group as long as the owner lives.
const ANCHOR: &str = "trap '' HUP INT TERM; read -r _";

impl Reaper {
    /// `temporary` is removed once nothing runs any more.
    pub(crate) fn start(temporary: Option<&Path>) -> Result<Self, Error> {
        let failed = |source| Error::Spawn {
            process: "sh".to_owned(),
            source,
        };
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script, "navarch-reaper"]);
            command
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let anchor = shell(ANCHOR).spawn().map_err(failed)?;
        let reaper = shell(REAPER)
            .arg(anchor.id().to_string())
            .arg(temporary.unwrap_or(Path::new("")))
            .spawn()
            .map_err(failed)?;
        Ok(Self { anchor, reaper })
    }

    pub(crate) fn group(&self) -> Group {
        Group(self.anchor.id())
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // The anchor still holds the group's id, so the reaper cannot hit anybody else.
        drop(self.reaper.stdin.take());
        let _ = self.reaper.wait();
        let _ = self.anchor.wait();
    }
}

/// The process group that the reaper watches over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group(u32);

impl Group {
    fn pid(self) -> Pid {
        as_pid(self.0)
    }
}

fn as_pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("process ids are positive 32-bit integers"))
}

/// Sends a signal to a process that is not a child of ours. Whether it arrived is seen by whether the process ends.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(as_pid(pid), signal);
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Unique in the bed, such as `member1/kube-apiserver`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) log: PathBuf,
    /// Where it runs.
    pub(crate) dir: PathBuf,
}

/// Where a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Running {
        pid: u32,
        since: SystemTime,
    },
    /// Ended, not on our wish, and being started again unless it is still in its start.
    Crashed {
        how: String,
    },
    Stopped,
}

/// Called with the new status, from the thread that watches the process.
pub(crate) type OnChange = Arc<dyn Fn(&str, &Status, u32) + Send + Sync>;

/// A child process, from its start until it is stopped.
pub(crate) struct Process {
    spec: Spec,
    shared: Arc<Shared>,
    status: watch::Receiver<Status>,
    /// Where this start's output begins in the log.
    log_start: u64,
}

struct Shared {
    inner: Mutex<Inner>,
    wake: Condvar,
    status: watch::Sender<Status>,
    on_change: OnChange,
}

struct Inner {
    /// Set while the child exists and has not been waited for; signals go to nobody else.
    pid: Option<u32>,
    stopping: bool,
    keep_alive: bool,
    restarts: u32,
}

impl Process {
    pub(crate) fn start(spec: Spec, group: Group, on_change: OnChange) -> Result<Self, Error> {
        let log_start = fs::metadata(&spec.log).map_or(0, |log| log.len());
        let child = spawn(&spec, group)?;
        let running = Status::Running {
            pid: child.id(),
            since: SystemTime::now(),
        };
        let (sender, status) = watch::channel(running.clone());
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                pid: Some(child.id()),
                stopping: false,
                keep_alive: false,
                restarts: 0,
            }),
            wake: Condvar::new(),
            status: sender,
            on_change,
        });
        (shared.on_change)(&spec.name, &running, 0);
        let watched = (spec.clone(), Arc::clone(&shared));
        thread::Builder::new()
            .name(spec.name.clone())
            .stack_size(128 * 1024)
            .spawn(move || watch_over(&watched.0, &watched.1, group, child))
            .map_err(|source| Error::Spawn {
                process: spec.name.clone(),
                source,
            })?;
        Ok(Self {
            spec,
            shared,
            status,
            log_start,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.status.borrow() == Status::Stopped
    }

    /// From now on a crash is followed by a new start; before, it is an error of the start.
    pub(crate) fn keep_alive(&self) {
        self.shared.inner.lock().keep_alive = true;
        self.shared.wake.notify_all();
    }

    /// Completes when the process ended during its start.
    pub(crate) async fn ended(&self) -> Error {
        let mut status = self.status.clone();
        let ended = status
            .wait_for(|it| !matches!(it, Status::Running { .. }))
            .await;
        let how = match ended.as_deref() {
            Ok(Status::Crashed { how }) => how.clone(),
            _ => "it was stopped".to_owned(),
        };
        let output = tail(&self.spec.log, self.log_start);
        Error::Ended {
            process: self.spec.name.clone(),
            cause: cause(&output).unwrap_or(how),
            output,
            log: self.spec.log.clone(),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // The lock keeps the watching thread from giving the process id back to the system in between.
        if let Some(pid) = self.shared.inner.lock().pid {
            let _ = kill(as_pid(pid), signal);
        }
    }

    /// Ends the process with SIGTERM, and with SIGKILL after the grace period.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.shared.inner.lock().stopping = true;
        self.shared.wake.notify_all();
        if !grace.is_zero() {
            self.signal(Signal::SIGTERM);
            // A paused process would not see it otherwise.
            self.signal(Signal::SIGCONT);
        }
        let mut status = self.status.clone();
        let stopped = status.wait_for(|it| *it == Status::Stopped);
        if tokio::time::timeout(grace, stopped).await.is_err() {
            self.signal(Signal::SIGKILL);
            // The sender lives as long as the watching thread, whose last act is to report this very status.
            let _ = status.wait_for(|it| *it == Status::Stopped).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.shared.inner.lock().stopping = true;
        self.shared.wake.notify_all();
        self.signal(Signal::SIGKILL);
    }
}

fn spawn(spec: &Spec, group: Group) -> Result<Child, Error> {
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&spec.log)
        .map_err(Error::file("open", &spec.log))?;
    let mut line = format!("--- {}", spec.program.display());
    for arg in &spec.args {
        let _ = write!(line, " {arg}");
    }
    writeln!(log, "{line}").map_err(Error::file("write", &spec.log))?;
    let clone = |log: &File| log.try_clone().map_err(Error::file("open", &spec.log));
    Command::new(&spec.program)
        .args(&spec.args)
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .current_dir(&spec.dir)
        .process_group(group.pid().as_raw())
        .stdin(Stdio::null())
        .stdout(clone(&log)?)
        .stderr(clone(&log)?)
        .spawn()
        .map_err(|source| Error::Spawn {
            process: spec.name.clone(),
            source,
        })
}

/// The watching thread of one process.
fn watch_over(spec: &Spec, shared: &Shared, group: Group, mut child: Child) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let started = Instant::now();
        let exit = child.wait();
        let mut inner = shared.inner.lock();
        inner.pid = None;
        if inner.stopping {
            return shared.report(spec, Status::Stopped, inner.restarts);
        }
        let how = exit.map_or_else(|error| error.to_string(), describe);
        shared.report(spec, Status::Crashed { how: how.clone() }, inner.restarts);
        // If it ended during its start, whoever waits for that decides.
        shared
            .wake
            .wait_while(&mut inner, |inner| !inner.stopping && !inner.keep_alive);
        if started.elapsed() > STEADY {
            backoff = FIRST_BACKOFF;
        }
        tracing::warn!(process = spec.name, how, backoff = ?backoff, "Process ended, starting it again");
        child = loop {
            let until = Instant::now() + backoff;
            while !inner.stopping && !shared.wake.wait_until(&mut inner, until).timed_out() {}
            if inner.stopping {
                return shared.report(spec, Status::Stopped, inner.restarts);
            }
            backoff = (backoff * 2).min(LAST_BACKOFF);
            match spawn(spec, group) {
                Ok(child) => break child,
                Err(error) => {
                    tracing::warn!(
                        process = spec.name,
                        error = &error as &dyn std::error::Error,
                        "Start failed"
                    );
                }
            }
        };
        inner.pid = Some(child.id());
        inner.restarts += 1;
        let running = Status::Running {
            pid: child.id(),
            since: SystemTime::now(),
        };
        shared.report(spec, running, inner.restarts);
    }
}

impl Shared {
    fn report(&self, spec: &Spec, status: Status, restarts: u32) {
        (self.on_change)(&spec.name, &status, restarts);
        self.status.send_replace(status);
    }
}

fn describe(exit: ExitStatus) -> String {
    match (
        exit.code(),
        exit.signal().and_then(|it| Signal::try_from(it).ok()),
    ) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(signal)) => format!("it was ended by {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// The last lines that were written after `start`.
fn tail(log: &Path, start: u64) -> String {
    const ENOUGH: u64 = 64 * 1024;
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(length.saturating_sub(ENOUGH))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("--- "))
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// The line of a log that most likely says why its process ended.
fn cause(output: &str) -> Option<String> {
    let lines = || {
        output
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let telling = |line: &&str| {
        let lower = line.to_lowercase();
        ["error:", "err=", "\"error\":", "panic:", "fatal", "failed"]
            .iter()
            .any(|word| lower.contains(word))
    };
    let line = lines().rfind(telling).or_else(|| lines().next_back())?;
    // klog's header says nothing about the cause: E1121 11:45:01.123456   20238 run.go:72]
    let line = line
        .split_once("] ")
        .filter(|(head, _)| head.contains(".go:"))
        .map_or(line, |(_, message)| message);
    Some(line.chars().take(300).collect())
}

/// Whether a start failed because the port went to somebody else after it had been released.
pub(crate) fn is_port_conflict(error: &Error) -> bool {
    matches!(error, Error::Ended { output, .. } if output.contains("address already in use"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_last_line_that_tells_one() {
        for (output, expected) in [
            ("", None),
            ("just words", Some("just words")),
            (
                "I1121 11:45:01.1 1 a.go:1] fine\nE1121 11:45:01.2 1 run.go:72] \"command failed\" err=\"bind: address \
                 already in use\"\ngoroutine 1",
                Some("\"command failed\" err=\"bind: address already in use\""),
            ),
            (
                "Error: unknown flag: --x\nusage",
                Some("Error: unknown flag: --x"),
            ),
        ] {
            assert_eq!(cause(output).as_deref(), expected, "{output}");
        }
    }

    fn script(dir: &Path, text: &str) -> Spec {
        Spec {
            name: "test/sh".to_owned(),
            program: "sh".into(),
            args: vec!["-c".to_owned(), text.to_owned()],
            env: vec![],
            log: dir.join("sh.log"),
            dir: dir.to_owned(),
        }
    }

    fn quiet() -> OnChange {
        Arc::new(|_, _, _| {})
    }

    #[tokio::test]
    async fn a_process_that_ends_during_its_start_shows_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let reaper = Reaper::start(None).unwrap();
        let spec = script(
            dir.path(),
            "for i in $(seq 30); do echo line $i; done; echo error: no luck; exit 3",
        );
        let process = Process::start(spec, reaper.group(), quiet()).unwrap();
        let error = process.ended().await;
        assert_eq!(
            error.to_string(),
            "test/sh ended during start: error: no luck"
        );
        let detail = error.detail().unwrap();
        assert_eq!(detail.lines().count(), TAIL_LINES);
        assert!(detail.starts_with("line 12\n"), "{detail}");
        process.stop(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn a_crashed_process_is_started_again_and_a_stopped_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let reaper = Reaper::start(None).unwrap();
        let process = Process::start(
            script(dir.path(), "exec sleep 600"),
            reaper.group(),
            quiet(),
        )
        .unwrap();
        process.keep_alive();
        let mut status = process.status.clone();
        let first = status.borrow_and_update().clone();
        process.signal(Signal::SIGKILL);
        let is_new = |it: &Status| matches!(it, Status::Running { .. }) && *it != first;
        let deadline = Duration::from_secs(10);
        tokio::time::timeout(deadline, status.wait_for(is_new))
            .await
            .expect("a new start in time")
            .unwrap();

        process.stop(Duration::from_secs(5)).await;
        assert!(process.is_stopped());
    }

    #[tokio::test]
    async fn a_deaf_process_is_killed_after_the_grace_period() {
        let dir = tempfile::tempdir().unwrap();
        let reaper = Reaper::start(None).unwrap();
        let spec = script(
            dir.path(),
            "trap '' TERM; while :; do sleep 600 & wait; done",
        );
        let process = Process::start(spec, reaper.group(), quiet()).unwrap();
        process.stop(Duration::from_millis(200)).await;
        assert!(process.is_stopped());
    }

    #[tokio::test]
    async fn nothing_outlives_the_reaper() {
        let dir = tempfile::tempdir().unwrap();
        let temporary = dir.path().join("data");
        fs::create_dir(&temporary).unwrap();
        let reaper = Reaper::start(Some(&temporary)).unwrap();
        let process = Process::start(
            script(dir.path(), "sleep 600 & wait"),
            reaper.group(),
            quiet(),
        )
        .unwrap();
        drop(reaper);
        process.ended().await;
        assert!(!temporary.exists());
    }
}

//! The process under measurement: `navarch serve all` beside a bed.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use testbed::Bed;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long the process may take until it says that it is ready.
const PATIENCE: Duration = Duration::from_mins(1);
/// Clock ticks a second in `/proc/PID/stat`; Linux has had this value on every architecture that we build for.
const TICKS: f64 = 100.0;

/// Where the release binary is, next to this program unless told otherwise.
pub(crate) fn binary(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("navarch"),
    };
    ensure!(
        path.is_file(),
        "{} does not exist; build it with `cargo build --release -p navarch` or name it with --navarch",
        path.display()
    );
    Ok(path)
}

/// A running server.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    started: Instant,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// The largest resident set so far.
    pub(crate) peak_rss_mib: f64,
    pub(crate) rss_mib: f64,
}

impl Server {
    /// Starts the server and returns at once.
    pub(crate) fn start(binary: &Path, bed: &Bed) -> anyhow::Result<Self> {
        // The port is free again when the listener is dropped, and the system does not hand it out soon.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = bed.dir().join("logs").join("serve.log");
        let log = fs::OpenOptions::new().append(true).create(true).open(log)?;
        let process = Command::new(binary)
            .args(["serve", "all", "--kubeconfig"])
            .arg(bed.control_plane().kubeconfig())
            .args(["--health-probe-bind-address", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        Ok(Self {
            process,
            address,
            started: Instant::now(),
        })
    }

    /// Waits until the process says that it is ready; returns the time since its start.
    pub(crate) async fn ready(&self) -> anyhow::Result<Duration> {
        loop {
            if let Ok(answer) = self.get("/readyz").await
                && answer.starts_with("HTTP/1.1 200")
            {
                return Ok(self.started.elapsed());
            }
            ensure!(
                self.started.elapsed() < PATIENCE,
                "the server is not ready after {} s; see logs/serve.log in the bed's folder",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        usage(&self.process.id().to_string())
    }

    /// Ends the process the hard way, as a failing machine does.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

/// What this process has used: a process id, or `self`.
pub(crate) fn usage(process: &str) -> anyhow::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; the fields after it are numbers.
    let (_, fields) = stat.rsplit_once(") ").context("read /proc/PID/stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<f64>().ok());
    let cpu = ticks(11).context("utime")? + ticks(12).context("stime")?;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    Ok(Usage {
        cpu_seconds: cpu / TICKS,
        peak_rss_mib: kib("VmHWM:").context("VmHWM")? / 1024.0,
        rss_mib: kib("VmRSS:").context("VmRSS")? / 1024.0,
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `navarch join` for every member of the bed.
pub(crate) async fn join(binary: &Path, bed: &Bed) -> anyhow::Result<()> {
    for member in bed.members() {
        let output = tokio::process::Command::new(binary)
            .args(["join", member.name(), "--wait", "90s", "--kubeconfig"])
            .arg(bed.control_plane().kubeconfig())
            .arg("--cluster-kubeconfig")
            .arg(member.kubeconfig())
            .stdin(Stdio::null())
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "join {}: {}",
            member.name(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

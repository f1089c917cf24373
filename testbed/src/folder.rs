//! The folder of a bed: a lock that tells whether somebody uses it, and `state.json` that tells what runs.
//!
//! ```text
//! lock  state.json  pki/CLUSTER/  kubeconfig/CLUSTER.yaml  kubeconfig/all.yaml  logs/CLUSTER-COMPONENT.log  data/
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::kwok::NodeShape;
use crate::procfs::{self, ProcessId};
use crate::{Error, pki, process};

/// What runs in a folder, as other processes may read it in `state.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The process whose children the others are; absent when nothing runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ProcessId>,
    /// The control plane first, then the members in the order of their arrival.
    pub clusters: Vec<ClusterState>,
    /// By name, such as `member1/kube-apiserver`.
    pub processes: BTreeMap<String, ProcessState>,
}

/// A cluster of a bed. The ports stay the same for as long as the folder exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    pub name: String,
    pub role: Role,
    pub api_server_port: u16,
    /// Where kwok plays the kubelet; members only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet_port: Option<u16>,
    pub nodes: u32,
    pub node_shape: NodeShape,
    /// Set while the cluster is stopped on purpose.
    pub stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    ControlPlane,
    Member,
}

/// A process of a bed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessState {
    /// Such as `kube-apiserver`.
    pub role: String,
    /// Absent for what serves several clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Absent while it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub log: PathBuf,
    pub state: Condition,
    pub restarts: u32,
    /// Seconds since the epoch of the last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// How it ended, while it waits for its next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    Running,
    Crashed,
    Stopped,
}

/// The part of a bed's folder for sockets. Programs use them from within, because the length of a socket's path is
/// limited and that of the user's folder is not.
pub fn sockets(dir: &Path) -> PathBuf {
    dir.join("data").join("sockets")
}

impl State {
    /// Reads the state of a folder; `None` when it has none.
    pub fn load(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join("state.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        match serde_json::from_str(&text) {
            Ok(state) => Ok(Some(state)),
            Err(error) => Err(Error::State {
                path,
                reason: error.to_string(),
            }),
        }
    }

    /// Whether the owner still runs.
    pub fn is_running(&self) -> bool {
        self.owner.as_ref().is_some_and(ProcessId::is_running)
    }

    pub fn cluster(&self, name: &str) -> Option<&ClusterState> {
        self.clusters.iter().find(|it| it.name == name)
    }

    pub fn members(&self) -> impl Iterator<Item = &ClusterState> {
        self.clusters.iter().filter(|it| it.role == Role::Member)
    }

    fn save(&self, dir: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).expect("the state has string keys only");
        pki::write(&dir.join("state.json"), &(text + "\n"))
    }
}

impl ProcessState {
    /// Memory in bytes, shared pages counted in proportion; `None` when it does not run or the system does not tell.
    pub fn memory(&self) -> Option<u64> {
        let process = self.process.as_ref().filter(|it| it.is_running())?;
        procfs::memory(process.pid)
    }

    pub(crate) fn apply(&mut self, status: &process::Status, restarts: u32) {
        self.restarts = restarts;
        self.process = None;
        self.message = None;
        match status {
            process::Status::Running { pid, since } => {
                self.state = Condition::Running;
                self.process = ProcessId::of(*pid);
                self.started_at = since
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .ok()
                    .map(|it| it.as_secs());
            }
            process::Status::Crashed { how } => {
                self.state = Condition::Crashed;
                self.message = Some(how.clone());
            }
            process::Status::Stopped => self.state = Condition::Stopped,
        }
    }
}

/// A folder that this process has for itself.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    /// Unlocked by the system when this process ends.
    lock: File,
}

impl Folder {
    /// Takes the folder, and ends what an owner that is gone may have left behind in it.
    pub(crate) fn take(dir: &Path) -> Result<(Self, State), Error> {
        for name in ["", "pki", "kubeconfig", "logs", "data", "data/sockets"] {
            let path = dir.join(name);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(Error::file("create", path))?;
        }
        let dir = dir.canonicalize().map_err(Error::file("resolve", dir))?;
        let path = dir.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::file("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = State::load(&dir)
                    .ok()
                    .flatten()
                    .and_then(|state| state.owner);
                let owner = owner.map_or_else(
                    || "another process".to_owned(),
                    |it| {
                        format!(
                            "{} (pid {})",
                            procfs::program(it.pid).unwrap_or_default(),
                            it.pid
                        )
                    },
                );
                return Err(Error::FolderInUse { dir, owner });
            }
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", path)(error)),
        }
        let mut state = State::load(&dir)?.unwrap_or_default();
        end_stale(&state);
        state.owner = None;
        state.processes.clear();
        Ok((Self { dir, lock }, state))
    }

    pub(crate) fn sockets(&self) -> PathBuf {
        sockets(&self.dir)
    }

    /// Lets others take the folder. Closing the file alone would not do so at once if another thread is just starting a
    /// process, because that has a copy of it until its program runs.
    pub(crate) fn release(&self) {
        let _ = self.lock.unlock();
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn pki(&self, owner: &str) -> PathBuf {
        self.dir.join("pki").join(owner)
    }

    pub(crate) fn kubeconfig(&self, cluster: &str) -> PathBuf {
        self.dir.join("kubeconfig").join(format!("{cluster}.yaml"))
    }

    /// A place for what one component keeps.
    pub(crate) fn data(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join("data").join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(Error::file("create", &path))?;
        Ok(path)
    }

    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.dir
            .join("logs")
            .join(format!("{}.log", process.replace('/', "-")))
    }

    pub(crate) fn save(&self, state: &State) -> Result<(), Error> {
        state.save(&self.dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.release();
    }
}

/// Kills processes of an earlier owner. Its reaper has done so already, unless that was killed too.
fn end_stale(state: &State) {
    let is_stale = |it: &&ProcessId| it.is_running();
    let left: Vec<&ProcessId> = state
        .processes
        .values()
        .filter_map(|it| it.process.as_ref())
        .filter(is_stale)
        .collect();
    for process in &left {
        tracing::warn!(
            pid = process.pid,
            "Ending a process that an earlier run left behind"
        );
        process::signal(process.pid, Signal::SIGKILL);
    }
    for process in left {
        // Only its parent can be told of the end; the wait is short because SIGKILL is not a question.
        for _ in 0..100 {
            if !process.is_running() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn process_state(process: Option<ProcessId>) -> ProcessState {
        ProcessState {
            role: "etcd".to_owned(),
            cluster: None,
            process,
            port: Some(1),
            log: PathBuf::from("logs/etcd.log"),
            state: Condition::Running,
            restarts: 0,
            started_at: None,
            message: None,
        }
    }

    #[test]
    fn a_folder_admits_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, mut state) = Folder::take(dir.path()).unwrap();
        state.owner = Some(ProcessId::current());
        folder.save(&state).unwrap();

        let error = Folder::take(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("(pid {})", std::process::id())),
            "{error}"
        );

        drop(folder);
        let (_folder, state) = Folder::take(dir.path()).unwrap();
        assert_eq!(state.owner, None);
    }

    #[test]
    fn what_an_earlier_owner_left_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let (folder, mut state) = Folder::take(dir.path()).unwrap();
        state
            .processes
            .insert("etcd".to_owned(), process_state(ProcessId::of(child.id())));
        folder.save(&state).unwrap();
        drop(folder);

        let (_folder, state) = Folder::take(dir.path()).unwrap();
        assert!(state.processes.is_empty());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_process_that_got_the_same_id_later_is_spared() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let (folder, mut state) = Folder::take(dir.path()).unwrap();
        let other = ProcessId {
            pid: child.id(),
            start_time: "1".to_owned(),
        };
        state
            .processes
            .insert("etcd".to_owned(), process_state(Some(other)));
        folder.save(&state).unwrap();
        drop(folder);

        Folder::take(dir.path()).unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_state_file_of_another_version_is_said_to_be_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("state.json"), "{\"clusters\": 1}").unwrap();
        let error = Folder::take(dir.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("is not a state file of this version"),
            "{error}"
        );
        assert!(error.hint().is_some());
    }
}

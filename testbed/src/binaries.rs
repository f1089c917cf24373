//! Where the programs come from: folders that the user names, the search path, the cache, or a build from pinned modules.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Error;
use crate::go_build;
use crate::progress::{Progress, Silent};

/// The programs that clusters are made of, and kubectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    Etcd,
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Kwok,
    Kubectl,
}

/// What a control plane with members needs.
const FOR_MEMBERS: &[Program] = &[
    Program::Etcd,
    Program::KubeApiserver,
    Program::KubeControllerManager,
    Program::KubeScheduler,
    Program::Kwok,
];

/// The API that the components speak with each other moved too much before this.
const OLDEST_KUBERNETES: (u32, u32) = (1, 28);

impl Program {
    /// The name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kwok => "kwok",
            Self::Kubectl => "kubectl",
        }
    }

    fn is_control_plane_of_kubernetes(self) -> bool {
        matches!(
            self,
            Self::KubeApiserver | Self::KubeControllerManager | Self::KubeScheduler
        )
    }
}

/// Where to look for programs, and how to show a build.
#[derive(Clone)]
pub struct Source {
    /// Folders to look in, the most important first.
    folders: Vec<PathBuf>,
    cache: PathBuf,
    progress: Arc<dyn Progress>,
    /// Asking a program for its version takes time, and a bed needs each of them several times.
    found: Arc<Mutex<BTreeMap<Program, PathBuf>>>,
}

impl Source {
    /// Looks in the folders, then builds into the cache folder what is missing.
    pub fn new(folders: Vec<PathBuf>, cache: PathBuf) -> Self {
        Self {
            folders,
            cache,
            progress: Arc::new(Silent),
            found: Arc::default(),
        }
    }

    /// `KUBEBUILDER_ASSETS`, then `bin_dir`, then `PATH`; the cache is `NAVARCH_CACHE_DIR`, else a folder for these very
    /// versions below `XDG_CACHE_HOME` or `~/.cache`.
    pub fn from_env(bin_dir: Option<PathBuf>) -> Self {
        let is_set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let assets = is_set("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let path = is_set("PATH").unwrap_or_default();
        let folders = assets
            .into_iter()
            .chain(bin_dir)
            .chain(env::split_paths(&path))
            .collect();
        Self::new(folders, cache_dir(is_set))
    }

    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Finds a program, or builds it. Blocks for minutes when it builds.
    pub fn locate(&self, program: Program) -> Result<PathBuf, Error> {
        self.locate_all(&[program])?;
        self.find(program)?.ok_or(Error::GoMissing {
            program: program.name(),
        })
    }

    /// Finds or builds everything that clusters are made of. Blocks for minutes when it builds.
    pub fn prepare(&self) -> Result<(), Error> {
        self.locate_all(FOR_MEMBERS)
    }

    fn locate_all(&self, programs: &[Program]) -> Result<(), Error> {
        let mut missing = Vec::new();
        for &program in programs {
            if self.find(program)?.is_none() {
                missing.push(program);
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            go_build::build(&self.cache, &missing, &*self.progress)
        }
    }

    fn find(&self, program: Program) -> Result<Option<PathBuf>, Error> {
        if let Some(path) = self
            .found
            .lock()
            .get(&program)
            .filter(|path| is_executable(path))
        {
            return Ok(Some(path.clone()));
        }
        let found = self.search(program)?;
        self.found
            .lock()
            .extend(found.clone().map(|path| (program, path)));
        Ok(found)
    }

    fn search(&self, program: Program) -> Result<Option<PathBuf>, Error> {
        let in_folders = self
            .folders
            .iter()
            .map(|dir| dir.join(program.name()))
            .find(|path| is_executable(path));
        if let Some(path) = in_folders {
            require_version(program, &path)?;
            return Ok(Some(path));
        }
        let cached = self.cache.join(program.name());
        Ok(is_executable(&cached).then_some(cached))
    }
}

fn cache_dir(is_set: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(dir) = is_set("NAVARCH_CACHE_DIR") {
        return dir.into();
    }
    let caches = is_set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(is_set("HOME")?).join(".cache")));
    caches
        .unwrap_or_else(env::temp_dir)
        .join("navarch")
        .join(format!("bin-{:08x}", go_build::fingerprint()))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// Found programs may be of any age; ours are as pinned.
fn require_version(program: Program, path: &Path) -> Result<(), Error> {
    if !program.is_control_plane_of_kubernetes() {
        return Ok(());
    }
    let Ok(output) = Command::new(path).arg("--version").output() else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match parse_version(&text) {
        Some(version) if version < OLDEST_KUBERNETES => Err(Error::TooOld {
            program: program.name(),
            path: path.to_owned(),
            found: text.trim_start_matches("Kubernetes ").to_owned(),
            oldest: "1.28",
        }),
        // Builds without version information exist and work.
        _ => Ok(()),
    }
}

/// `Kubernetes v1.34.4` -> (1, 34)
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("Kubernetes v")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(dir: &Path, program: Program, text: &str) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        let path = dir.join(program.name());
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn folders_come_before_the_cache_and_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| dir.path().join(name);
        let source = || Source::new(vec![folder("assets"), folder("path")], folder("cache"));

        let cached = script(&folder("cache"), Program::Etcd, "");
        assert_eq!(source().locate(Program::Etcd).unwrap(), cached);
        let on_path = script(&folder("path"), Program::Etcd, "");
        assert_eq!(source().locate(Program::Etcd).unwrap(), on_path);
        let asset = script(&folder("assets"), Program::Etcd, "");
        assert_eq!(source().locate(Program::Etcd).unwrap(), asset);

        fs::set_permissions(&asset, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(source().locate(Program::Etcd).unwrap(), on_path);
    }

    #[test]
    fn an_old_api_server_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::new(vec![dir.path().to_owned()], dir.path().join("cache"));
        let path = script(
            dir.path(),
            Program::KubeApiserver,
            "echo Kubernetes v1.24.3",
        );
        let expected = format!(
            "kube-apiserver v1.24.3 at {} is older than 1.28",
            path.display()
        );
        assert_eq!(
            source
                .locate(Program::KubeApiserver)
                .unwrap_err()
                .to_string(),
            expected
        );

        script(
            dir.path(),
            Program::KubeApiserver,
            "echo Kubernetes v1.34.0-rc.1",
        );
        assert_eq!(source.locate(Program::KubeApiserver).unwrap(), path);
    }

    #[test]
    fn the_cache_follows_the_environment() {
        let with = |set: &'static [(&str, &str)]| {
            cache_dir(move |name| {
                set.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| OsString::from(value))
            })
        };
        assert_eq!(
            with(&[("NAVARCH_CACHE_DIR", "/n"), ("HOME", "/h")]),
            Path::new("/n")
        );
        assert!(with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).starts_with("/x/navarch"));
        assert!(with(&[("HOME", "/h")]).starts_with("/h/.cache/navarch"));
    }
}

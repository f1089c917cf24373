//! What can go wrong between asking for clusters and having them, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failure of the test bed. The text is one line; [`Error::hint`] says what to do next and [`Error::detail`] shows the
/// output that led there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{program} was not found, and `go` is not installed to build it")]
    GoMissing { program: &'static str },
    #[error("cannot build {program}: {cause}")]
    Build {
        program: String,
        cause: String,
        output: String,
        log: PathBuf,
    },
    #[error("{program} {found} at {} is older than {oldest}", path.display())]
    TooOld {
        program: &'static str,
        path: PathBuf,
        found: String,
        oldest: &'static str,
    },
    #[error("the folder {} is in use by {owner}", dir.display())]
    FolderInUse { dir: PathBuf, owner: String },
    #[error("port {port} of {process} is in use by {owner}")]
    PortInUse {
        port: u16,
        process: String,
        owner: String,
    },
    #[error("no free port between {first} and {last}")]
    NoFreePort { first: u16, last: u16 },
    #[error("{process} ended during start: {cause}")]
    Ended {
        process: String,
        cause: String,
        output: String,
        log: PathBuf,
    },
    #[error("{what} is not ready after {} s: {cause}", after.as_secs())]
    NotReady {
        what: String,
        after: Duration,
        cause: String,
    },
    #[error("cannot start {process}")]
    Spawn { process: String, source: io::Error },
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is not a state file of this version: {reason}", path.display())]
    State { path: PathBuf, reason: String },
    #[error("cannot make {what} for {owner}")]
    Certificate {
        what: &'static str,
        owner: String,
        source: rcgen::Error,
    },
    #[error("no cluster or component is called {name:?} (known: {known})")]
    Unknown { name: String, known: String },
    #[error("{name:?} cannot be the name of a member: {reason}")]
    Name { name: String, reason: &'static str },
    #[error("cannot use the kubeconfig of {cluster}")]
    Kubeconfig {
        cluster: String,
        source: Box<kube::config::KubeconfigError>,
    },
    #[error("cannot {action} in {cluster}")]
    Request {
        action: String,
        cluster: String,
        source: Box<kube::Error>,
    },
}

impl Error {
    /// One sentence with what the user can do, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::GoMissing { .. } => {
                "install Go 1.24 or newer (https://go.dev/dl), or name a folder that has the \
                                       binaries with --bin-dir or KUBEBUILDER_ASSETS"
                    .to_owned()
            }
            Self::Build { log, .. } => {
                format!(
                    "the whole output is in {}; a network or proxy problem is fixed with GOPROXY",
                    log.display()
                )
            }
            Self::TooOld { .. } => {
                "remove it from the search path, or name another folder with --bin-dir".to_owned()
            }
            Self::FolderInUse { .. } => {
                "stop what runs there (navarch local down), or choose another folder with \
                                         NAVARCH_LOCAL_DIR"
                    .to_owned()
            }
            Self::PortInUse { .. } => {
                "stop that process, or start over on new ports: navarch local down --purge, \
                                       then navarch local up"
                    .to_owned()
            }
            Self::Ended { log, .. } => format!("its log is {}", log.display()),
            Self::NotReady { .. } => {
                "look at the logs; a loaded machine may need a longer --wait".to_owned()
            }
            Self::State { path, .. } => {
                format!("remove {} if nothing of it runs any more", path.display())
            }
            _ => return None,
        };
        Some(hint)
    }

    /// The last lines of output of the program that failed, if one did.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Build { output, .. } | Self::Ended { output, .. } if !output.is_empty() => {
                Some(output)
            }
            _ => None,
        }
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(crate) fn request(
        action: impl Into<String>,
        cluster: &str,
    ) -> impl FnOnce(kube::Error) -> Self {
        let (action, cluster) = (action.into(), cluster.to_owned());
        move |source| Self::Request {
            action,
            cluster,
            source: Box::new(source),
        }
    }
}

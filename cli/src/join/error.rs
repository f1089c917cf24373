use std::time::Duration;

use crate::{age::age, connection::chain};

/// Why a cluster was not joined or not removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid cluster name {name:?}: {problem}")]
    InvalidName { name: String, problem: &'static str },
    #[error("{url} is not a control plane (it does not serve cluster.karmada.io)")]
    NotAControlPlane { url: String },
    #[error("the member kubeconfig points to the control plane itself")]
    MemberIsControlPlane,
    #[error("cluster {name:?} is already registered (id {id}, {} ago); --force-refresh renews its credentials", age(*since))]
    AlreadyRegistered {
        name: String,
        id: String,
        since: Duration,
    },
    #[error("this cluster is already registered as {name:?} (id {id}, {} ago)", age(*since))]
    RegisteredAs {
        name: String,
        id: String,
        since: Duration,
    },
    #[error("the name {name:?} is taken by another cluster (id {id})")]
    NameTaken { name: String, id: String },
    #[error("cluster {name:?} is a Pull cluster; its agent has to go with unregister")]
    IsPull { name: String },
    #[error(
        "Secret {namespace}/{name} in the member is of type {type_}, not a service account token"
    )]
    ForeignSecret {
        namespace: String,
        name: String,
        type_: String,
    },
    #[error("the member issued no token for ServiceAccount {namespace}/{name} within {} s", limit.as_secs())]
    NoToken {
        namespace: String,
        name: String,
        limit: Duration,
    },
    #[error("{name} joined but is not Ready after {}: {reason}", span(*limit))]
    NotReady {
        name: String,
        limit: Duration,
        reason: String,
    },
    #[error("cluster {name:?} is not registered")]
    NotRegistered { name: String },
    #[error(
        "the member kubeconfig points to another cluster than {name:?} (id {found}, registered is {registered})"
    )]
    OtherMember {
        name: String,
        found: String,
        registered: String,
    },
    #[error("cluster {name:?} is still being removed after {}: {waiting}", span(*limit))]
    StillThere {
        name: String,
        limit: Duration,
        waiting: String,
    },
    #[error("cannot {step}: {}", text(source))]
    Request { step: String, source: kube::Error },
    #[error("cannot {step}: no answer within {} s", limit.as_secs())]
    NoAnswer { step: String, limit: Duration },
    #[error("{source} (left behind: {})", left.join(", "))]
    NotUndone {
        source: Box<Error>,
        /// What this run created and could not remove.
        left: Vec<String>,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAControlPlane { .. } => {
                Some("choose another context with --context".to_owned())
            }
            Self::MemberIsControlPlane => {
                Some("name the member with --cluster-kubeconfig and --cluster-context".to_owned())
            }
            Self::NotReady { name, .. } => Some(format!("kubectl describe cluster {name}")),
            Self::StillThere { .. } => Some(
                "the removal goes on; --force ends it without waiting, objects may stay in the member"
                    .to_owned(),
            ),
            Self::NotUndone { source, .. } => source.hint(),
            _ => None,
        }
    }

    /// Whether a wait took too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::NotReady { .. } | Self::StillThere { .. })
    }

    pub(super) fn is_not_found(&self) -> bool {
        has_code(self, 404)
    }

    pub(super) fn is_already_exists(&self) -> bool {
        let Self::Request {
            source: kube::Error::Api(status),
            ..
        } = self
        else {
            return false;
        };
        status.reason == "AlreadyExists"
    }
}

fn has_code(error: &Error, code: u16) -> bool {
    matches!(error, Error::Request { source: kube::Error::Api(status), .. } if status.code == code)
}

/// The server's own sentence, or the chain of what went wrong on the way to it.
fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => chain(other),
    }
}

/// As durations are given on the command line, such as `2m0s`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_specified() {
        let day = Duration::from_hours(24);
        for (error, expected) in [
            (
                Error::AlreadyRegistered {
                    name: "m1".into(),
                    id: "7c1e".into(),
                    since: 12 * day,
                },
                "cluster \"m1\" is already registered (id 7c1e, 12d ago); --force-refresh renews its credentials",
            ),
            (
                Error::NameTaken {
                    name: "m1".into(),
                    id: "90ab".into(),
                },
                "the name \"m1\" is taken by another cluster (id 90ab)",
            ),
            (
                Error::MemberIsControlPlane,
                "the member kubeconfig points to the control plane itself",
            ),
            (
                Error::NotReady {
                    name: "m1".into(),
                    limit: Duration::from_mins(2),
                    reason: "ClusterNotReachable".into(),
                },
                "m1 joined but is not Ready after 2m0s: ClusterNotReachable",
            ),
            (
                Error::NotUndone {
                    source: Box::new(Error::MemberIsControlPlane),
                    left: vec!["namespace/a".into(), "secret/b".into()],
                },
                "the member kubeconfig points to the control plane itself (left behind: namespace/a, secret/b)",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }
}

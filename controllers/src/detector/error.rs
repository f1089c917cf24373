//! What can fail in a pass of the detector.

use propagation::binding::{Collision, UpsertError};
use runtime::{ApiError, controller::ReconcileError};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read template {template}")]
    ReadTemplate { template: String, source: ApiError },
    #[error("the kind of template {template} is not served")]
    UnknownKind { template: String },
    #[error("claim template {template}")]
    Claim { template: String, source: ApiError },
    #[error("release template {template}")]
    Release { template: String, source: ApiError },
    #[error("release binding {binding}")]
    ReleaseBinding { binding: String, source: ApiError },
    /// The message names the override policies.
    #[error("{message}")]
    OverridesMissing { message: String },
    #[error("get replicas of template {template}")]
    Replicas {
        template: String,
        source: Box<interpreter::Error>,
    },
    #[error("get components of template {template}")]
    Components {
        template: String,
        source: Box<interpreter::Error>,
    },
    #[error("read priority class {name}")]
    PriorityClass { name: String, source: ApiError },
    #[error(
        "spec.schedulePriority.priorityClassName of the policy names PriorityClass {name}, which does not exist; create it or correct the name"
    )]
    NoPriorityClass { name: String },
    #[error(transparent)]
    Collision(Box<Collision>),
    #[error(transparent)]
    OwnerGone(Box<UpsertError>),
    #[error("read binding {binding}")]
    ReadBinding { binding: String, source: ApiError },
    #[error("write binding {binding}")]
    WriteBinding { binding: String, source: ApiError },
}

impl From<UpsertError> for Error {
    fn from(error: UpsertError) -> Self {
        match error {
            UpsertError::Collision(collision) => Self::Collision(collision),
            gone @ UpsertError::OwnerGone { .. } => Self::OwnerGone(Box::new(gone)),
        }
    }
}

impl Error {
    fn api_error(&self) -> Option<&ApiError> {
        match self {
            Self::ReadTemplate { source, .. }
            | Self::Claim { source, .. }
            | Self::Release { source, .. }
            | Self::ReleaseBinding { source, .. }
            | Self::PriorityClass { source, .. }
            | Self::ReadBinding { source, .. }
            | Self::WriteBinding { source, .. } => Some(source),
            _ => None,
        }
    }

    /// The error with its cause, for an event.
    pub(super) fn text(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    /// Whether waiting for something else in motion is all there is to it, at least for a while.
    pub(super) fn is_transient(&self) -> bool {
        self.is_conflict() || matches!(self, Self::OwnerGone(_))
    }
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::ReadTemplate { .. } => "ReadTemplate",
            Self::UnknownKind { .. } => "UnknownKind",
            Self::Claim { .. } => "Claim",
            Self::Release { .. } | Self::ReleaseBinding { .. } => "Release",
            Self::OverridesMissing { .. } => "DependentOverrideMissing",
            Self::Replicas { .. } | Self::Components { .. } => "InterpreterFailed",
            Self::PriorityClass { .. } | Self::NoPriorityClass { .. } => "PriorityClass",
            Self::Collision(_) => "NameCollision",
            Self::OwnerGone(_) => "OwnerGone",
            Self::ReadBinding { .. } => "ReadBinding",
            Self::WriteBinding { .. } => "WriteBinding",
        }
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Self::Collision(_) | Self::OverridesMissing { .. })
    }

    fn is_conflict(&self) -> bool {
        match self {
            // A binding that is there although the store did not know it, or gone although it did: the next pass sees it.
            Self::WriteBinding { source, .. } => {
                source.is_conflict() || source.is_already_exists() || source.is_not_found()
            }
            _ => self.api_error().is_some_and(ApiError::is_conflict),
        }
    }
}

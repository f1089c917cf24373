//! Failures as a user reads them: one line, what to do, and the output that led there.

use std::error::Error as StdError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    hint: Option<String>,
    detail: Option<String>,
}

impl Error {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            detail: None,
        }
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn with_detail(mut self, detail: Option<String>) -> Self {
        self.detail = detail;
        self
    }

    /// With the causes in the same line.
    pub(super) fn from_chain(error: &(dyn StdError + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |&error| error.source());
        let texts: Vec<String> = causes.map(ToString::to_string).collect();
        Self::new(texts.join(": "))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The last lines of output of the program that failed, if one did.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl From<testbed::Error> for Error {
    fn from(error: testbed::Error) -> Self {
        let (hint, detail) = (error.hint(), error.detail().map(str::to_owned));
        Self {
            hint,
            detail,
            ..Self::from_chain(&error)
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::from_chain(&error)
    }
}

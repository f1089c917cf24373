//! Errors as users see them: one sentence, perhaps what to do, and an exit code.

use std::process::ExitCode;

/// A wait took too long.
pub(crate) const TIMEOUT: u8 = 4;
/// Any other error, wrong usage included.
pub(crate) const ERROR: u8 = 1;

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Output that explains the failure, printed before it.
    pub(crate) detail: Option<String>,
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            detail: None,
            code: ERROR,
        }
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Tells the user and returns the exit code.
    pub(crate) fn report(&self, quiet: bool) -> ExitCode {
        eprint!("{}", self.text(quiet));
        ExitCode::from(self.code)
    }

    fn text(&self, quiet: bool) -> String {
        let mut text = String::new();
        if let Some(detail) = &self.detail {
            text.push_str(detail.trim_end());
            text.push('\n');
        }
        text.push_str("error: ");
        text.push_str(self.message.trim_end_matches('.'));
        text.push('\n');
        if let Some(hint) = self.hint.as_ref().filter(|_| !quiet) {
            for line in hint.lines() {
                text.push_str("hint: ");
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

impl From<crate::local::Error> for Failure {
    fn from(error: crate::local::Error) -> Self {
        Self {
            hint: error.hint().map(str::to_owned),
            detail: error.detail().map(str::to_owned),
            ..Self::new(error.to_string())
        }
    }
}

impl From<crate::join::Error> for Failure {
    fn from(error: crate::join::Error) -> Self {
        Self {
            hint: error.hint(),
            code: if error.is_timeout() { TIMEOUT } else { ERROR },
            ..Self::new(error.to_string())
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_sentence_with_hints() {
        let failure = Failure {
            detail: Some("last words\n".into()),
            ..Failure::new("it broke.").with_hint("mend it\nor buy another")
        };
        assert_eq!(
            failure.text(false),
            "last words\nerror: it broke\nhint: mend it\nhint: or buy another\n"
        );
        assert_eq!(failure.text(true), "last words\nerror: it broke\n");
    }
}

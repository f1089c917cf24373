//! What API servers answer when they do not do what was asked.

use std::{future::Future, time::Duration};

use kube::core::Status;

/// A failed request to an API server, with the questions that reconcilers ask of it.
///
/// Prints the server's own sentence (`namespaces "x" not found`), which is what users recognise, rather than how we got it.
#[derive(Debug)]
pub enum ApiError {
    /// The server refused, or could not be reached.
    Request(Box<kube::Error>),
    /// No answer within the time that a unary call may take.
    Timeout(Duration),
}

/// How long a call that is no watch may take, towards any API server.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(32);

/// Runs one request with the time limit of unary calls.
///
/// Clients have no read timeout of their own, because it would cut watches.
pub async fn call<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    match tokio::time::timeout(CALL_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(ApiError::from),
        Err(_) => Err(ApiError::Timeout(CALL_TIMEOUT)),
    }
}

impl ApiError {
    /// What the server answered, if it did.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Request(error) => match &**error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Timeout(_) => None,
        }
    }

    fn has_code(&self, code: u16) -> bool {
        self.status().is_some_and(|status| status.code == code)
    }

    pub fn is_not_found(&self) -> bool {
        self.has_code(404)
    }

    /// The object exists already. The API server says 409 for this and for a lost race; only the reason tells them apart.
    pub fn is_already_exists(&self) -> bool {
        self.status()
            .is_some_and(|status| status.reason == "AlreadyExists")
    }

    /// Somebody else wrote first.
    pub fn is_conflict(&self) -> bool {
        self.has_code(409) && !self.is_already_exists()
    }

    /// The server refuses what was sent; trying the same again cannot help before an input changes.
    pub fn is_refusal(&self) -> bool {
        [400, 403, 405, 413, 415, 422]
            .iter()
            .any(|code| self.has_code(*code))
    }

    /// Whether the namespace of the object is being deleted, so that nothing can be created in it.
    pub fn is_namespace_terminating(&self) -> bool {
        self.status()
            .and_then(|status| status.details.as_ref())
            .is_some_and(|details| {
                details
                    .causes
                    .iter()
                    .any(|cause| cause.reason == "NamespaceTerminating")
            })
    }

    /// The server did not answer: no connection, a timeout, a broken answer.
    pub fn is_unreachable(&self) -> bool {
        self.status().is_none()
    }

    /// A word from a bounded set, for metric labels.
    pub fn reason(&self) -> &'static str {
        match self.status().map(|status| status.code) {
            None => "Unreachable",
            Some(401) => "Unauthorized",
            Some(403) => "Forbidden",
            Some(404) => "NotFound",
            Some(409) if self.is_already_exists() => "AlreadyExists",
            Some(409) => "Conflict",
            Some(410) => "Gone",
            Some(422) => "Invalid",
            Some(429) => "TooManyRequests",
            Some(code) if code >= 500 => "ServerError",
            Some(_) => "Refused",
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.status()) {
            (Self::Timeout(limit), _) => write!(f, "no answer within {} s", limit.as_secs()),
            (_, Some(status)) if !status.message.is_empty() => f.write_str(&status.message),
            (Self::Request(error), _) => {
                // Connection errors nest: the outermost text says "client error", the innermost what happened.
                let mut source: &dyn std::error::Error = &**error;
                let mut text = source.to_string();
                while let Some(inner) = source.source() {
                    let inner_text = inner.to_string();
                    if !text.contains(&inner_text) {
                        text = format!("{text}: {inner_text}");
                    }
                    source = inner;
                }
                f.write_str(&text)
            }
        }
    }
}

impl std::error::Error for ApiError {}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        Self::Request(Box::new(error))
    }
}

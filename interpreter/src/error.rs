//! Why an operation failed.

use crds::config::InterpreterOperation;

use crate::layer::LayerName;
use crate::lua::ScriptError;
use crate::schema::Mismatch;

/// An operation on an object failed. Its text names the operation, the kind, the layer that answered, and the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} of {kind}: {layer}: {cause}", operation.as_str())]
pub struct Error {
    pub operation: InterpreterOperation,
    /// Group, version and kind of the object, as `apps/v1 Deployment`.
    pub kind: String,
    /// The layer that had the hook, or native when none had.
    pub layer: LayerName,
    pub cause: Cause,
}

/// What went wrong inside a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("there is no hook")]
    NoHook,
    /// The object does not fit its Kubernetes type.
    #[error("decode {0}")]
    Decode(#[from] Mismatch),
    /// A field that the operation uses has an unusable value.
    #[error("{path} {problem}")]
    Field { path: String, problem: String },
    /// A script failed, did not return what it should, or does not parse.
    #[error("{customization}: {error}")]
    Script {
        /// The customization that the script is part of, or the built-in rule.
        customization: String,
        error: ScriptError,
    },
    /// A webhook was not reached, refused, or answered what cannot be used.
    #[error("webhook {webhook}: {problem}")]
    Webhook {
        /// `<configuration>/<webhook>`.
        webhook: String,
        problem: String,
    },
    /// A component that cannot be told from others, or not be stored.
    #[error("components[{position}].{problem}")]
    Component {
        /// Its place in the answer, from 0.
        position: usize,
        /// What is wrong with which of its fields.
        problem: String,
    },
    /// A dependency that cannot be looked up.
    #[error("dependencies[{position}].{problem}")]
    Reference {
        /// Its place in the answer, from 0.
        position: usize,
        /// What is wrong with which of its fields.
        problem: String,
    },
}

impl Cause {
    pub(crate) fn field(path: &[&str], problem: impl Into<String>) -> Self {
        let path = if path.is_empty() {
            "object".to_owned()
        } else {
            path.join(".")
        };
        Self::Field {
            path,
            problem: problem.into(),
        }
    }
}

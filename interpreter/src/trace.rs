//! What the interpreter tells whoever asks why.

use crds::config::InterpreterOperation;

use crate::layer::LayerName;

/// A choice of the interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// This layer has the hook and decides alone.
    Answers {
        operation: InterpreterOperation,
        kind: String,
        layer: LayerName,
    },
    /// A script printed a line.
    Printed { line: String },
    /// No layer has a hook.
    NoHook {
        operation: InterpreterOperation,
        kind: String,
    },
    /// The layer that has the hook failed; no lower layer is asked.
    Failed {
        operation: InterpreterOperation,
        kind: String,
        layer: LayerName,
        cause: String,
    },
}

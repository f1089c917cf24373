//! What every kind of resource means: replicas, health, status, dependencies.
//!
//! The [`Interpreter`] answers eight questions about Kubernetes objects of any kind. Its layers are tried in order, and the
//! first one that has a hook for the kind and the operation decides alone:
//!
//! ```text
//! customization (Lua)  ->  webhook  ->  third-party (Lua, built in)  ->  native (compiled)
//! ```
//!
//! ```
//! # use navarch_interpreter as interpreter;
//! use std::sync::Arc;
//!
//! use interpreter::{Interpreter, StoppedClock};
//! use serde_json::json;
//!
//! let interpreter = Interpreter::native(Arc::new(StoppedClock(0)));
//! let deployment = json!({
//!     "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
//!     "spec": {"replicas": 3, "template": {"spec": {"containers": [
//!         {"name": "web", "resources": {"requests": {"cpu": "0.1"}}},
//!     ]}}},
//! });
//! let (replicas, requirements) = interpreter.replicas(&deployment)?.expect("a native rule");
//! assert_eq!(replicas, 3);
//! assert_eq!(requirements.expect("a request").resource_request["cpu"].0, "100m");
//! let revised = interpreter.revise_replica(deployment, 2)?;
//! assert_eq!(revised["spec"]["replicas"], 2);
//! # Ok::<(), interpreter::Error>(())
//! ```

pub mod cases;
pub mod check;
mod component;
mod customization;
pub mod document;
mod error;
mod interpreter;
mod layer;
mod lua;
mod native;
pub mod prune;
pub mod quantity;
pub mod reference;
pub mod rfc3339;
mod schema;
mod third_party;
pub mod trace;
mod value;
pub mod webhook;

pub use crds::config::InterpreterOperation as Operation;
pub use customization::{Customizations, Note};
pub use error::{Cause, Error};
pub use interpreter::Interpreter;
pub use layer::{
    Answer, Answered, Clock, Context, Layer, LayerName, Observer, Options, Printed, Question,
    StoppedClock, Target,
};
pub use lua::{Limits, PoolUse, Runtime, Script, ScriptError};
pub use native::NATIVE_KINDS;
pub use schema::Mismatch;
pub use third_party::{NEWER_THIRD_PARTY_KINDS, THIRD_PARTY_KINDS, third_party};

//! What the reconcilers stand on: stores, queues, member clients, events and metrics.
//!
//! ```text
//!  watch --(trim)--> Store --(change)--> Queue --(key)--> reconcile --> patch, Recorder
//!                      ^                                     |
//!                      +---------- reply of a write ---------+
//! ```
//!
//! This crate talks to API servers and decides nothing: it knows no policy, no placement and no Work semantics.

pub mod backoff;
pub mod controller;
pub mod discovery;
pub mod dynamic;
pub mod endpoints;
pub mod error;
pub mod events;
pub mod lease;
pub mod member;
pub mod metrics;
pub mod queue;
pub mod reduced;
pub mod store;
pub mod watch;

pub use controller::{Action, Controller, aside};
pub use error::ApiError;
pub use queue::Queue;
pub use store::{Change, Store};

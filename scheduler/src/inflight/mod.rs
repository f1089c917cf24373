//! What the scheduler has decided but does not see in its inputs yet.
//!
//! Both structures live in memory and concern `ResourceBinding` objects only. Whoever writes results and watches bindings keeps them.

mod assigning;
mod assumed;

pub use assigning::{AssigningBindings, Peers};
pub use assumed::{AssumedAt, AssumedWorkload, AssumedWorkloads};

//! From template to member cluster and back, as pure functions.
//!
//! ```text
//! template --skip, matching--> policy --binding--> binding --(scheduler)--> binding with clusters
//!    binding --render (overrides)--> Work per cluster --execution--> member object
//!    member object --execution::conditions--> Work status --status--> binding status
//! ```
//!
//! Everything here is computed from values: objects, policies, a clock reading, permanent ids. The shell reads them from stores,
//! calls, and writes what it is told. Each stage reports its decisions to a sink of [`trace::Item`]s, so that `why` and
//! `plan` tell what the controllers would do by running the same code.

pub mod binding;
pub mod brake;
mod clock;
pub mod dependencies;
pub mod diff;
pub mod events;
pub mod eviction;
pub mod execution;
pub mod failover;
pub mod hpa;
pub mod matching;
pub mod namespace;
pub mod overrides;
pub mod rebalance;
pub mod render;
pub mod skip;
pub mod status;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod yaml;

//! The reconcilers, one folder each, named after what it keeps true.
//!
//! ```text
//! template --detector--> binding --scheduling--> binding.spec.clusters --binding--> Work --execution--> member object
//! template <--binding_status-- binding.status <--binding_status-- Work.status <--execution-- member object
//! ```
//!
//! All of them read the stores of one [`World`], call the pure crates and apply the difference.

pub mod application_failover;
pub mod binding;
pub mod binding_status;
pub mod brake;
pub mod cluster;
pub mod cluster_status;
pub mod dependencies;
pub mod deployment_replicas_syncer;
pub mod descheduler;
pub mod detector;
pub mod discovery;
pub mod engine;
pub mod estimators;
pub mod eviction;
pub mod execution;
pub mod hpa_scale_target_marker;
pub mod interpretation;
pub mod namespace;
mod own_writes;
mod pace;
pub mod policy;
pub mod rebalancer;
pub mod records;
pub mod scheduling;
pub mod world;
mod write;

pub use world::World;

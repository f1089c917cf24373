//! User stories on real API servers: each in a namespace of its own, side by side on one control plane with three members.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "stories fail by panicking, and each binary uses a part of the stage"
)]

#[path = "../stage/mod.rs"]
mod stage;

mod brake;
mod claims;
mod cluster_scoped;
mod conflicts;
mod dependencies;
mod descheduler;
mod dispatch;
mod division;
mod drift;
mod estimator;
mod eviction;
mod execution;
mod explain;
mod failover;
mod hpa;
mod interpreter;
mod lazy;
mod lifecycle;
mod matching;
mod members_own;
mod metrics;
mod namespaces;
mod observed;
mod override_order;
mod overriders;
mod overrides;
mod placement;
mod policy_life;
mod propagate;
mod rebalancer;
mod records;
mod reports;
mod status;
mod strategies;

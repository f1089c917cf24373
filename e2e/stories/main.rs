//! User stories on real API servers: each in a namespace of its own, side by side on one control plane with three members.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "stories fail by panicking, and each binary uses a part of the stage"
)]

#[path = "../stage/mod.rs"]
mod stage;

mod cluster_scoped;
mod conflicts;
mod drift;
mod explain;
mod lifecycle;
mod overrides;
mod placement;
mod propagate;
mod status;

//! User stories on real API servers: each in a namespace of its own, side by side on one control plane with three members.

#[path = "../stage/mod.rs"]
mod stage;

mod cluster_scoped;
mod conflicts;
mod drift;
mod lifecycle;
mod overrides;
mod placement;
mod propagate;
mod status;

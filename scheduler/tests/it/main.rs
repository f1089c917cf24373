//! The scheduler's core through its public interface.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

mod adversarial;
mod cases;
mod decisions;
mod division;
mod estimation;
mod explanation;
mod filters;
mod fixtures;
mod laws;
mod model;
mod plugins;
mod recovery;
mod reference;
mod selection;
mod spread_laws;
mod steps;

//! The scheduler's core through its public interface.

mod adversarial;
mod decisions;
mod division;
mod estimation;
mod explanation;
mod fixtures;
mod laws;
mod reference;
mod selection;
mod steps;

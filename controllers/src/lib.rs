//! The reconcilers.

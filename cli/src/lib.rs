//! User commands.

pub mod local;

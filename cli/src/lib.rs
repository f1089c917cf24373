//! User commands.

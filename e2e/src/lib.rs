//! User stories run on real API servers.

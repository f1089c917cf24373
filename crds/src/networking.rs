//! networking

//! Policy matching, bindings, overrides, Works and status, as pure functions.

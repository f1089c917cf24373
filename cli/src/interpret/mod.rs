//! `navarch interpret`: what rules say, on objects from files.

pub(crate) mod builtin;
pub(crate) mod cases;
pub(crate) mod check;
pub(crate) mod edit;
pub(crate) mod execute;
pub(crate) mod rules;
pub(crate) mod sources;
mod yaml;

#[cfg(test)]
mod tests;

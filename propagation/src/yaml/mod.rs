//! YAML as Kubernetes tools have always read and written it: YAML 1.1 scalars, sorted keys, block lists.
//!
//! Field overriders rewrite documents inside strings, for example a configuration file in a ConfigMap. The printed form
//! must be stable and must mean the same to a YAML 1.1 reader in the member, hence one rule table ([`resolve`]) decides both how a plain
//! scalar is read and whether a string needs quotes.

mod print;
mod read;
mod resolve;

pub use print::print;
pub use read::{ReadError, read, scalar};

#[cfg(test)]
mod tests;

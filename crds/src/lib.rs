//! Wire types of the control plane: kinds, names, labels, conditions.
//!
//! Everything that crosses a process boundary is defined here, so that all other crates agree on it to the byte: the kinds of
//! the control plane's own API groups, the keys and name formulas by which objects find each other, the condition types and
//! event reasons that users read. The crate is pure: no client, no clock, no random numbers.
//!
//! Whole Kubernetes objects of other groups travel as [`serde_json::Value`], so that fields which nobody here knows survive;
//! [`object`] reads and edits them.
//!
//! ```
//! use crds::names;
//!
//! assert_eq!(names::binding_name("nginx", "Deployment"), "nginx-deployment");
//! assert_eq!(names::work_name("nginx", "Deployment", Some("default")), "nginx-687f7fb96f");
//! assert_eq!(names::execution_namespace("member1"), "karmada-es-member1");
//! ```

#![expect(
    clippy::doc_markdown,
    reason = "doc comments become descriptions, in which kinds and products stand as plain words"
)]

#[macro_use]
mod kind;

pub mod affinity;
pub mod apps;
pub mod autoscaling;
pub mod cluster;
pub mod conditions;
pub mod config;
pub mod keys;
pub mod manifests;
pub mod multicluster;
pub mod names;
pub mod networking;
pub mod object;
pub mod policy;
pub mod reasons;
pub mod remedy;
pub mod schema;
pub mod search;
pub mod selector;
#[cfg(test)]
mod validation;
pub mod work;

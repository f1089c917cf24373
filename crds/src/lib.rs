//! Wire types of the control plane: kinds, names, labels, conditions.

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
pub mod search;
pub mod selector;
pub mod work;

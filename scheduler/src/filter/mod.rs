//! The built-in filters, one file per plugin.
//!
//! The order here is the order in which they run. It decides only which reason a cluster that several filters refuse contributes to
//! the message.

mod api_enablement;
mod cluster_affinity;
mod cluster_eviction;
mod spread_constraint;
mod taint_toleration;
mod workload_affinity;

use std::sync::Arc;

use crate::plugins::Filter;

pub use api_enablement::ApiEnablement;
pub use cluster_affinity::ClusterAffinity;
pub use cluster_eviction::ClusterEviction;
pub use spread_constraint::SpreadConstraint;
pub use taint_toleration::TaintToleration;
pub use workload_affinity::{WorkloadAffinity, WorkloadAntiAffinity};

/// Filters that run only when the gate `WorkloadAffinity` is on.
pub(crate) const GATED: [&str; 2] = ["WorkloadAffinity", "WorkloadAntiAffinity"];

pub(crate) fn builtin() -> Vec<Arc<dyn Filter>> {
    vec![
        Arc::new(ApiEnablement),
        Arc::new(TaintToleration),
        Arc::new(ClusterAffinity),
        Arc::new(SpreadConstraint),
        Arc::new(ClusterEviction),
        Arc::new(WorkloadAffinity),
        Arc::new(WorkloadAntiAffinity),
    ]
}

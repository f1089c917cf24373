use std::sync::Arc;

use crate::plugins::{Filter, Verdict};
use crate::request::Request;
use crate::snapshot::Cluster;

/// Keeps replicas off clusters with a taint that the placement does not tolerate.
///
/// A cluster that already runs the workload passes: moving it away is the taint manager's decision.
pub struct TaintToleration;

impl Filter for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        if cluster.taints.is_empty() || request.is_target(cluster) {
            return Verdict::Fits;
        }
        match request.untolerated(cluster) {
            None => Verdict::Fits,
            Some(taint) => Verdict::unfit(Arc::clone(&taint.reason)),
        }
    }

    fn code(&self) -> &'static str {
        "UntoleratedTaint"
    }
}

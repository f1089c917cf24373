//! The built-in scores.

use std::sync::Arc;

use crate::plugins::Score;
use crate::request::Request;
use crate::snapshot::Cluster;

/// The best score of one plugin.
const MAX: i64 = 100;

/// Ranks all clusters that match the affinity alike.
pub struct ClusterAffinity;

impl Score for ClusterAffinity {
    fn name(&self) -> &'static str {
        "ClusterAffinity"
    }

    fn score(&self, _request: &Request<'_>, _cluster: &Cluster) -> Result<i64, String> {
        Ok(0)
    }
}

/// Prefers the clusters that already have the resource.
pub struct ClusterLocality;

impl Score for ClusterLocality {
    fn name(&self) -> &'static str {
        "ClusterLocality"
    }

    fn score(&self, request: &Request<'_>, cluster: &Cluster) -> Result<i64, String> {
        Ok(if request.is_target(cluster) { MAX } else { 0 })
    }
}

pub(crate) fn builtin() -> Vec<Arc<dyn Score>> {
    vec![Arc::new(ClusterAffinity), Arc::new(ClusterLocality)]
}

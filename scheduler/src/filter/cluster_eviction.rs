use crate::plugins::{Filter, Verdict};
use crate::request::Request;
use crate::snapshot::Cluster;

/// Keeps a workload from going back to a cluster that it is being moved away from.
pub struct ClusterEviction;

impl Filter for ClusterEviction {
    fn name(&self) -> &'static str {
        "ClusterEviction"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        if request.is_evicting(cluster) {
            Verdict::unfit("cluster(s) is in the process of eviction")
        } else {
            Verdict::Fits
        }
    }

    fn code(&self) -> &'static str {
        "Evicting"
    }

    fn explain(&self, request: &Request<'_>, cluster: &Cluster) -> Option<String> {
        let task = request.spec().eviction_task(cluster.name())?;
        let message = task.message.as_deref().unwrap_or_default();
        Some(
            format!("{} by {} {message}", task.reason, task.producer)
                .trim_end()
                .to_owned(),
        )
    }
}

use crate::plugins::{Filter, Verdict};
use crate::request::Request;
use crate::snapshot::Cluster;

/// Keeps a workload to the clusters of the other workloads of its affinity group.
///
/// The first workload of a group is free to go anywhere; later ones are limited to what all earlier ones have in common.
pub struct WorkloadAffinity;

impl Filter for WorkloadAffinity {
    fn name(&self) -> &'static str {
        "WorkloadAffinity"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        let groups = request.spec().workload_affinity_groups.as_ref();
        let group = groups.and_then(|groups| groups.affinity_group.as_deref());
        judge(group, request, cluster, |it| it.allowed_by_group(cluster))
    }

    fn code(&self) -> &'static str {
        "AffinityGroup"
    }
}

/// Keeps a workload off the clusters of the other workloads of its anti-affinity group.
pub struct WorkloadAntiAffinity;

impl Filter for WorkloadAntiAffinity {
    fn name(&self) -> &'static str {
        "WorkloadAntiAffinity"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        let groups = request.spec().workload_affinity_groups.as_ref();
        let group = groups.and_then(|groups| groups.anti_affinity_group.as_deref());
        judge(group, request, cluster, |it| {
            it.allowed_by_anti_group(cluster)
        })
    }

    fn code(&self) -> &'static str {
        "AntiAffinityGroup"
    }
}

fn judge(
    group: Option<&str>,
    request: &Request<'_>,
    cluster: &Cluster,
    allowed: impl Fn(&Request<'_>) -> Result<(), &'static str>,
) -> Verdict {
    if group.is_none_or(str::is_empty) || request.is_target(cluster) {
        return Verdict::Fits;
    }
    match allowed(request) {
        Ok(()) => Verdict::Fits,
        Err(reason) => Verdict::unfit(reason),
    }
}

//! A cluster that leaves the fleet takes everything along that it got from us.

use crds::{cluster::Cluster, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use propagation::brake::{Hold, Reason, Scope};

use super::{HeldBack, Holder};
use crate::World;

/// Why a Cluster that is being deleted has to wait; `None` when it may go. To be asked before its execution namespace goes.
pub(crate) fn leaving(world: &World, cluster: &Cluster) -> Option<String> {
    let name = cluster.name_any();
    let holder = Holder::Cluster(name.clone());
    let held = too_many(world, cluster, &name).map(|(count, limit)| Hold {
        reason: Reason::ClusterLimit,
        scope: Some(Scope::Cluster(name.clone())),
        message: format!(
            "removing the cluster from the fleet would remove {count} objects from it, and {limit} at once are the limit; if that is meant, let them go with `navarch release-hold cluster/{name}`"
        ),
    });
    let message = held.as_ref().map(|hold| hold.message.clone());
    let held = held.into_iter().map(|hold| HeldBack {
        cluster: name.clone(),
        hold,
    });
    world.brake.settle(world, &holder, held.collect());
    message
}

fn too_many(world: &World, cluster: &Cluster, name: &str) -> Option<(usize, usize)> {
    // Nothing is removed from a cluster that does not answer.
    if !cluster.is_ready() {
        return None;
    }
    let now = Time(jiff::Timestamp::now());
    let settings = world
        .brake
        .settings(world, &Scope::Cluster(name.to_owned()), &now);
    if settings.is_released || settings.threshold.is_off() {
        return None;
    }
    let works = world
        .works
        .by_index(world.works_by_namespace, &names::execution_namespace(name));
    let count = works
        .iter()
        .filter(|work| work.spec.preserve_resources_on_deletion != Some(true))
        .count();
    let limit = settings.threshold.limit(count);
    (count > limit).then_some((count, limit))
}

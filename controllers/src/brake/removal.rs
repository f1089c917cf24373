//! A cluster that leaves the fleet takes everything along that it got from us.

use crds::{cluster::Cluster, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use propagation::brake::{HeldBack, Hold, RELEASE_HOLD, Reason, Scope, is_released};

use super::{Holder, scope::settings};
use crate::World;

/// Annotation on a Cluster that leaves: it did not answer when it was let go, and had more than may go at once. Its objects stay in
/// it, even if it answers again meanwhile.
pub(crate) const LEFT_BEHIND: &str = "navarch.dev/objects-left-behind";

/// What becomes of a Cluster that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It goes, and its objects with it if it answers.
    Go,
    /// It goes and keeps its objects; the text says why.
    LeaveBehind(String),
    /// It waits; the text says why.
    Held(String),
}

/// Decides about a Cluster that is being deleted. To be asked before its execution namespace goes.
pub(crate) fn leaving(world: &World, cluster: &Cluster) -> Leaving {
    let name = cluster.name_any();
    let holder = Holder::Cluster(name.clone());
    let (leaving, held) = decide(world, cluster, &name);
    world
        .brake
        .settle(world, &holder, held.into_iter().collect());
    leaving
}

fn decide(world: &World, cluster: &Cluster, name: &str) -> (Leaving, Option<HeldBack>) {
    let Some((count, limit)) = too_many(world, name) else {
        return (Leaving::Go, None);
    };
    // Nothing is removed from a cluster that does not answer, and leaving must not hang on it.
    if !cluster.is_ready() {
        let message = format!(
            "the cluster does not answer, so its {count} objects stay in it, also if it answers again: {limit} at once are the limit; if they are to go then, let them go with `navarch release-hold cluster/{name}`"
        );
        return (Leaving::LeaveBehind(message), None);
    }
    let message = format!(
        "removing the cluster from the fleet would remove {count} objects from it, and {limit} at once are the limit; if that is meant, let them go with `navarch release-hold cluster/{name}`"
    );
    let hold = Hold {
        reason: Reason::ClusterLimit,
        scope: Some(Scope::Cluster(name.to_owned())),
        threshold: None,
        message: message.clone(),
    };
    let kept = HeldBack {
        objects: count,
        ..HeldBack::new(name, hold)
    };
    (Leaving::Held(message), Some(kept))
}

fn too_many(world: &World, name: &str) -> Option<(usize, usize)> {
    let now = Time(jiff::Timestamp::now());
    let scope = Scope::Cluster(name.to_owned());
    let settings = settings(world, world.brake.options(), &scope, &now);
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

/// Whether a Cluster that leaves keeps its objects although it answers.
pub(crate) fn is_left_behind(cluster: &Cluster) -> bool {
    let annotation = |key: &str| cluster.annotations().get(key).map(String::as_str);
    let now = Time(jiff::Timestamp::now());
    annotation(LEFT_BEHIND).is_some() && !is_released(annotation(RELEASE_HOLD), &now)
}

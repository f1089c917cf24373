//! How many replicas of a workload find no node.

use std::{borrow::Borrow, time::Duration};

use jiff::Timestamp;
use kube::Resource as _;

use crate::objects::{Deployment, Pod, ReplicaSet, Stuck};

/// The `ReplicaSet` that runs the Deployment's present template; of several the oldest.
pub fn newest<S: Borrow<ReplicaSet>>(
    deployment: &Deployment,
    sets: impl IntoIterator<Item = S>,
) -> Option<S> {
    let uid = deployment.meta().uid.as_deref()?;
    sets.into_iter()
        .filter(|set| {
            let set = set.borrow();
            set.owner.as_deref() == Some(uid) && set.template == deployment.template
        })
        .min_by_key(|set| {
            let set = set.borrow();
            (set.created, set.meta().name.clone())
        })
}

/// How many of the pods of a `ReplicaSet` have had no node for longer than the threshold.
pub fn count<P: Borrow<Pod>>(
    set: &ReplicaSet,
    pods: impl IntoIterator<Item = P>,
    threshold: Duration,
    now: Timestamp,
) -> i32 {
    let Some(uid) = set.meta().uid.as_deref() else {
        return 0;
    };
    count_where(pods, |stuck| stuck.owner == uid, threshold, now)
}

/// How many of the pods that a workload owns itself, such as `StatefulSet/db`, have had no node for longer than the threshold.
pub fn count_owned<P: Borrow<Pod>>(
    workload: &str,
    pods: impl IntoIterator<Item = P>,
    threshold: Duration,
    now: Timestamp,
) -> i32 {
    count_where(pods, |stuck| stuck.workload == workload, threshold, now)
}

fn count_where<P: Borrow<Pod>>(
    pods: impl IntoIterator<Item = P>,
    is_meant: impl Fn(&Stuck) -> bool,
    threshold: Duration,
    now: Timestamp,
) -> i32 {
    let is_stuck = |pod: &Pod| {
        pod.stuck.as_ref().is_some_and(|stuck| {
            is_meant(stuck)
                && Duration::try_from(now.duration_since(stuck.since))
                    .is_ok_and(|since| since > threshold)
        })
    };
    let stuck = pods.into_iter().filter(|pod| is_stuck(pod.borrow()));
    i32::try_from(stuck.count()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(name: &str, image: &str, created: &str) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "uid": name, "creationTimestamp": created,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "web", "controller": true}],
            },
            "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        }))
        .unwrap()
    }

    fn pod(owner: &str, since: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true},
            ]},
            "status": {"conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since,
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn pods_of_the_present_template_count_once_they_waited_long_enough() {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "web", "uid": "web"},
            "spec": {"template": {"spec": {"containers": [{"image": "b"}]}}},
        }))
        .unwrap();
        let sets = [
            set("old", "a", "2026-01-01T00:00:00Z"),
            set("twin", "b", "2026-01-02T00:00:01Z"),
            set("new", "b", "2026-01-02T00:00:00Z"),
        ];
        let found = newest(&deployment, &sets).unwrap();
        assert_eq!(found.meta().name.as_deref(), Some("new"));
        let pods = [
            pod("new", "2026-01-03T00:00:00Z"),
            pod("new", "2026-01-03T00:04:00Z"),
            pod("old", "2026-01-03T00:00:00Z"),
            // A member whose clock is ahead.
            pod("new", "2026-01-03T01:00:00Z"),
        ];
        let now = "2026-01-03T00:06:00Z".parse().unwrap();
        assert_eq!(count(found, &pods, Duration::from_mins(5), now), 1);
        assert_eq!(count(found, &pods, Duration::ZERO, now), 2);
        assert!(newest(&deployment, &sets[..1]).is_none());
        let owned = |workload: &str| count_owned(workload, &pods, Duration::from_mins(5), now);
        assert_eq!((owned("ReplicaSet/new"), owned("StatefulSet/new")), (1, 0));
    }
}

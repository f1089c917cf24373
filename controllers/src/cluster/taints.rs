//! The `NoSchedule` taints that follow from a Cluster's `Ready` condition.

use crds::{
    cluster::{Cluster, ClusterStatus},
    conditions::{self, status},
    keys::taints::{NOT_READY, UNREACHABLE},
};
use k8s_openapi::{api::core::v1::Taint, apimachinery::pkg::apis::meta::v1::Time};

const NO_SCHEDULE: &str = "NoSchedule";

/// The status of the `Ready` condition; `None` when nobody has reported yet.
pub(super) fn readiness(cluster: &Cluster) -> Option<&str> {
    cluster
        .status
        .as_ref()
        .and_then(|it: &ClusterStatus| it.condition(conditions::cluster::READY))
        .map(|condition| condition.status.as_str())
}

/// Adds and removes the two taints; returns whether anything changed. Other taints, also of other effects under the same
/// keys, are left alone.
pub(super) fn by_readiness(taints: &mut Vec<Taint>, ready: Option<&str>, now: &Time) -> bool {
    let (add, remove): (Option<&str>, &[&str]) = match ready {
        None => (Some(NOT_READY), &[]),
        Some(status::TRUE) => (None, &[NOT_READY, UNREACHABLE]),
        Some(status::FALSE) => (Some(NOT_READY), &[UNREACHABLE]),
        Some(_) => (Some(UNREACHABLE), &[NOT_READY]),
    };
    let is = |taint: &Taint, key: &str| taint.key == key && taint.effect == NO_SCHEDULE;
    let before = taints.len();
    taints.retain(|taint| !remove.iter().any(|key| is(taint, key)));
    let mut changed = taints.len() != before;
    if let Some(key) = add
        && !taints.iter().any(|taint| is(taint, key))
    {
        taints.push(Taint {
            key: key.to_owned(),
            effect: NO_SCHEDULE.to_owned(),
            value: None,
            time_added: Some(now.clone()),
        });
        changed = true;
    }
    changed
}

/// The taints as the event tells them.
pub(super) fn describe(taints: &[Taint]) -> String {
    if taints.is_empty() {
        return "cluster now does not have taints".to_owned();
    }
    let listed: Vec<String> = taints
        .iter()
        .map(|taint| {
            let value = taint
                .value
                .as_deref()
                .filter(|value| !value.is_empty())
                .map(|value| format!("Value:{value},"))
                .unwrap_or_default();
            format!("{{Key:{},{value}Effect:{}}}", taint.key, taint.effect)
        })
        .collect();
    format!("cluster now has taints([{}])", listed.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, effect: &str, value: Option<&str>) -> Taint {
        Taint {
            key: key.to_owned(),
            effect: effect.to_owned(),
            value: value.map(str::to_owned),
            time_added: None,
        }
    }

    #[test]
    fn taints_follow_readiness() {
        let cases: [(&[&str], Option<&str>, &[&str]); 9] = [
            (&[], None, &[NOT_READY]),
            (&[UNREACHABLE], None, &[UNREACHABLE, NOT_READY]),
            (&[], Some("True"), &[]),
            (&[NOT_READY, UNREACHABLE, "mine"], Some("True"), &["mine"]),
            (&[], Some("False"), &[NOT_READY]),
            (&[UNREACHABLE, "mine"], Some("False"), &["mine", NOT_READY]),
            (&[NOT_READY], Some("False"), &[NOT_READY]),
            (&[NOT_READY], Some("Unknown"), &[UNREACHABLE]),
            (&["mine"], Some("True"), &["mine"]),
        ];
        for (before, ready, after) in cases {
            let mut taints: Vec<Taint> = before
                .iter()
                .map(|key| taint(key, NO_SCHEDULE, None))
                .collect();
            let old = taints.clone();
            let now = Time(jiff::Timestamp::UNIX_EPOCH);
            let changed = by_readiness(&mut taints, ready, &now);
            let found: Vec<&str> = taints.iter().map(|taint| taint.key.as_str()).collect();
            assert_eq!(found, after, "{before:?} {ready:?}");
            assert_eq!(changed, old != taints, "{before:?} {ready:?}");
        }
    }

    #[test]
    fn taints_of_other_effects_stay() {
        let mut taints = vec![taint(NOT_READY, "NoExecute", None)];
        let now = Time(jiff::Timestamp::UNIX_EPOCH);
        assert!(!by_readiness(&mut taints, Some("True"), &now));
        assert!(by_readiness(&mut taints, Some("False"), &now));
        assert_eq!(taints.len(), 2);
    }

    #[test]
    fn events_list_taints() {
        assert_eq!(describe(&[]), "cluster now does not have taints");
        assert_eq!(
            describe(&[
                taint(NOT_READY, NO_SCHEDULE, None),
                taint("down", "NoExecute", Some("v")),
            ]),
            "cluster now has taints([{Key:cluster.karmada.io/not-ready,Effect:NoSchedule},{Key:down,Value:v,Effect:NoExecute}])"
        );
    }
}

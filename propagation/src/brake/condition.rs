//! What is held back, as a condition, and back: a process that starts knows by it what an earlier one held, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crds::conditions::{condition, status};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{HeldBack, Hold, REMOVAL_HELD, Reason, Scope, Threshold};
use crate::matching::{PolicyKind, PolicyRef};

/// Stands between the reasons in a message.
const SEPARATOR: &str = " | ";
const KEPT_IN: &str = "kept in ";
/// Clusters that a message lists for one reason, so that it never outgrows a condition.
const LISTED: usize = 300;

/// What is held for one reason, and in which clusters.
type Part<'a> = (&'a Hold, BTreeSet<&'a str>);

/// The condition of an object whose removals are held back, `argument` being that of `navarch release-hold` which names the object;
/// `None` when nothing is held.
///
/// The message has a part for each reason: `kept in member1, member2 (LastCopy): …`. [`read_held`] reads it.
pub fn held(items: &[HeldBack], argument: &str) -> Option<Condition> {
    let mut parts: BTreeMap<(Reason, Option<&Scope>), Part<'_>> = BTreeMap::new();
    for item in items {
        parts
            .entry((item.hold.reason, item.hold.scope.as_ref()))
            .or_insert_with(|| (&item.hold, BTreeSet::new()))
            .1
            .insert(&item.cluster);
    }
    let (first, _) = parts.keys().next()?;
    let texts: Vec<String> = parts
        .values()
        .map(|(hold, clusters)| {
            let mut names: Vec<&str> = clusters.iter().copied().take(LISTED).collect();
            if clusters.len() > LISTED {
                names.push("…");
            }
            let own = if hold.scope.is_some() {
                ", or what this object alone keeps with `navarch release-hold {}`"
            } else {
                ""
            };
            format!(
                "{KEPT_IN}{} ({}): {}{}",
                names.join(", "),
                hold.reason.as_str(),
                hold.message.replace("{}", argument),
                own.replace("{}", argument),
            )
        })
        .collect();
    Some(condition(
        REMOVAL_HELD,
        status::TRUE,
        first.as_str(),
        texts.join(SEPARATOR),
    ))
}

/// What a condition says is held back in which cluster.
pub fn read_held(condition: &Condition) -> Vec<HeldBack> {
    let mut found = Vec::new();
    for part in condition.message.split(SEPARATOR) {
        let Some((names, rest)) = part
            .strip_prefix(KEPT_IN)
            .and_then(|rest| rest.split_once(" ("))
        else {
            continue;
        };
        let Some((reason, why)) = rest.split_once("): ") else {
            continue;
        };
        let Some(reason) = Reason::named(reason) else {
            continue;
        };
        let limit = limit(why);
        for cluster in names.split(", ").filter(|name| *name != "…") {
            let hold = Hold {
                reason,
                scope: limit.as_ref().map(|(scope, _)| scope.clone()),
                threshold: limit.as_ref().map(|(_, threshold)| *threshold),
                message: why.to_owned(),
            };
            found.push(HeldBack::new(cluster, hold));
        }
    }
    found
}

/// The scope and threshold that the text of a limit names.
fn limit(why: &str) -> Option<(Scope, Threshold)> {
    let rest = why.strip_prefix("more than ")?;
    let (percent, rest) = rest.split_once(" % and more than ")?;
    let (at_least, rest) = rest.split_once(" of the objects of ")?;
    let (named, rest) = rest.split_once(" would go within ")?;
    let (seconds, _) = rest.split_once(" s;")?;
    let threshold = Threshold {
        percent: percent.parse().ok()?,
        at_least: at_least.parse().ok()?,
        window: Duration::from_secs(seconds.parse().ok()?),
    };
    Some((scope(named)?, threshold))
}

fn scope(text: &str) -> Option<Scope> {
    let (kind, name) = text.split_once(' ')?;
    if kind == "cluster" {
        return Some(Scope::Cluster(name.to_owned()));
    }
    if kind == PolicyKind::ClusterPropagationPolicy.as_str() {
        return Some(Scope::Policy(PolicyRef::cluster(name)));
    }
    let (namespace, name) = name.split_once('/')?;
    (kind == PolicyKind::PropagationPolicy.as_str())
        .then(|| Scope::Policy(PolicyRef::namespaced(namespace, name)))
}

#[cfg(test)]
mod tests {
    use super::super::{Doubt, doubtful, too_many};
    use super::*;

    #[test]
    fn several_reasons_are_told_apart_and_read_back() {
        let policy = Scope::Policy(PolicyRef::namespaced("shop", "web"));
        let cluster_policy = Scope::Policy(PolicyRef::cluster("all"));
        let narrow = Threshold {
            percent: 0,
            at_least: 2,
            window: Duration::from_mins(1),
        };
        let items = [
            HeldBack::new("m2", too_many(&policy, narrow)),
            HeldBack::new("m1", too_many(&policy, narrow)),
            HeldBack::new(
                "m3",
                too_many(&Scope::Cluster("m3".into()), Threshold::default()),
            ),
            HeldBack::new("m4", doubtful(Doubt::LastCopy)),
            HeldBack::new("m5", too_many(&cluster_policy, Threshold::default())),
        ];
        let condition = held(&items, "resourcebinding/web -n shop").unwrap();
        assert_eq!(condition.reason, "ClusterRemovalLimit");
        for part in [
            "kept in m1, m2 (PolicyRemovalLimit): more than 0 % and more than 2 of the objects of PropagationPolicy shop/web would go",
            "kept in m3 (ClusterRemovalLimit): ",
            "kept in m4 (LastCopy): this is the last copy",
            "`navarch release-hold resourcebinding/web -n shop`",
        ] {
            assert!(
                condition.message.contains(part),
                "{part}\n{}",
                condition.message
            );
        }
        let mut read = read_held(&condition);
        read.sort_by(|a, b| a.cluster.cmp(&b.cluster));
        let mut expected = items.to_vec();
        expected.sort_by(|a, b| a.cluster.cmp(&b.cluster));
        assert_eq!(read, expected);
        assert_eq!(read[0].hold.threshold, Some(narrow));
        assert_eq!(held(&[], "x"), None);
    }

    #[test]
    fn a_message_stays_short_and_odd_ones_say_nothing() {
        let many: Vec<HeldBack> = (0..5000)
            .map(|n| HeldBack::new(&format!("cluster-{n:05}"), doubtful(Doubt::KindGone)))
            .collect();
        let condition = held(&many, "x").unwrap();
        assert!(condition.message.len() < 32_768);
        assert_eq!(read_held(&condition).len(), LISTED);
        for text in ["", "kept in m1", "kept in m1 (Whim): because", "m1 | m2"] {
            let odd = Condition {
                message: text.to_owned(),
                ..condition.clone()
            };
            assert!(read_held(&odd).is_empty(), "{text}");
        }
    }
}

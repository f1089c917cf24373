//! Which nodes a replica can run on.

use std::collections::BTreeMap;

use crds::{selector::Selector, work::NodeClaim};
use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorTerm, Taint, Toleration};

use crate::objects::Node;

/// The taint that stands for `spec.unschedulable`.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// A node claim, parsed once and held against many nodes.
#[derive(Debug, Default)]
pub struct Claim<'a> {
    labels: Option<&'a BTreeMap<String, String>>,
    /// The terms of which one has to hold; `None` without required affinity.
    terms: Option<Vec<Term>>,
    tolerations: &'a [Toleration],
}

/// Requirements on the labels and on the name of a node.
#[derive(Debug)]
struct Term {
    labels: Selector,
    fields: Selector,
}

impl<'a> Claim<'a> {
    /// Parses a claim. Without one any node will do whose taints keep nothing off.
    pub fn of(claim: Option<&'a NodeClaim>) -> Self {
        let Some(claim) = claim else {
            return Self::default();
        };
        Self {
            labels: Some(&claim.node_selector).filter(|labels| !labels.is_empty()),
            terms: claim.hard_node_affinity.as_ref().map(terms),
            tolerations: &claim.tolerations,
        }
    }

    /// Whether a replica can run on the node.
    pub fn matches(&self, node: &Node) -> bool {
        let has = |(key, value): (&String, &String)| node.labels.get(key) == Some(value);
        self.labels.is_none_or(|labels| labels.iter().all(has))
            && self
                .terms
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
            && (!node.unschedulable || self.tolerates(UNSCHEDULABLE, "", "NoSchedule"))
            && node.taints.iter().all(|taint| self.bears(taint))
    }

    fn bears(&self, taint: &Taint) -> bool {
        !matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            || self.tolerates(
                &taint.key,
                taint.value.as_deref().unwrap_or_default(),
                &taint.effect,
            )
    }

    fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        self.tolerations
            .iter()
            .any(|toleration| covers(toleration, key, value, effect))
    }
}

impl Term {
    fn matches(&self, node: &Node) -> bool {
        self.labels.matches(&node.labels)
            && self
                .fields
                .matches_with(|field| (field == "metadata.name").then(|| node.name()))
    }
}

/// The terms that can match at all: an empty one matches nothing, and neither does one that is not understood.
fn terms(selector: &NodeSelector) -> Vec<Term> {
    selector
        .node_selector_terms
        .iter()
        .filter_map(term)
        .collect()
}

fn term(term: &NodeSelectorTerm) -> Option<Term> {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return None;
    }
    Some(Term {
        labels: Selector::parse_requirements(expressions).ok()?,
        fields: Selector::parse_requirements(fields).ok()?,
    })
}

/// Whether a toleration covers a taint, by the rule for pods and nodes.
fn covers(toleration: &Toleration, key: &str, value: &str, effect: &str) -> bool {
    let unset_or = |field: &Option<String>, found: &str| {
        field
            .as_deref()
            .is_none_or(|wanted| wanted.is_empty() || wanted == found)
    };
    if !unset_or(&toleration.effect, effect) || !unset_or(&toleration.key, key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => toleration.value.as_deref().unwrap_or_default() == value,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(claim: Value, node: Value, expected: bool) {
        let text = claim.to_string();
        let claim: NodeClaim = serde_json::from_value(claim).unwrap();
        let node: Node = serde_json::from_value(node).unwrap();
        assert_eq!(Claim::of(Some(&claim)).matches(&node), expected, "{text}");
    }

    fn node() -> Value {
        json!({"metadata": {"name": "n1", "labels": {"disk": "ssd", "size": "4"}}})
    }

    fn affinity(terms: &Value) -> Value {
        json!({"hardNodeAffinity": {"nodeSelectorTerms": terms}})
    }

    #[test]
    fn labels_and_affinity() {
        check(json!({}), node(), true);
        check(json!({"nodeSelector": {"disk": "ssd"}}), node(), true);
        check(json!({"nodeSelector": {"disk": "hdd"}}), node(), false);
        let term = |key: &str, operator: &str, values: Value| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
        check(affinity(&term("disk", "In", json!(["ssd"]))), node(), true);
        check(
            affinity(&term("disk", "NotIn", json!(["ssd"]))),
            node(),
            false,
        );
        check(affinity(&term("gpu", "NotIn", json!(["a"]))), node(), true);
        check(affinity(&term("size", "Gt", json!(["3"]))), node(), true);
        check(affinity(&term("size", "Lt", json!(["3"]))), node(), false);
        check(affinity(&term("size", "Near", json!(["3"]))), node(), false);
        // No term matches nothing, and neither does an empty one.
        check(affinity(&json!([])), node(), false);
        check(affinity(&json!([{}])), node(), false);
        let by_name = |name: &str| json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]);
        check(affinity(&by_name("n1")), node(), true);
        check(affinity(&by_name("n2")), node(), false);
    }

    #[test]
    fn taints() {
        let tainted = |effect: &str| json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "value": "v", "effect": effect}]}});
        check(json!({}), tainted("NoSchedule"), false);
        check(json!({}), tainted("NoExecute"), false);
        check(json!({}), tainted("PreferNoSchedule"), true);
        let tolerating = |toleration: Value| json!({"tolerations": [toleration]});
        check(
            tolerating(json!({"operator": "Exists"})),
            tainted("NoSchedule"),
            true,
        );
        check(
            tolerating(json!({"key": "k", "value": "v"})),
            tainted("NoSchedule"),
            true,
        );
        check(
            tolerating(json!({"key": "k", "value": "w"})),
            tainted("NoSchedule"),
            false,
        );
        check(
            tolerating(json!({"key": "k", "operator": "Exists", "effect": "NoExecute"})),
            tainted("NoSchedule"),
            false,
        );
        let cordoned = json!({"metadata": {"name": "n"}, "spec": {"unschedulable": true}});
        check(json!({}), cordoned.clone(), false);
        check(
            tolerating(json!({"key": UNSCHEDULABLE, "operator": "Exists"})),
            cordoned,
            true,
        );
    }
}

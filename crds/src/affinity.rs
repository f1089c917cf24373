//! Matching clusters against a [`ClusterAffinity`].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeSelectorRequirement;

use crate::cluster::{self, Cluster, ClusterSpec};
use crate::policy::{ClusterAffinity, FieldSelector};
use crate::selector::{self, Selector};

/// What an affinity looks at in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The name of the cluster.
    pub name: &'a str,
    /// The labels of the cluster, if it has any.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// The provider; empty when unknown.
    pub provider: &'a str,
    /// The region; empty when unknown.
    pub region: &'a str,
    /// The zones.
    pub zones: &'a [String],
}

impl<'a> Subject<'a> {
    fn new(
        meta: &'a k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
        spec: &'a ClusterSpec,
    ) -> Self {
        Self {
            name: meta.name.as_deref().unwrap_or_default(),
            labels: meta.labels.as_ref(),
            provider: spec.provider.as_deref().unwrap_or_default(),
            region: spec.region.as_deref().unwrap_or_default(),
            zones: &spec.zones,
        }
    }
}

impl<'a> From<&'a Cluster> for Subject<'a> {
    fn from(cluster: &'a Cluster) -> Self {
        Self::new(&cluster.metadata, &cluster.spec)
    }
}

impl<'a> From<&'a cluster::v1alpha1::Cluster> for Subject<'a> {
    fn from(cluster: &'a cluster::v1alpha1::Cluster) -> Self {
        Self::new(&cluster.metadata, &cluster.spec)
    }
}

/// Whether a cluster matches an affinity, and if not, which part of the affinity it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All parts that are given match.
    Matches,
    /// The cluster is in `exclude`.
    Excluded,
    /// The labels of the cluster do not match `labelSelector`.
    Labels,
    /// `labelSelector` means nothing, so that no cluster matches.
    InvalidLabelSelector(selector::Error),
    /// Provider, region or zones do not match `fieldSelector`.
    Fields,
    /// `fieldSelector` means nothing, so that no cluster matches.
    InvalidFieldSelector(selector::Error),
    /// The cluster is not in `clusterNames`.
    NotNamed,
}

impl Verdict {
    /// Whether the cluster matches.
    pub fn is_match(&self) -> bool {
        *self == Self::Matches
    }
}

/// Whether a cluster matches an affinity.
pub fn matches<'a>(affinity: &ClusterAffinity, cluster: impl Into<Subject<'a>>) -> bool {
    verdict(affinity, cluster).is_match()
}

/// Matches a cluster against an affinity. An affinity without any part matches every cluster.
///
/// The parts are looked at in the order of the variants of [`Verdict`]; the first that fails is returned.
pub fn verdict<'a>(affinity: &ClusterAffinity, cluster: impl Into<Subject<'a>>) -> Verdict {
    let cluster = cluster.into();
    let is_in = |names: &[String]| names.iter().any(|name| name == cluster.name);
    if is_in(&affinity.exclude) {
        return Verdict::Excluded;
    }
    if let Some(selector) = &affinity.label_selector {
        match Selector::parse(selector) {
            Err(error) => return Verdict::InvalidLabelSelector(error),
            Ok(selector) => {
                let label = |key: &str| cluster.labels?.get(key).map(String::as_str);
                if !selector.matches_with(label) {
                    return Verdict::Labels;
                }
            }
        }
    }
    if let Some(selector) = &affinity.field_selector {
        match fields_match(selector, &cluster) {
            Err(error) => return Verdict::InvalidFieldSelector(error),
            Ok(false) => return Verdict::Fields,
            Ok(true) => {}
        }
    }
    if !affinity.cluster_names.is_empty() && !is_in(&affinity.cluster_names) {
        return Verdict::NotNamed;
    }
    Verdict::Matches
}

fn fields_match(selector: &FieldSelector, cluster: &Subject<'_>) -> Result<bool, selector::Error> {
    let (zones, others): (Vec<_>, Vec<_>) = selector
        .match_expressions
        .iter()
        .partition(|expression| expression.key == "zone");
    if !zones.iter().all(|it| zones_match(it, cluster.zones)) {
        return Ok(false);
    }
    let field = |key: &str| {
        let value = match key {
            "provider" => cluster.provider,
            "region" => cluster.region,
            _ => "",
        };
        (!value.is_empty()).then_some(value)
    };
    Ok(Selector::parse_requirements(others)?.matches_with(field))
}

/// A cluster can have several zones, so `In` asks for an overlap. Without values it has none, which is no error here.
fn zones_match(expression: &NodeSelectorRequirement, zones: &[String]) -> bool {
    let values = expression.values.as_deref().unwrap_or_default();
    let overlap = zones.iter().any(|zone| values.contains(zone));
    match expression.operator.as_str() {
        "In" => overlap,
        "NotIn" => !overlap,
        "Exists" => !zones.is_empty(),
        "DoesNotExist" => zones.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(affinity: Value, expected: &Verdict) {
        let labels = BTreeMap::from([("tier".to_owned(), "prod".to_owned())]);
        let zones = ["a".to_owned(), "b".to_owned()];
        let cluster = Subject {
            name: "m1",
            labels: Some(&labels),
            provider: "aws",
            region: "",
            zones: &zones,
        };
        let affinity: ClusterAffinity = serde_json::from_value(affinity).unwrap();
        assert_eq!(verdict(&affinity, cluster), *expected);
    }

    fn field(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({ "fieldSelector": {
            "matchExpressions": [{ "key": key, "operator": operator, "values": values }],
        } })
    }

    #[test]
    fn names() {
        check(json!({}), &Verdict::Matches);
        check(json!({ "clusterNames": ["m0", "m1"] }), &Verdict::Matches);
        check(json!({ "clusterNames": ["m0"] }), &Verdict::NotNamed);
        check(json!({ "exclude": ["m0"] }), &Verdict::Matches);
        check(
            json!({ "clusterNames": ["m1"], "exclude": ["m1"] }),
            &Verdict::Excluded,
        );
    }

    #[test]
    fn labels() {
        check(json!({ "labelSelector": {} }), &Verdict::Matches);
        check(
            json!({ "labelSelector": { "matchLabels": { "tier": "prod" } } }),
            &Verdict::Matches,
        );
        check(
            json!({ "labelSelector": { "matchLabels": { "tier": "test" } }, "clusterNames": ["m1"] }),
            &Verdict::Labels,
        );
        check(
            json!({ "labelSelector": { "matchExpressions": [{ "key": "tier", "operator": "In" }] } }),
            &Verdict::InvalidLabelSelector(selector::Error::WrongValues {
                key: "tier".to_owned(),
                operator: "In".to_owned(),
                expected: "needs values",
            }),
        );
    }

    #[test]
    fn provider_and_region() {
        check(field("provider", "In", &["aws"]), &Verdict::Matches);
        check(field("provider", "In", &["gcp"]), &Verdict::Fields);
        check(field("provider", "NotIn", &["aws"]), &Verdict::Fields);
        check(field("provider", "Exists", &[]), &Verdict::Matches);
        // The region is unknown, and so is any other field.
        check(field("region", "NotIn", &["eu"]), &Verdict::Matches);
        check(field("region", "In", &["eu"]), &Verdict::Fields);
        check(field("region", "DoesNotExist", &[]), &Verdict::Matches);
        check(field("colour", "NotIn", &["red"]), &Verdict::Matches);
        check(field("colour", "Exists", &[]), &Verdict::Fields);
    }

    #[test]
    fn malformed_field_selectors_match_nothing() {
        check(
            field("region", "NotIn", &[]),
            &Verdict::InvalidFieldSelector(selector::Error::WrongValues {
                key: "region".to_owned(),
                operator: "NotIn".to_owned(),
                expected: "needs values",
            }),
        );
        check(
            field("provider", "Like", &["a*"]),
            &Verdict::InvalidFieldSelector(selector::Error::UnknownOperator {
                key: "provider".to_owned(),
                operator: "Like".to_owned(),
            }),
        );
    }

    #[test]
    fn zones() {
        check(field("zone", "In", &["b", "c"]), &Verdict::Matches);
        check(field("zone", "In", &["c"]), &Verdict::Fields);
        check(field("zone", "NotIn", &["c"]), &Verdict::Matches);
        check(field("zone", "NotIn", &["a"]), &Verdict::Fields);
        check(field("zone", "Exists", &[]), &Verdict::Matches);
        check(field("zone", "DoesNotExist", &[]), &Verdict::Fields);
        check(field("zone", "Gt", &["1"]), &Verdict::Fields);
        check(field("zone", "In", &[]), &Verdict::Fields);
        check(field("zone", "NotIn", &[]), &Verdict::Matches);
    }

    #[test]
    fn all_fields_have_to_match() {
        check(
            json!({ "fieldSelector": { "matchExpressions": [
                { "key": "zone", "operator": "In", "values": ["a"] },
                { "key": "provider", "operator": "In", "values": ["gcp"] },
            ] } }),
            &Verdict::Fields,
        );
    }
}

use crds::policy::ClusterAffinity as Affinity;

use crate::plugins::{Filter, Verdict};
use crate::request::{AFFINITY_MISMATCH, Request, Rule};
use crate::snapshot::Cluster;

/// Keeps resources to the clusters that the policy names or selects.
///
/// There is no exemption for clusters that already have the resource: a changed affinity does move it.
pub struct ClusterAffinity;

impl Filter for ClusterAffinity {
    fn name(&self) -> &'static str {
        "ClusterAffinity"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        if request.in_affinity(cluster) {
            return Verdict::Fits;
        }
        let malformed = request.malformed_affinity.clone();
        Verdict::Unfit(malformed.unwrap_or_else(|| AFFINITY_MISMATCH.into()))
    }

    fn code(&self) -> &'static str {
        "AffinityMismatch"
    }

    fn explain(&self, request: &Request<'_>, cluster: &Cluster) -> Option<String> {
        if request.malformed_affinity.is_some() {
            return None;
        }
        match &request.affinity {
            Rule::None => None,
            Rule::Single(_) => mismatch(request.placement().cluster_affinity.as_ref()?, cluster),
            Rule::Term { term, .. } => mismatch(&term.affinity, cluster),
        }
    }
}

/// Says which part of an affinity a cluster fails, with the values wanted and found.
fn mismatch(affinity: &Affinity, cluster: &Cluster) -> Option<String> {
    let name = cluster.name();
    if affinity.exclude.iter().any(|it| it == name) {
        return Some(format!("exclude lists {name}"));
    }
    let selector = affinity.label_selector.as_ref();
    for (key, wanted) in selector
        .iter()
        .flat_map(|it| it.match_labels.iter().flatten())
    {
        let found = cluster.label(key);
        if found != Some(wanted) {
            return Some(differs(
                &format!("label {key}"),
                &format!("= {wanted}"),
                found,
            ));
        }
    }
    for it in selector
        .iter()
        .flat_map(|it| it.match_expressions.iter().flatten())
    {
        let found = cluster.label(&it.key);
        let values = it.values.as_deref().unwrap_or_default();
        if !holds(&it.operator, values, found.as_slice()) {
            let wanted = wanted(&it.operator, values);
            return Some(differs(&format!("label {}", it.key), &wanted, found));
        }
    }
    let spec = &cluster.object().spec;
    for it in affinity
        .field_selector
        .iter()
        .flat_map(|it| &it.match_expressions)
    {
        let found: Vec<&str> = match it.key.as_str() {
            "provider" => spec.provider.as_deref().into_iter().collect(),
            "region" => spec.region.as_deref().into_iter().collect(),
            "zone" => spec.zones.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let values = it.values.as_deref().unwrap_or_default();
        if !holds(&it.operator, values, &found) {
            let found = (!found.is_empty()).then(|| found.join(","));
            return Some(differs(
                &it.key,
                &wanted(&it.operator, values),
                found.as_deref(),
            ));
        }
    }
    if !affinity.cluster_names.is_empty() && !affinity.cluster_names.iter().any(|it| it == name) {
        return Some(format!("clusterNames does not list {name}"));
    }
    None
}

fn holds(operator: &str, values: &[String], found: &[&str]) -> bool {
    let listed = || {
        found
            .iter()
            .any(|found| values.iter().any(|it| it == found))
    };
    // What is compared as numbers is one value with one bound.
    let compared = |holds: fn(&i64, &i64) -> bool| {
        let (Ok([found]), [bound]) = (<[&str; 1]>::try_from(found), values) else {
            return false;
        };
        let (found, bound) = (found.parse::<i64>(), bound.parse::<i64>());
        matches!((found, bound), (Ok(found), Ok(bound)) if holds(&found, &bound))
    };
    match operator {
        "Gt" => compared(i64::gt),
        "Lt" => compared(i64::lt),
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => !found.is_empty(),
        "DoesNotExist" => found.is_empty(),
        _ => false,
    }
}

fn wanted(operator: &str, values: &[String]) -> String {
    match operator {
        "Exists" | "DoesNotExist" => operator.to_owned(),
        _ => format!("{operator} [{}]", values.join(", ")),
    }
}

fn differs(what: &str, wanted: &str, found: Option<&str>) -> String {
    match found {
        Some(found) => format!("{what}: policy wants {wanted}, cluster has {found}"),
        None => format!("{what}: policy wants {wanted}, cluster has none"),
    }
}

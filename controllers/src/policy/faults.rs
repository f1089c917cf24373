//! What is wrong with a policy although the schema lets it pass: told of where admission did not refuse it.

use std::collections::BTreeSet;

use crds::{
    object::Gvk,
    policy::{ClusterAffinity, PropagationSpec, ResourceSelector},
    selector::Selector,
};
use propagation::matching::{Policy, PolicyKind};

/// Event reason: the placement names clusters that do not exist.
const UNKNOWN_CLUSTER: &str = "UnknownCluster";
/// Event reason: a selector cannot be read, and matches nothing.
const INVALID_SELECTOR: &str = "InvalidSelector";
/// Event reason: a selector names a namespace that the policy cannot select in.
const FOREIGN_NAMESPACE: &str = "ForeignNamespace";
/// Event reason: a selector names a kind that is not served.
const UNKNOWN_KIND: &str = "UnknownKind";

/// Reasons and messages of events, in the order of the fields.
pub(super) fn faults(
    policy: &Policy<'_>,
    is_cluster: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let mut found = selectors(policy);
    for (field, affinity) in affinities(policy.spec) {
        if let Some(selector) = &affinity.label_selector
            && let Err(error) = Selector::parse(selector)
        {
            found.push((
                INVALID_SELECTOR,
                format!("{field}.labelSelector matches no cluster: {error}"),
            ));
        }
        let unknown: BTreeSet<&str> = affinity
            .cluster_names
            .iter()
            .map(String::as_str)
            .filter(|name| !is_cluster(name))
            .collect();
        if !unknown.is_empty() {
            let unknown: Vec<&str> = unknown.into_iter().collect();
            found.push((
                UNKNOWN_CLUSTER,
                format!(
                    "{field}.clusterNames names {}, of which there is no Cluster; check the spelling, or join the cluster",
                    unknown.join(", ")
                ),
            ));
        }
    }
    found
}

/// The selectors whose kind is not served, one by one: the others may well find something.
pub(super) fn unknown_kinds(
    policy: &Policy<'_>,
    is_served: impl Fn(&Gvk) -> bool,
) -> Vec<(&'static str, String)> {
    let selectors = policy.spec.resource_selectors.iter().enumerate();
    selectors
        .filter(|(_, it)| !is_served(&Gvk::parse(&it.api_version, &it.kind)))
        .map(|(index, ResourceSelector { api_version, kind, .. })| {
            let message = format!(
                "spec.resourceSelectors[{index}] names kind {kind} of {api_version}, which the control plane does not serve; \
                 check apiVersion and kind, or install the CustomResourceDefinition"
            );
            (UNKNOWN_KIND, message)
        })
        .collect()
}

fn selectors(policy: &Policy<'_>) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (index, selector) in policy.spec.resource_selectors.iter().enumerate() {
        let field = format!("spec.resourceSelectors[{index}]");
        let namespace = selector.namespace.as_deref().unwrap_or_default();
        let own = &policy.reference.namespace;
        if policy.reference.kind == PolicyKind::PropagationPolicy
            && !namespace.is_empty()
            && namespace != own
        {
            found.push((
                FOREIGN_NAMESPACE,
                format!(
                    "{field}.namespace is {namespace}, but a PropagationPolicy selects in its own namespace {own} alone; put the policy there, or use a ClusterPropagationPolicy"
                ),
            ));
        }
        if let Some(labels) = &selector.label_selector
            && let Err(error) = Selector::parse(labels)
        {
            found.push((
                INVALID_SELECTOR,
                format!("{field}.labelSelector matches nothing: {error}"),
            ));
        }
    }
    found
}

/// Every place of a placement that names clusters.
fn affinities(spec: &PropagationSpec) -> Vec<(String, &ClusterAffinity)> {
    let Some(placement) = &spec.placement else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if let Some(affinity) = &placement.cluster_affinity {
        found.push(("spec.placement.clusterAffinity".to_owned(), affinity));
    }
    for (index, term) in placement.cluster_affinities.iter().enumerate() {
        let field = format!("spec.placement.clusterAffinities[{index}]");
        found.push((field, &term.affinity));
    }
    let weights = placement
        .replica_scheduling
        .as_ref()
        .and_then(|scheduling| scheduling.weight_preference.as_ref())
        .map_or(&[][..], |preference| &preference.static_weight_list);
    for (index, weight) in weights.iter().enumerate() {
        let field = format!(
            "spec.placement.replicaScheduling.weightPreference.staticWeightList[{index}].targetCluster"
        );
        found.push((field, &weight.target_cluster));
    }
    found
}

#[cfg(test)]
mod tests {
    use crds::policy::PropagationPolicy;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_selector_of_an_unknown_kind_is_told_of() {
        let policy: PropagationPolicy = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "demo"},
            "spec": {"resourceSelectors": [
                {"apiVersion": "v1", "kind": "Secret"},
                {"apiVersion": "apps/v1", "kind": "Deploymnet"},
                {"apiVersion": "apps/v2", "kind": "Deployment"},
            ]},
        }))
        .unwrap();
        let is_served = |gvk: &Gvk| gvk.version == "v1" && gvk.kind != "Deploymnet";
        let found = unknown_kinds(&Policy::from(&policy), is_served);
        let expected = [
            "spec.resourceSelectors[1] names kind Deploymnet of apps/v1",
            "spec.resourceSelectors[2] names kind Deployment of apps/v2",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((reason, message), expected) in found.iter().zip(expected) {
            assert_eq!(*reason, UNKNOWN_KIND);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn faults_name_field_cause_and_remedy() {
        let policy: PropagationPolicy = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "demo"},
            "spec": {
                "resourceSelectors": [
                    {"apiVersion": "v1", "kind": "Secret", "namespace": "other"},
                    {"apiVersion": "v1", "kind": "Secret",
                     "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}},
                ],
                "placement": {
                    "clusterAffinity": {"clusterNames": ["ghost", "m1"]},
                    "replicaScheduling": {"weightPreference": {"staticWeightList": [
                        {"targetCluster": {"clusterNames": ["m1"]}, "weight": 1},
                        {"targetCluster": {"clusterNames": ["spectre"]}, "weight": 1},
                    ]}},
                },
            },
        }))
        .unwrap();
        let found = faults(&Policy::from(&policy), |name| name == "m1");
        let expected = [
            (
                FOREIGN_NAMESPACE,
                "spec.resourceSelectors[0].namespace is other",
            ),
            (
                INVALID_SELECTOR,
                "spec.resourceSelectors[1].labelSelector matches nothing: ",
            ),
            (
                UNKNOWN_CLUSTER,
                "spec.placement.clusterAffinity.clusterNames names ghost, of",
            ),
            (
                UNKNOWN_CLUSTER,
                "staticWeightList[1].targetCluster.clusterNames names spectre, of",
            ),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((reason, message), (expected, part)) in found.iter().zip(expected) {
            assert_eq!(*reason, expected);
            assert!(message.contains(part), "{message}");
        }
    }
}

//! Our types as messages. Fields that exist in two variants are written in both.

use std::collections::BTreeMap;

use crds::work;
use k8s_openapi::{
    api::core::v1 as api, apimachinery::pkg::api::resource::Quantity as ApiQuantity,
};
use prost::Message as _;
use scheduler::inflight;

use super::{core, estimator, resource};

impl From<&work::ReplicaRequirements> for estimator::ReplicaRequirements {
    fn from(requirements: &work::ReplicaRequirements) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            node_claim: requirements.node_claim.as_ref().map(Into::into),
            resource_request: quantities(&requirements.resource_request),
            namespace: text(&requirements.namespace),
            priority_class_name: text(&requirements.priority_class_name),
            resource_request_bytes: encoded(&requirements.resource_request),
        }
    }
}

impl From<&work::Component> for estimator::Component {
    fn from(component: &work::Component) -> Self {
        Self {
            name: component.name.clone(),
            replica_requirements: component.replica_requirements.as_ref().map(Into::into),
            replicas: component.replicas,
        }
    }
}

impl From<&work::ComponentReplicaRequirements> for estimator::ComponentReplicaRequirements {
    fn from(requirements: &work::ComponentReplicaRequirements) -> Self {
        Self {
            node_claim: requirements.node_claim.as_ref().map(Into::into),
            resource_request: quantities(&requirements.resource_request),
            priority_class_name: requirements.priority_class_name.clone().unwrap_or_default(),
            resource_request_bytes: encoded(&requirements.resource_request),
        }
    }
}

impl From<&inflight::AssumedWorkload> for estimator::AssumedWorkload {
    fn from(workload: &inflight::AssumedWorkload) -> Self {
        Self {
            namespace: workload.namespace.clone(),
            components: workload.components.iter().map(Into::into).collect(),
        }
    }
}

impl From<&work::NodeClaim> for estimator::NodeClaim {
    fn from(claim: &work::NodeClaim) -> Self {
        let affinity = claim.hard_node_affinity.as_ref();
        let affinity = affinity.map(core::NodeSelector::from);
        let tolerations: Vec<core::Toleration> = claim.tolerations.iter().map(Into::into).collect();
        Self {
            node_affinity_bytes: affinity
                .as_ref()
                .map(prost::Message::encode_to_vec)
                .unwrap_or_default(),
            node_affinity: affinity,
            node_selector: claim.node_selector.clone(),
            tolerations_bytes: tolerations
                .iter()
                .map(prost::Message::encode_to_vec)
                .collect(),
            tolerations,
        }
    }
}

impl From<&api::NodeSelector> for core::NodeSelector {
    fn from(selector: &api::NodeSelector) -> Self {
        let list = |requirements: Option<&Vec<api::NodeSelectorRequirement>>| {
            requirements.into_iter().flatten().map(Into::into).collect()
        };
        Self {
            node_selector_terms: selector
                .node_selector_terms
                .iter()
                .map(|term| core::NodeSelectorTerm {
                    match_expressions: list(term.match_expressions.as_ref()),
                    match_fields: list(term.match_fields.as_ref()),
                })
                .collect(),
        }
    }
}

impl From<&api::NodeSelectorRequirement> for core::NodeSelectorRequirement {
    fn from(requirement: &api::NodeSelectorRequirement) -> Self {
        Self {
            key: requirement.key.clone(),
            operator: requirement.operator.clone(),
            values: requirement.values.clone().unwrap_or_default(),
        }
    }
}

impl From<&api::Toleration> for core::Toleration {
    fn from(toleration: &api::Toleration) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            key: text(&toleration.key),
            operator: text(&toleration.operator),
            value: text(&toleration.value),
            effect: text(&toleration.effect),
            toleration_seconds: toleration.toleration_seconds,
        }
    }
}

fn quantities(quantities: &BTreeMap<String, ApiQuantity>) -> BTreeMap<String, resource::Quantity> {
    let quantity = |quantity: &ApiQuantity| resource::Quantity {
        string: quantity.0.clone(),
    };
    quantities
        .iter()
        .map(|(name, it)| (name.clone(), quantity(it)))
        .collect()
}

fn encoded(requests: &BTreeMap<String, ApiQuantity>) -> BTreeMap<String, Vec<u8>> {
    quantities(requests)
        .into_iter()
        .map(|(name, quantity)| (name, quantity.encode_to_vec()))
        .collect()
}

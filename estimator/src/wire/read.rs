//! Messages as our types. Of fields that exist in two variants the bytes are read unless they are empty.

use std::collections::BTreeMap;

use crds::work;
use k8s_openapi::{
    api::core::v1 as api, apimachinery::pkg::api::resource::Quantity as ApiQuantity,
};
use prost::{DecodeError, Message};
use scheduler::inflight;

use super::{core, estimator, resource};

/// A field whose bytes are no message.
#[derive(Debug, thiserror::Error)]
#[error("{field} cannot be decoded")]
pub struct Malformed {
    field: String,
    source: DecodeError,
}

fn decode<M: Message + Default>(
    bytes: &[u8],
    field: impl FnOnce() -> String,
) -> Result<M, Malformed> {
    M::decode(bytes).map_err(|source| Malformed {
        field: field(),
        source,
    })
}

impl TryFrom<estimator::ReplicaRequirements> for work::ReplicaRequirements {
    type Error = Malformed;

    fn try_from(message: estimator::ReplicaRequirements) -> Result<Self, Malformed> {
        Ok(Self {
            node_claim: message.node_claim.map(TryInto::try_into).transpose()?,
            resource_request: requests(message.resource_request, &message.resource_request_bytes)?,
            namespace: text(message.namespace),
            priority_class_name: text(message.priority_class_name),
        })
    }
}

impl TryFrom<estimator::Component> for work::Component {
    type Error = Malformed;

    fn try_from(message: estimator::Component) -> Result<Self, Malformed> {
        let requirements = message.replica_requirements;
        Ok(Self {
            name: message.name,
            replicas: message.replicas,
            replica_requirements: requirements.map(TryInto::try_into).transpose()?,
        })
    }
}

impl TryFrom<estimator::ComponentReplicaRequirements> for work::ComponentReplicaRequirements {
    type Error = Malformed;

    fn try_from(message: estimator::ComponentReplicaRequirements) -> Result<Self, Malformed> {
        Ok(Self {
            node_claim: message.node_claim.map(TryInto::try_into).transpose()?,
            resource_request: requests(message.resource_request, &message.resource_request_bytes)?,
            priority_class_name: text(message.priority_class_name),
        })
    }
}

impl TryFrom<estimator::AssumedWorkload> for inflight::AssumedWorkload {
    type Error = Malformed;

    fn try_from(message: estimator::AssumedWorkload) -> Result<Self, Malformed> {
        let components = message.components.into_iter();
        Ok(Self {
            namespace: message.namespace,
            components: components
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<estimator::NodeClaim> for work::NodeClaim {
    type Error = Malformed;

    fn try_from(message: estimator::NodeClaim) -> Result<Self, Malformed> {
        let affinity = if message.node_affinity_bytes.is_empty() {
            message.node_affinity
        } else {
            let field = || "nodeAffinityBytes".to_owned();
            Some(decode(&message.node_affinity_bytes, field)?)
        };
        let tolerations = if message.tolerations_bytes.is_empty() {
            message.tolerations
        } else {
            let bytes = message.tolerations_bytes.iter().enumerate();
            bytes
                .map(|(at, bytes)| decode(bytes, || format!("tolerationsBytes[{at}]")))
                .collect::<Result<_, _>>()?
        };
        Ok(Self {
            hard_node_affinity: affinity.map(Into::into),
            node_selector: message.node_selector,
            tolerations: tolerations.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<core::NodeSelector> for api::NodeSelector {
    fn from(message: core::NodeSelector) -> Self {
        let list = |requirements: Vec<core::NodeSelectorRequirement>| {
            let list: Vec<_> = requirements.into_iter().map(Into::into).collect();
            Some(list).filter(|list| !list.is_empty())
        };
        Self {
            node_selector_terms: message
                .node_selector_terms
                .into_iter()
                .map(|term| api::NodeSelectorTerm {
                    match_expressions: list(term.match_expressions),
                    match_fields: list(term.match_fields),
                })
                .collect(),
        }
    }
}

impl From<core::NodeSelectorRequirement> for api::NodeSelectorRequirement {
    fn from(message: core::NodeSelectorRequirement) -> Self {
        Self {
            key: message.key,
            operator: message.operator,
            values: Some(message.values).filter(|values| !values.is_empty()),
        }
    }
}

impl From<core::Toleration> for api::Toleration {
    fn from(message: core::Toleration) -> Self {
        Self {
            key: text(message.key),
            operator: text(message.operator),
            value: text(message.value),
            effect: text(message.effect),
            toleration_seconds: message.toleration_seconds,
        }
    }
}

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn requests(
    plain: BTreeMap<String, resource::Quantity>,
    encoded: &BTreeMap<String, Vec<u8>>,
) -> Result<BTreeMap<String, ApiQuantity>, Malformed> {
    if encoded.is_empty() {
        let plain = plain.into_iter();
        return Ok(plain
            .map(|(name, quantity)| (name, ApiQuantity(quantity.string)))
            .collect());
    }
    encoded
        .iter()
        .map(|(name, bytes)| {
            let quantity: resource::Quantity =
                decode(bytes, || format!("resourceRequestBytes[{name}]"))?;
            Ok((name.clone(), ApiQuantity(quantity.string)))
        })
        .collect()
}

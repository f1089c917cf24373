//! Claims: the label and annotations that say which policy has a template.

use std::collections::BTreeMap;

use crds::keys;
use serde_json::{Map, Value, json};

use super::{Policy, PolicyKind, PolicyRef};

/// A complete claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    pub policy: PolicyRef,
    /// The policy's permanent id.
    pub id: String,
}

/// What the metadata of a template or binding says about its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimState {
    None,
    /// The label without all its annotations: somebody edited them. [`ClaimState::resolve`] finds the policy.
    Half {
        kind: PolicyKind,
        id: String,
    },
    Claimed(Claim),
}

struct Keys {
    id: &'static str,
    namespace: Option<&'static str>,
    name: &'static str,
}

const fn keys_of(kind: PolicyKind) -> Keys {
    match kind {
        PolicyKind::PropagationPolicy => Keys {
            id: keys::PROPAGATION_POLICY_PERMANENT_ID,
            namespace: Some(keys::PROPAGATION_POLICY_NAMESPACE),
            name: keys::PROPAGATION_POLICY_NAME,
        },
        PolicyKind::ClusterPropagationPolicy => Keys {
            id: keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
            namespace: None,
            name: keys::CLUSTER_PROPAGATION_POLICY_NAME,
        },
    }
}

/// Label and annotation keys of a claim of this kind: `(label, annotations)`.
pub(crate) fn claim_keys(kind: PolicyKind) -> (&'static str, impl Iterator<Item = &'static str>) {
    let keys = keys_of(kind);
    (keys.id, keys.namespace.into_iter().chain([keys.name]))
}

/// Reads the claim from `metadata`; a PropagationPolicy's goes before a ClusterPropagationPolicy's.
pub fn read_claim(metadata: &Value) -> ClaimState {
    read_claim_of(metadata, PolicyKind::PropagationPolicy)
        .or_else(|| read_claim_of(metadata, PolicyKind::ClusterPropagationPolicy))
        .unwrap_or(ClaimState::None)
}

/// Reads the claim of one kind of policy.
fn read_claim_of(metadata: &Value, kind: PolicyKind) -> Option<ClaimState> {
    let text = |field: &str, key: &str| {
        metadata
            .get(field)
            .and_then(|map| map.get(key))
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let keys = keys_of(kind);
    let id = text("labels", keys.id)?.to_owned();
    let name = text("annotations", keys.name);
    let namespace = keys.namespace.map(|key| text("annotations", key));
    let policy = match (name, namespace) {
        (Some(name), Some(Some(namespace))) => PolicyRef::namespaced(namespace, name),
        (Some(name), None) => PolicyRef::cluster(name),
        _ => return Some(ClaimState::Half { kind, id }),
    };
    Some(ClaimState::Claimed(Claim { policy, id }))
}

impl ClaimState {
    /// The claim, with a half one completed from the policy that has its id. `None` is an unclaimed object.
    pub fn resolve<'p, 'a>(
        &self,
        policies: impl IntoIterator<Item = &'p Policy<'a>>,
    ) -> Option<Claim>
    where
        'a: 'p,
    {
        match self {
            Self::None => None,
            Self::Claimed(claim) => Some(claim.clone()),
            Self::Half { kind, id } => policies
                .into_iter()
                .find(|policy| policy.reference.kind == *kind && policy.id == id)
                .map(Policy::claim),
        }
    }

    pub fn claimed(&self) -> Option<&Claim> {
        match self {
            Self::Claimed(claim) => Some(claim),
            _ => None,
        }
    }
}

/// The merge patch that makes the claim on an object with this `metadata`; `None` when everything is in place.
///
/// A claim removes that of the other kind of policy. No other key is touched.
pub fn claim_patch(metadata: &Value, claim: &Claim) -> Option<Value> {
    let mut patch = Patch::new(metadata);
    let keys = keys_of(claim.policy.kind);
    patch.set("labels", keys.id, &claim.id);
    patch.set("annotations", keys.name, &claim.policy.name);
    if let Some(key) = keys.namespace {
        patch.set("annotations", key, &claim.policy.namespace);
    }
    patch.remove_claim(match claim.policy.kind {
        PolicyKind::PropagationPolicy => PolicyKind::ClusterPropagationPolicy,
        // What is there can only be the rest of a claim whose policy is gone, and it would be read first.
        PolicyKind::ClusterPropagationPolicy => PolicyKind::PropagationPolicy,
    });
    patch.finish()
}

/// The merge patch that takes away this claim; `None` when the object carries another one or none.
///
/// The claim is known by its id, or by the policy that its annotations name: the id of a policy may have been edited since.
pub fn release_patch(metadata: &Value, claim: &Claim) -> Option<Value> {
    let kind = claim.policy.kind;
    let is_same = match read_claim_of(metadata, kind)? {
        ClaimState::None => false,
        ClaimState::Half { id, .. } => id == claim.id,
        ClaimState::Claimed(found) => found.id == claim.id || found.policy == claim.policy,
    };
    if !is_same {
        return None;
    }
    let mut patch = Patch::new(metadata);
    patch.remove_claim(kind);
    patch.finish()
}

struct Patch<'a> {
    metadata: &'a Value,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
}

impl<'a> Patch<'a> {
    fn new(metadata: &'a Value) -> Self {
        Self {
            metadata,
            labels: Map::new(),
            annotations: Map::new(),
        }
    }

    fn present(&self, field: &str, key: &str) -> Option<&str> {
        self.metadata
            .get(field)
            .and_then(|map| map.get(key))
            .and_then(Value::as_str)
    }

    fn entries(&mut self, field: &str) -> &mut Map<String, Value> {
        if field == "labels" {
            &mut self.labels
        } else {
            &mut self.annotations
        }
    }

    fn set(&mut self, field: &str, key: &str, value: &str) {
        if self.present(field, key) != Some(value) {
            self.entries(field).insert(key.to_owned(), json!(value));
        }
    }

    fn remove(&mut self, field: &str, key: &str) {
        if self.present(field, key).is_some() {
            self.entries(field).insert(key.to_owned(), Value::Null);
        }
    }

    fn remove_claim(&mut self, kind: PolicyKind) {
        let (label, annotations) = claim_keys(kind);
        self.remove("labels", label);
        for key in annotations {
            self.remove("annotations", key);
        }
    }

    fn finish(self) -> Option<Value> {
        let mut metadata = Map::new();
        for (field, entries) in [("annotations", self.annotations), ("labels", self.labels)] {
            if !entries.is_empty() {
                metadata.insert(field.to_owned(), Value::Object(entries));
            }
        }
        (!metadata.is_empty()).then(|| json!({ "metadata": metadata }))
    }
}

/// The labels and annotations of a claim, for an object that is made with it.
pub(crate) fn claim_labels_and_annotations(
    claim: &Claim,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let keys = keys_of(claim.policy.kind);
    let labels = BTreeMap::from([(keys.id.to_owned(), claim.id.clone())]);
    let mut annotations = BTreeMap::from([(keys.name.to_owned(), claim.policy.name.clone())]);
    if let Some(key) = keys.namespace {
        annotations.insert(key.to_owned(), claim.policy.namespace.clone());
    }
    (labels, annotations)
}

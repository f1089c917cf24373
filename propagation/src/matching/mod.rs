//! Which policy claims a template.
//!
//! ```text
//! metadata -> claim? -> the claimed policy | the best PropagationPolicy | the best ClusterPropagationPolicy -> Decision
//! ```
//!
//! A namespaced policy always beats a cluster-scoped one at first match. A claim, once made, holds until the policy lets go of it, is
//! deleted, or is preempted.

mod claim;
mod decide;
pub mod lazy;
mod preemption;
mod select;
pub mod upkeep;

pub use claim::{Claim, ClaimState, claim_patch, read_claim, release_patch};
pub(crate) use claim::{claim_keys, claim_labels_and_annotations};
pub use decide::{Decision, Input, decide};
pub use select::{Level, Subject, choose};
pub use upkeep::{TemplateKey, Waiting};

use std::fmt;

use crds::keys;
use crds::policy::{
    ActivationPreference, ClusterPropagationPolicy, PreemptionBehavior, PropagationPolicy,
    PropagationSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

/// The two kinds of propagation policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum PolicyKind {
    PropagationPolicy,
    ClusterPropagationPolicy,
}

impl PolicyKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PropagationPolicy => PropagationPolicy::KIND,
            Self::ClusterPropagationPolicy => ClusterPropagationPolicy::KIND,
        }
    }
}

/// Names a propagation policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    pub kind: PolicyKind,
    /// Empty for a ClusterPropagationPolicy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: String,
}

impl PolicyRef {
    pub fn namespaced(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: PolicyKind::PropagationPolicy,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub fn cluster(name: impl Into<String>) -> Self {
        Self {
            kind: PolicyKind::ClusterPropagationPolicy,
            namespace: String::new(),
            name: name.into(),
        }
    }
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            PolicyKind::PropagationPolicy => write!(f, "{}/{}", self.namespace, self.name),
            PolicyKind::ClusterPropagationPolicy => f.write_str(&self.name),
        }
    }
}

/// A propagation policy of either kind.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    pub reference: PolicyRef,
    /// The permanent id; empty when the policy has none yet, and then it can claim nothing.
    pub id: &'a str,
    pub terminating: bool,
    pub spec: &'a PropagationSpec,
}

impl<'a> Policy<'a> {
    fn new(
        reference: PolicyRef,
        id_key: &str,
        metadata: &'a ObjectMeta,
        spec: &'a PropagationSpec,
    ) -> Self {
        let id = metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(id_key))
            .map_or("", String::as_str);
        Self {
            reference,
            id,
            terminating: metadata.deletion_timestamp.is_some(),
            spec,
        }
    }

    pub fn priority(&self) -> i32 {
        self.spec.priority.unwrap_or(0)
    }

    pub fn is_lazy(&self) -> bool {
        self.spec.activation_preference == Some(ActivationPreference::Lazy)
    }

    pub fn preempts(&self) -> bool {
        self.spec.preemption == Some(PreemptionBehavior::Always)
    }

    /// How well the policy fits an object.
    pub fn level(&self, subject: &Subject) -> Level {
        subject.level(&self.spec.resource_selectors)
    }

    /// The claim that the policy makes.
    pub fn claim(&self) -> Claim {
        Claim {
            policy: self.reference.clone(),
            id: self.id.to_owned(),
        }
    }
}

impl<'a> From<&'a PropagationPolicy> for Policy<'a> {
    fn from(policy: &'a PropagationPolicy) -> Self {
        let metadata = &policy.metadata;
        let reference = PolicyRef::namespaced(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        );
        Self::new(
            reference,
            keys::PROPAGATION_POLICY_PERMANENT_ID,
            metadata,
            &policy.spec,
        )
    }
}

impl<'a> From<&'a ClusterPropagationPolicy> for Policy<'a> {
    fn from(policy: &'a ClusterPropagationPolicy) -> Self {
        let metadata = &policy.metadata;
        let reference = PolicyRef::cluster(metadata.name.as_deref().unwrap_or_default());
        Self::new(
            reference,
            keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
            metadata,
            &policy.spec,
        )
    }
}

/// Why a policy does or does not have a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Code {
    SelectorMismatch,
    WrongNamespace,
    LowerPriority,
    LowerMatchLevel,
    LaterName,
    ClusterPolicyLoses,
    ClaimKept,
    NoPreemption,
    Preempted,
    PolicyTerminating,
    ClaimStale,
    /// The policy has no permanent id yet.
    NotIdentified,
    DependentOverrideMissing,
    /// The binding's name is taken by a template of another group.
    NameCollision,
    /// The binding is of an earlier template of this name, and on its way out.
    OwnerGone,
    LazyNotActivated,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelectorMismatch => "SelectorMismatch",
            Self::WrongNamespace => "WrongNamespace",
            Self::LowerPriority => "LowerPriority",
            Self::LowerMatchLevel => "LowerMatchLevel",
            Self::LaterName => "LaterName",
            Self::ClusterPolicyLoses => "ClusterPolicyLoses",
            Self::ClaimKept => "ClaimKept",
            Self::NoPreemption => "NoPreemption",
            Self::Preempted => "Preempted",
            Self::PolicyTerminating => "PolicyTerminating",
            Self::ClaimStale => "ClaimStale",
            Self::NotIdentified => "NotIdentified",
            Self::DependentOverrideMissing => "DependentOverrideMissing",
            Self::NameCollision => "NameCollision",
            Self::OwnerGone => "OwnerGone",
            Self::LazyNotActivated => "LazyNotActivated",
        }
    }
}

#[cfg(test)]
mod tests;

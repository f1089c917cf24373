//! Override policies: which rules apply to an object in a cluster, and what they change.
//!
//! ```text
//! policies -> rank (general first) -> rules -> target cluster -> overriders -> RFC 6902 operations -> manifest
//! ```
//!
//! Cluster policies apply before namespaced ones and general before specific, so that the last writer is the closest to the
//! object. Every overrider comes to patch operations, which the trace shows.

mod containers;
mod field;
pub mod image;
mod metadata;
pub mod patch;
mod record;

use std::fmt;

use crds::cluster::Cluster;
use crds::policy::{
    ClusterAffinity, ClusterOverridePolicy, OverridePolicy, OverrideSpec, Overriders,
    RuleWithCluster,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;
use trace::Sink;

pub use containers::ContainerError;
pub use field::FieldError;
pub use patch::{Operation, PatchError};
pub use record::{Applied, AppliedRule};

use crate::matching::Subject;
use crate::trace::Item;

/// Annotation on an override policy: `true` lets image, command and args overriders without a predicate reach init
/// containers, ephemeral containers and CronJobs as well.
pub const ALL_CONTAINERS: &str = "navarch.dev/override-all-containers";

/// An override policy of either scope.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    pub reference: PolicyRef,
    pub scope: Scope,
    pub spec: &'a OverrideSpec,
}

/// Names an override policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// Absent for a ClusterOverridePolicy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl PolicyRef {
    /// Whether this is a ClusterOverridePolicy.
    pub fn is_cluster(&self) -> bool {
        self.namespace.is_none()
    }

    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        if self.is_cluster() {
            ClusterOverridePolicy::KIND
        } else {
            OverridePolicy::KIND
        }
    }
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Which containers an overrider without a predicate reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// The containers of the workload kinds that the API documents.
    #[default]
    Containers,
    /// Init and ephemeral containers and CronJobs too.
    AllContainers,
}

impl<'a> Policy<'a> {
    /// A policy from its parts; `namespace` is absent for a ClusterOverridePolicy.
    pub fn new(namespace: Option<&str>, metadata: &ObjectMeta, spec: &'a OverrideSpec) -> Self {
        let opted_in = metadata
            .annotations
            .as_ref()
            .and_then(|map| map.get(ALL_CONTAINERS))
            .is_some_and(|value| value == "true");
        let reference = PolicyRef {
            namespace: namespace.map(ToOwned::to_owned),
            name: metadata.name.clone().unwrap_or_default(),
        };
        Self {
            reference,
            scope: if opted_in {
                Scope::AllContainers
            } else {
                Scope::Containers
            },
            spec,
        }
    }
}

impl<'a> From<&'a OverridePolicy> for Policy<'a> {
    fn from(policy: &'a OverridePolicy) -> Self {
        let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
        Self::new(Some(namespace), &policy.metadata, &policy.spec)
    }
}

impl<'a> From<&'a ClusterOverridePolicy> for Policy<'a> {
    fn from(policy: &'a ClusterOverridePolicy) -> Self {
        Self::new(None, &policy.metadata, &policy.spec)
    }
}

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Code {
    RuleApplied,
    TargetMismatch,
    RuleFailed,
    PolicyNotMatching,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RuleApplied => "RuleApplied",
            Self::TargetMismatch => "TargetMismatch",
            Self::RuleFailed => "RuleFailed",
            Self::PolicyNotMatching => "PolicyNotMatching",
        }
    }
}

/// A rule that does not apply. The text names policy, rule and path, and ends with the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {policy}, rule {rule}, {overrider}[{index}]{}: {cause}", .policy.kind(), at(.path))]
pub struct OverrideError {
    pub policy: PolicyRef,
    /// Counts from 1.
    pub rule: usize,
    /// The list of overriders, for example `plaintext`.
    pub overrider: &'static str,
    /// The element of that list, from 0.
    pub index: usize,
    /// The path that the element addresses; empty when it addresses none.
    pub path: String,
    pub cause: OverriderError,
}

fn at(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!(" at {path}")
    }
}

/// The cause of an [`OverrideError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverriderError {
    #[error(transparent)]
    Patch(#[from] PatchError),
    #[error(transparent)]
    Container(#[from] ContainerError),
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// Applies all rules that concern this manifest in this cluster.
///
/// `cluster_policies` are all ClusterOverridePolicies; `policies` the OverridePolicies of the manifest's namespace, which are
/// passed over for a cluster-scoped manifest. The first rule that fails ends the work, and `manifest` is then half
/// changed: drop it.
pub fn apply(
    manifest: &mut Value,
    cluster: &Cluster,
    cluster_policies: &[Policy<'_>],
    policies: &[Policy<'_>],
    sink: &mut impl Sink<Item>,
) -> Result<Applied, Box<OverrideError>> {
    let subject = Subject::of(manifest);
    let mut applied = Applied::default();
    let ranked = rank(&subject, cluster, cluster_policies, sink)
        .into_iter()
        .chain(if subject.namespace.is_empty() {
            Vec::new()
        } else {
            rank(&subject, cluster, policies, sink)
        });
    for policy in ranked {
        for (index, rule) in rules(policy.spec).enumerate() {
            let number = index + 1;
            if !rule
                .target_cluster
                .is_none_or(|affinity| crds::affinity::matches(affinity, cluster))
            {
                sink.record(|| {
                    verdict(
                        policy,
                        cluster,
                        number,
                        Code::TargetMismatch,
                        String::new(),
                        Vec::new(),
                    )
                });
                continue;
            }
            let mut operations = Vec::new();
            match apply_rule(manifest, policy, number, rule.overriders, &mut operations) {
                Ok(remark) => {
                    sink.record(|| {
                        verdict(
                            policy,
                            cluster,
                            number,
                            Code::RuleApplied,
                            remark,
                            operations,
                        )
                    });
                }
                Err(error) => {
                    sink.record(|| {
                        verdict(
                            policy,
                            cluster,
                            number,
                            Code::RuleFailed,
                            error.to_string(),
                            operations,
                        )
                    });
                    return Err(error);
                }
            }
            applied.push(&policy.reference, number, rule.overriders);
        }
    }
    Ok(applied)
}

/// Whether a change of this policy can concern the object: no selectors, or one that matches.
pub fn concerns(spec: &OverrideSpec, subject: &Subject) -> bool {
    level(spec, subject) > 0
}

fn level(spec: &OverrideSpec, subject: &Subject) -> u8 {
    match spec.resource_selectors.as_deref() {
        None | Some([]) => 1,
        Some(selectors) => subject.level(selectors) as u8,
    }
}

/// The policies that match, in the order in which they apply.
fn rank<'p, 'a>(
    subject: &Subject,
    cluster: &Cluster,
    policies: &'p [Policy<'a>],
    sink: &mut impl Sink<Item>,
) -> Vec<&'p Policy<'a>> {
    let mut ranked = Vec::new();
    for policy in policies {
        let level = level(policy.spec, subject);
        if level > 0 {
            ranked.push((level, policy));
        } else {
            sink.record(|| {
                verdict(
                    policy,
                    cluster,
                    0,
                    Code::PolicyNotMatching,
                    String::new(),
                    Vec::new(),
                )
            });
        }
    }
    ranked.sort_by(|(a, left), (b, right)| {
        a.cmp(b).then_with(|| left.reference.cmp(&right.reference))
    });
    ranked.into_iter().map(|(_, policy)| policy).collect()
}

struct Rule<'a> {
    target_cluster: Option<&'a ClusterAffinity>,
    overriders: &'a Overriders,
}

/// The rules of a policy; the deprecated form counts as one.
fn rules(spec: &OverrideSpec) -> impl Iterator<Item = Rule<'_>> {
    let deprecated = spec
        .overriders
        .as_ref()
        .filter(|_| spec.override_rules.is_empty())
        .map(|overriders| Rule {
            target_cluster: spec.target_cluster.as_ref(),
            overriders,
        });
    let listed = spec.override_rules.iter().map(
        |RuleWithCluster {
             target_cluster,
             overriders,
         }| Rule {
            target_cluster: target_cluster.as_ref(),
            overriders,
        },
    );
    listed.chain(deprecated)
}

fn verdict(
    policy: &Policy<'_>,
    cluster: &Cluster,
    rule: usize,
    code: Code,
    reason: String,
    operations: Vec<Operation>,
) -> Item {
    Item::OverrideRule {
        policy: policy.reference.clone(),
        cluster: cluster.metadata.name.clone().unwrap_or_default(),
        rule,
        code,
        reason,
        operations,
    }
}

/// Applies the overriders of one rule in their fixed order and returns a remark on entries without effect.
fn apply_rule(
    manifest: &mut Value,
    policy: &Policy<'_>,
    rule: usize,
    overriders: &Overriders,
    operations: &mut Vec<Operation>,
) -> Result<String, Box<OverrideError>> {
    let mut remarks = Vec::new();
    let failed = |overrider, index, path: &str, cause| {
        Box::new(OverrideError {
            policy: policy.reference.clone(),
            rule,
            overrider,
            index,
            path: path.to_owned(),
            cause,
        })
    };
    let mut run = |manifest: &mut Value, new: Vec<Operation>| {
        let outcome = patch::apply(manifest, &new);
        operations.extend(new);
        outcome.map_err(OverriderError::from)
    };
    for (index, overrider) in overriders.image_overrider.iter().enumerate() {
        let path = overrider
            .predicate
            .as_ref()
            .map_or("", |predicate| &predicate.path);
        let changes = containers::image_operations(manifest, overrider, policy.scope)
            .map_err(|cause| failed("imageOverrider", index, path, cause.into()))?;
        remarks.extend(changes.ignored.iter().map(ToString::to_string));
        run(manifest, changes.operations)
            .map_err(|cause| failed("imageOverrider", index, path, cause))?;
    }
    for (name, field, list) in [
        ("commandOverrider", "command", &overriders.command_overrider),
        ("argsOverrider", "args", &overriders.args_overrider),
    ] {
        for (index, overrider) in list.iter().enumerate() {
            let new = containers::words_operations(manifest, overrider, field, policy.scope);
            run(manifest, new).map_err(|cause| failed(name, index, "", cause))?;
        }
    }
    for (name, field, list) in [
        ("labelsOverrider", "labels", &overriders.labels_overrider),
        (
            "annotationsOverrider",
            "annotations",
            &overriders.annotations_overrider,
        ),
    ] {
        for (index, overrider) in list.iter().enumerate() {
            let new = metadata::operations(manifest, overrider, field);
            run(manifest, new).map_err(|cause| failed(name, index, "", cause))?;
        }
    }
    for (index, overrider) in overriders.field_overrider.iter().enumerate() {
        let path = &overrider.field_path;
        let new = field::operation(manifest, overrider)
            .map_err(|cause| failed("fieldOverrider", index, path, cause.into()))?;
        run(manifest, new.into_iter().collect())
            .map_err(|cause| failed("fieldOverrider", index, path, cause))?;
    }
    for (index, overrider) in overriders.plaintext.iter().enumerate() {
        let path = &overrider.path;
        let new = Operation {
            op: overrider.operator,
            path: path.clone(),
            value: overrider.value.clone(),
        };
        run(manifest, vec![new]).map_err(|cause| failed("plaintext", index, path, cause))?;
    }
    Ok(remarks.join("; "))
}

#[cfg(test)]
mod tests;

//! What the pure stages decide, item by item.

use std::collections::BTreeMap;

use crds::work::ResourceHealth;
use serde::Serialize;
use serde_json::Value;

use crate::matching::{self, Level};
use crate::overrides::{self, Operation};
use crate::render::Source;
use crate::skip::Verdict;

/// One decision. Serialized as an object with `type` and the fields of the variant.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Item {
    /// Whether an object may be propagated at all.
    Template { object: String, verdict: Verdict },
    /// Whether a policy has a template, and what it lacks otherwise.
    Policy {
        policy: matching::PolicyRef,
        matched: bool,
        level: Level,
        priority: i32,
        used: bool,
        code: Option<matching::Code>,
        message: String,
    },
    /// What becomes of the claim that a template carries; without a code it holds.
    Claim {
        policy: matching::PolicyRef,
        code: Option<matching::Code>,
        message: String,
    },
    /// What keeps the policy that has a template from building its binding, or from building it anew.
    Obstacle {
        policy: matching::PolicyRef,
        code: matching::Code,
        message: String,
    },
    /// A binding was computed.
    BindingBuilt {
        binding: String,
        policy: matching::PolicyRef,
        replicas: i32,
        is_workload: bool,
    },
    /// A cluster gets a Work.
    Target {
        cluster: String,
        replicas: Option<i32>,
        source: Source,
    },
    /// The manifest got the cluster's number of replicas.
    ReplicasRevised { cluster: String, replicas: i32 },
    /// The completions of a Job were divided by these weights.
    CompletionsDivided {
        completions: i64,
        weights: BTreeMap<String, i64>,
        shares: BTreeMap<String, i64>,
    },
    /// What an override rule did. `rule` counts from 1 and is 0 when no rule of the policy was looked at.
    OverrideRule {
        policy: overrides::PolicyRef,
        cluster: String,
        rule: usize,
        code: overrides::Code,
        reason: String,
        operations: Vec<Operation>,
    },
    /// What happens to an object that exists in the member already.
    ConflictResolution {
        cluster: String,
        value: String,
        from_annotation: bool,
        ignored: Option<String>,
    },
    /// Labels of a purged instance were given to its successor.
    StateInjected {
        cluster: String,
        from: String,
        labels: BTreeMap<String, String>,
    },
    /// The manifest for a cluster, before the Work's permanent id is put on it.
    Rendered {
        cluster: String,
        work: String,
        suspended: bool,
        manifest: Value,
    },
    /// A Work in a cluster where none is expected.
    Orphan { cluster: String, work: String },
    /// What is done in the member: `create`, `update`, `takeover`, `none`, `refuse`, `delete` or `leave`.
    Execution {
        cluster: String,
        object: String,
        action: &'static str,
        detail: String,
    },
    /// The state of the resource in a cluster.
    Aggregated {
        cluster: String,
        applied: bool,
        health: ResourceHealth,
        message: String,
    },
    /// Whether a cluster is still being left.
    Eviction {
        cluster: String,
        keep: bool,
        reason: String,
    },
    /// Whether a workload leaves a cluster because it is unhealthy there.
    Failover {
        cluster: String,
        evict: bool,
        reason: String,
    },
    /// Whether a binding belongs to a dependency.
    Dependency {
        binding: String,
        attached: bool,
        reason: String,
    },
    /// Whether deletions are held back.
    Brake {
        scope: String,
        held: bool,
        reason: String,
    },
}

//! What a decision reports while it is made, item by item.

use serde::Serialize;
use serde_json::Value;

pub use ::trace::{NoTrace, Recorder, Sink};

/// One step of a decision. Clusters appear by name.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Why the scheduler acts, or does not.
    Triggered {
        code: &'static str,
        fresh: bool,
    },
    /// The binding is left alone.
    Skipped {
        code: &'static str,
    },
    /// An attempt begins; ordered affinities take one attempt per term.
    Attempt {
        affinity_name: Option<String>,
        clusters: usize,
    },
    /// A cluster is being removed and takes no part.
    Deleting {
        cluster: String,
    },
    /// What a filter says about a cluster. All filters are asked; the first that refuses decides.
    Filtered {
        cluster: String,
        plugin: String,
        passed: bool,
        decisive: bool,
        code: &'static str,
        reason: String,
        detail: Option<String>,
    },
    Scored {
        cluster: String,
        plugin: String,
        score: i64,
    },
    Estimated {
        cluster: String,
        estimator: String,
        /// `None` if the estimator does not know or failed.
        replicas: Option<i64>,
        factors: Vec<Factor>,
        error: Option<String>,
    },
    /// The room that counts: for division, and including what is there already for selection.
    Available {
        cluster: String,
        allocatable: i64,
        available: i64,
    },
    /// The way in which clusters are selected: `All`, `Clusters`, `Regions`, `Groups` for constraints on several levels, or `Plugin`.
    Path {
        path: &'static str,
        /// The plugin that decided.
        plugin: Option<String>,
    },
    /// A group of clusters that the choice of groups considers.
    Group {
        field: String,
        name: String,
        clusters: usize,
        score: i64,
    },
    GroupsChosen {
        field: String,
        names: Vec<String>,
    },
    /// A cluster takes part in the division, at this place in the order of selection.
    Selected {
        cluster: String,
        place: usize,
        tier: u32,
    },
    NotSelected {
        cluster: String,
        reason: String,
    },
    /// A cluster was exchanged because the first choice lacked room.
    Swapped {
        out: String,
        r#in: String,
    },
    /// The static weight of a cluster and the rule that gave it, counted from 0; `None` for the equal weights that apply when no
    /// rule matches.
    Weight {
        cluster: String,
        weight: i64,
        rule: Option<usize>,
    },
    /// Replicas are divided, once per overflow tier that is reached.
    Divided(Division),
    /// The attempt ends without a result.
    AttemptFailed {
        reason: &'static str,
        message: String,
    },
    /// The decision ends without a result.
    Failed {
        reason: &'static str,
        message: String,
        /// Whether the resource stays in the clusters that it is in; `None` if it is in none.
        kept: Option<bool>,
    },
    /// The decision ends with this result.
    Placed {
        cluster: String,
        replicas: i64,
    },
    /// What is written to the binding for it.
    Patch {
        patch: Value,
    },
}

/// A number that limits an estimate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Factor {
    /// The resource, `pods`, or `models`.
    pub resource: String,
    /// What is free, in the resource's unit: thousandths for cpu, whole units otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<i64>,
    /// What one replica or set needs, in the same unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<i64>,
    /// How many fit by this resource alone.
    pub fits: i64,
    /// What is wrong with the cluster's amounts, if they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The arithmetic of one division.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Division {
    /// `Duplicated`, `StaticWeight`, `DynamicWeight` or `Aggregated`.
    pub strategy: &'static str,
    /// `Fresh`, `ScaleUp`, `ScaleDown`, `Unchanged`, or `Static`, which starts anew each time.
    pub mode: &'static str,
    /// The overflow tier, if there are tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<u32>,
    /// The replicas that are divided.
    pub target: i64,
    pub shares: Vec<Share>,
    /// What stays where it is, and is added.
    pub base: Vec<Assigned>,
}

/// A cluster's part of a division.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    pub cluster: String,
    pub weight: i64,
    /// The exact share with two decimals, cut off.
    pub share: String,
    /// What the method makes of it.
    pub replicas: i64,
}

/// Replicas in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assigned {
    pub cluster: String,
    pub replicas: i64,
}

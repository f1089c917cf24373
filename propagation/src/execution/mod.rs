//! Work to member object: what to do in the member, and what to say about it.
//!
//! ```text
//! manifest + observed -> may we write? -> retain -> equal? -> Plan
//! ```
//!
//! The plan is data; whoever carries it out does the talking and comes back with the answer for [`conditions`].

pub mod conditions;
mod delete;
mod refusal;
mod retain;
mod strategy;
mod version;

pub use delete::{
    DeletePlan, ReleasePlan, delete_plan, holder, release_plan, release_retention, unmark,
};
pub use refusal::{Answer, Refusal, judge};
pub use retain::retain;
pub use strategy::{APPLIED_MANIFEST, UPDATE_STRATEGY, UpdateStrategy};
pub use version::{needs_update, version};

use std::fmt;

use crds::object::Key;
use crds::work::Work;
use crds::{keys, object};
use interpreter::Interpreter;
use serde::Serialize;
use serde_json::Value;
use trace::Sink;

use crate::trace::Item;

/// Where delivery to a cluster stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Code {
    WorkMissing,
    WorkStale,
    DispatchSuspended,
    PurgeBarrier,
    ClusterNotReady,
    AgentSilent,
    Conflict,
    MemberRejected,
    NamespaceMissing,
    MemberApiMissing,
    ApplyError,
    Applied,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorkMissing => "WorkMissing",
            Self::WorkStale => "WorkStale",
            Self::DispatchSuspended => "DispatchSuspended",
            Self::PurgeBarrier => "PurgeBarrier",
            Self::ClusterNotReady => "ClusterNotReady",
            Self::AgentSilent => "AgentSilent",
            Self::Conflict => "Conflict",
            Self::MemberRejected => "MemberRejected",
            Self::NamespaceMissing => "NamespaceMissing",
            Self::MemberApiMissing => "MemberApiMissing",
            Self::ApplyError => "ApplyError",
            Self::Applied => "Applied",
        }
    }
}

/// What to do with one manifest in the member.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// POST this object.
    Create(Value),
    /// PUT this object, which carries the observed `resourceVersion`.
    Update {
        object: Value,
        /// The object was not ours before.
        takeover: bool,
        /// Pointers to the fields that change, sorted; at most [`MAX_FIELDS`].
        fields: Vec<String>,
    },
    /// Server-side apply of this object, which is created if it is not there.
    Apply {
        object: Value,
        /// Whether to take fields from other managers. Not from an object that nobody expects to be there.
        force: bool,
        /// As in [`Plan::Update`].
        takeover: bool,
        fields: Vec<String>,
    },
    /// The member has what it should have.
    Unchanged,
}

/// How many changed fields a plan lists.
pub const MAX_FIELDS: usize = 64;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("{0}")]
    Retain(interpreter::Error),
    #[error("{0}")]
    Prune(String),
    #[error("manifest has no {field}")]
    Invalid { field: &'static str },
    #[error(
        "annotation {UPDATE_STRATEGY} of {object} is \"{found}\"; it must be Replace, ServerSideApply or CreateOnly"
    )]
    Strategy { object: String, found: String },
}

impl PlanError {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "Conflict",
            Self::Retain(_) => "RetainFailed",
            Self::Prune(_) => "PruneFailed",
            Self::Invalid { .. } => "InvalidManifest",
            Self::Strategy { .. } => "InvalidStrategy",
        }
    }

    /// Whether the other object has to go first, which nobody watches.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// An object of this name exists in the member, is not ours, and must not be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub kind: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    pub name: String,
    pub cluster: String,
}

impl std::error::Error for Conflict {}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
            cluster,
        } = self;
        write!(
            f,
            "resource(kind={kind}, {namespace}/{name}) already exists in the cluster {cluster} and the {} strategy value is empty, Karmada will not manage this resource",
            keys::CONFLICT_RESOLUTION
        )
    }
}

/// The manifests of a Work, each with what its ownership in the member needs.
///
/// A Work that somebody wrote by hand lacks label and annotations; without them its objects would be refused as conflicts with
/// themselves at the next update and left behind when it is deleted.
pub fn manifests(work: &Work) -> Vec<Value> {
    let metadata = &work.metadata;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let id = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(keys::WORK_PERMANENT_ID));
    let complete = |manifest: &Value| {
        let mut manifest = manifest.clone();
        let mut changed = object::set_label(&mut manifest, keys::MANAGED, keys::TRUE);
        changed |= object::set_annotation(&mut manifest, keys::WORK_NAME, &text(&metadata.name));
        changed |= object::set_annotation(
            &mut manifest,
            keys::WORK_NAMESPACE,
            &text(&metadata.namespace),
        );
        if let Some(id) = id.filter(|_| changed) {
            crate::render::stamp(&mut manifest, id);
        }
        manifest
    };
    work.spec.workload.manifests.iter().map(complete).collect()
}

/// Decides about one manifest. `observed` is the object of that name in the member, read from a synced store or live.
pub fn plan(
    manifest: &Value,
    observed: Option<&Value>,
    cluster: &str,
    interpreter: &Interpreter,
    sink: &mut impl Sink<Item>,
) -> Result<Plan, PlanError> {
    let outcome = decide(manifest, observed, cluster, interpreter);
    sink.record(|| {
        let (action, detail) = match &outcome {
            Ok(Plan::Create(_)) => ("create", String::new()),
            Ok(Plan::Update {
                takeover: true,
                fields,
                ..
            }) => ("takeover", fields.join(", ")),
            Ok(Plan::Update { fields, .. }) => ("update", fields.join(", ")),
            Ok(Plan::Apply {
                takeover, fields, ..
            }) => {
                let action = if *takeover { "takeover" } else { "apply" };
                (action, fields.join(", "))
            }
            Ok(Plan::Unchanged) => ("none", String::new()),
            Err(error) => ("refuse", error.to_string()),
        };
        Item::Execution {
            cluster: cluster.to_owned(),
            object: described(manifest),
            action,
            detail,
        }
    });
    outcome
}

fn decide(
    manifest: &Value,
    observed: Option<&Value>,
    cluster: &str,
    interpreter: &Interpreter,
) -> Result<Plan, PlanError> {
    for (field, value) in [
        ("apiVersion", object::api_version(manifest)),
        ("kind", object::kind(manifest)),
        ("metadata.name", object::name(manifest)),
    ] {
        if value.is_empty() {
            return Err(PlanError::Invalid { field });
        }
    }
    let strategy = UpdateStrategy::of(manifest)?;
    let Some(observed) = observed else {
        return match strategy {
            UpdateStrategy::ServerSideApply => strategy::apply(manifest, None, interpreter),
            UpdateStrategy::Replace | UpdateStrategy::CreateOnly => {
                Ok(Plan::Create(manifest.clone()))
            }
        };
    };
    if !may_replace(manifest, observed) {
        return Err(Conflict {
            kind: object::kind(manifest).to_owned(),
            namespace: object::namespace(manifest).unwrap_or_default().to_owned(),
            name: object::name(manifest).to_owned(),
            cluster: cluster.to_owned(),
        }
        .into());
    }
    let is_ours = is_managed(observed);
    match strategy {
        UpdateStrategy::CreateOnly if is_ours => return Ok(Plan::Unchanged),
        UpdateStrategy::ServerSideApply => {
            return strategy::apply(manifest, Some(observed), interpreter);
        }
        UpdateStrategy::CreateOnly | UpdateStrategy::Replace => {}
    }
    let mut desired = interpreter
        .retain(strategy::base(manifest, observed), observed)
        .map_err(PlanError::Retain)?;
    object::remove_annotation(&mut desired, APPLIED_MANIFEST);
    // What belongs to the member is in both: a manifest has none of it, and what was retained of it is the member's own.
    let pruned = |object: &Value| {
        let mut pruned = object.clone();
        interpreter::prune::prune(&mut pruned)
            .map(|()| pruned)
            .map_err(|error| PlanError::Prune(error.to_string()))
    };
    let (wanted, present) = (pruned(&desired)?, pruned(observed)?);
    if same(&wanted, &present) {
        return Ok(Plan::Unchanged);
    }
    let mut fields = Vec::new();
    changed_fields(&wanted, &present, &mut String::new(), &mut fields);
    fields.sort();
    fields.truncate(MAX_FIELDS);
    Ok(Plan::Update {
        object: desired,
        takeover: !is_ours,
        fields,
    })
}

fn may_replace(manifest: &Value, observed: &Value) -> bool {
    is_managed(observed)
        || object::annotation(manifest, keys::CONFLICT_RESOLUTION) == Some(keys::CONFLICT_OVERWRITE)
}

/// The desired and the observed object that [`plan`] asks the interpreter about, for whoever fetches the answer first; None when it
/// asks nothing.
pub fn retention(manifest: &Value, observed: &Value) -> Option<(Value, Value)> {
    may_replace(manifest, observed).then(|| (strategy::base(manifest, observed), observed.clone()))
}

/// Whether the object in the member was written by the control plane.
pub fn is_managed(observed: &Value) -> bool {
    object::label(observed, keys::MANAGED) == Some(keys::TRUE)
}

/// Whether the object belongs to this Work and somebody took the mark off it. Under `abort` it is then refused as a conflict,
/// which [`conditions::mark_removed`] says better than the refusal does.
pub fn lost_mark(observed: &Value, work: &Key) -> bool {
    !is_managed(observed) && holder(observed).as_ref() == Some(work)
}

/// Kind, namespace and name for people.
pub(crate) fn described(object: &Value) -> String {
    format!("{} {}", object::kind(object), Key::of(object))
}

/// Equality as the API server sees it: a member that is null is a member that is absent.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter()
                .all(|(key, value)| same(value, b.get(key).unwrap_or(&Value::Null)))
                && b.iter()
                    .all(|(key, value)| value.is_null() || a.contains_key(key))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => left == right,
    }
}

fn changed_fields(desired: &Value, present: &Value, path: &mut String, fields: &mut Vec<String>) {
    if same(desired, present) {
        return;
    }
    let (Value::Object(wanted), Value::Object(found)) = (desired, present) else {
        fields.push(path.clone());
        return;
    };
    let length = path.len();
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    for name in names {
        path.push('/');
        path.push_str(&crate::overrides::patch::escape(name));
        let value =
            |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
        changed_fields(&value(wanted), &value(found), path, fields);
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests;

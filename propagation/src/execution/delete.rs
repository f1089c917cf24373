//! What happens in the member when a Work goes.

use std::collections::BTreeSet;

use crds::object::Key;
use crds::{keys, object};
use interpreter::Interpreter;
use serde_json::{Map, Value, json};
use trace::Sink;

use super::{APPLIED_MANIFEST, Plan, PlanError, UpdateStrategy, described, is_managed, plan};
use crate::trace::Item;

/// What to do with the object of a deleted Work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletePlan {
    /// There is none.
    Gone,
    /// It stays, and why.
    Leave { reason: String },
    /// DELETE with background propagation and these preconditions, so that nothing that changed meanwhile is deleted.
    Delete {
        uid: Option<String>,
        resource_version: Option<String>,
    },
}

/// Decides about the object of one manifest of a terminating Work.
///
/// An object is deleted only if the control plane wrote it and if it does not say that another Work has it now.
pub fn delete_plan(work: &Key, observed: Option<&Value>, sink: &mut impl Sink<Item>) -> DeletePlan {
    let plan = decide(work, observed);
    sink.record(|| {
        let (action, detail) = match &plan {
            DeletePlan::Gone => ("none", String::new()),
            DeletePlan::Leave { reason } => ("leave", reason.clone()),
            DeletePlan::Delete { .. } => ("delete", String::new()),
        };
        let cluster = cluster_of(work);
        Item::Execution {
            cluster,
            object: observed.map(described).unwrap_or_default(),
            action,
            detail,
        }
    });
    plan
}

fn decide(work: &Key, observed: Option<&Value>) -> DeletePlan {
    let Some(observed) = observed else {
        return DeletePlan::Gone;
    };
    if !is_managed(observed) {
        return DeletePlan::Leave {
            reason: "the object is not managed by the control plane".to_owned(),
        };
    }
    match holder(observed) {
        Some(holder) if holder == *work => {}
        Some(holder) => {
            return DeletePlan::Leave {
                reason: format!("the object belongs to work {holder}"),
            };
        }
        // Marked as ours, but by whom is unknown: perhaps another control plane.
        None => {
            return DeletePlan::Leave {
                reason: "the object names no work that it belongs to".to_owned(),
            };
        }
    }
    DeletePlan::Delete {
        uid: object::uid(observed).map(ToOwned::to_owned),
        // The version is no precondition: status changes would fail the deletion, and the uid says which object is meant.
        resource_version: None,
    }
}

/// The Work that an object in the member says it belongs to.
pub fn holder(observed: &Value) -> Option<Key> {
    let annotation = |key| object::annotation(observed, key).filter(|text| !text.is_empty());
    Some(Key::new(
        annotation(keys::WORK_NAMESPACE)?,
        annotation(keys::WORK_NAME)?,
    ))
}

fn cluster_of(work: &Key) -> String {
    let namespace = work.namespace.as_deref().unwrap_or_default();
    crds::names::cluster_of_execution_namespace(namespace)
        .unwrap_or_default()
        .to_owned()
}

/// What to do with the object of a Work that is deleted but leaves its object behind.
#[derive(Debug, Clone, PartialEq)]
pub enum ReleasePlan {
    /// There is nothing to let go of.
    Done { reason: &'static str },
    /// PUT this object.
    Update(Value),
    /// Only the marks go, as [`unmark`] says: the object is not replaced as a whole.
    Unmark,
}

/// Lets go of the object of one manifest: everything that the control plane marked it with goes, the rest stays.
pub fn release_plan(
    manifest: &Value,
    work: &Key,
    observed: Option<&Value>,
    interpreter: &Interpreter,
    sink: &mut impl Sink<Item>,
) -> Result<ReleasePlan, PlanError> {
    let Some(observed) = observed else {
        return Ok(ReleasePlan::Done {
            reason: "the object is gone",
        });
    };
    if !is_managed(observed) {
        return Ok(ReleasePlan::Done {
            reason: "the object is not managed by the control plane",
        });
    }
    if holder(observed).is_some_and(|holder| holder != *work) {
        return Ok(ReleasePlan::Done {
            reason: "the object belongs to another work",
        });
    }
    if UpdateStrategy::of(manifest)? != UpdateStrategy::Replace {
        return Ok(ReleasePlan::Unmark);
    }
    let (stripped, unmarked) = without_marks(manifest, observed);
    match plan(
        &stripped,
        Some(&unmarked),
        &cluster_of(work),
        interpreter,
        sink,
    )? {
        Plan::Update { object, .. } | Plan::Create(object) | Plan::Apply { object, .. } => {
            Ok(ReleasePlan::Update(object))
        }
        Plan::Unchanged => Ok(ReleasePlan::Done {
            reason: "the object carries no mark",
        }),
    }
}

/// The merge patch that takes the marks off an object and touches nothing else, for members that refuse what [`release_plan`] wants;
/// `None` when there are none.
pub fn unmark(observed: &Value) -> Option<Value> {
    let nulls = |present: &dyn Fn(&str) -> bool, names: &[&str]| -> Map<String, Value> {
        names
            .iter()
            .filter(|name| present(name))
            .map(|name| ((*name).to_owned(), Value::Null))
            .collect()
    };
    let labels = nulls(
        &|key| object::label(observed, key).is_some(),
        &keys::MANIFEST_LABELS,
    );
    let mut annotations = nulls(
        &|key| object::annotation(observed, key).is_some(),
        &keys::MANIFEST_ANNOTATIONS,
    );
    if object::annotation(observed, APPLIED_MANIFEST).is_some() {
        annotations.insert(APPLIED_MANIFEST.to_owned(), Value::Null);
    }
    if labels.is_empty() && annotations.is_empty() {
        return None;
    }
    Some(json!({"metadata": {
        "resourceVersion": object::resource_version(observed),
        "labels": labels,
        "annotations": annotations,
    }}))
}

/// What [`release_plan`] asks the interpreter about, as [`super::retention`] is for [`plan`].
pub fn release_retention(manifest: &Value, observed: &Value) -> Option<(Value, Value)> {
    let (stripped, unmarked) = without_marks(manifest, observed);
    super::retention(&stripped, &unmarked)
}

fn without_marks(manifest: &Value, observed: &Value) -> (Value, Value) {
    let mut stripped = manifest.clone();
    strip(&mut stripped);
    // The lists of managed keys on the observed object make the stripped keys go, but not keys that no list names.
    let mut unmarked = observed.clone();
    extend_list(&mut unmarked, keys::MANAGED_LABELS, &keys::MANIFEST_LABELS);
    extend_list(
        &mut unmarked,
        keys::MANAGED_ANNOTATIONS,
        &keys::MANIFEST_ANNOTATIONS,
    );
    (stripped, unmarked)
}

fn strip(manifest: &mut Value) {
    for key in keys::MANIFEST_LABELS {
        object::remove_label(manifest, key);
    }
    for key in keys::MANIFEST_ANNOTATIONS {
        object::remove_annotation(manifest, key);
    }
}

fn extend_list(observed: &mut Value, list: &str, names: &[&str]) {
    let text = object::annotation(observed, list).unwrap_or_default();
    let all: BTreeSet<&str> = text
        .split(',')
        .chain(names.iter().copied())
        .filter(|name| !name.is_empty())
        .collect();
    let text = all.into_iter().collect::<Vec<_>>().join(",");
    object::set_annotation(observed, list, &text);
}

//! How many replicas an object asks for, and how to change that number.

use crds::work::ReplicaRequirements;
use serde_json::Value;

use super::{Kind, requirements};
use crate::error::Cause;
use crate::layer::Options;
use crate::value::{integer, integer_if_set, put, set, strict, strict_integer};

const POD_SPEC: &[&str] = &["spec", "template", "spec"];

pub(super) fn interpret(
    kind: Kind,
    object: &Value,
    options: Options,
) -> (i64, Option<ReplicaRequirements>) {
    let of = |path| set(object, path).and_then(|spec| requirements::of_pod(spec, options));
    match kind {
        Kind::Pod => (1, of(&["spec"])),
        Kind::Job => {
            let parallelism = integer(object, &["spec", "parallelism"]);
            let completions = integer_if_set(object, &["spec", "completions"]);
            (
                completions.map_or(parallelism, |completions| completions.min(parallelism)),
                of(POD_SPEC),
            )
        }
        _ => (integer(object, &["spec", "replicas"]), of(POD_SPEC)),
    }
}

/// Writes the number where it is present already, so that a workload which leaves it to the cluster keeps doing so.
pub(super) fn revise(kind: Kind, mut object: Value, replicas: i64) -> Result<Value, Cause> {
    let path: &[&str] = if kind == Kind::Job {
        &["spec", "parallelism"]
    } else {
        &["spec", "replicas"]
    };
    if strict(&object, &["spec"])?.is_some_and(|spec| !spec.is_object()) {
        return Err(Cause::field(&["spec"], "is no object"));
    }
    if strict_integer(&object, path)?.is_some() {
        put(&mut object, path, Value::from(replicas))?;
    }
    Ok(object)
}

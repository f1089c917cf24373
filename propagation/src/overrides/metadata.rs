//! Label and annotation overriders.

use crds::policy::{LabelAnnotationOverrider, OverriderOperator};
use serde_json::{Value, json};

use super::patch::{Operation, escape};

/// The operations of one overrider; `field` is `labels` or `annotations`.
pub(super) fn operations(
    manifest: &Value,
    overrider: &LabelAnnotationOverrider,
    field: &str,
) -> Vec<Operation> {
    let root = format!("/metadata/{field}");
    let present = manifest.pointer(&root).and_then(Value::as_object);
    let mut operations = Vec::new();
    if overrider.operator == OverriderOperator::Add
        && present.is_none()
        && !overrider.value.is_empty()
    {
        if manifest
            .get("metadata")
            .is_none_or(|metadata| !metadata.is_object())
        {
            operations.push(Operation::add("/metadata", json!({})));
        }
        operations.push(Operation::add(root.clone(), json!({})));
    }
    for (key, value) in &overrider.value {
        let path = format!("{root}/{}", escape(key));
        let exists = present.is_some_and(|map| map.contains_key(key));
        match overrider.operator {
            OverriderOperator::Add => operations.push(Operation::add(path, json!(value))),
            OverriderOperator::Replace if exists => {
                operations.push(Operation::replace(path, json!(value)));
            }
            OverriderOperator::Remove if exists => operations.push(Operation::remove(path)),
            OverriderOperator::Replace | OverriderOperator::Remove => {}
        }
    }
    operations
}

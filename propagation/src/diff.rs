//! JSON merge patches (RFC 7386), so that of our own objects only what changed is written.

use serde::Serialize;
use serde_json::{Map, Value};

/// The merge patch that turns `old` into `new`; `None` when they are equal.
pub fn merge_patch(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        let change = match old.get(key) {
            None => Some(value.clone()),
            Some(before) => merge_patch(before, value),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

/// The merge patch between two typed objects.
pub fn between<T: Serialize>(old: &T, new: &T) -> Option<Value> {
    merge_patch(&to_value(old), &to_value(new))
}

fn to_value<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object)
        .expect("API types have text keys and no failing fields, so they always serialize")
}

/// The JSON text of API types, members in the order of their declaration.
pub(crate) fn to_text<T: Serialize>(object: &T) -> String {
    serde_json::to_string(object)
        .expect("API types have text keys and no failing fields, so they always serialize")
}

/// Applies a merge patch.
pub fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            apply(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn patches_hold_only_what_changed() {
        let old = json!({"a": {"b": 1, "c": [1]}, "d": 1, "e": 2});
        let new = json!({"a": {"b": 1, "c": [2]}, "d": 1, "f": {}});
        let patch = merge_patch(&old, &new).unwrap();
        assert_eq!(patch, json!({"a": {"c": [2]}, "e": null, "f": {}}));
        assert_eq!(merge_patch(&old, &old), None);
    }

    fn without_nulls() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<u8>().prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_patch_leads_to_the_new_object(old in without_nulls(), new in without_nulls()) {
            let mut patched = old.clone();
            if let Some(patch) = merge_patch(&old, &new) {
                apply(&mut patched, &patch);
            }
            prop_assert_eq!(patched, new);
        }
    }
}

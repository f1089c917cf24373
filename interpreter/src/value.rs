//! Reading and writing fields of a JSON tree by path.

use serde_json::{Map, Value};

use crate::error::Cause;

/// The value at a path; None when a member on the way is missing, null, or no object.
pub(crate) fn set<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .filter(|value| !value.is_null())
}

/// The string at a path, if it is one.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    set(value, path)?.as_str()
}

/// The integer at a path; 0 when there is none.
pub(crate) fn integer(value: &Value, path: &[&str]) -> i64 {
    integer_if_set(value, path).unwrap_or_default()
}

pub(crate) fn integer_if_set(value: &Value, path: &[&str]) -> Option<i64> {
    match set(value, path)? {
        Value::Number(number) => crate::schema::integer(number),
        _ => None,
    }
}

/// The elements of the list at a path; none when there is no list.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    set(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The value at a path, with what stands in the way told apart from what is missing.
///
/// None: a member of the path is missing, or one before the last is null. A null at the end is a value.
pub(crate) fn strict<'a>(value: &'a Value, path: &[&str]) -> Result<Option<&'a Value>, Cause> {
    let mut value = value;
    for (depth, key) in path.iter().enumerate() {
        match value {
            Value::Object(map) => match map.get(*key) {
                Some(found) => value = found,
                None => return Ok(None),
            },
            Value::Null => return Ok(None),
            _ => return Err(Cause::field(&path[..depth], "is no object")),
        }
    }
    Ok(Some(value))
}

pub(crate) fn strict_text<'a>(value: &'a Value, path: &[&str]) -> Result<Option<&'a str>, Cause> {
    match strict(value, path)? {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Cause::field(path, "is no string")),
    }
}

/// Only a number without fraction or exponent is an integer here.
pub(crate) fn strict_integer(value: &Value, path: &[&str]) -> Result<Option<i64>, Cause> {
    match strict(value, path)? {
        None => Ok(None),
        Some(found) => found
            .as_i64()
            .map(Some)
            .ok_or_else(|| Cause::field(path, "is no integer")),
    }
}

pub(crate) fn strict_list<'a>(
    value: &'a Value,
    path: &[&str],
) -> Result<Option<&'a [Value]>, Cause> {
    match strict(value, path)? {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(_) => Err(Cause::field(path, "is no list")),
    }
}

/// A map whose values are all strings.
pub(crate) fn strict_text_map<'a>(
    value: &'a Value,
    path: &[&str],
) -> Result<Option<&'a Map<String, Value>>, Cause> {
    match strict(value, path)? {
        None => Ok(None),
        Some(Value::Object(map)) if map.values().all(Value::is_string) => Ok(Some(map)),
        Some(_) => Err(Cause::field(path, "is no map of strings")),
    }
}

/// Sets the value at a path, creating missing parents.
pub(crate) fn put(value: &mut Value, path: &[&str], new: Value) -> Result<(), Cause> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(());
    };
    let mut at = value;
    for (depth, key) in parents.iter().enumerate() {
        let Value::Object(map) = at else {
            return Err(Cause::field(&path[..depth], "is no object"));
        };
        at = map.entry(*key).or_insert_with(|| Value::Object(Map::new()));
    }
    let Value::Object(map) = at else {
        return Err(Cause::field(parents, "is no object"));
    };
    map.insert((*last).to_owned(), new);
    Ok(())
}

/// Removes the value at a path, if it is there.
pub(crate) fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents
        .iter()
        .try_fold(value, |value, key| value.get_mut(key))?;
    parent.as_object_mut()?.remove(*last)
}

/// The object at a path, to change it.
pub(crate) fn object_mut<'a>(
    value: &'a mut Value,
    path: &[&str],
) -> Option<&'a mut Map<String, Value>> {
    path.iter()
        .try_fold(value, |value, key| value.get_mut(key))?
        .as_object_mut()
}

/// Whether two values are equal when a missing member counts as the zero value of its type.
pub(crate) fn same_but_for_zeros(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            left.iter().all(|(key, value)| {
                same_but_for_zeros(value, right.get(key).unwrap_or(&Value::Null))
            }) && right
                .iter()
                .all(|(key, value)| left.contains_key(key) || is_zero(value))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .all(|(left, right)| same_but_for_zeros(left, right)),
        (left, right) => left == right || (is_zero(left) && is_zero(right)),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_zero),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn zeros_and_missing_members_are_equal() {
        for (left, right, same) in [
            (
                json!({}),
                json!({"replicas": 0, "conditions": [], "loadBalancer": {}}),
                true,
            ),
            (json!({"a": {"b": 0}}), json!({"a": null}), true),
            (json!({"replicas": 1}), json!({}), false),
            (json!([{}]), json!([]), false),
            (json!([{"a": ""}]), json!([{}]), true),
        ] {
            assert_eq!(same_but_for_zeros(&left, &right), same, "{left} {right}");
            assert_eq!(same_but_for_zeros(&right, &left), same, "{right} {left}");
        }
    }

    #[test]
    fn put_creates_parents_and_refuses_others() {
        let mut value = json!({"spec": {"x": 1}});
        put(&mut value, &["spec", "a", "b"], json!(2)).unwrap();
        assert_eq!(value, json!({"spec": {"x": 1, "a": {"b": 2}}}));
        assert_eq!(
            put(&mut value, &["spec", "x", "b"], json!(2))
                .unwrap_err()
                .to_string(),
            "spec.x is no object"
        );
    }
}

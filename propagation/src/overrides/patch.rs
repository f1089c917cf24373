//! RFC 6902 patches as override policies mean them.
//!
//! Two things differ from the RFC: array indices may be negative and count from the end, and the error texts are the ones
//! that users have been searching for since the first release of the API.

use crds::policy::OverriderOperator as Op;
use serde::Serialize;
use serde_json::Value;

/// One operation of a patch document; `value` is not looked at by `remove`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    pub op: Op,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

impl Operation {
    pub fn add(path: impl Into<String>, value: Value) -> Self {
        Self {
            op: Op::Add,
            path: path.into(),
            value: Some(value),
        }
    }

    pub fn replace(path: impl Into<String>, value: Value) -> Self {
        Self {
            op: Op::Replace,
            path: path.into(),
            value: Some(value),
        }
    }

    pub fn remove(path: impl Into<String>) -> Self {
        Self {
            op: Op::Remove,
            path: path.into(),
            value: None,
        }
    }
}

/// Why an operation does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    #[error("{} operation does not apply: doc is missing path: {}: missing value", .op.as_str(), shown(*.op, .path))]
    MissingPath { op: Op, path: String },
    #[error("replace operation does not apply: doc is missing key: {path}: missing value")]
    MissingKey { path: String },
    #[error(
        "error in remove for path: '{path}': unable to remove nonexistent key: {key}: missing value"
    )]
    NothingToRemove { path: String, key: String },
    #[error("error in {} for path: '{path}': Unable to access invalid index: {index}: invalid index referenced", .op.as_str())]
    InvalidIndex { op: Op, path: String, index: i64 },
    #[error(
        "error in {} for path: '{path}': value was not a proper array index: '{key}': strconv.Atoi: parsing {key:?}: invalid syntax",
        .op.as_str()
    )]
    NotAnIndex { op: Op, path: String, key: String },
    #[error("{} operation does not apply: path {path:?} does not begin with a slash", .op.as_str())]
    NoPointer { op: Op, path: String },
    #[error("remove operation does not apply: the whole document cannot be removed")]
    RemoveRoot,
}

/// `replace` prints its path bare, the others quoted.
fn shown(op: Op, path: &str) -> String {
    if op == Op::Replace {
        path.to_owned()
    } else {
        format!("{path:?}")
    }
}

/// Applies the operations in order. The document is left half patched when one fails, so callers patch a copy.
pub fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), PatchError> {
    operations
        .iter()
        .try_for_each(|operation| apply_one(document, operation))
}

/// Applies one operation.
pub fn apply_one(document: &mut Value, operation: &Operation) -> Result<(), PatchError> {
    let Operation { op, path, value } = operation;
    let op = *op;
    let value = || value.clone().unwrap_or(Value::Null);
    if path.is_empty() {
        if op == Op::Remove {
            return Err(PatchError::RemoveRoot);
        }
        *document = value();
        return Ok(());
    }
    if !path.starts_with('/') {
        return Err(PatchError::NoPointer {
            op,
            path: path.clone(),
        });
    }
    let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
    let key = unescape(key);
    let missing_path = || PatchError::MissingPath {
        op,
        path: path.clone(),
    };
    let container = descend(document, parent).ok_or_else(missing_path)?;
    match container {
        Value::Object(map) => match op {
            Op::Add => {
                map.insert(key, value());
            }
            Op::Replace => match map.get_mut(&key) {
                Some(slot) => *slot = value(),
                None => return Err(PatchError::MissingKey { path: path.clone() }),
            },
            Op::Remove => {
                if map.remove(&key).is_none() {
                    return Err(PatchError::NothingToRemove {
                        path: path.clone(),
                        key,
                    });
                }
            }
        },
        Value::Array(list) => match op {
            Op::Add if key == "-" => list.push(value()),
            Op::Add => {
                // The index counts in the list as it will be, so that -1 appends.
                let index = index_of(op, path, &key, list.len() + 1)?;
                list.insert(index, value());
            }
            Op::Replace => {
                let found = position(&key, list.len()).and_then(|index| list.get_mut(index));
                *found.ok_or_else(|| PatchError::MissingKey { path: path.clone() })? = value();
            }
            Op::Remove => {
                let index = index_of(op, path, &key, list.len())?;
                list.remove(index);
            }
        },
        _ => return Err(missing_path()),
    }
    Ok(())
}

fn descend<'a>(document: &'a mut Value, parent: &str) -> Option<&'a mut Value> {
    parent
        .split('/')
        .skip(1)
        .try_fold(document, |value, token| match value {
            Value::Object(map) => map.get_mut(&unescape(token)),
            Value::Array(list) => {
                let index = position(token, list.len())?;
                list.get_mut(index)
            }
            _ => None,
        })
}

/// The position that an index token addresses in a list of `len` elements.
fn position(token: &str, len: usize) -> Option<usize> {
    let index: i64 = token.parse().ok()?;
    let len = i64::try_from(len).ok()?;
    let index = if index < 0 {
        index.checked_add(len)?
    } else {
        index
    };
    (0..len)
        .contains(&index)
        .then(|| usize::try_from(index).ok())?
}

fn index_of(op: Op, path: &str, token: &str, len: usize) -> Result<usize, PatchError> {
    let Ok(index) = token.parse::<i64>() else {
        return Err(PatchError::NotAnIndex {
            op,
            path: path.to_owned(),
            key: token.to_owned(),
        });
    };
    position(token, len).ok_or_else(|| PatchError::InvalidIndex {
        op,
        path: path.to_owned(),
        index,
    })
}

/// Decodes one token of a JSON pointer.
pub fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// Encodes one token of a JSON pointer.
pub fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(document: Value, operation: &Operation, expected: Result<Value, &str>) {
        let mut patched = document;
        let outcome = apply_one(&mut patched, operation)
            .map(|()| patched)
            .map_err(|error| error.to_string());
        assert_eq!(outcome, expected.map_err(ToOwned::to_owned));
    }

    #[test]
    fn objects() {
        let doc = || json!({"data": {"a": "1"}});
        check(
            doc(),
            &Operation::add("/data/b", json!("2")),
            Ok(json!({"data": {"a": "1", "b": "2"}})),
        );
        check(
            doc(),
            &Operation::add("/data/a", json!("2")),
            Ok(json!({"data": {"a": "2"}})),
        );
        check(
            doc(),
            &Operation::replace("/data/a", json!(null)),
            Ok(json!({"data": {"a": null}})),
        );
        check(
            doc(),
            &Operation::remove("/data/a"),
            Ok(json!({"data": {}})),
        );
        check(doc(), &Operation::replace("", json!(1)), Ok(json!(1)));
        check(
            json!({"a/b": {"~": 1}}),
            &Operation::remove("/a~1b/~0"),
            Ok(json!({"a/b": {}})),
        );
        check(
            doc(),
            &Operation::replace("/data/zz", json!(1)),
            Err("replace operation does not apply: doc is missing key: /data/zz: missing value"),
        );
        check(
            doc(),
            &Operation::replace("/nope/zz", json!(1)),
            Err("replace operation does not apply: doc is missing path: /nope/zz: missing value"),
        );
        check(
            doc(),
            &Operation::add("/nope/zz", json!(1)),
            Err(r#"add operation does not apply: doc is missing path: "/nope/zz": missing value"#),
        );
        check(
            doc(),
            &Operation::remove("/data/zz"),
            Err(
                "error in remove for path: '/data/zz': unable to remove nonexistent key: zz: missing value",
            ),
        );
        check(
            doc(),
            &Operation::add("/data/a/b", json!(1)),
            Err(r#"add operation does not apply: doc is missing path: "/data/a/b": missing value"#),
        );
        check(
            doc(),
            &Operation::add("data", json!(1)),
            Err(r#"add operation does not apply: path "data" does not begin with a slash"#),
        );
        check(
            doc(),
            &Operation::remove(""),
            Err("remove operation does not apply: the whole document cannot be removed"),
        );
    }

    #[test]
    fn arrays_take_negative_indices() {
        let doc = || json!(["a", "b"]);
        check(
            doc(),
            &Operation::add("/-", json!("c")),
            Ok(json!(["a", "b", "c"])),
        );
        check(
            doc(),
            &Operation::add("/0", json!("c")),
            Ok(json!(["c", "a", "b"])),
        );
        check(
            doc(),
            &Operation::add("/2", json!("c")),
            Ok(json!(["a", "b", "c"])),
        );
        check(
            doc(),
            &Operation::add("/-1", json!("c")),
            Ok(json!(["a", "b", "c"])),
        );
        check(
            doc(),
            &Operation::add("/-2", json!("c")),
            Ok(json!(["a", "c", "b"])),
        );
        check(
            doc(),
            &Operation::replace("/-1", json!("c")),
            Ok(json!(["a", "c"])),
        );
        check(doc(), &Operation::remove("/-2"), Ok(json!(["b"])));
        check(
            json!([["a"]]),
            &Operation::add("/-1/0", json!("c")),
            Ok(json!([["c", "a"]])),
        );
        check(
            doc(),
            &Operation::add("/3", json!("c")),
            Err(
                "error in add for path: '/3': Unable to access invalid index: 3: invalid index referenced",
            ),
        );
        check(
            doc(),
            &Operation::remove("/-3"),
            Err(
                "error in remove for path: '/-3': Unable to access invalid index: -3: invalid index referenced",
            ),
        );
        check(
            doc(),
            &Operation::replace("/2", json!("c")),
            Err("replace operation does not apply: doc is missing key: /2: missing value"),
        );
        check(
            doc(),
            &Operation::remove("/x"),
            Err(
                r#"error in remove for path: '/x': value was not a proper array index: 'x': strconv.Atoi: parsing "x": invalid syntax"#,
            ),
        );
    }
}

//! Field overriders: changes inside a document that a field holds as text.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crds::policy::{DocumentOverrider, FieldOverrider};
use serde_json::Value;

use super::patch::{self, Operation, PatchError, unescape};
use crate::yaml;

/// Why a field overrider does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("object has no key {key:?}: JSON pointer error")]
    NoKey { key: String },
    #[error("index out of bounds array[0,{}] index '{index}': JSON pointer error", *.len as i128 - 1)]
    OutOfBounds { index: String, len: usize },
    #[error("invalid token reference {key:?}: JSON pointer error")]
    InvalidToken { key: String },
    #[error("JSON pointer must be empty or start with a \"/\": JSON pointer error")]
    NotAPointer,
    #[error("value at path({path}) is not a string")]
    NotAString { path: String },
    #[error("value at path({path}) is not valid base64")]
    NotBase64 { path: String },
    #[error("value at path({path}) is not text")]
    NotText { path: String },
    #[error("invalid JSON: {0}")]
    Json(String),
    #[error(transparent)]
    Yaml(#[from] yaml::ReadError),
    #[error("json: cannot unmarshal {found} into Go value of type map[string]*jsonpatch.lazyNode")]
    NotADocument { found: &'static str },
    #[error(transparent)]
    Patch(#[from] PatchError),
}

/// The one operation that writes the changed text back; none when the overrider lists no change.
pub(super) fn operation(
    manifest: &Value,
    overrider: &FieldOverrider,
) -> Result<Option<Operation>, FieldError> {
    let path = &overrider.field_path;
    let field = lookup(manifest, path)?
        .as_str()
        .ok_or_else(|| FieldError::NotAString { path: path.clone() })?;
    let encoded = is_secret_data(manifest, path);
    let text = if encoded {
        let bytes = STANDARD
            .decode(field)
            .map_err(|_| FieldError::NotBase64 { path: path.clone() })?;
        String::from_utf8(bytes).map_err(|_| FieldError::NotText { path: path.clone() })?
    } else {
        field.to_owned()
    };
    let changed = if !overrider.yaml.is_empty() {
        let mut document = yaml::read(&text)?;
        change(&mut document, &overrider.yaml)?;
        yaml::print(&document)
    } else if !overrider.json.is_empty() {
        let mut document =
            serde_json::from_str(&text).map_err(|error| FieldError::Json(error.to_string()))?;
        change(&mut document, &overrider.json)?;
        print_json(&document, &text)
    } else {
        return Ok(None);
    };
    let value = if encoded {
        STANDARD.encode(changed)
    } else {
        changed
    };
    Ok(Some(Operation::replace(path.clone(), Value::String(value))))
}

fn change(document: &mut Value, changes: &[DocumentOverrider]) -> Result<(), FieldError> {
    let found = match document {
        Value::Object(_) | Value::Array(_) => None,
        // A document of nothing can be filled.
        Value::Null => {
            *document = Value::Object(serde_json::Map::new());
            None
        }
        Value::String(_) => Some("string"),
        Value::Number(_) => Some("number"),
        Value::Bool(_) => Some("bool"),
    };
    if let Some(found) = found {
        return Err(FieldError::NotADocument { found });
    }
    let operations: Vec<_> = changes
        .iter()
        .map(|it| Operation {
            op: it.operator,
            path: it.sub_path.clone(),
            value: it.value.clone(),
        })
        .collect();
    Ok(patch::apply(document, &operations)?)
}

/// Whether the field is an entry of a core Secret's `data`, which is base64 on the wire.
fn is_secret_data(manifest: &Value, path: &str) -> bool {
    crds::object::kind(manifest) == "Secret"
        && crds::object::api_version(manifest) == "v1"
        && path
            .strip_prefix("/data/")
            .is_some_and(|key| !key.contains('/'))
}

fn lookup<'a>(manifest: &'a Value, path: &str) -> Result<&'a Value, FieldError> {
    if path.is_empty() {
        return Ok(manifest);
    }
    let path = path.strip_prefix('/').ok_or(FieldError::NotAPointer)?;
    path.split('/')
        .map(unescape)
        .try_fold(manifest, |value, key| match value {
            Value::Object(map) => map.get(&key).ok_or(FieldError::NoKey { key }),
            Value::Array(list) => {
                let found = key.parse::<usize>().ok().and_then(|index| list.get(index));
                found.ok_or(FieldError::OutOfBounds {
                    index: key,
                    len: list.len(),
                })
            }
            _ => Err(FieldError::InvalidToken { key }),
        })
}

/// Prints the changed document compactly. What did not change keeps its text, so that member order and the notation of numbers stay;
/// objects with a change inside get sorted members.
fn print_json(document: &Value, original: &str) -> String {
    let mut text = String::new();
    print_into(&mut text, document, Some(original.trim()));
    text
}

fn print_into(text: &mut String, value: &Value, original: Option<&str>) {
    if let Some(original) = original.filter(|original| is_text_of(original, value)) {
        return compact(text, original);
    }
    let parts = original.map(parts).unwrap_or_default();
    match value {
        Value::Object(map) => {
            let members: BTreeMap<String, &str> = parts
                .into_iter()
                .filter_map(|member| {
                    let (key, value) = member.split_at(string_end(member)?);
                    Some((
                        serde_json::from_str(key).ok()?,
                        value.trim_start().strip_prefix(':')?.trim_start(),
                    ))
                })
                .collect();
            text.push('{');
            for (index, (key, member)) in map.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                print_into(text, member, members.get(key).copied());
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                // An insertion shifts what follows, so an element is looked for in other places too.
                let shifted = parts.iter().copied().find(|part| is_text_of(part, element));
                print_into(text, element, shifted.or_else(|| parts.get(index).copied()));
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn is_text_of(text: &str, value: &Value) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|parsed| parsed == *value)
}

/// The members or elements of an object or list, as text. The text is known to be valid JSON.
fn parts(text: &str) -> Vec<&str> {
    let Some(inner) = text
        .get(1..text.len().saturating_sub(1))
        .filter(|_| text.starts_with(['{', '[']))
    else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    let (mut depth, mut quoted, mut escaped, mut start) = (0_usize, false, false, 0);
    for (at, byte) in inner.bytes().enumerate() {
        if quoted {
            quoted = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(inner[start..].trim());
    parts
}

/// Where the string ends that the text begins with.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|(_, byte)| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map(|(at, _)| at + 1)
}

/// Copies JSON text without the blanks between tokens.
fn compact(text: &mut String, json: &str) {
    let (mut quoted, mut escaped) = (false, false);
    for character in json.chars() {
        if quoted {
            text.push(character);
            quoted = escaped || character != '"';
            escaped = character == '\\' && !escaped;
        } else if !character.is_ascii_whitespace() {
            text.push(character);
            quoted = character == '"';
        }
    }
}

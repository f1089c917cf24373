//! Reading a case, and what is wrong with one that cannot be read: where, in which field, and in plain words.

use std::sync::LazyLock;

use crds::policy::Placement;
use crds::schema::Root;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Deserializer, Value};
use serde_path_to_error::{Path, Segment};

use super::objects::Objects;

/// What is wrong with a line: where in it, counted from 1, and what.
pub(super) struct Malformed {
    pub(super) column: usize,
    pub(super) message: String,
}

/// Reads the line of a case.
pub(super) fn whole<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Malformed> {
    // A list would be read as the fields in their order.
    if line.trim_ascii_start().starts_with(b"[") {
        return Err(Malformed {
            column: 1,
            message: LIST.to_owned(),
        });
    }
    serde_json::from_slice(line).map_err(|error| {
        let said = said(&error);
        Malformed {
            column: error.column(),
            message: plain(&said).unwrap_or(said),
        }
    })
}

const LIST: &str = "a case is an object with clusters and a binding, not a list; `jq -c '.[]'` makes a line of each case in a list";

/// Reads a part of a case, which is known to be JSON.
pub(super) fn part<'a, T: Deserialize<'a>>(
    line: &[u8],
    name: &str,
    raw: &'a RawValue,
) -> Result<T, Malformed> {
    let text = raw.get();
    T::deserialize(Objects(&mut Deserializer::from_str(text))).map_err(|error| {
        // Read once more to find the field: keeping track of it costs too much for all the cases that are well.
        let tracked: Result<T, _> =
            serde_path_to_error::deserialize(Objects(&mut Deserializer::from_str(text)));
        let path = tracked.err().map(|error| error.path().clone());
        let field = match path.as_ref().map(Path::to_string).as_deref() {
            None | Some(".") => name.to_owned(),
            Some(path) if path.starts_with('[') => format!("{name}{path}"),
            Some(path) => format!("{name}.{path}"),
        };
        let said = said(&error);
        let found = || value_at(text, path.as_ref()?);
        let message = plain(&said).unwrap_or_else(|| match found() {
            // Of all types only times have words of their own.
            Some(found) if error.is_data() => format!("must be {TIME}, not {found}"),
            _ => said,
        });
        Malformed {
            column: column(line, raw, error.column()),
            message: format!("{field}: {message}"),
        }
    })
}

/// What stands in a text of JSON.
fn value_at(text: &str, path: &Path) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    let found = path
        .iter()
        .try_fold(&value, |value, segment| match segment {
            Segment::Seq { index } => value.get(index),
            Segment::Map { key } => value.get(key),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
    found.cloned()
}

/// The column in the line of a column in a part of it.
pub(super) fn column(line: &[u8], raw: &RawValue, within: usize) -> usize {
    let start = raw.get().as_ptr().addr();
    start
        .saturating_sub(line.as_ptr().addr())
        .saturating_add(within)
}

/// What an error says, without where.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&at).unwrap_or(&text).to_owned()
}

/// What Serde says in the words of JSON; `None` for the words of others.
fn plain(text: &str) -> Option<String> {
    let contrast = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))
        .and_then(|text| text.rsplit_once(", expected "));
    if let Some((found, expected)) = contrast {
        return Some(format!(
            "must be {}, not {}",
            wanted(expected),
            found_as(found)
        ));
    }
    if let Some(field) = text.strip_prefix("missing field ") {
        return Some(format!("{field} is missing"));
    }
    if let Some(field) = text.strip_prefix("duplicate field ") {
        return Some(format!("{field} is there twice"));
    }
    if let Some(what) = text.strip_prefix("EOF while parsing ") {
        return Some(format!("the line ends in the middle of {}", wanted(what)));
    }
    if let Some((found, expected)) = text
        .strip_prefix("unknown variant ")
        .and_then(|text| text.split_once(", expected "))
    {
        return Some(format!("{found} is not {expected}"));
    }
    let plain = match text {
        "expected value" => "this is no JSON",
        "trailing characters" => "there is more text behind the end of the JSON",
        _ => return None,
    };
    Some(plain.to_owned())
}

/// How times are written.
const TIME: &str = "a time such as 2026-01-01T00:00:00Z";

fn wanted(expected: &str) -> &str {
    match expected {
        "i32" => "a whole number of 32 bits",
        "i64" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "a string" | "string" => "a text",
        "a sequence" | "a list" => "a list",
        "a map" | "an object" => "an object",
        "a boolean" => "true or false",
        "Quantity" => "a quantity such as \"500m\" or 2",
        "IntOrString" => "a whole number or a text",
        "Time" | "MicroTime" | "a timestamp string" => TIME,
        // The name of a type.
        name if name.starts_with("struct ") || name.starts_with(char::is_uppercase) => "an object",
        other => other,
    }
}

fn found_as(found: &str) -> String {
    match found.split_once(' ') {
        _ if found == "map" => "an object".to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        Some(("string", text)) => format!("the text {text}"),
        Some(("boolean", value)) => value.trim_matches('`').to_owned(),
        Some(("integer", number)) => number.trim_matches('`').to_owned(),
        Some(("floating", rest)) => rest
            .trim_start_matches("point ")
            .trim_matches('`')
            .to_owned(),
        _ => found.to_owned(),
    }
}

/// The schema by which the API server drops fields of a placement.
static PLACEMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut root = Root::new("", &[]);
    root.property::<Placement>("placement", true);
    root.finish()["properties"]["placement"].take()
});

/// The fields of a placement that placements do not have. Refuses one with a list where an object belongs: in flattened structs nothing
/// else does.
pub(super) fn unknown_fields(line: &[u8], placement: &RawValue) -> Result<Vec<String>, Malformed> {
    let mut unknown = Vec::new();
    if let Ok(value) = serde_json::from_str(placement.get()) {
        add_unknown(&value, &PLACEMENT, "binding.spec.placement", &mut unknown).map_err(
            |path| Malformed {
                column: column(line, placement, 1),
                message: format!("{path}: must be an object, not a list"),
            },
        )?;
    }
    Ok(unknown)
}

/// Adds the fields of a value that a schema does not have; fails with the path of a list where an object belongs.
fn add_unknown(
    value: &Value,
    schema: &Value,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            // Without a list of them, any field goes.
            let Some(known) = schema["properties"].as_object() else {
                return Ok(());
            };
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(schema) => add_unknown(value, schema, &path, unknown)?,
                    None => unknown.push(path),
                }
            }
        }
        Value::Array(_) if schema["type"] == "object" => return Err(path.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                add_unknown(item, &schema["items"], &format!("{path}[{index}]"), unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}

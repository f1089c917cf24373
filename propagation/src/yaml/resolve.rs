//! What a plain scalar means in YAML 1.1.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Number, Value};

/// The meaning of a plain scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    /// Infinity or not a number, which JSON cannot carry.
    NotFinite,
    /// Looks like a date. It is read as a string, and a string that looks like one is quoted.
    Timestamp,
    Merge,
    String,
}

static FLOAT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"));
static BASE60: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$"));
static TIMESTAMP: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"^[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])",
        r"|(?:0?[1-9]|1[0-2])-(?:0?[1-9]|[12][0-9]|3[01])",
        r"(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]*)?(?:Z|[-+][0-9]{2}:[0-9]{2})?)$",
    ))
});

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns are constants that the tests compile")
}

/// Resolves an untagged plain scalar.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return Scalar::NotFinite,
        "<<" => return Scalar::Merge,
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' if FLOAT.is_match(text) => float(text),
        b'+' | b'-' | b'0'..=b'9' => {
            if TIMESTAMP.is_match(text) {
                return Scalar::Timestamp;
            }
            let plain = text.replace('_', "");
            if let Some(integer) = integer(&plain) {
                return Scalar::Number(integer);
            }
            if FLOAT.is_match(&plain) {
                float(&plain)
            } else {
                Scalar::String
            }
        }
        _ => Scalar::String,
    }
}

/// Whether a string must be quoted to be read back as the same string.
pub(super) fn needs_quotes(text: &str) -> bool {
    resolve(text) != Scalar::String || BASE60.is_match(text)
}

fn float(text: &str) -> Scalar {
    match text.parse::<f64>() {
        Ok(value) => Number::from_f64(value).map_or(Scalar::NotFinite, Scalar::Number),
        Err(_) => Scalar::String,
    }
}

/// An integer in Go's notation: decimal, `0x`, `0o`, `0b`, or octal after a plain leading zero.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &*lower)
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        let value = 0i64.checked_sub_unsigned(magnitude)?;
        return Some(value.into());
    }
    Some(magnitude.into())
}

impl Scalar {
    /// The JSON value of a plain scalar with this text; `None` when JSON has no such value.
    pub(super) fn into_value(self, text: &str) -> Option<Value> {
        match self {
            Self::Null => Some(Value::Null),
            Self::Bool(value) => Some(Value::Bool(value)),
            Self::Number(value) => Some(Value::Number(value)),
            Self::NotFinite => None,
            Self::Timestamp | Self::Merge | Self::String => Some(Value::String(text.to_owned())),
        }
    }
}

//! Checks that an object fits its Kubernetes type, as a decoder would, without decoding it.
//!
//! The API server's own clients decode an object into a struct before they interpret it, and fail on a wrong type, an
//! invalid quantity, a time that is not RFC 3339, or a number outside the field's range, anywhere in the object. Members
//! that the type does not know are ignored, and `null` stands for the zero value of every type. This module gives the
//! same answer by walking the JSON tree beside a table of field types, which costs no allocation.
//!
//! `types.txt` is that table: a line without indent names a type, the lines under it are its fields. It is generated
//! from `k8s-openapi`, and a test fails when the two differ. `multicluster.txt` adds the types of another project, and
//! `karmada.txt` our own: there `!` behind a name marks a field that has to be there.

mod fields;
mod types;

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::quantity::Quantity;
use crate::rfc3339;
use fields::{Fields, Member};
pub(crate) use types::TypeName;

const TABLE: &str = include_str!("types.txt");
/// Types that are not Kubernetes' own, in the same form, written by hand.
const MULTICLUSTER: &str = include_str!("multicluster.txt");
const KARMADA: &str = include_str!("karmada.txt");

const MISSING: &str = "required, but missing";

/// Where an object does not fit its type, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Mismatch {
    /// The field, such as `spec.template.spec.containers[0].image`.
    pub path: String,
    pub problem: String,
}

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Any,
    Bool,
    Int32,
    Int64,
    Number,
    Text,
    Time,
    Quantity,
    IntOrString,
    /// A list or map with elements of the shape at this index of [`Table::shapes`].
    List(usize),
    Map(usize),
    /// An object of the type at this index of [`Table::types`].
    Object(usize),
    /// One of the words at this index of [`Table::words`].
    OneOf(usize),
}

struct Table {
    types: Vec<Fields>,
    shapes: Vec<Shape>,
    words: Vec<Vec<&'static str>>,
    index: HashMap<&'static str, usize>,
    /// The shapes of the types that have a [`TypeName`], in their order.
    named: Vec<Shape>,
}

/// Whether the object fits the type of that name.
pub(crate) fn check(type_name: TypeName, object: &Value) -> Result<(), Mismatch> {
    let table = Table::loaded();
    let shape = table.shape_of(type_name);
    table.check(shape, object).map_err(Trail::into_mismatch)
}

/// Decodes an object, and says in the field's own terms what does not fit.
pub(crate) fn decode<T: DeserializeOwned>(
    type_name: TypeName,
    object: Value,
) -> Result<T, Mismatch> {
    check(type_name, &object)?;
    decode_checked(object)
}

/// Decodes a list of objects, likewise.
pub(crate) fn decode_list<T: DeserializeOwned>(
    type_name: TypeName,
    list: Value,
) -> Result<Vec<T>, Mismatch> {
    let table = Table::loaded();
    let shape = table.shape_of(type_name);
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    for (position, item) in items.iter().enumerate() {
        table
            .check(shape, item)
            .map_err(|trail| trail.in_item(position).into_mismatch())?;
    }
    decode_checked(list)
}

fn decode_checked<T: DeserializeOwned>(value: Value) -> Result<T, Mismatch> {
    // The table takes a null for the zero value of any type, and 3.0 for 3; lists and maps can hold no null, and fields of an
    // integer no fraction.
    serde_path_to_error::deserialize(value).map_err(|error| Mismatch {
        path: error.path().to_string(),
        problem: if error.inner().to_string().contains("null") {
            "null, where a value has to be".to_owned()
        } else {
            "has a form that the field does not take".to_owned()
        },
    })
}

/// All places where an object does not fit the type of that name.
pub(crate) fn mismatches(type_name: TypeName, object: &Value) -> Vec<Mismatch> {
    let table = Table::loaded();
    let mut found = Vec::new();
    table.mismatches(table.shape_of(type_name), object, "", &mut found);
    found
}

/// Members of an object that its type does not know, each with the names that it could have meant.
pub(crate) fn unknown(type_name: TypeName, object: &Value) -> Vec<Mismatch> {
    let table = Table::loaded();
    let mut found = Vec::new();
    if let Shape::Object(index) = table.shape_of(type_name) {
        table.unknown(index, object, "", &mut found);
    }
    found
}

impl Table {
    fn shape_of(&self, type_name: TypeName) -> Shape {
        self.named[type_name as usize]
    }

    fn mismatches(&self, shape: Shape, value: &Value, path: &str, found: &mut Vec<Mismatch>) {
        let below = |key: &str| match path {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        match (shape, value) {
            (Shape::Object(index), Value::Object(map)) => {
                let fields = &self.types[index];
                for (key, value) in map {
                    if let Some(member) = fields.find(key) {
                        self.mismatches(member.shape, value, &below(key), found);
                    }
                }
                let is_missing = |name: &&&str| map.get(**name).is_none_or(Value::is_null);
                let missing = fields.required.iter().filter(is_missing);
                found.extend(missing.map(|name| Mismatch {
                    path: below(name),
                    problem: MISSING.to_owned(),
                }));
            }
            (Shape::List(items), Value::Array(list)) => {
                for (position, item) in list.iter().enumerate() {
                    let path = format!("{path}[{position}]");
                    self.mismatches(self.shapes[items], item, &path, found);
                }
            }
            (Shape::Map(values), Value::Object(map)) => {
                for (key, value) in map {
                    let path = format!("{path}[{key}]");
                    self.mismatches(self.shapes[values], value, &path, found);
                }
            }
            _ => {
                if let Err(trail) = self.check(shape, value) {
                    let Mismatch { path: own, problem } = trail.into_mismatch();
                    let path = if path.is_empty() {
                        own
                    } else {
                        path.to_owned()
                    };
                    found.push(Mismatch { path, problem });
                }
            }
        }
    }

    /// Objects in lists are left alone: only metadata has any.
    fn unknown(&self, index: usize, object: &Value, path: &str, found: &mut Vec<Mismatch>) {
        let fields = &self.types[index];
        for (key, value) in object.as_object().into_iter().flatten() {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            match fields.find(key) {
                Some(Member {
                    shape: Shape::Object(index),
                    ..
                }) => self.unknown(*index, value, &path, found),
                Some(_) => {}
                None => {
                    let known: Vec<_> = fields.members.iter().map(|it| it.name).collect();
                    found.push(Mismatch {
                        path,
                        problem: format!("unknown field; known here: {}", known.join(", ")),
                    });
                }
            }
        }
    }

    fn loaded() -> &'static Self {
        static LOADED: OnceLock<Table> = OnceLock::new();
        LOADED.get_or_init(|| Self::parse(&[TABLE, MULTICLUSTER, KARMADA]))
    }

    fn parse(texts: &[&'static str]) -> Self {
        let lines = || texts.iter().flat_map(|text| text.lines());
        let names = lines().filter(|line| !line.starts_with(' '));
        let index: HashMap<_, _> = names
            .enumerate()
            .map(|(index, name)| (name, index))
            .collect();
        let mut table = Self {
            types: Vec::with_capacity(index.len()),
            shapes: Vec::new(),
            words: Vec::new(),
            index,
            named: Vec::new(),
        };
        for line in lines() {
            let Some(field) = line.strip_prefix(' ') else {
                table.types.push(Fields::default());
                continue;
            };
            let Some((name, shape)) = field.split_once(' ') else {
                continue;
            };
            let shape = table.shape(shape);
            if let Some(fields) = table.types.last_mut() {
                fields.push(name, shape);
            }
        }
        table.named = TypeName::ALL
            .iter()
            .map(|name| table.shape(name.as_str()))
            .collect();
        table
    }

    fn shape(&mut self, text: &'static str) -> Shape {
        if text.contains('|') {
            self.words.push(text.split('|').collect());
            return Shape::OneOf(self.words.len() - 1);
        }
        let mut nested = |text: &'static str| {
            let shape = self.shape(text);
            self.shapes.push(shape);
            self.shapes.len() - 1
        };
        if let Some(items) = text.strip_prefix("[]") {
            return Shape::List(nested(items));
        }
        if let Some(values) = text.strip_prefix("{}") {
            return Shape::Map(nested(values));
        }
        match text {
            "bool" => Shape::Bool,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "number" => Shape::Number,
            "text" => Shape::Text,
            "time" => Shape::Time,
            "quantity" => Shape::Quantity,
            "int-or-string" => Shape::IntOrString,
            name => self
                .index
                .get(name)
                .map_or(Shape::Any, |&index| Shape::Object(index)),
        }
    }

    #[inline]
    fn check(&self, shape: Shape, value: &Value) -> Result<(), Trail> {
        if shape.takes(value) {
            Ok(())
        } else {
            self.check_closely(shape, value)
        }
    }

    fn check_closely(&self, shape: Shape, value: &Value) -> Result<(), Trail> {
        match (shape, value) {
            (Shape::Int64, Value::Number(number))
                if number.as_i64().is_some() || is_integral(number) =>
            {
                Ok(())
            }
            (Shape::Int32 | Shape::IntOrString, Value::Number(number)) => match integer(number) {
                Some(number) if i32::try_from(number).is_ok() => Ok(()),
                found => Err(Trail::no_int32(number, found)),
            },
            (Shape::Time, Value::String(text)) => match rfc3339::parse(text) {
                Some(_) => Ok(()),
                None => Err(Trail::no_time(text)),
            },
            (Shape::Quantity, Value::String(_) | Value::Number(_)) => check_quantity(value),
            (Shape::OneOf(words), Value::String(text)) => {
                let words = &self.words[words];
                if words.contains(&text.as_str()) {
                    Ok(())
                } else {
                    Err(Trail::none_of(text, words))
                }
            }
            (Shape::List(items), Value::Array(list)) => {
                let items = self.shapes[items];
                for (position, item) in list.iter().enumerate() {
                    if let Err(trail) = self.check(items, item) {
                        return Err(trail.in_item(position));
                    }
                }
                Ok(())
            }
            (Shape::Map(values), Value::Object(map)) => {
                let values = self.shapes[values];
                for (key, value) in map {
                    if let Err(trail) = self.check(values, value) {
                        return Err(trail.in_value(key));
                    }
                }
                Ok(())
            }
            (Shape::Object(index), Value::Object(map)) => {
                self.check_fields(&self.types[index], map)
            }
            _ => Err(Trail::unfit(shape, value)),
        }
    }

    fn check_fields(&self, fields: &Fields, map: &Map<String, Value>) -> Result<(), Trail> {
        for (key, value) in map {
            if let Some(member) = fields.find(key)
                && let Err(trail) = self.check(member.shape, value)
            {
                return Err(trail.in_field(member.name));
            }
        }
        let is_missing = |name: &&&str| map.get(**name).is_none_or(Value::is_null);
        match fields.required.iter().find(is_missing) {
            Some(name) => Err(Trail::new(MISSING.to_owned()).in_field(name)),
            None => Ok(()),
        }
    }
}

impl Shape {
    /// Whether the value fits, where that is told from its kind alone.
    #[inline]
    fn takes(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (_, Value::Null)
                | (Self::Any, _)
                | (Self::Bool, Value::Bool(_))
                | (Self::Number, Value::Number(_))
                | (Self::Text | Self::IntOrString, Value::String(_))
        )
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "a boolean",
            Self::Int32 | Self::Int64 => "an integer",
            Self::Number => "a number",
            Self::Text | Self::OneOf(_) => "a string",
            Self::Time => "a time",
            Self::Quantity => "a quantity",
            Self::IntOrString => "an integer or a string",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Object(_) => "an object",
        }
    }
}

/// A mismatch whose path is being put together from the inside out. Small, because every step of a check returns one or none.
struct Trail(Box<Found>);

struct Found {
    segments: Vec<String>,
    problem: String,
}

impl Trail {
    #[cold]
    fn new(problem: String) -> Self {
        Self(Box::new(Found {
            segments: Vec::new(),
            problem,
        }))
    }

    #[cold]
    fn unfit(shape: Shape, value: &Value) -> Self {
        Self::new(format!(
            "expected {}, found {}",
            shape.name(),
            kind_of(value)
        ))
    }

    #[cold]
    fn no_int32(number: &serde_json::Number, integer: Option<i64>) -> Self {
        Self::new(match integer {
            Some(number) => format!("{number} is outside the range of a 32-bit integer"),
            None => format!("{number} is no integer"),
        })
    }

    #[cold]
    fn no_time(text: &str) -> Self {
        Self::new(format!("{text:?} is no RFC 3339 time"))
    }

    #[cold]
    fn none_of(text: &str, words: &[&str]) -> Self {
        Self::new(format!("{text:?} is none of {}", words.join(", ")))
    }

    #[cold]
    fn in_item(self, position: usize) -> Self {
        self.at(format!("[{position}]"))
    }

    #[cold]
    fn in_value(self, key: &str) -> Self {
        self.at(format!("[{key}]"))
    }

    #[cold]
    fn in_field(self, name: &str) -> Self {
        self.at(format!(".{name}"))
    }

    fn at(mut self, segment: String) -> Self {
        self.0.segments.push(segment);
        self
    }

    fn into_mismatch(self) -> Mismatch {
        let Found { segments, problem } = *self.0;
        let path: String = segments.iter().rev().map(String::as_str).collect();
        let path = path.strip_prefix('.').unwrap_or(&path);
        Mismatch {
            path: if path.is_empty() {
                "object".to_owned()
            } else {
                path.to_owned()
            },
            problem,
        }
    }
}

fn check_quantity(value: &Value) -> Result<(), Trail> {
    // The grammar is cheaper to check than the number is to compute.
    match value {
        Value::String(text) if Quantity::is_valid(text) => Ok(()),
        Value::Number(_) => Ok(()),
        other => Quantity::from_json(other)
            .map(drop)
            .map_err(|error| Trail::new(error.to_string())),
    }
}

pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn is_integral(number: &serde_json::Number) -> bool {
    number
        .as_f64()
        .is_some_and(|float| float.fract() == 0.0 && float.abs() < 9.2e18)
        && !number.is_u64()
}

/// The number as an integer, if it is one: `3` and `3.0`.
pub(crate) fn integer(number: &serde_json::Number) -> Option<i64> {
    if let Some(integer) = number.as_i64() {
        return Some(integer);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "is_integral has checked fraction and range"
    )]
    is_integral(number)
        .then(|| number.as_f64().map(|float| float as i64))
        .flatten()
}

#[cfg(test)]
mod tests;

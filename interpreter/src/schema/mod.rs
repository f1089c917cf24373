//! Checks that an object fits its Kubernetes type, as a decoder would, without decoding it.
//!
//! The API server's own clients decode an object into a struct before they interpret it, and fail on a wrong type, an
//! invalid quantity, a time that is not RFC 3339, or a number outside the field's range, anywhere in the object. Members
//! that the type does not know are ignored, and `null` stands for the zero value of every type. This module gives the
//! same answer by walking the JSON tree beside a table of field types, which costs no allocation.
//!
//! `types.txt` is that table: a line without indent names a type, the lines under it are its fields. It is generated
//! from `k8s-openapi`, and a test fails when the two differ. `multicluster.txt` adds the types of another project.

mod types;

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::quantity::Quantity;
use crate::rfc3339;
pub(crate) use types::TypeName;

const TABLE: &str = include_str!("types.txt");
/// Types that are not Kubernetes' own, in the same form, written by hand.
const MULTICLUSTER: &str = include_str!("multicluster.txt");

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
}

/// Fields of a type, sorted by name.
#[derive(Debug, Default)]
struct Fields {
    /// The first bytes of each name as a number, which sorts like the name. Comparing these finds most fields, and tells
    /// most unknown members, without a look at the names.
    heads: Vec<u64>,
    fields: Vec<(&'static str, Shape)>,
}

impl Fields {
    fn push(&mut self, name: &'static str, shape: Shape) {
        self.heads.push(head(name));
        self.fields.push((name, shape));
    }

    fn find(&self, name: &str) -> Option<(&'static str, Shape)> {
        let wanted = head(name);
        let first = self.heads.partition_point(|head| *head < wanted);
        let candidates = self.fields.get(first..)?.iter().zip(&self.heads[first..]);
        let mut candidates = candidates.take_while(|(_, head)| **head == wanted);
        candidates
            // Equal heads are equal names where a head holds the whole name.
            .find(|(field, _)| field.0.len() == name.len() && (name.len() <= 8 || field.0 == name))
            .map(|(field, _)| *field)
    }
}

fn head(name: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = name.len().min(8);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

struct Table {
    types: Vec<Fields>,
    shapes: Vec<Shape>,
    index: HashMap<&'static str, usize>,
}

/// Whether the object fits the type of that name.
pub(crate) fn check(type_name: TypeName, object: &Value) -> Result<(), Mismatch> {
    let table = Table::loaded();
    let shape = table
        .index
        .get(type_name.as_str())
        .map_or(Shape::Any, |&index| Shape::Object(index));
    table.check(shape, object).map_err(Trail::into_mismatch)
}

impl Table {
    fn loaded() -> &'static Self {
        static LOADED: OnceLock<Table> = OnceLock::new();
        LOADED.get_or_init(|| Self::parse(&[TABLE, MULTICLUSTER]))
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
            index,
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
        table
    }

    fn shape(&mut self, text: &str) -> Shape {
        let mut nested = |text: &str| {
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

    fn check(&self, shape: Shape, value: &Value) -> Result<(), Trail> {
        let fits = match (shape, value) {
            (_, Value::Null)
            | (Shape::Any, _)
            | (Shape::Bool, Value::Bool(_))
            | (Shape::Number, Value::Number(_))
            | (Shape::Text | Shape::IntOrString, Value::String(_)) => true,
            (Shape::Int64, Value::Number(number)) => {
                number.as_i64().is_some() || is_integral(number)
            }
            (Shape::Int32 | Shape::IntOrString, Value::Number(number)) => {
                return match integer(number) {
                    Some(number) if i32::try_from(number).is_ok() => Ok(()),
                    Some(_) => Err(Trail::new(format!(
                        "{number} is outside the range of a 32-bit integer"
                    ))),
                    None => Err(Trail::new(format!("{number} is no integer"))),
                };
            }
            (Shape::Time, Value::String(text)) => {
                return match rfc3339::parse(text) {
                    Some(_) => Ok(()),
                    None => Err(Trail::new(format!("{text:?} is no RFC 3339 time"))),
                };
            }
            (Shape::Quantity, Value::String(_) | Value::Number(_)) => {
                return check_quantity(value);
            }
            (Shape::List(items), Value::Array(list)) => {
                let items = self.shapes[items];
                for (position, item) in list.iter().enumerate() {
                    self.check(items, item)
                        .map_err(|trail| trail.at(format!("[{position}]")))?;
                }
                true
            }
            (Shape::Map(values), Value::Object(map)) => {
                let values = self.shapes[values];
                for (key, value) in map {
                    self.check(values, value)
                        .map_err(|trail| trail.at(format!("[{key}]")))?;
                }
                true
            }
            (Shape::Object(index), Value::Object(map)) => {
                self.check_fields(&self.types[index], map)?;
                true
            }
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(Trail::new(format!(
                "expected {}, found {}",
                shape.name(),
                kind_of(value)
            )))
        }
    }

    fn check_fields(&self, fields: &Fields, map: &Map<String, Value>) -> Result<(), Trail> {
        for (key, value) in map {
            if let Some((name, shape)) = fields.find(key) {
                self.check(shape, value)
                    .map_err(|trail| trail.at(format!(".{name}")))?;
            }
        }
        Ok(())
    }
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "a boolean",
            Self::Int32 | Self::Int64 => "an integer",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Time => "a time",
            Self::Quantity => "a quantity",
            Self::IntOrString => "an integer or a string",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Object(_) => "an object",
        }
    }
}

/// A mismatch whose path is being put together from the inside out.
struct Trail {
    segments: Vec<String>,
    problem: String,
}

impl Trail {
    fn new(problem: String) -> Self {
        Self {
            segments: Vec::new(),
            problem,
        }
    }

    fn at(mut self, segment: String) -> Self {
        self.segments.push(segment);
        self
    }

    fn into_mismatch(self) -> Mismatch {
        let path: String = self.segments.iter().rev().map(String::as_str).collect();
        let path = path.strip_prefix('.').unwrap_or(&path);
        Mismatch {
            path: if path.is_empty() {
                "object".to_owned()
            } else {
                path.to_owned()
            },
            problem: self.problem,
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

fn kind_of(value: &Value) -> &'static str {
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

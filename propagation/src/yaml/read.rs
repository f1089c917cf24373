//! YAML text to a JSON value.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

use super::resolve::{Scalar, resolve};

/// Why a text cannot be read as one YAML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("error converting YAML to JSON: yaml: {0}")]
    Syntax(String),
    #[error("error converting YAML to JSON: unsupported map key of type {0}")]
    Key(&'static str),
    #[error("error converting YAML to JSON: json: unsupported value: {0}")]
    NotFinite(String),
    #[error(
        "error converting YAML to JSON: yaml: map merge requires map or sequence of maps as the value"
    )]
    Merge,
    #[error(
        "error converting YAML to JSON: yaml: document is nested too deeply or contains excessive aliasing"
    )]
    TooLarge,
    #[error("error converting YAML to JSON: yaml: invalid {tag} {text:?}")]
    Tagged { tag: String, text: String },
}

/// How deep a document may nest.
const MAX_DEPTH: usize = 200;
/// How many values the aliases of one document may copy.
const MAX_COPIES: usize = 100_000;

/// Reads the first document of the text; no document at all is null.
pub fn read(text: &str) -> Result<Value, ReadError> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        copied: 0,
    };
    loop {
        match reader.next()? {
            Some(Event::DocumentStart(..)) => break,
            Some(Event::StreamEnd) | None => return Ok(Value::Null),
            Some(_) => {}
        }
    }
    let event = reader.content()?;
    Ok(reader.node(event, 0)?.value)
}

struct Reader<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    copied: usize,
}

#[derive(Clone)]
struct Node {
    value: Value,
    /// A plain `<<`, which as a key means "merge".
    merge: bool,
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self {
            value,
            merge: false,
        }
    }
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<Event<'a>>, ReadError> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok((event, _))) => Ok(Some(event)),
            Some(Err(error)) => Err(ReadError::Syntax(error.to_string())),
        }
    }

    /// The next event that opens or closes a node.
    fn content(&mut self) -> Result<Event<'a>, ReadError> {
        loop {
            match self.next()? {
                Some(
                    event @ (Event::Alias(_)
                    | Event::Scalar(..)
                    | Event::SequenceStart(..)
                    | Event::SequenceEnd
                    | Event::MappingStart(..)
                    | Event::MappingEnd),
                ) => return Ok(event),
                Some(Event::StreamEnd | Event::DocumentEnd) | None => {
                    return Err(ReadError::Syntax(
                        "unexpected end of the document".to_owned(),
                    ));
                }
                Some(_) => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, ReadError> {
        if depth > MAX_DEPTH {
            return Err(ReadError::TooLarge);
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_ref().map(ToString::to_string);
                (
                    anchor,
                    scalar_node(&text, style == ScalarStyle::Plain, tag.as_deref())?,
                )
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut list = Vec::new();
                loop {
                    match self.content()? {
                        Event::SequenceEnd => break,
                        event => list.push(self.node(event, depth + 1)?.value),
                    }
                }
                (anchor, Value::Array(list).into())
            }
            Event::MappingStart(_, anchor, _) => {
                (anchor, Value::Object(self.mapping(depth)?).into())
            }
            Event::Alias(anchor) => {
                let node = self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .unwrap_or_else(|| Value::Null.into());
                self.copied = self.copied.saturating_add(size(&node.value));
                if self.copied > MAX_COPIES {
                    return Err(ReadError::TooLarge);
                }
                (0, node)
            }
            _ => {
                return Err(ReadError::Syntax(
                    "unexpected end of a collection".to_owned(),
                ));
            }
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Result<Map<String, Value>, ReadError> {
        let mut map = Map::new();
        let mut merged = Map::new();
        loop {
            let key = match self.content()? {
                Event::MappingEnd => break,
                event => self.node(event, depth + 1)?,
            };
            let event = self.content()?;
            let value = self.node(event, depth + 1)?.value;
            if key.merge {
                match value {
                    Value::Object(other) => merge(&mut merged, other),
                    Value::Array(list) => {
                        for element in list {
                            let Value::Object(other) = element else {
                                return Err(ReadError::Merge);
                            };
                            merge(&mut merged, other);
                        }
                    }
                    _ => return Err(ReadError::Merge),
                }
                continue;
            }
            map.insert(key_text(key.value)?, value);
        }
        merge(&mut map, merged);
        Ok(map)
    }
}

/// Adds what is not there yet.
fn merge(map: &mut Map<String, Value>, other: Map<String, Value>) {
    for (key, value) in other {
        map.entry(key).or_insert(value);
    }
}

fn key_text(key: Value) -> Result<String, ReadError> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Err(ReadError::Key("null")),
        Value::Array(_) => Err(ReadError::Key("list")),
        Value::Object(_) => Err(ReadError::Key("map")),
    }
}

/// What a scalar means that is plain, which is to say not quoted, or has a tag such as `!!str`.
pub fn scalar(text: &str, is_plain: bool, tag: Option<&str>) -> Result<Value, ReadError> {
    scalar_node(text, is_plain, tag).map(|node| node.value)
}

fn scalar_node(text: &str, is_plain: bool, tag: Option<&str>) -> Result<Node, ReadError> {
    let invalid = |tag: &str| ReadError::Tagged {
        tag: tag.to_owned(),
        text: text.to_owned(),
    };
    let tag = tag.map(|tag| {
        tag.trim_start_matches("tag:yaml.org,2002:")
            .trim_start_matches('!')
    });
    let resolved = match tag {
        Some("str" | "binary") => Scalar::String,
        Some(tag @ ("int" | "float" | "bool" | "null")) => {
            let resolved = resolve(text);
            let fits = match tag {
                "bool" => matches!(resolved, Scalar::Bool(_)),
                "null" => resolved == Scalar::Null,
                _ => matches!(resolved, Scalar::Number(_)),
            };
            if !fits {
                return Err(invalid(tag));
            }
            resolved
        }
        _ if is_plain => resolve(text),
        _ => Scalar::String,
    };
    let merge = resolved == Scalar::Merge;
    let value = resolved
        .into_value(text)
        .ok_or_else(|| ReadError::NotFinite(text.to_owned()))?;
    Ok(Node { value, merge })
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(list) => list
            .iter()
            .fold(1, |sum: usize, element| sum.saturating_add(size(element))),
        Value::Object(map) => map
            .values()
            .fold(1, |sum: usize, element| sum.saturating_add(size(element))),
        _ => 1,
    }
}

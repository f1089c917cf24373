//! YAML and JSON as Kubernetes' tools read them, with the lines that the values are on.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use propagation::yaml::{self, ReadError};
use serde_json::{Map, Value};

/// A value, and the line that it begins on.
#[derive(Clone)]
pub(crate) struct Node {
    line: u64,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Leaf(Value),
    List(Vec<Node>),
    /// Members with the lines of their keys.
    Map(Vec<(String, u64, Node)>),
}

/// Levels of a document.
const MAX_DEPTH: usize = 64;
/// Values in all documents of a text.
const MAX_VALUES: usize = 100_000;
/// Values that anchors and aliases may copy: a few aliases of aliases stand for billions.
const MAX_COPIES: usize = 20_000;

/// The documents of a text, empty ones left out; or what is wrong with it, and where.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, String> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        values: 0,
        copies: 0,
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::DocumentStart(..) => reader.anchors.clear(),
            event => {
                let node = reader.node(event, span, 0)?;
                if !matches!(node.content, Content::Leaf(Value::Null)) {
                    documents.push(node);
                }
            }
        }
    }
    Ok(documents)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    values: usize,
    copies: usize,
}

impl<'a> Reader<'a> {
    /// The next event that is about a document or a value.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, String> {
        for parsed in self.parser.by_ref() {
            let (event, span) = parsed.map_err(|error| told(&error))?;
            if matches!(
                event,
                Event::DocumentStart(..)
                    | Event::Alias(_)
                    | Event::Scalar(..)
                    | Event::SequenceStart(..)
                    | Event::SequenceEnd
                    | Event::MappingStart(..)
                    | Event::MappingEnd
            ) {
                return Ok(Some((event, span)));
            }
        }
        Ok(None)
    }

    /// What comes next within a list or map.
    fn within(&mut self) -> Result<(Event<'a>, Span), String> {
        self.next()?
            .ok_or_else(|| "no YAML or JSON: it ends too early".to_owned())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(at(span, TOO_DEEP));
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(at(span, "larger than what is read from one file; split it"));
        }
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| tag.to_string());
                let value = scalar(&text, style, tag.as_deref(), span)?;
                (anchor, Content::Leaf(value))
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.within()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (anchor, Content::List(items))
            }
            Event::MappingStart(_, anchor, _) => (anchor, Content::Map(self.members(depth)?)),
            Event::Alias(anchor) => {
                let found = self.anchors.get(&anchor);
                let content = found.map(|node| node.content.clone());
                // The parser refuses aliases without an anchor before them, except for one within what it names.
                let content = content.ok_or_else(|| at(span, "an alias within what it names"))?;
                self.copy(&content, span)?;
                (0, content)
            }
            _ => return Err(at(span, "no YAML or JSON: expected a value")),
        };
        let node = Node {
            line: line_of(span),
            content,
        };
        if anchor != 0 {
            self.copy(&node.content, span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Counts a copy.
    fn copy(&mut self, content: &Content, span: Span) -> Result<(), String> {
        self.copies = self.copies.saturating_add(content.size());
        if self.copies > MAX_COPIES {
            return Err(at(
                span,
                "anchors and aliases stand for more values than are read; write the values out",
            ));
        }
        Ok(())
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, u64, Node)>, String> {
        let mut members = Vec::new();
        let mut lines = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.within()?;
            let is_merge = match &event {
                Event::MappingEnd => break,
                Event::Scalar(text, ScalarStyle::Plain, _, None) => *text == "<<",
                _ => false,
            };
            let key = self.node(event, span, depth + 1)?;
            let (event, at_value) = self.within()?;
            let value = self.node(event, at_value, depth + 1)?;
            if is_merge {
                merged.extend(merged_members(value, at_value)?);
                continue;
            }
            let key = match key.content {
                Content::Leaf(Value::String(key)) => key,
                Content::Leaf(key @ (Value::Bool(_) | Value::Number(_))) => key.to_string(),
                _ => return Err(at(span, "no YAML or JSON: a key has to be a text")),
            };
            let line = line_of(span);
            if let Some(first) = lines.insert(key.clone(), line) {
                let problem = format!("the key {key:?} is there already, on line {first}");
                return Err(at(span, &problem));
            }
            members.push((key, line, value));
        }
        // What is merged gives way to what stands there, and later merges to earlier ones.
        for (key, line, node) in merged {
            lines.entry(key).or_insert_with_key(|key| {
                members.push((key.clone(), line, node));
                line
            });
        }
        Ok(members)
    }
}

fn merged_members(value: Node, span: Span) -> Result<Vec<(String, u64, Node)>, String> {
    match value.content {
        Content::Map(members) => Ok(members),
        Content::List(items) => {
            let members = items.into_iter().map(|item| match item.content {
                Content::Map(members) => Ok(members),
                _ => Err(at(span, MERGED)),
            });
            Ok(members.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Content::Leaf(_) => Err(at(span, MERGED)),
    }
}

const MERGED: &str = "`<<` takes a map, or a list of maps, to merge";
const TOO_DEEP: &str = "nested deeper than 64 levels, which no object of Kubernetes is";

fn scalar(text: &str, style: ScalarStyle, tag: Option<&str>, span: Span) -> Result<Value, String> {
    let value = yaml::scalar(text, style == ScalarStyle::Plain, tag).map_err(|error| {
        let problem = match error {
            ReadError::NotFinite(text) => format!("{text} is no number that an object can hold"),
            ReadError::Tagged { tag, text } => format!("{text:?} is no {tag}"),
            other => other.to_string(),
        };
        at(span, &problem)
    })?;
    // On its way to the API server a number becomes JSON, in which 1e3 and 1.0 are integers.
    Ok(match &value {
        Value::Number(number) => {
            let whole = number.as_f64().map(|number| number.to_string());
            match whole.and_then(|whole| whole.parse::<i64>().ok()) {
                Some(whole) if number.is_f64() => whole.into(),
                _ => value,
            }
        }
        _ => value,
    })
}

fn line_of(span: Span) -> u64 {
    span.start.line() as u64
}

fn at(span: Span, problem: &str) -> String {
    let (line, column) = (span.start.line(), span.start.col() + 1);
    format!("line {line}, column {column}: {problem}")
}

/// What the parser does not understand, with its place first.
fn told(error: &ScanError) -> String {
    let problem = match error.kind() {
        ErrorKind::UnknownAnchor => "an alias of an anchor that is not there".to_owned(),
        ErrorKind::RecursionLimitExceeded => TOO_DEEP.to_owned(),
        kind => format!("no YAML or JSON: {kind}"),
    };
    let mark = error.marker();
    format!("line {}, column {}: {problem}", mark.line(), mark.col() + 1)
}

impl Content {
    fn size(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::List(items) => items
                .iter()
                .fold(1, |sum, node| sum.saturating_add(node.content.size())),
            Self::Map(members) => members.iter().fold(1, |sum, (_, _, node)| {
                sum.saturating_add(node.content.size())
            }),
        }
    }
}

impl Node {
    pub(crate) fn value(&self) -> Value {
        match &self.content {
            Content::Leaf(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(members) => {
                let members = members
                    .iter()
                    .map(|(key, _, node)| (key.clone(), node.value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The elements of a member that is a list.
    pub(crate) fn into_items(self, key: &str) -> Vec<Self> {
        let Content::Map(members) = self.content else {
            return Vec::new();
        };
        let found = members.into_iter().find(|(name, ..)| name == key);
        match found.map(|(_, _, node)| node.content) {
            Some(Content::List(items)) => items,
            _ => Vec::new(),
        }
    }

    /// The line of a field, such as `spec.rules[0].name` or `metadata.labels[app]`; of what would hold it, when it is missing.
    pub(crate) fn line_of(&self, path: &str) -> u64 {
        self.find(path, "").unwrap_or(self.line)
    }

    fn find(&self, wanted: &str, here: &str) -> Option<u64> {
        let below = |line: u64, node: &Self, paths: [String; 2]| {
            let path = paths.into_iter().find(|path| {
                let rest = wanted.strip_prefix(path.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })?;
            Some(node.find(wanted, &path).unwrap_or(line))
        };
        match &self.content {
            Content::Leaf(_) => None,
            Content::List(items) => items.iter().enumerate().find_map(|(position, node)| {
                below(
                    node.line,
                    node,
                    [format!("{here}[{position}]"), String::from("\0")],
                )
            }),
            Content::Map(members) => members.iter().find_map(|(key, line, node)| {
                let dotted = if here.is_empty() {
                    key.clone()
                } else {
                    format!("{here}.{key}")
                };
                below(*line, node, [dotted, format!("{here}[{key}]")])
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_know_their_lines() {
        let text = "a: 1\nb:\n  c:\n    - x\n    - d: {e: 2.5}\n  labels:\n    app.io/x: 'y'\nf: |\n  text\n  more\ng: null\nh: true\n";
        let documents = documents(&format!("---\n---\n{text}")).unwrap();
        let [document] = &documents[..] else {
            panic!("one document")
        };
        assert_eq!(
            document.value(),
            json!({"a": 1, "b": {"c": ["x", {"d": {"e": 2.5}}], "labels": {"app.io/x": "y"}}, "f": "text\nmore\n", "g": null, "h": true})
        );
        for (path, line) in [
            ("a", 3),
            ("b", 4),
            ("b.c", 5),
            ("b.c[1]", 7),
            ("b.c[1].d.e", 7),
            ("b.labels[app.io/x]", 9),
            ("b.missing", 4),
            ("f", 10),
            ("missing", 3),
        ] {
            assert_eq!(document.line_of(path), line, "{path}");
        }
    }

    #[test]
    fn json_is_read_as_well() {
        let documents = documents("{\n  \"a\": [1, {\"b\": \"c\"}]\n}").unwrap();
        assert_eq!(documents[0].value(), json!({"a": [1, {"b": "c"}]}));
        assert_eq!(documents[0].line_of("a[1].b"), 2);
    }

    #[test]
    fn scalars_mean_what_they_mean_to_kubernetes() {
        for (text, value) in [
            ("0777", json!(511)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("1e3", json!(1000)),
            ("1.0", json!(1)),
            ("-0.0", json!(0)),
            ("2.5", json!(2.5)),
            ("1e20", json!(1e20)),
            ("18446744073709551615", json!(u64::MAX)),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("'0777'", json!("0777")),
            ("\"yes\"", json!("yes")),
            ("!!str 12", json!("12")),
            ("2026-01-01", json!("2026-01-01")),
            ("~", json!(null)),
        ] {
            let documents = documents(&format!("a: {text}")).unwrap();
            assert_eq!(documents[0].value(), json!({"a": value}), "{text}");
        }
        let keys = documents("1: a\non: b\n").unwrap();
        assert_eq!(keys[0].value(), json!({"1": "a", "true": "b"}));
    }

    #[test]
    fn aliases_stand_for_values() {
        let text = "a: &a {u: 1, v: 2}\nb: *a\nc: {<<: *a, v: 3}\nd: {<<: [{u: 5}, *a]}\n";
        let documents = documents(text).unwrap();
        assert_eq!(
            documents[0].value(),
            json!({"a": {"u": 1, "v": 2}, "b": {"u": 1, "v": 2}, "c": {"v": 3, "u": 1}, "d": {"u": 5, "v": 2}})
        );
        assert_eq!(documents[0].line_of("b"), 2);
    }

    #[test]
    fn aliases_of_aliases_are_not_written_out() {
        use std::fmt::Write as _;
        let mut laughs = "a0: &a0 [ha]\n".to_owned();
        for level in 1..30 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(laughs, "a{level}: &a{level} [{inner}]").unwrap();
        }
        let found = documents(&laughs).map(|_| ()).unwrap_err();
        assert_eq!(
            found,
            "line 5, column 45: anchors and aliases stand for more values than are read; write the values out"
        );
        let many = format!("[{}]", vec!["1"; MAX_VALUES + 1].join(","));
        let found = documents(&many).map(|_| ()).unwrap_err();
        assert!(found.ends_with("larger than what is read from one file; split it"));
    }

    #[test]
    fn what_is_no_document_says_where() {
        let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
        for (text, problem) in [
            (
                &*deep,
                "nested deeper than 64 levels, which no object of Kubernetes is",
            ),
            ("a: b\n c: d\n", "line 2, column"),
            ("a: [1\n", "no YAML or JSON: "),
            (
                "a: *b\n",
                "line 1, column 4: an alias of an anchor that is not there",
            ),
            (
                "a: &b [*b]\n",
                "line 1, column 8: an alias within what it names",
            ),
            (
                "a: 1\nb: 2\na: 3\n",
                "line 3, column 1: the key \"a\" is there already, on line 1",
            ),
            ("? [a]\n: b\n", "a key has to be a text"),
            (
                "a: .inf\n",
                "line 1, column 4: .inf is no number that an object can hold",
            ),
            ("a: !!int x\n", "\"x\" is no int"),
            (
                "{<<: 3}\n",
                "line 1, column 6: `<<` takes a map, or a list of maps, to merge",
            ),
        ] {
            let found = documents(text).map(|_| ()).unwrap_err();
            assert!(found.contains(problem), "{found}");
            assert!(!found.contains('\n'), "{found}");
        }
    }
}

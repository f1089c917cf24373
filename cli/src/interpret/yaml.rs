//! YAML and JSON with the lines that their values are on.

use std::{fmt, thread};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Error, Spanned, budget::BudgetBreach};

/// A value, and the line that it begins on.
pub(crate) struct Node {
    line: u64,
    content: Content,
}

enum Content {
    Leaf(Value),
    List(Vec<Node>),
    /// Members with the lines of their keys.
    Map(Vec<(String, u64, Node)>),
}

/// Room for the deepest document that is read: a level takes tens of kilobytes in an unoptimised build.
const STACK: usize = 32 << 20;

/// The documents of a text, empty ones left out; or what is wrong with it, and where.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, String> {
    thread::scope(|scope| {
        let reader = thread::Builder::new().stack_size(STACK);
        match reader.spawn_scoped(scope, move || parsed(text)) {
            Ok(reader) => reader
                .join()
                .unwrap_or_else(|_| Err("the parser of YAML failed".to_owned())),
            Err(error) => Err(format!("cannot start a thread to read it: {error}")),
        }
    })
}

fn parsed(text: &str) -> Result<Vec<Node>, String> {
    let parsed = serde_saphyr::from_multiple::<Spanned<Content>>(text);
    let documents = parsed.map_err(|error| told(&error))?.into_iter();
    Ok(documents
        .map(Node::from)
        .filter(|node| !matches!(node.content, Content::Leaf(Value::Null)))
        .collect())
}

/// An error in a sentence, with its line first.
fn told(error: &Error) -> String {
    let error = error.without_snippet();
    let problem = match error {
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Depth { .. } => {
                "nested deeper than 64 levels, which no object of Kubernetes is".to_owned()
            }
            BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => {
                "more anchors and aliases than are read; write the values out".to_owned()
            }
            BudgetBreach::Documents { .. } => {
                "more documents than are read from one file; split it".to_owned()
            }
            _ => "larger than what is read from one file; split it".to_owned(),
        },
        other => {
            let text = other.to_string();
            let text = text.lines().next().unwrap_or_default();
            let plain = text.split(" at line ").next().unwrap_or_default();
            format!("no YAML or JSON: {plain}")
        }
    };
    match error.location().filter(|at| at.line() > 0) {
        Some(at) => format!("line {}, column {}: {problem}", at.line(), at.column()),
        None => problem,
    }
}

impl From<Spanned<Content>> for Node {
    fn from(spanned: Spanned<Content>) -> Self {
        Self {
            line: spanned.referenced.line(),
            content: spanned.value,
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

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
                Ok(Content::Leaf(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
                Ok(Content::Leaf(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
                Ok(Content::Leaf(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
                let number = Number::from_f64(value).map_or(Value::Null, Value::Number);
                Ok(Content::Leaf(number))
            }

            fn visit_str<E>(self, value: &str) -> Result<Content, E> {
                Ok(Content::Leaf(value.into()))
            }

            fn visit_string<E>(self, value: String) -> Result<Content, E> {
                Ok(Content::Leaf(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::Leaf(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Content, E> {
                Ok(Content::Leaf(Value::Null))
            }

            fn visit_some<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Content, D::Error> {
                Content::deserialize(deserializer)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element::<Spanned<Content>>()? {
                    items.push(Node::from(item));
                }
                Ok(Content::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    let node = Node::from(map.next_value::<Spanned<Content>>()?);
                    members.push((key.value, key.referenced.line(), node));
                }
                Ok(Content::Map(members))
            }
        }

        deserializer.deserialize_any(Any)
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
    fn what_is_no_document_says_where() {
        let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
        for (text, problem) in [
            (
                &*deep,
                "nested deeper than 64 levels, which no object of Kubernetes is",
            ),
            ("a: b\n c: d\n", "line 2, column"),
            ("a: [1\n", "no YAML or JSON: "),
        ] {
            let found = documents(text).map(|_| ()).unwrap_err();
            assert!(found.contains(problem), "{found}");
            assert!(!found.contains('\n'), "{found}");
        }
    }
}

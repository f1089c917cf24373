//! JSONPath templates as kubectl understands them: text with paths in braces, such as `{.status.replicas}`.

use serde_json::Value;

/// Why a template gives no text. Messages have the form that users know from kubectl.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("failed to parse jsonpath {template:?}: {problem}")]
    Parse { template: String, problem: String },
    #[error("failed to execute jsonpath {template:?}: {problem}")]
    Execute { template: String, problem: String },
}

/// Evaluates a template on a document. A missing key is an error.
pub fn evaluate(template: &str, document: &Value) -> Result<String, PathError> {
    let parse = |problem: String| PathError::Parse {
        template: template.to_owned(),
        problem,
    };
    let execute = |problem: String| PathError::Execute {
        template: template.to_owned(),
        problem,
    };
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let end = closing(after).ok_or_else(|| parse("unclosed action".to_owned()))?;
        let path = after[..end].trim();
        rest = &after[end + 1..];
        if let Some(quoted) = quoted(path) {
            text.push_str(&quoted);
            continue;
        }
        let steps = parse_path(path).map_err(parse)?;
        let values = walk(&steps, document).map_err(execute)?;
        let printed: Vec<_> = values.into_iter().map(print).collect();
        text.push_str(&printed.join(" "));
    }
    text.push_str(rest);
    Ok(text)
}

fn print(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where the action ends; braces inside quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices().find_map(|(at, character)| {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '}') => return Some(at),
            _ => {}
        }
        None
    })
}

/// A quoted text, whose backslashes escape.
fn quoted(text: &str) -> Option<String> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '\'' | '"'))?;
    let inner = text[1..].strip_suffix(quote)?;
    let mut unescaped = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                'n' => unescaped.push('\n'),
                't' => unescaped.push('\t'),
                other => unescaped.push(other),
            },
            other if other == quote => return None,
            other => unescaped.push(other),
        }
    }
    Some(unescaped)
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Wildcard,
    Recursive,
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Union(Vec<Vec<Step>>),
    Filter {
        left: Vec<Step>,
        comparison: Option<(Comparison, Operand)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Literal(Value),
    Path(Vec<Step>),
}

fn parse_path(path: &str) -> Result<Vec<Step>, String> {
    let mut rest = path.trim();
    rest = rest.strip_prefix(['$', '@']).unwrap_or(rest);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Recursive);
            rest = after;
            if !rest.starts_with('[') {
                let (step, after) = field(rest)?;
                steps.extend(step);
                rest = after;
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            if after.starts_with('[') {
                rest = after;
                continue;
            }
            let (step, after) = field(after)?;
            steps.extend(step);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = closing_bracket(after).ok_or("unterminated array")?;
            steps.push(subscript(after[..end].trim())?);
            rest = &after[end + 1..];
        } else if steps.is_empty() {
            let (step, after) = field(rest)?;
            steps.extend(step);
            rest = after;
        } else {
            return Err(format!("unrecognized character in action: {rest:?}"));
        }
    }
    Ok(steps)
}

/// A field name up to the next delimiter; a backslash takes a delimiter into the name.
fn field(text: &str) -> Result<(Option<Step>, &str), String> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    let mut end = text.len();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next().ok_or("unterminated escape")?.1),
            '.' | '[' => {
                end = at;
                break;
            }
            character if character.is_whitespace() || "]|,()=<>!@$".contains(character) => {
                return Err(format!("unrecognized character in action: {character:?}"));
            }
            other => name.push(other),
        }
    }
    let step = match &*name {
        "" => None,
        "*" => Some(Step::Wildcard),
        _ => Some(Step::Field(name)),
    };
    Ok((step, &text[end..]))
}

fn closing_bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    text.char_indices().find_map(|(at, character)| {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
        None
    })
}

fn subscript(text: &str) -> Result<Step, String> {
    if text == "*" {
        return Ok(Step::Wildcard);
    }
    if let Some(name) = quoted(text) {
        return Ok(Step::Field(name));
    }
    if let Some(condition) = text
        .strip_prefix("?(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        return filter(condition.trim());
    }
    let parts = split_outside_quotes(text, ',');
    if parts.len() > 1 {
        let branches = parts
            .into_iter()
            .map(|part| subscript(part.trim()).map(|step| vec![step]));
        return Ok(Step::Union(branches.collect::<Result<_, _>>()?));
    }
    let invalid = || format!("invalid array index {text}");
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| invalid());
    let optional = |text: Option<&&str>| match text.map(|text| text.trim()) {
        None | Some("") => Ok(None),
        Some(text) => number(text).map(Some),
    };
    let bounds: Vec<&str> = text.split(':').collect();
    match bounds.len() {
        1 => {
            let index = number(text)?;
            Ok(Step::Slice {
                start: Some(index),
                end: index.checked_add(1).filter(|end| *end != 0),
                step: 1,
            })
        }
        2 | 3 => {
            let step = optional(bounds.get(2))?.unwrap_or(1);
            if step <= 0 {
                return Err("step must be > 0".to_owned());
            }
            Ok(Step::Slice {
                start: optional(bounds.first())?,
                end: optional(bounds.get(1))?,
                step,
            })
        }
        _ => Err(invalid()),
    }
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut quote = None;
    text.split(|character: char| {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, _) => return character == separator,
            _ => {}
        }
        false
    })
    .collect()
}

fn filter(condition: &str) -> Result<Step, String> {
    let operators = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let found = operators
        .iter()
        .filter_map(|(text, comparison)| {
            Some((find_outside_quotes(condition, text)?, *text, *comparison))
        })
        .min_by_key(|(at, text, _)| (*at, std::cmp::Reverse(text.len())));
    let Some((at, text, comparison)) = found else {
        return Ok(Step::Filter {
            left: parse_path(condition)?,
            comparison: None,
        });
    };
    let left = parse_path(condition[..at].trim())?;
    let right = operand(condition[at + text.len()..].trim())?;
    Ok(Step::Filter {
        left,
        comparison: Some((comparison, right)),
    })
}

fn find_outside_quotes(text: &str, wanted: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices().find_map(|(at, character)| {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, _) if text[at..].starts_with(wanted) => return Some(at),
            _ => {}
        }
        None
    })
}

fn operand(text: &str) -> Result<Operand, String> {
    if let Some(text) = quoted(text) {
        return Ok(Operand::Literal(Value::String(text)));
    }
    if text.starts_with(['@', '$', '.']) {
        return Ok(Operand::Path(parse_path(text)?));
    }
    serde_json::from_str(text)
        .map(Operand::Literal)
        .map_err(|_| format!("cannot parse operand {text}"))
}

fn walk<'a>(steps: &[Step], document: &'a Value) -> Result<Vec<&'a Value>, String> {
    let mut values = vec![document];
    for step in steps {
        let mut next = Vec::new();
        for value in &values {
            take(step, value, &mut next)?;
        }
        // After a descent or a filter a field may be missing here and there, but not everywhere.
        if let (Step::Field(name), true) = (step, next.is_empty()) {
            return Err(format!("{name} is not found"));
        }
        values = next;
    }
    Ok(values)
}

fn take<'a>(step: &Step, value: &'a Value, found: &mut Vec<&'a Value>) -> Result<(), String> {
    match step {
        Step::Field(name) => found.extend(value.get(name)),
        Step::Wildcard => found.extend(children(value)),
        Step::Recursive => descend(value, found),
        Step::Slice { start, end, step } => {
            let list = value.as_array().ok_or("value is not array or slice")?;
            slice(list, *start, *end, *step, found)?;
        }
        Step::Union(branches) => {
            for branch in branches {
                found.extend(walk(branch, value)?);
            }
        }
        Step::Filter { left, comparison } => {
            let list = value
                .as_array()
                .ok_or("value is not array or slice and cannot be filtered")?;
            for element in list {
                if holds(left, comparison.as_ref(), element) {
                    found.push(element);
                }
            }
        }
    }
    Ok(())
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    for child in children(value) {
        descend(child, found);
    }
}

fn slice<'a>(
    list: &'a [Value],
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
    found: &mut Vec<&'a Value>,
) -> Result<(), String> {
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let absolute = |index: i64| {
        if index < 0 {
            index.saturating_add(length)
        } else {
            index
        }
    };
    let (from, to) = (
        absolute(start.unwrap_or(0)),
        absolute(end.unwrap_or(length)),
    );
    if from < 0 || (start.is_some() && from >= length) {
        return Err(format!(
            "array index out of bounds: index {from}, length {length}"
        ));
    }
    let mut at = from;
    while at < to.min(length) {
        found.extend(usize::try_from(at).ok().and_then(|at| list.get(at)));
        at = at.saturating_add(step);
    }
    Ok(())
}

fn holds(left: &[Step], comparison: Option<&(Comparison, Operand)>, element: &Value) -> bool {
    let Ok(left) = walk(left, element) else {
        return false;
    };
    let Some((comparison, right)) = comparison else {
        return !left.is_empty();
    };
    let right = match right {
        Operand::Literal(value) => vec![value],
        Operand::Path(steps) => walk(steps, element).unwrap_or_default(),
    };
    let ([left], [right]) = (&left[..], &right[..]) else {
        return false;
    };
    let order = match (left, right) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a
            .as_f64()
            .zip(b.as_f64())
            .and_then(|(a, b)| a.partial_cmp(&b)),
        _ => (left == right).then_some(std::cmp::Ordering::Equal),
    };
    match comparison {
        Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::NotEqual => !order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn templates_are_evaluated() {
        let document = json!({
            "replicas": 3, "ready": true, "phase": "Up", "a.b": "dotted", "nested": {"deep": {"x": 1}},
            "list": [{"type": "A", "n": 1}, {"type": "B", "n": 2}, {"type": "C", "n": 3}],
        });
        for (template, expected) in [
            ("{.replicas}", Ok("3")),
            ("{$.replicas}", Ok("3")),
            ("{replicas}", Ok("3")),
            ("{.ready} and {.phase}", Ok("true and Up")),
            ("{.nested}", Ok(r#"{"deep":{"x":1}}"#)),
            ("{.nested.deep.x}", Ok("1")),
            ("{.a\\.b}", Ok("dotted")),
            ("{['a.b']}", Ok("dotted")),
            ("{.list[0].type}", Ok("A")),
            ("{.list[-1].type}", Ok("C")),
            ("{.list[0:2].n}", Ok("1 2")),
            ("{.list[::2].n}", Ok("1 3")),
            ("{.list[0,2].n}", Ok("1 3")),
            ("{.list[*].n}", Ok("1 2 3")),
            ("{.list[?(@.type==\"B\")].n}", Ok("2")),
            ("{.list[?(@.n>=2)].type}", Ok("B C")),
            ("{..x}", Ok("1")),
            ("{\"x\"}{.phase}", Ok("xUp")),
            ("plain", Ok("plain")),
            (
                "{.missing}",
                Err(r#"failed to execute jsonpath "{.missing}": missing is not found"#),
            ),
            (
                "{.list[7]}",
                Err(
                    r#"failed to execute jsonpath "{.list[7]}": array index out of bounds: index 7, length 3"#,
                ),
            ),
            (
                "{.list",
                Err(r#"failed to parse jsonpath "{.list": unclosed action"#),
            ),
            (
                "{.list[x]}",
                Err(r#"failed to parse jsonpath "{.list[x]}": invalid array index x"#),
            ),
        ] {
            let found = evaluate(template, &document).map_err(|error| error.to_string());
            assert_eq!(
                found.as_deref().map_err(|error| &**error),
                expected,
                "{template}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_template_panics(template in "[{}.\\[\\]a-c0-9:?@=<>'\"*,\\\\()$-]{0,24}") {
            let _ = evaluate(&template, &json!({"a": [1, {"b": "c"}], "b": {"c": [[]]}}));
        }
    }
}

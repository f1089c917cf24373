//! A JSON value to YAML text.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::resolve::needs_quotes;

/// The column after which a long scalar goes on in the next line.
const WIDTH: usize = 80;

/// Prints a value in block style with sorted keys. The text ends with a line break.
pub fn print(value: &Value) -> String {
    let mut printer = Printer {
        text: String::new(),
        column: 0,
    };
    match value {
        Value::Object(map) if !map.is_empty() => printer.mapping(map, 0, false),
        Value::Array(list) if !list.is_empty() => printer.sequence(list, 0, false),
        scalar => {
            printer.scalar(
                scalar,
                Context {
                    indent: 2,
                    key: false,
                },
            );
            printer.line_break();
        }
    }
    printer.text
}

struct Printer {
    text: String,
    /// In characters, as line folding counts.
    column: usize,
}

#[derive(Clone, Copy)]
struct Context {
    /// Columns that continuation lines are indented by.
    indent: usize,
    /// A key stays on one line.
    key: bool,
}

impl Printer {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn put_char(&mut self, character: char) {
        self.text.push(character);
        self.column += 1;
    }

    fn line_break(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }

    fn indent(&mut self, columns: usize) {
        for _ in 0..columns {
            self.put_char(' ');
        }
    }

    /// `inline`: the first entry continues a line that already has `- `.
    fn mapping(&mut self, map: &Map<String, Value>, indent: usize, inline: bool) {
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_by(|(a, _), (b, _)| natural(a, b));
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 || !inline {
                self.indent(indent);
            }
            // A simple key is at most 128 bytes of one line; anything else needs the explicit form.
            let simple = key.len() <= 128 && !key.contains(is_break);
            if !simple {
                self.put("? ");
            }
            self.string(
                key,
                Context {
                    indent: indent + 2,
                    key: simple,
                },
            );
            if !simple {
                self.line_break();
                self.indent(indent);
            }
            self.put(":");
            match value {
                Value::Object(map) if !map.is_empty() && simple => {
                    self.line_break();
                    self.mapping(map, indent + 2, false);
                }
                Value::Array(list) if !list.is_empty() && simple => {
                    self.line_break();
                    self.sequence(list, indent, false);
                }
                value => self.nested(value, indent + 2),
            }
        }
    }

    fn sequence(&mut self, list: &[Value], indent: usize, inline: bool) {
        for (index, value) in list.iter().enumerate() {
            if index > 0 || !inline {
                self.indent(indent);
            }
            self.put("-");
            self.nested(value, indent + 2);
        }
    }

    /// A value after an indicator, in the same line.
    fn nested(&mut self, value: &Value, indent: usize) {
        self.put(" ");
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map, indent, true),
            Value::Array(list) if !list.is_empty() => self.sequence(list, indent, true),
            scalar => {
                self.scalar(scalar, Context { indent, key: false });
                self.line_break();
            }
        }
    }

    fn scalar(&mut self, value: &Value, context: Context) {
        match value {
            Value::Null => self.put("null"),
            Value::Bool(value) => self.put(if *value { "true" } else { "false" }),
            Value::Number(number) => self.put(&number_text(number)),
            Value::String(text) => self.string(text, context),
            Value::Array(_) => self.put("[]"),
            Value::Object(_) => self.put("{}"),
        }
    }

    fn string(&mut self, text: &str, context: Context) {
        let facts = Facts::of(text);
        if text.contains('\n') {
            if facts.literal && !context.key {
                return self.literal(text, context);
            }
            return self.double_quoted(text, context);
        }
        if needs_quotes(text) {
            self.double_quoted(text, context);
        } else if facts.plain {
            self.plain(text, context);
        } else if facts.single {
            self.single_quoted(text, context);
        } else {
            self.double_quoted(text, context);
        }
    }

    /// Starts a continuation line.
    fn fold(&mut self, context: Context) {
        self.line_break();
        self.indent(context.indent);
    }

    fn folds_at(&self, characters: &[char], index: usize, context: Context) -> bool {
        !context.key
            && self.column > WIDTH
            && characters[index] == ' '
            && (index == 0 || characters[index - 1] != ' ')
            && characters.get(index + 1).is_some_and(|next| *next != ' ')
    }

    fn plain(&mut self, text: &str, context: Context) {
        let characters: Vec<char> = text.chars().collect();
        for (index, character) in characters.iter().enumerate() {
            if self.folds_at(&characters, index, context) {
                self.fold(context);
            } else {
                self.put_char(*character);
            }
        }
    }

    fn single_quoted(&mut self, text: &str, context: Context) {
        let characters: Vec<char> = text.chars().collect();
        self.put("'");
        for (index, character) in characters.iter().enumerate() {
            if index > 0 && self.folds_at(&characters, index, context) {
                self.fold(context);
                continue;
            }
            if *character == '\'' {
                self.put("'");
            }
            self.put_char(*character);
        }
        self.put("'");
    }

    fn double_quoted(&mut self, text: &str, context: Context) {
        let characters: Vec<char> = text.chars().collect();
        let mut after_space = false;
        self.put("\"");
        for (index, character) in characters.iter().enumerate() {
            let last = index + 1 == characters.len();
            if *character == ' ' {
                if !context.key && !after_space && self.column > WIDTH && index > 0 && !last {
                    self.fold(context);
                    if characters[index + 1] == ' ' {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
                after_space = true;
                continue;
            }
            after_space = false;
            match character {
                '"' => self.put("\\\""),
                '\\' => self.put("\\\\"),
                '\0' => self.put("\\0"),
                '\u{7}' => self.put("\\a"),
                '\u{8}' => self.put("\\b"),
                '\t' => self.put("\\t"),
                '\n' => self.put("\\n"),
                '\u{b}' => self.put("\\v"),
                '\u{c}' => self.put("\\f"),
                '\r' => self.put("\\r"),
                '\u{1b}' => self.put("\\e"),
                '\u{85}' => self.put("\\N"),
                '\u{a0}' => self.put("\\_"),
                '\u{2028}' => self.put("\\L"),
                '\u{2029}' => self.put("\\P"),
                printable if is_printable(*printable) && *printable != '\u{feff}' => {
                    self.put_char(*printable);
                }
                other => {
                    let code = u32::from(*other);
                    self.put(&match code {
                        0..=0xff => format!("\\x{code:02X}"),
                        0x100..=0xffff => format!("\\u{code:04X}"),
                        _ => format!("\\U{code:08X}"),
                    });
                }
            }
        }
        self.put("\"");
    }

    fn literal(&mut self, text: &str, context: Context) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        if !text.ends_with('\n') {
            self.put("-");
        } else if text.ends_with("\n\n") || text == "\n" {
            self.put("+");
        }
        let body = text.strip_suffix('\n').unwrap_or(text);
        for line in body.split('\n') {
            self.line_break();
            if !line.is_empty() {
                self.indent(context.indent);
                self.put(line);
            }
        }
    }
}

/// Which styles a string may be written in.
struct Facts {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Facts {
    fn of(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let at = |index: usize| characters.get(index).copied();
        let blank = |index: usize| {
            at(index).is_none_or(|next| next == ' ' || next == '\t' || is_break(next))
        };
        let indicator = text.starts_with("---")
            || text.starts_with("...")
            || characters
                .iter()
                .enumerate()
                .any(|(index, character)| match character {
                    ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                    | '%' | '@' | '`' => index == 0,
                    '-' | '?' => index == 0 && blank(1),
                    ':' => blank(index + 1),
                    '#' => index == 0 || blank(index - 1),
                    _ => false,
                });
        let pair = |first: fn(char) -> bool, second: fn(char) -> bool| {
            characters
                .windows(2)
                .any(|pair| first(pair[0]) && second(pair[1]))
        };
        let special = characters.iter().any(|character| !is_printable(*character));
        let multiline = characters.iter().any(|character| is_break(*character));
        let trailing_space = text.ends_with(' ');
        let space_break = pair(|one| one == ' ', is_break);
        let break_space = pair(is_break, |other| other == ' ');
        Self {
            plain: !indicator
                && !special
                && !multiline
                && !trailing_space
                && !text.starts_with(' '),
            single: !special && !multiline && !space_break && !break_space,
            literal: !special && !trailing_space && !space_break,
        }
    }
}

const fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

const fn is_printable(character: char) -> bool {
    matches!(character,
        '\n' | '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => float_text(value),
        _ => number.to_string(),
    }
}

/// The shortest text that reads back as the number, with an exponent only for very large and very small ones.
fn float_text(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// The order of keys: letters after everything else, runs of digits by their value.
fn natural(a: &str, b: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for index in 0..left.len().min(right.len()) {
        let (one, other) = (left[index], right[index]);
        if one == other {
            continue;
        }
        match (one.is_alphabetic(), other.is_alphabetic()) {
            (true, true) => return one.cmp(&other),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        // Zeros inside a number count as digits of it, leading ones do not.
        let inside = (one == '0' || other == '0')
            && left[..index]
                .iter()
                .rev()
                .take_while(|before| before.is_ascii_digit())
                .any(|before| *before != '0');
        let run = |characters: &[char]| {
            let digits = characters[index..]
                .iter()
                .take_while(|next| next.is_ascii_digit());
            digits.fold((u64::from(inside), 0usize), |(value, count), digit| {
                let digit = u64::from(digit.to_digit(10).unwrap_or(0));
                (value.saturating_mul(10).saturating_add(digit), count + 1)
            })
        };
        return run(&left).cmp(&run(&right)).then(one.cmp(&other));
    }
    left.len().cmp(&right.len())
}

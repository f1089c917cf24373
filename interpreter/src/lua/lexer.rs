//! Tokens of a script.

use super::ScriptError;

/// What a token is. Names, numbers and strings are looked up in the source by their span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    /// A quoted string whose content has no escape that means something else to the engine, or a long string.
    Text,
    Keyword(&'static str),
    /// An operator or a bracket.
    Symbol(&'static str),
    End,
}

/// A token with its place in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) line: u32,
}

const KEYWORDS: &[&str] = &[
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// Longest first, so that the first that fits is the right one.
const SYMBOLS: &[&str] = &[
    "...", "..", "==", "~=", "<=", ">=", "::", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=",
    "(", ")", "{", "}", "[", "]", ";", ":", ",", ".",
];

/// Reads tokens from a script.
pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    /// Backslashes that the dialect ignores and the engine refuses, by their offset.
    pub(super) stray_escapes: Vec<usize>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self {
            source,
            at: 0,
            line: 1,
            stray_escapes: Vec::new(),
        }
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn byte(&self, offset: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + offset).copied()
    }

    fn error(&self, message: impl Into<String>) -> ScriptError {
        ScriptError::at(self.line, message)
    }

    pub(super) fn next_token(&mut self) -> Result<Token, ScriptError> {
        self.skip_blanks()?;
        let (start, line) = (self.at, self.line);
        let kind = match self.byte(0) {
            None => Kind::End,
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => self.word(),
            Some(byte) if byte.is_ascii_digit() => self.number()?,
            Some(b'.') if self.byte(1).is_some_and(|byte| byte.is_ascii_digit()) => {
                self.number()?
            }
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote)?,
            Some(b'[') if self.long_bracket().is_some() => {
                self.long_string("string")?;
                Kind::Text
            }
            Some(_) => self.symbol()?,
        };
        Ok(Token {
            kind,
            start,
            end: self.at,
            line,
        })
    }

    fn skip_blanks(&mut self) -> Result<(), ScriptError> {
        loop {
            match self.byte(0) {
                Some(b'\n') => {
                    self.line += 1;
                    self.at += 1;
                }
                Some(b' ' | b'\t' | b'\r' | 0x0b | 0x0c) => self.at += 1,
                Some(b'-') if self.byte(1) == Some(b'-') => {
                    self.at += 2;
                    if self.byte(0) == Some(b'[') && self.long_bracket().is_some() {
                        self.long_string("comment")?;
                    } else {
                        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn word(&mut self) -> Kind {
        let length = self
            .rest()
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        let word = &self.rest()[..length];
        self.at += length;
        KEYWORDS
            .iter()
            .find(|keyword| **keyword == word)
            .map_or(Kind::Name, |keyword| Kind::Keyword(keyword))
    }

    fn number(&mut self) -> Result<Kind, ScriptError> {
        let start = self.at;
        let is_hexadecimal =
            self.byte(0) == Some(b'0') && matches!(self.byte(1), Some(b'x' | b'X'));
        while let Some(byte) = self.byte(0) {
            let is_sign = matches!(byte, b'+' | b'-');
            let after_exponent = !is_hexadecimal
                && self.at > start
                && matches!(self.source.as_bytes()[self.at - 1], b'e' | b'E');
            if byte.is_ascii_alphanumeric()
                || byte == b'.'
                || byte == b'_'
                || (is_sign && after_exponent)
            {
                self.at += 1;
            } else {
                break;
            }
        }
        let text = &self.source[start..self.at];
        let is_valid = if is_hexadecimal {
            text.len() > 2 && text[2..].bytes().all(|byte| byte.is_ascii_hexdigit())
        } else {
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
                && text.parse::<f64>().is_ok()
        };
        if is_valid {
            Ok(Kind::Number)
        } else {
            Err(self.error(format!("malformed number near `{text}`")))
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Kind, ScriptError> {
        let opened_at = self.line;
        self.at += 1;
        loop {
            match self.byte(0) {
                None | Some(b'\n' | b'\r') => {
                    return Err(ScriptError::at(opened_at, "unfinished string"));
                }
                Some(b'\\') => self.escape()?,
                Some(byte) => {
                    self.at += 1;
                    if byte == quote {
                        return Ok(Kind::Text);
                    }
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), ScriptError> {
        match self.byte(1) {
            Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' | b'"' | b'\'') => {
                self.at += 2;
            }
            Some(b'\n') => {
                self.line += 1;
                self.at += 2;
            }
            Some(b'\r') => {
                self.at += 2;
                if self.byte(0) == Some(b'\n') {
                    self.line += 1;
                    self.at += 1;
                }
            }
            Some(byte) if byte.is_ascii_digit() => {
                let digits = self
                    .rest()
                    .bytes()
                    .skip(1)
                    .take(3)
                    .take_while(u8::is_ascii_digit)
                    .count();
                let code = &self.rest()[1..=digits];
                if code.parse::<u8>().is_err() {
                    return Err(self.error(format!("escape \\{code} is too large")));
                }
                self.at += 1 + digits;
            }
            // The dialect takes the character for itself.
            Some(_) => {
                self.stray_escapes.push(self.at);
                self.at += 1;
            }
            None => self.at += 1,
        }
        Ok(())
    }

    /// The number of `=` in a long bracket that opens here.
    fn long_bracket(&self) -> Option<usize> {
        let level = self
            .rest()
            .bytes()
            .skip(1)
            .take_while(|byte| *byte == b'=')
            .count();
        (self.byte(level + 1) == Some(b'[')).then_some(level)
    }

    fn long_string(&mut self, what: &str) -> Result<(), ScriptError> {
        let level = self.long_bracket().unwrap_or_default();
        let closing = format!("]{}]", "=".repeat(level));
        let body = self.at + level + 2;
        let Some(length) = self.source[body..].find(&closing) else {
            return Err(self.error(format!("unfinished long {what}")));
        };
        let end = body + length + closing.len();
        let lines = self.source[self.at..end]
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count();
        self.line = self
            .line
            .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.at = end;
        Ok(())
    }

    fn symbol(&mut self) -> Result<Kind, ScriptError> {
        let Some(symbol) = SYMBOLS
            .iter()
            .find(|symbol| self.rest().starts_with(**symbol))
        else {
            let unexpected = self.rest().chars().next().unwrap_or_default();
            return Err(self.error(format!("unexpected character {unexpected:?}")));
        };
        self.at += symbol.len();
        Ok(Kind::Symbol(symbol))
    }
}

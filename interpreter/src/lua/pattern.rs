//! Lua patterns over bytes, with a check that a search which takes too long is stopped.

use std::ops::Range;

/// Nesting of the matcher; each step into a group or a repetition is one.
const MAX_DEPTH: u32 = 200;
const MAX_CAPTURES: usize = 32;
/// A search asks whether it is stopped every so many steps.
pub(super) const STEPS_OF_LOOK: u32 = 4096;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PatternError {
    /// The pattern is malformed.
    Malformed(&'static str),
    /// The search was stopped from outside.
    Stopped,
}

/// What a pattern remembers of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Capture {
    Text(Range<usize>),
    /// `()`: a place, from 0.
    Position(usize),
}

/// A match and its captures; without any, the whole match is the one capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) range: Range<usize>,
    pub(super) captures: Vec<Capture>,
}

/// Whether the pattern is plain text.
pub(super) fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| b"^$*+?.()[%-".contains(byte))
}

/// The first match at or after `from`. `is_stopped` is asked now and then. A malformed pattern fails whatever the text is.
pub(super) fn find(
    text: &[u8],
    pattern: &[u8],
    from: usize,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Option<Match>, PatternError> {
    let (anchored, pattern) = match pattern.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut matcher = Matcher {
        text,
        pattern,
        open: Vec::new(),
        depth: 0,
        steps: 0,
        is_stopped,
    };
    matcher.check()?;
    for start in from..=text.len() {
        matcher.open.clear();
        if let Some(end) = matcher.run(start, 0)? {
            return Ok(Some(Match {
                range: start..end,
                captures: matcher.captures()?,
            }));
        }
        if anchored {
            break;
        }
    }
    Ok(None)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Open,
    Closed(usize),
    Position,
}

struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    open: Vec<(usize, Length)>,
    depth: u32,
    steps: u32,
    is_stopped: &'a dyn Fn() -> bool,
}

type Answer<T> = Result<T, PatternError>;

impl Matcher<'_> {
    fn captures(&self) -> Answer<Vec<Capture>> {
        let capture = |&(start, length): &(usize, Length)| match length {
            Length::Closed(length) => Ok(Capture::Text(start..start + length)),
            Length::Position => Ok(Capture::Position(start)),
            Length::Open => Err(PatternError::Malformed("unfinished capture")),
        };
        self.open.iter().map(capture).collect()
    }

    fn step(&mut self) -> Answer<()> {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(STEPS_OF_LOOK) && (self.is_stopped)() {
            Err(PatternError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Fails if the pattern is malformed. What back references refer to shows in the search only.
    fn check(&self) -> Answer<()> {
        let (mut at, mut captures, mut open) = (0, 0, 0_usize);
        while let Some(byte) = self.pattern.get(at) {
            at = match (byte, self.pattern.get(at + 1)) {
                (b'(', _) => {
                    captures += 1;
                    open += 1;
                    at + 1
                }
                (b')', _) => {
                    open = open
                        .checked_sub(1)
                        .ok_or(PatternError::Malformed("invalid pattern capture"))?;
                    at + 1
                }
                (b'%', Some(b'b')) if self.pattern.len() < at + 4 => {
                    return Err(PatternError::Malformed("unbalanced pattern"));
                }
                (b'%', Some(b'b')) => at + 4,
                (b'%', Some(b'f')) if self.pattern.get(at + 2) != Some(&b'[') => {
                    return Err(PatternError::Malformed("missing '[' after '%f' in pattern"));
                }
                _ => self.class_end(at)?,
            };
        }
        if captures > MAX_CAPTURES {
            Err(PatternError::Malformed("too many captures"))
        } else if open > 0 {
            Err(PatternError::Malformed("unfinished capture"))
        } else {
            Ok(())
        }
    }

    /// Matches the pattern from `at` with the text from `from`; returns where the match ends.
    fn run(&mut self, from: usize, at: usize) -> Answer<Option<usize>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PatternError::Malformed("pattern too complex"));
        }
        let answer = self.run_items(from, at);
        self.depth -= 1;
        answer
    }

    fn run_items(&mut self, mut from: usize, mut at: usize) -> Answer<Option<usize>> {
        loop {
            self.step()?;
            let Some(&byte) = self.pattern.get(at) else {
                return Ok(Some(from));
            };
            match (byte, self.pattern.get(at + 1)) {
                (b'(', Some(b')')) => return self.open_capture(from, at + 2, Length::Position),
                (b'(', _) => return self.open_capture(from, at + 1, Length::Open),
                (b')', _) => return self.close_capture(from, at + 1),
                (b'$', None) => return Ok((from == self.text.len()).then_some(from)),
                (b'%', Some(b'b')) => match self.balanced(from, at + 2)? {
                    Some(end) => (from, at) = (end, at + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => match self.frontier(from, at + 2)? {
                    Some(next) => at = next,
                    None => return Ok(None),
                },
                (b'%', Some(digit)) if digit.is_ascii_digit() => {
                    match self.back_reference(from, *digit)? {
                        Some(end) => (from, at) = (end, at + 2),
                        None => return Ok(None),
                    }
                }
                _ => {
                    let end = self.class_end(at)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if self.single(from, at, end)
                                && let Some(found) = self.run(from + 1, end + 1)?
                            {
                                return Ok(Some(found));
                            }
                            at = end + 1;
                        }
                        Some(b'+') => {
                            return if self.single(from, at, end) {
                                self.longest(from + 1, at, end)
                            } else {
                                Ok(None)
                            };
                        }
                        Some(b'*') => return self.longest(from, at, end),
                        Some(b'-') => return self.shortest(from, at, end),
                        _ if self.single(from, at, end) => (from, at) = (from + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    fn longest(&mut self, from: usize, at: usize, end: usize) -> Answer<Option<usize>> {
        let mut count = 0;
        while self.single(from + count, at, end) {
            self.step()?;
            count += 1;
        }
        loop {
            if let Some(found) = self.run(from + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn shortest(&mut self, mut from: usize, at: usize, end: usize) -> Answer<Option<usize>> {
        loop {
            if let Some(found) = self.run(from, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(from, at, end) {
                return Ok(None);
            }
            from += 1;
        }
    }

    fn open_capture(&mut self, from: usize, at: usize, length: Length) -> Answer<Option<usize>> {
        if self.open.len() >= MAX_CAPTURES {
            return Err(PatternError::Malformed("too many captures"));
        }
        self.open.push((from, length));
        let depth = self.open.len();
        let found = self.run(from, at)?;
        if found.is_none() {
            self.open.truncate(depth - 1);
        }
        Ok(found)
    }

    fn close_capture(&mut self, from: usize, at: usize) -> Answer<Option<usize>> {
        let Some(index) = self
            .open
            .iter()
            .rposition(|(_, length)| *length == Length::Open)
        else {
            return Err(PatternError::Malformed("invalid pattern capture"));
        };
        self.open[index].1 = Length::Closed(from - self.open[index].0);
        let found = self.run(from, at)?;
        if found.is_none() {
            self.open[index].1 = Length::Open;
        }
        Ok(found)
    }

    fn balanced(&mut self, from: usize, at: usize) -> Answer<Option<usize>> {
        let (Some(&open), Some(&close)) = (self.pattern.get(at), self.pattern.get(at + 1)) else {
            return Err(PatternError::Malformed("unbalanced pattern"));
        };
        if self.text.get(from) != Some(&open) {
            return Ok(None);
        }
        let mut level = 1;
        let text = self.text;
        for (offset, byte) in text[from + 1..].iter().enumerate() {
            self.step()?;
            if *byte == close {
                level -= 1;
                if level == 0 {
                    return Ok(Some(from + offset + 2));
                }
            } else if *byte == open {
                level += 1;
            }
        }
        Ok(None)
    }

    /// Where the pattern goes on, if the text changes into the set here.
    fn frontier(&mut self, from: usize, at: usize) -> Answer<Option<usize>> {
        if self.pattern.get(at) != Some(&b'[') {
            return Err(PatternError::Malformed("missing '[' after '%f' in pattern"));
        }
        let end = self.class_end(at)?;
        let before = if from == 0 { 0 } else { self.text[from - 1] };
        let here = self.text.get(from).copied().unwrap_or_default();
        let is_edge = !self.in_set(before, at, end - 1) && self.in_set(here, at, end - 1);
        Ok(is_edge.then_some(end))
    }

    fn back_reference(&mut self, from: usize, digit: u8) -> Answer<Option<usize>> {
        let index = usize::from(digit).checked_sub(usize::from(b'1'));
        let Some(&(start, Length::Closed(length))) = index.and_then(|index| self.open.get(index))
        else {
            return Err(PatternError::Malformed("invalid capture index"));
        };
        let found = self.text[from..].starts_with(&self.text[start..start + length]);
        Ok(found.then_some(from + length))
    }

    /// The end of the single-character class that begins at `at`.
    fn class_end(&self, at: usize) -> Answer<usize> {
        match self.pattern[at] {
            b'%' if at + 1 >= self.pattern.len() => {
                Err(PatternError::Malformed("malformed pattern (ends with '%')"))
            }
            b'%' => Ok(at + 2),
            b'[' => {
                let mut next = at + 1;
                if self.pattern.get(next) == Some(&b'^') {
                    next += 1;
                }
                loop {
                    let Some(byte) = self.pattern.get(next) else {
                        return Err(PatternError::Malformed("malformed pattern (missing ']')"));
                    };
                    next += if *byte == b'%' { 2 } else { 1 };
                    // The first character of a set is never its end.
                    if self.pattern.get(next) == Some(&b']') {
                        return Ok(next + 1);
                    }
                }
            }
            _ => Ok(at + 1),
        }
    }

    fn single(&self, from: usize, at: usize, end: usize) -> bool {
        let Some(&byte) = self.text.get(from) else {
            return false;
        };
        match self.pattern[at] {
            b'.' => true,
            b'%' => is_in_class(byte, self.pattern[at + 1]),
            b'[' => self.in_set(byte, at, end - 1),
            literal => literal == byte,
        }
    }

    /// Whether a byte is in the set from the bracket at `at` to the one at `close`.
    fn in_set(&self, byte: u8, at: usize, close: usize) -> bool {
        let mut next = at + 1;
        let negated = self.pattern.get(next) == Some(&b'^');
        if negated {
            next += 1;
        }
        while next < close {
            let item = self.pattern[next];
            if item == b'%' && next + 1 < close {
                if is_in_class(byte, self.pattern[next + 1]) {
                    return !negated;
                }
                next += 2;
            } else if self.pattern.get(next + 1) == Some(&b'-') && next + 2 < close {
                if (item..=self.pattern[next + 2]).contains(&byte) {
                    return !negated;
                }
                next += 3;
            } else {
                if item == byte {
                    return !negated;
                }
                next += 1;
            }
        }
        negated
    }
}

fn is_in_class(byte: u8, class: u8) -> bool {
    let found = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    found != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str, pattern: &str) -> Result<Option<Vec<String>>, PatternError> {
        let found = find(text.as_bytes(), pattern.as_bytes(), 0, &|| false)?;
        Ok(found.map(|found| {
            let print = |capture: &Capture| match capture {
                Capture::Text(range) => text[range.clone()].to_owned(),
                Capture::Position(at) => format!("@{at}"),
            };
            let whole = std::iter::once(text[found.range.clone()].to_owned());
            whole.chain(found.captures.iter().map(print)).collect()
        }))
    }

    #[track_caller]
    fn check(text: &str, pattern: &str, expected: Option<&[&str]>) {
        let expected = expected.map(|it| it.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(texts(text, pattern), Ok(expected), "{text} {pattern}");
    }

    #[test]
    fn patterns() {
        check("hello world", "o w", Some(&["o w"]));
        check("hello", "l+", Some(&["ll"]));
        check("hello", "xyz", None);
        check("key=val", "(%w+)=(%w+)", Some(&["key=val", "key", "val"]));
        check(
            "2024-01-02",
            "(%d+)-(%d+)-(%d+)",
            Some(&["2024-01-02", "2024", "01", "02"]),
        );
        check("  trim  ", "^%s*(.-)%s*$", Some(&["  trim  ", "trim"]));
        check("f(a(b)c)d", "%b()", Some(&["(a(b)c)"]));
        check("THE (quick) fox", "%f[%a]%a+", Some(&["THE"]));
        check("abc", "()b()", Some(&["b", "@1", "@2"]));
        check("abcabc", "(abc)%1", Some(&["abcabc", "abc"]));
        check("a]b", "[]]", Some(&["]"]));
        check("a-b", "[a%-]+", Some(&["a-"]));
        check("x^y", "[%^]", Some(&["^"]));
        check("ab12", "[^%a]+", Some(&["12"]));
        check("abc", "b?c", Some(&["bc"]));
        check("abc", "^b", None);
        check("a.b", "%.", Some(&["."]));
        check("", "", Some(&[""]));
        check("aaa", "a-$", Some(&["aaa"]));
        check("foo.bar", "^(.-)%.(.*)$", Some(&["foo.bar", "foo", "bar"]));
    }

    #[test]
    fn malformed_patterns() {
        for (pattern, message) in [
            ("[a", "malformed pattern (missing ']')"),
            ("%", "malformed pattern (ends with '%')"),
            ("(a", "unfinished capture"),
            ("a)", "invalid pattern capture"),
            ("%1", "invalid capture index"),
            ("%f", "missing '[' after '%f' in pattern"),
            ("%b", "unbalanced pattern"),
        ] {
            assert_eq!(
                texts("a", pattern),
                Err(PatternError::Malformed(message)),
                "{pattern}"
            );
        }
        assert_eq!(
            texts("a", &"(".repeat(40)),
            Err(PatternError::Malformed("too many captures"))
        );
        // Also where a search would not get so far.
        for pattern in [
            "b[a", "b%", "b(a", "ba)", "b%f", "b%bx", "(b))", "b[]", "b%f[a",
        ] {
            let found = texts("a", pattern);
            assert!(
                matches!(found, Err(PatternError::Malformed(_))),
                "{pattern}: {found:?}"
            );
        }
        for pattern in [
            "b[)]", "b%)", "b[](]", "b%b()", "b%f[(]", "b]", "b()", "((b))",
        ] {
            assert_eq!(texts("a", pattern), Ok(None), "{pattern}");
        }
    }

    #[test]
    fn endless_searches_are_stopped() {
        let text = "a".repeat(10_000);
        let answer = find(text.as_bytes(), b".-.-.-.-.-.-b", 0, &|| true);
        assert_eq!(answer, Err(PatternError::Stopped));
    }

    proptest! {
        #[test]
        fn any_pattern_is_answered(text in "[ab()]{0,8}", pattern in "[ab%()\\[\\]^$*+?.1fbw-]{0,8}") {
            let _ = find(text.as_bytes(), pattern.as_bytes(), 0, &|| false);
        }
    }
}

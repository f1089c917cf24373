//! `string.format`.

use super::number;

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    Number(f64),
    Text(Vec<u8>),
}

/// Results longer than this are refused.
const MAX_LENGTH: usize = 4 << 20;

/// Flags, width and precision of one directive.
#[derive(Debug, Default, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags as they stand in the directive"
)]
struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    sharp: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// Formats; surplus arguments are ignored, and a directive without argument says so in the text.
pub(super) fn format(template: &[u8], arguments: &[Argument]) -> Result<Vec<u8>, String> {
    let mut output = Vec::with_capacity(template.len() + 16);
    let mut arguments = arguments.iter();
    let mut at = 0;
    while at < template.len() {
        if template[at] != b'%' {
            output.push(template[at]);
            at += 1;
            continue;
        }
        let (spec, after) = Spec::read(template, at + 1)?;
        let Some(&verb) = template.get(after) else {
            output.extend(b"%!(NOVERB)");
            break;
        };
        at = after + 1;
        if verb == b'%' {
            output.push(b'%');
            continue;
        }
        match arguments.next() {
            Some(argument) => spec.write(verb, argument, &mut output)?,
            None => output.extend(format!("%!{}(MISSING)", char::from(verb)).bytes()),
        }
        if output.len() > MAX_LENGTH {
            return Err("the result of format is too long".to_owned());
        }
    }
    Ok(output)
}

impl Spec {
    fn read(template: &[u8], mut at: usize) -> Result<(Self, usize), String> {
        let mut spec = Self::default();
        loop {
            match template.get(at) {
                Some(b'-') => spec.left = true,
                Some(b'+') => spec.plus = true,
                Some(b' ') => spec.space = true,
                Some(b'#') => spec.sharp = true,
                Some(b'0') => spec.zero = true,
                _ => break,
            }
            at += 1;
        }
        let number = |at: &mut usize| -> Result<usize, String> {
            let digits = template[*at..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let text: String = template[*at..*at + digits]
                .iter()
                .map(|byte| char::from(*byte))
                .collect();
            *at += digits;
            match text.parse() {
                Ok(number @ 0..=999) => Ok(number),
                _ if text.is_empty() => Ok(0),
                _ => Err("invalid format (width or precision too long)".to_owned()),
            }
        };
        spec.width = number(&mut at)?;
        if template.get(at) == Some(&b'.') {
            at += 1;
            spec.precision = Some(number(&mut at)?);
        }
        Ok((spec, at))
    }

    fn write(self, verb: u8, argument: &Argument, output: &mut Vec<u8>) -> Result<(), String> {
        match verb {
            b'd' | b'i' => self.integer(argument, 10, false, output),
            b'x' => self.integer(argument, 16, false, output),
            b'X' => self.integer(argument, 16, true, output),
            b'o' => self.integer(argument, 8, false, output),
            b'c' => {
                let code = integer_of(argument)?;
                let character = u32::try_from(code)
                    .ok()
                    .and_then(char::from_u32)
                    .unwrap_or(char::REPLACEMENT_CHARACTER);
                self.pad(character.to_string().as_bytes(), output);
                Ok(())
            }
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => {
                let text = self.float(verb, number_of(argument)?);
                self.pad_number(&text, output);
                Ok(())
            }
            b's' | b'v' => {
                let text = text_of(argument);
                let kept = self
                    .precision
                    .map_or(text.len(), |precision| prefix_length(&text, precision));
                self.pad(&text[..kept], output);
                Ok(())
            }
            b'q' => {
                self.pad(&quoted(&text_of(argument)), output);
                Ok(())
            }
            other => Err(format!(
                "invalid option '%{}' to 'format'",
                char::from(other)
            )),
        }
    }

    fn integer(
        self,
        argument: &Argument,
        base: u32,
        upper: bool,
        output: &mut Vec<u8>,
    ) -> Result<(), String> {
        let number = integer_of(argument)?;
        let magnitude = number.unsigned_abs();
        let mut digits = match base {
            8 => format!("{magnitude:o}"),
            16 if upper => format!("{magnitude:X}"),
            16 => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        if let Some(precision) = self.precision {
            digits = format!(
                "{}{digits}",
                "0".repeat(precision.saturating_sub(digits.len()))
            );
        }
        let prefix = match (self.sharp, base) {
            (true, 16) if upper => "0X",
            (true, 16) => "0x",
            (true, 8) => "0",
            _ => "",
        };
        let spec = Self {
            zero: self.zero && self.precision.is_none(),
            ..self
        };
        spec.pad_number(
            &format!("{}{prefix}{digits}", if number < 0 { "-" } else { "" }),
            output,
        );
        Ok(())
    }

    fn float(self, verb: u8, number: f64) -> String {
        if !number.is_finite() {
            return number::shortest(number);
        }
        let scientific = |precision: usize| -> String {
            let text = format!("{number:.precision$e}");
            match text.split_once('e') {
                Some((digits, exponent)) => {
                    format!(
                        "{digits}e{}",
                        number::exponent_text(exponent.parse().unwrap_or_default())
                    )
                }
                None => text,
            }
        };
        let text = match verb {
            b'e' | b'E' => scientific(self.precision.unwrap_or(6)),
            b'f' | b'F' => format!("{number:.*}", self.precision.unwrap_or(6)),
            _ => match self.precision {
                None => number::shortest(number),
                Some(precision) => {
                    let precision = precision.max(1);
                    let text = scientific(precision - 1);
                    let exponent = text
                        .split_once('e')
                        .and_then(|(_, exponent)| exponent.parse::<i32>().ok())
                        .unwrap_or_default();
                    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
                    if (-4..limit).contains(&exponent) {
                        let decimals = usize::try_from(limit - 1 - exponent).unwrap_or_default();
                        without_trailing_zeros(&format!("{number:.decimals$}")).to_owned()
                    } else {
                        match text.split_once('e') {
                            Some((digits, exponent)) => {
                                format!("{}e{exponent}", without_trailing_zeros(digits))
                            }
                            None => text,
                        }
                    }
                }
            },
        };
        if verb.is_ascii_uppercase() {
            text.to_ascii_uppercase()
        } else {
            text
        }
    }

    /// Pads text with blanks.
    fn pad(self, text: &[u8], output: &mut Vec<u8>) {
        let length = String::from_utf8_lossy(text).chars().count();
        let padding = self.width.saturating_sub(length);
        if !self.left {
            output.extend(std::iter::repeat_n(b' ', padding));
        }
        output.extend(text);
        if self.left {
            output.extend(std::iter::repeat_n(b' ', padding));
        }
    }

    /// Pads a number, with zeros behind its sign if so asked.
    fn pad_number(self, text: &str, output: &mut Vec<u8>) {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (&text[..1], digits),
            None if self.plus => ("+", text),
            None if self.space => (" ", text),
            None => ("", text),
        };
        if self.zero && !self.left {
            let zeros = self.width.saturating_sub(sign.len() + digits.len());
            output.extend(
                sign.bytes()
                    .chain(std::iter::repeat_n(b'0', zeros))
                    .chain(digits.bytes()),
            );
        } else {
            self.pad(format!("{sign}{digits}").as_bytes(), output);
        }
    }
}

fn without_trailing_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

fn number_of(argument: &Argument) -> Result<f64, String> {
    let number = match argument {
        Argument::Number(number) => Some(*number),
        Argument::Text(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim().parse().ok()),
    };
    number.ok_or_else(|| "bad argument to 'format' (number expected)".to_owned())
}

fn integer_of(argument: &Argument) -> Result<i64, String> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the dialect truncates, and a cast saturates"
    )]
    number_of(argument).map(|number| number as i64)
}

fn text_of(argument: &Argument) -> Vec<u8> {
    match argument {
        Argument::Number(number) => number::print(*number).into_bytes(),
        Argument::Text(text) => text.clone(),
    }
}

/// The length in bytes of the first characters.
fn prefix_length(text: &[u8], characters: usize) -> usize {
    match std::str::from_utf8(text) {
        Ok(text) => text
            .char_indices()
            .nth(characters)
            .map_or(text.len(), |(at, _)| at),
        Err(_) => text.len().min(characters),
    }
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut output = vec![b'"'];
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => output.extend([b'\\', character as u8]),
                '\n' => output.extend(b"\\n"),
                '\r' => output.extend(b"\\r"),
                '\t' => output.extend(b"\\t"),
                _ if character.is_ascii_control() => {
                    output.extend(format!("\\x{:02x}", character as u32).bytes());
                }
                _ => output.extend(character.to_string().bytes()),
            }
        }
        for byte in chunk.invalid() {
            output.extend(format!("\\x{byte:02x}").bytes());
        }
    }
    output.push(b'"');
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: f64) -> Argument {
        Argument::Number(number)
    }

    fn text(text: &str) -> Argument {
        Argument::Text(text.as_bytes().to_vec())
    }

    #[track_caller]
    fn check(template: &str, arguments: &[Argument], expected: &str) {
        let output = format(template.as_bytes(), arguments)
            .map(|it| String::from_utf8_lossy(&it).into_owned());
        assert_eq!(output.as_deref(), Ok(expected), "{template}");
    }

    #[test]
    fn directives() {
        check(
            "%d %i|%5d|%-5d|%05d|%+d",
            &[3.7, -3.7, 3.0, 3.0, -3.0, 3.0].map(number),
            "3 -3|    3|3    |-0003|+3",
        );
        check(
            "%x %X %o %#x %x",
            &[255.0, 255.0, 8.0, 255.0, -255.0].map(number),
            "ff FF 10 0xff -ff",
        );
        check(
            "%5.2f|%f|%.3f|%.0f|%05.1f",
            &[1.5, 1.0 / 3.0, 2.0 / 3.0, 2.5, 2.25].map(number),
            " 1.50|0.333333|0.667|2|002.2",
        );
        check(
            "%e %E %e",
            &[1.5, 1.5, 12345.678].map(number),
            "1.500000e+00 1.500000E+00 1.234568e+04",
        );
        check(
            "%g %g %g %G %.3g %.10g",
            &[100_000.0, 1e15, 1e-4, 1e-10, 1_234_567.5, 1.0 / 3.0].map(number),
            "100000 1e+15 0.0001 1E-10 1.23e+06 0.3333333333",
        );
        check(
            "%10s|%-10s|%.2s|%s",
            &[text("a"), text("b"), text("abc"), number(5.0)],
            "         a|b         |ab|5",
        );
        check("%q", &[text("a\"b\n\u{1}é\\")], "\"a\\\"b\\n\\x01é\\\\\"");
        check("%c%c", &[65.0, f64::from(0x4e2d)].map(number), "A中");
        check("%d%%", &[text("10")], "10%");
        check("no args", &[number(1.0)], "no args");
        check("a %s %s", &[text("b")], "a b %!s(MISSING)");
        check("a%", &[], "a%!(NOVERB)");
    }

    #[test]
    fn refusals() {
        assert!(format(b"%d", &[text("x")]).is_err());
        assert!(format(b"%9999d", &[number(1.0)]).is_err());
        assert!(format(b"%z", &[number(1.0)]).is_err());
        let long = Argument::Text(vec![b'x'; 1 << 20]);
        assert!(format(&b"%s".repeat(10), &vec![long; 10]).is_err());
    }
}

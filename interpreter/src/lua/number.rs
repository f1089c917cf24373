//! Numbers as text, the way the dialect prints and reads them.

/// Prints a number: an integral one without fraction and exponent, any other in its shortest form.
pub(super) fn print(number: f64) -> String {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range has been checked"
        )]
        return (number as i64).to_string();
    }
    shortest(number)
}

/// The shortest digits that read back as the number; with an exponent when it is below -4 or above 5.
pub(super) fn shortest(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        format!("{number}")
    } else {
        format!("{digits}e{}", exponent_text(exponent))
    }
}

/// An exponent with its sign and two digits or more.
pub(super) fn exponent_text(exponent: i32) -> String {
    format!(
        "{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.unsigned_abs()
    )
}

/// Reads a number: with a point as a float, otherwise wholly as an integer, decimal, `0x…`, or of the base.
pub(super) fn read(text: &str, base: Option<u32>) -> Option<f64> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    if text.contains('.') {
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
        return text.parse().ok().filter(|_| is_plain);
    }
    let (digits, base) = match base {
        None | Some(16) => match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) if !digits.starts_with(['+', '-']) => (digits, 16),
            Some(_) => return None,
            None => (text, base.unwrap_or(10)),
        },
        Some(base) => (text, base),
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "all numbers of the dialect are floats"
    )]
    i64::from_str_radix(digits, base)
        .ok()
        .map(|number| number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed() {
        for (number, text) in [
            (5.0, "5"),
            (-0.0, "0"),
            (1e15, "1000000000000000"),
            (1e18, "1000000000000000000"),
            (1.0 / 3.0, "0.3333333333333333"),
            (123_456.5, "123456.5"),
            (1_234_567.5, "1.2345675e+06"),
            (1e20, "1e+20"),
            (1e-4, "0.0001"),
            (1.234e-5, "1.234e-05"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(print(number), text);
        }
    }

    #[test]
    fn read_back() {
        for (text, number) in [
            (" 10 ", Some(10.0)),
            ("-5", Some(-5.0)),
            ("+5", Some(5.0)),
            ("010", Some(10.0)),
            ("0x1f", Some(31.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1.5e3", Some(1500.0)),
            ("1e3", None),
            ("0x", None),
            ("-0x10", None),
            ("0x1.8", None),
            ("1_000", None),
            ("1 2", None),
            ("inf", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(read(text, None), number, "{text}");
        }
        assert_eq!(
            (read("z", Some(36)), read("10", Some(2)), read("8", Some(8))),
            (Some(35.0), Some(2.0), None)
        );
    }
}

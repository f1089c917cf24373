//! Kubernetes quantities: parsing, sums, comparison and the canonical spelling.
//!
//! A quantity is a decimal number with a suffix: binary (`Ki` … `Ei`), decimal (`n` … `E`) or a decimal exponent (`e3`).
//! The canonical spelling keeps the family of the suffix, has no fraction, and uses the largest suffix that loses no digit.
//!
//! ```
//! # use navarch_interpreter as interpreter;
//! use interpreter::quantity::Quantity;
//!
//! assert_eq!("0.5Gi".parse::<Quantity>()?.to_string(), "512Mi");
//! assert_eq!("1.5".parse::<Quantity>()?.to_string(), "1500m");
//! let sum: Quantity = ["1Gi", "512Mi"].iter().map(|it| it.parse::<Quantity>()).sum::<Result<_, _>>()?;
//! assert_eq!(sum.to_string(), "1536Mi");
//! # Ok::<(), interpreter::quantity::ParseError>(())
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;
use std::str::FromStr;

use serde_json::Value;

/// Units of the smallest step that a quantity can express: one nano.
const NANOS: i128 = 1_000_000_000;
/// The largest whole number of a quantity; larger numbers are capped here.
const MAX: i128 = i64::MAX as i128 * NANOS;

/// How a quantity is written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `1500m`, `2k`.
    #[default]
    Decimal,
    /// `512Mi`.
    Binary,
    /// `1e3`.
    Exponent,
}

/// A number of nanos with the family of its suffix. Equality and order look at the number alone.
#[derive(Debug, Default, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// The text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no quantity")]
pub struct ParseError(String);

impl Quantity {
    /// A whole number.
    pub fn whole(units: i64, format: Format) -> Self {
        Self {
            nanos: i128::from(units) * NANOS,
            format,
        }
    }

    /// A number of thousandths.
    pub fn milli(thousandths: i64, format: Format) -> Self {
        Self {
            nanos: i128::from(thousandths) * (NANOS / 1_000),
            format,
        }
    }

    /// Whether the text is a quantity.
    pub fn is_valid(text: &str) -> bool {
        split(text).is_some()
    }

    /// Reads a JSON string or number, as the API server does.
    pub fn from_json(value: &Value) -> Result<Self, ParseError> {
        match value {
            Value::String(text) => text.parse(),
            Value::Number(number) => number.to_string().parse(),
            Value::Null => Ok(Self::default()),
            other => Err(ParseError(other.to_string())),
        }
    }

    /// The number, rounded away from zero to a whole one; saturates.
    pub fn ceil(&self) -> i64 {
        divide_away_from_zero(self.nanos, NANOS)
    }

    /// The number of thousandths, rounded away from zero; saturates.
    pub fn ceil_milli(&self) -> i64 {
        divide_away_from_zero(self.nanos, NANOS / 1_000)
    }

    /// The number in base units as a float.
    #[expect(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn to_f64(&self) -> f64 {
        if self.nanos % NANOS == 0 {
            return (self.nanos / NANOS) as f64;
        }
        // One division of two exactly represented numbers rounds once; a number of nanos that is too long for that
        // goes through its decimal text, which rounds once as well.
        if self.nanos.unsigned_abs() <= 1 << 53 {
            return self.nanos as f64 / NANOS as f64;
        }
        let (whole, rest) = (self.nanos / NANOS, (self.nanos % NANOS).unsigned_abs());
        format!("{whole}.{rest:09}")
            .parse()
            .unwrap_or(self.nanos as f64 / NANOS as f64)
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    pub fn format(&self) -> Format {
        self.format
    }
}

fn divide_away_from_zero(nanos: i128, unit: i128) -> i64 {
    // A product costs far less than a second division of 128 bits.
    let down = nanos / unit;
    let quotient = if down * unit == nanos {
        down
    } else {
        down + nanos.signum()
    };
    i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// Adds; a sum that is zero so far takes over the format of what is added.
impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.nanos = self.nanos.saturating_add(other.nanos);
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::default(), |mut sum, term| {
            sum += term;
            sum
        })
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| ParseError(text.to_owned()))
    }
}

impl From<Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_string())
    }
}

impl TryFrom<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> for Quantity {
    type Error = ParseError;

    fn try_from(
        quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity,
    ) -> Result<Self, ParseError> {
        quantity.0.parse()
    }
}

/// The parts of a quantity's text.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    format: Format,
    /// The factor of the suffix is `base ^ exponent`.
    base: u32,
    exponent: i64,
}

fn split(text: &str) -> Option<Parts<'_>> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let digits_end = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = unsigned.split_at(digits_end);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (format, base, exponent) = suffix_of(suffix)?;
    Some(Parts {
        negative,
        whole,
        fraction,
        format,
        base,
        exponent,
    })
}

fn parse(text: &str) -> Option<Quantity> {
    let parts = split(text)?;
    let whole = parts.whole.trim_start_matches('0');
    let magnitude = scale(whole, parts.fraction, parts.base, parts.exponent).min(MAX);
    let format = match parts.format {
        // A fraction of one unit would lose digits in a binary spelling.
        Format::Binary if magnitude < NANOS => Format::Decimal,
        other => other,
    };
    Some(Quantity {
        nanos: if parts.negative {
            -magnitude
        } else {
            magnitude
        },
        format,
    })
}

/// The format of a suffix, and its factor as `base ^ exponent`.
fn suffix_of(suffix: &str) -> Option<(Format, u32, i64)> {
    let decimal = |exponent| Some((Format::Decimal, 10, exponent));
    let binary = |exponent| Some((Format::Binary, 2, exponent));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            Some((Format::Exponent, 10, exponent.parse().ok()?))
        }
    }
}

/// `whole.fraction * base ^ exponent` in nanos, rounded up, capped at [`MAX`].
fn scale(whole: &str, fraction: &str, base: u32, exponent: i64) -> i128 {
    let digits = || {
        whole
            .bytes()
            .chain(fraction.bytes())
            .map(|digit| i128::from(digit - b'0'))
    };
    if digits().all(|digit| digit == 0) {
        return 0;
    }
    if let Some(value) = scale_short(whole, fraction, base, exponent) {
        return value;
    }
    let fraction_len = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let whole_len = i64::try_from(whole.len()).unwrap_or(i64::MAX);
    let decimal_exponent = if base == 10 { exponent } else { 0 };
    // The place of the lowest digit, counted in nanos: digit d at place p is d * 10^p nanos.
    let lowest = decimal_exponent
        .saturating_sub(fraction_len)
        .saturating_add(9);
    if decimal_exponent.saturating_add(whole_len) > 40 {
        return MAX;
    }
    let binary = if base == 2 { 1_i128 << exponent } else { 1 };
    // Digits below the nano only decide whether to round up; a binary factor can lift them above it, so some more of
    // them are kept until it has been applied.
    let guard = if base == 2 { 20_i64 } else { 0 };
    let mut value = 0_i128;
    let mut dropped = false;
    let mut place = lowest
        .saturating_add(whole_len)
        .saturating_add(fraction_len);
    for digit in digits() {
        place -= 1;
        if place < -guard {
            dropped |= digit != 0;
            continue;
        }
        value = match value
            .checked_mul(10)
            .and_then(|value| value.checked_add(digit))
        {
            Some(value) => value,
            None => return MAX,
        };
    }
    let kept_place = place.max(-guard);
    // Splitting off the part below the nano before the multiplication keeps the product inside 128 bits.
    if kept_place >= 0 {
        let Some(power) = u32::try_from(kept_place)
            .ok()
            .and_then(|place| 10_i128.checked_pow(place))
        else {
            return MAX;
        };
        let Some(product) = value
            .checked_mul(power)
            .and_then(|value| value.checked_mul(binary))
        else {
            return MAX;
        };
        return product.saturating_add(i128::from(dropped));
    }
    let Some(divisor) = u32::try_from(-kept_place)
        .ok()
        .and_then(|place| 10_i128.checked_pow(place))
    else {
        return 1;
    };
    let (above, below) = (value / divisor, value % divisor);
    let Some(above) = above.checked_mul(binary) else {
        return MAX;
    };
    let (carried, rest) = multiply_divide(below, binary, divisor);
    above
        .saturating_add(carried)
        .saturating_add(i128::from(dropped || rest))
}

/// The same for few digits and small exponents, which is what objects hold: one multiplication, exactly.
fn scale_short(whole: &str, fraction: &str, base: u32, exponent: i64) -> Option<i128> {
    if whole.len() + fraction.len() > 15 || (base == 2 && exponent > 50) {
        return None;
    }
    let digits = whole.bytes().chain(fraction.bytes());
    let value = digits.fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    let decimal_exponent = if base == 10 { exponent } else { 0 };
    let place = decimal_exponent.checked_add(9)? - i64::try_from(fraction.len()).ok()?;
    if !(0..=18).contains(&place) {
        return None;
    }
    let power = 10_i128.pow(u32::try_from(place).ok()?);
    let product = i128::from(value) * power;
    Some(if base == 2 {
        product.saturating_mul(1_i128 << exponent)
    } else {
        product
    })
}

/// `value * factor / divisor` for `value < divisor <= 10^20` and a power of two, and whether a rest remains.
fn multiply_divide(value: i128, factor: i128, divisor: i128) -> (i128, bool) {
    let (mut quotient, mut rest, mut left) = (0_i128, value, factor);
    while left > 1 {
        rest *= 2;
        quotient = quotient * 2 + rest / divisor;
        rest %= divisor;
        left /= 2;
    }
    (quotient, rest != 0)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos / NANOS;
        if self.format == Format::Binary && whole * NANOS == self.nanos && whole.abs() >= 1024 {
            let mut mantissa = whole;
            let mut steps = 0;
            while mantissa % 1024 == 0 && steps < 6 {
                mantissa /= 1024;
                steps += 1;
            }
            return write!(
                f,
                "{mantissa}{}",
                ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][steps]
            );
        }
        let mut mantissa = self.nanos;
        let mut exponent = -9_i32;
        while exponent < 18 {
            let shorter = mantissa / 1_000;
            if shorter * 1_000 != mantissa {
                break;
            }
            mantissa = shorter;
            exponent += 3;
        }
        if self.format == Format::Exponent {
            return if exponent == 0 {
                write!(f, "{mantissa}")
            } else {
                write!(f, "{mantissa}e{exponent}")
            };
        }
        let suffix = match exponent {
            -9 => "n",
            -6 => "u",
            -3 => "m",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            18 => "E",
            _ => "",
        };
        write!(f, "{mantissa}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: Option<&str>) {
        assert_eq!(
            text.parse::<Quantity>()
                .ok()
                .map(|it| it.to_string())
                .as_deref(),
            canonical,
            "{text}"
        );
    }

    #[test]
    fn canonical_spelling() {
        for (text, canonical) in [
            ("0", "0"),
            ("0.0Gi", "0"),
            ("1000", "1k"),
            ("3000", "3k"),
            ("141500m", "141500m"),
            ("141.5", "141500m"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1.0001Ki", "1024102400u"),
            ("0.1m", "100u"),
            ("0.1n", "1n"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12E", "9223372036854775807"),
            ("9E", "9E"),
            ("1500e-3", "1500e-3"),
            ("100e2", "10e3"),
            ("+5", "5"),
            ("-1.5", "-1500m"),
            ("-2048Ki", "-2Mi"),
            (".5", "500m"),
            ("5.", "5"),
            ("1e-400", "1e-9"),
            ("1e400", "9223372036854775807e0"),
            ("99999999999999999999999", "9223372036854775807"),
            ("16Ei", "9223372036854775807"),
            ("7Ei", "7Ei"),
            ("0.000000000000000000001Ei", "1152922n"),
        ] {
            let canonical = canonical.trim_end_matches("e0");
            check(text, Some(canonical));
        }
        for text in [
            "", ".", "-", "1 ", " 1", "1g", "1ki", "1.2.3", "e3", "1e", "1mm", "0x10", "1e1.5",
            "Ki",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn sums_keep_the_first_family() {
        for (terms, sum) in [
            (&["1Gi", "512Mi"][..], "1536Mi"),
            (&["100m", "1"], "1100m"),
            (&[], "0"),
            (&["0", "1Gi"], "1Gi"),
            (&["1", "1Ki"], "1025"),
            (&["1Ki", "1000"], "2024"),
        ] {
            let sum_of_terms: Quantity =
                terms.iter().map(|it| it.parse::<Quantity>().unwrap()).sum();
            assert_eq!(sum_of_terms.to_string(), sum, "{terms:?}");
        }
    }

    #[test]
    fn rounds_away_from_zero() {
        let quantity: Quantity = "1.0001".parse().unwrap();
        assert_eq!((quantity.ceil(), quantity.ceil_milli()), (2, 1001));
        let quantity: Quantity = "-1.0001".parse().unwrap();
        assert_eq!((quantity.ceil(), quantity.ceil_milli()), (-2, -1001));
    }

    #[test]
    fn floats() {
        for (text, float) in [
            ("100m", 0.1),
            ("1Ki", 1024.0),
            ("0", 0.0),
            ("1234567890123.5", 1_234_567_890_123.5),
        ] {
            assert_eq!(
                text.parse::<Quantity>().unwrap().to_f64().to_bits(),
                f64::to_bits(float),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back(text in "[+-]?[0-9]{1,20}(\\.[0-9]{0,12})?([KMGTPE]i|[numkMGTPE]|e-?[0-9])?") {
            let quantity: Quantity = text.parse().unwrap();
            let printed = quantity.to_string();
            let again: Quantity = printed.parse().unwrap();
            prop_assert_eq!(quantity, again);
            prop_assert_eq!(printed, again.to_string());
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = text.parse::<Quantity>();
        }
    }
}

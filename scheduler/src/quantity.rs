//! Exact arithmetic on Kubernetes quantities.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const NANOS: i128 = 1_000_000_000;
/// No quantity is larger than this; what is larger is capped, as in the API server.
const CAP: i128 = i64::MAX as i128 * NANOS;

/// A parsed quantity: a whole number of billionths and the family of its suffix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub nanos: i128,
    /// Written with a binary suffix such as `Gi`.
    pub binary: bool,
}

impl Amount {
    /// Reads a quantity; `None` if it is none.
    pub fn of(quantity: &Quantity) -> Option<Self> {
        Self::parse(&quantity.0)
    }

    /// Reads the text of a quantity; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = unsigned
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(unsigned.len());
        let (whole, rest) = unsigned.split_at(digits);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(
                rest.find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(rest.len()),
            ),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (scale, binary) = Scale::parse(suffix)?;
        let nanos = scale.nanos(whole, fraction).unwrap_or(CAP).min(CAP);
        Some(Self {
            nanos: if negative { -nanos } else { nanos },
            binary,
        })
    }

    /// In whole units, rounded up.
    pub fn value(self) -> i64 {
        units(self.nanos)
    }

    /// In thousandths, rounded up.
    pub fn milli(self) -> i64 {
        milli(self.nanos)
    }
}

/// Billionths as whole units, rounded up.
pub(crate) fn units(nanos: i128) -> i64 {
    saturate(div_ceil(nanos, NANOS))
}

/// Billionths as thousandths, rounded up.
pub(crate) fn milli(nanos: i128) -> i64 {
    saturate(div_ceil(nanos, NANOS / 1000))
}

pub(crate) fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn div_ceil(value: i128, by: i128) -> i128 {
    value.div_euclid(by) + i128::from(value.rem_euclid(by) != 0)
}

enum Scale {
    /// A power of ten.
    Decimal(i32),
    /// A power of two.
    Binary(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<(Self, bool)> {
        let decimal = |exponent| Some((Self::Decimal(exponent), false));
        let binary = |exponent| Some((Self::Binary(exponent), true));
        match suffix {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
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
                decimal(exponent.parse::<i16>().ok()?.into())
            }
        }
    }

    /// `whole.fraction` at this scale in billionths, rounded up; `None` beyond 128 bits.
    fn nanos(&self, whole: &str, fraction: &str) -> Option<i128> {
        match *self {
            Self::Decimal(exponent) => {
                let mut mantissa = 0_i128;
                for digit in whole.bytes().chain(fraction.bytes()) {
                    mantissa = mantissa
                        .checked_mul(10)?
                        .checked_add(i128::from(digit - b'0'))?;
                }
                let places = i32::try_from(fraction.len()).ok()?;
                let shift = exponent + 9 - places;
                if mantissa == 0 {
                    return Some(0);
                }
                let power = 10_i128.checked_pow(shift.unsigned_abs());
                match (shift >= 0, power) {
                    (true, power) => mantissa.checked_mul(power?),
                    (false, Some(power)) => Some(div_ceil(mantissa, power)),
                    // Less than a billionth.
                    (false, None) => Some(1),
                }
            }
            Self::Binary(exponent) => {
                let mut units = 0_i128;
                for digit in whole.bytes() {
                    units = units
                        .checked_mul(10)?
                        .checked_add(i128::from(digit - b'0'))?;
                }
                let whole = units.checked_mul(NANOS << exponent)?;
                // Eighteen places are far below a billionth of the largest suffix that fits.
                let mut part = 0_i128;
                let mut divisor = 1_i128;
                for digit in fraction.bytes().take(18) {
                    part = part * 10 + i128::from(digit - b'0');
                    divisor *= 10;
                }
                let scaled = part << exponent;
                let part = if divisor > NANOS {
                    div_ceil(scaled, divisor / NANOS)
                } else {
                    scaled * (NANOS / divisor)
                };
                whole.checked_add(part)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, milli: i64, value: i64) {
        let amount = Amount::parse(text).unwrap();
        assert_eq!((amount.milli(), amount.value()), (milli, value), "{text}");
    }

    #[test]
    fn quantities_are_read_exactly_and_rounded_up() {
        check("0", 0, 0);
        check("500m", 500, 1);
        check("1.5", 1500, 2);
        check(".5", 500, 1);
        check("2.", 2000, 2);
        check("1n", 1, 1);
        check("-250m", -250, 0);
        check("+3", 3000, 3);
        check("1Ki", 1_024_000, 1024);
        check("1.5Gi", 1_610_612_736_000, 1_610_612_736);
        check("12e3", 12_000_000, 12_000);
        check("1E3", 1_000_000, 1000);
        check("1e-3", 1, 1);
        check("4k", 4_000_000, 4000);
        check("1E", i64::MAX, 1_000_000_000_000_000_000);
        check("100Ei", i64::MAX, i64::MAX);
        check(
            "99999999999999999999999999999999999999999999",
            i64::MAX,
            i64::MAX,
        );
        check("0.1m", 1, 1);
        check("0.0000000001", 1, 1);
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", "-", "cpu", "1Kib", "1.2.3", "m", ".", "1e", "1 ", "0x10", "1e99999",
        ] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }
}

//! Times as the API writes them: RFC 3339 text to Unix time and back.

/// Seconds since the Unix epoch.
pub type UnixSeconds = i64;

const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time read from RFC 3339 text; ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    pub seconds: UnixSeconds,
    pub nanos: u32,
}

/// Reads RFC 3339 text as strictly as the API server: upper-case `T` and `Z`, a fraction of any length.
pub fn parse(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = bytes.get(from..from + len)?;
        digits.iter().try_fold(0, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if bytes.len() < 20
        || separators
            .iter()
            .any(|&(at, separator)| bytes[at] != separator)
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0_u32;
    if bytes[at] == b'.' {
        at += 1;
        let digits = bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return None;
        }
        for place in 0..9 {
            let digit = if place < digits {
                u32::from(bytes[at + place] - b'0')
            } else {
                0
            };
            nanos = nanos * 10 + digit;
        }
        at += digits;
    }
    let offset = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && bytes[at + 3] == b':' => {
            let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3_600 + minutes * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second
            - offset;
    Some(Instant { seconds, nanos })
}

/// Prints whole seconds in UTC, as the API server stores times.
pub fn format(seconds: UnixSeconds) -> String {
    let civil = Civil::from_unix(seconds);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
    )
}

/// A date and time of day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// 1 to 366.
    pub day_of_year: i64,
}

impl Civil {
    pub fn from_unix(seconds: UnixSeconds) -> Self {
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        Self {
            year,
            month,
            day,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            weekday: (days + 4).rem_euclid(7),
            day_of_year: days - days_from_civil(year, 1, 1) + 1,
        }
    }
}

/// Unix time of a UTC date and time of day whose parts may lie outside their usual range, like C's `timegm`.
pub fn unix_from_civil(
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
) -> UnixSeconds {
    let months = year.saturating_mul(12).saturating_add(month - 1);
    let first = days_from_civil(months.div_euclid(12), months.rem_euclid(12) + 1, 1);
    let days = first.saturating_add(day - 1);
    let of_day = hour
        .saturating_mul(3_600)
        .saturating_add(minute.saturating_mul(60))
        .saturating_add(second);
    days.saturating_mul(SECONDS_PER_DAY).saturating_add(of_day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; years start in March, so that the leap day is last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_api_writes() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2026-01-01T10:43:59Z", 1_767_264_239, 0),
            ("2024-02-29T12:00:00+02:00", 1_709_200_800, 0),
            ("2024-02-29T12:00:00.5-00:30", 1_709_209_800, 500_000_000),
            ("1969-12-31T23:59:59.123456789012Z", -1, 123_456_789),
        ] {
            assert_eq!(parse(text), Some(Instant { seconds, nanos }), "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T10:43:59",
            "2026-01-01t10:43:59Z",
            "2026-01-01T10:43:59z",
            "2026-02-29T10:43:59Z",
            "2026-13-01T10:43:59Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T10:43:60Z",
            "2026-01-01T10:43:59.Z",
            "2026-01-01T10:43:59+0200",
            "2026-01-01T10:43:59Zx",
            "yesterday",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn civil_parts() {
        let civil = Civil::from_unix(1_709_209_800);
        assert_eq!(
            (
                civil.year,
                civil.month,
                civil.day,
                civil.weekday,
                civil.day_of_year
            ),
            (2024, 2, 29, 4, 60)
        );
        assert_eq!(
            unix_from_civil(2024, 14, 0, 0, 0, 0),
            unix_from_civil(2025, 1, 31, 0, 0, 0)
        );
    }

    proptest! {
        #[test]
        fn printed_times_read_back(seconds in -62_000_000_000_i64..253_000_000_000) {
            prop_assert_eq!(parse(&format(seconds)), Some(Instant { seconds, nanos: 0 }));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}

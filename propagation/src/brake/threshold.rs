//! How many removals are too many.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// How many removals are too many. Written as `<percent>%/<count>/<seconds>s`, for example `30%/10/300s`; `off` never holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// The share of what was there that may go, in percent.
    pub percent: u8,
    /// This many may go whatever their share is.
    pub at_least: u32,
    /// The time in which removals count together.
    pub window: Duration,
}

impl Default for Threshold {
    fn default() -> Self {
        Self {
            percent: 30,
            at_least: 10,
            window: Duration::from_mins(5),
        }
    }
}

impl Threshold {
    /// A threshold that never holds anything.
    pub const OFF: Self = Self {
        percent: 100,
        at_least: u32::MAX,
        window: Duration::ZERO,
    };

    /// How many of `total` objects may go in one window.
    pub fn limit(&self, total: usize) -> usize {
        let share = total.saturating_mul(usize::from(self.percent)) / 100;
        share.max(usize::try_from(self.at_least).unwrap_or(usize::MAX))
    }

    pub fn is_off(&self) -> bool {
        *self == Self::OFF
    }

    /// Whether it may let something go that the other one holds.
    pub fn is_laxer_than(&self, other: &Self) -> bool {
        self.percent > other.percent || self.at_least > other.at_least || self.window < other.window
    }
}

/// A threshold that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "removal threshold {text:?} is not <percent>%/<count>/<seconds>s, for example 30%/10/300s, nor off"
)]
pub struct ThresholdError {
    pub text: String,
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ThresholdError {
            text: text.to_owned(),
        };
        if text == "off" {
            return Ok(Self::OFF);
        }
        let [percent, count, window] = text.split('/').collect::<Vec<_>>()[..] else {
            return Err(error());
        };
        let percent = percent
            .strip_suffix('%')
            .and_then(|number| number.parse().ok());
        let seconds = window
            .strip_suffix('s')
            .and_then(|number| number.parse().ok());
        Ok(Self {
            percent: percent
                .filter(|percent| *percent <= 100)
                .ok_or_else(error)?,
            at_least: count.parse().map_err(|_| error())?,
            window: Duration::from_secs(seconds.ok_or_else(error)?),
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_off() {
            return f.write_str("off");
        }
        write!(
            f,
            "{}%/{}/{}s",
            self.percent,
            self.at_least,
            self.window.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_and_printed() {
        for text in ["30%/10/300s", "0%/0/1s", "off"] {
            assert_eq!(text.parse::<Threshold>().unwrap().to_string(), text);
        }
        let base: Threshold = "30%/10/300s".parse().unwrap();
        for (text, expected) in [
            ("30%/10/300s", false),
            ("20%/5/600s", false),
            ("31%/10/300s", true),
            ("30%/11/300s", true),
            ("30%/10/299s", true),
            ("off", true),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            assert_eq!(threshold.is_laxer_than(&base), expected, "{text}");
        }
        for text in ["", "30/10/300s", "101%/1/1s", "30%/10", "30%/-1/1s"] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }
}

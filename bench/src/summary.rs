//! Figures from many measurements.

use std::time::Duration;

use serde::Serialize;

/// Percentiles in milliseconds.
#[expect(
    clippy::struct_field_names,
    reason = "readers of the JSON want the unit at each figure"
)]
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// The percentiles of these times; zeros if there are none.
pub(crate) fn percentiles(mut times: Vec<Duration>) -> Percentiles {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index).map_or(0.0, |time| ms(*time))
    };
    Percentiles {
        p50_ms: at(50),
        p99_ms: at(99),
        max_ms: at(100),
    }
}

/// Milliseconds with one digit after the point.
pub(crate) fn ms(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0, 1)
}

pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

/// A count as a number to calculate with.
pub(crate) fn number(count: usize) -> f64 {
    // Counts of objects here are far below 2^32.
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

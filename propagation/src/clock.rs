//! Arithmetic with times that arrive as arguments.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;

/// The time that is `span` later; the end of time when there is none.
pub(crate) fn after(time: &Time, span: Duration) -> Time {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    Time(
        time.0
            .saturating_add(span)
            .unwrap_or(k8s_openapi::jiff::Timestamp::MAX),
    )
}

/// The span from `now` until `time`; `None` when it has passed.
pub(crate) fn until(time: &Time, now: &Time) -> Option<Duration> {
    let span = time.0.duration_since(now.0);
    (!span.is_negative()).then(|| span.unsigned_abs())
}

/// How long `time` is ago; nothing when it is in the future.
pub(crate) fn since(time: &Time, now: &Time) -> Duration {
    let span = now.0.duration_since(time.0);
    if span.is_negative() {
        Duration::ZERO
    } else {
        span.unsigned_abs()
    }
}

#[cfg(test)]
pub(crate) fn at(second: i64) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(second).expect("a test uses small numbers"))
}

//! How long ago something happened, as kubectl writes it.

use std::time::Duration;

/// Two units while they say something, one after that.
pub(crate) fn age(past: Duration) -> String {
    let seconds = past.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0..2) => format!("{seconds}s"),
        (0, 0, 2..10) => two(minutes, "m", seconds % 60, "s"),
        (0, 0..3, _) => format!("{minutes}m"),
        (0, 3..8, _) => two(hours, "h", minutes % 60, "m"),
        (0..2, _, _) => format!("{hours}h"),
        (2..8, _, _) => two(days, "d", hours % 24, "h"),
        (8..730, _, _) => format!("{days}d"),
        _ => two(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_like_those_of_kubectl() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (10 * 60, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 60, "3h1m"),
            (30 * HOUR, "30h"),
            (5 * DAY + 3 * HOUR, "5d3h"),
            (12 * DAY, "12d"),
            (800 * DAY, "2y70d"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), expected);
        }
    }
}

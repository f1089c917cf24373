//! How long to wait before the next try of something that failed.

use std::time::Duration;

use rand::RngExt;

/// Exponential back-off with jitter: each pause doubles up to a limit, and is drawn from the upper half of its range, so that
/// what failed together does not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    limit: Duration,
    jitter: bool,
    failures: u32,
}

impl Backoff {
    pub const fn new(base: Duration, limit: Duration) -> Self {
        Self {
            base,
            limit,
            jitter: true,
            failures: 0,
        }
    }

    /// The same with pauses of their full length, for those that are documented.
    #[must_use]
    pub const fn exact(self) -> Self {
        Self {
            jitter: false,
            ..self
        }
    }

    /// For watches: a watch that ended is started again almost at once, one that keeps failing every half minute.
    pub const fn watch() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(30))
    }

    /// For a key of a work queue whose reconcile failed.
    pub const fn reconcile() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(30))
    }

    /// Counts a failure and tells the pause that follows it.
    pub fn failed(&mut self) -> Duration {
        let pause = self
            .base
            .saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX))
            .min(self.limit);
        self.failures = self.failures.saturating_add(1);
        if self.jitter {
            pause.mul_f64(rand::rng().random_range(0.5..=1.0))
        } else {
            pause
        }
    }

    /// Failures since the last reset.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit_and_starts_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(30));
        for expected in [
            50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000,
        ] {
            let pause = backoff.failed();
            let full = Duration::from_millis(expected);
            assert!(pause <= full && pause >= full / 2, "{pause:?} for {full:?}");
        }
        backoff.reset();
        assert!(backoff.failed() <= Duration::from_millis(50));
    }

    #[test]
    fn exact_pauses_are_not_drawn() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10)).exact();
        let seconds: Vec<u64> = (0..6).map(|_| backoff.failed().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::reconcile();
        for _ in 0..100 {
            assert!(backoff.failed() <= Duration::from_secs(30));
        }
    }
}

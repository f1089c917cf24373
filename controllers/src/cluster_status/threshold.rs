//! How long a member has to look different before its `Ready` condition changes.

use std::time::{Duration, Instant};

/// How long an observation has to last before it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Before a member that was not ready is ready.
    pub success: Duration,
    /// Before a member that was ready is not.
    pub failure: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            success: Duration::from_secs(30),
            failure: Duration::from_secs(30),
        }
    }
}

/// What to do with an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Publish,
    /// The observation has to last longer.
    Wait,
}

/// The last observation of one member, and since when it has been the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Threshold {
    last: Option<Observed>,
}

#[derive(Debug, Clone, Copy)]
struct Observed {
    ready: bool,
    /// `None`: for ever, as far as we know.
    since: Option<Instant>,
}

impl Threshold {
    /// Takes in an observation; `stored` is the published readiness, `None` while nothing is published.
    ///
    /// A process that has just started knows no former observation. The published one stands for it when it says ready, so
    /// that one failed probe does not undo it; a first good probe is believed at once.
    pub(super) fn observe(
        &mut self,
        ready: bool,
        stored: Option<bool>,
        now: Instant,
        limits: &Limits,
    ) -> Verdict {
        let before = self.last.or_else(|| {
            (stored == Some(true)).then_some(Observed {
                ready: true,
                since: None,
            })
        });
        let current = match before {
            Some(before) if before.ready == ready => before,
            Some(_) => Observed {
                ready,
                since: Some(now),
            },
            None => Observed { ready, since: None },
        };
        self.last = Some(current);
        let Some(stored) = stored else {
            return Verdict::Publish;
        };
        let limit = if ready {
            limits.success
        } else {
            limits.failure
        };
        let is_young = current
            .since
            .is_some_and(|since| now.saturating_duration_since(since) < limit);
        if stored != ready && is_young {
            Verdict::Wait
        } else {
            Verdict::Publish
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs observations as `(second, observed, what is expected)`; what is published follows the verdicts.
    #[track_caller]
    fn check(mut stored: Option<bool>, steps: &[(u64, bool, Verdict)]) {
        let start = Instant::now();
        let mut threshold = Threshold::default();
        for (second, ready, expected) in steps {
            let now = start + Duration::from_secs(*second);
            let verdict = threshold.observe(*ready, stored, now, &Limits::default());
            assert_eq!(verdict, *expected, "at {second} s of {steps:?}");
            if verdict == Verdict::Publish {
                stored = Some(*ready);
            }
        }
    }

    #[test]
    fn readiness_changes_when_it_lasts() {
        use Verdict::{Publish, Wait};
        // A new cluster: whatever is seen first.
        check(None, &[(0, true, Publish)]);
        check(
            None,
            &[(0, false, Publish), (10, true, Wait), (40, true, Publish)],
        );
        // An outage of a ready one.
        check(
            None,
            &[
                (0, true, Publish),
                (10, false, Wait),
                (20, false, Wait),
                (39, false, Wait),
                (40, false, Publish),
                (50, false, Publish),
            ],
        );
        // One that flaps keeps what is published.
        check(
            None,
            &[
                (0, true, Publish),
                (10, false, Wait),
                (30, true, Publish),
                (40, false, Wait),
                (69, false, Wait),
                (70, false, Publish),
            ],
        );
        // After a restart one failed probe is not enough, one good probe is.
        check(
            Some(true),
            &[(0, false, Wait), (29, false, Wait), (30, false, Publish)],
        );
        check(Some(true), &[(0, true, Publish)]);
        check(Some(false), &[(0, true, Publish)]);
        check(Some(false), &[(0, false, Publish), (10, true, Wait)]);
    }
}

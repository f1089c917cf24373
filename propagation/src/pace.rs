//! How soon a changed status is written.
//!
//! While a workload starts, its status changes with every pod, in every member. What counts is what comes of it, and failures:
//! these are written at once. What lies between is progress, which is written about once a second, and more rarely the more
//! objects progress at the same time.

use std::time::Duration;

use crds::conditions::{self, binding as of_binding, work as of_work};
use crds::work::{Binding, ResourceHealth, Work, WorkStatus};

/// How long progress is gathered, and how much time lies between two writes about an object that is settled and keeps changing.
pub const SECOND: Duration = Duration::from_secs(1);
/// So many objects' progress is written a second, all together.
const PROGRESS_A_SECOND: u32 = 2;
/// The longest that progress is gathered, however many objects progress.
const LONGEST: Duration = Duration::from_mins(1);
/// How long the first report is waited for.
const SILENCE: Duration = Duration::from_secs(5);

/// What the moment of a write depends on.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// A failure, or the end of one.
    pub urgent: bool,
    /// The status as written says that the object is where it is meant to be.
    pub was_settled: bool,
    /// The new status says so.
    pub is_settled: bool,
    /// How long there has been something to write.
    pub held: Duration,
    /// How long ago the last write was; `None` if long ago.
    pub since_write: Option<Duration>,
    /// So many objects have progress that waits to be written.
    pub crowd: u32,
    /// Nobody has reported anything yet.
    pub is_silent: bool,
}

impl Pace {
    /// How long to wait before this status, or what has become of it by then, is written; zero for now.
    pub fn wait(&self) -> Duration {
        if self.urgent || self.is_settled && !self.was_settled {
            return Duration::ZERO;
        }
        if self.is_settled {
            return self
                .since_write
                .map_or(Duration::ZERO, |since| SECOND.saturating_sub(since));
        }
        let share = (SECOND / PROGRESS_A_SECOND).saturating_mul(self.crowd);
        let gathered = if self.is_silent { SILENCE } else { SECOND };
        gathered.max(share.min(LONGEST)).saturating_sub(self.held)
    }
}

/// Whether the objects of a Work are applied, and all of them are healthy.
pub fn work_is_settled(status: &WorkStatus) -> bool {
    conditions::is_true(&status.conditions, of_work::APPLIED)
        && status
            .manifest_statuses
            .iter()
            .all(|manifest| manifest.health == Some(ResourceHealth::Healthy))
}

/// Whether a Work begins to fail, fails for another reason, is held back, or one of these ends.
pub fn work_is_urgent(before: Option<&WorkStatus>, now: &WorkStatus) -> bool {
    let present = before.map_or(&[][..], |before| &before.conditions);
    [of_work::APPLIED, of_work::DISPATCHING].iter().any(|of| {
        let trouble = |conditions| {
            conditions::find(conditions, of)
                .filter(|condition| condition.status == conditions::status::FALSE)
                .map(|condition| &condition.message)
        };
        trouble(present) != trouble(&now.conditions)
    })
}

/// Whether none of these Works has reported.
pub fn works_are_silent<'w>(works: impl IntoIterator<Item = &'w Work>) -> bool {
    let said = |work: &Work| {
        let status = work.status.as_ref();
        status.is_some_and(|it| conditions::find(&it.conditions, of_work::APPLIED).is_some())
    };
    !works.into_iter().any(said)
}

/// Whether what the Works report is about what they carry now.
pub fn works_are_current<'w>(works: impl IntoIterator<Item = &'w Work>) -> bool {
    works.into_iter().all(|work| {
        let status = work.status.as_ref();
        let applied = status.and_then(|it| conditions::find(&it.conditions, of_work::APPLIED));
        applied.is_some_and(|applied| applied.observed_generation == work.metadata.generation)
    })
}

/// Whether a binding's resource is applied and healthy in each of its clusters.
pub fn binding_is_settled<B: Binding>(binding: &B) -> bool {
    binding.status().is_some_and(|status| {
        conditions::is_true(&status.conditions, of_binding::FULLY_APPLIED)
            && status
                .aggregated_status
                .iter()
                .all(|item| item.health == Some(ResourceHealth::Healthy))
    })
}

/// Whether the clusters change in which the resource could not be applied.
pub fn binding_is_urgent<B: Binding>(before: &B, now: &B) -> bool {
    let failing = |binding: &B| -> Vec<String> {
        let items = binding
            .status()
            .map_or(&[][..], |status| &status.aggregated_status);
        let failed = items.iter().filter(|item| {
            let told = item.applied_message.as_ref();
            item.applied != Some(true) && told.is_some_and(|message| !message.is_empty())
        });
        failed.map(|item| item.cluster_name.clone()).collect()
    };
    failing(before) != failing(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn news_go_at_once_and_progress_waits() {
        let progress = Pace {
            was_settled: true,
            ..Pace::default()
        };
        let settled = Pace {
            is_settled: true,
            was_settled: true,
            ..Pace::default()
        };
        for (name, pace, expected) in [
            (
                "failure",
                Pace {
                    urgent: true,
                    ..progress
                },
                ms(0),
            ),
            (
                "arrived",
                Pace {
                    was_settled: false,
                    since_write: Some(ms(1)),
                    ..settled
                },
                ms(0),
            ),
            ("settled, long silent", settled, ms(0)),
            (
                "settled, chatty",
                Pace {
                    since_write: Some(ms(300)),
                    ..settled
                },
                ms(700),
            ),
            ("progress", progress, ms(1000)),
            (
                "progress, waited",
                Pace {
                    held: ms(400),
                    ..progress
                },
                ms(600),
            ),
            (
                "progress, waited long",
                Pace {
                    held: ms(1000),
                    ..progress
                },
                ms(0),
            ),
            (
                "progress of a few",
                Pace {
                    crowd: 2,
                    ..progress
                },
                ms(1000),
            ),
            (
                "progress in a crowd",
                Pace {
                    held: ms(1000),
                    crowd: 40,
                    ..progress
                },
                ms(19_000),
            ),
            (
                "progress in a crowd, enough",
                Pace {
                    held: ms(20_000),
                    crowd: 40,
                    ..progress
                },
                ms(0),
            ),
            (
                "progress of everything there is",
                Pace {
                    crowd: u32::MAX,
                    ..progress
                },
                ms(60_000),
            ),
            (
                "nobody has reported",
                Pace {
                    is_silent: true,
                    ..progress
                },
                ms(5000),
            ),
        ] {
            assert_eq!(pace.wait(), expected, "{name}");
        }
    }
}

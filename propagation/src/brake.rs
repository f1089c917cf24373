//! The brake: a wave of removals that is too large stops and waits for somebody to let it go.
//!
//! Every stage that removes something from a member asks [`decide`] first and records in the [`Ledger`] what it removed. Counted are the
//! removals of a time window per cluster and per policy, against what the cluster or policy had when the window began. Besides, nothing leaves a workload on
//! no cluster at all while its template exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use trace::Sink;

use crate::clock::{after, since, until};
use crate::matching::PolicyRef;
use crate::trace::Item;

/// Annotation on a policy or cluster: its own [`Threshold`] in the place of the flag's.
pub const THRESHOLD: &str = "navarch.dev/removal-threshold";
/// Annotation on a binding, policy or cluster: when somebody let held removals go, as RFC 3339. It is good for one window.
pub const RELEASE_HOLD: &str = "navarch.dev/release-hold";
/// Type of the condition on bindings and clusters that shows held removals.
pub const REMOVAL_HELD: &str = "RemovalHeld";

/// What removals are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    Cluster(String),
    Policy(PolicyRef),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Policy(policy) => write!(f, "{} {policy}", policy.kind.as_str()),
        }
    }
}

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
        if *self == Self::OFF {
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

/// What was removed lately.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    removals: BTreeMap<Scope, BTreeMap<String, Time>>,
}

impl Ledger {
    /// Records a removal under each scope. The same object counts once.
    pub fn record(&mut self, removal: &Removal<'_>, now: &Time) {
        for scope in removal.scopes {
            self.removals
                .entry(scope.clone())
                .or_default()
                .insert(removal.object.to_owned(), now.clone());
        }
    }

    /// Forgets what is older than the longest window in use.
    pub fn prune(&mut self, longest: Duration, now: &Time) {
        self.removals.retain(|_, removals| {
            removals.retain(|_, at| since(at, now) <= longest);
            !removals.is_empty()
        });
    }

    /// The objects removed within the window, and when the first of them leaves it.
    fn recent(
        &self,
        scope: &Scope,
        window: Duration,
        now: &Time,
    ) -> (BTreeSet<&str>, Option<Duration>) {
        let recent = self
            .removals
            .get(scope)
            .into_iter()
            .flatten()
            .filter(|(_, at)| since(at, now) <= window);
        let mut objects = BTreeSet::new();
        let mut wait: Option<Duration> = None;
        for (object, at) in recent {
            objects.insert(object.as_str());
            wait = wait.into_iter().chain(until(&after(at, window), now)).min();
        }
        (objects, wait)
    }
}

/// A removal that is about to happen.
#[derive(Debug, Clone, Copy)]
pub struct Removal<'a> {
    /// Names the object that goes, with its cluster, for example `member1 Deployment shop/web`.
    pub object: &'a str,
    /// What it counts under: its cluster, and the policy of its template.
    pub scopes: &'a [Scope],
    /// The workload would be on no cluster afterwards although its template exists.
    pub leaves_nowhere: bool,
    /// Somebody agreed to this removal in particular: the binding was released.
    pub is_released: bool,
}

/// What a scope has and allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many objects there are now.
    pub total: usize,
    pub threshold: Threshold,
    /// Somebody let the removals of this scope go.
    pub is_released: bool,
}

/// Whether a removal may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    Hold(Hold),
}

/// Why a removal is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The scope with too many removals; `None` when the workload would be nowhere.
    pub scope: Option<Scope>,
    /// For conditions and metrics.
    pub reason: &'static str,
    /// What happened and what to do next.
    pub message: String,
    /// When enough removals have left the window for another look; `None` when only a release helps.
    pub retry_after: Option<Duration>,
}

/// Decides about one removal. `allowance` is asked for each scope.
pub fn decide(
    removal: &Removal<'_>,
    ledger: &Ledger,
    allowance: impl Fn(&Scope) -> Allowance,
    now: &Time,
    sink: &mut impl Sink<Item>,
) -> Verdict {
    let verdict = judge(removal, ledger, allowance, now);
    sink.record(|| match &verdict {
        Verdict::Proceed => Item::Brake {
            scope: String::new(),
            held: false,
            reason: String::new(),
        },
        Verdict::Hold(hold) => Item::Brake {
            scope: hold
                .scope
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            held: true,
            reason: hold.message.clone(),
        },
    });
    verdict
}

fn judge(
    removal: &Removal<'_>,
    ledger: &Ledger,
    allowance: impl Fn(&Scope) -> Allowance,
    now: &Time,
) -> Verdict {
    if removal.is_released {
        return Verdict::Proceed;
    }
    if removal.leaves_nowhere {
        return Verdict::Hold(Hold {
            scope: None,
            reason: "LastCopy",
            message: format!(
                "{} is the last copy and its template still exists; release the hold of the binding to remove it",
                removal.object
            ),
            retry_after: None,
        });
    }
    for scope in removal.scopes {
        let Allowance {
            total,
            threshold,
            is_released,
        } = allowance(scope);
        if is_released || threshold == Threshold::OFF {
            continue;
        }
        let (recent, wait) = ledger.recent(scope, threshold.window, now);
        // What was there when the window began: what is there now, and what has gone since.
        let limit = threshold.limit(total.saturating_add(recent.len()));
        if recent.contains(removal.object) || recent.len() < limit {
            continue;
        }
        return Verdict::Hold(Hold {
            scope: Some(scope.clone()),
            reason: "TooManyRemovals",
            message: format!(
                "{} objects of {scope} were removed within {} s, which is the limit; release the hold of {scope} to go on",
                recent.len(),
                threshold.window.as_secs()
            ),
            retry_after: wait,
        });
    }
    Verdict::Proceed
}

/// Whether the release annotation is in force: given at most one window ago.
pub fn is_released(annotation: Option<&str>, window: Duration, now: &Time) -> bool {
    let Some(Ok(released)) = annotation.map(str::parse::<k8s_openapi::jiff::Timestamp>) else {
        return false;
    };
    since(&Time(released), now) <= window
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::at;
    use ::trace::NoTrace;
    use proptest::prelude::*;

    #[test]
    fn thresholds_are_read_and_printed() {
        for text in ["30%/10/300s", "0%/0/1s", "off"] {
            assert_eq!(text.parse::<Threshold>().unwrap().to_string(), text);
        }
        for text in ["", "30/10/300s", "101%/1/1s", "30%/10", "30%/-1/1s"] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }

    fn remove(
        ledger: &mut Ledger,
        object: &str,
        total: usize,
        threshold: Threshold,
        now: i64,
    ) -> bool {
        let scopes = [Scope::Cluster("m1".into())];
        let removal = Removal {
            object,
            scopes: &scopes,
            leaves_nowhere: false,
            is_released: false,
        };
        let allowance = |_: &Scope| Allowance {
            total,
            threshold,
            is_released: false,
        };
        let proceeds =
            decide(&removal, ledger, allowance, &at(now), &mut NoTrace) == Verdict::Proceed;
        if proceeds {
            ledger.record(&removal, &at(now));
        }
        proceeds
    }

    #[test]
    fn a_wave_stops_at_the_limit() {
        let threshold = Threshold {
            percent: 30,
            at_least: 2,
            window: Duration::from_mins(1),
        };
        let mut ledger = Ledger::default();
        let total = 20;
        for gone in 0..6 {
            assert!(
                remove(
                    &mut ledger,
                    &format!("o{gone}"),
                    total - gone,
                    threshold,
                    100
                ),
                "{gone}"
            );
        }
        assert!(!remove(&mut ledger, "o6", total - 6, threshold, 100));
        // What went already may be asked for again, and the window ends.
        assert!(remove(&mut ledger, "o5", total - 6, threshold, 100));
        assert!(!remove(&mut ledger, "o6", total - 6, threshold, 160));
        assert!(remove(&mut ledger, "o6", total - 6, threshold, 161));
        ledger.prune(Duration::from_mins(1), &at(500));
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn the_last_copy_stays_until_it_is_released() {
        let scopes = [Scope::Policy(PolicyRef::cluster("p"))];
        let allowance = |_: &Scope| Allowance {
            total: 100,
            threshold: Threshold::default(),
            is_released: false,
        };
        let removal = Removal {
            object: "m1 web",
            scopes: &scopes,
            leaves_nowhere: true,
            is_released: false,
        };
        let Verdict::Hold(hold) = decide(
            &removal,
            &Ledger::default(),
            allowance,
            &at(0),
            &mut NoTrace,
        ) else {
            panic!("the last copy went")
        };
        assert_eq!((hold.reason, hold.retry_after), ("LastCopy", None));
        let released = Removal {
            is_released: true,
            ..removal
        };
        assert_eq!(
            decide(
                &released,
                &Ledger::default(),
                allowance,
                &at(0),
                &mut NoTrace
            ),
            Verdict::Proceed
        );
    }

    #[test]
    fn releases_expire() {
        let window = Duration::from_mins(5);
        assert!(is_released(Some("1970-01-01T00:01:00Z"), window, &at(100)));
        assert!(!is_released(Some("1970-01-01T00:01:00Z"), window, &at(361)));
        assert!(!is_released(Some("yes"), window, &at(100)));
        assert!(!is_released(None, window, &at(100)));
    }

    proptest! {
        #[test]
        fn no_wave_exceeds_its_limit(total in 0usize..200, percent in 0u8..=100, at_least in 0u32..20) {
            let threshold = Threshold { percent, at_least, window: Duration::from_mins(1) };
            let mut ledger = Ledger::default();
            let gone = (0..total)
                .take_while(|gone| remove(&mut ledger, &format!("o{gone}"), total - gone, threshold, 0))
                .count();
            prop_assert_eq!(gone, threshold.limit(total).min(total));
        }
    }
}

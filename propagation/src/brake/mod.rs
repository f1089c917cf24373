//! The brake: a wave of removals that is too large stops and waits for somebody to let it go.
//!
//! Whoever is about to remove something from a member asks [`decide`] first and records in the [`Ledger`] what went. Counted are the
//! removals of a time window, per cluster and per policy, against what the cluster or policy had when the window began. A scope of
//! which removals are held lets nothing go any more, however long ago the window ended, until somebody releases it or nothing of it
//! is to be removed any longer. Besides, nothing leaves a workload on no cluster at all while its template exists, and nothing goes
//! because the kind of its template is not served any more.

mod condition;
mod threshold;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;
use trace::Sink;

pub use self::condition::{held, read_held};
pub use self::threshold::{Threshold, ThresholdError};
use crate::clock::since;
use crate::matching::{PolicyKind, PolicyRef};
use crate::trace::Item;

/// Annotation on a policy or cluster: its own [`Threshold`] in the place of the flag's.
pub const THRESHOLD: &str = "navarch.dev/removal-threshold";
/// Annotation on a binding, Work, policy or cluster: when somebody let held removals go, as RFC 3339. It is good for
/// [`RELEASE_LASTS`].
pub const RELEASE_HOLD: &str = "navarch.dev/release-hold";
/// Type of the condition on bindings, Works and clusters that shows held removals.
pub const REMOVAL_HELD: &str = "RemovalHeld";
/// How long a release is in force. What goes meanwhile is not counted.
pub const RELEASE_LASTS: Duration = Duration::from_mins(5);
/// How far the clock of whoever releases may be ahead. A release from further ahead would keep the brake off until its time comes.
const RELEASE_AHEAD: Duration = Duration::from_mins(1);
/// For how long a total is taken for what there is now: it is counted once in a while, not for each object of a wave.
const TOTAL_LASTS: Duration = Duration::from_secs(1);

/// What removals are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    Cluster(String),
    Policy(PolicyRef),
}

impl Scope {
    /// The argument of `navarch release-hold` that names the scope.
    pub fn release_argument(&self) -> String {
        match self {
            Self::Cluster(name) => format!("cluster/{name}"),
            Self::Policy(policy) => match policy.kind {
                PolicyKind::PropagationPolicy => {
                    format!("propagationpolicy/{} -n {}", policy.name, policy.namespace)
                }
                PolicyKind::ClusterPropagationPolicy => {
                    format!("clusterpropagationpolicy/{}", policy.name)
                }
            },
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Policy(policy) => write!(f, "{} {policy}", policy.kind.as_str()),
        }
    }
}

/// What was removed lately.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    windows: BTreeMap<Scope, Window>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Window {
    /// In the order in which they went.
    removals: VecDeque<Gone>,
    objects: BTreeSet<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Gone {
    object: Arc<str>,
    at: Time,
    /// How many objects the scope had before it.
    total: usize,
}

impl Ledger {
    /// Records a removal under a scope that has `total` objects before it. The same object counts once.
    pub fn record(&mut self, scope: &Scope, object: &str, total: usize, now: &Time) {
        let window = self.windows.entry(scope.clone()).or_default();
        if window.objects.contains(object) {
            return;
        }
        let object: Arc<str> = object.into();
        window.objects.insert(Arc::clone(&object));
        window.removals.push_back(Gone {
            object,
            at: now.clone(),
            total,
        });
    }

    /// Forgets the removals of a scope that are older than the window.
    pub fn prune(&mut self, scope: &Scope, window: Duration, now: &Time) {
        let Some(kept) = self.windows.get_mut(scope) else {
            return;
        };
        while let Some(gone) = kept.removals.front()
            && since(&gone.at, now) > window
        {
            kept.objects.remove(&gone.object);
            kept.removals.pop_front();
        }
        if kept.removals.is_empty() {
            self.windows.remove(scope);
        }
    }

    /// Forgets a scope, because somebody agreed to what went.
    pub fn forget(&mut self, scope: &Scope) {
        self.windows.remove(scope);
    }

    /// How many objects the scope had before the first removal that still counts, unless nothing has gone.
    pub fn total(&self, scope: &Scope) -> Option<usize> {
        Some(self.windows.get(scope)?.removals.front()?.total)
    }

    /// How many objects the scope had a moment ago, if it was counted then.
    pub fn recent_total(&self, scope: &Scope, now: &Time) -> Option<usize> {
        let last = self.windows.get(scope)?.removals.back()?;
        (since(&last.at, now) < TOTAL_LASTS).then_some(last.total)
    }

    fn gone(&self, scope: &Scope) -> usize {
        self.windows
            .get(scope)
            .map_or(0, |window| window.removals.len())
    }

    fn contains(&self, scope: &Scope, object: &str) -> bool {
        self.windows
            .get(scope)
            .is_some_and(|window| window.objects.contains(object))
    }
}

/// Why a removal would be wrong although something asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The workload would be on no cluster afterwards although its template exists.
    LastCopy,
    /// The control plane does not serve the kind of the template any more, and its objects went with the kind.
    KindGone,
}

/// A removal that is about to happen.
#[derive(Debug, Clone, Copy)]
pub struct Removal<'a> {
    /// Names the object that goes, for example `karmada-es-member1/web-687f7fb96f`.
    pub object: &'a str,
    /// What it counts under: its cluster, and the policy whose decision changed.
    pub scopes: &'a [Scope],
    pub doubt: Option<Doubt>,
    /// Somebody agreed to this removal in particular: the binding or Work was released.
    pub is_released: bool,
}

/// What a scope allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub threshold: Threshold,
    /// Removals of this scope are held already.
    pub is_held: bool,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    ClusterLimit,
    PolicyLimit,
    LastCopy,
    KindGone,
}

impl Reason {
    /// For conditions, events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterLimit => "ClusterRemovalLimit",
            Self::PolicyLimit => "PolicyRemovalLimit",
            Self::LastCopy => "LastCopy",
            Self::KindGone => "KindGone",
        }
    }

    /// The reason of this name.
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::ClusterLimit,
            Self::PolicyLimit,
            Self::LastCopy,
            Self::KindGone,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == name)
    }

    /// The reason that a condition gives.
    pub fn of(condition: &Condition) -> Option<Self> {
        Self::named(&condition.reason)
    }
}

/// A removal that is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub reason: Reason,
    /// The scope with too many removals.
    pub scope: Option<Scope>,
    /// What the scope allowed.
    pub threshold: Option<Threshold>,
    /// Why, and what to do next. `{}` stands for the argument of `navarch release-hold` that names the object itself.
    pub message: String,
}

/// An object that stays in a cluster although something asks for its removal.
#[derive(Debug, Clone)]
pub struct HeldBack {
    pub cluster: String,
    /// How many objects these are: one, or all of a cluster that leaves the fleet.
    pub objects: usize,
    pub hold: Hold,
}

impl HeldBack {
    pub fn new(cluster: &str, hold: Hold) -> Self {
        Self {
            cluster: cluster.to_owned(),
            objects: 1,
            hold,
        }
    }
}

/// The text is another one when it was read off a condition.
impl PartialEq for HeldBack {
    fn eq(&self, other: &Self) -> bool {
        self.cluster == other.cluster
            && self.hold.reason == other.hold.reason
            && self.hold.scope == other.hold.scope
    }
}

/// Decides about one removal. `allowance` is asked for each scope; `total`, how many objects a scope had when the window began, only
/// for those where it matters.
pub fn decide(
    removal: &Removal<'_>,
    ledger: &Ledger,
    allowance: impl Fn(&Scope) -> Allowance,
    total: impl FnMut(&Scope) -> usize,
    sink: &mut impl Sink<Item>,
) -> Verdict {
    let verdict = judge(removal, ledger, allowance, total);
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
    mut total: impl FnMut(&Scope) -> usize,
) -> Verdict {
    let allowances: Vec<(&Scope, Allowance)> = removal
        .scopes
        .iter()
        .map(|scope| (scope, allowance(scope)))
        .collect();
    // Whoever releases a cluster means everything that is held there, whatever holds it.
    if removal.is_released || allowances.iter().any(|(_, it)| it.is_released) {
        return Verdict::Proceed;
    }
    if let Some(doubt) = removal.doubt {
        return Verdict::Hold(doubtful(doubt));
    }
    for (scope, allowance) in allowances {
        if allowance.threshold.is_off() || ledger.contains(scope, removal.object) {
            continue;
        }
        let mut is_full = || ledger.gone(scope) >= allowance.threshold.limit(total(scope));
        if allowance.is_held || is_full() {
            return Verdict::Hold(too_many(scope, allowance.threshold));
        }
    }
    Verdict::Proceed
}

fn doubtful(doubt: Doubt) -> Hold {
    let (reason, message) = match doubt {
        Doubt::LastCopy => (
            Reason::LastCopy,
            "this is the last copy and the template still exists; give the workload a cluster, or let the copy go with `navarch release-hold {}`",
        ),
        Doubt::KindGone => (
            Reason::KindGone,
            "the control plane does not serve the template's kind any more, so that nobody knows whether the object was meant; serve the kind and create the template again, or let the copies go with `navarch release-hold {}`",
        ),
    };
    Hold {
        reason,
        scope: None,
        threshold: None,
        message: message.to_owned(),
    }
}

/// The text says nothing that changes while the wave goes on.
fn too_many(scope: &Scope, threshold: Threshold) -> Hold {
    Hold {
        reason: match scope {
            Scope::Cluster(_) => Reason::ClusterLimit,
            Scope::Policy(_) => Reason::PolicyLimit,
        },
        scope: Some(scope.clone()),
        threshold: Some(threshold),
        message: format!(
            "more than {} % and more than {} of the objects of {scope} would go within {} s; if that is meant, let them go with `navarch release-hold {}`",
            threshold.percent,
            threshold.at_least,
            threshold.window.as_secs(),
            scope.release_argument()
        ),
    }
}

/// What the annotation [`RELEASE_HOLD`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    None,
    InForce,
    Over,
    /// It releases nothing, and never will; the text says why and what to do.
    Invalid(String),
}

/// Reads the release annotation.
pub fn release(annotation: Option<&str>, now: &Time) -> Release {
    let Some(text) = annotation else {
        return Release::None;
    };
    let invalid = |why: &str| {
        Release::Invalid(format!(
            "{RELEASE_HOLD} is not used: {text:?} {why}; give the present time, as `navarch release-hold` does"
        ))
    };
    let Ok(released) = text.parse().map(Time) else {
        return invalid("is not a time as in RFC 3339");
    };
    if since(now, &released) > RELEASE_AHEAD {
        return invalid("is more than a minute ahead of the clock of this process");
    }
    if since(&released, now) <= RELEASE_LASTS {
        Release::InForce
    } else {
        Release::Over
    }
}

/// Whether the release annotation is in force.
pub fn is_released(annotation: Option<&str>, now: &Time) -> bool {
    release(annotation, now) == Release::InForce
}

#[cfg(test)]
mod tests;

//! What a layer of the interpreter is: it has hooks for some kinds and operations, and answers questions about objects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crds::config::{DependentObjectReference, InterpreterOperation};
use crds::object::Gvk;
use crds::work::{AggregatedStatusItem, Component, ReplicaRequirements};
use serde_json::Value;

use crate::error::Cause;
use crate::rfc3339::UnixSeconds;

/// The layers, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerName {
    /// Scripts of `ResourceInterpreterCustomization` objects.
    Customization,
    /// Webhooks of `ResourceInterpreterWebhookConfiguration` objects.
    Webhook,
    /// Scripts for well-known third-party kinds, shipped with the crate.
    ThirdParty,
    /// Compiled rules for Kubernetes' own kinds.
    Native,
}

impl LayerName {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customization => "customization",
            Self::Webhook => "webhook",
            Self::ThirdParty => "third-party",
            Self::Native => "native",
        }
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Group, version and kind of an object, borrowed from it. The core group is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
}

impl<'a> Target<'a> {
    /// The kind of an object. An `apiVersion` with more than one slash has neither group nor version.
    pub fn of(object: &'a Value) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        Self::new(text("apiVersion"), text("kind"))
    }

    pub fn new(api_version: &'a str, kind: &'a str) -> Self {
        let (group, version) = match api_version.split_once('/') {
            Some((_, rest)) if rest.contains('/') => ("", ""),
            Some(parts) => parts,
            None => ("", api_version),
        };
        Self {
            group,
            version,
            kind,
        }
    }
}

impl<'a> From<&'a Gvk> for Target<'a> {
    fn from(gvk: &'a Gvk) -> Self {
        Self {
            group: &gvk.group,
            version: &gvk.version,
            kind: &gvk.kind,
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group,
            version,
            kind,
        } = self;
        if group.is_empty() {
            write!(f, "{version} {kind}")
        } else {
            write!(f, "{group}/{version} {kind}")
        }
    }
}

/// One operation with its arguments.
///
/// An object that may come back changed is given away; the caller copies it first if the original is still needed.
#[derive(Debug, Clone)]
pub enum Question<'a> {
    /// How many replicas does the template ask for, and what does each need?
    Replicas { object: &'a Value },
    /// Which parts does the template have, each with replicas of its own?
    Components { object: &'a Value },
    /// What does the object look like with that many replicas?
    ReviseReplica { object: Value, replicas: i64 },
    /// What of the object in the member stays when `desired` replaces it?
    Retain { desired: Value, observed: &'a Value },
    /// What is the template's status, given those in the clusters? Without a list of items (as opposed to an empty one) most
    /// rules change nothing.
    AggregateStatus {
        object: Value,
        items: Option<&'a [AggregatedStatusItem]>,
    },
    /// Which other objects does the template need?
    Dependencies { object: &'a Value },
    /// Which part of the member object's status is collected?
    Status { observed: &'a Value },
    /// Does the member object do what it is for?
    Health { observed: &'a Value },
}

impl Question<'_> {
    pub fn operation(&self) -> InterpreterOperation {
        match self {
            Self::Replicas { .. } => InterpreterOperation::InterpretReplica,
            Self::Components { .. } => InterpreterOperation::InterpretComponent,
            Self::ReviseReplica { .. } => InterpreterOperation::ReviseReplica,
            Self::Retain { .. } => InterpreterOperation::Retain,
            Self::AggregateStatus { .. } => InterpreterOperation::AggregateStatus,
            Self::Dependencies { .. } => InterpreterOperation::InterpretDependency,
            Self::Status { .. } => InterpreterOperation::InterpretStatus,
            Self::Health { .. } => InterpreterOperation::InterpretHealth,
        }
    }

    /// The object that decides which hook is asked.
    pub fn object(&self) -> &Value {
        match self {
            Self::Replicas { object }
            | Self::Components { object }
            | Self::Dependencies { object } => object,
            Self::Status { observed } | Self::Health { observed } => observed,
            Self::ReviseReplica { object, .. } | Self::AggregateStatus { object, .. } => object,
            Self::Retain { desired, .. } => desired,
        }
    }
}

/// What a hook says.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Replicas(i64, Option<ReplicaRequirements>),
    Components(Vec<Component>),
    /// The changed object: of `ReviseReplica`, `Retain` and `AggregateStatus`.
    Object(Value),
    Dependencies(Vec<DependentObjectReference>),
    /// None: there is nothing to collect.
    Status(Option<Value>),
    Health(bool),
}

/// How rules behave where there is a choice.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Answer exactly as Karmada v1.18 does, also where this implementation has a better outcome.
    pub compat: bool,
    /// Feature gate `ResourceQuotaEstimate`: requirements carry the priority class.
    pub resource_quota_estimate: bool,
    /// A Job with condition `Failed` is unhealthy. Without this option Jobs have no health rule and count as healthy.
    pub job_health: bool,
}

/// The two clocks that rules read. The caller brings them, since this crate has none.
pub trait Clock: Send + Sync {
    /// The time that goes into conditions.
    fn unix_seconds(&self) -> UnixSeconds;

    /// Time since any fixed point; what scripts' deadlines are measured with.
    fn monotonic(&self) -> Duration;
}

/// A clock that stands still: no script ever misses its deadline.
#[derive(Debug, Default, Clone, Copy)]
pub struct StoppedClock(pub UnixSeconds);

impl Clock for StoppedClock {
    fn unix_seconds(&self) -> UnixSeconds {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// What a layer may use beside the question.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub options: Options,
    pub clock: &'a Arc<dyn Clock>,
    /// Takes what scripts print, line by line.
    pub print: Option<&'a dyn Fn(Printed)>,
    /// The customization whose script runs; empty outside of one.
    pub customization: &'a str,
}

impl Context<'_> {
    pub(crate) fn printed(&self, line: &str) {
        if let Some(print) = self.print {
            print(Printed {
                customization: self.customization.to_owned(),
                line: line.to_owned(),
            });
        }
    }
}

/// A line that a script printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// The customization that the script is part of, or the built-in rules.
    pub customization: String,
    pub line: String,
}

/// One answer, for whoever measures.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    pub target: Target<'a>,
    pub operation: InterpreterOperation,
    pub layer: LayerName,
    pub took: Duration,
    pub failed: bool,
    /// What scripts printed on the way.
    pub printed: &'a [Printed],
}

/// Hears of every answer that a layer gives. It is called on the caller's thread and has to be quick.
pub trait Observer: Send + Sync {
    fn answered(&self, answered: Answered<'_>);
}

/// One of the layers: an ordered source of hooks.
pub trait Layer: Send + Sync {
    fn name(&self) -> LayerName;

    /// Whether the layer has a hook, and therefore decides alone.
    fn has_hook(&self, target: Target<'_>, operation: InterpreterOperation) -> bool;

    /// Answers with the variant of [`Answer`] that belongs to the question. Asked only when there is a hook.
    fn answer(
        &self,
        target: Target<'_>,
        question: Question<'_>,
        context: &Context<'_>,
    ) -> Result<Answer, Cause>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (api_version, target) in [
            ("v1", ("", "v1")),
            ("apps/v1", ("apps", "v1")),
            ("a/b/c", ("", "")),
            ("", ("", "")),
        ] {
            let found = Target::new(api_version, "Kind");
            assert_eq!((found.group, found.version), target, "{api_version}");
        }
        assert_eq!(
            Target::new("apps/v1", "Deployment").to_string(),
            "apps/v1 Deployment"
        );
        assert_eq!(Target::new("v1", "Pod").to_string(), "v1 Pod");
    }
}

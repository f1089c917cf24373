//! What an operator sets: feature gates, plugins, and which improvements over the reference are turned off.

use std::fmt;
use std::str::FromStr;

use crate::plugins::Plugins;

/// Everything about a decision that comes from the process rather than from objects.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bindings of other schedulers are left alone.
    pub scheduler_name: String,
    pub gates: Gates,
    pub plugins: Plugins,
    pub compat: Compat,
    /// Selected clusters that got no replicas stay in the result, with none.
    pub empty_workload_propagation: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scheduler_name: DEFAULT_SCHEDULER.to_owned(),
            gates: Gates::default(),
            plugins: Plugins::default(),
            compat: Compat::default(),
            empty_workload_propagation: false,
        }
    }
}

/// The scheduler that bindings without a scheduler name belong to.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// The feature gates that change decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "gates are switched one by one, by name"
)]
pub struct Gates {
    pub customized_cluster_resource_modeling: bool,
    pub multiple_pod_templates_scheduling: bool,
    pub workload_affinity: bool,
    pub scheduling_overcommit_protection: bool,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            customized_cluster_resource_modeling: true,
            multiple_pod_templates_scheduling: false,
            workload_affinity: false,
            scheduling_overcommit_protection: false,
        }
    }
}

impl Gates {
    /// The name of each gate, and what it is about.
    pub const ALL: &[(&str, &str)] = &[
        (
            "CustomizedClusterResourceModeling",
            "The room of clusters is estimated by their resource models; on by default.",
        ),
        (
            "MultiplePodTemplatesScheduling",
            "Workloads of components that go to one cluster are placed as whole sets.",
        ),
        (
            "SchedulingOvercommitProtection",
            "Replicas that the scheduler knows to be under way take room; recorded cases have none.",
        ),
        (
            "WorkloadAffinity",
            "Groups of workloads keep together, or apart, and the plugins for it are there.",
        ),
    ];

    /// Sets a gate by its name; false if no decision depends on a gate of this name.
    pub fn set(&mut self, name: &str, enabled: bool) -> bool {
        let gate = match name {
            "CustomizedClusterResourceModeling" => &mut self.customized_cluster_resource_modeling,
            "MultiplePodTemplatesScheduling" => &mut self.multiple_pod_templates_scheduling,
            "WorkloadAffinity" => &mut self.workload_affinity,
            "SchedulingOvercommitProtection" => &mut self.scheduling_overcommit_protection,
            _ => return false,
        };
        *gate = enabled;
        true
    }
}

/// Gates of the product on which no decision of the scheduler depends.
const OTHER_GATES: &[&str] = &[
    "ContextualLogging",
    "ControllerPriorityQueue",
    "Failover",
    "FederatedQuotaEnforcement",
    "GracefulEviction",
    "LoggingAlphaOptions",
    "LoggingBetaOptions",
    "MultiClusterService",
    "PriorityBasedScheduling",
    "PropagateDeps",
    "PropagationPolicyPreemption",
    "ResourceQuotaEstimate",
    "StatefulFailoverInjection",
];

/// Why a list of feature gates is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    #[error(
        "unknown feature gate {name:?}, expected AllAlpha, AllBeta or some of {}",
        gate_names()
    )]
    Unknown { name: String },
    #[error("feature gate {entry:?} must be Name=true or Name=false")]
    Value { entry: String },
}

fn gate_names() -> String {
    let names: Vec<&str> = Gates::ALL.iter().map(|&(name, _)| name).collect();
    names.join(", ")
}

impl FromStr for Gates {
    type Err = GateError;

    /// Reads `Name=true,Name=false`. `AllAlpha` and `AllBeta` set the gates that the list does not name.
    fn from_str(text: &str) -> Result<Self, GateError> {
        let mut named = Vec::new();
        let mut gates = Self::default();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let malformed = || GateError::Value {
                entry: entry.to_owned(),
            };
            let (name, value) = entry.split_once('=').ok_or_else(malformed)?;
            let (name, value) = (name.trim(), value.trim());
            let enabled = match value {
                "true" | "True" | "TRUE" | "t" | "T" | "1" => true,
                "false" | "False" | "FALSE" | "f" | "F" | "0" => false,
                _ => return Err(malformed()),
            };
            match name {
                "AllAlpha" => {
                    gates.multiple_pod_templates_scheduling = enabled;
                    gates.workload_affinity = enabled;
                    gates.scheduling_overcommit_protection = enabled;
                }
                "AllBeta" => gates.customized_cluster_resource_modeling = enabled,
                name => named.push((name, enabled)),
            }
        }
        for (name, enabled) in named {
            if !gates.set(name, enabled) && !OTHER_GATES.contains(&name) {
                return Err(GateError::Unknown {
                    name: name.to_owned(),
                });
            }
        }
        Ok(gates)
    }
}

macro_rules! switches {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// One behaviour of the reference that is kept instead of its improvement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Switch {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Switch {
            /// All switches.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What it is about, in a sentence.
            pub fn about(self) -> &'static str {
                let text = match self {
                    $(Self::$name => concat!($($doc),+),)+
                };
                text.trim()
            }

            /// Whether it shows only where a scheduler runs against an API server or asks estimators, and in no case decided offline.
            pub const fn is_of_servers(self) -> bool {
                matches!(
                    self,
                    Self::EstimatorAllOrNothing | Self::AssumeAllReplicas | Self::AlwaysWriteTime
                )
            }
        }
    };
}

switches! {
    /// An applied-placement annotation that is no JSON counts as unchanged.
    UnreadableAnnotation = "unreadable-annotation",
    /// A trigger in the same second as the last scheduling is lost.
    TriggerInSameSecond = "trigger-in-same-second",
    /// Changed components do not cause rescheduling, and a placed set does not count as room in its cluster.
    ComponentChanges = "component-changes",
    /// Affinity terms before the observed one are never tried.
    NoFailBack = "no-fail-back",
    /// The first error of several affinity terms decides the outcome.
    FirstError = "first-error",
    /// Targets are emptied although the scheduler knows no cluster at all.
    EmptyWithoutClusters = "empty-without-clusters",
    /// Providers and regions that are no label values match no field selector.
    FieldsAreLabelValues = "fields-are-label-values",
    /// One failing cluster voids an accurate estimator's whole answer.
    EstimatorAllOrNothing = "estimator-all-or-nothing",
    /// `maxGroups` 0 leaves no group to choose.
    ZeroMaxGroups = "zero-max-groups",
    /// A shortage found while selecting is a `SchedulerError`, and swaps do not spare current targets.
    SelectionShortage = "selection-shortage",
    /// Region selection neither verifies capacity nor honours a cluster maximum below the number of regions.
    RegionsUnverified = "regions-unverified",
    /// Only cluster and region constraints take part in selection.
    ClusterAndRegionOnly = "cluster-and-region-only",
    /// A workload of no replicas that states requirements is removed everywhere.
    RemoveAtZero = "remove-at-zero",
    /// What admission would have filled in, such as an absent division preference, stays absent.
    NoDefaults = "no-defaults",
    /// Weights are summed in 32 bits.
    WrappingSums = "wrapping-sums",
    /// Quotients are compared as floating point numbers.
    RoundedQuotients = "rounded-quotients",
    /// A requested resource that the models do not list makes the cluster unavailable.
    UnmodelledIsZero = "unmodelled-is-zero",
    /// Component sets are compared in the unit of each quantity's notation.
    UnitByNotation = "unit-by-notation",
    /// Components are placed in the order given instead of largest first.
    ComponentOrder = "component-order",
    /// After a result all replicas of the workload are assumed to be under way, not only the added ones.
    AssumeAllReplicas = "assume-all-replicas",
    /// A repeated success of a binding that is decided on every event writes its time.
    AlwaysWriteTime = "always-write-time",
    /// A malformed selector is one that no cluster matches, and the targets are emptied.
    EmptyOnMalformed = "empty-on-malformed",
    /// Negative numbers and contradicting limits of groups are taken for what they come to, and unreadable quantities are not told.
    UncheckedNumbers = "unchecked-numbers",
    /// A result whose status could not be written stays without it until something changes.
    LostStatus = "lost-status",
}

/// The behaviours of the reference that are kept although there is something better.
///
/// Empty by default. With [`Compat::REFERENCE`] decisions can be compared with recorded ones of the reference.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Compat(u32);

impl Compat {
    /// Everything as the reference does it.
    pub const REFERENCE: Self = Self(u32::MAX);

    /// Whether this behaviour of the reference is kept.
    pub const fn keeps(self, switch: Switch) -> bool {
        self.0 & (1 << switch as u32) != 0
    }

    /// The same with this behaviour kept too.
    #[must_use]
    pub const fn with(self, switch: Switch) -> Self {
        Self(self.0 | 1 << switch as u32)
    }

    /// The same with this behaviour improved.
    #[must_use]
    pub const fn without(self, switch: Switch) -> Self {
        Self(self.0 & !(1 << switch as u32))
    }
}

impl fmt::Debug for Compat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = Switch::ALL.iter().filter(|&&switch| self.keeps(switch));
        f.debug_set()
            .entries(kept.map(|switch| switch.name()))
            .finish()
    }
}

/// A name in a list of switches that stands for none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown compatibility switch {name:?}, expected all, none or some of {}",
    names()
)]
pub struct UnknownSwitch {
    pub name: String,
}

fn names() -> String {
    let names: Vec<&str> = Switch::ALL.iter().map(|switch| switch.name()).collect();
    names.join(", ")
}

impl FromStr for Compat {
    type Err = UnknownSwitch;

    /// Reads a comma-separated list of switches; `all` stands for every switch, `none` or nothing for none, `-name` takes one
    /// out again.
    fn from_str(text: &str) -> Result<Self, UnknownSwitch> {
        let mut compat = Self::default();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let (name, keep) = match entry.strip_prefix('-') {
                Some(name) => (name, false),
                None => (entry, true),
            };
            compat = match (
                name,
                Switch::ALL.iter().find(|switch| switch.name() == name),
            ) {
                ("all", _) => Self::REFERENCE,
                ("none", _) => Self::default(),
                (_, Some(&switch)) if keep => compat.with(switch),
                (_, Some(&switch)) => compat.without(switch),
                (_, None) => {
                    return Err(UnknownSwitch {
                        name: name.to_owned(),
                    });
                }
            };
        }
        Ok(compat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_from_a_list() {
        let gates: Gates = "WorkloadAffinity=false, AllAlpha=true,Failover=true"
            .parse()
            .unwrap();
        assert!(gates.multiple_pod_templates_scheduling && !gates.workload_affinity);
        assert!(gates.customized_cluster_resource_modeling);
        assert_eq!("".parse(), Ok(Gates::default()));
        let unknown = GateError::Unknown {
            name: "Wings".to_owned(),
        };
        assert_eq!("Wings=true".parse::<Gates>(), Err(unknown.clone()));
        let message = unknown.to_string();
        for (name, _) in Gates::ALL {
            assert!(Gates::default().set(name, true), "{name}");
            assert!(message.contains(name), "{message}");
        }
        for entry in ["WorkloadAffinity", "WorkloadAffinity=perhaps"] {
            let entry = entry.to_owned();
            assert_eq!(entry.parse::<Gates>(), Err(GateError::Value { entry }));
        }
    }

    #[test]
    fn switches_are_read_from_a_list() {
        let compat: Compat = "all, -remove-at-zero".parse().unwrap();
        assert!(compat.keeps(Switch::FirstError));
        assert!(!compat.keeps(Switch::RemoveAtZero));
        let compat: Compat = "first-error".parse().unwrap();
        assert_eq!(compat, Compat::default().with(Switch::FirstError));
        assert_eq!("".parse(), Ok(Compat::default()));
        let unknown = "wings".parse::<Compat>().unwrap_err();
        assert!(
            unknown
                .to_string()
                .starts_with("unknown compatibility switch \"wings\"")
        );
    }
}

//! Feature gates: one list on the command line, of which every role takes its part.

use std::{collections::BTreeMap, str::FromStr};

use controllers::detector;
use propagation::{failover, render};
use scheduler::options::GateError;

/// How settled a feature is; `AllAlpha` and `AllBeta` speak of all gates of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Alpha,
    Beta,
}

impl Stage {
    const fn every(self) -> &'static str {
        match self {
            Self::Alpha => "AllAlpha",
            Self::Beta => "AllBeta",
        }
    }
}

/// A gate that the controllers look at. Alpha gates are off by default and beta gates on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gate {
    name: &'static str,
    stage: Stage,
}

const fn alpha(name: &'static str) -> Gate {
    let stage = Stage::Alpha;
    Gate { name, stage }
}

const fn beta(name: &'static str) -> Gate {
    let stage = Stage::Beta;
    Gate { name, stage }
}

const PROPAGATE_DEPS: Gate = beta("PropagateDeps");
const PROPAGATION_POLICY_PREEMPTION: Gate = alpha("PropagationPolicyPreemption");
const PRIORITY_BASED_SCHEDULING: Gate = alpha("PriorityBasedScheduling");
const MULTIPLE_POD_TEMPLATES_SCHEDULING: Gate = alpha("MultiplePodTemplatesScheduling");
const WORKLOAD_AFFINITY: Gate = alpha("WorkloadAffinity");
const RESOURCE_QUOTA_ESTIMATE: Gate = alpha("ResourceQuotaEstimate");
const STATEFUL_FAILOVER_INJECTION: Gate = alpha("StatefulFailoverInjection");
const GRACEFUL_EVICTION: Gate = beta("GracefulEviction");

/// The value of `--feature-gates`, such as `PropagationPolicyPreemption=true,AllAlpha=false`.
#[derive(Debug, Clone)]
pub(crate) struct FeatureGates {
    scheduler: scheduler::Gates,
    named: BTreeMap<String, bool>,
}

impl FromStr for FeatureGates {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        let scheduler = text.parse()?;
        // The scheduler's reading has refused what is malformed.
        let named = text
            .split(',')
            .filter_map(|entry| entry.split_once('='))
            .map(|(name, value)| {
                let enabled = value.trim().starts_with(['t', 'T', '1']);
                (name.trim().to_owned(), enabled)
            })
            .collect();
        Ok(Self { scheduler, named })
    }
}

impl FeatureGates {
    pub(crate) fn is_enabled(&self, gate: Gate) -> bool {
        let of = |name: &str| self.named.get(name).copied();
        of(gate.name)
            .or_else(|| of(gate.stage.every()))
            .unwrap_or(gate.stage == Stage::Beta)
    }

    /// Every gate that something looks at, by name.
    pub(crate) fn every(&self) -> BTreeMap<&'static str, bool> {
        let scheduler = &self.scheduler;
        let gates = [
            PROPAGATION_POLICY_PREEMPTION,
            PRIORITY_BASED_SCHEDULING,
            MULTIPLE_POD_TEMPLATES_SCHEDULING,
            WORKLOAD_AFFINITY,
            RESOURCE_QUOTA_ESTIMATE,
        ];
        let mut every: BTreeMap<_, _> = gates
            .into_iter()
            .map(|gate| (gate.name, self.is_enabled(gate)))
            .collect();
        every.insert(
            "CustomizedClusterResourceModeling",
            scheduler.customized_cluster_resource_modeling,
        );
        every.insert(
            "SchedulingOvercommitProtection",
            scheduler.scheduling_overcommit_protection,
        );
        every
    }

    pub(crate) fn scheduler(&self) -> scheduler::Gates {
        self.scheduler
    }

    pub(crate) fn detector(&self) -> detector::Gates {
        detector::Gates {
            preemption: self.preemption(),
            schedule_priority: self.schedule_priority(),
            multiple_pod_templates: self.is_enabled(MULTIPLE_POD_TEMPLATES_SCHEDULING),
            workload_affinity: self.is_enabled(WORKLOAD_AFFINITY),
            resource_quota_estimate: self.resource_quota_estimate(),
        }
    }

    pub(crate) fn rendering(&self) -> render::Gates {
        render::Gates {
            stateful_failover_injection: self.is_enabled(STATEFUL_FAILOVER_INJECTION),
        }
    }

    /// How workloads fail over; `unknown_keeps_running` is a flag of its own.
    pub(crate) fn failover(&self, unknown_keeps_running: bool) -> failover::Options {
        failover::Options {
            graceful_eviction: self.is_enabled(GRACEFUL_EVICTION),
            stateful_injection: self.is_enabled(STATEFUL_FAILOVER_INJECTION),
            unknown_keeps_running,
        }
    }

    /// Whether bindings of workloads with a higher priority are scheduled first.
    pub(crate) fn schedule_priority(&self) -> bool {
        self.is_enabled(PRIORITY_BASED_SCHEDULING)
    }

    /// Whether quotas of members limit estimates.
    pub(crate) fn resource_quota_estimate(&self) -> bool {
        self.is_enabled(RESOURCE_QUOTA_ESTIMATE)
    }

    pub(crate) fn propagate_deps(&self) -> bool {
        self.is_enabled(PROPAGATE_DEPS)
    }

    pub(crate) fn preemption(&self) -> bool {
        self.is_enabled(PROPAGATION_POLICY_PREEMPTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_gate_wins_over_its_stage_and_the_stage_over_the_default() {
        for (text, preemption, affinity) in [
            ("", false, false),
            ("PropagationPolicyPreemption=true", true, false),
            ("AllAlpha=true", true, true),
            ("AllAlpha=true, WorkloadAffinity=false", true, false),
            ("WorkloadAffinity=1,AllBeta=true", false, true),
        ] {
            let gates: FeatureGates = text.parse().unwrap();
            let of_detector = gates.detector();
            assert_eq!(gates.preemption(), preemption, "{text}");
            assert_eq!(of_detector.preemption, preemption, "{text}");
            assert!(gates.propagate_deps(), "{text}");
            assert_eq!(of_detector.workload_affinity, affinity, "{text}");
            assert_eq!(gates.scheduler().workload_affinity, affinity, "{text}");
        }
        let gates: FeatureGates = "AllAlpha=true,AllBeta=false".parse().unwrap();
        assert!(gates.rendering().stateful_failover_injection);
        assert!(!gates.failover(false).graceful_eviction);
        let without: FeatureGates = "PropagateDeps=false,AllBeta=true".parse().unwrap();
        assert!(!without.propagate_deps());
        assert!("Wings=true".parse::<FeatureGates>().is_err());
        assert!("AllAlpha=maybe".parse::<FeatureGates>().is_err());
    }
}

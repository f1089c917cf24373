//! `--controllers`: which reconcilers run.

use std::str::FromStr;

/// A reconciler, or a group of them, that can be turned on and off by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switch {
    name: &'static str,
    on_by_default: bool,
    /// Why the name turns nothing on or off here; `None` when it does.
    remark: Option<&'static str>,
}

const fn switch(name: &'static str) -> Switch {
    Switch {
        name,
        on_by_default: true,
        remark: None,
    }
}

const fn elsewhere(name: &'static str, remark: &'static str) -> Switch {
    Switch {
        name,
        on_by_default: true,
        remark: Some(remark),
    }
}

const NOT_HERE: &str = "there is no such reconciler here yet";

pub(super) const BINDING: Switch = switch("binding");
pub(super) const BINDING_STATUS: Switch = switch("bindingStatus");
pub(super) const CLUSTER: Switch = switch("cluster");
pub(super) const CLUSTER_STATUS: Switch = switch("clusterStatus");
pub(super) const EXECUTION: Switch = switch("execution");
pub(super) const NAMESPACE: Switch = switch("namespace");
pub(super) const APPLICATION_FAILOVER: Switch = switch("applicationFailover");
pub(super) const GRACEFUL_EVICTION: Switch = switch("gracefulEviction");
pub(super) const WORKLOAD_REBALANCER: Switch = switch("workloadRebalancer");
pub(super) const HPA_SCALE_TARGET_MARKER: Switch = Switch {
    on_by_default: false,
    ..switch("hpaScaleTargetMarker")
};
pub(super) const DEPLOYMENT_REPLICAS_SYNCER: Switch = Switch {
    on_by_default: false,
    ..switch("deploymentReplicasSyncer")
};

/// Every name that is accepted, in the order of names.
const ALL: &[Switch] = &[
    elsewhere("agentcsrapproving", NOT_HERE),
    APPLICATION_FAILOVER,
    BINDING,
    BINDING_STATUS,
    CLUSTER,
    CLUSTER_STATUS,
    elsewhere("clustertaintpolicy", NOT_HERE),
    elsewhere("cronFederatedHorizontalPodAutoscaler", NOT_HERE),
    DEPLOYMENT_REPLICAS_SYNCER,
    elsewhere("endpointSlice", NOT_HERE),
    elsewhere("endpointsliceCollect", NOT_HERE),
    elsewhere("endpointsliceDispatch", NOT_HERE),
    EXECUTION,
    elsewhere("federatedHorizontalPodAutoscaler", NOT_HERE),
    elsewhere("federatedResourceQuotaEnforcement", NOT_HERE),
    elsewhere("federatedResourceQuotaStatus", NOT_HERE),
    elsewhere("federatedResourceQuotaSync", NOT_HERE),
    GRACEFUL_EVICTION,
    HPA_SCALE_TARGET_MARKER,
    elsewhere("multiclusterservice", NOT_HERE),
    NAMESPACE,
    elsewhere("remedy", NOT_HERE),
    elsewhere("serviceExport", NOT_HERE),
    elsewhere("serviceImport", NOT_HERE),
    elsewhere("unifiedAuth", NOT_HERE),
    WORKLOAD_REBALANCER,
    elsewhere(
        "workStatus",
        "the reconciler of `execution` collects the status too",
    ),
];

/// The value of `--controllers`: `*` for all that are on by default, `name` to turn one on, `-name` to turn one off. The first
/// entry for a name wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Switches(Vec<String>);

fn names() -> String {
    let names: Vec<&str> = ALL.iter().map(|switch| switch.name).collect();
    names.join(", ")
}

impl FromStr for Switches {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let entries: Vec<String> = text
            .split(',')
            .map(|entry| entry.trim().to_owned())
            .filter(|entry| !entry.is_empty())
            .collect();
        for entry in &entries {
            let name = entry.strip_prefix('-').unwrap_or(entry);
            if entry != "*" && !ALL.iter().any(|switch| switch.name == name) {
                anyhow::bail!(
                    "unknown controller {name:?}, expected *, or some of {}, each with or without a leading -",
                    names()
                );
            }
        }
        Ok(Self(entries))
    }
}

impl Switches {
    pub(super) fn is_on(&self, switch: Switch) -> bool {
        let named = self.0.iter().find_map(|entry| {
            let (name, on) = entry
                .strip_prefix('-')
                .map_or((entry.as_str(), true), |name| (name, false));
            (name == switch.name).then_some(on)
        });
        named.unwrap_or(switch.on_by_default && self.0.iter().any(|entry| entry == "*"))
    }

    /// What to tell about names that turn nothing on or off here.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for entry in &self.0 {
            let name = entry.strip_prefix('-').unwrap_or(entry);
            let found = ALL.iter().find(|switch| switch.name == name);
            if let Some(remark) = found.and_then(|switch| switch.remark) {
                remarks.push(format!("--controllers {entry} has no effect: {remark}"));
            }
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_a_name_decides() {
        for (text, namespace, syncer) in [
            ("*", true, false),
            ("", false, false),
            ("*,-namespace", false, false),
            ("-namespace,*", false, false),
            ("*,namespace,-namespace", true, false),
            ("namespace", true, false),
            ("*, deploymentReplicasSyncer", true, true),
            (
                "-deploymentReplicasSyncer,deploymentReplicasSyncer,*",
                true,
                false,
            ),
        ] {
            let switches: Switches = text.parse().unwrap();
            assert_eq!(switches.is_on(NAMESPACE), namespace, "{text}");
            assert_eq!(switches.is_on(DEPLOYMENT_REPLICAS_SYNCER), syncer, "{text}");
        }
    }

    #[test]
    fn unknown_names_are_refused_and_idle_ones_spoken_of() {
        let error = "*,-wings".parse::<Switches>().unwrap_err();
        assert!(error.to_string().starts_with(
            "unknown controller \"wings\", expected *, or some of agentcsrapproving,"
        ));
        let switches: Switches = "*,-workStatus,namespace".parse().unwrap();
        assert_eq!(
            switches.remarks(),
            [
                "--controllers -workStatus has no effect: the reconciler of `execution` collects the status too"
            ]
        );
        assert!(ALL.is_sorted_by_key(|switch| switch.name.to_lowercase()));
    }
}

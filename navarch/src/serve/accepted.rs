//! Flags of the reference that mean nothing here. They are accepted, so that deployments can be moved over as they are, and the log
//! says what takes their place.

use clap::Args;

/// See the module documentation. Values are not read, but they have to be given where the reference takes one.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Accepted {
    #[arg(long, hide = true, value_name = "N")]
    concurrent_dependent_resource_syncs: Option<String>,
    #[arg(long, hide = true, value_name = "DURATION")]
    cluster_cache_sync_timeout: Option<String>,
    #[arg(long, hide = true, value_name = "DURATION")]
    resync_period: Option<String>,
    #[arg(long, hide = true, value_name = "QPS")]
    kube_api_qps: Option<String>,
    #[arg(long, hide = true, value_name = "N")]
    kube_api_burst: Option<String>,
    #[arg(long, hide = true, value_name = "QPS")]
    cluster_api_qps: Option<String>,
    #[arg(long, hide = true, value_name = "N")]
    cluster_api_burst: Option<String>,
    #[arg(long, hide = true, value_name = "URL")]
    master: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    enable_pprof: Option<String>,
    #[arg(long, hide = true, value_name = "ADDRESS")]
    profiling_bind_address: Option<String>,
    #[arg(long, hide = true, value_name = "N")]
    parallelism: Option<String>,
    #[arg(long, hide = true, value_name = "LIST")]
    vmodule: Option<String>,
}

const DEPENDENTS: &str =
    "changes of dependencies wake the bindings that need them without a queue of their own";
const CACHES: &str =
    "nothing waits for the caches of a member; each kind is used as soon as it is listed";
const RESYNC: &str = "every change wakes what it concerns, so there is nothing to look at again";
const CONTROL_PLANE: &str =
    "the API server's priority and fairness limits requests to the control plane";
const MEMBERS: &str = "--concurrent-work-syncs limits the requests to each member";

const MASTER: &str = "the kubeconfig names the server";
const PROFILING: &str = "profiles are taken from outside, with perf";
const PARALLELISM: &str = "an estimate takes one thread and microseconds";
const VMODULE: &str = "RUST_LOG sets the level of each module";

impl Accepted {
    /// What to tell about the flags that were given.
    pub(super) fn remarks(&self) -> Vec<String> {
        let all = [
            (
                "concurrent-dependent-resource-syncs",
                &self.concurrent_dependent_resource_syncs,
                DEPENDENTS,
            ),
            (
                "cluster-cache-sync-timeout",
                &self.cluster_cache_sync_timeout,
                CACHES,
            ),
            ("resync-period", &self.resync_period, RESYNC),
            ("kube-api-qps", &self.kube_api_qps, CONTROL_PLANE),
            ("kube-api-burst", &self.kube_api_burst, CONTROL_PLANE),
            ("cluster-api-qps", &self.cluster_api_qps, MEMBERS),
            ("cluster-api-burst", &self.cluster_api_burst, MEMBERS),
            ("master", &self.master, MASTER),
            ("enable-pprof", &self.enable_pprof, PROFILING),
            (
                "profiling-bind-address",
                &self.profiling_bind_address,
                PROFILING,
            ),
            ("parallelism", &self.parallelism, PARALLELISM),
            ("vmodule", &self.vmodule, VMODULE),
        ];
        let given = all.iter().filter(|(_, value, _)| value.is_some());
        given
            .map(|(flag, _, remark)| format!("--{flag} has no effect: {remark}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        accepted: Accepted,
    }

    #[test]
    fn only_flags_that_are_given_are_spoken_of() {
        let remarks = |args: &[&str]| {
            let line = Line::try_parse_from([&["x"], args].concat()).unwrap();
            line.accepted.remarks()
        };
        assert_eq!(remarks(&[]), [""; 0]);
        assert_eq!(
            remarks(&["--kube-api-qps=200", "--resync-period", "10m"]),
            [
                format!("--resync-period has no effect: {RESYNC}"),
                format!("--kube-api-qps has no effect: {CONTROL_PLANE}"),
            ]
        );
    }
}

//! What a process tells of itself: a ConfigMap per component, which users' commands read to decide as the process does.
//!
//! Written when the process begins to lead and something but the time of its start changed, and every hour, so that the age of a
//! report tells whether somebody keeps it.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use runtime::{ApiError, error::call};
use serde_json::{Value, json};

use super::{lead::Role, options::ServeArgs};

/// The entry of the ConfigMap that holds the report.
const REPORT: &str = "report";
const INTERVAL: Duration = Duration::from_hours(1);
/// After a failure.
const RETRY: Duration = Duration::from_secs(30);

/// What stays the same while a process runs.
#[derive(Debug, Clone)]
pub(super) struct Report {
    started_at: String,
    gates: BTreeMap<&'static str, bool>,
    plugins: String,
    flags: BTreeMap<&'static str, String>,
}

impl Report {
    pub(super) fn from_args(args: &ServeArgs) -> Self {
        let flags = [
            (
                "cluster-removal-threshold",
                args.cluster_removal_threshold.to_string(),
            ),
            (
                "policy-removal-threshold",
                args.policy_removal_threshold.to_string(),
            ),
            (
                "skipped-propagating-apis",
                args.skipped_propagating_apis.clone(),
            ),
            (
                "skipped-propagating-namespaces",
                args.skipped_propagating_namespaces.clone(),
            ),
            ("scheduler-name", args.scheduler_name.clone()),
            (
                "enable-empty-workload-propagation",
                args.enable_empty_workload_propagation.to_string(),
            ),
        ];
        Self {
            started_at: jiff::Timestamp::now().to_string(),
            gates: args.feature_gates.every(),
            plugins: args.plugins.clone(),
            flags: flags.into(),
        }
    }

    fn value(&self, role: Role, instance: &str) -> Value {
        let controllers: &[&str] = match role {
            Role::Controllers => &["*"],
            Role::Scheduler | Role::Descheduler => &[],
        };
        json!({
            "component": role.component(),
            "version": env!("CARGO_PKG_VERSION"),
            "commit": option_env!("NAVARCH_COMMIT").unwrap_or_default(),
            "startedAt": self.started_at,
            "leader": instance,
            "instance": instance,
            "featureGates": self.gates,
            "controllers": controllers,
            "plugins": self.plugins.split(',').collect::<Vec<_>>(),
            "flags": self.flags,
        })
    }

    /// Keeps the report up to date until it is aborted.
    pub(super) async fn keep(
        self,
        client: Client,
        namespace: String,
        role: Role,
        instance: String,
    ) {
        let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
        let name = format!("navarch-component.{}", role.component());
        let report = self.value(role, &instance);
        let mut is_due = false;
        loop {
            let pause = match write(&api, &name, &report, is_due).await {
                Ok(()) => {
                    is_due = true;
                    INTERVAL
                }
                Err(error) => {
                    tracing::warn!(
                        report = name,
                        error = &error as &dyn std::error::Error,
                        "Component report not written, retrying"
                    );
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Writes the report if it says something new, or is due.
async fn write(
    api: &Api<ConfigMap>,
    name: &str,
    report: &Value,
    is_due: bool,
) -> Result<(), ApiError> {
    let text = report.to_string();
    let Some(found) = call(api.get_opt(name)).await? else {
        let new = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some([(REPORT.to_owned(), text)].into()),
            ..ConfigMap::default()
        };
        return call(api.create(&PostParams::default(), &new))
            .await
            .map(drop);
    };
    let before = found.data.as_ref().and_then(|data| data.get(REPORT));
    if !is_due && before.is_some_and(|before| says_the_same(before, report)) {
        return Ok(());
    }
    let mut patch = json!({"data": {REPORT: text}});
    if is_due {
        // The text itself may be the same; the annotation is what changes then.
        let now = jiff::Timestamp::now().to_string();
        patch["metadata"] = json!({"annotations": {"navarch.dev/reported-at": now}});
    }
    let patch = Patch::Merge(&patch);
    call(api.patch(name, &PatchParams::default(), &patch))
        .await
        .map(drop)
}

/// Whether a report differs from an earlier one in the process alone.
fn says_the_same(before: &str, report: &Value) -> bool {
    let lasting = |value: &Value| {
        let mut value = value.clone();
        for field in ["startedAt", "leader", "instance"] {
            if let Some(it) = value.get_mut(field) {
                *it = it
                    .as_str()
                    .and_then(|text| text.split_once('_'))
                    .map_or(Value::Null, |(host, _)| host.into());
            }
        }
        value
    };
    serde_json::from_str::<Value>(before).is_ok_and(|before| lasting(&before) == lasting(report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_alone_says_nothing_new() {
        let report = |started: &str, instance: &str, version: &str| {
            json!({
                "startedAt": started, "leader": instance, "instance": instance, "version": version,
            })
        };
        let before = report("1", "host_1", "1.0").to_string();
        for (name, now, expected) in [
            ("restarted", report("2", "host_2", "1.0"), true),
            ("another host", report("2", "other_2", "1.0"), false),
            ("another version", report("2", "host_2", "1.1"), false),
        ] {
            assert_eq!(says_the_same(&before, &now), expected, "{name}");
        }
        assert!(!says_the_same("nonsense", &report("1", "host_1", "1.0")));
    }
}

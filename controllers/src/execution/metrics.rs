//! Figures of execution, under the names that dashboards know.

use std::time::Duration;

use crds::object::{self, Gvk};
use kube::api::DynamicObject;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use runtime::metrics::NamedCounter;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CreateLabels {
    result: &'static str,
    apiversion: String,
    kind: String,
    member_cluster: String,
    recreate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(non_snake_case, reason = "the label is called so")]
struct UpdateLabels {
    result: &'static str,
    apiversion: String,
    kind: String,
    member_cluster: String,
    operationResult: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeleteLabels {
    result: &'static str,
    apiversion: String,
    kind: String,
    member_cluster: String,
}

#[derive(Debug)]
pub(super) struct Metrics {
    synced: Family<ResultLabel, Histogram, fn() -> Histogram>,
    created: Family<CreateLabels, NamedCounter>,
    updated: Family<UpdateLabels, NamedCounter>,
    deleted: Family<DeleteLabels, NamedCounter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            synced: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 12))
            }),
            created: Family::default(),
            updated: Family::default(),
            deleted: Family::default(),
        }
    }
}

/// What a member was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Create { recreate: bool },
    Update(UpdateResult),
    Delete,
}

/// What an update came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpdateResult {
    /// The member was not asked, because the object is as it should be, or refused.
    None,
    /// The member took the object and changed nothing.
    Unchanged,
    Updated,
}

impl UpdateResult {
    /// Compares the version before an update with the reply to it.
    pub(super) fn of(version: Option<&str>, reply: Option<&DynamicObject>) -> Self {
        match reply {
            None => Self::None,
            Some(reply)
                if version.is_some() && reply.metadata.resource_version.as_deref() == version =>
            {
                Self::Unchanged
            }
            Some(_) => Self::Updated,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unchanged => "unchanged",
            Self::Updated => "updated",
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "work_sync_workload_duration_seconds",
            "Time to bring the objects of a Work to its member",
            self.synced.clone(),
        );
        registry.register(
            "create_resource_to_cluster",
            "Objects created in members",
            self.created.clone(),
        );
        registry.register(
            "update_resource_to_cluster",
            "Objects updated in members",
            self.updated.clone(),
        );
        registry.register(
            "delete_resource_from_cluster",
            "Objects deleted in members",
            self.deleted.clone(),
        );
    }

    pub(super) fn synced(&self, succeeded: bool, took: Duration) {
        let result = result(succeeded);
        self.synced
            .get_or_create(&ResultLabel { result })
            .observe(took.as_secs_f64());
    }

    /// Counts a request about the object of a manifest.
    pub(super) fn asked(&self, manifest: &Value, cluster: &str, request: Request, succeeded: bool) {
        let result = result(succeeded);
        let Gvk { kind, .. } = Gvk::of(manifest);
        let apiversion = object::api_version(manifest).to_owned();
        let member_cluster = cluster.to_owned();
        match request {
            Request::Create { recreate } => self
                .created
                .get_or_create(&CreateLabels {
                    result,
                    apiversion,
                    kind,
                    member_cluster,
                    recreate: if recreate { "true" } else { "false" },
                })
                .inc(),
            Request::Update(update) => self
                .updated
                .get_or_create(&UpdateLabels {
                    result,
                    apiversion,
                    kind,
                    member_cluster,
                    operationResult: update.as_str(),
                })
                .inc(),
            Request::Delete => self
                .deleted
                .get_or_create(&DeleteLabels {
                    result,
                    apiversion,
                    kind,
                    member_cluster,
                })
                .inc(),
        }
    }
}

const fn result(succeeded: bool) -> &'static str {
    if succeeded { "success" } else { "error" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_labels_are_the_known_ones() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
        metrics.asked(&manifest, "m1", Request::Create { recreate: true }, true);
        let reply = |version: &str| {
            let object: DynamicObject = serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "resourceVersion": version},
            }))
            .unwrap();
            object
        };
        for result in [
            UpdateResult::of(Some("1"), Some(&reply("2"))),
            UpdateResult::of(Some("1"), Some(&reply("1"))),
            UpdateResult::None,
        ] {
            metrics.asked(&manifest, "m1", Request::Update(result), true);
        }
        let refused = UpdateResult::of(Some("1"), None);
        metrics.asked(&manifest, "m1", Request::Update(refused), false);
        metrics.asked(&manifest, "m1", Request::Delete, false);
        metrics.synced(true, Duration::from_millis(3));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"create_resource_to_cluster{result="success",apiversion="apps/v1",kind="Deployment",member_cluster="m1",recreate="true"} 1"#,
            r#"update_resource_to_cluster{result="success",apiversion="apps/v1",kind="Deployment",member_cluster="m1",operationResult="updated"} 1"#,
            r#"update_resource_to_cluster{result="success",apiversion="apps/v1",kind="Deployment",member_cluster="m1",operationResult="unchanged"} 1"#,
            r#"update_resource_to_cluster{result="success",apiversion="apps/v1",kind="Deployment",member_cluster="m1",operationResult="none"} 1"#,
            r#"update_resource_to_cluster{result="error",apiversion="apps/v1",kind="Deployment",member_cluster="m1",operationResult="none"} 1"#,
            r#"delete_resource_from_cluster{result="error",apiversion="apps/v1",kind="Deployment",member_cluster="m1"} 1"#,
            r#"work_sync_workload_duration_seconds_count{result="success"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}

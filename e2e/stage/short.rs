//! What stories look at most, in few words.

use serde_json::Value;

use super::{Scene, condition};

pub const BINDINGS: &str = "resourcebindings.work.karmada.io";
pub const WORKS: &str = "works.work.karmada.io";

impl Scene {
    /// Waits until a `ResourceBinding` is as told.
    pub async fn binding(
        &self,
        name: &str,
        is: &str,
        holds: impl Fn(&Value) -> bool + Send,
    ) -> Value {
        self.until("control", BINDINGS, name, is, holds).await
    }

    /// Waits until every cluster of a `ResourceBinding` has its object.
    pub async fn applied(&self, name: &str) -> Value {
        self.binding(name, "fully applied", is_applied).await
    }

    /// Waits until the Work of an object is as told.
    pub async fn work(
        &self,
        cluster: &str,
        kind: &str,
        name: &str,
        is: &str,
        holds: impl Fn(&Value) -> bool + Send,
    ) -> Value {
        let path = self.work_path(cluster, kind, name);
        self.until("control", WORKS, &path, is, holds).await
    }

    /// Waits until the Work of an object does not exist.
    pub async fn until_no_work(&self, cluster: &str, kind: &str, name: &str) {
        let path = self.work_path(cluster, kind, name);
        self.until_gone("control", WORKS, &path).await;
    }

    /// `execution-namespace/name` of the Work of an object.
    pub fn work_path(&self, cluster: &str, kind: &str, name: &str) -> String {
        format!(
            "{}/{}",
            crds::names::execution_namespace(cluster),
            crds::names::work_name(name, kind, Some(&self.namespace))
        )
    }

    /// Says where the members are: two in the north, where the first has two zones, and one in the south at another provider. Every
    /// story that asks says the same.
    pub fn place_members(&self) {
        for (member, provider, region, zones) in [
            ("member1", "acme", "north", r#"["north-1", "north-2"]"#),
            ("member2", "acme", "north", r#"["north-2"]"#),
            ("member3", "globex", "south", r#"["south-1"]"#),
        ] {
            let patch = format!(
                r#"{{"spec": {{"provider": "{provider}", "region": "{region}", "zones": {zones}}}}}"#
            );
            let args = ["patch", "cluster", member, "--type=merge", "-p", &patch];
            self.kubectl("control", &args);
        }
    }

    /// Merges a patch, in JSON, into an object of this scene.
    pub fn merge(&self, cluster: &str, kind: &str, name: &str, patch: &str) {
        self.kubectl(cluster, &["patch", kind, name, "--type=merge", "-p", patch]);
    }

    /// Puts these finalizers on a Work, given as `execution-namespace/name`; a list in JSON.
    pub fn set_finalizers(&self, work: &str, finalizers: &str) {
        let (space, name) = work.split_once('/').unwrap();
        let body = format!(r#"{{"metadata": {{"finalizers": {finalizers}}}}}"#);
        let args = [
            "patch",
            "work",
            "-n",
            space,
            name,
            "--type=merge",
            "-p",
            &body,
        ];
        self.kubectl("control", &args);
    }

    /// Waits until a Role that is made now has arrived everywhere: whatever was asked for before has then been looked at.
    pub async fn meanwhile(&self, name: &str) {
        self.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}, namespace: {{ns}}}}
rules: []
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: {name}, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, name: {name}}}]
  placement: {{clusterAffinity: {{clusterNames: [member1, member2, member3]}}}}
"
        ));
        for member in ["member1", "member2", "member3"] {
            self.until(
                member,
                "roles.rbac.authorization.k8s.io",
                name,
                "there",
                |_| true,
            )
            .await;
        }
    }
}

/// Whether `FullyApplied` is true.
pub fn is_applied(binding: &Value) -> bool {
    condition(binding, "FullyApplied") == "True/FullyAppliedSuccess"
}

/// The message of a condition.
pub fn message(object: &Value, type_: &str) -> String {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == type_)
        .and_then(|condition| condition["message"].as_str())
        .unwrap_or_default()
        .to_owned()
}

/// What a binding says about one of its clusters.
pub fn item<'v>(binding: &'v Value, cluster: &str) -> &'v Value {
    let items = binding["status"]["aggregatedStatus"].as_array();
    items
        .into_iter()
        .flatten()
        .find(|item| item["clusterName"] == cluster)
        .unwrap_or(&Value::Null)
}

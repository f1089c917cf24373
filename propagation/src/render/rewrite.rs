//! Works that somebody deleted by hand, until they are written again.
//!
//! The object stays in the member meanwhile. If nobody wants the Work any more by the time it is gone, no Work would be left to take
//! the object away. So the binding notes the objects before the Work may go, and a Work that stands in for it is made where the binding
//! does not want one: that goes, and its object with it, as any other.

use std::collections::BTreeMap;

use crds::object::{self, Key};
use crds::work::{Binding, Work, WorkSpec, WorkloadTemplate};
use crds::{keys, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Begins the annotations on bindings that note Works; the name of the cluster follows.
const REWRITES: &str = "navarch.dev/rewrites-";
/// Annotation on a Work that only stands for objects which an earlier one of its name left in the member.
pub const STANDS_IN: &str = "navarch.dev/stands-in";

/// A Work that is to be written again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    work: String,
    objects: Vec<Named>,
}

/// Names an object in the member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    api_version: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
}

impl Named {
    fn of(manifest: &Value) -> Self {
        Self {
            api_version: object::api_version(manifest).to_owned(),
            kind: object::kind(manifest).to_owned(),
            namespace: object::namespace(manifest).map(ToOwned::to_owned),
            name: object::name(manifest).to_owned(),
        }
    }

    fn manifest(&self) -> Value {
        let mut manifest = json!({
            "apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": self.name},
        });
        if let Some(namespace) = &self.namespace {
            manifest["metadata"]["namespace"] = namespace.clone().into();
        }
        manifest
    }
}

/// The annotation of a binding that notes this Work of it; `None` outside of execution namespaces.
pub fn note(work: &Work) -> Option<(String, String)> {
    let namespace = work.metadata.namespace.as_deref()?;
    let cluster = names::cluster_of_execution_namespace(namespace).ok()?;
    let manifests = &work.spec.workload.manifests;
    let rewrite = Rewrite {
        work: work.metadata.name.clone()?,
        objects: manifests.iter().map(Named::of).collect(),
    };
    let text = serde_json::to_string(&rewrite).ok()?;
    Some((annotation(cluster), text))
}

/// The annotation of a binding that notes its Work in this cluster.
pub fn annotation(cluster: &str) -> String {
    format!("{REWRITES}{cluster}")
}

/// The Works that a binding notes, by cluster. What cannot be read is passed over.
pub fn rewrites(binding: &ObjectMeta) -> BTreeMap<String, Rewrite> {
    let annotations = binding.annotations.iter().flatten();
    annotations
        .filter_map(|(key, text)| {
            let cluster = key.strip_prefix(REWRITES)?;
            Some((cluster.to_owned(), serde_json::from_str(text).ok()?))
        })
        .collect()
}

impl Rewrite {
    /// Namespace and name of the Work in this cluster.
    pub fn key(&self, cluster: &str) -> Key {
        Key::new(&names::execution_namespace(cluster), &self.work)
    }

    /// The Work that stands in; it is carried out only by being deleted. `None` if the binding has no permanent id.
    pub fn stand_in<B: Binding>(
        &self,
        cluster: &str,
        binding: &B,
        permanent_id: &str,
    ) -> Option<Work> {
        let of = binding.key();
        let mut annotations = BTreeMap::from([
            (STANDS_IN.to_owned(), keys::TRUE.to_owned()),
            (B::NAME_ANNOTATION.to_owned(), of.name),
        ]);
        if let Some(key) = B::NAMESPACE_ANNOTATION {
            annotations.insert(key.to_owned(), of.namespace.unwrap_or_default());
        }
        let labels = BTreeMap::from([
            (B::PERMANENT_ID.to_owned(), binding.permanent_id()?.into()),
            (keys::WORK_PERMANENT_ID.to_owned(), permanent_id.to_owned()),
        ]);
        let key = self.key(cluster);
        Some(Work {
            metadata: ObjectMeta {
                name: Some(key.name),
                namespace: key.namespace,
                labels: Some(labels),
                annotations: Some(annotations),
                finalizers: Some(vec![keys::finalizers::EXECUTION_CONTROLLER.to_owned()]),
                ..ObjectMeta::default()
            },
            spec: WorkSpec {
                workload: WorkloadTemplate {
                    manifests: self.objects.iter().map(Named::manifest).collect(),
                },
                suspend_dispatching: Some(true),
                preserve_resources_on_deletion: binding.spec().preserve_resources_on_deletion,
            },
            status: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use crds::work::ResourceBinding;

    use super::*;

    #[test]
    fn a_noted_work_is_stood_in_for() {
        let work: Work = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "namespace": "karmada-es-m1"},
            "spec": {"workload": {"manifests": [{
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 3},
            }]}},
        }))
        .unwrap();
        let (key, text) = note(&work).unwrap();
        assert_eq!(key, annotation("m1"));
        let mut binding: ResourceBinding = serde_json::from_value(json!({
            "metadata": {
                "name": "web-deployment", "namespace": "shop",
                "labels": {keys::RESOURCE_BINDING_PERMANENT_ID: "id"},
                "annotations": {key: text, annotation("m2"): "odd", "other": "{}"},
            },
            "spec": {"resource": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        }))
        .unwrap();
        let noted = rewrites(&binding.metadata);
        assert_eq!(noted.keys().collect::<Vec<_>>(), ["m1"]);
        let rewrite = &noted["m1"];
        assert_eq!(rewrite.key("m1"), Key::of_meta(&work.metadata));
        let stand_in = rewrite.stand_in("m1", &binding, "fresh").unwrap();
        assert_eq!(
            serde_json::to_value(&stand_in).unwrap(),
            json!({
                "apiVersion": "work.karmada.io/v1alpha1", "kind": "Work",
                "metadata": {
                    "name": "web-1", "namespace": "karmada-es-m1",
                    "labels": {keys::RESOURCE_BINDING_PERMANENT_ID: "id", keys::WORK_PERMANENT_ID: "fresh"},
                    "annotations": {
                        keys::RESOURCE_BINDING_NAME: "web-deployment",
                        keys::RESOURCE_BINDING_NAMESPACE: "shop",
                        STANDS_IN: "true",
                    },
                    "finalizers": [keys::finalizers::EXECUTION_CONTROLLER],
                },
                "spec": {"suspendDispatching": true, "workload": {"manifests": [{
                    "apiVersion": "apps/v1", "kind": "Deployment",
                    "metadata": {"name": "web", "namespace": "shop"},
                }]}},
            })
        );
        binding.metadata.labels = None;
        assert_eq!(rewrite.stand_in("m1", &binding, "fresh"), None);
    }
}

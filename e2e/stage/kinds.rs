//! Resource names of the kinds that stories look at, and kinds that stories bring.

use kube::api::ApiResource;

use super::{Scene, condition};

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// A definition of a namespaced kind whose objects may have any fields; `plural.group` is its name.
pub fn definition(name: &str, kind: &str) -> String {
    let (plural, group) = name.split_once('.').unwrap();
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {name}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: {plural}, kind: {kind}}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    )
}

impl Scene {
    /// Applies a [`definition`] to clusters, and waits until they serve the kind.
    pub async fn define(&self, clusters: &[&str], name: &str, kind: &str) {
        for cluster in clusters {
            self.apply_to(cluster, &definition(name, kind));
        }
        for cluster in clusters {
            self.until_established(cluster, name).await;
        }
    }

    /// Takes a definition from the control plane, and with it the templates of its kind.
    pub async fn undefine(&self, name: &str) {
        self.kubectl("control", &["delete", "crd", name, "--wait=false"]);
        self.until_gone("control", DEFINITIONS, name).await;
    }

    /// Waits until a cluster serves the kind of a definition.
    pub async fn until_established(&self, cluster: &str, name: &str) {
        self.until(cluster, DEFINITIONS, name, "established", |it| {
            condition(it, "Established").starts_with("True/")
        })
        .await;
    }
}

/// The resource called `plural.group`, and whether it lives in namespaces.
pub fn resource(name: &str) -> (ApiResource, bool) {
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    let (version, kind, namespaced) = match (plural, group) {
        ("configmaps", "") => ("v1", "ConfigMap", true),
        ("events", "") => ("v1", "Event", true),
        ("namespaces", "") => ("v1", "Namespace", false),
        ("persistentvolumes", "") => ("v1", "PersistentVolume", false),
        ("persistentvolumeclaims", "") => ("v1", "PersistentVolumeClaim", true),
        ("pods", "") => ("v1", "Pod", true),
        ("secrets", "") => ("v1", "Secret", true),
        ("serviceaccounts", "") => ("v1", "ServiceAccount", true),
        ("services", "") => ("v1", "Service", true),
        ("deployments", "apps") => ("v1", "Deployment", true),
        ("replicasets", "apps") => ("v1", "ReplicaSet", true),
        ("statefulsets", "apps") => ("v1", "StatefulSet", true),
        ("daemonsets", "apps") => ("v1", "DaemonSet", true),
        ("cronjobs", "batch") => ("v1", "CronJob", true),
        ("jobs", "batch") => ("v1", "Job", true),
        ("horizontalpodautoscalers", "autoscaling") => ("v2", "HorizontalPodAutoscaler", true),
        ("poddisruptionbudgets", "policy") => ("v1", "PodDisruptionBudget", true),
        ("endpointslices", "discovery.k8s.io") => ("v1", "EndpointSlice", true),
        ("ingresses", "networking.k8s.io") => ("v1", "Ingress", true),
        ("roles", "rbac.authorization.k8s.io") => ("v1", "Role", true),
        ("clusterroles", "rbac.authorization.k8s.io") => ("v1", "ClusterRole", false),
        ("customresourcedefinitions", "apiextensions.k8s.io") => {
            ("v1", "CustomResourceDefinition", false)
        }
        ("blobs", "large.example.com") => ("v1", "Blob", true),
        ("clusters", "cluster.karmada.io") => ("v1alpha1", "Cluster", false),
        ("works", "work.karmada.io") => ("v1alpha1", "Work", true),
        ("resourcebindings", "work.karmada.io") => ("v1alpha2", "ResourceBinding", true),
        ("clusterresourcebindings", "work.karmada.io") => {
            ("v1alpha2", "ClusterResourceBinding", false)
        }
        ("clusteroverridepolicies", "policy.karmada.io") => {
            ("v1alpha1", "ClusterOverridePolicy", false)
        }
        ("clusterpropagationpolicies", "policy.karmada.io") => {
            ("v1alpha1", "ClusterPropagationPolicy", false)
        }
        ("overridepolicies", "policy.karmada.io") => ("v1alpha1", "OverridePolicy", true),
        ("workloadrebalancers", "apps.karmada.io") => ("v1alpha1", "WorkloadRebalancer", false),
        ("propagationpolicies", "policy.karmada.io") => ("v1alpha1", "PropagationPolicy", true),
        ("gadgets", "brake.example.com" | "e2e.example.com") => ("v1", "Gadget", true),
        ("gauges", "e2e.example.com") => ("v1", "Gauge", true),
        ("gizmos", "e2e.example.com") => ("v1", "Gizmo", true),
        ("grommets", "e2e.example.com") => ("v1", "Grommet", true),
        ("gyros", "e2e.example.com") => ("v1", "Gyro", true),
        ("leases", "coordination.k8s.io") => ("v1", "Lease", true),
        ("widgets", "e2e.example.com") => ("v1", "Widget", true),
        ("subnets", "kubeovn.io") => ("v1", "Subnet", false),
        ("virtualmachines", "kubevirt.io") => ("v1", "VirtualMachine", true),
        _ => panic!("add {name} to e2e/stage/kinds.rs"),
    };
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version,
        kind: kind.into(),
        plural: plural.into(),
    };
    (resource, namespaced)
}

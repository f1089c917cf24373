//! Labels, annotations, finalizers, taints and namespaces by which objects find each other.
//!
//! Keys ending in `/namespace` and `/name` exist as labels on some kinds and as annotations on others; the documentation of each
//! constant says where it is used.

// Permanent ids: labels with a random version-4 UUID, lower case and hyphenated.

/// Label: the permanent id of a PropagationPolicy; on the policy, the template it claimed and that template's binding.
pub const PROPAGATION_POLICY_PERMANENT_ID: &str = "propagationpolicy.karmada.io/permanent-id";
/// Label: the permanent id of a ClusterPropagationPolicy; on the policy, the template it claimed and that template's binding.
pub const CLUSTER_PROPAGATION_POLICY_PERMANENT_ID: &str =
    "clusterpropagationpolicy.karmada.io/permanent-id";
/// Label: the permanent id of a ResourceBinding; on the binding, its Works and their manifests. Works are found by it alone.
pub const RESOURCE_BINDING_PERMANENT_ID: &str = "resourcebinding.karmada.io/permanent-id";
/// Label: the permanent id of a ClusterResourceBinding; on the binding, its Works and their manifests.
pub const CLUSTER_RESOURCE_BINDING_PERMANENT_ID: &str =
    "clusterresourcebinding.karmada.io/permanent-id";
/// Label: the permanent id of a Work; on the Work, its manifests and the EndpointSlices imported from it.
pub const WORK_PERMANENT_ID: &str = "work.karmada.io/permanent-id";
/// Label: the permanent id of a MultiClusterService; on it, the Service it claimed, that Service's binding and marker Works.
pub const MULTI_CLUSTER_SERVICE_PERMANENT_ID: &str = "multiclusterservice.karmada.io/permanent-id";

// Labels.

/// Label: `"true"` on objects in members that the control plane wrote. Objects without it are never deleted.
pub const MANAGED: &str = "karmada.io/managed";
/// Label: `"true"` on namespaces, Secrets and RBAC that the control plane itself needs.
pub const SYSTEM: &str = "karmada.io/system";
/// Label: `rbac-defaults` on objects that installers create.
pub const BOOTSTRAPPING: &str = "karmada.io/bootstrapping";
/// The value of [`MANAGED`] and [`SYSTEM`].
pub const TRUE: &str = "true";
/// Label on ResourceBindings that another controller than the policies' builds, with its name; the scheduler then needs no
/// policy.
pub const BINDING_MANAGED_BY: &str = "binding.karmada.io/managed-by";
/// Label on templates with the name of a controller that propagates them; any value hides the template from policies.
pub const CLAIMED_BY: &str = "resourcetemplate.karmada.io/claimed-by";
/// Label on templates: exactly `true` keeps replicas as they are found in the member.
pub const RETAIN_REPLICAS: &str = "resourcetemplate.karmada.io/retain-replicas";
/// Label on any object: [`DELETION_PROTECTED_ALWAYS`] forbids its deletion.
pub const DELETION_PROTECTED: &str = "resourcetemplate.karmada.io/deletion-protected";
/// The value of [`DELETION_PROTECTED`] that protects.
pub const DELETION_PROTECTED_ALWAYS: &str = "Always";
/// Label on Namespaces: `true`, in any case, keeps the namespace from being propagated by itself.
pub const SKIP_AUTO_PROPAGATION: &str = "namespace.karmada.io/skip-auto-propagation";
/// The beginning of the label on attached ResourceBindings that says which binding needs them; see
/// [`depended_by_label`](crate::names::depended_by_label). The value is that binding's permanent id.
pub const DEPENDED_BY_PREFIX: &str = "resourcebinding.karmada.io/depended-by-";
/// Label on Works with a collected EndpointSlice: the namespace of the Service.
pub const ENDPOINT_SLICE_NAMESPACE: &str = "endpointslice.karmada.io/namespace";
/// Label on Works with a collected EndpointSlice: the name of the Service.
pub const ENDPOINT_SLICE_NAME: &str = "endpointslice.karmada.io/name";
/// Label on Works with a collected EndpointSlice: `ServiceExport`, `MultiClusterService`, or both joined with `.`.
pub const ENDPOINT_SLICE_WORK_MANAGED_BY: &str = "endpointslice.karmada.io/managed-by";
/// Annotation on dispatched EndpointSlices and their Works: the cluster they come from.
pub const ENDPOINT_SLICE_PROVISION_CLUSTER: &str = "endpointslice.karmada.io/provision-cluster";
/// Label on Works of a MultiClusterService, annotation on its Service and binding: its namespace.
pub const MULTI_CLUSTER_SERVICE_NAMESPACE: &str = "multiclusterservice.karmada.io/namespace";
/// Label on Works of a MultiClusterService, annotation on its Service and binding: its name.
pub const MULTI_CLUSTER_SERVICE_NAME: &str = "multiclusterservice.karmada.io/name";
/// Label on Works that hold ResourceQuotas: the namespace of the FederatedResourceQuota.
pub const FEDERATED_RESOURCE_QUOTA_NAMESPACE: &str = "federatedresourcequota.karmada.io/namespace";
/// Label on Works that hold ResourceQuotas: the name of the FederatedResourceQuota.
pub const FEDERATED_RESOURCE_QUOTA_NAME: &str = "federatedresourcequota.karmada.io/name";
/// Kubernetes' label on EndpointSlices: who writes them.
pub const ENDPOINT_SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`ENDPOINT_SLICE_MANAGED_BY`] on dispatched slices.
pub const ENDPOINT_SLICE_DISPATCH_CONTROLLER: &str = "endpointslice-dispatch-controller.karmada.io";
/// The value of [`ENDPOINT_SLICE_MANAGED_BY`] on imported slices.
pub const ENDPOINT_SLICE_IMPORT_CONTROLLER: &str = "endpointslice-controller.karmada.io";
/// Kubernetes' label on EndpointSlices: the Service they belong to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The value of [`CLAIMED_BY`], [`BINDING_MANAGED_BY`] and [`ENDPOINT_SLICE_WORK_MANAGED_BY`] for MultiClusterServices.
pub const BY_MULTI_CLUSTER_SERVICE: &str = "MultiClusterService";
/// The value of [`ENDPOINT_SLICE_WORK_MANAGED_BY`] for ServiceExports.
pub const BY_SERVICE_EXPORT: &str = "ServiceExport";

// Annotations.

/// Annotation on templates and ResourceBindings: the namespace of the PropagationPolicy that claimed them.
pub const PROPAGATION_POLICY_NAMESPACE: &str = "propagationpolicy.karmada.io/namespace";
/// Annotation on templates and ResourceBindings: the name of the PropagationPolicy that claimed them.
pub const PROPAGATION_POLICY_NAME: &str = "propagationpolicy.karmada.io/name";
/// Annotation on templates and bindings: the name of the ClusterPropagationPolicy that claimed them.
pub const CLUSTER_PROPAGATION_POLICY_NAME: &str = "clusterpropagationpolicy.karmada.io/name";
/// Annotation on Works and manifests: the namespace of the ResourceBinding they come from.
pub const RESOURCE_BINDING_NAMESPACE: &str = "resourcebinding.karmada.io/namespace";
/// Annotation on Works and manifests: the name of the ResourceBinding they come from.
pub const RESOURCE_BINDING_NAME: &str = "resourcebinding.karmada.io/name";
/// Annotation on Works and manifests: the name of the ClusterResourceBinding they come from.
pub const CLUSTER_RESOURCE_BINDING_NAME: &str = "clusterresourcebinding.karmada.io/name";
/// Annotation on manifests and imported EndpointSlices: the namespace of their Work.
pub const WORK_NAMESPACE: &str = "work.karmada.io/namespace";
/// Annotation on manifests and imported EndpointSlices: the name of their Work.
pub const WORK_NAME: &str = "work.karmada.io/name";
/// Annotation on templates (by users), Works and manifests: [`CONFLICT_OVERWRITE`] or [`CONFLICT_ABORT`].
pub const CONFLICT_RESOLUTION: &str = "work.karmada.io/conflict-resolution";
/// The value of [`CONFLICT_RESOLUTION`] that takes over objects which exist already.
pub const CONFLICT_OVERWRITE: &str = "overwrite";
/// The value of [`CONFLICT_RESOLUTION`] that leaves objects alone which exist already.
pub const CONFLICT_ABORT: &str = "abort";
/// Annotation on manifests: the uid of the template, by which events reach it; empty when there is no template.
pub const TEMPLATE_UID: &str = "resourcetemplate.karmada.io/uid";
/// Annotation on manifests: the generation of the template in decimal, when it has one.
pub const TEMPLATE_GENERATION: &str = "resourcetemplate.karmada.io/generation";
/// Annotation on manifests: the annotation keys that the control plane owns, sorted and joined with commas.
pub const MANAGED_ANNOTATIONS: &str = "resourcetemplate.karmada.io/managed-annotations";
/// Annotation on manifests: the label keys that the control plane owns, sorted and joined with commas.
pub const MANAGED_LABELS: &str = "resourcetemplate.karmada.io/managed-labels";
/// Annotation on bindings: the placement that was last scheduled, as JSON.
pub const APPLIED_PLACEMENT: &str = "policy.karmada.io/applied-placement";
/// Annotation on Works: the rules of OverridePolicies that were applied, as JSON.
pub const APPLIED_OVERRIDES: &str = "policy.karmada.io/applied-overrides";
/// Annotation on Works: the rules of ClusterOverridePolicies that were applied, as JSON.
pub const APPLIED_CLUSTER_OVERRIDES: &str = "policy.karmada.io/applied-cluster-overrides";
/// Annotation on ResourceBindings with `propagateDeps`: what their template refers to, as JSON.
pub const DEPENDENCIES: &str = "resourcebinding.karmada.io/dependencies";
/// Annotation on objects that search and the unified proxy return: the cluster they come from.
pub const CACHED_FROM_CLUSTER: &str = "resource.karmada.io/cached-from-cluster";
/// Annotation on metrics: the cluster they come from.
pub const QUERY_FROM_CLUSTER: &str = "resource.karmada.io/query-from-cluster";

/// What the keys of the control plane contain. Changes of labels and annotations with such keys are not changes by users, with the
/// exception of [`SKIP_AUTO_PROPAGATION`].
pub const OWN_KEY_PART: &str = ".karmada.io";

/// Whether a change of this label or annotation comes from the control plane and not from a user.
pub fn is_own(key: &str) -> bool {
    key.contains(OWN_KEY_PART) && key != SKIP_AUTO_PROPAGATION
}

/// The labels that the control plane puts on a member object besides those of its template; to be taken off again when the object
/// is left behind.
pub const MANIFEST_LABELS: [&str; 8] = [
    MANAGED,
    WORK_PERMANENT_ID,
    RESOURCE_BINDING_PERMANENT_ID,
    CLUSTER_RESOURCE_BINDING_PERMANENT_ID,
    PROPAGATION_POLICY_PERMANENT_ID,
    CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
    MULTI_CLUSTER_SERVICE_PERMANENT_ID,
    SYSTEM,
];

/// The annotations that the control plane puts on a member object besides those of its template; to be taken off again when the
/// object is left behind.
pub const MANIFEST_ANNOTATIONS: [&str; 15] = [
    MANAGED_ANNOTATIONS,
    MANAGED_LABELS,
    TEMPLATE_UID,
    TEMPLATE_GENERATION,
    RESOURCE_BINDING_NAMESPACE,
    RESOURCE_BINDING_NAME,
    CLUSTER_RESOURCE_BINDING_NAME,
    WORK_NAMESPACE,
    WORK_NAME,
    CONFLICT_RESOLUTION,
    PROPAGATION_POLICY_NAMESPACE,
    PROPAGATION_POLICY_NAME,
    CLUSTER_PROPAGATION_POLICY_NAME,
    MULTI_CLUSTER_SERVICE_NAMESPACE,
    MULTI_CLUSTER_SERVICE_NAME,
];

/// Namespaces with a meaning of their own.
pub mod namespaces {
    /// The control plane's components and the credentials of agents.
    pub const SYSTEM: &str = "karmada-system";
    /// Credentials of members, and the heartbeat Leases of pull clusters.
    pub const CLUSTER: &str = "karmada-cluster";
    /// The beginning of the names of execution namespaces; the rest is the cluster's name.
    pub const EXECUTION_PREFIX: &str = "karmada-es-";

    /// Whether a namespace is the control plane's own. What lives there is never propagated.
    pub fn is_reserved(namespace: &str) -> bool {
        namespace == SYSTEM || namespace == CLUSTER || namespace.starts_with(EXECUTION_PREFIX)
    }
}

/// Finalizers, each removed by the controller it is named after once its clean-up is done.
pub mod finalizers {
    /// On Clusters, until the execution namespace is gone.
    pub const CLUSTER_CONTROLLER: &str = "karmada.io/cluster-controller";
    /// On Works, until the member's objects are deleted or left behind on purpose.
    pub const EXECUTION_CONTROLLER: &str = "karmada.io/execution-controller";
    /// On ResourceBindings, until their Works are deleted.
    pub const BINDING_CONTROLLER: &str = "karmada.io/binding-controller";
    /// On ClusterResourceBindings, until their Works are deleted.
    pub const CLUSTER_RESOURCE_BINDING_CONTROLLER: &str =
        "karmada.io/cluster-resource-binding-controller";
    /// On ResourceBindings with `propagateDeps`, until the bindings attached to them are cleaned up.
    pub const BINDING_DEPENDENCIES_DISTRIBUTOR: &str =
        "karmada.io/binding-dependencies-distributor";
    /// On PropagationPolicies, until their claims are removed.
    pub const PROPAGATION_POLICY_CONTROLLER: &str = "karmada.io/propagation-policy-controller";
    /// On ClusterPropagationPolicies, until their claims are removed.
    pub const CLUSTER_PROPAGATION_POLICY_CONTROLLER: &str =
        "karmada.io/cluster-propagation-policy-controller";
    /// On MultiClusterServices.
    pub const MULTI_CLUSTER_SERVICE_CONTROLLER: &str = "karmada.io/multiclusterservice-controller";
    /// On Works with an EndpointSlice collected for a ServiceExport.
    pub const ENDPOINT_SLICE_CONTROLLER: &str = "karmada.io/endpointslice-controller";
    /// On Works with an EndpointSlice collected for a MultiClusterService.
    pub const MCS_ENDPOINT_SLICE_DISPATCH_CONTROLLER: &str =
        "karmada.io/mcs-endpointslice-dispatch-controller";
    /// Defined by the API; nothing puts it on objects.
    pub const MCS_ENDPOINT_SLICE_COLLECT_CONTROLLER: &str =
        "karmada.io/mcs-endpointslice-collect-controller";
}

/// Keys of taints on Clusters, all with the effect `NoSchedule`.
pub mod taints {
    /// The condition `Ready` is False or absent.
    pub const NOT_READY: &str = "cluster.karmada.io/not-ready";
    /// The condition `Ready` is Unknown.
    pub const UNREACHABLE: &str = "cluster.karmada.io/unreachable";
    /// Somebody cordoned the cluster.
    pub const UNSCHEDULABLE: &str = "cluster.karmada.io/unschedulable";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_keys_contain_the_domain_after_a_dot() {
        for (key, expected) in [
            (WORK_NAME, true),
            (PROPAGATION_POLICY_PERMANENT_ID, true),
            (SKIP_AUTO_PROPAGATION, false),
            // No dot before the domain: as on the wire, such keys count as the user's.
            (MANAGED, false),
            ("app.kubernetes.io/name", false),
        ] {
            assert_eq!(is_own(key), expected, "{key}");
        }
    }

    #[test]
    fn reserved_namespaces() {
        for (namespace, expected) in [
            ("karmada-system", true),
            ("karmada-cluster", true),
            ("karmada-es-m1", true),
            ("karmada-systems", false),
            ("default", false),
        ] {
            assert_eq!(namespaces::is_reserved(namespace), expected, "{namespace}");
        }
    }
}

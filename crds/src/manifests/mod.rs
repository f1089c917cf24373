//! The definitions of the control plane's kinds for the API server, generated from the types.

pub(crate) mod native;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use kube::core::crd::v1::CustomResourceExt;

use crate::work::v1alpha1 as old;
use crate::{
    apps, autoscaling, cluster, config, multicluster, networking, policy, remedy, search, work,
};

/// Every definition, in the order of their names.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        apps::WorkloadRebalancer::crd(),
        autoscaling::CronFederatedHPA::crd(),
        autoscaling::FederatedHPA::crd(),
        clusters(),
        config::ResourceInterpreterCustomization::crd(),
        config::ResourceInterpreterWebhookConfiguration::crd(),
        multicluster::ServiceExport::crd(),
        multicluster::ServiceImport::crd(),
        networking::MultiClusterIngress::crd(),
        networking::MultiClusterService::crd(),
        policy::ClusterOverridePolicy::crd(),
        policy::ClusterPropagationPolicy::crd(),
        policy::ClusterTaintPolicy::crd(),
        policy::FederatedResourceQuota::crd(),
        policy::OverridePolicy::crd(),
        policy::PropagationPolicy::crd(),
        remedy::Remedy::crd(),
        search::ResourceRegistry::crd(),
        bindings(
            old::ClusterResourceBinding::crd(),
            work::ClusterResourceBinding::crd(),
        ),
        bindings(old::ResourceBinding::crd(), work::ResourceBinding::crd()),
        work::Work::crd(),
    ];
    all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    all
}

/// The manifests as YAML by their file names, such as `policy.karmada.io_propagationpolicies.yaml`.
pub fn yaml() -> BTreeMap<String, String> {
    all()
        .into_iter()
        .map(|crd| {
            let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            (file, text(crd))
        })
        .collect()
}

fn text(crd: CustomResourceDefinition) -> String {
    // By way of a value, whose maps are sorted: the order of keys then does not depend on the order of fields.
    let value = serde_json::to_value(crd).expect("definitions hold nothing that JSON cannot say");
    serde_saphyr::to_string(&value).expect("a JSON value can be said in YAML")
}

/// Clusters have one schema under two names. `v1alpha1` is stored and belongs to the aggregated API where one runs; `internal`
/// is how the control plane itself reads and writes, so that it needs the API server alone.
fn clusters() -> CustomResourceDefinition {
    with_version(
        cluster::v1alpha1::Cluster::crd(),
        cluster::Cluster::crd(),
        true,
    )
}

/// Bindings keep their first version in the list, since clients may look for it, but it is not served: its objects would need
/// a conversion, and without one the API server would hand out v1alpha2 objects under its name.
fn bindings(
    old: CustomResourceDefinition,
    current: CustomResourceDefinition,
) -> CustomResourceDefinition {
    with_version(current, old, false)
}

/// Adds the version of another definition, not stored, before the own ones.
fn with_version(
    mut to: CustomResourceDefinition,
    from: CustomResourceDefinition,
    served: bool,
) -> CustomResourceDefinition {
    let added = from
        .spec
        .versions
        .into_iter()
        .map(|version| CustomResourceDefinitionVersion {
            served,
            storage: false,
            ..version
        });
    to.spec.versions.splice(0..0, added);
    to
}

//! Which other objects a template needs.

use crds::config::DependentObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::pod_references::core_reference;
use super::{Kind, PodReferences};
use crate::layer::Options;
use crate::reference;
use crate::value::{items, set, text};

/// Sorted by kind and name. The object has been checked against its type.
pub(super) fn of(kind: Kind, object: &Value, options: Options) -> Vec<DependentObjectReference> {
    let namespace = text(object, &["metadata", "namespace"]);
    let of_pod = |path: &[&str]| set(object, path).map(PodReferences::of).unwrap_or_default();
    match kind {
        Kind::Pod => of_pod(&["spec"]).into_references(namespace),
        Kind::CronJob => {
            of_pod(&["spec", "jobTemplate", "spec", "template", "spec"]).into_references(namespace)
        }
        Kind::StatefulSet => {
            let mut found = of_pod(&["spec", "template", "spec"]);
            // The StatefulSet's controller in the member creates these claims.
            for template in items(object, &["spec", "volumeClaimTemplates"]) {
                found
                    .claims
                    .remove(text(template, &["metadata", "name"]).unwrap_or_default());
            }
            found.into_references(namespace)
        }
        Kind::Ingress => of_ingress(object, namespace, options),
        Kind::ServiceImport => of_service_import(object, namespace),
        _ => of_pod(&["spec", "template", "spec"]).into_references(namespace),
    }
}

/// An entry without a secret is legal: the controller's default certificate is meant. The reference fails on it.
fn of_ingress(
    object: &Value,
    namespace: Option<&str>,
    options: Options,
) -> Vec<DependentObjectReference> {
    let names = items(object, &["spec", "tls"])
        .iter()
        .map(|entry| text(entry, &["secretName"]).unwrap_or_default());
    let usable = names.filter(|name| options.compat || !name.is_empty());
    let mut references: Vec<_> = usable
        .map(|name| core_reference("Secret", namespace, name))
        .collect();
    reference::sort(&mut references);
    references
}

/// The Service and the slices of endpoints that the controllers derive from it.
fn of_service_import(object: &Value, namespace: Option<&str>) -> Vec<DependentObjectReference> {
    let derived = format!(
        "derived-{}",
        text(object, &["metadata", "name"]).unwrap_or_default()
    );
    let slices = DependentObjectReference {
        api_version: "discovery.k8s.io/v1".to_owned(),
        kind: "EndpointSlice".to_owned(),
        namespace: namespace.filter(|it| !it.is_empty()).map(str::to_owned),
        name: None,
        label_selector: Some(LabelSelector {
            match_labels: Some([("kubernetes.io/service-name".to_owned(), derived.clone())].into()),
            match_expressions: None,
        }),
    };
    vec![slices, core_reference("Service", namespace, &derived)]
}

//! The definitions as clients and installers see them.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}

/// With `UPDATE_MANIFESTS=1` in the environment the files are written instead.
#[test]
fn files_are_up_to_date() {
    let wanted = crds::manifests::yaml();
    let present: BTreeMap<String, String> = std::fs::read_dir(folder())
        .into_iter()
        .flatten()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    let names: BTreeSet<_> = wanted.keys().chain(present.keys()).collect();
    let stale: Vec<_> = names
        .into_iter()
        .filter(|name| wanted.get(*name) != present.get(*name))
        .collect();
    if std::env::var("UPDATE_MANIFESTS").is_ok_and(|it| it == "1") {
        std::fs::create_dir_all(folder()).unwrap();
        for name in stale {
            let path = folder().join(name);
            match wanted.get(name) {
                Some(text) => std::fs::write(path, text).unwrap(),
                None => std::fs::remove_file(path).unwrap(),
            }
        }
        return;
    }
    assert!(
        stale.is_empty(),
        "stale files in crds/manifests: {stale:?}; run `navarch crds`, or this test with UPDATE_MANIFESTS=1"
    );
}

#[test]
fn yaml_reads_back_as_the_definition() {
    let by_file: BTreeMap<String, CustomResourceDefinition> = crds::manifests::all()
        .into_iter()
        .map(|crd| {
            let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            (file, crd)
        })
        .collect();
    let yaml = crds::manifests::yaml();
    assert_eq!(by_file.len(), yaml.len());
    for (file, text) in yaml {
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            read,
            serde_json::to_value(&by_file[&file]).unwrap(),
            "{file}"
        );
    }
}

/// Above this size `kubectl apply` on the client's side fails, since it keeps a copy in an annotation.
#[test]
fn definitions_fit_into_an_annotation() {
    for crd in crds::manifests::all() {
        let name = crd.metadata.name.clone().unwrap();
        let size = serde_json::to_vec(&crd).unwrap().len();
        assert!(size < 256 * 1024, "{name} takes {size} bytes");
    }
}

/// `kubectl explain` prints descriptions; every field that a user sets has one.
#[test]
fn every_field_is_described() {
    fn walk(path: &str, schema: &Value, missing: &mut Vec<String>) {
        let properties = schema["properties"].as_object();
        for (name, field) in properties.into_iter().flatten() {
            let path = format!("{path}.{name}");
            if !field["description"].is_string() && name != "metadata" {
                missing.push(path.clone());
            }
            walk(&path, field, missing);
        }
        for element in ["items", "additionalProperties"] {
            if schema[element].is_object() {
                walk(path, &schema[element], missing);
            }
        }
    }
    let mut missing = Vec::new();
    for crd in crds::manifests::all() {
        for version in &crd.spec.versions {
            let schema = serde_json::to_value(version.schema.as_ref().unwrap()).unwrap();
            let schema = &schema["openAPIV3Schema"];
            let at = format!("{}/{}", crd.spec.names.kind, version.name);
            let about = schema["description"].as_str().unwrap_or_default();
            assert!(about.len() > 20, "{at} is described by {about:?}");
            walk(&at, schema, &mut missing);
        }
    }
    assert!(missing.is_empty(), "without description: {missing:#?}");
}

/// A kind as users know it: names, scope, versions, columns, subresources.
struct Surface {
    name: &'static str,
    kind: &'static str,
    singular: &'static str,
    short: &'static str,
    /// In the category `karmada-io`.
    category: bool,
    namespaced: bool,
    /// In order; `s` after a colon marks the stored one, `-` one that is not served.
    versions: &'static str,
    /// `status`, `empty` or `none`.
    subresources: &'static str,
    /// `NAME=path (type)` of the stored version, joined by `; `.
    columns: &'static str,
}

const POLICY_COLUMNS: &str = "CONFLICT-RESOLUTION=.spec.conflictResolution (string); PRIORITY=.spec.priority (string); AGE=.metadata.creationTimestamp (date)";
const BINDING_COLUMNS: &str = r#"SCHEDULED=.status.conditions[?(@.type=="Scheduled")].status (string); FULLYAPPLIED=.status.conditions[?(@.type=="FullyApplied")].status (string); AGE=.metadata.creationTimestamp (date)"#;

#[rustfmt::skip]
const SURFACES: &[Surface] = &[
    Surface { name: "propagationpolicies.policy.karmada.io", kind: "PropagationPolicy", singular: "propagationpolicy", short: "pp", category: true, namespaced: true, versions: "v1alpha1:s", subresources: "empty", columns: POLICY_COLUMNS },
    Surface { name: "clusterpropagationpolicies.policy.karmada.io", kind: "ClusterPropagationPolicy", singular: "clusterpropagationpolicy", short: "cpp", category: true, namespaced: false, versions: "v1alpha1:s", subresources: "empty", columns: POLICY_COLUMNS },
    Surface { name: "overridepolicies.policy.karmada.io", kind: "OverridePolicy", singular: "overridepolicy", short: "op", category: true, namespaced: true, versions: "v1alpha1:s", subresources: "none", columns: "" },
    Surface { name: "clusteroverridepolicies.policy.karmada.io", kind: "ClusterOverridePolicy", singular: "clusteroverridepolicy", short: "cop", category: true, namespaced: false, versions: "v1alpha1:s", subresources: "none", columns: "" },
    Surface { name: "federatedresourcequotas.policy.karmada.io", kind: "FederatedResourceQuota", singular: "federatedresourcequota", short: "", category: true, namespaced: true, versions: "v1alpha1:s", subresources: "status", columns: "OVERALL=.status.overall (string); OVERALL_USED=.status.overallUsed (string)" },
    Surface { name: "clustertaintpolicies.policy.karmada.io", kind: "ClusterTaintPolicy", singular: "clustertaintpolicy", short: "", category: false, namespaced: false, versions: "v1alpha1:s", subresources: "none", columns: "" },
    Surface { name: "works.work.karmada.io", kind: "Work", singular: "work", short: "wk", category: true, namespaced: true, versions: "v1alpha1:s", subresources: "status", columns: r#"WORKLOAD-KIND=.spec.workload.manifests[*].kind (string); APPLIED=.status.conditions[?(@.type=="Applied")].status (string); AGE=.metadata.creationTimestamp (date)"# },
    Surface { name: "resourcebindings.work.karmada.io", kind: "ResourceBinding", singular: "resourcebinding", short: "rb", category: true, namespaced: true, versions: "v1alpha1:- v1alpha2:s", subresources: "status", columns: BINDING_COLUMNS },
    Surface { name: "clusterresourcebindings.work.karmada.io", kind: "ClusterResourceBinding", singular: "clusterresourcebinding", short: "crb", category: true, namespaced: false, versions: "v1alpha1:- v1alpha2:s", subresources: "status", columns: BINDING_COLUMNS },
    Surface { name: "resourceinterpretercustomizations.config.karmada.io", kind: "ResourceInterpreterCustomization", singular: "resourceinterpretercustomization", short: "ric", category: true, namespaced: false, versions: "v1alpha1:s", subresources: "empty", columns: "TARGET-API-VERSION=.spec.target.apiVersion (string); TARGET-KIND=.spec.target.kind (string); AGE=.metadata.creationTimestamp (date)" },
    Surface { name: "resourceinterpreterwebhookconfigurations.config.karmada.io", kind: "ResourceInterpreterWebhookConfiguration", singular: "resourceinterpreterwebhookconfiguration", short: "", category: true, namespaced: false, versions: "v1alpha1:s", subresources: "none", columns: "" },
    Surface { name: "multiclusteringresses.networking.karmada.io", kind: "MultiClusterIngress", singular: "multiclusteringress", short: "mci", category: true, namespaced: true, versions: "v1alpha1:s", subresources: "status", columns: "" },
    Surface { name: "multiclusterservices.networking.karmada.io", kind: "MultiClusterService", singular: "multiclusterservice", short: "mcs", category: true, namespaced: true, versions: "v1alpha1:s", subresources: "status", columns: "" },
    Surface { name: "federatedhpas.autoscaling.karmada.io", kind: "FederatedHPA", singular: "federatedhpa", short: "fhpa", category: true, namespaced: true, versions: "v1alpha1:s", subresources: "status", columns: "REFERENCE-KIND=.spec.scaleTargetRef.kind (string); REFERENCE-NAME=.spec.scaleTargetRef.name (string); MINPODS=.spec.minReplicas (integer); MAXPODS=.spec.maxReplicas (integer); REPLICAS=.status.currentReplicas (integer); AGE=.metadata.creationTimestamp (date)" },
    Surface { name: "cronfederatedhpas.autoscaling.karmada.io", kind: "CronFederatedHPA", singular: "cronfederatedhpa", short: "cronfhpa", category: true, namespaced: true, versions: "v1alpha1:s", subresources: "status", columns: "REFERENCE-KIND=.spec.scaleTargetRef.kind (string); REFERENCE-NAME=.spec.scaleTargetRef.name (string); AGE=.metadata.creationTimestamp (date)" },
    Surface { name: "workloadrebalancers.apps.karmada.io", kind: "WorkloadRebalancer", singular: "workloadrebalancer", short: "", category: false, namespaced: false, versions: "v1alpha1:s", subresources: "status", columns: "" },
    Surface { name: "remedies.remedy.karmada.io", kind: "Remedy", singular: "remedy", short: "", category: true, namespaced: false, versions: "v1alpha1:s", subresources: "none", columns: "" },
    Surface { name: "serviceexports.multicluster.x-k8s.io", kind: "ServiceExport", singular: "serviceexport", short: "svcex", category: false, namespaced: true, versions: "v1alpha1:s", subresources: "status", columns: "Age=.metadata.creationTimestamp (date)" },
    Surface { name: "serviceimports.multicluster.x-k8s.io", kind: "ServiceImport", singular: "serviceimport", short: "svcim", category: false, namespaced: true, versions: "v1alpha1:s", subresources: "status", columns: "Type=.spec.type (string); IP=.spec.ips (string); Age=.metadata.creationTimestamp (date)" },
    // Served by aggregated servers in Karmada; the columns stand for the table that these print.
    Surface { name: "clusters.cluster.karmada.io", kind: "Cluster", singular: "cluster", short: "", category: false, namespaced: false, versions: "internal v1alpha1:s", subresources: "status", columns: r#"Version=.status.kubernetesVersion (string); Mode=.spec.syncMode (string); Ready=.status.conditions[?(@.type=="Ready")].status (string); Age=.metadata.creationTimestamp (date); Zones=.spec.zones (string) wide; Region=.spec.region (string) wide; Provider=.spec.provider (string) wide; API-Endpoint=.spec.apiEndpoint (string) wide; Proxy-URL=.spec.proxyURL (string) wide"# },
    Surface { name: "resourceregistries.search.karmada.io", kind: "ResourceRegistry", singular: "resourceregistry", short: "", category: false, namespaced: false, versions: "v1alpha1:s", subresources: "status", columns: "" },
];

#[test]
fn surfaces_are_those_that_clients_know() {
    let all: BTreeMap<String, CustomResourceDefinition> = crds::manifests::all()
        .into_iter()
        .map(|crd| (crd.metadata.name.clone().unwrap(), crd))
        .collect();
    let names: BTreeSet<&str> = all.keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = SURFACES.iter().map(|it| it.name).collect();
    assert_eq!(names, known);
    for surface in SURFACES {
        check(surface, &all[surface.name]);
    }
}

#[track_caller]
fn check(surface: &Surface, crd: &CustomResourceDefinition) {
    let at = surface.name;
    let spec = &crd.spec;
    let names = &spec.names;
    let (plural, group) = at.split_once('.').unwrap();
    assert_eq!(spec.group, group, "{at}");
    assert_eq!(names.plural, plural, "{at}");
    assert_eq!(names.kind, surface.kind, "{at}");
    assert_eq!(
        names.list_kind,
        Some(format!("{}List", surface.kind)),
        "{at}"
    );
    assert_eq!(names.singular.as_deref(), Some(surface.singular), "{at}");
    let short = names.short_names.clone().unwrap_or_default().join(",");
    assert_eq!(short, surface.short, "{at}");
    let categories = names.categories.clone().unwrap_or_default().join(",");
    let category = if surface.category { "karmada-io" } else { "" };
    assert_eq!(categories, category, "{at}");
    let scope = if surface.namespaced {
        "Namespaced"
    } else {
        "Cluster"
    };
    assert_eq!(spec.scope, scope, "{at}");
    assert_eq!(spec.conversion, None, "{at}");

    let versions: Vec<_> = spec.versions.iter().map(version).collect();
    assert_eq!(versions.join(" "), surface.versions, "{at}");
    let stored = spec.versions.iter().find(|it| it.storage).unwrap();
    assert_eq!(columns(stored), surface.columns, "{at}");
    for version in &spec.versions {
        assert_eq!(
            subresources(version),
            surface.subresources,
            "{at}/{}",
            version.name
        );
    }
}

fn version(version: &CustomResourceDefinitionVersion) -> String {
    let name = &version.name;
    match (version.served, version.storage) {
        (true, true) => format!("{name}:s"),
        (true, false) => name.clone(),
        (false, _) => format!("{name}:-"),
    }
}

fn columns(version: &CustomResourceDefinitionVersion) -> String {
    let columns = version.additional_printer_columns.iter().flatten();
    columns
        .map(|it| {
            let wide = if it.priority.unwrap_or_default() > 0 {
                " wide"
            } else {
                ""
            };
            format!("{}={} ({}){wide}", it.name, it.json_path, it.type_)
        })
        .collect::<Vec<_>>()
        .join("; ")
}

fn subresources(version: &CustomResourceDefinitionVersion) -> &'static str {
    match &version.subresources {
        None => "none",
        Some(it) if it.scale.is_some() => "scale",
        Some(it) if it.status.is_some() => "status",
        Some(_) => "empty",
    }
}

//! The config maps, secrets, accounts and claims that a pod names.

use std::collections::BTreeSet;

use crds::config::DependentObjectReference;
use serde_json::Value;

use crate::value::{items, text};

/// Names of objects that a pod needs, each once; empty names are skipped. Optional references are included like any other.
#[derive(Debug, Default)]
pub(crate) struct PodReferences<'a> {
    config_maps: BTreeSet<&'a str>,
    secrets: BTreeSet<&'a str>,
    service_accounts: BTreeSet<&'a str>,
    pub(crate) claims: BTreeSet<&'a str>,
}

impl<'a> PodReferences<'a> {
    /// Of a pod with this `PodSpec`.
    pub(crate) fn of(spec: &'a Value) -> Self {
        let mut found = Self::default();
        for field in ["initContainers", "containers", "ephemeralContainers"] {
            for container in items(spec, &[field]) {
                found.add_environment(container);
            }
        }
        for volume in items(spec, &["volumes"]) {
            found.add_volume(volume);
        }
        for secret in items(spec, &["imagePullSecrets"]) {
            add(&mut found.secrets, secret, &["name"]);
        }
        if text(spec, &["serviceAccountName"]) != Some("default") {
            add(&mut found.service_accounts, spec, &["serviceAccountName"]);
        }
        found
    }

    fn add_environment(&mut self, container: &'a Value) {
        for source in items(container, &["envFrom"]) {
            add(&mut self.config_maps, source, &["configMapRef", "name"]);
            add(&mut self.secrets, source, &["secretRef", "name"]);
        }
        for variable in items(container, &["env"]) {
            add(
                &mut self.config_maps,
                variable,
                &["valueFrom", "configMapKeyRef", "name"],
            );
            add(
                &mut self.secrets,
                variable,
                &["valueFrom", "secretKeyRef", "name"],
            );
        }
    }

    fn add_volume(&mut self, volume: &'a Value) {
        add(&mut self.config_maps, volume, &["configMap", "name"]);
        add(
            &mut self.claims,
            volume,
            &["persistentVolumeClaim", "claimName"],
        );
        for path in [&["azureFile", "secretName"], &["secret", "secretName"]] {
            add(&mut self.secrets, volume, path);
        }
        for source in [
            "cephfs",
            "cinder",
            "flexVolume",
            "rbd",
            "scaleIO",
            "iscsi",
            "storageos",
        ] {
            add(&mut self.secrets, volume, &[source, "secretRef", "name"]);
        }
        add(
            &mut self.secrets,
            volume,
            &["csi", "nodePublishSecretRef", "name"],
        );
        for source in items(volume, &["projected", "sources"]) {
            add(&mut self.config_maps, source, &["configMap", "name"]);
            add(&mut self.secrets, source, &["secret", "name"]);
        }
    }

    /// As references in the owner's namespace, in the order of their kinds and names.
    pub(crate) fn into_references(self, namespace: Option<&str>) -> Vec<DependentObjectReference> {
        let kinds = [
            ("ConfigMap", self.config_maps),
            ("PersistentVolumeClaim", self.claims),
            ("Secret", self.secrets),
            ("ServiceAccount", self.service_accounts),
        ];
        let named = |(kind, names): (&'static str, BTreeSet<&'a str>)| {
            names
                .into_iter()
                .map(move |name| core_reference(kind, namespace, name))
        };
        kinds.into_iter().flat_map(named).collect()
    }
}

/// A reference to a v1 object by name.
pub(crate) fn core_reference(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> DependentObjectReference {
    DependentObjectReference {
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.filter(|it| !it.is_empty()).map(str::to_owned),
        name: Some(name.to_owned()),
        label_selector: None,
    }
}

fn add<'a>(names: &mut BTreeSet<&'a str>, value: &'a Value, path: &[&str]) {
    names.extend(text(value, path).filter(|name| !name.is_empty()));
}

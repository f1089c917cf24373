//! What the tests of several modules share.

use std::sync::Arc;

use crds::cluster::Cluster;
use crds::policy::{PropagationSpec, ResourceSelector};
use interpreter::{Interpreter, StoppedClock};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::matching::{Policy, PolicyRef};

/// Reads a YAML document.
#[track_caller]
pub(crate) fn yaml(text: &str) -> Value {
    crate::yaml::read(text).expect("the document is YAML")
}

/// Reads a typed object from YAML.
#[track_caller]
pub(crate) fn typed<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(yaml(text)).expect("the document fits the type")
}

/// A typed object as a value.
pub(crate) fn value<T: serde::Serialize>(object: &T) -> Value {
    serde_json::to_value(object).expect("API types serialize")
}

pub(crate) fn native() -> Interpreter {
    Interpreter::native(Arc::new(StoppedClock(0)))
}

pub(crate) fn cluster(name: &str) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.metadata.name = Some(name.to_owned());
    cluster
}

pub(crate) fn selector(api_version: &str, kind: &str) -> ResourceSelector {
    ResourceSelector {
        api_version: api_version.into(),
        kind: kind.into(),
        ..ResourceSelector::default()
    }
}

pub(crate) fn named(api_version: &str, kind: &str, name: &str) -> ResourceSelector {
    ResourceSelector {
        name: Some(name.into()),
        ..selector(api_version, kind)
    }
}

pub(crate) fn labelled(api_version: &str, kind: &str, labels: &[(&str, &str)]) -> ResourceSelector {
    let match_labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let label_selector = Some(LabelSelector {
        match_labels: Some(match_labels),
        ..LabelSelector::default()
    });
    ResourceSelector {
        label_selector,
        ..selector(api_version, kind)
    }
}

pub(crate) fn spec(priority: i32, selectors: Vec<ResourceSelector>) -> PropagationSpec {
    PropagationSpec {
        resource_selectors: selectors,
        priority: Some(priority),
        ..PropagationSpec::default()
    }
}

/// A policy whose id is `id-<name>`; without a namespace it is cluster-scoped.
pub(crate) fn policy<'a>(namespace: &str, name: &str, spec: &'a PropagationSpec) -> Policy<'a> {
    let reference = if namespace.is_empty() {
        PolicyRef::cluster(name)
    } else {
        PolicyRef::namespaced(namespace, name)
    };
    let id = Box::leak(format!("id-{name}").into_boxed_str());
    Policy {
        reference,
        id,
        terminating: false,
        spec,
    }
}

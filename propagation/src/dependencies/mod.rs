//! Dependencies follow the resources that need them.
//!
//! The binding of a workload is *independent*, that of something it needs is *attached* to it: `spec.requiredBy` of the attached binding has a
//! snapshot of the clusters of each binding that needs it, and a label per such binding says whose snapshot it is.

mod attach;
mod index;

pub use attach::{Attach, Detach, attach, attached, depended_by, detach, refresh};
pub use index::Index;

use std::collections::BTreeMap;

use crds::config::DependentObjectReference;
use crds::work::{Binding, BindingSnapshot, TargetCluster};
use trace::Sink;

use crate::matching::Subject;
use crate::trace::Item;

/// The text of the dependencies annotation: a JSON list, or `null` when there are none.
pub fn annotation(dependencies: &[DependentObjectReference]) -> String {
    if dependencies.is_empty() {
        return "null".to_owned();
    }
    crate::diff::to_text(&dependencies)
}

/// Reads the dependencies annotation; anything unreadable counts as none.
pub fn parse(annotation: &str) -> Vec<DependentObjectReference> {
    serde_json::from_str::<Option<Vec<_>>>(annotation)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Whether a reference means this object.
pub fn refers_to(reference: &DependentObjectReference, object: &Subject) -> bool {
    if !is_of_kind(reference, object) {
        return false;
    }
    match reference.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => name == object.name,
        None => reference
            .label_selector
            .as_ref()
            .is_some_and(|selector| crds::selector::matches(selector, &object.labels) == Ok(true)),
    }
}

fn is_of_kind(reference: &DependentObjectReference, object: &Subject) -> bool {
    reference.api_version == object.api_version
        && reference.kind == object.kind
        && reference.namespace.as_deref().unwrap_or_default() == object.namespace
}

/// What is known of the resource of an attached binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    Present(&'a Subject),
    /// It does not exist; labels of what does not exist match no selector.
    Absent,
    /// Its kind is not served at the moment, or was not listed yet.
    Unknown,
}

/// Whether an attached binding has nothing to do with the dependencies any more. What is not known never makes one an orphan.
pub fn is_orphan(
    attached: &impl Binding,
    dependencies: &[DependentObjectReference],
    seen: Seen<'_>,
    sink: &mut impl Sink<Item>,
) -> bool {
    let resource = &attached.spec().resource;
    let object = Subject {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
        namespace: resource.namespace.clone().unwrap_or_default(),
        name: resource.name.clone(),
        labels: match seen {
            Seen::Present(subject) => subject.labels.clone(),
            Seen::Absent | Seen::Unknown => BTreeMap::new(),
        },
    };
    let is_named =
        |it: &DependentObjectReference| it.name.as_deref().is_some_and(|name| !name.is_empty());
    let orphan = !dependencies.iter().any(|reference| match seen {
        _ if is_named(reference) => refers_to(reference, &object),
        Seen::Present(_) => refers_to(reference, &object),
        Seen::Absent => false,
        Seen::Unknown => is_of_kind(reference, &object),
    });
    sink.record(|| Item::Dependency {
        binding: attached.meta().name.clone().unwrap_or_default(),
        attached: !orphan,
        reason: if orphan {
            "no dependency refers to it any more"
        } else {
            "a dependency refers to it"
        }
        .to_owned(),
    });
    orphan
}

/// What an attached binding remembers of an independent one.
///
/// Clusters that the workload is leaving gracefully are among the clusters: it still runs there and still needs its dependencies.
pub fn snapshot(independent: &impl Binding) -> BindingSnapshot {
    let spec = independent.spec();
    let mut clusters = spec.clusters.clone();
    for task in &spec.graceful_eviction_tasks {
        let leaves_at_once = task
            .purge_mode
            .is_some_and(crds::policy::PurgeMode::is_directly);
        if !leaves_at_once
            && clusters
                .iter()
                .all(|target| target.name != task.from_cluster)
        {
            clusters.push(TargetCluster {
                name: task.from_cluster.clone(),
                replicas: task.replicas,
            });
        }
    }
    BindingSnapshot {
        namespace: independent.meta().namespace.clone(),
        name: independent.meta().name.clone().unwrap_or_default(),
        clusters,
    }
}

#[cfg(test)]
mod tests;

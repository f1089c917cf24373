//! Binding to Works: one per target cluster.
//!
//! ```text
//! template -> revise replicas -> completions -> overrides -> identity -> conflict resolution -> preserved state -> Draft
//! Draft + permanent id of the Work -> prune, stamp -> Work
//! ```
//!
//! The name of a Work follows from the overridden object, and its permanent id from the Work that has that name already.
//! Hence two steps: [`render`] gives a [`Draft`] with the name, the caller looks the Work up, and [`Draft::upsert`] says what to write.

mod completions;
mod conflict;
mod namespace;
mod rewrite;
mod target;
mod work;

pub use completions::{CompletionsError, completions};
pub use conflict::conflict_resolution;
pub use namespace::{NamespaceRequest, render_namespace};
pub use rewrite::{Rewrite, STANDS_IN, annotation as rewrite_annotation, note, rewrites};
pub use target::{
    Barrier, PURGE_BARRIER, Source, Target, directly_purged, expected_clusters, is_answered,
    occupied, orphans, purge_barrier, targets,
};
pub use work::{Draft, Upsert, UpsertError, stamp};

use std::collections::BTreeMap;

use crds::cluster::Cluster;
use crds::work::{Binding, ResourceBindingSpec};
use crds::{keys, names, object};
use interpreter::Interpreter;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use trace::Sink;

use crate::overrides::{self, Applied, OverrideError};
use crate::trace::Item;

/// Annotation that client-side apply leaves on templates. It repeats the whole object, so it does not travel.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Feature gates that rendering looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gates {
    pub stateful_failover_injection: bool,
}

/// What is the same for all clusters of a binding.
#[derive(Debug, Clone)]
pub struct Plan<'a, B> {
    pub binding: &'a B,
    pub template: &'a Value,
    pub targets: Vec<Target>,
    /// The share of `spec.completions` of a divided Job in each cluster.
    pub completions: Option<BTreeMap<String, i64>>,
    pub gates: Gates,
}

impl<'a, B: Binding> Plan<'a, B> {
    /// Determines the targets and divides completions; an error holds for the whole binding.
    pub fn new(
        binding: &'a B,
        template: &'a Value,
        gates: Gates,
        sink: &mut impl Sink<Item>,
    ) -> Result<Self, CompletionsError> {
        let targets = targets(binding.spec());
        for target in &targets {
            sink.record(|| Item::Target {
                cluster: target.cluster.clone(),
                replicas: target.replicas,
                source: target.source,
            });
        }
        let completions = completions(template, binding.spec(), &targets, sink)?;
        Ok(Self {
            binding,
            template,
            targets,
            completions,
            gates,
        })
    }
}

/// What differs from cluster to cluster.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub target: &'a Target,
    pub cluster: &'a Cluster,
    /// All ClusterOverridePolicies.
    pub cluster_overrides: &'a [overrides::Policy<'a>],
    /// The OverridePolicies of the template's namespace.
    pub overrides: &'a [overrides::Policy<'a>],
    /// With the answers of webhooks as one of its layers.
    pub interpreter: &'a Interpreter,
}

/// Why the manifest for one cluster cannot be made. The other clusters are not concerned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RenderError {
    #[error("{0}")]
    Revise(interpreter::Error),
    #[error("{0}")]
    Override(Box<OverrideError>),
    #[error("the binding has no permanent id yet")]
    NoPermanentId,
    #[error("an override of {field} left the object without one")]
    NoIdentity { field: &'static str },
    #[error("{0}")]
    Prune(String),
}

impl RenderError {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Revise(_) => "ReviseReplicaFailed",
            Self::Override(_) => "OverrideFailed",
            Self::NoPermanentId => "NoPermanentId",
            Self::NoIdentity { .. } => "InvalidManifest",
            Self::Prune(_) => "PruneFailed",
        }
    }

    /// The override rule that failed, if one did.
    pub fn override_error(&self) -> Option<&OverrideError> {
        match self {
            Self::Override(error) => Some(error),
            _ => None,
        }
    }
}

/// Renders the manifest and Work for one cluster.
pub fn render<B: Binding>(
    plan: &Plan<'_, B>,
    place: Place<'_>,
    sink: &mut impl Sink<Item>,
) -> Result<Draft, RenderError> {
    let Place {
        target, cluster, ..
    } = place;
    let spec = plan.binding.spec();
    let id = plan
        .binding
        .permanent_id()
        .ok_or(RenderError::NoPermanentId)?;
    let mut manifest = plan.template.clone();
    if let Some(replicas) = target.replicas.filter(|_| spec.is_workload()) {
        manifest = place
            .interpreter
            .revise_replica(manifest, i64::from(replicas))
            .map_err(RenderError::Revise)?;
        sink.record(|| Item::ReplicasRevised {
            cluster: target.cluster.clone(),
            replicas,
        });
    }
    let shares = plan.completions.as_ref();
    if let Some(share) = shares.and_then(|shares| shares.get(&target.cluster))
        && let Some(completions) = manifest.pointer_mut("/spec/completions")
    {
        *completions = (*share).into();
    }
    let applied = overrides::apply(
        &mut manifest,
        cluster,
        place.cluster_overrides,
        place.overrides,
        sink,
    )
    .map_err(RenderError::Override)?;
    check_identity(&manifest)?;

    let (conflict, ignored) =
        conflict_resolution(&manifest, spec.conflict_resolution, &target.cluster, sink);
    let mut metadata = work_metadata(&manifest, &target.cluster);
    identify(
        plan.binding,
        id,
        &mut manifest,
        &mut metadata,
        plan.template,
    );
    annotate(&mut metadata, &applied);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(keys::CONFLICT_RESOLUTION.to_owned(), conflict.to_owned());
    if plan.gates.stateful_failover_injection {
        inject_preserved_state(&mut manifest, spec, &plan.targets, sink);
    }
    let suspended = spec
        .suspension
        .as_ref()
        .is_some_and(|suspension| suspension.suspends(&target.cluster));
    let draft = Draft::new(
        manifest,
        metadata,
        object::uid(plan.template).unwrap_or_default(),
    )
    .with_flags(
        suspended,
        spec.preserve_resources_on_deletion.unwrap_or(false),
    )
    .with_applied(applied)
    .with_ignored_conflict_resolution(ignored);
    let draft = draft.pruned()?;
    sink.record(|| Item::Rendered {
        cluster: target.cluster.clone(),
        work: draft.key().to_string(),
        suspended,
        manifest: draft.manifest().clone(),
    });
    Ok(draft)
}

fn check_identity(manifest: &Value) -> Result<(), RenderError> {
    for (field, value) in [
        ("apiVersion", object::api_version(manifest)),
        ("kind", object::kind(manifest)),
        ("metadata.name", object::name(manifest)),
    ] {
        if value.is_empty() {
            return Err(RenderError::NoIdentity { field });
        }
    }
    Ok(())
}

/// Name, namespace and finalizer of the Work for an object in a cluster.
pub(crate) fn work_metadata(manifest: &Value, cluster: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(names::work_name(
            object::name(manifest),
            object::kind(manifest),
            object::namespace(manifest),
        )),
        namespace: Some(names::execution_namespace(cluster)),
        finalizers: Some(vec![keys::finalizers::EXECUTION_CONTROLLER.to_owned()]),
        ..ObjectMeta::default()
    }
}

/// Puts the identity of the binding on manifest and Work.
fn identify<B: Binding>(
    binding: &B,
    id: &str,
    manifest: &mut Value,
    work: &mut ObjectMeta,
    template: &Value,
) {
    object::set_label(manifest, B::PERMANENT_ID, id);
    work.labels
        .get_or_insert_default()
        .insert(B::PERMANENT_ID.to_owned(), id.to_owned());
    let key = binding.key();
    let namespace =
        B::NAMESPACE_ANNOTATION.map(|annotation| (annotation, key.namespace.unwrap_or_default()));
    for (annotation, value) in namespace
        .into_iter()
        .chain([(B::NAME_ANNOTATION, key.name)])
    {
        object::set_annotation(manifest, annotation, &value);
        work.annotations
            .get_or_insert_default()
            .insert(annotation.to_owned(), value);
    }
    if let Some(generation) = object::generation(template).filter(|generation| *generation > 0) {
        object::set_annotation(manifest, keys::TEMPLATE_GENERATION, &generation.to_string());
    }
}

/// Puts the record of applied overrides on the Work.
fn annotate(work: &mut ObjectMeta, applied: &Applied) {
    for (key, text) in applied.annotations() {
        if let Some(text) = text {
            work.annotations
                .get_or_insert_default()
                .insert(key.to_owned(), text);
        }
    }
}

/// Gives the successor of a workload that was purged elsewhere the state which was kept of it.
fn inject_preserved_state(
    manifest: &mut Value,
    spec: &ResourceBindingSpec,
    targets: &[Target],
    sink: &mut impl Sink<Item>,
) {
    let ([target], Some(task)) = (targets, spec.graceful_eviction_tasks.last()) else {
        return;
    };
    if !task
        .purge_mode
        .is_some_and(crds::policy::PurgeMode::is_directly)
        || task.clusters_before_failover.contains(&target.cluster)
    {
        return;
    }
    for (key, value) in &task.preserved_label_state {
        object::set_label(manifest, key, value);
    }
    sink.record(|| Item::StateInjected {
        cluster: target.cluster.clone(),
        from: task.from_cluster.clone(),
        labels: task.preserved_label_state.clone(),
    });
}

#[cfg(test)]
mod tests;

//! The Work of automatic namespace propagation.

use crds::cluster::Cluster;
use crds::policy::ConflictResolution;
use crds::{keys, object};
use serde_json::Value;
use trace::Sink;

use super::{Draft, RenderError, annotate, check_identity, work_metadata};
use crate::overrides;
use crate::trace::Item;

/// A Namespace and a cluster that gets it.
#[derive(Debug, Clone, Copy)]
pub struct NamespaceRequest<'a> {
    pub namespace: &'a Value,
    pub cluster: &'a Cluster,
    /// All ClusterOverridePolicies; no other class applies to a cluster-scoped object.
    pub cluster_overrides: &'a [overrides::Policy<'a>],
    /// What happens to a namespace that exists in the member already, when the Namespace does not say so itself. Absent, nothing is
    /// put on the Work, which means abort.
    pub conflict_resolution: Option<ConflictResolution>,
}

/// Renders the Work of a Namespace for one cluster: owned by the Namespace, without binding and without flags.
pub fn render_namespace(
    request: NamespaceRequest<'_>,
    sink: &mut impl Sink<Item>,
) -> Result<Draft, RenderError> {
    let NamespaceRequest {
        namespace,
        cluster,
        cluster_overrides,
        conflict_resolution,
    } = request;
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let mut manifest = namespace.clone();
    let applied = overrides::apply(&mut manifest, cluster, cluster_overrides, &[], sink)
        .map_err(RenderError::Override)?;
    check_identity(&manifest)?;
    let mut metadata = work_metadata(&manifest, name);
    metadata.owner_references = Some(vec![crate::binding::owner(namespace)]);
    annotate(&mut metadata, &applied);
    if let Some(resolution) = conflict_resolution {
        let (value, _) = super::conflict_resolution(&manifest, Some(resolution), name, sink);
        metadata
            .annotations
            .get_or_insert_default()
            .insert(keys::CONFLICT_RESOLUTION.to_owned(), value.to_owned());
    }
    let draft = Draft::new(
        manifest,
        metadata,
        object::uid(namespace).unwrap_or_default(),
    )
    .with_applied(applied)
    .pruned()?;
    sink.record(|| Item::Rendered {
        cluster: name.to_owned(),
        work: draft.key().to_string(),
        suspended: false,
        manifest: draft.manifest().clone(),
    });
    Ok(draft)
}

//! Version v1alpha1 of the Cluster: what users and tools read and write. Same spec and status as `internal`.

use super::{COLUMNS, ClusterSpec, ClusterStatus, rules};

kind! {
    /// A member cluster: how it is reached, and what is known about it.
    pub struct Cluster { spec: ClusterSpec, status: ClusterStatus }
    group: "cluster.karmada.io",
    version: "v1alpha1",
    plural: "clusters",
    singular: "cluster",
    scope: Cluster as ClusterResourceScope,
    short_names: [],
    categories: [],
    columns: COLUMNS,
    subresources: Status,
    rules: rules::CLUSTER,
}

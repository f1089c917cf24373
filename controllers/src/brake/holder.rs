//! Who has something held back.

use crds::{object::Key, work::Binding};

/// Who has something held back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Holder {
    ResourceBinding(Key),
    ClusterResourceBinding(Key),
    Work(Key),
    Cluster(String),
}

impl Holder {
    pub(crate) fn of<B: Binding>(binding: &B) -> Self {
        Self::of_key::<B>(binding.key())
    }

    /// The binding of this kind and key.
    pub(crate) fn of_key<B: Binding>(key: Key) -> Self {
        if B::IS_NAMESPACED {
            Self::ResourceBinding(key)
        } else {
            Self::ClusterResourceBinding(key)
        }
    }

    /// The binding that it is, if it is one of this kind.
    pub(crate) fn binding<B: Binding>(&self) -> Option<&Key> {
        match self {
            Self::ResourceBinding(key) if B::IS_NAMESPACED => Some(key),
            Self::ClusterResourceBinding(key) if !B::IS_NAMESPACED => Some(key),
            _ => None,
        }
    }

    /// The argument of `navarch release-hold` that names the object.
    pub(crate) fn release_argument(&self) -> String {
        let (kind, key) = match self {
            Self::ResourceBinding(key) => ("resourcebinding", key),
            Self::ClusterResourceBinding(key) => ("clusterresourcebinding", key),
            Self::Work(key) => ("work", key),
            Self::Cluster(name) => return format!("cluster/{name}"),
        };
        match &key.namespace {
            Some(namespace) => format!("{kind}/{} -n {namespace}", key.name),
            None => format!("{kind}/{}", key.name),
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ResourceBinding(key) => write!(f, "ResourceBinding {key}"),
            Self::ClusterResourceBinding(key) => write!(f, "ClusterResourceBinding {key}"),
            Self::Work(key) => write!(f, "Work {key}"),
            Self::Cluster(name) => write!(f, "Cluster {name}"),
        }
    }
}

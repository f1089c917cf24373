use std::fmt::Debug;

use kube::core::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ClusterResourceBinding, ResourceBinding, ResourceBindingSpec, ResourceBindingStatus};
use crate::keys;

/// What [`ResourceBinding`] and [`ClusterResourceBinding`] have in common, which is all but names.
///
/// Controllers and the scheduler are generic over it, so that both kinds run through the same code.
pub trait Binding:
    Resource<DynamicType = ()>
    + Clone
    + Debug
    + Default
    + PartialEq
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind's name.
    const KIND: &'static str;
    /// Whether objects of the kind live in namespaces.
    const IS_NAMESPACED: bool;
    /// The label with the permanent id, on the binding and on its Works.
    const PERMANENT_ID: &'static str;
    /// The annotation on Works that names the binding.
    const NAME_ANNOTATION: &'static str;
    /// The annotation on Works with the namespace of the binding, if bindings of the kind have one.
    const NAMESPACE_ANNOTATION: Option<&'static str>;
    /// The finalizer that holds the binding until its Works are gone.
    const FINALIZER: &'static str;

    /// What is propagated, and where to.
    fn spec(&self) -> &ResourceBindingSpec;

    /// What is propagated, and where to.
    fn spec_mut(&mut self) -> &mut ResourceBindingSpec;

    /// What was observed, if anything was yet.
    fn status(&self) -> Option<&ResourceBindingStatus>;

    /// What was observed; an empty status is put in place first when there is none.
    fn status_mut(&mut self) -> &mut ResourceBindingStatus;

    /// Whether objects of the kind live in namespaces.
    fn is_namespaced(&self) -> bool {
        Self::IS_NAMESPACED
    }

    /// The permanent id, by which Works find their binding. None until it was assigned.
    fn permanent_id(&self) -> Option<&str> {
        self.labels()
            .get(Self::PERMANENT_ID)
            .map(String::as_str)
            .filter(|id| !id.is_empty())
    }

    /// The binding's namespace, if it has one, and its name.
    fn key(&self) -> crate::object::Key {
        crate::object::Key {
            namespace: self.namespace(),
            name: self.name_any(),
        }
    }
}

macro_rules! twin {
    ($kind:ident, namespaced: $namespaced:literal, id: $id:expr, name: $name:expr, namespace: $namespace:expr, finalizer: $finalizer:expr) => {
        impl Binding for $kind {
            const KIND: &'static str = stringify!($kind);
            const IS_NAMESPACED: bool = $namespaced;
            const PERMANENT_ID: &'static str = $id;
            const NAME_ANNOTATION: &'static str = $name;
            const NAMESPACE_ANNOTATION: Option<&'static str> = $namespace;
            const FINALIZER: &'static str = $finalizer;

            fn spec(&self) -> &ResourceBindingSpec {
                &self.spec
            }

            fn spec_mut(&mut self) -> &mut ResourceBindingSpec {
                &mut self.spec
            }

            fn status(&self) -> Option<&ResourceBindingStatus> {
                self.status.as_ref()
            }

            fn status_mut(&mut self) -> &mut ResourceBindingStatus {
                self.status.get_or_insert_default()
            }
        }
    };
}

twin!(
    ResourceBinding,
    namespaced: true,
    id: keys::RESOURCE_BINDING_PERMANENT_ID,
    name: keys::RESOURCE_BINDING_NAME,
    namespace: Some(keys::RESOURCE_BINDING_NAMESPACE),
    finalizer: keys::finalizers::BINDING_CONTROLLER
);
twin!(
    ClusterResourceBinding,
    namespaced: false,
    id: keys::CLUSTER_RESOURCE_BINDING_PERMANENT_ID,
    name: keys::CLUSTER_RESOURCE_BINDING_NAME,
    namespace: None,
    finalizer: keys::finalizers::CLUSTER_RESOURCE_BINDING_CONTROLLER
);

//! Types that hold a part of a Kubernetes kind.

/// Lends a reduced type the names of the kind that it is read from, so that the ordinary watch and stores take it. The type needs a
/// field `metadata` of type `ObjectMeta`.
#[macro_export]
macro_rules! stands_for {
    ($reduced:ty, $kind:ty) => {
        impl $crate::reduced::Resource for $reduced {
            type DynamicType = ();
            type Scope = <$kind as $crate::reduced::Resource>::Scope;

            fn kind((): &()) -> ::std::borrow::Cow<'_, str> {
                <$kind as $crate::reduced::Resource>::kind(&())
            }

            fn group((): &()) -> ::std::borrow::Cow<'_, str> {
                <$kind as $crate::reduced::Resource>::group(&())
            }

            fn version((): &()) -> ::std::borrow::Cow<'_, str> {
                <$kind as $crate::reduced::Resource>::version(&())
            }

            fn plural((): &()) -> ::std::borrow::Cow<'_, str> {
                <$kind as $crate::reduced::Resource>::plural(&())
            }

            fn meta(&self) -> &$crate::reduced::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut $crate::reduced::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

#[doc(hidden)]
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
#[doc(hidden)]
pub use kube::Resource;

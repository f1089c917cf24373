//! The root types of our kinds.
//!
//! Kube's derive makes one kind of one spec struct, but half of our kinds come as twins: a namespaced and a cluster-scoped kind
//! over one spec. [`kind!`] writes the same impls as the derive for a root type over any spec, so that twins share theirs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec, CustomResourceDefinitionVersion, CustomResourceSubresourceStatus,
    CustomResourceSubresources, CustomResourceValidation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// What the definition of a kind says besides its schema.
pub(crate) struct Definition {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    /// `Namespaced` or `Cluster`.
    pub(crate) scope: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) columns: &'static [Column],
    pub(crate) subresources: Subresources,
}

/// A printer column of `kubectl get`.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) json_path: &'static str,
    /// `string`, `integer` or `date`.
    pub(crate) kind: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    pub(crate) priority: i32,
}

impl Column {
    pub(crate) const fn string(name: &'static str, json_path: &'static str) -> Self {
        Self {
            name,
            json_path,
            kind: "string",
            priority: 0,
        }
    }

    pub(crate) const fn integer(name: &'static str, json_path: &'static str) -> Self {
        Self {
            name,
            json_path,
            kind: "integer",
            priority: 0,
        }
    }

    pub(crate) const fn wide(name: &'static str, json_path: &'static str) -> Self {
        Self {
            name,
            json_path,
            kind: "string",
            priority: 1,
        }
    }

    pub(crate) const fn age(name: &'static str) -> Self {
        Self {
            name,
            json_path: ".metadata.creationTimestamp",
            kind: "date",
            priority: 0,
        }
    }
}

/// How the definition declares subresources; clients see a difference between the last two only in `kubectl explain`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subresources {
    Status,
    Empty,
    None,
}

/// Builds the definition with its one version served and stored.
pub(crate) fn definition(of: &Definition, schema: Value) -> CustomResourceDefinition {
    let owned = |list: &[&str]| {
        (!list.is_empty()).then(|| list.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let columns: Vec<_> = of
        .columns
        .iter()
        .map(|column| CustomResourceColumnDefinition {
            name: column.name.to_owned(),
            json_path: column.json_path.to_owned(),
            type_: column.kind.to_owned(),
            priority: (column.priority > 0).then_some(column.priority),
            ..CustomResourceColumnDefinition::default()
        })
        .collect();
    let subresources = match of.subresources {
        Subresources::None => None,
        Subresources::Empty => Some(CustomResourceSubresources::default()),
        Subresources::Status => Some(CustomResourceSubresources {
            status: Some(CustomResourceSubresourceStatus(Value::Object(
                serde_json::Map::new(),
            ))),
            scale: None,
        }),
    };
    let schema = serde_json::from_value(schema)
        .expect("schemas generated from the types are OpenAPI v3 schemas");
    CustomResourceDefinition {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", of.plural, of.group)),
            ..ObjectMeta::default()
        },
        spec: CustomResourceDefinitionSpec {
            group: of.group.to_owned(),
            names: CustomResourceDefinitionNames {
                kind: of.kind.to_owned(),
                list_kind: Some(format!("{}List", of.kind)),
                plural: of.plural.to_owned(),
                singular: Some(of.singular.to_owned()),
                short_names: owned(of.short_names),
                categories: owned(of.categories),
            },
            scope: of.scope.to_owned(),
            versions: vec![CustomResourceDefinitionVersion {
                name: of.version.to_owned(),
                served: true,
                storage: true,
                schema: Some(CustomResourceValidation {
                    open_api_v3_schema: Some(schema),
                }),
                additional_printer_columns: (!columns.is_empty()).then_some(columns),
                subresources,
                ..CustomResourceDefinitionVersion::default()
            }],
            ..CustomResourceDefinitionSpec::default()
        },
        status: None,
    }
}

/// Defines the root type of a kind over a spec and, where the kind has one, a status. `spec: T = default` lets objects leave
/// the spec out.
macro_rules! kind {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident { spec: $spec:ty $(= $absent:ident)? $(, status: $status:ty)? }
        group: $group:literal,
        version: $version:literal,
        plural: $plural:literal,
        singular: $singular:literal,
        scope: $scope:ident as $scope_type:ident,
        short_names: [$($short:literal),*],
        categories: [$($category:literal),*],
        columns: $columns:expr,
        subresources: $subresources:ident,
        rules: $rules:expr,
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        pub struct $name {
            /// Standard object metadata.
            #[serde(default)]
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            /// What is wanted.
            $(#[serde($absent)])?
            pub spec: $spec,
            $(
                /// What was observed; written by the control plane.
                #[serde(default)]
                pub status: Option<$status>,
            )?
        }

        impl $name {
            /// An object with this name and spec and nothing else.
            pub fn new(name: &str, spec: $spec) -> Self {
                Self {
                    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                        name: Some(name.to_owned()),
                        ..Default::default()
                    },
                    spec,
                    $(status: None::<$status>,)?
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut object = serializer.serialize_map(None)?;
                object.serialize_entry("apiVersion", Self::API_VERSION)?;
                object.serialize_entry("kind", Self::KIND)?;
                object.serialize_entry("metadata", &self.metadata)?;
                object.serialize_entry("spec", &self.spec)?;
                $(
                    let status: &Option<$status> = &self.status;
                    if let Some(status) = status {
                        object.serialize_entry("status", status)?;
                    }
                )?
                object.end()
            }
        }

        impl kube::core::object::HasSpec for $name {
            type Spec = $spec;

            fn spec(&self) -> &$spec {
                &self.spec
            }

            fn spec_mut(&mut self) -> &mut $spec {
                &mut self.spec
            }
        }

        $(
            impl kube::core::object::HasStatus for $name {
                type Status = $status;

                fn status(&self) -> Option<&$status> {
                    self.status.as_ref()
                }

                fn status_mut(&mut self) -> &mut Option<$status> {
                    &mut self.status
                }
            }
        )?

        resource! {
            $(#[doc = $doc])+
            $name {
                spec: $spec = <[&str]>::is_empty(&[$(stringify!($absent))?]),
                $(status: $status = false,)?
            }
            group: $group,
            version: $version,
            plural: $plural,
            singular: $singular,
            scope: $scope as $scope_type,
            short_names: [$($short),*],
            categories: [$($category),*],
            columns: $columns,
            subresources: $subresources,
            rules: $rules,
        }
    };
}

/// Implements what makes a struct with `metadata` a kind; for the kinds that do not have the usual `spec`. The properties are
/// those of the schema: name, type and whether they are required.
macro_rules! resource {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $($field:ident: $property:ty = $required:expr,)+ }
        group: $group:literal,
        version: $version:literal,
        plural: $plural:literal,
        singular: $singular:literal,
        scope: $scope:ident as $scope_type:ident,
        short_names: [$($short:literal),*],
        categories: [$($category:literal),*],
        columns: $columns:expr,
        subresources: $subresources:ident,
        rules: $rules:expr,
    ) => {
        impl $name {
            /// The kind's name.
            pub const KIND: &'static str = stringify!($name);
            /// The API group.
            pub const GROUP: &'static str = $group;
            /// The version that this type speaks.
            pub const VERSION: &'static str = $version;
            /// Group and version, as in `apiVersion`.
            pub const API_VERSION: &'static str = concat!($group, "/", $version);

            const DEFINITION: crate::kind::Definition = crate::kind::Definition {
                group: $group,
                version: $version,
                kind: stringify!($name),
                plural: $plural,
                singular: $singular,
                scope: stringify!($scope),
                short_names: &[$($short),*],
                categories: &[$($category),*],
                columns: $columns,
                subresources: crate::kind::Subresources::$subresources,
            };
        }

        impl kube::core::Resource for $name {
            type DynamicType = ();
            type Scope = k8s_openapi::$scope_type;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                stringify!($name).into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $version.into()
            }

            fn api_version((): &()) -> std::borrow::Cow<'_, str> {
                Self::API_VERSION.into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(
                &mut self,
            ) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }

        impl kube::core::crd::v1::CustomResourceExt for $name {
            fn crd() -> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition
            {
                let description = concat!($($doc, "\n"),+);
                let mut schema = crate::schema::Root::new(description, $rules);
                $(schema.property::<$property>(stringify!($field), $required);)+
                crate::kind::definition(&Self::DEFINITION, schema.finish())
            }

            fn crd_name() -> &'static str {
                concat!($plural, ".", $group)
            }

            fn api_resource() -> kube::core::ApiResource {
                kube::core::ApiResource::erase::<Self>(&())
            }

            fn shortnames() -> &'static [&'static str] {
                Self::DEFINITION.short_names
            }
        }
    };
}

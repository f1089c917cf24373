//! An object that may fail to decode without taking the list that it came in along.
//!
//! kube has `DeserializeGuard` for this, which buffers in another format and clones the whole buffer for each object; this one
//! decodes from a borrowed JSON value.

use std::{borrow::Cow, fmt::Debug};

use crds::object::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::store::Malformed;

#[derive(Debug, Clone)]
pub(super) enum Guarded<K> {
    Valid(Box<K>),
    Invalid {
        metadata: Box<ObjectMeta>,
        error: String,
    },
}

impl<K> Guarded<K> {
    pub(super) fn into_result(self) -> Result<K, Malformed> {
        match self {
            Self::Valid(object) => Ok(*object),
            Self::Invalid { metadata, error } => Err(Malformed {
                key: Key::of_meta(&metadata),
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                error,
            }),
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match K::deserialize(&value) {
            Ok(object) => Ok(Self::Valid(Box::new(object))),
            Err(error) => {
                let metadata = value
                    .get("metadata")
                    .map(|metadata| ObjectMeta {
                        name: text(metadata, "name"),
                        namespace: text(metadata, "namespace"),
                        uid: text(metadata, "uid"),
                        resource_version: text(metadata, "resourceVersion"),
                        ..ObjectMeta::default()
                    })
                    .unwrap_or_default();
                Ok(Self::Invalid {
                    metadata: Box::new(metadata),
                    error: error.to_string(),
                })
            }
        }
    }
}

fn text(value: &serde_json::Value, key: &str) -> Option<String> {
    value
        .get(key)
        .and_then(serde_json::Value::as_str)
        .map(str::to_owned)
}

impl<K: Resource<DynamicType = ()>> Resource for Guarded<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Valid(object) => object.meta(),
            Self::Invalid { metadata, .. } => metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Valid(object) => object.meta_mut(),
            Self::Invalid { metadata, .. } => metadata,
        }
    }
}

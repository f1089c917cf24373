//! An object as the API server sent it, of which only name and version are known yet.
//!
//! Most of what a watch brings of our own kinds are echoes of our own writes, whose replies the store has already: these are never
//! read further. What is read is read straight from the text, without its managed fields, and an object that does not decode does
//! not take the list that it came in along.

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    api::{ApiResource, DynamicObject},
    core::{DynamicResourceScope, TypeMeta},
};
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer, MapAccess,
        Visitor,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value, value::RawValue};

/// See the module documentation.
#[derive(Clone)]
pub(super) struct Unread {
    /// Name, namespace, resourceVersion and uid.
    metadata: ObjectMeta,
    text: Box<RawValue>,
}

impl Unread {
    pub(super) fn text(&self) -> &str {
        self.text.get()
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unread")
            .field("name", &self.metadata.name)
            .field("namespace", &self.metadata.namespace)
            .finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Metadata {
            name: Option<String>,
            namespace: Option<String>,
            resource_version: Option<String>,
            uid: Option<String>,
        }
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            metadata: Metadata,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let head: Head = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        Ok(Self {
            metadata: ObjectMeta {
                name: head.metadata.name,
                namespace: head.metadata.namespace,
                resource_version: head.metadata.resource_version,
                uid: head.metadata.uid,
                ..ObjectMeta::default()
            },
            text,
        })
    }
}

impl Resource for Unread {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(of)
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(of)
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(of)
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Reads an object of a kind that we have a type for.
pub(super) fn typed<K: DeserializeOwned>(text: &str) -> Result<K, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let object = K::deserialize(Trimmed {
        of: &mut json,
        level: Level::Object,
    })?;
    json.end()?;
    Ok(object)
}

/// Reads an object of any kind. [`DynamicObject`]'s own deserialiser keeps a second copy of everything meanwhile.
pub(super) fn dynamic(text: &str) -> Result<DynamicObject, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let object = json.deserialize_map(Parts)?;
    json.end()?;
    Ok(object)
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = DynamicObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DynamicObject, A::Error> {
        let (mut api_version, mut kind) = (None, None);
        let mut metadata = ObjectMeta::default();
        let mut data = Map::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "apiVersion" => api_version = map.next_value()?,
                "kind" => kind = map.next_value()?,
                "metadata" => {
                    metadata = map.next_value_seed(Inside {
                        seed: PhantomData::<ObjectMeta>,
                    })?;
                }
                _ => {
                    let value: Value = map.next_value()?;
                    data.insert(key.into_owned(), value);
                }
            }
        }
        let types = (api_version.is_some() || kind.is_some()).then(|| TypeMeta {
            api_version: api_version.unwrap_or_default(),
            kind: kind.unwrap_or_default(),
        });
        Ok(DynamicObject {
            types,
            metadata,
            data: Value::Object(data),
        })
    }
}

/// What a map that is read stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Object,
    Metadata,
}

/// Passes an object on, except `metadata.managedFields`.
struct Trimmed<D> {
    of: D,
    level: Level,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Trimmed<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.of.deserialize_any(Trimmed {
            of: visitor,
            level: self.level,
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.of.deserialize_option(Trimmed {
            of: visitor,
            level: self.level,
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.of.deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Trimmed<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.expecting(f)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.of.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.of.visit_some(Trimmed {
            of: deserializer,
            level: self.level,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.of.visit_map(Members {
            of: map,
            level: self.level,
            is_metadata: false,
        })
    }
}

/// The members of a map that are passed on.
struct Members<A> {
    of: A,
    level: Level,
    /// The member whose value comes next is the object's metadata.
    is_metadata: bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        while let Some(key) = self.of.next_key::<Cow<'de, str>>()? {
            if self.level == Level::Metadata && key == "managedFields" {
                self.of.next_value::<IgnoredAny>()?;
                continue;
            }
            self.is_metadata = self.level == Level::Object && key == "metadata";
            return seed.deserialize(key.into_deserializer()).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        if self.is_metadata {
            return self.of.next_value_seed(Inside { seed });
        }
        self.of.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.of.size_hint()
    }
}

/// The metadata of an object.
struct Inside<S> {
    seed: S,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Trimmed {
            of: deserializer,
            level: Level::Metadata,
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{ResourceExt, core::WatchEvent};
    use serde_json::json;

    use super::*;

    fn text() -> String {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "a",
                "namespace": "b",
                "resourceVersion": "7",
                "labels": {"managedFields": "kept"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:data": {}}}],
            },
            "data": {"metadata": "{\"managedFields\":[1]}"},
        })
        .to_string()
    }

    #[test]
    fn only_managed_fields_are_left_out() {
        let mut whole: ConfigMap = serde_json::from_str(&text()).unwrap();
        assert!(whole.metadata.managed_fields.take().is_some());
        assert_eq!(typed::<ConfigMap>(&text()).unwrap(), whole);

        let mut whole: DynamicObject = serde_json::from_str(&text()).unwrap();
        whole.metadata.managed_fields = None;
        assert_eq!(dynamic(&text()).unwrap(), whole);
    }

    #[test]
    fn watch_events_and_lists_are_read_by_name_first() {
        let event = json!({"type": "MODIFIED"}).to_string();
        let event = format!("{},\"object\":{}}}", &event[..event.len() - 1], text());
        let event: WatchEvent<Unread> = serde_json::from_str(&event).unwrap();
        let WatchEvent::Modified(unread) = event else {
            panic!("{event:?}")
        };
        assert_eq!(unread.name_any(), "a");
        assert_eq!(unread.namespace().as_deref(), Some("b"));
        assert_eq!(unread.resource_version().as_deref(), Some("7"));

        let list = format!(
            r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{"resourceVersion":"9"}},"items":[{}]}}"#,
            text()
        );
        let list: kube::core::ObjectList<Unread> = serde_json::from_str(&list).unwrap();
        let object: ConfigMap = typed(list.items[0].text()).unwrap();
        assert_eq!(object.name_any(), "a");
    }

    #[test]
    fn what_does_not_decode_is_still_known_by_name() {
        let text = text().replace(r#""data":{"#, r#""data":{"n":1,"#);
        let unread: Unread = serde_json::from_str(&text).unwrap();
        assert_eq!(unread.name_any(), "a");
        let error = typed::<ConfigMap>(unread.text()).unwrap_err().to_string();
        assert!(error.contains("expected a string"), "{error}");
    }

    #[test]
    fn lists_leave_the_type_out_of_their_items() {
        let object = dynamic(r#"{"metadata":{"name":"a"},"spec":{"b":1}}"#).unwrap();
        assert_eq!(
            (object.types, object.data),
            (None, json!({"spec": {"b": 1}}))
        );
    }
}

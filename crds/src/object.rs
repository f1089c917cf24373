//! Whole Kubernetes objects as JSON values.
//!
//! Templates, manifests and member objects are never decoded into typed structs, so that fields which nobody here knows survive.
//! The readers return what is there in the right type and None or an empty string otherwise: they do not fail on odd input. The
//! writers create the maps they need; on a value that is no object they do nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Group, version and kind of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
}

impl Gvk {
    /// From the parts.
    pub fn new(
        group: impl Into<String>,
        version: impl Into<String>,
        kind: impl Into<String>,
    ) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        }
    }

    /// From the text of the fields `apiVersion` and `kind`. An `apiVersion` without a slash is of the core group.
    pub fn parse(api_version: &str, kind: &str) -> Self {
        let (group, version) = split_api_version(api_version);
        Self::new(group, version, kind)
    }

    /// Of an object; fields that are absent are empty.
    pub fn of(object: &Value) -> Self {
        Self::parse(api_version(object), self::kind(object))
    }

    /// Group and version as in the field `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether group and kind are these, in any version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

/// As Kubernetes prints it: `apps/v1, Kind=Deployment`, and `/v1, Kind=Service` for the core group.
impl fmt::Display for Gvk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

/// Splits `apps/v1` into group and version; the group is empty when there is no slash.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.rsplit_once('/').unwrap_or(("", api_version))
}

/// Names an object of some kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace; None for cluster-scoped objects.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl Key {
    /// A namespaced object; an empty namespace means a cluster-scoped one.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            name: name.to_owned(),
        }
    }

    /// A cluster-scoped object.
    pub fn cluster_scoped(name: &str) -> Self {
        Self::new("", name)
    }

    /// Of an object.
    pub fn of(object: &Value) -> Self {
        Self::new(namespace(object).unwrap_or_default(), name(object))
    }

    /// Of a typed object.
    pub fn of_meta(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Self {
        Self::new(
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        )
    }

    /// From `namespace/name` or `name`.
    pub fn parse(text: &str) -> Self {
        let (namespace, name) = text.split_once('/').unwrap_or(("", text));
        Self::new(namespace, name)
    }
}

/// `namespace/name`, or `name` when cluster-scoped.
impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "{namespace}/{}", self.name),
            None => out.write_str(&self.name),
        }
    }
}

/// `apiVersion`, or an empty string.
pub fn api_version(object: &Value) -> &str {
    text(object.get("apiVersion"))
}

/// `kind`, or an empty string.
pub fn kind(object: &Value) -> &str {
    text(object.get("kind"))
}

/// `metadata.name`, or an empty string.
pub fn name(object: &Value) -> &str {
    text(meta(object, "name"))
}

/// `metadata.namespace`; None when it is absent or empty.
pub fn namespace(object: &Value) -> Option<&str> {
    non_empty(meta(object, "namespace"))
}

/// `metadata.uid`; None when it is absent or empty.
pub fn uid(object: &Value) -> Option<&str> {
    non_empty(meta(object, "uid"))
}

/// `metadata.resourceVersion`; None when it is absent or empty.
pub fn resource_version(object: &Value) -> Option<&str> {
    non_empty(meta(object, "resourceVersion"))
}

/// `metadata.generation`; None when it is absent.
pub fn generation(object: &Value) -> Option<i64> {
    meta(object, "generation")?.as_i64()
}

/// `metadata.deletionTimestamp`; None when the object is not being deleted.
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    non_empty(meta(object, "deletionTimestamp"))
}

/// Whether the object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    deletion_timestamp(object).is_some()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    meta(object, "finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// The labels; values that are not strings are left out.
pub fn labels(object: &Value) -> BTreeMap<String, String> {
    strings(meta(object, "labels"))
}

/// The annotations; values that are not strings are left out.
pub fn annotations(object: &Value) -> BTreeMap<String, String> {
    strings(meta(object, "annotations"))
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    meta(object, "labels")?.get(key)?.as_str()
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    meta(object, "annotations")?.get(key)?.as_str()
}

/// Sets a label and returns whether that changed anything.
pub fn set_label(object: &mut Value, key: &str, value: &str) -> bool {
    set(object, "labels", key, value)
}

/// Sets an annotation and returns whether that changed anything.
pub fn set_annotation(object: &mut Value, key: &str, value: &str) -> bool {
    set(object, "annotations", key, value)
}

/// Removes a label and returns its value. An empty map of labels stays.
pub fn remove_label(object: &mut Value, key: &str) -> Option<String> {
    remove(object, "labels", key)
}

/// Removes an annotation and returns its value. An empty map of annotations stays.
pub fn remove_annotation(object: &mut Value, key: &str) -> Option<String> {
    remove(object, "annotations", key)
}

/// `metadata` for changing; created when it is absent. None when the value is no object.
pub fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    map_in(object.as_object_mut()?, "metadata")
}

/// The value at a path of object keys, such as `["spec", "replicas"]`.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, key| value.get(key))
}

/// Removes the value at a path of object keys and returns it.
pub fn remove_at(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    parents
        .iter()
        .try_fold(object, |value, key| value.get_mut(key))?
        .as_object_mut()?
        .remove(*last)
}

fn meta<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field)
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn non_empty(value: Option<&Value>) -> Option<&str> {
    value
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

fn strings(map: Option<&Value>) -> BTreeMap<String, String> {
    map.and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The map under a key, put there when it is absent or null.
fn map_in<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = parent.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

fn set(object: &mut Value, field: &str, key: &str, value: &str) -> bool {
    let Some(map) = metadata_mut(object).and_then(|metadata| map_in(metadata, field)) else {
        return false;
    };
    if map.get(key).and_then(Value::as_str) == Some(value) {
        return false;
    }
    map.insert(key.to_owned(), value.into());
    true
}

fn remove(object: &mut Value, field: &str, key: &str) -> Option<String> {
    match object
        .get_mut("metadata")?
        .get_mut(field)?
        .as_object_mut()?
        .remove(key)?
    {
        Value::String(value) => Some(value),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gvk_of_both_forms_of_api_version() {
        let apps = Gvk::parse("apps/v1", "Deployment");
        assert_eq!(apps, Gvk::new("apps", "v1", "Deployment"));
        assert_eq!(apps.api_version(), "apps/v1");
        assert_eq!(apps.to_string(), "apps/v1, Kind=Deployment");
        let core = Gvk::of(&json!({ "apiVersion": "v1", "kind": "Service" }));
        assert_eq!(core, Gvk::new("", "v1", "Service"));
        assert_eq!(core.api_version(), "v1");
        assert_eq!(core.to_string(), "/v1, Kind=Service");
    }

    #[test]
    fn keys_read_like_paths() {
        let key = Key::of(&json!({ "metadata": { "namespace": "ns", "name": "web" } }));
        assert_eq!(key.to_string(), "ns/web");
        assert_eq!(Key::parse("ns/web"), key);
        assert_eq!(Key::cluster_scoped("web").to_string(), "web");
        assert_eq!(Key::parse("web"), Key::new("", "web"));
    }

    #[test]
    fn readers_take_odd_input_for_absent() {
        for odd in [
            json!(null),
            json!([]),
            json!({ "metadata": "text" }),
            json!({ "metadata": { "name": 1, "labels": [], "generation": "1" } }),
        ] {
            assert_eq!(name(&odd), "");
            assert_eq!(namespace(&odd), None);
            assert_eq!(generation(&odd), None);
            assert_eq!(labels(&odd), BTreeMap::new());
            assert_eq!(label(&odd, "a"), None);
            assert_eq!(finalizers(&odd).count(), 0);
        }
    }

    #[test]
    fn labels_are_set_once_and_removed() {
        let mut object = json!({ "metadata": { "labels": null } });
        assert!(set_label(&mut object, "a", "1"));
        assert!(!set_label(&mut object, "a", "1"));
        assert!(set_label(&mut object, "a", "2"));
        assert_eq!(label(&object, "a"), Some("2"));
        assert_eq!(remove_label(&mut object, "a").as_deref(), Some("2"));
        assert_eq!(remove_label(&mut object, "a"), None);
        assert_eq!(object, json!({ "metadata": { "labels": {} } }));
    }

    #[test]
    fn writers_leave_odd_input_alone() {
        for mut odd in [
            json!([1]),
            json!({ "metadata": 1 }),
            json!({ "metadata": { "annotations": 1 } }),
        ] {
            let before = odd.clone();
            assert!(!set_annotation(&mut odd, "a", "1"));
            assert_eq!(remove_annotation(&mut odd, "a"), None);
            assert_eq!(odd, before);
        }
    }

    #[test]
    fn paths_reach_into_objects() {
        let mut object = json!({ "spec": { "replicas": 2 } });
        assert_eq!(at(&object, &["spec", "replicas"]), Some(&json!(2)));
        assert_eq!(at(&object, &["spec", "replicas", "deeper"]), None);
        assert_eq!(
            remove_at(&mut object, &["spec", "replicas"]),
            Some(json!(2))
        );
        assert_eq!(remove_at(&mut object, &["status", "replicas"]), None);
        assert_eq!(object, json!({ "spec": {} }));
    }
}

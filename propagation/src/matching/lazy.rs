//! Lazy activation: a policy change waits for the next change that a user makes to the template.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Policy;

/// What the keys begin with that are our own addition.
const OWN_PREFIX: &str = "navarch.dev/";

/// Annotation on the binding of a lazy policy: the [`fingerprint`] of the template that it was built from. On a template: the
/// fingerprint of the state that a lazy policy passed over, while there is no binding to remember it.
pub const TEMPLATE_FINGERPRINT: &str = "navarch.dev/template-fingerprint";

/// Annotation on a binding: the [`specification_fingerprint`] of the template that it was built from.
pub const TEMPLATE_SPECIFICATION: &str = "navarch.dev/template-specification";

/// Whether the update is the control plane's own: claims and the like, nothing that a user wrote.
pub fn changed_by_control_plane(old: &Value, new: &Value) -> bool {
    user_content(old) == user_content(new)
}

/// A short text that changes exactly when a user changes the template. Eight bytes in hexadecimal.
pub fn fingerprint(template: &Value) -> String {
    hash(user_content(template), template)
}

/// A short text that changes exactly when anything of the template changes besides its status. Eight bytes in hexadecimal.
pub fn specification_fingerprint(template: &Value) -> String {
    let mut object = specification(template);
    // Where a kind has no status subresource, writes of the status count as generations.
    crds::object::remove_at(&mut object, &["metadata", "generation"]);
    hash(object, template)
}

fn hash(mut content: Value, template: &Value) -> String {
    redact(&mut content, template);
    crate::fingerprint::of(&content.to_string())
}

/// Keeps what a Secret holds out of its fingerprint: whoever reads the binding could try guesses against it. The resource version
/// stands for it, which changes a little more often.
fn redact(content: &mut Value, template: &Value) {
    let is_secret =
        crds::object::kind(template) == "Secret" && crds::object::api_version(template) == "v1";
    let Some(root) = content.as_object_mut().filter(|_| is_secret) else {
        return;
    };
    root.remove("data");
    root.remove("stringData");
    let version = crds::object::resource_version(template).unwrap_or_default();
    root.insert("resourceVersion".to_owned(), version.into());
}

/// Whether a binding must not be built or refreshed now, because the policy is lazy and no user has touched the template since the
/// binding was built.
///
/// `annotations` are those of the existing binding. Without one, or without a fingerprint on it, `changed_by_control_plane` decides:
/// whether the template was looked at for another reason than a user's change.
pub fn defers(
    policy: &Policy<'_>,
    template: &Value,
    annotations: Option<&BTreeMap<String, String>>,
    changed_by_control_plane: bool,
) -> bool {
    if !policy.is_lazy() {
        return false;
    }
    match annotations.and_then(|annotations| annotations.get(TEMPLATE_FINGERPRINT)) {
        Some(built_from) => *built_from == fingerprint(template),
        None => changed_by_control_plane,
    }
}

fn specification(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(root) = object.as_object_mut() {
        root.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    object
}

fn user_content(object: &Value) -> Value {
    let mut object = specification(object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("generation");
        for field in ["labels", "annotations"] {
            let Some(map) = metadata.get_mut(field).and_then(Value::as_object_mut) else {
                continue;
            };
            retain_user_keys(map);
            if map.is_empty() {
                metadata.remove(field);
            }
        }
    }
    object
}

fn retain_user_keys(map: &mut Map<String, Value>) {
    map.retain(|key, _| !crds::keys::is_own(key) && !key.starts_with(OWN_PREFIX));
}

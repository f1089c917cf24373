//! How an object in a member is brought to what its manifest says.

use crds::object;
use interpreter::Interpreter;
use serde_json::Value;

use super::{Plan, PlanError, is_managed, retain, same};
use crate::fingerprint;

/// Annotation on a template, or on a manifest through an override: how its objects are updated. One of the names in [`UpdateStrategy::ALL`].
pub const UPDATE_STRATEGY: &str = "navarch.dev/update-strategy";

/// Annotation on a member object that was written by server-side apply: what it was written from. Without it nobody could tell a field
/// that the manifest has lost from one that the member has added.
pub const APPLIED_MANIFEST: &str = "navarch.dev/applied-manifest";

/// See [`UPDATE_STRATEGY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateStrategy {
    /// PUT the whole object, with what the member may keep. What others add to it goes.
    #[default]
    Replace,
    /// PATCH what the manifest says, as a field manager of our own. What others add to it stays, and what the manifest loses goes.
    ServerSideApply,
    /// Create it if it is not there, and never touch it afterwards.
    CreateOnly,
}

impl UpdateStrategy {
    pub const ALL: [Self; 3] = [Self::Replace, Self::ServerSideApply, Self::CreateOnly];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "Replace",
            Self::ServerSideApply => "ServerSideApply",
            Self::CreateOnly => "CreateOnly",
        }
    }

    /// What the manifest asks for; `Replace` if it says nothing.
    pub fn of(manifest: &Value) -> Result<Self, PlanError> {
        let Some(name) = object::annotation(manifest, UPDATE_STRATEGY) else {
            return Ok(Self::default());
        };
        let found = Self::ALL.into_iter().find(|it| it.as_str() == name);
        found.ok_or_else(|| PlanError::Strategy {
            object: super::described(manifest),
            found: name.to_owned(),
        })
    }
}

/// The plan of server-side apply. `observed` may be written, if there is one.
pub(super) fn apply(
    manifest: &Value,
    observed: Option<&Value>,
    interpreter: &Interpreter,
) -> Result<Plan, PlanError> {
    let mut desired = manifest.clone();
    object::set_annotation(
        &mut desired,
        APPLIED_MANIFEST,
        &fingerprint::of(&manifest.to_string()),
    );
    let Some(observed) = observed else {
        return Ok(Plan::Apply {
            object: desired,
            force: false,
            takeover: false,
            fields: Vec::new(),
        });
    };
    let mut desired = interpreter
        .retain(desired, observed)
        .map_err(PlanError::Retain)?;
    let mut fields = Vec::new();
    missing(&desired, observed, &mut String::new(), &mut fields);
    if fields.is_empty() {
        return Ok(Plan::Unchanged);
    }
    fields.sort();
    fields.truncate(super::MAX_FIELDS);
    // What was retained is of this version of the object.
    if let Some(metadata) = object::metadata_mut(&mut desired) {
        for field in ["uid", "resourceVersion"] {
            if let Some(value) = observed.pointer(&format!("/metadata/{field}")) {
                metadata.insert(field.to_owned(), value.clone());
            }
        }
    }
    Ok(Plan::Apply {
        object: desired,
        force: true,
        takeover: !is_managed(observed),
        fields,
    })
}

/// What the interpreter is asked about: the desired object before the kind's own retention.
pub(super) fn base(manifest: &Value, observed: &Value) -> Value {
    let mut desired = manifest.clone();
    if UpdateStrategy::of(manifest) != Ok(UpdateStrategy::ServerSideApply) {
        retain(&mut desired, observed);
    }
    desired
}

/// Collects pointers to what `wanted` says and `found` does not. What `found` says beyond that is somebody else's.
fn missing(wanted: &Value, found: &Value, path: &mut String, fields: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (name, value) in wanted {
                below(path, name, fields, |path, fields| {
                    let found = found.get(name).unwrap_or(&Value::Null);
                    missing(value, found, path, fields);
                });
            }
        }
        (Value::Array(all), Value::Array(present)) if path == "/metadata/finalizers" => {
            if !all.iter().all(|it| present.contains(it)) {
                fields.push(path.clone());
            }
        }
        // Containers, volumes, variables: others may add theirs.
        (Value::Array(all), Value::Array(present)) if all.iter().all(|it| name(it).is_some()) => {
            for item in all {
                let same_name = |it: &&Value| name(it) == name(item);
                below(
                    path,
                    name(item).unwrap_or_default(),
                    fields,
                    |path, fields| {
                        let found = present.iter().find(same_name).unwrap_or(&Value::Null);
                        missing(item, found, path, fields);
                    },
                );
            }
        }
        (Value::Array(all), Value::Array(present)) if all.len() == present.len() => {
            for (index, (item, found)) in all.iter().zip(present).enumerate() {
                below(path, &index.to_string(), fields, |path, fields| {
                    missing(item, found, path, fields);
                });
            }
        }
        // An empty map says nothing that its absence does not.
        (Value::Object(wanted), Value::Null) if wanted.is_empty() => {}
        _ if same(wanted, found) => {}
        _ => fields.push(path.clone()),
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

fn below(
    path: &mut String,
    name: &str,
    fields: &mut Vec<String>,
    look: impl FnOnce(&mut String, &mut Vec<String>),
) {
    let length = path.len();
    path.push('/');
    path.push_str(&crate::overrides::patch::escape(name));
    look(path, fields);
    path.truncate(length);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(wanted: &Value, found: &Value) -> Vec<String> {
        let mut fields = Vec::new();
        missing(wanted, found, &mut String::new(), &mut fields);
        fields
    }

    #[test]
    fn only_what_the_manifest_says_is_compared() {
        let wanted = json!({
            "metadata": {"finalizers": ["a.example.com/keep"], "labels": {"app": "web"}},
            "spec": {
                "replicas": 3,
                "paused": null,
                "selector": {},
                "containers": [{"name": "web", "image": "web:1", "args": ["-v", "2"]}],
                "rules": [{"port": 80}],
            },
        });
        let found = json!({
            "metadata": {
                "finalizers": ["member.example.com/own", "a.example.com/keep"],
                "labels": {"app": "web", "team": "blue"},
            },
            "spec": {
                "replicas": 3,
                "strategy": "RollingUpdate",
                "containers": [
                    {"name": "proxy", "image": "proxy:7"},
                    {"name": "web", "image": "web:1", "args": ["-v", "2"], "stdin": false},
                ],
                "rules": [{"port": 80, "protocol": "TCP"}],
            },
        });
        assert_eq!(fields(&wanted, &found), Vec::<String>::new());
        for (pointer, value, expected) in [
            ("/metadata/finalizers", json!([]), "/metadata/finalizers"),
            ("/metadata/labels/app", json!("api"), "/metadata/labels/app"),
            ("/spec/replicas", json!(2), "/spec/replicas"),
            (
                "/spec/containers/1/image",
                json!("web:2"),
                "/spec/containers/web/image",
            ),
            (
                "/spec/containers/1/args",
                json!(["-v"]),
                "/spec/containers/web/args",
            ),
            ("/spec/containers", json!([]), "/spec/containers/web"),
            ("/spec/rules/0/port", json!(81), "/spec/rules/0/port"),
            (
                "/spec/rules",
                json!([{"port": 80}, {"port": 81}]),
                "/spec/rules",
            ),
        ] {
            let mut drifted = found.clone();
            *drifted.pointer_mut(pointer).unwrap() = value;
            let found = fields(&wanted, &drifted);
            assert!(found.contains(&expected.to_owned()), "{pointer}: {found:?}");
        }
    }

    #[test]
    fn strategies_are_named_exactly() {
        let asking = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "a", "namespace": "shop", "annotations": {UPDATE_STRATEGY: name}},
            })
        };
        for strategy in UpdateStrategy::ALL {
            assert_eq!(UpdateStrategy::of(&asking(strategy.as_str())), Ok(strategy));
        }
        assert_eq!(UpdateStrategy::of(&json!({})), Ok(UpdateStrategy::Replace));
        assert_eq!(
            UpdateStrategy::of(&asking("apply"))
                .unwrap_err()
                .to_string(),
            "annotation navarch.dev/update-strategy of ConfigMap shop/a is \"apply\"; it must be Replace, ServerSideApply or CreateOnly"
        );
    }
}

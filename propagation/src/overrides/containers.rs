//! Overriders that know where workloads keep their containers: image, command and args.

use crds::policy::{CommandArgsOverrider, ImageOverrider, OverriderOperator};
use serde_json::{Value, json};

use super::Scope;
use super::image::{Image, ImageError, NeitherTagNorDigest};
use super::patch::{Operation, escape};

/// Why an image overrider does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    #[error(
        "failed to obtain imageValue with predicate path({path}), error: path({segment}) of rawObj's type is not map[string]interface{{}} and []interface{{}}"
    )]
    NotAContainer { path: String, segment: String },
    #[error(
        "failed to obtain imageValue with predicate path({path}), error: path({segment}) of rawObj's type is not string"
    )]
    NotAString { path: String, segment: String },
    #[error(
        "failed to obtain imageValue with predicate path({path}), error: path({segment}) is not an index of a list of {len}"
    )]
    NoSuchIndex {
        path: String,
        segment: String,
        len: usize,
    },
    #[error("failed to parse image value({image}), error: {error}")]
    Image { image: String, error: ImageError },
}

/// What an image overrider comes to.
#[derive(Debug, Default)]
pub(super) struct ImageChanges {
    pub(super) operations: Vec<Operation>,
    /// Values that could not be used and were passed over.
    pub(super) ignored: Vec<NeitherTagNorDigest>,
}

/// The operations of one image overrider on this manifest.
pub(super) fn image_operations(
    manifest: &Value,
    overrider: &ImageOverrider,
    scope: Scope,
) -> Result<ImageChanges, ContainerError> {
    let images = match &overrider.predicate {
        Some(predicate) => vec![image_at(manifest, &predicate.path)?],
        None => containers(manifest, scope)
            .map(|(path, container)| {
                let image = container
                    .get("image")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                (format!("{path}/image"), image)
            })
            .collect(),
    };
    let mut changes = ImageChanges::default();
    for (path, text) in images {
        let mut image = Image::parse(text).map_err(|error| ContainerError::Image {
            image: text.to_owned(),
            error,
        })?;
        let value = overrider.value.as_deref().unwrap_or_default();
        if let Err(ignored) =
            image.override_component(overrider.component, overrider.operator, value)
        {
            changes.ignored.push(ignored);
        }
        changes
            .operations
            .push(Operation::replace(path, Value::String(image.to_string())));
    }
    Ok(changes)
}

/// The operations of one command or args overrider; `field` is the container's field.
pub(super) fn words_operations(
    manifest: &Value,
    overrider: &CommandArgsOverrider,
    field: &str,
    scope: Scope,
) -> Vec<Operation> {
    containers(manifest, scope)
        .filter(|(_, container)| {
            container.get("name").and_then(Value::as_str) == Some(&overrider.container_name)
        })
        .filter_map(|(path, container)| {
            let present = container.get(field).and_then(Value::as_array);
            let existing = present.map(Vec::as_slice).unwrap_or_default();
            let given = &overrider.value;
            let words: Vec<Value> = match overrider.operator {
                OverriderOperator::Add => existing
                    .iter()
                    .cloned()
                    .chain(given.iter().map(|word| json!(word)))
                    .collect(),
                // Taking words from nothing leaves nothing: the image's own command must not be blanked by it.
                OverriderOperator::Remove if present.is_none() => return None,
                OverriderOperator::Remove => {
                    let taken = |word: &Value| {
                        word.as_str()
                            .is_some_and(|word| given.iter().any(|it| it == word))
                    };
                    existing
                        .iter()
                        .filter(|word| !taken(word))
                        .cloned()
                        .collect()
                }
                OverriderOperator::Replace => existing.to_vec(),
            };
            let path = format!("{path}/{field}");
            Some(match present {
                Some(_) => Operation::replace(path, Value::Array(words)),
                None => Operation::add(path, Value::Array(words)),
            })
        })
        .collect()
}

/// The containers of a workload with their JSON pointers; none for kinds without a known pod template.
fn containers(manifest: &Value, scope: Scope) -> impl Iterator<Item = (String, &Value)> {
    let prefix = match crds::object::kind(manifest) {
        "Pod" => Some("/spec"),
        "ReplicaSet" | "Deployment" | "DaemonSet" | "StatefulSet" | "Job" => {
            Some("/spec/template/spec")
        }
        "CronJob" if scope == Scope::AllContainers => Some("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    };
    let fields: &[&str] = match scope {
        Scope::Containers => &["containers"],
        Scope::AllContainers => &["initContainers", "containers", "ephemeralContainers"],
    };
    fields
        .iter()
        .filter_map(move |field| Some((prefix?, *field)))
        .flat_map(move |(prefix, field)| {
            let list = manifest
                .pointer(&format!("{prefix}/{field}"))
                .and_then(Value::as_array);
            list.map(Vec::as_slice)
                .unwrap_or_default()
                .iter()
                .enumerate()
                .map(move |(index, container)| (format!("{prefix}/{field}/{index}"), container))
        })
}

/// Follows a predicate path, whose segments are taken literally.
fn image_at<'a>(manifest: &'a Value, path: &str) -> Result<(String, &'a str), ContainerError> {
    let mut value = manifest;
    let mut pointer = String::new();
    let mut last = String::new();
    let owned = |segment: &str| (path.to_owned(), segment.to_owned());
    for (depth, segment) in path.trim_matches('/').split('/').enumerate() {
        let missing = &Value::Null;
        value = match value {
            Value::Object(map) => map.get(segment).unwrap_or(missing),
            Value::Array(elements) => {
                let found = segment
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| elements.get(index));
                let (path, segment) = owned(segment);
                found.ok_or(ContainerError::NoSuchIndex {
                    path,
                    segment,
                    len: elements.len(),
                })?
            }
            _ => {
                let (path, segment) = owned(if depth == 0 { segment } else { &last });
                return Err(ContainerError::NotAContainer { path, segment });
            }
        };
        pointer.push('/');
        pointer.push_str(&escape(segment));
        segment.clone_into(&mut last);
    }
    let (path, segment) = owned(&last);
    value
        .as_str()
        .map(|image| (pointer, image))
        .ok_or(ContainerError::NotAString { path, segment })
}

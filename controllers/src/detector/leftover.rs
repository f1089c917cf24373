//! Bindings that outlive their templates.
//!
//! Their owner references give them to the API server's garbage collector. That learns of new kinds only twice a minute and takes some
//! ten objects a second, and a new template of the name waits for it; so what is known to be left over is deleted here.

use crds::work::Binding;
use runtime::{ApiError, error::call};

use super::{Error, TemplateKey, claims::binding_key};
use crate::{
    world::{Bindings, World, dynamic_api},
    write,
};

/// Deletes the template's binding if it is of a template that is no more; returns whether it did.
///
/// The stores may be wrong about the template, so the API server is asked. A binding that does not say whose it is stays: its template
/// was deleted with `--cascade=orphan`.
pub(super) async fn remove<B: Bindings>(world: &World, key: &TemplateKey) -> Result<bool, Error> {
    let Some(binding) = B::store(world).get(&binding_key(key)) else {
        return Ok(false);
    };
    let of = TemplateKey::of_binding(&binding.spec().resource);
    let mut owners = binding.meta().owner_references.iter().flatten();
    let Some(owner) = owners.find(|owner| owner.controller == Some(true)) else {
        return Ok(false);
    };
    if binding.meta().deletion_timestamp.is_some()
        || of.key != key.key
        || !of.gvk.is(&key.gvk.group, &key.gvk.kind)
        || lives(world, key, &owner.uid).await?
    {
        return Ok(false);
    }
    tracing::info!(binding = %Binding::key(&*binding), "The template is gone, and so its binding goes");
    let api = B::api(world, key.namespace());
    write::delete_unchanged(&api, &*binding)
        .await
        .map_err(|source| Error::WriteBinding {
            binding: Binding::key(&*binding).to_string(),
            source,
        })?;
    Ok(true)
}

/// Whether this very template is there, or cannot be told to be gone.
async fn lives(world: &World, key: &TemplateKey, uid: &str) -> Result<bool, Error> {
    let Some(resource) = world.mapper.resolve(&key.gvk) else {
        return Ok(true);
    };
    let api = dynamic_api(world.client(), &resource, key.namespace());
    match call(api.get_metadata(&key.key.name)).await {
        Ok(found) => Ok(found.metadata.uid.as_deref() == Some(uid)),
        Err(error) if error.is_not_found() => Ok(!names(&error, &key.key.name)),
        Err(source) => Err(Error::ReadTemplate {
            template: key.to_string(),
            source,
        }),
    }
}

/// Whether the answer is about this object: a kind that is not served is not found either.
fn names(error: &ApiError, name: &str) -> bool {
    error.status().is_some_and(|status| {
        let details = status.details.as_ref();
        status.reason == "NotFound" && details.is_some_and(|details| details.name == name)
    })
}

#[cfg(test)]
mod tests {
    use kube::core::{Status, response::StatusDetails};

    use super::*;

    #[test]
    fn only_an_answer_about_the_object_says_that_it_is_gone() {
        let not_found = |reason: &str, name: Option<&str>| {
            let mut status = Status::failure("not found", reason).with_code(404);
            status.details = name.map(|name| StatusDetails {
                name: name.to_owned(),
                group: String::new(),
                kind: "widgets".to_owned(),
                uid: String::new(),
                causes: Vec::new(),
                retry_after_seconds: 0,
            });
            ApiError::from(kube::Error::Api(Box::new(status)))
        };
        for (name, error, expected) in [
            ("the object", not_found("NotFound", Some("web")), true),
            (
                "its definition",
                not_found("NotFound", Some("widgets.example.com")),
                false,
            ),
            ("no details", not_found("NotFound", None), false),
            (
                "a page",
                not_found("Failed to parse error data", None),
                false,
            ),
        ] {
            assert_eq!(names(&error, "web"), expected, "{name}");
        }
    }
}

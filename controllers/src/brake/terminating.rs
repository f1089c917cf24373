//! Bindings that go: why, and what is left to the next one.

use std::sync::Arc;

use crds::{
    conditions, names,
    object::{Gvk, Key},
    work::{Binding, Work},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use propagation::{
    brake::{self, REMOVAL_HELD, Reason},
    matching::{ClaimState, read_claim},
};
use runtime::{ApiError, error::call};

use crate::world::{Bindings, World, binding_of, dynamic_api, template_of};

/// Why a binding is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminating {
    /// Its template is gone, or no policy has it any more.
    Meant,
    /// The template's kind is not served any more, and took the template along.
    KindGone,
    /// Somebody deleted the binding, while template and policy are as they were: it is made anew at once, and what it had delivered
    /// stays.
    ByHand,
}

/// Finds out why a binding is going. Asks the API server when the store still has the template, because the news of its deletion
/// may be on their way.
///
/// Where the kind vanished, a template that was made again under the old name says that its objects are meant after all.
pub(crate) async fn terminating<B: Bindings>(
    world: &World,
    binding: &B,
    works: &[Arc<Work>],
) -> Result<Terminating, ApiError> {
    let (gvk, key) = template_of(&binding.spec().resource);
    let Some(resource) = world.mapper.resolve(&gvk) else {
        return Ok(Terminating::KindGone);
    };
    let definition = definition(world, binding, &gvk, &resource.api.plural).await?;
    if definition == Definition::Gone {
        return Ok(Terminating::KindGone);
    }
    let is_stored = world
        .templates
        .store(&gvk)
        .is_none_or(|store| !store.is_synced() || store.get(&key).is_some());
    if !is_stored && definition == Definition::Stands {
        return Ok(Terminating::Meant);
    }
    let api = dynamic_api(world.client(), &resource, key.namespace.as_deref());
    let template = match call(api.get(&key.name)).await {
        Ok(template) => template,
        Err(error) if error.is_not_found() => {
            // Only of an object that it knows the kind of does the server say its name.
            let is_of_object = error
                .status()
                .and_then(|status| status.details.as_ref())
                .is_some_and(|details| !details.name.is_empty());
            return Ok(if is_of_object && definition != Definition::Later {
                Terminating::Meant
            } else {
                Terminating::KindGone
            });
        }
        Err(error) => return Err(error),
    };
    let metadata = serde_json::to_value(&template.metadata).unwrap_or_default();
    let facts = Found {
        definition,
        is_held: is_held_for_kind(binding),
        is_same: template.metadata.uid == binding.spec().resource.uid,
        is_alive: template.metadata.deletion_timestamp.is_none(),
        is_claimed: matches!(read_claim(&metadata), ClaimState::Claimed(_)),
        // The next binding finds Works by their names; one that an override renamed would be forgotten in its member.
        has_works: works.iter().all(|work| {
            let namespace = work.metadata.namespace.as_deref().unwrap_or_default();
            work.name_any() == work_name(&gvk.kind, &key)
                && names::cluster_of_execution_namespace(namespace).is_ok()
        }),
    };
    Ok(facts.judge())
}

/// Whether the binding's objects wait because the kind was gone.
fn is_held_for_kind<B: Binding>(binding: &B) -> bool {
    let list = binding.status().map(|status| &status.conditions[..]);
    list.and_then(|list| conditions::find(list, REMOVAL_HELD))
        .is_some_and(|condition| {
            brake::read_held(condition)
                .iter()
                .any(|item| item.hold.reason == Reason::KindGone)
        })
}

/// What was found under the name of a going binding's template.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not depend on each other"
)]
struct Found {
    definition: Definition,
    /// The binding's objects are held because the kind was gone.
    is_held: bool,
    /// It is the object that the binding was made for, not a later one of its name.
    is_same: bool,
    is_alive: bool,
    is_claimed: bool,
    has_works: bool,
}

impl Found {
    fn judge(self) -> Terminating {
        let is_doubtful = self.definition == Definition::Later || self.is_held;
        // A user who deletes a template and makes another one of its name means both, unless the kind took the first one along.
        let is_wanted = self.is_alive && (self.is_same || is_doubtful);
        // A later one is claimed only when this binding has made way for its own.
        let has_policy = self.is_claimed || !self.is_same;
        if is_wanted && has_policy && self.has_works {
            Terminating::ByHand
        } else if is_doubtful && !self.is_same {
            // Only somebody who lets the objects go can tell.
            Terminating::KindGone
        } else {
            Terminating::Meant
        }
    }
}

/// What the control plane knows of a kind's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Definition {
    /// The kind is Kubernetes' own, or a definition serves it that is older than the binding.
    Stands,
    /// The definition goes and takes the objects along.
    Gone,
    /// The definition is younger than the binding: an earlier one took the objects along.
    Later,
    /// There is none: an aggregated API server has the kind, or the definition went and discovery has not noticed.
    None,
}

/// Asks the API server, because the news that a template, its kind, and the kind's definition went come over watches of their own,
/// in any order.
async fn definition<B: Bindings>(
    world: &World,
    binding: &B,
    gvk: &Gvk,
    plural: &str,
) -> Result<Definition, ApiError> {
    if is_of_kubernetes(&gvk.group) {
        return Ok(Definition::Stands);
    }
    let api: Api<CustomResourceDefinition> = Api::all(world.client().clone());
    match call(api.get_metadata(&format!("{plural}.{}", gvk.group))).await {
        Ok(found) => {
            let (made, bound) = (
                &found.metadata.creation_timestamp,
                &binding.meta().creation_timestamp,
            );
            let is_later = matches!((made, bound), (Some(made), Some(bound)) if made > bound);
            Ok(if found.metadata.deletion_timestamp.is_some() {
                Definition::Gone
            } else if is_later {
                Definition::Later
            } else {
                Definition::Stands
            })
        }
        Err(error) if error.is_not_found() => Ok(Definition::None),
        Err(error) => Err(error),
    }
}

/// Whether the API server has the group's kinds built in. No definition may use the groups without a dot; of the others there is a
/// fixed list.
fn is_of_kubernetes(group: &str) -> bool {
    const DOTTED: [&str; 12] = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "networking.k8s.io",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    !group.contains('.') || DOTTED.contains(&group)
}

fn work_name(kind: &str, key: &Key) -> String {
    names::work_name(&key.name, kind, key.namespace.as_deref())
}

/// The permanent id that Works of a former binding of this template still carry, so that the next one finds them.
pub(crate) fn leftover_id<B: Bindings>(
    world: &World,
    binding: &Key,
    kind: &str,
    template: &Key,
) -> Option<String> {
    let name = work_name(kind, template);
    world.clusters.keys().into_iter().find_map(|cluster| {
        let namespace = names::execution_namespace(&cluster.name);
        let work = world.works.get(&Key::new(&namespace, &name))?;
        let is_left = work.metadata.deletion_timestamp.is_none()
            && binding_of::<B>(&work).as_ref() == Some(binding);
        work.labels()
            .get(B::PERMANENT_ID)
            .filter(|_| is_left)
            .cloned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_made_again_takes_over_only_what_its_kind_took_along() {
        let same = Found {
            definition: Definition::Stands,
            is_held: false,
            is_same: true,
            is_alive: true,
            is_claimed: true,
            has_works: true,
        };
        let another = Found {
            is_same: false,
            ..same
        };
        let later = Found {
            definition: Definition::Later,
            ..another
        };
        for (name, found, expected) in [
            ("deleted by hand", same, Terminating::ByHand),
            (
                "the template goes too",
                Found {
                    is_alive: false,
                    ..same
                },
                Terminating::Meant,
            ),
            (
                "no policy has it any more",
                Found {
                    is_claimed: false,
                    ..same
                },
                Terminating::Meant,
            ),
            ("deleted and made again", another, Terminating::Meant),
            ("kind and template made again", later, Terminating::ByHand),
            (
                "made again, not claimed yet",
                Found {
                    is_claimed: false,
                    ..later
                },
                Terminating::ByHand,
            ),
            (
                "renamed by an override",
                Found {
                    has_works: false,
                    ..later
                },
                Terminating::KindGone,
            ),
            (
                "held while the kind was away",
                Found {
                    is_held: true,
                    ..another
                },
                Terminating::ByHand,
            ),
        ] {
            assert_eq!(found.judge(), expected, "{name}");
        }
    }
}

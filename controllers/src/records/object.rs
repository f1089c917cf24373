//! The account of one template.

use std::sync::Arc;

use crds::{
    cluster::Cluster,
    names,
    object::{Gvk, Key},
    work::{Binding, ClusterResourceBinding, ResourceBinding, Work},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{ResourceExt, api::DynamicObject};
use propagation::{
    brake::HeldBack,
    overrides,
    render::{self, Gates, Place, Plan, Target},
    trace::Item,
};
use serde::Serialize;
use serde_json::{Value, json};
use trace::{NoTrace, Recorder};

use super::answers::Answer;
use crate::{
    binding::Overrides,
    brake::Holder,
    detector,
    world::{Bindings, World, to_value},
};

/// See the documentation of [`super`] for an example.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    object: Value,
    policy: detector::Explanation,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<BindingAccount>,
    clusters: Vec<ClusterAccount>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BindingAccount {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    generation: i64,
    clusters: Value,
    conditions: Vec<Condition>,
    /// Where the scheduler tells how it decided.
    scheduling: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterAccount {
    cluster: String,
    /// How the manifest comes about, override rules above all.
    rendered: Vec<Item>,
    /// Why the cluster gets no manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What the brake keeps in the cluster although nobody wants it there any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<WorkAccount>,
    answers: Vec<Answer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkAccount {
    namespace: String,
    name: String,
    generation: i64,
    is_terminating: bool,
    conditions: Vec<Condition>,
}

/// What there is under a name.
#[derive(Debug)]
pub enum Found {
    Account(Box<Account>),
    /// No object of a kind that is propagated.
    Nothing,
    /// Several kinds of this name have such an object; these are they, as `Kind.group`.
    Several(Vec<String>),
}

/// Puts the account of a template together, with the gates that rendering goes by. `kind` is `Deployment` or `Deployment.apps`, in any
/// case.
pub async fn account(world: &World, gates: Gates, kind: &str, key: &Key) -> Found {
    let (kind, group) = kind
        .split_once('.')
        .map_or((kind, None), |(kind, group)| (kind, Some(group)));
    let fits = |gvk: &Gvk| {
        gvk.kind.eq_ignore_ascii_case(kind)
            && group.is_none_or(|group| gvk.group.eq_ignore_ascii_case(group))
    };
    let mut found: Vec<(Gvk, Arc<DynamicObject>)> = world
        .templates
        .kinds()
        .into_iter()
        .filter(fits)
        .filter_map(|gvk| {
            let object = world.templates.object(&gvk, key)?;
            Some((gvk, object))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    match &found[..] {
        [] => Found::Nothing,
        [(gvk, object)] => {
            let account = if key.namespace.is_some() {
                tell::<ResourceBinding>(world, gates, gvk, key, object).await
            } else {
                tell::<ClusterResourceBinding>(world, gates, gvk, key, object).await
            };
            Found::Account(Box::new(account))
        }
        several => Found::Several(
            several
                .iter()
                .map(|(gvk, _)| format!("{}.{}", gvk.kind, gvk.group))
                .collect(),
        ),
    }
}

async fn tell<B: Bindings>(
    world: &World,
    gates: Gates,
    gvk: &Gvk,
    key: &Key,
    object: &DynamicObject,
) -> Account {
    let mut template = to_value(object);
    if let Value::Object(template) = &mut template {
        template.insert("apiVersion".into(), gvk.api_version().into());
        template.insert("kind".into(), gvk.kind.clone().into());
    }
    let binding_key = Key {
        namespace: key.namespace.clone(),
        name: names::binding_name(&key.name, &gvk.kind),
    };
    let binding = B::store(world)
        .get(&binding_key)
        .filter(|binding| binding.spec().resource.uid == object.metadata.uid);
    Account {
        object: json!({
            "apiVersion": gvk.api_version(),
            "kind": gvk.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": object.metadata.uid,
            "generation": object.metadata.generation,
        }),
        policy: detector::explain::<B>(world, gvk, key, object),
        clusters: match &binding {
            Some(binding) => clusters(world, gates, &**binding, &template, is_secret(gvk)).await,
            // Every member has it, without a policy and a binding.
            None if gvk.is("", "Namespace") => clusters_of_namespace(world, key, object),
            None => Vec::new(),
        },
        binding: binding.as_ref().map(|binding| of_binding(&**binding)),
    }
}

fn is_secret(gvk: &Gvk) -> bool {
    gvk.is("", "Secret")
}

fn of_binding<B: Binding>(binding: &B) -> BindingAccount {
    let key = Binding::key(binding);
    BindingAccount {
        kind: B::KIND,
        scheduling: format!("/debug/scheduling/{key}"),
        namespace: key.namespace,
        name: key.name,
        generation: binding.meta().generation.unwrap_or_default(),
        clusters: serde_json::to_value(&binding.spec().clusters).unwrap_or_default(),
        conditions: binding
            .status()
            .map_or_else(Vec::new, |status| status.conditions.clone()),
    }
}

/// Each cluster that gets, or still has, a Work of the binding.
async fn clusters<B: Bindings>(
    world: &World,
    gates: Gates,
    binding: &B,
    template: &Value,
    is_secret: bool,
) -> Vec<ClusterAccount> {
    let found = Overrides::of(world, binding.spec().resource.namespace.as_deref());
    let (cluster_policies, policies) = (found.cluster_policies(), found.policies());
    let plan = Plan::new(binding, template, gates, &mut NoTrace);
    let targets = render::targets(binding.spec());
    let mut works = binding.permanent_id().map_or_else(Vec::new, |id| {
        world.works.by_index(world.works_by_binding, id)
    });
    let held = world.brake.held_back(&Holder::of(binding));
    let mut told = Vec::new();
    for target in &targets {
        let mut recorder = Recorder::default();
        let outcome = match &plan {
            Ok(plan) => {
                rendered(
                    world,
                    plan,
                    target,
                    &cluster_policies,
                    &policies,
                    &mut recorder,
                )
                .await
            }
            Err(error) => Err(error.to_string()),
        };
        let namespace = names::execution_namespace(&target.cluster);
        let position = works
            .iter()
            .position(|work| work.metadata.namespace.as_deref() == Some(namespace.as_str()));
        let work = position.map(|position| works.remove(position));
        told.push(ClusterAccount {
            cluster: target.cluster.clone(),
            rendered: readable(recorder.items, is_secret),
            error: outcome.err(),
            answers: answers(world, work.as_deref()),
            held: verdicts(&held, &target.cluster),
            work: work.as_deref().map(of_work),
        });
    }
    told.extend(works.iter().map(|work| of_lone_work(world, work, &held)));
    told
}

/// Each cluster that has a Work of a Namespace which goes everywhere.
fn clusters_of_namespace(
    world: &World,
    key: &Key,
    namespace: &DynamicObject,
) -> Vec<ClusterAccount> {
    let name = names::work_name(&key.name, "Namespace", None);
    let mut clusters = world.clusters.keys();
    clusters.sort();
    clusters
        .iter()
        .filter_map(|cluster| {
            let space = names::execution_namespace(&cluster.name);
            let work = world.works.get(&Key::new(&space, &name))?;
            let mut owners = work.owner_references().iter();
            owners.find(|owner| Some(&owner.uid) == namespace.metadata.uid.as_ref())?;
            let held = world
                .brake
                .held_back(&Holder::Work(Key::of_meta(&work.metadata)));
            Some(of_lone_work(world, &work, &held))
        })
        .collect()
}

/// The account of a Work that nothing is rendered for, or that is rendered elsewhere.
fn of_lone_work(world: &World, work: &Work, held: &[HeldBack]) -> ClusterAccount {
    let namespace = work.namespace().unwrap_or_default();
    let cluster = names::cluster_of_execution_namespace(&namespace).unwrap_or_default();
    ClusterAccount {
        cluster: cluster.to_owned(),
        rendered: Vec::new(),
        error: None,
        answers: answers(world, Some(work)),
        held: verdicts(held, cluster),
        work: Some(of_work(work)),
    }
}

/// What the brake said about removals from a cluster.
fn verdicts(held: &[HeldBack], cluster: &str) -> Vec<Item> {
    held.iter()
        .filter(|item| item.cluster == cluster)
        .map(|item| Item::Brake {
            scope: item
                .hold
                .scope
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            held: true,
            reason: item.hold.message.clone(),
        })
        .collect()
}

async fn rendered<B: Bindings>(
    world: &World,
    plan: &Plan<'_, B>,
    target: &Target,
    cluster_overrides: &[overrides::Policy<'_>],
    overrides: &[overrides::Policy<'_>],
    recorder: &mut Recorder<Item>,
) -> Result<(), String> {
    let cluster: Arc<Cluster> = world
        .clusters
        .get(&Key::cluster_scoped(&target.cluster))
        .ok_or_else(|| format!("cluster {} does not exist", target.cluster))?;
    let replicas = target
        .replicas
        .filter(|_| plan.binding.spec().is_workload());
    let interpreter = match replicas {
        Some(replicas) => {
            let revising = world.interpreter.revising(plan.template, replicas.into());
            revising.await
        }
        None => world.interpreter.current().await,
    };
    let place = Place {
        target,
        cluster: &cluster,
        cluster_overrides,
        overrides,
        interpreter: &interpreter,
    };
    render::render(plan, place, recorder)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Without the whole manifest, which the Work shows, and without what is secret.
fn readable(items: Vec<Item>, is_secret: bool) -> Vec<Item> {
    items
        .into_iter()
        .filter(|item| !matches!(item, Item::Rendered { .. }))
        .map(|mut item| {
            if let Item::OverrideRule { operations, .. } = &mut item
                && is_secret
            {
                for operation in operations {
                    operation.value = operation.value.take().map(|_| Value::from("(hidden)"));
                }
            }
            item
        })
        .collect()
}

fn of_work(work: &Work) -> WorkAccount {
    WorkAccount {
        namespace: work.namespace().unwrap_or_default(),
        name: work.name_any(),
        generation: work.metadata.generation.unwrap_or_default(),
        is_terminating: work.metadata.deletion_timestamp.is_some(),
        conditions: work
            .status
            .as_ref()
            .map_or_else(Vec::new, |status| status.conditions.clone()),
    }
}

fn answers(world: &World, work: Option<&Work>) -> Vec<Answer> {
    work.map_or_else(Vec::new, |work| {
        let manifests = work.spec.workload.manifests.len();
        world.answers.of(&Key::of_meta(&work.metadata), manifests)
    })
}

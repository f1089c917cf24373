//! Namespace -> Works: every member has the namespaces of the control plane, so that what is propagated finds its own.
//!
//! reads   Namespaces, Clusters, `ClusterOverridePolicies`, `ClusterPropagationPolicies`
//! writes  Works owned by the Namespace
//! woken by  Namespaces, Clusters that join or change their labels, policies of both kinds, Works that go or are
//!           edited by others
//!
//! A Namespace that a policy selects is left to the policy. What went out before stays: to take a namespace from a member takes
//! everything in it.

mod wake;

use std::{collections::HashMap, sync::Arc};

use crds::{
    keys, names,
    object::{self, Gvk, Key},
    policy::ConflictResolution,
    reasons,
    work::Work,
};
use futures::{StreamExt, future::BoxFuture, stream};
use kube::ResourceExt;
use parking_lot::Mutex;
use propagation::{
    events,
    matching::Policy,
    namespace::skip,
    render::{Draft, NamespaceRequest, RenderError, UpsertError, render_namespace},
    skip::SkippedNamespaces,
};
use runtime::{
    Action, Queue,
    controller::ReconcileError,
    events::{Source, reference_to},
};
use serde_json::Value;
use trace::NoTrace;

use crate::{
    binding::{DraftError, Overrides, upsert_draft},
    world::{World, to_value},
};

/// Clusters that one namespace is written to at a time.
const AT_A_TIME: usize = 8;

#[derive(Debug, thiserror::Error)]
#[error("propagate namespace {namespace}: {message}")]
pub struct Error {
    namespace: String,
    message: String,
    terminal: bool,
    conflict: bool,
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        "PropagateNamespaceFailed"
    }

    fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn is_conflict(&self) -> bool {
        self.conflict
    }
}

/// What the reconciler can be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Namespaces that stay in the control plane, from `--skipped-propagating-namespaces`.
    pub skipped: SkippedNamespaces,
    /// What happens in a member that has a namespace of that name already, when the Namespace does not say so itself. Absent, it is
    /// left alone, and nothing is put on the Work.
    pub conflict_resolution: Option<ConflictResolution>,
    pub workers: usize,
}

const NAME: &str = "namespace-sync-controller";

/// Event reason: the Namespace is not propagated by itself any more, but still is where it was.
const LEFT_ALONE: &str = "NamespaceLeftAlone";

struct Context {
    world: Arc<World>,
    events: Arc<Source>,
    options: Options,
    /// What was said about namespaces that are left alone, so that it is said once.
    told: Mutex<HashMap<String, String>>,
}

/// Subscribes to the stores; the future runs the workers.
pub fn prepare(world: &Arc<World>, options: Options) -> BoxFuture<'static, ()> {
    let queue = Queue::new();
    wake::subscribe(world, &queue);
    let controller = world.controller(NAME, queue, options.workers);
    let context = Arc::new(Context {
        world: Arc::clone(world),
        events: Source::new(&world.recorder, NAME),
        options,
        told: Mutex::default(),
    });
    let stop = world.stop.clone();
    Box::pin(controller.run(
        move |name: String| {
            let context = Arc::clone(&context);
            async move { reconcile(&context, &name).await }
        },
        stop,
    ))
}

fn namespaces() -> Gvk {
    Gvk::parse("v1", "Namespace")
}

async fn reconcile(context: &Context, name: &str) -> Result<Action, Error> {
    let world = &context.world;
    let key = Key::cluster_scoped(name);
    let Some(object) = world.templates.object(&namespaces(), &key) else {
        context.told.lock().remove(name);
        return Ok(Action::AwaitChange);
    };
    let about = reference_to(&object);
    let namespace = to_value(&object);
    let claiming = world.cluster_policies.list();
    let claiming: Vec<_> = claiming
        .iter()
        .map(|it| Policy::from(it.as_ref()))
        .collect();
    if let Some(skip) = skip(&namespace, &context.options.skipped, &claiming) {
        if let Some(text) = skip.remark(own_works(world, &namespace)) {
            let told = context.told.lock().insert(name.to_owned(), text.clone());
            if told.as_ref() != Some(&text) {
                context.events.normal(about, LEFT_ALONE, text);
            }
        }
        return Ok(Action::AwaitChange);
    }
    context.told.lock().remove(name);
    let overrides = Overrides::of(world, None);
    let policies = overrides.cluster_policies();
    let mut clusters = world.clusters.list();
    clusters.retain(|cluster| has_execution_space(cluster));
    #[expect(
        clippy::result_large_err,
        reason = "a handful of them lives for a moment, and the error is the smaller half of the pair"
    )]
    let drafts: Vec<Result<Draft, Failure>> = clusters
        .iter()
        .map(|cluster| {
            let request = NamespaceRequest {
                namespace: &namespace,
                cluster,
                cluster_overrides: &policies,
                conflict_resolution: context.options.conflict_resolution,
            };
            let cluster = cluster.name_any();
            render_namespace(request, &mut NoTrace).map_err(|source| {
                if let Some(error) = source.override_error() {
                    let text = events::apply_override_policy_failed(
                        &error.policy,
                        &cluster,
                        &error.to_string(),
                    );
                    let reason = reasons::APPLY_OVERRIDE_POLICY_FAILED;
                    context.events.warning(about.clone(), reason, text);
                }
                Failure::Render { cluster, source }
            })
        })
        .collect();
    let outcomes: Vec<Result<bool, Failure>> = stream::iter(drafts)
        .map(|draft| write(world, draft))
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let failures: Vec<Failure> = outcomes.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() {
        return Ok(Action::AwaitChange);
    }
    let mut texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    texts.sort();
    let error = Error {
        namespace: name.into(),
        message: propagation::execution::conditions::joined(&texts),
        terminal: failures.iter().all(Failure::is_terminal),
        conflict: failures.iter().all(Failure::is_conflict),
    };
    if !error.conflict {
        let text = error.message.clone();
        context
            .events
            .warning(about, reasons::SYNC_WORK_FAILED, text);
    }
    Err(error)
}

/// In how many clusters the Namespace has a Work that this reconciler made.
fn own_works(world: &World, namespace: &Value) -> usize {
    let name = names::work_name(object::name(namespace), "Namespace", None);
    let clusters = world.clusters.list();
    let works = clusters.iter().filter_map(|cluster| {
        let space = names::execution_namespace(&cluster.name_any());
        world.works.get(&Key::new(&space, &name))
    });
    works
        .filter(|work| is_own(work, object::uid(namespace)))
        .count()
}

/// Whether a Work was made here, and no policy's binding has taken it over.
fn is_own(work: &Work, uid: Option<&str>) -> bool {
    let is_bound = work
        .labels()
        .contains_key(keys::CLUSTER_RESOURCE_BINDING_PERMANENT_ID);
    let mut owners = work.owner_references().iter();
    !is_bound && owners.any(|owner| owner.kind == "Namespace" && Some(&*owner.uid) == uid)
}

async fn write(world: &World, draft: Result<Draft, Failure>) -> Result<bool, Failure> {
    let draft = draft?;
    let key = draft.key();
    Ok(upsert_draft(world, &key, draft).await?)
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cluster {cluster}: {source}")]
    Render {
        cluster: String,
        source: RenderError,
    },
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl Failure {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Render { .. } => true,
            Self::Draft(DraftError::Upsert(error)) => error.is_terminal(),
            Self::Draft(DraftError::Write(_)) => false,
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Draft(DraftError::Upsert(UpsertError::Terminating { .. })) => true,
            Self::Draft(DraftError::Write(error)) => {
                error.is_conflict() || error.is_already_exists()
            }
            _ => false,
        }
    }
}

/// Whether the user, or a policy that claims the Namespace, decides instead of us.
pub(crate) fn is_left_alone(namespace: &serde_json::Value) -> bool {
    let label = |key| object::label(namespace, key).unwrap_or_default();
    label(keys::SKIP_AUTO_PROPAGATION).eq_ignore_ascii_case("true")
        || !label(keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID).is_empty()
}

/// A cluster whose controller has not made its execution space yet is not written to; its finalizer says when it has.
fn has_execution_space(cluster: &crds::cluster::Cluster) -> bool {
    cluster.metadata.deletion_timestamp.is_none()
        && cluster
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == keys::finalizers::CLUSTER_CONTROLLER)
}

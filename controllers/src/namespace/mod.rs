//! Namespace -> Works: every member has the namespaces of the control plane, so that what is propagated finds its own.
//!
//! reads   Namespaces, Clusters, `ClusterOverridePolicies`
//! writes  Works owned by the Namespace
//! woken by  Namespaces, Clusters that join or change their labels, `ClusterOverridePolicies`, Works that go or are edited by others

use std::sync::Arc;

use crds::{
    keys,
    object::{self, Gvk, Key},
};
use futures::{StreamExt, future::BoxFuture, stream};
use kube::ResourceExt;
use propagation::{
    render::{Draft, NamespaceRequest, RenderError, UpsertError, render_namespace},
    skip::{SkippedNamespaces, is_reserved},
};
use runtime::{Action, Change, Queue, controller::ReconcileError, queue::Priority};
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
    pub workers: usize,
}

/// Subscribes to the stores; the future runs the workers.
pub fn prepare(world: &Arc<World>, options: Options) -> BoxFuture<'static, ()> {
    let queue = Queue::new();
    subscribe(world, &queue);
    let controller = world.controller("namespace-sync-controller", queue, options.workers);
    let (world, options) = (Arc::clone(world), Arc::new(options));
    let stop = world.stop.clone();
    Box::pin(controller.run(
        move |name: String| {
            let (world, options) = (Arc::clone(&world), Arc::clone(&options));
            async move { reconcile(&world, &options, &name).await }
        },
        stop,
    ))
}

fn namespaces() -> Gvk {
    Gvk::parse("v1", "Namespace")
}

fn subscribe(world: &Arc<World>, queue: &Arc<Queue<String>>) {
    let to = Arc::clone(queue);
    world.templates.subscribe(move |gvk, change| {
        if *gvk != namespaces() || change.is_deletion() {
            return;
        }
        let initial = matches!(change, Change::Added { initial: true, .. });
        to.add_with(
            change.object().name_any(),
            if initial {
                Priority::Low
            } else {
                Priority::Normal
            },
        );
    });
    let every = |world: &std::sync::Weak<World>, queue: &Queue<String>| {
        let Some(store) = world
            .upgrade()
            .and_then(|world| world.templates.store(&namespaces()))
        else {
            return;
        };
        for key in store.keys() {
            queue.add_with(key.name, Priority::Low);
        }
    };
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.clusters.subscribe(move |change| {
        let concerns = match change {
            Change::Added { initial, .. } => !initial,
            Change::Updated { old, new } => {
                old.metadata.labels != new.metadata.labels
                    || old.spec != new.spec
                    // The cluster controller sets its finalizer when the execution space exists.
                    || old.metadata.finalizers != new.metadata.finalizers
            }
            Change::Deleted { .. } => false,
        };
        if concerns {
            every(&weak, &to);
        }
    });
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.cluster_overrides.subscribe(move |change| {
        if !matches!(change, Change::Added { initial: true, .. }) {
            every(&weak, &to);
        }
    });
    let (to, weak) = (Arc::clone(queue), Arc::downgrade(world));
    world.works.subscribe(move |change| {
        let old = match change {
            Change::Deleted { old } => old,
            Change::Updated { old, new }
                if weak
                    .upgrade()
                    .is_some_and(|world| world.work_writes.is_foreign(old, new)) =>
            {
                old
            }
            _ => return,
        };
        if let Some(owner) = old
            .owner_references()
            .iter()
            .find(|owner| owner.kind == "Namespace" && owner.api_version == "v1")
        {
            to.add(owner.name.clone());
        }
    });
}

async fn reconcile(world: &World, options: &Options, name: &str) -> Result<Action, Error> {
    if is_reserved(name) || name == "default" || options.skipped.matches(name) {
        return Ok(Action::AwaitChange);
    }
    let Some(namespace) = world
        .templates
        .object(&namespaces(), &Key::cluster_scoped(name))
    else {
        return Ok(Action::AwaitChange);
    };
    let namespace = to_value(&namespace);
    if object::is_deleting(&namespace) || is_left_alone(&namespace) {
        return Ok(Action::AwaitChange);
    }
    let overrides = Overrides::of(world, None);
    let policies = overrides.cluster_policies();
    let drafts: Vec<Result<Draft, RenderError>> = world
        .clusters
        .list()
        .iter()
        .filter(|cluster| has_execution_space(cluster))
        .map(|cluster| {
            let request = NamespaceRequest {
                namespace: &namespace,
                cluster,
                cluster_overrides: &policies,
                conflict_resolution: None,
            };
            render_namespace(request, &mut NoTrace)
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
    Err(Error {
        namespace: name.into(),
        message: propagation::execution::conditions::joined(&texts),
        terminal: failures.iter().all(Failure::is_terminal),
        conflict: failures.iter().all(Failure::is_conflict),
    })
}

async fn write(world: &World, draft: Result<Draft, RenderError>) -> Result<bool, Failure> {
    let draft = draft?;
    let key = draft.key();
    Ok(upsert_draft(world, &key, draft).await?)
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl Failure {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Render(_) => true,
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

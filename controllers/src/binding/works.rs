//! Renders and writes the Works of one binding, a cluster at a time and all clusters side by side.

use std::{sync::Arc, time::Duration};

use crds::{
    cluster::Cluster,
    config::InterpreterOperation,
    object::Key,
    policy::{ClusterOverridePolicy, OverridePolicy},
    reasons,
    work::{Binding, Work},
};
use futures::future::join_all;
use interpreter::LayerName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use propagation::{
    events, overrides,
    render::{self, Draft, Place, Plan, RenderError, Target, Upsert, UpsertError},
};
use runtime::ApiError;
use serde_json::Value;
use trace::NoTrace;

use super::{Context, Error};
use crate::{
    interpretation::report,
    world::{Bindings, World},
    write,
};

/// From how many bytes on an override rule is named when a Work is too large.
const LARGE: usize = 32 * 1024;
/// How long the Work of an earlier binding may take to go before users hear of it.
const GOING_PATIENCE: Duration = Duration::from_mins(2);

/// Why one cluster did not get its Work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cluster {0} does not exist")]
    NoCluster(String),
    #[error("cluster {cluster}: {source}")]
    Render {
        cluster: String,
        source: RenderError,
    },
    #[error("cluster {cluster}: {source}")]
    Upsert {
        cluster: String,
        source: UpsertError,
    },
    #[error(
        "cluster {cluster}: work {work} has been going for more than {} minutes; the cluster does not answer, or a finalizer holds the object there",
        GOING_PATIENCE.as_secs() / 60
    )]
    Stuck { cluster: String, work: Key },
    #[error("cluster {cluster}: {source}")]
    Write { cluster: String, source: ApiError },
    #[error("cluster {cluster}: {source}; {remedy}")]
    Refused {
        cluster: String,
        source: ApiError,
        remedy: String,
    },
}

impl Failure {
    fn is_terminal(&self) -> bool {
        match self {
            // A webhook may answer the next time, and a script may have missed its deadline on a busy machine.
            Self::Render {
                source: RenderError::Revise(error),
                ..
            } => error.layer == LayerName::Native,
            Self::NoCluster(_) | Self::Render { .. } | Self::Refused { .. } => true,
            Self::Upsert { source, .. } => source.is_terminal(),
            Self::Write { .. } | Self::Stuck { .. } => false,
        }
    }

    /// What kept the replicas from being set.
    fn unrevised(&self) -> Option<String> {
        let revise = matches!(
            self,
            Self::Render {
                source: RenderError::Revise(_),
                ..
            }
        );
        revise.then(|| self.to_string())
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Upsert { source, .. } => matches!(source, UpsertError::Terminating { .. }),
            Self::Write { source, .. } => source.is_conflict() || source.is_already_exists(),
            _ => false,
        }
    }
}

/// The override policies that may concern a template, alive as long as they are looked at.
pub(crate) struct Overrides {
    cluster: Vec<Arc<ClusterOverridePolicy>>,
    namespaced: Vec<Arc<OverridePolicy>>,
}

impl Overrides {
    /// Those of the control plane, and of the namespace if there is one.
    pub(crate) fn of(world: &World, namespace: Option<&str>) -> Self {
        let mut namespaced = Vec::new();
        if let Some(namespace) = namespace {
            namespaced = world.overrides.list();
            namespaced.retain(|policy| policy.metadata.namespace.as_deref() == Some(namespace));
        }
        Self {
            cluster: world.cluster_overrides.list(),
            namespaced,
        }
    }

    pub(crate) fn cluster_policies(&self) -> Vec<overrides::Policy<'_>> {
        self.cluster
            .iter()
            .map(|policy| overrides::Policy::from(&**policy))
            .collect()
    }

    pub(crate) fn policies(&self) -> Vec<overrides::Policy<'_>> {
        self.namespaced
            .iter()
            .map(|policy| overrides::Policy::from(&**policy))
            .collect()
    }
}

/// Brings every Work of the binding up to date; returns whether anything was written.
pub(super) async fn sync<B: Bindings>(
    context: &Context,
    binding: &B,
    template: &Value,
) -> Result<bool, Error> {
    let world = &context.world;
    let key = Binding::key(binding);
    let plan = Plan::new(binding, template, context.gates, &mut NoTrace).map_err(|source| {
        Error::Completions {
            binding: key.clone(),
            source,
        }
    })?;
    let found = Overrides::of(world, binding.spec().resource.namespace.as_deref());
    let (cluster_overrides, namespaced) = (found.cluster_policies(), found.policies());

    let (plan, holder) = (&plan, &key);
    let overrides = (&cluster_overrides[..], &namespaced[..]);
    let outcomes = join_all(plan.targets.iter().map(|target| async move {
        let draft = draft(context, plan, target, overrides).await?;
        upsert(context, holder, &target.cluster, draft).await
    }))
    .await;

    let unrevised: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err()?.unrevised())
        .collect();
    let unrevised =
        (!unrevised.is_empty()).then(|| propagation::execution::conditions::joined(&unrevised));
    let operation = InterpreterOperation::ReviseReplica;
    report::write(world, binding, &report::outcome(operation, unrevised))
        .await
        .map_err(|source| Error::PatchStatus {
            binding: key.clone(),
            source,
        })?;

    let mut written = false;
    let mut failures = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(wrote) => written |= wrote,
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() {
        return Ok(written);
    }
    let terminal = failures.iter().all(Failure::is_terminal);
    let conflict = failures.iter().all(Failure::is_conflict);
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    let message = propagation::execution::conditions::joined(&texts);
    Err(Error::Works {
        binding: key,
        message,
        terminal,
        conflict,
    })
}

async fn draft<B: Bindings>(
    context: &Context,
    plan: &Plan<'_, B>,
    target: &Target,
    (cluster_overrides, namespaced): (&[overrides::Policy<'_>], &[overrides::Policy<'_>]),
) -> Result<Draft, Failure> {
    let world = &context.world;
    let cluster: Arc<Cluster> = world
        .clusters
        .get(&Key::cluster_scoped(&target.cluster))
        .ok_or_else(|| Failure::NoCluster(target.cluster.clone()))?;
    let revised = target
        .replicas
        .filter(|_| plan.binding.spec().is_workload());
    let interpreter = match revised {
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
        overrides: namespaced,
        interpreter: &interpreter,
    };
    let rendered = render::render(plan, place, &mut NoTrace);
    if let Ok(draft) = &rendered
        && let Some(ignored) = draft.ignored_conflict_resolution()
    {
        let about = write::template_reference(&plan.binding.spec().resource);
        let text = events::conflict_resolution_ignored(ignored);
        context
            .events
            .warning(about, reasons::INVALID_CONFLICT_RESOLUTION, text);
    }
    rendered.map_err(|source| {
        if let Some(error) = source.override_error() {
            let about = write::template_reference(&plan.binding.spec().resource);
            let text = events::apply_override_policy_failed(
                &error.policy,
                &target.cluster,
                &error.to_string(),
            );
            context
                .events
                .warning(about, reasons::APPLY_OVERRIDE_POLICY_FAILED, text);
        }
        Failure::Render {
            cluster: target.cluster.clone(),
            source,
        }
    })
}

async fn upsert(
    context: &Context,
    binding: &Key,
    cluster: &str,
    draft: Draft,
) -> Result<bool, Failure> {
    let world = &context.world;
    let key = draft.key();
    let largest = draft.applied().largest();
    // Named only where it makes up a good part of what is too large.
    let largest = largest
        .filter(|(_, bytes)| *bytes >= LARGE)
        .map(|(rule, bytes)| {
            format!(
                "; rule {} of {} {} adds {bytes} bytes",
                rule.rule,
                rule.policy.kind(),
                rule.policy
            )
        });
    upsert_draft(world, &key, draft)
        .await
        .map_err(|error| match error {
            DraftError::Upsert(source) => {
                let cluster = cluster.to_owned();
                if source.is_terminal() {
                    context.refused.wait(&key, binding);
                }
                let going = world
                    .works
                    .get(&key)
                    .map(|work| work.metadata.deletion_timestamp.clone());
                match going {
                    Some(Some(since)) if is_stuck(&since, jiff::Timestamp::now()) => {
                        Failure::Stuck { cluster, work: key }
                    }
                    // It went meanwhile, perhaps before it was known that somebody waits for it.
                    None => Failure::Upsert {
                        cluster,
                        source: UpsertError::Terminating { work: key },
                    },
                    Some(_) => Failure::Upsert { cluster, source },
                }
            }
            DraftError::Write(source) => {
                let cluster = cluster.to_owned();
                let refusal = write::refusal(&source, "the control plane");
                match refusal.remedy.filter(|_| refusal.is_lasting) {
                    Some(remedy) => Failure::Refused {
                        cluster,
                        source,
                        remedy: match largest {
                            Some(largest) if refusal.is_too_large => remedy + &largest,
                            _ => remedy,
                        },
                    },
                    None => Failure::Write { cluster, source },
                }
            }
        })
}

/// Whether a Work that is being deleted since then takes longer than a member needs that is well.
fn is_stuck(since: &Time, now: jiff::Timestamp) -> bool {
    Duration::try_from(now.duration_since(since.0)).is_ok_and(|age| age >= GOING_PATIENCE)
}

/// Why a Work could not be brought to what was rendered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DraftError {
    #[error(transparent)]
    Upsert(#[from] UpsertError),
    #[error(transparent)]
    Write(#[from] ApiError),
}

/// Creates or updates the Work of a draft; returns whether anything was written.
pub(crate) async fn upsert_draft(
    world: &World,
    key: &Key,
    draft: Draft,
) -> Result<bool, DraftError> {
    let existing = world.works.get(key);
    let api: Api<Work> =
        Api::namespaced(world.client(), key.namespace.as_deref().unwrap_or_default());
    let fresh_id = uuid::Uuid::new_v4().to_string();
    match (draft.upsert(existing.as_deref(), &fresh_id)?, existing) {
        (Upsert::Unchanged, _) => Ok(false),
        (Upsert::Update(work), Some(existing)) => {
            let _writing = world.work_writes.begin(&existing);
            Ok(write::update(&api, &world.works, &existing, &work).await?)
        }
        (Upsert::Create(work) | Upsert::Update(work), _) => {
            write::create(&api, &world.works, &work).await?;
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_that_do_not_go_are_told_of_after_a_while() {
        let since = Time(jiff::Timestamp::UNIX_EPOCH);
        for (seconds, expected) in [(-5, false), (119, false), (120, true)] {
            let now = jiff::Timestamp::from_second(seconds).unwrap();
            assert_eq!(is_stuck(&since, now), expected, "{seconds} s");
        }
        let failure = Failure::Stuck {
            cluster: "m1".into(),
            work: Key::new("karmada-es-m1", "web-1"),
        };
        assert!(!failure.is_conflict() && !failure.is_terminal());
        assert_eq!(
            failure.to_string(),
            "cluster m1: work karmada-es-m1/web-1 has been going for more than 2 minutes; the cluster does not answer, or a finalizer holds the object there"
        );
    }
}

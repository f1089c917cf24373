//! Removals that are too many stop here and wait to be let go. What is too many says [`propagation::brake`].
//!
//! reads   policies, Clusters, bindings, Works     woken by  what becomes held or is let go, annotations of policies, Clusters, bindings, Works
//! writes  condition `RemovalHeld` of Clusters; of bindings and Works through the reconcilers that remove
//!
//! What is held is remembered by the API server: a process that starts reads it off the conditions of bindings and Works, so that a
//! restart lets nothing go. What went lately is in memory alone; a restart forgets it, which costs one more share at the worst.

mod binding;
mod metrics;
mod removal;
mod wake;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crds::{
    cluster::Cluster,
    conditions::{self, status::TRUE},
    keys,
    object::Key,
    work::{Binding, ClusterResourceBinding, ResourceBinding},
};
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Api, ResourceExt};
use parking_lot::{Mutex, RwLock};
use propagation::{
    brake::{
        Allowance, Doubt, Hold, Ledger, RELEASE_HOLD, REMOVAL_HELD, Removal, Scope, THRESHOLD,
        Threshold, Verdict, decide, is_released,
    },
    matching::{PolicyKind, PolicyRef},
};
use runtime::{Action, ApiError, Queue, controller::ReconcileError, events::Source};
use trace::NoTrace;

pub(crate) use self::{
    binding::{BindingPass, Orphans, Terminating, leftover_id, orphans, terminating},
    removal::leaving,
    work::{Fate, fate},
};
use crate::{World, write};

/// The source of the events about held removals, and their reason.
const COMPONENT: &str = "removal-brake";
/// Reason of the Warning event that tells of a hold.
pub(crate) const HELD: &str = "RemovalHeld";
/// Reason of the Warning event about a threshold that cannot be read.
const INVALID_THRESHOLD: &str = "InvalidRemovalThreshold";
/// A wave is told of when it has been going on for this long, not object by object.
const GATHER: Duration = Duration::from_millis(500);
/// Names that a message lists before it only counts.
const LISTED: usize = 3;

/// What an operator may set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// For clusters without an annotation of their own.
    pub cluster: Threshold,
    /// For policies without an annotation of their own.
    pub policy: Threshold,
}

/// Who has something held back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Holder {
    ResourceBinding(Key),
    ClusterResourceBinding(Key),
    Work(Key),
    Cluster(String),
}

impl Holder {
    fn of<B: Binding>(binding: &B) -> Self {
        if B::IS_NAMESPACED {
            Self::ResourceBinding(binding.key())
        } else {
            Self::ClusterResourceBinding(binding.key())
        }
    }

    /// The binding that it is, if it is one of this kind.
    pub(crate) fn binding<B: Binding>(&self) -> Option<&Key> {
        match self {
            Self::ResourceBinding(key) if B::IS_NAMESPACED => Some(key),
            Self::ClusterResourceBinding(key) if !B::IS_NAMESPACED => Some(key),
            _ => None,
        }
    }

    /// The argument of `navarch release-hold` that names the object.
    fn release_argument(&self) -> String {
        let (kind, key) = match self {
            Self::ResourceBinding(key) => ("resourcebinding", key),
            Self::ClusterResourceBinding(key) => ("clusterresourcebinding", key),
            Self::Work(key) => ("work", key),
            Self::Cluster(name) => return format!("cluster/{name}"),
        };
        match &key.namespace {
            Some(namespace) => format!("{kind}/{} -n {namespace}", key.name),
            None => format!("{kind}/{}", key.name),
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ResourceBinding(key) => write!(f, "ResourceBinding {key}"),
            Self::ClusterResourceBinding(key) => write!(f, "ClusterResourceBinding {key}"),
            Self::Work(key) => write!(f, "Work {key}"),
            Self::Cluster(name) => write!(f, "Cluster {name}"),
        }
    }
}

/// One object that stays in a cluster although something asks for its removal.
#[derive(Debug, Clone)]
pub(crate) struct HeldBack {
    pub(crate) cluster: String,
    pub(crate) hold: Hold,
}

/// The text is another one when it was read off a condition.
impl PartialEq for HeldBack {
    fn eq(&self, other: &Self) -> bool {
        let facts = |item: &Self| (item.hold.reason, item.hold.scope.clone());
        self.cluster == other.cluster && facts(self) == facts(other)
    }
}

type Hook = Box<dyn Fn(&Holder) + Send + Sync>;

/// See the module documentation.
#[derive(Default)]
pub struct Brake {
    options: OnceLock<Options>,
    state: Mutex<State>,
    /// How many holders there are, to be asked without the lock.
    holders: AtomicUsize,
    /// Whether what an earlier process held was read.
    is_loaded: AtomicBool,
    /// Clusters whose condition has to be looked at.
    queue: Arc<Queue<String>>,
    released: RwLock<Vec<Hook>>,
    metrics: metrics::Metrics,
}

impl std::fmt::Debug for Brake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brake")
            .field("holders", &self.holders)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    held: BTreeMap<Holder, Vec<HeldBack>>,
    /// How many held objects each scope accounts for.
    by_scope: BTreeMap<Scope, usize>,
}

impl State {
    fn set(&mut self, holder: &Holder, held: Vec<HeldBack>) -> Vec<HeldBack> {
        for scope in held.iter().filter_map(|it| it.hold.scope.as_ref()) {
            *self.by_scope.entry(scope.clone()).or_default() += 1;
        }
        let before = if held.is_empty() {
            self.held.remove(holder)
        } else {
            self.held.insert(holder.clone(), held)
        };
        let before = before.unwrap_or_default();
        for scope in before.iter().filter_map(|it| it.hold.scope.as_ref()) {
            if let Some(count) = self.by_scope.get_mut(scope) {
                *count -= 1;
                if *count == 0 {
                    self.by_scope.remove(scope);
                }
            }
        }
        before
    }
}

/// A removal that somebody wants to know about.
pub(crate) struct Question<'a> {
    /// Names the object that goes.
    pub(crate) object: &'a str,
    pub(crate) scopes: &'a [Scope],
    pub(crate) doubt: Option<Doubt>,
    /// The annotations of the object that is released to let this removal go.
    pub(crate) annotations: &'a BTreeMap<String, String>,
}

impl Brake {
    /// Decides about a removal, and counts it if it may happen.
    pub(crate) fn ask(&self, world: &World, question: &Question<'_>) -> Verdict {
        let now = Time(jiff::Timestamp::now());
        let mut state = self.state.lock();
        self.load(world, &mut state);
        let state = &mut *state;
        let mut allowances = BTreeMap::new();
        for scope in question.scopes {
            let settings = self.settings(world, scope, &now);
            if settings.is_released {
                state.ledger.forget(scope);
            } else {
                state.ledger.prune(scope, settings.threshold.window, &now);
            }
            let total = state
                .ledger
                .total(scope)
                .unwrap_or_else(|| total(world, scope));
            allowances.insert(
                scope,
                Allowance {
                    total,
                    threshold: settings.threshold,
                    is_held: state.by_scope.contains_key(scope),
                    is_released: settings.is_released,
                },
            );
        }
        let removal = Removal {
            object: question.object,
            scopes: question.scopes,
            doubt: question.doubt,
            is_released: is_released(
                question.annotations.get(RELEASE_HOLD).map(String::as_str),
                &now,
            ),
        };
        let verdict = decide(
            &removal,
            &state.ledger,
            |scope| allowances[scope],
            &mut NoTrace,
        );
        if verdict == Verdict::Proceed && !removal.is_released {
            for (scope, allowance) in allowances {
                if !allowance.is_released && !allowance.threshold.is_off() {
                    state
                        .ledger
                        .record(scope, question.object, allowance.total, &now);
                }
            }
        }
        verdict
    }

    /// Says what a holder has held back now, nothing when it is through. Returns what is new.
    pub(crate) fn settle(
        &self,
        world: &World,
        holder: &Holder,
        held: Vec<HeldBack>,
    ) -> Vec<HeldBack> {
        if held.is_empty()
            && self.is_loaded.load(Ordering::Acquire)
            && self.holders.load(Ordering::Relaxed) == 0
        {
            return Vec::new();
        }
        let mut state = self.state.lock();
        self.load(world, &mut state);
        let before = state.set(holder, held.clone());
        self.holders.store(state.held.len(), Ordering::Relaxed);
        drop(state);
        self.metrics.changed(&before, &held);
        let clusters: BTreeSet<&String> = before
            .iter()
            .chain(&held)
            .map(|item| &item.cluster)
            .collect();
        for cluster in clusters {
            self.queue.add_after(cluster.clone(), GATHER);
        }
        let is_new = |item: &HeldBack| !before.contains(item);
        held.into_iter().filter(is_new).collect()
    }

    /// Calls `hook` with whoever has something held back when it may have been let go.
    pub(crate) fn on_release(&self, hook: impl Fn(&Holder) + Send + Sync + 'static) {
        self.released.write().push(Box::new(hook));
    }

    fn options(&self) -> Options {
        self.options.get().copied().unwrap_or_default()
    }

    /// Reads what an earlier process held back.
    fn load(&self, world: &World, state: &mut State) {
        // Under the lock of the state, so that it happens once.
        if self.is_loaded.load(Ordering::Acquire) {
            return;
        }
        let mut found = binding::held::<ResourceBinding>(world);
        found.extend(binding::held::<ClusterResourceBinding>(world));
        found.extend(work::held(world));
        for (holder, held) in found {
            self.metrics.changed(&[], &held);
            for item in &held {
                self.queue.add_after(item.cluster.clone(), GATHER);
            }
            state.set(&holder, held);
        }
        self.holders.store(state.held.len(), Ordering::Relaxed);
        self.is_loaded.store(true, Ordering::Release);
    }

    fn settings(&self, world: &World, scope: &Scope, now: &Time) -> Settings {
        let annotation = |annotations: Option<&BTreeMap<String, String>>, key: &str| {
            annotations.and_then(|it| it.get(key)).cloned()
        };
        let annotations = match scope {
            Scope::Cluster(name) => {
                let cluster = world.clusters.get(&Key::cluster_scoped(name));
                cluster.and_then(|it| it.metadata.annotations.clone())
            }
            Scope::Policy(policy) => policy_annotations(world, policy),
        };
        let default = match scope {
            Scope::Cluster(_) => self.options().cluster,
            Scope::Policy(_) => self.options().policy,
        };
        let threshold = annotation(annotations.as_ref(), THRESHOLD).map(|text| text.parse());
        if let Some(Err(error)) = &threshold {
            let message = format!("{THRESHOLD} is not used: {error}; {default} holds instead");
            tell(world, scope, INVALID_THRESHOLD, &message);
        }
        Settings {
            threshold: threshold.and_then(Result::ok).unwrap_or(default),
            is_released: is_released(
                annotation(annotations.as_ref(), RELEASE_HOLD).as_deref(),
                now,
            ),
        }
    }

    /// Who has something held back that concerns the scope.
    fn holders_of(&self, scope: &Scope) -> Vec<Holder> {
        if self.holders.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let state = self.state.lock();
        let concerns = |holder: &Holder, held: &[HeldBack]| match scope {
            Scope::Cluster(name) => {
                *holder == Holder::Cluster(name.clone())
                    || held.iter().any(|item| item.cluster == *name)
            }
            // Doubts are let go by the policy as well, and a holder knows its policy best.
            Scope::Policy(_) => held
                .iter()
                .any(|item| item.hold.scope.as_ref().is_none_or(|it| it == scope)),
        };
        state
            .held
            .iter()
            .filter(|(holder, held)| concerns(holder, held))
            .map(|(holder, _)| holder.clone())
            .collect()
    }

    fn notify(&self, holders: &[Holder]) {
        for hook in self.released.read().iter() {
            for holder in holders {
                hook(holder);
            }
        }
    }

    /// What is held back in a cluster, for its condition.
    fn in_cluster(&self, cluster: &str) -> Option<Condition> {
        let state = self.state.lock();
        let mut count = 0_usize;
        let mut names = Vec::new();
        let mut is_limit = false;
        for (holder, held) in &state.held {
            let here = held.iter().filter(|item| item.cluster == cluster);
            let mut any = false;
            for item in here {
                count += 1;
                any = true;
                is_limit |= matches!(item.hold.scope, Some(Scope::Cluster(_)));
            }
            if any && names.len() <= LISTED {
                names.push(holder.to_string());
            }
        }
        if count == 0 {
            return None;
        }
        let more = names.len() > LISTED;
        names.truncate(LISTED);
        let message = format!(
            "{count} removals wait to be let go: {}{}; their condition {REMOVAL_HELD} says why; `navarch release-hold cluster/{cluster}` lets all of them go",
            names.join(", "),
            if more { ", …" } else { "" },
        );
        let reason = if is_limit {
            "ClusterRemovalLimit"
        } else {
            "RemovalsHeld"
        };
        Some(conditions::condition(REMOVAL_HELD, TRUE, reason, message))
    }
}

/// A Warning event on the object that a scope stands for.
fn tell(world: &World, scope: &Scope, reason: &'static str, message: &str) {
    let about = match scope {
        Scope::Cluster(name) => world
            .clusters
            .get(&Key::cluster_scoped(name))
            .map(|it| write::reference(&*it)),
        Scope::Policy(policy) => {
            let key = Key::new(&policy.namespace, &policy.name);
            match policy.kind {
                PolicyKind::PropagationPolicy => {
                    world.policies.get(&key).map(|it| write::reference(&*it))
                }
                PolicyKind::ClusterPropagationPolicy => world
                    .cluster_policies
                    .get(&key)
                    .map(|it| write::reference(&*it)),
            }
        }
    };
    if let Some(about) = about {
        world.recorder.warning(COMPONENT, about, reason, message);
    }
}

struct Settings {
    threshold: Threshold,
    is_released: bool,
}

fn policy_annotations(world: &World, policy: &PolicyRef) -> Option<BTreeMap<String, String>> {
    let key = Key::new(&policy.namespace, &policy.name);
    match policy.kind {
        PolicyKind::PropagationPolicy => world.policies.get(&key)?.metadata.annotations.clone(),
        PolicyKind::ClusterPropagationPolicy => {
            let policy = world.cluster_policies.get(&key)?;
            policy.metadata.annotations.clone()
        }
    }
}

/// How many objects a scope has.
fn total(world: &World, scope: &Scope) -> usize {
    let id = |labels: &BTreeMap<String, String>, key: &str| labels.get(key).cloned();
    match scope {
        Scope::Cluster(name) => world.works.count_by_index(
            world.works_by_namespace,
            &crds::names::execution_namespace(name),
        ),
        Scope::Policy(policy) => {
            let key = Key::new(&policy.namespace, &policy.name);
            let id = match policy.kind {
                PolicyKind::PropagationPolicy => world
                    .policies
                    .get(&key)
                    .and_then(|policy| id(policy.labels(), keys::PROPAGATION_POLICY_PERMANENT_ID)),
                PolicyKind::ClusterPropagationPolicy => {
                    world.cluster_policies.get(&key).and_then(|policy| {
                        id(
                            policy.labels(),
                            keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
                        )
                    })
                }
            };
            let Some(id) = id else { return 0 };
            let works = |id: Option<&str>| {
                id.map_or(0, |id| {
                    world.works.count_by_index(world.works_by_binding, id)
                })
            };
            let of_bindings: usize = world
                .bindings
                .by_index(world.bindings_by_claim, &id)
                .iter()
                .map(|binding| works(binding.permanent_id()))
                .sum();
            let of_cluster_bindings: usize = world
                .cluster_bindings
                .by_index(world.cluster_bindings_by_claim, &id)
                .iter()
                .map(|binding| works(binding.permanent_id()))
                .sum();
            of_bindings + of_cluster_bindings
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("report held removals of cluster {cluster}")]
pub struct Error {
    cluster: String,
    source: ApiError,
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        self.source.reason()
    }

    fn is_conflict(&self) -> bool {
        self.source.is_conflict()
    }
}

/// Takes the thresholds and subscribes; the future keeps the conditions of Clusters.
pub fn prepare(world: &Arc<World>, options: Options) -> BoxFuture<'static, ()> {
    let brake = &world.brake;
    // A second call would be a mistake of the caller that changes nothing.
    let _ = brake.options.set(options);
    world
        .metrics
        .register(|registry| brake.metrics.register(registry));
    wake::subscribe(world);
    let controller = world.controller(COMPONENT, Arc::clone(&brake.queue), 1);
    let events = Source::new(&world.recorder, COMPONENT);
    let stop = world.stop.clone();
    let world = Arc::clone(world);
    Box::pin(async move {
        // What is held is known before anybody asks.
        world.brake.load(&world, &mut world.brake.state.lock());
        let run = controller.run(
            move |cluster: String| {
                let (world, events) = (Arc::clone(&world), Arc::clone(&events));
                async move { show(&world, &events, &cluster).await }
            },
            stop,
        );
        run.await;
    })
}

/// Brings the condition of a cluster up to date.
async fn show(world: &World, events: &Source, name: &str) -> Result<Action, Error> {
    let Some(cluster) = world.clusters.get(&Key::cluster_scoped(name)) else {
        return Ok(Action::AwaitChange);
    };
    let present = cluster
        .status
        .as_ref()
        .and_then(|status| conditions::find(&status.conditions, REMOVAL_HELD));
    let wanted = world.brake.in_cluster(name);
    let same = match (present, &wanted) {
        (None, None) => true,
        (Some(present), Some(wanted)) => {
            present.status == wanted.status
                && present.reason == wanted.reason
                && present.message == wanted.message
        }
        _ => false,
    };
    if same {
        return Ok(Action::AwaitChange);
    }
    let is_news = present.is_none();
    let mut shown = Cluster::clone(&cluster);
    let list = &mut shown.status.get_or_insert_default().conditions;
    match &wanted {
        Some(wanted) => {
            let now = Time(jiff::Timestamp::now());
            conditions::set_condition(list, wanted.clone(), &now);
        }
        None => {
            conditions::remove_condition(list, REMOVAL_HELD);
        }
    }
    let api: Api<Cluster> = Api::all(world.client());
    match write::update_status(&api, &world.clusters, &cluster, &shown).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => return Ok(Action::AwaitChange),
        Err(source) => {
            return Err(Error {
                cluster: name.to_owned(),
                source,
            });
        }
    }
    if let Some(wanted) = wanted.filter(|_| is_news) {
        tracing::warn!(
            cluster = name,
            message = wanted.message,
            "Removals are held back"
        );
        events.warning(write::reference(&*cluster), HELD, wanted.message);
    }
    Ok(Action::AwaitChange)
}

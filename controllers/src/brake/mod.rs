//! Removals that are too many stop here and wait to be let go. What is too many says [`propagation::brake`].
//!
//! reads   policies, Clusters, bindings, Works     woken by  what becomes held or is let go, annotations of policies, Clusters, bindings, Works
//! writes  condition `RemovalHeld` of Clusters; of bindings and Works through the reconcilers that remove
//!
//! What is held is remembered by the API server: a process that starts reads it off the conditions of bindings and Works, so that a
//! restart lets nothing go. What went lately is in memory alone; a restart forgets it, which costs one more share at the worst.

mod binding;
mod holder;
mod metrics;
mod removal;
mod scope;
mod show;
mod state;
mod terminating;
#[cfg(test)]
mod tests;
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
    conditions,
    work::{ClusterResourceBinding, ResourceBinding},
};
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use parking_lot::{Mutex, RwLock};
use propagation::brake::{
    Allowance, Doubt, HeldBack, RELEASE_HOLD, REMOVAL_HELD, Removal, Scope, Threshold, Verdict,
    decide, is_released,
};
use runtime::{Queue, events::Source};
use trace::NoTrace;

pub(crate) use self::{
    binding::{BindingPass, Orphans, orphans},
    holder::Holder,
    removal::{LEFT_BEHIND, Leaving, is_left_behind, leaving},
    scope::is_let_go,
    terminating::{Terminating, leftover_id, terminating},
    work::{Fate, fate},
};
use self::{scope::tell, state::State};
use crate::World;

/// The source of the events about held removals, and their reason.
const COMPONENT: &str = "removal-brake";
/// Reason of the Warning event that tells of a hold.
pub(crate) const HELD: &str = "RemovalHeld";
/// Reason of the Warning event about a threshold that cannot be read.
const INVALID_THRESHOLD: &str = "InvalidRemovalThreshold";
/// Reason of the Warning event about a release that is none.
const INVALID_RELEASE: &str = "InvalidRelease";
/// A wave is told of when it has been going on for this long, not object by object.
const GATHER: Duration = Duration::from_millis(500);

/// What an operator may set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// For clusters without an annotation of their own.
    pub cluster: Threshold,
    /// For policies without an annotation of their own.
    pub policy: Threshold,
}

type Hook = Box<dyn Fn(&Holder) + Send + Sync>;
type ScopeHook = Box<dyn Fn(&Scope) + Send + Sync>;

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
    scope_released: RwLock<Vec<ScopeHook>>,
    metrics: metrics::Metrics,
}

impl std::fmt::Debug for Brake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brake")
            .field("holders", &self.holders)
            .finish_non_exhaustive()
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
            let settings = scope::settings(world, self.options(), scope, &now);
            if settings.is_released {
                state.ledger.forget(scope);
            } else {
                state.ledger.prune(scope, settings.threshold.window, &now);
            }
            allowances.insert(
                scope,
                Allowance {
                    threshold: settings.threshold,
                    is_held: state.is_held(scope),
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
        let mut counted: BTreeMap<Scope, usize> = BTreeMap::new();
        let mut count = |scope: &Scope| {
            *counted
                .entry(scope.clone())
                .or_insert_with(|| scope::total(world, scope))
        };
        let ledger = &state.ledger;
        let verdict = decide(
            &removal,
            ledger,
            |scope| allowances[scope],
            |scope| ledger.total(scope).unwrap_or_else(|| count(scope)),
            &mut NoTrace,
        );
        match &verdict {
            Verdict::Hold(hold) => {
                if let Some(scope) = &hold.scope {
                    state.close(scope);
                }
            }
            Verdict::Proceed => {
                let is_let_go = removal.is_released || allowances.values().any(|it| it.is_released);
                for (scope, allowance) in allowances {
                    if !is_let_go && !allowance.threshold.is_off() {
                        let total = state.ledger.recent_total(scope, &now);
                        let total = total.unwrap_or_else(|| count(scope));
                        state.ledger.record(scope, question.object, total, &now);
                    }
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
        self.holders.store(state.holders(), Ordering::Relaxed);
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

    /// Forgets a holder that is gone.
    fn vanished(&self, world: &World, holder: &Holder) {
        // What was not read yet is read later, and without it.
        if self.is_loaded.load(Ordering::Acquire) {
            self.settle(world, holder, Vec::new());
        }
    }

    /// Calls `hook` with whoever has something held back when it may have been let go.
    pub(crate) fn on_release(&self, hook: impl Fn(&Holder) + Send + Sync + 'static) {
        self.released.write().push(Box::new(hook));
    }

    /// Calls `hook` with a Cluster or policy whose release annotation changed.
    pub(crate) fn on_scope_release(&self, hook: impl Fn(&Scope) + Send + Sync + 'static) {
        self.scope_released.write().push(Box::new(hook));
    }

    /// Whether nobody has anything held back. Costs nothing to ask.
    pub(crate) fn is_idle(&self) -> bool {
        self.holders.load(Ordering::Relaxed) == 0
    }

    /// Whether the holder has anything held back.
    pub(crate) fn holds(&self, holder: &Holder) -> bool {
        !self.is_idle() && self.state.lock().holds(holder)
    }

    /// What a holder has held back.
    pub(crate) fn held_back(&self, holder: &Holder) -> Vec<HeldBack> {
        if self.is_idle() {
            return Vec::new();
        }
        self.state.lock().held_back(holder)
    }

    /// The policies that keep something of a holder in a cluster already.
    fn policies_holding(&self, holder: &Holder, cluster: &str) -> Vec<Scope> {
        if self.holders.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        self.state.lock().policies_holding(holder, cluster)
    }

    /// Has what a scope holds judged anew if it allows more than before.
    fn changed(&self, scope: &Scope, before: Option<&String>, now: Option<&String>) {
        let default = scope::default_threshold(self.options(), scope);
        let read = |text: Option<&String>| {
            let threshold = text.and_then(|text| text.parse::<Threshold>().ok());
            threshold.unwrap_or(default)
        };
        if read(now).is_laxer_than(&read(before)) {
            self.state.lock().reopen(scope);
        }
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
        let now = Time(jiff::Timestamp::now());
        for (holder, held) in found {
            self.metrics.changed(&[], &held);
            for item in &held {
                self.queue.add_after(item.cluster.clone(), GATHER);
            }
            state.set(&holder, held.clone());
            // A threshold that was raised meanwhile lets go what it allows now.
            for hold in held.iter().map(|item| &item.hold) {
                if let (Some(scope), Some(before)) = (&hold.scope, &hold.threshold)
                    && scope::settings(world, self.options(), scope, &now)
                        .threshold
                        .is_laxer_than(before)
                {
                    state.reopen(scope);
                }
            }
        }
        // What a Cluster says may not be true any more.
        for cluster in world.clusters.list() {
            let status = cluster.status.as_ref();
            if status.is_some_and(|it| conditions::find(&it.conditions, REMOVAL_HELD).is_some()) {
                self.queue.add_after(cluster.name_any(), GATHER);
            }
        }
        self.holders.store(state.holders(), Ordering::Relaxed);
        self.is_loaded.store(true, Ordering::Release);
    }

    /// Who has something held back that concerns the scope.
    fn holders_of(&self, scope: &Scope) -> Vec<Holder> {
        if self.holders.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        self.state.lock().holders_of(scope)
    }

    fn notify_scope(&self, scope: &Scope) {
        for hook in self.scope_released.read().iter() {
            hook(scope);
        }
    }

    fn notify(&self, holders: &[Holder]) {
        for hook in self.released.read().iter() {
            for holder in holders {
                hook(holder);
            }
        }
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
                async move { show::show(&world, &events, &cluster).await }
            },
            stop,
        );
        run.await;
    })
}

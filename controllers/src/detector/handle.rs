//! What others use to have templates looked at, and what the detector remembers between passes.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use propagation::matching::{Policy, Waiting};
use runtime::{Queue, queue::Priority};

use super::TemplateKey;

/// The detector as seen by the reconciler of policies. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Arc<Queue<TemplateKey>>,
    waiting: Mutex<Waiting>,
    /// Templates that are looked at only because a lazy policy changed, and not because a user touched them.
    lazy: Mutex<HashSet<TemplateKey>>,
}

impl Handle {
    pub fn queue(&self) -> &Arc<Queue<TemplateKey>> {
        &self.0.queue
    }

    /// Has a template looked at because something about it changed.
    pub fn enqueue(&self, key: TemplateKey, priority: Priority) {
        self.0.queue.add_with(key, priority);
    }

    /// Has a template looked at because a policy changed.
    pub fn enqueue_for(&self, policy: &Policy<'_>, key: TemplateKey, priority: Priority) {
        if policy.is_lazy() {
            self.0.lazy.lock().insert(key.clone());
        }
        self.enqueue(key, priority);
    }

    /// Has a template looked at because the rules for its kind changed, which no user's change of the template is.
    pub(super) fn enqueue_unprompted(&self, key: TemplateKey) {
        self.0.lazy.lock().insert(key.clone());
        self.enqueue(key, Priority::Low);
    }

    /// Templates without a policy that this policy's selectors may match; labels are still to be looked at.
    pub fn waiting_for(&self, policy: &Policy<'_>) -> Vec<TemplateKey> {
        let candidates = self.0.waiting.lock().candidates(policy);
        candidates.into_iter().map(TemplateKey::from).collect()
    }

    /// Remembers that the template has no policy. To be called before the policies are read: one that arrives afterwards then
    /// finds the template here.
    pub(super) fn wait(&self, key: &TemplateKey) {
        self.0.waiting.lock().insert(key.into());
    }

    /// The template has a policy, or is gone.
    pub(super) fn settle(&self, key: &TemplateKey) {
        self.0.waiting.lock().remove(&key.into());
    }

    /// A user touched the template.
    pub(super) fn touched(&self, key: &TemplateKey) {
        self.0.lazy.lock().remove(key);
    }

    /// Whether a user's change is not what the template is looked at for; forgets it.
    pub(super) fn take_lazy_wake(&self, key: &TemplateKey) -> bool {
        self.0.lazy.lock().remove(key)
    }

    /// Whether the next look at the template is for another reason than a user's change.
    pub(super) fn is_woken_lazily(&self, key: &TemplateKey) -> bool {
        self.0.lazy.lock().contains(key)
    }

    /// Takes a forgotten wake back, because the pass failed.
    pub(super) fn put_lazy_wake_back(&self, key: &TemplateKey) {
        self.0.lazy.lock().insert(key.clone());
    }
}

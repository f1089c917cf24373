//! A queue with workers for each member cluster.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crds::{names, object::Key};
use parking_lot::Mutex;
use runtime::Queue;
use tokio_util::task::TaskTracker;

use super::{Context, NAME, reconcile};

/// See the module documentation.
pub(super) struct Lanes {
    context: Arc<Context>,
    workers: usize,
    state: Mutex<State>,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    started: bool,
    queues: HashMap<String, Arc<Queue<Key>>>,
}

impl Lanes {
    pub(super) fn new(context: Arc<Context>, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            context,
            workers,
            state: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Starts the workers of every lane, present and future.
    pub(super) fn start(&self) {
        let mut state = self.state.lock();
        state.started = true;
        for queue in state.queues.values() {
            self.spawn(Arc::clone(queue));
        }
    }

    /// Waits for the passes under way, after everything was told to stop.
    pub(super) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How long changes of one member object are gathered into a pass.
    pub(super) fn gathering(&self, lone: Duration) -> Duration {
        self.context.pacer.gathering(lone)
    }

    /// What was compared by the former rules may differ by the new ones.
    pub(super) fn rules_changed(&self) {
        self.context.compared.clear();
    }

    /// The queue of the member whose execution space the Work is in.
    pub(super) fn of(&self, work: &Key) -> Arc<Queue<Key>> {
        let namespace = work.namespace.as_deref().unwrap_or_default();
        // Works outside of execution spaces share a lane, in which they are refused.
        self.lane(names::cluster_of_execution_namespace(namespace).unwrap_or_default())
    }

    pub(super) fn lane(&self, cluster: &str) -> Arc<Queue<Key>> {
        let mut state = self.state.lock();
        if let Some(queue) = state.queues.get(cluster) {
            return Arc::clone(queue);
        }
        let queue = Queue::new();
        state.queues.insert(cluster.to_owned(), Arc::clone(&queue));
        if state.started {
            self.spawn(Arc::clone(&queue));
        }
        queue
    }

    fn spawn(&self, queue: Arc<Queue<Key>>) {
        let counted = Arc::clone(&queue);
        let controller = self.context.world.controller(NAME, queue, self.workers);
        let context = Arc::clone(&self.context);
        let stop = context.world.stop.clone();
        self.tasks.spawn(controller.run(
            move |key: Key| {
                let context = Arc::clone(&context);
                let failures = counted.failures(&key);
                async move { reconcile(&context, &key, failures).await }
            },
            stop,
        ));
    }
}

//! Template + policies -> claim on the template, and its binding.
//!
//! reads   templates, policies, override policies, bindings     woken by  templates, policies, bindings that go or lose labels
//! writes  claim labels and annotations of templates; bindings: metadata and everything in the spec that comes from template
//!         and policy
//!
//! A claim, once made, holds until the policy lets go of it, is deleted or is preempted. Policies wake templates through the
//! [`Handle`]: those that they have claimed, and those that wait for a policy.

mod claims;
mod course;
mod deferral;
mod error;
mod explain;
mod handle;
mod key;
mod leftover;
mod metrics;
mod pass;
mod upsert;
mod wake;

use std::sync::Arc;

use crds::work::{ClusterResourceBinding, ResourceBinding};
use futures::future::BoxFuture;
use propagation::{
    binding,
    skip::{SkippedApis, SkippedNamespaces},
};
use runtime::events::Source;

use self::metrics::Metrics;
pub(crate) use self::{
    claims::{metadata_value, release},
    explain::explain,
    wake::specification_changed,
};
pub use self::{
    error::Error,
    explain::{Explanation, Insight},
    handle::Handle,
    key::TemplateKey,
};
use crate::World;

/// The component that events name.
pub(crate) const COMPONENT: &str = "resource-detector";

/// Feature gates that the detector looks at.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each gate is on or off by itself"
)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gates {
    /// `PropagationPolicyPreemption`
    pub preemption: bool,
    /// `PriorityBasedScheduling`
    pub schedule_priority: bool,
    /// `MultiplePodTemplatesScheduling`
    pub multiple_pod_templates: bool,
    /// `WorkloadAffinity`
    pub workload_affinity: bool,
    /// `ResourceQuotaEstimate`
    pub resource_quota_estimate: bool,
}

impl Gates {
    const fn of_binding(self) -> binding::Gates {
        binding::Gates {
            workload_affinity: self.workload_affinity,
            resource_quota_estimate: self.resource_quota_estimate,
        }
    }
}

/// What the detector can be told.
#[derive(Debug, Clone)]
pub struct Options {
    pub skipped_apis: SkippedApis,
    pub skipped_namespaces: SkippedNamespaces,
    pub gates: Gates,
    /// Templates that are worked on at a time.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            skipped_apis: SkippedApis::default(),
            skipped_namespaces: SkippedNamespaces::default(),
            gates: Gates::default(),
            workers: 16,
        }
    }
}

struct Context {
    world: Arc<World>,
    handle: Handle,
    options: Options,
    metrics: Metrics,
    events: Arc<Source>,
}

/// Subscribes at once; the future works until the world stops. The handle is for the reconciler of policies.
pub fn prepare(world: &Arc<World>, options: Options) -> (Handle, BoxFuture<'static, ()>) {
    let handle = Handle::default();
    wake::subscribe::<ResourceBinding, ClusterResourceBinding>(
        world,
        &handle,
        &options.skipped_namespaces,
    );
    let metrics = Metrics::default();
    world
        .metrics
        .register(|registry| metrics.register(registry));
    let controller = world.controller(
        "resource detector",
        Arc::clone(handle.queue()),
        options.workers,
    );
    let insight = Insight {
        options: options.clone(),
        handle: handle.clone(),
    };
    // A world has one detector; a second one would be told of by the first one's rules.
    let _one = world.detector.set(insight);
    let stop = world.stop.clone();
    let context = Arc::new(Context {
        world: Arc::clone(world),
        handle: handle.clone(),
        options,
        metrics,
        events: Source::new(&world.recorder, COMPONENT),
    });
    let running = controller.run(move |key| pass::reconcile(key, Arc::clone(&context)), stop);
    (handle, Box::pin(running))
}

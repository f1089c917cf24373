//! From template to member cluster and back, as pure functions.
//!
//! ```text
//! template --skip, matching--> policy --binding--> binding --(scheduler)--> binding with clusters
//!    binding --render (overrides)--> Work per cluster --execution--> member object
//!    member object --execution::conditions--> Work status --status--> binding status
//! ```
//!
//! Everything here is computed from values: objects, policies, a clock reading, permanent ids. The shell reads them from stores,
//! calls, and writes what it is told. Each stage reports its decisions to a sink of [`trace::Item`]s, so that `why` and
//! `plan` tell what the controllers would do by running the same code.
//!
//! ```
//! use std::sync::Arc;
//!
//! use crds::policy::{PropagationPolicy, PropagationSpec, ResourceSelector};
//! use crds::work::{ResourceBinding, TargetCluster};
//! use interpreter::{Interpreter, StoppedClock};
//! use propagation::{binding, execution, matching, render};
//! use serde_json::json;
//! use trace::NoTrace;
//!
//! let template = json!({
//!     "apiVersion": "v1", "kind": "ConfigMap",
//!     "metadata": {"name": "common", "namespace": "demo", "uid": "u"}, "data": {"a": "1"},
//! });
//! let selector = ResourceSelector { api_version: "v1".into(), kind: "ConfigMap".into(), ..Default::default() };
//! let mut policy = PropagationPolicy::new("all", PropagationSpec {
//!     resource_selectors: vec![selector],
//!     ..Default::default()
//! });
//! policy.metadata.namespace = Some("demo".into());
//!
//! // Which policy has the template, and what binding does it get?
//! let policies = [matching::Policy::from(&policy)];
//! let subject = matching::Subject::of(&template);
//! let policy = matching::choose(&subject, &policies, &[], &mut NoTrace).expect("the selector matches");
//! let inputs = binding::Inputs {
//!     template: &template,
//!     policy,
//!     interpretation: binding::Interpretation::default(),
//!     schedule_priority: None,
//!     gates: binding::Gates::default(),
//! };
//! let mut binding: ResourceBinding = binding::create(binding::build(inputs, &mut NoTrace), "id");
//! assert_eq!(binding.metadata.name.as_deref(), Some("common-configmap"));
//!
//! // The scheduler chose a cluster: what goes there, and what is done with it in the member?
//! binding.spec.clusters = vec![TargetCluster { name: "member1".into(), replicas: None }];
//! let interpreter = Interpreter::native(Arc::new(StoppedClock(0)));
//! let plan = render::Plan::new(&binding, &template, render::Gates::default(), &mut NoTrace)?;
//! let place = render::Place {
//!     target: &plan.targets[0],
//!     cluster: &crds::cluster::Cluster::default(),
//!     cluster_overrides: &[],
//!     overrides: &[],
//!     interpreter: &interpreter,
//! };
//! let work = render::render(&plan, place, &mut NoTrace)?.into_work("work-id");
//! assert_eq!(work.metadata.namespace.as_deref(), Some("karmada-es-member1"));
//! let manifest = &work.spec.workload.manifests[0];
//! let todo = execution::plan(manifest, None, "member1", &interpreter, &mut NoTrace)?;
//! assert!(matches!(todo, execution::Plan::Create(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![expect(
    clippy::doc_markdown,
    reason = "kinds and products stand as plain words in prose"
)]

pub mod binding;
pub mod brake;
mod clock;
pub mod dependencies;
pub mod diff;
pub mod events;
pub mod eviction;
pub mod execution;
pub mod failover;
mod fingerprint;
pub mod hpa;
pub mod matching;
pub mod namespace;
pub mod overrides;
pub mod pace;
pub mod rebalance;
pub mod render;
pub mod skip;
pub mod status;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod yaml;

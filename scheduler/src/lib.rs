//! Which clusters get a workload, and how many replicas.
//!
//! The pure core of the scheduler: bindings and clusters come in as plain data, decisions go out. Whoever runs it keeps a
//! [`Snapshot`] of the clusters, takes a [`step`] for each binding that an event concerns, asks accurate estimators if the step says
//! so, writes the patches and brings bindings back when the report says so.
//!
//! ```text
//! relevance   which bindings an event concerns
//! decision    whether to act; attempts per affinity; patches, condition, events
//!   pipeline    filter -> score -> estimate -> select -> assign
//!     filter, score, estimate, select, divide
//! inflight    what was decided but is not visible yet
//! deschedule  which replicas are taken out again because they find no node
//! trace       what a decision reports; explain puts it together
//! cases       recorded cases as JSON, decided again
//! ```
//!
//! ```
//! use crds::cluster::{Cluster, ClusterSpec};
//! use crds::policy::Placement;
//! use crds::work::{ResourceBinding, ResourceBindingSpec};
//! use scheduler::{Decision, Inputs, Options, Snapshot, decide};
//! use scheduler::trace::NoTrace;
//!
//! let cluster = Cluster::new("member1", ClusterSpec::default());
//! let snapshot = Snapshot::new(&[cluster.into()]);
//! let mut binding = ResourceBinding::new("web-deployment", ResourceBindingSpec::default());
//! binding.spec.placement = Some(Placement::default());
//! let options = Options::default();
//! let inputs = Inputs::new(&snapshot, &options, "2026-01-01T00:00:00Z".parse().unwrap());
//! let Decision::Scheduled(outcome) = decide(&binding, &inputs, &mut NoTrace) else {
//!     panic!("a new binding is scheduled");
//! };
//! assert_eq!(outcome.result.unwrap_err().reason, "NoClusterFit");
//! ```

pub mod cases;
pub mod decision;
pub mod deschedule;
pub mod divide;
mod error;
pub mod estimate;
pub mod explain;
pub mod filter;
pub mod inflight;
pub mod options;
mod pipeline;
pub mod plugins;
pub mod quantity;
pub mod relevance;
mod request;
pub mod score;
pub mod select;
mod snapshot;
pub mod trace;

pub use decision::{Decision, Inputs, Outcome, Shortlist, Step, decide, step};
pub use error::{FitError, ScheduleError};
pub use estimate::{Answer, Estimates};
pub use explain::Explanation;
pub use options::{Compat, Gates, Options};
pub use pipeline::{Observer, Stage};
pub use request::{Question, Request};
pub use snapshot::{Cluster, Snapshot};

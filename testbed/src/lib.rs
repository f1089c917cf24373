//! Real clusters for tests, benches and `navarch local`: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and
//! kwok as child processes on loopback. No containers, no root, no mock.
//!
//! ```text
//!                     etcd (one for all; a prefix per cluster)
//!                       │
//!     navarch           │  member1                    member2 …
//!     kube-apiserver ───┼─ kube-apiserver             the same
//!     kube-controller-  │  kube-controller-manager
//!     manager (without  │  kube-scheduler
//!     workload loops)   │  kwok: nodes and pods
//! ```
//!
//! The programs are looked for where the user says, on the search path and in a cache, and built from the Go modules
//! pinned in this crate when they are nowhere; see [`Source`].
//!
//! ```no_run
//! # use navarch_testbed as testbed;
//! # async fn example() -> Result<(), testbed::Error> {
//! let bed = testbed::Bed::builder().members(3).start().await?;
//! let control_plane = bed.control_plane().client();
//! bed.member("member2")?.stop().await; // an outage
//! # Ok(())
//! # }
//! ```
//!
//! A bed belongs to the process that started it and ends with it, even if that is killed. `navarch local` keeps one by
//! letting a process of its own have it.

mod bed;
mod binaries;
mod cluster;
mod components;
mod context;
mod error;
mod folder;
mod go_build;
pub mod https;
mod kubeconfig;
mod kwok;
mod pki;
mod ports;
mod process;
mod procfs;
mod progress;
mod seed;

pub use bed::{Bed, Builder, CONTROL_PLANE};
pub use binaries::{Program, Source};
pub use cluster::Cluster;
pub use error::Error;
pub use folder::{ClusterState, Condition, ProcessState, Role, State, sockets};
pub use kwok::{NodeShape, POD_READY_ANNOTATION};
pub use procfs::ProcessId;
pub use progress::{Event, Lines, Progress, Silent};

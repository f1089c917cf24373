//! How many replicas a member cluster really has room for.
//!
//! The general estimator of the scheduler knows sums over a whole cluster; this one knows the nodes. A server runs beside each member
//! and holds its nodes and the requests of its pods; schedulers ask it over gRPC, in the protocol of the reference.
//!
//! ```text
//!              scheduler, descheduler                      beside member m1
//!  Question -> client::Estimators --gRPC--> server::serve -> Fleet (nodes, pods), quotas, ReplicaSets
//!              one link per cluster                        room, sets, stuck: pure
//! ```
//!
//! What is computed is in [`amounts`], [`claim`], [`fleet`], [`quota`] and [`stuck`], functions over plain data; [`server`] and
//! [`client`] talk.

pub mod amounts;
pub mod claim;
pub mod client;
pub mod fleet;
#[cfg(test)]
mod loopback;
pub mod objects;
pub mod quota;
pub mod server;
pub mod stuck;
pub mod tls;
pub mod wire;

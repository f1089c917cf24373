//! Asks the estimators of all members, each over a connection that is kept.
//!
//! Nobody waits for a member that does not answer: a link that failed is down until it has answered again in the background, and
//! while it is down questions about its cluster fail at once. So a server that hangs costs one request its time limit, now and then.

mod connect;
mod link;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crds::work::ObjectReference;
use futures::future::join_all;
use parking_lot::RwLock;
use scheduler::{Answer, Question as CoreQuestion, decision::Shortlist};
use tokio::time::Instant;
use tonic::{Response, Status, metadata::MetadataValue, transport::Channel};

pub use self::connect::Address;
use self::link::Link;
use crate::{
    tls::ClientFiles,
    wire::{
        estimator::{
            self, AssumedWorkload, MaxAvailableComponentSetsRequest, MaxAvailableReplicasRequest,
            UnschedulableReplicasRequest,
        },
        service::estimator_client::EstimatorClient,
    },
};

/// What a server may go on for when nobody waits any more.
const GRACE: Duration = Duration::from_secs(1);

/// How estimators are asked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What all answers to one question may take together.
    pub timeout: Duration,
    pub tls: ClientFiles,
}

/// Why an estimator did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("cluster {0} does not exist in estimator cache")]
    NoLink(String),
    #[error("the estimator of cluster {cluster} is not connected: {cause}")]
    Down { cluster: String, cause: Arc<str> },
    #[error("the estimator of cluster {cluster} gave no answer within {timeout:?}")]
    Timeout { cluster: String, timeout: Duration },
    #[error("the estimator of cluster {cluster} failed: {message}")]
    Failed { cluster: String, message: String },
    #[error("the estimator of cluster {cluster} answered {number}, which is no number of replicas")]
    Nonsense { cluster: String, number: i32 },
}

/// What is asked about each cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    Replicas(Option<estimator::ReplicaRequirements>),
    Sets {
        components: Vec<estimator::Component>,
        namespace: String,
    },
}

impl Question {
    /// What the scheduler wants to know.
    pub fn of(shortlist: &Shortlist<'_>) -> Self {
        match shortlist.question {
            CoreQuestion::Replicas(requirements) => Self::Replicas(requirements.map(Into::into)),
            CoreQuestion::Sets(components) => Self::Sets {
                components: components.iter().map(Into::into).collect(),
                namespace: shortlist.namespace.to_owned(),
            },
        }
    }
}

/// Connections to the estimators of members, by cluster.
#[derive(Debug)]
pub struct Estimators {
    options: Options,
    links: RwLock<HashMap<String, Arc<Link>>>,
}

impl Estimators {
    pub fn new(options: Options) -> Arc<Self> {
        Arc::new(Self {
            options,
            links: RwLock::default(),
        })
    }

    /// Connects to a cluster's estimator in the background, at the first of these addresses that answers. Nothing happens if they are
    /// those of before.
    pub fn connect(&self, cluster: &str, addresses: Vec<Address>) {
        let mut links = self.links.write();
        if links
            .get(cluster)
            .is_some_and(|link| link.addresses == addresses)
        {
            return;
        }
        let link = Link::start(cluster, addresses, self.options.tls.clone());
        links.insert(cluster.to_owned(), link);
    }

    /// Forgets a cluster's estimator.
    pub fn disconnect(&self, cluster: &str) {
        self.links.write().remove(cluster);
    }

    /// How many more replicas or sets fit into each of these clusters, asked of all at once. `about` is the workload.
    pub async fn available(
        &self,
        about: &ObjectReference,
        question: &Question,
        clusters: &[String],
        assumed: &BTreeMap<String, Vec<AssumedWorkload>>,
    ) -> Vec<(String, Answer)> {
        let deadline = Instant::now() + self.options.timeout;
        let asked = clusters.iter().map(async |cluster| {
            let assumed = assumed.get(cluster).cloned().unwrap_or_default();
            let answer = match question {
                Question::Replicas(requirements) => {
                    let message = MaxAvailableReplicasRequest {
                        cluster: cluster.clone(),
                        replica_requirements: requirements.clone(),
                        assumed_workloads: assumed,
                    };
                    self.ask(cluster, deadline, async |mut client| {
                        let request = self.request(about, message);
                        client.max_available_replicas(request).await
                    })
                    .await
                    .map(|answer| answer.max_replicas)
                }
                Question::Sets {
                    components,
                    namespace,
                } => {
                    let message = MaxAvailableComponentSetsRequest {
                        cluster: cluster.clone(),
                        components: components.clone(),
                        namespace: namespace.clone(),
                        assumed_workloads: assumed,
                    };
                    self.ask(cluster, deadline, async |mut client| {
                        let request = self.request(about, message);
                        client.max_available_component_sets(request).await
                    })
                    .await
                    .map(|answer| answer.max_sets)
                }
            };
            let answer = answer.and_then(|number| sane(cluster, number));
            let answer = match answer {
                Ok(number) => Answer::Fits(number),
                Err(error) => Answer::Failed(error.to_string()),
            };
            (cluster.clone(), answer)
        });
        join_all(asked).await
    }

    /// How many replicas of a workload have had no node for longer than the threshold, in each of these clusters.
    pub async fn unschedulable(
        &self,
        about: &ObjectReference,
        threshold: Duration,
        clusters: &[String],
    ) -> Vec<(String, Result<i32, Error>)> {
        let deadline = Instant::now() + self.options.timeout;
        let asked = clusters.iter().map(async |cluster| {
            let message = UnschedulableReplicasRequest {
                cluster: cluster.clone(),
                resource: Some(estimator::ObjectReference {
                    api_version: about.api_version.clone(),
                    kind: about.kind.clone(),
                    namespace: about.namespace.clone().unwrap_or_default(),
                    name: about.name.clone(),
                }),
                unschedulable_threshold: i64::try_from(threshold.as_nanos()).unwrap_or(i64::MAX),
            };
            let answer = self
                .ask(cluster, deadline, async |mut client| {
                    let request = self.request(about, message);
                    client.get_unschedulable_replicas(request).await
                })
                .await
                .and_then(|answer| sane(cluster, answer.unschedulable_replicas));
            (cluster.clone(), answer)
        });
        join_all(asked).await
    }

    /// Calls one cluster's estimator, if it is connected or about to be.
    async fn ask<T>(
        &self,
        cluster: &str,
        deadline: Instant,
        call: impl AsyncFnOnce(EstimatorClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, Error> {
        let link = self.links.read().get(cluster).cloned();
        let link = link.ok_or_else(|| Error::NoLink(cluster.to_owned()))?;
        let down = |cause| Error::Down {
            cluster: cluster.to_owned(),
            cause,
        };
        let channel = tokio::time::timeout_at(deadline, link.channel())
            .await
            .map_err(|_| down("still connecting".into()))?
            .map_err(down)?;
        match tokio::time::timeout_at(deadline, call(EstimatorClient::new(channel))).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                let message = connect::told(&status);
                if connect::is_trouble(&status) {
                    link.trouble(&message);
                }
                Err(Error::Failed {
                    cluster: cluster.to_owned(),
                    message,
                })
            }
            Err(_) => {
                let timeout = self.options.timeout;
                link.trouble(&format!("no answer within {timeout:?}"));
                Err(Error::Timeout {
                    cluster: cluster.to_owned(),
                    timeout,
                })
            }
        }
    }

    /// The message with what servers log, and with the time that they have.
    fn request<M>(&self, about: &ObjectReference, message: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        // A little more than is waited, so that it is always here that somebody says it took too long.
        request.set_timeout(self.options.timeout.saturating_add(GRACE));
        let object = format!(
            "kind={}, name={}/{}",
            about.kind,
            about.namespace.as_deref().unwrap_or_default(),
            about.name
        );
        if let Ok(object) = MetadataValue::try_from(object) {
            request.metadata_mut().insert("object", object);
        }
        request
    }
}

/// Refuses numbers that mean nothing; -1 says that the estimator does not know.
fn sane(cluster: &str, number: i32) -> Result<i32, Error> {
    if number >= -1 {
        Ok(number)
    } else {
        Err(Error::Nonsense {
            cluster: cluster.to_owned(),
            number,
        })
    }
}

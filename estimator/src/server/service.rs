//! What is asked over gRPC, answered from the stores.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    object::Key,
    work::{Component, ReplicaRequirements},
};
use scheduler::inflight::AssumedWorkload;
use tonic::{Request, Response, Status};

use super::{
    Options,
    metrics::{Metrics, Type},
    stores::Stores,
};
use crate::{
    fleet::UNLIMITED,
    quota, stuck,
    wire::{
        Malformed,
        estimator::{
            self, MaxAvailableComponentSetsRequest, MaxAvailableComponentSetsResponse,
            MaxAvailableReplicasRequest, MaxAvailableReplicasResponse, ObjectReference,
            UnschedulableReplicasRequest, UnschedulableReplicasResponse,
        },
        service::estimator_server::Estimator,
    },
};

const NODES: &str = "NodeResourceEstimator";
const QUOTAS: &str = "ResourceQuotaEstimator";

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Service {
    stores: Stores,
    cluster: String,
    assumed: bool,
    metrics: Arc<Metrics>,
}

impl Service {
    pub(super) fn new(stores: Stores, options: &Options, metrics: Arc<Metrics>) -> Self {
        Self {
            stores,
            cluster: options.cluster.clone(),
            assumed: options.assumed,
            metrics,
        }
    }

    /// Answers a request about this cluster, measured.
    fn answer<T>(
        &self,
        kind: Type,
        cluster: &str,
        run: impl FnOnce() -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let started = Instant::now();
        let answer = if cluster == self.cluster {
            run()
        } else {
            Err(Status::unknown(format!(
                "cluster name does not match, got: {cluster}, desire: {}",
                self.cluster
            )))
        };
        self.metrics
            .answered(kind, answer.is_ok(), started.elapsed());
        if let Err(error) = &answer {
            tracing::debug!(?kind, message = error.message(), "Request failed");
        }
        answer.map(Response::new)
    }

    fn assumed(
        &self,
        workloads: Vec<estimator::AssumedWorkload>,
    ) -> Result<Vec<AssumedWorkload>, Malformed> {
        let workloads = workloads.into_iter().filter(|_| self.assumed);
        workloads.map(TryInto::try_into).collect()
    }

    fn replicas(&self, request: MaxAvailableReplicasRequest) -> Result<i32, Status> {
        const POINT: &str = "estimate_replicas";
        let failed = |error: &dyn std::error::Error| {
            Status::unknown(format!("failed to estimate replicas: {}", told(error)))
        };
        let requirements: Option<ReplicaRequirements> = request
            .replica_requirements
            .map(TryInto::try_into)
            .transpose()
            .map_err(|error: Malformed| failed(&error))?;
        let assumed = self
            .assumed(request.assumed_workloads)
            .map_err(|error| failed(&error))?;
        self.metrics.point(POINT, || {
            let nodes = self.metrics.plugin(NODES, POINT, || {
                let fleet = self.stores.fleet.read();
                fleet.replicas(requirements.as_ref(), &assumed)
            });
            let nodes = nodes.map_err(|error| failed(&error))?;
            let quotas = self.metrics.plugin(QUOTAS, POINT, || {
                let Some(requirements) = &requirements else {
                    return Ok(None);
                };
                let namespace = requirements.namespace.as_deref().unwrap_or_default();
                // Without a namespace no quota is meant, rather than those of all namespaces.
                match self.stores.quotas(namespace) {
                    Some(quotas) => {
                        let quotas = quotas.iter().map(|quota| &**quota);
                        quota::replicas(quotas, requirements, &assumed)
                    }
                    None => Ok(None),
                }
            });
            let quotas = quotas.map_err(|error| failed(&error))?;
            Ok(smallest([Some(nodes), quotas]))
        })
    }

    fn sets(&self, request: MaxAvailableComponentSetsRequest) -> Result<i32, Status> {
        const POINT: &str = "estimate_components";
        let failed = |error: &dyn std::error::Error| {
            Status::unknown(format!(
                "failed to estimate component sets: {}",
                told(error)
            ))
        };
        let components: Vec<Component> = request
            .components
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, Malformed>>()
            .map_err(|error| failed(&error))?;
        let assumed = self
            .assumed(request.assumed_workloads)
            .map_err(|error| failed(&error))?;
        self.metrics.point(POINT, || {
            let nodes = self.metrics.plugin(NODES, POINT, || {
                let fleet = self.stores.fleet.read();
                if fleet.is_empty() {
                    return Ok(Some(0));
                }
                fleet.sets(&components, &assumed)
            });
            let nodes = nodes.map_err(|error| failed(&error))?;
            let quotas = self.metrics.plugin(QUOTAS, POINT, || {
                match self.stores.quotas(&request.namespace) {
                    Some(quotas) => {
                        let quotas = quotas.iter().map(|quota| &**quota);
                        quota::sets(quotas, &request.namespace, &components, &assumed)
                    }
                    None => Ok(None),
                }
            });
            let quotas = quotas.map_err(|error| failed(&error))?;
            Ok(smallest([nodes, quotas]))
        })
    }

    fn unschedulable(&self, request: &UnschedulableReplicasRequest) -> Result<i32, Status> {
        let Some(resource) = &request.resource else {
            return Err(Status::unknown("resource is nil"));
        };
        let nanos = u64::try_from(request.unschedulable_threshold).unwrap_or(0);
        let threshold = Duration::from_nanos(nanos);
        match resource.kind.as_str() {
            "Deployment" => self.stuck_in_deployment(resource, threshold),
            // These own their pods themselves.
            "Job" | "ReplicaSet" | "StatefulSet" => {
                let started = Instant::now();
                let workload = format!("{}/{}", resource.kind, resource.name);
                let pods = self.stores.waiting_pods_of(&resource.namespace, &workload);
                let pods = pods.iter().map(|pod| &**pod);
                let now = jiff::Timestamp::now();
                let stuck = stuck::count_owned(&workload, pods, threshold, now);
                self.step("GetWorkloadUnschedulablePods", true, started);
                Ok(stuck)
            }
            kind => Err(Status::unknown(format!(
                "kind({kind}) of workload({}/{}) is not supported",
                resource.namespace, resource.name
            ))),
        }
    }

    fn stuck_in_deployment(
        &self,
        resource: &ObjectReference,
        threshold: Duration,
    ) -> Result<i32, Status> {
        let started = Instant::now();
        let set = self
            .stores
            .newest_set(&Key::new(&resource.namespace, &resource.name));
        self.step("GetObjectFromCache", set.is_ok(), started);
        let Some(set) = set.map_err(Status::unknown)? else {
            return Ok(0);
        };
        let started = Instant::now();
        let stuck = stuck::count(
            &set,
            self.stores.waiting_pods(&set).iter().map(|pod| &**pod),
            threshold,
            jiff::Timestamp::now(),
        );
        self.step("GetWorkloadUnschedulablePods", true, started);
        Ok(stuck)
    }

    fn step(&self, step: &'static str, is_success: bool, started: Instant) {
        self.metrics
            .step(Type::Unschedulable, step, is_success, started.elapsed());
    }
}

/// The smallest number of those that limit.
fn smallest(answers: [Option<i64>; 2]) -> i32 {
    let smallest = answers.into_iter().flatten().fold(UNLIMITED, i64::min);
    i32::try_from(smallest.max(0)).unwrap_or(i32::MAX)
}

/// The text of an error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[tonic::async_trait]
impl Estimator for Service {
    async fn max_available_replicas(
        &self,
        request: Request<MaxAvailableReplicasRequest>,
    ) -> Result<Response<MaxAvailableReplicasResponse>, Status> {
        let request = request.into_inner();
        let cluster = request.cluster.clone();
        self.answer(Type::Replicas, &cluster, || {
            let max_replicas = self.replicas(request)?;
            Ok(MaxAvailableReplicasResponse { max_replicas })
        })
    }

    async fn max_available_component_sets(
        &self,
        request: Request<MaxAvailableComponentSetsRequest>,
    ) -> Result<Response<MaxAvailableComponentSetsResponse>, Status> {
        let request = request.into_inner();
        let cluster = request.cluster.clone();
        self.answer(Type::ComponentSets, &cluster, || {
            let max_sets = self.sets(request)?;
            Ok(MaxAvailableComponentSetsResponse { max_sets })
        })
    }

    async fn get_unschedulable_replicas(
        &self,
        request: Request<UnschedulableReplicasRequest>,
    ) -> Result<Response<UnschedulableReplicasResponse>, Status> {
        let request = request.into_inner();
        self.answer(Type::Unschedulable, &request.cluster, || {
            let unschedulable_replicas = self.unschedulable(&request)?;
            Ok(UnschedulableReplicasResponse {
                unschedulable_replicas,
            })
        })
    }
}

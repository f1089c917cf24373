//! The way of a Cluster out of the fleet: execution namespace, then bindings, then the finalizer.

use crds::{
    cluster::{Cluster, ClusterSyncMode},
    conditions::{self, status},
    keys, names,
    object::{Gvk, Key},
    reasons,
};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::core::v1::Namespace,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use runtime::{Action, ApiError, error::call};

use super::{Error, POLL, Reconciler};
use crate::{
    brake::{self, Holder, LEFT_BEHIND, Leaving},
    world::Bindings,
    write,
};

/// The condition of a Cluster that says what its removal waits for.
pub const REMOVAL: &str = "navarch.dev/Removal";

/// Reason of the Warning event about a cluster that keeps its objects.
const OBJECTS_LEFT_BEHIND: &str = "ObjectsLeftBehind";

/// Names that a message lists before it only counts.
const LISTED: usize = 3;
/// Works that are released at a time.
const PARALLEL: usize = 16;

/// What a removal waits for.
#[derive(Debug, PartialEq, Eq)]
enum Obstacle {
    /// More would go than the brake lets go at once.
    Held(String),
    /// Works that are still there; their objects are being removed from the member.
    Works(Vec<String>),
    /// The execution namespace, empty of Works.
    Namespace,
    /// Bindings that still name the cluster.
    Bindings(Vec<String>),
}

impl Obstacle {
    fn condition(self, namespace: &str) -> Condition {
        let (reason, message) = match self {
            Self::Held(message) => ("ClusterRemovalLimit", message),
            Self::Works(works) => (
                "WorksRemaining",
                format!(
                    "waiting for {} in {namespace} whose objects are being removed from the cluster: {}",
                    counted(works.len(), "Work"),
                    listed(works)
                ),
            ),
            Self::Namespace => (
                "NamespaceTerminating",
                format!("waiting for namespace {namespace} to go"),
            ),
            Self::Bindings(bindings) => (
                "BindingsRemaining",
                format!(
                    "waiting for the scheduler to move {} away from the cluster: {}; check that the scheduler runs and that scheduling is not suspended",
                    counted(bindings.len(), "binding"),
                    listed(bindings)
                ),
            ),
        };
        conditions::condition(REMOVAL, status::FALSE, reason, message)
    }
}

fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

fn listed(mut names: Vec<String>) -> String {
    names.sort();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(", …");
    }
    text
}

impl Reconciler {
    pub(super) async fn remove(&self, cluster: &Cluster) -> Result<Action, Error> {
        let name = cluster.name_any();
        let finalizer = keys::finalizers::CLUSTER_CONTROLLER;
        if !cluster.finalizers().iter().any(|it| it == finalizer) {
            return Ok(Action::AwaitChange);
        }
        if cluster.spec.sync_mode == ClusterSyncMode::Pull && !cluster.is_ready() {
            // The agent that would do it is gone.
            self.release_works(&name)
                .await
                .map_err(|source| Error::ReleaseWorks {
                    cluster: name.clone(),
                    source,
                })?;
        }
        if let Some(obstacle) = self.obstacle(cluster).await? {
            let namespace = names::execution_namespace(&name);
            self.report(cluster, obstacle.condition(&namespace)).await?;
            return Ok(Action::Requeue(POLL));
        }
        let api = Api::all(self.world.client());
        write::remove_finalizer(&api, &self.world.clusters, cluster, finalizer)
            .await
            .map_err(|source| Error::Release {
                cluster: name.clone(),
                source,
            })?;
        tracing::info!(cluster = name, "Cluster removed");
        Ok(Action::AwaitChange)
    }

    async fn obstacle(&self, cluster: &Cluster) -> Result<Option<Obstacle>, Error> {
        let name = cluster.name_any();
        let namespace = names::execution_namespace(&name);
        if self.is_terminating(&namespace) {
            // Too late to hold anything.
            let holder = Holder::Cluster(name.clone());
            self.world.brake.settle(&self.world, &holder, Vec::new());
        } else {
            match brake::leaving(&self.world, cluster) {
                Leaving::Go => {}
                Leaving::Held(why) => return Ok(Some(Obstacle::Held(why))),
                Leaving::LeaveBehind(why) => self.leave_behind(cluster, why).await?,
            }
        }
        let is_gone = self
            .remove_execution_namespace(cluster, &namespace)
            .await
            .map_err(|source| Error::RemoveExecutionNamespace {
                cluster: name.clone(),
                source,
            })?;
        if !is_gone {
            let works: Vec<String> = self
                .world
                .works
                .by_index(self.world.works_by_namespace, &namespace)
                .iter()
                .map(|work| work.name_any())
                .collect();
            return Ok(Some(if works.is_empty() {
                Obstacle::Namespace
            } else {
                Obstacle::Works(works)
            }));
        }
        let mut bindings = self.bindings_in::<crds::work::ResourceBinding>(&name);
        bindings.extend(self.bindings_in::<crds::work::ClusterResourceBinding>(&name));
        Ok((!bindings.is_empty()).then_some(Obstacle::Bindings(bindings)))
    }

    /// Notes, before anything goes, that the objects in the cluster stay.
    async fn leave_behind(&self, cluster: &Cluster, why: String) -> Result<(), Error> {
        if cluster.annotations().contains_key(LEFT_BEHIND) {
            return Ok(());
        }
        let mut noted = cluster.clone();
        noted
            .annotations_mut()
            .insert(LEFT_BEHIND.into(), keys::TRUE.into());
        let api = Api::all(self.world.client());
        write::update(&api, &self.world.clusters, cluster, &noted)
            .await
            .map_err(|source| Error::Update {
                cluster: cluster.name_any(),
                source,
            })?;
        self.events
            .warning(write::reference(cluster), OBJECTS_LEFT_BEHIND, why);
        Ok(())
    }

    fn is_terminating(&self, namespace: &str) -> bool {
        let namespaces = Gvk::parse("v1", "Namespace");
        let key = Key::cluster_scoped(namespace);
        let found = self.world.templates.object(&namespaces, &key);
        found.is_some_and(|found| found.metadata.deletion_timestamp.is_some())
    }

    /// Returns whether the namespace is gone.
    async fn remove_execution_namespace(
        &self,
        cluster: &Cluster,
        namespace: &str,
    ) -> Result<bool, ApiError> {
        let api: Api<Namespace> = Api::all(self.world.client());
        let Some(found) = call(api.get_opt(namespace)).await? else {
            return Ok(true);
        };
        if found.metadata.deletion_timestamp.is_some() {
            return Ok(false);
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: found.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match call(api.delete(namespace, &params)).await {
            Ok(_) => {
                self.events.normal(
                    write::reference(cluster),
                    reasons::REMOVE_EXECUTION_SPACE_SUCCEED,
                    format!(
                        "Removed execution space for cluster({}).",
                        cluster.name_any()
                    ),
                );
                Ok(false)
            }
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => {
                self.events.warning(
                    write::reference(cluster),
                    reasons::REMOVE_EXECUTION_SPACE_FAILED,
                    error.to_string(),
                );
                Err(error)
            }
        }
    }

    async fn release_works(&self, cluster: &str) -> Result<(), ApiError> {
        let namespace = names::execution_namespace(cluster);
        let api = Api::namespaced(self.world.client(), &namespace);
        let works = self
            .world
            .works
            .by_index(self.world.works_by_namespace, &namespace);
        stream::iter(works)
            .map(|work| {
                let api = &api;
                async move {
                    let finalizer = keys::finalizers::EXECUTION_CONTROLLER;
                    write::remove_finalizer(api, &self.world.works, &work, finalizer).await
                }
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }

    fn bindings_in<B: Bindings>(&self, cluster: &str) -> Vec<String> {
        B::store(&self.world)
            .list()
            .iter()
            .filter(|binding| {
                let mut targets = binding.spec().clusters.iter();
                targets.any(|target| target.name == cluster)
            })
            .map(|binding| runtime::store::key_of(binding.as_ref()).to_string())
            .collect()
    }

    async fn report(&self, cluster: &Cluster, condition: Condition) -> Result<(), Error> {
        let mut reported = cluster.clone();
        let status = reported.status.get_or_insert_default();
        conditions::set_condition(
            &mut status.conditions,
            condition,
            &Time(jiff::Timestamp::now()),
        );
        let api = Api::all(self.world.client());
        match write::update_status(&api, &self.world.clusters, cluster, &reported).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(source) => Err(Error::ReportRemoval {
                cluster: cluster.name_any(),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_says_what_it_waits_for() {
        let names = |count: usize| (0..count).map(|it| format!("w{it}")).collect::<Vec<_>>();
        for (obstacle, reason, message) in [
            (
                Obstacle::Works(names(1)),
                "WorksRemaining",
                "waiting for 1 Work in karmada-es-m1 whose objects are being removed from the cluster: w0",
            ),
            (
                Obstacle::Works(names(5)),
                "WorksRemaining",
                "waiting for 5 Works in karmada-es-m1 whose objects are being removed from the cluster: w0, w1, w2, …",
            ),
            (
                Obstacle::Namespace,
                "NamespaceTerminating",
                "waiting for namespace karmada-es-m1 to go",
            ),
            (
                Obstacle::Bindings(vec!["shop/web-deployment".into()]),
                "BindingsRemaining",
                "waiting for the scheduler to move 1 binding away from the cluster: shop/web-deployment; check that the scheduler runs and that scheduling is not suspended",
            ),
        ] {
            let condition = obstacle.condition("karmada-es-m1");
            assert_eq!(condition.reason, reason);
            assert_eq!(condition.message, message);
            assert_eq!(condition.status, "False");
        }
    }
}

//! Writes what was found into the Cluster's status, if it differs.

use std::sync::Arc;

use crds::{
    cluster::{Cluster, ClusterStatus},
    conditions,
    object::Key,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt};
use runtime::{ApiError, error::call};

use super::{Collected, Error, Reconciler, probe::Health};
use crate::write;

/// How often a write that lost a race is tried before the whole pass starts over.
const ATTEMPTS: usize = 5;

impl Reconciler {
    pub(super) async fn write_back(
        &self,
        cluster: &Cluster,
        health: &Health,
        collected: &Collected,
    ) -> Result<(), Error> {
        let name = cluster.name_any();
        self.try_write(cluster, health, collected)
            .await
            .map_err(|source| Error::PatchStatus {
                cluster: name,
                source,
            })
    }

    async fn try_write(
        &self,
        cluster: &Cluster,
        health: &Health,
        collected: &Collected,
    ) -> Result<(), ApiError> {
        let name = cluster.name_any();
        let api: Api<Cluster> = Api::all(self.world.client());
        // The probe may have taken its time.
        let mut current = self.world.clusters.get(&Key::cluster_scoped(&name));
        let mut attempt = 0;
        loop {
            // A Cluster of the same name that came later has nothing to do with what was found.
            let Some(old) = current.filter(|it| it.uid() == cluster.uid()) else {
                return Ok(());
            };
            let mut new = Cluster::clone(&old);
            let status = new.status.get_or_insert_default();
            apply(status, health, collected, &Time(jiff::Timestamp::now()));
            attempt += 1;
            match write::update_status(&api, &self.world.clusters, &old, &new).await {
                Ok(_) => {
                    self.report(&old, &new, health);
                    return Ok(());
                }
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                    current = call(api.get_opt(&name)).await?.map(Arc::new);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells when readiness changed.
    fn report(&self, old: &Cluster, new: &Cluster, health: &Health) {
        let status = |cluster: &Cluster| {
            let status = cluster.status.as_ref();
            status
                .and_then(|it| it.condition(conditions::cluster::READY))
                .map(|it| it.status.clone())
        };
        if status(old) == status(new) {
            return;
        }
        let message = health.message();
        tracing::info!(
            cluster = new.name_any(),
            ready = health.is_ready(),
            reason = health.reason(),
            message,
            "Cluster readiness changed"
        );
        if health.is_ready() {
            self.events
                .normal(write::reference(new), health.reason(), message);
        } else {
            self.events
                .warning(write::reference(new), health.reason(), message);
        }
    }
}

fn apply(status: &mut ClusterStatus, health: &Health, collected: &Collected, now: &Time) {
    if let Some(version) = &collected.version {
        status.kubernetes_version = Some(version.clone());
    }
    if let Some((list, condition)) = &collected.enablements {
        status.api_enablements.clone_from(list);
        conditions::set_condition(&mut status.conditions, condition.clone(), now);
    }
    if let Some(summary) = &collected.summary {
        status.node_summary = Some(summary.nodes.clone());
        status.resource_summary = Some(summary.resources.clone());
    }
    conditions::set_condition(&mut status.conditions, health.condition(), now);
}

#[cfg(test)]
mod tests {
    use crds::cluster::ApiEnablements;
    use runtime::member::ConnectError;

    use super::*;

    fn time(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn what_was_not_found_out_stays() {
        let mut status = ClusterStatus {
            remedy_actions: vec!["TrafficControl".into()],
            ..ClusterStatus::default()
        };
        let collected = Collected {
            version: Some("v1.34.4".into()),
            enablements: Some((
                vec![ApiEnablements::default()],
                conditions::condition("CompleteAPIEnablements", "True", "Complete", ""),
            )),
            summary: None,
        };
        apply(&mut status, &Health::Healthy, &collected, &time(1));
        let before = status.clone();
        apply(&mut status, &Health::Healthy, &collected, &time(2));
        assert_eq!(status, before, "nothing new, nothing changed");

        let lost = Health::NoClient(ConnectError::SecretNotFound("m1".into()));
        apply(&mut status, &lost, &Collected::default(), &time(3));
        assert!(!status.is_ready());
        assert_eq!(status.kubernetes_version.as_deref(), Some("v1.34.4"));
        assert_eq!(status.api_enablements, before.api_enablements);
        assert_eq!(status.remedy_actions, ["TrafficControl"]);
        let ready = status.condition("Ready").unwrap();
        assert_eq!(ready.last_transition_time, time(3));
    }
}

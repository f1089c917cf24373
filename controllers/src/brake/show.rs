//! The condition of Clusters that tells what is held back in them.

use crds::{cluster::Cluster, conditions, object::Key};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use propagation::brake::REMOVAL_HELD;
use runtime::{Action, ApiError, controller::ReconcileError, events::Source};

use super::HELD;
use crate::{World, write};

#[derive(Debug, thiserror::Error)]
#[error("report held removals of cluster {cluster}")]
pub(super) struct Error {
    cluster: String,
    source: ApiError,
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        self.source.reason()
    }

    fn is_conflict(&self) -> bool {
        self.source.is_conflict()
    }
}

/// Brings the condition of a cluster up to date.
pub(super) async fn show(world: &World, events: &Source, name: &str) -> Result<Action, Error> {
    let Some(cluster) = world.clusters.get(&Key::cluster_scoped(name)) else {
        return Ok(Action::AwaitChange);
    };
    let present = cluster
        .status
        .as_ref()
        .and_then(|status| conditions::find(&status.conditions, REMOVAL_HELD));
    let wanted = world.brake.state.lock().in_cluster(name);
    let same = match (present, &wanted) {
        (None, None) => true,
        (Some(present), Some(wanted)) => {
            present.status == wanted.status
                && present.reason == wanted.reason
                && present.message == wanted.message
        }
        _ => false,
    };
    if same {
        return Ok(Action::AwaitChange);
    }
    let is_news = present.is_none();
    let mut shown = Cluster::clone(&cluster);
    let list = &mut shown.status.get_or_insert_default().conditions;
    match &wanted {
        Some(wanted) => {
            let now = Time(jiff::Timestamp::now());
            conditions::set_condition(list, wanted.clone(), &now);
        }
        None => {
            conditions::remove_condition(list, REMOVAL_HELD);
        }
    }
    let api: Api<Cluster> = Api::all(world.client());
    match write::update_status(&api, &world.clusters, &cluster, &shown).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => return Ok(Action::AwaitChange),
        Err(source) => {
            return Err(Error {
                cluster: name.to_owned(),
                source,
            });
        }
    }
    if let Some(wanted) = wanted.filter(|_| is_news) {
        tracing::warn!(
            cluster = name,
            message = wanted.message,
            "Removals are held back"
        );
        events.warning(write::reference(&*cluster), HELD, wanted.message);
    }
    Ok(Action::AwaitChange)
}

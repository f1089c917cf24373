//! One change at a time, while nothing else happens: how long until every member has it, and until its status is back.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    load::{self, NAMESPACE},
    observe::{Observer, Seen, until},
    summary::{Percentiles, percentiles},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// What still runs, events above all, does not belong to the next change.
pub(crate) const REST: Duration = Duration::from_millis(150);

/// Times of single changes.
#[derive(Debug, Serialize)]
pub(crate) struct Lone {
    pub(crate) changes: usize,
    /// From the user's request until every member has the change.
    pub(crate) in_all_members: Percentiles,
    /// From the moment when the last member's status was complete until the template's is.
    pub(crate) status_after_member: Percentiles,
    /// From the user's request until the template's status is complete.
    pub(crate) status_complete: Percentiles,
}

/// Scales Deployments one after another.
pub(crate) async fn measure(
    control_plane: &Client,
    templates: &Observer,
    members: &[Observer],
    changes: usize,
    replicas: i32,
    count: usize,
) -> anyhow::Result<Lone> {
    let api: Api<Deployment> = Api::namespaced(control_plane.clone(), NAMESPACE);
    let (mut arrived, mut returned, mut complete) = (Vec::new(), Vec::new(), Vec::new());
    for change in 0..changes {
        let name = load::name(change % count);
        let wanted = if (change / count).is_multiple_of(2) {
            replicas + 1
        } else {
            replicas
        };
        let patch = json!({"spec": {"replicas": wanted}});
        let started = Instant::now();
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        let scaled = |seen: Option<Seen>| seen.filter(|seen| seen.replicas == wanted);
        let done = |seen: Option<Seen>| scaled(seen).and_then(|seen| seen.complete);
        let all_done = || {
            done(templates.seen(&name)).is_some()
                && members.iter().all(|it| done(it.seen(&name)).is_some())
        };
        until(
            &format!("the lone change of {name}"),
            PATIENCE,
            Duration::from_millis(2),
            all_done,
        )
        .await?;
        let of_members: Vec<Seen> = members
            .iter()
            .filter_map(|it| scaled(it.seen(&name)))
            .collect();
        let last_in = of_members.iter().map(|seen| seen.replicas_since).max();
        let last_done = of_members.iter().filter_map(|seen| seen.complete).max();
        let back = done(templates.seen(&name)).context("complete")?;
        arrived.extend(last_in.map(|at| at - started));
        returned.extend(last_done.map(|at| back.saturating_duration_since(at)));
        complete.push(back - started);
        tokio::time::sleep(REST).await;
    }
    Ok(Lone {
        changes,
        in_all_members: percentiles(arrived),
        status_after_member: percentiles(returned),
        status_complete: percentiles(complete),
    })
}

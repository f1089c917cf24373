//! Leases: of several processes with the same role, one works and the others stand by.
//!
//! The rules are those of Kubernetes' own components, so that either of two implementations waits for the other: a holder renews the
//! Lease; whoever sees it unchanged for its duration, by the own clock, takes it over with a conditional write. A holder that could not
//! renew in time stops working before anybody else may begin.
//!
//! A process that starts again does not wait for its own dead predecessor. The identity names the process for everybody on the same
//! host: machine, boot, pid namespace, pid and the time the process started. When a holder's identity is of the same boot and the same pid
//! namespace, and no such process runs there any more, it is dead for certain, and its Lease is taken at once. In all other cases
//! (another host, a restarted container, which has a pid namespace of its own) nothing is certain and the duration is waited for; a
//! clean stop gives the Lease back, so that only crashes wait.

mod identity;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::Namespace,
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub use self::identity::Identity;
use crate::error::{ApiError, call};

/// Which Lease is held, and by what times.
#[derive(Debug, Clone)]
pub struct Settings {
    pub namespace: String,
    pub name: String,
    /// How long others wait after the last renewal that they saw.
    pub duration: Duration,
    /// How long renewing may fail before the holder gives up. Shorter than `duration`.
    pub renew_deadline: Duration,
    /// Between two renewals, and between two looks of whoever stands by.
    pub retry_period: Duration,
}

/// Why a Lease is not held any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("lease {lease} was taken by {holder}")]
    Taken { lease: String, holder: String },
    #[error(
        "lease {lease} could not be renewed for {seconds} s; check the connection to the control plane and the right to update leases"
    )]
    NotRenewed {
        lease: String,
        seconds: u64,
        source: Option<ApiError>,
    },
}

/// What somebody who does not hold the Lease does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Take,
    /// It is held; look again.
    Wait,
}

/// The holder's record as it was last seen to change, by the own clock.
#[derive(Debug, Clone)]
struct Observed {
    spec: LeaseSpec,
    at: Instant,
}

fn decide(spec: &LeaseSpec, seen: Instant, now: Instant, me: &Identity) -> Step {
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    if holder.is_empty() || holder == me.as_str() || me.outlived(holder) {
        return Step::Take;
    }
    let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or(0);
    if seen + Duration::from_secs(seconds) <= now {
        Step::Take
    } else {
        Step::Wait
    }
}

/// A Lease that this process holds. Dropping it lets it run out.
#[derive(Debug)]
pub struct Held {
    api: Api<Lease>,
    settings: Settings,
    identity: Identity,
    lease: Lease,
    renewed: Instant,
}

/// Waits until the Lease is ours. The write that takes it is the only one.
pub async fn acquire(client: Client, settings: Settings, identity: Identity) -> Held {
    let api: Api<Lease> = Api::namespaced(client.clone(), &settings.namespace);
    let mut observed: Option<Observed> = None;
    let mut is_told = false;
    loop {
        let started = Instant::now();
        match attempt(&client, &api, &settings, &identity, &mut observed).await {
            Ok(Some(lease)) => {
                return Held {
                    api,
                    settings,
                    identity,
                    lease,
                    renewed: started,
                };
            }
            Ok(None) => {
                if !is_told {
                    let holder = observed
                        .as_ref()
                        .and_then(|it| it.spec.holder_identity.clone());
                    tracing::info!(
                        lease = settings.name,
                        holder = holder.unwrap_or_default(),
                        "Standing by, another process leads"
                    );
                    is_told = true;
                }
            }
            Err(error) if error.is_conflict() || error.is_already_exists() => {}
            Err(error) => tracing::warn!(
                lease = settings.name,
                error = &error as &dyn std::error::Error,
                "Lease could not be read or taken, retrying"
            ),
        }
        sleep(settings.retry_period).await;
    }
}

/// One look, and the write if the Lease is free. `None` when somebody else has it.
async fn attempt(
    client: &Client,
    api: &Api<Lease>,
    settings: &Settings,
    identity: &Identity,
    observed: &mut Option<Observed>,
) -> Result<Option<Lease>, ApiError> {
    let Some(found) = call(api.get_opt(&settings.name)).await? else {
        return create(client, api, settings, identity).await.map(Some);
    };
    let spec = found.spec.clone().unwrap_or_default();
    let now = Instant::now();
    let seen = match observed {
        Some(observed) if observed.spec == spec => observed.at,
        _ => {
            *observed = Some(Observed {
                spec: spec.clone(),
                at: now,
            });
            now
        }
    };
    if decide(&spec, seen, now, identity) == Step::Wait {
        return Ok(None);
    }
    let is_new = spec.holder_identity.as_deref() != Some(identity.as_str());
    let taken = Lease {
        spec: Some(LeaseSpec {
            acquire_time: if is_new {
                Some(clock())
            } else {
                spec.acquire_time
            },
            lease_transitions: Some(spec.lease_transitions.unwrap_or(0) + i32::from(is_new)),
            ..held_by(settings, identity)
        }),
        ..found
    };
    call(api.replace(&settings.name, &PostParams::default(), &taken))
        .await
        .map(Some)
}

async fn create(
    client: &Client,
    api: &Api<Lease>,
    settings: &Settings,
    identity: &Identity,
) -> Result<Lease, ApiError> {
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(settings.name.clone()),
            namespace: Some(settings.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            acquire_time: Some(clock()),
            lease_transitions: Some(0),
            ..held_by(settings, identity)
        }),
    };
    match call(api.create(&PostParams::default(), &lease)).await {
        Err(error) if error.is_not_found() => {}
        other => return other,
    }
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(settings.namespace.clone()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match call(namespaces.create(&PostParams::default(), &namespace)).await {
        Err(error) if !error.is_already_exists() => return Err(error),
        _ => {}
    }
    call(api.create(&PostParams::default(), &lease)).await
}

fn held_by(settings: &Settings, identity: &Identity) -> LeaseSpec {
    let seconds = i32::try_from(settings.duration.as_secs()).unwrap_or(i32::MAX);
    LeaseSpec {
        holder_identity: Some(identity.as_str().to_owned()),
        lease_duration_seconds: Some(seconds),
        renew_time: Some(clock()),
        ..LeaseSpec::default()
    }
}

fn clock() -> MicroTime {
    MicroTime(Timestamp::now())
}

impl Held {
    /// Renews until `stop` is cancelled, and hands the Lease back then; or until it is lost.
    pub async fn keep(mut self, stop: CancellationToken) -> Result<Self, Lost> {
        loop {
            let next = Instant::now() + self.settings.retry_period;
            tokio::select! {
                () = stop.cancelled() => return Ok(self),
                () = sleep_until(next) => {}
            }
            let deadline = self.renewed + self.settings.renew_deadline;
            let limit = (self.settings.renew_deadline / 2).max(Duration::from_secs(1));
            let limit = limit.min(deadline.saturating_duration_since(Instant::now()));
            let started = Instant::now();
            let failure = match timeout(limit, self.renew()).await {
                Ok(Ok(None)) => {
                    self.renewed = started;
                    continue;
                }
                Ok(Ok(Some(holder))) => {
                    return Err(Lost::Taken {
                        lease: self.settings.name,
                        holder,
                    });
                }
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            if Instant::now() >= deadline {
                return Err(Lost::NotRenewed {
                    lease: self.settings.name,
                    seconds: self.settings.renew_deadline.as_secs(),
                    source: failure,
                });
            }
        }
    }

    /// Writes the time of renewal; returns the holder if it is somebody else.
    async fn renew(&mut self) -> Result<Option<String>, ApiError> {
        let mut renewed = self.lease.clone();
        let spec = renewed.spec.get_or_insert_default();
        spec.renew_time = Some(clock());
        let name = self.settings.name.clone();
        let error = match call(self.api.replace(&name, &PostParams::default(), &renewed)).await {
            Ok(lease) => {
                self.lease = lease;
                return Ok(None);
            }
            Err(error) => error,
        };
        if error.is_not_found() {
            // Somebody deleted it; whoever makes it anew has it.
            renewed.metadata = ObjectMeta {
                name: Some(name),
                namespace: Some(self.settings.namespace.clone()),
                ..ObjectMeta::default()
            };
            self.lease = call(self.api.create(&PostParams::default(), &renewed)).await?;
            return Ok(None);
        }
        if !error.is_conflict() {
            return Err(error);
        }
        let found = call(self.api.get(&name)).await?;
        let holder = found
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default();
        if holder != self.identity.as_str() {
            return Ok(Some(holder));
        }
        // Somebody touched something else of it, or our own write arrived although its answer did not.
        self.lease = found;
        Err(error)
    }

    /// Gives the Lease back, so that nobody has to wait for it.
    pub async fn release(self) -> Result<(), ApiError> {
        let mut released = self.lease;
        let spec = released.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(clock());
        let (name, params) = (&self.settings.name, PostParams::default());
        match call(self.api.replace(name, &params, &released)).await {
            Err(error) if !error.is_conflict() && !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// How long others wait at least after this holder has given up.
    pub fn margin(settings: &Settings) -> Duration {
        settings.duration.saturating_sub(settings.renew_deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_expired_ours_or_of_a_dead_predecessor() {
        let me = Identity::current();
        let seen = Instant::now();
        let later = |seconds| seen + Duration::from_secs(seconds);
        let dead = me.with_pid(u32::MAX, 1);
        for (name, holder, now, expected) in [
            ("nobody's", "", seen, Step::Take),
            ("ours", me.as_str(), seen, Step::Take),
            ("another's", "other_1", later(14), Step::Wait),
            ("another's, run out", "other_1", later(15), Step::Take),
            ("of a dead predecessor", dead.as_str(), seen, Step::Take),
        ] {
            assert_eq!(decide(&spec(holder), seen, now, &me), expected, "{name}");
        }
    }
}

//! Puts a member into the fleet, in push mode, and takes it out again.
//!
//! ```text
//! member:         namespace, 2 ServiceAccounts with tokens, ClusterRole and binding
//! control plane:  namespace, 2 Secrets with the tokens, Cluster that names and owns them
//! ```

mod call;
mod cleanup;
mod control_plane;
mod error;
mod member;
mod removal;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crds::{
    cluster::{ClusterSyncMode, v1alpha1::Cluster},
    conditions, keys, names,
};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::{Api, Client, Config, ResourceExt, api::ListParams, runtime::wait::await_condition};

use self::call::{Created, Kind, call, label};

pub use error::Error;
pub use removal::{UnjoinOptions, consequences, unjoin};

/// Hears of each step.
pub type Note = Arc<dyn Fn(&str) + Send + Sync>;

/// What is to be joined, and how.
#[derive(Clone)]
pub struct JoinOptions {
    /// The name of the Cluster to be.
    pub name: String,
    pub control_plane: Config,
    /// An administrator's access to the member.
    pub member: Config,
    /// The proxy through which the control plane reaches the member.
    pub member_proxy: Option<String>,
    /// The namespace of credentials, in the member and in the control plane.
    pub namespace: String,
    pub provider: Option<String>,
    pub region: Option<String>,
    pub zones: Vec<String>,
    /// Labels of the Cluster.
    pub labels: BTreeMap<String, String>,
    /// Keeps workloads off from the first moment until the Cluster is ready.
    pub taint_until_ready: bool,
    /// Renews the credentials if this very cluster is registered under this name.
    pub force_refresh: bool,
    /// Only tells what would be done.
    pub dry_run: bool,
    /// How long to wait until the Cluster is ready; zero does not wait.
    pub wait: Duration,
    pub note: Note,
}

impl fmt::Debug for JoinOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinOptions")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl JoinOptions {
    /// With the defaults of the command line.
    pub fn new(name: impl Into<String>, control_plane: Config, member: Config) -> Self {
        Self {
            name: name.into(),
            control_plane,
            member,
            member_proxy: None,
            namespace: keys::namespaces::CLUSTER.to_owned(),
            provider: None,
            region: None,
            zones: Vec::new(),
            labels: BTreeMap::new(),
            taint_until_ready: false,
            force_refresh: false,
            dry_run: false,
            wait: Duration::from_mins(2),
            note: Arc::new(|_| {}),
        }
    }
}

/// What a join did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// The Cluster is registered, and ready if that was waited for.
    Registered { id: String },
    /// The registered Cluster has new credentials.
    Refreshed { id: String },
    /// A dry run: the steps that it would take.
    Planned(Vec<String>),
}

/// Registers the member. What this run created is removed again if a step fails.
///
/// When the Cluster does not get ready in time it stays registered.
pub async fn join(options: &JoinOptions) -> Result<Joined, Error> {
    names::check_cluster_name(&options.name).map_err(|problem| Error::InvalidName {
        name: options.name.clone(),
        problem,
    })?;
    let control_plane = client(&options.control_plane, "the control plane")?;
    let member = client(&options.member, "the member")?;
    let id = identify(&control_plane, &member, &options.name).await?;
    let registered = registered(&control_plane, options, &id).await?;
    if options.dry_run {
        let steps = plan(&control_plane, &member, options, registered.is_some()).await?;
        return Ok(Joined::Planned(steps));
    }
    let refreshes = registered.is_some();
    match registered {
        Some(cluster) => refresh(&control_plane, &member, options, &cluster).await?,
        None => register(&control_plane, &member, options, &id).await?,
    }
    if !options.wait.is_zero() {
        (options.note)(&format!("waiting until {} is ready", options.name));
        until_ready(&control_plane, options).await?;
    }
    Ok(if refreshes {
        Joined::Refreshed { id }
    } else {
        Joined::Registered { id }
    })
}

fn client(config: &Config, which: &str) -> Result<Client, Error> {
    Client::try_from(config.clone()).map_err(|source| Error::Request {
        step: format!("connect to {which} at {}", control_plane::endpoint(config)),
        source,
    })
}

/// The identity of the cluster that a client talks to: the UID of its oldest namespace.
async fn identity(client: &Client, which: &str) -> Result<String, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let step = format!("read namespace/kube-system of {which}");
    let namespace = call(step, namespaces.get("kube-system")).await?;
    Ok(namespace.uid().unwrap_or_default())
}

async fn identify(control_plane: &Client, member: &Client, name: &str) -> Result<String, Error> {
    let (own, id) = tokio::try_join!(
        identity(control_plane, "the control plane"),
        identity(member, name),
    )?;
    if own == id {
        return Err(Error::MemberIsControlPlane);
    }
    Ok(id)
}

/// The registration of this cluster under this name that is to be refreshed, if there is one; any other that is in the way is
/// an error.
async fn registered(
    control_plane: &Client,
    options: &JoinOptions,
    id: &str,
) -> Result<Option<Cluster>, Error> {
    let clusters: Api<Cluster> = Api::all(control_plane.clone());
    let params = ListParams::default();
    let list = match call("list clusters", clusters.list(&params)).await {
        Err(error) if error.is_not_found() => {
            return Err(Error::NotAControlPlane {
                url: control_plane::endpoint(&options.control_plane),
            });
        }
        other => other?,
    };
    let id_of = |cluster: &Cluster| cluster.spec.id.clone().unwrap_or_default();
    let name = options.name.clone();
    let same_name = list.items.iter().find(|it| it.name_any() == name);
    if let Some(cluster) = same_name {
        return if id_of(cluster) != id {
            Err(Error::NameTaken {
                name,
                id: id_of(cluster),
            })
        } else if cluster.spec.sync_mode == ClusterSyncMode::Pull {
            Err(Error::IsPull { name })
        } else if options.force_refresh {
            Ok(Some(cluster.clone()))
        } else {
            Err(Error::AlreadyRegistered {
                name,
                id: id.to_owned(),
                since: since(cluster),
            })
        };
    }
    match list.items.iter().find(|it| id_of(it) == id) {
        Some(cluster) => Err(Error::RegisteredAs {
            name: cluster.name_any(),
            id: id.to_owned(),
            since: since(cluster),
        }),
        None => Ok(None),
    }
}

fn since(cluster: &Cluster) -> Duration {
    let created = cluster.metadata.creation_timestamp.as_ref();
    let past = created.map(|created| jiff::Timestamp::now().duration_since(created.0));
    past.and_then(|past| Duration::try_from(past).ok())
        .unwrap_or_default()
}

async fn register(
    control_plane: &Client,
    member: &Client,
    options: &JoinOptions,
    id: &str,
) -> Result<(), Error> {
    let mut created = Created::default();
    let outcome = async {
        (options.note)(&format!("preparing credentials in {}", options.name));
        let tokens = member::prepare(
            member,
            &options.name,
            &options.namespace,
            false,
            &mut created,
        )
        .await?;
        (options.note)(&format!("registering {}", options.name));
        control_plane::register(control_plane, options, id, tokens, &mut created).await
    }
    .await;
    let Err(error) = outcome else {
        return Ok(());
    };
    (options.note)("failed, removing what was created");
    let left = created.undo().await;
    if left.is_empty() {
        return Err(error);
    }
    Err(Error::NotUndone {
        source: Box::new(error),
        left,
    })
}

/// Nothing is taken back when this fails: another try completes it.
async fn refresh(
    control_plane: &Client,
    member: &Client,
    options: &JoinOptions,
    cluster: &Cluster,
) -> Result<(), Error> {
    (options.note)(&format!("renewing credentials of {}", options.name));
    let mut created = Created::default();
    let tokens = member::prepare(
        member,
        &options.name,
        &options.namespace,
        true,
        &mut created,
    )
    .await?;
    control_plane::refresh(control_plane, options, cluster, tokens).await
}

async fn until_ready(control_plane: &Client, options: &JoinOptions) -> Result<(), Error> {
    let clusters: Api<Cluster> = Api::all(control_plane.clone());
    let is_ready = |cluster: Option<&Cluster>| {
        cluster
            .and_then(|it| it.status.as_ref())
            .is_some_and(crds::cluster::ClusterStatus::is_ready)
    };
    let ready = await_condition(clusters.clone(), &options.name, is_ready);
    if let Ok(Ok(_)) = tokio::time::timeout(options.wait, ready).await {
        return Ok(());
    }
    let step = format!("read cluster/{}", options.name);
    let found = call(step, clusters.get_opt(&options.name)).await?;
    let reason = found.map_or_else(
        || "it was removed".to_owned(),
        |cluster| {
            let status = cluster.status.as_ref();
            let ready = status.and_then(|it| it.condition(conditions::cluster::READY));
            ready.map_or_else(
                || "no status was reported, is the control plane running?".to_owned(),
                |ready| ready.reason.clone(),
            )
        },
    );
    Err(Error::NotReady {
        name: options.name.clone(),
        limit: options.wait,
        reason,
    })
}

/// What a join would do, from reads alone.
async fn plan(
    control_plane: &Client,
    member: &Client,
    options: &JoinOptions,
    refreshes: bool,
) -> Result<Vec<String>, Error> {
    async fn step<K: Kind>(
        api: Api<K>,
        object: &K,
        place: &str,
        when_present: &str,
    ) -> Result<String, Error> {
        let (label, name) = (label(object), object.name_any());
        let found = call(format!("read {label} in {place}"), api.get_opt(&name));
        let verb = match found.await? {
            Some(_) => when_present,
            None => "create",
        };
        Ok(format!("{verb:<9} {label} in {place}"))
    }
    let namespace = options.namespace.as_str();
    let objects = member::Objects::new(&options.name, namespace);
    let accounts: Api<ServiceAccount> = Api::namespaced(member.clone(), namespace);
    let place = options.name.as_str();
    let mut steps = vec![
        step(Api::all(member.clone()), &objects.namespace, place, "keep").await?,
        step(accounts.clone(), &objects.impersonator, place, "keep").await?,
        step(accounts, &objects.account, place, "keep").await?,
        step(Api::all(member.clone()), &objects.role, place, "keep").await?,
        step(Api::all(member.clone()), &objects.binding, place, "keep").await?,
    ];
    let secret = |name: &str| Secret {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta::default()
        },
        ..Secret::default()
    };
    let tokens: Api<Secret> = Api::namespaced(member.clone(), namespace);
    let renewed = if refreshes { "overwrite" } else { "keep" };
    let impersonator = secret(names::IMPERSONATOR);
    steps.push(step(tokens.clone(), &impersonator, place, "keep").await?);
    let own = secret(&names::member_service_account(&options.name));
    steps.push(step(tokens, &own, place, renewed).await?);

    let place = "the control plane";
    let credentials = member::namespace(namespace);
    steps.push(step(Api::all(control_plane.clone()), &credentials, place, "keep").await?);
    let secrets: Api<Secret> = Api::namespaced(control_plane.clone(), namespace);
    for name in control_plane::secret_names(&options.name) {
        steps.push(step(secrets.clone(), &secret(&name), place, "overwrite").await?);
    }
    let verb = if refreshes { "update" } else { "create" };
    steps.push(format!("{verb:<9} cluster/{} in {place}", options.name));
    Ok(steps)
}

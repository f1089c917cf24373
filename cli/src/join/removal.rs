//! Takes a member out of the fleet.

use std::{fmt, sync::Arc, time::Duration};

use crds::{
    cluster::{ClusterSyncMode, v1alpha1::Cluster},
    keys, names,
    work::Work,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use propagation::brake::RELEASE_HOLD;
use serde_json::json;

use super::{
    Error, Note,
    call::{Kind, call, delete, delete_named, label},
    cleanup, client, identity,
};

/// The condition in which the cluster controller says what a removal waits for.
const REMOVAL: &str = "navarch.dev/Removal";
/// How long a namespace that nothing holds any more may take to go.
const NAMESPACE_GRACE: Duration = Duration::from_secs(5);

/// What is to be removed, and how.
#[derive(Clone)]
pub struct UnjoinOptions {
    pub name: String,
    pub control_plane: Config,
    /// An administrator's access to the member, to remove what the registration created there.
    pub member: Option<Config>,
    /// The namespace of credentials.
    pub namespace: String,
    /// Ends a removal that does not come to an end in time.
    pub force: bool,
    /// How long to wait until the Cluster is gone.
    pub wait: Duration,
    /// Only tells what would be done.
    pub dry_run: bool,
    pub note: Note,
}

impl fmt::Debug for UnjoinOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnjoinOptions")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl UnjoinOptions {
    /// With the defaults of the command line.
    pub fn new(name: impl Into<String>, control_plane: Config) -> Self {
        Self {
            name: name.into(),
            control_plane,
            member: None,
            namespace: keys::namespaces::CLUSTER.to_owned(),
            force: false,
            wait: Duration::from_mins(1),
            dry_run: false,
            note: Arc::new(|_| {}),
        }
    }
}

/// What a removal takes with it, line by line, from reads alone. Fails as the removal itself would, before it writes.
pub async fn consequences(options: &UnjoinOptions) -> Result<Vec<String>, Error> {
    let control_plane = client(&options.control_plane, "the control plane")?;
    let (cluster, member) = look(&control_plane, options).await?;
    let namespace = names::execution_namespace(&options.name);
    let works: Api<Work> = Api::namespaced(control_plane, &namespace);
    let params = ListParams::default();
    let works = call(format!("list works in {namespace}"), works.list(&params)).await?;
    let is_ready = cluster.status.is_some_and(|status| status.is_ready());
    let fate = if is_ready {
        format!("and their objects in {}", options.name)
    } else {
        format!(
            "(their objects stay in {}, which is not ready)",
            options.name
        )
    };
    let mut lines = vec![
        format!("delete    cluster/{}", options.name),
        format!(
            "delete    namespace/{namespace} with {} works {fate}",
            works.items.len()
        ),
    ];
    if let Some(member) = member {
        for label in cleanup::objects(&member, options).await? {
            lines.push(format!("delete    {label} in {}", options.name));
        }
    }
    Ok(lines)
}

/// Deletes the Cluster, waits until it is gone, and removes from the member what the registration created there. Returns what
/// could not be done although the Cluster is gone.
pub async fn unjoin(options: &UnjoinOptions) -> Result<Vec<String>, Error> {
    let control_plane = client(&options.control_plane, "the control plane")?;
    let (cluster, member) = look(&control_plane, options).await?;
    if options.dry_run {
        return Ok(Vec::new());
    }
    let clusters: Api<Cluster> = Api::all(control_plane.clone());
    let_go(&clusters, &options.name).await?;
    delete(&clusters, &cluster).await?;
    (options.note)(&format!("waiting until {} is gone", options.name));
    let mut problems = Vec::new();
    let uid = cluster.uid().unwrap_or_default();
    let gone = await_condition(clusters.clone(), &options.name, is_deleted(&uid));
    if !matches!(tokio::time::timeout(options.wait, gone).await, Ok(Ok(_))) {
        if !options.force {
            return Err(Error::StillThere {
                name: options.name.clone(),
                limit: options.wait,
                waiting: obstacle(&clusters, &options.name).await?,
            });
        }
        (options.note)(&format!("forcing {} out", options.name));
        problems = force(&control_plane, options).await;
    }
    if let Some(member) = member {
        (options.note)(&format!("cleaning up {}", options.name));
        match cleanup::clean(&member, options).await {
            Err(error) if options.force => problems.push(error.to_string()),
            other => other?,
        }
    }
    Ok(problems)
}

/// Whoever takes a cluster out of the fleet means everything that goes with it; a bare deletion of the Cluster has to be confirmed.
async fn let_go(clusters: &Api<Cluster>, name: &str) -> Result<(), Error> {
    let now = jiff::Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {RELEASE_HOLD: now}}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    let request = clusters.patch(name, &params, &patch);
    call(format!("release cluster/{name}"), request)
        .await
        .map(drop)
}

/// The Cluster, and a client for the member that is certainly the one that is meant.
async fn look(
    control_plane: &Client,
    options: &UnjoinOptions,
) -> Result<(Cluster, Option<Client>), Error> {
    let name = options.name.clone();
    let clusters: Api<Cluster> = Api::all(control_plane.clone());
    let found = call(format!("read cluster/{name}"), clusters.get_opt(&name)).await?;
    let Some(cluster) = found else {
        return Err(Error::NotRegistered { name });
    };
    if cluster.spec.sync_mode == ClusterSyncMode::Pull {
        return Err(Error::IsPull { name });
    }
    let Some(config) = &options.member else {
        return Ok((cluster, None));
    };
    let member = client(config, &name)?;
    let found = identity(&member, &name).await?;
    let registered = cluster.spec.id.clone().unwrap_or_default();
    if !registered.is_empty() && registered != found {
        return Err(Error::OtherMember {
            name,
            found,
            registered,
        });
    }
    Ok((cluster, Some(member)))
}

/// What the removal waits for, as far as anybody knows.
async fn obstacle(clusters: &Api<Cluster>, name: &str) -> Result<String, Error> {
    let found = call(format!("read cluster/{name}"), clusters.get_opt(name)).await?;
    let condition = found
        .and_then(|cluster| cluster.status)
        .and_then(|status| status.condition(REMOVAL).cloned());
    Ok(condition.map_or_else(
        || "nothing works on it, is the control plane running?".to_owned(),
        |condition| condition.message,
    ))
}

/// Takes off everything that holds the Cluster. Each step that fails is reported, and the next one is tried.
async fn force(control_plane: &Client, options: &UnjoinOptions) -> Vec<String> {
    let namespace = names::execution_namespace(&options.name);
    let namespaces: Api<Namespace> = Api::all(control_plane.clone());
    let works: Api<Work> = Api::namespaced(control_plane.clone(), &namespace);
    let mut problems = Vec::new();
    let mut note = |outcome: Result<(), Error>| {
        if let Err(error) = outcome {
            problems.push(error.to_string());
        }
    };
    note(delete_named(&namespaces, &namespace).await.map(drop));
    note(release_works(&works, &namespace).await);
    note(finalize(&namespaces, &works, &namespace).await);
    let clusters: Api<Cluster> = Api::all(control_plane.clone());
    let step = format!("read cluster/{}", options.name);
    note(match call(step, clusters.get_opt(&options.name)).await {
        Ok(Some(cluster)) => {
            release(&clusters, &cluster, keys::finalizers::CLUSTER_CONTROLLER).await
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    });
    problems
}

async fn release_works(works: &Api<Work>, namespace: &str) -> Result<(), Error> {
    let params = ListParams::default();
    let list = call(format!("list works in {namespace}"), works.list(&params)).await?;
    for work in &list.items {
        release(works, work, keys::finalizers::EXECUTION_CONTROLLER).await?;
    }
    Ok(())
}

/// Ends a namespace that its controller does not end.
async fn finalize(namespaces: &Api<Namespace>, works: &Api<Work>, name: &str) -> Result<(), Error> {
    let step = format!("read namespace/{name}");
    let Some(namespace) = call(&step, namespaces.get_opt(name)).await? else {
        return Ok(());
    };
    let uid = namespace.uid().unwrap_or_default();
    let gone = await_condition(namespaces.clone(), name, is_deleted(&uid));
    if matches!(tokio::time::timeout(NAMESPACE_GRACE, gone).await, Ok(Ok(_))) {
        return Ok(());
    }
    // Nobody would ever find Works whose namespace is gone.
    let (delete, all) = (DeleteParams::default(), ListParams::default());
    let request = works.delete_collection(&delete, &all);
    call(format!("delete works in {name}"), request).await?;
    let Some(mut namespace) = call(step, namespaces.get_opt(name)).await? else {
        return Ok(());
    };
    namespace.spec.get_or_insert_default().finalizers = None;
    let params = PostParams::default();
    let request = namespaces.replace_subresource("finalize", name, &params, &namespace);
    match call(format!("finalize namespace/{name}"), request).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

async fn release<K: Kind>(api: &Api<K>, object: &K, finalizer: &str) -> Result<(), Error> {
    let finalizers: Vec<&String> = object
        .finalizers()
        .iter()
        .filter(|it| *it != finalizer)
        .collect();
    if finalizers.len() == object.finalizers().len() {
        return Ok(());
    }
    let patch = json!({"metadata": {
        "finalizers": finalizers,
        "resourceVersion": object.resource_version(),
    }});
    let name = object.name_any();
    let params = PatchParams::default();
    let patch = Patch::Merge(&patch);
    let request = api.patch(&name, &params, &patch);
    match call(format!("release {}", label(object)), request).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

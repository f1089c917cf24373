//! From template and policy to binding, on a real control plane. The cases share one bed, because starting it is what takes
//! time; each has a namespace of its own.
#![expect(
    clippy::unwrap_used,
    reason = "the whole file is a test, its helpers included"
)]

mod case;
mod deletion;
mod gates;
mod kinds;
mod matching;
mod waiting;

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use crds::{
    cluster::Cluster,
    policy::{ClusterPropagationPolicy, PropagationPolicy},
    work::{ClusterResourceBinding, ResourceBinding},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Event},
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use navarch_controllers::{World, detector, discovery, policy};
use runtime::queue::Depth;
use serde::de::DeserializeOwned;
use serde_json::json;
use testbed::Bed;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::case::{Case, deployments, poll};

/// The reconcilers under test, as one process runs them.
struct Running {
    world: Arc<World>,
    detector: detector::Handle,
    tasks: JoinSet<()>,
}

impl Running {
    async fn start(client: Client) -> Self {
        let gates = detector::Gates {
            preemption: true,
            ..detector::Gates::default()
        };
        Self::start_with(client, gates).await
    }

    async fn start_with(client: Client, gates: detector::Gates) -> Self {
        let world = World::new(client, CancellationToken::new());
        let options = detector::Options {
            gates,
            ..detector::Options::default()
        };
        let (handle, detecting) = detector::prepare(&world, options);
        let options = policy::Options {
            preemption: true,
            ..policy::Options::default()
        };
        let policies = policy::prepare(&world, options, &handle);
        let discovering = discovery::prepare(&world, discovery::Options::default());
        discovery::initial(&world, &discovery::Options::default())
            .await
            .unwrap();
        world.start().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(detecting);
        tasks.spawn(policies);
        tasks.spawn(discovering);
        Self {
            world,
            detector: handle,
            tasks,
        }
    }

    async fn stop(mut self) {
        self.world.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_matched_claimed_and_bound() {
    let bed = Bed::builder().members(0).start().await.unwrap();
    let client = bed.control_plane().client();
    // Policies that name clusters which do not exist are told so, and those that are young at a restart once more.
    for member in ["member1", "member2"] {
        let spec = json!({"metadata": {"name": member}, "spec": {"syncMode": "Push"}});
        case::create::<Cluster>(&Api::all(client.clone()), spec).await;
    }
    let running = Running::start(client.clone()).await;

    tokio::join!(
        matching::template_first(&client),
        matching::policy_first(&client),
        matching::policy_deleted(&client),
        matching::selector_changed(&client),
        matching::another_policy_takes_over(&client),
        matching::preempted(&client),
        matching::label_edited(&client),
        matching::claim_removed_by_hand(&client),
        matching::id_lost(&client),
        matching::id_edited(&client),
        waiting::override_awaited(&client),
        waiting::lazy_policy(&client),
        kinds::name_collision(&client),
        kinds::cluster_role(&client),
        kinds::custom_resource(&client),
        deletion::template_deleted(&client),
        deletion::binding_deleted(&client),
    );
    restart(&client, running).await;
    bed.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_put_more_on_bindings() {
    let bed = Bed::builder().members(0).start().await.unwrap();
    let client = bed.control_plane().client();
    let gates = detector::Gates {
        preemption: true,
        schedule_priority: true,
        multiple_pod_templates: true,
        workload_affinity: true,
        resource_quota_estimate: true,
    };
    let running = Running::start_with(client.clone(), gates).await;
    tokio::join!(
        gates::schedule_priority(&client),
        gates::groups_and_quota(&client),
        gates::components(&client),
    );
    running.stop().await;
    bed.shutdown().await;
}

/// A process that comes back finds everything as it should be and writes nothing.
async fn restart(client: &Client, running: Running) {
    let case = Case::new(client, "restart").await;
    running.stop().await;
    // What the status controllers do to a template must not count as an edit.
    let templates: Api<Deployment> = Api::namespaced(client.clone(), "policy-first");
    let status = json!({"status": {"replicas": 4, "observedGeneration": 2}});
    templates
        .patch_status("web", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    let before = versions(client).await;

    let running = Running::start(client.clone()).await;
    running.world.templates.all_synced().await;
    let queue = running.detector.queue();
    let ask = || async { queue.depth() };
    poll("idle", ask, |depth| *depth == Depth::default()).await;
    // What comes now is worked on, and everything before has been.
    case.deployment("last", json!({})).await;
    case.policy("pol", deployments(&json!({"name": "last"})))
        .await;
    case.bound("last-deployment", "pol").await;
    let mut after = versions(client).await;
    after.retain(|name, _| !name.contains(" restart/"));
    let written: Vec<_> = after
        .iter()
        .filter(|(name, version)| before.get(*name) != Some(version))
        .collect();
    assert!(written.is_empty(), "{written:#?}");
    running.stop().await;
}

/// The resourceVersion of everything that the reconcilers could have written.
async fn versions(client: &Client) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    add::<Deployment>(client, &mut versions).await;
    add::<ConfigMap>(client, &mut versions).await;
    add::<ClusterRole>(client, &mut versions).await;
    add::<PropagationPolicy>(client, &mut versions).await;
    add::<ClusterPropagationPolicy>(client, &mut versions).await;
    add::<ResourceBinding>(client, &mut versions).await;
    add::<ClusterResourceBinding>(client, &mut versions).await;
    add::<Event>(client, &mut versions).await;
    versions
}

async fn add<K>(client: &Client, versions: &mut BTreeMap<String, String>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::all(client.clone());
    for object in api.list(&ListParams::default()).await.unwrap() {
        let (kind, namespace) = (K::kind(&()), object.namespace().unwrap_or_default());
        versions.insert(
            format!("{kind} {namespace}/{}", object.name_any()),
            object.resource_version().unwrap(),
        );
    }
}

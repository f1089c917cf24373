//! The life of a member in the fleet on real API servers: joined, watched, lost, found again, removed.
//!
//! The cases share one bed and build on one another, because starting it is what takes time.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::large_futures,
    reason = "the whole file is a test, its helpers included"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cli::join::{Error, JoinOptions, Joined, UnjoinOptions, consequences, join, unjoin};
use crds::{
    cluster::v1alpha1::Cluster,
    keys,
    work::{Work, WorkSpec},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Namespace, Secret, ServiceAccount},
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use navarch_controllers::{World, cluster, cluster_status};
use serde_json::json;
use testbed::Bed;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_mins(1);
const MEMBER: &str = "member1";

struct Fleet {
    bed: Bed,
    world: Arc<World>,
    client: Client,
}

impl Fleet {
    async fn start() -> Self {
        let bed = Bed::builder().members(1).nodes(2).start().await.unwrap();
        let client = bed.control_plane().client();
        let world = World::new(client.clone(), CancellationToken::new());
        let status = cluster_status::Options {
            frequency: Duration::from_millis(500),
            thresholds: cluster_status::Limits {
                success: Duration::from_secs(1),
                failure: Duration::from_secs(1),
            },
            ..cluster_status::Options::default()
        };
        let reconcilers = [
            cluster::prepare(&world, cluster::Options::default()),
            cluster_status::prepare(&world, status),
        ];
        world.start().await;
        for reconciler in reconcilers {
            tokio::spawn(reconciler);
        }
        Self { bed, world, client }
    }

    fn join_options(&self) -> JoinOptions {
        JoinOptions {
            wait: DEADLINE,
            ..JoinOptions::new(
                MEMBER,
                self.bed.control_plane().config(),
                self.bed.member(MEMBER).unwrap().config(),
            )
        }
    }

    fn unjoin_options(&self) -> UnjoinOptions {
        UnjoinOptions {
            member: Some(self.bed.member(MEMBER).unwrap().config()),
            ..UnjoinOptions::new(MEMBER, self.bed.control_plane().config())
        }
    }

    fn member(&self) -> Client {
        self.bed.member(MEMBER).unwrap().client()
    }

    fn clusters(&self) -> Api<Cluster> {
        Api::all(self.client.clone())
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), keys::namespaces::CLUSTER)
    }

    async fn cluster(&self) -> Cluster {
        self.clusters().get(MEMBER).await.unwrap()
    }

    /// Waits until the Cluster is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Cluster) -> bool) -> Cluster {
        let wanted = |cluster: Option<&Cluster>| cluster.is_some_and(&wanted);
        let waiting = await_condition(self.clusters(), MEMBER, wanted);
        let Ok(found) = tokio::time::timeout(DEADLINE, waiting).await else {
            panic!(
                "not in time: {what}; the cluster is {:#?}",
                self.cluster().await
            )
        };
        found.unwrap().unwrap()
    }

    async fn until_ready(&self, status: &str, reason: &str) -> Cluster {
        self.until(&format!("Ready {status} {reason}"), |cluster| {
            let ready = cluster.status.as_ref().and_then(|it| it.condition("Ready"));
            ready.is_some_and(|ready| ready.status == status && ready.reason == reason)
        })
        .await
    }
}

fn taints(cluster: &Cluster) -> Vec<&str> {
    cluster
        .spec
        .taints
        .iter()
        .map(|it| it.key.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_joins_fails_recovers_and_leaves() {
    let fleet = Fleet::start().await;
    a_dry_run_writes_nothing(&fleet).await;
    a_join_ends_with_a_ready_cluster(&fleet).await;
    a_second_join_is_refused(&fleet).await;
    use_shows_in_the_summary(&fleet).await;
    a_steady_member_causes_no_writes(&fleet).await;
    credentials_can_be_renewed(&fleet).await;
    an_outage_taints_and_a_recovery_clears(&fleet).await;
    a_removal_waits_for_works_and_can_be_forced(&fleet).await;
    a_member_can_come_back_and_leave_again(&fleet).await;
    fleet.world.stop.cancel();
    fleet.bed.shutdown().await;
}

async fn a_dry_run_writes_nothing(fleet: &Fleet) {
    let options = JoinOptions {
        dry_run: true,
        ..fleet.join_options()
    };
    let Joined::Planned(steps) = join(&options).await.unwrap() else {
        panic!("a dry run plans")
    };
    assert!(
        steps.contains(
            &"create    serviceaccount/karmada-cluster/karmada-member1 in member1".to_owned()
        ),
        "{steps:#?}"
    );
    assert_eq!(fleet.clusters().get_opt(MEMBER).await.unwrap(), None);
    let namespaces: Api<Namespace> = Api::all(fleet.member());
    assert!(
        namespaces
            .get_opt("karmada-cluster")
            .await
            .unwrap()
            .is_none()
    );
}

async fn a_join_ends_with_a_ready_cluster(fleet: &Fleet) {
    // What a former registration left behind must not be used.
    let stale: Secret = serde_json::from_value(json!({
        "metadata": {"name": MEMBER, "ownerReferences": [
            {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "name": MEMBER, "uid": "00000000-0000-0000-0000-000000000000"},
        ]},
        "stringData": {"token": "stale", "caBundle": "stale"},
    }))
    .unwrap();
    fleet
        .secrets()
        .create(&PostParams::default(), &stale)
        .await
        .unwrap();

    let joined = timed_join(fleet).await;
    let Joined::Registered { id } = joined else {
        panic!("{joined:?}")
    };
    let cluster = fleet
        .until("summaries", |it| {
            it.spec.taints.is_empty()
                && it
                    .status
                    .as_ref()
                    .is_some_and(|it| it.resource_summary.is_some())
        })
        .await;
    assert_eq!(cluster.spec.id, Some(id));
    assert_eq!(cluster.finalizers(), [keys::finalizers::CLUSTER_CONTROLLER]);
    assert_eq!(cluster.spec.resource_models.len(), 9);
    let status = serde_json::to_value(cluster.status.as_ref().unwrap()).unwrap();
    assert_eq!(status["nodeSummary"], json!({"totalNum": 2, "readyNum": 2}));
    let resources = &status["resourceSummary"];
    assert_eq!(
        resources["allocatable"],
        json!({"cpu": "16", "memory": "64Gi", "pods": "220", "ephemeral-storage": "200Gi"})
    );
    // 8 CPUs are grade 4, 32Gi are grade 3.
    assert_eq!(
        resources["allocatableModelings"][3],
        json!({"grade": 3, "count": 2})
    );
    assert!(
        status["kubernetesVersion"]
            .as_str()
            .unwrap()
            .starts_with("v1.")
    );
    let enablements = status["apiEnablements"].as_array().unwrap();
    let last = enablements.last().unwrap();
    assert_eq!(last["groupVersion"], "v1");
    assert!(
        last["resources"]
            .as_array()
            .unwrap()
            .contains(&json!({"name": "pods", "kind": "Pod"}))
    );
    let complete = cluster
        .status
        .as_ref()
        .unwrap()
        .condition("CompleteAPIEnablements");
    assert_eq!(complete.map(|it| it.reason.as_str()), Some("Complete"));

    for name in [MEMBER, "member1-impersonator"] {
        let secret = fleet.secrets().get(name).await.unwrap();
        assert_eq!(secret.owner_references()[0].uid, cluster.uid().unwrap());
        assert_eq!(secret.labels()["karmada.io/system"], "true");
        assert_ne!(secret.data.unwrap()["token"].0, b"stale");
    }
    let namespaces: Api<Namespace> = Api::all(fleet.client.clone());
    let space = namespaces.get("karmada-es-member1").await.unwrap();
    assert_eq!(space.labels()["karmada.io/system"], "true");
    until_event(fleet, "CreateExecutionSpaceSucceed").await;
    until_event(fleet, "ClusterReady").await;
}

async fn timed_join(fleet: &Fleet) -> Joined {
    let started = Instant::now();
    let options = JoinOptions {
        note: Arc::new(move |step| println!("  after {:.1?}: {step}", started.elapsed())),
        ..fleet.join_options()
    };
    let joined = join(&options).await.unwrap();
    println!("joined and ready in {:.1?}", started.elapsed());
    joined
}

async fn until_event(fleet: &Fleet, reason: &str) {
    let events: Api<Event> = Api::namespaced(fleet.client.clone(), "default");
    let params = ListParams::default().fields(&format!("reason={reason}"));
    poll(&format!("event {reason}"), async || {
        let list = events.list(&params).await.unwrap();
        list.items
            .iter()
            .any(|event| event.involved_object.name.as_deref() == Some(MEMBER))
    })
    .await;
}

async fn poll(what: &str, ready: impl AsyncFn() -> bool) {
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while !ready().await {
            ticks.tick().await;
        }
    };
    let outcome = tokio::time::timeout(DEADLINE, waiting).await;
    outcome.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn a_second_join_is_refused(fleet: &Fleet) {
    let again = join(&fleet.join_options()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyRegistered { .. }), "{again}");
    let renamed = JoinOptions {
        name: "other".into(),
        ..fleet.join_options()
    };
    let renamed = join(&renamed).await.unwrap_err();
    assert!(matches!(renamed, Error::RegisteredAs { .. }), "{renamed}");
    let itself = JoinOptions {
        member: fleet.bed.control_plane().config(),
        ..fleet.join_options()
    };
    let itself = join(&itself).await.unwrap_err();
    assert_eq!(
        itself.to_string(),
        "the member kubeconfig points to the control plane itself"
    );
    let swapped = JoinOptions {
        control_plane: fleet.bed.member(MEMBER).unwrap().config(),
        member: fleet.bed.control_plane().config(),
        ..fleet.join_options()
    };
    let swapped = join(&swapped).await.unwrap_err();
    assert!(
        matches!(swapped, Error::NotAControlPlane { .. }),
        "{swapped}"
    );
}

async fn use_shows_in_the_summary(fleet: &Fleet) {
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [{"name": "web", "image": "nginx:1.29", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}],
                    "initContainers": [{"name": "init", "image": "nginx:1.29", "resources": {"requests": {"cpu": "2"}}}],
                },
            },
        },
    }))
    .unwrap();
    let deployments: Api<Deployment> = Api::namespaced(fleet.member(), "default");
    deployments
        .create(&PostParams::default(), &deployment)
        .await
        .unwrap();
    let cluster = fleet
        .until("three pods allocated", |it| {
            let summary = it
                .status
                .as_ref()
                .and_then(|it| it.resource_summary.as_ref());
            summary.is_some_and(|it| it.allocated.get("pods").is_some_and(|pods| pods.0 == "3"))
        })
        .await;
    let summary = cluster.status.unwrap().resource_summary.unwrap();
    assert_eq!(
        serde_json::to_value(&summary.allocated).unwrap(),
        json!({"cpu": "6", "memory": "3Gi", "pods": "3"})
    );
}

async fn a_steady_member_causes_no_writes(fleet: &Fleet) {
    let before = fleet.cluster().await;
    let passes = || {
        let text = fleet.world.metrics.encode();
        let count = "cluster_sync_status_duration_seconds_count{member_cluster=\"member1\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(count));
        line.and_then(|count| count.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let seen = passes();
    poll("three more passes", async || passes() >= seen + 3).await;
    let after = fleet.cluster().await;
    assert_eq!(after.resource_version(), before.resource_version());
}

async fn credentials_can_be_renewed(fleet: &Fleet) {
    let before = fleet.secrets().get(MEMBER).await.unwrap().data.unwrap();
    let patch = json!({"stringData": {"token": "wrong"}});
    let params = PatchParams::default();
    fleet
        .secrets()
        .patch(MEMBER, &params, &Patch::Merge(&patch))
        .await
        .unwrap();
    let cluster = fleet.until_ready("False", "ClusterNotReady").await;
    let ready = cluster
        .status
        .as_ref()
        .unwrap()
        .condition("Ready")
        .unwrap()
        .message
        .clone();
    assert!(ready.contains("401 Unauthorized"), "{ready}");

    let options = JoinOptions {
        force_refresh: true,
        ..fleet.join_options()
    };
    let refreshed = join(&options).await.unwrap();
    assert!(matches!(refreshed, Joined::Refreshed { .. }));
    let after = fleet.secrets().get(MEMBER).await.unwrap().data.unwrap();
    assert_ne!(after["token"], before["token"]);
    assert_eq!(after["caBundle"], before["caBundle"]);
}

async fn an_outage_taints_and_a_recovery_clears(fleet: &Fleet) {
    fleet.bed.member(MEMBER).unwrap().stop().await;
    let lost = fleet.until_ready("False", "ClusterNotReachable").await;
    let status = lost.status.as_ref().unwrap();
    assert_eq!(
        status.condition("Ready").unwrap().message,
        "cluster is not reachable"
    );
    assert!(status.node_summary.is_some(), "what was known is kept");
    fleet
        .until("taint", |it| taints(it) == [keys::taints::NOT_READY])
        .await;
    until_event(fleet, "TaintClusterSucceed").await;

    fleet.bed.member(MEMBER).unwrap().start().await.unwrap();
    fleet.until_ready("True", "ClusterReady").await;
    fleet
        .until("no taint", |it| it.spec.taints.is_empty())
        .await;
}

async fn a_removal_waits_for_works_and_can_be_forced(fleet: &Fleet) {
    let works: Api<Work> = Api::namespaced(fleet.client.clone(), "karmada-es-member1");
    let mut work = Work::new("web", WorkSpec::default());
    work.metadata.finalizers = Some(vec![keys::finalizers::EXECUTION_CONTROLLER.to_owned()]);
    works.create(&PostParams::default(), &work).await.unwrap();

    let lines = consequences(&fleet.unjoin_options()).await.unwrap();
    assert_eq!(
        lines[1],
        "delete    namespace/karmada-es-member1 with 1 works and their objects in member1"
    );
    let wrong = UnjoinOptions {
        member: Some(fleet.bed.control_plane().config()),
        ..fleet.unjoin_options()
    };
    let wrong = unjoin(&wrong).await.unwrap_err();
    assert!(matches!(wrong, Error::OtherMember { .. }), "{wrong}");

    // Nothing here takes the finalizer off.
    let impatient = UnjoinOptions {
        wait: Duration::from_secs(2),
        ..fleet.unjoin_options()
    };
    let stuck = unjoin(&impatient).await.unwrap_err();
    assert!(
        stuck
            .to_string()
            .contains("waiting for 1 Work in karmada-es-member1"),
        "{stuck}"
    );
    assert!(stuck.is_timeout());
    until_event(fleet, "RemoveExecutionSpaceSucceed").await;

    let forced = UnjoinOptions {
        force: true,
        ..impatient
    };
    assert_eq!(unjoin(&forced).await.unwrap(), Vec::<String>::new());
    assert_eq!(fleet.clusters().get_opt(MEMBER).await.unwrap(), None);
    let namespaces: Api<Namespace> = Api::all(fleet.client.clone());
    assert!(
        namespaces
            .get_opt("karmada-es-member1")
            .await
            .unwrap()
            .is_none()
    );
    assert!(fleet.world.members.member(MEMBER).is_none() || fleet.world.clusters.is_empty());
}

async fn a_member_can_come_back_and_leave_again(fleet: &Fleet) {
    let namespaces: Api<Namespace> = Api::all(fleet.member());
    poll("the member's credential namespace is gone", async || {
        namespaces
            .get_opt("karmada-cluster")
            .await
            .unwrap()
            .is_none()
    })
    .await;
    let roles: Api<ClusterRole> = Api::all(fleet.member());
    let role = "karmada-controller-manager:karmada-member1";
    assert!(roles.get_opt(role).await.unwrap().is_none());

    timed_join(fleet).await;
    // Somebody else uses the namespace too.
    let accounts: Api<ServiceAccount> = Api::namespaced(fleet.member(), "karmada-cluster");
    let mut other = ServiceAccount::default();
    other.metadata.name = Some("other".into());
    accounts
        .create(&PostParams::default(), &other)
        .await
        .unwrap();
    let started = Instant::now();
    assert_eq!(
        unjoin(&fleet.unjoin_options()).await.unwrap(),
        Vec::<String>::new()
    );
    println!("removed in {:.1?}", started.elapsed());
    assert!(roles.get_opt(role).await.unwrap().is_none());
    let namespace = namespaces.get("karmada-cluster").await.unwrap();
    assert!(namespace.metadata.deletion_timestamp.is_none());
    accounts.get("other").await.unwrap();
    assert!(accounts.get_opt("karmada-member1").await.unwrap().is_none());
    poll("its secrets are gone", async || {
        fleet
            .secrets()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    })
    .await;
    poll("it is disconnected", async || {
        fleet.world.members.member(MEMBER).is_none()
    })
    .await;
}

//! The brake over stores that were filled by hand; nothing here reaches an API server.

use crds::{
    cluster::Cluster,
    object::Key,
    policy::PropagationPolicy,
    work::{ClusterResourceBinding, ResourceBinding, Work},
};
use jiff::Timestamp;
use kube::{Client, Config, api::ApiResource};
use propagation::brake::{Hold, Reason};
use propagation::matching::PolicyRef;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;

/// A world whose API server does not answer.
fn world() -> Arc<World> {
    let config = Config::new("http://127.0.0.1:1".parse().unwrap());
    World::new(Client::try_from(config).unwrap(), CancellationToken::new())
}

fn typed<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn policy_scope() -> Scope {
    Scope::Policy(PolicyRef::namespaced("shop", "web"))
}

/// The clusters m1 to m3, and a policy with this threshold.
fn furnish(world: &World, threshold: &str) {
    for (version, name) in [(1, "m1"), (2, "m2"), (3, "m3")] {
        let cluster: Cluster = typed(json!({
            "apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
            "metadata": {"name": name, "resourceVersion": version.to_string(), "uid": name},
            "spec": {"syncMode": "Push"},
        }));
        world.clusters.observe_reply(cluster);
    }
    policy(
        world,
        4,
        &json!({"navarch.dev/removal-threshold": threshold}),
    );
}

fn policy(world: &World, version: u32, annotations: &Value) {
    let policy: PropagationPolicy = typed(json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
        "metadata": {
            "name": "web", "namespace": "shop", "resourceVersion": version.to_string(), "uid": "p",
            "labels": {(crds::keys::PROPAGATION_POLICY_PERMANENT_ID): "pid"},
            "annotations": annotations,
        },
        "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}], "placement": {}},
    }));
    world.policies.observe_reply(policy);
}

/// The binding of ConfigMap `name`, which is in m3 now, with this condition.
fn binding(
    name: &str,
    version: u32,
    condition: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
) -> ResourceBinding {
    typed(json!({
        "apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding",
        "metadata": {
            "name": format!("{name}-configmap"), "namespace": "shop", "uid": name, "generation": 2,
            "resourceVersion": version.to_string(),
            "labels": {
                (crds::keys::RESOURCE_BINDING_PERMANENT_ID): name,
                (crds::keys::PROPAGATION_POLICY_PERMANENT_ID): "pid",
            },
            "annotations": {
                "propagationpolicy.karmada.io/namespace": "shop",
                "propagationpolicy.karmada.io/name": "web",
            },
        },
        "spec": {
            "resource": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "shop", "name": name, "uid": "t"},
            "placement": {}, "clusters": [{"name": "m3"}],
        },
        "status": {
            "schedulerObservedGeneration": 2, "lastScheduledTime": "2026-01-01T00:00:00Z",
            "conditions": condition.into_iter().collect::<Vec<_>>(),
        },
    }))
}

fn work(cluster: &str, binding: &str, version: u32) -> Work {
    typed(json!({
        "apiVersion": "work.karmada.io/v1alpha1", "kind": "Work",
        "metadata": {
            "name": format!("{binding}-work"), "namespace": format!("karmada-es-{cluster}"),
            "uid": format!("{cluster}-{binding}"), "resourceVersion": version.to_string(),
            "labels": {(crds::keys::RESOURCE_BINDING_PERMANENT_ID): binding},
            "annotations": {
                "resourcebinding.karmada.io/namespace": "shop",
                "resourcebinding.karmada.io/name": format!("{binding}-configmap"),
            },
        },
        "spec": {"workload": {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": binding}}]}},
        "status": {"conditions": [{
            "type": "Applied", "status": "True", "reason": "AppliedSuccessful", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]},
    }))
}

fn ask(world: &World, object: &str, scopes: &[Scope]) -> Verdict {
    world.brake.ask(
        world,
        &Question {
            object,
            scopes,
            doubt: None,
            annotations: &BTreeMap::new(),
        },
    )
}

fn kept(cluster: &str, reason: Reason, scope: Option<Scope>) -> HeldBack {
    let hold = Hold {
        reason,
        threshold: scope.as_ref().map(|_| Threshold {
            percent: 0,
            at_least: 2,
            window: Duration::from_mins(10),
        }),
        scope,
        message: "more than 0 % and more than 2 of the objects of PropagationPolicy shop/web would go within 600 s; let them go".into(),
    };
    HeldBack::new(cluster, hold)
}

#[tokio::test]
async fn each_cluster_keeps_its_own_reason_over_a_restart() {
    let world = world();
    furnish(&world, "0%/2/600s");
    let mut doubt = kept("m2", Reason::LastCopy, None);
    doubt.hold.message = "this is the last copy".into();
    let held = [kept("m1", Reason::PolicyLimit, Some(policy_scope())), doubt];
    let condition = propagation::brake::held(&held, "resourcebinding/web -n shop").unwrap();
    let binding = binding("web", 5, Some(&condition));
    let holder = Holder::of(&binding);
    world.bindings.observe_reply(binding);
    for (version, cluster) in [(6, "m1"), (7, "m2"), (8, "m3")] {
        world.works.observe_reply(work(cluster, "web", version));
    }
    world.brake.load(&world, &mut world.brake.state.lock());
    assert_eq!(world.brake.held_back(&holder), held);
    // The policy holds on, and the cluster of the other reason is free.
    assert!(matches!(
        ask(&world, "karmada-es-m1/other", &[policy_scope()]),
        Verdict::Hold(_)
    ));
    let cluster = [Scope::Cluster("m2".into())];
    assert_eq!(
        ask(&world, "karmada-es-m2/other", &cluster),
        Verdict::Proceed
    );
}

#[tokio::test]
async fn a_threshold_that_was_raised_meanwhile_lets_go_what_it_allows() {
    let world = world();
    furnish(&world, "0%/3/600s");
    let held = [kept("m1", Reason::PolicyLimit, Some(policy_scope()))];
    let condition = propagation::brake::held(&held, "x").unwrap();
    world
        .bindings
        .observe_reply(binding("web", 5, Some(&condition)));
    world.works.observe_reply(work("m1", "web", 6));
    for n in 0..3 {
        let object = format!("karmada-es-m1/o{n}");
        assert_eq!(
            ask(&world, &object, &[policy_scope()]),
            Verdict::Proceed,
            "{n}"
        );
    }
    let fourth = ask(&world, "karmada-es-m1/o3", &[policy_scope()]);
    assert!(matches!(fourth, Verdict::Hold(_)));
}

#[tokio::test]
async fn a_changed_threshold_is_judged_anew_when_it_is_laxer() {
    let world = world();
    let _brake = prepare(&world, Options::default());
    furnish(&world, "0%/1/600s");
    let scopes = [policy_scope()];
    assert_eq!(ask(&world, "karmada-es-m1/a", &scopes), Verdict::Proceed);
    let Verdict::Hold(hold) = ask(&world, "karmada-es-m1/b", &scopes) else {
        panic!("the second one goes")
    };
    let holder = Holder::ResourceBinding(Key::new("shop", "b-configmap"));
    let kept = vec![HeldBack::new("m1", hold)];
    assert_eq!(world.brake.settle(&world, &holder, kept).len(), 1);
    // A narrower one lets nothing go.
    policy(
        &world,
        10,
        &json!({"navarch.dev/removal-threshold": "0%/0/600s"}),
    );
    assert!(matches!(
        ask(&world, "karmada-es-m1/b", &scopes),
        Verdict::Hold(_)
    ));
    policy(
        &world,
        11,
        &json!({"navarch.dev/removal-threshold": "0%/2/600s"}),
    );
    assert_eq!(ask(&world, "karmada-es-m1/b", &scopes), Verdict::Proceed);
    assert!(matches!(
        ask(&world, "karmada-es-m1/c", &scopes),
        Verdict::Hold(_)
    ));
    policy(&world, 12, &json!({"navarch.dev/removal-threshold": "off"}));
    assert_eq!(ask(&world, "karmada-es-m1/c", &scopes), Verdict::Proceed);
}

#[tokio::test]
async fn a_release_of_the_cluster_lets_go_what_a_policy_holds_unless_it_is_from_the_future() {
    let world = world();
    furnish(&world, "0%/0/600s");
    let scopes = [Scope::Cluster("m1".into()), policy_scope()];
    let release = |version: u32, at: Timestamp| {
        let cluster: Cluster = typed(json!({
            "apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
            "metadata": {
                "name": "m1", "resourceVersion": version.to_string(), "uid": "m1",
                "annotations": {(RELEASE_HOLD): at.to_string()},
            },
            "spec": {"syncMode": "Push"},
        }));
        world.clusters.observe_reply(cluster);
    };
    let now = Timestamp::now();
    release(10, now + Duration::from_hours(24));
    assert!(matches!(
        ask(&world, "karmada-es-m1/a", &scopes),
        Verdict::Hold(_)
    ));
    release(11, now);
    assert_eq!(ask(&world, "karmada-es-m1/a", &scopes), Verdict::Proceed);
    // What went by a release is not counted.
    release(12, now - Duration::from_hours(24));
    policy(
        &world,
        13,
        &json!({"navarch.dev/removal-threshold": "0%/1/600s"}),
    );
    assert_eq!(ask(&world, "karmada-es-m1/b", &scopes), Verdict::Proceed);
}

#[tokio::test]
async fn a_holder_that_is_gone_holds_nothing() {
    let world = world();
    furnish(&world, "0%/0/600s");
    world.brake.load(&world, &mut world.brake.state.lock());
    for holder in [
        Holder::ResourceBinding(Key::new("shop", "web-configmap")),
        Holder::of_key::<ClusterResourceBinding>(Key::cluster_scoped("web-clusterrole")),
        Holder::Work(Key::new("karmada-es-m1", "web")),
        Holder::Cluster("m1".into()),
    ] {
        let held = vec![kept("m1", Reason::PolicyLimit, Some(policy_scope()))];
        world.brake.settle(&world, &holder, held);
        assert!(world.brake.holds(&holder), "{holder}");
        world.brake.vanished(&world, &holder);
        assert!(
            !world.brake.holds(&holder) && world.brake.is_idle(),
            "{holder}"
        );
    }
}

#[tokio::test]
async fn a_hold_outlives_its_policy() {
    let world = world();
    furnish(&world, "0%/0/600s");
    let mut binding = binding("web", 5, None);
    let work = work("m1", "web", 6);
    world.works.observe_reply(work.clone());
    let mut pass = BindingPass::orphans(&world, &binding, Orphans::Go);
    assert!(!pass.may_remove(&work).await);
    let holder = Holder::of(&binding);
    let held = vec![kept("m1", Reason::PolicyLimit, Some(policy_scope()))];
    world.brake.settle(&world, &holder, held);
    binding.metadata.annotations = None;
    if let Some(labels) = &mut binding.metadata.labels {
        labels.remove(crds::keys::PROPAGATION_POLICY_PERMANENT_ID);
    }
    let mut pass = BindingPass::orphans(&world, &binding, Orphans::Go);
    assert!(
        !pass.may_remove(&work).await,
        "the policy is gone, its hold is not"
    );
    world.brake.settle(&world, &holder, Vec::new());
    let mut pass = BindingPass::orphans(&world, &binding, Orphans::Go);
    assert!(pass.may_remove(&work).await);
}

#[tokio::test]
async fn a_policy_has_as_many_objects_as_its_bindings_have_works() {
    let world = world();
    furnish(&world, "30%/10/300s");
    world.bindings.observe_reply(binding("a", 5, None));
    world.bindings.observe_reply(binding("b", 6, None));
    for (version, (cluster, name)) in [("m1", "a"), ("m2", "a"), ("m1", "b"), ("m1", "else")]
        .into_iter()
        .enumerate()
    {
        let version = 10 + u32::try_from(version).unwrap();
        world.works.observe_reply(work(cluster, name, version));
    }
    assert_eq!(scope::total(&world, &policy_scope()), 3);
    assert_eq!(scope::total(&world, &Scope::Cluster("m1".into())), 3);
}

/// What becomes of a terminating Work while the API server does not serve the kind of its template.
#[tokio::test]
async fn a_store_that_is_not_filled_removes_nothing() {
    let world = world();
    furnish(&world, "30%/10/300s");
    let mut bound = binding("web", 5, None);
    bound.spec.clusters[0].name = "m1".into();
    world.bindings.observe_reply(bound);
    let mut work = work("m1", "web", 6);
    work.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
    let events = Source::new(&world.recorder, COMPONENT);
    let found = fate(&world, &events, &work, false).await;
    assert_eq!(found.unwrap(), Fate::Unknown);

    // Its watch has begun and brought nothing yet.
    let resource = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        plural: "configmaps".into(),
    };
    world.templates.ensure(&resource);
    let found = fate(&world, &events, &work, false).await;
    assert_eq!(found.unwrap(), Fate::Unknown);

    // The Work of a Namespace, which belongs to no binding.
    let mut of_namespace = work.clone();
    of_namespace.metadata.labels = None;
    of_namespace.metadata.annotations = None;
    of_namespace.metadata.owner_references = Some(vec![typed(json!({
        "apiVersion": "v1", "kind": "Namespace", "name": "shop", "uid": "n", "controller": true,
    }))]);
    let found = fate(&world, &events, &of_namespace, false).await;
    assert_eq!(found.unwrap(), Fate::Unknown);
    // A cluster that leaves was decided about as a whole.
    let found = fate(&world, &events, &of_namespace, true).await;
    assert_eq!(found.unwrap(), Fate::Remove);
}

#[tokio::test]
async fn a_work_of_nobody_goes_when_it_is_released() {
    let world = world();
    furnish(&world, "30%/10/300s");
    let cluster: Cluster = typed(json!({
        "apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
        "metadata": {
            "name": "m1", "resourceVersion": "20", "uid": "m1",
            "annotations": {(propagation::brake::THRESHOLD): "0%/0/600s"},
        },
        "spec": {"syncMode": "Push"},
    }));
    world.clusters.observe_reply(cluster);
    let mut work = work("m1", "web", 21);
    work.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
    work.metadata.labels = None;
    work.metadata.annotations = None;
    let events = Source::new(&world.recorder, COMPONENT);
    // It is held: showing that is what fails here.
    assert!(fate(&world, &events, &work, false).await.is_err());
    let released = Timestamp::now().to_string();
    work.metadata.annotations = Some([(RELEASE_HOLD.to_owned(), released)].into());
    let found = fate(&world, &events, &work, false).await;
    assert_eq!(found.unwrap(), Fate::Remove);
}

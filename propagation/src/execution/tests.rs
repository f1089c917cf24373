use ::trace::NoTrace;
use crds::conditions::set_condition;
use crds::object::Key;
use crds::work::{ResourceHealth, Work};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::conditions::{applied, dispatching, joined, recreated, set_manifest_status};
use super::*;
use crate::clock::at;
use crate::testing::{native, typed, yaml};

fn work_key() -> Key {
    Key::new("karmada-es-member2", "common-bb76b47f7")
}

fn manifest() -> Value {
    let mut manifest = yaml(
        "
apiVersion: v1
kind: ConfigMap
metadata:
  name: common
  namespace: demo
  labels: {app: web, karmada.io/managed: 'true'}
  annotations:
    note: a
    resourcetemplate.karmada.io/uid: u
    work.karmada.io/conflict-resolution: abort
    work.karmada.io/name: common-bb76b47f7
    work.karmada.io/namespace: karmada-es-member2
data: {a: '1'}
",
    );
    crate::render::stamp(&mut manifest, "w");
    manifest
}

/// The manifest as the member has it after it was applied.
fn applied_in_member(manifest: &Value) -> Value {
    let mut observed = manifest.clone();
    observed["metadata"]["uid"] = json!("member-uid");
    observed["metadata"]["resourceVersion"] = json!("5");
    observed["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    observed["metadata"]["managedFields"] = json!([]);
    observed
}

fn decided(manifest: &Value, observed: Option<&Value>) -> Result<Plan, PlanError> {
    plan(manifest, observed, "member2", &native(), &mut NoTrace)
}

#[test]
fn objects_are_created_updated_or_left() {
    let manifest = manifest();
    assert_eq!(decided(&manifest, None), Ok(Plan::Create(manifest.clone())));
    let mut observed = applied_in_member(&manifest);
    assert_eq!(decided(&manifest, Some(&observed)), Ok(Plan::Unchanged));
    // What the member adds stays, what it changes is reset.
    observed["metadata"]["labels"]["theirs"] = json!("1");
    observed["metadata"]["finalizers"] = json!(["theirs/f"]);
    observed["status"] = json!({"x": 1});
    assert_eq!(decided(&manifest, Some(&observed)), Ok(Plan::Unchanged));
    observed["data"]["a"] = json!("2");
    observed["data"]["b"] = json!("2");
    observed["metadata"]["annotations"]["note"] = json!("b");
    let Ok(Plan::Update {
        object,
        takeover,
        fields,
    }) = decided(&manifest, Some(&observed))
    else {
        panic!("no update")
    };
    assert_eq!(fields, ["/data/a", "/data/b", "/metadata/annotations/note"]);
    assert!(!takeover);
    assert_eq!(object["data"], json!({"a": "1"}));
    assert_eq!(object["metadata"]["resourceVersion"], "5");
    assert_eq!(object["metadata"]["finalizers"], json!(["theirs/f"]));
    assert_eq!(object["metadata"]["labels"]["theirs"], "1");
}

#[test]
fn what_the_member_adds_of_its_own_is_no_difference() {
    let deployment = (
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "o"}, "spec": {"replicas": 1}}),
        json!({
            "metadata": {"uid": "u", "generation": 1, "resourceVersion": "7", "annotations": {"deployment.kubernetes.io/revision": "1"}},
            "status": {"replicas": 1},
        }),
    );
    let service = (
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "o"}, "spec": {"ports": [{"port": 80}], "type": "NodePort"}}),
        json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "nodePort": 30080}]}}),
    );
    let job = (
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "o"},
            "spec": {"template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"}}},
        }),
        json!({"spec": {
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "template": {"metadata": {"labels": {"controller-uid": "u", "batch.kubernetes.io/job-name": "o"}}},
        }}),
    );
    let account = (
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "o"}}),
        json!({"secrets": [{"name": "o-token-abcde"}], "metadata": {"finalizers": ["example.com/f"]}}),
    );
    for (mut manifest, additions) in [deployment, service, job, account] {
        manifest["metadata"]["labels"][keys::MANAGED] = keys::TRUE.into();
        let mut observed = manifest.clone();
        merge(&mut observed, &additions);
        assert_eq!(
            decided(&manifest, Some(&observed)),
            Ok(Plan::Unchanged),
            "{observed:#}"
        );
    }
}

/// Adds what a member's API server and controllers write; lists are merged item by item.
fn merge(into: &mut Value, additions: &Value) {
    match (into, additions) {
        (Value::Object(into), Value::Object(additions)) => {
            for (key, value) in additions {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(additions)) if into.len() == additions.len() => {
            for (into, value) in into.iter_mut().zip(additions) {
                merge(into, value);
            }
        }
        (into, additions) => *into = additions.clone(),
    }
}

#[test]
fn keys_removed_upstream_go() {
    let observed = applied_in_member(&manifest());
    let mut newer = manifest();
    object::remove_label(&mut newer, "app");
    object::remove_annotation(&mut newer, "note");
    crate::render::stamp(&mut newer, "w");
    let Ok(Plan::Update { object, .. }) = decided(&newer, Some(&observed)) else {
        panic!("no update")
    };
    assert_eq!(object::label(&object, "app"), None);
    assert_eq!(object::annotation(&object, "note"), None);
}

#[test]
fn conflicts_are_refused_or_taken_over() {
    let mut manifest = manifest();
    let foreign = yaml(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: common, namespace: demo, labels: {mine: x}}}",
    );
    let error = decided(&manifest, Some(&foreign)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "resource(kind=ConfigMap, demo/common) already exists in the cluster member2 and the work.karmada.io/conflict-resolution strategy value is empty, Karmada will not manage this resource"
    );
    let namespace = yaml("{apiVersion: v1, kind: Namespace, metadata: {name: x}}");
    assert!(
        decided(&namespace, Some(&namespace))
            .unwrap_err()
            .to_string()
            .contains("resource(kind=Namespace, /x)")
    );
    object::set_annotation(&mut manifest, keys::CONFLICT_RESOLUTION, "overwrite");
    let Ok(Plan::Update {
        object,
        takeover: true,
        ..
    }) = decided(&manifest, Some(&foreign))
    else {
        panic!("no takeover")
    };
    assert_eq!(object::label(&object, "mine"), Some("x"));
    assert_eq!(object["data"], json!({"a": "1"}));
}

#[test]
fn kinds_retain_what_the_member_decides() {
    let mut service = yaml(
        "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: demo, labels: {karmada.io/managed: 'true'}}, spec: {ports: [{port: 80}]}}",
    );
    let mut observed = service.clone();
    observed["metadata"]["resourceVersion"] = json!("1");
    observed["spec"]["clusterIP"] = json!("10.0.0.1");
    service["spec"]["ports"][0]["port"] = json!(81);
    let Ok(Plan::Update { object, .. }) = decided(&service, Some(&observed)) else {
        panic!("no update")
    };
    assert_eq!(object["spec"]["clusterIP"], "10.0.0.1");
}

#[test]
fn manifests_without_identity_are_refused() {
    for (manifest, field) in [
        (json!("text"), "apiVersion"),
        (json!({"apiVersion": "v1"}), "kind"),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap"}),
            "metadata.name",
        ),
    ] {
        assert_eq!(decided(&manifest, None), Err(PlanError::Invalid { field }));
    }
}

#[test]
fn manifests_written_by_hand_are_completed() {
    let work: Work = typed(
        "
metadata: {name: w, namespace: karmada-es-m1, labels: {work.karmada.io/permanent-id: id}}
spec: {workload: {manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: demo}}]}}
",
    );
    let completed = &manifests(&work)[0];
    assert!(is_managed(completed));
    assert_eq!(holder(completed), Some(Key::new("karmada-es-m1", "w")));
    assert_eq!(
        object::annotation(completed, keys::MANAGED_LABELS),
        Some("karmada.io/managed,work.karmada.io/permanent-id")
    );
    let mut whole = work;
    whole.spec.workload.manifests = vec![completed.clone()];
    assert_eq!(manifests(&whole)[0], *completed);
}

#[test]
fn versions_tell_drift() {
    let mut observed = applied_in_member(&manifest());
    let check = |recorded: Option<&str>, observed: &Value, expected: bool| {
        assert_eq!(
            needs_update(recorded, &manifest(), observed),
            expected,
            "{recorded:?}"
        );
    };
    assert_eq!(version(&observed), "rv:5");
    check(None, &observed, true);
    check(Some("rv:5"), &observed, false);
    check(Some("rv:4"), &observed, true);
    observed["metadata"]["generation"] = json!(3);
    assert_eq!(version(&observed), "gen:3");
    check(Some("gen:2"), &observed, true);
    check(Some("gen:3"), &observed, false);
    observed["metadata"]["labels"]["theirs"] = json!("1");
    check(Some("gen:3"), &observed, false);
    observed["metadata"]["annotations"]["note"] = json!("edited");
    check(Some("gen:3"), &observed, true);
}

#[test]
fn only_own_objects_are_deleted() {
    let mut observed = applied_in_member(&manifest());
    let check = |observed: Option<&Value>, expected: &str| {
        let found = match delete_plan(&work_key(), observed, &mut NoTrace) {
            DeletePlan::Gone => "gone".to_owned(),
            DeletePlan::Leave { reason } => reason,
            DeletePlan::Delete { uid, .. } => format!("delete {}", uid.unwrap_or_default()),
        };
        assert_eq!(found, expected);
    };
    check(None, "gone");
    check(Some(&observed), "delete member-uid");
    object::set_annotation(&mut observed, keys::WORK_NAME, "newer");
    check(
        Some(&observed),
        "the object belongs to work karmada-es-member2/newer",
    );
    object::remove_label(&mut observed, keys::MANAGED);
    check(
        Some(&observed),
        "the object is not managed by the control plane",
    );
}

#[test]
fn objects_that_lost_their_mark_are_recognised() {
    let mut observed = applied_in_member(&manifest());
    assert!(!lost_mark(&observed, &work_key()));
    object::remove_label(&mut observed, keys::MANAGED);
    assert!(lost_mark(&observed, &work_key()));
    assert!(!lost_mark(
        &observed,
        &Key::new("karmada-es-member2", "other")
    ));
    let message = super::conditions::mark_removed_message("member2", &observed);
    let condition = super::conditions::mark_removed(message, None);
    assert_eq!(condition.reason, super::conditions::MARK_REMOVED);
    assert!(
        condition
            .message
            .contains("in cluster member2 lost the label karmada.io/managed"),
        "{}",
        condition.message
    );
    // Without the back reference it is put right by the next plan.
    let mut unreferenced = applied_in_member(&manifest());
    object::remove_annotation(&mut unreferenced, keys::WORK_NAME);
    assert!(matches!(
        decided(&manifest(), Some(&unreferenced)),
        Ok(Plan::Update { .. })
    ));
}

#[test]
fn preserved_objects_lose_every_mark() {
    let mut manifest = manifest();
    object::set_label(
        &mut manifest,
        keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID,
        "p",
    );
    object::set_annotation(
        &mut manifest,
        keys::CLUSTER_PROPAGATION_POLICY_NAME,
        "everywhere",
    );
    crate::render::stamp(&mut manifest, "w");
    let mut observed = applied_in_member(&manifest);
    observed["metadata"]["labels"]["theirs"] = json!("1");
    observed["metadata"]["annotations"]["resourcebinding.karmada.io/name"] = json!("unlisted");
    let released = |observed: Option<&Value>| {
        release_plan(&manifest, &work_key(), observed, &native(), &mut NoTrace).unwrap()
    };
    let ReleasePlan::Update(object) = released(Some(&observed)) else {
        panic!("nothing to release")
    };
    assert_eq!(
        object["metadata"]["labels"],
        json!({"app": "web", "theirs": "1"})
    );
    assert_eq!(object["metadata"]["annotations"], json!({"note": "a"}));
    assert_eq!(object["data"], json!({"a": "1"}));
    assert_eq!(object["metadata"]["resourceVersion"], "5");
    // Afterwards, and for what is gone or somebody else's, there is nothing to do.
    assert!(matches!(released(Some(&object)), ReleasePlan::Done { .. }));
    assert!(matches!(released(None), ReleasePlan::Done { .. }));
    // Where the member refuses the object as a whole, its marks still go, and nothing else.
    let mut unmarked = observed.clone();
    crate::diff::apply(&mut unmarked, &unmark(&observed).unwrap());
    assert!(!is_managed(&unmarked) && holder(&unmarked).is_none());
    assert_eq!(unmarked["data"], observed["data"]);
    assert_eq!(unmark(&unmarked), None);
    object::set_annotation(&mut observed, keys::WORK_NAME, "newer");
    assert!(matches!(
        released(Some(&observed)),
        ReleasePlan::Done { .. }
    ));
}

#[test]
fn works_say_how_they_fare() {
    let text = |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!(
            "{}={} {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        )
    };
    let errors = |errors: &[&str]| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (condition, expected) in [
        (
            dispatching(false),
            "Dispatching=True Dispatching: Work is being dispatched to member clusters.",
        ),
        (
            dispatching(true),
            "Dispatching=False SuspendDispatching: Work dispatching is in a suspended state.",
        ),
        (
            applied(1, &[], Some(1)),
            "Applied=True AppliedSuccessful: Manifest has been successfully applied",
        ),
        (
            applied(1, &errors(&["x"]), None),
            "Applied=False AppliedFailed: Failed to apply all manifests (0/1): x",
        ),
        (
            applied(3, &errors(&["x", "y"]), None),
            "Applied=False AppliedFailed: Failed to apply all manifests (1/3): [x, y]",
        ),
        (
            recreated(None, None),
            "Applied=True ReCreateSuccessful: Manifest has been successfully applied",
        ),
        (
            recreated(Some("x"), None),
            "Applied=False ReCreateFailed: x",
        ),
    ] {
        assert_eq!(text(&condition), expected);
    }
    assert_eq!(joined(&errors(&["x", "x"])), "x");
    assert_eq!(applied(1, &["ä".repeat(40_000)], None).message.len(), 32768);
    let mut list = Vec::new();
    assert!(set_condition(&mut list, dispatching(false), &at(1)));
    assert!(!set_condition(&mut list, dispatching(false), &at(2)));
}

#[test]
fn manifest_statuses_are_kept_by_identifier() {
    let (first, mut second) = (manifest(), manifest());
    second["metadata"]["name"] = json!("second");
    let manifests = [first, second];
    let mut list = Vec::new();
    let healthy = ResourceHealth::Healthy;
    assert!(set_manifest_status(&mut list, &manifests, 1, None, healthy));
    assert!(set_manifest_status(
        &mut list,
        &manifests,
        0,
        Some(json!({"x": 1})),
        healthy
    ));
    assert!(!set_manifest_status(
        &mut list,
        &manifests,
        0,
        Some(json!({"x": 1})),
        healthy
    ));
    let names: Vec<_> = list.iter().map(|entry| &*entry.identifier.name).collect();
    assert_eq!(names, ["common", "second"]);
    assert_eq!(
        serde_json::to_value(&list[0]).unwrap(),
        json!({
            "health": "Healthy",
            "identifier": {"ordinal": 0, "version": "v1", "kind": "ConfigMap", "resource": "", "namespace": "demo", "name": "common"},
            "status": {"x": 1},
        })
    );
    // The entry of a manifest that is gone goes too.
    assert!(set_manifest_status(
        &mut list,
        &manifests[..1],
        0,
        None,
        healthy
    ));
    assert_eq!(list.len(), 1);
    assert!(!set_manifest_status(
        &mut list, &manifests, 7, None, healthy
    ));
}

fn member_objects() -> impl Strategy<Value = Value> {
    let map = || prop::collection::btree_map("app|note|theirs|[a-c]", "[a-c]{0,2}", 0..4);
    (
        map(),
        map(),
        map(),
        prop::collection::vec("[a-z]{1,4}/f", 0..2),
        any::<bool>(),
    )
        .prop_map(|(labels, annotations, data, finalizers, list)| {
            let mut object = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {
                    "name": "common", "namespace": "demo", "uid": "u", "resourceVersion": "3",
                    "labels": labels, "annotations": annotations, "finalizers": finalizers,
                },
                "data": data,
            });
            object::set_label(&mut object, keys::MANAGED, keys::TRUE);
            if list {
                object::set_annotation(&mut object, keys::MANAGED_LABELS, "app,a");
                object::set_annotation(&mut object, keys::MANAGED_ANNOTATIONS, "note,b");
            }
            object
        })
}

proptest! {
    #[test]
    fn applying_a_plan_leaves_an_empty_plan(mut observed in member_objects()) {
        let manifest = manifest();
        if let Ok(Plan::Update { object, .. }) = decided(&manifest, Some(&observed)) {
            observed = object;
            observed["metadata"]["resourceVersion"] = json!("4");
        }
        prop_assert_eq!(decided(&manifest, Some(&observed)), Ok(Plan::Unchanged));
    }
}

fn with_strategy(strategy: UpdateStrategy) -> Value {
    let mut manifest = manifest();
    object::set_annotation(&mut manifest, UPDATE_STRATEGY, strategy.as_str());
    manifest
}

#[test]
fn applied_objects_keep_what_others_add_and_lose_what_the_manifest_loses() {
    let manifest = with_strategy(UpdateStrategy::ServerSideApply);
    let Ok(Plan::Apply {
        object,
        force: false,
        takeover: false,
        ..
    }) = decided(&manifest, None)
    else {
        panic!("not applied");
    };
    let mut observed = applied_in_member(&object);
    assert_eq!(decided(&manifest, Some(&observed)), Ok(Plan::Unchanged));
    observed["data"]["theirs"] = json!("1");
    observed["metadata"]["ownerReferences"] = json!([{"uid": "o"}]);
    assert_eq!(decided(&manifest, Some(&observed)), Ok(Plan::Unchanged));

    // What the manifest says is mended, and nothing of the others' is claimed by it.
    observed["data"]["a"] = json!("2");
    let Ok(Plan::Apply {
        object,
        force: true,
        fields,
        ..
    }) = decided(&manifest, Some(&observed))
    else {
        panic!("not applied");
    };
    assert_eq!(fields, ["/data/a"]);
    assert_eq!(object["data"], json!({"a": "1"}));
    assert_eq!(object["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(object["metadata"]["resourceVersion"], "5");

    // All that is left is there already, and yet something has to go.
    observed["data"]["a"] = json!("1");
    let mut less = manifest.clone();
    less["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove("note");
    assert!(matches!(
        decided(&less, Some(&observed)),
        Ok(Plan::Apply { .. })
    ));

    // Back to replacing, nothing of it stays.
    let Ok(Plan::Update { object, .. }) = decided(&self::manifest(), Some(&observed)) else {
        panic!("not replaced");
    };
    assert_eq!(object::annotation(&object, APPLIED_MANIFEST), None);
    assert_eq!(object["data"], json!({"a": "1"}));
}

#[test]
fn no_strategy_takes_what_is_not_ours() {
    for strategy in UpdateStrategy::ALL {
        let manifest = with_strategy(strategy);
        let mut observed = applied_in_member(&manifest);
        object::remove_label(&mut observed, keys::MANAGED);
        let refused = decided(&manifest, Some(&observed));
        assert!(
            matches!(refused, Err(PlanError::Conflict(_))),
            "{refused:?}"
        );
        let mut overwriting = manifest.clone();
        object::set_annotation(
            &mut overwriting,
            keys::CONFLICT_RESOLUTION,
            keys::CONFLICT_OVERWRITE,
        );
        assert!(matches!(
            decided(&overwriting, Some(&observed)),
            Ok(Plan::Update { takeover: true, .. } | Plan::Apply { takeover: true, .. })
        ));
    }
}

#[test]
fn what_is_only_created_is_never_touched_again() {
    let manifest = with_strategy(UpdateStrategy::CreateOnly);
    assert_eq!(decided(&manifest, None), Ok(Plan::Create(manifest.clone())));
    let mut observed = applied_in_member(&manifest);
    observed["data"] = json!({"theirs": "1"});
    assert_eq!(decided(&manifest, Some(&observed)), Ok(Plan::Unchanged));
    // Preserved when its Work goes, it loses its marks and nothing else.
    let released = release_plan(
        &manifest,
        &work_key(),
        Some(&observed),
        &native(),
        &mut NoTrace,
    );
    assert_eq!(released, Ok(ReleasePlan::Unmark));
}

use ::trace::NoTrace;
use crds::object::Key;
use serde_json::{Value, json};

use crds::work::{ClusterResourceBinding, ResourceBinding, ResourceBindingSpec};

use super::*;
use crate::matching::lazy;
use crate::testing::{typed, value, yaml};

fn independent(name: &str, cluster: &str, overwrite: bool, id: &str) -> ResourceBinding {
    let (resolution, preserve) = if overwrite {
        ("Overwrite", true)
    } else {
        ("Abort", false)
    };
    typed(&format!(
        "
metadata: {{name: {name}, namespace: demo, labels: {{resourcebinding.karmada.io/permanent-id: {id}}}}}
spec:
  resource: {{apiVersion: apps/v1, kind: Deployment, namespace: demo, name: x}}
  clusters: [{{name: {cluster}, replicas: 2}}]
  conflictResolution: {resolution}
  preserveResourcesOnDeletion: {preserve}
"
    ))
}

fn common() -> Value {
    yaml(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: common, namespace: demo, uid: 9d120c70-b4d7-44b0-aa90-cee840b4ae4d, resourceVersion: '220334'}}",
    )
}

fn lookup<'a>(bindings: &'a [ResourceBinding]) -> impl Fn(&Key) -> Option<&'a ResourceBindingSpec> {
    |key| {
        bindings
            .iter()
            .find(|binding| Key::of_meta(&binding.metadata) == *key)
            .map(|binding| &binding.spec)
    }
}

fn both() -> [ResourceBinding; 2] {
    [
        independent(
            "app1-deployment",
            "member2",
            false,
            "5679323b-ca24-4188-8fa9-766a708230bb",
        ),
        independent(
            "app2-deployment",
            "member3",
            true,
            "cd9c5274-574c-4969-b23f-b7acf1d75666",
        ),
    ]
}

fn attached_to_both(bindings: &[ResourceBinding]) -> Attach<ResourceBinding> {
    let find = lookup(bindings);
    let first = attach(
        None,
        attached(&common(), &bindings[0]),
        &find,
        "7adfd21e-ad58-4307-ba67-cfb2d96bc1e3",
    )
    .unwrap();
    assert_eq!(first.conflict, None);
    attach(
        first.write.as_ref(),
        attached(&common(), &bindings[1]),
        &find,
        "unused",
    )
    .unwrap()
}

#[test]
fn a_shared_dependency() {
    let Attach { write, conflict } = attached_to_both(&both());
    let mut expected = yaml(
        "
apiVersion: work.karmada.io/v1alpha2
kind: ResourceBinding
metadata:
  name: common-configmap
  namespace: demo
  finalizers: [karmada.io/binding-controller]
  labels:
    resourcebinding.karmada.io/depended-by-98ddd89bc: 5679323b-ca24-4188-8fa9-766a708230bb
    resourcebinding.karmada.io/depended-by-685b47d6f6: cd9c5274-574c-4969-b23f-b7acf1d75666
    resourcebinding.karmada.io/permanent-id: 7adfd21e-ad58-4307-ba67-cfb2d96bc1e3
  ownerReferences:
  - {apiVersion: v1, kind: ConfigMap, name: common, uid: 9d120c70-b4d7-44b0-aa90-cee840b4ae4d, controller: true, blockOwnerDeletion: true}
spec:
  conflictResolution: Overwrite
  preserveResourcesOnDeletion: true
  requiredBy:
  - {namespace: demo, name: app1-deployment, clusters: [{name: member2, replicas: 2}]}
  - {namespace: demo, name: app2-deployment, clusters: [{name: member3, replicas: 2}]}
  resource: {apiVersion: v1, kind: ConfigMap, namespace: demo, name: common, resourceVersion: '220334', uid: 9d120c70-b4d7-44b0-aa90-cee840b4ae4d}
",
    );
    expected["metadata"]["annotations"] = json!({
        (lazy::TEMPLATE_SPECIFICATION): lazy::specification_fingerprint(&common()),
    });
    assert_eq!(value(&write), expected);
    assert_eq!(
        conflict.as_deref(),
        Some(
            "Dependency policy conflict detected: ConflictResolution conflicted (Overwrite vs Abort); PreserveResourcesOnDeletion conflicted (true vs false)."
        )
    );
    // Attaching again changes nothing.
    let bindings = both();
    let existing = write.unwrap();
    let again = attach(
        Some(&existing),
        attached(&common(), &bindings[0]),
        lookup(&bindings),
        "x",
    )
    .unwrap();
    assert_eq!(again.write, None);
}

#[test]
fn only_the_specification_of_a_dependency_moves_its_version() {
    let bindings = both();
    let existing = attached_to_both(&bindings).write.unwrap();
    let again = |dependency: &Value| {
        let desired: ResourceBinding = attached(dependency, &bindings[0]);
        attach(Some(&existing), desired, lookup(&bindings), "x").unwrap()
    };
    let mut changed = common();
    changed["metadata"]["resourceVersion"] = json!("220335");
    changed["status"] = json!({"phase": "Bound"});
    assert_eq!(again(&changed).write, None);
    changed["data"] = json!({"a": "1"});
    let written = again(&changed).write.unwrap();
    assert_eq!(
        written.spec.resource.resource_version.as_deref(),
        Some("220335")
    );
}

#[test]
fn cluster_scoped_dependencies_and_dependents() {
    let mut reader: ClusterResourceBinding = typed(
        "
metadata: {name: reader-clusterrolebinding, labels: {clusterresourcebinding.karmada.io/permanent-id: id}}
spec:
  resource: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, name: reader}
  clusters: [{name: member1}]
",
    );
    reader.spec.preserve_resources_on_deletion = Some(true);
    let find = |key: &Key| {
        (*key == Key::cluster_scoped("reader-clusterrolebinding")).then_some(&reader.spec)
    };
    let role = yaml(
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: reader, uid: u, resourceVersion: '1'}}",
    );
    let of_role: ClusterResourceBinding = attach(None, attached(&role, &reader), find, "fresh")
        .unwrap()
        .write
        .unwrap();
    assert_eq!(of_role.metadata.name.as_deref(), Some("reader-clusterrole"));
    assert_eq!(of_role.metadata.namespace, None);
    assert_eq!(of_role.spec.preserve_resources_on_deletion, Some(true));
    assert_eq!(of_role.spec.required_by[0].namespace, None);
    // A namespaced dependency has its binding where it lives.
    let of_common: ResourceBinding = attached(&common(), &reader);
    assert_eq!(of_common.metadata.namespace.as_deref(), Some("demo"));
    let key = Key::cluster_scoped("reader-clusterrolebinding");
    assert_eq!(detach(&of_role, &key, find), Detach::Delete);
}

#[test]
fn detaching_leaves_nothing_behind() {
    let bindings = both();
    let existing = attached_to_both(&bindings).write.unwrap();
    let Detach::Update {
        binding,
        conflict: None,
    } = detach(
        &existing,
        &Key::new("demo", "app2-deployment"),
        lookup(&bindings),
    )
    else {
        panic!("not updated")
    };
    assert_eq!(binding.spec.required_by.len(), 1);
    assert_eq!(
        binding.spec.conflict_resolution,
        Some(crds::policy::ConflictResolution::Abort)
    );
    assert_eq!(binding.metadata.labels.as_ref().unwrap().len(), 2);
    assert_eq!(
        detach(
            &*binding,
            &Key::new("demo", "app1-deployment"),
            lookup(&bindings)
        ),
        Detach::Delete
    );
    // With a policy of its own it stays, and what the policy says stays too.
    let mut own = (*binding).clone();
    own.spec.placement = Some(crds::policy::Placement::default());
    let Detach::Update { binding, .. } = detach(
        &own,
        &Key::new("demo", "app1-deployment"),
        lookup(&bindings),
    ) else {
        panic!("not updated")
    };
    assert!(binding.spec.required_by.is_empty());
    // A dependent that is gone does not stand in the way.
    assert_eq!(refresh(&existing, lookup(&[])), Detach::Delete);
    assert_eq!(refresh(&existing, lookup(&bindings)), Detach::Unchanged);
}

#[test]
fn snapshots_include_clusters_that_are_left_gracefully() {
    let mut binding = independent("a", "member2", false, "id");
    binding.spec.graceful_eviction_tasks = typed(
        "
- {fromCluster: member3, producer: p, reason: R, purgeMode: Gracefully, replicas: 1}
- {fromCluster: member4, producer: p, reason: R, purgeMode: Directly}
",
    );
    let clusters: Vec<_> = snapshot(&binding)
        .clusters
        .into_iter()
        .map(|target| target.name)
        .collect();
    assert_eq!(clusters, ["member2", "member3"]);
}

#[test]
fn dependencies_are_suspended_when_all_dependents_are() {
    let mut bindings = both();
    bindings[0].spec.suspension = typed("{dispatching: true}");
    let suspended = |bindings: &[ResourceBinding]| {
        let spec = attached_to_both(bindings).write.unwrap().spec;
        spec.suspension
            .and_then(|it| it.dispatching_on_clusters)
            .map(|it| it.cluster_names)
    };
    assert_eq!(suspended(&bindings), Some(vec!["member2".to_owned()]));
    // Another dependent in the same cluster is not suspended.
    bindings[1].spec.clusters = typed("[{name: member2}]");
    assert_eq!(suspended(&bindings), None);
}

#[test]
fn annotations_list_what_was_found() {
    let references: Vec<DependentObjectReference> = typed(
        "
- {apiVersion: v1, kind: ConfigMap, namespace: demo, name: common}
- {apiVersion: v1, kind: Secret, namespace: demo, labelSelector: {matchLabels: {a: b}}}
",
    );
    let text = annotation(&references);
    assert_eq!(
        text,
        concat!(
            r#"[{"apiVersion":"v1","kind":"ConfigMap","namespace":"demo","name":"common"},"#,
            r#"{"apiVersion":"v1","kind":"Secret","namespace":"demo","labelSelector":{"matchLabels":{"a":"b"}}}]"#,
        )
    );
    assert_eq!(parse(&text), references);
    assert_eq!(annotation(&[]), "null");
    assert_eq!(parse("null"), []);
    assert_eq!(parse("?"), []);
}

#[test]
fn orphans_and_dependents_are_found() {
    let references: Vec<DependentObjectReference> = typed(
        "
- {apiVersion: v1, kind: ConfigMap, namespace: demo, name: common}
- {apiVersion: v1, kind: Secret, namespace: demo, labelSelector: {matchLabels: {a: b}}}
",
    );
    let subject = |kind: &str, name: &str, labels: Value| {
        Subject::of(&json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "demo", "labels": labels},
        }))
    };
    let binding = |kind: &str, name: &str| -> ResourceBinding {
        typed(&format!(
            "{{spec: {{resource: {{apiVersion: v1, kind: {kind}, namespace: demo, name: {name}}}}}}}"
        ))
    };
    let labelled = subject("Secret", "s", json!({"a": "b"}));
    let unlabelled = subject("Secret", "s", json!({}));
    for (kind, name, seen, expected) in [
        ("ConfigMap", "common", Seen::Absent, false),
        ("ConfigMap", "common", Seen::Unknown, false),
        ("ConfigMap", "other", Seen::Absent, true),
        ("ConfigMap", "other", Seen::Unknown, true),
        ("Secret", "s", Seen::Present(&labelled), false),
        ("Secret", "s", Seen::Present(&unlabelled), true),
        ("Secret", "s", Seen::Absent, true),
        ("Secret", "s", Seen::Unknown, false),
    ] {
        let orphan = is_orphan(&binding(kind, name), &references, seen, &mut NoTrace);
        assert_eq!(orphan, expected, "{kind} {name} {seen:?}");
    }

    let mut index = Index::default();
    let key = Key::new("demo", "app1-deployment");
    index.set(&key, references);
    let dependents = |index: &Index, subject: &Subject| index.dependents(subject).len();
    assert_eq!(
        dependents(&index, &subject("ConfigMap", "common", json!({}))),
        1
    );
    assert_eq!(
        dependents(&index, &subject("ConfigMap", "other", json!({}))),
        0
    );
    assert_eq!(dependents(&index, &labelled), 1);
    index.remove(&key);
    assert_eq!(dependents(&index, &labelled), 0);
}

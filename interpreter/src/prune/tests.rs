#![expect(
    clippy::needless_pass_by_value,
    reason = "cases read better with their values in place"
)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn check(rules: Rules, manifest: Value, expected: Result<Value, &str>) {
    let mut pruned = manifest;
    let answer = prune_with(&mut pruned, rules)
        .map(|()| pruned)
        .map_err(|cause| cause.to_string());
    assert_eq!(answer, expected.map_err(str::to_owned));
}

const PLAIN: Rules = Rules {
    keep_time_to_live: false,
    compat: false,
};
const COMPAT: Rules = Rules {
    keep_time_to_live: false,
    compat: true,
};

#[track_caller]
fn check_both(manifest: Value, expected: Value) {
    check(PLAIN, manifest.clone(), Ok(expected.clone()));
    check(COMPAT, manifest, Ok(expected));
}

#[test]
fn server_set_metadata_and_status_go() {
    let mut manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "demo",
        "labels": {"a": "b"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, "data": {}, "status": {}});
    let mut expected = manifest.clone();
    for field in METADATA {
        manifest["metadata"][*field] = json!("x");
    }
    remove(&mut expected, &["status"]);
    check_both(manifest, expected);
}

#[test]
fn deployments_lose_their_revision() {
    let with = |annotations: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"annotations": annotations}});
    check_both(
        with(
            json!({"deployment.kubernetes.io/revision": "1", "deployment.kubernetes.io/revision-history": "1", "a": "b"}),
        ),
        with(json!({"a": "b"})),
    );
}

fn job(api_version: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": "Job", "metadata": {"labels": {"controller-uid": "u"}}, "spec": spec})
}

#[test]
fn jobs_lose_what_ties_pods_to_their_uid() {
    let spec = json!({"ttlSecondsAfterFinished": 10, "manualSelector": false,
        "selector": {"matchLabels": {"controller-uid": "u", "batch.kubernetes.io/controller-uid": "u"}},
        "template": {"metadata": {"labels": {"controller-uid": "u", "job-name": "j", "batch.kubernetes.io/controller-uid": "u",
            "batch.kubernetes.io/job-name": "j"}}}});
    let pruned = json!({"manualSelector": false, "selector": {"matchLabels": {}}, "template": {"metadata": {"labels": {}}}});
    check_both(
        job("batch/v1", spec.clone()),
        job("batch/v1", pruned.clone()),
    );
    let mut manual = spec.clone();
    manual["manualSelector"] = json!(true);
    let mut expected = manual.clone();
    remove(&mut expected, &["ttlSecondsAfterFinished"]);
    check_both(job("batch/v1", manual), job("batch/v1", expected));
    let mut promoted = pruned;
    promoted["ttlSecondsAfterFinished"] = json!(10);
    check(
        Rules {
            keep_time_to_live: true,
            ..PLAIN
        },
        job("batch/v1", spec),
        Ok(job("batch/v1", promoted)),
    );
}

#[test]
fn foreign_jobs_stay_as_they_are_unless_compatible() {
    let volcano = |spec: Value| job("batch.volcano.sh/v1alpha1", spec);
    let spec = json!({"ttlSecondsAfterFinished": 10});
    check(PLAIN, volcano(spec.clone()), Ok(volcano(spec.clone())));
    check(COMPAT, volcano(spec), Ok(volcano(json!({}))));
    let unfit = json!({"template": "string"});
    check(PLAIN, volcano(unfit.clone()), Ok(volcano(unfit.clone())));
    check(
        COMPAT,
        volcano(unfit),
        Err("decode spec.template: expected an object, found a string"),
    );
}

#[test]
fn secrets_of_tokens_are_emptied() {
    let with = |kind: &str, annotations: Value, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"annotations": annotations}, "data": data});
    let annotations = json!({"kubernetes.io/service-account.uid": "u", "kubernetes.io/service-account.name": "n"});
    let kept = json!({"kubernetes.io/service-account.name": "n"});
    check_both(
        with(TOKEN_SECRET, annotations.clone(), json!({"t": "eA=="})),
        with(TOKEN_SECRET, kept, Value::Null),
    );
    let opaque = with("Opaque", annotations, json!({"t": "eA=="}));
    check_both(opaque.clone(), opaque);
}

#[test]
fn service_accounts_lose_tokens() {
    let with = |secrets: &[&str]| {
        let secrets: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "r"}, "secrets": secrets})
    };
    check_both(
        with(&["r-token-a", "k", "r-tokens"]),
        with(&["k", "r-tokens"]),
    );
    check(
        PLAIN,
        with(&["r-token-a", "r-token-b", "k"]),
        Ok(with(&["k"])),
    );
    check(
        COMPAT,
        with(&["r-token-a", "r-token-b", "k"]),
        Ok(with(&["r-token-b", "k"])),
    );
    let mut nameless = with(&["r-token-a"]);
    nameless["secrets"].as_array_mut().unwrap().push(json!({}));
    let mut expected = nameless.clone();
    expected["secrets"] = json!([{}]);
    check(PLAIN, nameless, Ok(expected));
    let bare = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "r"}});
    check_both(bare.clone(), bare);
}

#[test]
fn services_lose_allocated_addresses() {
    let with = |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "spec": spec});
    check_both(
        with(json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "x": 1})),
        with(json!({"x": 1})),
    );
    check_both(
        with(json!({"clusterIP": "", "clusterIPs": []})),
        with(json!({})),
    );
    let headless = with(json!({"clusterIP": "None", "clusterIPs": ["None"]}));
    check_both(headless.clone(), headless);
    let without = with(json!({"clusterIPs": ["10.0.0.1"]}));
    check_both(without.clone(), without);
}

#[test]
fn claims_lose_their_node() {
    let with = |annotations: Value| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"annotations": annotations}});
    check_both(
        with(json!({"volume.kubernetes.io/selected-node": "n"})),
        with(json!({})),
    );
    let empty = with(json!({"volume.kubernetes.io/selected-node": ""}));
    check_both(empty.clone(), empty);
}

#[test]
fn stamps_name_all_keys() {
    let mut manifest = json!({"metadata": {"name": "demo", "labels": {"team": "a", "karmada.io/managed": "true"},
        "annotations": {"work.karmada.io/name": "w", "resourcetemplate.karmada.io/uid": "u"}}});
    stamp(&mut manifest, Some("id")).unwrap();
    assert_eq!(
        manifest,
        json!({"metadata": {"name": "demo",
            "labels": {"team": "a", "karmada.io/managed": "true", "work.karmada.io/permanent-id": "id"},
            "annotations": {"work.karmada.io/name": "w", "resourcetemplate.karmada.io/uid": "u",
                "resourcetemplate.karmada.io/managed-annotations": "resourcetemplate.karmada.io/managed-annotations,\
resourcetemplate.karmada.io/managed-labels,resourcetemplate.karmada.io/uid,work.karmada.io/name",
                "resourcetemplate.karmada.io/managed-labels": "karmada.io/managed,team,work.karmada.io/permanent-id"}}})
    );
    let mut bare = json!({"kind": "X"});
    stamp(&mut bare, None).unwrap();
    assert_eq!(
        bare["metadata"]["annotations"]["resourcetemplate.karmada.io/managed-labels"],
        ""
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    let keys = prop_oneof![
        Just("metadata"),
        Just("spec"),
        Just("labels"),
        Just("annotations"),
        Just("secrets"),
        Just("name"),
        Just("status"),
        Just("selector"),
        Just("matchLabels"),
        Just("clusterIP"),
        Just("type"),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let map =
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            map.prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_and_stamping_twice_changes_nothing_more(
        mut manifest in any_json(),
        kind in prop_oneof![Just("Job"), Just("Secret"), Just("ServiceAccount"), Just("Service"), Just("PersistentVolumeClaim")],
    ) {
        if let Some(object) = manifest.as_object_mut() {
            object.insert("kind".to_owned(), kind.into());
            object.insert("apiVersion".to_owned(), if kind == "Job" { "batch/v1" } else { "v1" }.into());
        }
        if prune(&mut manifest).is_ok() && stamp(&mut manifest, Some("id")).is_ok() {
            let once = manifest.clone();
            prune(&mut manifest).unwrap();
            stamp(&mut manifest, Some("id")).unwrap();
            prop_assert_eq!(once, manifest);
        }
    }
}

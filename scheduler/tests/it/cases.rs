//! Recorded cases as JSON lines.

use scheduler::Options;
use scheduler::cases::Cases;
use serde_json::{Value, json};

use crate::fixtures::*;

fn config_map(extra: Value) -> Value {
    let mut binding = json!({
        "metadata": { "name": "settings", "generation": 1 },
        "spec": {
            "resource": { "apiVersion": "v1", "kind": "ConfigMap", "name": "settings" },
            "placement": {},
        },
    });
    let (Value::Object(binding_fields), Value::Object(extra)) = (&mut binding, extra) else {
        panic!("a binding is an object");
    };
    binding_fields.extend(extra);
    binding
}

fn answer(cases: &mut Cases, number: usize, line: &str) -> Value {
    serde_json::to_value(cases.answer(number, line.as_bytes(), now())).unwrap()
}

#[test]
fn either_kind_of_binding_is_decided() {
    let mut cases = Cases::new(Options::default());
    let clusters = clusters(&[("a", 4), ("b", 2)]);
    let divided = json!({ "clusters": clusters, "binding": binding(3, dynamic_weight()) });
    let expected =
        json!({ "clusters": [{ "name": "a", "replicas": 2 }, { "name": "b", "replicas": 1 }] });
    assert_eq!(answer(&mut cases, 1, &divided.to_string()), expected);
    for kind in ["ResourceBinding", "ClusterResourceBinding"] {
        let binding = config_map(json!({ "kind": kind }));
        let case = json!({ "clusters": clusters, "binding": binding });
        let expected =
            json!({ "clusters": [{ "name": "a", "replicas": 0 }, { "name": "b", "replicas": 0 }] });
        assert_eq!(answer(&mut cases, 1, &case.to_string()), expected, "{kind}");
    }
}

#[test]
fn a_case_without_result_has_the_condition_s_reason() {
    let mut cases = Cases::new(Options::default()).explained();
    let case = json!({ "clusters": [], "binding": config_map(json!({})) });
    let answer = answer(&mut cases, 1, &case.to_string());
    assert_eq!(
        answer["error"],
        json!({ "reason": "NoClusterFit", "message": "0/0 clusters are available: no cluster exists." })
    );
    assert_eq!(answer["explanation"]["trigger"], "PlacementChanged");
}

#[test]
fn what_is_kept_is_told_from_what_is_removed() {
    let mut cases = Cases::new(Options::default()).explained();
    let mut elsewhere = duplicated();
    elsewhere.cluster_affinity = Some(named(&["nowhere"]));
    for (binding, kept) in [
        (binding(30, aggregated()), json!(null)),
        (
            with_targets(binding(30, aggregated()), &[("a", 3)]),
            json!(true),
        ),
        (
            with_targets(binding(3, elsewhere), &[("a", 3)]),
            json!(false),
        ),
    ] {
        let case = json!({ "clusters": clusters(&[("a", 9)]), "binding": binding });
        let answer = answer(&mut cases, 1, &case.to_string());
        assert!(answer["error"].is_object(), "{answer}");
        assert_eq!(answer["kept"], kept, "{answer}");
        assert_eq!(answer["explanation"]["kept"], kept, "{answer}");
    }
}

#[test]
fn a_binding_that_is_somebody_else_s_stays() {
    let mut cases = Cases::new(Options::default());
    let mut binding = binding(3, dynamic_weight());
    binding.spec.scheduler_name = Some("other".to_owned());
    binding.spec.clusters = vec![crds::work::TargetCluster {
        name: "b".to_owned(),
        replicas: Some(3),
    }];
    let case = json!({ "clusters": clusters(&[("a", 9)]), "binding": binding });
    let expected =
        json!({ "clusters": [{ "name": "b", "replicas": 3 }], "skipped": "OtherScheduler" });
    assert_eq!(answer(&mut cases, 1, &case.to_string()), expected);
}

#[test]
fn malformed_lines_are_named() {
    let mut cases = Cases::new(Options::default());
    for (line, expected) in [
        (
            "{",
            "line 7, column 1: the line ends in the middle of an object",
        ),
        (
            r#"{"clusters": []}"#,
            "line 7, column 16: `binding` is missing",
        ),
        (
            r#"{"clusters": {}, "binding": {}}"#,
            "line 7, column 13: clusters: must be a list, not an object",
        ),
        (
            r#"{"clusters": [], "binding": {"kind": "Work"}}"#,
            "line 7, column 29: binding.kind: \"Work\" is neither ResourceBinding nor ClusterResourceBinding",
        ),
        (
            r#"{"clusters": [], "binding": {"metadata": {}, "spec": {"replicas": "x"}}}"#,
            "line 7, column 69: binding.spec.replicas: must be a whole number of 32 bits, not the text \"x\"",
        ),
        (
            r#"{"clusters": [{"metadata": {"name": "a"}, "spec": {"zones": "z"}}], "binding": {}}"#,
            "line 7, column 63: clusters[0].spec.zones: must be a list, not the text \"z\"",
        ),
        (
            r#"{"clusters": [], "binding": {"metadata": {}, "spec": {"placement": {"spreadConstraints": [{"spreadByField": "rack"}]}}}}"#,
            "line 7, column 114: binding.spec.placement.spreadConstraints[0].spreadByField: `rack` is not one of `cluster`, `region`, `zone`, `provider`",
        ),
        (
            r#"{"clusters": [{"metadata": {"name": "a"}, "spec": {"syncMode": "Push"}}, {"metadata": {}, "spec": {"syncMode": "Push"}}], "binding": {}}"#,
            "line 7, column 14: clusters[1].metadata.name: is missing",
        ),
        (
            r#"{"clusters": [{"metadata": {"name": "a"}, "spec": {"syncMode": "Push"}}, {"metadata": {"name": "a"}, "spec": {"syncMode": "Push"}}], "binding": {}}"#,
            "line 7, column 14: clusters[1].metadata.name: \"a\" is the name of clusters[0] too",
        ),
        (
            r#"{"clusters": [], "binding": {"metadata": {"creationTimestamp": "today"}}}"#,
            "line 7, column 70: binding.metadata.creationTimestamp: must be a time such as 2026-01-01T00:00:00Z, not \"today\"",
        ),
        (
            "[]",
            "line 7, column 1: a case is an object with clusters and a binding, not a list; `jq -c '.[]'` makes a line of each case in a list",
        ),
        ("\u{feff}null", "line 7, column 1: this is no JSON"),
    ] {
        let expected = json!({ "error": { "reason": "MalformedCase", "message": expected } });
        assert_eq!(answer(&mut cases, 7, line), expected, "{line}");
    }
    let answer = cases.answer(1, &[0xff, 0xfe], now());
    assert!(answer.is_malformed(), "{answer:?}");
}

#[test]
fn what_a_field_must_be_is_told_at_the_field() {
    let mut cases = Cases::new(Options::default());
    for (path, value, expected) in [
        ("spec", json!([]), "must be an object, not a list"),
        ("spec.placement", json!([]), "must be an object, not a list"),
        (
            "spec.placement.clusterAffinity",
            json!([null, null, ["a"], []]),
            "must be an object, not a list",
        ),
        (
            "spec.placement.clusterAffinities",
            json!([{ "affinityName": "x", "fieldSelector": [[]] }]),
            "[0].fieldSelector: must be an object, not a list",
        ),
        (
            "spec.placement.spreadConstraints",
            json!([[]]),
            "[0]: must be an object, not a list",
        ),
        (
            "spec.placement.spreadConstraints",
            json!([{ "spreadByField": { "cluster": null } }]),
            "[0].spreadByField: must be a text, not an object",
        ),
        (
            "spec.clusters",
            json!([["a", 2]]),
            "[0]: must be an object, not a list",
        ),
        (
            "spec.resource",
            json!(["v1", "ConfigMap"]),
            "must be an object, not a list",
        ),
        (
            "spec.replicaRequirements",
            json!({ "resourceRequest": { "cpu": {} } }),
            ".resourceRequest.cpu: must be a quantity such as \"500m\" or 2, not an object",
        ),
        (
            "spec.replicaRequirements",
            json!({ "resourceRequest": { "cpu": null } }),
            ".resourceRequest.cpu: must be a quantity such as \"500m\" or 2, not null",
        ),
        (
            "status",
            json!({ "lastScheduledTime": "x" }),
            ".lastScheduledTime: must be a time such as 2026-01-01T00:00:00Z, not \"x\"",
        ),
        (
            "status",
            json!({ "lastScheduledTime": "2026-02-30T00:00:00Z" }),
            ".lastScheduledTime: must be a time such as 2026-01-01T00:00:00Z, not \"2026-02-30T00:00:00Z\"",
        ),
        (
            "status",
            json!({ "lastScheduledTime": "2026-01-01T00:00:00Z and more" }),
            ".lastScheduledTime: must be a time such as 2026-01-01T00:00:00Z, not \"2026-01-01T00:00:00Z and more\"",
        ),
        (
            "status",
            json!({ "lastScheduledTime": 5 }),
            ".lastScheduledTime: must be a time such as 2026-01-01T00:00:00Z, not 5",
        ),
        (
            "metadata",
            json!({ "labels": ["a"] }),
            ".labels: must be an object, not a list",
        ),
    ] {
        let mut binding = config_map(json!({}));
        let mut field = &mut binding;
        for name in path.split('.') {
            field = &mut field[name];
        }
        *field = value;
        let case = json!({ "clusters": clusters(&[("a", 9)]), "binding": binding });
        let answer = answer(&mut cases, 1, &case.to_string());
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        let (_, message) = message.split_once(": ").unwrap_or_default();
        let separator = if expected.starts_with(['.', '[']) {
            ""
        } else {
            ": "
        };
        assert_eq!(
            message,
            format!("binding.{path}{separator}{expected}"),
            "{answer}"
        );
    }
    let mut list = json!(clusters(&[("a", 9)]));
    list[0]["spec"] = json!(["Push"]);
    let case = json!({ "clusters": list, "binding": config_map(json!({})) });
    let answer = answer(&mut cases, 1, &case.to_string());
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.ends_with(": clusters[0].spec: must be an object, not a list"),
        "{answer}"
    );
}

#[test]
fn fields_that_a_placement_does_not_have_are_told() {
    let mut cases = Cases::new(Options::default());
    let mut binding = config_map(json!({}));
    binding["spec"]["placement"] = json!({
        "clusterAffinty": { "clusterNames": ["a"] },
        "clusterAffinities": [{
            "affinityName": "one",
            "labelSelector": { "matchLabels": { "any": "thing" } },
            "clusterName": ["a"],
        }],
    });
    let case = json!({ "clusters": clusters(&[("a", 9)]), "binding": binding });
    assert_eq!(
        answer(&mut cases, 1, &case.to_string())["ignored"],
        json!([
            "binding.spec.placement.clusterAffinities[0].clusterName",
            "binding.spec.placement.clusterAffinty",
        ])
    );
}

#[test]
fn a_list_of_clusters_is_recognised_by_its_text() {
    let mut cases = Cases::new(Options::default());
    let lists = [&[("a", 9)][..], &[("b", 9)], &[("c", 9), ("d", 0)]];
    for round in 0..3 {
        for number in 0..40 {
            let list = lists[(number * 7 + round) % lists.len()];
            let case = json!({ "clusters": clusters(list), "binding": binding(3, aggregated()) });
            let expected = json!({ "clusters": [{ "name": list[0].0, "replicas": 3 }] });
            assert_eq!(answer(&mut cases, 1, &case.to_string()), expected);
        }
    }
}

#[test]
fn peers_come_with_the_case() {
    let mut options = Options::default();
    options.gates.workload_affinity = true;
    options.plugins = scheduler::plugins::Registry::builtin()
        .enable("*", &options.gates)
        .unwrap();
    let mut cases = Cases::new(options);
    let group = json!({ "antiAffinityGroup": "app=db" });
    let of = |name: &str, clusters: Value| {
        let resource = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": name });
        let spec = json!({
            "resource": resource, "placement": {}, "workloadAffinityGroups": group, "clusters": clusters,
        });
        json!({ "metadata": { "name": format!("{name}-configmap"), "namespace": "shop" }, "spec": spec })
    };
    let mut case =
        json!({ "clusters": clusters(&[("a", 9), ("b", 9)]), "binding": of("db1", json!([])) });
    let refused = answer(&mut cases, 1, &case.to_string());
    assert_eq!(
        refused["error"]["message"],
        "0/2 clusters are available: 2 ResourceBindingIndexer is nil."
    );
    case["bindings"] = json!([of("db2", json!([{ "name": "a" }]))]);
    let placed = answer(&mut cases, 1, &case.to_string());
    assert_eq!(
        placed,
        json!({ "clusters": [{ "name": "b", "replicas": 0 }] })
    );
}

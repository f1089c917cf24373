//! What the API server accepts and refuses.

use kube::core::crd::v1::CustomResourceExt;
use serde_json::{Value, json};

use super::{
    ClusterPropagationPolicy, ClusterTaintPolicy, FederatedResourceQuota, OverridePolicy,
    PropagationPolicy,
};
use crate::validation::complaints;

#[track_caller]
fn allow<K: CustomResourceExt>(spec: &Value) {
    assert_eq!(complaints(&K::crd(), "a", spec, None), [""; 0], "{spec}");
}

/// Refuses with this complaint among others; `path: message`.
#[track_caller]
fn deny<K: CustomResourceExt>(spec: &Value, complaint: &str) {
    let complaints = complaints(&K::crd(), "a", spec, None);
    assert!(
        complaints.iter().any(|it| it.starts_with(complaint)),
        "{spec}: expected {complaint:?}, got {complaints:#?}"
    );
}

fn policy(field: &str, value: Value) -> Value {
    let mut spec =
        json!({ "resourceSelectors": [{ "apiVersion": "apps/v1", "kind": "Deployment" }] });
    spec[field] = value;
    spec
}

fn placement(field: &str, value: Value) -> Value {
    let mut placement = json!({});
    placement[field] = value;
    policy("placement", placement)
}

fn fields(key: &str, operator: &str) -> Value {
    json!({ "fieldSelector": {
        "matchExpressions": [{ "key": key, "operator": operator, "values": ["a"] }],
    } })
}

fn labels(operator: &str) -> Value {
    json!({ "labelSelector": { "matchExpressions": [{ "key": "tier", "operator": operator }] } })
}

fn term(name: &str, overflow: &[&str]) -> Value {
    let overflow: Vec<_> = overflow
        .iter()
        .map(|name| json!({ "affinityName": name }))
        .collect();
    json!({ "affinityName": name, "clusterNames": ["m"], "overflowAffinities": overflow })
}

#[test]
fn cluster_affinities() {
    for fine in [
        policy("placement", json!({})),
        placement("clusterAffinity", fields("zone", "In")),
        placement("clusterAffinity", fields("provider", "NotIn")),
        placement("clusterAffinity", labels("Exists")),
        placement("clusterAffinities", json!([term("a", &[]), term("b", &[])])),
        policy(
            "placement",
            json!({ "clusterAffinity": {}, "clusterAffinities": [] }),
        ),
    ] {
        allow::<PropagationPolicy>(&fine);
        allow::<ClusterPropagationPolicy>(&fine);
    }
    for (wrong, complaint) in [
        (
            policy(
                "placement",
                json!({ "clusterAffinity": {}, "clusterAffinities": [term("a", &[])] }),
            ),
            "spec.placement.clusterAffinities: clusterAffinities cannot co-exist with clusterAffinity",
        ),
        (
            placement("clusterAffinity", labels("Near")),
            "spec.placement.clusterAffinity.labelSelector.matchExpressions[0].operator: unsupported value",
        ),
        (
            placement("clusterAffinity", fields("colour", "In")),
            "spec.placement.clusterAffinity.fieldSelector.matchExpressions[0].key: unsupported value",
        ),
        (
            placement("clusterAffinity", fields("zone", "Exists")),
            "spec.placement.clusterAffinity.fieldSelector.matchExpressions[0].operator: unsupported value",
        ),
        (
            placement(
                "clusterAffinities",
                json!([{ "affinityName": "a", "fieldSelector": fields("x", "In")["fieldSelector"] }]),
            ),
            "spec.placement.clusterAffinities[0].fieldSelector.matchExpressions[0].key: unsupported value",
        ),
        (
            placement("clusterAffinities", json!([term("a b", &[])])),
            "spec.placement.clusterAffinities[0].affinityName: does not match the pattern",
        ),
        (
            placement(
                "clusterAffinities",
                json!([term("a", &[]), term("b", &[]), term("a", &[])]),
            ),
            "spec.placement.clusterAffinities: each affinity term in a policy must have a unique name",
        ),
    ] {
        deny::<PropagationPolicy>(&wrong, complaint);
        deny::<ClusterPropagationPolicy>(&wrong, complaint);
    }
}

#[test]
fn overflow_affinities() {
    let with = |term: Value, strategy: Value| {
        policy(
            "placement",
            json!({ "clusterAffinities": [term], "replicaScheduling": strategy }),
        )
    };
    let aggregated =
        json!({ "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Aggregated" });
    let dynamic = json!({ "weightPreference": { "dynamicWeight": "AvailableReplicas" } });
    for strategy in [&aggregated, &dynamic] {
        allow::<PropagationPolicy>(&with(term("a", &["b", "c"]), strategy.clone()));
    }
    let message = "spec.placement.clusterAffinities: overflowAffinities can only be used together with dynamic weight or aggregated scheduling";
    for strategy in [
        json!({ "replicaSchedulingType": "Duplicated" }),
        json!({ "replicaDivisionPreference": "Weighted" }),
        json!({ "weightPreference": { "staticWeightList": [] } }),
    ] {
        deny::<PropagationPolicy>(&with(term("a", &["b"]), strategy), message);
    }
    deny::<PropagationPolicy>(
        &placement("clusterAffinities", json!([term("a", &["b"])])),
        message,
    );
    for names in [["a", "b"], ["b", "b"]] {
        deny::<PropagationPolicy>(
            &with(term("a", &names), aggregated.clone()),
            "spec.placement.clusterAffinities: overflow affinity name must be unique",
        );
    }
    deny::<PropagationPolicy>(
        &with(term("a", &["b c"]), aggregated.clone()),
        "spec.placement.clusterAffinities[0].overflowAffinities[0].affinityName: does not match",
    );
    deny::<PropagationPolicy>(
        &with(
            json!({ "affinityName": "a", "overflowAffinities": [{ "affinityName": "b" }] }),
            aggregated,
        ),
        "spec.placement.clusterAffinities[0].overflowAffinities: overflowAffinities can only be used together with the inline ClusterAffinity",
    );
}

#[test]
fn spread_constraints() {
    let with = |value: Value| placement("spreadConstraints", value);
    for fine in [
        json!([]),
        json!([{}]),
        json!([{ "spreadByField": "region" }, {}]),
        json!([{ "spreadByLabel": "a" }, { "spreadByLabel": "a" }]),
        json!([
            { "spreadByField": "region", "minGroups": 2, "maxGroups": 2 },
            { "spreadByField": "cluster", "minGroups": 2, "maxGroups": 0 },
        ]),
    ] {
        allow::<PropagationPolicy>(&with(fine));
    }
    for (wrong, complaint) in [
        (
            json!([{ "spreadByField": "cluster", "spreadByLabel": "a" }]),
            "[0]: spreadByLabel should not co-exist with spreadByField",
        ),
        (
            json!([{ "minGroups": -1 }]),
            "[0]: minGroups lower than 0 is not allowed",
        ),
        (
            json!([{ "maxGroups": -1 }]),
            "[0]: maxGroups lower than 0 is not allowed",
        ),
        (
            json!([{}, { "minGroups": 3, "maxGroups": 2 }]),
            ": maxGroups lower than minGroups is not allowed",
        ),
        (
            json!([{ "spreadByField": "cluster" }, { "spreadByField": "cluster" }]),
            ": multiple cluster spread constraints are not allowed",
        ),
        (
            json!([{}, { "spreadByField": "region" }, { "spreadByField": "region" }]),
            ": multiple region spread constraints are not allowed",
        ),
        (
            json!([{}, { "spreadByField": "zone" }, { "spreadByField": "zone" }]),
            ": multiple zone spread constraints are not allowed",
        ),
        (
            json!([{}, { "spreadByField": "provider" }, { "spreadByField": "provider" }]),
            ": multiple provider spread constraints are not allowed",
        ),
        (
            json!([{ "spreadByField": "region" }]),
            ": the cluster spread constraint must be enabled",
        ),
        (
            json!([{ "spreadByLabel": "a" }, { "spreadByField": "region" }]),
            ": the cluster spread constraint must be enabled",
        ),
    ] {
        deny::<PropagationPolicy>(
            &with(wrong),
            &format!("spec.placement.spreadConstraints{complaint}"),
        );
    }
}

#[test]
fn tolerations_and_workload_affinity() {
    for operator in ["", "Exists", "Equal"] {
        allow::<PropagationPolicy>(&placement(
            "clusterTolerations",
            json!([{ "key": "a", "operator": operator }]),
        ));
    }
    for operator in ["Lt", "Gt"] {
        deny::<PropagationPolicy>(
            &placement("clusterTolerations", json!([{ "operator": operator }])),
            "spec.placement.clusterTolerations[0].operator: unsupported value",
        );
    }
    let groups = |affinity: &str, anti: &str| {
        placement(
            "workloadAffinity",
            json!({
                "affinity": { "groupByLabelKey": affinity },
                "antiAffinity": { "groupByLabelKey": anti },
            }),
        )
    };
    allow::<PropagationPolicy>(&groups("example.com/a", "b"));
    deny::<PropagationPolicy>(
        &groups("a", "a"),
        "spec.placement.workloadAffinity: affinity and antiAffinity must not use the same groupByLabelKey",
    );
    deny::<PropagationPolicy>(
        &groups("a b", "a"),
        "spec.placement.workloadAffinity.affinity.groupByLabelKey: does not match",
    );
}

#[test]
fn application_failover() {
    let with = |fields: Value| {
        let mut application = json!({ "decisionConditions": {} });
        for (key, value) in fields.as_object().unwrap() {
            application[key] = value.clone();
        }
        let mut spec = policy("failover", json!({ "application": application }));
        spec["propagateDeps"] = true.into();
        spec
    };
    for fine in [
        json!({}),
        json!({ "gracePeriodSeconds": 1 }),
        json!({ "purgeMode": "Graciously", "gracePeriodSeconds": 1 }),
        json!({ "purgeMode": "Never" }),
        json!({ "decisionConditions": { "tolerationSeconds": 0 } }),
    ] {
        allow::<PropagationPolicy>(&with(fine));
    }
    for (wrong, complaint) in [
        (
            json!({ "decisionConditions": { "tolerationSeconds": -1 } }),
            "decisionConditions.tolerationSeconds: must be greater than or equal to 0",
        ),
        (
            json!({ "purgeMode": "Directly", "gracePeriodSeconds": 1 }),
            "gracePeriodSeconds: only takes effect when purgeMode is gracefully",
        ),
        (
            json!({ "gracePeriodSeconds": 0 }),
            "gracePeriodSeconds: must be greater than 0",
        ),
        (
            json!({ "statePreservation": { "rules": [{ "aliasLabelName": "a b", "jsonPath": "{.a}" }] } }),
            "statePreservation.rules[0].aliasLabelName: does not match",
        ),
    ] {
        deny::<PropagationPolicy>(
            &with(wrong),
            &format!("spec.failover.application.{complaint}"),
        );
    }
    let mut without_deps = with(json!({}));
    without_deps["propagateDeps"] = false.into();
    deny::<PropagationPolicy>(
        &without_deps,
        "spec.propagateDeps: application failover is set, propagateDeps must be true",
    );
    without_deps["resourceSelectors"] =
        json!([{ "apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport" }]);
    allow::<PropagationPolicy>(&without_deps);
}

#[test]
fn preemption_suspension_and_scheduler() {
    let named = |name: &str| {
        json!({
            "preemption": "Always",
            "resourceSelectors": [{ "apiVersion": "v1", "kind": "Pod", "name": name }],
        })
    };
    allow::<PropagationPolicy>(&named("a"));
    for wrong in [named(""), policy("preemption", json!("Always"))] {
        deny::<PropagationPolicy>(
            &wrong,
            "spec.resourceSelectors: name cannot be empty if preemption is Always",
        );
    }

    let suspension = |dispatching: bool, names: &[&str]| {
        policy(
            "suspension",
            json!({ "dispatching": dispatching, "dispatchingOnClusters": { "clusterNames": names } }),
        )
    };
    allow::<PropagationPolicy>(&suspension(true, &[]));
    allow::<PropagationPolicy>(&suspension(false, &["a"]));
    deny::<PropagationPolicy>(
        &suspension(true, &["a"]),
        "spec.suspension: suspension dispatching cannot co-exist with dispatchingOnClusters.clusterNames",
    );

    let before = policy("schedulerName", json!("default-scheduler"));
    let crd = PropagationPolicy::crd();
    assert_eq!(complaints(&crd, "a", &before, Some(&before)), [""; 0]);
    // A name that is left out is the default one.
    let without = policy("priority", json!(1));
    assert_eq!(complaints(&crd, "a", &without, Some(&before)), [""; 0]);
    let other = policy("schedulerName", json!("other"));
    assert_eq!(
        complaints(&crd, "a", &other, Some(&before)),
        ["spec.schedulerName: the schedulerName should not be updated"]
    );
}

#[test]
fn override_policies() {
    let plaintext = json!({ "plaintext": [{ "path": "/a", "operator": "add", "value": 1 }] });
    for fine in [
        json!({ "overrideRules": [] }),
        json!({ "overrideRules": [{ "overriders": {} }], "overriders": {} }),
        json!({ "targetCluster": { "clusterNames": ["a"] }, "overriders": plaintext }),
    ] {
        allow::<OverridePolicy>(&fine);
    }
    for (wrong, complaint) in [
        (
            json!({ "overrideRules": [{ "overriders": {} }], "targetCluster": {} }),
            "spec.targetCluster: overrideRules and targetCluster can't co-exist",
        ),
        (
            json!({ "overrideRules": [{ "overriders": {} }], "overriders": plaintext }),
            "spec.overriders: overrideRules and overriders can't co-exist",
        ),
        (
            json!({ "targetCluster": fields("colour", "In") }),
            "spec.targetCluster.fieldSelector.matchExpressions[0].key: unsupported value",
        ),
        (
            json!({ "overrideRules": [{ "targetCluster": fields("zone", "Gt"), "overriders": {} }] }),
            "spec.overrideRules[0].targetCluster.fieldSelector.matchExpressions[0].operator: unsupported value",
        ),
    ] {
        deny::<OverridePolicy>(&wrong, complaint);
    }
}

#[test]
fn contents_of_overriders() {
    let rule = |kind: &str, overrider: Value| json!({ "overrideRules": [{ "overriders": { kind: [overrider] } }] });
    let json_change = |change: Value| {
        rule(
            "fieldOverrider",
            json!({ "fieldPath": "/data/a", "json": [change] }),
        )
    };
    for fine in [
        json_change(json!({ "subPath": "/x", "operator": "remove" })),
        json_change(json!({ "subPath": "", "operator": "add", "value": { "a": [1] } })),
        rule("plaintext", json!({ "path": "", "operator": "replace" })),
        rule(
            "imageOverrider",
            json!({ "component": "Tag", "operator": "remove", "predicate": { "path": "/spec/a" } }),
        ),
    ] {
        allow::<OverridePolicy>(&fine);
    }
    for (wrong, complaint) in [
        (
            rule("fieldOverrider", json!({ "fieldPath": "/a" })),
            "fieldOverrider[0]: does not fit exactly one schema",
        ),
        (
            rule(
                "fieldOverrider",
                json!({ "fieldPath": "/a", "json": [], "yaml": [] }),
            ),
            "fieldOverrider[0]: does not fit exactly one schema",
        ),
        (
            rule("fieldOverrider", json!({ "fieldPath": "a", "json": [] })),
            "fieldOverrider[0].fieldPath: does not match",
        ),
        (
            json_change(json!({ "subPath": "x", "operator": "remove" })),
            "fieldOverrider[0].json[0].subPath: does not match",
        ),
        (
            json_change(json!({ "subPath": "/x", "operator": "add" })),
            "fieldOverrider[0].json[0]: does not fit any schema",
        ),
        (
            json_change(json!({ "subPath": "/x", "operator": "remove", "value": 1 })),
            "fieldOverrider[0].json[0]: does not fit any schema",
        ),
        (
            rule("plaintext", json!({ "path": "a", "operator": "remove" })),
            "plaintext[0].path: does not match",
        ),
        (
            rule(
                "imageOverrider",
                json!({ "component": "Tag", "operator": "remove", "predicate": { "path": "a" } }),
            ),
            "imageOverrider[0].predicate.path: does not match",
        ),
    ] {
        deny::<OverridePolicy>(
            &wrong,
            &format!("spec.overrideRules[0].overriders.{complaint}"),
        );
    }
}

#[test]
fn quotas() {
    allow::<FederatedResourceQuota>(&json!({
        "overall": { "cpu": "100", "memory": "2Gi", "pods": 5 },
        "staticAssignments": [{ "clusterName": "m1", "hard": { "cpu": "500m" } }],
    }));
    for (wrong, complaint) in [
        (
            json!({ "overall": { "cpu": "-1" } }),
            "spec.overall[cpu]: does not match",
        ),
        (
            json!({ "overall": { "cpu": -1 } }),
            "spec.overall[cpu]: too small",
        ),
        (
            json!({ "overall": {}, "staticAssignments": [{ "clusterName": "m.1", "hard": {} }] }),
            "spec.staticAssignments[0].clusterName: does not match",
        ),
    ] {
        deny::<FederatedResourceQuota>(&wrong, complaint);
    }
    let of_length = |length: usize| {
        let spec = json!({ "overall": {} });
        complaints(
            &FederatedResourceQuota::crd(),
            &"a".repeat(length),
            &spec,
            None,
        )
    };
    assert_eq!(of_length(63), [""; 0]);
    assert_eq!(
        of_length(64),
        ["metadata.name: must be no more than 63 characters"]
    );
}

#[test]
fn taint_policies() {
    let taint = |key: &str, effect: &str| json!({ "key": key, "effect": effect });
    let with = |taints: &[Value]| json!({ "taints": taints });
    allow::<ClusterTaintPolicy>(&with(&[
        taint("a", "NoSchedule"),
        taint("a", "NoExecute"),
        taint("b", "NoExecute"),
    ]));
    for (wrong, complaint) in [
        (
            with(&[
                taint("b", "NoSchedule"),
                taint("a", "NoSchedule"),
                taint("a", "NoSchedule"),
            ]),
            "spec.taints: Duplicate taint with the same key and effect is not allowed",
        ),
        (
            with(&[taint("a b", "NoSchedule")]),
            "spec.taints[0].key: does not match",
        ),
        (
            with(&[taint("a", "PreferNoSchedule")]),
            "spec.taints[0].effect: unsupported value",
        ),
        (
            json!({
                "taints": [taint("a", "NoExecute")],
                "addOnConditions": [{ "conditionType": "Ready", "operator": "Is", "statusValues": [] }],
            }),
            "spec.addOnConditions[0].operator: unsupported value",
        ),
    ] {
        deny::<ClusterTaintPolicy>(&wrong, complaint);
    }
}

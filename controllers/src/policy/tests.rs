use serde_json::json;

use super::*;

fn policy(metadata: &Value) -> PropagationPolicy {
    serde_json::from_value(json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
        "metadata": metadata, "spec": {"resourceSelectors": []},
    }))
    .unwrap()
}

#[test]
fn policies_get_what_they_lack() {
    let id = "propagationpolicy.karmada.io/permanent-id";
    let finalizer = "karmada.io/propagation-policy-controller";
    for (name, metadata, expected) in [
        (
            "new",
            json!({}),
            Some(json!({"labels": {id: "fresh"}, "finalizers": [finalizer]})),
        ),
        (
            "with a finalizer of another",
            json!({"finalizers": ["example.com/x"]}),
            Some(json!({"labels": {id: "fresh"}, "finalizers": ["example.com/x", finalizer]})),
        ),
        (
            "without finalizer",
            json!({"labels": {id: "a"}}),
            Some(json!({"finalizers": [finalizer]})),
        ),
        (
            "with an empty id",
            json!({"labels": {id: ""}, "finalizers": [finalizer]}),
            Some(json!({"labels": {id: "fresh"}})),
        ),
        (
            "complete",
            json!({"labels": {id: "a"}, "finalizers": [finalizer]}),
            None,
        ),
    ] {
        let patch = identity(&policy(&metadata), || "fresh".to_owned());
        let expected = expected.map(|metadata| json!({ "metadata": metadata }));
        assert_eq!(patch, expected, "{name}");
    }
}

#[test]
fn keys_tell_the_kinds_apart() {
    let namespaced = PolicyKey(PolicyRef::namespaced("demo", "pol"));
    let cluster = PolicyKey(PolicyRef::cluster("pol"));
    assert_eq!(namespaced.to_string(), "PropagationPolicy demo/pol");
    assert_eq!(cluster.to_string(), "ClusterPropagationPolicy pol");
}

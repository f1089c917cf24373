use super::*;

#[track_caller]
fn check(compat: bool, kind: (&str, &str), rest: Value, expected: Result<Value, &str>) {
    let object = object(kind.0, kind.1, rest);
    let reflected = interpreter(compat)
        .reflect_status(&object)
        .map(Option::unwrap_or_default);
    assert_eq!(
        reflected.map_err(|error| error.cause.to_string()),
        expected.map_err(str::to_owned),
        "{object}"
    );
}

fn observed(template_generation: &str, status: Value) -> Value {
    json!({"metadata": {"generation": 4, "annotations": {"resourcetemplate.karmada.io/generation": template_generation}},
        "status": status})
}

#[test]
fn workloads() {
    let status = json!({"replicas": 3, "updatedReplicas": 3, "readyReplicas": 0, "availableReplicas": 2, "observedGeneration": 4,
        "conditions": [{"type": "Available", "status": "True"}]});
    check(
        true,
        ("apps/v1", "Deployment"),
        observed("2", status.clone()),
        Ok(
            json!({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 2, "observedGeneration": 4, "generation": 4,
            "resourceTemplateGeneration": 2}),
        ),
    );
    check(
        true,
        ("apps/v1", "ReplicaSet"),
        observed("-1", json!({})),
        Ok(json!({"replicas": 0, "generation": 4, "resourceTemplateGeneration": -1})),
    );
    check(
        true,
        ("apps/v1", "DaemonSet"),
        observed("0", json!({"numberAvailable": 1})),
        Ok(
            json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
            "numberAvailable": 1, "generation": 4}),
        ),
    );
    let stateful = json!({"replicas": 1, "currentReplicas": 1, "observedGeneration": 4, "currentRevision": "r"});
    let collected = json!({"replicas": 1, "availableReplicas": 0, "currentReplicas": 1, "generation": 4,
        "resourceTemplateGeneration": 2});
    check(
        true,
        ("apps/v1", "StatefulSet"),
        observed("2", stateful.clone()),
        Ok(collected.clone()),
    );
    let mut better = collected;
    better["observedGeneration"] = json!(4);
    check(
        false,
        ("apps/v1", "StatefulSet"),
        observed("2", stateful),
        Ok(better),
    );
}

#[test]
fn template_generation_has_to_be_an_integer() {
    let deployment = ("apps/v1", "Deployment");
    let path = "metadata.annotations.resourcetemplate.karmada.io/generation";
    for text in ["5.0", "", " 5", "five"] {
        let problem = format!("{path} is no integer: {text:?}");
        check(true, deployment, observed(text, json!({})), Err(&problem));
    }
    let by_hand = json!({"status": {"replicas": 1}});
    check(
        true,
        deployment,
        by_hand.clone(),
        Err(&format!("{path} is missing")),
    );
    check(false, deployment, by_hand, Ok(json!({"replicas": 1})));
    check(false, deployment, json!({"status": {}}), Ok(Value::Null));
}

#[test]
fn services() {
    let service = ("v1", "Service");
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}});
    let balanced = |status: Value| json!({"spec": {"type": "LoadBalancer"}, "status": status});
    check(
        true,
        service,
        json!({"spec": {"type": "ClusterIP"}, "status": ingress}),
        Ok(Value::Null),
    );
    check(
        true,
        service,
        json!({"spec": {"type": "NodePort"}, "status": 1}),
        Ok(Value::Null),
    );
    check(
        true,
        service,
        balanced(json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}, "conditions": []})),
        Ok(ingress),
    );
    check(
        true,
        service,
        balanced(json!({"conditions": []})),
        Ok(json!({"loadBalancer": {}})),
    );
    check(
        true,
        service,
        balanced(json!(null)),
        Err("status is no object"),
    );
}

#[test]
fn jobs() {
    check(
        true,
        ("batch/v1", "Job"),
        json!({"status": {"active": 0, "succeeded": 2, "ready": 1, "startTime": "2026-01-01T12:00:00+02:00",
            "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T10:00:00Z", "message": ""}]}}),
        Ok(
            json!({"succeeded": 2, "startTime": "2026-01-01T10:00:00Z", "conditions": [{"type": "Complete", "status": "True",
            "lastProbeTime": null, "lastTransitionTime": "2026-01-01T10:00:00Z"}]}),
        ),
    );
    check(
        true,
        ("batch/v1", "Job"),
        json!({"status": {}}),
        Ok(json!({})),
    );
}

#[test]
fn budgets_and_autoscalers() {
    check(
        true,
        ("policy/v1", "PodDisruptionBudget"),
        json!({"status": {"currentHealthy": 1, "observedGeneration": 3, "disruptedPods": {"p": "2026-01-01T10:00:00Z"}}}),
        Ok(
            json!({"currentHealthy": 1, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
            "disruptedPods": {"p": "2026-01-01T10:00:00Z"}}),
        ),
    );
    let autoscaler = ("autoscaling/v2", "HorizontalPodAutoscaler");
    let status = json!({"status": {"currentReplicas": 0, "currentMetrics": [], "conditions": []}});
    check(
        true,
        autoscaler,
        status.clone(),
        Ok(json!({"desiredReplicas": 0, "currentMetrics": null})),
    );
    check(false, autoscaler, status, Ok(json!({"desiredReplicas": 0})));
}

#[test]
fn other_kinds_are_copied_whole() {
    let status = json!({"phase": "Bound", "nothing": null, "empty": {}, "list": []});
    for kind in [
        ("v1", "PersistentVolumeClaim"),
        ("example.com/v1", "Thing"),
        ("networking.k8s.io/v1", "Ingress"),
    ] {
        check(true, kind, json!({"status": status}), Ok(status.clone()));
        check(true, kind, json!({}), Ok(Value::Null));
        for wrong in [json!(null), json!("x"), json!([])] {
            check(
                true,
                kind,
                json!({"status": wrong}),
                Err("status is no object"),
            );
        }
    }
}

#[test]
fn wrong_types_are_errors_in_special_kinds() {
    check(
        true,
        ("apps/v1", "Deployment"),
        observed("1", json!({"replicas": "1"})),
        Err("decode status.replicas: expected an integer, found a string"),
    );
}

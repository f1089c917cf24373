use super::*;

#[track_caller]
fn check(
    compat: bool,
    kind: (&str, &str),
    desired: Value,
    observed: Value,
    expected: Result<Value, &str>,
) {
    let whole = |rest: Value| object(kind.0, kind.1, rest);
    let retained = interpreter(compat).retain(whole(desired), &whole(observed));
    let expected = expected.map(whole).map_err(str::to_owned);
    assert_eq!(
        retained.map_err(|error| error.cause.to_string()),
        expected,
        "{}",
        kind.1
    );
}

const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");
const SERVICE: (&str, &str) = ("v1", "Service");
const ACCOUNT: (&str, &str) = ("v1", "ServiceAccount");

#[test]
fn replicas_of_other_labelled_workloads() {
    let object = |replicas: i64| json!({"metadata": {"labels": {"resourcetemplate.karmada.io/retain-replicas": "true"}}, "spec": {"replicas": replicas}});
    for kind in [("apps/v1", "StatefulSet"), ("apps/v1", "ReplicaSet")] {
        check(false, kind, object(1), object(7), Ok(object(7)));
        // The reference has no rule for them.
        check(true, kind, object(1), object(7), Ok(object(1)));
    }
}

#[test]
fn replicas_of_labelled_deployments() {
    let desired = |label: Value, replicas: Value| json!({"metadata": {"labels": {"resourcetemplate.karmada.io/retain-replicas": label}}, "spec": {"replicas": replicas}});
    let observed = |replicas: Value| json!({"spec": {"replicas": replicas}});
    let yes = || json!("true");
    check(
        true,
        DEPLOYMENT,
        desired(yes(), json!(1)),
        observed(json!(7)),
        Ok(desired(yes(), json!(7))),
    );
    check(
        true,
        DEPLOYMENT,
        desired(json!("True"), json!(1)),
        observed(json!(7)),
        Ok(desired(json!("True"), json!(1))),
    );
    check(
        true,
        DEPLOYMENT,
        json!({"spec": {"replicas": 1}}),
        observed(json!(7)),
        Ok(json!({"spec": {"replicas": 1}})),
    );
    check(
        true,
        DEPLOYMENT,
        desired(yes(), json!(1)),
        observed(json!(null)),
        Err("spec.replicas is no integer"),
    );
    check(
        true,
        DEPLOYMENT,
        desired(yes(), json!(1)),
        json!({}),
        Err("spec.replicas is missing in the member"),
    );
    check(
        true,
        DEPLOYMENT,
        desired(json!(true), json!(1)),
        observed(json!(7)),
        Err("metadata.labels is no map of strings"),
    );
}

#[test]
fn pods() {
    let desired = json!({"spec": {
        "nodeName": "wanted", "volumes": [{"name": "v"}],
        "containers": [{"name": "a", "image": "new", "volumeMounts": [{"name": "v"}]}, {"name": "b"}],
        "initContainers": [{"name": "i"}],
    }});
    let observed = json!({"spec": {
        "nodeName": "node", "serviceAccountName": "default",
        "containers": [{"name": "b", "volumeMounts": [{"name": "token"}]}, {"name": "a", "image": "old"}, {"name": "gone"}],
        "initContainers": [{"name": "i", "volumeMounts": [{"name": "token"}]}],
    }});
    let expected = json!({"spec": {
        "nodeName": "node", "serviceAccountName": "default",
        "containers": [{"name": "a", "image": "new"}, {"name": "b", "volumeMounts": [{"name": "token"}]}],
        "initContainers": [{"name": "i", "volumeMounts": [{"name": "token"}]}],
    }});
    check(true, ("v1", "Pod"), desired, observed, Ok(expected));
    check(
        true,
        ("v1", "Pod"),
        json!({}),
        json!({"spec": {"nodeName": 1}}),
        Err("decode spec.nodeName: expected a string, found a number"),
    );
}

#[test]
fn services() {
    let observed = json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "healthCheckNodePort": 30000,
        "ports": [{"port": 80, "nodePort": 30001}, {"port": 53, "protocol": "UDP", "nodePort": 30002}]}});
    let desired = json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 53}]}});
    check(
        true,
        SERVICE,
        desired.clone(),
        observed.clone(),
        Ok(
            json!({"spec": {"clusterIP": "10.0.0.1", "healthCheckNodePort": 30000, "ports": desired["spec"]["ports"]}}),
        ),
    );
    for kind in ["NodePort", "LoadBalancer"] {
        let mut desired = desired.clone();
        desired["spec"]["type"] = json!(kind);
        check(
            false,
            SERVICE,
            desired,
            observed.clone(),
            Ok(
                json!({"spec": {"type": kind, "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "healthCheckNodePort": 30000,
                "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}, {"port": 53}]}}),
            ),
        );
    }
    // A Service that is none of these any more gives its node ports back.
    check(
        false,
        SERVICE,
        desired.clone(),
        observed,
        Ok(
            json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "healthCheckNodePort": 30000,
            "ports": desired["spec"]["ports"]}}),
        ),
    );
    check(
        true,
        SERVICE,
        json!({}),
        json!({"spec": {"clusterIP": "", "healthCheckNodePort": 0}}),
        Ok(json!({})),
    );
    check(
        true,
        SERVICE,
        json!({}),
        json!({"spec": {"clusterIP": null}}),
        Err("spec.clusterIP is no string"),
    );
    check(
        true,
        SERVICE,
        json!({}),
        json!({"spec": null}),
        Ok(json!({})),
    );
}

#[test]
fn service_accounts() {
    let desired = json!({"secrets": [{"name": "a"}, {"name": "a"}]});
    let observed = json!({"secrets": [{"name": "b", "x": 1}, {"name": "a"}, {"name": "b"}], "imagePullSecrets": [{"name": "p"}]});
    let united = json!({"secrets": [{"name": "a"}, {"name": "a"}, {"name": "b", "x": 1}], "imagePullSecrets": [{"name": "p"}]});
    check(true, ACCOUNT, desired, observed, Ok(united));
    check(
        true,
        ACCOUNT,
        json!({}),
        json!({}),
        Ok(json!({"secrets": null, "imagePullSecrets": null})),
    );
    check(false, ACCOUNT, json!({}), json!({}), Ok(json!({})));
    check(
        true,
        ACCOUNT,
        json!({}),
        json!({"secrets": [{}]}),
        Err("secrets has an entry without a name"),
    );
    check(
        false,
        ACCOUNT,
        json!({}),
        json!({"secrets": [{}]}),
        Ok(json!({})),
    );
    check(
        true,
        ACCOUNT,
        json!({"secrets": null}),
        json!({}),
        Err("secrets is no list"),
    );
}

#[test]
fn volumes_and_claims() {
    let claim = ("v1", "PersistentVolumeClaim");
    let named = json!({"spec": {"volumeName": "pv"}});
    check(true, claim, json!({}), named.clone(), Ok(named));
    check(
        true,
        claim,
        json!({}),
        json!({"spec": {"volumeName": ""}}),
        Ok(json!({})),
    );
    check(
        true,
        claim,
        json!({}),
        json!({"spec": {"volumeName": 1}}),
        Err("spec.volumeName is no string"),
    );
    let volume = ("v1", "PersistentVolume");
    for reference in [json!({"name": "c"}), json!(null), json!("odd")] {
        let bound = json!({"spec": {"claimRef": reference}});
        check(true, volume, json!({}), bound.clone(), Ok(bound));
    }
    check(
        true,
        volume,
        json!({"spec": {"x": 1}}),
        json!({"spec": {}}),
        Ok(json!({"spec": {"x": 1}})),
    );
}

#[test]
fn jobs_and_secrets() {
    let job = ("batch/v1", "Job");
    let observed = json!({"spec": {"selector": {"matchLabels": {"a": "1"}}, "template": {"metadata": {"labels": {"b": "2"}}}}});
    check(
        true,
        job,
        json!({"spec": {"selector": {"matchLabels": {"z": "9"}}}}),
        observed.clone(),
        Ok(observed),
    );
    let wrong = json!({"spec": {"selector": {"matchLabels": {"a": 1}}}});
    check(
        true,
        job,
        json!({}),
        wrong,
        Err("spec.selector.matchLabels is no map of strings"),
    );
    let secret = ("v1", "Secret");
    let token = |data: Value| json!({"type": "kubernetes.io/service-account-token", "data": data});
    check(
        true,
        secret,
        token(json!(null)),
        token(json!({"t": "eA=="})),
        Ok(token(json!({"t": "eA=="}))),
    );
    check(
        true,
        secret,
        token(json!({})),
        token(json!(null)),
        Err("data is no map of strings"),
    );
    let opaque = json!({"type": "Opaque", "data": {"a": "YQ=="}});
    check(
        true,
        secret,
        opaque.clone(),
        token(json!({"t": "eA=="})),
        Ok(opaque),
    );
}

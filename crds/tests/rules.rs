//! The rules in CEL, evaluated as the API server does: after the defaults of the schema, with the object that was there before.
//!
//! What a rule may cost is known to the API server alone; a definition whose rules cost too much is refused when it is applied.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::collections::BTreeMap;

use kube_cel::{ErrorKind, Validator};
use serde_json::{Value, json};

struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    fn load() -> Self {
        let stored = crds::manifests::all().into_iter().map(|crd| {
            let stored = crd.spec.versions.into_iter().find(|it| it.storage).unwrap();
            let schema = stored.schema.unwrap().open_api_v3_schema.unwrap();
            (crd.spec.names.kind, serde_json::to_value(schema).unwrap())
        });
        Self(stored.collect())
    }

    /// What the rules of the kind say against the object, as `path: message`.
    fn complaints(&self, kind: &str, object: &Value, before: Option<&Value>) -> Vec<String> {
        let mut object = object.clone();
        let named = object["metadata"]["name"].is_string();
        if !named {
            object["metadata"]["name"] = "web".into();
        }
        match Validator::new().validate_with_defaults(&self.0[kind], &object, before) {
            Ok(()) => Vec::new(),
            Err(errors) => errors
                .as_slice()
                .iter()
                .map(|it| {
                    assert_eq!(it.kind, ErrorKind::ValidationFailure, "{kind} {it}");
                    format!("{}: {}", it.field_path.trim_start_matches('.'), it.message)
                })
                .collect(),
        }
    }

    #[track_caller]
    fn allow(&self, kind: &str, object: &Value) {
        assert_eq!(
            self.complaints(kind, object, None),
            [""; 0],
            "{kind} {object}"
        );
    }

    #[track_caller]
    fn deny(&self, kind: &str, object: &Value, complaint: &str) {
        let complaints = self.complaints(kind, object, None);
        assert!(
            complaints.iter().any(|it| it == complaint),
            "{kind} {object}: expected {complaint:?}, got {complaints:#?}"
        );
    }
}

#[test]
fn multi_cluster_services() {
    let schemas = Schemas::load();
    let kind = "MultiClusterService";
    let with = |field: &str, value: Value| {
        let mut object = json!({"spec": {"types": ["CrossCluster"]}});
        object["spec"][field] = value;
        object
    };
    for fine in [
        with("types", json!(["LoadBalancer"])),
        with("types", json!(["CrossCluster", "CrossCluster"])),
        with("ports", json!([{"port": 1, "name": "a"}, {"port": 65535}])),
        with("providerClusters", json!([{"name": "a".repeat(48)}])),
    ] {
        schemas.allow(kind, &fine);
    }
    for (wrong, complaint) in [
        (
            with("types", json!(["Moon"])),
            "spec.types: ExposureType Error",
        ),
        (
            with("types", json!(["CrossCluster", "LoadBalancer"])),
            "spec.types: MultiClusterService types should not contain more than one type",
        ),
        (
            with("types", json!([])),
            "spec.types: MultiClusterService types should contain CrossCluster or LoadBalancer",
        ),
        (
            with("ports", json!([{"port": 80}, {"port": 0}])),
            "spec.ports[1].port: must be between 1 and 65535, inclusive",
        ),
        (
            with("ports", json!([{"port": 65536}])),
            "spec.ports[0].port: must be between 1 and 65535, inclusive",
        ),
        (
            with("providerClusters", json!([{"name": ""}])),
            "spec.providerClusters[0].name: must be not empty",
        ),
        (
            with("consumerClusters", json!([{"name": "a".repeat(49)}])),
            "spec.consumerClusters[0].name: must be no more than 48 characters",
        ),
    ] {
        schemas.deny(kind, &wrong, complaint);
    }
}

#[test]
fn names_of_multi_cluster_services() {
    let schemas = Schemas::load();
    let named =
        |name: &str| json!({"metadata": {"name": name}, "spec": {"types": ["CrossCluster"]}});
    for name in [
        "a",
        "web-1",
        "a23456789-123456789-123456789-123456789-123456789-123456789-123",
    ] {
        schemas.allow("MultiClusterService", &named(name));
    }
    for name in ["1web", "web-", "a.b", "Web", &"a".repeat(64)] {
        let complaints = schemas.complaints("MultiClusterService", &named(name), None);
        assert_eq!(complaints.len(), 1, "{name}");
        assert!(
            complaints[0].contains("a DNS-1035 label must consist of"),
            "{name}: {complaints:?}"
        );
    }
}

#[test]
fn types_of_multi_cluster_services_never_change() {
    let schemas = Schemas::load();
    let of = |types: Value| json!({"metadata": {"name": "web"}, "spec": {"types": types}});
    let before = of(json!(["CrossCluster"]));
    let complaints =
        |after: &Value| schemas.complaints("MultiClusterService", after, Some(&before));
    assert_eq!(complaints(&before), [""; 0]);
    assert_eq!(
        complaints(&of(json!(["LoadBalancer"]))),
        ["spec.types: MultiClusterService types are immutable"]
    );
}

#[test]
fn multi_cluster_ingresses() {
    let schemas = Schemas::load();
    let kind = "MultiClusterIngress";
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    schemas.allow(kind, &json!({"spec": {"defaultBackend": backend}}));
    schemas.allow(kind, &json!({"spec": {"rules": [{"host": "example.com"}]}}));
    for empty in [
        json!({}),
        json!({"spec": {}}),
        json!({"spec": {"rules": []}}),
    ] {
        let complaint = "spec: either `defaultBackend` or `rules` must be specified";
        schemas.deny(kind, &empty, complaint);
    }
}

#[test]
fn bounds_of_federated_hpas() {
    let schemas = Schemas::load();
    let kind = "FederatedHPA";
    let with = |field: &str, value: Value| {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let mut object = json!({"spec": {"maxReplicas": 3, "scaleTargetRef": target}});
        object["spec"][field] = value;
        object
    };
    for fine in [
        with("maxReplicas", json!(1)),
        with("minReplicas", json!(3)),
        with("behavior", json!({})),
    ] {
        schemas.allow(kind, &fine);
    }
    for (wrong, complaint) in [
        (
            with("minReplicas", json!(0)),
            "spec.minReplicas: must be greater than or equal to 1",
        ),
        (
            with("maxReplicas", json!(0)),
            "spec.maxReplicas: must be greater than 0",
        ),
        (
            with("minReplicas", json!(4)),
            "spec.maxReplicas: must be greater than or equal to `minReplicas`",
        ),
    ] {
        schemas.deny(kind, &wrong, complaint);
    }
}

#[test]
fn metrics_of_federated_hpas() {
    let schemas = Schemas::load();
    let kind = "FederatedHPA";
    let with = |metric: &Value| {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        json!({"spec": {"maxReplicas": 3, "scaleTargetRef": target, "metrics": [metric]}})
    };
    let resource =
        json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}});
    let pods = json!({"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}});
    schemas.allow(
        kind,
        &with(&json!({"type": "Resource", "resource": resource})),
    );
    schemas.allow(kind, &with(&json!({"type": "Pods", "pods": pods})));
    schemas.deny(
        kind,
        &with(&json!({"type": "External", "external": pods})),
        "spec.metrics: type must be one of ContainerResource, Object, Pods, Resource",
    );
    schemas.deny(
        kind,
        &with(&json!({"type": "Pods", "resource": resource})),
        "spec.metrics: must populate information for the given metric source",
    );
    schemas.deny(
        kind,
        &with(&json!({"type": "Pods", "pods": pods, "resource": resource})),
        "spec.metrics: must populate the given metric source only",
    );
}

#[test]
fn behavior_of_federated_hpas() {
    let schemas = Schemas::load();
    let kind = "FederatedHPA";
    for direction in ["scaleUp", "scaleDown"] {
        let with = |rules: Value| {
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
            let behavior = json!({direction: rules});
            json!({"spec": {"maxReplicas": 3, "scaleTargetRef": target, "behavior": behavior}})
        };
        let policy = |type_: &str, value: i32, period: i32| {
            with(json!({"policies": [{"type": type_, "value": value, "periodSeconds": period}]}))
        };
        schemas.allow(kind, &policy("Pods", 1, 1));
        schemas.allow(kind, &policy("Percent", 200, 1800));
        schemas.allow(kind, &with(json!({"selectPolicy": "Disabled"})));
        schemas.allow(kind, &with(json!({"stabilizationWindowSeconds": 0})));
        schemas.allow(kind, &with(json!({"stabilizationWindowSeconds": 3600})));
        for (wrong, complaint) in [
            (
                policy("Nodes", 1, 1),
                "policies[0].type: must be one of Percent, Pods",
            ),
            (
                policy("Pods", 0, 1),
                "policies[0].value: must be greater than zero",
            ),
            (
                policy("Pods", 1, 0),
                "policies[0].periodSeconds: must be greater than zero",
            ),
            (
                policy("Pods", 1, 1801),
                "policies[0].periodSeconds: must be less than or equal to 1800",
            ),
            (
                with(json!({"selectPolicy": "Any"})),
                "selectPolicy: must be one of Disabled, Max, Min",
            ),
            (
                with(json!({"stabilizationWindowSeconds": -1})),
                "stabilizationWindowSeconds: must be greater than or equal to zero",
            ),
            (
                with(json!({"stabilizationWindowSeconds": 3601})),
                "stabilizationWindowSeconds: must be less than or equal to 3600",
            ),
        ] {
            schemas.deny(
                kind,
                &wrong,
                &format!("spec.behavior.{direction}.{complaint}"),
            );
        }
    }
}

#[test]
fn cron_federated_hpas() {
    let schemas = Schemas::load();
    let kind = "CronFederatedHPA";
    let federated = |kind: &str, rule: &Value| {
        let target =
            json!({"apiVersion": "autoscaling.karmada.io/v1alpha1", "kind": kind, "name": "web"});
        json!({"spec": {"scaleTargetRef": target, "rules": [rule]}})
    };
    let deployment = |rule: &Value| {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        json!({"spec": {"scaleTargetRef": target, "rules": [rule]}})
    };
    for fine in [
        federated("FederatedHPA", &json!({"targetMinReplicas": 1})),
        federated("FederatedHPA", &json!({"targetMaxReplicas": 1})),
        federated(
            "FederatedHPA",
            &json!({"targetMinReplicas": 2, "targetMaxReplicas": 2}),
        ),
        deployment(&json!({"targetReplicas": 0})),
        // Fields of the other kind of target are ignored.
        deployment(&json!({"targetReplicas": 1, "targetMinReplicas": 3, "targetMaxReplicas": 2})),
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "rules": []}}),
    ] {
        schemas.allow(kind, &fine);
    }
    for (wrong, complaint) in [
        (
            federated("Deployment", &json!({"targetMinReplicas": 1})),
            "spec.scaleTargetRef.kind: invalid scaleTargetRef kind: Deployment, only support FederatedHPA",
        ),
        (
            federated("FederatedHPA", &json!({"targetReplicas": 1})),
            "spec.rules: targetMinReplicas and targetMaxReplicas cannot be nil at the same time if you want to scale FederatedHPA",
        ),
        (
            federated("FederatedHPA", &json!({"targetMinReplicas": 0})),
            "spec.rules: targetMinReplicas should be larger than 0",
        ),
        (
            federated("FederatedHPA", &json!({"targetMaxReplicas": 0})),
            "spec.rules: targetMaxReplicas should be larger than 0",
        ),
        (
            federated(
                "FederatedHPA",
                &json!({"targetMinReplicas": 3, "targetMaxReplicas": 2}),
            ),
            "spec.rules: targetMaxReplicas should be larger than or equal to targetMinReplicas",
        ),
        (
            deployment(&json!({"targetMinReplicas": 1})),
            "spec.rules: targetReplicas cannot be nil if you want to scale Deployment",
        ),
        (
            deployment(&json!({"targetReplicas": -1})),
            "spec.rules: targetReplicas should be larger than or equal to 0",
        ),
    ] {
        schemas.deny(kind, &wrong, complaint);
    }
}

#[test]
fn interpreter_webhooks() {
    let schemas = Schemas::load();
    let kind = "ResourceInterpreterWebhookConfiguration";
    let with = |field: &str, value: Value| {
        let mut webhook = json!({
            "name": "workloads.example.com",
            "clientConfig": {"url": "https://example.com"},
            "interpreterContextVersions": ["v1alpha1"],
        });
        webhook[field] = value;
        json!({"webhooks": [webhook]})
    };
    let service = json!({"name": "interpreter", "namespace": "default"});
    for fine in [
        with("timeoutSeconds", json!(1)),
        with("timeoutSeconds", json!(30)),
        with("clientConfig", json!({"service": service})),
    ] {
        schemas.allow(kind, &fine);
    }
    for (wrong, complaint) in [
        (
            with("timeoutSeconds", json!(31)),
            "timeoutSeconds: the timeout value must be between 1 and 30 seconds",
        ),
        (
            with("timeoutSeconds", json!(0)),
            "timeoutSeconds: the timeout value must be between 1 and 30 seconds",
        ),
        (
            with("clientConfig", json!({})),
            "clientConfig: exactly one of url or service is required",
        ),
        (
            with(
                "clientConfig",
                json!({"url": "https://example.com", "service": service}),
            ),
            "clientConfig: exactly one of url or service is required",
        ),
        (
            with("interpreterContextVersions", json!([])),
            "interpreterContextVersions: must specify one of v1alpha1",
        ),
    ] {
        schemas.deny(kind, &wrong, &format!("webhooks[0].{complaint}"));
    }
}

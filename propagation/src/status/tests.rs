use ::trace::NoTrace;
use crds::work::{ResourceBinding, Work};
use serde_json::json;

use super::*;
use crate::clock::at;
use crate::testing::{typed, value, yaml};

fn work(cluster: &str, status: &str) -> Work {
    typed(&format!(
        "
metadata: {{name: web-1, namespace: karmada-es-{cluster}}}
spec:
  workload:
    manifests:
    - {{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: demo, annotations: {{resourcetemplate.karmada.io/uid: u}}}}}}
status: {status}
"
    ))
}

const APPLIED: &str = "
  conditions: [{type: Applied, status: 'True', reason: AppliedSuccessful, message: m, lastTransitionTime: 2026-01-01T00:00:00Z}]
  manifestStatuses:
  - health: Healthy
    identifier: {group: apps, version: v1, kind: Deployment, namespace: demo, name: web, ordinal: 0, resource: ''}
    status: {replicas: 1}
";
const FAILED: &str = "
  conditions: [{type: Applied, status: 'False', reason: AppliedFailed, message: refused, lastTransitionTime: 2026-01-01T00:00:00Z}]
";

fn binding(clusters: &str) -> ResourceBinding {
    typed(&format!(
        "
metadata: {{name: web-deployment, namespace: demo}}
spec:
  resource: {{apiVersion: apps/v1, kind: Deployment, namespace: demo, name: web, uid: u}}
  clusters: {clusters}
"
    ))
}

#[test]
fn works_are_aggregated() {
    let mut terminating = work("m9", APPLIED);
    terminating.metadata.deletion_timestamp = Some(at(1));
    let works = [
        work("m3", APPLIED),
        work("m1", FAILED),
        work("m2", "{}"),
        terminating,
    ];
    let items = aggregate(&binding("[]").spec.resource, &works, &mut NoTrace).unwrap();
    assert_eq!(
        value(&items),
        yaml(
            "
- {clusterName: m1, appliedMessage: refused, health: Unknown}
- {clusterName: m2, health: Unknown}
- {clusterName: m3, applied: true, health: Healthy, status: {replicas: 1}}
"
        )
    );
}

#[test]
fn fully_applied_needs_exactly_the_expected_clusters() {
    let check = |clusters: &str, works: &[Work], holds: bool| {
        let binding = binding(clusters);
        let updated = refresh(&binding, works, &at(5), &mut NoTrace)
            .unwrap()
            .unwrap();
        let condition = &updated.status.as_ref().unwrap().conditions[0];
        assert_eq!(
            condition.status,
            if holds { "True" } else { "False" },
            "{clusters}"
        );
        assert_eq!(
            condition.reason,
            if holds {
                "FullyAppliedSuccess"
            } else {
                "FullyAppliedFailed"
            }
        );
        assert_eq!(refresh(&updated, works, &at(6), &mut NoTrace), Ok(None));
    };
    let (one, other) = (work("m1", APPLIED), work("m2", APPLIED));
    check("[{name: m1}]", std::slice::from_ref(&one), true);
    check(
        "[{name: m1}, {name: m2}]",
        &[one.clone(), other.clone()],
        true,
    );
    check(
        "[{name: m1}, {name: m2}]",
        std::slice::from_ref(&one),
        false,
    );
    check("[{name: m1}]", &[one.clone(), other], false);
    check(
        "[{name: m1}, {name: m2}]",
        &[one, work("m2", FAILED)],
        false,
    );
    check("[]", &[], false);
}

#[test]
fn renamed_manifests_are_found() {
    let renamed = |manifest: serde_json::Value| {
        let mut work = work("m1", APPLIED);
        work.spec.workload.manifests = vec![manifest];
        work.status.as_mut().unwrap().manifest_statuses[0]
            .identifier
            .name = "other".into();
        work
    };
    let other =
        yaml("{apiVersion: apps/v1, kind: Deployment, metadata: {name: other, namespace: demo}}");
    let resource = binding("[]").spec.resource;
    let items = aggregate(&resource, &[renamed(other.clone())], &mut NoTrace).unwrap();
    assert_eq!(items[0].health, Some(ResourceHealth::Healthy));
    let mut two = renamed(other.clone());
    two.spec.workload.manifests.push(other);
    let error = aggregate(&resource, &[two.clone()], &mut NoTrace).unwrap_err();
    assert_eq!(
        error.to_string(),
        "work karmada-es-m1/web-1 carries no manifest of Deployment web"
    );
    two.spec.workload.manifests[1]["metadata"]["annotations"] = json!({(keys::TEMPLATE_UID): "u"});
    assert!(aggregate(&resource, &[two], &mut NoTrace).is_ok());
}

#[test]
fn template_status_is_written_on_change() {
    let items = [AggregatedStatusItem {
        cluster_name: "m1".to_owned(),
        ..AggregatedStatusItem::default()
    }];
    for (name, template, aggregated, items, expected) in [
        (
            "the same",
            json!({"replicas": 1}),
            json!({"replicas": 1}),
            &items[..],
            None,
        ),
        (
            "another",
            json!({"replicas": 1}),
            json!({"replicas": 2}),
            &items,
            Some(json!({"replicas": 2})),
        ),
        (
            "a first one",
            json!(null),
            json!({"replicas": 2}),
            &items,
            Some(json!({"replicas": 2})),
        ),
        (
            "an empty one",
            json!({"replicas": 1}),
            json!({}),
            &items,
            Some(json!({})),
        ),
        (
            "none, as items say",
            json!({"replicas": 1}),
            json!(null),
            &items,
            Some(json!(null)),
        ),
        (
            "none, as nothing says",
            json!({"replicas": 1}),
            json!(null),
            &[],
            None,
        ),
        ("none, as before", json!(null), json!(null), &items, None),
        (
            "none, as good as before",
            json!({}),
            json!(null),
            &items,
            None,
        ),
    ] {
        let object = |status: &Value| match status {
            Value::Null => json!({"spec": {}}),
            status => json!({"status": status}),
        };
        let (template, aggregated) = (object(&template), object(&aggregated));
        let status = template_status(&template, &aggregated, items);
        assert_eq!(status, expected.as_ref(), "{name}");
    }
}

use super::*;

const NOW_TEXT: &str = "2026-01-01T10:43:59Z";

fn aggregate(compat: bool, template: &Value, statuses: Option<&[Value]>) -> Result<Value, String> {
    let items = statuses.map(items);
    let question = Question::AggregateStatus {
        object: template.clone(),
        items: items.as_deref(),
    };
    match interpreter(compat).answer(question, &mut ::trace::NoTrace) {
        Ok(Some((LayerName::Native, Answer::Object(object)))) => Ok(object),
        Err(error) => Err(error.cause.to_string()),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(compat: bool, kind: (&str, &str), rest: Value, statuses: &[Value], expected: Value) {
    let template = object(kind.0, kind.1, rest);
    let found =
        aggregate(compat, &template, Some(statuses)).map(|mut object| object["status"].take());
    assert_eq!(found, Ok(expected), "{} {statuses:?}", kind.1);
}

#[track_caller]
fn check_both(kind: (&str, &str), rest: Value, statuses: &[Value], expected: Value) {
    check(true, kind, rest.clone(), statuses, expected.clone());
    check(false, kind, rest, statuses, expected);
}

const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");
const JOB: (&str, &str) = ("batch/v1", "Job");

#[test]
fn deployments_sum_and_keep_other_fields() {
    let template = json!({"metadata": {"generation": 2}, "status": {"conditions": [{"type": "X"}], "observedGeneration": 1,
        "unavailableReplicas": 4}});
    let member = json!({"replicas": 2, "readyReplicas": 1, "generation": 5, "observedGeneration": 5, "resourceTemplateGeneration": 2});
    check_both(
        DEPLOYMENT,
        template.clone(),
        &[member.clone(), member.clone()],
        json!({"conditions": [{"type": "X"}], "replicas": 4, "readyReplicas": 2, "observedGeneration": 2}),
    );
    let mut behind = member.clone();
    behind["resourceTemplateGeneration"] = json!(1);
    let expected = json!({"conditions": [{"type": "X"}], "replicas": 4, "readyReplicas": 2, "observedGeneration": 1});
    check_both(
        DEPLOYMENT,
        template.clone(),
        &[member.clone(), behind],
        expected,
    );
    let expected = json!({"conditions": [{"type": "X"}], "replicas": 2, "readyReplicas": 1, "observedGeneration": 1});
    check_both(
        DEPLOYMENT,
        template.clone(),
        &[member, Value::Null],
        expected,
    );
    check_both(
        DEPLOYMENT,
        template,
        &[],
        json!({"conditions": [{"type": "X"}], "observedGeneration": 2}),
    );
}

#[test]
fn sums_fit_their_fields() {
    for (kind, field) in [
        (DEPLOYMENT, "readyReplicas"),
        (JOB, "succeeded"),
        (("policy/v1", "PodDisruptionBudget"), "expectedPods"),
    ] {
        let template = object(kind.0, kind.1, json!({}));
        for compat in [true, false] {
            let sum = |numbers: [i64; 2]| {
                let statuses = numbers.map(|number| json!({ field: number }));
                aggregate(compat, &template, Some(&statuses))
            };
            let largest = sum([2_147_483_646, 1]).expect("fits");
            assert_eq!(largest["status"][field], i32::MAX);
            let problem = format!(
                "status.{field} is outside the range of a 32-bit integer, summed over the clusters"
            );
            assert_eq!(sum([2_147_483_647, 1]), Err(problem));
        }
    }
}

#[test]
fn an_unchanged_template_comes_back_as_it_is() {
    let template = object(
        "apps/v1",
        "Deployment",
        json!({"status": {"replicas": 0, "odd": null}}),
    );
    assert_eq!(aggregate(true, &template, Some(&[])), Ok(template.clone()));
    let template = object("apps/v1", "Deployment", json!({}));
    assert_eq!(aggregate(true, &template, None), Ok(template.clone()));
}

#[test]
fn wrong_statuses_are_errors() {
    let template = object("apps/v1", "Deployment", json!({}));
    let wrong = aggregate(true, &template, Some(&[json!({"replicas": "1"})]));
    assert_eq!(
        wrong,
        Err("decode status of a: replicas: expected an integer, found a string".to_owned())
    );
    let wrong = aggregate(true, &template, Some(&[json!({"generation": "1"})]));
    assert_eq!(
        wrong,
        Err("status.generation of a is no integer".to_owned())
    );
}

#[test]
fn stateful_sets_follow_the_template_unless_compatible() {
    let template = json!({"metadata": {"generation": 2}});
    let member = json!({"replicas": 1, "generation": 1, "observedGeneration": 1, "resourceTemplateGeneration": 1});
    let kind = ("apps/v1", "StatefulSet");
    let sums = json!({"replicas": 1, "availableReplicas": 0});
    check(
        false,
        kind,
        template.clone(),
        std::slice::from_ref(&member),
        sums.clone(),
    );
    let mut compatible = sums;
    compatible["observedGeneration"] = json!(2);
    check(true, kind, template, &[member], compatible);
}

#[test]
fn daemon_and_replica_sets() {
    let template = json!({"metadata": {"generation": 1}});
    let member = json!({"desiredNumberScheduled": 2, "numberReady": 1, "numberUnavailable": 1, "resourceTemplateGeneration": 1});
    check_both(
        ("apps/v1", "DaemonSet"),
        template.clone(),
        &[member.clone(), member],
        json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 4, "numberMisscheduled": 0, "numberReady": 2,
            "numberUnavailable": 2, "observedGeneration": 1}),
    );
    check_both(
        ("apps/v1", "ReplicaSet"),
        template,
        &[json!({"replicas": 2})],
        json!({"replicas": 2}),
    );
}

#[test]
fn addresses_are_united() {
    let balanced = |ingress: Value| json!({"loadBalancer": {"ingress": ingress}});
    let service = json!({"spec": {"type": "LoadBalancer"}});
    let kind = ("v1", "Service");
    check_both(
        kind,
        service.clone(),
        &[
            balanced(
                json!([{"ip": "10.0.0.2"}, {"ip": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP", "error": "E"}]}]),
            ),
            balanced(
                json!([{"hostname": "b"}, {"ip": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}]},
                {"ip": "10.0.0.1", "ipMode": "VIP"}, {"hostname": "a", "ip": "10.0.0.9"}]),
            ),
        ],
        balanced(
            json!([{"hostname": "a", "ip": "10.0.0.9"}, {"hostname": "b"}, {"ip": "10.0.0.1", "ipMode": "VIP"},
            {"ip": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "TCP", "error": "E"}]},
            {"ip": "10.0.0.2"}]),
        ),
    );
    // No entries and no status are the same thing.
    check_both(kind, service, &[], Value::Null);
    check_both(
        kind,
        json!({"spec": {"type": "LoadBalancer"}, "status": balanced(json!([{"ip": "10.0.0.1"}]))}),
        &[],
        json!({"loadBalancer": {}}),
    );
    check_both(
        kind,
        json!({"status": {"x": 1}}),
        &[balanced(json!([{"ip": "10.0.0.1"}]))],
        json!({"x": 1}),
    );
    let conditions = json!({"spec": {"type": "LoadBalancer"}, "status": {"conditions": [{"type": "X", "status": "True"}]}});
    check(
        true,
        kind,
        conditions.clone(),
        &[balanced(json!([{"ip": "1"}]))],
        balanced(json!([{"ip": "1"}])),
    );
    check(
        false,
        kind,
        conditions,
        &[balanced(json!([{"ip": "1"}]))],
        json!({"loadBalancer": {"ingress": [{"ip": "1"}]}, "conditions": [{"type": "X", "status": "True"}]}),
    );
    let modes = balanced(
        json!([{"hostname": "h", "ports": [{"port": 1, "protocol": "TCP"}]}, {"hostname": "h"}]),
    );
    check_both(
        ("networking.k8s.io/v1", "Ingress"),
        json!({}),
        &[modes],
        balanced(json!([{"hostname": "h", "ports": [{"port": 1, "protocol": "TCP"}]}])),
    );
}

#[test]
fn volumes_and_claims() {
    let volume = ("v1", "PersistentVolume");
    let phase = |phase: &str| json!({"phase": phase});
    check_both(
        volume,
        json!({}),
        &[phase("Bound"), phase("Available")],
        phase("Available"),
    );
    check_both(
        volume,
        json!({}),
        &[phase("Bound"), Value::Null],
        phase("Pending"),
    );
    check_both(
        volume,
        json!({}),
        &[phase("Pending"), phase("Failed")],
        phase("Failed"),
    );
    check_both(volume, json!({}), &[], Value::Null);
    let claim = ("v1", "PersistentVolumeClaim");
    check_both(
        claim,
        json!({}),
        &[phase("Bound"), phase("Bound")],
        phase("Bound"),
    );
    check_both(
        claim,
        json!({}),
        &[phase("Pending"), phase("Resizing"), phase("Bound")],
        phase("Resizing"),
    );
    check_both(
        claim,
        json!({}),
        &[phase("Pending"), phase("Lost"), phase("Pending")],
        phase("Lost"),
    );
    check(true, claim, json!({}), &[Value::Null], phase("Bound"));
    check(false, claim, json!({}), &[Value::Null], phase("Pending"));
    let bound = json!({"phase": "Bound"});
    let partly = [bound.clone(), Value::Null];
    check(true, claim, json!({}), &partly, phase("Bound"));
    check(false, claim, json!({}), &partly, phase("Pending"));
    check(
        false,
        claim,
        json!({}),
        &[bound, json!({"phase": "Lost"}), Value::Null],
        phase("Lost"),
    );
}

#[test]
fn cron_jobs() {
    check_both(
        ("batch/v1", "CronJob"),
        json!({"status": {"lastSuccessfulTime": "2020-01-01T00:00:00Z", "active": [{"name": "old"}]}}),
        &[
            json!({"active": [{"name": "a"}], "lastScheduleTime": "2026-01-02T00:00:00Z"}),
            json!({"active": [{"name": "b"}], "lastScheduleTime": "2026-01-02T01:00:00+02:00"}),
        ],
        json!({"active": [{"name": "a"}, {"name": "b"}], "lastScheduleTime": "2026-01-02T00:00:00Z"}),
    );
}

#[test]
fn pods() {
    let pod = ("v1", "Pod");
    let member = |phase: &str| {
        json!({"phase": phase, "podIP": "10.0.0.1",
        "containerStatuses": [{"name": "c", "ready": true, "image": "i", "state": {"running": {}}}]})
    };
    let container = |named: bool| {
        let mut container = json!({"ready": true, "state": {"running": {}}});
        if named {
            container["name"] = json!("c");
        }
        container
    };
    for (compat, named) in [(true, false), (false, true)] {
        check(
            compat,
            pod,
            json!({}),
            &[member("Succeeded"), member("Running"), Value::Null],
            json!({"phase": "Pending", "containerStatuses": [container(named), container(named)]}),
        );
    }
    check(
        true,
        pod,
        json!({}),
        &[member("Running")],
        json!({"phase": "Running", "containerStatuses": [container(false)]}),
    );
    check(
        false,
        pod,
        json!({}),
        &[member("Running")],
        member("Running"),
    );
    let template = object("v1", "Pod", json!({"status": {"phase": "Running"}}));
    assert_eq!(aggregate(true, &template, None), Ok(template));
}

#[test]
fn budgets_and_autoscalers() {
    let member = json!({"currentHealthy": 1, "desiredHealthy": 2, "disruptedPods": {"p": "2026-01-01T10:00:00Z"}});
    check_both(
        ("policy/v1", "PodDisruptionBudget"),
        json!({"status": {"observedGeneration": 3}}),
        &[member.clone(), member],
        json!({"currentHealthy": 2, "desiredHealthy": 4, "disruptionsAllowed": 0, "expectedPods": 0,
            "disruptedPods": {"a/p": "2026-01-01T10:00:00Z", "b/p": "2026-01-01T10:00:00Z"}}),
    );
    let autoscaler = ("autoscaling/v2", "HorizontalPodAutoscaler");
    let template = json!({"status": {"conditions": [{"type": "X"}]}});
    let members = [
        json!({"currentReplicas": 1, "desiredReplicas": 2}),
        json!({"desiredReplicas": 2}),
    ];
    check(
        true,
        autoscaler,
        template.clone(),
        &members,
        json!({"currentReplicas": 1, "desiredReplicas": 4, "currentMetrics": null}),
    );
    check(
        false,
        autoscaler,
        template,
        &members,
        json!({"currentReplicas": 1, "desiredReplicas": 4}),
    );
}

fn ended(kinds: &[&str]) -> Value {
    let conditions: Vec<_> = kinds
        .iter()
        .map(|kind| json!({"type": kind, "status": "True"}))
        .collect();
    json!({"succeeded": 1, "conditions": conditions, "startTime": "2026-01-01T09:00:00Z", "completionTime": "2026-01-01T10:00:00Z"})
}

fn condition(kind: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastProbeTime": NOW_TEXT,
        "lastTransitionTime": NOW_TEXT})
}

#[test]
fn jobs_as_the_reference_aggregates_them() {
    let done = ended(&["SuccessCriteriaMet", "Complete"]);
    let complete = condition("Complete", "Completed", "Job completed");
    let met = condition(
        "SuccessCriteriaMet",
        "CompletionsReached",
        "All member clusters have met success criteria",
    );
    let failed = condition(
        "Failed",
        "JobFailed",
        "Job executed failed in member clusters a,c",
    );
    let times =
        json!({"startTime": "2026-01-01T09:00:00Z", "completionTime": "2026-01-01T10:00:00Z"});
    let with = |succeeded: i64, conditions: Value| {
        let mut status = times.clone();
        merge(
            &mut status,
            json!({"succeeded": succeeded, "conditions": conditions}),
        );
        status
    };
    check(
        true,
        JOB,
        json!({}),
        &[done.clone(), done.clone()],
        with(2, json!([complete, met])),
    );
    check(
        true,
        JOB,
        json!({}),
        &[done.clone(), ended(&["Complete"])],
        with(2, json!([complete])),
    );
    check(
        true,
        JOB,
        json!({}),
        &[
            ended(&["Failed"]),
            done.clone(),
            ended(&["Failed", "Complete"]),
        ],
        with(3, json!([failed])),
    );
    check(
        true,
        JOB,
        json!({"status": {"startTime": "2026-01-01T08:00:00Z"}}),
        &[done, Value::Null],
        json!({"succeeded": 1, "startTime": "2026-01-01T08:00:00Z"}),
    );
    let last = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    check_both(JOB, json!({"status": last}), &[json!({"active": 1})], last);
}

#[test]
fn jobs_pass_the_checks_of_the_api_server() {
    let message = "Job executed failed in member clusters a";
    let target = condition("FailureTarget", "JobFailed", message);
    let failed = condition("Failed", "JobFailed", message);
    let running = json!({"active": 1, "startTime": "2026-01-01T09:00:00Z"});
    check(
        false,
        JOB,
        json!({}),
        &[ended(&["Failed"]), running],
        json!({"active": 1, "succeeded": 1, "startTime": "2026-01-01T09:00:00Z", "conditions": [target]}),
    );
    let mut earlier = target.clone();
    earlier["lastTransitionTime"] = json!("2026-01-01T10:00:00Z");
    check(
        false,
        JOB,
        json!({"status": {"conditions": [earlier]}}),
        &[ended(&["Failed"]), json!({"failed": 1})],
        json!({"succeeded": 1, "failed": 1, "startTime": "2026-01-01T09:00:00Z", "conditions": [earlier, failed]}),
    );
    // A member too old to report that its criteria were met.
    let met = condition(
        "SuccessCriteriaMet",
        "CompletionsReached",
        "All member clusters have met success criteria",
    );
    let complete = condition("Complete", "Completed", "Job completed");
    check(
        false,
        JOB,
        json!({}),
        &[json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]})],
        json!({"succeeded": 1, "startTime": NOW_TEXT, "completionTime": NOW_TEXT, "conditions": [met, complete]}),
    );
    check(
        false,
        JOB,
        json!({}),
        &[json!({"completionTime": "2026-01-01T10:00:00Z", "active": 1})],
        json!({"active": 1}),
    );
}

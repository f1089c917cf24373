use ::trace::NoTrace;
use crds::work::ResourceBinding;

use super::*;
use crate::clock::at;
use crate::testing::{typed, value, yaml};

fn binding(application: &str, health: &[(&str, &str)]) -> ResourceBinding {
    let clusters: Vec<_> = health
        .iter()
        .map(|(name, _)| format!("{{name: {name}, replicas: 1}}"))
        .collect();
    let items: Vec<_> = health
        .iter()
        .map(|(name, health)| {
            format!("{{clusterName: {name}, health: {health}, status: {{phase: Down}}}}")
        })
        .collect();
    typed(&format!(
        "
spec:
  resource: {{apiVersion: apps/v1, kind: Deployment, namespace: demo, name: web}}
  propagateDeps: true
  clusters: [{}]
  failover: {{application: {application}}}
status: {{aggregatedStatus: [{}]}}
",
        clusters.join(", "),
        items.join(", ")
    ))
}

const THREE_SECONDS: &str =
    "{decisionConditions: {tolerationSeconds: 3}, gracePeriodSeconds: 600, purgeMode: Gracefully}";

#[expect(
    clippy::unnecessary_wraps,
    reason = "an answer of the scheduler in the type of its answers"
)]
fn anywhere(_: &ResourceBindingSpec) -> Result<(), String> {
    Ok(())
}

#[test]
fn the_last_cluster_is_left_only_for_another() {
    let behavior = "{decisionConditions: {tolerationSeconds: 0}, purgeMode: Directly}";
    let nowhere = |spec: &ResourceBindingSpec| {
        assert!(spec.clusters.is_empty() && spec.eviction_task("m1").is_some());
        Err("0/2 clusters are available".to_owned())
    };
    let decide_on = |binding: &ResourceBinding| {
        decide(
            binding,
            &UnhealthySince::new(),
            Options::default(),
            nowhere,
            &at(10),
            &mut NoTrace,
        )
    };
    let only = binding(behavior, &[("m1", "Unhealthy")]);
    let decision = decide_on(&only);
    assert_eq!((&decision.spec, decision.evicted.len()), (&None, 0));
    assert_eq!(decision.state["m1"], at(10));
    let condition = held(&decision.failures).unwrap();
    assert_eq!(condition.reason, "NoOtherCluster");
    assert_eq!(
        condition.message,
        "unhealthy in cluster m1: the workload stays, because no other cluster can take it: 0/2 clusters are available; mend the workload, add clusters or room, or widen the placement"
    );
    // While another cluster has the workload nobody is asked.
    let two = binding(behavior, &[("m1", "Unhealthy"), ("m2", "Healthy")]);
    assert_eq!(decide_on(&two).evicted, ["m1"]);
    assert!(held(&decide_on(&two).failures).is_none());
}

#[test]
fn unhealthy_clusters_are_left_after_the_toleration() {
    let binding = binding(
        THREE_SECONDS,
        &[("member2", "Healthy"), ("member3", "Unhealthy")],
    );
    assert!(concerns(&binding, true) && !concerns(&binding, false));
    let options = Options::default();
    let first = decide(
        &binding,
        &UnhealthySince::new(),
        options,
        anywhere,
        &at(10),
        &mut NoTrace,
    );
    assert_eq!(
        (first.evicted.len(), first.requeue_after),
        (0, Some(Duration::from_secs(3)))
    );
    // The state survives a restart as text.
    let text = unhealthy_since_annotation(&first.state).unwrap();
    assert_eq!(text, r#"{"member3":"1970-01-01T00:00:10Z"}"#);
    let state = parse_unhealthy_since(&text);
    let early = decide(&binding, &state, options, anywhere, &at(12), &mut NoTrace);
    assert_eq!(
        (early.evicted.len(), early.requeue_after),
        (0, Some(Duration::from_secs(1)))
    );
    let due = decide(&binding, &state, options, anywhere, &at(13), &mut NoTrace);
    assert_eq!(due.evicted, ["member3"]);
    let spec = due.spec.unwrap();
    assert_eq!(
        value(&spec.clusters),
        yaml("[{name: member2, replicas: 1}]")
    );
    assert_eq!(
        value(&spec.graceful_eviction_tasks),
        yaml(
            "
- fromCluster: member3
  gracePeriodSeconds: 600
  producer: resource-binding-application-failover-controller
  purgeMode: Gracefully
  reason: ApplicationFailure
  replicas: 1
"
        )
    );
    assert!(due.state.is_empty());
}

#[test]
fn zero_toleration_acts_at_once() {
    let binding = binding(
        "{decisionConditions: {tolerationSeconds: 0}, purgeMode: Never}",
        &[("m1", "Unhealthy")],
    );
    let decision = decide(
        &binding,
        &UnhealthySince::new(),
        Options::default(),
        anywhere,
        &at(10),
        &mut NoTrace,
    );
    assert_eq!(decision.evicted, ["m1"]);
    assert_eq!(
        decision.spec.unwrap().graceful_eviction_tasks[0].suppress_deletion,
        Some(true)
    );
}

#[test]
fn health_resets_the_clock() {
    let state = UnhealthySince::from([("m1".into(), at(0)), ("gone".into(), at(0))]);
    let check = |health: &str, options: Options, remembered: usize| {
        let binding = binding(THREE_SECONDS, &[("m1", health)]);
        let decision = decide(&binding, &state, options, anywhere, &at(1), &mut NoTrace);
        assert_eq!(decision.state.len(), remembered, "{health}");
    };
    check("Healthy", Options::default(), 0);
    check("Unknown", Options::default(), 0);
    check(
        "Unknown",
        Options {
            unknown_keeps_running: true,
            ..Options::default()
        },
        1,
    );
    check("Unhealthy", Options::default(), 1);
}

#[test]
fn state_is_preserved_or_nothing_moves() {
    let with = |path: &str| {
        binding(
            &format!(
                "{{decisionConditions: {{tolerationSeconds: 0}}, purgeMode: Directly, statePreservation: {{rules: [{{aliasLabelName: phase, jsonPath: '{path}'}}]}}}}"
            ),
            &[("m1", "Unhealthy"), ("m2", "Healthy")],
        )
    };
    let options = Options {
        stateful_injection: true,
        ..Options::default()
    };
    let decision = decide(
        &with("{.phase}"),
        &UnhealthySince::new(),
        options,
        anywhere,
        &at(0),
        &mut NoTrace,
    );
    let task = &decision.spec.unwrap().graceful_eviction_tasks[0];
    assert_eq!(task.preserved_label_state["phase"], "Down");
    assert_eq!(task.clusters_before_failover, ["m1", "m2"]);
    let decision = decide(
        &with("{.replicas}"),
        &UnhealthySince::new(),
        options,
        anywhere,
        &at(0),
        &mut NoTrace,
    );
    assert!(decision.spec.is_none() && decision.state.contains_key("m1"));
    assert_eq!(
        decision.failures[0].to_string(),
        "preserve state of the workload in cluster m1 as label phase: failed to execute jsonpath \"{.replicas}\": replicas is not found"
    );
    let off = Options {
        graceful_eviction: false,
        ..Options::default()
    };
    let graceful = binding(
        "{decisionConditions: {tolerationSeconds: 0}, purgeMode: Graciously}",
        &[("m1", "Unhealthy")],
    );
    let decision = decide(
        &graceful,
        &UnhealthySince::new(),
        off,
        anywhere,
        &at(0),
        &mut NoTrace,
    );
    assert_eq!(decision.failures[0].reason(), "GracefulEvictionOff");
}

#[test]
fn clusters_with_a_task_are_left_alone() {
    let mut binding = binding(
        "{decisionConditions: {tolerationSeconds: 0}}",
        &[("m1", "Unhealthy")],
    );
    binding.spec.clusters.clear();
    binding.spec.graceful_eviction_tasks = typed("[{fromCluster: m1, producer: p, reason: R}]");
    let decision = decide(
        &binding,
        &UnhealthySince::new(),
        Options::default(),
        anywhere,
        &at(0),
        &mut NoTrace,
    );
    assert_eq!((decision.spec, decision.requeue_after), (None, None));
}

//! Triggers, ordered affinities, patches, conditions and events.

use crds::conditions::{self, binding as reasons};
use crds::keys::APPLIED_PLACEMENT;
use crds::policy::{ClusterAffinityTerm, Placement};
use crds::work::{BindingSuspension, ClusterResourceBinding, ResourceBinding};
use scheduler::decision::{
    APPLIED_COMPONENTS, Report, Requeue, Skip, Trigger, WriteError, spec_patch, status_patch,
};
use scheduler::options::Switch;
use scheduler::trace::NoTrace;
use scheduler::{Compat, Decision, Inputs, Options, Snapshot, decide};
use serde_json::json;

use crate::fixtures::*;

#[test]
fn what_does_not_fit_is_removed_and_not_retried() {
    let mut api_missing = cluster("c3", 9);
    api_missing.status.as_mut().unwrap().api_enablements.clear();
    let clusters = [
        with_taint(cluster("c1", 9), "k", "v", "NoSchedule"),
        with_taint(cluster("c2", 9), "k", "v", "NoSchedule"),
        api_missing,
        terminating(cluster("c4", 9)),
    ];
    let binding = with_targets(binding(3, duplicated()), &[("gone", 3)]);
    let outcome = outcome(&binding, &clusters, &Options::default());
    assert!(outcome.removes_everywhere(&binding));
    let failure = outcome.result.unwrap_err();
    assert_eq!(failure.reason, "NoClusterFit");
    assert_eq!(
        failure.message,
        "0/4 clusters are available: 1 cluster(s) did not have the API resource, \
         2 cluster(s) had untolerated taint {k=v:NoSchedule}."
    );
    assert!(failure.empties_targets && !failure.retry);
}

#[test]
fn a_scheduler_that_knows_no_cluster_removes_nothing() {
    let binding = with_targets(binding(3, duplicated()), &[("m1", 3)]);
    let outcome_with = |compat| outcome(&binding, &[], &options(compat));
    let kept = outcome_with(Compat::default());
    assert_eq!(
        told(&kept),
        "NoClusterFit: 0/0 clusters are available: no cluster exists."
    );
    assert!(!kept.removes_everywhere(&binding));
    assert_eq!(
        spec_patch(&binding, &Decision::Scheduled(kept), Compat::default()),
        None
    );
    assert!(outcome_with(Compat::REFERENCE).removes_everywhere(&binding));
}

#[test]
fn targets_pass_filters_that_only_new_clusters_have_to_pass() {
    let mut tainted = with_taint(cluster("m1", 9), "k", "v", "NoExecute");
    tainted.status.as_mut().unwrap().api_enablements.clear();
    let stays = with_targets(binding(3, duplicated()), &[("m1", 3)]);
    let clusters = [tainted];
    assert_eq!(
        told(&outcome(&stays, &clusters, &Options::default())),
        "m1 3"
    );
    let mut leaves = stays;
    leaves.spec.placement.as_mut().unwrap().cluster_affinity = Some(named(&["m2"]));
    let told = told(&outcome(&leaves, &clusters, &Options::default()));
    assert_eq!(
        told,
        "NoClusterFit: 0/1 clusters are available: 1 cluster(s) did not match the placement cluster affinity constraint."
    );
}

#[track_caller]
fn check_trigger(binding: &ResourceBinding, compat: Compat, expected: Option<Trigger>) {
    let clusters = clusters(&[("m1", 9), ("m2", 9)]);
    let trigger = match decide_with(binding, &clusters, &options(compat)) {
        Decision::Scheduled(outcome) => Some(outcome.trigger),
        Decision::Nothing | Decision::Observe | Decision::Repair(_) => None,
        Decision::Skip(skip) => panic!("skipped: {skip:?}"),
    };
    assert_eq!(trigger, expected);
}

fn term(name: &str, clusters: &[&str]) -> ClusterAffinityTerm {
    ClusterAffinityTerm {
        affinity_name: name.to_owned(),
        affinity: named(clusters),
        overflow_affinities: Vec::new(),
    }
}

/// A settled binding with terms p and b, using b.
fn on_backup() -> ResourceBinding {
    let mut placement = dynamic_weight();
    placement.cluster_affinities = vec![term("p", &["m1"]), term("b", &["m2"])];
    let mut binding = settled(with_targets(binding(5, placement), &[("m2", 5)]));
    status(&mut binding).scheduler_observing_affinity_name = Some("b".to_owned());
    binding
}

fn terms(binding: &mut ResourceBinding) -> &mut Vec<ClusterAffinityTerm> {
    &mut binding.spec.placement.as_mut().unwrap().cluster_affinities
}

#[test]
fn only_the_term_in_use_counts_as_changed_placement() {
    let improved = Compat::default();
    check_trigger(&on_backup(), improved, None);
    let mut other_edited = on_backup();
    terms(&mut other_edited)[0].affinity = named(&["m3"]);
    check_trigger(&other_edited, improved, None);
    let mut used_edited = on_backup();
    terms(&mut used_edited)[1].affinity = named(&["m2", "m3"]);
    check_trigger(&used_edited, improved, Some(Trigger::PlacementChanged));
    let mut unobserved = on_backup();
    terms(&mut unobserved)[0].affinity = named(&["m3"]);
    status(&mut unobserved).scheduler_observing_affinity_name = None;
    check_trigger(&unobserved, improved, Some(Trigger::PlacementChanged));
    let mut removed = on_backup();
    terms(&mut removed).pop();
    check_trigger(&removed, improved, Some(Trigger::PlacementChanged));
}

#[test]
fn annotations_are_compared_by_meaning() {
    let mut binding = settled(with_targets(binding(5, aggregated()), &[("m1", 5)]));
    let other_order = r#"{"replicaScheduling":{"replicaDivisionPreference":"Aggregated","replicaSchedulingType":"Divided"},
                          "spreadConstraints":null,"clusterTolerations":[]}"#;
    let reordered = serde_json::from_str::<Placement>(other_order);
    if reordered.is_ok() {
        annotate(&mut binding, APPLIED_PLACEMENT, other_order);
    }
    check_trigger(&binding, Compat::default(), None);
    annotate(&mut binding, APPLIED_PLACEMENT, "{");
    check_trigger(&binding, Compat::default(), Some(Trigger::PlacementChanged));
    check_trigger(&binding, Compat::REFERENCE, None);
    annotate(&mut binding, APPLIED_PLACEMENT, "");
    check_trigger(&binding, Compat::REFERENCE, Some(Trigger::PlacementChanged));
}

#[test]
fn a_divided_workload_rests_until_its_sum_is_wrong_or_a_target_goes() {
    let settled_one = || {
        settled(with_targets(
            binding(5, dynamic_weight()),
            &[("m1", 2), ("m2", 3)],
        ))
    };
    check_trigger(&settled_one(), Compat::default(), None);
    let mut scaled = settled_one();
    scaled.spec.replicas = Some(6);
    check_trigger(&scaled, Compat::default(), Some(Trigger::ReplicasChanged));
    let going = [terminating(cluster("m1", 9)), cluster("m2", 9)];
    let outcome = outcome(&settled_one(), &going, &Options::default());
    assert_eq!(
        (outcome.trigger, told(&outcome)),
        (Trigger::TargetTerminating, "m2 5".to_owned())
    );
    let duplicated = settled(with_targets(binding(5, duplicated()), &[("m1", 5)]));
    check_trigger(&duplicated, Compat::default(), Some(Trigger::NotDivided));
    check_trigger(
        &settled(config(dynamic_weight())),
        Compat::default(),
        Some(Trigger::NotDivided),
    );
}

#[test]
fn explicit_requests_are_compared_by_the_second() {
    let mut binding = settled(with_targets(binding(5, dynamic_weight()), &[("m1", 5)]));
    binding.spec.reschedule_triggered_at = Some(time("2026-01-01T10:00:00Z"));
    check_trigger(&binding, Compat::default(), None);
    status(&mut binding).scheduler_observed_generation = Some(1);
    check_trigger(&binding, Compat::default(), Some(Trigger::Requested));
    check_trigger(&binding, Compat::REFERENCE, None);
    binding.spec.reschedule_triggered_at = Some(time("2026-01-01T10:00:01Z"));
    check_trigger(&binding, Compat::REFERENCE, Some(Trigger::Requested));
    status(&mut binding).last_scheduled_time = None;
    check_trigger(&binding, Compat::REFERENCE, None);
}

#[test]
fn changed_components_are_noticed() {
    let mut options = Options::default();
    options.gates.multiple_pod_templates_scheduling = true;
    let component = crds::work::Component {
        name: "jm".to_owned(),
        replicas: 1,
        replica_requirements: None,
    };
    let mut binding = config(aggregated());
    binding.spec.components = vec![component];
    let clusters = clusters(&[("m1", 9)]);
    let decision = decide_with(&binding, &clusters, &options);
    let patch = spec_patch(&binding, &decision, options.compat).unwrap();
    let noted = patch["metadata"]["annotations"][APPLIED_COMPONENTS]
        .as_str()
        .unwrap();

    let mut binding = settled(with_targets(binding, &[("m1", 0)]));
    annotate(&mut binding, APPLIED_COMPONENTS, noted);
    assert_eq!(
        decide_with(&binding, &clusters, &options),
        Decision::Nothing
    );
    binding.spec.components[0].replicas = 2;
    let changed = outcome(&binding, &clusters, &options);
    assert_eq!(changed.trigger.schedule_type(), "ScaleSchedule");
    binding
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .remove(APPLIED_COMPONENTS);
    assert_eq!(
        decide_with(&binding, &clusters, &options),
        Decision::Nothing
    );
}

#[test]
fn bindings_are_left_alone_that_are_not_the_schedulers() {
    let skip = |edit: fn(&mut ResourceBinding)| {
        let mut binding = binding(1, duplicated());
        edit(&mut binding);
        decide_with(&binding, &[], &Options::default())
    };
    let other = skip(|it| it.spec.scheduler_name = Some("volcano".to_owned()));
    assert_eq!(other, Decision::Skip(Skip::OtherScheduler));
    let suspended = skip(|it| {
        it.spec.suspension = Some(BindingSuspension {
            scheduling: Some(true),
            ..BindingSuspension::default()
        });
    });
    assert_eq!(suspended, Decision::Skip(Skip::Suspended));
    let deleting = skip(|it| it.metadata.deletion_timestamp = Some(time("2026-01-01T00:00:00Z")));
    assert_eq!(deleting, Decision::Skip(Skip::Deleting));
    let event = &deleting.events(&binding(1, duplicated()), None)[0];
    assert_eq!(
        event.message,
        "skip schedule deleting resourceBinding: shop/web-deployment"
    );
}

#[test]
fn a_generation_without_work_is_noted() {
    let mut binding = settled(with_targets(binding(5, dynamic_weight()), &[("m1", 5)]));
    assert_eq!(
        decide_with(&binding, &[], &Options::default()),
        Decision::Nothing
    );
    status(&mut binding).scheduler_observed_generation = Some(1);
    let decision = decide_with(&binding, &[], &Options::default());
    assert_eq!(decision, Decision::Observe);
    assert_eq!(
        status_patch(&binding, &decision, None, now()),
        Some(json!({ "status": { "schedulerObservedGeneration": 2 } }))
    );
}

fn pending(terms: Vec<ClusterAffinityTerm>, observed: &str) -> ResourceBinding {
    let mut placement = dynamic_weight();
    placement.cluster_affinities = terms;
    let mut binding = with_targets(binding(5, placement), &[("old", 5)]);
    status(&mut binding).scheduler_observing_affinity_name = Some(observed.to_owned());
    binding
}

#[test]
fn terms_are_tried_in_order_and_then_from_the_start() {
    let rooms = clusters(&[("m1", 9), ("m2", 3)]);
    let terms = || vec![term("p", &["m1"]), term("b", &["m2"])];
    let first = outcome(&pending(terms(), ""), &rooms, &Options::default());
    assert_eq!(told(&first), "m1 5");

    let from_backup = |compat| outcome(&pending(terms(), "b"), &rooms, &options(compat));
    let back = from_backup(Compat::default());
    assert_eq!(told(&back), "m1 5");
    assert_eq!(back.result.unwrap().affinity_name.as_deref(), Some("p"));
    assert_eq!(back.attempts.len(), 1);
    let stuck = from_backup(Compat::REFERENCE);
    assert!(told(&stuck).starts_with("Unschedulable"));

    let asked = outcome(
        &fresh(pending(terms(), "b")),
        &clusters(&[("m1", 9), ("m2", 9)]),
        &Options::default(),
    );
    assert_eq!(told(&asked), "m1 5");
}

#[test]
fn a_shortage_in_any_term_keeps_the_targets() {
    let rooms = clusters(&[("m2", 3)]);
    let binding = pending(vec![term("p", &["m1"]), term("b", &["m2"])], "");
    let reference = outcome(&binding, &rooms, &options(Compat::REFERENCE));
    assert!(
        told(&reference).starts_with("NoClusterFit: 0/1") && reference.removes_everywhere(&binding)
    );
    let improved = outcome(&binding, &rooms, &Options::default());
    assert!(told(&improved).starts_with("Unschedulable") && !improved.removes_everywhere(&binding));

    let backup_gone = pending(vec![term("p", &["m1"]), term("b", &["m9"])], "b");
    let only_backup = outcome(&backup_gone, &rooms, &options(Compat::REFERENCE));
    assert_eq!(only_backup.attempts.len(), 1);
    let events = Decision::Scheduled(only_backup.clone()).events(
        &backup_gone,
        Some(&only_backup.report(&backup_gone, Ok(()), Compat::REFERENCE)),
    );
    assert_eq!(
        events[0].message,
        "failed to schedule ResourceBinding(shop/web-deployment) with clusterAffiliates index(1): 0/1 clusters are \
         available: 1 cluster(s) did not match the placement cluster affinity constraint."
    );
    assert_eq!(events.len(), 2);
}

fn report(
    binding: &ResourceBinding,
    decision: &Decision,
    written: Result<(), &WriteError>,
) -> Report {
    match decision {
        Decision::Scheduled(outcome) => outcome.report(binding, written, Compat::default()),
        other => panic!("no outcome: {other:?}"),
    }
}

#[test]
fn a_result_is_written_in_two_patches() {
    let mut binding = binding(5, static_weights(&[("m1", 2), ("m2", 3), ("m3", 1)]));
    binding.spec.placement.as_mut().unwrap().cluster_affinities = vec![term("p", &["m1", "m2"])];
    let clusters = clusters(&[("m1", 0), ("m2", 0)]);
    let decision = decide_with(&binding, &clusters, &Options::default());
    let patch = spec_patch(&binding, &decision, Compat::default()).unwrap();
    let placement = serde_json::to_string(&binding.spec.placement).unwrap();
    assert_eq!(
        patch,
        json!({
            "metadata": { "annotations": { APPLIED_PLACEMENT: placement } },
            "spec": { "clusters": [{ "name": "m1", "replicas": 2 }, { "name": "m2", "replicas": 3 }] },
        })
    );

    let mut latest = binding.clone();
    latest.metadata.generation = Some(3);
    latest.metadata.resource_version = Some("77".to_owned());
    latest.spec.clusters = targets(&[("m1", 2), ("m2", 3)]);
    annotate(&mut latest, APPLIED_PLACEMENT, &placement);
    assert_eq!(spec_patch(&latest, &decision, Compat::default()), None);
    let report = report(&binding, &decision, Ok(()));
    assert_eq!(
        (report.requeue, report.result_label()),
        (Requeue::No, "scheduled")
    );
    assert_eq!(
        status_patch(&latest, &decision, Some(&report), now()),
        Some(json!({
            "metadata": { "resourceVersion": "77" },
            "status": {
                "conditions": [{
                    "type": "Scheduled",
                    "status": "True",
                    "reason": "Success",
                    "message": "Binding has been scheduled successfully.",
                    "lastTransitionTime": "2026-01-01T12:00:00Z",
                }],
                "schedulerObservedGeneration": 3,
                "schedulerObservingAffinityName": "p",
                "lastScheduledTime": "2026-01-01T12:00:00Z",
            },
        }))
    );
    let events = decision.events(&binding, Some(&report));
    assert_eq!(
        (events[0].reason, events[0].message.as_str()),
        (
            "ScheduleBindingSucceed",
            "Binding has been scheduled successfully. Result: {m1:2, m2:3}"
        )
    );

    // Somebody else changed the spec in between: that generation has not been looked at.
    latest.metadata.generation = Some(4);
    let patch = status_patch(&latest, &decision, Some(&report), now()).unwrap();
    assert_eq!(patch["status"]["schedulerObservedGeneration"], 2);
}

#[test]
fn an_unchanged_duplicated_binding_is_not_written_again() {
    let clusters = clusters(&[("m1", 0), ("m2", 0)]);
    let mut binding = settled(with_targets(
        binding(5, duplicated()),
        &[("m1", 5), ("m2", 5)],
    ));
    let success = conditions::condition(
        reasons::SCHEDULED,
        "True",
        reasons::SUCCESS,
        reasons::SUCCESS_MESSAGE,
    );
    status(&mut binding).conditions = vec![success];
    let decision = decide_with(&binding, &clusters, &Options::default());
    assert_eq!(spec_patch(&binding, &decision, Compat::default()), None);
    let quiet = report(&binding, &decision, Ok(()));
    assert_eq!(status_patch(&binding, &decision, Some(&quiet), now()), None);
    assert!(decision.events(&binding, Some(&quiet)).is_empty());

    let Decision::Scheduled(outcome) = &decision else {
        panic!("not scheduled");
    };
    let compat = Compat::default().with(Switch::AlwaysWriteTime);
    let loud = outcome.report(&binding, Ok(()), compat);
    assert_eq!(
        status_patch(&binding, &decision, Some(&loud), now()),
        Some(json!({ "status": { "lastScheduledTime": "2026-01-01T12:00:00Z" } }))
    );
}

#[test]
fn refused_writes_are_reported() {
    let binding = binding(5, duplicated());
    let clusters = clusters(&[("m1", 0)]);
    let placed = decide_with(&binding, &clusters, &Options::default());
    let mut error = WriteError {
        message: "FederatedResourceQuota(shop/q) exceeded".to_owned(),
        code: 403,
        reason: "QuotaExceeded".to_owned(),
        namespace_terminating: false,
    };
    let quota = report(&binding, &placed, Err(&error));
    assert_eq!(
        (quota.reason, quota.requeue),
        ("QuotaExceeded", Requeue::Backoff)
    );
    let patch = status_patch(&binding, &placed, Some(&quota), now()).unwrap();
    assert_eq!(
        patch["status"].as_object().unwrap().len(),
        1,
        "only the condition: {patch}"
    );
    error.reason = "Forbidden".to_owned();
    assert_eq!(
        report(&binding, &placed, Err(&error)).reason,
        "SchedulerError"
    );
    error.namespace_terminating = true;
    assert_eq!(report(&binding, &placed, Err(&error)).requeue, Requeue::No);

    let unfit = decide_with(
        &binding,
        &[terminating(cluster("m1", 1))],
        &Options::default(),
    );
    let both = report(&binding, &unfit, Err(&error));
    assert_eq!(both.reason, "NoClusterFit");
    assert_eq!(
        both.message,
        "[0/1 clusters are available: no cluster exists., FederatedResourceQuota(shop/q) exceeded]"
    );
}

#[test]
fn failures_are_written_once() {
    let mut binding = binding(50, aggregated());
    let clusters = clusters(&[("m1", 1)]);
    let decision = decide_with(&binding, &clusters, &Options::default());
    let failed = report(&binding, &decision, Ok(()));
    assert_eq!(failed.requeue, Requeue::Unschedulable);
    let patch = status_patch(&binding, &decision, Some(&failed), now()).unwrap();
    let conditions = patch["status"]["conditions"].clone();
    status(&mut binding).conditions = serde_json::from_value(conditions).unwrap();
    assert_eq!(
        status_patch(&binding, &decision, Some(&failed), now()),
        None
    );
}

#[test]
fn an_affinity_name_without_terms_is_cleared() {
    let mut binding = binding(5, duplicated());
    status(&mut binding).scheduler_observing_affinity_name = Some("old".to_owned());
    let clusters = clusters(&[("m1", 0)]);
    let decision = decide_with(&binding, &clusters, &Options::default());
    let report = report(&binding, &decision, Ok(()));
    let patch = status_patch(&binding, &decision, Some(&report), now()).unwrap();
    assert_eq!(
        patch["status"].get("schedulerObservingAffinityName"),
        Some(&json!(null))
    );
}

#[test]
fn cluster_scoped_bindings_have_their_own_words() {
    let spec = binding(2, duplicated()).spec;
    let binding = ClusterResourceBinding::new("web", spec);
    let snapshot = snapshot(&clusters(&[("m1", 0)]));
    let options = Options::default();
    let decision = decide(
        &binding,
        &Inputs::new(&snapshot, &options, now()),
        &mut NoTrace,
    );
    let Decision::Scheduled(outcome) = &decision else {
        panic!("not scheduled");
    };
    let report = outcome.report(&binding, Ok(()), Compat::default());
    let events = decision.events(&binding, Some(&report));
    assert_eq!(
        events[0].message,
        "Binding has been scheduled successfully. Result {m1:2}"
    );
}

#[test]
fn snapshots_change_one_cluster_at_a_time() {
    let shared = |cluster| std::sync::Arc::new(cluster);
    let mut snapshot = Snapshot::new(&[shared(cluster("b", 1)), shared(cluster("d", 1))]);
    let kept = snapshot.clone();
    snapshot.apply(shared(with_label(cluster("a", 1), "new", "label")));
    assert!(snapshot.remove("b") && !snapshot.remove("b"));
    snapshot.apply(shared(with_region(cluster("c", 1), "r")));
    snapshot.apply(shared(with_region(cluster("d", 1), "r")));
    let names = |snapshot: &Snapshot| {
        snapshot
            .iter()
            .map(|it| it.name().to_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(
        (names(&snapshot), names(&kept)),
        ("a,c,d".to_owned(), "b,d".to_owned())
    );

    let options = Options::default();
    let decide = |snapshot: &Snapshot| {
        let inputs = Inputs::new(snapshot, &options, now());
        decide(&binding(2, duplicated()), &inputs, &mut NoTrace)
    };
    let rebuilt = Snapshot::new(
        &snapshot
            .iter()
            .map(|it| it.object().clone())
            .collect::<Vec<_>>(),
    );
    assert_eq!(decide(&snapshot), decide(&rebuilt));
}

#[test]
fn stale_symbols_are_forgotten() {
    let mut snapshot = snapshot(&clusters(&[("a", 1), ("b", 2)]));
    for number in 0..20_000 {
        let relabelled = with_label(cluster("a", 1), "run", &number.to_string());
        snapshot.apply(std::sync::Arc::new(relabelled));
    }
    let size = format!("{snapshot:?}").len();
    assert!(size < 2_000_000, "the snapshot holds {size} bytes of text");
    let options = Options::default();
    let inputs = Inputs::new(&snapshot, &options, now());
    let decision = decide(&binding(2, dynamic_weight()), &inputs, &mut NoTrace);
    assert!(matches!(decision, Decision::Scheduled(outcome) if told(&outcome) == "a 1, b 1"));
}

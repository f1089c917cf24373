//! What a process finds that comes after another one, and input that nobody can make sense of.

use crds::conditions;
use crds::policy::{ClusterAffinity, ClusterAffinityTerm, OverflowAffinityTerm};
use crds::work::{Component, ResourceBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use scheduler::decision::{APPLIED_COMPONENTS, Repair, Trigger, spec_patch, status_patch};
use scheduler::options::Switch;
use scheduler::{Compat, Decision, Options};
use serde_json::{Value, json};

use crate::fixtures::*;

/// Whatever the status said of the result is taken away: the write was lost.
fn unsaid(mut binding: ResourceBinding) -> ResourceBinding {
    binding.status = None;
    binding.metadata.resource_version = Some("7".to_owned());
    binding
}

#[test]
fn a_result_whose_status_was_lost_is_told_again_and_stays() {
    let clusters = clusters(&[("m1", 0), ("m2", 90)]);
    let lost = unsaid(settled(with_targets(
        binding(5, dynamic_weight()),
        &[("m1", 5)],
    )));
    let decision = decide_with(&lost, &clusters, &Options::default());
    assert_eq!(decision, Decision::Repair(Repair::default()));
    assert_eq!(decision.clusters(&lost), lost.spec.clusters);
    assert_eq!(spec_patch(&lost, &decision, Compat::default()), None);
    assert!(decision.events(&lost, None).is_empty());
    let patch = status_patch(&lost, &decision, None, now()).unwrap();
    let told = &patch["status"];
    assert_eq!(patch["metadata"], json!({ "resourceVersion": "7" }));
    assert_eq!(told["conditions"][0]["status"], "True");
    assert_eq!(told["schedulerObservedGeneration"], 2);
    assert_eq!(told["lastScheduledTime"], "2026-01-01T12:00:00Z");

    let mut repaired = lost.clone();
    repaired.status = serde_json::from_value(told.clone()).unwrap();
    let again = decide_with(&repaired, &clusters, &Options::default());
    assert_eq!(again, Decision::Nothing, "a restart writes nothing");
    let reference = decide_with(&lost, &clusters, &options(Compat::REFERENCE));
    assert_eq!(reference, Decision::Observe);
}

#[test]
fn a_shortage_that_went_with_the_replicas_is_not_told_any_more() {
    let mut scaled_back = settled(with_targets(binding(5, dynamic_weight()), &[("m1", 5)]));
    let short = conditions::condition("Scheduled", "False", "Unschedulable", "no room");
    let time = time("2026-01-01T11:00:00Z");
    conditions::set_condition(&mut status(&mut scaled_back).conditions, short, &time);
    let decide = |binding: &ResourceBinding, rooms: &[(&str, i64)]| {
        decide_with(binding, &clusters(rooms), &Options::default())
    };
    let decision = decide(&scaled_back, &[("m1", 0)]);
    assert_eq!(decision, Decision::Repair(Repair::default()));
    let patch = status_patch(&scaled_back, &decision, None, now()).unwrap();
    assert_eq!(patch["status"]["lastScheduledTime"], Value::Null);
    assert_eq!(
        decide(&scaled_back, &[("m2", 9)]),
        Decision::Nothing,
        "the target is gone"
    );
}

#[test]
fn the_affinity_in_use_is_found_by_its_targets() {
    let term = |name: &str, clusters: &[&str], overflow: &[&str]| ClusterAffinityTerm {
        affinity_name: name.to_owned(),
        affinity: named(clusters),
        overflow_affinities: overflow
            .iter()
            .map(|it| OverflowAffinityTerm {
                affinity_name: (*it).to_owned(),
                affinity: named(&[it]),
            })
            .collect(),
    };
    let mut placement = dynamic_weight();
    placement.cluster_affinities = vec![
        term("near", &["m1"], &[]),
        term("far", &["m2"], &["m3"]),
        term("anywhere", &["m1", "m2", "m3"], &[]),
    ];
    let clusters = clusters(&[("m1", 9), ("m2", 9), ("m3", 9)]);
    for (targets, name) in [
        (&[("m1", 5)][..], "near"),
        (&[("m2", 3), ("m3", 2)], "far"),
        (&[("m1", 3), ("m3", 2)], "anywhere"),
    ] {
        let lost = settled(with_targets(binding(5, placement.clone()), targets));
        let decision = decide_with(&lost, &clusters, &Options::default());
        let affinity_name = Some(name.to_owned());
        assert_eq!(decision, Decision::Repair(Repair { affinity_name }));
        let patch = status_patch(&lost, &decision, None, now()).unwrap();
        let expected = json!({ "status": { "schedulerObservingAffinityName": name } });
        assert_eq!(patch, expected);
    }
}

#[test]
fn a_result_without_targets_that_was_never_told_is_found_again() {
    let clusters = clusters(&[("m1", 9)]);
    let lost = unsaid(settled(binding(0, dynamic_weight())));
    let found = outcome(&lost, &clusters, &Options::default());
    assert_eq!(found.trigger, Trigger::Unreported);
    let told = settled(binding(0, dynamic_weight()));
    let again = decide_with(&told, &clusters, &Options::default());
    assert_eq!(again, Decision::Nothing);
}

#[test]
fn components_that_another_scheduler_placed_are_noted_with_the_next_change() {
    let mut options = Options::default();
    options.gates.multiple_pod_templates_scheduling = true;
    let clusters = clusters(&[("m1", 9)]);
    let mut foreign = config(aggregated());
    foreign.spec.components = vec![Component {
        name: "jm".to_owned(),
        replicas: 1,
        replica_requirements: None,
    }];
    let mut foreign = settled(with_targets(foreign, &[("m1", 0)]));
    let idle = decide_with(&foreign, &clusters, &options);
    assert_eq!(idle, Decision::Nothing, "a start writes nothing");
    assert_eq!(spec_patch(&foreign, &idle, options.compat), None);

    foreign.metadata.generation = Some(3);
    let changed = decide_with(&foreign, &clusters, &options);
    assert_eq!(changed, Decision::Observe);
    assert_eq!(spec_patch(&foreign, &changed, Compat::REFERENCE), None);
    let patch = spec_patch(&foreign, &changed, options.compat).unwrap();
    let noted = patch["metadata"]["annotations"][APPLIED_COMPONENTS].clone();
    annotate(&mut foreign, APPLIED_COMPONENTS, noted.as_str().unwrap());
    assert_eq!(spec_patch(&foreign, &changed, options.compat), None);
    foreign.spec.components[0].replicas = 2;
    let changed = outcome(&foreign, &clusters, &options);
    assert_eq!(changed.trigger, Trigger::ComponentsChanged);
}

#[test]
fn a_malformed_selector_removes_nothing() {
    let malformed = ClusterAffinity {
        label_selector: Some(LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "tier".to_owned(),
                operator: "Near".to_owned(),
                values: None,
            }]),
            ..LabelSelector::default()
        }),
        ..ClusterAffinity::default()
    };
    let clusters = clusters(&[("m1", 9)]);
    let mut single = duplicated();
    single.cluster_affinity = Some(malformed.clone());
    let mut ordered = duplicated();
    let term = |name: &str, affinity| ClusterAffinityTerm {
        affinity_name: name.to_owned(),
        affinity,
        overflow_affinities: Vec::new(),
    };
    ordered.cluster_affinities = vec![term("a", malformed), term("b", named(&["nowhere"]))];
    for placement in [single, ordered] {
        let placed = with_targets(binding(3, placement), &[("m1", 3)]);
        let kept = outcome(&placed, &clusters, &Options::default());
        assert_eq!(kept.result.as_ref().unwrap_err().reason, "NoClusterFit");
        assert!(!kept.removes_everywhere(&placed));
        let compat = Compat::default().with(Switch::EmptyOnMalformed);
        let emptied = outcome(&placed, &clusters, &options(compat));
        assert!(emptied.removes_everywhere(&placed));
    }
    let mut unmatched = duplicated();
    unmatched.cluster_affinity = Some(named(&["nowhere"]));
    let placed = with_targets(binding(3, unmatched), &[("m1", 3)]);
    assert!(outcome(&placed, &clusters, &Options::default()).removes_everywhere(&placed));
}

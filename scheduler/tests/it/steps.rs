//! Accurate estimators: who is asked, and what answers do.

use crds::policy::ClusterAffinityTerm;
use crds::work::ResourceBinding;
use scheduler::trace::NoTrace;
use scheduler::{Answer, Compat, Decision, Estimates, Inputs, Options, Question, Step, step};

use crate::fixtures::*;

fn failed() -> Answer {
    Answer::Failed("timed out".to_owned())
}

#[track_caller]
fn check(compat: Compat, answers: &[(&str, Answer)], expected: &str) {
    let answers = answers
        .iter()
        .map(|(name, answer)| ((*name).to_owned(), answer.clone()));
    let estimates = Estimates::of("scheduler-estimator", answers);
    let snapshot = snapshot(&clusters(&[("a", 10), ("b", 10)]));
    let options = options(compat);
    let inputs = Inputs::new(&snapshot, &options, now()).with_estimates(&estimates);
    let binding = binding(12, dynamic_weight());
    match scheduler::decide(&binding, &inputs, &mut NoTrace) {
        Decision::Scheduled(outcome) => assert_eq!(told(&outcome), expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_smallest_answer_counts() {
    let fits = Answer::Fits;
    let reference = Compat::REFERENCE;
    check(reference, &[("a", fits(3)), ("b", fits(9))], "a 3, b 9");
    check(reference, &[("a", fits(-1)), ("b", fits(5))], "a 8, b 4");
    check(
        reference,
        &[("a", fits(1000)), ("b", fits(i32::MAX))],
        "a 6, b 6",
    );
    check(reference, &[("a", fits(3)), ("b", failed())], "a 6, b 6");
    check(
        Compat::default(),
        &[("a", fits(3)), ("b", failed())],
        "a 3, b 9",
    );
    check(
        Compat::default(),
        &[("a", fits(i32::MIN)), ("b", fits(10))],
        "a 6, b 6",
    );
}

fn with_terms() -> ResourceBinding {
    let mut placement = dynamic_weight();
    placement.cluster_affinities = [["a"], ["b"]]
        .into_iter()
        .map(|names| ClusterAffinityTerm {
            affinity_name: names[0].to_owned(),
            affinity: named(&names),
            overflow_affinities: Vec::new(),
        })
        .collect();
    binding(4, placement)
}

#[test]
fn estimators_are_asked_term_by_term() {
    let snapshot = snapshot(&clusters(&[("a", 10), ("b", 10)]));
    let options = Options::default();
    let binding = with_terms();
    let mut asked = Vec::new();
    let mut estimates = Estimates::default();
    let decision = loop {
        let inputs = Inputs::new(&snapshot, &options, now()).with_estimates(&estimates);
        match step(&binding, &inputs, &mut NoTrace) {
            Step::Decided(decision) => break decision,
            Step::Ask(shortlist) => {
                assert_eq!(shortlist.namespace, "shop");
                assert!(matches!(shortlist.question, Question::Replicas(Some(_))));
                let names: Vec<String> =
                    shortlist.clusters.iter().map(|&it| it.to_owned()).collect();
                for name in names {
                    let answer = if name == "a" {
                        Answer::Fits(1)
                    } else {
                        failed()
                    };
                    estimates.insert("scheduler-estimator", &name, answer);
                    asked.push(name);
                }
            }
        }
    };
    assert_eq!(asked, ["a", "b"]);
    assert!(matches!(decision, Decision::Scheduled(outcome) if told(&outcome) == "b 4"));
}

#[test]
fn nobody_is_asked_about_what_has_no_replicas() {
    let snapshot = snapshot(&clusters(&[("a", 10)]));
    let options = Options::default();
    let inputs = Inputs::new(&snapshot, &options, now());
    for binding in [config(duplicated()), binding(0, aggregated())] {
        assert!(matches!(
            step(&binding, &inputs, &mut NoTrace),
            Step::Decided(_)
        ));
    }
    let settled = settled(with_targets(binding(3, aggregated()), &[("a", 3)]));
    assert_eq!(
        step(&settled, &inputs, &mut NoTrace),
        Step::Decided(Decision::Nothing)
    );
}

use std::collections::BTreeMap;

use ::trace::Recorder;
use crds::keys;
use crds::policy::{ActivationPreference, PreemptionBehavior, PropagationSpec, ResourceSelector};
use serde_json::{Value, json};

use super::deployment;
use crate::matching::lazy::{
    self, changed_by_control_plane, defers, fingerprint, specification_fingerprint,
};
use crate::matching::upkeep::{claimed_places, missing_overrides};
use crate::matching::{Code, Decision, Input, Policy, TemplateKey, Waiting, claim_patch, decide};
use crate::testing::{named, policy, selector, spec};
use crate::trace::Item;

#[test]
fn users_and_the_control_plane_change_templates() {
    let template = json!({
        "metadata": {
            "name": "web", "generation": 1, "resourceVersion": "1",
            "labels": {"app": "web", (keys::PROPAGATION_POLICY_PERMANENT_ID): "1"},
            "annotations": {(keys::PROPAGATION_POLICY_NAME): "p"},
        },
        "spec": {"replicas": 1}, "status": {"replicas": 0},
    });
    let check = |edit: fn(&mut Value), changed: bool, by_control_plane: bool| {
        let mut new = template.clone();
        edit(&mut new);
        let print = specification_fingerprint;
        assert_eq!(print(&template) != print(&new), changed, "{new}");
        assert_eq!(
            changed_by_control_plane(&template, &new),
            by_control_plane,
            "{new}"
        );
        assert_eq!(
            fingerprint(&template) == fingerprint(&new),
            by_control_plane,
            "{new}"
        );
    };
    check(|_| (), false, true);
    check(|new| new["status"] = json!({"replicas": 1}), false, true);
    check(
        |new| new["metadata"]["resourceVersion"] = json!("2"),
        false,
        true,
    );
    check(
        |new| new["metadata"]["managedFields"] = json!([]),
        false,
        true,
    );
    check(|new| new["metadata"]["generation"] = json!(2), false, true);
    check(
        |new| new["metadata"]["labels"][keys::PROPAGATION_POLICY_PERMANENT_ID] = json!("2"),
        true,
        true,
    );
    check(
        |new| {
            drop(
                new["metadata"]
                    .as_object_mut()
                    .unwrap()
                    .remove("annotations"),
            );
        },
        true,
        true,
    );
    check(
        |new| new["metadata"]["labels"]["app"] = json!("api"),
        true,
        false,
    );
    check(
        |new| new["metadata"]["labels"][keys::SKIP_AUTO_PROPAGATION] = json!("true"),
        true,
        false,
    );
    check(|new| new["spec"]["replicas"] = json!(2), true, false);
}

#[test]
fn fingerprints_do_not_tell_secrets() {
    let secret = |data: &str, version: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "data": {"password": data},
            "metadata": {"name": "s", "resourceVersion": version},
        })
    };
    for print in [fingerprint, lazy::specification_fingerprint] {
        assert_eq!(print(&secret("a", "1")), print(&secret("b", "1")));
        assert_ne!(print(&secret("a", "1")), print(&secret("a", "2")));
    }
}

#[test]
fn lazy_policies_wait_for_users() {
    let lazy = PropagationSpec {
        activation_preference: Some(ActivationPreference::Lazy),
        ..spec(0, Vec::new())
    };
    let eager = spec(0, Vec::new());
    let template = json!({"metadata": {"name": "web"}, "spec": {"replicas": 1}});
    let built = |text: String| BTreeMap::from([(lazy::TEMPLATE_FINGERPRINT.to_owned(), text)]);
    let (current, stale) = (built(fingerprint(&template)), built("0".into()));
    for (spec, annotations, own_change, expected) in [
        (&eager, Some(&current), true, false),
        (&lazy, None, false, false),
        (&lazy, None, true, true),
        // A restart shows every template as new; the fingerprint tells that it is not.
        (&lazy, Some(&current), false, true),
        (&lazy, Some(&current), true, true),
        (&lazy, Some(&stale), false, false),
        (&lazy, Some(&stale), true, false),
    ] {
        assert_eq!(
            defers(
                &policy("demo", "p", spec),
                &template,
                annotations,
                own_change
            ),
            expected
        );
    }
}

#[test]
fn preemption_follows_priorities() {
    let named = vec![named("apps/v1", "Deployment", "web")];
    let always = |priority, selectors: &[ResourceSelector]| PropagationSpec {
        preemption: Some(PreemptionBehavior::Always),
        ..spec(priority, selectors.to_vec())
    };
    let (five, nine) = (always(5, &named), always(9, &named));
    let (low, meek) = (spec(1, named.clone()), spec(9, named.clone()));
    let all = always(9, &[selector("apps/v1", "Deployment")]);
    let (pp5, pp9) = (policy("demo", "pp5", &five), policy("demo", "pp9", &nine));
    let (cpp5, cpp9) = (policy("", "cpp5", &five), policy("", "cpp9", &nine));
    let owner = policy("demo", "low", &low);
    let terminating = Policy {
        terminating: true,
        ..policy("demo", "going", &nine)
    };
    let unidentified = Policy {
        id: "",
        ..policy("demo", "new", &nine)
    };
    let web = deployment("web", &[]);
    let decided = |policy: &Policy<'_>, owner: &Policy<'_>, preemption, deleted: bool| {
        let mut metadata = json!({});
        crate::diff::apply(
            &mut metadata,
            &claim_patch(&json!({}), &owner.claim()).unwrap()["metadata"],
        );
        if deleted {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let (cluster_policies, policies): (Vec<_>, Vec<_>) = [policy, owner]
            .into_iter()
            .cloned()
            .partition(|it| it.reference.namespace.is_empty());
        let input = Input {
            subject: &web,
            metadata: &metadata,
            policies: &policies,
            cluster_policies: &cluster_policies,
            preemption,
            bound: None,
        };
        let mut recorder = Recorder::default();
        let taken = match decide(&input, &mut recorder) {
            Decision::Preempt { policy: taker, .. } => {
                assert_eq!(taker.reference, policy.reference);
                true
            }
            _ => false,
        };
        // The record agrees: exactly one policy has the object, and why the other one does not is told.
        let used: Vec<_> = recorder
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Policy {
                    policy, used: true, ..
                } => Some(policy),
                _ => None,
            })
            .collect();
        let winner = if taken { policy } else { owner };
        assert_eq!(used, [&winner.reference]);
        taken
    };
    for (policy, owner, takes) in [
        (&pp9, &pp5, true),
        (&pp5, &pp9, false),
        (&pp5, &cpp9, true),
        (&cpp9, &pp5, false),
        (&cpp9, &cpp5, true),
        (&pp5, &owner, true),
        (&owner, &pp5, false),
        (&policy("demo", "meek", &meek), &pp5, false),
        (&policy("demo", "all", &all), &pp5, false),
        (&terminating, &pp5, false),
        (&unidentified, &pp5, false),
    ] {
        let case = format!("{} {}", policy.reference, owner.reference);
        assert_eq!(decided(policy, owner, true, false), takes, "{case}");
        assert!(!decided(policy, owner, false, false), "{case}, gate off");
        assert!(!decided(policy, owner, true, true), "{case}, being deleted");
    }
}

#[test]
fn a_better_policy_that_does_not_preempt_is_told_so() {
    let all = spec(0, vec![selector("apps/v1", "Deployment")]);
    let high = spec(9, vec![selector("apps/v1", "Deployment")]);
    let (mine, better) = (
        policy("demo", "mine", &all),
        policy("demo", "better", &high),
    );
    let (equal, cluster) = (policy("demo", "equal", &all), policy("", "wide", &high));
    let mut metadata = json!({});
    let patch = claim_patch(&json!({}), &mine.claim()).unwrap();
    crate::diff::apply(&mut metadata, &patch["metadata"]);
    let input = Input {
        subject: &deployment("web", &[]),
        metadata: &metadata,
        policies: &[mine.clone(), better, equal],
        cluster_policies: &[cluster],
        preemption: true,
        bound: None,
    };
    let mut recorder = Recorder::default();
    decide(&input, &mut recorder);
    let found: BTreeMap<_, _> = recorder
        .items
        .into_iter()
        .filter_map(|item| match item {
            Item::Policy { policy, code, .. } => Some((policy.name, code)),
            _ => None,
        })
        .collect();
    let expected = [
        ("better", Some(Code::NoPreemption)),
        ("equal", Some(Code::ClaimKept)),
        ("mine", None),
        ("wide", Some(Code::ClusterPolicyLoses)),
    ];
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|(name, code)| (name.to_owned(), code))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn policies_know_where_they_claim_and_what_they_wait_for() {
    let mut elsewhere = selector("v1", "Secret");
    elsewhere.namespace = Some("other".into());
    let mixed = spec(
        0,
        vec![
            selector("v1", "ConfigMap"),
            named("v1", "ConfigMap", "a"),
            elsewhere,
        ],
    );
    let places = |policy: &Policy<'_>| {
        claimed_places(policy)
            .into_iter()
            .map(|(_, kind, namespace)| format!("{kind}@{namespace}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        places(&policy("demo", "p", &mixed)),
        ["ConfigMap@demo", "Secret@other"]
    );
    assert_eq!(
        places(&policy("", "p", &mixed)),
        ["ConfigMap@", "Secret@other"]
    );

    let dependent = PropagationSpec {
        dependent_overrides: vec!["b".into(), "a".into(), "b".into(), "c".into()],
        ..PropagationSpec::default()
    };
    assert_eq!(
        missing_overrides(&dependent, |name| name == "c"),
        ["a", "b"]
    );
}

#[test]
fn waiting_templates_are_found_by_kind_and_namespace() {
    let key = |kind: &str, namespace: &str, name: &str| TemplateKey {
        api_version: "v1".into(),
        kind: kind.into(),
        namespace: namespace.into(),
        name: name.into(),
    };
    let mut waiting = Waiting::default();
    for key in [
        key("ConfigMap", "demo", "a"),
        key("ConfigMap", "demo", "b"),
        key("ConfigMap", "other", "a"),
        key("Namespace", "", "demo"),
    ] {
        assert!(waiting.insert(key.clone()));
        assert!(!waiting.insert(key));
    }
    assert_eq!(waiting.len(), 4);
    let all = spec(0, vec![selector("v1", "ConfigMap")]);
    let one = spec(
        0,
        vec![named("v1", "ConfigMap", "a"), selector("v1", "Namespace")],
    );
    assert_eq!(waiting.candidates(&policy("demo", "p", &all)).len(), 2);
    assert_eq!(waiting.candidates(&policy("", "p", &all)).len(), 3);
    assert_eq!(waiting.candidates(&policy("", "p", &one)).len(), 3);
    assert!(waiting.contains(&key("Namespace", "", "demo")));
    assert!(waiting.remove(&key("Namespace", "", "demo")));
    assert!(!waiting.remove(&key("Namespace", "", "demo")));
    for name in ["a", "b"] {
        waiting.remove(&key("ConfigMap", "demo", name));
    }
    waiting.remove(&key("ConfigMap", "other", "a"));
    assert!(waiting.is_empty());
}

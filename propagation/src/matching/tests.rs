use std::collections::BTreeMap;

use ::trace::{NoTrace, Recorder};
use crds::keys;
use crds::policy::{ActivationPreference, PreemptionBehavior, PropagationSpec};
use crds::work::ObjectReference;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::lazy::{changed_by_control_plane, defers, fingerprint, specification_changed};
use super::preemption::{Preemption, after_lowering, preempt};
use super::upkeep::{Upkeep, claimed_places, missing_overrides, upkeep};
use super::*;
use crate::testing::{labelled, named, policy, selector, spec};
use crate::trace::Item;

fn deployment(name: &str, labels: &[(&str, &str)]) -> Subject {
    Subject {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "demo".into(),
        name: name.into(),
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
    }
}

#[test]
fn selectors_have_levels() {
    let web = deployment("web", &[("app", "web")]);
    let mut other_namespace = named("apps/v1", "Deployment", "web");
    other_namespace.namespace = Some("other".into());
    let mut named_and_labelled = labelled("apps/v1", "Deployment", &[("app", "no")]);
    named_and_labelled.name = Some("web".into());
    let mut empty_texts = selector("apps/v1", "Deployment");
    empty_texts.namespace = Some(String::new());
    empty_texts.name = Some(String::new());
    for (selector, level) in [
        (named("apps/v1", "Deployment", "web"), Level::Name),
        (named("apps/v1", "Deployment", "api"), Level::None),
        (named_and_labelled, Level::Name),
        (
            labelled("apps/v1", "Deployment", &[("app", "web")]),
            Level::Label,
        ),
        (labelled("apps/v1", "Deployment", &[]), Level::Label),
        (
            labelled("apps/v1", "Deployment", &[("app", "api")]),
            Level::None,
        ),
        (
            labelled("apps/v1", "Deployment", &[("app", "not a value!")]),
            Level::None,
        ),
        (selector("apps/v1", "Deployment"), Level::All),
        (empty_texts, Level::All),
        (selector("apps/v1beta1", "Deployment"), Level::None),
        (selector("apps/v1", "StatefulSet"), Level::None),
        (other_namespace, Level::None),
    ] {
        assert_eq!(web.level_of(&selector), level, "{selector:?}");
    }
    assert_eq!(
        web.level(&[
            selector("apps/v1", "Deployment"),
            named("apps/v1", "Deployment", "web")
        ]),
        Level::Name
    );
}

#[test]
fn the_best_policy_wins_and_every_other_is_told_why() {
    let web = deployment("web", &[("app", "web")]);
    let all = spec(0, vec![selector("apps/v1", "Deployment")]);
    let by_name = spec(0, vec![named("apps/v1", "Deployment", "web")]);
    let high = spec(5, vec![selector("apps/v1", "Deployment")]);
    let elsewhere = spec(
        9,
        vec![labelled("apps/v1", "Deployment", &[("app", "api")])],
    );
    let check = |policies: &[Policy<'_>],
                 cluster: &[Policy<'_>],
                 expected: Option<&str>,
                 codes: &[(&str, Code)]| {
        let mut recorder = Recorder::default();
        let chosen = choose(&web, policies, cluster, &mut recorder);
        assert_eq!(chosen.map(|policy| &*policy.reference.name), expected);
        let found: BTreeMap<_, _> = recorder
            .items
            .into_iter()
            .filter_map(|item| match item {
                Item::Policy { policy, code, .. } => Some((policy.name, code?)),
                _ => None,
            })
            .collect();
        let expected: BTreeMap<_, _> = codes
            .iter()
            .map(|(name, code)| ((*name).to_owned(), *code))
            .collect();
        assert_eq!(found, expected);
    };
    check(&[], &[], None, &[]);
    check(
        &[policy("demo", "a", &elsewhere)],
        &[],
        None,
        &[("a", Code::SelectorMismatch)],
    );
    check(
        &[policy("demo", "b", &all), policy("demo", "a", &all)],
        &[],
        Some("a"),
        &[("b", Code::LaterName)],
    );
    check(
        &[policy("demo", "a", &all), policy("demo", "b", &by_name)],
        &[],
        Some("b"),
        &[("a", Code::LowerMatchLevel)],
    );
    check(
        &[policy("demo", "a", &by_name), policy("demo", "b", &high)],
        &[policy("", "c", &high), policy("", "d", &elsewhere)],
        Some("b"),
        &[
            ("a", Code::LowerPriority),
            ("c", Code::ClusterPolicyLoses),
            ("d", Code::SelectorMismatch),
        ],
    );
    check(
        &[policy("demo", "x", &elsewhere)],
        &[policy("", "c", &all)],
        Some("c"),
        &[("x", Code::SelectorMismatch)],
    );
    let terminating = Policy {
        terminating: true,
        ..policy("demo", "a", &high)
    };
    check(
        &[terminating, policy("demo", "b", &all)],
        &[],
        Some("b"),
        &[("a", Code::PolicyTerminating)],
    );
    check(
        &[policy("other", "o", &high)],
        &[],
        None,
        &[("o", Code::WrongNamespace)],
    );

    let clusterwide = Subject {
        namespace: String::new(),
        ..web.clone()
    };
    assert!(
        choose(
            &clusterwide,
            &[policy("demo", "a", &all)],
            &[],
            &mut NoTrace
        )
        .is_none()
    );
}

#[test]
fn mismatches_show_wanted_and_found_labels() {
    let wants = spec(
        0,
        vec![labelled("apps/v1", "Deployment", &[("team", "core")])],
    );
    let mut recorder = Recorder::default();
    choose(
        &deployment("web", &[("team", "shop")]),
        &[policy("demo", "a", &wants)],
        &[],
        &mut recorder,
    );
    let Item::Policy { message, .. } = &recorder.items[0] else {
        panic!("no verdict")
    };
    assert_eq!(
        message,
        "selects apps/v1 Deployment with team=core (object has shop)"
    );
}

fn claimed(policy: &PolicyRef, id: &str) -> Value {
    let mut object = json!({"metadata": {"labels": {"app": "web"}, "name": "web"}});
    let patch = claim_patch(
        &object["metadata"],
        &Claim {
            policy: policy.clone(),
            id: id.into(),
        },
    )
    .unwrap();
    crate::diff::apply(&mut object, &patch);
    object["metadata"].clone()
}

#[test]
fn claims_are_made_and_read() {
    let pp = Claim {
        policy: PolicyRef::namespaced("demo", "pol"),
        id: "1".into(),
    };
    let cpp = Claim {
        policy: PolicyRef::cluster("everywhere"),
        id: "2".into(),
    };
    assert_eq!(
        claim_patch(&json!({}), &pp),
        Some(json!({"metadata": {
            "labels": {(keys::PROPAGATION_POLICY_PERMANENT_ID): "1"},
            "annotations": {(keys::PROPAGATION_POLICY_NAMESPACE): "demo", (keys::PROPAGATION_POLICY_NAME): "pol"},
        }}))
    );
    assert_eq!(
        claim_patch(&json!({"labels": null}), &cpp),
        Some(json!({"metadata": {
            "labels": {(keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID): "2"},
            "annotations": {(keys::CLUSTER_PROPAGATION_POLICY_NAME): "everywhere"},
        }}))
    );
    // A namespaced policy takes over from a cluster-scoped one.
    let metadata = claimed(&cpp.policy, "2");
    assert_eq!(read_claim(&metadata), ClaimState::Claimed(cpp.clone()));
    let patch = claim_patch(&metadata, &pp).unwrap();
    assert_eq!(
        patch["metadata"]["labels"][keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID],
        Value::Null
    );
    assert_eq!(
        patch["metadata"]["annotations"][keys::CLUSTER_PROPAGATION_POLICY_NAME],
        Value::Null
    );
    let mut object = json!({"metadata": metadata});
    crate::diff::apply(&mut object, &patch);
    assert_eq!(
        read_claim(&object["metadata"]),
        ClaimState::Claimed(pp.clone())
    );
    assert_eq!(claim_patch(&object["metadata"], &pp), None);
    assert_eq!(object["metadata"]["labels"]["app"], "web");
    // Releasing compares ids.
    assert_eq!(
        release_patch(&object["metadata"], PolicyKind::PropagationPolicy, "other"),
        None
    );
    assert_eq!(
        release_patch(
            &object["metadata"],
            PolicyKind::ClusterPropagationPolicy,
            "1"
        ),
        None
    );
    let patch = release_patch(&object["metadata"], PolicyKind::PropagationPolicy, "1").unwrap();
    crate::diff::apply(&mut object, &patch);
    assert_eq!(
        object,
        json!({"metadata": {"labels": {"app": "web"}, "annotations": {}, "name": "web"}})
    );
    assert_eq!(read_claim(&object["metadata"]), ClaimState::None);
}

#[test]
fn decisions() {
    let web = deployment("web", &[("app", "web")]);
    let all = spec(0, vec![selector("apps/v1", "Deployment")]);
    let high = spec(9, vec![selector("apps/v1", "Deployment")]);
    let other = spec(0, vec![named("apps/v1", "Deployment", "api")]);
    let mine = PolicyRef::namespaced("demo", "mine");
    let bound = |api_version: &str| ObjectReference {
        api_version: api_version.into(),
        kind: "Deployment".into(),
        ..ObjectReference::default()
    };
    let check = |metadata: &Value,
                 policies: &[Policy<'_>],
                 bound: Option<&ObjectReference>,
                 expected: &str| {
        let input = Input {
            subject: &web,
            metadata,
            policies,
            cluster_policies: &[],
            bound,
        };
        let found = match decide(&input, &mut NoTrace) {
            Decision::Apply { policy, newly } => {
                format!("apply {} newly={newly}", policy.reference)
            }
            Decision::Release { claim, code, .. } => {
                format!("release {} {}", claim.policy, code.as_str())
            }
            Decision::Wait { policy } => format!("wait {}", policy.reference),
            Decision::Ignore => "ignore".to_owned(),
            Decision::NoPolicy => "none".to_owned(),
        };
        assert_eq!(found, expected);
    };
    let metadata = claimed(&mine, "id-mine");
    check(&json!({}), &[], None, "none");
    check(
        &json!({}),
        &[policy("demo", "mine", &all)],
        None,
        "apply demo/mine newly=true",
    );
    // A claim holds against a better policy.
    check(
        &metadata,
        &[
            policy("demo", "mine", &all),
            policy("demo", "better", &high),
        ],
        None,
        "apply demo/mine newly=false",
    );
    check(
        &metadata,
        &[policy("demo", "better", &high)],
        None,
        "release demo/mine ClaimStale",
    );
    let terminating = Policy {
        terminating: true,
        ..policy("demo", "mine", &all)
    };
    check(&metadata, &[terminating], None, "wait demo/mine");
    check(
        &metadata,
        &[policy("demo", "mine", &other)],
        None,
        "release demo/mine SelectorMismatch",
    );
    check(
        &metadata,
        &[policy("demo", "mine", &other)],
        Some(&bound("apps/v1")),
        "release demo/mine SelectorMismatch",
    );
    check(
        &metadata,
        &[policy("demo", "mine", &other)],
        Some(&bound("apps/v1beta1")),
        "ignore",
    );
    // Half a claim is repaired: the policy with that id keeps the template.
    let mut half = metadata.clone();
    half["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(keys::PROPAGATION_POLICY_NAME);
    check(
        &half,
        &[
            policy("demo", "mine", &all),
            policy("demo", "better", &high),
        ],
        None,
        "apply demo/mine newly=false",
    );
    // Without the label the template is matched afresh.
    let mut unlabelled = metadata.clone();
    unlabelled["labels"]
        .as_object_mut()
        .unwrap()
        .remove(keys::PROPAGATION_POLICY_PERMANENT_ID);
    check(
        &unlabelled,
        &[
            policy("demo", "mine", &all),
            policy("demo", "better", &high),
        ],
        None,
        "apply demo/better newly=true",
    );
}

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
        assert_eq!(specification_changed(&template, &new), changed, "{new}");
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
    check(|new| new["metadata"]["generation"] = json!(2), true, true);
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
            )
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
    let always = |priority| PropagationSpec {
        preemption: Some(PreemptionBehavior::Always),
        ..spec(priority, vec![named("apps/v1", "Deployment", "web")])
    };
    let (five, nine) = (always(5), always(9));
    let low = spec(1, Vec::new());
    let claim = |policy: &Policy<'_>| ClaimState::Claimed(policy.claim());
    let (pp5, pp9) = (policy("demo", "pp5", &five), policy("demo", "pp9", &nine));
    let (cpp5, cpp9) = (policy("", "cpp5", &five), policy("", "cpp9", &nine));
    let owner = policy("demo", "low", &low);
    for (policy, owner, takes) in [
        (&pp9, &pp5, true),
        (&pp5, &pp9, false),
        (&pp5, &pp5, false),
        (&pp5, &cpp9, true),
        (&cpp9, &pp5, false),
        (&cpp9, &cpp5, true),
        (&pp5, &owner, true),
        (&owner, &pp5, false),
    ] {
        let found = preempt(policy, &claim(owner), Some(owner), false);
        assert_eq!(
            found
                == Preemption::Take {
                    from: owner.claim()
                },
            takes,
            "{} {}",
            policy.reference,
            owner.reference
        );
    }
    assert_eq!(
        preempt(&pp9, &ClaimState::None, None, false),
        Preemption::Leave
    );
    assert_eq!(
        preempt(&pp9, &claim(&pp5), Some(&pp5), true),
        Preemption::Leave
    );
    assert_eq!(
        preempt(&pp9, &claim(&pp5), None, false),
        Preemption::UnknownOwner {
            owner: pp5.reference.clone()
        }
    );
    // Unknown priorities of cluster policies do not matter to a namespaced one.
    assert_eq!(
        preempt(&pp5, &claim(&cpp9), None, false),
        Preemption::Take { from: cpp9.claim() }
    );

    let (six, seven) = (always(6), always(7));
    let others = [
        policy("demo", "six", &six),
        policy("demo", "seven", &seven),
        pp5.clone(),
        pp9.clone(),
        owner.clone(),
        policy("other", "far", &six),
        policy("", "cluster", &six),
    ];
    let lowered = after_lowering(&PolicyRef::namespaced("demo", "x"), 9, 5, &others);
    assert_eq!(
        lowered.iter().map(|it| &*it.name).collect::<Vec<_>>(),
        ["seven", "six"]
    );
    assert!(after_lowering(&PolicyRef::namespaced("demo", "x"), 5, 9, &others).is_empty());
}

#[test]
fn changed_policies_keep_release_or_leave() {
    let web = spec(0, vec![named("apps/v1", "Deployment", "web")]);
    let owner = policy("demo", "p", &web);
    assert_eq!(upkeep(&owner, None), Upkeep::Leave);
    assert_eq!(
        upkeep(&owner, Some(&deployment("web", &[]))),
        Upkeep::Refresh
    );
    assert_eq!(
        upkeep(&owner, Some(&deployment("api", &[]))),
        Upkeep::Release
    );

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

proptest! {
    #[test]
    fn the_order_of_policies_does_not_matter(
        ranks in prop::collection::vec((0..3i32, 0..4usize), 1..8),
        seed in any::<u64>(),
    ) {
        let subject = deployment("web", &[("app", "web")]);
        let selectors = [
            named("apps/v1", "Deployment", "other"),
            selector("apps/v1", "Deployment"),
            labelled("apps/v1", "Deployment", &[("app", "web")]),
            named("apps/v1", "Deployment", "web"),
        ];
        let specs: Vec<_> = ranks.iter().map(|(priority, at)| spec(*priority, vec![selectors[*at].clone()])).collect();
        let mut policies: Vec<_> =
            specs.iter().enumerate().map(|(index, spec)| policy("demo", &format!("p{index}"), spec)).collect();
        let first = choose(&subject, &policies, &[], &mut NoTrace).map(|policy| policy.reference.clone());
        policies.sort_by_key(|policy| policy.reference.name.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }));
        let second = choose(&subject, &policies, &[], &mut NoTrace).map(|policy| policy.reference.clone());
        prop_assert_eq!(first, second);
    }

    #[test]
    fn odd_metadata_is_read_without_panic(text in any::<String>(), number in any::<i64>()) {
        for metadata in [json!(text), json!(number), json!({"labels": text}), json!({"labels": {"a": number}})] {
            prop_assert_eq!(read_claim(&metadata), ClaimState::None);
        }
    }
}

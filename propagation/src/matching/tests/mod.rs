mod upkeep;

use std::collections::BTreeMap;

use ::trace::{NoTrace, Recorder};
use crds::keys;
use crds::work::ObjectReference;
use proptest::prelude::*;
use serde_json::{Value, json};

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
    // Only the claim that is meant is released: it has the policy's id, or names the policy.
    let claim = |policy: &PolicyRef, id: &str| Claim {
        policy: policy.clone(),
        id: id.to_owned(),
    };
    let other = PolicyRef::namespaced("demo", "other");
    for (name, claim, expected) in [
        ("another policy", claim(&other, "other"), false),
        ("another kind", claim(&cpp.policy, "1"), false),
        ("no id and another name", claim(&other, ""), false),
        ("renamed by hand", claim(&other, "1"), true),
        ("another id by now", claim(&pp.policy, "new"), true),
        ("no id by now", claim(&pp.policy, ""), true),
    ] {
        let patch = release_patch(&object["metadata"], &claim);
        assert_eq!(patch.is_some(), expected, "{name}");
    }
    let patch = release_patch(&object["metadata"], &pp).unwrap();
    crate::diff::apply(&mut object, &patch);
    assert_eq!(
        object,
        json!({"metadata": {"labels": {"app": "web"}, "annotations": {}, "name": "web"}})
    );
    assert_eq!(read_claim(&object["metadata"]), ClaimState::None);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, read by line")]
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
            preemption: true,
            bound,
        };
        let found = match decide(&input, &mut NoTrace) {
            Decision::Apply { policy, newly } => {
                format!("apply {} newly={newly}", policy.reference)
            }
            Decision::Release { claim, code, .. } => {
                format!("release {} {}", claim.policy, code.as_str())
            }
            Decision::Preempt { policy, .. } => format!("preempt {}", policy.reference),
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

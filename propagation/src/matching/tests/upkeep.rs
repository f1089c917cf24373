use std::collections::BTreeMap;

use crds::keys;
use crds::policy::{ActivationPreference, PreemptionBehavior, PropagationSpec};
use serde_json::{Value, json};

use super::deployment;
use crate::matching::lazy::{
    self, changed_by_control_plane, defers, fingerprint, specification_changed,
};
use crate::matching::preemption::{Preemption, after_lowering, preempt};
use crate::matching::upkeep::{Upkeep, claimed_places, missing_overrides, upkeep};
use crate::matching::{ClaimState, Policy, PolicyRef, TemplateKey, Waiting};
use crate::testing::{named, policy, selector, spec};

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

use ::trace::NoTrace;
use proptest::prelude::*;

use super::*;
use crate::clock::at;

fn threshold(percent: u8, at_least: u32) -> Threshold {
    Threshold {
        percent,
        at_least,
        window: Duration::from_mins(1),
    }
}

fn cluster() -> Scope {
    Scope::Cluster("m1".into())
}

/// Removes one object of a cluster that has `total` objects now; returns whether it went.
fn remove(ledger: &mut Ledger, object: &str, total: usize, limits: Threshold, now: i64) -> bool {
    let scope = cluster();
    ledger.prune(&scope, limits.window, &at(now));
    let began = ledger.total(&scope).unwrap_or(total);
    let allowance = |_: &Scope| Allowance {
        threshold: limits,
        is_held: false,
        is_released: false,
    };
    let removal = Removal {
        object,
        scopes: std::slice::from_ref(&scope),
        doubt: None,
        is_released: false,
    };
    let proceeds = decide(&removal, ledger, allowance, |_| began, &mut NoTrace) == Verdict::Proceed;
    if proceeds {
        // What there is before this removal.
        ledger.record(&scope, object, total, &at(now));
    }
    proceeds
}

#[test]
fn a_wave_stops_at_the_limit() {
    let limits = threshold(30, 2);
    let mut ledger = Ledger::default();
    for gone in 0..6 {
        let went = remove(&mut ledger, &format!("o{gone}"), 20 - gone, limits, 100);
        assert!(went, "{gone}");
    }
    assert!(!remove(&mut ledger, "o6", 14, limits, 100));
    // What went already may be asked for again, and the window ends.
    assert!(remove(&mut ledger, "o5", 14, limits, 100));
    assert!(!remove(&mut ledger, "o6", 14, limits, 160));
    assert!(remove(&mut ledger, "o6", 14, limits, 161));
    ledger.prune(&cluster(), limits.window, &at(500));
    assert_eq!(ledger, Ledger::default());
}

#[test]
fn what_holds_and_what_lets_go() {
    let policy = Scope::Policy(PolicyRef::namespaced("shop", "web"));
    let allowance = |held, released, threshold| Allowance {
        threshold,
        is_held: held,
        is_released: released,
    };
    let on = Threshold::default();
    for (name, doubt, released, of_scope, expected) in [
        (
            "one of many",
            None,
            false,
            allowance(false, false, on),
            None,
        ),
        (
            "its scope is held",
            None,
            false,
            allowance(true, false, on),
            Some(Reason::PolicyLimit),
        ),
        (
            "its scope is released",
            None,
            false,
            allowance(true, true, on),
            None,
        ),
        (
            "the binding is released",
            None,
            true,
            allowance(true, false, on),
            None,
        ),
        (
            "the threshold is off",
            None,
            false,
            allowance(true, false, Threshold::OFF),
            None,
        ),
        (
            "last copy",
            Some(Doubt::LastCopy),
            false,
            allowance(false, false, Threshold::OFF),
            Some(Reason::LastCopy),
        ),
        (
            "last copy, released",
            Some(Doubt::LastCopy),
            true,
            allowance(false, false, on),
            None,
        ),
        (
            "last copy, its policy is released",
            Some(Doubt::LastCopy),
            false,
            allowance(false, true, on),
            None,
        ),
        (
            "kind gone",
            Some(Doubt::KindGone),
            false,
            allowance(false, false, on),
            Some(Reason::KindGone),
        ),
    ] {
        let removal = Removal {
            object: "karmada-es-m1/web",
            scopes: std::slice::from_ref(&policy),
            doubt,
            is_released: released,
        };
        let verdict = decide(
            &removal,
            &Ledger::default(),
            |_| of_scope,
            |_| 100,
            &mut NoTrace,
        );
        let found = match &verdict {
            Verdict::Proceed => None,
            Verdict::Hold(hold) => Some(hold.reason),
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn the_message_names_the_scope_and_the_command() {
    let hold = too_many(
        &Scope::Policy(PolicyRef::namespaced("shop", "web")),
        Threshold::default(),
    );
    assert_eq!(
        hold.message,
        "more than 30 % and more than 10 of the objects of PropagationPolicy shop/web would go within 300 s; if that is meant, \
         let them go with `navarch release-hold propagationpolicy/web -n shop`"
    );
}

#[test]
fn releases_expire() {
    assert!(is_released(Some("1970-01-01T00:01:00Z"), &at(100)));
    assert!(!is_released(Some("1970-01-01T00:01:00Z"), &at(361)));
    assert!(!is_released(Some("yes"), &at(100)));
    assert!(!is_released(None, &at(100)));
}

#[test]
fn a_release_from_the_future_is_none() {
    assert_eq!(
        release(Some("1970-01-01T00:02:30Z"), &at(100)),
        Release::InForce
    );
    for text in ["1970-01-01T00:02:41Z", "2999-01-01T00:00:00Z", "yes"] {
        let Release::Invalid(message) = release(Some(text), &at(100)) else {
            panic!("{text} is taken")
        };
        assert!(message.contains(text) && message.contains("navarch release-hold"));
    }
    assert_eq!(
        release(Some("1970-01-01T00:00:00Z"), &at(600)),
        Release::Over
    );
}

#[test]
fn a_release_of_one_scope_lets_go_what_another_one_holds() {
    let policy = Scope::Policy(PolicyRef::namespaced("shop", "web"));
    let scopes = [cluster(), policy.clone()];
    let removal = Removal {
        object: "karmada-es-m1/web",
        scopes: &scopes,
        doubt: None,
        is_released: false,
    };
    let verdict = |released: &Scope| {
        let allowance = |scope: &Scope| Allowance {
            threshold: Threshold::default(),
            is_held: true,
            is_released: scope == released,
        };
        decide(
            &removal,
            &Ledger::default(),
            allowance,
            |_| 100,
            &mut NoTrace,
        )
    };
    assert_eq!(verdict(&cluster()), Verdict::Proceed);
    assert_eq!(verdict(&policy), Verdict::Proceed);
    let neither = verdict(&Scope::Cluster("m2".into()));
    assert!(matches!(neither, Verdict::Hold(_)));
}

#[test]
fn a_total_is_asked_for_only_where_it_matters() {
    let scope = cluster();
    let counted = |held: bool, released: bool, threshold: Threshold| {
        let removal = Removal {
            object: "o",
            scopes: std::slice::from_ref(&scope),
            doubt: None,
            is_released: false,
        };
        let allowance = |_: &Scope| Allowance {
            threshold,
            is_held: held,
            is_released: released,
        };
        let mut count = 0;
        let total = |_: &Scope| {
            count += 1;
            100
        };
        let _ = decide(&removal, &Ledger::default(), allowance, total, &mut NoTrace);
        count
    };
    assert_eq!(counted(true, false, Threshold::default()), 0);
    assert_eq!(counted(false, true, Threshold::default()), 0);
    assert_eq!(counted(false, false, Threshold::OFF), 0);
    assert_eq!(counted(false, false, Threshold::default()), 1);
}

#[test]
fn a_scope_that_shrinks_steadily_is_measured_by_what_it_has() {
    // One object in a while, so that the window never empties: 30 % of what there was at its beginning, not at the first removal ever.
    let limits = threshold(30, 0);
    let mut ledger = Ledger::default();
    let mut total = 100;
    for step in 0..80 {
        assert!(remove(
            &mut ledger,
            &format!("o{step}"),
            total,
            limits,
            step * 50
        ));
        total -= 1;
    }
    assert!(ledger.total(&cluster()).unwrap() <= 23);
    assert_eq!(ledger.recent_total(&cluster(), &at(79 * 50)), Some(21));
    assert_eq!(ledger.recent_total(&cluster(), &at(79 * 50 + 1)), None);
}

proptest! {
    #[test]
    fn no_wave_exceeds_its_limit(total in 0usize..200, percent in 0u8..=100, at_least in 0u32..20) {
        let limits = threshold(percent, at_least);
        let mut ledger = Ledger::default();
        let gone = (0..total)
            .take_while(|gone| remove(&mut ledger, &format!("o{gone}"), total - gone, limits, 0))
            .count();
        prop_assert_eq!(gone, limits.limit(total).min(total));
    }
}

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
    let total = ledger.total(&scope).unwrap_or(total);
    let allowance = |_: &Scope| Allowance {
        total,
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
    let proceeds = decide(&removal, ledger, allowance, &mut NoTrace) == Verdict::Proceed;
    if proceeds {
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
        total: 100,
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
        let verdict = decide(&removal, &Ledger::default(), |_| of_scope, &mut NoTrace);
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

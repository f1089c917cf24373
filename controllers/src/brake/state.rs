//! What is held back, by holder and by scope.

use std::collections::{BTreeMap, BTreeSet};

use crds::conditions::{self, status::TRUE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use propagation::brake::{HeldBack, Ledger, REMOVAL_HELD, Scope};

use super::Holder;

/// Names that a message lists before it only counts.
const LISTED: usize = 3;

#[derive(Default)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    held: BTreeMap<Holder, Vec<HeldBack>>,
    /// How many held objects each scope accounts for.
    by_scope: BTreeMap<Scope, usize>,
    /// Scopes that allow more than when they held: what they hold is judged anew, until they are full again.
    reopened: BTreeSet<Scope>,
}

impl State {
    /// Notes what a holder has held back now; returns what it had before.
    pub(super) fn set(&mut self, holder: &Holder, held: Vec<HeldBack>) -> Vec<HeldBack> {
        for scope in held.iter().filter_map(|it| it.hold.scope.as_ref()) {
            *self.by_scope.entry(scope.clone()).or_default() += 1;
        }
        let before = if held.is_empty() {
            self.held.remove(holder)
        } else {
            self.held.insert(holder.clone(), held)
        };
        let before = before.unwrap_or_default();
        for scope in before.iter().filter_map(|it| it.hold.scope.as_ref()) {
            if let Some(count) = self.by_scope.get_mut(scope) {
                *count -= 1;
                if *count == 0 {
                    self.by_scope.remove(scope);
                    self.reopened.remove(scope);
                }
            }
        }
        before
    }

    pub(super) fn holders(&self) -> usize {
        self.held.len()
    }

    pub(super) fn holds(&self, holder: &Holder) -> bool {
        self.held.contains_key(holder)
    }

    pub(super) fn held_back(&self, holder: &Holder) -> Vec<HeldBack> {
        self.held.get(holder).cloned().unwrap_or_default()
    }

    /// Whether the scope lets nothing go because it holds something already.
    pub(super) fn is_held(&self, scope: &Scope) -> bool {
        self.by_scope.contains_key(scope) && !self.reopened.contains(scope)
    }

    /// Has what the scope holds judged anew, because it allows more now.
    pub(super) fn reopen(&mut self, scope: &Scope) {
        if self.by_scope.contains_key(scope) {
            self.reopened.insert(scope.clone());
        }
    }

    /// The scope is full once more.
    pub(super) fn close(&mut self, scope: &Scope) {
        self.reopened.remove(scope);
    }

    /// The policies that keep something of a holder in a cluster.
    pub(super) fn policies_holding(&self, holder: &Holder, cluster: &str) -> Vec<Scope> {
        let held = self.held.get(holder).into_iter().flatten();
        let mut scopes: Vec<Scope> = held
            .filter(|item| item.cluster == cluster)
            .filter_map(|item| item.hold.scope.clone())
            .filter(|scope| matches!(scope, Scope::Policy(_)))
            .collect();
        scopes.dedup();
        scopes
    }

    /// Who may have something let go when the scope is released or allows more.
    pub(super) fn holders_of(&self, scope: &Scope) -> Vec<Holder> {
        let concerns = |holder: &Holder, held: &[HeldBack]| match scope {
            Scope::Cluster(name) => {
                *holder == Holder::Cluster(name.clone())
                    || held.iter().any(|item| item.cluster == *name)
            }
            // A release of the policy lets go what a cluster holds as well, and a holder knows its policy best.
            Scope::Policy(_) => !matches!(holder, Holder::Cluster(_)),
        };
        self.held
            .iter()
            .filter(|(holder, held)| concerns(holder, held))
            .map(|(holder, _)| holder.clone())
            .collect()
    }

    /// What is held back in a cluster, for its condition.
    pub(super) fn in_cluster(&self, cluster: &str) -> Option<Condition> {
        let mut count = 0_usize;
        let mut names = Vec::new();
        let mut is_limit = false;
        for (holder, held) in &self.held {
            let mut any = false;
            for item in held.iter().filter(|item| item.cluster == cluster) {
                count += item.objects;
                any = true;
                is_limit |= matches!(item.hold.scope, Some(Scope::Cluster(_)));
            }
            if any && names.len() <= LISTED {
                names.push(holder.to_string());
            }
        }
        if count == 0 {
            return None;
        }
        let more = names.len() > LISTED;
        names.truncate(LISTED);
        let removals = if count == 1 {
            "1 removal waits".to_owned()
        } else {
            format!("{count} removals wait")
        };
        let message = format!(
            "{removals} to be let go: {}{}; their condition {REMOVAL_HELD} says why; `navarch release-hold cluster/{cluster}` lets all of them go",
            names.join(", "),
            if more { ", …" } else { "" },
        );
        let reason = if is_limit {
            "ClusterRemovalLimit"
        } else {
            "RemovalsHeld"
        };
        Some(conditions::condition(REMOVAL_HELD, TRUE, reason, message))
    }
}

#[cfg(test)]
mod tests {
    use crds::object::Key;
    use propagation::{
        brake::{Hold, Reason, Threshold},
        matching::PolicyRef,
    };

    use super::*;

    fn policy() -> Scope {
        Scope::Policy(PolicyRef::namespaced("shop", "web"))
    }

    fn kept(cluster: &str, reason: Reason, scope: Option<Scope>) -> HeldBack {
        HeldBack::new(
            cluster,
            Hold {
                reason,
                scope,
                threshold: Some(Threshold::default()),
                message: String::new(),
            },
        )
    }

    fn binding(name: &str) -> Holder {
        Holder::ResourceBinding(Key::new("shop", name))
    }

    #[test]
    fn a_scope_holds_as_long_as_a_holder_says_so() {
        let mut state = State::default();
        let limit = || vec![kept("m1", Reason::PolicyLimit, Some(policy()))];
        state.set(&binding("a"), limit());
        state.set(&binding("b"), limit());
        assert!(state.is_held(&policy()) && state.holders() == 2);
        // Said again, it counts once.
        assert_eq!(state.set(&binding("a"), limit()), limit());
        state.set(&binding("a"), Vec::new());
        assert!(state.is_held(&policy()) && !state.holds(&binding("a")));
        state.set(&binding("b"), Vec::new());
        assert!(!state.is_held(&policy()) && state.holders() == 0);
    }

    #[test]
    fn what_a_laxer_scope_holds_is_judged_anew() {
        let mut state = State::default();
        state.reopen(&policy());
        state.set(
            &binding("a"),
            vec![kept("m1", Reason::PolicyLimit, Some(policy()))],
        );
        assert!(state.is_held(&policy()), "it held nothing before");
        state.reopen(&policy());
        assert!(!state.is_held(&policy()));
        state.close(&policy());
        assert!(state.is_held(&policy()));
        state.reopen(&policy());
        state.set(&binding("a"), Vec::new());
        state.set(
            &binding("a"),
            vec![kept("m1", Reason::PolicyLimit, Some(policy()))],
        );
        assert!(state.is_held(&policy()), "a later hold is one of its own");
    }

    #[test]
    fn a_release_concerns_whoever_it_may_let_go() {
        let mut state = State::default();
        let m1 = Scope::Cluster("m1".into());
        state.set(&binding("a"), vec![kept("m1", Reason::LastCopy, None)]);
        state.set(
            &binding("b"),
            vec![kept("m2", Reason::PolicyLimit, Some(policy()))],
        );
        let leaving = Holder::Cluster("m1".into());
        state.set(
            &leaving,
            vec![kept("m1", Reason::ClusterLimit, Some(m1.clone()))],
        );
        assert_eq!(state.holders_of(&m1), [binding("a"), leaving]);
        assert_eq!(state.holders_of(&policy()), [binding("a"), binding("b")]);
        assert_eq!(state.policies_holding(&binding("b"), "m2"), [policy()]);
        assert!(state.policies_holding(&binding("b"), "m1").is_empty());
    }

    #[test]
    fn a_cluster_counts_objects_and_names_some_holders() {
        let mut state = State::default();
        assert_eq!(state.in_cluster("m1"), None);
        state.set(&binding("a"), vec![kept("m1", Reason::LastCopy, None)]);
        let condition = state.in_cluster("m1").unwrap();
        assert_eq!(condition.reason, "RemovalsHeld");
        assert!(
            condition
                .message
                .starts_with("1 removal waits to be let go: ResourceBinding shop/a;")
        );
        for name in ["b", "c", "d", "e"] {
            state.set(&binding(name), vec![kept("m1", Reason::LastCopy, None)]);
        }
        let mut all = kept(
            "m1",
            Reason::ClusterLimit,
            Some(Scope::Cluster("m1".into())),
        );
        all.objects = 40;
        state.set(&Holder::Cluster("m1".into()), vec![all]);
        let condition = state.in_cluster("m1").unwrap();
        assert_eq!(condition.reason, "ClusterRemovalLimit");
        assert!(
            condition.message.starts_with("45 removals wait") && condition.message.contains(", …"),
            "{}",
            condition.message
        );
        assert_eq!(state.in_cluster("m2"), None);
    }
}

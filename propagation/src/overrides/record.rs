//! The record of applied overrides, as it is annotated on the Work.

use crds::keys;
use crds::policy::Overriders;
use serde::Serialize;

use super::PolicyRef;

/// The rules that were applied, by class of policy and in the order of application.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    rules: Vec<AppliedRule>,
}

/// One applied rule.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedRule {
    pub policy: PolicyRef,
    /// Which of the policy's rules, from 1.
    pub rule: usize,
    pub overriders: Overriders,
}

impl Applied {
    pub(super) fn push(&mut self, policy: &PolicyRef, rule: usize, overriders: &Overriders) {
        self.rules.push(AppliedRule {
            policy: policy.clone(),
            rule,
            overriders: overriders.clone(),
        });
    }

    pub fn rules(&self) -> &[AppliedRule] {
        &self.rules
    }

    /// The rule that adds most to the size of a Work, and how many bytes its overriders are.
    pub fn largest(&self) -> Option<(&AppliedRule, usize)> {
        let size = |rule: &AppliedRule| crate::diff::to_text(&rule.overriders).len();
        self.rules
            .iter()
            .map(|rule| (rule, size(rule)))
            .max_by_key(|(_, size)| *size)
    }

    /// The policies of which a rule was applied, each once and sorted: what success events are about.
    pub fn policies(&self) -> Vec<PolicyRef> {
        let mut policies: Vec<_> = self.rules.iter().map(|rule| rule.policy.clone()).collect();
        policies.sort();
        policies.dedup();
        policies
    }

    /// Both annotation keys with their text, or with `None` when no rule of that class was applied.
    pub fn annotations(&self) -> [(&'static str, Option<String>); 2] {
        [
            (keys::APPLIED_CLUSTER_OVERRIDES, self.text(true)),
            (keys::APPLIED_OVERRIDES, self.text(false)),
        ]
    }

    fn text(&self, cluster: bool) -> Option<String> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry<'a> {
            policy_name: &'a str,
            overriders: &'a Overriders,
        }

        let mut entries: Vec<_> = self
            .rules
            .iter()
            .filter(|rule| rule.policy.is_cluster() == cluster)
            .map(|rule| Entry {
                policy_name: &rule.policy.name,
                overriders: &rule.overriders,
            })
            .collect();
        entries.sort_by_key(|entry| entry.policy_name);
        (!entries.is_empty()).then(|| crate::diff::to_text(&entries))
    }
}

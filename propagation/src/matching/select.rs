//! Selectors against objects, and the best of several policies.

use std::collections::BTreeMap;
use std::fmt;

use crds::object;
use crds::policy::ResourceSelector;
use serde::Serialize;
use serde_json::Value;
use trace::Sink;

use super::{Code, Policy};
use crate::trace::Item;

/// How closely a selector fits; the policy with the closest fit wins among equal priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum Level {
    /// No match.
    None = 0,
    /// Every object of the kind.
    All = 1,
    /// Objects with certain labels.
    Label = 2,
    /// The object by its name.
    Name = 3,
}

/// What selectors look at in an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Subject {
    pub api_version: String,
    pub kind: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

impl Subject {
    pub fn of(object: &Value) -> Self {
        Self {
            api_version: object::api_version(object).to_owned(),
            kind: object::kind(object).to_owned(),
            namespace: object::namespace(object).unwrap_or_default().to_owned(),
            name: object::name(object).to_owned(),
            labels: object::labels(object),
        }
    }

    /// Group and version; the core group is empty.
    pub fn group_version(&self) -> (&str, &str) {
        self.api_version
            .split_once('/')
            .unwrap_or(("", &self.api_version))
    }

    /// The closest fit among the selectors.
    pub fn level(&self, selectors: &[ResourceSelector]) -> Level {
        selectors
            .iter()
            .map(|selector| self.level_of(selector))
            .max()
            .unwrap_or(Level::None)
    }

    /// How one selector fits.
    pub fn level_of(&self, selector: &ResourceSelector) -> Level {
        let given = |part: &Option<String>| {
            part.as_deref()
                .filter(|text| !text.is_empty())
                .map(ToOwned::to_owned)
        };
        if selector.api_version != self.api_version
            || selector.kind != self.kind
            || given(&selector.namespace).is_some_and(|namespace| namespace != self.namespace)
        {
            return Level::None;
        }
        if let Some(name) = given(&selector.name) {
            return if name == self.name {
                Level::Name
            } else {
                Level::None
            };
        }
        match &selector.label_selector {
            None => Level::All,
            // A selector that cannot be read selects nothing.
            Some(labels) if crds::selector::matches(labels, &self.labels) == Ok(true) => {
                Level::Label
            }
            Some(_) => Level::None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{} ({})", self.name, self.api_version)
    }
}

/// The best policy for an unclaimed object: of the namespaced ones if any fits, else of the cluster-scoped ones.
///
/// `policies` are those of the object's namespace and are passed over for cluster-scoped objects. Terminating policies do not
/// take part.
pub fn choose<'p, 'a>(
    subject: &Subject,
    policies: &'p [Policy<'a>],
    cluster_policies: &'p [Policy<'a>],
    sink: &mut impl Sink<Item>,
) -> Option<&'p Policy<'a>> {
    let namespaced = if subject.namespace.is_empty() {
        None
    } else {
        best(subject, policies)
    };
    let chosen = namespaced.or_else(|| best(subject, cluster_policies));
    if sink.is_recording() {
        for policy in policies.iter().chain(cluster_policies) {
            let (code, message) = match chosen {
                Some(chosen) if chosen.reference == policy.reference => (None, String::new()),
                _ => explain(subject, policy, chosen),
            };
            sink.record(|| Item::Policy {
                policy: policy.reference.clone(),
                matched: policy.level(subject) > Level::None,
                level: policy.level(subject),
                priority: policy.priority(),
                used: code.is_none(),
                code,
                message,
            });
        }
    }
    chosen
}

fn best<'p, 'a>(subject: &Subject, policies: &'p [Policy<'a>]) -> Option<&'p Policy<'a>> {
    let rank = |policy: &Policy<'_>| (policy.priority(), policy.level(subject));
    policies
        .iter()
        .filter(|policy| !policy.terminating && is_in_reach(policy, subject))
        .filter(|policy| policy.level(subject) > Level::None)
        .reduce(|best, policy| {
            let wins = rank(policy)
                .cmp(&rank(best))
                .then_with(|| best.reference.name.cmp(&policy.reference.name));
            if wins.is_gt() { policy } else { best }
        })
}

/// Whether the policy is cluster-scoped or of the object's namespace.
fn is_in_reach(policy: &Policy<'_>, subject: &Subject) -> bool {
    let namespace = &policy.reference.namespace;
    namespace.is_empty() || *namespace == subject.namespace
}

/// What a policy lacks that was not chosen.
fn explain(
    subject: &Subject,
    policy: &Policy<'_>,
    chosen: Option<&Policy<'_>>,
) -> (Option<Code>, String) {
    let namespace = &policy.reference.namespace;
    let level = policy.level(subject);
    let (code, message) = if !is_in_reach(policy, subject) {
        (
            Code::WrongNamespace,
            format!("the policy is of namespace {namespace}"),
        )
    } else if level == Level::None {
        (
            Code::SelectorMismatch,
            mismatch(subject, &policy.spec.resource_selectors),
        )
    } else if policy.terminating {
        (
            Code::PolicyTerminating,
            "the policy is being deleted".to_owned(),
        )
    } else if let Some(chosen) = chosen {
        if chosen.reference.kind != policy.reference.kind {
            (
                Code::ClusterPolicyLoses,
                "a namespaced policy wins over cluster policies".to_owned(),
            )
        } else if chosen.priority() > policy.priority() {
            let (theirs, ours) = (chosen.priority(), policy.priority());
            (
                Code::LowerPriority,
                format!("priority {ours}, {} has {theirs}", chosen.reference),
            )
        } else if chosen.level(subject) > level {
            (
                Code::LowerMatchLevel,
                format!("{} selects the object more closely", chosen.reference),
            )
        } else {
            (
                Code::LaterName,
                format!("its name comes after {}", chosen.reference.name),
            )
        }
    } else {
        (Code::SelectorMismatch, String::new())
    };
    (Some(code), message)
}

/// What the selectors want instead.
fn mismatch(subject: &Subject, selectors: &[ResourceSelector]) -> String {
    let found = |key: &str| subject.labels.get(key).map_or("none", String::as_str);
    let wants = |selector: &ResourceSelector| {
        let mut words = vec![selector.api_version.clone(), selector.kind.clone()];
        let namespace = selector.namespace.as_deref();
        if let Some(namespace) = namespace.filter(|it| *it != subject.namespace) {
            words.push(format!("in namespace {namespace}"));
        }
        if let Some(name) = &selector.name {
            words.push(name.clone());
        } else if let Some(labels) = &selector.label_selector {
            for (key, wanted) in labels.match_labels.iter().flatten() {
                words.push(format!("with {key}={wanted} (object has {})", found(key)));
            }
            for it in labels.match_expressions.iter().flatten() {
                let (key, operator) = (&it.key, &it.operator);
                let values = it.values.as_deref().unwrap_or_default().join(", ");
                words.push(format!(
                    "with {key} {operator} [{values}] (object has {})",
                    found(key)
                ));
            }
        }
        words.join(" ")
    };
    format!(
        "selects {}",
        selectors.iter().map(wants).collect::<Vec<_>>().join(", ")
    )
}

//! Cluster affinities, compiled against a snapshot's symbols so that matching compares numbers.

use crds::policy::{ClusterAffinity, FieldSelector};
use crds::selector::{is_label_key, is_label_value};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::symbols::{Symbol, Symbols};
use super::{Cluster, Slots, Snapshot};

/// A cluster affinity that is ready to be matched against the clusters of one snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Affinity {
    /// Some part is malformed or can hold for no cluster.
    never: bool,
    /// What is wrong with a part that is malformed, so that it is not known what was meant.
    malformed: Option<String>,
    names: Option<Slots>,
    exclude: Option<Slots>,
    labels: Vec<Requirement>,
    zones: Vec<ZoneTest>,
    provider: Vec<Test>,
    region: Vec<Test>,
}

impl Affinity {
    /// Compiles an affinity. `strict` refuses field values that are no label values, like the reference.
    pub(crate) fn compile(affinity: &ClusterAffinity, snapshot: &Snapshot, strict: bool) -> Self {
        let slots = |names: &[String]| {
            let mut slots = Slots::of(snapshot);
            for name in names {
                if let Ok(at) = snapshot.position(name) {
                    slots.insert(snapshot.at(at).slot);
                }
            }
            slots
        };
        let list = |names: &Vec<String>| (!names.is_empty()).then(|| slots(names));
        let mut compiled = Self {
            names: list(&affinity.cluster_names),
            exclude: list(&affinity.exclude),
            ..Self::default()
        };
        let symbols = snapshot.symbols();
        if let Some(selector) = &affinity.label_selector {
            match label_requirements(selector, symbols) {
                Ok(labels) => compiled.labels = labels,
                Err(fault) => compiled.malformed = Some(format!("labelSelector.{fault}")),
            }
        }
        if let Some(selector) = &affinity.field_selector
            && let Err(fault) = compiled.add_fields(selector, symbols, strict)
        {
            compiled
                .malformed
                .get_or_insert_with(|| format!("fieldSelector.{fault}"));
        }
        compiled.never |= compiled.malformed.is_some();
        compiled
    }

    /// The field of it that is malformed, and why.
    pub(crate) fn malformed(&self) -> Option<&str> {
        self.malformed.as_deref()
    }

    /// Whether a cluster of the snapshot matches.
    pub(crate) fn matches(&self, cluster: &Cluster, symbols: &Symbols) -> bool {
        !self.never
            && self
                .exclude
                .as_ref()
                .is_none_or(|slots| !slots.contains(cluster.slot))
            && self
                .labels
                .iter()
                .all(|requirement| requirement.holds(cluster, symbols))
            && self.zones.iter().all(|test| test.holds(&cluster.zones))
            && self
                .provider
                .iter()
                .all(|test| test.holds(cluster.provider, symbols))
            && self
                .region
                .iter()
                .all(|test| test.holds(cluster.region, symbols))
            && self
                .names
                .as_ref()
                .is_none_or(|slots| slots.contains(cluster.slot))
    }

    /// Adds the requirements on fields; fails if one of them is malformed.
    fn add_fields(
        &mut self,
        selector: &FieldSelector,
        symbols: &Symbols,
        strict: bool,
    ) -> Result<(), String> {
        for (index, expression) in selector.match_expressions.iter().enumerate() {
            let malformed = |fault: String| in_expression(index, &fault);
            let values = expression.values.as_deref().unwrap_or_default();
            let operator = expression.operator.as_str();
            if expression.key == "zone" {
                let test = ZoneTest::of(operator, values, symbols);
                self.zones
                    .push(test.ok_or_else(|| malformed(unknown(operator, SET_OPERATORS)))?);
                continue;
            }
            let test = Test::of(operator, values, symbols, FIELD_OPERATORS).map_err(malformed)?;
            check_key(&expression.key).map_err(malformed)?;
            if strict {
                check_values(values).map_err(malformed)?;
            }
            match expression.key.as_str() {
                "provider" => self.provider.push(test),
                "region" => self.region.push(test),
                _ => self.never |= !test.holds(None, symbols),
            }
        }
        Ok(())
    }
}

/// A requirement on one label.
#[derive(Clone, Debug)]
struct Requirement {
    /// `None` if no cluster has the label.
    key: Option<Symbol>,
    test: Test,
}

impl Requirement {
    fn holds(&self, cluster: &Cluster, symbols: &Symbols) -> bool {
        let value = self.key.and_then(|key| {
            let at = cluster
                .labels
                .binary_search_by_key(&key, |&(key, _)| key)
                .ok()?;
            Some(cluster.labels[at].1)
        });
        self.test.holds(value, symbols)
    }
}

/// The operators of label selectors.
const SET_OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];
/// The operators of field selectors.
const FIELD_OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];

/// Compiles a label selector; fails with the field that is malformed, and why.
fn label_requirements(
    selector: &LabelSelector,
    symbols: &Symbols,
) -> Result<Vec<Requirement>, String> {
    let mut requirements = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        check_key(key)
            .and_then(|()| check_values(std::slice::from_ref(value)))
            .map_err(|fault| format!("matchLabels is invalid: {fault}"))?;
        requirements.push(Requirement {
            key: symbols.find(key),
            test: Test::In(symbols.find(value).into_iter().collect()),
        });
    }
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let malformed = |fault: String| in_expression(index, &fault);
        let values = expression.values.as_deref().unwrap_or_default();
        check_key(&expression.key).map_err(malformed)?;
        let operator = &expression.operator;
        let test = Test::of(operator, values, symbols, SET_OPERATORS).map_err(malformed)?;
        check_values(values).map_err(malformed)?;
        requirements.push(Requirement {
            key: symbols.find(&expression.key),
            test,
        });
    }
    Ok(requirements)
}

fn in_expression(index: usize, fault: &str) -> String {
    format!("matchExpressions[{index}] is invalid: {fault}")
}

fn unknown(operator: &str, operators: &[&str]) -> String {
    format!("operator {operator:?} is none of {}", operators.join(", "))
}

fn check_key(key: &str) -> Result<(), String> {
    if is_label_key(key) {
        Ok(())
    } else {
        Err(format!("{key:?} cannot be the key of a label"))
    }
}

fn check_values(values: &[String]) -> Result<(), String> {
    match values.iter().find(|value| !is_label_value(value)) {
        None => Ok(()),
        Some(value) => Err(format!("{value:?} cannot be the value of a label")),
    }
}

/// What is demanded of a value that may be absent.
#[derive(Clone, Debug)]
enum Test {
    In(Vec<Symbol>),
    NotIn(Vec<Symbol>),
    Exists,
    DoesNotExist,
    Greater(i64),
    Less(i64),
}

impl Test {
    /// Reads one of these operators with its values; fails if they do not fit.
    fn of(
        operator: &str,
        values: &[String],
        symbols: &Symbols,
        operators: &[&str],
    ) -> Result<Self, String> {
        if !operators.contains(&operator) {
            return Err(unknown(operator, operators));
        }
        let known = || {
            values
                .iter()
                .filter_map(|value| symbols.find(value))
                .collect()
        };
        let bound = || match values {
            [value] => value.parse().ok(),
            _ => None,
        };
        let (test, needs) = match operator {
            "In" => ((!values.is_empty()).then(|| Self::In(known())), "values"),
            "NotIn" => ((!values.is_empty()).then(|| Self::NotIn(known())), "values"),
            "Exists" => (values.is_empty().then_some(Self::Exists), "no values"),
            "DoesNotExist" => (values.is_empty().then_some(Self::DoesNotExist), "no values"),
            "Gt" => (bound().map(Self::Greater), "one value that is an integer"),
            _ => (bound().map(Self::Less), "one value that is an integer"),
        };
        test.ok_or_else(|| format!("operator {operator} takes {needs}"))
    }

    fn holds(&self, value: Option<Symbol>, symbols: &Symbols) -> bool {
        let number = || symbols.text(value?).parse::<i64>().ok();
        match self {
            Self::In(values) => value.is_some_and(|value| values.contains(&value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(&value)),
            Self::Exists => value.is_some(),
            Self::DoesNotExist => value.is_none(),
            Self::Greater(bound) => number().is_some_and(|number| number > *bound),
            Self::Less(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// What is demanded of the zones.
#[derive(Clone, Debug)]
enum ZoneTest {
    In(Vec<Symbol>),
    NotIn(Vec<Symbol>),
    Exists,
    DoesNotExist,
}

impl ZoneTest {
    /// Reads an operator; `None` if zones have no such. What does not fit as values is ignored.
    fn of(operator: &str, values: &[String], symbols: &Symbols) -> Option<Self> {
        let known = || {
            values
                .iter()
                .filter_map(|value| symbols.find(value))
                .collect()
        };
        match operator {
            "In" => Some(Self::In(known())),
            "NotIn" => Some(Self::NotIn(known())),
            "Exists" => Some(Self::Exists),
            "DoesNotExist" => Some(Self::DoesNotExist),
            _ => None,
        }
    }

    fn holds(&self, zones: &[Symbol]) -> bool {
        match self {
            Self::In(values) => zones.iter().any(|zone| values.contains(zone)),
            Self::NotIn(values) => !zones.iter().any(|zone| values.contains(zone)),
            Self::Exists => !zones.is_empty(),
            Self::DoesNotExist => zones.is_empty(),
        }
    }
}

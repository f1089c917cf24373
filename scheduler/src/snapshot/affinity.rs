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
    /// Some part is malformed, so that it is not known what was meant.
    malformed: bool,
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
                Some(labels) => compiled.labels = labels,
                None => compiled.malformed = true,
            }
        }
        if let Some(selector) = &affinity.field_selector {
            let valid = compiled.add_fields(selector, symbols, strict);
            compiled.malformed |= !valid;
        }
        compiled.never |= compiled.malformed;
        compiled
    }

    /// Whether some part of it is malformed.
    pub(crate) fn is_malformed(&self) -> bool {
        self.malformed
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

    /// Adds the requirements on fields; false if one of them is malformed.
    fn add_fields(&mut self, selector: &FieldSelector, symbols: &Symbols, strict: bool) -> bool {
        for expression in &selector.match_expressions {
            let values = expression.values.as_deref().unwrap_or_default();
            if expression.key == "zone" {
                self.zones
                    .push(ZoneTest::of(&expression.operator, values, symbols));
                continue;
            }
            let Some(test) = Test::of(&expression.operator, values, symbols) else {
                return false;
            };
            let legal = is_label_key(&expression.key)
                && (!strict || values.iter().all(|value| is_label_value(value)));
            if !legal {
                return false;
            }
            match expression.key.as_str() {
                "provider" => self.provider.push(test),
                "region" => self.region.push(test),
                _ => self.never |= !test.holds(None, symbols),
            }
        }
        true
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

/// Compiles a label selector; `None` if it is malformed.
fn label_requirements(selector: &LabelSelector, symbols: &Symbols) -> Option<Vec<Requirement>> {
    let equal = selector.match_labels.iter().flatten().map(|(key, value)| {
        let test = Test::In(symbols.find(value).into_iter().collect());
        (is_label_key(key) && is_label_value(value)).then(|| Requirement {
            key: symbols.find(key),
            test,
        })
    });
    let expressions = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|expression| {
            let values = expression.values.as_deref().unwrap_or_default();
            let operator = &expression.operator;
            let legal = is_label_key(&expression.key)
                && !matches!(operator.as_str(), "Gt" | "Lt")
                && values.iter().all(|value| is_label_value(value));
            let test = Test::of(operator, values, symbols)?;
            legal.then(|| Requirement {
                key: symbols.find(&expression.key),
                test,
            })
        });
    equal.chain(expressions).collect()
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
    /// Reads an operator with its values; `None` if they do not fit.
    fn of(operator: &str, values: &[String], symbols: &Symbols) -> Option<Self> {
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
        match operator {
            "In" if !values.is_empty() => Some(Self::In(known())),
            "NotIn" if !values.is_empty() => Some(Self::NotIn(known())),
            "Exists" if values.is_empty() => Some(Self::Exists),
            "DoesNotExist" if values.is_empty() => Some(Self::DoesNotExist),
            "Gt" => bound().map(Self::Greater),
            "Lt" => bound().map(Self::Less),
            _ => None,
        }
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
    Never,
}

impl ZoneTest {
    fn of(operator: &str, values: &[String], symbols: &Symbols) -> Self {
        let known = || {
            values
                .iter()
                .filter_map(|value| symbols.find(value))
                .collect()
        };
        match operator {
            "In" => Self::In(known()),
            "NotIn" => Self::NotIn(known()),
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            _ => Self::Never,
        }
    }

    fn holds(&self, zones: &[Symbol]) -> bool {
        match self {
            Self::In(values) => zones.iter().any(|zone| values.contains(zone)),
            Self::NotIn(values) => !zones.iter().any(|zone| values.contains(zone)),
            Self::Exists => !zones.is_empty(),
            Self::DoesNotExist => zones.is_empty(),
            Self::Never => false,
        }
    }
}

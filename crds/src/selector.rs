//! Label selectors and the requirements of node selectors, parsed once and matched often.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::NodeSelectorRequirement;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Why a selector means nothing. Who selects by it selects nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The operator is none that this kind of selector has.
    #[error("{operator:?} is not a valid selector operator of key {key:?}")]
    UnknownOperator {
        /// The key of the requirement.
        key: String,
        /// The operator.
        operator: String,
    },
    /// The operator needs another number of values.
    #[error("operator {operator} of key {key:?} {expected}")]
    WrongValues {
        /// The key of the requirement.
        key: String,
        /// The operator.
        operator: String,
        /// What the operator needs.
        expected: &'static str,
    },
    /// The key cannot be the key of a label.
    #[error("{0:?} is not a valid label key")]
    InvalidKey(String),
    /// The value cannot be the value of a label.
    #[error("{value:?} is not a valid value of label {key:?}")]
    InvalidValue {
        /// The key of the requirement.
        key: String,
        /// The value.
        value: String,
    },
}

/// Requirements that all have to hold. Without any, everything matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

impl Selector {
    /// Parses a label selector: the operators are `In`, `NotIn`, `Exists` and `DoesNotExist`.
    pub fn parse(selector: &LabelSelector) -> Result<Self, Error> {
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            check_key(key)?;
            check_values(key, std::slice::from_ref(value))?;
            requirements.push(Requirement {
                key: key.clone(),
                test: Test::In(BTreeSet::from([value.clone()])),
            });
        }
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.as_deref().unwrap_or_default();
            check_key(&expression.key)?;
            check_values(&expression.key, values)?;
            let requirement = Requirement::parse(&expression.key, &expression.operator, values)?;
            if matches!(requirement.test, Test::GreaterThan(_) | Test::LessThan(_)) {
                return Err(Error::UnknownOperator {
                    key: expression.key.clone(),
                    operator: expression.operator.clone(),
                });
            }
            requirements.push(requirement);
        }
        Ok(Self { requirements })
    }

    /// Parses requirements as node selectors have them: besides the operators of label selectors there are `Gt` and `Lt`, which
    /// compare integers. Values may be any text.
    pub fn parse_requirements<'a>(
        requirements: impl IntoIterator<Item = &'a NodeSelectorRequirement>,
    ) -> Result<Self, Error> {
        let requirements = requirements
            .into_iter()
            .map(|it| {
                let values = it.values.as_deref().unwrap_or_default();
                Requirement::parse(&it.key, &it.operator, values)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// Whether these labels meet all requirements.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    /// Whether the labels that this function finds meet all requirements.
    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// Whether there are no requirements, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

/// Whether labels match a label selector. Who matches many objects parses the selector once instead.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Result<bool, Error> {
    Ok(Selector::parse(selector)?.matches(labels))
}

impl Requirement {
    fn parse(key: &str, operator: &str, values: &[String]) -> Result<Self, Error> {
        let wrong_values = |expected| Error::WrongValues {
            key: key.to_owned(),
            operator: operator.to_owned(),
            expected,
        };
        let set = || values.iter().cloned().collect();
        let test = match operator {
            "In" | "NotIn" if values.is_empty() => return Err(wrong_values("needs values")),
            "In" => Test::In(set()),
            "NotIn" => Test::NotIn(set()),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                return Err(wrong_values("takes no values"));
            }
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::DoesNotExist,
            "Gt" | "Lt" => {
                let [Ok(bound)] = *values.iter().map(|it| it.parse()).collect::<Vec<_>>() else {
                    return Err(wrong_values("needs exactly one integer"));
                };
                if operator == "Gt" {
                    Test::GreaterThan(bound)
                } else {
                    Test::LessThan(bound)
                }
            }
            _ => {
                return Err(Error::UnknownOperator {
                    key: key.to_owned(),
                    operator: operator.to_owned(),
                });
            }
        };
        Ok(Self {
            key: key.to_owned(),
            test,
        })
    }

    fn matches(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|it| it.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => value.is_some_and(|it| values.contains(it)),
            // An absent label is in no list.
            Test::NotIn(values) => !value.is_some_and(|it| values.contains(it)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::GreaterThan(bound) => number().is_some_and(|it| it > *bound),
            Test::LessThan(bound) => number().is_some_and(|it| it < *bound),
        }
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    if is_label_key(key) {
        Ok(())
    } else {
        Err(Error::InvalidKey(key.to_owned()))
    }
}

fn check_values(key: &str, values: &[String]) -> Result<(), Error> {
    match values.iter().find(|value| !is_label_value(value)) {
        None => Ok(()),
        Some(value) => Err(Error::InvalidValue {
            key: key.to_owned(),
            value: value.clone(),
        }),
    }
}

/// Whether a text can be the key of a label: a name of up to 63 characters, if wanted with a DNS name and a slash before it.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Whether a text can be the value of a label: empty, or up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at
/// either end.
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return true;
    };
    bytes.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(it))
}

fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            let bytes = part.as_bytes();
            let is_alphanumeric = |it: &u8| it.is_ascii_lowercase() || it.is_ascii_digit();
            bytes.first().is_some_and(is_alphanumeric)
                && bytes.last().is_some_and(is_alphanumeric)
                && bytes.iter().all(|it| is_alphanumeric(it) || *it == b'-')
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn selector(value: Value) -> LabelSelector {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn label_selectors_match() {
        let labels = labels(&[("tier", "prod"), ("empty", "")]);
        for (value, expected) in [
            (json!({}), true),
            (json!({ "matchLabels": { "tier": "prod" } }), true),
            (json!({ "matchLabels": { "tier": "test" } }), false),
            (json!({ "matchLabels": { "empty": "" } }), true),
            (json!({ "matchLabels": { "absent": "" } }), false),
            (expression("tier", "In", &["test", "prod"]), true),
            (expression("tier", "In", &["test"]), false),
            (expression("absent", "In", &["test"]), false),
            (expression("tier", "NotIn", &["test"]), true),
            (expression("tier", "NotIn", &["prod"]), false),
            (expression("absent", "NotIn", &["prod"]), true),
            (expression("tier", "Exists", &[]), true),
            (expression("absent", "Exists", &[]), false),
            (expression("tier", "DoesNotExist", &[]), false),
            (expression("absent", "DoesNotExist", &[]), true),
            (
                json!({
                    "matchLabels": { "tier": "prod" },
                    "matchExpressions": [{ "key": "absent", "operator": "Exists" }],
                }),
                false,
            ),
        ] {
            assert_eq!(
                matches(&selector(value.clone()), &labels),
                Ok(expected),
                "{value}"
            );
        }
    }

    #[test]
    fn malformed_label_selectors_are_errors() {
        for value in [
            expression("tier", "Gt", &["1"]),
            expression("tier", "Near", &[]),
            expression("tier", "in", &["prod"]),
            expression("tier", "In", &[]),
            expression("tier", "NotIn", &[]),
            expression("tier", "Exists", &["prod"]),
            expression("tier", "DoesNotExist", &["prod"]),
            expression("", "Exists", &[]),
            expression("a/b/c", "Exists", &[]),
            expression("Upper.Case/name", "Exists", &[]),
            expression("tier", "In", &["two words"]),
            json!({ "matchLabels": { "tier": "-prod" } }),
        ] {
            assert!(
                Selector::parse(&selector(value.clone())).is_err(),
                "{value}"
            );
        }
    }

    #[test]
    fn requirements_compare_numbers_and_take_any_text() {
        let labels = labels(&[("cores", "8"), ("region", "West Europe")]);
        for (operator, key, values, expected) in [
            ("Gt", "cores", vec!["7"], true),
            ("Gt", "cores", vec!["8"], false),
            ("Lt", "cores", vec!["9"], true),
            ("Lt", "region", vec!["9"], false),
            ("Gt", "absent", vec!["0"], false),
            ("In", "region", vec!["West Europe"], true),
        ] {
            let requirement = NodeSelectorRequirement {
                key: key.to_owned(),
                operator: operator.to_owned(),
                values: Some(values.iter().map(ToString::to_string).collect()),
            };
            let parsed = Selector::parse_requirements([&requirement]).unwrap();
            assert_eq!(parsed.matches(&labels), expected, "{requirement:?}");
        }
        for values in [vec![], vec!["x"], vec!["1", "2"]] {
            let requirement = NodeSelectorRequirement {
                key: "cores".to_owned(),
                operator: "Gt".to_owned(),
                values: Some(values.iter().map(ToString::to_string).collect()),
            };
            assert!(Selector::parse_requirements([&requirement]).is_err());
        }
    }

    #[test]
    fn label_syntax() {
        let long = "a".repeat(63);
        for key in ["app", "a.b/c", "example.com/Name_1", long.as_str()] {
            assert!(is_label_key(key), "{key}");
        }
        let longer = "a".repeat(64);
        for key in ["", "a/", "/a", "a b", "-a", "a-", "A.b/c", longer.as_str()] {
            assert!(!is_label_key(key), "{key}");
        }
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] })
    }
}

//! What one replica or one set needs, parsed once per decision.

use std::collections::BTreeMap;

use crds::work::Component;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::nodes::per_node;
use crate::error::ScheduleError;
use crate::options::Switch;
use crate::quantity::{Amount, milli, units};
use crate::request::{Question, Request};
use crate::snapshot::resources::Unit;
use crate::snapshot::symbols::{Symbol, Symbols};

/// An amount of one resource, above 0.
#[derive(Clone, Debug)]
pub(crate) struct Need<'a> {
    pub(crate) name: &'a str,
    /// `None` if no cluster has the resource.
    pub(crate) symbol: Option<Symbol>,
    /// How the resource is counted on nodes; `None` if it is not.
    pub(crate) unit: Option<Unit>,
    pub(crate) nanos: i128,
    /// In thousandths for cpu, else in whole units; rounded up.
    pub(crate) amount: i64,
    /// Whether the amount is written in binary notation.
    pub(crate) binary: bool,
}

impl<'a> Need<'a> {
    pub(crate) fn new(name: &'a str, nanos: i128, binary: bool, symbols: &Symbols) -> Self {
        let unit = Unit::of(name);
        Self {
            name,
            symbol: symbols.find(name),
            unit,
            nanos,
            amount: if unit == Some(Unit::Milli) {
                milli(nanos)
            } else {
                units(nanos)
            },
            binary,
        }
    }

    pub(crate) fn is_cpu(&self) -> bool {
        self.unit == Some(Unit::Milli)
    }
}

/// A component and what one of its replicas needs.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) replicas: i64,
    pub(crate) needs: Vec<Need<'a>>,
}

/// What estimators are asked to find room for.
#[derive(Debug)]
pub(crate) enum Demand<'a> {
    /// The binding names amounts that are none.
    Invalid { field: String, quantity: String },
    Replicas {
        /// What one replica needs; `None` without requirements, when only its pod counts.
        needs: Option<Vec<Need<'a>>>,
        /// For each table of models, how many replicas a node of each grade has room for.
        per_node: Vec<Box<[i64]>>,
    },
    Sets {
        pods: i64,
        /// What one set needs altogether.
        needs: Vec<Need<'a>>,
        /// In the order in which they are placed.
        parts: Vec<Part<'a>>,
    },
}

impl<'a> Demand<'a> {
    pub(crate) fn of(request: &Request<'a>) -> Self {
        let symbols = request.snapshot.symbols();
        match request.question() {
            Question::Replicas(None) => Self::replicas(request, None),
            Question::Replicas(Some(requirements)) => {
                match needs(&requirements.resource_request, symbols) {
                    Ok(needs) => Self::replicas(request, Some(needs)),
                    Err((name, quantity)) => Self::Invalid {
                        field: format!("spec.replicaRequirements.resourceRequest[{name}]"),
                        quantity,
                    },
                }
            }
            Question::Sets(components) => Self::sets(request, components),
        }
    }

    /// The resources that are asked for; pods always are.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &'a str> {
        let needs = match self {
            Self::Invalid { .. } => None,
            Self::Replicas { needs, .. } => needs.as_ref(),
            Self::Sets { needs, .. } => Some(needs),
        };
        let names = needs.into_iter().flatten().map(|need| need.name);
        std::iter::once("pods").chain(names)
    }

    /// Fails if the binding's amounts cannot be read.
    pub(crate) fn check(&self) -> Result<(), ScheduleError> {
        match self {
            Self::Invalid { field, quantity } => {
                let message = format!("{quantity:?} is no quantity");
                Err(ScheduleError::malformed(field.clone(), message))
            }
            Self::Replicas { .. } | Self::Sets { .. } => Ok(()),
        }
    }

    fn replicas(request: &Request<'a>, needs: Option<Vec<Need<'a>>>) -> Self {
        let modelled = request.options.gates.customized_cluster_resource_modeling;
        let symbols = request.snapshot.symbols();
        let skip = !request.keeps(Switch::UnmodelledIsZero);
        let per_node = match &needs {
            Some(needs) if modelled => symbols
                .models()
                .iter()
                .map(|models| per_node(models, needs, skip))
                .collect(),
            _ => Vec::new(),
        };
        Self::Replicas { needs, per_node }
    }

    /// What a set of these components needs.
    pub(crate) fn sets(request: &Request<'_>, components: &'a [Component]) -> Self {
        let symbols = request.snapshot.symbols();
        let mut total: BTreeMap<&'a str, (i128, bool)> = BTreeMap::new();
        let mut parts = Vec::with_capacity(components.len());
        let mut pods = 0_i64;
        for (index, component) in components.iter().enumerate() {
            let replicas = i64::from(component.replicas);
            pods += replicas;
            let requirements = component.replica_requirements.as_ref();
            let needs = match requirements.map(|it| needs(&it.resource_request, symbols)) {
                None => Vec::new(),
                Some(Ok(needs)) => needs,
                Some(Err((name, quantity))) => {
                    return Self::Invalid {
                        field: format!(
                            "spec.components[{index}].replicaRequirements.resourceRequest[{name}]"
                        ),
                        quantity,
                    };
                }
            };
            for need in &needs {
                let sum = total.entry(need.name).or_insert((0, need.binary));
                sum.0 = sum
                    .0
                    .saturating_add(need.nanos.saturating_mul(i128::from(replicas)));
            }
            parts.push(Part {
                replicas: replicas.max(0),
                needs,
            });
        }
        if !request.keeps(Switch::ComponentOrder) {
            // The largest first: what is hard to place must not find the nodes full of small replicas.
            parts.sort_by_key(|part| std::cmp::Reverse(size(part)));
        }
        let needs = total
            .into_iter()
            .filter(|&(_, (nanos, _))| nanos > 0)
            .map(|(name, (nanos, binary))| Need::new(name, nanos, binary, symbols))
            .collect();
        Self::Sets { pods, needs, parts }
    }
}

/// The size of one replica of a component: cpu, then memory.
fn size(part: &Part<'_>) -> (i64, i64) {
    let of = |name: &str| {
        let need = part.needs.iter().find(|need| need.name == name);
        need.map_or(0, |need| need.amount)
    };
    (of("cpu"), of("memory"))
}

/// Reads requests; the name and the text of one that is no quantity otherwise.
pub(crate) fn needs<'a>(
    requests: &'a BTreeMap<String, Quantity>,
    symbols: &Symbols,
) -> Result<Vec<Need<'a>>, (&'a str, String)> {
    let mut needs = Vec::with_capacity(requests.len());
    for (name, quantity) in requests {
        let amount = Amount::of(quantity).ok_or_else(|| (name.as_str(), quantity.0.clone()))?;
        if amount.nanos > 0 {
            needs.push(Need::new(name, amount.nanos, amount.binary, symbols));
        }
    }
    Ok(needs)
}

//! Amounts of resources, as nodes offer and pods request them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use scheduler::quantity::Amount;

/// Amounts by resource: CPU in thousandths, all else in whole units. Pods are counted on their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Extended, huge-page, attachable-volume and prefixed native resources.
    pub scalars: BTreeMap<Box<str>, i64>,
}

/// A request that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request of {resource} is {quantity:?}, which is no quantity")]
pub struct BadQuantity {
    pub resource: String,
    pub quantity: String,
}

/// Whether pods can request the resource by this name besides CPU, memory and storage; other names are not counted.
fn is_scalar(name: &str) -> bool {
    let extended = name.contains('/') && !name.starts_with("requests.");
    extended
        || name.contains("kubernetes.io/")
        || name.starts_with("hugepages-")
        || name.starts_with("attachable-volumes-")
}

impl Amounts {
    /// Reads amounts; what is no quantity is left out.
    pub fn lenient<'a>(quantities: impl IntoIterator<Item = (&'a String, &'a Quantity)>) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in quantities {
            if let Some(amount) = Amount::of(quantity) {
                amounts.set(name, amount);
            }
        }
        amounts
    }

    /// Reads requests, all of which have to be quantities.
    pub fn strict<'a>(
        quantities: impl IntoIterator<Item = (&'a String, &'a Quantity)>,
    ) -> Result<Self, BadQuantity> {
        let mut amounts = Self::default();
        for (name, quantity) in quantities {
            let amount = Amount::of(quantity).ok_or_else(|| BadQuantity {
                resource: name.clone(),
                quantity: quantity.0.clone(),
            })?;
            amounts.set(name, amount);
        }
        Ok(amounts)
    }

    fn set(&mut self, name: &str, amount: Amount) {
        match name {
            "cpu" => self.cpu = amount.milli(),
            "memory" => self.memory = amount.value(),
            "ephemeral-storage" => self.ephemeral_storage = amount.value(),
            _ if is_scalar(name) => {
                self.scalars.insert(name.into(), amount.value());
            }
            _ => {}
        }
    }

    pub fn add(&mut self, more: &Self) {
        self.combine(more, i64::saturating_add);
    }

    pub fn subtract(&mut self, less: &Self) {
        self.combine(less, i64::saturating_sub);
    }

    /// The larger of both for every resource.
    pub fn raise(&mut self, floor: &Self) {
        self.combine(floor, i64::max);
    }

    fn combine(&mut self, other: &Self, combine: fn(i64, i64) -> i64) {
        self.cpu = combine(self.cpu, other.cpu);
        self.memory = combine(self.memory, other.memory);
        self.ephemeral_storage = combine(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalars {
            match self.scalars.get_mut(name) {
                Some(present) => *present = combine(*present, *amount),
                None => {
                    self.scalars.insert(name.clone(), combine(0, *amount));
                }
            }
        }
    }

    /// The same that many times.
    #[must_use]
    pub fn times(&self, count: i64) -> Self {
        let times = |amount: i64| amount.saturating_mul(count);
        Self {
            cpu: times(self.cpu),
            memory: times(self.memory),
            ephemeral_storage: times(self.ephemeral_storage),
            scalars: self
                .scalars
                .iter()
                .map(|(name, amount)| (name.clone(), times(*amount)))
                .collect(),
        }
    }

    /// How often a request fits into what is left of these amounts after `used`; what is not requested does not limit.
    pub fn fits(&self, used: &Self, request: &Self) -> i64 {
        let native = [
            (self.cpu, used.cpu, request.cpu),
            (self.memory, used.memory, request.memory),
            (
                self.ephemeral_storage,
                used.ephemeral_storage,
                request.ephemeral_storage,
            ),
        ];
        let of = |amounts: &Self, name: &str| amounts.scalars.get(name).copied().unwrap_or(0);
        let scalars = request
            .scalars
            .iter()
            .map(|(name, request)| (of(self, name), of(used, name), *request));
        native
            .into_iter()
            .chain(scalars)
            .filter(|&(_, _, request)| request > 0)
            .map(|(offered, used, request)| offered.saturating_sub(used).max(0) / request)
            .min()
            .unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn amounts(list: &[(&str, &str)]) -> Amounts {
        let map: BTreeMap<String, Quantity> = list
            .iter()
            .map(|(name, quantity)| ((*name).to_owned(), Quantity((*quantity).to_owned())))
            .collect();
        Amounts::lenient(&map)
    }

    #[test]
    fn the_scarcest_requested_resource_limits() {
        let node = amounts(&[
            ("cpu", "2500m"),
            ("memory", "6Gi"),
            ("example.com/gpu", "1"),
        ]);
        let unused = Amounts::default();
        let fits = |request: &[(&str, &str)]| node.fits(&unused, &amounts(request));
        assert_eq!(fits(&[("cpu", "500m"), ("memory", "1Gi")]), 5);
        assert_eq!(fits(&[("memory", "4Gi")]), 1);
        assert_eq!(fits(&[("example.com/gpu", "1")]), 1);
        assert_eq!(fits(&[("example.com/fpga", "1")]), 0);
        assert_eq!(fits(&[("cpu", "0")]), i64::MAX);
        assert_eq!(fits(&[("cpu", "-1")]), i64::MAX);
        // A name that pods cannot request is not counted.
        assert_eq!(fits(&[("wings", "7")]), i64::MAX);
        let used = amounts(&[("cpu", "9")]);
        assert_eq!(node.fits(&used, &amounts(&[("cpu", "1")])), 0);
    }

    #[test]
    fn requests_that_are_no_quantities_are_named() {
        let map = BTreeMap::from([("cpu".to_owned(), Quantity("many".to_owned()))]);
        let error = Amounts::strict(&map).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the request of cpu is \"many\", which is no quantity"
        );
    }
}

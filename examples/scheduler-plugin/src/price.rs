use scheduler::{Cluster, Request, plugins::Score};

/// The label with the price of an hour in a cluster.
pub(crate) const LABEL: &str = "example.com/price";

/// Prefers cheap clusters: the cheapest gets 100, the dearest and those without a price get 0.
pub(crate) struct Price;

impl Score for Price {
    fn name(&self) -> &'static str {
        "Price"
    }

    fn score(&self, _request: &Request<'_>, cluster: &Cluster) -> Result<i64, String> {
        let Some(price) = cluster.label(LABEL) else {
            return Ok(UNKNOWN);
        };
        price.parse().map_err(|_| {
            let name = cluster.name();
            format!("the price of {name} is no number: {price:?}")
        })
    }

    fn normalise(
        &self,
        _request: &Request<'_>,
        _clusters: &[&Cluster],
        scores: &mut [i64],
    ) -> Result<(), String> {
        let prices = || scores.iter().copied().filter(|&price| price != UNKNOWN);
        let lowest = prices().min().unwrap_or_default();
        let range = prices().max().unwrap_or_default().abs_diff(lowest);
        for score in scores {
            *score = match (*score, range) {
                (UNKNOWN, _) => 0,
                (_, 0) => 100,
                (price, range) => {
                    let above = u128::from(price.abs_diff(lowest)) * 100 / u128::from(range);
                    100 - i64::try_from(above).unwrap_or(100)
                }
            };
        }
        Ok(())
    }
}

const UNKNOWN: i64 = i64::MAX;

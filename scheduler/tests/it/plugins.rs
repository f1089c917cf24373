//! Plugins from another crate.

use scheduler::plugins::{Estimate, Filter, Registry, Score, Select, Verdict};
use scheduler::select::{Candidate, SelectError};
use scheduler::{Cluster, Options, Request};

use crate::fixtures::*;

struct Named(&'static str);

impl Filter for Named {
    fn name(&self) -> &'static str {
        "Named"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        if cluster.name().starts_with(self.0) {
            Verdict::Fits
        } else {
            let kind = &request.spec().resource.kind;
            Verdict::unfit(format!("cluster(s) are not for a {kind}"))
        }
    }
}

struct ByLength {
    fails: &'static str,
}

impl Score for ByLength {
    fn name(&self) -> &'static str {
        "ByLength"
    }

    fn score(&self, _request: &Request<'_>, cluster: &Cluster) -> Result<i64, String> {
        if self.fails == "score" {
            return Err("no ruler".to_owned());
        }
        Ok(i64::try_from(cluster.name().len()).unwrap_or_default())
    }

    fn normalise(
        &self,
        _request: &Request<'_>,
        clusters: &[&Cluster],
        scores: &mut [i64],
    ) -> Result<(), String> {
        if self.fails == "normalise" {
            return Err("no scale".to_owned());
        }
        assert_eq!(clusters.len(), scores.len());
        for score in scores {
            *score *= 10;
        }
        Ok(())
    }
}

/// Picks the last candidate, and says so in a clumsy way.
struct Last;

impl Select for Last {
    fn name(&self) -> &'static str {
        "Last"
    }

    fn select(
        &self,
        request: &Request<'_>,
        candidates: &[Candidate],
    ) -> Option<Result<Vec<usize>, SelectError>> {
        assert!(!candidates[0].cluster(request).name().is_empty());
        Some(Ok(vec![
            candidates.len() - 1,
            usize::MAX,
            candidates.len() - 1,
        ]))
    }
}

struct Two;

impl Estimate for Two {
    fn name(&self) -> &'static str {
        "Two"
    }

    fn estimate(&self, _request: &Request<'_>, cluster: &Cluster) -> Option<i64> {
        (cluster.name() == "a").then_some(2)
    }
}

fn told_with(register: impl FnOnce(&mut Registry)) -> String {
    let mut registry = Registry::builtin();
    register(&mut registry);
    let mut options = Options::default();
    options.plugins = registry.enable("*", &options.gates).unwrap();
    let rooms = clusters(&[("a", 9), ("ab", 9), ("b", 9)]);
    told(&outcome(&binding(3, aggregated()), &rooms, &options))
}

#[test]
fn plugins_take_part_in_decisions() {
    assert_eq!(told_with(|_| ()), "a 3");
    assert_eq!(
        told_with(|it| {
            it.filter(Named("b"));
        }),
        "b 3"
    );
    let refused = told_with(|it| {
        it.filter(Named("x"));
    });
    assert_eq!(
        refused,
        "NoClusterFit: 0/3 clusters are available: 3 cluster(s) are not for a Deployment."
    );
    assert_eq!(
        told_with(|it| {
            it.score(ByLength { fails: "" });
        }),
        "ab 3"
    );
    assert_eq!(
        told_with(|it| {
            it.select(Last);
        }),
        "b 3"
    );
    assert_eq!(
        told_with(|it| {
            it.estimate(Two);
        }),
        "ab 3"
    );
}

#[test]
fn failing_scores_are_errors() {
    let of = |fails| {
        told_with(|it| {
            it.score(ByLength { fails });
        })
    };
    assert_eq!(
        of("score"),
        "SchedulerError: failed to prioritize clusters: plugin \"ByLength\" failed with: no ruler"
    );
    assert_eq!(
        of("normalise"),
        "SchedulerError: failed to prioritize clusters: plugin \"ByLength\" normalizeScore failed with: no scale"
    );
}

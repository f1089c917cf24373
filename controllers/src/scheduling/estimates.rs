//! Decisions that need to know how much room members really have.
//!
//! The core says which clusters to ask about, the estimators are asked all at once, and the core is called again with what they
//! answered. Nothing is held meanwhile: clusters may change, and one that vanishes is not chosen.

use std::{collections::BTreeMap, sync::Arc};

use estimator::{
    client::{Estimators, Question},
    wire::estimator::AssumedWorkload,
};
use scheduler::{
    Decision, Estimates, Inputs, Snapshot, Step, decide,
    decision::{Shortlist, step},
    inflight::AssumedAt,
};
use trace::NoTrace;

use super::{Shared, account::Basis, inflight, metrics::Stopwatch};
use crate::world::Bindings;

/// The estimator's name in the account of a decision.
const NAME: &str = "scheduler-estimator";
/// How often one decision asks, besides once for each affinity term: only clusters that join in between are asked about.
const ROUNDS: usize = 8;

/// What has to be asked before a decision.
struct Ask {
    question: Question,
    clusters: Vec<String>,
    assumed: BTreeMap<String, Vec<AssumedWorkload>>,
}

impl Ask {
    fn of(shortlist: &Shortlist<'_>, assumed: Option<AssumedAt<'_>>) -> Self {
        let clusters = shortlist.clusters.iter().map(|&name| name.to_owned());
        let assumed = assumed.map_or_else(BTreeMap::new, |assumed| {
            let workloads = |name: &&str| {
                let workloads: Vec<_> = assumed.in_cluster(name).map(Into::into).collect();
                (!workloads.is_empty()).then(|| ((*name).to_owned(), workloads))
            };
            shortlist.clusters.iter().filter_map(workloads).collect()
        });
        Self {
            question: Question::of(shortlist),
            clusters: clusters.collect(),
            assumed,
        }
    }
}

impl Shared {
    /// Decides about a binding; what the decision goes by is returned with it.
    pub(super) async fn decide<B: Bindings>(&self, binding: &B) -> (Decision, Basis) {
        let Some(estimators) = &self.estimators else {
            let snapshot = self.clusters();
            let decision = self.decide_with(binding, &snapshot, None);
            return (decision, Basis::new(snapshot, None));
        };
        self.decide_asking(binding, estimators).await
    }

    async fn decide_asking<B: Bindings>(
        &self,
        binding: &B,
        estimators: &Estimators,
    ) -> (Decision, Basis) {
        let mut estimates = None;
        let terms = binding.spec().placement.as_ref();
        let terms = terms.map_or(0, |placement| placement.cluster_affinities.len());
        for _ in 0..terms + ROUNDS {
            let snapshot = self.clusters();
            let ask = match self.step(binding, &snapshot, estimates.as_ref()) {
                Ok(decision) => return (decision, Basis::new(snapshot, estimates)),
                Err(ask) => ask,
            };
            let about = &binding.spec().resource;
            let answers = estimators
                .available(about, &ask.question, &ask.clusters, &ask.assumed)
                .await;
            let estimates = estimates.get_or_insert_with(Estimates::default);
            for (cluster, answer) in answers {
                estimates.insert(NAME, &cluster, answer);
            }
        }
        let snapshot = self.clusters();
        let decision = self.decide_with(binding, &snapshot, estimates.as_ref());
        (decision, Basis::new(snapshot, estimates))
    }

    /// The clusters as they are now.
    pub(super) fn clusters(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read())
    }

    fn step<B: Bindings>(
        &self,
        binding: &B,
        snapshot: &Snapshot,
        estimates: Option<&Estimates>,
    ) -> Result<Decision, Box<Ask>> {
        let is_assumed = self.options.gates.scheduling_overcommit_protection;
        self.with_inputs(
            binding,
            snapshot,
            estimates,
            |inputs, stopwatch| match step(binding, inputs, &mut NoTrace) {
                Step::Decided(decision) => Ok(decision),
                Step::Ask(shortlist) => {
                    stopwatch.discard();
                    let assumed = inputs.assumed.filter(|_| is_assumed);
                    Err(Box::new(Ask::of(&shortlist, assumed)))
                }
            },
        )
    }

    fn decide_with<B: Bindings>(
        &self,
        binding: &B,
        snapshot: &Snapshot,
        estimates: Option<&Estimates>,
    ) -> Decision {
        self.with_inputs(binding, snapshot, estimates, |inputs, _| {
            decide(binding, inputs, &mut NoTrace)
        })
    }

    fn with_inputs<B: Bindings, T>(
        &self,
        binding: &B,
        snapshot: &Snapshot,
        estimates: Option<&Estimates>,
        run: impl FnOnce(&Inputs<'_>, &Stopwatch<'_>) -> T,
    ) -> T {
        let options = if self.metrics.samples() {
            &self.measured
        } else {
            &self.options
        };
        let peers = inflight::peers(&self.world, binding, options);
        let stopwatch = Stopwatch::new(&self.metrics);
        let assumed = self.inflight.assumed.read();
        let now = jiff::Timestamp::now();
        let inputs = Inputs {
            peers: peers.as_ref(),
            assumed: Some(assumed.at(now)),
            estimates,
            observer: Some(&stopwatch),
            ..Inputs::new(snapshot, options, now)
        };
        run(&inputs, &stopwatch)
    }
}

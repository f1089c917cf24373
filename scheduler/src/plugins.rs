//! The plugin framework: what decides where a workload can go, and how to add to it.
//!
//! A plugin is a type in any crate that implements one of four traits and is registered when the process is built. It gets the
//! [`Request`] and parsed clusters, never a client: what it needs from elsewhere it holds itself.
//!
//! ```
//! use scheduler::plugins::{Filter, Registry, Verdict};
//! use scheduler::{Cluster, Request};
//!
//! /// Keeps everything off clusters that run an old version.
//! struct Version;
//!
//! impl Filter for Version {
//!     fn name(&self) -> &str {
//!         "Version"
//!     }
//!
//!     fn filter(&self, _request: &Request<'_>, cluster: &Cluster) -> Verdict {
//!         match cluster.label("version") {
//!             Some("old") => Verdict::unfit("cluster(s) run an old version"),
//!             _ => Verdict::Fits,
//!         }
//!     }
//! }
//!
//! let mut registry = Registry::builtin();
//! registry.filter(Version);
//! let plugins = registry.enable("*,-ClusterEviction", &Default::default()).unwrap();
//! assert!(plugins.names().any(|name| name == "Version"));
//! ```

use std::fmt;
use std::sync::Arc;

use crate::estimate::GeneralEstimator;
use crate::filter;
use crate::options::Gates;
use crate::request::Request;
use crate::score;
use crate::select::{Candidate, SelectError};
use crate::snapshot::Cluster;

/// Says which clusters a workload can go to at all.
pub trait Filter: Send + Sync {
    /// The name in the list of plugins.
    fn name(&self) -> &str;

    /// Judges one cluster. Called for every cluster of every decision: allocate only to say no.
    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict;

    /// A code for programs that stands for "this plugin said no".
    fn code(&self) -> &'static str {
        "Filtered"
    }

    /// What was wanted and what was found, for people; asked only when a decision is explained.
    fn explain(&self, _request: &Request<'_>, _cluster: &Cluster) -> Option<String> {
        None
    }
}

/// Ranks the clusters that a workload can go to.
pub trait Score: Send + Sync {
    /// The name in the list of plugins.
    fn name(&self) -> &str;

    /// How good a cluster is, from 0 to 100.
    fn score(&self, request: &Request<'_>, cluster: &Cluster) -> Result<i64, String>;

    /// Adjusts the scores of all clusters to each other; `scores` is in the order of `clusters`.
    fn normalise(
        &self,
        _request: &Request<'_>,
        _clusters: &[&Cluster],
        _scores: &mut [i64],
    ) -> Result<(), String> {
        Ok(())
    }
}

/// Picks clusters in place of the built-in selection by spread constraints.
pub trait Select: Send + Sync {
    /// The name in the list of plugins.
    fn name(&self) -> &str;

    /// Picks among candidates in canonical order and returns positions in the order of preference; `None` leaves the choice to
    /// the next plugin, and in the end to the built-in rules.
    fn select(
        &self,
        request: &Request<'_>,
        candidates: &[Candidate],
    ) -> Option<Result<Vec<usize>, SelectError>>;
}

/// Says how many more replicas, or component sets, fit into a cluster.
pub trait Estimate: Send + Sync {
    /// The name in the list of plugins.
    fn name(&self) -> &str;

    /// The number that fits; `None` if the estimator does not know. Of several estimators the smallest number counts.
    fn estimate(&self, request: &Request<'_>, cluster: &Cluster) -> Option<i64>;

    /// How the number came about; asked only when a decision is explained.
    fn explain(&self, _request: &Request<'_>, _cluster: &Cluster) -> Vec<crate::trace::Factor> {
        Vec::new()
    }
}

/// What a filter says about a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The workload can go there.
    Fits,
    /// It cannot.
    Unfit(Reason),
    /// The filter could not tell; counts as unfit.
    Error(Reason),
}

impl Verdict {
    /// The workload cannot go there, for this reason.
    pub fn unfit(reason: impl Into<Reason>) -> Self {
        Self::Unfit(reason.into())
    }

    /// Why the workload cannot go there.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Fits => None,
            Self::Unfit(reason) | Self::Error(reason) => Some(reason),
        }
    }
}

/// Why a cluster does not fit; equal reasons are counted together.
#[derive(Clone, Debug, Eq)]
pub enum Reason {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Reason {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialOrd for Reason {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reason {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl From<Arc<str>> for Reason {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

/// The plugins that a scheduler runs, in order.
#[derive(Clone)]
pub struct Plugins {
    pub(crate) filters: Vec<Arc<dyn Filter>>,
    pub(crate) scores: Vec<Arc<dyn Score>>,
    pub(crate) selects: Vec<Arc<dyn Select>>,
    pub(crate) estimates: Vec<Arc<dyn Estimate>>,
}

impl Plugins {
    /// The names of the plugins, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let filters = self.filters.iter().map(|it| it.name());
        let scores = self.scores.iter().map(|it| it.name());
        let selects = self.selects.iter().map(|it| it.name());
        let estimates = self.estimates.iter().map(|it| it.name());
        let mut seen = std::collections::BTreeSet::new();
        filters
            .chain(scores)
            .chain(selects)
            .chain(estimates)
            .filter(move |&name| seen.insert(name))
    }

    /// The same plugins with every filter replaced, for example by one that also measures time.
    #[must_use]
    pub fn map_filters(mut self, with: impl FnMut(Arc<dyn Filter>) -> Arc<dyn Filter>) -> Self {
        self.filters = self.filters.into_iter().map(with).collect();
        self
    }

    /// The same plugins with every score replaced, for example by one that also measures time.
    #[must_use]
    pub fn map_scores(mut self, with: impl FnMut(Arc<dyn Score>) -> Arc<dyn Score>) -> Self {
        self.scores = self.scores.into_iter().map(with).collect();
        self
    }
}

impl Default for Plugins {
    /// All built-in plugins that are on by default.
    fn default() -> Self {
        Registry::builtin().plugins(|_| true)
    }
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Why a list of plugins is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    #[error("unknown plugin {name:?}, known are {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("two plugins for {extension} are named {name:?}")]
    Duplicate {
        name: String,
        extension: &'static str,
    },
}

/// All plugins that a process was built with.
///
/// The order is that of registration, built-in plugins first; it is the order in which filters run, hence which reason users see
/// for a cluster that several filters refuse.
pub struct Registry {
    all: Plugins,
}

impl Registry {
    /// The built-in plugins.
    pub fn builtin() -> Self {
        Self {
            all: Plugins {
                filters: filter::builtin(),
                scores: score::builtin(),
                selects: Vec::new(),
                estimates: vec![Arc::new(GeneralEstimator)],
            },
        }
    }

    /// Adds a filter.
    pub fn filter(&mut self, plugin: impl Filter + 'static) -> &mut Self {
        self.all.filters.push(Arc::new(plugin));
        self
    }

    /// Adds a score.
    pub fn score(&mut self, plugin: impl Score + 'static) -> &mut Self {
        self.all.scores.push(Arc::new(plugin));
        self
    }

    /// Adds a selection.
    pub fn select(&mut self, plugin: impl Select + 'static) -> &mut Self {
        self.all.selects.push(Arc::new(plugin));
        self
    }

    /// Adds an estimator.
    pub fn estimate(&mut self, plugin: impl Estimate + 'static) -> &mut Self {
        self.all.estimates.push(Arc::new(plugin));
        self
    }

    /// Picks the plugins that a list such as `*,-TaintToleration` enables.
    ///
    /// `*` anywhere stands for all; a name adds a plugin; `-name` removes one. The general estimator is not a matter of the list.
    /// Fails for names that stand for no plugin and if two plugins of one kind share a name.
    pub fn enable(&self, list: &str, gates: &Gates) -> Result<Plugins, PluginError> {
        self.check_duplicates()?;
        let known: Vec<&str> = self.names().collect();
        let entries: Vec<&str> = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .collect();
        let mut enabled: Vec<&str> = Vec::new();
        if entries.contains(&"*") {
            enabled.extend(&known);
        }
        for entry in entries.into_iter().filter(|&entry| entry != "*") {
            if known.contains(&entry) {
                enabled.push(entry);
                continue;
            }
            match entry.strip_prefix('-').filter(|name| known.contains(name)) {
                Some(name) => enabled.retain(|&it| it != name),
                None => {
                    return Err(PluginError::Unknown {
                        name: entry.to_owned(),
                        known: known.into_iter().map(str::to_owned).collect(),
                    });
                }
            }
        }
        let is_off = |name: &str| filter::GATED.contains(&name) && !gates.workload_affinity;
        Ok(self.pick(|name| enabled.contains(&name) && !is_off(name)))
    }

    /// The names that a list may contain.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all
            .names()
            .filter(|&name| name != GeneralEstimator::NAME)
    }

    fn plugins(&self, keep: impl Fn(&str) -> bool) -> Plugins {
        self.pick(|name| keep(name) && !filter::GATED.contains(&name))
    }

    fn pick(&self, keep: impl Fn(&str) -> bool) -> Plugins {
        let Plugins {
            filters,
            scores,
            selects,
            estimates,
        } = &self.all;
        Plugins {
            filters: filters
                .iter()
                .filter(|it| keep(it.name()))
                .cloned()
                .collect(),
            scores: scores
                .iter()
                .filter(|it| keep(it.name()))
                .cloned()
                .collect(),
            selects: selects
                .iter()
                .filter(|it| keep(it.name()))
                .cloned()
                .collect(),
            estimates: estimates
                .iter()
                .filter(|it| it.name() == GeneralEstimator::NAME || keep(it.name()))
                .cloned()
                .collect(),
        }
    }

    fn check_duplicates(&self) -> Result<(), PluginError> {
        let check = |extension: &'static str, mut names: Vec<&str>| {
            names.sort_unstable();
            match names.windows(2).find(|pair| pair[0] == pair[1]) {
                None => Ok(()),
                Some(pair) => Err(PluginError::Duplicate {
                    name: pair[0].to_owned(),
                    extension,
                }),
            }
        };
        check(
            "filter",
            self.all.filters.iter().map(|it| it.name()).collect(),
        )?;
        check(
            "score",
            self.all.scores.iter().map(|it| it.name()).collect(),
        )?;
        check(
            "select",
            self.all.selects.iter().map(|it| it.name()).collect(),
        )?;
        check(
            "estimate",
            self.all.estimates.iter().map(|it| it.name()).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, gates: Gates, expected: &[&str]) {
        let plugins = Registry::builtin().enable(list, &gates).unwrap();
        let names: Vec<&str> = plugins.filters.iter().map(|it| it.name()).collect();
        assert_eq!(names, expected, "{list}");
    }

    #[test]
    fn lists_enable_plugins() {
        let off = Gates::default();
        let on = Gates {
            workload_affinity: true,
            ..off
        };
        let all = [
            "APIEnablement",
            "TaintToleration",
            "ClusterAffinity",
            "SpreadConstraint",
            "ClusterEviction",
            "WorkloadAffinity",
            "WorkloadAntiAffinity",
        ];
        check("*", off, &all[..5]);
        check("*", on, &all);
        check("*,-TaintToleration", off, &[all[0], all[2], all[3], all[4]]);
        check("-TaintToleration,*", off, &[all[0], all[2], all[3], all[4]]);
        check("ClusterAffinity", off, &["ClusterAffinity"]);
        check("-ClusterAffinity", off, &[]);
        check("", off, &[]);
    }

    #[test]
    fn the_general_estimator_cannot_be_switched_off() {
        let plugins = Registry::builtin().enable("", &Gates::default()).unwrap();
        assert_eq!(
            plugins.names().collect::<Vec<_>>(),
            [GeneralEstimator::NAME]
        );
    }

    #[test]
    fn unknown_and_duplicate_names_are_refused() {
        let unknown = Registry::builtin()
            .enable("*,-Typo", &Gates::default())
            .unwrap_err();
        assert!(matches!(unknown, PluginError::Unknown { name, .. } if name == "-Typo"));
        let mut registry = Registry::builtin();
        registry.filter(filter::TaintToleration);
        let duplicate = registry.enable("*", &Gates::default()).unwrap_err();
        assert_eq!(
            duplicate.to_string(),
            "two plugins for filter are named \"TaintToleration\""
        );
    }
}

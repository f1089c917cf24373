//! Why a binding could not be scheduled.

use std::collections::BTreeMap;
use std::fmt;

use crds::conditions::binding as reasons;

use crate::divide::AssignError;
use crate::plugins::Reason;
use crate::select::SelectError;

/// Why one run of the algorithm has no result. The texts are those of the condition `Scheduled`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// No cluster passed the filters.
    #[error(transparent)]
    NoFit(#[from] FitError),
    #[error("failed to prioritize clusters: plugin {plugin:?} failed with: {message}")]
    Score { plugin: String, message: String },
    #[error(
        "failed to prioritize clusters: plugin {plugin:?} normalizeScore failed with: {message}"
    )]
    NormaliseScore { plugin: String, message: String },
    #[error("failed to select clusters: {0}")]
    Select(SelectError),
    #[error("failed to assign replicas: {0}")]
    Assign(AssignError),
    /// The binding says something that has no meaning.
    #[error("{field} is invalid: {message}")]
    Malformed { field: String, message: String },
}

impl ScheduleError {
    /// The reason of the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoFit(_) => reasons::NO_CLUSTER_FIT,
            Self::Assign(error) if error.is_unschedulable() => reasons::UNSCHEDULABLE,
            Self::Select(error) if error.is_unschedulable() => reasons::UNSCHEDULABLE,
            _ => reasons::SCHEDULER_ERROR,
        }
    }

    /// Whether clusters would fit if they had more room.
    pub fn is_unschedulable(&self) -> bool {
        self.reason() == reasons::UNSCHEDULABLE
    }

    pub(crate) fn malformed(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Malformed {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// No cluster passed the filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FitError {
    /// All clusters, including those that are being removed.
    pub clusters: usize,
    /// Each distinct reason with the number of clusters that were refused for it.
    pub reasons: BTreeMap<Reason, usize>,
}

impl FitError {
    pub(crate) fn add(&mut self, reason: Reason) {
        *self.reasons.entry(reason).or_default() += 1;
    }
}

impl std::error::Error for FitError {}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0/{} clusters are available: ", self.clusters)?;
        if self.clusters == 0 || self.reasons.is_empty() {
            return f.write_str("no cluster exists.");
        }
        let mut entries: Vec<String> = self
            .reasons
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        entries.sort_unstable();
        write!(f, "{}.", entries.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_and_sorted_as_text() {
        let mut error = FitError {
            clusters: 13,
            reasons: BTreeMap::new(),
        };
        for _ in 0..3 {
            error.add("cluster(s) did not have the API resource".into());
        }
        for _ in 0..10 {
            let text = "cluster(s) did not match the placement cluster affinity constraint";
            error.add(text.to_owned().into());
        }
        assert_eq!(
            error.to_string(),
            "0/13 clusters are available: 10 cluster(s) did not match the placement cluster affinity constraint, \
             3 cluster(s) did not have the API resource."
        );
    }

    #[test]
    fn without_reasons_no_cluster_exists() {
        let error = FitError {
            clusters: 2,
            reasons: BTreeMap::new(),
        };
        assert_eq!(
            error.to_string(),
            "0/2 clusters are available: no cluster exists."
        );
    }
}

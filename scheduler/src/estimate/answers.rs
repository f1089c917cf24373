//! What accurate estimators answered, gathered by whoever asked them.

use std::collections::HashMap;

/// The answers of all accurate estimators.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimates(pub Vec<EstimatorAnswers>);

/// One estimator's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct EstimatorAnswers {
    /// The estimator, for example `scheduler-estimator`.
    pub estimator: String,
    /// Answers by cluster; a cluster that was not asked or has no estimator is left out.
    pub answers: HashMap<String, Answer>,
}

/// An estimator's answer for one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This many more replicas or sets fit; -1 if the estimator does not know.
    Fits(i32),
    /// The question could not be asked or was not answered.
    Failed(String),
}

impl Estimates {
    /// The answers of one estimator.
    pub fn of(estimator: &str, answers: impl IntoIterator<Item = (String, Answer)>) -> Self {
        Self(vec![EstimatorAnswers {
            estimator: estimator.to_owned(),
            answers: answers.into_iter().collect(),
        }])
    }

    /// Adds one estimator's answer for a cluster.
    pub fn insert(&mut self, estimator: &str, cluster: &str, answer: Answer) {
        let at = self
            .0
            .iter()
            .position(|it| it.estimator == estimator)
            .unwrap_or_else(|| {
                self.0.push(EstimatorAnswers {
                    estimator: estimator.to_owned(),
                    answers: HashMap::new(),
                });
                self.0.len() - 1
            });
        self.0[at].answers.insert(cluster.to_owned(), answer);
    }

    /// Whether some estimator was asked about the cluster.
    pub(crate) fn knows(&self, cluster: &str) -> bool {
        self.0.iter().any(|it| it.answers.contains_key(cluster))
    }
}

impl EstimatorAnswers {
    pub(crate) fn of(&self, cluster: &str) -> Option<&Answer> {
        self.answers.get(cluster)
    }
}

//! A decision told as one structured account, for people and programs that ask why.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::trace::{Division, Factor, Item};

/// What a decision was based on and how it came out. Serialises to the JSON that the CLI and the console read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Why the scheduler acted; `Unchanged` if it had no reason to, `Skipped` if the binding is left alone.
    pub trigger: &'static str,
    /// Why the binding is left alone: `Deleting`, `OtherScheduler` or `Suspended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<&'static str>,
    /// `Fresh` or `Steady`.
    pub mode: &'static str,
    /// One per affinity term that was tried, or one.
    pub attempts: Vec<Attempt>,
    /// Why there is no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Without a result: whether the resource stays in the clusters that it is in, or is taken away; absent if it is in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
    /// The new target list; empty without a result.
    pub result: Vec<Target>,
    /// What is written to the binding; absent if nothing differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Value>,
}

/// One run of the algorithm.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity_name: Option<String>,
    /// By name.
    pub clusters: Vec<ClusterAccount>,
    /// How clusters were selected, if it came to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupAccount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<Swap>,
    /// One per overflow tier that was reached, or one.
    pub divisions: Vec<Division>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The way in which clusters were selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// `All`, `Clusters`, `Regions`, `Groups` for constraints on several levels, or `Plugin`.
    pub path: &'static str,
    /// The plugin that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
}

/// Everything about one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAccount {
    pub name: String,
    pub verdict: Verdict,
    pub filters: Vec<FilterAccount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<ScoreAccount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub estimators: Vec<EstimatorAccount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocatable: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// The rule of the static weight list, counted from 0, that gave the weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_rule: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
}

/// What became of a cluster, as a code for programs and a text for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// `Selected`, `ZeroReplicas`, `NotSelected`, `Terminating`, or the code of the filter that decided.
    pub code: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What a filter said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterAccount {
    pub plugin: String,
    pub passed: bool,
    /// Whether this is the filter that stopped the cluster.
    pub decisive: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What was wanted and what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoreAccount {
    pub total: i64,
    pub by_plugin: BTreeMap<String, i64>,
}

/// What an estimator said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EstimatorAccount {
    pub name: String,
    /// Absent if the estimator does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// The arithmetic, such as `min(cpu 3/0.25 = 12, memory 80, pods 180) = 12`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub explanation: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub factors: Vec<Factor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupAccount {
    pub field: String,
    pub name: String,
    pub clusters: usize,
    pub score: i64,
    pub chosen: bool,
}

/// Clusters exchanged because the first choice lacked room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swap {
    pub out: String,
    pub r#in: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub reason: &'static str,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    pub name: String,
    pub replicas: i64,
}

impl Explanation {
    /// Puts together what a [`Recorder`](crate::trace::Recorder) took down during one decision.
    pub fn of(items: &[Item]) -> Self {
        let mut explanation = Self {
            trigger: "NoPlacement",
            mode: "Steady",
            ..Self::default()
        };
        let mut rows: BTreeMap<String, ClusterAccount> = BTreeMap::new();
        for item in items {
            match item {
                Item::Triggered { code, fresh } => {
                    explanation.trigger = code;
                    explanation.mode = if *fresh { "Fresh" } else { "Steady" };
                }
                Item::Skipped { code } => {
                    explanation.trigger = "Skipped";
                    explanation.skipped = Some(code);
                }
                Item::Patch { patch } => explanation.patch = Some(patch.clone()),
                Item::Attempt { affinity_name, .. } => {
                    explanation.finish_attempt(&mut rows);
                    explanation.attempts.push(Attempt {
                        affinity_name: affinity_name.clone(),
                        ..Attempt::default()
                    });
                }
                Item::Failed {
                    reason,
                    message,
                    kept,
                } => {
                    explanation.kept = *kept;
                    explanation.failure = Some(Failure {
                        reason,
                        message: message.clone(),
                    });
                }
                Item::Placed { cluster, replicas } => {
                    let row = rows.entry(cluster.clone()).or_default();
                    row.replicas = Some(*replicas);
                    explanation.result.push(Target {
                        name: cluster.clone(),
                        replicas: *replicas,
                    });
                }
                item => {
                    if let Some(attempt) = explanation.attempts.last_mut() {
                        attempt.add(item, &mut rows);
                    }
                }
            }
        }
        explanation.finish_attempt(&mut rows);
        explanation
    }

    /// Gives the rows of clusters to the attempt that they belong to.
    fn finish_attempt(&mut self, rows: &mut BTreeMap<String, ClusterAccount>) {
        let rows = std::mem::take(rows);
        let Some(attempt) = self.attempts.last_mut() else {
            return;
        };
        let succeeded = attempt.failure.is_none();
        attempt.clusters = rows
            .into_iter()
            .map(|(name, mut row)| {
                if row.verdict.code == "Selected" && row.replicas.is_none() && succeeded {
                    row.verdict.code = "ZeroReplicas";
                }
                ClusterAccount { name, ..row }
            })
            .collect();
    }
}

impl Attempt {
    fn add(&mut self, item: &Item, rows: &mut BTreeMap<String, ClusterAccount>) {
        match item {
            Item::Path { path, plugin } => {
                self.selection = Some(Selection {
                    path,
                    plugin: plugin.clone(),
                });
            }
            Item::Group {
                field,
                name,
                clusters,
                score,
            } => self.groups.push(GroupAccount {
                field: field.clone(),
                name: name.clone(),
                clusters: *clusters,
                score: *score,
                chosen: false,
            }),
            Item::GroupsChosen { field, names } => {
                for group in self.groups.iter_mut().filter(|group| group.field == *field) {
                    group.chosen = names.contains(&group.name);
                }
            }
            Item::Swapped { out, r#in } => self.swaps.push(Swap {
                out: out.clone(),
                r#in: r#in.clone(),
            }),
            Item::Divided(division) => {
                for share in &division.shares {
                    row_of(rows, &share.cluster).weight = Some(share.weight);
                }
                self.divisions.push(division.clone());
            }
            Item::AttemptFailed { reason, message } => {
                self.failure = Some(Failure {
                    reason,
                    message: message.clone(),
                });
            }
            Item::Deleting { cluster }
            | Item::Filtered { cluster, .. }
            | Item::Scored { cluster, .. }
            | Item::Estimated { cluster, .. }
            | Item::Available { cluster, .. }
            | Item::Selected { cluster, .. }
            | Item::NotSelected { cluster, .. }
            | Item::Weight { cluster, .. } => row_of(rows, cluster).add(item),
            Item::Triggered { .. }
            | Item::Skipped { .. }
            | Item::Patch { .. }
            | Item::Attempt { .. }
            | Item::Failed { .. }
            | Item::Placed { .. } => {}
        }
    }
}

impl ClusterAccount {
    fn add(&mut self, item: &Item) {
        match item {
            Item::Deleting { .. } => self.verdict.code = "Terminating",
            Item::Filtered {
                plugin,
                passed,
                decisive,
                code,
                reason,
                detail,
                ..
            } => {
                if *decisive {
                    self.verdict = Verdict {
                        code,
                        message: detail.as_ref().unwrap_or(reason).clone(),
                    };
                }
                self.filters.push(FilterAccount {
                    plugin: plugin.clone(),
                    passed: *passed,
                    decisive: *decisive,
                    reason: reason.clone(),
                    detail: detail.clone(),
                });
            }
            Item::Scored { plugin, score, .. } => {
                let account = self.score.get_or_insert_default();
                account.total = account.total.saturating_add(*score);
                account.by_plugin.insert(plugin.clone(), *score);
            }
            Item::Estimated {
                estimator,
                replicas,
                factors,
                error,
                ..
            } => self.estimators.push(EstimatorAccount {
                name: estimator.clone(),
                replicas: *replicas,
                explanation: error.clone().unwrap_or_else(|| formula(factors)),
                factors: factors.clone(),
            }),
            Item::Available {
                allocatable,
                available,
                ..
            } => {
                self.allocatable = Some(*allocatable);
                self.available = Some(*available);
            }
            Item::Selected { tier, .. } => {
                self.verdict.code = "Selected";
                self.tier = Some(*tier).filter(|&tier| tier > 0);
            }
            Item::NotSelected { reason, .. } => {
                self.verdict = Verdict {
                    code: "NotSelected",
                    message: reason.clone(),
                };
            }
            Item::Weight { weight, rule, .. } => {
                self.weight = Some(*weight);
                self.weight_rule = *rule;
            }
            _ => {}
        }
    }
}

fn row_of<'r>(
    rows: &'r mut BTreeMap<String, ClusterAccount>,
    cluster: &str,
) -> &'r mut ClusterAccount {
    rows.entry(cluster.to_owned()).or_default()
}

/// Writes factors as a minimum: the first of those that limit with its division, the others by their outcome.
fn formula(factors: &[Factor]) -> String {
    let Some(least) = factors.iter().map(|factor| factor.fits).min() else {
        return String::new();
    };
    let limiting = factors.iter().position(|factor| factor.fits == least);
    let mut order: Vec<usize> = (0..factors.len()).collect();
    order.sort_by_key(|&at| Some(at) != limiting);
    let terms: Vec<String> = order
        .into_iter()
        .map(|at| {
            let factor = &factors[at];
            let Factor { resource, fits, .. } = factor;
            if let Some(fault) = &factor.fault {
                return format!("{resource} {fits}, {fault}");
            }
            match (factor.free, factor.request) {
                (Some(free), Some(request)) if Some(at) == limiting && resource != "pods" => {
                    let (free, request) = (amount(resource, free), amount(resource, request));
                    format!("{resource} {free}/{request} = {fits}")
                }
                (None, Some(_)) => format!("{resource} absent = {fits}"),
                _ => format!("{resource} {fits}"),
            }
        })
        .collect();
    match terms.as_slice() {
        [one] => one.clone(),
        _ => format!("min({}) = {least}", terms.join(", ")),
    }
}

/// An amount in the unit that people use: cores, or a binary multiple of bytes.
fn amount(resource: &str, value: i64) -> String {
    match resource {
        "cpu" => decimal(i128::from(value), 1000, ""),
        "memory" | "ephemeral-storage" => {
            let units = [("Gi", 1_i128 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
            let value = i128::from(value);
            let unit = units.iter().find(|(_, size)| value.abs() >= *size);
            unit.map_or_else(
                || value.to_string(),
                |(name, size)| decimal(value, *size, name),
            )
        }
        _ => value.to_string(),
    }
}

/// `value / by` with at most three decimals.
fn decimal(value: i128, by: i128, unit: &str) -> String {
    let thousandths = value.abs() * 1000 / by;
    let sign = if value < 0 { "-" } else { "" };
    let fraction = format!("{:03}", thousandths % 1000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}{unit}", thousandths / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_show_the_limiting_division() {
        let factor = |resource: &str, free: i64, request: i64, fits: i64| Factor {
            resource: resource.to_owned(),
            free: Some(free),
            request: Some(request),
            fits,
            fault: None,
        };
        let factors = [
            factor("pods", 180, 1, 180),
            factor("cpu", 3000, 250, 12),
            factor("memory", 21_474_836_480, 268_435_456, 80),
        ];
        assert_eq!(
            formula(&factors),
            "min(cpu 3/0.25 = 12, pods 180, memory 80) = 12"
        );
        let factors = [
            factor("pods", 78, 1, 78),
            factor("memory", 3_221_225_472, 1_610_612_736, 2),
        ];
        assert_eq!(formula(&factors), "min(memory 3Gi/1.5Gi = 2, pods 78) = 2");
        assert_eq!(formula(&factors[..1]), "pods 78");
        assert_eq!(formula(&[]), "");
    }
}

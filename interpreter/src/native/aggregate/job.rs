//! The status of a Job: sums, and the end of the whole once the parts have ended.
//!
//! The API server checks the status of a Job when it is written: `Complete` needs `SuccessCriteriaMet` and a completion
//! time, `Failed` needs `FailureTarget`, and a Job that has ended has a start time and no active pods. Unless asked to be
//! compatible, the conditions are built so that the write passes.

use serde_json::{Map, Value};

use super::{Items, Kind, sums};
use crate::layer::Context;
use crate::native::status::canonical_time;
use crate::rfc3339;
use crate::value::{integer, items as list, set, text};

/// How a member's Job has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Failed,
}

/// None: the template's status is final.
pub(super) fn aggregate(
    old: &Value,
    items: Items<'_>,
    context: &Context<'_>,
) -> Option<Map<String, Value>> {
    if list(old, &["conditions"])
        .iter()
        .any(|condition| end_of(condition).is_some())
    {
        return None;
    }
    let failed: Vec<&str> = ended(items, End::Failed);
    let complete = ended(items, End::Complete).len() == items.len() && items.len() > 0;
    let mut status = sums(Kind::Job, items, Map::new());
    let mut times = Times::of(old, items);
    let conditions = if context.options.compat {
        compatible_conditions(&failed, complete, items, context)
    } else {
        let is_active = integer(&Value::Object(status.clone()), &["active"]) > 0;
        let conditions = Conditions {
            old,
            now: rfc3339::format(context.clock.unix_seconds()),
        };
        let conditions = conditions.build(&failed, complete, is_active);
        times.fit(
            conditions.iter().find_map(end_of),
            &rfc3339::format(context.clock.unix_seconds()),
        );
        conditions
    };
    if !conditions.is_empty() {
        status.insert("conditions".to_owned(), conditions.into());
    }
    for (field, time) in [
        ("startTime", times.start),
        ("completionTime", times.completion),
    ] {
        if let Some(time) = time {
            status.insert(field.to_owned(), time.into());
        }
    }
    Some(status)
}

fn end_of(condition: &Value) -> Option<End> {
    if text(condition, &["status"]) != Some("True") {
        return None;
    }
    match text(condition, &["type"]) {
        Some("Complete") => Some(End::Complete),
        Some("Failed") => Some(End::Failed),
        _ => None,
    }
}

/// Clusters whose Job has ended that way; its first final condition counts.
fn ended(items: Items<'_>, end: End) -> Vec<&str> {
    let first = |status: &Value| list(status, &["conditions"]).iter().find_map(end_of);
    items
        .collected()
        .filter(|(_, status)| first(status) == Some(end))
        .map(|(cluster, _)| cluster)
        .collect()
}

fn failed_message(clusters: &[&str]) -> String {
    format!(
        "Job executed failed in member clusters {}",
        clusters.join(",")
    )
}

fn compatible_conditions(
    failed: &[&str],
    complete: bool,
    items: Items<'_>,
    context: &Context<'_>,
) -> Vec<Value> {
    let now = rfc3339::format(context.clock.unix_seconds());
    let new = |kind: &str, reason: &str, message: &str| condition(kind, reason, message, &now);
    let mut conditions = Vec::new();
    if !failed.is_empty() {
        conditions.push(new("Failed", "JobFailed", &failed_message(failed)));
    }
    if complete {
        conditions.push(new("Complete", "Completed", "Job completed"));
        let met = |status: &Value| {
            list(status, &["conditions"]).iter().any(|condition| {
                text(condition, &["type"]) == Some("SuccessCriteriaMet")
                    && text(condition, &["status"]) == Some("True")
            })
        };
        if items.collected().filter(|(_, status)| met(status)).count() == items.len() {
            conditions.push(new(
                "SuccessCriteriaMet",
                "CompletionsReached",
                "All member clusters have met success criteria",
            ));
        }
    }
    conditions
}

fn condition(kind: &str, reason: &str, message: &str, time: &str) -> Value {
    serde_json::json!({"type": kind, "status": "True", "reason": reason, "message": message,
        "lastProbeTime": time, "lastTransitionTime": time})
}

/// Conditions that the API server accepts, with the times of those that the template has already.
struct Conditions<'a> {
    old: &'a Value,
    now: String,
}

impl Conditions<'_> {
    fn build(&self, failed: &[&str], complete: bool, is_active: bool) -> Vec<Value> {
        if !failed.is_empty() {
            let message = failed_message(failed);
            let mut conditions = vec![self.kept_or_new("FailureTarget", "JobFailed", &message)];
            if !is_active {
                conditions.push(self.kept_or_new("Failed", "JobFailed", &message));
            }
            return conditions;
        }
        if complete && !is_active {
            let met = "All member clusters have met success criteria";
            return vec![
                self.kept_or_new("SuccessCriteriaMet", "CompletionsReached", met),
                self.kept_or_new("Complete", "Completed", "Job completed"),
            ];
        }
        // A Job on its way to failure stays on it, also when the cluster that failed has gone.
        let is_failing = |condition: &&Value| text(condition, &["type"]) == Some("FailureTarget");
        list(self.old, &["conditions"])
            .iter()
            .filter(is_failing)
            .cloned()
            .collect()
    }

    fn kept_or_new(&self, kind: &str, reason: &str, message: &str) -> Value {
        let is_same = |old: &&Value| {
            let is = |field: &str, value: &str| text(old, &[field]) == Some(value);
            is("type", kind)
                && is("status", "True")
                && is("reason", reason)
                && is("message", message)
        };
        let kept = list(self.old, &["conditions"]).iter().find(is_same);
        kept.cloned()
            .unwrap_or_else(|| condition(kind, reason, message, &self.now))
    }
}

/// When the whole began and ended.
struct Times {
    start: Option<String>,
    completion: Option<String>,
    /// The earliest start of any cluster, also when others have none.
    earliest: Option<String>,
    /// The latest completion of any cluster.
    latest: Option<String>,
}

impl Times {
    fn of(old: &Value, items: Items<'_>) -> Self {
        let times = |field: &'static str| -> Vec<&str> {
            items
                .collected()
                .filter_map(|(_, status)| text(status, &[field]))
                .collect()
        };
        let (starts, ends) = (times("startTime"), times("completionTime"));
        let is_full = |times: &[&str]| times.len() == items.len() && !times.is_empty();
        let earliest = starts
            .iter()
            .min_by_key(|time| rfc3339::parse(time))
            .and_then(|time| canonical_time(time));
        let latest = ends
            .iter()
            .max_by_key(|time| rfc3339::parse(time))
            .and_then(|time| canonical_time(time));
        let kept = set(old, &["startTime"])
            .and_then(Value::as_str)
            .map(str::to_owned);
        Self {
            start: kept.or_else(|| earliest.clone().filter(|_| is_full(&starts))),
            completion: latest.clone().filter(|_| is_full(&ends)),
            earliest,
            latest,
        }
    }

    /// Fills in and leaves out what the API server insists on.
    fn fit(&mut self, end: Option<End>, now: &str) {
        let Some(end) = end else {
            self.completion = None;
            return;
        };
        let start = self
            .start
            .take()
            .or_else(|| self.earliest.clone())
            .unwrap_or_else(|| now.to_owned());
        if end == End::Complete {
            let completion = self
                .completion
                .take()
                .or_else(|| self.latest.clone())
                .unwrap_or_else(|| now.to_owned());
            let is_after_start = rfc3339::parse(&completion) >= rfc3339::parse(&start);
            self.completion = Some(if is_after_start {
                completion
            } else {
                start.clone()
            });
        } else {
            self.completion = None;
        }
        self.start = Some(start);
    }
}

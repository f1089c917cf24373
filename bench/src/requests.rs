//! How many writes an API server took, by its own metrics.

use std::collections::BTreeMap;

use kube::Client;

/// Writes by what was written: `resource[/subresource] VERB`.
pub(crate) type Writes = BTreeMap<String, u64>;

/// Reads the counters. Leases are left out: they are renewed by the clock, not by load.
pub(crate) async fn writes(client: &Client) -> anyhow::Result<Writes> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let text = client.request_text(request).await?;
    let mut writes = Writes::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("apiserver_request_total{") else {
            continue;
        };
        let Some((labels, count)) = rest.rsplit_once("} ") else {
            continue;
        };
        let label = |name: &str| {
            let start = labels.find(&format!("{name}=\""))? + name.len() + 2;
            labels[start..].split('"').next()
        };
        let verb = label("verb").unwrap_or_default();
        let resource = label("resource").unwrap_or_default();
        if !matches!(verb, "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE") || resource == "leases" {
            continue;
        }
        // Questions that are asked with a POST.
        if resource.ends_with("reviews") {
            continue;
        }
        let subresource = label("subresource").unwrap_or_default();
        let what = if subresource.is_empty() {
            format!("{resource} {verb}")
        } else {
            format!("{resource}/{subresource} {verb}")
        };
        let count: f64 = count.trim().parse()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of requests"
        )]
        let count = count as u64;
        *writes.entry(what).or_default() += count;
    }
    Ok(writes)
}

/// What came on top of `before`.
pub(crate) fn since(before: &Writes, now: &Writes) -> Writes {
    let mut grown = Writes::new();
    for (what, count) in now {
        let more = count.saturating_sub(before.get(what).copied().unwrap_or_default());
        if more > 0 {
            grown.insert(what.clone(), more);
        }
    }
    grown
}

pub(crate) fn total(writes: &Writes) -> u64 {
    writes.values().sum()
}

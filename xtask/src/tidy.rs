//! Rules of the layout: which crate may depend on which, and that the code map names every crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::Context as _;

/// What each crate may depend on, of ours; transitively closed arrows are spelled out, so that a new one is a decision.
const ARROWS: &[(&str, &[&str])] = &[
    ("trace", &[]),
    ("crds", &[]),
    ("interpreter", &["crds", "trace"]),
    ("scheduler", &["crds", "trace"]),
    ("propagation", &["crds", "interpreter", "trace"]),
    ("runtime", &["crds"]),
    ("estimator", &["crds", "runtime", "scheduler"]),
    (
        "controllers",
        &[
            "crds",
            "estimator",
            "interpreter",
            "propagation",
            "runtime",
            "scheduler",
            "trace",
        ],
    ),
    ("testbed", &["crds"]),
    ("bench", &["crds", "testbed"]),
    (
        "cli",
        &[
            "crds",
            "interpreter",
            "propagation",
            "runtime",
            "scheduler",
            "testbed",
            "trace",
        ],
    ),
    (
        "navarch",
        &[
            "cli",
            "controllers",
            "crds",
            "estimator",
            "propagation",
            "runtime",
            "scheduler",
        ],
    ),
    ("examples/scheduler-plugin", &["navarch", "scheduler"]),
    ("xtask", &[]),
];

/// Crates that compute and do nothing else: no I/O, no clock, no randomness, no log lines.
const PURE: &[&str] = &["trace", "crds", "interpreter", "scheduler", "propagation"];

/// What a pure crate must not depend on.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-util",
    "futures",
    "tracing",
    "rand",
    "uuid",
    "axum",
    "reqwest",
    "hyper",
];

/// Fails with every broken rule, a line each.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let broken = broken(root)?;
    anyhow::ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

fn broken(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let members = members(root)?;
    for member in &members {
        let dependencies = dependencies(&root.join(member).join("Cargo.toml"))?;
        let Some(allowed) = arrows.get(member.as_str()) else {
            broken.push(format!(
                "{member}: not in the list of crates in xtask/src/tidy.rs"
            ));
            continue;
        };
        for dependency in &dependencies {
            if members.contains(dependency) && !allowed.contains(&dependency.as_str()) {
                broken.push(format!("{member}: may not depend on {dependency}"));
            }
            if PURE.contains(&member.as_str()) && IMPURE.contains(&dependency.as_str()) {
                broken.push(format!(
                    "{member}: is pure and may not depend on {dependency}"
                ));
            }
        }
    }
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).context("read ARCHITECTURE.md")?;
    for member in &members {
        if !map.contains(&format!("`{member}/`")) {
            broken.push(format!(
                "ARCHITECTURE.md: the code map does not name `{member}/`"
            ));
        }
    }
    for named in named_folders(&map) {
        if !root.join(&named).is_dir() {
            broken.push(format!(
                "ARCHITECTURE.md: the code map names `{named}/`, which does not exist"
            ));
        }
    }
    Ok(broken)
}

fn members(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("read Cargo.toml")?;
    let list = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .context("Cargo.toml has no members")?
        .0;
    Ok(list
        .split(',')
        .map(|entry| entry.trim().trim_matches('"').to_owned())
        .filter(|entry| !entry.is_empty())
        .collect())
}

/// Names under `[dependencies]`; what only tests need is free.
fn dependencies(manifest: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text =
        fs::read_to_string(manifest).with_context(|| format!("read {}", manifest.display()))?;
    let mut within = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            within = line.trim() == "[dependencies]";
        } else if within
            && let Some(name) = line
                .split(['.', '=', ' '])
                .next()
                .filter(|name| !name.is_empty() && !name.starts_with('#'))
        {
            found.insert(name.to_owned());
        }
    }
    Ok(found)
}

/// Folders in the first column of the code map.
fn named_folders(map: &str) -> Vec<String> {
    map.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once("/`"))
        .map(|(folder, _)| folder.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_follows_its_rules() {
        check(crate::root()).unwrap();
    }
}

//! The figures of earlier runs, so that a regression shows.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Where runs are kept unless told otherwise; one JSON object a line.
pub(crate) fn default_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("history.jsonl")
}

/// Adds a run; returns the last one before it that was asked for in the same way.
pub(crate) fn add(path: &Path, run: &Value) -> anyhow::Result<Option<Value>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let same = |line: &&str| {
        let earlier: Option<Value> = serde_json::from_str(line).ok();
        earlier.is_some_and(|earlier| earlier["asked"] == run["asked"])
    };
    let before = text.lines().rev().find(same);
    let before = before.and_then(|line| serde_json::from_str(line).ok());
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?;
    writeln!(file, "{run}")?;
    Ok(before)
}

//! One file per command: its flags, and what it does with them.

pub(crate) mod crds;
pub(crate) mod interpret;
pub(crate) mod join;
pub(crate) mod local;
pub(crate) mod release_hold;
pub(crate) mod scheduler;
pub(crate) mod unjoin;
pub(crate) mod version;

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use serde::de::IgnoredAny;

use crate::{Global, failure::Failure, join::Note};

/// `2m`, `90s`, `1h30m`; a plain 0.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(span).map_err(|_| "must not be negative".to_owned())
}

/// Refuses cases when the first of them is printed over several lines. A line that was cut off is one wrong case among others.
pub(crate) fn check_lines(text: &[u8]) -> Result<(), Failure> {
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(serde_json::from_slice::<IgnoredAny>);
    match (lines.next(), lines.next()) {
        (Some(Err(first)), Some(Err(_))) if first.is_eof() => Err(Failure::new(
            "the first case on standard input goes on in the next line",
        )
        .with_hint("one case a line: pipe it through `jq -c .`")),
        _ => Ok(()),
    }
}

/// Prints data.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints the steps of a dry run.
fn print_planned(steps: &[String]) -> Result<(), Failure> {
    let mut text = String::new();
    for step in steps {
        text.push_str(step);
        text.push_str(" (dry run)\n");
    }
    print(&text)
}

/// Tells steps on standard error.
fn notes(global: &Global) -> Note {
    if global.quiet {
        return Arc::new(|_| {});
    }
    Arc::new(|step| eprintln!("{step}"))
}

/// Asks whether to go on; `action` completes "refusing to …".
fn confirm(global: &Global, action: &str) -> Result<bool, Failure> {
    if global.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!(
            "refusing to {action} without --yes (stdin is not a terminal)"
        )));
    }
    eprint!("Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("2m", Some(120)),
            ("1m30s", Some(90)),
            ("-1s", None),
            ("5", None),
            ("soon", None),
        ] {
            let found = duration(text).ok().map(|it| it.as_secs());
            assert_eq!(found, expected, "{text}");
        }
    }
}

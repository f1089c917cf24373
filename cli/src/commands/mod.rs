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

/// Refuses what is no cases at all, or not one a line, by how it begins.
pub(crate) fn check_lines(text: &[u8]) -> Result<(), Failure> {
    let refused = |message: &str, hint: &str| Err(Failure::new(message).with_hint(hint));
    if text.starts_with("\u{feff}".as_bytes()) {
        return refused(
            "standard input begins with a byte order mark",
            "pipe it through `jq -c .`, which drops it",
        );
    }
    if is_other_text(text) {
        return refused(
            "standard input is no JSON",
            "one case a line, as JSON: pipe YAML through `yq -o json -I 0 .`, or `yq -c .` of the yq that wraps jq",
        );
    }
    if goes_on(text) {
        return refused(
            "the first case on standard input goes on in the next line",
            "one case a line: pipe it through `jq -c .`",
        );
    }
    Ok(())
}

/// Whether no line of the text looks like JSON.
fn is_other_text(text: &[u8]) -> bool {
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            !line.starts_with(b"{")
                && !line.starts_with(b"[")
                && serde_json::from_slice::<IgnoredAny>(line).is_err()
        })
}

/// Whether the text begins with JSON that is printed over several lines.
fn goes_on(text: &[u8]) -> bool {
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(serde_json::from_slice::<IgnoredAny>);
    let (Some(Err(first)), Some(second)) = (lines.next(), lines.next()) else {
        return false;
    };
    first.is_eof() && second.is_err()
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
